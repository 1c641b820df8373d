"""What every kind of input offers to be looked at without a network: plain facts, and their use.

`measures` keeps what an Examiner measures of each file; `issues` and `exploring` work on its facts
without knowing what they are of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

INCIDENTAL, CONTENT = "incidental", "content"

Mask = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
T = TypeVar("T")

_TUKEY_K = 3.0  # interquartile ranges


class Measured(NamedTuple):
    """What is measured of one input.

    `attributes` is a dataclass of facts with `to_json`, `signature` an array of one shape and type
    by which copies are recognised, `preview` what people are shown of it, see `Examiner.shown`.
    """

    attributes: Any
    signature: NDArray[Any]
    preview: bytes


@dataclass(frozen=True, slots=True)
class Clue:
    """One thing that may give the class away: its name for people, and how it is told.

    `kind` is INCIDENTAL for what comes from how an input was made and kept, CONTENT for what
    depends on what it shows or says. Either numbers (NaN where one does not apply) or a word.
    """

    name: str
    kind: str
    numbers: tuple[Callable[[Any], float], ...] = ()
    word: Callable[[Any], str] | None = None


@dataclass(frozen=True, slots=True)
class Trait:
    """A fact whose spread over the classes is shown; `logarithmic` if its ratios matter."""

    name: str
    unit: str
    logarithmic: bool
    value: Callable[[Any], float]


@dataclass(frozen=True, slots=True)
class Shown:
    """What people see of one input: a small JPEG file, or the beginning of a text."""

    picture: bytes = b""
    text: str = ""


class Moment(NamedTuple):
    """When something was made, in seconds (NaN: unknown), and the name of what made it, or ""."""

    taken: float = math.nan
    camera: str = ""


class Word(NamedTuple):
    """A word that sets a class apart: the share of its texts that have it, and of the others."""

    text: str
    inside: float
    outside: float


@dataclass(frozen=True, slots=True)
class Portraits:
    """What classes have in common: their mean image as a JPEG file, or their typical words."""

    means: Mapping[str, bytes] = field(default_factory=dict)
    words: Mapping[str, tuple[Word, ...]] = field(default_factory=dict)


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, evenly spaced, the first among them."""
    if len(items) <= most:
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]


def far_from_others(values: FloatArray) -> Mask:
    """Which of (n,) values lie beyond Tukey's outer fences, see `_TUKEY_K`."""
    low, high = np.percentile(values, [25, 75])
    reach = _TUKEY_K * (high - low)
    found: Mask = (values < low - reach) | (values > high + reach)
    return found


class Examiner(Protocol):
    """One kind of input, looked at. `measure` is called from several threads at once."""

    @property
    def key(self) -> str:
        """Names what is stored; changes with its meaning."""

    @property
    def signature(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of a signature."""

    @property
    def clues(self) -> tuple[Clue, ...]:
        """What may give a class away."""

    @property
    def clues_of_kind(self) -> Mapping[str, str]:
        """The clues of each kind, named in a few words."""

    @property
    def series_example(self) -> str:
        """What is in order and alike without being copies, for example "frames of a film"."""

    @property
    def traits(self) -> tuple[Trait, ...]:
        """What is shown of how the classes differ."""

    @property
    def faults(self) -> Mapping[str, str]:
        """What may be wrong with one input, in words: "blurry" is "blurred"."""

    def measure(self, data: bytes) -> Measured:
        """Facts on the bytes of a file.

        Raises:
            UnreadableInputError: they cannot be decoded.
        """

    def attributes_from_json(self, text: str) -> Any:
        """The attributes that `to_json` wrote.

        Raises:
            ValueError, TypeError, AttributeError: it is something else.
        """

    def moment(self, attributes: Any) -> Moment:
        """When an input was made, where its file says it; None has no attributes."""

    def find_faults(self, attributes: Sequence[Any]) -> Mapping[str, tuple[Mask, FloatArray]]:
        """For each of `faults` which inputs have it, and how good each is in that, 0 to 1, (n,)."""

    def summary(
        self, attributes: Sequence[Any], previews: Sequence[bytes]
    ) -> tuple[tuple[str, str], ...]:
        """What is to be said of all of them: pairs of a term and a text."""

    def shown(self, preview: bytes) -> Shown:
        """What people see of an input that was measured."""

    def portraits(
        self, classes: Sequence[str], labels: NDArray[np.int64], previews: Sequence[bytes]
    ) -> Portraits:
        """What the inputs of each class have in common; labels (n,), -1 for none."""


__all__ = [
    "CONTENT",
    "INCIDENTAL",
    "Clue",
    "Examiner",
    "FloatArray",
    "Mask",
    "Measured",
    "Moment",
    "Portraits",
    "Shown",
    "Trait",
    "Word",
    "far_from_others",
    "spread",
]
