"""Nearest neighbours: features and labels in, a voting head for each number of them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.heads.base import unit_rows
from regraft.metrics.rates import FloatArray, IntArray
from regraft.onnx_graphs import GraphBuilder
from regraft.sampling import stratified_sample

NEIGHBOURS = (1, 3, 5, 10, 20, 50)
_SHARPNESS = 1 / 0.07  # weight of a neighbour: exp(sharpness * cosine), Wu et al., CVPR 2018
_REFERENCES = 20_000  # images a head keeps at the most


@dataclass(frozen=True, slots=True)
class KnnHead:
    """Weighted vote of the nearest training images by cosine (Wu et al., CVPR 2018).

    `references` float32 (m, d) are the training features scaled to unit length, `votes` float32
    (m, k) their classes one-hot, `neighbours` how many of them vote.
    """

    references: NDArray[np.float32]
    votes: NDArray[np.float32]
    neighbours: int

    def logits(self, features: NDArray[Any]) -> FloatArray:
        """Log of each class's share of the vote, float64 (n, k)."""
        out = np.empty((len(features), self.votes.shape[1]))
        for start in range(0, len(features), 4096):  # bounds the (n, m) matrix of cosines
            part = slice(start, start + 4096)
            cosine = unit_rows(features[part]) @ self.references.T
            nearest = np.argpartition(-cosine, self.neighbours - 1, axis=1)[:, : self.neighbours]
            near = np.take_along_axis(cosine, nearest, axis=1)
            weight = np.exp(_SHARPNESS * (near - 1.0))
            share = (weight[..., None] * self.votes[nearest]).sum(axis=1)
            share /= weight.sum(axis=1, keepdims=True)
            out[part] = np.log(share + _vote_floor(self.neighbours))
        return out

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """`head.references` (m, d) and `head.votes` (m, k)."""
        return {"head.references": self.references, "head.votes": self.votes}

    def add_to(self, graph: GraphBuilder) -> None:
        """Cosines, the nearest ones, their weighted vote, its logarithm."""
        references, votes = (graph.tensor(*named) for named in self.tensors().items())
        unit = graph("LpNormalization", "features", axis=0, p=2)
        cosine = graph("MatMul", unit, graph("Transpose", references, perm=[1, 0]))
        near, nearest = graph.pair("TopK", cosine, graph.ints(self.neighbours))
        gap = graph("Sub", near, graph.floats(1.0))
        weight = graph("Exp", graph("Mul", gap, graph.floats(_SHARPNESS)))
        ballots = graph("MatMul", weight, graph("Gather", votes, nearest))
        share = graph("Div", ballots, graph("ReduceSum", weight, keepdims=0))
        floor = graph.floats(_vote_floor(self.neighbours))
        graph("Log", graph("Add", share, floor), output="logits")


def fit_knn(
    features: NDArray[Any],
    labels: IntArray,
    n_classes: int,
    neighbours: Sequence[int] = NEIGHBOURS,
) -> list[KnnHead]:
    """Nearest-neighbour heads, one for each number of neighbours (at most as many as images)."""
    kept = stratified_sample(labels, _REFERENCES, every_class=True)
    references = unit_rows(features[kept])
    votes = np.eye(n_classes, dtype=np.float32)[labels[kept]]
    return [KnnHead(references, votes, min(count, len(kept))) for count in neighbours]


def _vote_floor(neighbours: int) -> float:
    """What a class without a vote gets, so that its logarithm exists: a tenth of a vote."""
    return 0.1 / neighbours
