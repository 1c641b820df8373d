"""Outliers: photos unlike all others, which may not belong to the set at all.

Scored by the cosine distance to the k-th nearest neighbour in feature space (Sun et al., ICML 2022,
where it tells foreign images better than other scores do). The k-th and not the nearest: ten
foreign photos of one kind are near each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regraft.inspection.issues.neighbours import Neighbours
from regraft.metrics.rates import FloatArray, IntArray

NEIGHBOUR = 15  # the k-th
FARTHEST = 3.0  # robust standard deviations beyond the median from which a photo is listed
LISTED = 0.02  # of the photos at the most
_FEWEST = 20  # photos, fewer show no pattern to lie outside of


@dataclass(frozen=True, slots=True)
class Outliers:
    """`scores` float64 (n,), 0 to 1, higher is odder; `order` the photos listed, oddest first."""

    scores: FloatArray
    order: IntArray


def find_outliers(neighbours: Neighbours, *, copies: IntArray | None = None) -> Outliers:
    """Rank photos by their distance to the k-th nearest that is no copy of them.

    The distance becomes a score between 0 and 1 by its place among all distances: the median is
    at 0.5, and every robust standard deviation beyond it halves what is missing to 1.

    Args:
        neighbours: at least a few for each photo; the more, the larger a group of foreign photos
            may be.
        copies: int64 (n,), equal numbers for photos that show one picture; they do not count.
    """
    n, k = neighbours.indices.shape
    known = neighbours.indices[:, 0] >= 0 if k else np.zeros(n, dtype=bool)
    scores = np.zeros(n)
    if known.sum() < _FEWEST:
        return Outliers(scores, np.empty(0, dtype=np.int64))
    distance = 1.0 - neighbours.cosine.astype(np.float64)
    counts = neighbours.indices >= 0
    if copies is not None:
        twin = copies[np.maximum(neighbours.indices, 0)] == copies[:, None]
        counts &= ~twin
    distance[~counts] = np.nan
    ranked = np.sort(distance, axis=1)  # NaN last
    available = counts.sum(axis=1)
    at = np.minimum(NEIGHBOUR, np.maximum(available, 1)) - 1
    kth = ranked[np.arange(n), at]
    known &= np.isfinite(kth)
    if known.sum() < _FEWEST:
        return Outliers(scores, np.empty(0, dtype=np.int64))
    middle = np.median(kth[known])
    spread = 1.4826 * np.median(np.abs(kth[known] - middle))
    steps = (kth[known] - middle) / max(spread, 1e-9)
    scores[known] = 1.0 - 0.5 ** (1.0 + np.clip(steps, -1.0, 1_000.0))
    listed = np.flatnonzero(known)[steps > FARTHEST]
    order = listed[np.argsort(-kth[listed], kind="stable")]
    return Outliers(scores, order[: max(20, int(LISTED * n))])
