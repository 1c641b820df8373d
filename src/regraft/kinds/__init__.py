"""Kinds of input: how one file becomes an array, and how that array is prepared for a backbone.

A kind is one `Kind`, a row of `KINDS`. A folder here fills it with what reads, prepares and looks
at its inputs; what wings further up need of it stands there, and the record says where.

kind        Kind, the record
base        Reader and Transform, and the bytes of one input
examiner    what every kind offers to be looked at without a network
images      photos
texts       texts
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.errors import UsageError
from regraft.kinds.images import KIND as IMAGES
from regraft.kinds.kind import Kind, Part
from regraft.kinds.texts import KIND as TEXTS

if TYPE_CHECKING:
    from regraft.kinds.base import Transform

KINDS: dict[str, Kind] = {kind.name: kind for kind in (IMAGES, TEXTS)}

IMAGE, TEXT = IMAGES.name, TEXTS.name
"""IMAGE is meant where nothing is said, as in all that the first versions wrote."""


def kind_named(name: str) -> Kind:
    """The kind of input of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in KINDS:
        raise UsageError(f"there is no modality {name!r}; expected {' or '.join(KINDS)}")
    return KINDS[name]


def kind_in_cells() -> Kind:
    """The kind whose inputs may be the cells of a table."""
    return next(kind for kind in KINDS.values() if kind.in_cells)


def thing(name: str) -> str:
    """What people call one input of a kind: "photo"."""
    return kind_named(name).thing


def things(name: str) -> str:
    """What people call several: "photos"."""
    return kind_named(name).things


def transform_from_dict(
    values: Mapping[str, Any], files: Mapping[str, Path] | None = None
) -> Transform:
    """The transform that `to_dict` described; one without "modality" is of images.

    Args:
        values: what `to_dict` returned.
        files: where the files are that its `files` named.

    Raises:
        UsageError: something is missing, unknown or outside its range.
    """
    return kind_named(str(values.get("modality", IMAGE))).transform()(values, files)


__all__ = [
    "IMAGE",
    "KINDS",
    "TEXT",
    "Kind",
    "Part",
    "kind_in_cells",
    "kind_named",
    "thing",
    "things",
    "transform_from_dict",
]
