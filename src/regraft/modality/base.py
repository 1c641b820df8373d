"""What every kind of input offers: a path goes in, its bytes, size and array come out.

A new kind of input (sound, text) is one file that satisfies `Modality`. The bytes of a file
are read once, by `read_input`; hashing, inspecting and decoding all work on those bytes, so
that they can never disagree about a file that changes underneath.
"""

from __future__ import annotations

import errno
import json
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from regraft.errors import TooLargeError, UnreadableInputError

if TYPE_CHECKING:
    import onnx

_CELL_MARK = "#cell="
MAX_BYTES = 512 * 2**20
"""Larger files are refused unread: no photo needs them, and several are held at once."""


@dataclass(frozen=True, slots=True)
class InputInfo:
    """What the header of one input says, before anything is decoded."""

    width: int
    """In pixels, as seen upright (after the EXIF rotation)."""
    height: int
    mode: str
    """Pillow's name for the pixel format: "RGB", "L", "P", "CMYK", "I;16", ..."""


class Modality(Protocol):
    """One kind of input. Both methods are called from several threads at once."""

    @property
    def name(self) -> str:
        """The word for it in saved files, for example "image"."""

    @property
    def noun(self) -> str:
        """One of them, in messages: "image"."""

    @property
    def usual(self) -> str:
        """What a folder of them looks like: "photos in one folder per class (.jpg, .png...)"."""

    @property
    def suffixes(self) -> frozenset[str]:
        """File suffixes worth opening, lower-case with their dot. The content decides."""

    def inspect(self, data: bytes) -> InputInfo:
        """Size and pixel format from the header alone.

        Raises:
            UnreadableInputError: `data` is no input of this kind; the text is the reason.
        """

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Upright RGB, C-contiguous uint8 (height, width, 3); may be read-only.

        Raises:
            UnreadableInputError: `data` cannot be decoded whole; the text is the reason.
        """


class Transform(Protocol):
    """From the bytes of a file to what a backbone takes: a description, and what it does.

    Features, training, prediction and export all go through it, so that they cannot drift apart.
    """

    @property
    def modality(self) -> str:
        """The name of the kind of input."""

    @property
    def views(self) -> tuple[str, ...]:
        """The variants of one input over which features are averaged."""

    @property
    def positions(self) -> int:
        """How much of one input a network works through: pixels, or tokens."""

    @property
    def stacks(self) -> bool:
        """Whether several of what `read` returns, of one shape, are a batch of the network."""

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""

    def facts(self) -> dict[str, object]:
        """What tables of backbones show."""

    def companions(self) -> Mapping[str, Path]:
        """Files that it needs beside what `to_dict` says, by the name they have in a model."""

    def plain(self, *, as_it_is: bool = False) -> Transform:
        """The same without other views; `as_it_is` if the input was cut to shape before."""

    def read(self, data: bytes, *, most: int | None = None) -> NDArray[Any]:
        """What the graphs take, of the bytes of a file.

        Args:
            data: the bytes.
            most: pixels of a photo, or characters of a text, that are accepted; None for as many
                as the kind of input allows.

        Raises:
            UnreadableInputError: `data` cannot be decoded; the text is the reason.
            TooLargeError: it has more than `most`.
        """

    def vary(self, data: bytes, seed: int) -> NDArray[Any]:
        """Like `read`, a random variant for training; the same seed gives the same."""

    def graph(self) -> onnx.ModelProto:
        """From what `read` returns to a batch of one input, or of its views."""

    def stored_graph(self) -> onnx.ModelProto:
        """From what `read` returns to what is kept for networks that begin with the input."""

    def fit_shape(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array that depends on the input's length, filled up to the one shape of all."""

    def sample(self) -> bytes:
        """A file of the usual size, to time a network on."""


def facts_to_json(facts: Mapping[str, Any]) -> str:
    """Facts on one input as JSON; NaN becomes null."""
    return json.dumps(
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in facts.items()}
    )


def facts_from_json(text: str) -> dict[str, Any]:
    """What `facts_to_json` was given.

    Raises:
        ValueError, AttributeError: it is something else.
    """
    return {k: math.nan if v is None else v for k, v in json.loads(text).items()}


def read_input(path: str | Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of one file, or of one cell of a table, see `cells`; links are followed.

    Raises:
        UnreadableInputError: there is no such file, it is empty, larger than `max_bytes`, not
            a regular file (a folder, a pipe: never opened, for that could wait for ever) or
            not readable. The text is the reason shown in the file's row.
    """
    path = Path(path)
    if _CELL_MARK in path.name and not path.exists():
        from regraft.modality.cells import read_cell, table_of

        if table_of(path):
            return read_cell(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableInputError("is not a file but a folder")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableInputError("is not a regular file")
        if status.st_size > max_bytes:
            raise _too_big(status.st_size, max_bytes)
        with path.open("rb", buffering=0) as file:
            data = file.read()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise UnreadableInputError(_why(path, error)) from error
    except MemoryError as error:
        raise UnreadableInputError("there is not enough memory to read the file") from error
    if not data:
        raise UnreadableInputError("the file is empty")
    if len(data) > max_bytes:  # it grew since it was measured
        raise _too_big(len(data), max_bytes)
    return data


def _too_big(size: int, max_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"the file has {_bytes_text(size)}, over the limit of {_bytes_text(max_bytes)}"
    )


def _bytes_text(count: int) -> str:
    for unit, factor in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if count >= factor:
            return f"{count / factor:.4g} {unit}"
    return f"{count} bytes"


def _why(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return "is a link to a file that is not there"
        return "the file is not there"
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "is a link that leads back to itself"
    text = error.strerror if isinstance(error, OSError) else str(error)
    return f"could not be read: {text or error}"
