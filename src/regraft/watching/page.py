"""A timeline in, the text of one HTML file out: each day a row, its states as coloured bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from regraft._version import __version__
from regraft.reporting import words
from regraft.reporting.pages import Card, Header, render
from regraft.reporting.thumbnails import Thumbnail, make_thumbnails
from regraft.watching.sentences import answers, rate, remarks, stay
from regraft.watching.states import UNKNOWN, Event, Span, local_minute
from regraft.watching.stays import StateSummary
from regraft.watching.timeline import CameraTimeline, Timeline

_MOST_DAYS = 120  # rows of a camera; the last ones
_MOST_WEEKS = 53
_WHOLE_WEEK = 6.9  # days, from which a week needs no remark
_MOST_EVENTS = 200
_MOST_PICTURES = 60  # of a camera, 4 kB each
_PICTURE_PX = 144
_DAY_S = 86_400.0
_DASH = "\N{EN DASH}"
_MOST_NAMED = 2  # cameras in the headline; each has a line below it
_EXPLANATION = (
    "Rates are by calendar time, nights and all, less outages of more than a day. Brackets hold "
    "95 % intervals. How long a state lasts is the median, in which stays that were not seen to "
    "end have their part (Kaplan and Meier). A change within a gap, such as a night, counts in "
    "its middle.",
    "A state changes only once several photos say so. Grey are photos that say nothing, dark ones "
    "or unlike those of the training; hatched is time without a photo.",
)


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
class WeekRow:
    """A calendar week: for each class its number, its changes and the length of its bar in %."""

    label: str
    note: str
    bars: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, slots=True)
class EventRow:
    """A change in words, and a small picture of it where there is one."""

    when: str
    previous: str
    state: str
    seen_in: str
    picture: Thumbnail | None


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the page shows of one camera."""

    name: str
    answers: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...]
    states: tuple[str, ...]
    measures: tuple[tuple[str, tuple[str, ...]], ...]
    weeks: tuple[WeekRow, ...]
    days: tuple[Day, ...]
    left_out: int
    events: tuple[EventRow, ...]
    shares: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def build_timeline_page(timeline: Timeline, *, with_pictures: bool = True) -> str:
    """The page on all cameras of a history, in this machine's time zone.

    Args:
        timeline: of a history.
        with_pictures: show small pictures of the last changes, as far as photos are kept.
    """
    drawn = [
        _drawn(camera, timeline.classes, with_pictures=with_pictures) for camera in timeline.cameras
    ]
    events = sum(len(camera.events) for camera in timeline.cameras)
    photos = sum(camera.photos for camera in timeline.cameras)
    ends = [camera.spans[-1].end for camera in timeline.cameras if camera.spans]
    begins = [camera.spans[0].start for camera in timeline.cameras if camera.spans]
    days = (max(ends) - min(begins)) / _DAY_S if ends else 0.0
    header = Header(
        title=timeline.file.stem,
        verdict=_verdict(drawn, events),
        verdict_range="",
        context=tuple(
            f"{camera.name} {', '.join(answer)}."
            for camera in drawn
            for answer in (camera.answers if len(drawn) == 1 else camera.answers[:1])
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
        explanation=_EXPLANATION,
        cameras=drawn,
        classes=colours,
        hours=[(100 * hour / 24, f"{hour:02}:00") for hour in range(0, 24, 6)],
    )


def _verdict(drawn: Sequence[Drawn], events: int) -> str:
    if not drawn:
        return "nothing recorded yet"
    if len(drawn) <= _MOST_NAMED:
        return "; ".join(f"{camera.name} {camera.answers[0][0]}" for camera in drawn)
    return f"{len(drawn)} cameras, {words.counted(events, 'change')}"


def _drawn(camera: CameraTimeline, classes: Sequence[str], *, with_pictures: bool) -> Drawn:
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
    total = sum(camera.seconds.values())
    if total:
        unknown = camera.seconds.get(UNKNOWN, 0.0) / total
        shares.append(("time without a photo to rely on", words.percent(unknown)))
    return Drawn(
        name=camera.name,
        answers=tuple(answers(camera)),
        remarks=tuple(remarks(camera)),
        states=tuple(state.state for state in camera.states),
        measures=tuple(_measures(camera)),
        weeks=tuple(_week_rows(camera, number)),
        days=tuple(days[-_MOST_DAYS:]),
        left_out=max(0, len(days) - _MOST_DAYS),
        events=tuple(_event_rows(camera, with_pictures=with_pictures)),
        shares=tuple(shares),
        warnings=camera.warnings,
    )


def _measures(camera: CameraTimeline) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The table of how often and how long: a name, and a cell for each state."""
    watched_s = camera.watched.seconds
    columns: Sequence[tuple[str, Callable[[StateSummary], str]]] = (
        ("times", lambda state: f"{state.count:,}"),
        ("a week", lambda state: rate(state.a_week) or "under a week watched"),
        ("lasts, median", lambda state: stay(state.stay) or "none seen to end"),
        ("stays seen to end", lambda state: f"{state.stays_over:,} of {state.stays:,}"),
        ("times in either half", lambda state: f"{state.often.first:,}, {state.often.second:,}"),
        ("second half to first, how often", lambda state: rate(state.often.ratio) or _DASH),
        ("second half to first, how long", lambda state: rate(state.longer.ratio) or _DASH),
        ("share of time", lambda state: words.percent(state.seconds / watched_s)),
    )
    for name, cell in columns if watched_s else ():
        yield name, tuple(cell(state) for state in camera.states)


def _week_rows(camera: CameraTimeline, number: Mapping[str, int]) -> Iterator[WeekRow]:
    names = [state.state for state in camera.states if state.count]
    most = max((week.changes[name] for week in camera.weeks for name in names), default=0)
    for week in camera.weeks[-_MOST_WEEKS:] if most else ():
        yield WeekRow(
            label=datetime.fromtimestamp(week.start).astimezone().strftime("%d %b"),
            note="" if week.days > _WHOLE_WEEK else f"{week.days:.1f} days watched",
            bars=tuple(
                (number[name], week.changes[name], round(100 * week.changes[name] / most, 1))
                for name in names
            ),
        )


def _event_rows(camera: CameraTimeline, *, with_pictures: bool) -> Iterator[EventRow]:
    """The last ones first; the first of these with pictures."""
    latest = list(zip(camera.events, camera.pictures, strict=True))[::-1][:_MOST_EVENTS]
    files = [path for _, path in latest[:_MOST_PICTURES] if path is not None and with_pictures]
    small = dict(zip(files, make_thumbnails([(p, _PICTURE_PX) for p in files]), strict=True))
    for event, path in latest:
        thumbnail = small.get(path) if path is not None else None
        yield EventRow(
            when=local_minute(event.at),
            previous=event.previous,
            state=event.state,
            seen_in=_seen_in(event),
            picture=thumbnail if thumbnail is not None and thumbnail.source else None,
        )


def _seen_in(event: Event) -> str:
    if event.after_gap_s:
        return f"within a gap of {words.seconds(event.after_gap_s)}"
    return ", ".join(event.evidence[:3])


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
                f"{local_minute(event.at)} {event.previous} to {event.state}",
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
        said=(
            f"{span.state}, {local_minute(span.start)} to {local_minute(span.end)}, "
            f"{words.counted(span.photos, 'photo')}"
        ),
    )
