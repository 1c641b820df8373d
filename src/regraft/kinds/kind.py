"""What an input is: one record holds all that a kind of input brings."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from regraft.kinds.base import Reader, Transform
    from regraft.kinds.examiner import Examiner

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """Something that a kind brings: "package.module:name", imported when called, or it itself."""

    at: str | T

    def __call__(self) -> T:
        """What it is."""
        if not isinstance(self.at, str):
            return self.at
        module, _, name = self.at.partition(":")
        part: T = attrgetter(name)(importlib.import_module(module))
        return part


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of input.

    The parts with a default are what a wing further up asks for, which says at the named place what
    it is; a kind without one cannot do that, and the wing says so.

    Attributes:
        name: in saved files and options: "image".
        thing: one input, for people: "photo".
        things: several: "photos".
        noun: one input where files are counted: "image".
        usual: what a folder of them looks like, for a message.
        example: a file name, in commands that are shown.
        suffixes: of files worth opening, lower-case with their dot. The content decides.
        extent: what width and height of a row count.
        others: what models of this kind were not measured on, in a model card.
        depths: what the first, the middle and the last layers of its networks tell apart; () where
            nothing is known of that.
        is_picture: whether an input is a picture: pages show it, cameras take it, maps lie over it.
        in_cells: whether a cell of a table may be one input.
        graph_input: name, type and number of axes of what a model's graph takes.
        reader: from the bytes of a file to its size and an array.
        transform: a Transform from what its `to_dict` gave, and the files that it named.
        examiner: looks at inputs without a network.
        backbones: `backbones.backbone.Backbone`s that come along, the default one first.
        similarity: `racing.similarity.Measured`.
        copies: `inspection.issues.copies.CopyFinder`; without it near copies are not looked for.
        tuning: `approaches.fine_tune.Tuning`.
        scratch: the candidates of `scratch`, from what was `approaches.base.Asked`.
        sizes: what `reporting.sizes` says of width and height.
        form: `exporting.forms.Form`.
        intake: `serving.intake.Intake`; without it servers take files alone.
    """

    name: str
    thing: str
    things: str
    noun: str
    usual: str
    example: str
    suffixes: frozenset[str]
    extent: str
    others: str
    depths: tuple[str, ...] = ()
    is_picture: bool = False
    in_cells: bool = False
    graph_input: tuple[str, str, int]
    reader: Part[Reader]
    transform: Part[Callable[[Mapping[str, Any], Mapping[str, Path] | None], Transform]]
    examiner: Part[Examiner]
    backbones: Part[Sequence[Any]]
    similarity: Part[Any] | None = None
    copies: Part[Any] | None = None
    tuning: Part[Any] | None = None
    scratch: Part[Any] | None = None
    sizes: Part[Any] | None = None
    form: Part[Any] | None = None
    intake: Part[Any] | None = None
