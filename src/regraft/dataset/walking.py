"""The files below a folder, and why some of them are not read.

Enters: a folder. Leaves: a `Listing`, every path in it relative to that folder, in natural
order: files to read, and a row with its reason for each file that will not be read.

Hidden folders are listed file by file, up to `_HIDDEN_LISTED` files; a larger one (a `.git`,
say) is a single row. Links are followed, after everything that is not a link, and a folder is
listed once: a link back up, or a second way into the same folder, is a row.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from regraft.dataset.table import Row, a_noun, natural_key
from regraft.errors import DataError
from regraft.progress import Progress, silent

_HIDDEN_LISTED = 1_000
_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information"}
)
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})

FolderId: TypeAlias = tuple[int, int]  # device and inode: equal for two ways into one folder


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies below `folder`; paths have forward slashes and are relative to it.

    Attributes:
        folder: absolute path.
        files: files with a known suffix, to be read.
        left_out: rows for everything else, status "ignored" or "unreadable".
        folders: every folder that is not hidden.
    """

    folder: Path
    files: tuple[str, ...]
    left_out: tuple[Row, ...]
    folders: tuple[str, ...]


@dataclass(slots=True)
class _Found:
    """What a walk has gathered so far, and the folders it still has to list."""

    files: list[str] = field(default_factory=list)
    left_out: list[Row] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    folders_ahead: list[str] = field(default_factory=lambda: [""])
    links_ahead: list[str] = field(default_factory=list)

    def leave_out(self, path: str, reason: str, *, status: str = "ignored") -> None:
        self.left_out.append(Row(path, status=status, reason=reason))


def walk(
    folder: Path,
    *,
    suffixes: Collection[str],
    skip: Collection[Path] = (),
    noun: str = "image",
    progress: Progress = silent,
) -> Listing:
    """List every file below `folder`.

    Args:
        folder: absolute path of an existing folder.
        suffixes: of the files to read, lower-case with their dot.
        skip: absolute paths of folders not to enter and not to mention.
        noun: what files with another suffix are not.
        progress: called with the phase "listing".

    Raises:
        DataError: `folder` itself cannot be opened.
    """
    top = str(folder)
    skipped = {str(path) for path in skip}
    found = _Found()
    listed: dict[FolderId, str] = {}
    above = _ids_of_parents(folder)
    while found.folders_ahead or found.links_ahead:
        path = found.folders_ahead.pop() if found.folders_ahead else found.links_ahead.pop()
        absolute = f"{top}/{path}" if path else top
        if absolute in skipped:
            continue
        try:
            identity = _folder_id(absolute)
            if identity in above:
                found.leave_out(path, "a link back up to a folder that holds this one")
                continue
            if identity in listed:
                found.leave_out(path, _why_listed_once(path, listed[identity]))
                continue
            with os.scandir(absolute) as entries:
                content = list(entries)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            if not path:
                raise DataError(
                    f"the folder {folder} cannot be opened: {why}; "
                    "change its permissions or give another folder"
                ) from None
            found.leave_out(path, f"the folder cannot be opened: {why}", status="unreadable")
            continue
        listed[identity] = path
        if path:
            found.folders.append(path)
        for entry in content:
            below = f"{path}/{entry.name}" if path else entry.name
            _take(entry, below, found, suffixes, noun)
        progress("listing", len(found.files), 0)
    return Listing(
        folder=folder,
        files=tuple(sorted(found.files, key=natural_key)),
        left_out=tuple(sorted(found.left_out, key=lambda row: natural_key(row.path))),
        folders=tuple(sorted(found.folders, key=natural_key)),
    )


def _why_listed_once(path: str, earlier: str) -> str:
    """The reason not to enter the folder `path`, which `earlier` has led to before."""
    if not earlier:
        return "a link back to the top folder"
    if path.startswith(f"{earlier}/"):
        return f"a link back up to {earlier}"
    return f"the same folder as {earlier}, which is listed already"


def _take(
    entry: os.DirEntry[str], path: str, found: _Found, suffixes: Collection[str], noun: str
) -> None:
    """Put one entry of a folder where it belongs."""
    name = entry.name
    if not _is_unicode(name):
        # Such a name cannot be written to a table, so it is shown with its odd bytes escaped.
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        found.leave_out(shown, "its name is not valid Unicode; rename it", status="unreadable")
        return
    try:
        if entry.is_dir():
            if name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS:
                _leave_out_hidden_folder(entry.path, path, found)
            else:
                (found.links_ahead if entry.is_symlink() else found.folders_ahead).append(path)
            return
        is_file = entry.is_file()
        is_broken_link = not is_file and entry.is_symlink() and not Path(entry.path).exists()
    except OSError as error:  # a link that leads to itself, for example
        why = (error.strerror or str(error)).lower()
        found.leave_out(path, f"cannot be opened: {why}", status="unreadable")
        return
    suffix = os.path.splitext(name)[1]  # noqa: PTH122 - a Path per file is slow on 100,000
    if name.startswith("."):
        found.leave_out(path, "a hidden file")
    elif name.casefold() in _SYSTEM_FILES:
        found.leave_out(path, "a system file")
    elif is_broken_link:
        found.leave_out(path, "a link to a file that is not there", status="unreadable")
    elif not is_file:  # reading a pipe or a device could wait for ever
        found.leave_out(path, "not a regular file")
    elif suffix.lower() not in suffixes:
        found.leave_out(path, f"not {a_noun(noun)} ({suffix or 'no suffix'})")
    else:
        found.files.append(path)


def _leave_out_hidden_folder(absolute: str, path: str, found: _Found) -> None:
    """List the files of a hidden folder as ignored, or the folder itself if they are many."""
    name = path.rpartition("/")[2]
    files: list[str] = []
    for parent, _, names in os.walk(absolute):  # errors are skipped: nothing here is read anyway
        below = path + parent[len(absolute) :].replace(os.sep, "/")
        files += [f"{below}/{name}" for name in names]
        if len(files) > _HIDDEN_LISTED:
            break
    if not files or len(files) > _HIDDEN_LISTED or not all(map(_is_unicode, files)):
        found.leave_out(path, "a hidden folder")
        return
    for file in files:
        found.leave_out(file, f"in the hidden folder {name}")


def _folder_id(path: str) -> FolderId:
    status = os.stat(path)  # noqa: PTH116 - kept as text, as above
    return status.st_dev, status.st_ino


def _ids_of_parents(folder: Path) -> frozenset[FolderId]:
    """The folders that hold `folder`, its links resolved; unreadable ones left out."""
    ids = set()
    for parent in folder.resolve().parents:
        try:
            ids.add(_folder_id(str(parent)))
        except OSError:
            continue
    return frozenset(ids)


def _is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8; names with undecodable bytes cannot."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
