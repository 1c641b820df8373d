"""What every kind of input offers: a path goes in, its bytes, size and array come out.

The bytes of a file are read once, by `read_input`; hashing, inspecting and decoding all work on
those bytes, so that they can never disagree about a file that changes underneath.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from numpy.typing import NDArray

from regraft.storage.input_files import MAX_BYTES, read_file
from regraft.tables.cells import read_cell, table_of

if TYPE_CHECKING:
    import onnx

_CELL_MARK = "#cell="


@dataclass(frozen=True, slots=True)
class InputInfo:
    """What the header of one input says, before anything is decoded."""

    width: int
    """In pixels, as seen upright (after the EXIF rotation)."""
    height: int
    mode: str
    """Pillow's name for the pixel format: "RGB", "L", "P", "CMYK", "I;16", ..."""


class Reader(NamedTuple):
    """From the bytes of a file to its size and an array; called from several threads at once.

    Both raise UnreadableInputError where they are no input of the kind; the text is the reason.

    Attributes:
        inspect: what the header alone says.
        decode: all of it: upright RGB, C-contiguous uint8 (h, w, 3), maybe read-only; of a text
            its normalised UTF-8, uint8 (b,).
    """

    inspect: Callable[[bytes], InputInfo]
    decode: Callable[[bytes], NDArray[Any]]


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
    def is_batchable(self) -> bool:
        """Whether several of what `read` returns, of one shape, are a batch of the network."""

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""

    def facts(self) -> dict[str, object]:
        """What tables of backbones show."""

    def files(self) -> Mapping[str, Path]:
        """Files that it needs beside what `to_dict` says, by the name they have in a model."""

    def plain(self, *, precropped: bool = False) -> Transform:
        """The same without other views; `precropped` if the input was cut to shape before."""

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
    """The content of one file, see `read_file`, or of one cell of a table, see `tables.cells`.

    Raises:
        UnreadableInputError: it cannot be read; the text is the reason shown in its row.
    """
    path = Path(path)
    if _CELL_MARK in path.name and not path.exists() and table_of(path):
        return read_cell(path)
    return read_file(path, max_bytes=max_bytes)
