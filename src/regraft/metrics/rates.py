"""Arrays of labels and probabilities in, numbers with intervals out.

Letters used throughout: n rows (one an image and repeat), k classes, b bootstrap resamples.
Labels are class numbers 0..k-1; probabilities are float64 (n, k), rows summing to 1. Every
rate is an `Estimate`: its value, a 95 % interval and the method that gave the interval.

Nothing here knows of images, folders or models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from regraft.storage.records import to_json
from regraft.storage.saved import Count, Number

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]  # weights (b, n) in, b values out

ECE_BINS = 10
_SMALLEST_PROBABILITY = 1e-12
_BOOTSTRAP_REPEATS = 1000
_BOOTSTRAP_CELLS = 40_000_000  # weights drawn at the most; fewer resamples beyond it


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured number with its interval, for example an accuracy of 0.95 [0.91, 0.97]."""

    value: Number = math.nan
    low: Number = math.nan
    high: Number = math.nan
    method: str = "not measured"

    def to_dict(self) -> dict[str, float | str | None]:
        """The JSON form; a value that does not exist (NaN) becomes null."""
        members: dict[str, float | str | None] = to_json(self)
        return members

    @property
    def points(self) -> str:
        """A difference of rates in points of a hundred: "+1.2 points [-0.3, +2.7]"."""
        low, high = 100 * self.low, 100 * self.high
        return f"{100 * self.value:+.1f} points [{low:+.1f}, {high:+.1f}]"

    @property
    def percent(self) -> str:
        """A rate in percent: "95.3 % [90.7, 97.7]"."""
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def widened(self, factor: float, *, lowest: float = 0.0) -> Estimate:
        """The same value with an interval `factor` times as wide.

        It is kept from `lowest` on, -1 for a difference of rates, and up to 1 if it was.
        """
        if factor == 1.0 or math.isnan(self.value):
            return self
        low = self.value - factor * (self.value - self.low)
        high = self.value + factor * (self.high - self.value)
        top = 1.0 if self.high <= 1.0 else math.inf
        return Estimate(self.value, max(lowest, low), min(top, high), self.method)

    def reaching(self, change: float, *, lowest: float = 0.0) -> Estimate:
        """The same value with an interval that reaches further up, or down if `change` is below 0.

        It is kept from `lowest` on, and up to 1 if it was.
        """
        if not change or math.isnan(change):
            return self
        if change < 0:
            return replace(self, low=min(self.low, max(lowest, self.low + change)))
        top = 1.0 if self.high <= 1.0 else math.inf
        return replace(self, high=min(top, self.high + change))


NOT_MEASURED = Estimate()
"""What a version that did not measure something says of it."""


def defined(estimate: Estimate | None) -> Estimate | None:
    """The estimate; None where there is none, or its value does not exist (NaN)."""
    return None if estimate is None or math.isnan(estimate.value) else estimate


def wilson_interval(rate: float, n: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927, JASA 22:209).

    Args:
        rate: observed proportion, 0 to 1; may be a mean over repeats.
        n: number of independent trials, above 0.
        confidence: 0 to 1.

    Returns:
        Lower and upper limit, both within 0 to 1.
    """
    z = _normal_quantile(0.5 + confidence / 2)
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def fold_factor(folds: int) -> float:
    """By how much an interval from cross-validation is wider than one from a test set.

    Out-of-fold predictions are not independent of each other: the training set of one holds the
    others (Bates, Hastie and Tibshirani 2023, JASA 119:1434, on why plain intervals then hold
    the truth too rarely). Variances are multiplied by f / (f - 1), as if the images of one of f
    folds were not there; how often the intervals hold the truth is measured in the benchmarks.
    """
    return math.sqrt(folds / (folds - 1))


@dataclass(frozen=True, slots=True)
class FewerImages:
    """What models predict that were trained on fewer images than those of the folds.

    `probabilities` float64 (q, n, k) are q predictions of each image; `share` tells how much of
    the rise from these models to those of the folds is expected once more from the folds to the
    final model, see `remaining_share`.
    """

    probabilities: FloatArray
    share: float

    def change(self, value: float, before: float) -> float:
        """How a metric is expected to change up to the final model: `value` is that of the folds,
        `before` that of these models."""
        return self.share * (value - before)


def remaining_share(fewest: float, fewer: float, every: float) -> float:
    """How much of the rise from `fewest` to `fewer` training images the rest of them brings.

    Models of f folds are trained on (f - 1) / f of the images, so where the learning curve still
    rises they are less accurate than the final one. To first order the difference falls with one
    over the number of training images (Burman 1989, Biometrika 76:503, on the bias of v-fold
    cross-validation): with five folds 0.6 of what lies between 3/5 and 4/5 of the images.

    Args:
        fewest, fewer, every: numbers of training images, ascending.
    """
    return (1 / fewer - 1 / every) / (1 / fewest - 1 / fewer)


def accuracy_estimate(
    correct: FloatArray,
    groups: IntArray | None = None,
    *,
    folds: int | None = None,
    seed: int = 0,
) -> Estimate:
    """Accuracy of n images with its interval.

    Wilson's interval where images are independent. Where images share groups (a patient, a
    camera, an exact copy) they are not, and whole groups are resampled instead; if every image
    is right (or wrong) resampling shows no spread, so Wilson's interval on the number of groups
    is used.

    Args:
        correct: float64 (n,), the share of repeats in which the image was predicted right.
        groups: int64 (n,), equal numbers for images that belong together.
        folds: number of folds that the predictions come from; None for a test set.
        seed: of the bootstrap.
    """
    n = len(correct)
    factor = 1.0 if folds is None else fold_factor(folds)
    rate = float(correct.mean())
    n_groups = n if groups is None else len(np.unique(groups))
    if groups is None or n_groups == n:
        return Estimate(rate, *wilson_interval(rate, n / factor**2), "wilson")
    if rate in (0.0, 1.0):
        return Estimate(rate, *wilson_interval(rate, n_groups / factor**2), "wilson on groups")

    def resampled_accuracy(weights: FloatArray) -> FloatArray:
        return np.asarray((weights @ correct) / weights.sum(axis=1))

    found = bootstrap_estimates({"accuracy": resampled_accuracy}, n, groups, seed=seed)
    return found["accuracy"].widened(factor)


def bootstrap_estimates(
    statistics: Mapping[str, Statistic],
    n: int,
    groups: IntArray | None = None,
    *,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Weighted statistics with percentile bootstrap intervals, all on the same resamples.

    Efron 1979, Annals of Statistics 7:1. A value that its own interval would not contain (it
    happens at the edge of a bounded statistic) extends the interval. Where every resample gives
    the same 0 or 1, as when every image is right, there is no spread to resample: the interval
    is then Wilson's for as many trials as there are groups.

    Args:
        statistics: by name, functions that take weights (b, n) and return b values, NaN where
            the statistic is not defined.
        n: number of rows.
        groups: int64 (n,), rows that are drawn together; None draws single rows.
    """
    intervals = _bootstrap_intervals(statistics, n, groups, seed=seed)
    method = "bootstrap" if groups is None else "bootstrap over groups"
    n_groups = n if groups is None else len(np.unique(groups))
    found = {}
    for name, statistic in statistics.items():
        value = float(statistic(np.ones((1, n)))[0])
        low, high = intervals[name]
        if low == high == value and value in (0.0, 1.0):
            found[name] = Estimate(value, *wilson_interval(value, n_groups), "wilson")
        else:
            found[name] = Estimate(value, min(low, value), max(high, value), method)
    return found


def weighted_confusion(
    labels: IntArray, predicted: IntArray, n_classes: int, weights: FloatArray
) -> FloatArray:
    """Confusion matrices float64 (b, k, k) of b weightings (b, n) of the same rows."""
    cell = labels * n_classes + predicted
    order = np.argsort(cell, kind="stable")
    cells, starts = np.unique(cell[order], return_index=True)
    flat = np.zeros((len(weights), n_classes * n_classes))
    flat[:, cells] = np.add.reduceat(weights[:, order], starts, axis=1)
    return flat.reshape(-1, n_classes, n_classes)


def log_losses(labels: IntArray, probabilities: FloatArray) -> FloatArray:
    """Negative log probability of the true class, (n,); probabilities are kept above 1e-12."""
    own = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.clip(own, _SMALLEST_PROBABILITY, 1.0))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows whose confidence falls into one bin: how sure they were and how often right."""

    low: Number
    high: Number
    n: Count
    confidence: Number
    accuracy: Number


def reliability_bins(
    confidence: FloatArray, correct: NDArray[np.bool_], *, bins: int = ECE_BINS
) -> tuple[ReliabilityBin, ...]:
    """Equal-width bins of confidence that hold rows (Guo et al., ICML 2017, figure 1)."""
    number = bin_numbers(confidence, bins)
    found = []
    for b in np.unique(number):
        inside = number == b
        found.append(
            ReliabilityBin(
                low=b / bins,
                high=(b + 1) / bins,
                n=int(inside.sum()),
                confidence=float(confidence[inside].mean()),
                accuracy=float(correct[inside].mean()),
            )
        )
    return tuple(found)


def rank_correlation(first: FloatArray, second: FloatArray) -> float:
    """Spearman's rank correlation of two arrays (n,), -1 to 1; equal values share their rank.

    NaN where one of them is constant: it has no order to compare.
    """
    from scipy.stats import rankdata

    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (first, second))
    scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / scale if scale else math.nan


def bin_numbers(confidence: FloatArray, bins: int) -> IntArray:
    """The bin of equal width, 0 to bins - 1, that each confidence (n,) falls into."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def _bootstrap_intervals(
    statistics: Mapping[str, Statistic], n: int, groups: IntArray | None, *, seed: int
) -> dict[str, tuple[float, float]]:
    values: dict[str, list[FloatArray]] = {name: [] for name in statistics}
    for weights in _resamples(n, groups, seed):
        for name, statistic in statistics.items():
            values[name].append(statistic(weights))
    found = {}
    for name, chunks in values.items():
        drawn = np.concatenate(chunks)
        drawn = drawn[~np.isnan(drawn)]
        low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (math.nan, math.nan)
        found[name] = (float(low), float(high))
    return found


def _resamples(n: int, groups: IntArray | None, seed: int) -> Iterator[FloatArray]:
    """Weightings (b, n) in chunks of bounded size: how often each row was drawn."""
    number = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(number.max()) + 1
    repeats = int(np.clip(_BOOTSTRAP_CELLS // n, 100, _BOOTSTRAP_REPEATS))
    rng = np.random.default_rng(seed)
    chunk = max(1, 1_000_000 // n)
    for start in range(0, repeats, chunk):
        size = min(chunk, repeats - start)
        drawn = rng.integers(n_groups, size=(size, n_groups)) + n_groups * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n_groups).reshape(size, n_groups)
        yield counts[:, number].astype(np.float64)


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)
