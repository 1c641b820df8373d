"""Statistics of several depths of a torch network, as `backbones.depths` has them as a graph."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.engines.stages import chain_of
from regraft.errors import BackboneError

if TYPE_CHECKING:
    import torch


def depths_module(
    network: Any,
    depths: Sequence[str],
    scaling: tuple[NDArray[np.float32], NDArray[np.float32]],
    *,
    image_size_px: int,
) -> torch.nn.Module:
    """A module from pixels to scaled statistics of some depths, one behind the other.

    Args:
        network: without its classifier, in evaluation mode.
        depths: names of outputs of the stages graph, see `torch.Exported`, or "features".
        scaling: centre and gain (d,).
        image_size_px: s, of pixels (n, 3, s, s).

    Raises:
        BackboneError: the network has no such depth.
    """
    import torch

    chain = chain_of(network, image_size_px=image_size_px)
    starts = chain.starts or (0,)
    after = {f"boundary_{i}": start for i, start in enumerate(starts) if i}  # links passed by then
    after |= {"stem": starts[0], "end": starts[-1] + 1, "features": len(chain.links)}
    missing = [name for name in depths if name not in after]
    if missing:
        raise BackboneError(f"the network has no depth {missing[0]}")

    class Depths(torch.nn.Module):
        centre: torch.Tensor
        gain: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            last = max(after[name] for name in depths)
            self.links = torch.nn.ModuleList(link for _, link in chain.links[:last])
            self.network = network  # links may call parts of it that they do not have themselves
            self.num_features = getattr(network, "num_features", None)
            for name, values in zip(("centre", "gain"), scaling, strict=True):
                self.register_buffer(name, torch.from_numpy(np.array(values, np.float32)))

        def __deepcopy__(self, memo: dict[int, Any]) -> torch.nn.Module:
            copied = copy.deepcopy(network, memo)
            return depths_module(copied, depths, scaling, image_size_px=image_size_px)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = {0: x}
            for passed, link in enumerate(self.links, start=1):
                x = found[passed] = link(x)
            parts = [
                part
                for name in depths
                for part in _statistics(found[after[name]], is_last=name == "features")
            ]
            return (torch.cat(parts, dim=1) - self.centre) * self.gain

    return Depths().eval()


def _statistics(x: torch.Tensor, *, is_last: bool) -> Sequence[torch.Tensor]:
    """Mean, maximum and deviation over the places of maps, or over tokens."""
    if is_last or x.ndim == 2:
        return (x,)
    places = x.flatten(2) if x.ndim == 4 else x.transpose(1, 2)
    return places.mean(dim=2), places.amax(dim=2), places.std(dim=2, correction=0)
