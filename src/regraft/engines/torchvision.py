"""torchvision: its image classifiers, and where their weights are."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from regraft.engines import require_training
from regraft.engines.classifiers import Described, describe, pixel_transform, unknown
from regraft.engines.hubs import Published, UrlFile, data_of
from regraft.engines.torch import read_state
from regraft.errors import BackboneError

# Heads that only help training are left out; pixels arrive normalised as for the other networks,
# which these two expect their code to undo where they have pretrained weights.
_TWO_HEADED = {"aux_logits": False, "transform_input": True, "init_weights": False}
_SETTINGS: dict[str, dict[str, Any]] = {"googlenet": _TWO_HEADED, "inception_v3": _TWO_HEADED}
# Files of DenseNet are older than the code: "norm.1" is "norm1" now.
_DENSE_LAYER = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


def names() -> list[str]:
    """The image classifiers of torchvision; its detectors and the like are left out."""
    from torchvision import models

    return list(models.list_models(module=models))


def create(name: str) -> Any:
    """The network with random weights, its classifier included.

    Raises:
        BackboneError: there is none of that name; suggests the nearest ones.
        MissingExtraError: PyTorch is not installed.
    """
    require_training(f"the network torchvision:{name}")
    from torchvision import models

    _require_name(name)
    return models.get_model(name, weights=None, **_SETTINGS.get(name, {}))


def state_of(weights: Path) -> dict[str, Any]:
    """The parameters in a file, by the names that they have today; see `read_state`."""
    return {_DENSE_LAYER.sub(r"\1\2", name): t for name, t in read_state(weights).items()}


@cache
def describe_network(name: str) -> Described:
    """Facts on a network, and the transform of the weights that torchvision prefers."""
    return describe(create(name), transform_of(default_weights(name)))


def default_weights(name: str, which: str = "") -> Any:
    """The entry for weights of an architecture; "" for the ones it prefers.

    Raises:
        BackboneError: there are none of that name.
    """
    from torchvision import models

    _require_name(name)
    entries = models.get_model_weights(name)
    try:
        return entries[which] if which else entries["DEFAULT"]
    except KeyError as error:
        raise BackboneError(
            f"torchvision has no weights {which!r} for {name}; expected "
            f"{', '.join(entry.name for entry in entries)}"
        ) from error


def transform_of(weights: Any) -> dict[str, Any]:
    """The transform that belongs to weights."""
    preset = weights.transforms()
    size, resized = int(preset.crop_size[0]), int(preset.resize_size[0])
    share = size / resized
    if int(size / share) != resized:  # the rounding of the division, not of the crop
        share = size / (resized + 0.5)
    return pixel_transform(
        size,
        share,
        interpolation=preset.interpolation.value,
        mean=preset.mean,
        std=preset.std,
    )


def published(name: str) -> tuple[str, Described, Published]:
    """A network and its weights: "resnet50", or "resnet50:IMAGENET1K_V1" for certain ones.

    Returns:
        The name of the network, facts on it, and where its weights are.

    Raises:
        BackboneError: it is not known.
    """
    base, _, which = name.partition(":")
    weights = default_weights(base, which)
    described = describe(create(base), transform_of(weights))
    file = UrlFile(weights.url)
    return (
        base,
        described,
        Published(
            title=f"torchvision:{base}",
            place=weights.url,
            licence="",
            pretrained_on=data_of(weights.name.lower()),
            local=file.local,
            fetch=file.fetch,
        ),
    )


def _require_name(name: str) -> None:
    if name not in (known := names()):
        raise unknown(name, "torchvision", known)
