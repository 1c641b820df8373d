"""Nearest neighbours: features and labels in, a voting head for each number of them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.heads.base import onnx_constants, spread_sample, unit_rows
from regraft.metrics import FloatArray, IntArray

if TYPE_CHECKING:
    import onnx

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

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Cosines, the nearest ones, their weighted vote, its logarithm."""
        from onnx import helper, numpy_helper

        floor = _vote_floor(self.neighbours)
        steps: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
            ("LpNormalization", ["features"], ["head/unit"], {"axis": 0, "p": 2}),
            ("Transpose", ["head.references"], ["head/columns"], {"perm": [1, 0]}),
            ("MatMul", ["head/unit", "head/columns"], ["head/cosine"], {}),
            ("TopK", ["head/cosine", "head/count"], ["head/near", "head/nearest"], {}),
            ("Sub", ["head/near", "head/one"], ["head/gap"], {}),
            ("Mul", ["head/gap", "head/sharpness"], ["head/exponent"], {}),
            ("Exp", ["head/exponent"], ["head/weight"], {}),
            ("Gather", ["head.votes", "head/nearest"], ["head/ballots"], {}),
            ("MatMul", ["head/weight", "head/ballots"], ["head/sum"], {}),
            ("ReduceSum", ["head/weight"], ["head/total"], {"keepdims": 0}),
            ("Div", ["head/sum", "head/total"], ["head/share"], {}),
            ("Add", ["head/share", "head/floor"], ["head/floored"], {}),
            ("Log", ["head/floored"], ["logits"], {}),
        ]
        nodes = [helper.make_node(op, i, o, name=o[0], **a) for op, i, o, a in steps]
        scalars = {"head/one": 1.0, "head/sharpness": _SHARPNESS, "head/floor": floor}
        constants = onnx_constants(self.tensors())
        constants += [
            numpy_helper.from_array(np.asarray(value, dtype=np.float32), name)
            for name, value in scalars.items()
        ]
        constants.append(numpy_helper.from_array(np.array([self.neighbours]), "head/count"))
        return nodes, constants


def fit_knn(
    features: NDArray[Any],
    labels: IntArray,
    n_classes: int,
    neighbours: Sequence[int] = NEIGHBOURS,
) -> list[KnnHead]:
    """Nearest-neighbour heads, one for each number of neighbours (at most as many as images)."""
    kept = spread_sample(labels, _REFERENCES)
    references = unit_rows(features[kept])
    votes = np.eye(n_classes, dtype=np.float32)[labels[kept]]
    return [KnnHead(references, votes, min(count, len(kept))) for count in neighbours]


def _vote_floor(neighbours: int) -> float:
    """What a class without a vote gets, so that its logarithm exists: a tenth of a vote."""
    return 0.1 / neighbours
