"""The layer of an image network that makes classes of features: named, measured, removed.

A network that makes features as it is has an attribute `headless_width`, their number.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regraft.errors import BackboneError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Described:
    """Facts on a network; `transform` as `ImageTransform.from_dict` reads it."""

    parameters: int
    feature_width: int
    transform: dict[str, Any]


def describe(network: Any, transform: dict[str, Any]) -> Described:
    """Facts on a network that has its classifier still."""
    count = sum(parameter.numel() for parameter in network.parameters())
    return Described(count, feature_width(network), transform)


def classifier_names(network: torch.nn.Module) -> tuple[str, ...]:
    """Names of the modules that make classes of features; distilled networks have two."""
    if hasattr(network, "headless_width"):
        return ()
    named = getattr(network, "default_cfg", {}).get("classifier")
    if named:
        return (named,) if isinstance(named, str) else tuple(named)
    return () if hasattr(network, "reset_classifier") else (_last_classifier(network)[0],)


def remove_classifier(network: Any) -> None:
    """Change the network in place: it returns features float32 (n, d)."""
    import torch

    if hasattr(network, "headless_width"):
        return
    if hasattr(network, "reset_classifier"):  # timm
        network.reset_classifier(0)
        return
    name, _ = _last_classifier(network)
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, torch.nn.Identity())


def feature_width(network: Any) -> int:
    """d, of a network that has its classifier still."""
    import torch

    if hasattr(network, "headless_width"):
        return int(network.headless_width)
    if hasattr(network, "num_features") and hasattr(network, "reset_classifier"):
        # Some networks of timm have further layers between the pooling and the classifier.
        return int(getattr(network, "head_hidden_size", None) or network.num_features)
    _, layer = _last_classifier(network)
    return int(layer.in_features if isinstance(layer, torch.nn.Linear) else layer.in_channels)


def _last_classifier(network: torch.nn.Module) -> tuple[str, Any]:
    """The last linear layer, or where there is none the last convolution (SqueezeNet)."""
    import torch

    modules = list(network.named_modules())
    for kind in (torch.nn.Linear, torch.nn.Conv2d):
        layers = [(name, module) for name, module in modules if isinstance(module, kind)]
        if layers:
            return layers[-1]
    raise BackboneError(f"{type(network).__name__} has no layer that makes classes")


def pixel_transform(
    size: int, share: float, *, interpolation: str, mean: Any, std: Any
) -> dict[str, Any]:
    """What pixels pass through, as `ImageTransform.from_dict` reads it."""
    return {
        "image_size_px": size,
        "crop_pct": min(1.0, share),
        "interpolation": interpolation if interpolation == "bilinear" else "bicubic",
        "normalisation": {
            "mean": [float(x) for x in mean],
            "std": [float(x) for x in std],
            "pixel_max": 1.0,
            "channel_order": "rgb",
        },
    }


def unknown(name: str, library: str, known: list[str]) -> BackboneError:
    """What is said of a name that a library does not know."""
    near = difflib.get_close_matches(name.partition(".")[0], known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "see: regraft backbones --search TEXT"
    return BackboneError(f"{library} has no architecture {name!r}; {hint}")
