"""A label table: what it says about each input.

Enters: a table of any form. Leaves: a `LabelTable`, one entry per row with the name of a file or of
a cell, its label, split and group. Which column is what is the business of `columns`, what cells
mean that of `values`, and which file a name means that of `matching`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regraft.dataset.columns import (
    Columns,
    choose_input,
    choose_others,
    is_a_group,
    label_by_elimination,
    lacks_header,
    no_label_column,
    reads_like_texts,
    split_indicators,
    split_meant_by,
)
from regraft.dataset.drafts import class_name
from regraft.dataset.table import COLUMNS
from regraft.dataset.values import (
    are_exclusive,
    are_yes_or_no,
    holds_no_split,
    indicator_columns,
    labels_of,
    labels_of_indicators,
    splits_of,
    splits_of_indicators,
)
from regraft.errors import DataError
from regraft.kinds import IMAGE, Kind, kind_in_cells, kind_named
from regraft.storage.csv_table import unguarded
from regraft.tables.cells import cell_path
from regraft.tables.reading import SUFFIXES as TABLE_SUFFIXES
from regraft.tables.reading import Table, begins_as_fasttext, lines, read_table


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a label table.

    Attributes:
        line: where it begins in the file, the first line being 1.
        name: of a file, or its id; the path of the cell where the table holds the inputs.
        label: "" where there is none.
        split: "train", "val", "test", or "" where the table has no split column.
        group: "" where the cell is empty or the table has no group column.
    """

    line: int
    name: str
    label: str
    split: str
    group: str


@dataclass(frozen=True, slots=True)
class LabelTable:
    """A label table that was read and understood.

    Attributes:
        path: of the table.
        entries: one per row that names a file, or holds an input.
        columns: the column that holds each of "path", "text" or "file" (the input), "label",
            "split" and "group".
        notes: what was found out about the file, one sentence each.
    """

    path: Path
    entries: tuple[Entry, ...]
    columns: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def modality(self) -> str:
        """The kind of input that its cells are; "" where it names files."""
        return _kind_of(self.columns)


def _kind_of(roles: Collection[str]) -> str:
    """The kind of input of cells by the role of their column; "" where they name files."""
    return kind_in_cells().name if "text" in roles else IMAGE if "file" in roles else ""


def no_files(_cells: Sequence[str]) -> bool:
    """For a table that is read without a folder of files: none of its cells names one."""
    return False


def read_label_table(
    path: Path,
    *,
    path_column: str | None = None,
    text_column: str | None = "",
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    remembered: Mapping[str, str] | None = None,
    image_suffixes: frozenset[str] = frozenset(),
    leads_to_files: Callable[[Sequence[str]], bool] = no_files,
    takes_files: bool = True,
    needs_label: bool = True,
) -> LabelTable:
    """Read a table whose rows each give one input its one label.

    Args:
        path: of a table, see `tables.reading`.
        path_column: name of the column with file names or ids; None to recognise it. The same
            goes for the other columns, of which "" means that there is none.
        text_column: name of the column with the texts themselves; None to recognise it, unless
            another one holds file names; "" where there can be none.
        label_column: class names.
        split_column: "train", "val", "test" and their usual other names, or yes and no.
        group_column: inputs with the same value never part in a split.
        remembered: names of columns by role, of the data that a model was trained on; they count
            where the table has them and the user names no other.
        image_suffixes: tell a file name from another cell where the header does not.
        leads_to_files: whether cells that are no file names by their suffix name files as well.
        takes_files: whether cells may be the bytes of files; not where texts are meant.
        needs_label: whether a table without labels is an error. Where it is not, the other
            columns named by the user may be absent too.

    Raises:
        DataError: not such a table; several labels an input, or numbers to be predicted.
        MissingExtraError: the table's form needs a package that is not installed.
    """
    asked = {
        "path": path_column,
        "text": text_column,
        "label": label_column,
        "split": split_column,
        "group": group_column,
    }
    before = remembered or {}
    table, notes = _with_header(_without_guards(read_table(path)), image_suffixes)
    if not takes_files:
        table = replace(table, files=frozenset())
    try:
        columns = choose_input(
            table, asked, before, suffixes=image_suffixes, leads_to_files=leads_to_files
        )
        choose_others(columns, table, asked, before, needs_label=needs_label)
        entries = _entries(path, table, columns, asked, before, needs_label=needs_label)
    except DataError as error:
        if notes:  # what the columns are called now is not in the file
            raise DataError(f"{error}; {notes[0].removesuffix('.')}") from None
        raise
    named = {role: table.header[index] for role, index in columns.at.items()}
    return LabelTable(path, entries, named, (*notes, *columns.notes, *table.notes))


def is_table_of(path: Path, kind: Kind) -> bool:
    """Whether a file is taken as a table of inputs of that kind, not as one of them."""
    suffix = path.suffix.lower()
    if suffix in kind.suffixes:  # lines of fastText are a .txt as any other
        return suffix in TABLE_SUFFIXES and begins_as_fasttext(path)
    return suffix in TABLE_SUFFIXES


def _without_guards(table: Table) -> Table:
    """The table; one that regraft wrote without what keeps spreadsheets from formulas."""
    if tuple(table.header) != COLUMNS:
        return table
    rows = [replace(row, cells=list(map(unguarded, row.cells))) for row in table.rows]
    return replace(table, rows=rows)


def _with_header(table: Table, suffixes: frozenset[str]) -> tuple[Table, list[str]]:
    """The table with names for its columns if it has none, without copies of its header."""
    if lacks_header(table, suffixes):
        first = table.described()
        table = table.without_header()
        note = (
            f"{table.name} has no header line: its first line is {first[:80]}"
            f"{'...' if len(first) > 80 else ''}, so its columns are called {table.described()}."
        )
        return table, [note]
    copies = [row.line for row in table.rows if [c.strip() for c in row.cells] == table.header]
    if table.names_columns or not copies:
        return table, []
    rows = [row for row in table.rows if row.line not in set(copies)]
    note = f"{table.name} repeats its header in {table.where(copies)}; left out."
    return replace(table, rows=rows), [note]


def _drop_weak_columns(
    table: Table, columns: Columns, asked: Mapping[str, str | None], remembered: Mapping[str, str]
) -> None:
    """Forget a split or group column whose name alone says so, where its cells say otherwise."""
    split, group = columns.at.get("split"), columns.at.get("group")
    if split is not None and not asked["split"]:
        name = table.header[split]
        is_weak = name.casefold() in ("set", "subset") and remembered.get("split") != name
        if is_weak and holds_no_split(table.column(split)):
            del columns.at["split"]
    is_named = bool(asked["group"])
    if group is not None and not is_named and reads_like_texts(table.column(group)):
        del columns.at["group"]


def _splits(table: Table, columns: Columns, asked: Mapping[str, str | None]) -> list[str]:
    """The split of every row, "" where the table says nothing of splits."""
    column = columns.at.get("split")
    if column is not None:
        cells = table.column(column)
        meaning = split_meant_by(table.header[column])
        if not (meaning and are_yes_or_no(cells)):
            return splits_of(table, column)
        splits, notes, _ = splits_of_indicators(table, {column: meaning}, is_sure=True)
        columns.notes += notes
        return splits
    if asked["split"] == "":
        return [""] * len(table.rows)
    indicators = split_indicators(table, columns.at.values())
    splits, notes, used = splits_of_indicators(table, indicators)
    columns.notes += notes
    columns.indicators += used
    return splits


def _labels(
    table: Table,
    columns: Columns,
    asked: Mapping[str, str | None],
    *,
    noun: str,
    needs_label: bool,
) -> list[str]:
    """The label of every row, "" where it has none."""
    column = columns.at.get("label")
    taken = [*columns.at.values(), *columns.indicators]
    if column is None and asked["label"] is None:
        one_hot = indicator_columns(table, taken)
        if one_hot and (needs_label or are_exclusive(table, one_hot)):
            labels, notes = labels_of_indicators(table, one_hot, noun)
            columns.notes += notes
            return labels
        if needs_label:
            column = label_by_elimination(table, columns, columns.indicators)
    if column is None:
        if needs_label:
            raise DataError(no_label_column(table, columns))
        return [""] * len(table.rows)
    columns.at["label"] = column
    labels, notes = labels_of(table, column, noun)
    columns.notes += notes
    return labels


def _groups(
    table: Table,
    columns: Columns,
    asked: Mapping[str, str | None],
    labels: Sequence[str],
    *,
    noun: str,
) -> list[str]:
    """The group of every row, "" where it has none."""
    column = columns.at.get("group")
    if column is None:
        return [""] * len(table.rows)
    name, cells = table.header[column], table.column(column)
    if not asked["group"] and any(labels) and not is_a_group(labels, cells):
        del columns.at["group"]
        columns.notes.append(
            f"{table.name}: {name!r} is not taken for groups, since no two classes would have two "
            f"groups each; if {noun}s with the same {name!r} must stay together, name it with "
            "--group-column."
        )
        return [""] * len(table.rows)
    columns.notes.append(
        f"{noun.capitalize()}s with the same {name!r} are never parted by a split."
    )
    return cells


def _entries(
    path: Path,
    table: Table,
    columns: Columns,
    asked: Mapping[str, str | None],
    remembered: Mapping[str, str],
    *,
    needs_label: bool,
) -> tuple[Entry, ...]:
    """An entry per row that has an input; `columns` get what was found on the way."""
    noun = kind_named(_kind_of([columns.input]) or IMAGE).noun
    _drop_weak_columns(table, columns, asked, remembered)
    splits = _splits(table, columns, asked)
    labels = _labels(table, columns, asked, noun=noun, needs_label=needs_label)
    groups = _groups(table, columns, asked, labels, noun=noun)
    role = columns.input
    column = columns.at[role]
    entries, nameless = [], []
    for row, label, split, group in zip(table.rows, labels, splits, groups, strict=True):
        cell = row.cells[column].strip()
        if not cell and role != "text":  # an empty text is one that cannot be read
            nameless.append(row.line)
            continue
        name = cell if role == "path" else cell_path(path.name, row.number, column + 1)
        entries.append(Entry(row.line, name, class_name(label), split, group))
    if nameless:
        columns.notes.append(f"{path.name} names no file in {table.where(nameless)}; skipped.")
    return tuple(entries)


__all__ = ["TABLE_SUFFIXES", "Entry", "LabelTable", "is_table_of", "lines", "read_label_table"]
