"""Labels and probabilities of images the model did not train on in, an Evaluation out.

An Evaluation says on what it was measured, and every number in it carries its interval.
`evaluate_model` scores a Model on labelled data; `evaluate_probabilities` is the same for
probabilities that are already there, such as those of cross-validation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from regraft.dataset import Dataset, Row, split_groups
from regraft.errors import DataError
from regraft.kinds import things
from regraft.metrics import METRICS
from regraft.metrics.rates import (
    Estimate,
    FewerImages,
    FloatArray,
    IntArray,
    ReliabilityBin,
    Statistic,
    accuracy_estimate,
    bootstrap_estimates,
    fold_factor,
    reliability_bins,
    weighted_confusion,
    wilson_interval,
)
from regraft.model import Model
from regraft.progress import Progress, silent
from regraft.storage.csv_table import csv_text
from regraft.storage.records import from_json, to_json
from regraft.storage.saved import Count, Number
from regraft.training_contents import Overlap

CROSS_VALIDATION = "cross-validation"
TEST = "test"


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How one class fares: recall with its interval, precision and F1, 0 to 1; n images.

    Without an image the recall is NaN.
    """

    n: Count
    recall: Estimate
    precision: Number
    f1: Number


@dataclass(frozen=True, slots=True)
class _Confusion:
    """The matrix as it is stored: with its classes, true class by row."""

    classes: tuple[str, ...]
    counts: tuple[tuple[Number, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Metrics with 95 % intervals, measured on images the model had not been trained on.

    `metrics` has an Estimate for each of METRICS, NOT_MEASURED where the version that wrote it had
    no such metric; the accuracy, on which verdicts rest, is always measured.
    `confusion` is float64 (k, k), true class by row: whole numbers, of the first repeat where there
    are several, whose predictions a run keeps; all else is a mean over them. `accuracy_by_repeat`
    has one entry a repeat (a test set is read once). `expected_gain` is by how much the final
    model, trained on all images, is expected to be more accurate than the models of the folds that
    were measured; 0 for a test set, and where it is not known. `overlap` says what of the images
    the model, or its backbone, had been trained on all the same.
    """

    on: str
    n: Count
    classes: tuple[str, ...]
    metrics: dict[str, Estimate]
    majority_share: Number
    accuracy_by_repeat: tuple[Number, ...]
    expected_gain: Number = 0.0
    per_class: dict[str, ClassScore]
    confusion: FloatArray
    reliability: tuple[ReliabilityBin, ...]
    overlap: Overlap = field(default_factory=Overlap)

    def __post_init__(self) -> None:
        """Raises ValueError: the accuracy is missing, the matrix no square, or of other classes."""
        k = len(self.classes)
        if k == 0 or self.confusion.shape != (k, k):
            raise ValueError(f"the confusion matrix is not {k} x {k}")
        if set(self.per_class) != set(self.classes):
            raise ValueError("per_class and confusion are not of the same classes")
        if math.isnan(self.accuracy.value):
            raise ValueError("the accuracy is missing")

    @property
    def accuracy(self) -> Estimate:
        return self.metrics["accuracy"]

    @property
    def balanced_accuracy(self) -> Estimate:
        return self.metrics["balanced_accuracy"]

    @property
    def ece(self) -> Estimate:
        return self.metrics["ece"]

    @property
    def class_shares(self) -> FloatArray:
        """The share of each class in the images, float64 (k,)."""
        return np.array([self.per_class[name].n / self.n for name in self.classes])

    def __repr__(self) -> str:
        return f"Evaluation({self.on}: accuracy {self.accuracy.percent} of {self.n:,})"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, an entry of `evaluation.json`, in which each metric is a member."""
        members: dict[str, Any] = to_json(self)
        counts = [list(map(_count, row)) for row in self.confusion.tolist()]
        members["confusion"] = {"classes": members.pop("classes"), "counts": counts}
        metrics: dict[str, Any] = members.pop("metrics")
        return {"on": self.on, "n": self.n} | metrics | members

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """Read the form that `to_dict` writes.

        A metric that the version which wrote it did not measure is NaN, as one that is not defined.

        Raises:
            ValueError: what every version has written is missing, or of another form.
        """
        matrix = from_json(data.get("confusion") or {}, _Confusion)
        metrics = {name: {} if (each := data.get(name)) is None else each for name in METRICS}
        confusion = {"classes": matrix.classes, "confusion": matrix.counts}
        return from_json({**data, **confusion, "metrics": metrics}, cls)


def _count(number: float) -> int | float:
    """A whole number as such; runs of earlier versions hold means over repeats."""
    return int(number) if number.is_integer() else round(number, 4)


def evaluate_model(
    model: Model,
    data: Dataset,
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Score a model on the labelled test rows of `data`, or on all its rows if it has no test.

    Rows with the content of what the model was trained on are left out and counted.

    Raises:
        DataError: no labelled image, a label the model does not know, or the model was trained on
            all of them.
    """
    rows, overlap = _rows_to_score(model, data)
    predictions = model.predict([data.absolute(row) for row in rows], jobs=jobs, progress=progress)
    readable = [i for i, p in enumerate(predictions) if p.flag != "unreadable"]
    if not readable:
        raise DataError(f"none of the {len(rows)} labelled images in {data.root} can be read")
    probabilities = np.array([predictions[i].probabilities for i in readable])
    rows = tuple(rows[i] for i in readable)
    evaluation = evaluate_probabilities(
        TEST,
        labels=class_numbers([row.label for row in rows], model.classes),
        probabilities=probabilities[None],
        classes=model.classes,
        groups=split_groups(rows),
    )
    return replace(evaluation, overlap=overlap)


def _rows_to_score(model: Model, data: Dataset) -> tuple[tuple[Row, ...], Overlap]:
    """The labelled rows that the model has not seen, and what of the others was left out."""
    rows = data.test or data.train
    if not rows:
        raise DataError(
            f"no labelled image in {data.root}; expected a folder per class or a label table"
        )
    unknown = sorted({row.label for row in rows} - set(model.classes))
    if unknown:
        raise DataError(
            f"the data has labels the model was not trained on: {', '.join(unknown[:5])}; "
            f"it knows {', '.join(model.classes[:10])}"
        )
    known = model.contents.known_to_model([row.sha256 for row in rows])
    if known.all():
        of = things(data.modality)
        raise DataError(
            f"the model was trained on all {len(rows):,} labelled {of} in {data.root}, or chosen "
            f"by them, so they cannot test it; give {of} that it has not seen (its report says how "
            "it did on those left out of the training)"
        )
    rows = tuple(row for row, is_known in zip(rows, known, strict=True) if not is_known)
    return rows, Overlap(left_out=int(known.sum()), is_complete=model.contents.is_complete)


def evaluation_csv(evaluation: Evaluation) -> str:
    """A line for each metric: metric, value, low, high, method."""
    rows = ([name, *each.to_dict().values()] for name, each in evaluation.metrics.items())
    return csv_text([("metric", "value", "low", "high", "method"), *rows])


def class_numbers(labels: list[str], classes: tuple[str, ...]) -> IntArray:
    """Labels as class numbers, int64 (n,)."""
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[label] for label in labels], dtype=np.int64)


def evaluate_probabilities(
    on: str,
    *,
    labels: IntArray,
    probabilities: FloatArray,
    classes: tuple[str, ...],
    groups: IntArray,
    folds: int | None = None,
    fewer: FewerImages | None = None,
    seed: int = 0,
) -> Evaluation:
    """Metrics of r repeats of probabilities for the same n images.

    Values are what was measured. Intervals are about the final model: where models of the folds
    are better than those trained on `fewer` images, their better end reaches as much further as
    all images are expected to bring, of metrics that grow with the data.

    Args:
        on: "test" or "cross-validation".
        labels: int64 (n,), class numbers.
        probabilities: float64 (r, n, k); every repeat predicts every image once.
        classes: the k class names.
        groups: int64 (n,), equal numbers for images that are not independent.
        folds: of the cross-validation that the probabilities come from; None for a test set.
        fewer: predictions of the same images by models trained on fewer images, if known.
        seed: of the bootstrap.
    """
    repeats, n, _ = probabilities.shape
    factor = 1.0 if folds is None else fold_factor(folds)
    independent = len(np.unique(groups)) == n
    predicted = probabilities.argmax(axis=2)
    right = predicted == labels  # (r, n)
    statistics = _statistics(labels, probabilities)
    del statistics["accuracy"]  # whose interval needs no resampling where images are independent
    # Repeats of one image are drawn together, so the rows of all repeats are pooled by image.
    resampled = bootstrap_estimates(
        statistics,
        repeats * n,
        None if independent and repeats == 1 else np.tile(groups, repeats),
        seed=seed,
    )
    estimates = {
        "accuracy": accuracy_estimate(
            right.mean(axis=0), None if independent else groups, folds=folds, seed=seed
        )
    }
    for name, estimate in resampled.items():
        metric = METRICS[name]
        estimates[name] = metric.corrected(estimate.widened(factor, lowest=metric.lowest))
    mean_confusion = _mean_confusion(labels, probabilities)
    first = weighted_confusion(labels, predicted[0], len(classes), np.ones((1, n)))[0]
    evaluation = Evaluation(
        on=on,
        n=n,
        classes=classes,
        metrics=estimates,
        per_class=_per_class(mean_confusion, classes, factor),
        confusion=first,
        reliability=reliability_bins(probabilities.max(axis=2).ravel(), right.ravel()),
        majority_share=float(np.bincount(labels).max() / n),
        accuracy_by_repeat=tuple(float(a) for a in right.mean(axis=1)),
        overlap=Overlap(),
    )
    return evaluation if fewer is None else _about_final_model(evaluation, labels, fewer)


def _about_final_model(evaluation: Evaluation, labels: IntArray, fewer: FewerImages) -> Evaluation:
    """The evaluation with intervals that reach as far as all images are expected to bring."""
    row_weights = np.ones((1, len(fewer.probabilities) * evaluation.n))
    metrics: dict[str, Estimate] = {}
    changes: dict[str, float] = {}
    for name, statistic in _statistics(labels, fewer.probabilities).items():
        metric, measured = METRICS[name], evaluation.metrics[name]
        change = fewer.change(measured.value, float(statistic(row_weights)[0]))
        is_better = change > 0 if metric.higher_is_better else change < 0
        changes[name] = change if is_better and metric.grows_with_data else 0.0
        metrics[name] = measured.reaching(changes[name], lowest=metric.lowest)
    confusion = _mean_confusion(labels, fewer.probabilities)
    per_class = {}
    for c, (name, score) in enumerate(evaluation.per_class.items()):
        recall = float(confusion[c, c]) / max(1, score.n)
        change = max(0.0, fewer.change(score.recall.value, recall))
        per_class[name] = replace(score, recall=score.recall.reaching(change))
    gain = changes["accuracy"]
    return replace(evaluation, metrics=metrics, per_class=per_class, expected_gain=gain)


def _statistics(labels: IntArray, probabilities: FloatArray) -> dict[str, Statistic]:
    """All metrics of r predictions (r, n, k) of n images, taken as r x n rows."""
    repeats, n, k = probabilities.shape
    rows = np.tile(labels, repeats), probabilities.reshape(repeats * n, k)
    return {name: partial(metric.statistic, *rows) for name, metric in METRICS.items()}


def _mean_confusion(labels: IntArray, probabilities: FloatArray) -> FloatArray:
    """Mean counts (k, k) over r predictions (r, n, k) of n images, true class by row."""
    repeats, n, k = probabilities.shape
    predicted = probabilities.argmax(axis=2).ravel()
    counts = weighted_confusion(np.tile(labels, repeats), predicted, k, np.ones((1, repeats * n)))
    return np.asarray(counts[0] / repeats)


def _per_class(
    confusion: FloatArray, classes: tuple[str, ...], factor: float
) -> dict[str, ClassScore]:
    scores = {}
    for c, name in enumerate(classes):
        n = round(float(confusion[c].sum()))
        called = float(confusion[:, c].sum())
        hits = float(confusion[c, c])
        recall = hits / n if n else math.nan
        low, high = wilson_interval(recall, n / factor**2) if n else (math.nan, math.nan)
        scores[name] = ClassScore(
            n=n,
            recall=Estimate(recall, low, high, "wilson"),
            precision=hits / called if called else 0.0,
            f1=2 * hits / (n + called) if n + called else 0.0,
        )
    return scores
