"""A history summed up: rates with intervals, gaps, drift, the table and the page."""

from __future__ import annotations

import csv
import io
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.watching import Rules, Store, Timeline, read_timeline
from regraft.watching.page import build_timeline_page
from regraft.watching.store import Photo
from regraft.watching.timeline import WEEK_S, events_a_week

START = datetime(2026, 11, 2).timestamp()  # noqa: DTZ001
STEP = 600.0


def photos(
    text: str, *, camera: str = "nursery", start: float = START, distance: float = 0.2
) -> list[Photo]:
    """c and m: clean or messy; ?: unfamiliar; d: dark; space: no photo."""
    random = np.random.default_rng(0)
    found = []
    for i, letter in enumerate(text):
        if letter == " ":
            continue
        p = 0.97 if letter == "m" else 0.03
        found.append(
            Photo(
                camera=camera,
                sha256=f"{camera}{start}{i}",
                path=f"{camera}/{i}.jpg",
                taken=start + i * STEP,
                taken_from="name",
                seen=start + i * STEP,
                predicted="messy" if p > 0.5 else "clean",
                confidence=max(p, 1 - p),
                probabilities=(1 - p, p),
                flag={"?": "unfamiliar", "d": "dark"}.get(letter, ""),
                reason="",
                unfamiliarity=float(distance + 0.01 * random.normal()),
                brightness=100.0,
                model="a",
            )
        )
    return found


def summed(tmp_path: Path, *some: list[Photo], familiar: float = 0.98) -> Timeline:
    with Store(tmp_path / "a.db") as store:
        store.set_about(classes=["clean", "messy"], rules=Rules().to_dict(), familiar=familiar)
        for part in some:
            store.add(part, [])
        return read_timeline(store)


def test_rates_are_of_the_time_in_which_the_state_was_known(tmp_path: Path) -> None:
    week = ("m" * 72 + "c" * 72) * 7
    found = summed(tmp_path, photos(week)).cameras[0]
    rates = {(rate.previous, rate.state): rate for rate in found.rates}
    tidied = rates["messy", "clean"]
    assert tidied.count == 7
    assert tidied.a_week.value == pytest.approx(7, rel=0.01)
    assert tidied.a_week.low < 3 < 14 < tidied.a_week.high
    assert rates["clean", "messy"].count == 6
    assert sum(found.seconds.values()) == pytest.approx((len(week) - 1) * STEP)


@given(st.integers(0, 200), st.floats(1e3, 1e7))
def test_intervals_hold_the_rate(count: int, seconds: float) -> None:
    found = events_a_week(count, seconds)
    assert 0 <= found.low <= found.value <= found.high


def test_known_intervals() -> None:
    # Garwood's table: 0 events 0 to 3.689, 10 events 4.795 to 18.390.
    assert events_a_week(0, WEEK_S).high == pytest.approx(3.689, abs=1e-3)
    assert events_a_week(10, WEEK_S).low == pytest.approx(4.795, abs=1e-3)
    assert events_a_week(10, WEEK_S).high == pytest.approx(18.390, abs=1e-3)
    assert math.isnan(events_a_week(0, 0.0).value)


def test_no_drift_no_warning(tmp_path: Path) -> None:
    month = "m" * 60 + " " * 84
    assert summed(tmp_path, photos(month * 20)).cameras[0].warnings == ()


def test_unfamiliar_photos_are_told(tmp_path: Path) -> None:
    found = summed(tmp_path, photos("m" * 300 + "m?mm?" * 30)).cameras[0]
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("60 of the 450 photos of the last week are unlike")
    assert found.share("unfamiliar") == pytest.approx(60 / 450)


def test_photos_that_move_away_are_told(tmp_path: Path) -> None:
    later = photos("m" * 200, start=START + 20 * 86_400, distance=0.3)
    found = summed(tmp_path, photos("m" * 200), later).cameras[0]
    assert "lie further from the training photos" in found.warnings[0]
    assert "median distance 0.30, before 0.20" in found.warnings[0]


def test_dark_frames_are_no_drift(tmp_path: Path) -> None:
    later = photos("d" * 200, start=START + 20 * 86_400, distance=0.6)
    assert summed(tmp_path, photos("m" * 200), later).cameras[0].warnings == ()


def test_the_table_has_a_row_for_each_span(tmp_path: Path) -> None:
    found = summed(tmp_path, photos("mmmmm" + " " * 40 + "ccccc"), photos("ccc", camera="attic"))
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [(row["camera"], row["state"], row["previous"]) for row in rows] == [
        ("attic", "clean", ""),
        ("nursery", "messy", ""),
        ("nursery", "unknown", ""),
        ("nursery", "clean", "messy"),
    ]
    assert rows[2]["photos"] == "0"
    assert rows[2]["end"] == rows[3]["start"]


def test_the_page_shows_days_gaps_and_changes(tmp_path: Path) -> None:
    text = "m" * 60 + "c" * 60 + " " * 200 + "m?d" * 10
    page = build_timeline_page(summed(tmp_path, photos(text)))
    assert "Mon 02 Nov" in page
    assert "Wed 04 Nov" in page
    assert page.count('class="strip"') == 3
    assert 'class="gap"' in page
    assert page.count('class="mark"') == 2
    assert "messy to clean" in page


def test_names_with_markup_stay_text(tmp_path: Path) -> None:
    page = build_timeline_page(summed(tmp_path, photos("mm", camera="<script>x</script>")))
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page


def test_a_day_of_23_hours_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        start = datetime(2026, 3, 28).timestamp()  # noqa: DTZ001
        page = build_timeline_page(summed(tmp_path, photos("m" * 144 * 3, start=start)))
        for day in ("Sat 28 Mar", "Sun 29 Mar", "Mon 30 Mar", "Tue 31 Mar"):
            assert page.count(day) == 1
    finally:
        monkeypatch.undo()
        time.tzset()


def test_nothing_recorded_is_said(tmp_path: Path) -> None:
    found = summed(tmp_path)
    assert found.cameras == ()
    assert "No photo has been recorded yet" in build_timeline_page(found)
    assert found.to_csv().count("\n") == 1
