"""A bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from regraft.commands.drawing.figures import clock_time
from regraft.commands.drawing.progress import live_progress
from regraft.progress import NOTE


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)


def _drawn(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())


def test_a_bar_shows_how_many_and_how_long(screen: Console) -> None:
    with live_progress(screen, show_after_s=0.0) as progress:
        progress("a slow beginning", 0, NOTE)
        progress("a slow beginning", 0, NOTE)
        progress("listing", 1_234, 0)
        for done in range(0, 2_001, 500):
            progress("features of [a network]", done, 2_000)
            screen.file.flush()
            _redraw()
    drawn = _drawn(screen)
    assert drawn.count("a slow beginning") == 1
    assert "features of [a network]" in drawn
    assert re.search(r"500/2,000, \d:\d\d", drawn)


def _redraw() -> None:
    import time

    time.sleep(0.15)  # the bars are drawn ten times a second


def test_quick_steps_draw_nothing(screen: Console) -> None:
    with live_progress(screen) as progress:
        for done in range(11):
            progress("features", done, 10)
    assert "features" not in _drawn(screen)


def test_without_a_terminal_a_line_now_and_then() -> None:
    console = Console(file=io.StringIO(), width=80)
    with live_progress(console, plain_every_s=0.0) as progress:
        progress("exporting, once", 0, NOTE)
        progress("exporting, once", 0, NOTE)
        for done in range(3):
            progress("features", done, 2)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "exporting, once",
        "features: 0 of 2",
        "features: 1 of 2",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3_661, "1:01:01")]
)
def test_times_are_short(seconds: float, shown: str) -> None:
    assert clock_time(seconds) == shown
