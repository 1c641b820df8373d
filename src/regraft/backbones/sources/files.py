"""What was trained before: a file of weights, or a model or run folder of regraft."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from regraft.backbones.architectures import (
    Architecture,
    ImageNetwork,
    OwnModule,
    architecture_named,
    read_architecture,
)
from regraft.backbones.backbone import Backbone, file_digest
from regraft.backbones.built_in import facts_of
from regraft.backbones.sources import Request
from regraft.backbones.sources.modules import module_backbone
from regraft.engines import require_training
from regraft.errors import BackboneError, ModelError
from regraft.kinds import transform_from_dict
from regraft.model_record import read_record
from regraft.training_contents import UNKNOWN, TrainingContents, read_training_contents


def find(name: str, request: Request) -> Backbone:
    """A backbone of what was trained before."""
    path = Path(name)
    if not path.exists():
        raise BackboneError(f"there is no {path}; give a model folder, a weights file or a name")
    given = None if request.architecture is None else architecture_named(request.architecture)
    if path.is_dir():
        return _of_folder(path, given)
    if path.suffix == ".pkl":  # of fastai, most of them
        from regraft.engines.torch import read_state

        read_state(path)  # raises, saying what to save instead
    if given is None:
        raise BackboneError(
            f"{path} does not say which network it belongs to; add --arch with timm's name, such "
            "as --arch tf_efficientnet_lite0, or torchvision:NAME"
        )
    return _backbone(path, path.stem, f"file {path.name}", given, {}, UNKNOWN, is_named=True)


def _of_folder(path: Path, given: Architecture | None) -> Backbone:
    """The backbone of a model or run folder."""
    folder = path / "model" if (path / "model" / "model.json").exists() else path
    try:
        _, facts = read_record(folder)
    except ModelError as error:
        raise BackboneError(
            f"{path} is no model folder of regraft ({error}); give one, or a weights file with "
            "--arch"
        ) from error
    try:
        contents = read_training_contents(folder)
    except ModelError as error:
        raise BackboneError(str(error)) from error
    weights, name = folder / "weights.safetensors", path.resolve().name
    architecture = given or read_architecture(facts["architecture"])
    return _backbone(
        weights, name, f"file {name}", architecture, facts, contents, is_named=given is not None
    )


def _backbone(
    weights: Path,
    name: str,
    origin: str,
    architecture: Architecture,
    saved: Mapping[str, Any],
    contents: TrainingContents,
    *,
    is_named: bool,
) -> Backbone:
    """A backbone of a file of weights; `saved` are the facts of a model folder, {} of a file."""
    if isinstance(architecture, ImageNetwork):
        require_training(f"the network {architecture.title}")
    transform = None
    if saved:
        beside = {file.name: file for file in weights.parent.iterdir()}
        transform = transform_from_dict(saved["transform"], beside)
    if is_named and isinstance(architecture, OwnModule):  # whose code may run, as it was named
        size = None if transform is None else int(saved["transform"]["image_size_px"])
        own = module_backbone(architecture.where, image_size_px=size, normalize="torch")
        return replace(
            own,
            name=name,
            weights_at=str(weights.resolve()),
            weights_sha256=file_digest(weights),
            origin=origin,
            pretrained_on=_pretrained_on(saved, contents),
            contents=contents,
            licence=str(saved.get("licence", "unknown")),
            transform=transform or own.transform,
        )
    facts = facts_of(architecture) or architecture.describe(weights)
    transform = transform or facts.transform
    if transform is None:
        raise BackboneError(
            f"{weights} does not say what its network takes; give the model folder it belongs to"
        )
    return Backbone(
        name=name,
        architecture=architecture,
        weights_at=str(weights.resolve()),
        weights_sha256=file_digest(weights),
        origin=origin,
        task=facts.task,
        pretrained_on=_pretrained_on(saved, contents),
        licence=str(saved.get("licence", "unknown")),
        parameters=facts.parameters,
        feature_width=facts.feature_width,
        transform=transform,
        contents=contents,
    )


def _pretrained_on(saved: Mapping[str, Any], contents: TrainingContents) -> str:
    """What a checkpoint was trained on, in words; a probe leaves its backbone as it was."""
    before = str(saved.get("pretrained_on", "unknown data"))
    is_as_it_was = contents.is_complete and not len(contents.backbone)
    return before if is_as_it_was else f"{before}, then trained further"
