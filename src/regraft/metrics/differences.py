"""Two accuracies in, their difference and whether it is significant out: the one rule for both.

The race, runs side by side and promotion all ask `standing` of a difference with its 95 % interval:
significant is what zero is not within. Between two candidates for the same images the difference is
paired (`paired_difference`); between rates of different images it is not (`unpaired_difference`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np

from regraft.metrics.rates import Estimate, FloatArray, IntArray, fold_factor

Standing: TypeAlias = Literal["ahead", "level", "behind"]

_Z = 1.96


def standing(difference: Estimate) -> Standing:
    """Where the first of two stands; "level" if the two cannot be told apart."""
    if difference.low > 0:
        return "ahead"
    return "behind" if difference.high < 0 else "level"


def paired_difference(
    first: FloatArray,
    second: FloatArray,
    *,
    groups: IntArray | None = None,
    folds: int | None = None,
) -> Estimate:
    """Accuracy of a first candidate minus that of a second on the same images.

    Agresti and Min (2005, Statistics in Medicine 24:729): half an image is added to either side, so
    that two candidates which never differ still have an interval. Images of one group count as one
    trial. Over folds it is as much wider as the interval of an accuracy is, see `fold_factor`; how
    often it then holds the truth is in docs/decisions.md.

    Args:
        first, second: float64 (r, n), 1 where the image was predicted right, for r repeats.
        groups: int64 (n,), equal numbers for images that belong together; None for none.
        folds: of the cross-validation that the predictions come from; None for a test set.
    """
    each: FloatArray = (first - second).mean(axis=0)  # (n,)
    trials, method = each, "paired, by image"
    if groups is not None and len(np.unique(groups)) < len(groups):
        sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=each)
        trials = np.asarray(sums * (len(sums) / len(each)), dtype=np.float64)
        method = "paired, by group"
    n = len(trials)
    value = float(each.mean())
    spread = float(np.square(trials).sum()) + 1.0
    half = _Z * math.sqrt(max(0.0, spread - n * value**2)) / (n + 2)
    low, high = max(-1.0, value - half), min(1.0, value + half)
    found = Estimate(value, low, high, method)
    return found if folds is None or folds < 2 else found.widened(fold_factor(folds), lowest=-1.0)


def unpaired_difference(first: Estimate, second: Estimate, *, comparisons: int = 1) -> Estimate:
    """A first rate minus a second one of other images, from the intervals of both.

    The square-and-add limits of Newcombe (1998, Statistics in Medicine 17:873, method 10).

    Args:
        first, second: with 95 % intervals.
        comparisons: of how many differences this one was picked because it is large; all of them
            together then have a confidence of 95 % (Bonferroni).
    """
    wider = NormalDist().inv_cdf(1 - 0.025 / comparisons) / NormalDist().inv_cdf(0.975)
    value = first.value - second.value
    down = wider * math.hypot(first.value - first.low, second.high - second.value)
    up = wider * math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, max(-1.0, value - down), min(1.0, value + up), "square and add")


def weighted_mean(estimates: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """The mean of independent rates, its interval by squares and sums (see above).

    Args:
        estimates: at least one.
        weights: of the same, in total above 0.
    """
    shares = [weight / sum(weights) for weight in weights]
    value = sum(s * e.value for s, e in zip(shares, estimates, strict=True))
    down = math.hypot(*(s * (e.value - e.low) for s, e in zip(shares, estimates, strict=True)))
    up = math.hypot(*(s * (e.high - e.value) for s, e in zip(shares, estimates, strict=True)))
    return Estimate(value, max(0.0, value - down), min(1.0, value + up), "square and add")


__all__ = ["Standing", "paired_difference", "standing", "unpaired_difference", "weighted_mean"]
