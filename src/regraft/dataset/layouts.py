"""Labels and splits from the names of folders.

Enters: a `Listing`. Leaves: a `Draft`, its paths relative to the listed folder.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection, Iterable, Mapping

from regraft.dataset.drafts import Draft, class_name
from regraft.dataset.nesting import Plain, in_plain_layout, split_folders
from regraft.dataset.split_names import split_of_name
from regraft.dataset.table import Row
from regraft.dataset.walking import Listing

_OUTSIDE = "outside the class folders"
_NO_CLASS_FOLDER = "not in a class folder"
_OTHER_CLASS_FOLDER = "not in the folder of a training class"


def rows_from_folders(
    listing: Listing, *, known: Collection[str] = (), noun: str = "image"
) -> Draft:
    """Recognise a folder per class, the same below train, val and test, or a flat folder.

    A folder called train, val or test (see `split_names`) is a split, unless "train" directly holds
    files beside other folders: then they are all classes. With split folders but none for training,
    the folders beside them hold the training classes. Folders around these are passed over.

    Args:
        listing: of the folder.
        known: names of classes that the folders are to be, such as those of a model.
        noun: what one input is called.
    """
    plain = in_plain_layout(listing, known=known, noun=noun)
    found = plain.listing
    files = [tuple(path.split("/")) for path in found.files]
    splits = split_folders(files, (tuple(path.split("/")) for path in found.folders))
    if splits:
        return _moved_back(_rows_by_split(found, splits, noun), plain)
    if any("/" in path for path in found.files):
        rows = [*_rows_by_class(found.files, below="", split="train"), *found.left_out]
        notes = _empty_class_notes(found, below="", noun=noun)
        return _moved_back(Draft(tuple(rows), "one folder per class", notes), plain)
    rows = [Row(path, status="unlabelled", reason=_NO_CLASS_FOLDER) for path in listing.files]
    return Draft((*rows, *listing.left_out), f"a flat folder of {noun}s without labels")


def rows_of_test_folder(
    listing: Listing, train_classes: Collection[str], *, noun: str = "image"
) -> Draft:
    """The rows of a folder that is wholly a test set: labelled if it has class folders."""
    plain = in_plain_layout(listing, known=train_classes, noun=noun)
    rows = _rows_by_class(plain.listing.files, below="", split="test", known=train_classes)
    return _moved_back(Draft((*rows, *listing.left_out)), plain)


def split_of_folder(path: str) -> str:
    """The split that the topmost folder of `path` is called after, or ""."""
    top, slash, _ = path.partition("/")
    return split_of_name(top) if slash else ""


def _moved_back(draft: Draft, plain: Plain) -> Draft:
    """The rows under the paths at which their files are."""
    moved = {new: old for new, old in plain.origin.items() if new != old}
    rows = draft.rows
    if moved:
        rows = tuple(
            dataclasses.replace(row, path=moved[row.path]) if row.path in moved else row
            for row in rows
        )
    return Draft(rows, draft.layout, (*plain.notes, *draft.notes))


def _rows_by_split(listing: Listing, splits: Mapping[str, str], noun: str) -> Draft:
    """Rows of folders for train, val and test, with class folders in them or not."""
    has_train = "train" in splits.values()
    by_top: dict[str, list[str]] = {}
    for path in listing.files:
        top, slash, _ = path.partition("/")
        by_top.setdefault(top if slash else "", []).append(path)

    rows = list(listing.left_out)
    rows += [Row(path, status="ignored", reason=_OUTSIDE) for path in by_top.pop("", [])]
    notes: list[str] = []
    layout = f"split by folders ({', '.join(_in_order(splits))}), one folder per class"
    train_classes: set[str] = set()
    for top in _in_order({top: splits.get(top, "train") for top in by_top}):
        paths = by_top[top]
        split = splits.get(top)
        if split is None and has_train:
            reason = "outside the folders for train, val and test"
            rows += [Row(path, status="ignored", reason=reason) for path in paths]
            continue
        if split is None:
            layout = (
                f"one folder per class for training, {' and '.join(_in_order(splits))} beside them"
            )
            found = _rows_by_class(paths, below="", split="train")
        else:
            known = train_classes if split == "test" else ()
            found = _rows_by_class(paths, below=f"{top}/", split=split, known=known)
            notes += _empty_class_notes(listing, below=f"{top}/", noun=noun)
            if known and any(row.reason == _OTHER_CLASS_FOLDER for row in found):
                notes.append(
                    f"The folders in {top} are none of the training classes, so its "
                    f"{noun}s count as unlabelled."
                )
        train_classes |= {row.label for row in found if row.label and split != "test"}
        rows += found
    return Draft(tuple(rows), layout, tuple(notes))


def _in_order(splits: Mapping[str, str]) -> list[str]:
    """The names of split folders, training first."""
    return sorted(splits, key=lambda name: (("train", "val", "test").index(splits[name]), name))


def _rows_by_class(
    paths: Iterable[str], *, below: str, split: str, known: Collection[str] = ()
) -> list[Row]:
    """A row per path, its label the first folder after `below`.

    Where there are no folders, or none of a class in `known` (letter case aside), all of the
    rows are unlabelled. Otherwise a file beside the class folders is ignored.
    """
    paths = list(paths)
    labels = [sys.intern(_first_folder(path, below)) for path in paths]
    classes = {label for label in labels if label}
    if not classes:
        reason = _NO_CLASS_FOLDER
        return [Row(path, split=split, status="unlabelled", reason=reason) for path in paths]
    known_names = {name.casefold() for name in known}
    if known and not any(name.casefold() in known_names for name in classes):
        reason = _OTHER_CLASS_FOLDER
        return [Row(path, split=split, status="unlabelled", reason=reason) for path in paths]
    return [
        Row(path, label=label, split=split)
        if label
        else Row(path, status="ignored", reason=_OUTSIDE)
        for path, label in zip(paths, labels, strict=True)
    ]


def _first_folder(path: str, below: str) -> str:
    """The class that the folder after `below` stands for, or "" for a file directly in it."""
    name, slash, _ = path[len(below) :].partition("/")
    return class_name(name) if slash else ""


def _empty_class_notes(listing: Listing, *, below: str, noun: str) -> tuple[str, ...]:
    """A note for every class folder in which no input was found."""
    folders = [
        path[len(below) :]
        for path in listing.folders
        if path.startswith(below) and "/" not in path[len(below) :]
    ]
    filled = {
        path[len(below) :].partition("/")[0] for path in listing.files if path.startswith(below)
    }
    return tuple(
        f"The class folder {below}{name} has no {noun}s." for name in folders if name not in filled
    )
