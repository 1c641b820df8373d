"""Folders around class folders: which level of a folder tree holds the splits and the classes.

Enters: a `Listing`. Leaves: the same files under the paths that they would have in the plain
layout, `class/file` or `split/class/file`, and notes on what was passed over or taken for what.

Understood, in any combination: folders that hold nothing but the next folder, as archives leave
them (`data/data/cats`, also below a split: `train/train/cats`); a split in each class
(`cats/train`), or in its name (`train_cats`); classes below folders that all hold the same
(`kitchen/clean`, `bath/clean`).
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from regraft.dataset.split_names import split_of_name, splits_by_word, splits_of_names
from regraft.dataset.walking import Listing
from regraft.wording import listed

Parts: TypeAlias = tuple[str, ...]  # of a path
Move: TypeAlias = Callable[[Parts], Parts | None]  # None: not a folder of the plain layout

_DEEPEST = 4  # levels that are looked through for names that are known


@dataclass(frozen=True, slots=True)
class Plain:
    """A listing in the plain layout.

    Attributes:
        listing: its files and folders; what was left out keeps its path.
        origin: where each of these files is, by its path in the plain layout.
        notes: what was decided, one sentence each.
    """

    listing: Listing
    origin: Mapping[str, str]
    notes: tuple[str, ...]


def in_plain_layout(listing: Listing, *, known: Collection[str] = (), noun: str = "image") -> Plain:
    """The listing without the folders around its splits and classes.

    Args:
        listing: of a folder.
        known: names of classes, such as those of a model; folders that are called so are the
            classes.
        noun: what one input is called in notes.
    """
    tree = _Tree([tuple(file.split("/")) for file in listing.files], listing, noun)
    names = {name.casefold() for name in known}
    tree.unwrap(below=None, known=names)
    tree.lift_splits()
    splits = split_folders(tree.files, tree.folders)
    for top in sorted(splits, key=lambda name: splits[name] != "train"):
        is_train = splits[top] == "train"
        tree.unwrap(below=top, known=names if is_train else names or tree.classes_below(splits))
    tree.lift_classes(splits, names)
    return tree.plain()


def split_folders(files: Iterable[Parts], folders: Iterable[Parts]) -> dict[str, str]:
    """The split of each top folder that is one; empty where all of them are classes.

    With "train" directly holding files beside other folders, they are all classes.
    """
    folders = list(folders)
    splits = splits_of_names(parts[0] for parts in folders if len(parts) == 1)
    with_folders = {parts[0] for parts in folders if len(parts) > 1}
    with_files = {parts[0] for parts in files if len(parts) > 1}
    train_folders = {name for name, split in splits.items() if split == "train"}
    if with_files.difference(splits) and train_folders and not train_folders & with_folders:
        return {}
    return splits


class _Tree:
    """Files and folders of a listing, moved step by step; `files[i]` is the i-th of the listing."""

    def __init__(self, files: list[Parts], listing: Listing, noun: str) -> None:
        self.files = files
        self.folders = [tuple(folder.split("/")) for folder in listing.folders]
        self.notes: list[str] = []
        self._listing = listing
        self._noun = noun

    def plain(self) -> Plain:
        files = ["/".join(parts) for parts in self.files]
        moved = dataclasses.replace(
            self._listing,
            files=tuple(files),
            folders=tuple("/".join(parts) for parts in dict.fromkeys(self.folders)),
        )
        return Plain(moved, dict(zip(files, self._listing.files, strict=True)), tuple(self.notes))

    def classes_below(self, splits: Mapping[str, str]) -> set[str]:
        """Small letters of the names of the folders below those for training."""
        return {
            parts[1].casefold()
            for parts in self.files
            if len(parts) > 2 and splits.get(parts[0]) == "train"
        }

    def unwrap(self, *, below: str | None, known: Collection[str]) -> None:
        """Pass over folders that hold nothing but one folder, down to the first that holds several.

        Args:
            below: a top folder in which they lie; None for the tree itself.
            known: small letters of names that are classes, and so not passed over.
        """
        start = () if below is None else (below,)
        inside = [parts for parts in self.files if parts[: len(start)] == start]
        prefix = start
        while True:
            names = {parts[len(prefix)] for parts in inside if len(parts) > len(prefix) + 1}
            is_loose = any(len(parts) == len(prefix) + 1 for parts in inside)
            if len(names) != 1 or is_loose:
                break
            name = next(iter(names))
            if name.casefold() in known or (below is None and split_of_name(name)):
                break
            prefix = (*prefix, name)
        # A folder in which there are only files is a class itself.
        if len(prefix) == len(start) or is_loose or not names:
            return

        def move(parts: Parts) -> Parts | None:
            if parts[: len(prefix)] == prefix:
                return start + parts[len(prefix) :]
            is_beside = below is not None and parts[0] != below
            return parts if is_beside or parts == start else None

        self._move(
            move,
            f"Everything{f' in {below}' if below else ''} lies in {'/'.join(prefix)}, so the "
            "folders in there count.",
        )

    def lift_splits(self) -> None:
        """Put the split first where it lies in each class, or is a word of the class's name."""
        tops = {parts[0] for parts in self.files if len(parts) > 1}
        if split_folders(self.files, self.folders) or len(tops) < 2:
            return
        second = {parts[1] for parts in self.files if len(parts) > 2}
        meanings = {split_of_name(name) for name in second}
        if "train" in meanings and len(meanings) > 1 and "" not in meanings:
            self._move(
                # A file beside these folders is in no split, and stays where it is.
                lambda p: (p[1], p[0], *p[2:]) if len(p) > 1 and p[1] in second else None,
                f"Each class has folders of its own for {_some(sorted(second))}: these are the "
                "splits.",
            )
            return
        by_word = splits_by_word(tops)
        named = {
            top: (split, word) for word, alike in by_word.items() for top, split in alike.items()
        }
        if len(by_word) > 1 and set(named) == tops:
            self._move(
                lambda p: (*named[p[0]], *p[1:]) if p[0] in named else None,
                f"The names of the folders ({_some(sorted(tops))}) are taken as a split and a "
                "class each.",
            )

    def lift_classes(self, splits: Mapping[str, str], known: Collection[str]) -> None:
        """Put the class first, or behind the split, where it lies below folders of other names."""
        depth = 1 if splits else 0
        training = [
            parts[depth:] for parts in self.files if not splits or splits.get(parts[0]) == "train"
        ] or [parts[depth:] for parts in self.files]
        level = _level_of(training, known) if known else _level_below_the_same(training)
        if level == 0:
            return
        above = Counter(parts[level - 1] for parts in training if len(parts) > level)
        outer = _some([name for name, _ in above.most_common()])
        inner = {parts[level] for parts in training if len(parts) > level + 1}
        names = set(known) or {name.casefold() for name in inner}

        def move(parts: Parts) -> Parts | None:
            before, rest = parts[:depth], parts[depth:]
            if len(rest) > level and rest[level].casefold() in names:
                return (*before, rest[level], *rest[:level], *rest[level + 1 :])
            return None if 0 < len(rest) <= level else parts

        self._move(move, self._note_on_classes(outer, sorted(inner), known))

    def _note_on_classes(self, outer: str, inner: list[str], known: Collection[str]) -> str:
        if known:
            named = _some([name for name in inner if name.casefold() in known])
            return f"{named}, within {outer}, are known classes, and taken as these."
        return (
            f"{outer} hold the same folders, so these ({_some(inner)}) are taken as the classes; "
            f"if {outer} are the classes, name that of each {self._noun} in a table (--labels CSV)."
        )

    def _move(self, move: Move, note: str) -> None:
        """Move all, with a note, unless two files would come to one path.

        A file that has no place in the plain layout stays where it is; such a folder is left out.
        """
        files = [move(parts) or parts for parts in self.files]
        if len(set(files)) < len(files):
            return
        self.files = files
        folders = [moved for parts in self.folders if (moved := move(parts))]
        self.folders = [parts[:end] for parts in folders for end in range(1, len(parts) + 1)]
        self.notes += [note] if note else []


def _level_below_the_same(files: Sequence[Parts]) -> int:
    """The level of the classes: below all folders that hold the same folders as one another."""
    level = 0
    while _hold_the_same([parts[level:] for parts in files]):
        level += 1
    return level


def _hold_the_same(files: Sequence[Parts]) -> bool:
    """Whether the top folders hold the same folders, and nothing beside them.

    Each of the inner names is there at least twice. Where these only count (days, parts), and the
    outer ones do not, the outer ones are the classes all the same.
    """
    if any(len(parts) < 3 for parts in files):
        return False
    holders: dict[str, set[str]] = defaultdict(set)
    for parts in files:
        holders[parts[1]].add(parts[0])
    outer = set().union(*holders.values()) if holders else set()
    if len(holders) < 2 or len(outer) < 2 or min(map(len, holders.values())) < 2:
        return False
    return not _only_count(holders) or _only_count(outer)


def _only_count(names: Collection[str]) -> bool:
    """Whether names differ in nothing but their numbers."""
    return len({re.sub(r"[\d\W_]+", "", name).casefold() for name in names}) == 1


def _level_of(files: Sequence[Parts], known: Collection[str]) -> int:
    """The first level on which most files lie in a folder with a name that is known; else 0."""
    for level in range(_DEEPEST):
        inside = [len(p) > level + 1 and p[level].casefold() in known for p in files]
        if sum(inside) > 0.5 * len(files):
            return level
    return 0


def _some(names: Sequence[str]) -> str:
    return listed(names, shown=3)
