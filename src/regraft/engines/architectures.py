"""Named architectures, and how each becomes features instead of classes.

A name without prefix is timm's, with its pretrained tag or without; "torchvision:NAME" is
torchvision's, "transformers:CONFIG" see `transformers`, "module:WHERE" see `modules`. The libraries
are imported only inside functions. A network that makes features as it is has an attribute
`headless_width`, their number.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from regraft.engines import modules, transformers
from regraft.engines.modules import MODULE
from regraft.engines.transformers import TRANSFORMERS
from regraft.errors import BackboneError
from regraft.telemetry import opt_out

if TYPE_CHECKING:
    import torch

TORCHVISION = "torchvision:"
# Heads that only help training are left out; pixels arrive normalised as for the other networks,
# which these two expect their code to undo where they have pretrained weights.
_TWO_HEADED = {"aux_logits": False, "transform_input": True, "init_weights": False}
_SETTINGS: dict[str, dict[str, Any]] = {"googlenet": _TWO_HEADED, "inception_v3": _TWO_HEADED}


@dataclass(frozen=True, slots=True)
class Described:
    """Facts on an architecture; `transform` as `ImageTransform.from_dict` reads it."""

    parameters: int
    feature_width: int
    transform: dict[str, Any]


def create(architecture: str) -> Any:
    """The network with random weights, its classifier included.

    Raises:
        BackboneError: the library has none of that name; suggests the nearest ones.
    """
    if architecture.startswith(TORCHVISION):
        return _from_torchvision(architecture.removeprefix(TORCHVISION))
    if architecture.startswith(TRANSFORMERS):
        return transformers.create(architecture)
    if architecture.startswith(MODULE):
        return modules.create(architecture)
    opt_out()
    import timm

    try:
        return timm.create_model(architecture, pretrained=False)
    except Exception as error:  # timm raises several kinds for a name it does not know
        raise unknown(architecture, "timm", timm.list_models()) from error


def unknown(name: str, library: str, known: list[str]) -> BackboneError:
    """What is said of a name that a library does not know."""
    near = difflib.get_close_matches(name.partition(".")[0], known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "see: regraft backbones --search TEXT"
    return BackboneError(f"{library} has no architecture {name!r}; {hint}")


def torchvision_names() -> list[str]:
    """The image classifiers of torchvision; its detectors and the like are left out."""
    from torchvision import models

    return list(models.list_models(module=models))


def _from_torchvision(name: str) -> Any:
    from torchvision import models

    known = torchvision_names()
    if name not in known:
        raise unknown(name, "torchvision", known)
    return models.get_model(name, weights=None, **_SETTINGS.get(name, {}))


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
        found = [(name, module) for name, module in modules if isinstance(module, kind)]
        if found:
            return found[-1]
    raise BackboneError(f"{type(network).__name__} has no layer that makes classes")


@cache
def describe_architecture(architecture: str) -> Described:
    """What the library says of an architecture.

    Raises:
        BackboneError: it has none of that name.
    """
    network = create(architecture)
    if architecture.startswith(TORCHVISION):
        weights = default_weights(architecture.removeprefix(TORCHVISION))
        transform = torchvision_transform(weights)
    elif architecture.startswith(TRANSFORMERS):
        size = transformers.image_size_px(network.config.to_dict()) or 224
        transform = _transform(size, 1.0, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    else:
        transform = timm_transform(network)
    return Described(
        parameters=sum(p.numel() for p in network.parameters()),
        feature_width=feature_width(network),
        transform=transform,
    )


def default_weights(name: str, which: str = "") -> Any:
    """torchvision's entry for weights of an architecture; "" for the ones it prefers.

    Raises:
        BackboneError: there are none of that name.
    """
    from torchvision import models

    known = torchvision_names()
    if name not in known:
        raise unknown(name, "torchvision", known)
    entries = models.get_model_weights(name)
    try:
        return entries[which] if which else entries["DEFAULT"]
    except KeyError as error:
        raise BackboneError(
            f"torchvision has no weights {which!r} for {name}; expected "
            f"{', '.join(entry.name for entry in entries)}"
        ) from error


def torchvision_transform(weights: Any) -> dict[str, Any]:
    """The transform that belongs to weights of torchvision."""
    preset = weights.transforms()
    size, resized = int(preset.crop_size[0]), int(preset.resize_size[0])
    share = size / resized
    if int(size / share) != resized:  # the rounding of the division, not of the crop
        share = size / (resized + 0.5)
    return _transform(
        size,
        share,
        interpolation=preset.interpolation.value,
        mean=preset.mean,
        std=preset.std,
    )


def timm_transform(network: Any, published: dict[str, Any] | None = None) -> dict[str, Any]:
    """The transform of a network of timm, or that of the weights `published` for it elsewhere."""
    opt_out()
    import timm.data

    config = timm.data.resolve_model_data_config(network)  # type: ignore
    if published:
        given = {name: value for name, value in published.items() if value is not None}
        config = timm.data.resolve_data_config(given, model=network)  # type: ignore
    transform = _transform(
        int(config["input_size"][-1]),
        float(config["crop_pct"]),
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
    )
    return transform | ({"resize": "squash"} if config.get("crop_mode") == "squash" else {})


def _transform(
    size: int, share: float, *, interpolation: str, mean: Any, std: Any
) -> dict[str, Any]:
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
