"""What users hand over to be looked at, one or many: paths, pictures, arrays, texts.

One input alone is not a sequence of them: a path as text is a path, and not as many inputs as it
has letters. A `str` is a path for a model of photos. For a model of texts it is the text itself,
unless it names a file: one that is there, or with the suffix of a text file or a table.
"""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regraft.dataset.labels import TABLE_SUFFIXES
from regraft.errors import DataError
from regraft.kinds import IMAGE, kind_named, thing
from regraft.kinds.images.decoding import upright
from regraft.tables.cells import table_of

Input: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[np.uint8]"
"""A path, a picture of Pillow, or upright RGB, uint8 (h, w, 3); of texts a text as well."""

EXPECTED = "expected a path, a PIL picture or uint8 (height, width, 3), one or many"


def is_one(given: object) -> bool:
    """Whether it is an input, and not several."""
    if isinstance(given, np.ndarray):
        return given.ndim == 0 if given.dtype.kind in "OSU" else given.ndim in (2, 3)
    return isinstance(given, str | os.PathLike | Image.Image)


def each(given: Input | Iterable[Input]) -> list[Input]:
    """The inputs, of one or of many: a sequence, a column of a table, or uint8 (n, h, w, 3).

    Raises:
        DataError: it is something else, or holds something else.
    """
    if is_one(given):
        return [given.item() if isinstance(given, np.ndarray) and not given.ndim else given]  # type: ignore[list-item]
    values: Any = given.to_numpy() if hasattr(given, "to_numpy") else given  # pandas, polars
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "OSU" and values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != (1 if values.dtype.kind in "OSU" else 4):
            raise DataError(f"an array of the shape {values.shape} came, {EXPECTED}")
    if not isinstance(values, Iterable) or isinstance(values, bytes | dict):
        raise DataError(f"{type(given).__name__} came, {EXPECTED}")
    found = list(values)
    wrong = next((one for one in found if not is_one(one)), None)
    if wrong is not None:
        raise DataError(f"{type(wrong).__name__} came among the inputs, {EXPECTED}")
    return found


def is_path(given: Input, modality: str = IMAGE) -> bool:
    """Whether an input names a file, a folder or a pattern; else it is the input itself."""
    if not isinstance(given, str):
        return isinstance(given, os.PathLike)
    kind = kind_named(modality)
    if not kind.in_cells:
        return True
    suffix = Path(given[-_LONGEST_NAME:]).suffix.lower()
    return bool(
        suffix in kind.suffixes | TABLE_SUFFIXES
        or table_of(given)
        or os.path.lexists(given)
        or (any(mark in given for mark in "*?[") and glob.glob(given, recursive=True))  # noqa: PTH207
    )


_LONGEST_NAME = 255  # characters of a file name; a text may have millions


def name_of(given: Input, number: int, modality: str = IMAGE) -> str:
    """A path as it was given; what has none is called "photo 1", "text 2"."""
    if is_path(given, modality):
        return os.fspath(given)  # type: ignore[arg-type]
    return f"{thing(modality)} {number}"


def pixels_of(picture: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Upright RGB, uint8 (h, w, 3), of a picture in memory, as of a file that holds it.

    Raises:
        UnreadableInputError: the file that the picture was opened from is damaged.
        DataError: the array is no picture.
    """
    if isinstance(picture, Image.Image):
        return upright(picture)
    channels = picture.shape[2] if picture.ndim == 3 else 1
    if picture.dtype != np.uint8 or channels not in (1, 3, 4) or 0 in picture.shape:
        raise DataError(f"an array came, {picture.dtype} {picture.shape}, {EXPECTED}")
    if channels == 3:
        return np.ascontiguousarray(picture)
    return upright(Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture))


@contextmanager
def as_files(given: Input | Iterable[Input]) -> Iterator[list[str]]:
    """Paths of photos; those in memory are written for as long as they are needed.

    Raises:
        DataError: it is something else, see `each`.
        UnreadableInputError: a picture cannot be decoded.
    """
    found = each(given)
    with tempfile.TemporaryDirectory(prefix="regraft-images-") as folder:
        paths = []
        for number, one in enumerate(found, start=1):
            if is_path(one):
                paths.append(os.fspath(one))  # type: ignore[arg-type]
                continue
            path = Path(folder) / f"{name_of(one, number)}.png"
            Image.fromarray(pixels_of(one)).save(path, compress_level=1)  # type: ignore[arg-type]
            paths.append(str(path))
        yield paths
