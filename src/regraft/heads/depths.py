"""Statistics of every depth of a network in, one linear head on those that help out.

Each depth has a linear head of its own, and their logits are added up in proportions that unseen
images choose: a log-linear opinion pool (Genest and Zidek 1986, Statistical Science 1). A sum of
linear heads is a linear head, so that is what comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.heads.base import HeadFitter
from regraft.heads.calibration import softmax
from regraft.heads.linear import LinearHead, fit_logistic
from regraft.heads.nested import choose_setting, span_coordinates
from regraft.metrics.rates import FloatArray, IntArray, log_losses
from regraft.sampling import stratified_sample

DEPTH_PENALTIES = (8.0, 128.0)  # scikit-learn's C; see `fit_logistic` for the scale of features
_LEFT_OUT = 0.5  # standard errors of log loss within which further depths are not worth running
_POOLED_ON = 5_000  # images by which the proportions are chosen at the most


@dataclass(frozen=True, slots=True)
class Scaling:
    """Columns are centred and divided: (features - centre) * gain, both float32 (d,).

    Those of one depth together have the root mean square norm 1; a column that is always the same
    becomes 0.
    """

    centre: NDArray[np.float32]
    gain: NDArray[np.float32]

    def apply(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Features (n, d), scaled."""
        return np.asarray((features - self.centre) * self.gain, dtype=np.float32)


def fit_scaling(features: NDArray[Any], *, by_column: bool) -> Scaling:
    """The scaling of one depth.

    Args:
        features: (n, d), of any precision.
        by_column: divide each column by its own deviation, as statistics of different scales need
            it; else all by the same, as in `fit_logistic`: of the last layer it tells something how
            much a column varies.
    """
    x = np.asarray(features, dtype=np.float32)
    centre, deviation = x.mean(axis=0), x.std(axis=0)
    varies = deviation > 1e-6 * np.maximum(np.abs(centre), 1e-6)
    width = np.sqrt(max(1, int(varies.sum())))
    if not by_column:
        deviation = np.full_like(deviation, np.linalg.norm(deviation[varies]) / width)
    gain = np.where(varies, 1.0 / (np.where(varies, deviation, 1.0) * width), 0.0)
    return Scaling(centre, gain.astype(np.float32))


@dataclass(frozen=True, slots=True)
class _OfDepth:
    """A head that looks at some columns alone."""

    head: LinearHead
    columns: slice

    def logits(self, features: NDArray[Any]) -> FloatArray:
        """Logits float64 (n, k)."""
        return self.head.logits(features[:, self.columns])


@dataclass(frozen=True, slots=True)
class DepthInputs:
    """What the heads of all depths are cross-validated on.

    `features` float32 (n, e) are scaled; `columns` are those of each depth. `settings` are pairs of
    a depth and a penalty, in the order in which `pool_depths` expects them.
    """

    features: NDArray[np.float32]
    columns: tuple[slice, ...]

    @classmethod
    def of(cls, depths: Sequence[NDArray[Any]]) -> DepthInputs:
        """Of the features (n, d) of each depth from the input on, the last layer at the end."""
        scaled = [
            fit_scaling(one, by_column=number < len(depths)).apply(one)
            for number, one in enumerate(depths, start=1)
        ]
        parts = [span_coordinates(one) for one in scaled]
        ends = np.cumsum([part.shape[1] for part in parts])
        columns = [slice(int(e) - p.shape[1], int(e)) for e, p in zip(ends, parts, strict=True)]
        return cls(np.concatenate(parts, axis=1, dtype=np.float32), tuple(columns))

    @property
    def settings(self) -> list[tuple[int, float]]:
        """A head for each of them is fitted, and tried."""
        return [(depth, c) for depth in range(len(self.columns)) for c in DEPTH_PENALTIES]

    @property
    def fit(self) -> HeadFitter:
        """Fits the heads of some settings."""

        def fit(
            features: NDArray[Any], labels: IntArray, n_classes: int, settings: Sequence[Any]
        ) -> list[Any]:
            heads: list[Any] = []
            for depth, those in groupby(settings, key=itemgetter(0)):
                of, penalties = self.columns[depth], [penalty for _, penalty in those]
                found = fit_logistic(features[:, of], labels, n_classes, penalties, balanced=False)
                heads += [_OfDepth(head, of) for head in found]
            return heads

        return fit


def pool_depths(logits: FloatArray, labels: IntArray, images: int) -> FloatArray:
    """A `Chooser`: the proportions of all depths up to the one beyond which nothing is gained.

    Of each depth the better penalty is taken and calibrated. The proportions are not negative and
    minimise log loss with a small penalty on their squares. Where fewer of the first depths are
    within half a standard error of the best (of the differences image by image, after the rule of
    one standard error of Breiman et al. 1984, which on few images lost more than it saved), the
    rest is left out: the network need not be run to its end.

    Args:
        logits: float64 (s, m, k), see `DepthInputs.settings`.
        labels: int64 (m,); without any the last depth is taken as it is.
        images: how many different ones these are; several predictions of one are no more evidence.
    """
    n_depths = len(logits) // len(DEPTH_PENALTIES)
    by_depth = logits.reshape(n_depths, len(DEPTH_PENALTIES), *logits.shape[1:])
    weights = np.zeros((n_depths, len(DEPTH_PENALTIES)))
    if not len(labels):
        weights[-1, 0] = 1.0
        return weights.ravel()
    independent = images / len(labels)
    kept = stratified_sample(labels, _POOLED_ON, every_class=True)
    by_depth, labels = by_depth[:, :, kept], labels[kept]
    best = [choose_setting(of_depth, labels) for of_depth in by_depth]
    calibrated = np.stack([z[c] / t for z, (c, t) in zip(by_depth, best, strict=True)])
    reached = _shallowest(calibrated, labels, independent * len(labels))
    for depth, weight in enumerate(reached):
        penalty, temperature = best[depth]
        weights[depth, penalty] = weight / temperature
    if not weights.any():  # no depth tells anything
        penalty, temperature = best[-1]
        weights[-1, penalty] = 1.0 / temperature
    return weights.ravel()


def _shallowest(calibrated: FloatArray, labels: IntArray, images: float) -> FloatArray:
    """Proportions of the first depths, as few of them as will do."""
    found = [_proportions(calibrated[:n], labels) for n in range(1, len(calibrated) + 1)]
    losses = np.stack(
        [
            log_losses(labels, softmax(np.tensordot(weights, calibrated[: len(weights)], 1)))
            for weights in found
        ]
    )
    gaps = losses - losses[losses.mean(axis=1).argmin()]
    errors = _LEFT_OUT * gaps.std(axis=1) / np.sqrt(images)
    return found[int(np.argmax(gaps.mean(axis=1) <= errors))]


def _proportions(calibrated: FloatArray, labels: IntArray) -> FloatArray:
    """Those of least log loss, float64 (l,), of calibrated logits (l, m, k)."""
    from scipy.optimize import minimize

    true = np.eye(calibrated.shape[2])[labels]

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        probabilities = softmax(np.tensordot(weights, calibrated, 1))
        error = (probabilities - true) / len(labels)
        slope = np.tensordot(calibrated, error, 2) + 2 * weights / len(labels)
        mean = float(log_losses(labels, probabilities).mean())
        return mean + float(weights @ weights) / len(labels), slope

    begin = np.full(len(calibrated), 1.0 / len(calibrated))
    bounds = [(0.0, None)] * len(begin)
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x, dtype=np.float64)


def depth_accuracies(logits: FloatArray, labels: IntArray) -> list[float]:
    """How many are right by each depth alone, with its better penalty; 0 to 1, [] without labels.

    Args:
        logits: float64 (s, m, k), see `DepthInputs.settings`.
        labels: int64 (m,).
    """
    if not len(labels):
        return []
    right = (logits.argmax(axis=2) == labels).mean(axis=1)
    return [float(best) for best in right.reshape(-1, len(DEPTH_PENALTIES)).max(axis=1)]


def sum_of_heads(heads: Sequence[LinearHead], weights: Sequence[float]) -> LinearHead:
    """One head on the features of all, one behind the other, whose logits are the sum of theirs."""
    return LinearHead(
        np.concatenate([w * head.weights for head, w in zip(heads, weights, strict=True)]),
        np.sum([w * head.bias for head, w in zip(heads, weights, strict=True)], axis=0),
    )
