"""Metrics against scikit-learn and hand-computed values, and their properties."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

from regraft.evidence.evaluation import Evaluation
from regraft.kinds import KINDS, thing, things
from regraft.metrics import METRICS, Metric
from regraft.metrics.built_in import area_under_roc, calibration_error
from regraft.metrics.rates import (
    FloatArray,
    IntArray,
    log_losses,
    reliability_bins,
    weighted_confusion,
)


def _roc_auc(labels: IntArray, p: FloatArray, w: FloatArray) -> float:
    areas = [
        reference.roc_auc_score(labels == c, p[:, c], sample_weight=w) for c in range(p.shape[1])
    ]
    return float(np.mean(areas))


def _calibration_error(labels: IntArray, p: FloatArray, w: FloatArray) -> float:
    """By rows that are there as often as their weight says."""
    p, labels = np.repeat(p, w.astype(int), axis=0), np.repeat(labels, w.astype(int))
    bins = reliability_bins(p.max(axis=1), p.argmax(axis=1) == labels)
    return sum(b.n * abs(b.confidence - b.accuracy) for b in bins) / len(labels)


REFERENCES: Mapping[str, Callable[[IntArray, FloatArray, FloatArray], float]] = {
    "accuracy": lambda y, p, w: reference.accuracy_score(y, p.argmax(axis=1), sample_weight=w),
    "balanced_accuracy": lambda y, p, w: reference.balanced_accuracy_score(
        y, p.argmax(axis=1), sample_weight=w
    ),
    "macro_f1": lambda y, p, w: reference.f1_score(
        y, p.argmax(axis=1), average="macro", sample_weight=w
    ),
    "roc_auc": _roc_auc,
    "log_loss": lambda y, p, w: reference.log_loss(y, p, sample_weight=w),
    "ece": _calibration_error,
}


def _cases(k: int, n: int, seed: int) -> tuple[IntArray, FloatArray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    labels[:k] = np.arange(k)
    scores = rng.normal(size=(n, k)) + 2 * np.eye(k)[labels]
    return labels, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("k", "seed"), [(2, 0), (3, 1), (7, 2)])
@pytest.mark.parametrize("name", METRICS)
def test_metrics_agree_with_their_reference(name: str, k: int, seed: int) -> None:
    labels, probabilities = _cases(k, 200, seed)
    weights = np.random.default_rng(seed).integers(0, 4, size=(6, 200)).astype(float)
    weights[0], weights[:, :k] = 1.0, 1.0  # as it is, and no class gets lost
    values = METRICS[name].statistic(labels, probabilities, weights)
    expected = [REFERENCES[name](labels, probabilities, w) for w in weights]
    assert values == pytest.approx(expected)
    assert len(set(values)) > 1


def test_counts_and_losses_agree_with_scikit_learn() -> None:
    labels, probabilities = _cases(3, 200, 1)
    predicted = probabilities.argmax(axis=1)
    confusion = weighted_confusion(labels, predicted, 3, np.ones((1, 200)))
    assert np.array_equal(confusion[0], reference.confusion_matrix(labels, predicted))
    assert log_losses(labels, probabilities).mean() == pytest.approx(
        reference.log_loss(labels, probabilities)
    )


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.chance])
def test_a_guess_reaches_what_is_said_of_it(name: str) -> None:
    metric = METRICS[name]
    assert metric.chance is not None
    shares = np.array([0.5, 0.3, 0.2])
    labels = np.repeat([0, 1, 2], (500, 300, 200))
    even = np.full((1000, 3), 1 / 3)  # of equals the first is predicted, the most frequent class
    (value,) = metric.statistic(labels, even, np.ones((1, 1000)))
    assert value == pytest.approx(metric.chance(shares))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_row_says_all_that_is_shown(metric: Metric) -> None:
    for kind in KINDS:
        meaning = metric.meaning.format(thing=thing(kind), things=things(kind))
        assert meaning.endswith(".")
        assert "{" not in meaning
    assert metric.title[0].isupper()
    assert metric.label
    if metric.chance:
        assert metric.chance_words.format("0.50").endswith("0.50.")
    best = np.eye(2)[[0, 1, 1]]
    worst = best[:, ::-1]
    perfect, wrong = (
        metric.statistic(np.array([0, 1, 1]), p, np.ones((1, 3)))[0] for p in (best, worst)
    )
    assert (perfect > wrong) == metric.higher_is_better
    assert min(perfect, wrong) >= metric.lowest


def test_no_metric_has_the_name_of_another_member_of_an_evaluation() -> None:
    assert not set(METRICS) & {field.name for field in dataclasses.fields(Evaluation)}


def test_area_under_roc_counts_ties_half() -> None:
    labels, probabilities = _cases(2, 120, 3)
    weights = np.random.default_rng(0).integers(0, 4, size=(5, 120)).astype(float)
    areas = area_under_roc(np.round(probabilities[:, 1], 1), labels == 1, weights)
    for weight, area in zip(weights, areas, strict=True):
        assert area == pytest.approx(
            reference.roc_auc_score(labels, np.round(probabilities[:, 1], 1), sample_weight=weight)
        )


def test_area_under_roc_is_undefined_without_both_sides() -> None:
    labels = np.array([0, 0, 1])
    weights = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    areas = area_under_roc(np.array([0.1, 0.2, 0.9]), labels == 1, weights)
    assert math.isnan(areas[0])
    assert areas[1] == 1.0


@given(
    hnp.arrays(np.float64, st.integers(2, 60), elements=st.floats(0, 1)),
    st.randoms(use_true_random=False),
)
def test_area_under_roc_does_not_change_under_a_monotone_map(scores, random) -> None:
    positive = np.array([random.random() < 0.5 for _ in scores])
    ones = np.ones((1, len(scores)))
    first = area_under_roc(scores, positive, ones)
    # Doubling and halving are exact, so that ties stay ties.
    second = area_under_roc(scores * 2 + 0.0, positive, ones)
    flipped = area_under_roc(-scores, positive, ones)
    assert np.array_equal(first, second, equal_nan=True)
    if not math.isnan(first[0]):
        assert flipped[0] == pytest.approx(1 - first[0])


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, False, True, True])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    error = calibration_error((~correct).astype(np.int64), probabilities, np.ones((1, 4)))
    assert error[0] == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)
    bins = reliability_bins(confidence, correct)
    assert [(b.n, b.accuracy) for b in bins] == [(2, 1.0), (2, 0.5)]
    assert [b.low for b in bins] == [0.5, 0.9]
