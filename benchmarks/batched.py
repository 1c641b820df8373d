"""All logistic regressions of a repeated cross-validation at once, for hundreds of such.

`heads.fit_logistic` calls scikit-learn for every head, and most of the time of a small fit is
spent around the arithmetic. Here heads of all folds, pairs of folds and penalties are rows of the
same matrix products, with the same objective (features centred and scaled by fold, classes
weighted as there, the same tolerance). A test holds the two together.

Letters: n images, d features, k classes, h heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.heads import PENALTIES, LinearHead
from regraft.metrics.rates import FloatArray, IntArray
from regraft.onnx_graphs import GraphBuilder

_TOLERANCE = 1e-3
_ITERATIONS = 200
_MEMORY = 10  # of L-BFGS
_BALANCE_FROM = 1.5
_IMPOSSIBLE = -30.0
_Single = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RowHead:
    """A linear head whose features are row numbers (m, 1) of the images it belongs to."""

    head: LinearHead
    features: _Single

    def logits(self, features: NDArray[Any]) -> FloatArray:
        """Logits float64 (m, k)."""
        return self.head.logits(self.features[features[:, 0]])

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Those of the linear head."""
        return self.head.tensors()

    def add_to(self, graph: GraphBuilder) -> None:
        """What the linear head does."""
        self.head.add_to(graph)


class BatchedLogistic:
    """Heads without every fold, without every pair of folds, and of all images.

    `fit` is a `HeadFitter` for `rows`, the numbers of the images int64 (n, 1), in the place of
    their features.
    """

    def __init__(
        self, features: _Single, labels: IntArray, folds: IntArray, *, n_classes: int
    ) -> None:
        """Fit them.

        Args:
            features: (n, d).
            labels: int64 (n,), each of the k classes in every training part of more than one.
            folds: int64 (r, n).
            n_classes: k.
        """
        self.rows = np.arange(len(labels))[:, None]
        self._features = features
        parts = _parts(folds)
        self._number = {part.tobytes(): h for h, part in enumerate(parts)}
        self._heads = dict(zip(PENALTIES, _fitted(features, labels, parts, n_classes), strict=True))

    def fit(
        self, rows: NDArray[Any], _labels: IntArray, _n_classes: int, penalties: Sequence[float]
    ) -> list[RowHead]:
        """The heads that were trained on these rows, one for each penalty."""
        part = np.zeros(len(self.rows), dtype=bool)
        part[rows[:, 0]] = True
        number = self._number[part.tobytes()]
        heads = []
        for penalty in penalties:
            weights, bias = self._heads[penalty]
            heads.append(RowHead(LinearHead(weights[number], bias[number]), self._features))
        return heads


def _parts(folds: IntArray) -> NDArray[np.bool_]:
    """Which images each head is trained on, (h, n)."""
    parts = [np.ones(folds.shape[1], dtype=bool)]
    for fold in folds:
        numbers = np.unique(fold)
        parts += [fold != i for i in numbers]
        parts += [(fold != i) & (fold != j) for i, j in combinations(numbers, 2)]
    return np.unique(np.array(parts), axis=0)


def _fitted(
    features: _Single, labels: IntArray, parts: NDArray[np.bool_], k: int
) -> list[tuple[FloatArray, FloatArray]]:
    """Weights (h, d, k) and bias (h, k) for each penalty."""
    inside = parts.astype(np.float32)  # (h, n)
    count = inside.sum(axis=1)
    centre = features.mean(axis=0)
    x = features - centre
    means = inside @ x / count[:, None]
    squares = inside @ np.square(x).sum(axis=1) / count - np.square(means).sum(axis=1)
    # Common to all heads: one scale, so that all share the matrix products; what the scale of a
    # head differs by is in its penalty. The unpenalised intercept takes up the centring.
    scale = float(np.sqrt(squares.mean()))
    x = np.concatenate([x / scale, np.ones((len(x), 1))], axis=1).astype(np.float32)
    one_hot = np.eye(k, dtype=np.float32)[labels]
    of_class = inside @ one_hot  # (h, k)
    weight = inside.T.copy()  # (n, h)
    for h, counts in enumerate(of_class):
        if counts.max() >= _BALANCE_FROM * counts[counts > 0].min():
            balanced = count[h] / ((counts > 0).sum() * np.maximum(counts, 1))
            weight[:, h] *= balanced[labels]
    is_absent = of_class == 0
    solution = np.zeros((x.shape[1], len(parts), k), dtype=np.float32)
    found = []
    for penalty in PENALTIES:  # ascending: each begins where the stronger one ended
        ridge = np.zeros((x.shape[1], len(parts), 1), dtype=np.float32)
        ridge[:-1, :, 0] = squares / scale**2 / (penalty * weight.sum(axis=0))
        solution = _minimised(solution, x, one_hot, weight, ridge, is_absent)
        weights = np.moveaxis(solution[:-1], 1, 0).astype(np.float64) / scale
        bias = solution[-1].astype(np.float64) - centre @ weights
        found.append((weights, np.where(is_absent, _IMPOSSIBLE, bias)))
    return found


def _minimised(
    start: _Single,
    x: _Single,
    one_hot: _Single,
    weight: _Single,
    ridge: _Single,
    is_absent: NDArray[np.bool_],
) -> _Single:
    """L-BFGS (Nocedal and Wright 2006, algorithm 7.4) of h problems side by side.

    Args:
        start: (d, h, k).
        x: (n, d).
        one_hot: (n, k).
        weight: of each image in each problem, (n, h).
        ridge: penalty of each parameter, (d, h, 1).
        is_absent: classes without an image, (h, k).
    """
    n, (d, h, k) = len(x), start.shape
    share = weight / weight.sum(axis=0)
    blocked = np.where(is_absent, np.float32(-1e4), np.float32(0))

    def loss(point: _Single) -> tuple[_Single, _Single]:
        logits = (x @ point.reshape(d, h * k)).reshape(n, h, k) + blocked
        top = logits.max(axis=2, keepdims=True)
        exponents = np.exp(logits - top)
        total = exponents.sum(axis=2, keepdims=True)
        own = (logits * one_hot[:, None]).sum(axis=2)
        values = (share * (np.log(total) + top)[:, :, 0] - share * own).sum(axis=0)
        values = values + (ridge * point * point).sum(axis=(0, 2)) / 2
        slope = (exponents / total - one_hot[:, None]) * share[:, :, None]
        gradient = (x.T @ slope.reshape(n, h * k)).reshape(d, h, k) + ridge * point
        return values, gradient

    def inner(a: _Single, b: _Single) -> _Single:
        return np.asarray(np.einsum("dhk,dhk->h", a, b))

    point, history = start, list[tuple[_Single, _Single, _Single]]()
    value, gradient = loss(point)
    for _ in range(_ITERATIONS):
        is_open = np.abs(gradient).max(axis=(0, 2)) > _TOLERANCE
        if not is_open.any():
            break
        direction = _direction(gradient, history, inner)
        slope = inner(gradient, direction)
        step = is_open.astype(np.float32)
        for _ in range(12):
            further = point + step[None, :, None] * direction
            new_value, new_gradient = loss(further)
            too_far = new_value > value + 1e-4 * step * slope + 1e-7
            if not too_far.any():
                break
            step = np.where(too_far, step * np.float32(0.4), step)
        moved, turned = further - point, new_gradient - gradient
        curvature = inner(moved, turned)
        is_valid = curvature > 1e-10
        moved[:, ~is_valid], turned[:, ~is_valid] = 0, 0
        inverse = np.where(is_valid, 1 / np.maximum(curvature, 1e-12), 0).astype(np.float32)
        history = [*history, (moved, turned, inverse)][-_MEMORY:]
        point, value, gradient = further, new_value, new_gradient
    return point


def _direction(gradient: _Single, history: Sequence[tuple[_Single, ...]], inner: Any) -> _Single:
    found = gradient.copy()
    factors = []
    for moved, turned, inverse in reversed(history):
        factors.append(inverse * inner(moved, found))
        found -= factors[-1][None, :, None] * turned
    if history:
        moved, turned, _ = history[-1]
        length = inner(turned, turned)
        found *= (inner(moved, turned) / np.maximum(length, 1e-30))[None, :, None]
    else:
        found /= np.maximum(np.sqrt(inner(gradient, gradient)), 1)[None, :, None]
    for (moved, turned, inverse), factor in zip(history, reversed(factors), strict=True):
        found += moved * (factor - inverse * inner(turned, found))[None, :, None]
    uphill = inner(gradient, found) <= 0
    found[:, uphill] = gradient[:, uphill]
    return -found
