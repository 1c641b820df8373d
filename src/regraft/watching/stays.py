"""Photos, states and events of one camera in; how often, for how long, and whether that changes.

A rate is by the time in which the camera was watching: calendar time, dark nights and all, less
outages. An outage is a day or more without a photo that could show anything: the camera was off,
or looked at something else. Changes within one are not counted, for its time is not either.

A stay is the time in one state. Its beginning or end is unknown where watching begins or ends, or
at an outage. A change after a gap, such as a night, is put into the middle of the gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from regraft.metrics.rates import Estimate
from regraft.watching.rates import median_stay, poisson_rate, rate_ratio
from regraft.watching.states import UNKNOWN, Event, Span, iso

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
OUTAGE_S = DAY_S  # a night is shorter, wherever people live
_TREND_S = 2 * WEEK_S  # two halves of a week at least: a working day is no weekend
Interval = tuple[float, float]  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Watched:
    """The time from the first to the last photo, and the outages in it."""

    start: float
    end: float
    outages: tuple[Interval, ...] = ()

    @property
    def seconds(self) -> float:
        """Of calendar time, outages left out."""
        return self.within(self.start, self.end)

    def within(self, start: float, end: float) -> float:
        """Seconds watched between two moments."""
        start, end = max(start, self.start), min(end, self.end)
        out = sum(_shared((start, end), outage) for outage in self.outages)
        return max(0.0, end - start) - out

    def to_dict(self) -> dict[str, Any]:
        """JSON values; times are ISO 8601 in UTC."""
        return {
            "start": iso(self.start),
            "end": iso(self.end),
            "seconds": round(self.seconds),
            "outages": [{"start": iso(start), "end": iso(end)} for start, end in self.outages],
        }


@dataclass(frozen=True, slots=True)
class Stay:
    """The time in one state; whether its beginning and its end were seen."""

    state: str
    start: float
    end: float
    has_start: bool
    has_end: bool


@dataclass(frozen=True, slots=True)
class Halves:
    """The first half of the watched time against the second.

    `first` and `second` are counts, `ratio` what the second has to the first, by time; None where
    nothing was counted or the time is too short.
    """

    first: int
    second: int
    ratio: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        ratio = self.ratio and _finite(self.ratio)
        return {"first": self.first, "second": self.second, "ratio": ratio}


@dataclass(frozen=True, slots=True)
class StateSummary:
    """How often a camera changed to a state, and for how long it stayed so.

    Attributes:
        state: a class.
        count: changes to it while the camera was watching.
        in_outages: changes to it that fell into outages, which `count` leaves out.
        a_week: `count` a week; None where less than a week was watched.
        often: changes in either half; the ratio is above 1 if there are more in the second.
        stay: median seconds; None where no stay of known beginning is over.
        stays: how many begin within the time, `stays_over` how many of them end there as well.
        longer: ends of stays in either half; the ratio is that of lengths, above 1 if stays are
            longer in the second, and supposes that an end is as likely early in a stay as late.
        seconds: in the state, from change to change, outages left out.
    """

    state: str
    count: int
    in_outages: int
    a_week: Estimate | None
    often: Halves
    stay: Estimate | None
    stays: int
    stays_over: int
    longer: Halves
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "state": self.state,
            "count": self.count,
            "in_outages": self.in_outages,
            "a_week": self.a_week and self.a_week.to_dict(),
            "often": self.often.to_dict(),
            "median_stay_s": self.stay and _finite(self.stay),
            "stays": self.stays,
            "stays_over": self.stays_over,
            "longer": self.longer.to_dict(),
            "seconds": round(self.seconds),
        }


@dataclass(frozen=True, slots=True)
class Week:
    """A calendar week in this machine's zone, from Monday: days watched, changes by state."""

    start: float
    days: float
    changes: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the start is an ISO 8601 date."""
        monday = datetime.fromtimestamp(self.start).astimezone().date().isoformat()
        return {"week_of": monday, "days": round(self.days, 2), "changes": dict(self.changes)}


def watched_time(start: float, end: float, showing: Sequence[float]) -> Watched:
    """From the first photo to the last; `showing` are times of those that show the room, or dark.

    A dark photo shows that the camera works: a room without light at the weekend is no outage.
    """
    times = [start, *sorted(showing), end]
    outages = ((before, after) for before, after in pairwise(times) if after - before > OUTAGE_S)
    return Watched(start, end, tuple(outages))


def stays_of(spans: Sequence[Span], events: Sequence[Event], watched: Watched) -> list[Stay]:
    """The time watched as stays without overlap, in order; none before the first known state."""
    first = next((span for span in spans if span.state != UNKNOWN), None)
    if first is None:
        return []
    found: list[Stay] = []
    state, start, has_start = first.state, first.start, False
    # At the same time an outage comes first: an event at its end tells what happened within it.
    marks: list[tuple[float, int, Interval | Event]] = [
        *((outage[1], 0, outage) for outage in watched.outages if outage[1] > start),
        *((event.at, 1, event) for event in events),
    ]
    for _, _, mark in sorted(marks, key=lambda mark: mark[:2]):
        if isinstance(mark, tuple):
            found.append(Stay(state, start, mark[0], has_start, has_end=False))
            start, has_start = mark[1], False
        elif outage_of(mark, watched) is not None:
            state = mark.state
        else:
            at = max(start, moment_of(mark))
            found.append(Stay(state, start, at, has_start, has_end=True))
            state, start, has_start = mark.state, at, True
    found.append(Stay(state, start, max(start, watched.end), has_start, has_end=False))
    return [stay for stay in found if stay.end > stay.start or stay.has_start or stay.has_end]


def moment_of(event: Event) -> float:
    """When a change is supposed to have happened: in the middle of the gap before it."""
    return event.at - event.after_gap_s / 2


def outage_of(event: Event, watched: Watched) -> Interval | None:
    """The outage that a change happened in."""
    gap = (event.at - event.after_gap_s, event.at)
    return next((outage for outage in watched.outages if _shared(gap, outage) > 0), None)


def summarise(
    stays: Sequence[Stay], events: Sequence[Event], watched: Watched, classes: Sequence[str]
) -> tuple[StateSummary, ...]:
    """One summary for each class that was seen."""
    seen = [name for name in classes if any(stay.state == name for stay in stays)]
    return tuple(_summary(name, stays, events, watched) for name in seen)


def weeks_of(stays: Sequence[Stay], watched: Watched, classes: Sequence[str]) -> tuple[Week, ...]:
    """Every calendar week from the first to the last; those at the ends are seldom whole."""
    if not stays:
        return ()
    begun = [stay for stay in stays if stay.has_start]
    return tuple(
        Week(
            start,
            watched.within(start, end) / DAY_S,
            {
                name: sum(stay.state == name and start <= stay.start < end for stay in begun)
                for name in classes
            },
        )
        for start, end in _calendar_weeks(watched)
    )


def _summary(
    state: str, stays: Sequence[Stay], events: Sequence[Event], watched: Watched
) -> StateSummary:
    own = [stay for stay in stays if stay.state == state]
    begun = [stay for stay in own if stay.has_start]
    middle = (watched.start + watched.end) / 2
    halves = ((watched.start, middle), (middle, watched.end))
    return StateSummary(
        state=state,
        count=len(begun),
        in_outages=sum(
            event.state == state and outage_of(event, watched) is not None for event in events
        ),
        a_week=(
            poisson_rate(len(begun), watched.seconds / WEEK_S)
            if watched.seconds >= WEEK_S
            else None
        ),
        often=_halves(
            [stay.start for stay in begun],
            middle,
            [watched.within(*half) for half in halves],
            watched,
        ),
        stay=median_stay(
            [max(1.0, stay.end - stay.start) for stay in begun],
            [stay.has_end for stay in begun],
        ),
        stays=len(begun),
        stays_over=sum(stay.has_end for stay in begun),
        longer=_inverse(
            _halves(
                [stay.end for stay in own if stay.has_end],
                middle,
                [sum(_shared(half, (stay.start, stay.end)) for stay in own) for half in halves],
                watched,
            )
        ),
        seconds=sum(stay.end - stay.start for stay in own),
    )


def _halves(
    moments: Sequence[float], middle: float, seconds: Sequence[float], watched: Watched
) -> Halves:
    first = sum(moment < middle for moment in moments)
    second = len(moments) - first
    enough = watched.seconds >= _TREND_S and min(seconds) > 0
    ratio = rate_ratio(first, seconds[0], second, seconds[1]) if enough else None
    return Halves(first, second, ratio)


def _inverse(halves: Halves) -> Halves:
    """From how often something ends to how long it lasts."""
    ratio = halves.ratio
    if ratio is None:
        return halves
    value, low, high = (1 / x if x else math.inf for x in (ratio.value, ratio.high, ratio.low))
    return Halves(halves.first, halves.second, Estimate(value, low, high, ratio.method))


def _calendar_weeks(watched: Watched) -> Iterator[Interval]:
    there = datetime.fromtimestamp(watched.start).astimezone()
    monday = (there - timedelta(days=there.weekday())).date()
    while True:
        following = monday + timedelta(days=7)
        start, end = (
            datetime(day.year, day.month, day.day).astimezone().timestamp()
            for day in (monday, following)
        )
        yield start, end
        if end > watched.end:
            return
        monday = following


def _shared(one: Interval, other: Interval) -> float:
    """Seconds that two intervals have in common."""
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def _finite(estimate: Estimate) -> dict[str, float | str | None]:
    """The JSON form; what is infinite becomes null as well."""
    return {
        name: None if isinstance(x, float) and math.isinf(x) else x
        for name, x in estimate.to_dict().items()
    }
