"""Logits of unseen images in; a temperature, and thresholds of prediction sets, out."""

from __future__ import annotations

import numpy as np

from regraft.metrics import FloatArray, IntArray, log_losses

COVERAGE = 0.9  # share of images whose conformal set should hold the true class


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def fit_temperature(logits: FloatArray, labels: IntArray) -> float:
    """The temperature that minimises log loss (Guo et al., ICML 2017), 0.05 to 20."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(log_losses(labels, softmax(logits / np.exp(log_temperature))).mean())

    bounds = (float(np.log(0.05)), float(np.log(20.0)))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


def conformal_thresholds(
    probabilities: FloatArray, labels: IntArray, *, coverage: float = COVERAGE
) -> FloatArray:
    """The probability (k,) from which each class enters the prediction set.

    Class-conditional split conformal prediction with the score 1 - p(true class) (Vovk 2012,
    Sadinle et al. 2019): of the images of each class at least `coverage` hold their class in the
    set, if probabilities come from images the model did not train on. A class with too few
    images for a promise of its own (fewer than 9 for a coverage of 0.9) takes the threshold of
    all images together, which holds on average over classes; with too few even for that, every
    class is always in the set (threshold 0).

    Args:
        probabilities: float64 (n, k), out-of-fold.
        labels: int64 (n,).
        coverage: 0 to 1.
    """
    true = probabilities[np.arange(len(labels)), labels]
    pooled = _lower_quantile(true, coverage)
    each = [_lower_quantile(true[labels == c], coverage) for c in range(probabilities.shape[1])]
    return np.array([(pooled or 0.0) if own is None else own for own in each])


def _lower_quantile(values: FloatArray, coverage: float) -> float | None:
    """The value that at least `coverage` of such values exceed; None if there are too few."""
    left_out = int(np.floor((len(values) + 1) * (1 - coverage)))  # values that may lie below
    return float(np.sort(values)[left_out - 1]) if left_out >= 1 else None
