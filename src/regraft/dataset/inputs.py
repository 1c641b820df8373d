"""What is to be predicted: files, folders, patterns and tables in, the paths of single inputs out.

Nothing that was named or lies in a named folder is passed over in silence: what cannot be an input
is listed with the reason.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from regraft.dataset.labels import is_table_of
from regraft.dataset.reader import Reader, tables_of
from regraft.dataset.sources import find_source
from regraft.dataset.table import natural_key
from regraft.dataset.walking import walk
from regraft.errors import DataError
from regraft.kinds import Kind, kind_named
from regraft.tables.cells import table_of
from regraft.wording import counted


@dataclass(slots=True)
class Inputs:
    """Paths of inputs, each once; `left_out` are files with the reason why they are none."""

    paths: dict[str, None] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def add(self, other: Inputs) -> None:
        """Add those of another one."""
        self.paths |= other.paths
        self.left_out |= other.left_out
        self.notes |= other.notes


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """How tables among the inputs are read.

    Attributes:
        path_column: the column of file names; None to recognise it.
        text_column: the column of texts; None to recognise it.
        image_dir: the folder of the files that a table names; None for that of the table.
        remembered: names of columns by role, of the data that the model was trained on.
    """

    path_column: str | None = None
    text_column: str | None = None
    image_dir: str | Path | None = None
    remembered: Mapping[str, str] = field(default_factory=dict)


def find_inputs(
    given: Sequence[str | Path], *, modality: str, options: InputOptions | None = None
) -> Inputs:
    """Files as given; folders, patterns and tables as the inputs they hold, in natural order.

    A table that is one of several things named, as a shell makes of `new/*`, is left out where it
    names no input; one that was named alone is an error.

    Args:
        given: files, folders, glob patterns, tables, cells of tables.
        modality: the kind of input.
        options: how tables are read.

    Raises:
        DataError: one of them is not there, or no input was found.
    """
    kind = kind_named(modality)
    inputs = Inputs()
    for one in given:
        try:
            inputs.add(_inputs_of(one, kind, options or InputOptions()))
        except _NoTableError as error:
            if len(given) == 1:
                raise DataError(str(error)) from error
            inputs.left_out[str(one)] = str(error)
    inputs.left_out = {p: why for p, why in inputs.left_out.items() if p not in inputs.paths}
    if not inputs.paths:
        listed = ", ".join(map(str, given))
        beside = ""
        if inputs.left_out:
            path, why = next(iter(inputs.left_out.items()))
            beside = f", {counted(len(inputs.left_out), 'other file')} ({path}: {why})"
        raise DataError(f"no {kind.noun} found in {listed}{beside}; expected {kind.usual}")
    return inputs


class _NoTableError(DataError):
    """A file that may be a table gives no input."""


def _inputs_of(given: str | Path, kind: Kind, options: InputOptions) -> Inputs:
    path = Path(given)
    try:
        if path.is_dir():
            return _inputs_below(path, kind, options)
        if path.is_file() and is_table_of(path, kind):
            return _inputs_named_in(path, kind, options)
        if os.path.lexists(path) or table_of(path):
            return Inputs({str(path): None})
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise DataError(f"{given} cannot be opened: {why}; give another path") from error
    names = sorted(glob.glob(str(given), recursive=True), key=natural_key)  # noqa: PTH207
    if not names:
        raise DataError(f"there is no file, folder or match for {given}; check its name")
    return find_inputs(names, modality=kind.name, options=options)


def _inputs_below(folder: Path, kind: Kind, options: InputOptions) -> Inputs:
    """Every input below a folder, or in the tables of one that has no others.

    Inputs that cannot be opened are among them, to be flagged.
    """
    listing = walk(
        Path(os.path.abspath(folder)),  # noqa: PTH100 - keeps links
        suffixes=kind.suffixes,
        noun=kind.noun,
    )
    inputs = Inputs()
    if not listing.files and (tables := tables_of(listing)):
        for table in tables:
            with suppress(_NoTableError):  # it stays one of the files that are no inputs
                named = folder / table.relative_to(listing.folder)
                inputs.add(_inputs_named_in(named, kind, options))
    closed = [row.path for row in listing.left_out if row.status == "unreadable"]
    for name in sorted([*listing.files, *closed], key=natural_key):
        inputs.paths[str(folder / name)] = None
    read = {table_of(path) for path in inputs.paths}
    for row in listing.left_out:
        path = str(folder / row.path)
        if row.status != "unreadable" and path not in read:
            inputs.left_out[path] = row.reason
    return inputs


def _inputs_named_in(path: Path, kind: Kind, options: InputOptions) -> Inputs:
    """The files that a table names, or the cells in which it holds the inputs."""
    reader = Reader(
        asked={
            "path_column": options.path_column,
            "text_column": options.text_column,
            "label_column": "",
            "split_column": "",
            "group_column": "",
        },
        modality=kind.name,
        remembered=options.remembered,
    )
    source = find_source(path, None, options.image_dir)
    try:
        draft = reader.read_named(source)
    except DataError as error:
        raise _NoTableError(str(error)) from error
    inputs = Inputs(notes=dict.fromkeys(draft.notes))
    for row in draft.rows:
        absolute = os.path.normpath(source.root / row.path)
        shown = absolute if path.is_absolute() else os.path.relpath(absolute)
        if row.status == "missing":
            inputs.left_out[row.path] = row.reason
        else:
            inputs.paths[shown] = None
    return inputs
