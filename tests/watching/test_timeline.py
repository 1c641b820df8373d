"""A history summed up: rates with intervals, gaps, drift, the table and the page."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from regraft.commands.drawing.timeline import show_timeline
from regraft.watching import Rules, Store, Timeline, read_timeline
from regraft.watching.kept import copy_name
from regraft.watching.page import build_timeline_page
from regraft.watching.store import Photo
from tests.histories import START, photos, three_weeks


def summed(tmp_path: Path, *some: list[Photo], familiar: float = 0.98, **places: str) -> Timeline:
    with Store(tmp_path / "a.db") as store:
        store.set_about(
            classes=["clean", "messy"], rules=Rules().to_dict(), familiar=familiar, **places
        )
        for part in some:
            store.add(part, [])
        return read_timeline(store)


def test_rates_are_of_calendar_time(tmp_path: Path) -> None:
    """Tidied 7 times in 21 days is 2.3 times a week, however dark the nights are."""
    camera = summed(tmp_path, photos(three_weeks())).cameras[0]
    states = {state.state: state for state in camera.states}
    assert states["clean"].count == 7
    assert states["messy"].count == 7
    week = states["clean"].a_week
    assert week is not None
    # Garwood's interval of 7 events is 2.814 to 14.423.
    assert week.value == pytest.approx(7 / 3, rel=0.01)
    assert week.low == pytest.approx(2.814 / 3, rel=0.01)
    assert week.high == pytest.approx(14.423 / 3, rel=0.01)
    assert camera.seconds["unknown"] > 0.4 * camera.watched.seconds
    assert sum(week.changes["clean"] for week in camera.weeks) == 7
    assert [round(week.days) for week in camera.weeks] == [7, 7, 7]


def test_what_all_outputs_say(tmp_path: Path) -> None:
    found = summed(tmp_path, photos(three_weeks()))
    console = Console(file=io.StringIO(), width=400)
    show_timeline(console, found)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    first = said.splitlines()[0]
    assert first.startswith("nursery became clean 7 times in 21.0 days, 2.3 [0.9, 4.8] a week, and")
    assert "stayed so for 24.0 hours [24.0, 24.0]; in the second half " in first
    assert first.endswith(": no trend can be told")
    page = build_timeline_page(found)
    assert "nursery became clean 7 times in 21.0 days, 2.3 [0.9, 4.8] a week" in page
    assert first.removeprefix("nursery ") in page
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert sum(row["state"] == "clean" and row["previous"] == "messy" for row in rows) == 7
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))["cameras"][0]
    clean = next(state for state in data["states"] if state["state"] == "clean")
    assert clean["count"] == sum(event["state"] == "clean" for event in data["events"]) == 7
    assert clean["a_week"]["value"] == pytest.approx(7 / 3, rel=0.01)
    assert clean["median_stay_s"]["value"] == pytest.approx(86_400, rel=0.01)
    assert sum(week["changes"]["clean"] for week in data["weeks"]) == 7


def test_each_change_has_its_picture(tmp_path: Path) -> None:
    some = photos("m" * 20 + "c" * 20 + "m" * 20)
    folder = tmp_path / "cameras"
    for number in (20, 40):
        (folder / "nursery").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (number, 0, 0)).save(folder / "nursery" / f"{number}.jpg")
    copy = tmp_path / "copies" / "nursery" / copy_name(some[40])
    copy.parent.mkdir(parents=True)
    (folder / "nursery" / "40.jpg").rename(copy)
    found = summed(tmp_path, some, folder="cameras", copies="copies")
    assert found.cameras[0].pictures == (folder / "nursery" / "20.jpg", copy)
    assert build_timeline_page(found).count('<img src="data:image/jpeg') == 2
    assert "<img" not in build_timeline_page(found, with_pictures=False)
    copy.unlink()
    assert build_timeline_page(found).count('<img src="data:image/jpeg') == 1


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
    assert page.count('class="bars"') == 1


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
