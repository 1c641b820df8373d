"""A torch network as a chain of modules, so that it can be cut where its stages begin.

What lies below a cut can be frozen and its outputs kept; what lies above is trained. A network
that is no chain of its children (attention with extra inputs, for example) has no cuts and is
trained whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_ALIKE = 1e-4  # how far the chain may be from the network itself, relative to its largest output


@dataclass(frozen=True, slots=True)
class Chain:
    """The modules of a network without classifier, in the order in which they run.

    `links` are their names and modules; `starts` is the link at which each stage begins.
    """

    links: tuple[tuple[str, torch.nn.Module], ...]
    starts: tuple[int, ...]

    @property
    def stages(self) -> int:
        """How many stages there are, 0 where the network cannot be cut."""
        return len(self.starts)

    def below(self, boundary: int) -> Sequence[tuple[str, torch.nn.Module]]:
        """What runs before stage `boundary`; nothing for boundary 0."""
        return self.links[: self._cut(boundary)]

    def above(self, boundary: int) -> Sequence[tuple[str, torch.nn.Module]]:
        """What runs from stage `boundary` on; everything for boundary 0."""
        return self.links[self._cut(boundary) :]

    def stage_of(self, link: int) -> int:
        """The stage a link belongs to: the stem to the first, what follows the last to the last."""
        return max(0, sum(start <= link for start in self.starts) - 1)

    def _cut(self, boundary: int) -> int:
        return self.starts[boundary] if boundary else 0


def chain_of(network: Any, *, image_size_px: int) -> Chain:
    """The chain of a timm network whose classifier has been removed.

    Children are taken in order. The stages are the elements of a container called "blocks",
    "stages", "layers" or "features", or else the children that are sequences. The chain is run
    once beside the network; if their outputs differ, the network counts as a single link.

    Args:
        network: maps float32 (n, 3, s, s) to features (n, d), in evaluation mode.
        image_size_px: s.
    """
    import torch

    children = [
        (name, child)
        for name, child in network.named_children()
        if not isinstance(child, torch.nn.Identity)
    ]
    containers = {"blocks", "stages", "layers", "features"}
    expands = any(name in containers for name, _ in children)
    links: list[tuple[str, torch.nn.Module]] = []
    starts: list[int] = []
    for name, child in children:
        if name in containers and isinstance(child, torch.nn.Sequential):
            for inner, module in child.named_children():
                starts.append(len(links))
                links.append((f"{name}.{inner}", module))
        else:
            if not expands and isinstance(child, torch.nn.Sequential):
                starts.append(len(links))
            links.append((name, child))
    whole = Chain((("network", network),), ())
    if len(starts) < 2:
        return whole
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(1, 3, image_size_px, image_size_px, generator=generator)
    with torch.no_grad():
        expected = network(pixels)
        found: Any = pixels
        try:
            for _, link in links:
                found = link(found)
        except Exception:  # the network passes its children something else than one tensor
            return whole
    scale = float(expected.abs().max()) or 1.0
    if found.shape != expected.shape or float((found - expected).abs().max()) > _ALIKE * scale:
        return whole
    return Chain(tuple(links), tuple(starts))
