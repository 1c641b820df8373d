"""Rows of files far from the dataset's root, named without the way to them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from regraft.dataset.table import Dataset
from regraft.storage.locations import far_name, is_far, shareable

_MOST_LEVELS = 2  # a test folder above its split and its classes


def without_absolute_paths(data: Dataset) -> Dataset:
    """The dataset with rows that say nothing of where far folders lie.

    The path of a row outside the root leads up and down again, and may pass through the user's
    home (`../../home/anna/test/1.jpg`). Such a row gets a path like `.../test/1.jpg`, and
    `Dataset.elsewhere` says where `.../test` is.
    """
    outside = {
        row.path: Path(os.path.abspath(data.locate(row.path)))  # noqa: PTH100 - keeps links
        for row in data.rows
        if row.path.startswith("../") or Path(row.path).is_absolute()
    }
    far = {path: place for path, place in outside.items() if is_far(shareable(place, data.root))}
    if not far:
        return data
    elsewhere = dict(data.elsewhere)
    bases = _bases(place.parent for place in far.values())
    names = {base: _name_of(base, elsewhere) for base in bases}
    paths = {}
    for path, place in far.items():
        base = max((b for b in bases if place.is_relative_to(b)), key=lambda b: len(b.parts))
        paths[path] = f"{names[base]}/{place.relative_to(base).as_posix()}"
    rows = tuple(replace(row, path=paths.get(row.path, row.path)) for row in data.rows)
    return replace(data, rows=rows, elsewhere=elsewhere)


def _bases(folders: Iterable[Path]) -> list[Path]:
    """Folders that hold all of the given ones: a test folder, in place of one for each class."""
    bases: list[Path] = []
    for folder in sorted(set(folders)):
        shared = _shared(bases[-1], folder) if bases else None
        bases = [*bases[:-1], shared] if shared is not None else [*bases, folder]
    return bases


def _shared(base: Path, folder: Path) -> Path | None:
    """The folder that holds both, where it lies near and holds nobody's home."""
    try:
        shared = Path(os.path.commonpath([base, folder]))
    except ValueError:  # drives of Windows
        return None
    ways = [shareable(place, shared) for place in (base, folder)]
    is_near = not any(is_far(way) or len(Path(way).parts) > _MOST_LEVELS for way in ways)
    return shared if is_near else None


def _name_of(base: Path, elsewhere: dict[str, str]) -> str:
    """A name for a folder, entered into `elsewhere`."""
    plain = name = far_name(base)
    number = 1
    while elsewhere.get(name, str(base)) != str(base):
        number += 1
        name = f"{plain}-{number}"
    elsewhere[name] = str(base)
    return name
