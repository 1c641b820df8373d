"""A camera's timeline in, the sentences that terminal and page both show out."""

from __future__ import annotations

import math

from regraft.metrics.rates import Estimate
from regraft.reporting.words import counted, listed
from regraft.watching.states import local_minute
from regraft.watching.stays import DAY_S, StateSummary
from regraft.watching.timeline import CameraTimeline

_HOUR_S = 3_600.0


def answers(camera: CameraTimeline) -> list[tuple[str, ...]]:
    """How often, for how long, and whether that changes, of each class that was seen.

    Each is a sentence in parts, to be joined by commas; the first part says how often.
    """
    if not camera.photos:
        return [("no photo",)]
    days = duration(camera.watched.seconds)
    if not camera.states:
        return [(f"no state was recognised in {days}",)]
    changed = [state for state in camera.states if state.count]
    if not changed:
        return [_unchanged(camera, days)]
    return [
        (
            f"became {state.state} {counted(state.count, 'time')} in {days}{_a_week(state)}",
            f"{_stay(state)}; {_trend(state)}",
        )
        for state in changed
    ]


def remarks(camera: CameraTimeline) -> list[str]:
    """The last known state, and outages."""
    found = []
    last = camera.last_known
    if last is not None:
        since = "" if camera.state == last.state else ", nothing is known since"
        found.append(f"last known: {last.state}, {local_minute(last.end)}{since}")
    outages = camera.watched.outages
    if outages:
        lost = sum(end - start for start, end in outages)
        inside = sum(state.in_outages for state in camera.states)
        also = f"; at least {counted(inside, 'change')} within" if inside else ""
        found.append(
            f"{counted(len(outages), 'outage')}, {duration(lost)} in all, not counted above{also}"
        )
    return found


def duration(seconds: float) -> str:
    """A time as people say it: "35 minutes", "5.2 hours", "1.4 days"."""
    if seconds < 1.5 * _HOUR_S:
        return counted(max(1, round(seconds / 60)), "minute")
    if seconds < 2 * DAY_S:
        return f"{seconds / _HOUR_S:.1f} hours"
    return f"{seconds / DAY_S:.1f} days"


def stay(found: Estimate | None) -> str:
    """A median in seconds as "1.4 days [0.8, 2.1]"; "" where there is none."""
    if found is None:
        return ""
    if math.isinf(found.value):
        return f"more than {duration(found.low)}" if found.low else ""
    if not found.low and math.isinf(found.high):
        return f"{duration(found.value)} (too few for an interval)"
    unit, name = (_HOUR_S, "hours") if found.value < 2 * DAY_S else (DAY_S, "days")
    value, low, high = (number(x / unit) for x in (found.value, found.low, found.high))
    return f"{value} {name} [{low}, {high}]"


def rate(found: Estimate | None) -> str:
    """ "2.3 [0.9, 4.8]"; "" where there is none."""
    if found is None:
        return ""
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def number(value: float) -> str:
    """ "2.3", or the sign of infinity."""
    return "\N{INFINITY}" if math.isinf(value) else f"{value:.1f}"


def _unchanged(camera: CameraTimeline, days: str) -> tuple[str, ...]:
    names = " or ".join(state.state for state in camera.states)
    most = camera.states[0].a_week
    at_most = (f"at most {number(most.high)} a week",) if most is not None else ()
    return (f"{names} for all of {days}: no change was seen", *at_most)


def _a_week(state: StateSummary) -> str:
    return f", {rate(state.a_week)} a week" if state.a_week else ""


def _stay(state: StateSummary) -> str:
    length = stay(state.stay)
    return f"and stayed so for {length}" if length else "and stayed so"


def _trend(state: StateSummary) -> str:
    """Whether it becomes so more often, and stays so for longer."""
    measured, told = [], []
    for found, what, more, less in (
        (state.often.ratio, "times as often as in the first", "more often", "less often"),
        (state.longer.ratio, "times as long", "for longer", "for less long"),
    ):
        if found is None:
            continue
        measured.append(f"{rate(found)} {what}")
        if found.low > 1 or found.high < 1:
            told.append(more if found.low > 1 else less)
    if not measured:
        return "too short a time to tell a trend"
    verdict = listed(told) if told else "no trend can be told"
    return f"in the second half {listed(measured)}: {verdict}"
