"""Kinds of input: how one file becomes an array, and how that array is prepared for a backbone.

Each kind is one entry of `MODALITIES`: what people call it, and its `Modality`, `Transform` and
`Examiner`, by module and name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.errors import UsageError

if TYPE_CHECKING:
    from regraft.modality.base import Modality, Transform
    from regraft.modality.examiner import Examiner

IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input: what people call it, and where its parts are, as "module:name".

    `graph_input` is what a model's graph takes: name, type and number of axes; `example` is a file
    in commands that are shown; `is_mapped` says whether heat maps can show where in one evidence
    lies.
    """

    thing: str
    things: str
    example: str
    is_mapped: bool
    graph_input: tuple[str, str, int]
    modality: str
    transform: str
    examiner: str


MODALITIES: Mapping[str, Kind] = {
    IMAGE: Kind(
        "photo",
        "photos",
        example="photo.jpg",
        is_mapped=True,
        graph_input=("image", "tensor(uint8)", 3),
        modality="regraft.modality.image:image",
        transform="regraft.modality.transform:ImageTransform",
        examiner="regraft.modality.image_examiner:EXAMINER",
    ),
    "text": Kind(
        "text",
        "texts",
        example="text.txt",
        is_mapped=False,
        graph_input=("tokens", "tensor(int64)", 1),
        modality="regraft.modality.text:text",
        transform="regraft.modality.tokens:TextTransform",
        examiner="regraft.modality.text_examiner:EXAMINER",
    ),
}


def thing(modality: str) -> str:
    """What people call one input: "photo"."""
    return MODALITIES[modality].thing


def things(modality: str) -> str:
    """What people call several: "photos"."""
    return MODALITIES[modality].things


def get_modality(name: str) -> Modality:
    """The kind of input of that name.

    Raises:
        UsageError: there is none.
    """
    found: Modality = _named(name, "modality")
    return found


def get_examiner(name: str) -> Examiner:
    """What looks at that kind of input.

    Raises:
        UsageError: there is none.
    """
    found: Examiner = _named(name, "examiner")
    return found


def transform_from_dict(
    values: Mapping[str, Any], companions: Mapping[str, Path] | None = None
) -> Transform:
    """The transform that `to_dict` described; one without "modality" is of images.

    Args:
        values: what `to_dict` returned.
        companions: where the files are that its `companions` named.

    Raises:
        UsageError: something is missing, unknown or outside its range.
    """
    kind = _named(str(values.get("modality", IMAGE)), "transform")
    found: Transform = kind.from_dict(values, companions)
    return found


def _named(name: str, part: str) -> Any:
    if name not in MODALITIES:
        raise UsageError(f"there is no modality {name!r}; expected {' or '.join(MODALITIES)}")
    module, _, attribute = getattr(MODALITIES[name], part).partition(":")
    return getattr(importlib.import_module(module), attribute)
