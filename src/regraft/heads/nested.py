"""Nested cross-validation: settings chosen without the fold they are scored on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.heads.base import HeadFitter
from regraft.heads.calibration import fit_temperature, softmax
from regraft.metrics.rates import FloatArray, IntArray, log_losses
from regraft.sampling import stratified_sample
from regraft.workers import map_threads

_SELECTION_ROWS = 3_000  # images on which a setting is chosen at the most
ALL_PAIRS_ROWS = 1_000  # beyond it settings are chosen on one inner fold instead of all

Chooser = Callable[[FloatArray, IntArray, int], FloatArray]
"""Logits (s, m, k) by heads that had not seen the image, labels (m,), and of how many images these
are, in; in what proportions, float64 (s,), the logits of the settings are added up, calibration
included, out. Without images it has to say something as well."""


def choose_one(logits: FloatArray, labels: IntArray, _images: int) -> FloatArray:
    """A `Chooser`: the best setting alone, see `choose_setting`."""
    setting, temperature = choose_setting(logits, labels)
    weights = np.zeros(len(logits))
    weights[setting] = 1.0 / temperature
    return weights


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What cross-validation found for one assignment to folds.

    `probabilities` float64 (n, k): each image predicted by a head, a setting and a temperature
    that were all chosen without its fold. `inner_logits` float64 (s, m, k) and `inner_labels`
    int64 (m,) are the predictions on inner folds for every setting, from which the setting of
    the final head is chosen.

    `fewer` float64 (q, n, k) are predictions of the inner heads, with the setting and temperature
    of their outer fold: each image by q of them, which were trained without its fold and another
    one, on `fewer_images` images in the mean. Without inner heads q is 0.
    """

    probabilities: FloatArray
    inner_logits: FloatArray
    inner_labels: IntArray
    fewer: FloatArray
    fewer_images: float


def cross_validate_head(
    fit: HeadFitter,
    settings: Sequence[Any],
    features: NDArray[Any],
    labels: IntArray,
    folds: IntArray,
    *,
    n_classes: int,
    all_pairs_rows: int = ALL_PAIRS_ROWS,
    choose: Chooser = choose_one,
) -> OutOfFold:
    """Nested cross-validation: inside each fold the setting and temperature are chosen anew.

    The inner folds of an outer fold are the other outer folds (Varma and Simon 2006, BMC
    Bioinformatics 7:91, for why the choice must be nested). A head trained without folds i and j
    serves both as inner fit of i and of j, which halves the work; with many images each outer
    fold looks at a single inner one. With two folds there is nothing to choose on: the middle
    setting is taken as it is.

    Args:
        fit: trains one head for each setting it is given.
        settings: to choose from.
        features: (n, d).
        labels: int64 (n,).
        folds: int64 (n,), 0..f-1.
        n_classes: k.
        all_pairs_rows: of more images than these, settings are chosen on one inner fold.
        choose: which settings predict, and how much each counts.
    """

    inner_images: list[int] = []

    def logits_without(left_out: Sequence[int], values: Sequence[Any], at: IntArray) -> FloatArray:
        rows = np.flatnonzero(~np.isin(folds, left_out))
        if len(left_out) > 1:
            rows = rows[stratified_sample(labels[rows], _SELECTION_ROWS, every_class=True)]
            inner_images.append(len(rows))
        heads = fit(features[rows], labels[rows], n_classes, values)
        return np.stack([head.logits(features[at]) for head in heads])

    numbers = [int(i) for i in np.unique(folds)]
    all_pairs = len(labels) <= all_pairs_rows
    pairs = _inner_pairs(numbers, all_pairs=all_pairs)

    def inner_logits(pair: tuple[int, int]) -> tuple[IntArray, FloatArray]:
        at = np.flatnonzero(np.isin(folds, pair if all_pairs else pair[1:]))
        return at, logits_without(pair, settings, at)

    inner: dict[int, list[tuple[IntArray, FloatArray]]] = {i: [] for i in numbers}
    for (i, j), (at, logits) in zip(pairs, map_threads(inner_logits, pairs), strict=True):
        for outer, fold in [(i, j), (j, i)] if all_pairs else [(i, j)]:
            inner[outer].append((at[folds[at] == fold], logits[:, folds[at] == fold]))

    probabilities = np.zeros((len(labels), n_classes))
    times = np.zeros(len(labels), dtype=np.int64)  # that an image was predicted by an inner head
    fewer = np.zeros((len(pairs) and (len(numbers) - 1 if all_pairs else 1), *probabilities.shape))
    nothing = (np.empty(0, np.int64), np.zeros((len(settings), 0, n_classes)))
    for i in numbers:
        at = np.flatnonzero(folds == i)
        seen, values = _joined(inner[i], nothing)
        weights = choose(values, labels[seen], len(np.unique(seen)))
        if len(seen):
            fewer[times[seen], seen] = softmax(np.tensordot(weights, values, 1))
            times[seen] += 1
        used = np.flatnonzero(weights).tolist()
        logits = logits_without((i,), [settings[s] for s in used], at)
        probabilities[at] = softmax(np.tensordot(weights[used], logits, 1))
    seen, values = _joined([part for parts in inner.values() for part in parts], nothing)
    mean_images = float(np.mean(inner_images)) if inner_images else 0.0
    return OutOfFold(probabilities, values, labels[seen], fewer, mean_images)


def _inner_pairs(numbers: Sequence[int], *, all_pairs: bool) -> list[tuple[int, int]]:
    """Outer and inner folds: every two of them once, or each with the next one."""
    if len(numbers) < 3:
        return []
    if all_pairs:
        return [(i, j) for i in numbers for j in numbers if i < j]
    return [(i, numbers[(at + 1) % len(numbers)]) for at, i in enumerate(numbers)]


def _joined(
    parts: Sequence[tuple[IntArray, FloatArray]], nothing: tuple[IntArray, FloatArray]
) -> tuple[IntArray, FloatArray]:
    if not parts:
        return nothing
    rows = np.concatenate([rows for rows, _ in parts])
    return rows, np.concatenate([values for _, values in parts], axis=1)


def choose_setting(logits: FloatArray, labels: IntArray) -> tuple[int, float]:
    """The setting whose calibrated probabilities lose least, and its temperature.

    Args:
        logits: float64 (s, n, k), of images the heads did not train on; without any image the
            middle setting and a temperature of 1 are returned.
        labels: int64 (n,).
    """
    if len(labels) == 0:
        return len(logits) // 2, 1.0
    temperatures = [fit_temperature(z, labels) for z in logits]
    losses = [
        float(log_losses(labels, softmax(z / t)).mean())
        for z, t in zip(logits, temperatures, strict=True)
    ]
    best = int(np.argmin(losses))
    return best, temperatures[best]


def span_coordinates(features: NDArray[Any]) -> NDArray[Any]:
    """Coordinates (n, min(n, d)) of n rows in the space they span.

    A linear head with an L2 penalty and a cosine depend on inner products only, so with fewer
    images than features working on coordinates changes nothing but the time it takes.
    """
    n, d = features.shape
    if n >= d:
        return features
    triangle = np.linalg.qr(np.asarray(features, dtype=np.float64).T, mode="r")
    return np.asarray(triangle).T
