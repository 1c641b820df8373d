"""Where in a photo the evidence lies: class activation maps from the model's own graph.

With a linear head on the mean over places, the logit of a class is the mean of one number a place,
the features there times the weights of the class (Zhou et al. 2016, CVPR). No gradient is needed,
and so no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.engines.base import Engine
from regraft.engines.devices import load_graph
from regraft.engines.onnx import pooled_map, with_output
from regraft.kinds.images.transform import ImageTransform, as_of_images, seen_box
from regraft.model import Model, Prediction


class HeatMapper:
    """Predicts photos of one model and maps the evidence for the class it says."""

    def __init__(
        self,
        model: Model,
        transform: ImageTransform,
        engine: Engine,
        weights: NDArray[np.float32],
    ) -> None:
        """`engine` returns the map as third output; `weights` (d, k) are those of the head."""
        self._model = model
        self._transform = transform
        self._engine = engine
        self._weights = weights

    @classmethod
    def of(cls, model: Model) -> HeatMapper | None:
        """None for what is no photo, a head that is not linear, features that are no mean."""
        transform = as_of_images(model.transform)
        weights = model.tensors.get("head.weights")
        value = pooled_map(model.graph)
        if transform is None or weights is None or weights.ndim != 2 or value is None:
            return None
        engine = load_graph(with_output(model.graph, value))
        probe = engine.run(np.zeros((8, 8, 3), dtype=np.uint8))[2]
        if probe.ndim != 4 or probe.shape[1] != len(weights):
            return None
        return cls(model, transform, engine, np.asarray(weights, dtype=np.float32))

    def predict(
        self, image: NDArray[np.uint8], name: str = ""
    ) -> tuple[Prediction, dict[str, Any]]:
        """The prediction for an upright photo, uint8 (h, w, 3), and its map.

        The map has `values`, rows of places from the top, 0 to 1, where 1 is the strongest place
        of this photo, and `box`, the part of the photo that they cover: left, top, right, bottom in
        fractions of its width and height.
        """
        probabilities, unfamiliarity, places = self._engine.run(image)
        prediction = self._model.judge(name, probabilities, unfamiliarity)
        weights = self._weights[:, self._model.classes.index(prediction.predicted)]
        views = np.einsum("vdhw,d->vhw", places, weights)
        if len(views) == 2:  # the photo and its mirror image
            views[1] = views[1, :, ::-1]
        evidence = np.maximum(views.mean(axis=0), 0.0)
        strongest = float(evidence.max())
        shares = evidence / strongest if strongest > 0 else evidence
        height, width = image.shape[:2]
        return prediction, {
            "values": [[round(float(x), 3) for x in row] for row in shares],
            "box": [round(x, 4) for x in seen_box(self._transform, width, height)],
        }
