"""A pretrained network of the user's own as a backbone.

The contract: something that is called without arguments and returns a `torch.nn.Module` with its
weights in place (or such a module), which maps normalised pixels float32 (n, 3, s, s) to features
float32 (n, d). s and the normalisation are options, or attributes `image_size_px` and `normalize`
of the module. The layers of an `nn.Sequential` can be trained one by one from the last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from regraft.backbones.architectures import OwnModule
from regraft.backbones.backbone import Backbone
from regraft.backbones.sources import Request
from regraft.backbones.speeds import graph_folder
from regraft.engines.modules import allow, inspect_module, load_named
from regraft.errors import UsageError
from regraft.kinds.images.transform import NORMALISATIONS, ImageTransform, Normalisation
from regraft.storage.locations import shareable_word
from regraft.storage.seals import is_whole, write_sealed
from regraft.training_contents import UNKNOWN


def find(name: str, request: Request) -> Backbone:
    """The backbone of a module, from where it is."""
    return module_backbone(name, image_size_px=request.image_size_px, normalize=request.normalize)


def module_backbone(
    module: str | Callable[[], Any],
    *,
    image_size_px: int | None = None,
    normalize: str | Normalisation | None = None,
) -> Backbone:
    """A backbone of a network of one's own.

    Its weights are copied into the cache; the hash of that file is the backbone's.

    Args:
        module: a `torch.nn.Module`, what is called without arguments and returns one, or where to
            find either: "package.module:name" or "path/to/file.py:name".
        image_size_px: s; None for the module's attribute of that name.
        normalize: "torch", "tf", "caffe" or a `Normalisation`; None for the module's attribute of
            that name.

    Raises:
        BackboneError: it cannot be made, or makes no features of such pixels.
        UsageError: it cannot be imported, or nothing says how large pictures are or how they are
            normalised.
        StorageError: the cache cannot be written.

    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> module_backbone(network, image_size_px=32, normalize="torch").feature_width
    8
    """
    if isinstance(module, str):
        name = shareable_word(module, Path.cwd())  # it is written into models
        made_by = load_named(module, "backbone")
    else:
        name, made_by = str(getattr(module, "__qualname__", type(module).__name__)), module
    allow(name, made_by)
    inspection = inspect_module(name, image_size_px=image_size_px)
    digest = hashlib.sha256(inspection.state).hexdigest()
    architecture = OwnModule(name)
    if name != module:  # two of them may have one name
        architecture = OwnModule(name, digest[:12])
        allow(name, made_by, digest=digest[:12], feature_width=inspection.feature_width)
    path = graph_folder() / f"module-{digest[:16]}.safetensors"
    if not is_whole(path):
        write_sealed(path, inspection.state)
    return Backbone(
        name=name.rpartition(":")[2],
        architecture=architecture,
        weights_at=str(path),
        weights_sha256=digest,
        origin=architecture.title,
        task="image classification",
        pretrained_on="unknown data",
        licence="your own",
        parameters=inspection.parameters,
        feature_width=inspection.feature_width,
        transform=ImageTransform(
            image_size_px=inspection.image_size_px,
            normalisation=_normalisation(normalize or inspection.normalize, name),
        ),
        contents=UNKNOWN,
    )


def _normalisation(given: Any, name: str) -> Normalisation:
    if isinstance(given, Normalisation):
        return given
    if given not in NORMALISATIONS:
        raise UsageError(
            f"normalize of {name} is {given!r}, expected {', '.join(NORMALISATIONS)}: what the "
            "network was trained on; add --normalize, or give the module an attribute normalize"
        )
    return NORMALISATIONS[given]
