"""A timeline in, the text of one HTML file out: each day a row, its states as coloured bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from regraft._version import __version__
from regraft.reporting import words
from regraft.reporting.pages import Card, Header, render
from regraft.watching.states import UNKNOWN, Event, Span, local_minute
from regraft.watching.timeline import CameraTimeline, Timeline

_MOST_DAYS = 120  # rows of a camera; the last ones
_MOST_EVENTS = 200
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A state within one day; position and width in percent of it, `number` of its colour."""

    at: float
    width: float
    state: str
    number: int
    said: str


@dataclass(frozen=True, slots=True)
class Day:
    """A row of the drawing."""

    label: str
    bars: tuple[Bar, ...]
    marks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the page shows of one camera."""

    name: str
    now: str
    days: tuple[Day, ...]
    left_out: int
    rates: tuple[tuple[str, str, str], ...]
    events: tuple[tuple[str, str, str, str], ...]
    shares: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def build_timeline_page(timeline: Timeline) -> str:
    """The page on all cameras of a history, in this machine's time zone."""
    drawn = [_drawn(camera, timeline.classes) for camera in timeline.cameras]
    events = sum(len(camera.events) for camera in timeline.cameras)
    photos = sum(camera.photos for camera in timeline.cameras)
    ends = [camera.spans[-1].end for camera in timeline.cameras if camera.spans]
    begins = [camera.spans[0].start for camera in timeline.cameras if camera.spans]
    days = (max(ends) - min(begins)) / _DAY_S if ends else 0.0
    states = "; ".join(f"{c.name}: {c.state}" for c in timeline.cameras) or "nothing recorded yet"
    header = Header(
        title=timeline.file.stem,
        verdict=states,
        verdict_range="",
        context=(
            "A state changes only once several photos say so. Grey are photos that say nothing, "
            "dark ones or unlike those of the training; hatched is time without a photo.",
        ),
        when=local_minute(max(ends)) if ends else "",
        version=__version__,
        cards=(
            Card("Cameras", f"{len(timeline.cameras):,}"),
            Card("Photos", f"{photos:,}"),
            Card("Days", f"{days:.1f}"),
            Card("Changes", f"{events:,}"),
        ),
    )
    colours = dict(enumerate(timeline.classes))
    return render(
        "timeline.html.jinja",
        header=header,
        kind="regraft timeline",
        cameras=drawn,
        classes=colours,
        hours=[(100 * hour / 24, f"{hour:02}:00") for hour in range(0, 24, 6)],
    )


def _drawn(camera: CameraTimeline, classes: Sequence[str]) -> Drawn:
    number = {name: i % 8 for i, name in enumerate(classes)}
    days = _days(camera, number)
    shares = [
        (name, words.percent(camera.share(flag)))
        for flag, name in (
            ("unsure", "unsure"),
            ("unfamiliar", "unfamiliar"),
            ("dark", "dark"),
            ("unreadable", "unreadable"),
        )
    ]
    known = sum(seconds for state, seconds in camera.seconds.items() if state != UNKNOWN)
    total = known + camera.seconds.get(UNKNOWN, 0.0)
    if total:
        shares += [
            (f"time {state}", words.percent(seconds / total))
            for state, seconds in sorted(camera.seconds.items(), key=lambda item: -item[1])
        ]
    return Drawn(
        name=camera.name,
        now=camera.state,
        days=tuple(days[-_MOST_DAYS:]),
        left_out=max(0, len(days) - _MOST_DAYS),
        rates=tuple(
            (
                f"{rate.previous} to {rate.state}",
                f"{rate.count:,}",
                f"{rate.a_week.value:.1f} [{rate.a_week.low:.1f}, {rate.a_week.high:.1f}]",
            )
            for rate in camera.rates
        ),
        events=tuple(_event_words(event) for event in camera.events[: -_MOST_EVENTS - 1 : -1]),
        shares=tuple(shares),
        warnings=camera.warnings,
    )


def _event_words(event: Event) -> tuple[str, str, str, str]:
    note = ""
    if event.after_gap_s:
        note = f"within a gap of {words.seconds(event.after_gap_s)}"
    return _clock(event.at), event.previous, event.state, note or ", ".join(event.evidence[:3])


def _clock(at: float) -> str:
    return local_minute(at)


def _days(camera: CameraTimeline, number: Mapping[str, int]) -> list[Day]:
    """Every day from the first to the last one, also those without a photo."""
    if not camera.spans:
        return []
    first = _midnight(camera.spans[0].start)
    last = _midnight(camera.spans[-1].end)
    days = []
    while first <= last:
        following = _midnight((first + timedelta(hours=36)).timestamp())
        bars = [
            bar
            for span in camera.spans
            if (bar := _bar(span, first.timestamp(), following.timestamp(), number)) is not None
        ]
        length = following.timestamp() - first.timestamp()
        marks = tuple(
            (
                round(100 * (event.at - first.timestamp()) / length, 2),
                f"{_clock(event.at)} {event.previous} to {event.state}",
            )
            for event in camera.events
            if first.timestamp() <= event.at < following.timestamp()
        )
        days.append(Day(first.strftime("%a %d %b"), tuple(bars), marks))
        first = following
    return days


def _midnight(at: float) -> datetime:
    """The beginning of the day, in this machine's zone; days of 23 and 25 hours are as they are."""
    there = datetime.fromtimestamp(at).astimezone()
    return datetime(there.year, there.month, there.day).astimezone()


def _bar(span: Span, begin: float, end: float, number: Mapping[str, int]) -> Bar | None:
    start, stop = max(span.start, begin), min(span.end, end)
    if stop <= start and not (span.start == span.end and begin <= span.start < end):
        return None
    length = end - begin
    return Bar(
        at=round(100 * (start - begin) / length, 3),
        width=round(max(0.15, 100 * (stop - start) / length), 3),
        state=span.state,
        number=-1 if span.state == UNKNOWN and not span.photos else number.get(span.state, -2),
        said=f"{span.state}, {_clock(span.start)} to {_clock(span.end)}, {span.photos:,} photos",
    )
