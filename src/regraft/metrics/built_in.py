"""Labels, probabilities and weights of rows in, one number a weighting out: the metrics.

As in `rates`, n rows have labels int64 (n,) and probabilities float64 (n, k); b weightings are
float64 (b, n). Each metric returns (b,), with NaN where a weighting leaves it undefined.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from regraft.metrics.rates import (
    ECE_BINS,
    Estimate,
    FloatArray,
    IntArray,
    bin_numbers,
    log_losses,
    weighted_confusion,
)


def accuracy(labels: IntArray, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """Share of the rows whose class is the most probable one."""
    right = probabilities.argmax(axis=1) == labels
    return np.asarray((weights @ right) / weights.sum(axis=1))


def balanced_accuracy(
    labels: IntArray, probabilities: FloatArray, weights: FloatArray
) -> FloatArray:
    """Mean recall over the classes that occur."""
    hits, present, _ = _counts(labels, probabilities, weights)
    recall = np.divide(hits, present, out=np.zeros_like(hits), where=present > 0)
    return np.asarray(recall.sum(axis=1) / np.maximum((present > 0).sum(axis=1), 1))


def macro_f1(labels: IntArray, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean F1 over the classes that occur or are predicted."""
    hits, present, predicted = _counts(labels, probabilities, weights)
    both = present + predicted
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    return np.asarray(f1.sum(axis=1) / np.maximum((both > 0).sum(axis=1), 1))


def _counts(
    labels: IntArray, probabilities: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """By class, each (b, k): rows predicted right, rows of it, rows predicted as it."""
    predicted = probabilities.argmax(axis=1)
    confusion = weighted_confusion(labels, predicted, probabilities.shape[1], weights)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    return hits, confusion.sum(axis=2), confusion.sum(axis=1)


def roc_auc(labels: IntArray, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """ROC AUC of the second class (k = 2) or the one-versus-rest mean (k > 2)."""
    n_classes = probabilities.shape[1]
    columns = [1] if n_classes == 2 else range(n_classes)
    areas = np.stack([area_under_roc(probabilities[:, c], labels == c, weights) for c in columns])
    defined = ~np.isnan(areas)
    total = np.where(defined, areas, 0.0).sum(axis=0)
    count = defined.sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def area_under_roc(
    scores: FloatArray, positive: NDArray[np.bool_], weights: FloatArray
) -> FloatArray:
    """Weighted area under the ROC curve, ties counted half; weights (b, n), returns (b,).

    The probability that a random positive row scores above a random negative one (Mann and
    Whitney 1947). NaN where a weighting leaves one of the two sides empty.
    """
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    weights = weights[:, order]
    side = positive[order]
    positives = np.add.reduceat(weights * side, starts, axis=1)
    negatives = np.add.reduceat(weights * ~side, starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    won = (positives * below).sum(axis=1)
    return np.asarray(np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0))


def log_loss(labels: IntArray, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean negative log probability of the true class."""
    return np.asarray((weights @ log_losses(labels, probabilities)) / weights.sum(axis=1))


def calibration_error(
    labels: IntArray, probabilities: FloatArray, weights: FloatArray
) -> FloatArray:
    """Gap between confidence and accuracy over 10 equal-width bins, 0 to 1.

    Guo et al., ICML 2017, equation 3.
    """
    confidence = probabilities.max(axis=1)
    surplus = confidence - (probabilities.argmax(axis=1) == labels)
    number = bin_numbers(confidence, ECE_BINS)
    gap = np.stack([(weights * (surplus * (number == b))).sum(axis=1) for b in range(ECE_BINS)])
    return np.asarray(np.abs(gap).sum(axis=0) / weights.sum(axis=1))


def mirrored(error: Estimate) -> Estimate:
    """The calibration error with an interval that reaches down as far as up.

    Noise in the bins only ever adds to the error, in the sample and once more in its resamples,
    whose lower quantile may lie above the truth (Kumar et al. 2019, NeurIPS 32).
    """
    if math.isnan(error.value):
        return error
    return replace(error, low=max(0.0, min(error.low, 2 * error.value - error.high)))
