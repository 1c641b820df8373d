"""A network of any make as a chain, found by watching one call instead of by names of its parts.

Networks of Hugging Face transformers keep their blocks some levels deep and pass them more than one
argument. Where each of a list of modules takes what the one before returned, and all that it is
given besides is constant, the list can be cut between any two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_CONSTANT = (bool, int, float, str, type(None))


@dataclass(slots=True, eq=False)
class _Call:
    """One call of a module: what it was given, what it returned."""

    name: str
    module: torch.nn.Module
    given: tuple[Any, ...]
    named: Mapping[str, Any]
    returned: Any = None
    is_used: bool = True


@dataclass(frozen=True, slots=True)
class Watched:
    """A way to cut a network: `before` its blocks, `blocks`, and what may follow `after` them.

    Each is a list of names and modules from one tensor to one tensor. `ends` are the possible ends
    of the chain: only one of them makes the features that the network makes.
    """

    before: tuple[tuple[str, torch.nn.Module], ...]
    blocks: tuple[tuple[str, torch.nn.Module], ...]
    ends: tuple[tuple[tuple[str, torch.nn.Module], ...], ...]


def watched_cuts(network: Any, pixels: torch.Tensor) -> Iterator[Watched]:
    """Ways to cut a network, those with the outermost blocks first.

    Args:
        network: maps float32 (n, 3, s, s) to features (n, d), in evaluation mode.
        pixels: (1, 3, s, s).
    """
    import torch

    calls, runs = _watch(network, pixels)
    containers = [
        (name, module)
        for name, module in network.named_modules()
        if name and isinstance(module, torch.nn.ModuleList | torch.nn.Sequential)
    ]
    for path, _ in sorted(containers, key=lambda pair: pair[0].count(".")):
        inside = [call for call in calls if call.name.rpartition(".")[0] == path]
        once = all(runs[call.name] == 1 and _learns(call.module) for call in inside)
        if len(inside) < 2 or not once or not _follow(inside):
            continue
        start, end = calls.index(inside[0]), calls.index(inside[-1])
        outer = [call for call in calls if call.is_used and _is_outermost(call.name, path)]
        before = _links([call for call in outer if calls.index(call) < start])
        blocks = _links(inside)
        after = _links([call for call in outer if calls.index(call) > end])
        if before is not None and blocks is not None and after is not None:
            # Tokens that stand for no place of the picture: the one for classes, and registers.
            extra = 1 + int(getattr(getattr(network, "config", None), "num_register_tokens", 0))
            yield Watched(tuple(before), tuple(blocks), tuple(map(tuple, _ends(after, extra))))


def _watch(network: Any, pixels: torch.Tensor) -> tuple[list[_Call], Counter[str]]:
    """The calls of all modules in the order in which they begin, and how often each was called.

    What a call returns is used if the features change with it: some networks pool in two ways, of
    which a classifier reads one.
    """
    import torch

    calls: list[_Call] = []
    runs: Counter[str] = Counter()

    def begin(name: str) -> Any:
        def hook(module: Any, given: Any, named: Any) -> None:
            runs[name] += 1
            calls.append(_Call(name, module, given, named))

        return hook

    def finish(name: str) -> Any:
        def hook(_module: Any, _given: Any, returned: Any) -> None:
            next(call for call in reversed(calls) if call.name == name).returned = returned

        return hook

    handles = []
    for name, module in network.named_modules():
        if name:
            handles.append(module.register_forward_pre_hook(begin(name), with_kwargs=True))
            handles.append(module.register_forward_hook(finish(name)))
    try:
        with torch.enable_grad():
            x = pixels.clone().requires_grad_()
            features = network(x.clone())  # a copy: networks may write into what they are given
            returned = [_first(call.returned) for call in calls]
            known = [isinstance(one, torch.Tensor) and one.requires_grad for one in returned]
            found = torch.autograd.grad(
                features.sum(),
                [one for one, is_known in zip(returned, known, strict=True) if is_known],
                allow_unused=True,
            )
    finally:
        for handle in handles:
            handle.remove()
    gradients = iter(found)
    for call, is_known in zip(calls, known, strict=True):
        call.is_used = not is_known or next(gradients) is not None
    return calls, runs


def _learns(module: torch.nn.Module) -> bool:
    """Whether a module has parameters: others are no stage of their own."""
    return any(True for _ in module.parameters())


def _is_outermost(name: str, path: str) -> bool:
    """Whether a module is beside the way from the network to its blocks, and not within another."""
    parent = name.rpartition(".")[0]
    if name == path or path.startswith(f"{name}."):
        return False
    return parent == "" or path.startswith(f"{parent}.")


def _follow(calls: Sequence[_Call]) -> bool:
    """Whether each call takes what the one before returned."""
    return all(
        (taken := _tensor(call.given, call.named)) is not None
        and taken is _first(previous.returned)
        for previous, call in pairwise(calls)
    )


def _links(calls: Sequence[_Call]) -> list[tuple[str, Any]] | None:
    """The calls as modules of one tensor; None if they need more than one that is not constant."""
    links = []
    for call in calls:
        taken = _tensor(call.given, call.named)
        others = [value for value in (*call.given, *call.named.values()) if value is not taken]
        if taken is None or not all(map(_is_constant, others)):
            return None
        links.append((call.name, _repeated(call, taken)))
    return links


def _repeated(call: _Call, taken: torch.Tensor) -> torch.nn.Module:
    """The call again, of another tensor."""
    from torch import nn

    module = call.module
    given = [None if value is taken else value for value in call.given]
    at = next((i for i, value in enumerate(call.given) if value is taken), -1)
    named = {name: value for name, value in call.named.items() if value is not taken}
    key = next((name for name, value in call.named.items() if value is taken), "")

    class Repeated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if at < 0:
                return _first(module(*given, **named, **{key: x}))  # type: ignore[no-any-return]
            return _first(module(*given[:at], x, *given[at + 1 :], **named))  # type: ignore[no-any-return]

    return Repeated()


def _ends(after: Sequence[tuple[str, Any]], extra: int) -> Iterator[list[tuple[str, Any]]]:
    """What follows the blocks, with what networks usually do there in functions.

    Of tokens the first one is taken, the mean of those behind the first `extra` ones or of all, or
    two of these; maps are averaged over their places. What has no parameters, such as a pooling
    that is given another form, may be left out then.
    """
    yield list(after)
    for place in range(len(after) + 1):
        rest = after[place:]
        for kind in _PICKS:
            picked = ("picked", _pick(kind, extra))
            yield [*after[:place], picked, *rest]
            if rest and not any(_learns(link) for _, link in rest):
                yield [*after[:place], picked]


_PICKS = ("flat", "first", "mean", "mean of the others", "first and mean", "mean of places")


def _pick(kind: str, extra: int) -> torch.nn.Module:
    """What tokens (n, t, d) or maps (n, d, h, w) become before a classifier."""
    import torch
    from torch import nn

    class Pick(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if kind == "flat":
                return x.flatten(1)
            if kind == "first":
                return x[:, 0]
            if kind == "mean":
                return x.mean(dim=1)
            if kind == "mean of the others":
                return x[:, extra:].mean(dim=1)
            if kind == "mean of places":
                return x.mean(dim=(-2, -1))
            return torch.cat([x[:, 0], x[:, extra:].mean(dim=1)], dim=1)

    return Pick()


def _tensor(given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """The one tensor among the arguments; None if there is none, or more than one."""
    import torch

    found = [value for value in (*given, *named.values()) if isinstance(value, torch.Tensor)]
    return found[0] if len(found) == 1 else None


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_constant, value))
    return isinstance(value, _CONSTANT)


def _first(value: Any) -> Any:
    """A tensor, or the first of what was returned with it."""
    import torch

    if isinstance(value, tuple | list | Mapping) and len(value):
        value = next(iter(value.values() if isinstance(value, Mapping) else value))
    return value if isinstance(value, torch.Tensor) else None
