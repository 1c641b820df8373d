"""Where in a photo the evidence lies: class activation maps from the model's own graph.

With a linear head on the mean over places, the logit of a class is the mean of one number a place,
the features there times the weights of the class (Zhou et al. 2016, CVPR). A maximum lies where it
is reached, and a standard deviation is a sum over places as well, of squared distances from the
mean; so the logit of a head on several depths is divided among places without a rest. No gradient
is needed, and so no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.backbones.depths import FEATURES, value_in_model
from regraft.engines.base import Engine
from regraft.engines.devices import load_graph
from regraft.engines.onnx import pooled_map, with_outputs
from regraft.kinds.images.transform import ImageTransform, as_of_images, seen_box
from regraft.metrics.rates import FloatArray
from regraft.model import GAIN, Model, Prediction

_GRID = 14  # places a side of a map of several depths: the first ones have a hundred


@dataclass(frozen=True, slots=True)
class _Place:
    """A map in the graph, and the weights (c, k) of its statistics; None for those not in use."""

    value: str
    mean: NDArray[np.float32]
    maximum: NDArray[np.float32] | None = None
    deviation: NDArray[np.float32] | None = None

    def evidence(self, maps: NDArray[np.float32], label: int) -> FloatArray:
        """What each place of maps (v, c, h, w) adds to the logit of a class, float64 (v, h, w)."""
        x = maps.astype(np.float64)
        n = x.shape[2] * x.shape[3]
        found = np.einsum("vchw,c->vhw", x, self.mean[:, label]) / n
        if self.maximum is not None:
            reached = x == x.max(axis=(2, 3), keepdims=True)
            shares = x * reached / reached.sum(axis=(2, 3), keepdims=True)
            found += np.einsum("vchw,c->vhw", shares, self.maximum[:, label])
        if self.deviation is not None:
            squares = np.square(x - x.mean(axis=(2, 3), keepdims=True))
            deviation = np.sqrt(squares.mean(axis=(2, 3), keepdims=True))
            shares = squares / np.maximum(n * deviation, 1e-12)
            found += np.einsum("vchw,c->vhw", shares, self.deviation[:, label])
        return np.asarray(found)


def _places(model: Model, weights: NDArray[np.float32]) -> Iterator[_Place]:
    """The maps that the head of a model sees statistics of; none where it sees something else."""
    if GAIN not in model.tensors:
        if value := pooled_map(model.graph):
            yield _Place(value, weights)
        return
    weights = weights * model.tensors[GAIN][:, None]
    start = 0
    widths = model.settings["widths"]
    for depth, width in zip(model.settings["depths"], widths, strict=True):
        own = weights[start : start + width]
        start += width
        if depth == FEATURES:
            value = pooled_map(model.graph, value_in_model(depth))
            yield _Place(value or "", own)
        else:
            mean, maximum, deviation = np.split(own, 3)
            yield _Place(value_in_model(depth), mean, maximum, deviation)


def _on_one_grid(maps: Sequence[FloatArray]) -> FloatArray:
    """Maps (h, w) of different sizes added up, what lies in a place shared among its parts."""
    from PIL import Image

    if len(maps) == 1:
        return maps[0]
    side = min(_GRID, max(len(one) for one in maps))
    resized = (
        np.asarray(
            Image.fromarray(one.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
        )
        * (one.size / side**2)
        for one in maps
    )
    return np.asarray(sum(resized), dtype=np.float64)


class HeatMapper:
    """Predicts photos of one model and maps the evidence for the class it says."""

    def __init__(
        self, model: Model, transform: ImageTransform, engine: Engine, places: Sequence[_Place]
    ) -> None:
        """`engine` returns the maps of `places` behind the model's own outputs."""
        self._model = model
        self._transform = transform
        self._engine = engine
        self._places = places

    @classmethod
    def of(cls, model: Model) -> HeatMapper | None:
        """None for what is no photo, a head that is not linear, features that are of no maps."""
        transform = as_of_images(model.transform)
        weights = model.tensors.get("head.weights")
        if transform is None or weights is None or weights.ndim != 2:
            return None
        places = list(_places(model, np.asarray(weights, dtype=np.float32)))
        if not places or not all(place.value for place in places):
            return None
        engine = load_graph(with_outputs(model.graph, [place.value for place in places]))
        maps = engine.run(np.zeros((8, 8, 3), dtype=np.uint8))[2:]
        fits = (
            m.ndim == 4 and m.shape[1] == len(p.mean) for m, p in zip(maps, places, strict=True)
        )
        return cls(model, transform, engine, places) if all(fits) else None

    def evidence(self, image: NDArray[np.uint8], label: int) -> FloatArray:
        """What each place of an upright photo, uint8 (h, w, 3), adds to a logit, float64 (g, g).

        The sum is the logit of class `label` before calibration, but for what is the same for all
        photos.
        """
        return self._added(self._engine.run(image)[2:], label)

    def _added(self, maps: Sequence[NDArray[np.float32]], label: int) -> FloatArray:
        found = []
        for place, views in zip(self._places, maps, strict=True):
            evidence = place.evidence(views, label)
            if len(evidence) == 2:  # the photo and its mirror image
                evidence[1] = evidence[1, :, ::-1]
            found.append(evidence.mean(axis=0))
        return _on_one_grid(found)

    def predict(
        self, image: NDArray[np.uint8], name: str = ""
    ) -> tuple[Prediction, dict[str, Any]]:
        """The prediction for an upright photo, uint8 (h, w, 3), and its map.

        The map has `values`, rows of places from the top, 0 to 1, where 1 is the strongest place
        of this photo, and `box`, the part of the photo that they cover: left, top, right, bottom in
        fractions of its width and height.
        """
        probabilities, unfamiliarity, *maps = self._engine.run(image)
        prediction = self._model.judge(name, probabilities, unfamiliarity)
        label = self._model.classes.index(prediction.predicted)
        total = np.maximum(self._added(maps, label), 0.0)
        strongest = float(total.max())
        shares = total / strongest if strongest > 0 else total
        height, width = image.shape[:2]
        return prediction, {
            "values": [[round(float(x), 3) for x in row] for row in shares],
            "box": [round(x, 4) for x in seen_box(self._transform, width, height)],
        }
