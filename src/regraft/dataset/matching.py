"""The files that the names in a label table mean.

Enters: a `LabelTable` and the `Listing` of the folder with its images. Leaves: a `Draft`, one
row per file of the folder and one per name for which there is no file. A name that could mean
two files is reported, never guessed.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from regraft.dataset.drafts import Draft, relative_path
from regraft.dataset.labels import Entry, LabelTable, lines
from regraft.dataset.layouts import split_of_folder
from regraft.dataset.table import Row
from regraft.dataset.walking import Listing
from regraft.errors import DataError

Finder: TypeAlias = Callable[[str], Sequence[str]]


def rows_from_table(table: LabelTable, listing: Listing, *, among: Listing | None = None) -> Draft:
    """Rows of every file of `listing`, labelled by `table`, and of names without a file.

    A file that the table names by its path is read whatever its suffix; an image that it does
    not name is unlabelled. Without a split column, folders called
    train, val and test decide.

    Args:
        table: which names files, or holds the inputs.
        listing: of the folder.
        among: those of its files that names may mean; None for all.

    Raises:
        DataError: no name in the table leads to an image.
    """
    named = named_rows(table, among or listing)
    if table.modality:  # files beside a table that holds the inputs have nothing to do with it
        return named
    known = {row.path for row in named.rows}
    rows = list(named.rows)
    for file in listing.files:
        if file not in known:
            split = "test" if split_of_folder(file) == "test" else ""
            reason = f"not named in {table.path.name}"
            rows.append(Row(file, split=split, status="unlabelled", reason=reason))
    table_path = relative_path(table.path, listing.folder)
    rows += [
        dataclasses.replace(row, reason="the label table") if row.path == table_path else row
        for row in listing.left_out
        if row.path not in known
    ]
    return Draft(tuple(rows), named.layout, named.notes)


_ADVICE = "give the folder with --image-dir or the column with --path-column"


def named_rows(table: LabelTable, listing: Listing, *, advice: str = _ADVICE) -> Draft:
    """The rows that `table` names: one per file found, one per name without a file.

    Of a table that holds the inputs themselves, one per line.

    Args:
        table: which names files, or holds the inputs.
        listing: the files among which they are.
        advice: what to do where none is.

    Raises:
        DataError: no name in the table leads to an image.
    """
    if table.modality:
        return _rows_of_cells(table, listing)
    if not table.entries:
        raise DataError(f"{table.path.name} names no file; expected one line per image")
    meant_by = _finder_of(table, listing)
    by_file: dict[str, list[Entry]] = {}
    by_name: dict[str, list[Entry]] = {}
    meanings: dict[str, Sequence[str]] = {}
    for entry in table.entries:
        files = meant_by(entry.name)
        if len(files) == 1:
            by_file.setdefault(files[0], []).append(entry)
        else:
            by_name.setdefault(entry.name, []).append(entry)
            meanings[entry.name] = files
    if not by_file:
        raise DataError(_no_file_found(table, listing, meanings, advice))

    rows = [_row_of_file(file, entries, table) for file, entries in by_file.items()]
    folders = {row.path for row in listing.left_out}  # listed already, if a name means one
    rows += [
        _row_without_file(name, entries, meanings[name], table)
        for name, entries in by_name.items()
        if name not in folders
    ]
    layout = f"the label table {table.path.name}: files in the column {table.columns['path']!r}"
    if "label" in table.columns:
        layout += f", labels in {table.columns['label']!r}"
    notes = [
        *table.notes,
        *_notes_on_repeats(by_file, table),
        *_notes_on_absent(by_name, meanings, table),
    ]
    return Draft(tuple(rows), layout, tuple(notes))


def _rows_of_cells(table: LabelTable, listing: Listing) -> Draft:
    role, inputs = ("text", "texts") if "text" in table.columns else ("file", "images")
    if not table.entries:
        raise DataError(f"{table.path.name} holds no {inputs}; expected one of them a line")
    folder = relative_path(table.path, listing.folder)[: -len(table.path.name)]
    rows = [_row_of_file(f"{folder}{entry.name}", [entry], table) for entry in table.entries]
    layout = f"the table {table.path.name}: {inputs} in the column {table.columns[role]!r}"
    if "label" in table.columns:
        layout += f", labels in {table.columns['label']!r}"
    return Draft(tuple(rows), layout, tuple(table.notes))


def file_finder(files: Iterable[str]) -> Finder:
    """A function from a name in a table to those of `files` that it may mean.

    The first of these to find any file decides: its relative path; its name; its name without
    the suffix; both with letter case aside; its name as a number with other leading zeros (7
    for `00007.jpg`). Folders in the name and in the path must agree as far as both go:
    `photos/cat/1.jpg` means `cat/1.jpg` and `1.jpg`, but never `dog/1.jpg`.
    """
    by_path: dict[str, str] = {}
    split: list[tuple[tuple[str, ...], str, str]] = []  # folders, letter case aside; name; file
    for file in files:
        plain = unicodedata.normalize("NFC", file)
        by_path[plain] = file
        *folders, name = plain.split("/")
        split.append((tuple(map(str.casefold, folders)), name, file))
    deepest = max((len(folders) for folders, _, _ in split), default=0)

    @functools.cache
    def index(lookup: int, depth: int | None) -> Mapping[tuple[str, ...], Sequence[str]]:
        """Files by their last `depth` folders (None: by all) and the key of their name."""
        found: dict[tuple[str, ...], list[str]] = {}
        for folders, name, file in split:
            key = _LOOKUPS[lookup][0](name)
            if key and (depth is None or depth <= len(folders)):
                last = folders if depth is None else folders[len(folders) - depth :]
                found.setdefault((*last, key), []).append(file)
        return found

    def find_parts(parts: Sequence[str]) -> Sequence[str]:
        if "/".join(parts) in by_path:
            return [by_path["/".join(parts)]]
        folders, name = tuple(map(str.casefold, parts[:-1])), parts[-1]
        for lookup, (_, key_of_cell) in enumerate(_LOOKUPS):
            key = key_of_cell(name)
            if len(folders) <= deepest:  # files that end with the whole cell
                found = index(lookup, len(folders)).get((*folders, key))
                if found:
                    return found
            for start in range(len(folders) + 1):  # files that the cell ends with
                found = index(lookup, None).get((*folders[start:], key))
                if found:
                    return found
        return []

    @functools.cache
    def find(name: str) -> Sequence[str]:
        plain = unicodedata.normalize("NFC", posixpath.normpath(name))
        for spelling in (plain, plain.replace("\\", "/")):
            parts = [part for part in spelling.split("/") if part not in ("", ".")]
            if parts and (found := find_parts(parts)):
                return found
        return []

    return find


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


def _number(name: str) -> str:
    """`name` without leading zeros if it is all digits, else ""."""
    return (name.lstrip("0") or "0") if name.isascii() and name.isdigit() else ""


# How the name of a file and the cell of a table become the key under which they meet.
_LOOKUPS: tuple[tuple[Callable[[str], str], Callable[[str], str]], ...] = (
    (str, str),
    (_stem, str),
    (str.casefold, str.casefold),
    (lambda name: _stem(name).casefold(), str.casefold),
    (lambda name: _number(_stem(name)), _number),
)


def count_found(table: LabelTable, listing: Listing) -> int:
    """How many of the names in a table lead to one file each."""
    meant_by = _finder_of(table, listing)
    return sum(len(meant_by(name)) == 1 for name in {entry.name for entry in table.entries})


def _finder_of(table: LabelTable, listing: Listing) -> Finder:
    """A function from a name in the table to the files that it may mean.

    A path that exists counts before one that only ends alike: `test/1.jpg` is not `train/1.jpg`,
    even if the files of `train` are the ones that are looked through.
    """
    exact = {unicodedata.normalize("NFC", file): file for file in listing.files}
    find = file_finder(listing.files)

    def meant_by(name: str) -> Sequence[str]:
        path = exact.get(unicodedata.normalize("NFC", name))
        if path is not None:
            return [path]
        has_folders = "/" in name or "\\" in name
        first = _by_path(name, table.path, listing.folder) if has_folders else ()
        return first or find(name) or _by_path(name, table.path, listing.folder)

    return meant_by


def _by_path(name: str, table: Path, folder: Path) -> Sequence[str]:
    """The file that `name` is a path to, whatever its suffix, as seen from `folder`.

    The path is absolute, or starts at the table's folder or at `folder`.
    """
    for start in (table.parent, folder):
        path = os.path.normpath(start / name)
        if os.path.isfile(path):  # noqa: PTH113 - Path.is_file() raises on names too long
            return [relative_path(path, folder)]
    return []


def _row_of_file(file: str, entries: Sequence[Entry], table: LabelTable) -> Row:
    """The row of a file that one or more lines name."""
    name = table.path.name
    labels = sorted({entry.label for entry in entries if entry.label})
    groups = [entry.group for entry in entries if entry.group]
    splits = {entry.split for entry in entries}
    split = next((split for split in ("test", "val", "train") if split in splits), "")
    row = Row(
        file,
        label=labels[0] if labels else "",
        split=split or split_of_folder(file) or "train",
        group=groups[0] if groups else "",
    )
    where = f"{lines([entry.line for entry in entries])} of {name}"
    if not labels:
        return _with_status(row, "unlabelled", f"no label in {where}")
    if len(labels) > 1:
        both = " and ".join(repr(label) for label in labels)
        return _with_status(row, "conflict", f"labelled {both} in {where}")
    return row


def _row_without_file(
    name: str, entries: Sequence[Entry], files: Sequence[str], table: LabelTable
) -> Row:
    """The row of a name for which there is no file, or more than one."""
    where = f"{lines([entry.line for entry in entries])} of {table.path.name}"
    reason = f"not found; named in {where}"
    if len(files) > 1:
        reason = f"could be {files[0]} or {files[1]}; named in {where}"
    row = Row(name, label=entries[0].label, split=entries[0].split, group=entries[0].group)
    return _with_status(row, "missing", reason)


def _with_status(row: Row, status: str, reason: str) -> Row:
    return dataclasses.replace(row, status=status, reason=reason)


def _notes_on_repeats(by_file: Mapping[str, Sequence[Entry]], table: LabelTable) -> list[str]:
    """What is to be said of files that several lines name."""
    name = table.path.name
    same: list[int] = []
    different: list[int] = []
    parted: list[int] = []
    for entries in by_file.values():
        if len(entries) < 2:
            continue
        labels = {entry.label for entry in entries if entry.label}
        numbers = [entry.line for entry in entries]
        (different if len(labels) > 1 else same).extend(numbers)
        if len({(entry.split, entry.group) for entry in entries}) > 1:
            parted += numbers
    notes = []
    if same:
        notes.append(f"{name} names files twice, with the same label, in {lines(sorted(same))}.")
    if different:
        notes.append(
            f"{name} names files twice, with different labels, in {lines(sorted(different))}; "
            "they are left out."
        )
    if parted:
        notes.append(
            f"{name} gives one file several splits or groups in {lines(sorted(parted))}; "
            "test goes before val and val before train, and the first group counts."
        )
    return notes


def _notes_on_absent(
    by_name: Mapping[str, Sequence[Entry]],
    meanings: Mapping[str, Sequence[str]],
    table: LabelTable,
) -> list[str]:
    """What is to be said of names that lead to no file, or to several."""
    name = table.path.name
    absent = [entry.line for key in by_name if len(meanings[key]) < 2 for entry in by_name[key]]
    unclear = [entry.line for key in by_name if len(meanings[key]) > 1 for entry in by_name[key]]
    notes = []
    if absent:
        notes.append(f"{name} names files that were not found, in {lines(sorted(absent))}.")
    if unclear:
        notes.append(
            f"{name} has names that could mean several files in {lines(sorted(unclear))}; "
            "give the path from the image folder there."
        )
    return notes


def _no_file_found(
    table: LabelTable, listing: Listing, meanings: Mapping[str, Sequence[str]], advice: str
) -> str:
    """The message for a table of which no name leads to an image."""
    first = table.entries[0].name
    found = f"such as {listing.files[0]!r}" if listing.files else "none"
    unclear = sum(len(files) > 1 for files in meanings.values())
    cause = f"{unclear:,} could mean several images" if unclear else f"such as {first!r}"
    return (
        f"none of the {len(meanings):,} names in {table.path.name} ({cause}) leads to one image "
        f"in {listing.folder} ({found}); {advice}"
    )
