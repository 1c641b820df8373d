"""How far an image is from those the model was trained on.

The distance to the nearest training images tells photos of another kind. Those of the kind that
show something no class stands for lie close by; there the doubt of the classifier tells more
(Hendrycks and Gimpel, ICLR 2017), so the distance is multiplied by one to two, the more the classes
are in doubt. What each part and both together tell is measured in `benchmarks/reject.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.heads.base import unit_rows
from regraft.metrics.rates import FloatArray, IntArray
from regraft.onnx_graphs import GraphBuilder
from regraft.sampling import stratified_sample

FAMILIAR = 0.98  # share of the user's own images that should count as familiar
PROTOTYPES = 400


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What the training images look like in feature space, and how far away is foreign.

    An input's unfamiliarity, 0 to 4, is the mean cosine distance to the `neighbours` nearest of
    `prototypes` float32 (m, d), unit length, times 2 minus its highest probability; beyond
    `threshold` it counts as unfamiliar.
    """

    prototypes: NDArray[np.float32]
    neighbours: int
    threshold: float

    def distances(self, features: NDArray[Any]) -> FloatArray:
        """Mean cosine distance float64 (n,), 0 to 2, of features (n, d)."""
        return _nearest_distances(unit_rows(features), self.prototypes, self.neighbours)

    def unfamiliarity(self, features: NDArray[Any], probabilities: FloatArray) -> FloatArray:
        """Unfamiliarity float64 (n,) of features (n, d) with calibrated probabilities (n, k)."""
        return self.distances(features) * (1.0 + doubt(probabilities))

    def add_to(self, graph: GraphBuilder) -> None:
        """Into a graph: `features` (d,), `probabilities` (k,) in, `unfamiliarity` out.

        The output has no dimensions.
        """
        prototypes = graph.tensor("familiarity.prototypes", self.prototypes)
        unit = graph("LpNormalization", "features", axis=0, p=2)
        cosine = graph("MatMul", unit, graph("Transpose", prototypes, perm=[1, 0]))
        near, _ = graph.pair("TopK", cosine, graph.ints(self.neighbours))
        distance = graph("Sub", graph.floats(1.0), graph("ReduceMean", near, keepdims=0))
        highest = graph("ReduceMax", "probabilities", keepdims=0)
        factor = graph("Sub", graph.floats(2.0), highest)
        graph("Mul", distance, factor, output="unfamiliarity")


def doubt(probabilities: FloatArray) -> FloatArray:
    """1 minus the highest of probabilities (..., k): 0 for a sure prediction, below 1."""
    return np.asarray(1.0 - probabilities.max(axis=-1))


def fit_familiarity(
    features: NDArray[Any],
    labels: IntArray,
    groups: IntArray,
    doubts: FloatArray,
    *,
    familiar: float = FAMILIAR,
    neighbours: int = 5,
) -> Familiarity:
    """Choose prototypes and the unfamiliarity below which a share `familiar` of such images lies.

    The distance of a training image is measured to prototypes of other groups only, as that of
    a new image would be (k-nearest-neighbour distance: Sun et al., ICML 2022).

    Args:
        features: (n, d), of training images.
        labels: class numbers (n,).
        groups: (n,); images of one group are not independent.
        doubts: (n,), see `doubt`, of predictions that had not seen the image; NaN where there is
            none: such images have no part in the threshold.
        familiar: the share, 0 to 1.
        neighbours: how many prototypes a distance is the mean of.
    """
    kept = stratified_sample(labels, PROTOTYPES, every_class=True)
    unit = unit_rows(features)
    prototypes = unit[kept]
    neighbours = min(neighbours, len(kept))
    sample = stratified_sample(labels, 10 * PROTOTYPES, every_class=True, seed=1)
    own = groups[sample][:, None] == groups[kept][None, :]
    distances = _nearest_distances(unit[sample], prototypes, neighbours, hidden=own)
    distances = distances * (1.0 + doubts[sample])
    distances = np.sort(distances[np.isfinite(distances)])
    rank = int(np.ceil((len(distances) + 1) * familiar)) - 1
    threshold = float(distances[min(rank, len(distances) - 1)]) if len(distances) else 4.0
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
