"""Features in, the nearest neighbours of every image out.

Small sets are compared pair by pair. Larger ones use a graph that is searched greedily (HNSW:
Malkov and Yashunin 2020, IEEE TPAMI 42:824; usearch), which grows as n log n; it finds nearly all
of the nearest and nearly always the copies, which are what lies closest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT_BELOW = 1_000  # images
_GRAPH_WIDTH = 128  # features are projected to so many before the graph is built
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Neighbours:
    """`indices` int64 (n, k) of the nearest others, nearest first, and their cosine, (n, k).

    Where there are fewer than k, the rest is -1 with a cosine of -1.
    """

    indices: NDArray[np.int64]
    cosine: NDArray[np.float32]


def find_neighbours(features: NDArray[Any], k: int) -> Neighbours:
    """The k nearest by cosine of every row of `features` (n, d), itself not among them.

    Rows with NaN have no neighbours and are nobody's.
    """
    n = len(features)
    indices = np.full((n, k), -1, dtype=np.int64)
    cosine = np.full((n, k), -1.0, dtype=np.float32)
    known = np.flatnonzero(np.isfinite(features).all(axis=1))
    if len(known) < 2:
        return Neighbours(indices, cosine)
    unit = np.asarray(features[known], dtype=np.float32)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    if len(known) < EXACT_BELOW:
        found, near = _exact(unit, k)
    else:
        found, near = _by_graph(unit, k)
    width = found.shape[1]
    indices[known, :width] = np.where(found >= 0, known[found], -1)
    cosine[known, :width] = near
    return Neighbours(indices, cosine)


def _exact(unit: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    k = min(k, len(unit) - 1)
    indices = np.empty((len(unit), k), dtype=np.int64)
    cosine = np.empty((len(unit), k), dtype=np.float32)
    for start in range(0, len(unit), _BLOCK):
        block = unit[start : start + _BLOCK] @ unit.T
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        best = np.argpartition(-block, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(block, best, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")
        indices[start : start + _BLOCK] = np.take_along_axis(best, order, axis=1)
        cosine[start : start + _BLOCK] = np.take_along_axis(near, order, axis=1)
    return indices, cosine


def _by_graph(unit: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Candidates from a graph on projected features, their cosines from the features themselves.

    One thread builds it, so that equal features give an equal graph.
    """
    from regraft.engines.onnx import load_runtime

    load_runtime()
    from usearch.index import Index

    small = _projected(unit)
    index = Index(ndim=small.shape[1], metric="cos", dtype="f32", connectivity=16)
    index.add(np.arange(len(small)), small, threads=1)
    wanted = min(2 * k + 1, len(small))
    matches: Any = index.search(small, wanted, threads=1)
    candidates = np.asarray(matches.keys, dtype=np.int64).reshape(len(small), wanted)
    indices = np.full((len(unit), k), -1, dtype=np.int64)
    cosine = np.full((len(unit), k), -1.0, dtype=np.float32)
    for start in range(0, len(unit), _BLOCK):
        part = candidates[start : start + _BLOCK]
        rows = np.arange(start, start + len(part))
        near = np.einsum("bd,bkd->bk", unit[rows], unit[part])
        near[part == rows[:, None]] = -np.inf
        order = np.argsort(-near, axis=1, kind="stable")[:, :k]
        width = min(k, wanted - 1)
        indices[rows, :width] = np.take_along_axis(part, order, axis=1)[:, :width]
        cosine[rows, :width] = np.take_along_axis(near, order, axis=1)[:, :width]
    indices[~np.isfinite(cosine)] = -1
    cosine[~np.isfinite(cosine)] = -1.0
    return indices, cosine


def _projected(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first principal components of a sample, of all rows."""
    if unit.shape[1] <= _GRAPH_WIDTH:
        return np.ascontiguousarray(unit)
    sample = unit[:: max(1, len(unit) // 2_000)]
    mean = sample.mean(axis=0)
    _, _, components = np.linalg.svd(sample - mean, full_matrices=False)
    found = (unit - mean) @ components[:_GRAPH_WIDTH].T
    return np.ascontiguousarray(found, dtype=np.float32)
