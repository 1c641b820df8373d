"""A name in, a Precision out: what may become of a network's numbers when it is exported.

A precision is a function from a model to its graph and a row of `PRECISIONS`. What `--precision`
takes, help, errors, checks, card and the table in docs/frameworks.md are made of the rows. Nothing
heavy is imported before a model is converted.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regraft.errors import MissingExtraError, UsageError
from regraft.exporting.agreement import SAME_ACCURACY, SAME_ANSWERS, Agreement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from regraft.model import Model

    Convert = Callable[[Model, Sequence[NDArray[Any]]], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What becomes of a network's numbers; what comes in and goes out of its graph stays.

    Attributes:
        summary: that, in a few words.
        convert: the graph in it, given the model and, of some inputs, what its graph takes (of none
            unless `calibrated`); raises ExportError. None leaves the graph as it is.
        agreement: how close to the model the file has to be.
        calibrated: whether it takes inputs: ranges of numbers are set by them, and the distance
            from which an input is unfamiliar moves as far as distances have moved.
        shrinks: whether a file that gets no smaller is refused.
        extra: of this package that it needs; it has a package of that name.
    """

    summary: str
    convert: Convert | None = None
    agreement: Agreement = SAME_ACCURACY
    calibrated: bool = False
    shrinks: bool = False
    extra: str = ""


def _half(model: Model, _: Sequence[NDArray[Any]]) -> bytes:
    from regraft.engines.precision import half_weights

    return half_weights(model.graph)


def _integers(model: Model, arrays: Sequence[NDArray[Any]]) -> bytes:
    from regraft.exporting.forms import form_of

    return form_of(model).integers(model.graph, arrays)


DEFAULT_PRECISION = "float32"
PRECISIONS = {
    DEFAULT_PRECISION: Precision(
        summary="numbers as they are in the model", agreement=SAME_ANSWERS
    ),
    "half": Precision(summary="weights of 16 bits, half the size", convert=_half, shrinks=True),
    "int8": Precision(
        summary="integers of 8 bits, a third of the size or less",
        convert=_integers,
        calibrated=True,
        shrinks=True,
    ),
}
"""Every precision by its name, what costs least first: that is what is advised instead."""


def precision_named(name: str) -> Precision:
    """The precision of that name.

    Raises:
        UsageError: there is none.
        MissingExtraError: it needs an extra that is not installed.
    """
    if name not in PRECISIONS:
        raise UsageError(f"there is no precision {name!r}; expected {', '.join(PRECISIONS)}")
    extra = PRECISIONS[name].extra
    if extra and importlib.util.find_spec(extra) is None:
        raise MissingExtraError(f"--precision {name}", extra)
    return PRECISIONS[name]


def advice_instead(name: str) -> str:
    """What ends the error by which a precision is refused: those that cost less, nearest first."""
    names = list(PRECISIONS)
    less = " or ".join(reversed(names[: names.index(name)]))
    return f"; export it with --precision {less}" if less else ""


def precisions_help() -> str:
    """The precisions in a sentence."""
    return "; ".join(f"{name}: {row.summary}" for name, row in PRECISIONS.items()) + "."


def precisions_table() -> str:
    """The precisions as a table of Markdown."""
    rows = [
        f"| `{name}` | {row.summary} | {row.agreement.summary} |"
        for name, row in PRECISIONS.items()
    ]
    title = "| `--precision` | what becomes of the network | what is accepted |"
    return "\n".join([title, "|---|---|---|", *rows])
