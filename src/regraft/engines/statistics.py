"""A network and pixels in, how far the pixels are from its pretraining data out.

Batch normalisation stores the mean and variance that each channel had in pretraining. Comparing
them with those of other images needs neither the pretraining images nor labels. Nothing is kept
of an image but its share in running sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

SMALLEST_VARIANCE = 1e-3
"""Channels whose stored variance is smaller are skipped: they hardly vary, and the distance
divides by that variance."""


@dataclass(frozen=True, slots=True)
class LayerDistance:
    """One layer of batch normalisation and how far its input is from that of pretraining.

    Attributes:
        name: of the layer in the network, such as "blocks.1.0.bn1".
        distance: median over channels, in stored standard deviations; 0 is no difference.
        channels: how many channels the median is over.
    """

    name: str
    distance: float
    channels: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What a network shows about some images.

    Attributes:
        layers: in the order of the forward pass; empty without batch normalisation.
        top_probability: mean over images of the highest probability, 0 to 1, that the classifier
            from pretraining gives any of its own classes; NaN without images.
        images: how many were seen.
    """

    layers: tuple[LayerDistance, ...]
    top_probability: float
    images: int


def observe(network: torch.nn.Module, batches: Iterable[NDArray[np.float32]]) -> Observation:
    """Run pixels through a network and compare each layer's input with the stored statistics.

    With stored mean m and variance v of a channel, and mean a and variance b of these images
    there (over images and positions), the channel's distance is
    sqrt(((a - m)^2 + (sqrt b - sqrt v)^2) / v): the 2-Wasserstein distance of two normal
    distributions in units of the stored deviation. A layer's is the median of its channels.

    Args:
        network: in evaluation mode, with the classifier of its pretraining; left as it is.
        batches: float32 (n, 3, s, s), transformed as in pretraining.

    Raises:
        ValueError: the network is in training mode, where running it would change it.
    """
    import torch

    if network.training:
        raise ValueError("the network is in training mode; call network.eval() first")
    sums: dict[str, _ChannelSums] = {}
    hooks = [
        module.register_forward_pre_hook(_adding_to(sums, name))
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None
    ]
    top_sum, images = 0.0, 0
    try:
        with torch.inference_mode():
            for batch in batches:
                logits = network(torch.from_numpy(batch))  # (n, classes of pretraining)
                top_sum += float(logits.double().softmax(dim=1).amax(dim=1).sum())
                images += len(batch)
    finally:
        for hook in hooks:
            hook.remove()
    measured = (found.distance(name) for name, found in sums.items())
    return Observation(
        layers=tuple(layer for layer in measured if layer is not None),
        top_probability=top_sum / images if images else math.nan,
        images=images,
    )


class _ChannelSums:
    """Sums over images and positions of one layer's input, less the stored mean, by channel.

    Taking off the stored mean first keeps the variance exact where the mean is large.
    """

    def __init__(self, layer: Any) -> None:
        self._mean = layer.running_mean  # (c,)
        self._variance: NDArray[np.float64] = layer.running_var.double().numpy()
        self._count = 0
        self._sum = np.zeros(len(self._variance))
        self._squares = np.zeros(len(self._variance))

    def add(self, x: torch.Tensor) -> None:
        """Count in the layer's input, (n, c, h, w)."""
        import torch

        centred = x - self._mean[:, None, None]
        self._sum += centred.sum(dim=(0, 2, 3), dtype=torch.float64).numpy()
        self._squares += centred.square_().sum(dim=(0, 2, 3), dtype=torch.float64).numpy()
        self._count += x.shape[0] * x.shape[2] * x.shape[3]

    def distance(self, name: str) -> LayerDistance | None:
        """The layer's distance; None where every channel is skipped."""
        kept = self._variance >= SMALLEST_VARIANCE
        if not kept.any():
            return None
        stored = self._variance[kept]
        shift = self._sum[kept] / self._count
        variance = np.maximum(self._squares[kept] / self._count - shift**2, 0.0)
        distances = np.sqrt((shift**2 + (np.sqrt(variance) - np.sqrt(stored)) ** 2) / stored)
        return LayerDistance(name, float(np.median(distances)), int(kept.sum()))


def _adding_to(sums: dict[str, _ChannelSums], name: str) -> Any:
    """A hook that counts in what goes into the layer `name`."""

    def add(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if name not in sums:  # in the order in which layers are reached
            sums[name] = _ChannelSums(layer)
        sums[name].add(inputs[0])

    return add
