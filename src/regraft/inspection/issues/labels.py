"""Label suspects: photos that a model, which has not seen them, takes for another class.

Ranked by how much more likely the other class is (the normalised margin of cleanlab: Northcutt,
Jiang and Chuang 2021, JAIR 70:1373). The ranking is all: whether a label is wrong or the photo
hard, a model that is often wrong cannot tell. Counts of wrong labels by confident learning are not
given: of 2,000 simulated pictures whose labels are true by construction it held 318 for wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regraft.metrics.rates import FloatArray, IntArray

LISTED = 0.1  # of the photos at the most, unless the model is confident of another class on more
# From this probability of another class on a suspect is a confident one. With 5 % of the labels
# flipped, 70 of 83 on clothing and 13 of 15 on rooms were; of simulated fabric, where none is
# wrong, 8 of 2,000 photos reach it.
CONFIDENT = 0.9
_MOST_OF_THEM = 2 / 3  # of the suspects within one pair of classes, from which that is said
_NEARLY_ALL = 0.9
_FEW = 5  # suspects, of which no pattern is told


@dataclass(frozen=True, slots=True)
class Suspects:
    """`scores` float64 (n,) 0 to 1, higher is more suspect; `order` the suspects, worst first.

    `said` int64 (n,) is the class the model would give, `sure` float64 (n,) how probable it holds
    that class to be, NaN where it was not predicted.
    """

    scores: FloatArray
    order: IntArray
    said: IntArray
    sure: FloatArray


@dataclass(frozen=True, slots=True)
class Doubt:
    """One suspect: its label, the class the model would give, and how probable it holds that."""

    label: str
    said: str
    sure: float


def confident_doubts(doubts: Sequence[Doubt]) -> int:
    """On how many the model is confident of another class."""
    return sum(doubt.sure >= CONFIDENT for doubt in doubts)


def about_doubts(doubts: Sequence[Doubt], things: str, *, n_classes: int) -> str:
    """What can be said of all suspects together; "" of none. `things` is what inputs are called."""
    if not doubts:
        return ""
    parts = [f"Hard {things} or wrong labels: only a look at them tells."]
    if confident := confident_doubts(doubts):
        of = "it" if len(doubts) == confident == 1 else f"{confident:,} of {len(doubts):,}"
        parts.append(f"The model is at least 90 % sure of another class on {of}.")
    return " ".join([*parts, _pattern(doubts, n_classes)]).strip()


def _pattern(doubts: Sequence[Doubt], n_classes: int) -> str:
    """The pair of classes in which suspects pile up, in a sentence; "" where they do not.

    Wrong labels are spread over the classes, photos that are hard to tell lie between two of them.
    With two classes in all every suspect lies between them, which says nothing unless nearly all
    are labelled alike.
    """
    if len(doubts) < _FEW:
        return ""
    pair, number = Counter(frozenset((d.label, d.said)) for d in doubts).most_common(1)[0]
    if number < _MOST_OF_THEM * len(doubts):
        return ""
    how_many = "Nearly all" if number >= _NEARLY_ALL * len(doubts) else "Most"
    labels = Counter(d.label for d in doubts if {d.label, d.said} == pair)
    label, from_label = labels.most_common(1)[0]
    (other,) = pair - {label}
    which = f"are labelled {label!r}, which the model confuses with {other!r}"
    if from_label < _NEARLY_ALL * number:
        if n_classes == 2:
            return ""
        which = f"are labelled {label!r} or {other!r}, which the model confuses"
    return f"{how_many} of them ({number:,} of {len(doubts):,}) {which}."


def suspect_labels(labels: IntArray, probabilities: FloatArray) -> Suspects:
    """Rank photos by how little their label fits out-of-fold probabilities (n, k).

    Args:
        labels: class numbers, (n,).
        probabilities: of predictions by models that have not seen the photo; rows of NaN, which
            were not predicted, are no suspects.
    """
    scores, sure = np.zeros(len(labels)), np.full(len(labels), np.nan)
    said = labels.copy()
    known = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
    if not len(known) or probabilities.shape[1] < 2:
        return Suspects(scores, np.empty(0, dtype=np.int64), said, sure)
    p, y = probabilities[known], labels[known]
    quality = _normalized_margins(y, p)
    scores[known] = 1.0 - quality
    said[known], sure[known] = p.argmax(axis=1), p.max(axis=1)
    order = known[np.lexsort((known, quality))]
    differs = said[order] != labels[order]
    within = np.arange(len(order)) < np.ceil(LISTED * len(order))
    order = order[differs & (within | (sure[order] >= CONFIDENT))]
    return Suspects(scores, order, said, sure)


def _normalized_margins(labels: IntArray, probabilities: FloatArray) -> FloatArray:
    """How far the label is ahead of the likeliest other class, (n,): 0 to 1, 0.5 where level."""
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    margins: FloatArray = (probabilities[rows, labels] - others.max(axis=1) + 1) / 2
    return margins
