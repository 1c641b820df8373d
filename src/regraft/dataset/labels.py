"""A label table: which column is what, and what it says about each image.

Enters: a CSV-like file. Leaves: a `LabelTable`, one entry per line with the name of a file, its
label, split and group, as written. Which file a name means is the business of `matching`.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.csv_table import unguarded
from regraft.dataset.drafts import SPLIT_NAMES, class_name
from regraft.dataset.table import COLUMNS
from regraft.errors import DataError
from regraft.modality import IMAGE
from regraft.modality.base import Modality
from regraft.modality.cells import cell_path
from regraft.modality.delimited import Record, decode, parse

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt", ".psv"})

_MAX_BYTES = 1 << 30

# Names a column goes by, best first; two columns of one line of names are ambiguous.
_COLUMN_NAMES: Mapping[str, tuple[frozenset[str], ...]] = {
    "path": (
        frozenset({"path", "file", "filename", "filepath", "filenames", "files"}),
        frozenset({"imagepath", "imagefile", "imagefilename", "imagename", "imgpath", "imgname"}),
        frozenset({"image", "img", "photo", "picture", "images"}),
        frozenset({"imageid", "imgid", "photoid", "fileid"}),
        frozenset({"id", "name", "uid", "key"}),
    ),
    "text": (
        frozenset({"text", "texts"}),
        frozenset({"message", "body", "content", "document", "sentence", "review", "comment"}),
        frozenset({"email", "mail", "sms", "tweet", "post", "question", "abstract"}),
    ),
    "label": (
        frozenset({"label", "labels"}),
        frozenset({"class", "classname", "labelname", "target", "category", "y"}),
        frozenset({"tag", "tags", "breed", "species", "diagnosis", "dx", "type", "kind"}),
    ),
    "split": (frozenset({"split", "partition"}), frozenset({"set", "subset"})),
    "group": (
        frozenset({"group", "groupid", "groups"}),
        frozenset({"patient", "patientid", "subject", "subjectid", "person", "personid"}),
        frozenset({"session", "sessionid", "recording", "recordingid", "video", "videoid"}),
        frozenset({"camera", "cameraid", "source"}),
    ),
}

_TABLE_SPLITS: Mapping[str, str] = {
    **SPLIT_NAMES,
    "": "train",
    "dev": "val",
    "holdout": "test",
    "eval": "test",
    "evaluation": "test",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a label table.

    Attributes:
        line: where it begins in the file, the first line being 1.
        name: of a file, or its id; the path of the cell where the table holds the texts.
        label: "" where the cell is empty.
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
        entries: one per line that names a file.
        columns: the column that holds each of "path" or "text", "label", "split" and "group".
        notes: what was found out about the file, one sentence each.
    """

    path: Path
    entries: tuple[Entry, ...]
    columns: Mapping[str, str]
    notes: tuple[str, ...]


def read_label_table(
    path: Path,
    *,
    path_column: str | None = None,
    text_column: str | None = "",
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    image_suffixes: frozenset[str] = frozenset(),
    needs_label: bool = True,
) -> LabelTable:
    """Read a table whose lines each give one image its one label.

    Args:
        path: of a text file with a header line.
        path_column: name of the column with file names or ids; None to recognise it. The same
            goes for the other columns, of which "" means that there is none.
        text_column: name of the column with the texts themselves; None to recognise it, unless
            another one holds file names; "" where there can be none.
        label_column: class names.
        split_column: "train", "val", "test" and their usual other names.
        group_column: images with the same value never part in a split.
        image_suffixes: tell a file name from another cell where the header does not.
        needs_label: whether a table without labels is an error. Where it is not, the other
            columns named by the user may be absent too.

    Raises:
        DataError: not such a table; several labels an image, or numbers to be predicted.
    """
    text, encoding = decode(_read_bytes(path), name=path.name)
    records, delimiter = parse(text, name=path.name)
    if not records:
        raise DataError(f"{path.name} is empty; expected a header line and one line per image")
    header = [cell.strip() for cell in records[0].cells]
    if tuple(header) == COLUMNS:  # a table that regraft wrote
        records = [Record(r.line, [unguarded(cell) for cell in r.cells]) for r in records]
    body = _rectangular(records[1:], width=len(header), name=path.name)
    table = _Table(path.name, header, body)

    text_at = _text_column(table, path_column, text_column, image_suffixes)
    wanted = {
        "path": path_column if text_at is None else "",
        "text": None if text_at is None else header[text_at],
        "label": label_column,
        "split": split_column,
        "group": group_column,
    }
    if text_at is None:
        del wanted["text"]
    columns = _choose_columns(table, wanted, image_suffixes, needs_label=needs_label)
    if "label" in columns:
        labels = table.column(columns["label"])
        _refuse_several_labels(labels, table.name, header[columns["label"]])
        _refuse_numbers(labels, table.name, header[columns["label"]])
    splits = _splits(table, columns.get("split"))
    entries = [
        Entry(
            line=record.line,
            name=(
                record.cells[columns["path"]].strip()
                if text_at is None
                else cell_path(path.name, number, text_at + 1)
            ),
            label=class_name(table.cell(record, columns.get("label"))),
            split=split,
            group=table.cell(record, columns.get("group")),
        )
        for number, (record, split) in enumerate(zip(body, splits, strict=True), start=2)
    ]
    notes = []
    nameless = [entry.line for entry in entries if not entry.name]
    if nameless:
        notes.append(f"{path.name} names no file in {lines(nameless)}; skipped.")
    if encoding not in ("ascii", "utf-8"):
        notes.append(f"{path.name} was read as {encoding}, separated by {_spoken(delimiter)}.")
    named = {role: header[index] for role, index in columns.items()}
    if "group" in named:
        notes.append(f"Images with the same {named['group']!r} are never parted by a split.")
    return LabelTable(path, tuple(entry for entry in entries if entry.name), named, tuple(notes))


def is_table_of(path: Path, kind: Modality) -> bool:
    """Whether a file is taken as a table of inputs of that kind, not as one of them."""
    suffix = path.suffix.lower()
    return kind.name != IMAGE and suffix in TABLE_SUFFIXES - kind.suffixes


def cells_of(path: Path) -> list[str]:
    """The paths of the texts in a table, labelled or not; see `modality.cells`.

    Raises:
        DataError: not a table, or none of its columns holds texts.
    """
    table = read_label_table(path, path_column="", text_column=None, needs_label=False)
    return [str(path.with_name(entry.name)) for entry in table.entries]


def lines(numbers: Sequence[int], *, shown: int = 3) -> str:
    """ "line 4", "lines 4 and 9", "lines 4, 9, 12 and 30 more"."""
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    first = [str(number) for number in numbers[:shown]]
    last = f"{len(numbers) - shown:,} more" if len(numbers) > shown else first.pop()
    return f"lines {', '.join(first)} and {last}"


@dataclass(frozen=True, slots=True)
class _Table:
    """A rectangular table: every record has as many cells as the header."""

    name: str
    header: list[str]
    body: list[Record]

    def column(self, index: int) -> list[str]:
        """The cells of one column, without spaces around them."""
        return [record.cells[index].strip() for record in self.body]

    def cell(self, record: Record, index: int | None) -> str:
        """One cell, "" where there is no such column."""
        return "" if index is None else record.cells[index].strip()

    def described(self, indices: Sequence[int] | None = None) -> str:
        """The names of some columns, or of all, for a message."""
        names = self.header if indices is None else [self.header[index] for index in indices]
        return ", ".join(repr(name) for name in names)


def _read_bytes(path: Path) -> bytes:
    from regraft.modality.base import read_input

    try:
        return read_input(path, max_bytes=_MAX_BYTES)
    except DataError as error:
        raise DataError(f"the label table {path} cannot be read: {error}") from None


def _rectangular(records: Sequence[Record], *, width: int, name: str) -> list[Record]:
    """Records filled up with empty cells to `width`; surplus empty cells are dropped."""
    result = []
    too_wide = []
    for record in records:
        if any(cell.strip() for cell in record.cells[width:]):
            too_wide.append(record)
        cells = record.cells[:width] + [""] * (width - len(record.cells))
        result.append(Record(record.line, cells))
    if too_wide:
        raise DataError(
            f"{name} has {len(too_wide[0].cells)} cells in "
            f"{lines([record.line for record in too_wide])}, its header has {width}; "
            "put cells that hold the delimiter in double quotes"
        )
    return result


def _spoken(delimiter: str) -> str:
    names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
    return names.get(delimiter, repr(delimiter))


# --- Which column is what --------------------------------------------------------------------


def _choose_columns(
    table: _Table,
    wanted: Mapping[str, str | None],
    image_suffixes: frozenset[str],
    *,
    needs_label: bool,
) -> dict[str, int]:
    """The position of the column for each role that the table has."""
    chosen: dict[str, int] = {}
    for role, name in wanted.items():
        if name and (needs_label or role == "path" or name in table.header):
            chosen[role] = _named_column(table, name, role)
    for role, name in wanted.items():
        if name is None:
            found = _recognised_column(table, role, taken=chosen.values())
            if found is not None:
                chosen[role] = found
    if "path" not in chosen and "text" not in chosen:
        chosen["path"] = _column_of_file_names(table, image_suffixes, taken=chosen.values())
    if "label" not in chosen and wanted["label"] is None:
        _refuse_indicators(table, taken=chosen.values())
        rest = [index for index in range(len(table.header)) if index not in chosen.values()]
        if len(rest) == 1 and needs_label:
            chosen["label"] = rest[0]
    if "label" not in chosen and needs_label:
        raise DataError(
            f"{table.name} has no column called 'label' or 'class'; it has {table.described()}; "
            "name the one to predict with --label-column"
        )
    return chosen


def _text_column(
    table: _Table, path_column: str | None, text_column: str | None, suffixes: frozenset[str]
) -> int | None:
    """The column that holds the texts themselves; None where the lines name files."""
    if text_column:
        return _named_column(table, text_column, "text")
    if text_column == "" or path_column:
        return None
    found = _recognised_column(table, "text", taken=())
    if found is None or any(
        _names_files(table.column(index), suffixes) for index in range(len(table.header))
    ):
        return None
    return found


def _names_files(cells: Sequence[str], suffixes: frozenset[str]) -> bool:
    """Whether nearly all cells that are not empty end like a file name."""
    filled = [cell for cell in cells if cell]
    like_files = sum(Path(cell[-40:]).suffix.lower() in suffixes for cell in filled)
    return bool(filled) and like_files > 0.9 * len(filled)


def _named_column(table: _Table, name: str, role: str) -> int:
    """The column that the user named, letter case aside if there is only one such."""
    exact = [index for index, column in enumerate(table.header) if column == name.strip()]
    folded = name.strip().casefold()
    alike = [index for index, column in enumerate(table.header) if column.casefold() == folded]
    if len(exact or alike) == 1:
        return (exact or alike)[0]
    if exact or alike:
        raise DataError(
            f"{table.name} has {len(exact or alike)} columns called {name!r}; rename all but one"
        )
    near = difflib.get_close_matches(folded, [column.casefold() for column in table.header], 1, 0.5)
    meant = next((column for column in table.header if near and column.casefold() == near[0]), "")
    hint = f"; did you mean {meant!r}?" if meant else ""
    raise DataError(
        f"{table.name} has no column {name!r} for --{role}-column; it has {table.described()}{hint}"
    )


def _recognised_column(table: _Table, role: str, taken: Collection[int]) -> int | None:
    """The column whose name says that it has this role, or None."""
    plain = [re.sub(r"[\s_.\-]", "", column).casefold() for column in table.header]
    for names in _COLUMN_NAMES[role]:
        found = [index for index, name in enumerate(plain) if name in names and index not in taken]
        if len(found) > 1:
            raise DataError(
                f"{table.name} has several columns that could hold the {role}: "
                f"{table.described(found)}; name the right one with --{role}-column"
            )
        if found:
            return found[0]
    return None


def _column_of_file_names(
    table: _Table, image_suffixes: frozenset[str], taken: Collection[int]
) -> int:
    """The one column whose cells look like image files, whatever it is called."""

    def is_image(cell: str) -> bool:
        return Path(cell.strip()).suffix.lower() in image_suffixes

    if any(is_image(cell) for cell in table.header):
        raise DataError(
            f"{table.name} has no header line: its first line is {table.described()}; "
            "add one such as 'file,label' above it"
        )
    found = [
        index
        for index in range(len(table.header))
        if index not in taken and _names_files(table.column(index), image_suffixes)
    ]
    if len(found) == 1:
        return found[0]
    which = (
        f"several columns with file names ({table.described(found)})"
        if found
        else (f"no column called 'file' or 'id', only {table.described()}")
    )
    raise DataError(
        f"{table.name} has {which}; if its first line is a header, name the column with "
        "--path-column, otherwise add a line such as 'file,label' above it"
    )


def _splits(table: _Table, index: int | None) -> list[str]:
    """The split of every record, "" without a split column."""
    if index is None:
        return [""] * len(table.body)
    cells = table.column(index)
    unknown = [
        record.line
        for record, cell in zip(table.body, cells, strict=True)
        if cell.casefold() not in _TABLE_SPLITS
    ]
    if unknown:
        value = next(cell for cell in cells if cell.casefold() not in _TABLE_SPLITS)
        raise DataError(
            f"{table.name} has {value!r} as split in {lines(unknown)} (column "
            f"{table.header[index]!r}); expected train, val or test, or --split-column '' "
            "if the column means something else"
        )
    return [_TABLE_SPLITS[cell.casefold()] for cell in cells]


# --- What is not one class name per image ----------------------------------------------------

_SEVERAL_SHARE = 0.05  # of labels with a separator from which the table is taken as multi-label
_MANY_NUMBERS = 20  # distinct whole numbers up to which they are taken as class codes


def _refuse_indicators(table: _Table, taken: Collection[int]) -> None:
    """Raise if the columns without a role are several columns of 0 and 1."""
    indicators = []
    for index in range(len(table.header)):
        values = set(table.column(index))
        if index not in taken and values and values <= {"0", "1", "0.0", "1.0"}:
            indicators.append(index)
    if len(indicators) > 1:
        raise DataError(
            f"{table.name} has {len(indicators)} columns of 0 and 1 "
            f"({table.described(indicators[:4])}{', ...' if len(indicators) > 4 else ''}): "
            "several labels an image are not supported; give one column with one class name a line"
        )


def _refuse_several_labels(labels: Sequence[str], name: str, column: str) -> None:
    """Raise if a good part of the labels are lists, such as `cat|dog` or `['cat', 'dog']`.

    A comma may be part of a name ("living room, messy"): it counts only where the parts also
    occur apart from each other.
    """
    distinct = Counter(label for label in labels if label)
    for separator in "|;,":
        lists = {label for label in distinct if separator in label.strip("[](){}")}
        share = sum(distinct[label] for label in lists) / max(1, distinct.total())
        if share < _SEVERAL_SHARE:
            continue
        occurs_in: Counter[str] = Counter()
        for label in distinct:
            parts = re.split(re.escape(separator), label.strip("[](){}"))
            occurs_in.update({part.strip(" '\"") for part in parts})
        apart = sum(count > 1 for count in occurs_in.values())
        if separator != "," or apart >= len(occurs_in) / 2:
            raise DataError(
                f"{name} has labels such as {min(lists)!r} in column {column!r}: several labels "
                "an image are not supported; keep one class name a line"
            )


def _refuse_numbers(labels: Sequence[str], name: str, column: str) -> None:
    """Raise if the labels are measurements; a few whole numbers are class codes."""
    distinct = Counter(label for label in labels if label)
    numbers = {label: number for label in distinct if (number := _number(label)) is not None}
    if sum(distinct[label] for label in numbers) < 0.95 * max(1, distinct.total()):
        return
    fractions = [label for label, number in numbers.items() if number != round(number)]
    many = len(numbers) > _MANY_NUMBERS and len(numbers) > 0.5 * distinct.total()
    if fractions or many:
        examples = ", ".join(sorted(fractions or numbers)[:3])
        raise DataError(
            f"{name} has numbers as labels in column {column!r} ({examples}): predicting a "
            "quantity is not supported; give class names, such as 'low' and 'high'"
        )


def _number(label: str) -> float | None:
    try:
        number = float(label)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
