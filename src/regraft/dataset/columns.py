"""Which column of a table is what.

Enters: a `Table`, the names that the user gave or a model remembers. Leaves: the position of the
column for each role, "path", "text" or "file" (the input), "label", "split" and "group", and notes
on what was taken for what without its name saying so.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from regraft.dataset.split_names import split_of_name, split_within
from regraft.dataset.values import are_yes_or_no
from regraft.errors import DataError
from regraft.tables.reading import Table

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
        frozenset({"reviewtext", "commenttext", "messagetext", "tweettext", "fulltext"}),
        frozenset({"email", "mail", "sms", "tweet", "post", "question", "abstract"}),
        frozenset({"utterance", "headline", "statement", "query", "description"}),
    ),
    "label": (
        frozenset({"label", "labels"}),
        frozenset({"class", "classname", "labelname", "target", "category", "y"}),
        frozenset({"tag", "tags", "breed", "species", "diagnosis", "dx", "type", "kind"}),
        frozenset({"sentiment", "emotion", "intent", "topic", "genre"}),
    ),
    "split": (frozenset({"split", "partition"}), frozenset({"set", "subset"})),
    "group": (
        frozenset({"group", "groupid", "groups"}),
        frozenset({"patient", "patientid", "subject", "subjectid", "person", "personid"}),
        frozenset({"session", "sessionid", "recording", "recordingid", "video", "videoid"}),
        frozenset({"camera", "cameraid", "source"}),
    ),
}
_FOR_FILES = frozenset().union(*_COLUMN_NAMES["path"])
_INDEX_NAMES = frozenset(
    {"", "index", "unnamed:0", "level0", "rowid", "rownumber", "#", "no", "nr"}
)

INPUTS = ("path", "text", "file")
"""Roles of the column that holds the inputs: names of files, texts, or the bytes of files."""

# A column reads like texts if its cells have so many words and characters, and hardly recur.
_PROSE_WORDS = 5.0
_PROSE_CHARACTERS = 20.0
_PROSE_DISTINCT = 0.9
_LOOKED_AT = 1_000  # cells of a column, about
_MANY = 20  # cells among which labels recur


@dataclass(slots=True)
class Columns:
    """The position of the column for each role, and what is to be said of the choice.

    `indicators` are columns of yes and no that say the split.
    """

    at: dict[str, int] = field(default_factory=dict)
    indicators: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def input(self) -> str:
        """The role of the column that holds the inputs."""
        return next(role for role in INPUTS if role in self.at)


def choose_input(
    table: Table,
    asked: Mapping[str, str | None],
    remembered: Mapping[str, str],
    *,
    suffixes: frozenset[str],
    leads_to_files: Callable[[Sequence[str]], bool],
) -> Columns:
    """The column that holds the inputs.

    What the user names counts; then what a model was trained on, where the table has it. A column
    of texts is taken only where no other one names files.

    Args:
        table: to choose from.
        asked: names of columns by role; None to recognise one, "" where there is none.
        remembered: the same of the data of a model.
        suffixes: of the files that cells may name.
        leads_to_files: whether cells without a suffix are names of files.

    Raises:
        DataError: there is none, or several could be it.
    """
    chosen = Columns()
    for role in ("text", "path"):
        if name := asked[role]:
            chosen.at[role] = _named(table, name, role)
            return chosen
    if table.files and asked["path"] is None and not _are_beside_texts(table, asked):
        chosen.at["file"] = _column_of_files(table)
        return chosen
    for role in ("text", "path"):
        name = remembered.get(role)
        if asked[role] is None and name and name in table.header:
            chosen.at[role] = table.header.index(name)
            return chosen
    _choose_by_looks(chosen, table, asked, suffixes=suffixes, leads_to_files=leads_to_files)
    return chosen


def _choose_by_looks(
    chosen: Columns,
    table: Table,
    asked: Mapping[str, str | None],
    *,
    suffixes: frozenset[str],
    leads_to_files: Callable[[Sequence[str]], bool],
) -> None:
    """Fill in the column of file names or of texts, by its name or what its cells look like."""
    named, like_files = None, []
    if asked["path"] is None:
        named = _recognised(table, "path", taken=())
        everywhere = range(len(table.header))
        like_files = [i for i in everywhere if _names_files(table.column(i), suffixes)]
    leads = named is not None and leads_to_files(table.column(named))
    if asked["text"] is None and not (like_files or leads):
        text = _recognised(table, "text", taken=())
        if text is None:
            text = _column_of_prose(chosen, table, required=named is None)
        if text is not None:
            chosen.at["text"] = text
            return
    if named is not None:
        chosen.at["path"] = named
    elif len(like_files) == 1:
        chosen.at["path"] = like_files[0]
    elif (column := _column_that_leads(table, asked, like_files, leads_to_files)) is not None:
        chosen.at["path"] = column
        chosen.notes.append(
            f"{table.name}: {table.header[column]!r} is taken for the files, since its cells are "
            "their names (--path-column names another)."
        )
    else:
        raise DataError(_no_input(table, like_files, takes_texts=asked["text"] is None))


def _column_that_leads(
    table: Table,
    asked: Mapping[str, str | None],
    like_files: Sequence[int],
    leads_to_files: Callable[[Sequence[str]], bool],
) -> int | None:
    """The one column whose cells are names of files without a suffix; None if there is not one."""
    if asked["path"] is not None or like_files:
        return None
    columns = [i for i in range(len(table.header)) if leads_to_files(table.column(i))]
    return columns[0] if len(columns) == 1 else None


def _no_input(table: Table, like_files: Sequence[int], *, takes_texts: bool) -> str:
    if like_files:
        which = f"several columns with file names ({table.described(like_files)})"
        return f"{table.name} has {which}; name the right one with --path-column"
    if not takes_texts:
        return (
            f"{table.name} has no column called 'file' or 'id', only {table.described()}; if its "
            "first line is a header, name the column with --path-column, otherwise add a line "
            "such as 'file,label' above it"
        )
    return (
        f"{table.name} has no column that names files or reads like texts, only "
        f"{table.described()}; name the one with the files with --path-column, or with the texts "
        "with --text-column"
    )


def choose_others(
    chosen: Columns,
    table: Table,
    asked: Mapping[str, str | None],
    remembered: Mapping[str, str],
    *,
    needs_label: bool,
) -> None:
    """Fill in the columns of labels, splits and groups; a missing one is left out.

    Args:
        chosen: with the column of the inputs.
        table: to choose from.
        asked: names of columns by role; None to recognise one, "" where there is none.
        remembered: the same of the data of a model.
        needs_label: whether columns that the user names have to be there.

    Raises:
        DataError: a named one is not there, or several could be it.
    """
    at = chosen.at
    roles = ("label", "split", "group")
    for role in roles:
        name = asked[role]
        if name and (needs_label or name in table.header):
            at[role] = _named(table, name, role)
    for role in roles:
        if role in at or asked[role] is not None:
            continue
        name = remembered.get(role)
        column = table.header.index(name) if name and name in table.header else None
        if column is None or column in at.values():
            column = _recognised(table, role, taken=at.values())
        if column is not None:
            at[role] = column


def split_indicators(table: Table, taken: Collection[int]) -> dict[int, str]:
    """Columns of yes and no that are called after a split, such as `is_valid`: what a yes means.

    A column called "valid" may as well say that something is in order, and is none.
    """
    return {
        index: split
        for index, name in enumerate(table.header)
        if index not in taken
        and _plain(name) != "valid"
        and (split := split_meant_by(name))
        and are_yes_or_no(table.column(index))
    }


def split_meant_by(name: str) -> str:
    """The split that a column of yes and no is called after: "val" for "is_valid"; "" for none."""
    plain = re.sub(r"^is[\s_.\-]*", "", name.strip(), flags=re.IGNORECASE)
    split, rest = split_within(plain)
    return split_of_name(plain) or (split if not re.sub(r"[\W_]", "", rest) else "")


def label_by_elimination(table: Table, chosen: Columns, taken: Collection[int]) -> int | None:
    """The one column that could be the labels, since no other could; None if there is not one.

    Columns that are empty, that count the rows, or that read like texts are no labels. One that
    could be a group is one only if nothing else is.
    """
    held = {index for role, index in chosen.at.items() if role != "group"} | set(taken)
    free = [index for index in range(len(table.header)) if index not in held]
    rest = [index for index in free if _could_be_labels(table, index)] or free
    group = chosen.at.get("group")
    others = [index for index in rest if index != group]
    if len(others) == 1:
        return others[0]
    if not others and group in rest:
        del chosen.at["group"]
        return group
    return None


def no_label_column(table: Table, chosen: Columns) -> str:
    """The message for a table in which none of several columns is known to be the labels."""
    held = chosen.at.values()
    free = [index for index in range(len(table.header)) if index not in held]
    rest = [index for index in free if _could_be_labels(table, index)] or free
    what = {"text": "texts", "path": "files", "file": "images"}[chosen.input]
    other = " (--text-column names another)" if chosen.input == "text" else ""
    there = f"it has {table.described(rest)}" if rest else "it has no other"
    return (
        f"{table.name} has no column called 'label' or 'class' beside the {what} in "
        f"{table.header[chosen.at[chosen.input]]!r}{other}; {there}; name the one to predict with "
        "--label-column"
    )


def is_a_group(labels: Sequence[str], cells: Sequence[str]) -> bool:
    """Whether cells can be groups: at least two classes occur in two groups or more."""
    groups: dict[str, set[str]] = {}
    for label, cell in zip(labels, cells, strict=True):
        if label and cell:
            groups.setdefault(label, set()).add(cell)
    return sum(len(named) > 1 for named in groups.values()) > 1


def reads_like_texts(cells: Sequence[str]) -> bool:
    """Whether cells are sentences: many words and characters, hardly one of them twice."""
    filled = _some(cells)
    if not filled:
        return False
    words = sum(len(cell.split()) for cell in filled) / len(filled)
    characters = sum(map(len, filled)) / len(filled)
    is_long = words >= _PROSE_WORDS and characters >= _PROSE_CHARACTERS
    return is_long and len(set(filled)) >= _PROSE_DISTINCT * len(filled)


def lacks_header(table: Table, suffixes: frozenset[str]) -> bool:
    """Whether the first row is one like the others: it names a file, or has a value that recurs.

    A row that repeats the whole header, as in tables that were put together, does not count.
    """
    if table.names_columns or not table.rows:
        return False
    named = [name for name in table.header if name]
    if named == [str(number) for number in range(len(named))]:  # as pandas counts columns
        return False
    for index, name in enumerate(table.header):
        if not name:
            continue
        cells = table.column(index)
        if PurePath(name[-40:]).suffix.lower() in suffixes and _names_files(cells, suffixes):
            return True
        if any(
            cell == name and [c.strip() for c in row.cells] != table.header
            for cell, row in zip(cells, table.rows, strict=True)
        ):
            return True
    return False


def _plain(name: str) -> str:
    return re.sub(r"[\s_.\-]", "", name).casefold()


def _could_be_labels(table: Table, index: int) -> bool:
    """Whether a column may be labels: some values recur in it, and it has several."""
    cells = table.column(index)
    if not any(cells) or reads_like_texts(cells):
        return False
    distinct = len(set(cells))
    if distinct < len(cells):
        return distinct > 1
    counts_rows = _plain(table.header[index]) in _INDEX_NAMES | _FOR_FILES
    return len(cells) < _MANY and not (counts_rows and len(cells) > 1)


def _are_beside_texts(table: Table, asked: Mapping[str, str | None]) -> bool:
    """Whether files in cells, sound perhaps, only belong to texts: none is called an image."""
    if asked["text"] == "" or _FOR_FILES & {_plain(table.header[index]) for index in table.files}:
        return False
    return _recognised(table, "text", taken=()) is not None


def _column_of_files(table: Table) -> int:
    """The one column that holds the bytes of files; of several the one that is called so."""
    if len(table.files) == 1:
        return next(iter(table.files))
    for names in _COLUMN_NAMES["path"]:
        columns = [index for index in table.files if _plain(table.header[index]) in names]
        if len(columns) == 1:
            return columns[0]
    raise DataError(
        f"{table.name} has several columns that hold files ({table.described(sorted(table.files))})"
        "; keep the one to be used"
    )


def _column_of_prose(chosen: Columns, table: Table, *, required: bool) -> int | None:
    """The one column that reads like texts, with a note.

    Raises:
        DataError: several do, and one is `required`.
    """
    columns = [i for i in range(len(table.header)) if reads_like_texts(table.column(i))]
    if len(columns) == 1:
        name = table.header[columns[0]]
        chosen.notes.append(
            f"{table.name}: {name!r} is taken for the texts, since nothing else in it reads like "
            "texts (--text-column names another)."
        )
        return columns[0]
    if columns and required:
        raise DataError(
            f"{table.name} has several columns that read like texts: {table.described(columns)}; "
            "name the right one with --text-column"
        )
    return None


def _some(cells: Sequence[str]) -> list[str]:
    """Cells that are not empty, of many those at equal distances."""
    filled = [cell for cell in cells if cell]
    return filled[:: max(1, len(filled) // _LOOKED_AT)]


def _names_files(cells: Sequence[str], suffixes: frozenset[str]) -> bool:
    """Whether nearly all cells, as far as they are looked at, end like a file name."""
    filled = _some(cells)
    like_files = sum(PurePath(cell[-40:]).suffix.lower() in suffixes for cell in filled)
    return bool(filled) and like_files > 0.9 * len(filled)


def _named(table: Table, name: str, role: str) -> int:
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


def _recognised(table: Table, role: str, taken: Collection[int]) -> int | None:
    """The column whose name says that it has this role, or None."""
    plain = {i: _plain(name) for i, name in enumerate(table.header) if i not in taken}
    for names in _COLUMN_NAMES[role]:
        columns = [index for index, name in plain.items() if name in names]
        if len(columns) > 1:
            raise DataError(
                f"{table.name} has several columns that could hold the {role}: "
                f"{table.described(columns)}; name the right one with --{role}-column"
            )
        if columns:
            return columns[0]
    return None
