"""A name in, a Backbone out: built in, from a hub, from a file, from what was trained before.

efficientnet_lite0             built in
timm:NAME[.TAG]                what timm publishes
torchvision:NAME[:WEIGHTS]     what torchvision publishes
hf:OWNER/NAME[@REVISION]       an image model or text encoder of the Hugging Face hub, or hf:FOLDER
                               in its form
module:FILE.py:NAME            a network of one's own, see `modules`
vectors:FILE                   word vectors of GloVe, word2vec or fastText, see `texts`
onnx:FILE                      any network as ONNX; it stays frozen
file:WEIGHTS, or a path        a file of weights with its architecture, or a model of regraft
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from regraft.backbones.backbone import ONNX, Backbone, file_digest, with_transform
from regraft.backbones.built_in import BACKBONES, DEFAULT_BACKBONE, default_backbone
from regraft.backbones.modules import module_backbone
from regraft.backbones.texts import encoder_transform, vectors_backbone
from regraft.engines.modules import MODULE
from regraft.errors import BackboneError, ModelError, UsageError
from regraft.modality import IMAGE, transform_from_dict
from regraft.modality.transform import NORMALISATIONS, ImageTransform, Normalisation
from regraft.model_record import read_record
from regraft.progress import Progress, note, silent
from regraft.training_contents import (
    NOTHING,
    UNKNOWN,
    TrainingContents,
    read_training_contents,
)

if TYPE_CHECKING:
    from regraft.engines.hubs import Published

_NOT_FOR_ALL = ("-nc", "noncommercial", "non-commercial", "research", "other", "fair", "gated")


class BackboneOptions(TypedDict, total=False):
    """What a name alone does not say of a backbone.

    Attributes:
        architecture: timm's name of what a file of weights belongs to, or "torchvision:NAME".
        normalize: how the pixels of an ONNX file, or of a network that does not say so, are
            normalised: "torch", "tf" or "caffe".
        image_size_px: another size than the network's own, if it takes that.
        accept_licence: use weights whose licence does not allow every use.
    """

    architecture: str | None
    normalize: str | None
    image_size_px: int | None
    accept_licence: bool


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
    if image_size_px is not None and not 16 <= image_size_px <= 4096:
        raise UsageError(f"size is {image_size_px}, expected 16 to 4096 px")
    if name in BACKBONES:
        return _resized(BACKBONES[name], image_size_px)
    scheme, colon, rest = name.partition(":")
    if colon and scheme in ("timm", "torchvision", "hf"):
        found = _published(
            name, rest, normalize=normalize, accept_licence=accept_licence, progress=progress
        )
        return _resized(found, image_size_px)
    if colon and scheme == "onnx":
        return _foreign(Path(rest), normalize or "", image_size_px or 0)
    if colon and scheme == "vectors":
        return _resized(vectors_backbone(Path(rest), progress=progress), image_size_px)
    if colon and scheme == "module":
        return module_backbone(rest, image_size_px=image_size_px, normalize=normalize)
    if (colon and scheme == "file") or os.sep in name or Path(name).exists():
        path = Path(rest if colon and scheme == "file" else name)
        return _resized(_checkpoint(path, architecture), image_size_px)
    near = difflib.get_close_matches(name, BACKBONES, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "see: regraft backbones"
    raise BackboneError(
        f"there is no backbone named {name!r}; {hint} (or timm:NAME, torchvision:NAME, "
        "hf:OWNER/NAME, module:FILE.py:NAME, onnx:FILE, vectors:FILE)"
    )


def _resized(backbone: Backbone, image_size_px: int | None) -> Backbone:
    """The backbone for pictures of another size, if its network takes them."""
    if image_size_px is None:
        return backbone
    if not isinstance(backbone.transform, ImageTransform):
        raise UsageError(
            f"size is of photos, and {backbone.name} reads {backbone.modality}s; leave it out"
        )
    if image_size_px == backbone.transform.image_size_px:
        return backbone
    from regraft.engines.torch import check_size

    check_size(backbone.architecture, image_size_px)
    return with_transform(backbone, image_size_px=image_size_px)


def _published(
    name: str, rest: str, *, normalize: str | None, accept_licence: bool, progress: Progress
) -> Backbone:
    """A backbone of a hub."""
    from regraft.engines import hubs

    if name.startswith("timm:"):
        found = hubs.in_timm(rest)
    elif name.startswith("torchvision:"):
        found = hubs.in_torchvision(rest)
    else:
        from regraft.engines.hugging_face import in_hugging_face

        given = _normalisation(normalize) if normalize else None
        found = in_hugging_face(
            rest,
            transform=None if given is None else {"normalisation": asdict(given)},
            told=lambda text: note(progress, text),
        )
    licence = found.licence or "not stated"
    if not accept_licence and any(part in licence.lower() for part in _NOT_FOR_ALL):
        raise BackboneError(
            f"the weights of {name} have the licence {licence}, which does not allow every use; "
            "add --accept-licence if yours is allowed"
        )
    weights = found.file(lambda text: note(progress, text))
    digest = file_digest(weights)
    named = hubs.hash_in_name(weights)
    if not digest.startswith(named):
        raise BackboneError(
            f"{weights} was altered or fetched only in part: its SHA-256 begins with "
            f"{digest[:8]}, its name says {named[:8]}; remove it, and it is fetched again"
        )
    is_folder = name.startswith("hf:") and Path(rest).is_dir()
    return replace(
        BACKBONES[DEFAULT_BACKBONE],
        name=Path(rest).resolve().name if is_folder else name,
        architecture=found.architecture,
        package="",
        weights_file="",
        weights_at=str(weights.absolute()),
        weights_sha256=digest,
        origin=f"folder {Path(rest).resolve().name}" if is_folder else name,
        extra="",
        pretrained_on=found.pretrained_on,
        licence=licence,
        contents=UNKNOWN if is_folder else NOTHING,
        match=found.match,
        **_FACTS[found.modality](found, weights),
    )


def _image_described(architecture: str, _weights: Path) -> dict[str, Any]:
    from regraft.engines.architectures import describe_architecture

    described = describe_architecture(architecture)
    return {
        "parameters": described.parameters,
        "feature_width": described.feature_width,
        "transform": ImageTransform.from_dict(described.transform),
    }


def _text_described(architecture: str, weights: Path) -> dict[str, Any]:
    from regraft.engines.texts import describe

    parameters, width = describe(architecture, weights)
    return {"task": "text encoding", "parameters": parameters, "feature_width": width}


_DESCRIBED: Mapping[str, Callable[[str, Path], dict[str, Any]]] = {
    IMAGE: _image_described,
    "text": _text_described,
}
"""What an architecture says of a backbone of each modality, beside its file of weights."""


def _image_facts(found: Published, _weights: Path) -> dict[str, Any]:
    return {
        "parameters": found.described.parameters,
        "feature_width": found.described.feature_width,
        "transform": ImageTransform.from_dict(found.described.transform),
    }


def _text_facts(found: Published, weights: Path) -> dict[str, Any]:
    transform = encoder_transform(found.described.transform, found.companions)
    return {**_text_described(found.architecture, weights), "transform": transform}


_FACTS: Mapping[str, Callable[[Published, Path], dict[str, Any]]] = {
    IMAGE: _image_facts,
    "text": _text_facts,
}
"""Size and transform of what a hub publishes, of each modality."""


def _foreign(path: Path, normalize: str, image_size_px: int) -> Backbone:
    """A frozen backbone from an ONNX file."""
    from regraft.backbones.foreign import read_foreign

    normalisation = _normalisation(normalize)
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
        weights_sha256=file_digest(path),
        origin=f"onnx {path.name}",
        extra="",
        pretrained_on="unknown data",
        contents=UNKNOWN,
        licence="unknown",
        parameters=found.parameters,
        feature_width=found.feature_width,
        transform=ImageTransform(
            image_size_px=image_size_px or found.image_size_px or 224,
            interpolation="bilinear",
            normalisation=normalisation,
        ),
        match=ONNX,
    )


def _normalisation(name: str) -> Normalisation:
    """The normalisation of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in NORMALISATIONS:
        raise UsageError(
            f"normalize is {name!r}, expected {', '.join(NORMALISATIONS)}: what the network was "
            "trained on; add --normalize"
        )
    return NORMALISATIONS[name]


def _checkpoint(path: Path, architecture: str | None) -> Backbone:
    """A backbone from what was trained before."""
    if not path.exists():
        raise BackboneError(f"there is no {path}; give a model folder, a weights file or a name")
    facts: dict[str, Any] = {}
    contents = UNKNOWN
    weights, is_named = path, architecture is not None
    if path.is_dir():
        folder = path / "model" if (path / "model" / "model.json").exists() else path
        weights = folder / "weights.safetensors"
        try:
            _, facts = read_record(folder)
        except ModelError as error:
            raise BackboneError(
                f"{path} is no model folder of regraft ({error}); give one, or a weights file with "
                "--arch"
            ) from error
        architecture = architecture or str(facts["architecture"])
        contents = _contents_of(folder)
    elif path.suffix == ".pkl":  # of fastai, most of them
        from regraft.engines.torch import read_state

        read_state(path)  # raises, saying what to save instead
    if architecture is None:
        raise BackboneError(
            f"{path} does not say which network it belongs to; add --arch with timm's name, such "
            "as --arch tf_efficientnet_lite0, or torchvision:NAME"
        )
    like = next((b for b in BACKBONES.values() if b.architecture == architecture), None)
    transform = facts.get("transform")
    if like is None and is_named and architecture.startswith(MODULE):
        size = transform["image_size_px"] if transform else None
        like = module_backbone(
            architecture.removeprefix(MODULE), image_size_px=size, normalize="torch"
        )
    elif like is None:
        modality = str((transform or {}).get("modality", IMAGE))
        like = replace(
            default_backbone(modality),
            architecture=architecture,
            **_DESCRIBED[modality](architecture, weights),
        )
    digest = file_digest(weights)
    own = like.transform
    if transform:
        beside = {file.name: file for file in weights.parent.iterdir()}
        own = transform_from_dict(transform, beside)
    return replace(
        like,
        name=path.stem if path.is_file() else path.resolve().name,
        package="",
        weights_file="",
        weights_at=str(weights.resolve()),
        weights_sha256=digest,
        origin=f"file {weights.name if path.is_file() else path.resolve().name}",
        extra="",
        pretrained_on=_pretrained_on(facts, contents),
        contents=contents,
        licence=str(facts.get("licence", "unknown")),
        match="name",
        transform=own,
    )


def _contents_of(folder: Path) -> TrainingContents:
    try:
        return read_training_contents(folder)
    except ModelError as error:
        raise BackboneError(str(error)) from error


def _pretrained_on(facts: Mapping[str, Any], contents: TrainingContents) -> str:
    """What a checkpoint was trained on, in words; a probe leaves its backbone as it was."""
    before = str(facts.get("pretrained_on", "unknown data"))
    is_as_it_was = contents.is_complete and not len(contents.backbone)
    return before if is_as_it_was else f"{before}, then trained further"
