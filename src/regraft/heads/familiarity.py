"""How far an image is from those the model was trained on, in feature space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.heads.base import onnx_constants, spread_sample, unit_rows
from regraft.metrics import FloatArray, IntArray

if TYPE_CHECKING:
    import onnx

FAMILIAR = 0.98  # share of the user's own images that should count as familiar
PROTOTYPES = 400


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What the training images look like in feature space, and how far away is foreign.

    An input's unfamiliarity is the mean cosine distance, 0 to 2, to the `neighbours` nearest of
    `prototypes` float32 (m, d), unit length; beyond `threshold` it counts as unfamiliar.
    """

    prototypes: NDArray[np.float32]
    neighbours: int
    threshold: float

    def distances(self, features: NDArray[Any]) -> FloatArray:
        """Unfamiliarity float64 (n,) of features (n, d)."""
        return _nearest_distances(unit_rows(features), self.prototypes, self.neighbours)

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """ONNX nodes and constants: `features` (d,) in, `unfamiliarity` () out."""
        from onnx import helper, numpy_helper

        steps: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
            ("LpNormalization", ["features"], ["familiarity/unit"], {"axis": 0, "p": 2}),
            ("Transpose", ["familiarity.prototypes"], ["familiarity/columns"], {"perm": [1, 0]}),
            ("MatMul", ["familiarity/unit", "familiarity/columns"], ["familiarity/cosine"], {}),
            (
                "TopK",
                ["familiarity/cosine", "familiarity/count"],
                ["familiarity/near", "familiarity/nearest"],
                {},
            ),
            ("ReduceMean", ["familiarity/near"], ["familiarity/mean"], {"keepdims": 0}),
            ("Sub", ["familiarity/one", "familiarity/mean"], ["unfamiliarity"], {}),
        ]
        nodes = [helper.make_node(op, i, o, name=o[0], **a) for op, i, o, a in steps]
        constants = onnx_constants({"familiarity.prototypes": self.prototypes})
        constants.append(numpy_helper.from_array(np.array([self.neighbours]), "familiarity/count"))
        constants.append(
            numpy_helper.from_array(np.asarray(1.0, dtype=np.float32), "familiarity/one")
        )
        return nodes, constants


def fit_familiarity(
    features: NDArray[Any],
    labels: IntArray,
    groups: IntArray,
    *,
    familiar: float = FAMILIAR,
    neighbours: int = 5,
) -> Familiarity:
    """Choose prototypes and the distance below which a share `familiar` of such images lies.

    The distance of a training image is measured to prototypes of other groups only, as that of
    a new image would be (k-nearest-neighbour distance: Sun et al., ICML 2022).
    """
    kept = spread_sample(labels, PROTOTYPES)
    unit = unit_rows(features)
    prototypes = unit[kept]
    neighbours = min(neighbours, len(kept))
    sample = spread_sample(labels, 10 * PROTOTYPES, seed=1)
    own = groups[sample][:, None] == groups[kept][None, :]
    distances = _nearest_distances(unit[sample], prototypes, neighbours, hidden=own)
    distances = np.sort(distances[np.isfinite(distances)])
    rank = int(np.ceil((len(distances) + 1) * familiar)) - 1
    threshold = float(distances[min(rank, len(distances) - 1)]) if len(distances) else 2.0
    return Familiarity(prototypes, neighbours, threshold)


def _nearest_distances(
    unit: NDArray[np.float32],
    prototypes: NDArray[np.float32],
    neighbours: int,
    *,
    hidden: NDArray[np.bool_] | None = None,
) -> FloatArray:
    cosine = unit @ prototypes.T
    if hidden is not None:
        cosine[hidden] = -np.inf
    near = np.partition(cosine, -neighbours, axis=1)[:, -neighbours:]
    return np.asarray(1.0 - near.mean(axis=1), dtype=np.float64)
