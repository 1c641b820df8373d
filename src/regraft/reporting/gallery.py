"""A run in, the photos to show out: errors, typical hits, samples of each class, new predictions.

Photos are chosen by rule, never by chance, so that the same run gives the same page. Only the
photos shown are opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from regraft.dataset import Row
from regraft.evidence.evaluation import TEST
from regraft.evidence.explaining import HeatMap, confident_errors, tested
from regraft.inspection.exploring import spread
from regraft.reporting import words
from regraft.reporting.heat_maps import Legend, explain_maps, painted_map
from regraft.reporting.thumbnails import (
    Thumbnail,
    make_thumbnails,
    paint_thumbnails,
)
from regraft.reporting.words import thing
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
    """A photo with what was said of it; `label` and `predicted` are "" where there is none.

    `heat` is the photo with its heat map, if it has one, `now` what the final model says of it
    where that is something else.
    """

    thumbnail: Thumbnail
    path: str
    label: str = ""
    predicted: str = ""
    confidence: str = ""
    seen_in: str = ""
    heat: Thumbnail | None = None
    now: str = ""


@dataclass(frozen=True, slots=True)
class ClassSamples:
    """Some photos of one class."""

    name: str
    total: int
    photos: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Every photo on the page; the `n_` are how many there are, shown or not.

    `counted` says how many errors there are of each estimate.
    `legend` explains the heat maps, `hits` are typical photos that have one; None and empty where
    no maps were made.
    """

    errors: tuple[Shown, ...]
    n_errors: int
    n_predicted: int
    counted: str
    samples: tuple[ClassSamples, ...]
    n_classes: int
    new: tuple[Shown, ...]
    n_new: int
    hits: tuple[Shown, ...] = ()
    legend: Legend | None = None


def choose_photos(run: Run) -> Gallery:
    """Choose and shrink the photos of the page."""
    scored, errors = tested(run.predictions), confident_errors(run.predictions)
    legend, maps = explain_maps(run)
    by_path = {p.path: p for p in scored}
    hits = [by_path[m.path] for m in maps.values() if m.role == "hit" and m.path in by_path]
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
    locate = run.data.locate
    pictures = iter(
        make_thumbnails(
            [(locate(p.path), _LARGE_PX) for p in (*shown_errors, *hits)]
            + [(locate(p.path), _SMALL_PX) for p in shown_new]
            + [(locate(r.path), _SMALL_PX) for kept in shown_samples.values() for r in kept],
            run.data.modality,
        )
    )
    explained = [_predicted(p, next(pictures)) for p in (*shown_errors, *hits)]
    explained = _with_heat(run, explained, maps)
    return Gallery(
        errors=tuple(explained[: len(shown_errors)]),
        hits=tuple(explained[len(shown_errors) :]),
        legend=legend,
        n_errors=len(errors),
        n_predicted=len(scored),
        counted=_counted(
            scored, repeats=max((len(e.accuracy_by_repeat) for e in run.evaluations), default=1)
        ),
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


def _counted(scored: Sequence[ImagePrediction], *, repeats: int) -> str:
    """The errors of each estimate in a sentence; those of cross-validation in its first repeat."""
    parts = []
    first = f" (the first of {repeats} repeats)" if repeats > 1 else ""
    for where, of in (
        ("of the test set", [p for p in scored if p.split == TEST]),
        (f"in cross-validation{first}", [p for p in scored if p.split != TEST]),
    ):
        if of:
            wrong = sum(p.predicted != p.label for p in of)
            parts.append(f"{wrong:,} of the {words.counted(len(of), thing())} {where}")
    return words.sentence(f"Wrong were {words.listed(parts)}") if parts else ""


def _with_heat(run: Run, photos: Sequence[Shown], maps: dict[str, HeatMap]) -> list[Shown]:
    """The photos, with their heat maps laid over them where they have one."""
    wanted = [maps[p.path] for p in photos if p.path in maps]
    pictures = paint_thumbnails(
        [(run.data.locate(m.path), _LARGE_PX, partial(painted_map, heat_map=m)) for m in wanted]
    )
    found = {m.path: (m, picture) for m, picture in zip(wanted, pictures, strict=True)}
    shown = []
    for photo in photos:
        if photo.path in found and found[photo.path][1].source:
            heat_map, picture = found[photo.path]
            now = heat_map.predicted if heat_map.predicted != photo.predicted else ""
            photo = replace(photo, heat=picture, now=now)
        shown.append(photo)
    return shown


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
