"""Kinds of input: how one file becomes an array, and how that array is prepared for a backbone.

Each kind is one entry of `MODALITIES`: its `Modality` and its `Transform`, by module and name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.errors import UsageError

if TYPE_CHECKING:
    from regraft.modality.base import Modality, Transform

IMAGE = "image"
MODALITIES: Mapping[str, tuple[str, str]] = {
    IMAGE: ("regraft.modality.image:image", "regraft.modality.transform:ImageTransform"),
    "text": ("regraft.modality.text:text", "regraft.modality.tokens:TextTransform"),
}


def get_modality(name: str) -> Modality:
    """The kind of input of that name.

    Raises:
        UsageError: there is none.
    """
    found: Modality = _named(name, 0)
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
    kind = _named(str(values.get("modality", IMAGE)), 1)
    found: Transform = kind.from_dict(values, companions)
    return found


def _named(name: str, part: int) -> Any:
    if name not in MODALITIES:
        raise UsageError(f"there is no modality {name!r}; expected {' or '.join(MODALITIES)}")
    module, _, attribute = MODALITIES[name][part].partition(":")
    return getattr(importlib.import_module(module), attribute)
