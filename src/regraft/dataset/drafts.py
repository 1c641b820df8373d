"""Draft: rows before their files are read, and the roles of their splits.

Enters: rows as folders or tables describe them, with the splits "train", "val" and "test".
Leaves: rows with the splits that a Dataset knows, "train" and "test".
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from regraft.dataset.table import Row
from regraft.wording import counted


@dataclass(frozen=True, slots=True)
class Draft:
    """Rows before their files are read.

    Attributes:
        rows: status "ok" (labelled) or "unlabelled" where there is nothing against the file.
        layout: how labels were found, one sentence.
        notes: what was decided, one sentence each.
    """

    rows: tuple[Row, ...]
    layout: str = ""
    notes: tuple[str, ...] = ()


def class_name(text: str) -> str:
    """A class name in its composed form (NFC), so that two spellings of one "é" are one class."""
    return unicodedata.normalize("NFC", text)


def relative_path(path: str | Path, root: Path) -> str:
    """`path` seen from `root`, with forward slashes; absolute if it is on another drive."""
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:
        return Path(path).as_posix()


def rebased(draft: Draft, folder: Path, root: Path) -> Draft:
    """The draft with paths relative to `folder` made relative to `root`."""
    prefix = relative_path(folder, root)
    if prefix == ".":
        return draft
    rows = [
        dataclasses.replace(row, path=posixpath.normpath(posixpath.join(prefix, row.path)))
        for row in draft.rows
    ]
    return Draft(tuple(rows), draft.layout, draft.notes)


def with_test_set(draft: Draft, test: Draft, *, name: str, noun: str = "image") -> Draft:
    """The draft with another one, called `name`, as its test set.

    A file in both is a test image, and its label of either. The draft's own labelled test
    images are left out: nothing may be learned from images that were meant for testing.
    """
    test_rows = {
        row.path: row if row.status == "ignored" else dataclasses.replace(row, split="test")
        for row in test.rows
    }
    rows = []
    both = own = 0
    for row in draft.rows:
        if row.path in test_rows:
            both += row.status == "ok"
            test_rows[row.path] = _as_test_row(test_rows[row.path], row)
        elif row.split == "test" and row.status == "ok":
            own += 1
            reason = f"{name} is the test set instead"
            rows.append(dataclasses.replace(row, status="excluded", reason=reason))
        else:
            rows.append(row)
    notes = [*draft.notes, *test.notes, f"The test set is {name}."]
    if both:
        notes.append(f"{counted(both, noun)} in both parts: for testing, as {name} says.")
    if own:
        notes.append(f"{counted(own, noun)} of the folder's or table's own test set left out.")
    return Draft((*rows, *test_rows.values()), draft.layout, tuple(notes))


def _as_test_row(row: Row, other: Row) -> Row:
    """The test row of a file that the training part has a row for as well."""
    if row.status != "unlabelled" and row.status != "ok":
        return row
    if not row.label and other.status == "ok":
        return dataclasses.replace(other, split="test", group=row.group or other.group)
    if other.label and other.label != row.label:
        reason = f"labelled {row.label!r} for testing and {other.label!r} for training"
        return dataclasses.replace(row, status="conflict", reason=reason)
    return row


def choose_test_rows(draft: Draft, noun: str = "image") -> Draft:
    """Give train, val and test their roles.

    A labelled test split, or else a labelled val split, is the test set. Where both exist, val
    joins the training rows. A test split without labels is predicted, not scored.
    """
    labelled = {row.split for row in draft.rows if row.status == "ok"}
    unlabelled_test = sum(row.split == "test" and row.status == "unlabelled" for row in draft.rows)
    notes = list(draft.notes)
    val_becomes = "train"
    if "test" in labelled and "val" in labelled:
        notes.append(
            f"The val {noun}s join the training {noun}s: the test {noun}s are the test set."
        )
    elif "val" in labelled:
        val_becomes = "test"
        notes.append(f"The val {noun}s are the test set: there is no labelled test split.")
    if unlabelled_test:
        several = counted(unlabelled_test, f"test {noun}")
        notes.append(f"{several} without a label: predicted and shown, not scored.")
    rows = [
        dataclasses.replace(row, split="" if row.status == "unlabelled" else val_becomes)
        if row.split == "val"
        else row
        for row in draft.rows
    ]
    return Draft(tuple(rows), draft.layout, tuple(notes))
