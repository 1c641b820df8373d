"""Features, labels and folds in; accuracy against the number of training images out.

A head with one fixed setting is trained on ever larger parts of each fold's training images and
tested on the fold. A power law through the points says what twice as many images would give, as
far as so short a curve can say it.

Letters: n images, d features, k classes, r repeats, p points (sizes), b resamples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.heads import HeadFitter, fitting, span_coordinates
from regraft.metrics.rates import Estimate, FloatArray, IntArray, accuracy_estimate, fold_factor
from regraft.storage.records import digits
from regraft.storage.saved import Count, Number, Positive

POINTS = 6
_SMALLEST = (2, 5)  # images of the smallest class at the first point: few of a small one
_REACH = 8  # the first point has at most an eighth of the images, whatever the classes
_FEWEST_POINTS = 4  # for a law of three unknowns
_FOLDS = 5  # of each repeat that are used at the most
MOST_WORK = 3e9  # images x features x classes of all fits together: some seconds on one core
_RESAMPLES = 200
_EXPONENTS = np.linspace(0.05, 1.0, 20)
_NEAR = np.linspace(-0.045, 0.045, 19)  # exponents between those on the grid
FLAT = 0.005  # gain in accuracy below which more images are not worth the trouble
_NOTHING = 0.0005  # gain that is shown as +0.0


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Accuracy after training on `images` (mean over folds), `per_class` of each class."""

    images: Positive
    per_class: Number = field(metadata=digits(1))
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """Error after training on m images: floor + scale * m ** -exponent.

    Inverse power law (Cortes et al. 1993, NIPS 6; Viering and Loog 2022, IEEE TPAMI 45:7799,
    for how often it fits and when it does not). `floor` and `scale` are at least 0, so more
    images never make the error larger; `exponent` is above 0 and at most 1.
    """

    floor: Number
    scale: Number
    exponent: Number

    def error(self, images: float) -> float:
        """The error after training on that many images, kept within 0 to 1."""
        return min(1.0, self.floor + self.scale * float(images**-self.exponent))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `per_class_more` further images of each class, `images` in all, would give.

    `gain` is the rise in accuracy from all images that there are to twice as many; `accuracy`
    is where the law then stands.
    """

    images: Positive
    per_class_more: Count
    gain: Estimate
    accuracy: Estimate
    law: PowerLaw


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Accuracy at growing numbers of training images, and what twice as many would give.

    `forecast` is None where the points do not allow one; `text` says why, or what it is.
    """

    approach: str
    backbone: str
    points: tuple[CurvePoint, ...]
    forecast: Forecast | None = None
    text: str = ""


def learning_curve(
    features: NDArray[Any],
    labels: IntArray,
    folds: IntArray,
    *,
    n_classes: int,
    fit: HeadFitter,
    setting: Any,
    groups: IntArray | None = None,
    seed: int = 0,
    approach: str = "",
    backbone: str = "",
    most_work: float = MOST_WORK,
) -> LearningCurve:
    """Accuracy of a head against the number of training images, and a forecast for twice as many.

    In every fold the parts are nested: each holds the one before. They are stratified, and grow
    by whole groups where images share groups. The setting is the same for all sizes, so what a
    small part could gain from a stronger penalty is not seen. Large data is tested on fewer
    folds, so that it stays a matter of seconds.

    Args:
        features: (n, d).
        labels: int64 (n,), 0..k-1.
        folds: int64 (r, n), the fold of each image in each repeat.
        n_classes: k.
        fit: trains the head.
        setting: of the head, the one that was chosen.
        groups: int64 (n,), equal numbers for images that belong together.
        seed: of the parts and of the resampling.
        approach, backbone: names, for the reader.
        most_work: images x features x classes of all fits together, beyond which folds are left
            out.

    >>> from regraft.heads import fit_logistic
    >>> random = np.random.default_rng(0)
    >>> labels = np.arange(120) % 2
    >>> features = random.normal(size=(120, 8)) + labels[:, None]
    >>> folds = (np.arange(120) // 2 % 5)[None]
    >>> curve = learning_curve(
    ...     features, labels, folds, n_classes=2, fit=fit_logistic, setting=4.0
    ... )
    >>> [point.images for point in curve.points]
    [10, 14, 24, 38, 60, 96]
    """
    number = np.arange(len(labels))
    if groups is not None:
        number = np.unique(groups, return_inverse=True)[1]
    alike = len(np.unique(number)) < len(number)
    sizes, seen, correct = _scores(
        features,
        labels,
        folds,
        number,
        n_classes=n_classes,
        fit=fit,
        setting=setting,
        seed=seed,
        most_work=most_work,
    )
    at = np.flatnonzero(seen)
    n_folds = len(np.unique(folds[0])) if len(folds) else 0
    points = tuple(
        CurvePoint(
            images=round(float(size)),
            per_class=float(size) / n_classes,
            accuracy=accuracy_estimate(
                right, number[at] if alike else None, folds=n_folds, seed=seed
            ),
        )
        for size, right in zip(sizes, correct, strict=True)
    )
    reason = _no_forecast(points, labels[at])
    if reason:
        return LearningCurve(approach, backbone, points, None, f"No forecast: {reason}.")
    forecast = _forecast(
        sizes,
        correct,
        number[at],
        images=len(labels),
        n_classes=n_classes,
        folds=n_folds,
        seed=seed,
    )
    return LearningCurve(approach, backbone, points, forecast, _said(forecast))


def fit_power_law(sizes: FloatArray, errors: FloatArray, weights: FloatArray) -> PowerLaw:
    """The power law that is nearest to the points by weighted least squares.

    For a given exponent the other two follow by non-negative least squares, so only the
    exponent is searched, on a grid and then around its best point (variable projection, Golub and
    Pereyra 1973): no start value, no local optimum.

    Args:
        sizes: float64 (p,), numbers of training images, above 0.
        errors: float64 (p,), 0 to 1.
        weights: float64 (p,), inverse variances of the errors.
    """
    from scipy.optimize import nnls

    root, largest = np.sqrt(weights), sizes.max()
    best, least = PowerLaw(float(np.average(errors, weights=weights)), 0.0, 1.0), np.inf
    for grid in (_EXPONENTS, _NEAR):
        around = 0.0 if grid is _EXPONENTS else best.exponent
        for exponent in np.clip(around + grid, _EXPONENTS[0], _EXPONENTS[-1]):
            # In units of the largest size, so that both columns are of the same magnitude.
            columns = np.stack([np.ones_like(sizes), (sizes / largest) ** -exponent], axis=1)
            (floor, scale), residual = nnls(columns * root[:, None], errors * root)
            if residual < least - 1e-12:
                least = residual
                best = PowerLaw(float(floor), float(scale * largest**exponent), float(exponent))
    return best


def _scores(
    features: NDArray[Any],
    labels: IntArray,
    folds: IntArray,
    groups: IntArray,
    *,
    n_classes: int,
    fit: HeadFitter,
    setting: Any,
    seed: int,
    most_work: float,
) -> tuple[FloatArray, NDArray[np.bool_], FloatArray]:
    """Mean sizes (p,), which images were tested, and how often each of those was right (p, m)."""
    tasks = _tasks(folds, features.shape, n_classes, most_work)
    parts = {}
    for repeat, fold in tasks:
        inside = np.flatnonzero(folds[repeat] != fold)
        rng = np.random.default_rng([seed, repeat, fold])
        parts[repeat, fold] = _nested_parts(labels[inside], groups[inside], rng), inside
    shares = _shares([labels[inside] for _, inside in parts.values()])
    x = span_coordinates(features)
    right = np.zeros((len(shares), len(labels)))
    tested = np.zeros(len(labels))
    sizes = np.zeros(len(shares))
    with fitting():
        for (repeat, fold), (rank, inside) in parts.items():
            at = np.flatnonzero(folds[repeat] == fold)
            tested[at] += 1
            for p, share in enumerate(shares):
                rows = inside[rank <= share]
                (head,) = fit(x[rows], labels[rows], n_classes, [setting])
                right[p, at] += head.logits(x[at]).argmax(axis=1) == labels[at]
                sizes[p] += len(rows)
    seen = tested > 0
    # Of sizes that are one number of images, the larger: the last one has to hold all of them.
    sizes, kept = np.unique(np.round(sizes / len(parts))[::-1], return_index=True)
    kept = len(shares) - 1 - kept
    return sizes, seen, right[kept][:, seen] / tested[seen]


def _tasks(
    folds: IntArray, shape: tuple[int, ...], n_classes: int, most_work: float
) -> list[tuple[int, int]]:
    """Pairs of repeat and fold to train on: as many as the work allows, whole repeats first."""
    n, d = shape
    tasks = [
        (repeat, int(fold))
        for repeat, row in enumerate(folds)
        for fold in np.unique(row)[:_FOLDS]
        if np.any(row != fold)
    ]
    affordable = int(most_work / max(1.0, n * min(n, d) * n_classes))
    if affordable >= _FOLDS:
        affordable -= affordable % _FOLDS
    return tasks[: max(1, affordable)]


def _nested_parts(labels: IntArray, groups: IntArray, rng: np.random.Generator) -> FloatArray:
    """For each row the share of its class that has to be taken for the row to be in, (m,).

    Taking all rows up to a share gives stratified parts, each inside the next. Groups are
    shuffled and each class takes them in that order.
    """
    place = rng.permutation(int(groups.max()) + 1)[groups]
    order = np.lexsort((rng.random(len(labels)), place, labels))
    rank = np.empty(len(labels))
    for c in np.unique(labels):
        own = order[labels[order] == c]
        # The first two of a class are always in: a class of one image teaches little.
        rank[own] = np.where(np.arange(len(own)) < 2, 0.0, np.arange(1, len(own) + 1) / len(own))
    return rank


def _shares(training_labels: list[IntArray]) -> FloatArray:
    """Shares of the training images, geometrically spaced up to 1."""
    counts = np.concatenate([np.unique(own, return_counts=True)[1] for own in training_labels])
    few, many = _SMALLEST
    smallest = int(counts.min())
    first = np.clip(smallest // 8, few, many) / smallest
    first = min(1.0, first, max(1 / _REACH, few / float(np.median(counts))))
    shares = np.geomspace(first, 1.0, POINTS)
    shares[-1] = 1.0
    return np.unique(shares + 1e-9)


def _no_forecast(points: tuple[CurvePoint, ...], labels: IntArray) -> str:
    """Why the points allow no forecast; "" if they do."""
    if len(points) < _FEWEST_POINTS:
        return "there is too little of a class to train on parts of them"
    last = points[-1].accuracy
    if last.value >= 1.0:
        return "everything was predicted right, so the curve cannot show what more data would give"
    if last.low <= np.bincount(labels).max() / len(labels):
        return (
            "trained on all of them it is not clearly better than always naming the most frequent "
            "class, so the curve has not begun to rise"
        )
    return ""


def _forecast(
    sizes: FloatArray,
    correct: FloatArray,
    groups: IntArray,
    *,
    images: int,
    n_classes: int,
    folds: int,
    seed: int,
) -> Forecast:
    """The law through the points, and through resampled ones for the interval."""
    wrong = 1.0 - correct  # (p, m)
    n = len(groups)
    errors = wrong.mean(axis=1)
    smoothed = (errors * n + 2) / (n + 4)  # Agresti and Coull: no point is free of doubt
    weights = n / (smoothed * (1 - smoothed))
    law = fit_power_law(sizes, errors, weights)
    number = np.unique(groups, return_inverse=True)[1]
    n_groups = int(number.max()) + 1
    rng = np.random.default_rng([seed, n])
    drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=_RESAMPLES)
    weighting = drawn[:, number].astype(np.float64)  # (b, m)
    resampled = (weighting @ wrong.T) / weighting.sum(axis=1, keepdims=True)
    # Real curves bend where the law does not, most at their beginning: the resamples begin at
    # different points, so that the interval holds what that does to the forecast.
    begin = rng.integers(len(sizes) - _FEWEST_POINTS + 1, size=_RESAMPLES)
    laws = [
        fit_power_law(sizes[i:], row[i:], weights[i:])
        for row, i in zip(resampled, begin, strict=True)
    ]

    def gain_of(one: PowerLaw) -> float:
        return one.error(images) - one.error(2 * images)

    method = "power law, bootstrap" + ("" if n_groups == n else " over groups")
    factor = fold_factor(folds)
    room = float(errors[-1])  # never more than what is left to gain
    gain = _estimate([gain_of(one) for one in laws], gain_of(law), factor, room, method)
    accuracy = _estimate(
        [1 - one.error(2 * images) for one in laws], 1 - law.error(2 * images), factor, 1.0, method
    )
    return Forecast(2 * images, round(images / n_classes), gain, accuracy, law)


def _estimate(
    values: list[float], value: float, factor: float, most: float, method: str
) -> Estimate:
    low, high = np.quantile(values, [0.025, 0.975])
    estimate = Estimate(value, min(float(low), value), max(float(high), value), method)
    estimate = estimate.widened(factor)
    value, low, high = (
        min(most, max(0.0, x)) for x in (estimate.value, estimate.low, estimate.high)
    )
    return Estimate(value, low, high, method)


def _said(forecast: Forecast) -> str:
    gain = forecast.gain
    more = f"bout {forecast.per_class_more:,} more of each class (twice as many)"
    if gain.high < FLAT:
        return f"The learning curve is flat: a{more} would give {gain.points}."
    if gain.value < _NOTHING:
        return (
            f"The learning curve does not rise clearly: a{more} may give nothing, and at most "
            f"{100 * gain.high:+.1f} points as far as this data can tell."
        )
    if gain.low < _NOTHING:
        return f"A{more} would give {gain.points}; that they give nothing cannot be ruled out."
    return f"A{more} would give {gain.points}."
