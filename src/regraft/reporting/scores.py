"""Evaluations in, what the page shows of them out: metrics, classes, confusions, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regraft.evidence.evaluation import TEST, Evaluation
from regraft.metrics import METRICS
from regraft.metrics.rates import wilson_interval
from regraft.reporting import charts, words
from regraft.reporting.charts import IntervalMark, ReliabilityPoint, Scale, Shade
from regraft.reporting.words import thing
from regraft.runs import Run

HEADLINE_TEST_PHOTOS = 100
"""From this many photos on, the test set makes the headline; a smaller one says little alone."""

MATRIX_CLASSES = 15
"""Up to this many classes the confusion matrix has numbers in its cells."""

_WEAKEST_SHOWN = 15
_CLASS_ROWS_SHOWN = 1000
_PAIRS_SHOWN = 20
_LEAST_AXIS = 0.1  # up to here reaches the axis of a metric that is 0 everywhere, or not known
_BIN_PHOTOS = 5  # fewer photos of one confidence are drawn and not put in words


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one estimate as text, and where to draw it (None: it does not exist)."""

    on: str
    name: str
    photos: str
    value: str
    range: str
    mark: IntervalMark | None


@dataclass(frozen=True, slots=True)
class MetricChart:
    """One metric of every estimate on one axis.

    `guess` is the position of what guessing reaches, None where that is off the axis.
    """

    title: str
    meaning: str
    higher_is_better: bool
    scale: Scale
    guess: float | None
    guess_text: str
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Hero:
    """The accuracy of every estimate; `guess` is the position of the most frequent class."""

    scale: Scale
    guess: float
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class ClassRow:
    """How one class fares."""

    name: str
    n: str
    recall: str
    recall_range: str
    mark: IntervalMark | None
    precision: str
    f1: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the confusion matrix; `share` of its row, 0 to 1.

    `count` is "" where a run of an earlier version kept a mean over repeats, which counts nothing.
    """

    count: str
    share: float
    share_text: str
    right: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Photos of one class that were taken for another."""

    label: str
    predicted: str
    count: str
    share: str


@dataclass(frozen=True, slots=True)
class Confusion:
    """The matrix: `cells` for few classes; `shades` and `pairs` for many.

    Of several `repeats` of cross-validation it is the first, whose predictions are kept.
    """

    classes: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    shades: tuple[Shade, ...]
    pairs: tuple[Pair, ...]
    n_pairs: int
    repeats: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How sure it says it is against how often it is right."""

    points: tuple[ReliabilityPoint, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EstimateDetails:
    """What one estimate says of classes, confusions and calibration."""

    on: str
    name: str
    photos: str
    class_scale: Scale
    weakest: tuple[ClassRow, ...]
    classes: tuple[ClassRow, ...]
    n_classes: int
    confusion: Confusion
    reliability: Reliability


def headline(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The estimate that the page leads with, None if there is none.

    The test set, unless it is small: then the estimate with the narrower interval. One that is
    flattered by what the backbone knew before leads only where there is no other.
    """
    evaluations = [e for e in evaluations if not e.overlap.flattering] or evaluations
    test = next((e for e in evaluations if e.on == TEST), None)
    if test is not None and test.n >= HEADLINE_TEST_PHOTOS:
        return test
    return min(evaluations, key=lambda e: e.accuracy.high - e.accuracy.low, default=None)


def headline_of(run: Run) -> Evaluation | None:
    """The estimate that leads for a run: not that of a test set of which training holds a part."""
    others = [e for e in run.evaluations if e.on != TEST]
    if others and len(others) < len(run.evaluations) and not run.test_is_independent:
        return headline(others)
    return headline(run.evaluations)


def headline_first(run: Run) -> list[Evaluation]:
    """The estimates of a run in the order in which the page shows them."""
    first = headline_of(run)
    return sorted(run.evaluations, key=lambda evaluation: evaluation is not first)


def hero(evaluations: Sequence[Evaluation]) -> Hero:
    """The accuracies on an axis that reaches down to what guessing gives."""
    lows = [e.accuracy.low for e in evaluations] + [e.majority_share for e in evaluations]
    scale = charts.rate_scale(lows)
    measured = tuple(_measured(e, "accuracy", scale) for e in evaluations)
    guess = scale.at(evaluations[0].majority_share) if evaluations else 0.0
    return Hero(scale, guess, measured)


def metrics(evaluations: Sequence[Evaluation]) -> tuple[MetricChart, ...]:
    """Every metric, each with all estimates on one axis; all rates have the same axis."""
    return tuple(_chart(name, evaluations) for name in METRICS) if evaluations else ()


def _chart(name: str, evaluations: Sequence[Evaluation]) -> MetricChart:
    metric = METRICS[name]
    guesses = [metric.chance(e.class_shares) for e in evaluations] if metric.chance else []
    scale = _scale(name, evaluations, guesses)
    guess_text = ""
    if guesses:
        guess = words.percent(guesses[0]) if metric.in_percent else f"{guesses[0]:.2f}"
        guess_text = metric.chance_words.format(guess)
    return MetricChart(
        title=metric.title,
        meaning=words.about_it(metric.meaning),
        higher_is_better=metric.higher_is_better,
        scale=scale,
        guess=scale.at(guesses[0]) if guesses and guesses[0] >= scale.low else None,
        guess_text=guess_text,
        measured=tuple(_measured(e, name, scale) for e in evaluations),
    )


def _scale(name: str, evaluations: Sequence[Evaluation], guesses: Sequence[float]) -> Scale:
    """The axis of a metric: that of the rates, or one with 0 and what is measured or guessed."""
    metric = METRICS[name]
    if not metric.own_axis:
        rates = [rate for rate, other in METRICS.items() if not other.own_axis]
        lows = [e.metrics[rate].low for e in evaluations for rate in rates]
        return charts.rate_scale(lows, percentage=metric.in_percent)
    ends = [end for e in evaluations for end in (e.metrics[name].low, e.metrics[name].high)]
    ends = [0.0, _LEAST_AXIS, *guesses, *(end for end in ends if not math.isnan(end))]
    return charts.plain_scale(
        max(ends),
        low=min(ends),
        decimals=0 if metric.in_percent else 2,
        factor=100 if metric.in_percent else 1,
    )


def _measured(evaluation: Evaluation, name: str, scale: Scale) -> Measured:
    estimate, percentage = evaluation.metrics[name], METRICS[name].in_percent
    return Measured(
        on=evaluation.on,
        name=words.estimate_name(evaluation.on),
        photos=_photos(evaluation),
        value=words.estimate_value(estimate, percentage=percentage),
        range=words.estimate_range(estimate, percentage=percentage),
        mark=charts.interval_mark(estimate, scale),
    )


def _photos(evaluation: Evaluation) -> str:
    known = evaluation.overlap.flattering
    return words.counted(evaluation.n, thing()) + (
        f", {known:,} of them known to the backbone" if known else ""
    )


def details(evaluation: Evaluation) -> EstimateDetails:
    """Classes, confusions and calibration of one estimate."""
    lows = [score.recall.low for score in evaluation.per_class.values() if score.n]
    scale = charts.rate_scale(lows)
    rows = [_class_row(evaluation, name, scale) for name in evaluation.classes]
    weakest = sorted(
        (i for i, name in enumerate(evaluation.classes) if evaluation.per_class[name].n),
        key=lambda i: _weakness(evaluation, i),
    )
    many = len(rows) > MATRIX_CLASSES
    return EstimateDetails(
        on=evaluation.on,
        name=words.estimate_name(evaluation.on),
        photos=words.counted(evaluation.n, thing()),
        class_scale=scale,
        weakest=tuple(rows[i] for i in weakest[:_WEAKEST_SHOWN]) if many else (),
        classes=tuple(rows[:_CLASS_ROWS_SHOWN]),
        n_classes=len(rows),
        confusion=_confusion(evaluation),
        reliability=_reliability(evaluation),
    )


def _weakness(evaluation: Evaluation, number: int) -> tuple[float, float]:
    recall = evaluation.per_class[evaluation.classes[number]].recall
    return recall.value, recall.low


def _class_row(evaluation: Evaluation, name: str, scale: Scale) -> ClassRow:
    score = evaluation.per_class[name]
    column = evaluation.classes.index(name)
    was_predicted = bool(evaluation.confusion[:, column].sum() > 0)
    return ClassRow(
        name=name,
        n=words.number(score.n),
        recall=words.percent(score.recall.value) if score.n else "n/a",
        recall_range=words.estimate_range(score.recall) if score.n else f"no {thing()} of it",
        mark=charts.interval_mark(score.recall, scale) if score.n else None,
        precision=words.percent(score.precision) if was_predicted else "never said",
        f1=words.percent(score.f1) if score.n else "n/a",
    )


def _confusion(evaluation: Evaluation) -> Confusion:
    counts = evaluation.confusion
    share = charts.row_shares(counts)
    classes = evaluation.classes
    few = len(classes) <= MATRIX_CLASSES
    cells = tuple(
        tuple(
            Cell(
                count=_count(counts[i, j]),
                share=round(float(share[i, j]), 3),
                share_text=words.percent(float(share[i, j])) if counts[i, j] > 0 else "",
                right=i == j,
            )
            for j in range(len(classes))
        )
        for i in range(len(classes) if few else 0)
    )
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0.0)
    rows, columns = np.nonzero(wrong)
    order = np.lexsort((-share[rows, columns], -wrong[rows, columns]))
    pairs = tuple(
        Pair(
            label=classes[rows[k]],
            predicted=classes[columns[k]],
            count=_count(wrong[rows[k], columns[k]]),
            share=words.percent(float(share[rows[k], columns[k]])),
        )
        for k in order[:_PAIRS_SHOWN]
    )
    return Confusion(
        classes=classes,
        cells=cells,
        shades=() if few else charts.matrix_shades(counts),
        pairs=() if few else pairs,
        n_pairs=len(rows),
        repeats=len(evaluation.accuracy_by_repeat),
    )


def _count(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() else ""


def _reliability(evaluation: Evaluation) -> Reliability:
    bins = evaluation.reliability
    points = charts.reliability_points(bins, repeats=max(1, len(evaluation.accuracy_by_repeat)))
    if not bins:
        return Reliability((), ("No confidence was stored.",))
    said = []
    for point in reversed(points):
        if point.n < _BIN_PHOTOS:
            continue
        b = point.bin
        said.append(
            f"When it says {100 * b.low:.0f} to {100 * b.high:.0f}{words.THIN_SPACE}% "
            f"(on average {words.percent(b.confidence)}), it is right "
            f"{words.percent(b.accuracy)} of the time ({words.counted(point.n, thing())})."
        )
    return Reliability(points, (_overall(evaluation), *said))


def _overall(evaluation: Evaluation) -> str:
    """Too sure or too cautious, over all photos, as far as their number can tell."""
    bins, n, ece = evaluation.reliability, evaluation.n, evaluation.ece
    rows = sum(b.n for b in bins)
    sure = sum(b.n * b.confidence for b in bins) / rows
    right = sum(b.n * b.accuracy for b in bins) / rows
    low, high = wilson_interval(right, n)
    if low <= sure <= high:
        lean = "Overall it is neither too sure of itself nor too cautious, as far as "
        lean += f"{words.counted(n, thing())} can tell"
    elif sure > right:
        lean = f"Overall it is too sure of itself, by {100 * (sure - right):.1f} points"
    else:
        lean = f"Overall it is too cautious, by {100 * (right - sure):.1f} points"
    return (
        f"{lean}. From bin to bin, confidence and accuracy are {words.percent(ece.value)} apart "
        f"on average ({words.estimate_range(ece)})."
    )
