"""When a photo was taken."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.watching.taken import Taken, taken_at

NOW = datetime(2026, 11, 24, 12, 0).timestamp()  # noqa: DTZ001 - names hold local times


def local(*parts: int) -> float:
    return datetime(*parts).timestamp()  # type: ignore[arg-type]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("cam1_2026-11-24_10-20-30.jpg", (2026, 11, 24, 10, 20, 30)),
        ("IMG_20261124_102030.jpg", (2026, 11, 24, 10, 20, 30)),
        ("20261124102030.png", (2026, 11, 24, 10, 20, 30)),
        ("2026.11.24T10.20.jpg", (2026, 11, 24, 10, 20)),
        ("room 2026-11-24 10h20m05.jpg", (2026, 11, 24, 10, 20, 5)),
    ],
)
def test_names_say_it(name: str, parts: tuple[int, ...]) -> None:
    assert taken_at(name, 5.0, "", now=NOW) == Taken(local(*parts), "name")


@pytest.mark.parametrize(
    ("name", "at"), [("cam_1764000000.jpg", 1764000000.0), ("1764000000123.jpg", 1764000000.123)]
)
def test_names_may_hold_seconds_since_1970(name: str, at: float) -> None:
    assert taken_at(name, 5.0, "", now=NOW) == Taken(at, "name")


def test_exif_comes_first() -> None:
    found = taken_at("2026-11-24_10-20-30.jpg", 5.0, "2026:11:23 09:00:00", now=NOW)
    assert found == Taken(local(2026, 11, 23, 9), "exif")


@pytest.mark.parametrize(
    ("name", "exif"),
    [
        ("a.jpg", ""),
        ("a.jpg", "1970:01:01 00:00:00"),  # the camera lost its clock
        ("a.jpg", "2031:01:01 00:00:00"),
        ("a.jpg", "no time at all"),
        ("20261345_102030.jpg", ""),
        ("20260231_102030.jpg", ""),  # no such day
        ("12345678901234567890.jpg", ""),
    ],
)
def test_else_it_is_the_time_of_the_file(name: str, exif: str) -> None:
    assert taken_at(name, 77.0, exif, now=NOW) == Taken(77.0, "file")


@given(st.text(max_size=60), st.text(max_size=30))
def test_anything_gives_a_time(name: str, exif: str) -> None:
    found = taken_at(name, 77.0, exif, now=NOW)
    assert found.source in ("exif", "name", "file")
    assert found.at == 77.0 or 946_684_800 <= found.at <= NOW + 86_400
