"""A name in, a Backbone out: built in, from a hub, from a file, from what was trained before.

efficientnet_lite0             built in
timm:NAME[.TAG]                what timm publishes
torchvision:NAME[:WEIGHTS]     what torchvision publishes
onnx:FILE                      any network as ONNX; it stays frozen
file:WEIGHTS, or a path        a file of weights with its architecture, or a model of regraft
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from regraft.catalogue.backbone import BACKBONES, DEFAULT_BACKBONE, ONNX, Backbone
from regraft.errors import BackboneError, UsageError
from regraft.modality import transform_from_dict
from regraft.modality.transform import NORMALISATIONS, ImageTransform
from regraft.progress import Progress, note, silent

SCHEMES = ("timm", "torchvision", "onnx", "file")
_NOT_FOR_ALL = ("-nc", "noncommercial", "non-commercial", "research", "other", "fair", "gated")


class BackboneOptions(TypedDict, total=False):
    """What a name alone does not say of a backbone.

    Attributes:
        architecture: timm's name of what a file of weights belongs to, or "torchvision:NAME".
        normalize: how the pixels of an ONNX file are normalised: "torch", "tf" or "caffe".
        image_size_px: of an ONNX file that takes any size.
        accept_licence: use weights whose licence does not allow every use.
    """

    architecture: str | None
    normalize: str | None
    image_size_px: int | None
    accept_licence: bool


def list_backbones() -> tuple[Backbone, ...]:
    """Every backbone in the catalogue, installed or not, in the order it is shown."""
    return tuple(BACKBONES.values())


def search_backbones(text: str, *, licence: str = "") -> list[dict[str, Any]]:
    """Rows of what timm publishes: `name`, `licence`, `input_size`, `architecture`.

    Nothing is fetched; the list comes with timm.

    Args:
        text: a part of the name, or a pattern with * and ?.
        licence: a part of the licence; "" for all.
    """
    from regraft.engines.hubs import search

    return [
        {
            "name": f"timm:{name}",
            "licence": found,
            "input_size": [3, size, size],
            "architecture": name.partition(".")[0],
        }
        for name, found, size in search(text)
        if licence.lower() in found.lower()
    ]


def get_backbone(
    name: str,
    *,
    architecture: str | None = None,
    normalize: str | None = None,
    image_size_px: int | None = None,
    accept_licence: bool = False,
    progress: Progress = silent,
) -> Backbone:
    """The backbone of that name; see the module for the kinds of names.

    Weights of a hub are looked for in the hub's own cache and fetched if they are not there.

    Args:
        name: a model or run folder of regraft and a file of weights (.safetensors, or a state dict
            that `torch.load(weights_only=True)` reads) need no prefix.
        architecture, normalize, image_size_px, accept_licence: see `BackboneOptions`.
        progress: told before something is fetched.

    Raises:
        BackboneError: there is none, it cannot be fetched or read, or its licence has to be
            accepted; suggests the nearest names.
        UsageError: an option is outside its range.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    scheme, colon, rest = name.partition(":")
    if colon and scheme in ("timm", "torchvision"):
        return _published(name, rest, accept_licence=accept_licence, progress=progress)
    if colon and scheme == "onnx":
        return _foreign(Path(rest), normalize or "", image_size_px or 0)
    if colon and scheme == "file":
        return _checkpoint(Path(rest), architecture)
    if os.sep in name or Path(name).exists():
        return _checkpoint(Path(name), architecture)
    near = difflib.get_close_matches(name, BACKBONES, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "see: regraft backbones"
    raise BackboneError(
        f"there is no backbone named {name!r}; {hint} (or timm:NAME, torchvision:NAME, onnx:FILE)"
    )


def _published(name: str, rest: str, *, accept_licence: bool, progress: Progress) -> Backbone:
    """A backbone of a hub."""
    from regraft.engines import hubs

    find: Callable[[str], hubs.Published] = (
        hubs.in_timm if name.startswith("timm:") else hubs.in_torchvision
    )
    found = find(rest)
    licence = found.licence or "not stated"
    if not accept_licence and any(part in licence.lower() for part in _NOT_FOR_ALL):
        raise BackboneError(
            f"the weights of {name} have the licence {licence}, which does not allow every use; "
            "add --accept-licence if yours is allowed"
        )
    weights = found.file(lambda text: note(progress, text))
    digest = _digest(weights)
    named = hubs.hash_in_name(weights)
    if not digest.startswith(named):
        raise BackboneError(
            f"{weights} was altered or fetched only in part: its SHA-256 begins with "
            f"{digest[:8]}, its name says {named[:8]}; remove it, and it is fetched again"
        )
    return replace(
        BACKBONES[DEFAULT_BACKBONE],
        name=name,
        architecture=found.architecture,
        package="",
        weights_file="",
        weights_at=str(weights),
        weights_sha256=digest,
        origin=name,
        extra="",
        pretrained_on=found.pretrained_on,
        licence=licence,
        parameters=found.described.parameters,
        feature_width=found.described.feature_width,
        transform=ImageTransform.from_dict(found.described.transform),
        match=found.match,
    )


def _foreign(path: Path, normalize: str, image_size_px: int) -> Backbone:
    """A frozen backbone from an ONNX file."""
    from regraft.catalogue.foreign import read_foreign

    if normalize not in NORMALISATIONS:
        raise UsageError(
            f"normalize is {normalize!r}, expected {', '.join(NORMALISATIONS)}: what {path} was "
            "trained on; add --normalize"
        )
    if image_size_px and not 16 <= image_size_px <= 4096:
        raise UsageError(f"size is {image_size_px}, expected 16 to 4096 px")
    if not path.is_file():
        raise BackboneError(f"there is no file {path}; give an ONNX file")
    found = read_foreign(path, image_size_px=image_size_px)
    return replace(
        BACKBONES[DEFAULT_BACKBONE],
        name=path.stem,
        architecture=ONNX,
        package="",
        weights_file="",
        weights_at=str(path.resolve()),
        weights_sha256=_digest(path),
        origin=f"onnx {path.name}",
        extra="",
        pretrained_on="unknown data",
        licence="unknown",
        parameters=found.parameters,
        feature_width=found.feature_width,
        transform=ImageTransform(
            image_size_px=image_size_px or found.image_size_px or 224,
            interpolation="bilinear",
            normalisation=NORMALISATIONS[normalize],
        ),
        match=ONNX,
    )


def _checkpoint(path: Path, architecture: str | None) -> Backbone:
    """A backbone from what was trained before."""
    if not path.exists():
        raise BackboneError(f"there is no {path}; give a model folder, a weights file or a name")
    facts: dict[str, Any] = {}
    weights = path
    if path.is_dir():
        folder = path / "model" if (path / "model" / "model.json").exists() else path
        weights = folder / "weights.safetensors"
        try:
            facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))["backbone"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise BackboneError(
                f"{path} is no model folder of regraft (it has no readable model.json); give one, "
                "or a weights file with --arch"
            ) from error
        architecture = architecture or str(facts["architecture"])
    if architecture is None:
        raise BackboneError(
            f"{path} does not say which network it belongs to; add --arch with timm's name, such "
            "as --arch tf_efficientnet_lite0, or torchvision:NAME"
        )
    like = next((b for b in BACKBONES.values() if b.architecture == architecture), None)
    if like is None:
        from regraft.engines.architectures import describe_architecture

        described = describe_architecture(architecture)
        like = replace(
            BACKBONES[DEFAULT_BACKBONE],
            architecture=architecture,
            parameters=described.parameters,
            feature_width=described.feature_width,
            transform=ImageTransform.from_dict(described.transform),
        )
    digest = _digest(weights)
    transform = facts.get("transform")
    beside = {file.name: file for file in weights.parent.iterdir()}
    return replace(
        like,
        name=path.stem if path.is_file() else path.resolve().name,
        package="",
        weights_file="",
        weights_at=str(weights.resolve()),
        weights_sha256=digest,
        origin=f"file {weights.name if path.is_file() else path.resolve().name}",
        extra="",
        pretrained_on=f"{facts.get('pretrained_on', 'unknown data')}, then trained further",
        licence=str(facts.get("licence", "unknown")),
        match="name",
        transform=transform_from_dict(transform, beside) if transform else like.transform,
    )


def _digest(path: Path) -> str:
    """SHA-256 of a file; a file that has not changed is read once.

    Raises:
        BackboneError: it cannot be read.
    """
    try:
        status = path.stat()
        return _digest_of(str(path), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error.strerror}") from error


@cache
def _digest_of(path: str, _size: int, _modified: int) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 - a key of the cache is text
        return hashlib.file_digest(file, "sha256").hexdigest()
