"""Some rows of many, in which classes keep their shares.

A leaf module.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_sample(
    labels: NDArray[np.int64], size: int, *, every_class: bool = False, seed: int = 0
) -> NDArray[np.int64]:
    """Row numbers, ascending: all, or `size` of them in which each class keeps its share.

    Each class is shuffled and its i-th row of c stands at (i + u) / c between 0 and 1, where u
    is drawn once a class; the rows that stand lowest are taken (systematic sampling).

    Args:
        labels: class numbers (n,).
        size: how many.
        every_class: take the lowest row of each class in any case, and so up to a row a class more.
        seed: of the draw.

    >>> stratified_sample(np.array([0, 0, 0, 0, 1, 1]), 3).size
    3
    """
    if len(labels) <= size:
        return np.arange(len(labels))
    place = np.empty(len(labels))
    random = np.random.default_rng(seed)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        place[random.permutation(rows)] = (np.arange(len(rows)) + random.random()) / len(rows)
    lowest_first = np.argsort(place, kind="stable")
    drawn = lowest_first[:size]
    if every_class:
        drawn = np.union1d(
            drawn, lowest_first[np.unique(labels[lowest_first], return_index=True)[1]]
        )
    return np.sort(drawn)
