"""Shortcuts: can facts that have nothing to do with the subject tell the class?

A model takes whatever tells the classes apart. If one class was saved at another JPEG quality, shot
with another camera or cut with a border, that is what it may learn, and it fails on photos that
were made otherwise (Geirhos et al. 2020, Nature Machine Intelligence 2:665).

Each fact is held against the labels by mutual information, and all of them at once against
shuffled labels (the maximum over facts, so that one false alarm in fifty data sets is the most
to expect; Westfall and Young 1993). An alarm also needs the fact to matter: see `MATTERS`.
Incidental facts raise alarms. Content-driven ones, such as brightness, are reported only: they may
rightly belong to a class.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np

from regraft.dataset import Row
from regraft.kinds.examiner import CONTENT, INCIDENTAL, Examiner
from regraft.metrics.rates import Estimate, FloatArray, IntArray, accuracy_estimate
from regraft.storage.records import digits
from regraft.storage.saved import Count, Number
from regraft.tables.cells import row_of

SIGNIFICANT = 0.02  # for all facts of a kind together
MATTERS = 0.15  # of what guessing leaves open, a fact must tell so much to raise an alarm
SHUFFLES = 400
_MOST_PHOTOS = 5_000  # a sample is enough
_FEWEST_PHOTOS = 20
_FEWEST_OF_A_CLASS = 5
_BINS = 8


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that may give the class away: its name for people, and its numbers (n, c)."""

    name: str
    kind: str
    values: FloatArray


@dataclass(frozen=True, slots=True)
class Culprit:
    """What one fact tells by itself: accuracy of a model that sees nothing else.

    `p` is the share of shuffled labellings in which any fact of its kind told as much; `told` is
    how much of what guessing leaves open it tells, up to 1.
    """

    name: str
    kind: str
    accuracy: Estimate
    p: Number = field(metadata=digits(4))
    told: Number = field(metadata=digits(4))


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """What attributes alone can tell.

    Attributes:
        guess: accuracy of always answering the most frequent class.
        incidental: accuracy from all incidental facts together; None where there are none.
        content: the same of content-driven facts.
        culprits: facts that tell more than chance, the most telling first.
        images: how many photos were used.
    """

    TOLD: ClassVar = ("alarms",)

    guess: Number
    incidental: Estimate | None = None
    content: Estimate | None = None
    culprits: tuple[Culprit, ...] = ()
    images: Count = 0

    @property
    def alarming(self) -> tuple[Culprit, ...]:
        """Incidental facts that tell enough for a model to rely on them."""
        return tuple(c for c in self.culprits if c.kind == INCIDENTAL and c.told >= MATTERS)

    @property
    def alarms(self) -> tuple[str, ...]:
        """The names of the alarming facts."""
        return tuple(culprit.name for culprit in self.alarming)


def find_shortcuts(
    rows: Sequence[Row],
    attributes: Sequence[Any],
    labels: IntArray,
    *,
    examiner: Examiner,
    groups: IntArray | None = None,
    seed: int = 0,
) -> Shortcuts | None:
    """What the attributes of labelled photos tell of their class; None for too few photos.

    Args:
        rows: of the photos.
        attributes: of the same photos; None for those that could not be read.
        labels: class numbers (n,).
        examiner: of their kind, which says what may give a class away.
        groups: int64 (n,), equal numbers for photos that belong together: folds keep them whole.
        seed: of the sample, the shuffles and the folds.
    """
    known = np.array([i for i, one in enumerate(attributes) if one is not None], dtype=np.int64)
    if len(known) > _MOST_PHOTOS:
        known = np.sort(np.random.default_rng(seed).permutation(known)[:_MOST_PHOTOS])
    sizes = np.bincount(labels[known], minlength=int(labels.max(initial=0)) + 1)
    known = known[sizes[labels[known]] >= _FEWEST_OF_A_CLASS]  # of fewer nothing can be said
    y = np.unique(labels[known], return_inverse=True)[1].astype(np.int64)
    counts = np.bincount(y) if len(y) else np.zeros(0, dtype=np.int64)
    if len(y) < _FEWEST_PHOTOS or len(counts) < 2:
        return None
    chosen = [attributes[i] for i in known]
    facts = facts_of([rows[i] for i in known], chosen, y, examiner)
    together = np.arange(len(y)) if groups is None else groups[known]
    folds = _folds(y, together, seed)
    guess = float(counts.max() / len(y))
    culprits: list[Culprit] = []
    overall: dict[str, Estimate | None] = {INCIDENTAL: None, CONTENT: None}
    for kind in overall:
        of_kind = [fact for fact in facts if fact.kind == kind]
        if not of_kind:
            continue
        every = np.concatenate([fact.values for fact in of_kind], axis=1)
        overall[kind] = _accuracy(every, y, together, folds, seed)
        for fact, p in zip(of_kind, _chance(of_kind, y, seed), strict=True):
            if p >= SIGNIFICANT:
                continue
            accuracy = _accuracy(fact.values, y, together, folds, seed)
            told = max(0.0, (accuracy.value - guess) / max(1.0 - guess, 1e-9))
            if accuracy.low > guess:
                culprits.append(Culprit(fact.name, kind, accuracy, float(p), told))
    culprits.sort(key=lambda c: (c.kind != INCIDENTAL, -c.told, c.name))
    return Shortcuts(guess, overall[INCIDENTAL], overall[CONTENT], tuple(culprits), len(y))


def facts_of(
    rows: Sequence[Row], attributes: Sequence[Any], labels: IntArray, examiner: Examiner
) -> list[Fact]:
    """Every fact that varies between these photos, whose attributes are all known."""
    found = [
        Fact("file number", INCIDENTAL, file_numbers([row.path for row in rows], labels)[:, None])
    ]
    for clue in examiner.clues:
        if clue.word is not None:
            values = _coded([clue.word(one) for one in attributes])
        else:
            numbers = [[number(one) for number in clue.numbers] for one in attributes]
            values = np.array(numbers, dtype=np.float64)
        found.append(Fact(clue.name, clue.kind, values))
    return [fact for fact in found if any(len(np.unique(v)) > 1 for v in fact.values.T)]


def file_numbers(paths: Sequence[str], labels: IntArray) -> FloatArray:
    """The number in each file name, NaN where names of its kind belong to one class only.

    "IMG_0012.jpg" counts where several classes have files "IMG_<number>.jpg": then the number
    tells when a photo was taken. In "cat.12.jpg" beside "dog.12.jpg" it tells nothing new. For the
    cell of a table it is the number of its row.
    """
    if any(row_of(path) for path in paths):
        return np.array([row_of(path) or math.nan for path in paths], dtype=np.float64)
    names = [PurePosixPath(path).stem for path in paths]
    digits = [re.findall(r"\d+", name) for name in names]
    kinds = [re.sub(r"\d+", "#", name) for name in names]
    classes: defaultdict[str, set[int]] = defaultdict(set)
    for kind, label in zip(kinds, labels, strict=True):
        classes[kind].add(int(label))
    return np.array(
        [
            float(found[-1][:15]) if found and len(classes[kind]) > 1 else math.nan
            for kind, found in zip(kinds, digits, strict=True)
        ]
    )


def _coded(texts: Sequence[str]) -> FloatArray:
    """Texts as numbers (n, 1), the more frequent the lower; rare ones share the last."""
    common = [text for text, _ in Counter(texts).most_common(_BINS)]
    place: Mapping[str, int] = {text: i for i, text in enumerate(common)}
    return np.array([[place.get(text, len(common))] for text in texts], dtype=np.float64)


def _chance(facts: Sequence[Fact], labels: IntArray, seed: int) -> FloatArray:
    """For every fact the share of shuffles in which any fact told as much, (f,).

    What a fact tells is the mutual information of its best column with the label, in standard
    deviations of the same under shuffled labels.
    """
    columns = [(i, _binned(v)) for i, fact in enumerate(facts) for v in fact.values.T]
    random = np.random.default_rng(seed)
    k = int(labels.max()) + 1
    shuffled = [labels, *(random.permutation(labels) for _ in range(SHUFFLES))]
    told = np.empty((len(columns), len(shuffled)))
    for row, (_, bins) in enumerate(columns):
        told[row] = [_information(bins, y, k) for y in shuffled]
    mean, spread = told[:, 1:].mean(axis=1, keepdims=True), told[:, 1:].std(axis=1, keepdims=True)
    z = (told - mean) / np.maximum(spread, 1e-12)
    z[spread[:, 0] < 1e-12] = -np.inf
    most = z[:, 1:].max(axis=0)
    by_fact = np.full(len(facts), -np.inf)
    for (i, _), value in zip(columns, z[:, 0], strict=True):
        by_fact[i] = max(by_fact[i], value)
    found: FloatArray = (1 + (most >= by_fact[:, None]).sum(axis=1)) / (1 + SHUFFLES)
    return found


def _binned(values: FloatArray) -> IntArray:
    """Bin numbers 0.. of values: by value where there are few, else by rank; NaN has its own."""
    known = np.isfinite(values)
    bins = np.zeros(len(values), dtype=np.int64)
    distinct = np.unique(values[known])
    if len(distinct) <= _BINS:
        bins[known] = 1 + np.searchsorted(distinct, values[known])
        return bins
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins[known] = 1 + np.searchsorted(edges, values[known], side="right")
    return bins


def _information(bins: IntArray, labels: IntArray, k: int) -> float:
    """Mutual information of bins and labels, in nats."""
    table = np.bincount(bins * k + labels, minlength=(int(bins.max()) + 1) * k).reshape(-1, k)
    joint = table / len(labels)
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / expected[there])).sum())


def _folds(labels: IntArray, groups: IntArray, seed: int) -> IntArray:
    """Fold numbers (n,), groups whole; all zero where there are too few photos to split."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    found = np.zeros(len(labels), dtype=np.int64)
    count = min(5, int(np.bincount(labels).min()), len(np.unique(groups)))
    if count < 2:
        return found
    alone = len(np.unique(groups)) == len(groups)
    cut: Any = (StratifiedKFold if alone else StratifiedGroupKFold)(
        count, shuffle=True, random_state=seed % 2**32
    )
    pairs = cut.split(labels, labels) if alone else cut.split(labels, labels, groups)
    for number, (_, test) in enumerate(pairs):
        found[test] = number
    return found


def _accuracy(
    values: FloatArray, labels: IntArray, groups: IntArray, folds: IntArray, seed: int
) -> Estimate:
    """Cross-validated accuracy of a model that sees these numbers (n, c) and nothing else.

    Naive Bayes on binned numbers: it needs no tuning, sees more than straight lines, and cannot
    learn single photos by heart.
    """
    from sklearn.naive_bayes import CategoricalNB

    count = int(folds.max()) + 1
    if count < 2:
        guess = float(np.bincount(labels).max() / len(labels))
        return Estimate(guess, 0.0, 1.0, "too few photos of a class")
    bins = np.stack([_binned(column) for column in values.T], axis=1)
    right = np.zeros(len(labels))
    for fold in range(count):
        train, test = folds != fold, folds == fold
        model = CategoricalNB(min_categories=bins.max(axis=0) + 1).fit(bins[train], labels[train])
        right[test] = model.predict(bins[test]) == labels[test]
    alone = len(np.unique(groups)) == len(groups)
    return accuracy_estimate(right, None if alone else groups, folds=count, seed=seed)
