"""Fixtures of the browser tests: a browser, and pages made of real photos and of odd runs.

A test asks for `open_page` and calls `open_page(path, dark=True, width=390)`; what comes back is
an `OpenPage` of `chromium.py`. Without a browser every such test is skipped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from regraft.commands import app
from regraft.reporting import build_report, build_side_by_side
from regraft.runs import Run
from regraft.watching.page import build_timeline_page
from regraft.workflow import timeline
from tests.browser import chromium
from tests.commands import FROZEN, PROBE, copy_photos
from tests.histories import make_history
from tests.reporting.sample_runs import explain_run, make_full_run, make_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OpenPages: TypeAlias = Callable[..., chromium.OpenPage]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium for the tests of a module.

    Playwright runs the event loop of its thread as long as it lives: what a worker does after
    these tests must find none.
    """
    if reason := chromium.why_not():
        pytest.skip(reason)
    with chromium.chromium() as running:
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPages]:
    """Opens pages; the options are those of `chromium.open_page`. All are closed afterwards."""
    opened: list[chromium.OpenPage] = []

    def open_one(path: str | Path, **options: Any) -> chromium.OpenPage:
        opened.append(chromium.open_page(browser, path, **options))
        return opened[-1]

    yield open_one
    for page in opened:
        page.close()


@pytest.fixture(scope="session")
def fitted(
    tmp_path_factory: pytest.TempPathFactory, shared_graphs: Path, test_data: Path
) -> Iterator[Path]:
    """A folder with real `photos/` and two runs on them, `runs/rooms` and `runs/quick`."""
    folder = tmp_path_factory.mktemp("fitted")
    for split, count in (("train", 16), ("val", 5)):
        for name in ("clean", "messy"):
            source = test_data / "rooms" / split / name
            copy_photos(source, folder / "photos" / split / name, count, size=320)
    (folder / "cache" / "regraft").mkdir(parents=True)
    (folder / "cache" / "regraft" / "graphs").symlink_to(shared_graphs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.chdir(folder)
        assert app.run(["fit", "photos", *FROZEN, "--out", "runs/rooms"]) == 0
        assert app.run(["fit", "photos", *PROBE, "--seed", "1", "--out", "runs/quick"]) == 0
        assert app.run(["report", "runs/rooms", "runs/quick", "--out", "both.html"]) == 0
    return folder


KINDS = ("report", "both", "full", "many", "several", "timeline")
"""Of a real run, of two real runs, with everything a run can hold, of many classes, of six runs,
of two cameras."""

MANY = [f"a kind of thing, number {i}" for i in range(40)]


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory, fitted: Path) -> Path:
    """A folder with one page of each kind; the names are those of `KINDS`."""
    folder = tmp_path_factory.mktemp("pages")
    full = explain_run(make_full_run(folder / "full"), folder / "full" / "run")
    many = make_run(folder / "many", classes=MANY, train=4, test=2)
    other = make_run(folder / "other", classes=MANY[:30], train=4, wrong=0.4)
    texts = {
        "report": (fitted / "runs" / "rooms" / "report.html").read_text(encoding="utf-8"),
        "both": (fitted / "both.html").read_text(encoding="utf-8"),
        "full": build_report(full),
        "many": build_report(many),
        "several": build_side_by_side(_in_folders([full, many, other, full, other, many])),
        "timeline": build_timeline_page(timeline(make_history(folder))),
    }
    assert tuple(texts) == KINDS
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


def _in_folders(runs: list[Run]) -> list[Run]:
    return [
        dataclasses.replace(run, folder=Path("runs") / f"run_number_{i}_with_a_long_name")
        for i, run in enumerate(runs)
    ]
