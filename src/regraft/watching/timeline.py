"""A history summed up: states over time, how often and how long, what was not relied on, drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import StorageError
from regraft.storage.csv_table import csv_text
from regraft.storage.saved import naming
from regraft.watching.kept import KeptPhotos
from regraft.watching.states import UNKNOWN, Event, Rules, Span, history_of, iso
from regraft.watching.stays import (
    WEEK_S,
    StateSummary,
    Watched,
    Week,
    stays_of,
    summarise,
    watched_time,
    weeks_of,
)
from regraft.watching.store import Photo, Store

_LATE_S = WEEK_S  # what drift compares with everything before
_ENOUGH = 50  # photos on either side, to say anything about drift
_CERTAIN = 0.001  # probability of such a difference by chance
_SHIFTED = 0.2  # of the distribution function of unfamiliarity (Kolmogorov and Smirnov)


@dataclass(frozen=True, slots=True)
class CameraTimeline:
    """One camera.

    Attributes:
        name: of the camera.
        spans: states in order of time; "unknown" where nothing could be relied on.
        events: changes.
        watched: the time between the first photo and the last, and outages in it.
        states: how often it changed to each class, and for how long.
        weeks: changes by calendar week.
        seconds: by state.
        photos: in all.
        flags: photos by flag; those without one under "".
        warnings: sentences on what has changed about the photos themselves.
        pictures: for each event the first photo that shows it, where that is still kept.
    """

    name: str
    spans: tuple[Span, ...]
    events: tuple[Event, ...]
    watched: Watched
    states: tuple[StateSummary, ...]
    weeks: tuple[Week, ...]
    seconds: dict[str, float]
    photos: int
    flags: dict[str, int]
    warnings: tuple[str, ...]
    pictures: tuple[Path | None, ...] = ()

    def __repr__(self) -> str:
        return f"CameraTimeline({self.name}: {self.state}, {len(self.events):,} changes)"

    @property
    def state(self) -> str:
        """The last one."""
        return self.spans[-1].state if self.spans else UNKNOWN

    @property
    def last_known(self) -> Span | None:
        """The last span of a class; None where nothing was ever known."""
        return next((span for span in reversed(self.spans) if span.state != UNKNOWN), None)

    def share(self, flag: str) -> float:
        """Of its photos, 0 to 1."""
        return self.flags.get(flag, 0) / max(1, self.photos)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; times are ISO 8601 in UTC."""
        return {
            "camera": self.name,
            "state": self.state,
            "photos": self.photos,
            "flags": {flag or "none": count for flag, count in self.flags.items()},
            "seconds": {state: round(total) for state, total in self.seconds.items()},
            "spans": [span.to_dict() for span in self.spans],
            "events": [event.to_dict() for event in self.events],
            "watched": self.watched.to_dict(),
            "states": [state.to_dict() for state in self.states],
            "weeks": [week.to_dict() for week in self.weeks],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Timeline:
    """All cameras of a history."""

    file: Path
    classes: tuple[str, ...]
    cameras: tuple[CameraTimeline, ...]

    def __repr__(self) -> str:
        states = ", ".join(f"{camera.name} {camera.state}" for camera in self.cameras)
        return f"Timeline({self.file.name}: {states or 'nothing recorded'})"

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "classes": list(self.classes),
            "cameras": [camera.to_dict() for camera in self.cameras],
        }

    def to_csv(self) -> str:
        """A row for each span: camera, state, start, end, seconds, photos, began_with_event."""
        rows: list[Sequence[object]] = [
            ("camera", "state", "start", "end", "seconds", "photos", "previous")
        ]
        for camera in self.cameras:
            begun = {event.at: event.previous for event in camera.events}
            for span in camera.spans:
                row = [camera.name, span.state, iso(span.start), iso(span.end)]
                previous = begun.get(span.start, "")
                rows.append([*row, round(span.end - span.start), span.photos, previous])
        return csv_text(rows)


def read_timeline(
    store: Store, *, rules: Rules | None = None, since: float = 0.0, cameras: Sequence[str] = ()
) -> Timeline:
    """Sum up a history.

    Args:
        store: what was recorded.
        rules: what makes a change; None for those it was recorded with.
        since: photos taken before are left out, seconds since 1970.
        cameras: which; () for all.
    """
    about = store.about()
    classes = tuple(about.get("classes", ()))
    with naming(store.file, StorageError, "choose another --db"):
        chosen = rules or Rules(**about.get("rules", {}))
    familiar = float(about.get("familiar", 1.0))
    names = [name for name in store.cameras() if not cameras or name in cameras]
    return Timeline(
        file=store.file,
        classes=classes,
        cameras=tuple(
            _camera(store, name, classes, chosen, since=since, familiar=familiar) for name in names
        ),
    )


def _camera(
    store: Store,
    name: str,
    classes: tuple[str, ...],
    rules: Rules,
    *,
    since: float,
    familiar: float,
) -> CameraTimeline:
    photos = list(store.photos(name, since=since))
    odd = next((p for p in photos if len(p.probabilities) not in (0, len(classes))), None)
    if odd is not None:
        raise StorageError(
            f"{store.file} is damaged ({odd.path} has {len(odd.probabilities)} probabilities for "
            f"{len(classes)} classes); choose another --db"
        )
    history = history_of([photo.reading for photo in photos], classes, rules)
    seconds: dict[str, float] = {}
    for span in history.spans:
        seconds[span.state] = seconds.get(span.state, 0.0) + span.end - span.start
    watched = watched_time(
        photos[0].taken if photos else 0.0,
        photos[-1].taken if photos else 0.0,
        [photo.taken for photo in photos if photo.is_known or photo.flag == "dark"],
    )
    stays = stays_of(history.spans, history.events, watched)
    kept, taken = KeptPhotos(store), {photo.path: photo for photo in photos}
    return CameraTimeline(
        name=name,
        spans=history.spans,
        events=history.events,
        watched=watched,
        states=summarise(stays, history.events, watched, classes),
        weeks=weeks_of(stays, watched, classes),
        seconds=seconds,
        photos=len(photos),
        flags=dict(Counter(photo.flag for photo in photos)),
        warnings=tuple(_drift(photos, familiar)),
        pictures=tuple(kept.path_of(taken[event.evidence[0]]) for event in history.events),
    )


def _drift(photos: Sequence[Photo], familiar: float) -> list[str]:
    """Whether the photos of the last week are unlike those of the training, or those before."""
    seen = [photo for photo in photos if photo.unfamiliarity is not None and photo.flag != "dark"]
    if not seen:
        return []
    last = max(photo.taken for photo in seen)
    late = [photo for photo in seen if photo.taken > last - _LATE_S]
    early = [photo for photo in seen if photo.taken <= last - _LATE_S]
    if len(late) < _ENOUGH:
        return []
    shift = _shift(late, early) if len(early) >= _ENOUGH else ""
    return [said for said in (_unlike_training(late, familiar), shift) if said]


def _unlike_training(photos: Sequence[Photo], familiar: float) -> str:
    """What to say where more photos are unfamiliar than so many of the training would be."""
    from scipy.stats import binomtest

    strange, expected = sum(photo.flag == "unfamiliar" for photo in photos), 1.0 - familiar
    if expected <= 0 or strange <= 2 * expected * len(photos):
        return ""
    if binomtest(strange, len(photos), expected, alternative="greater").pvalue >= _CERTAIN:
        return ""
    return (
        f"{strange:,} of the {len(photos):,} photos of the last week are unlike the training "
        f"photos, where {100 * expected:.0f} in 100 are expected: look at them, and train anew if "
        "the place or the camera has changed."
    )


def _shift(late: Sequence[Photo], early: Sequence[Photo]) -> str:
    """What to say where distances to the training photos are others than before."""
    from scipy.stats import ks_2samp

    new, old = (np.array([p.unfamiliarity for p in part], float) for part in (late, early))
    test = ks_2samp(new, old)
    if test.pvalue >= _CERTAIN or test.statistic <= _SHIFTED:
        return ""
    further = "further from" if np.median(new) > np.median(old) else "nearer to"
    return (
        f"The photos of the last week lie {further} the training photos than those before "
        f"(median distance {np.median(new):.2f}, before {np.median(old):.2f})."
    )
