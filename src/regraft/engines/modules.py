"""A pretrained `torch.nn.Module` of the user's own: something to call in, a checked network out.

Code is run only for names that the user has given in this process: a saved model, which holds such
a name, runs none by itself. Two networks may be at one place; a digest of their weights tells them
apart.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.errors import BackboneError, UsageError

_Key = tuple[str, str]  # where it is, and a digest of its weights, which may be ""
_given: dict[_Key, Callable[[], Any]] = {}
_widths: dict[_Key, int] = {}


def load_named(where: str, what: str) -> Any:
    """What "package.module:name" or "path/to/file.py:name" names.

    Args:
        where: the name.
        what: for errors: "architecture".

    Raises:
        UsageError: it cannot be imported, or there is nothing of that name.
    """
    module_name, _, name = where.rpartition(":")
    if not module_name or not name:
        raise UsageError(
            f"the {what} is {where!r}, expected package.module:name or path/file.py:name"
        )
    try:
        if module_name.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(module_name).stem, module_name)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            mine = sys.modules.setdefault(spec.name, module) is module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                if mine:  # no half of a module for whoever imports it next
                    del sys.modules[spec.name]
                raise
        else:
            module = importlib.import_module(module_name)
        found = getattr(module, name)
    except Exception as error:  # whatever the user's file raises
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UsageError(f"the {what} {where} cannot be imported ({text})") from error
    if not callable(found):
        raise UsageError(f"{where} is {type(found).__name__}, expected something to call")
    return found


def allow(where: str, made_by: Any, *, digest: str = "", feature_width: int = 0) -> None:
    """Let a network of one's own be made in this process, by a callable or as copies of a module.

    `feature_width` is d, where it is known.
    """
    _given[where, digest], _widths[where, digest] = made_by, feature_width


def is_allowed(where: str, digest: str = "") -> bool:
    """Whether the user has named this network in this process."""
    return (where, digest) in _given


def create(where: str, digest: str = "") -> Any:
    """The network anew, with the weights that it brings.

    Raises:
        BackboneError: the user has not named it in this process, or it cannot be made.
    """
    import copy

    import torch

    if not is_allowed(where, digest):
        raise BackboneError(
            f"the network is your own ({where}), and a saved model runs no code by itself; add "
            f"--arch module:{where}"
        )
    made_by = _given[where, digest]
    network: Any
    if isinstance(made_by, torch.nn.Module):
        network = copy.deepcopy(made_by)
    else:
        try:
            network = made_by()
        except Exception as error:  # whatever the user's code raises
            raise BackboneError(
                f"{where} cannot be called without arguments ({type(error).__name__}: "
                f"{_line(error)}); expected a callable that returns a torch.nn.Module"
            ) from error
    if not isinstance(network, torch.nn.Module):
        raise BackboneError(
            f"{where} returned {type(network).__name__}, expected a torch.nn.Module with its "
            "weights in place"
        )
    network.headless_width = _widths[where, digest]  # type: ignore[assignment]
    return network.float().cpu().requires_grad_(True)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found out about a network of one's own.

    Attributes:
        state: its parameters and statistics, as a safetensors file; another one where the network
            makes other features of the same parameters.
        feature_width: d.
        parameters: how many numbers learn.
        image_size_px: as given, or its attribute of that name.
        normalize: its attribute of that name; None where it has none.
    """

    state: bytes
    feature_width: int
    parameters: int
    image_size_px: int
    normalize: Any


def inspect_module(where: str, *, image_size_px: int | None) -> Inspection:
    """Make the network once and see whether it maps pixels to features.

    Args:
        where: which one.
        image_size_px: s; None for its attribute `image_size_px`.

    Raises:
        BackboneError: it has no weights, cannot take such pixels, or makes something else of them.
        UsageError: nothing says how large they are.
    """
    from safetensors.torch import save

    network = create(where).eval()
    size = image_size_px or getattr(network, "image_size_px", None)
    if not isinstance(size, int) or not 1 <= size <= 4096:
        raise UsageError(
            f"the size of {where} is {size}, expected 1 to 4096 px; add --size, or give the module "
            "an attribute image_size_px"
        )
    features = _features(network, where, size)
    state = {name: t.detach().contiguous().clone() for name, t in network.state_dict().items()}
    if not state:
        raise BackboneError(f"{where} has no parameters, so there is nothing pretrained in it")
    _widths[where, ""] = int(features.shape[1])
    said = (features / (features.abs().max() + 1e-9)).mul(1_000).round().int().numpy().tobytes()
    return Inspection(
        state=save(state, metadata={"features": hashlib.sha256(said).hexdigest()}),
        feature_width=int(features.shape[1]),
        parameters=sum(p.numel() for p in network.parameters()),
        image_size_px=size,
        normalize=getattr(network, "normalize", None),
    )


def _features(network: Any, where: str, image_size_px: int) -> Any:
    """What the network makes of two pictures, always the same ones: float32 (2, d).

    Raises:
        BackboneError: it cannot take them, or makes something else of them.
    """
    import torch

    wanted = f"pixels of shape (2, 3, {image_size_px}, {image_size_px})"
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            found = network(torch.randn(2, 3, image_size_px, image_size_px, generator=generator))
    except Exception as error:  # whatever the user's code raises
        raise BackboneError(f"{where} cannot take {wanted} ({_line(error)})") from error
    shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != 2:
        raise BackboneError(
            f"{where} returned {shape} for {wanted}, expected (2, d): features of each picture"
        )
    if found.dtype != torch.float32 or not bool(found.isfinite().all()):
        raise BackboneError(f"{where} returned {found.dtype}, expected finite torch.float32")
    return found


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
