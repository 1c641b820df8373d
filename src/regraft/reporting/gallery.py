"""A run in, the photos to show out: confident errors, samples of each class, new predictions.

Photos are chosen by rule, never by chance, so that the same run gives the same page. Only the
photos shown are opened.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from regraft.dataset import Row
from regraft.evaluation import TEST
from regraft.reporting import words
from regraft.reporting.thumbnails import Thumbnail, make_thumbnails
from regraft.runs import ImagePrediction, Run

ERRORS_SHOWN = 24
SAMPLE_CLASSES = 12
SAMPLES_A_CLASS = 8
NEW_SHOWN = 12

_LARGE_PX = 224  # longer side; shown at about half of it, sharp on dense screens
_SMALL_PX = 168

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shown:
    """A photo with what was said of it; `label` and `predicted` are "" where there is none."""

    thumbnail: Thumbnail
    path: str
    label: str = ""
    predicted: str = ""
    confidence: str = ""
    seen_in: str = ""


@dataclass(frozen=True, slots=True)
class ClassSamples:
    """Some photos of one class."""

    name: str
    total: int
    photos: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Every photo on the page; the `n_` are how many there are, shown or not."""

    errors: tuple[Shown, ...]
    n_errors: int
    n_predicted: int
    samples: tuple[ClassSamples, ...]
    n_classes: int
    new: tuple[Shown, ...]
    n_new: int


def choose_photos(run: Run) -> Gallery:
    """Choose and shrink the photos of the page."""
    scored = [p for p in run.predictions if p.label and (p.split == TEST or p.fold >= 0)]
    errors = sorted((p for p in scored if p.predicted != p.label), key=_by_confidence)
    new = [p for p in run.predictions if not p.label]
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in run.data.ok:
        rows[row.label].append(row)
    shown_errors = errors[:ERRORS_SHOWN]
    shown_new = spread(new, NEW_SHOWN)
    shown_samples = {
        name: spread(rows[name], SAMPLES_A_CLASS)
        for name in spread(run.data.classes, SAMPLE_CLASSES)
    }
    root = run.data.root
    pictures = iter(
        make_thumbnails(
            [(_absolute(root, p.path), _LARGE_PX) for p in shown_errors]
            + [(_absolute(root, p.path), _SMALL_PX) for p in shown_new]
            + [
                (_absolute(root, r.path), _SMALL_PX)
                for kept in shown_samples.values()
                for r in kept
            ]
        )
    )
    return Gallery(
        errors=tuple(_predicted(p, next(pictures)) for p in shown_errors),
        n_errors=len(errors),
        n_predicted=len(scored),
        new=tuple(_predicted(p, next(pictures)) for p in shown_new),
        n_new=len(new),
        samples=tuple(
            ClassSamples(
                name, len(rows[name]), tuple(Shown(next(pictures), row.path) for row in kept)
            )
            for name, kept in shown_samples.items()
        ),
        n_classes=len(run.data.classes),
    )


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, evenly spaced, the first among them."""
    if len(items) <= most:
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]


def _by_confidence(prediction: ImagePrediction) -> tuple[float, str]:
    sure = -1.0 if math.isnan(prediction.confidence) else prediction.confidence
    return -sure, prediction.path


def _predicted(prediction: ImagePrediction, thumbnail: Thumbnail) -> Shown:
    if prediction.split == TEST:
        seen_in = "test set"
    elif prediction.fold >= 0:
        seen_in = f"left out in fold {prediction.fold + 1}"
    else:
        seen_in = "no label"
    return Shown(
        thumbnail=thumbnail,
        path=prediction.path,
        label=prediction.label,
        predicted=prediction.predicted,
        confidence=words.percent(prediction.confidence),
        seen_in=seen_in,
    )


def _absolute(root: Path, path: str) -> Path:
    return Path(os.path.normpath(root / path))
