"""When a photo was taken: by its EXIF, else by its file name, else by the time of the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_EARLIEST = 946_684_800.0  # 2000-01-01; a camera that lost its clock says 1970 or 1980
_AHEAD_S = 86_400.0  # a time further ahead than a day is a clock that is wrong
_DAY = r"(20\d\d)([-_.]?)(0[1-9]|1[0-2])\2([0-2]\d|3[01])"
_TIME = r"([01]\d|2[0-3])[-_.:h]?([0-5]\d)(?:[-_.:m]?([0-5]\d))?"
_DATED = re.compile(rf"(?<!\d){_DAY}[T _.-]?{_TIME}(?!\d)")
_EPOCH = re.compile(r"(?<!\d)(1\d{9})(\d{3})?(?!\d)")


@dataclass(frozen=True, slots=True)
class Taken:
    """A moment in seconds since 1970 (UTC), and where it was found: exif, name or file."""

    at: float
    source: str


def taken_at(name: str, modified: float, exif: str, *, now: float) -> Taken:
    """When a photo was taken.

    Times without a zone are those of this machine's zone. A source that says a time before 2000 or
    more than a day ahead is passed over; the last one, the time of the file, is taken in any case.

    Args:
        name: of the file, such as "cam1_2026-11-24_10-20-00.jpg" or "1764000000.jpg".
        modified: of the file, seconds since 1970.
        exif: "2026:11:24 10:20:00", or "" where there is none.
        now: seconds since 1970.

    >>> taken_at("a_1700000000.jpg", 5.0, "", now=1.8e9)
    Taken(at=1700000000.0, source='name')
    """
    for at, source in ((_from_exif(exif), "exif"), (_from_name(name), "name")):
        if at is not None and _EARLIEST <= at <= now + _AHEAD_S:
            return Taken(at, source)
    return Taken(modified, "file")


def _from_exif(text: str) -> float | None:
    try:
        return datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S").timestamp()  # noqa: DTZ007
    except (ValueError, OverflowError, OSError):
        return None


def _from_name(name: str) -> float | None:
    found = _DATED.search(name)
    if found is not None:
        year, _, month, day, hour, minute, second = found.groups()
        parts = (int(part or 0) for part in (year, month, day, hour, minute, second))
        try:
            return datetime(*parts).timestamp()  # type: ignore[arg-type]  # noqa: DTZ001
        except (ValueError, OverflowError, OSError):
            return None
    number = _EPOCH.search(name)
    if number is None:
        return None
    return int(number[1]) + int(number[2] or 0) / 1_000
