"""Stays, outages, weeks and halves of one camera."""

from __future__ import annotations

import math
import time
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.watching.states import Event, Span
from regraft.watching.stays import (
    DAY_S,
    WEEK_S,
    StateSummary,
    Stay,
    Watched,
    stays_of,
    summarise,
    watched_time,
    weeks_of,
)

CLASSES = ("clean", "messy", "party")
MONDAY = datetime(2026, 11, 2).timestamp()  # noqa: DTZ001


def event(day: float, state: str, previous: str, *, gap_days: float = 0.0) -> Event:
    at = MONDAY + day * DAY_S
    return Event(at, at, state, previous, ("a.jpg",), gap_days * DAY_S)


def watched(days: float, *outages: tuple[float, float]) -> Watched:
    return Watched(
        MONDAY,
        MONDAY + days * DAY_S,
        tuple((MONDAY + a * DAY_S, MONDAY + b * DAY_S) for a, b in outages),
    )


def days_of(stays: list[Stay]) -> list[tuple[str, float, float, bool, bool]]:
    return [
        (
            stay.state,
            round((stay.start - MONDAY) / DAY_S, 3),
            round((stay.end - MONDAY) / DAY_S, 3),
            stay.has_start,
            stay.has_end,
        )
        for stay in stays
    ]


def starting(state: str) -> list[Span]:
    return [Span("unknown", MONDAY, MONDAY, 1), Span(state, MONDAY, MONDAY + 60, 3)]


def summary(
    events: list[Event], period: Watched, *, first: str = "messy", of: str = "clean"
) -> StateSummary:
    stays = stays_of(starting(first), events, period)
    return next(s for s in summarise(stays, events, period, CLASSES) if s.state == of)


def test_stays_are_cut_where_watching_ends() -> None:
    events = [event(2, "clean", "messy"), event(5, "messy", "clean")]
    assert days_of(stays_of(starting("messy"), events, watched(7))) == [
        ("messy", 0, 2, False, True),
        ("clean", 2, 5, True, True),
        ("messy", 5, 7, True, False),
    ]


def test_a_change_in_the_night_counts_in_its_middle() -> None:
    events = [event(2.5, "clean", "messy", gap_days=0.5)]
    assert days_of(stays_of(starting("messy"), events, watched(4)))[1] == (
        *("clean", 2.25, 4, True, False),
    )


def test_an_outage_ends_what_is_known() -> None:
    period = watched(20, (5, 9))
    events = [event(2, "clean", "messy"), event(9, "messy", "clean", gap_days=4)]
    assert days_of(stays_of(starting("messy"), events, period)) == [
        ("messy", 0, 2, False, True),
        ("clean", 2, 5, True, False),
        ("messy", 9, 20, False, False),
    ]
    clean, messy = (summary(events, period, of=name) for name in ("clean", "messy"))
    assert (clean.count, clean.in_outages) == (1, 0)
    assert (messy.count, messy.in_outages) == (0, 1)
    assert clean.a_week is not None
    assert clean.a_week.value == pytest.approx(1 / (16 / 7))
    assert clean.stay is None  # it was not seen to end


def test_the_same_state_behind_an_outage_is_no_change() -> None:
    period = watched(20, (5, 9))
    found = days_of(stays_of(starting("messy"), [], period))
    assert found == [("messy", 0, 5, False, False), ("messy", 9, 20, False, False)]


def test_a_day_without_a_photo_that_shows_anything_is_an_outage() -> None:
    hours = [MONDAY + 3_600 * hour for hour in range(24 * 10)]
    night = [at for at in hours if not MONDAY + 3 * DAY_S < at < MONDAY + 3.6 * DAY_S]
    assert watched_time(hours[0], hours[-1], night).outages == ()
    off = [at for at in hours if not MONDAY + 3 * DAY_S < at < MONDAY + 5 * DAY_S]
    assert watched_time(hours[0], hours[-1], off).outages == (
        (MONDAY + 3 * DAY_S, MONDAY + 5 * DAY_S),
    )
    # Photos come, and show nothing at all: at the beginning and at the end as well.
    some = [at for at in hours if MONDAY + 2 * DAY_S <= at <= MONDAY + 4 * DAY_S]
    assert len(watched_time(hours[0], hours[-1], some).outages) == 2
    nothing = watched_time(hours[0], hours[-1], [])
    assert nothing.seconds == 0


def test_less_than_a_week_has_no_rate_and_less_than_two_no_trend() -> None:
    events = [event(1, "clean", "messy"), event(2, "messy", "clean")]
    short = summary(events, watched(6.9))
    assert short.count == 1
    assert short.a_week is None
    assert short.often.ratio is None
    week = summary(events, watched(8))
    assert week.a_week is not None
    assert week.often.ratio is None
    assert summary(events, watched(14)).often.ratio is not None


def test_more_often_in_the_second_half_is_told() -> None:
    days = [2, 12, *(14 + 0.5 * i for i in range(20))]
    events = [
        event(day, *(("clean", "messy") if i % 2 == 0 else ("messy", "clean")))
        for i, day in enumerate(days)
    ]
    found = summary(events, watched(28))
    assert (found.often.first, found.often.second) == (1, 10)
    assert found.often.ratio is not None
    assert found.often.ratio.value == pytest.approx(10)
    assert found.often.ratio.low > 1
    assert found.longer.ratio is not None
    assert found.longer.ratio.value < 1  # and each time for less long


def test_a_state_that_never_changes() -> None:
    found = summary([], watched(21), of="messy")
    assert (found.count, found.stays) == (0, 0)
    assert found.a_week is not None
    assert found.a_week.high == pytest.approx(3.689 / 3, rel=1e-3)
    assert found.seconds == pytest.approx(21 * DAY_S)
    assert found.to_dict()["often"] == {"first": 0, "second": 0, "ratio": None}


def test_nothing_known_has_no_stays() -> None:
    spans = [Span("unknown", MONDAY, MONDAY + DAY_S, 9)]
    assert stays_of(spans, [], watched(1)) == []
    assert weeks_of([], watched(1), CLASSES) == ()


def test_weeks_begin_on_monday_and_tell_how_much_was_watched() -> None:
    events = [event(3, "clean", "messy"), event(8, "party", "clean"), event(15, "clean", "party")]
    period = Watched(MONDAY + 2 * DAY_S, MONDAY + 17 * DAY_S, ())
    stays = stays_of([Span("messy", period.start, period.start, 1)], events, period)
    weeks = weeks_of(stays, period, CLASSES)
    assert [week.start for week in weeks] == [MONDAY + i * WEEK_S for i in range(3)]
    assert [week.days for week in weeks] == pytest.approx([5, 7, 3])
    assert [week.changes for week in weeks] == [
        {"clean": 1, "messy": 0, "party": 0},
        {"clean": 0, "messy": 0, "party": 1},
        {"clean": 1, "messy": 0, "party": 0},
    ]
    assert weeks[0].to_dict()["week_of"] == "2026-11-02"


def test_a_week_in_which_clocks_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        start = datetime(2026, 10, 20).timestamp()  # noqa: DTZ001
        period = Watched(start, start + 14 * DAY_S, ())
        stays = stays_of([Span("messy", start, start, 1)], [], period)
        weeks = weeks_of(stays, period, CLASSES)
        assert [week.to_dict()["week_of"] for week in weeks] == [
            *("2026-10-19", "2026-10-26", "2026-11-02"),
        ]
        assert sum(week.days for week in weeks) == pytest.approx(14)
        assert weeks[0].days == pytest.approx(6 + 1 / 24)
    finally:
        monkeypatch.undo()
        time.tzset()


@given(
    st.lists(st.floats(0.01, 5.0), min_size=0, max_size=30),
    st.lists(st.tuples(st.floats(0.0, 60.0), st.floats(1.01, 9.0)), max_size=3),
    st.data(),
)
def test_stays_fill_the_time_watched(
    steps: list[float], holes: list[tuple[float, float]], data: st.DataObject
) -> None:
    """Without overlap, and each change is counted once: in a stay, or in an outage."""
    outages: list[tuple[float, float]] = []
    at = 0.0
    for wait, length in holes:
        outages.append((at + wait + 0.1, at + wait + 0.1 + length))
        at = outages[-1][1]
    end = at + sum(steps) + 1
    period = watched(end, *outages)
    day, state, events = 0.0, "messy", []
    for step in steps:
        day += step
        inside = next((hole for hole in outages if hole[0] < day < hole[1]), None)
        other = data.draw(st.sampled_from([name for name in CLASSES if name != state]))
        gap = 0.0 if inside is None else inside[1] - inside[0]
        if inside is not None:
            day = inside[1]
        events.append(event(day, other, state, gap_days=gap))
        state = other
    stays = stays_of(starting("messy"), events, period)
    assert math.isclose(sum(s.end - s.start for s in stays), period.seconds, abs_tol=1.0)
    assert all(a.end <= b.start + 1e-6 for a, b in pairwise(stays))
    found = summarise(stays, events, period, CLASSES)
    assert sum(s.count + s.in_outages for s in found) == len(events)
    weeks = weeks_of(stays, period, CLASSES)
    assert sum(sum(week.changes.values()) for week in weeks) == sum(s.count for s in found)
