"""Labels and splits from the names of folders.

Enters: a `Listing`. Leaves: a `Draft`, its paths relative to the listed folder.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping

from regraft.dataset.drafts import SPLIT_NAMES, Draft, class_name
from regraft.dataset.table import Row
from regraft.dataset.walking import Listing

_OUTSIDE = "outside the class folders"
_NO_CLASS_FOLDER = "not in a class folder"
_OTHER_CLASS_FOLDER = "not in the folder of a training class"


def rows_from_folders(listing: Listing) -> Draft:
    """Recognise a folder per class, the same below train, val and test, or a flat folder.

    A folder called train, val or test (in any spelling of `SPLIT_NAMES`) is a split, unless
    "train" directly holds images beside other folders: then they are all classes. With split
    folders but none for training, the folders beside them hold the training classes.
    """
    splits = _split_folders(listing)
    if splits:
        return _rows_by_split(listing, splits)
    if any("/" in path for path in listing.files):
        rows = [*_rows_by_class(listing.files, below="", split="train"), *listing.left_out]
        return Draft(tuple(rows), "one folder per class", _empty_class_notes(listing, below=""))
    rows = [Row(path, status="unlabelled", reason=_NO_CLASS_FOLDER) for path in listing.files]
    return Draft((*rows, *listing.left_out), "a flat folder of images without labels")


def rows_of_test_folder(listing: Listing, train_classes: Collection[str]) -> Draft:
    """The rows of a folder that is wholly a test set: labelled if it has class folders."""
    rows = _rows_by_class(listing.files, below="", split="test", known=train_classes)
    return Draft((*rows, *listing.left_out))


def split_of_folder(path: str) -> str:
    """The split that the topmost folder of `path` is called after, or ""."""
    top, slash, _ = path.partition("/")
    return SPLIT_NAMES.get(top.casefold(), "") if slash else ""


def _split_folders(listing: Listing) -> dict[str, str]:
    """The split of each top folder that is one; empty where all of them are classes."""
    top_folders = [path for path in listing.folders if "/" not in path]
    splits = {
        name: SPLIT_NAMES[name.casefold()] for name in top_folders if split_of_folder(f"{name}/")
    }
    with_folders = {path.partition("/")[0] for path in listing.folders if "/" in path}
    with_images = {path.partition("/")[0] for path in listing.files if "/" in path}
    others = with_images.difference(splits)
    train_folders = {name for name, split in splits.items() if split == "train"}
    if others and train_folders and not train_folders & with_folders:
        return {}
    return splits


def _rows_by_split(listing: Listing, splits: Mapping[str, str]) -> Draft:
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
            notes += _empty_class_notes(listing, below=f"{top}/")
            if known and any(row.reason == _OTHER_CLASS_FOLDER for row in found):
                notes.append(
                    f"The folders in {top} are none of the training classes, so its images "
                    "count as unlabelled."
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


def _empty_class_notes(listing: Listing, *, below: str) -> tuple[str, ...]:
    """A note for every class folder in which no image was found."""
    folders = [
        path[len(below) :]
        for path in listing.folders
        if path.startswith(below) and "/" not in path[len(below) :]
    ]
    filled = {
        path[len(below) :].partition("/")[0] for path in listing.files if path.startswith(below)
    }
    return tuple(
        f"The class folder {below}{name} has no images." for name in folders if name not in filled
    )
