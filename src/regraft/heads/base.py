"""What a head is, and what several kinds of it share.

Letters in this package: n images, d features, k classes, s settings. Features are float (n, d),
labels int64 (n,) class numbers 0..k-1, logits float64 (n, k).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from regraft.metrics.rates import FloatArray, IntArray
from regraft.onnx_graphs import GraphBuilder


class Head(Protocol):
    """A fitted head: features in, logits out; its tensors and its graph for the artifact."""

    def logits(self, features: NDArray[Any]) -> FloatArray:
        """Uncalibrated logits float64 (n, k)."""

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """What is saved, by name."""

    def add_to(self, graph: GraphBuilder) -> None:
        """Write what the head does into a graph: `features` (d,) in, `logits` (k,) out."""


HeadFitter = Callable[[NDArray[Any], IntArray, int, Sequence[Any]], Sequence[Head]]
"""Fits one head for each setting: features, labels, number of classes, settings."""


def unit_rows(features: NDArray[Any]) -> NDArray[np.float32]:
    """Rows scaled to length 1, float32; a row of zeros stays zero."""
    x = np.asarray(features, dtype=np.float32)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.maximum(lengths, 1e-12), dtype=np.float32)


@contextlib.contextmanager
def fitting() -> Iterator[None]:
    """One thread of linear algebra, and no word on penalties that have not quite converged.

    On matrices of this size threads cost more than they bring, and on a busy machine they wait
    for each other: 3,700 images took 103 s on two threads and 6 s on one. A head of a weak
    penalty that stopped at the iteration limit is judged by its predictions like any other.
    """
    import warnings

    import sklearn.linear_model  # noqa: F401 - only libraries that are loaded can be limited
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
