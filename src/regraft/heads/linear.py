"""Logistic regression: features and labels in, a linear head for each penalty out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.errors import TrainingError
from regraft.metrics.rates import FloatArray, IntArray
from regraft.onnx_graphs import GraphBuilder

# Inverse strength of the L2 penalty (scikit-learn's C) on features scaled to unit mean square
# norm. On rooms, hymenoptera and clothing the best value lay between 3 and 100.
PENALTIES = (1.0, 4.0, 16.0, 64.0)
_TOLERANCE = 1e-3  # of the gradient; a tenth of it took three times as long for the same accuracy
_IMPOSSIBLE = -30.0  # logit of a class without an image: a probability of 1e-13
_BALANCE_FROM = 1.5  # largest class / smallest class from which classes are weighted


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Logits are features @ weights + bias; weights float64 (d, k), bias (k,)."""

    weights: FloatArray
    bias: FloatArray

    def logits(self, features: NDArray[Any]) -> FloatArray:
        """Logits float64 (n, k)."""
        return np.asarray(features @ self.weights + self.bias, dtype=np.float64)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """`head.weights` (d, k) and `head.bias` (k,)."""
        return {
            "head.weights": self.weights.astype(np.float32),
            "head.bias": self.bias.astype(np.float32),
        }

    def add_to(self, graph: GraphBuilder) -> None:
        """One matrix product and one sum."""
        weights, bias = (graph.tensor(*named) for named in self.tensors().items())
        graph("Add", graph("MatMul", "features", weights), bias, output="logits")


def fit_logistic(
    features: NDArray[Any],
    labels: IntArray,
    n_classes: int,
    penalties: Sequence[float] = PENALTIES,
    *,
    balanced: bool | None = None,
) -> list[LinearHead]:
    """Multinomial logistic regression, one head for each penalty (scikit-learn, L-BFGS).

    Features are centred and divided by their root mean square norm, so that a penalty means the
    same for every backbone; both are folded into the weights.

    Args:
        features: (n, d).
        labels: int64 (n,); a class without an image gets the logit of an impossible one.
        n_classes: k.
        penalties: scikit-learn's C, larger is weaker.
        balanced: weigh classes by inverse frequency; None does so from an imbalance of 1.5.
    """
    # Single precision takes half the time and moves log loss in the sixth decimal.
    x = np.asarray(features, dtype=np.float32)
    centre = x.mean(axis=0)
    x = x - centre
    scale = float(np.sqrt(np.square(x).sum(axis=1).mean())) or 1.0
    x /= scale
    return [
        LinearHead(weights / scale, bias - centre @ (weights / scale))
        for weights, bias in logistic_fits(x, labels, n_classes, penalties, balanced=balanced)
    ]


def logistic_fits(
    x: Any,
    labels: IntArray,
    n_classes: int,
    penalties: Sequence[float],
    *,
    balanced: bool | None = None,
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Weights float64 (d, k) and bias (k,) for each penalty, of features as they are.

    Args:
        x: (n, d), dense or sparse (CSR), rows of about length 1.
        labels, n_classes, penalties, balanced: as for `fit_logistic`.

    Raises:
        TrainingError: the weights are not finite.
    """
    from sklearn.linear_model import LogisticRegression

    counts = np.bincount(labels, minlength=n_classes)
    present = np.flatnonzero(counts)
    if len(present) == 1:  # nothing to learn, as where a group holds all of the other class
        only = np.full(n_classes, _IMPOSSIBLE)
        only[present] = 0.0
        for _ in penalties:
            yield np.zeros((x.shape[1], n_classes)), only
        return
    if balanced is None:
        balanced = counts.max() >= _BALANCE_FROM * counts[present].min()
    weight = "balanced" if balanced else None
    for penalty in penalties:
        model = LogisticRegression(C=penalty, tol=_TOLERANCE, max_iter=300, class_weight=weight)
        with np.errstate(invalid="ignore"):  # raised by chance; the outcome is checked instead
            model.fit(x, labels)
        coefficients, intercepts = model.coef_, model.intercept_
        if not (np.isfinite(coefficients).all() and np.isfinite(intercepts).all()):
            raise TrainingError("the features are too large or not numbers; no head can be fitted")
        if len(present) == 2:  # one column: the second class against the first
            coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
            intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
        weights = np.zeros((x.shape[1], n_classes))
        bias = np.full(n_classes, _IMPOSSIBLE)
        weights[:, present] = coefficients.T
        bias[present] = intercepts
        yield weights, bias
