"""Runs in, what they said of the same photos out: matched by content, compared pair by pair.

A photo is the same in two runs if its bytes and its label are, wherever it lies and whatever it is
called. Only predictions by models that had not been trained on the photo count: those of the test
set, or those of cross-validation (its first repeat, which is the one that a run keeps), and never
one kind beside the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from regraft.dataset import Row, split_groups
from regraft.evidence.evaluation import CROSS_VALIDATION, TEST
from regraft.metrics.differences import Standing, paired_difference, standing
from regraft.metrics.rates import Estimate, FloatArray, IntArray
from regraft.runs import ImagePrediction, Run

Photo: TypeAlias = tuple[str, str, int]
"""Hash of the bytes, label, and a number that tells copies of one photo apart."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Accuracy of a first run minus that of a second on the photos that both predicted.

    `difference` is None where there are none, or where `flattered` is not 0: that many of the
    photos behind the estimate of either run had been shown to its backbone before, labels included.
    `relabelled` photos have another label in the second run, and are not among the `photos`.
    """

    photos: int
    relabelled: int
    difference: Estimate | None = None
    flattered: int = 0

    @property
    def standing(self) -> Standing | None:
        """Where the first run stands: "level" if the two cannot be told apart; None: not known."""
        return None if self.difference is None else standing(self.difference)

    @property
    def photos_to_tell(self) -> int | None:
        """About how many photos would show a difference as large as the one measured.

        None where it shows already, or where there is none: intervals shrink with the root of
        the number of photos.
        """
        gap = self.difference
        if gap is None or self.standing != "level" or gap.value == 0:
            return None
        half = (gap.high - gap.low) / 2
        return round(self.photos * (half / gap.value) ** 2)


@dataclass(frozen=True, slots=True)
class Opinions:
    """What several runs said of one photo; None for a run that did not predict it."""

    label: str
    said: tuple[ImagePrediction | None, ...]

    @property
    def given(self) -> tuple[ImagePrediction, ...]:
        """The predictions that there are."""
        return tuple(p for p in self.said if p is not None)

    @property
    def differ(self) -> bool:
        """Whether two runs said different classes."""
        return len({p.predicted for p in self.given}) > 1

    @property
    def all_wrong(self) -> bool:
        """Whether no run was right."""
        return all(p.predicted != self.label for p in self.given)

    @property
    def sureness(self) -> float:
        """The confidence, 0 to 1, that every side of a disagreement reached at least.

        Of the two classes that were said with most confidence, that of the second; the highest
        confidence where all said the same.
        """
        surest: dict[str, float] = {}
        for p in self.given:
            surest[p.predicted] = max(surest.get(p.predicted, 0.0), p.confidence)
        return sorted(surest.values())[-2:][0]


def predictions_on(run: Run, on: str) -> dict[Photo, ImagePrediction]:
    """The predictions behind one estimate, "test" or "cross-validation", by photo."""
    hashes = {row.path: row.sha256 for row in run.data.rows}
    copies: Counter[tuple[str, str]] = Counter()
    found = {}
    for p in sorted(run.predictions, key=lambda p: p.path):
        is_counted = p.split == TEST if on == TEST else p.fold >= 0
        if not p.label or not is_counted:
            continue
        content = hashes.get(p.path) or str(run.data.locate(p.path))
        found[content, p.label, copies[content, p.label]] = p
        copies[content, p.label] += 1
    return found


def paired_accuracy(first: Run, second: Run, on: str) -> Paired:
    """Compare two runs photo by photo.

    The same difference as between the candidates of one run, see `regraft.metrics.differences`.

    Args:
        first: the run that the difference is in favour of, where it is above 0.
        second: the other run.
        on: the estimate whose predictions are compared, "test" or "cross-validation".
    """
    a, b = predictions_on(first, on), predictions_on(second, on)
    shared = sorted(a.keys() & b.keys())
    labels_b = {content: label for content, label, _ in b}
    relabelled = len({c for c, label, _ in a if labels_b.get(c, label) != label})
    flattered = max(_flattered(run, on) for run in (first, second))
    if not shared or flattered:
        return Paired(0, relabelled, flattered=flattered)
    gap = paired_difference(
        _right(a, shared)[None],
        _right(b, shared)[None],
        groups=_groups(first, [a[photo].path for photo in shared]),
        folds=len({p.fold for p in a.values()}) if on == CROSS_VALIDATION else None,
    )
    return Paired(len(shared), relabelled, gap)


def opinions(runs: Sequence[Run], on: str) -> list[Opinions]:
    """What the runs said of each photo that at least two of them predicted."""
    found = [predictions_on(run, on) for run in runs]
    counts = Counter(photo for one in found for photo in one)
    return [
        Opinions(photo[1], tuple(one.get(photo) for one in found))
        for photo in sorted(counts)
        if counts[photo] > 1
    ]


def _right(found: Mapping[Photo, ImagePrediction], shared: Sequence[Photo]) -> FloatArray:
    return np.array([found[photo].predicted == photo[1] for photo in shared], dtype=np.float64)


def _groups(run: Run, paths: Sequence[str]) -> IntArray:
    rows = {row.path: row for row in run.data.rows}
    return split_groups([rows.get(path, Row(path)) for path in paths])


def _flattered(run: Run, on: str) -> int:
    return next((e.overlap.flattering for e in run.evaluations if e.on == on), 0)
