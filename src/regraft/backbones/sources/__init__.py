"""A name in, a Backbone out: where backbones may come from.

A source is a file in this folder with a function `find`, and a row of `SOURCES`. What `--backbone`
takes, what is said of names that nobody knows and the table in docs/frameworks.md are made of the
rows. Nothing heavy is imported before a name is looked up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from regraft.engines import require_training
from regraft.errors import BackboneError, UsageError
from regraft.progress import Progress, silent

if TYPE_CHECKING:
    from regraft.backbones.backbone import Backbone

_SIZES_PX = (16, 4096)


class BackboneOptions(TypedDict, total=False):
    """What a name alone does not say of a backbone.

    Attributes:
        architecture: timm's name of what a file of weights belongs to, "torchvision:NAME" or
            "module:FILE.py:NAME".
        normalize: how the pixels of an ONNX file, or of a network that does not say so, are
            normalised: "torch", "tf" or "caffe".
        image_size_px: another size than the network's own, if it takes that.
        accept_licence: use weights whose licence does not allow every use.
    """

    architecture: str | None
    normalize: str | None
    image_size_px: int | None
    accept_licence: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a source is asked for; see `BackboneOptions` for the fields."""

    name: str
    """As it was given, with its scheme."""
    architecture: str | None = None
    normalize: str | None = None
    image_size_px: int | None = None
    accept_licence: bool = False
    progress: Progress = silent


Find = Callable[[str, Request], "Backbone"]


def _nothing(_name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where backbones may come from.

    Attributes:
        forms: how they are named, with the scheme: "timm:NAME[.TAG]"; shown in help and errors.
        summary: what they are, in a few words.
        find: given what follows the scheme, makes the backbone.
        claims: whether a name without scheme belongs here.
        takes_pytorch: whether its networks are built by PyTorch, which an extra brings.
    """

    forms: tuple[str, ...]
    summary: str
    find: Find
    claims: Callable[[str], bool] = _nothing
    takes_pytorch: bool = False


def _file(module: str) -> Find:
    """`find` of a file in this folder, which is imported when something is looked up in it."""

    def find(name: str, request: Request) -> Backbone:
        backbone: Backbone = import_module(f"{__name__}.{module}").find(name, request)
        return backbone

    return find


def _is_built_in(name: str) -> bool:
    from regraft.backbones.built_in import built_in

    return name in built_in()


def _is_path(name: str) -> bool:
    return os.sep in name or Path(name).exists()


SOURCES: dict[str, Source] = {
    "": Source(
        forms=("NAME",),
        summary="one that comes with regraft, see `regraft backbones`",
        find=_file("included"),
        claims=_is_built_in,
    ),
    "timm": Source(
        forms=("timm:NAME[.TAG]",),
        summary="any pretrained network of timm, with the tag of certain weights or without",
        find=_file("timm"),
        takes_pytorch=True,
    ),
    "torchvision": Source(
        forms=("torchvision:NAME[:WEIGHTS]",),
        summary="an image classifier of torchvision",
        find=_file("torchvision"),
        takes_pytorch=True,
    ),
    "hf": Source(
        forms=("hf:OWNER/NAME[@REVISION]", "hf:FOLDER"),
        summary="an image model or text encoder of the Hugging Face hub, or a folder in its form",
        find=_file("hugging_face"),
        takes_pytorch=True,
    ),
    "module": Source(
        forms=("module:FILE.py:NAME",),
        summary="a torch module of your own, or what returns one",
        find=_file("modules"),
        takes_pytorch=True,
    ),
    "onnx": Source(
        forms=("onnx:FILE",),
        summary="any network of images as ONNX, with --normalize; it stays frozen",
        find=_file("onnx"),
    ),
    "vectors": Source(
        forms=("vectors:FILE",),
        summary="word vectors of GloVe, word2vec or fastText",
        find=_file("vectors"),
    ),
    "file": Source(
        forms=("file:WEIGHTS", "a path"),
        summary="a file of weights with --arch, or a model or run of regraft to go on from",
        find=_file("files"),
        claims=_is_path,
    ),
}
"""Every source by its scheme, in the order in which they are shown and asked."""


def get_backbone(
    name: str,
    *,
    architecture: str | None = None,
    normalize: str | None = None,
    image_size_px: int | None = None,
    accept_licence: bool = False,
    progress: Progress = silent,
) -> Backbone:
    """The backbone of that name; see `SOURCES` for the kinds of names.

    Weights of a hub are looked for in the hub's own cache and fetched if they are not there.

    Args:
        name: a model or run folder of regraft and a file of weights (.safetensors, or a state dict
            that `torch.load(weights_only=True)` reads) need no prefix.
        architecture, normalize, image_size_px, accept_licence: see `BackboneOptions`.
        progress: told before something is fetched.

    Raises:
        BackboneError: there is none, it cannot be fetched or read, or its licence has to be
            accepted; suggests the nearest names.
        MissingExtraError: it takes PyTorch, which is not installed.
        UsageError: an option is outside its range.
    """
    smallest, largest = _SIZES_PX
    if image_size_px is not None and not smallest <= image_size_px <= largest:
        raise UsageError(f"size is {image_size_px}, expected {smallest} to {largest} px")
    request = Request(
        name=name,
        architecture=architecture,
        normalize=normalize,
        image_size_px=image_size_px,
        accept_licence=accept_licence,
        progress=progress,
    )
    scheme, colon, rest = name.partition(":")
    if colon and scheme in SOURCES:
        if SOURCES[scheme].takes_pytorch:
            require_training(f"the backbone {name}")
        return _resized(SOURCES[scheme].find(rest, request), image_size_px)
    for source in SOURCES.values():
        if source.claims(name):
            return _resized(source.find(name, request), image_size_px)
    raise _unknown(name)


def backbone_forms() -> str:
    """How backbones are named beside the built-in ones, for help and errors."""
    forms = [" or ".join(source.forms) for scheme, source in SOURCES.items() if scheme]
    return ", ".join(forms)


def sources_table() -> str:
    """The sources as a table of Markdown."""
    rows = [
        f"| {', '.join(f'`{form}`' for form in source.forms)} | {source.summary} |"
        for source in SOURCES.values()
    ]
    return "\n".join(["| `--backbone` | what it is |", "|---|---|", *rows])


def _unknown(name: str) -> BackboneError:
    import difflib

    from regraft.backbones.built_in import built_in

    near = difflib.get_close_matches(name, built_in(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "see: regraft backbones"
    return BackboneError(f"there is no backbone named {name!r}; {hint} (or {backbone_forms()})")


def _resized(backbone: Backbone, image_size_px: int | None) -> Backbone:
    """The backbone for pictures of another size, if its network takes them."""
    from regraft.backbones.architectures import WeightsLayout, image_network
    from regraft.backbones.backbone import with_transform
    from regraft.kinds import things
    from regraft.kinds.images.transform import as_of_images

    if image_size_px is None:
        return backbone
    transform = as_of_images(backbone.transform)
    if transform is None:
        raise UsageError(
            f"size is of photos, and {backbone.name} reads {things(backbone.modality)}; leave it "
            "out"
        )
    if image_size_px == transform.image_size_px:
        return backbone
    if backbone.layout is not WeightsLayout.ORDER:  # the built-in ones take any
        from regraft.engines.torch import require_size

        architecture = image_network(backbone.architecture)
        require_size(architecture.build().eval(), architecture.title, image_size_px)
    return with_transform(backbone, image_size_px=image_size_px)
