"""What several runs said of the same photos in, the photos to show out.

Photos are chosen by rule, never by chance: those first of which the runs were surest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.reporting import words
from regraft.reporting.thumbnails import Thumbnail, make_thumbnails
from regraft.runs import ImagePrediction, Run
from regraft.runs.pairing import Opinions

PHOTOS_SHOWN = 12

_PHOTO_PX = 224  # longer side


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one run said of a photo."""

    run: str
    predicted: str
    confidence: str
    right: bool


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo and what was said of it."""

    thumbnail: Thumbnail
    path: str
    label: str
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, slots=True)
class Photos:
    """The surest of `n` photos; `shared` is how many at least two runs predicted."""

    shown: tuple[Photo, ...]
    n: int
    shared: int


def choose_disputed(
    runs: Sequence[Run],
    names: Sequence[str],
    said: Sequence[Opinions],
    wanted: Callable[[Opinions], bool],
) -> Photos:
    """The photos of one kind, those first of which the runs were surest."""
    found = sorted((one for one in said if wanted(one)), key=lambda one: -_sure(one))
    shown = found[:PHOTOS_SHOWN]
    places = [_place(runs, one) for one in shown]
    pictures = make_thumbnails([(place, _PHOTO_PX) for place in places], runs[0].data.modality)
    return Photos(
        shown=tuple(
            Photo(
                thumbnail=picture,
                path=one.given[0].path,
                label=one.label,
                opinions=tuple(
                    _opinion(name, p, one.label)
                    for name, p in zip(names, one.said, strict=True)
                    if p is not None
                ),
            )
            for one, picture in zip(shown, pictures, strict=True)
        ),
        n=len(found),
        shared=len(said),
    )


def _sure(one: Opinions) -> float:
    return -1.0 if math.isnan(one.sureness) else one.sureness


def _place(runs: Sequence[Run], one: Opinions) -> Path:
    """Where the photo can be opened: in the data of the first run that still has it."""
    places = [
        run.data.locate(p.path) for run, p in zip(runs, one.said, strict=True) if p is not None
    ]
    return next((place for place in places if place.is_file()), places[0])


def _opinion(name: str, prediction: ImagePrediction, label: str) -> Opinion:
    return Opinion(
        run=name,
        predicted=prediction.predicted,
        confidence=words.percent(prediction.confidence),
        right=prediction.predicted == label,
    )
