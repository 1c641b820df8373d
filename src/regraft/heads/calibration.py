"""Logits of unseen images in; a temperature, and thresholds of prediction sets, out."""

from __future__ import annotations

import numpy as np

from regraft.metrics.rates import FloatArray, IntArray, log_losses

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
    minimum = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(minimum.x))


def conformal_thresholds(
    probabilities: FloatArray, labels: IntArray, *, coverage: float = COVERAGE
) -> FloatArray:
    """The probability (k,) from which each class enters the prediction set.

    Class-conditional split conformal prediction with the score 1 - p(true class) (Vovk 2012,
    Sadinle et al. 2019), for probabilities of images the model did not train on. It differs in two
    ways, because classes are often small:

    Quantiles are interpolated. Of 18 images 1.9 may be missed; missing 1 would hold 95 %, not 90.

    The threshold of a class of m images counts m times, that of all images together
    1 / (1 - coverage) times, as many as the images that one missed image stands for. Alone it
    would hang on the one or two least likely images of the class; classes are pooled for that
    reason by Ding et al. (NeurIPS 2023), too. A class of which less than one image may be missed
    (fewer than 9 for a coverage of 0.9) takes the threshold of all; where that holds for all
    images together, every class is always in the set (threshold 0).

    Args:
        probabilities: float64 (n, k), out-of-fold.
        labels: int64 (n,).
        coverage: 0 to 1.
    """
    true = probabilities[np.arange(len(labels)), labels]
    pooled = _lower_quantile(true, coverage)
    if pooled is None:
        return np.zeros(probabilities.shape[1])
    thresholds = np.full(probabilities.shape[1], pooled)
    for c in range(len(thresholds)):
        own = _lower_quantile(true[labels == c], coverage)
        if own is not None:
            images, others = int((labels == c).sum()), 1 / (1 - coverage)
            thresholds[c] = (images * own + others * pooled) / (images + others)
    return thresholds


def _lower_quantile(values: FloatArray, coverage: float) -> float | None:
    """The value that `coverage` of such values exceed on average; None if there are too few.

    The (n + 1)(1 - coverage)-th smallest of n values, interpolated (Weibull's plotting position).
    """
    if (len(values) + 1) * (1 - coverage) < 1 - 1e-9:
        return None
    return float(np.quantile(values, 1 - coverage, method="weibull"))
