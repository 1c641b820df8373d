"""A torch network as a chain of modules, so that it can be cut where its stages begin.

What lies below a cut can be frozen and its outputs kept; what lies above is trained. A network
that is neither a chain of its children nor of what it calls (see `called`) has no cuts and is
trained whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regraft.engines.called import watched_cuts

if TYPE_CHECKING:
    import torch

_CONTAINERS = {"blocks", "stages", "layers", "features", "trunk_output"}
_STAGE = re.compile(r"(s|stage|layer|block)\d+|Mixed_\d\w|inception\d\w")
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
    "stages", "layers" or "features", or else the children that are sequences or called "layer1".
    What a network does between its children is guessed from what is usual (see `_bridged`). Where
    that does not lead to the same features, the network is watched while it runs (see `called`).
    The chain is run once beside the network; if their outputs differ, it counts as a single link.

    Args:
        network: maps float32 (n, 3, s, s) to features (n, d), in evaluation mode.
        image_size_px: s.
    """
    import torch

    whole = Chain((("network", network),), ())
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(1, 3, image_size_px, image_size_px, generator=generator)
    with torch.no_grad():
        expected = network(pixels)
    for chain in _bridged(network, _children_of(network)):
        if chain.stages > 1 and _says_the_same(chain, pixels, expected):
            return chain
    return _watched(network, pixels, expected) or whole


def _watched(network: Any, pixels: torch.Tensor, expected: torch.Tensor) -> Chain | None:
    """A chain of what was called when the network ran, if one makes the same features."""
    import torch

    for cut in watched_cuts(network, pixels):
        lower = (*cut.before, *cut.blocks)
        starts = tuple(range(len(cut.before), len(lower)))
        with torch.no_grad():
            reached = _run(lower, pixels)
        for end in cut.ends if reached is not None else ():
            if _says_the_same(Chain(end, ()), reached, expected):
                return Chain((*lower, *end), starts)
    return None


def _says_the_same(chain: Chain, pixels: torch.Tensor, expected: torch.Tensor) -> bool:
    import torch

    with torch.no_grad():
        found = _run(chain.links, pixels)
    scale = float(expected.abs().max()) or 1.0
    if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
        return False
    return float((found - expected).abs().max()) <= _ALIKE * scale


def _run(links: Sequence[tuple[str, torch.nn.Module]], x: Any) -> Any:
    """What the links make of `x`; None where one is passed something else than it takes."""
    try:
        for _, link in links:
            x = link(x)
    except Exception:  # the network passes its children something else than one tensor
        return None
    return x


def _children_of(network: Any) -> Chain:
    """The children in order, with the stages among them."""
    import torch

    children = [
        (name, child)
        for name, child in network.named_children()
        if not isinstance(child, torch.nn.Identity)
    ]
    expands = any(name in _CONTAINERS for name, _ in children)
    is_sequence = isinstance(network, torch.nn.Sequential)  # of a user: each layer is a stage
    links: list[tuple[str, torch.nn.Module]] = []
    starts: list[int] = []
    if getattr(network, "transform_input", False):  # Inception undoes a normalisation first
        links.append(("input", _input(network)))
    for name, child in children:
        if name in _CONTAINERS and isinstance(child, torch.nn.Sequential):
            is_first = True
            for inner, module in child.named_children():
                # Of plain layers, as in VGG, a stage is what lies between two poolings.
                if is_first or any(True for _ in module.children()):
                    starts.append(len(links))
                links.append((f"{name}.{inner}", module))
                is_first = isinstance(module, torch.nn.MaxPool2d)
        else:
            if is_sequence:
                is_stage = any(True for _ in child.parameters())
            else:
                is_stage = isinstance(child, torch.nn.Sequential) or bool(_STAGE.fullmatch(name))
            if is_stage and not expands:
                starts.append(len(links))
            links.append((name, child))
    return Chain(tuple(links), tuple(starts))


def _bridged(network: Any, chain: Chain) -> Iterator[Chain]:
    """The chain, and with what networks usually do in functions before their last layers.

    torchvision pools and flattens in functions. Transformers of timm add the class token and the
    positions to the patches, and choose what of the tokens become features.
    """
    from torch import nn

    yield chain
    after = [i + 1 for i, (_, link) in enumerate(chain.links) if i >= max(chain.starts, default=0)]
    bridges: tuple[list[nn.Module], ...] = (
        [nn.Flatten(1)],
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(1)],
        [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(1)],
    )
    for bridge in bridges:
        for place in reversed(after):
            named = [(f"bridge.{i}", module) for i, module in enumerate(bridge)]
            links = (*chain.links[:place], *named, *chain.links[place:])
            yield Chain(links, chain.starts)
    if hasattr(network, "_pos_embed") and hasattr(network, "patch_embed"):
        blocks = [link for link in chain.links if link[0].startswith("blocks.")]
        links = (("tokens", _tokens(network)), *blocks, ("pooled", _pooled(network)))
        yield Chain(links, tuple(range(1, len(blocks) + 1)))


def _input(network: Any) -> torch.nn.Module:
    """What an Inception network of torchvision does to pixels before its first layer."""
    from torch import nn

    class Input(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return network._transform_input(x)  # type: ignore[no-any-return]  # noqa: SLF001

    return Input()


def _tokens(network: Any) -> torch.nn.Module:
    """What a transformer of timm does to pixels before its first block."""
    from torch import nn

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch_embed, self.norm_pre = network.patch_embed, network.norm_pre
            self.patch_drop = network.patch_drop
            for name in ("cls_token", "reg_token", "pos_embed"):
                if (own := getattr(network, name, None)) is not None:
                    self.register_parameter(name, own)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens: torch.Tensor = network._pos_embed(self.patch_embed(x))  # noqa: SLF001
            return self.norm_pre(self.patch_drop(tokens))  # type: ignore[no-any-return]

    return Tokens()


def _pooled(network: Any) -> torch.nn.Module:
    """What a transformer of timm does behind its last block."""
    from torch import nn

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.fc_norm = network.norm, network.fc_norm
            self.attn_pool = getattr(network, "attn_pool", None)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return network.forward_head(self.norm(x))  # type: ignore[no-any-return]

    return Pooled()
