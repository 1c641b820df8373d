"""Predictions of one camera over time in; states, gaps and events out.

A single photo proves little: a classifier that is right on 95 of 100 photos is wrong seven times a
day if it sees one every ten minutes. A state therefore changes only once the evidence for another
class has added up (the cumulative sums of Page 1954, Biometrika 41:100) and has lasted for a
while; photos that nobody should rely on count for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from regraft.errors import UsageError

UNKNOWN = "unknown"
_PER_PHOTO = 2.0  # log-odds that one photo counts at the most: that of a probability of 0.88
_FIRST = 2.0  # log-odds from which the first state is believed
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What makes a change.

    Attributes:
        evidence: sum of log-odds for another class, each photo counting for 2 at the most: 6 takes
            three clear photos, and each one against takes one more.
        hold_s: for how long they have to say so, in seconds.
        gap_s: seconds without a photo to rely on after which nothing is known.
    """

    evidence: float = 6.0
    hold_s: float = 900.0
    gap_s: float = 10_800.0

    def __post_init__(self) -> None:
        """Raises UsageError: a number is not above zero (`hold_s`: below it)."""
        if not self.evidence > 0:
            raise UsageError(f"evidence is {self.evidence}, expected more than 0, such as 6")
        if not self.hold_s >= 0:
            raise UsageError(f"hold is {self.hold_s} s, expected 0 or more, such as 15m")
        if not self.gap_s > 0:
            raise UsageError(f"gap is {self.gap_s} s, expected more than 0, such as 3h")

    def to_dict(self) -> dict[str, float]:
        """JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was said of one photo: its time, probabilities (k,), and whether to rely on it."""

    at: float
    path: str
    probabilities: tuple[float, ...]
    is_known: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A state from the first to the last photo that shows it; `state` is a class or "unknown".

    An unknown span without a photo is a gap.
    """

    state: str
    start: float
    end: float
    photos: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values; times are ISO 8601 in UTC."""
        return {
            "state": self.state,
            "start": iso(self.start),
            "end": iso(self.end),
            "photos": self.photos,
        }


@dataclass(frozen=True, slots=True)
class Event:
    """A change of state.

    `at` is when the evidence began, `known_at` when it was enough, `previous` the state before;
    `evidence` are the photos in between that speak for it. After a gap the change happened
    somewhere within it: `after_gap_s` is its length then, else 0.
    """

    at: float
    known_at: float
    state: str
    previous: str
    evidence: tuple[str, ...]
    after_gap_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON values; times are ISO 8601 in UTC."""
        return {
            "state": self.state,
            "previous": self.previous,
            "at": iso(self.at),
            "known_at": iso(self.known_at),
            "after_gap_s": round(self.after_gap_s),
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class History:
    """States without overlap, in order of time, and the changes between them."""

    spans: tuple[Span, ...]
    events: tuple[Event, ...]


def iso(at: float) -> str:
    """Seconds since 1970 as "2026-11-24T10:20:00+00:00"."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def local_minute(at: float) -> str:
    """Seconds since 1970 as "2026-11-24 11:20" in the time of this machine."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")


def history_of(
    readings: Sequence[Reading], classes: Sequence[str], rules: Rules | None = None
) -> History:
    """States and events of one camera.

    Args:
        readings: in order of time.
        classes: in the order of the probabilities.
        rules: what makes a change.
    """
    machine = _Machine(tuple(classes), rules or Rules())
    for reading in readings:
        machine.take(reading)
    return machine.end()


@dataclass(slots=True)
class _Case:
    """The evidence for one class so far: its sum, and the photos since it was last zero."""

    total: float = 0.0
    photos: list[Reading] = field(default_factory=list)


@dataclass(slots=True)
class _Machine:
    """The state of one camera while its photos go by."""

    classes: tuple[str, ...]
    rules: Rules
    state: int | None = None
    last: str = ""  # the last state that was known
    last_known: float = -math.inf
    last_any: float = -math.inf
    idle: int = 0  # photos since the last one that could be relied on
    lost_at: float = -math.inf  # when the state was last known, where it is not any more
    cases: dict[int, _Case] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def take(self, reading: Reading) -> None:
        """One photo more."""
        if self.state is not None and reading.at - self.last_known > self.rules.gap_s:
            self._forget(reading.at)
        elif self.state is None and math.inf > reading.at - self.last_any > self.rules.gap_s:
            self.spans.append(Span(UNKNOWN, self.last_any, reading.at, 0))
            self.cases = {}
        self.last_any = reading.at
        if not reading.is_known:
            self.idle += 1
            if self.state is None:
                self._extend(UNKNOWN, reading.at)
            return
        self.last_known, self.idle = reading.at, 0
        odds = [math.log(max(p, _FLOOR)) for p in reading.probabilities]
        for number in range(len(self.classes)):
            self._weigh(number, odds, reading)
        changed = self._strongest()
        if changed is None:
            self._extend(UNKNOWN if self.state is None else self.classes[self.state], reading.at)
            return
        self._change(changed, reading)

    def end(self) -> History:
        """All photos were taken in."""
        return History(tuple(self.spans), tuple(self.events))

    def _forget(self, at: float) -> None:
        """Nothing is known any more, since the last photo that could be relied on."""
        begin = self.lost_at = self.last_known
        if self.idle:  # photos came, but said nothing
            self.spans.append(Span(UNKNOWN, begin, self.last_any, self.idle))
            begin = self.last_any
        if not self.idle or at - begin > self.rules.gap_s:
            self.spans.append(Span(UNKNOWN, begin, at, 0))
        self.state, self.cases = None, {}

    def _weigh(self, number: int, odds: list[float], reading: Reading) -> None:
        if number == self.state:
            return
        against = (
            max(value for i, value in enumerate(odds) if i != number)
            if self.state is None
            else odds[self.state]
        )
        case = self.cases.setdefault(number, _Case())
        step = odds[number] - against
        case.total += min(_PER_PHOTO, max(-_PER_PHOTO, step))
        if case.total <= 0:
            self.cases[number] = _Case()
        elif step > 0:
            case.photos.append(reading)

    def _strongest(self) -> int | None:
        """The class that has enough evidence now; None if none has."""
        if self.state is not None:
            enough, hold = self.rules.evidence, self.rules.hold_s
        elif self.last:  # after a gap: no state to hold on to
            enough, hold = min(self.rules.evidence, 2 * _PER_PHOTO), 0.0
        else:
            enough, hold = _FIRST, 0.0
        strong = [
            (case.total, number)
            for number, case in self.cases.items()
            if case.total >= enough
            and case.photos
            and case.photos[-1].at - case.photos[0].at >= hold
        ]
        return max(strong)[1] if strong else None

    def _change(self, number: int, reading: Reading) -> None:
        case, name = self.cases[number], self.classes[number]
        began = case.photos[0].at
        if self.last and name != self.last:
            gap_s = began - self.lost_at if self.state is None else 0.0
            paths = tuple(photo.path for photo in case.photos)
            self.events.append(Event(began, reading.at, name, self.last, paths, gap_s))
        self._cut(began)
        self.state, self.last, self.cases = number, name, {}
        self.spans.append(Span(name, began, reading.at, len(case.photos)))

    def _cut(self, at: float) -> None:
        """End the spans before `at`; photos after it were taken for those of the state before."""
        while self.spans and self.spans[-1].start >= at:
            self.spans.pop()
        if self.spans and self.spans[-1].end > at:
            last = self.spans.pop()
            self.spans.append(Span(last.state, last.start, at, last.photos))

    def _extend(self, state: str, at: float) -> None:
        if self.spans and self.spans[-1].state == state and self.spans[-1].photos:
            last = self.spans.pop()
            self.spans.append(Span(state, last.start, at, last.photos + 1))
        else:
            start = self.spans[-1].end if self.spans and state != UNKNOWN else at
            self.spans.append(Span(state, start, at, 1))
