"""A name in, a Backbone out: built in, from a hub, from a file, from what was trained before."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from regraft.catalogue.backbone import BACKBONES, DEFAULT_BACKBONE, Backbone
from regraft.errors import BackboneError
from regraft.modality.transform import ImageTransform


def list_backbones() -> tuple[Backbone, ...]:
    """Every backbone in the catalogue, installed or not, in the order it is shown."""
    return tuple(BACKBONES.values())


def get_backbone(name: str, *, architecture: str | None = None) -> Backbone:
    """The backbone of that name, or the checkpoint at that path.

    Args:
        name: from the catalogue; or a model or run folder of regraft, or a file of weights
            (.safetensors, or a state dict that `torch.load(weights_only=True)` reads).
        architecture: timm's name of what a file of weights belongs to.

    Raises:
        BackboneError: there is none; suggests the nearest names.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if os.sep in name or Path(name).exists():
        return _checkpoint(Path(name), architecture)
    near = difflib.get_close_matches(name, BACKBONES, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "see: regraft backbones"
    raise BackboneError(f"there is no backbone named {name!r}; {hint}")


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
            "as --arch tf_efficientnet_lite0"
        )
    like = next((b for b in BACKBONES.values() if b.architecture == architecture), None)
    if like is None:
        from regraft.engines.torch import describe_architecture

        described = describe_architecture(architecture)
        like = replace(
            BACKBONES[DEFAULT_BACKBONE],
            architecture=architecture,
            parameters=described.parameters,
            feature_width=described.feature_width,
            transform=ImageTransform.from_dict(described.transform),
        )
    try:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise BackboneError(f"{weights} cannot be read: {error.strerror}") from error
    transform = facts.get("transform")
    return replace(
        like,
        name=path.stem if path.is_file() else path.resolve().name,
        package="",
        weights_file="",
        weights_at=str(weights.resolve()),
        weights_sha256=digest,
        extra="",
        pretrained_on=f"{facts.get('pretrained_on', 'unknown data')}, then trained further",
        licence=str(facts.get("licence", "unknown")),
        match="name",
        transform=ImageTransform.from_dict(transform) if transform else like.transform,
    )
