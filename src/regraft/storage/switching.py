"""What belongs together changes at once: files and folders in one folder, from the old to the new.

A leaf module. The new is completed in a folder of its own. One rename within the folder, to
`COMMITTED`, makes it count: from there on `current` names the new of every part, wherever it is.
`settle` then moves each part to its place, and may be interrupted and begun again at any point,
since a part that was moved is no longer where it came from. So a process that is killed before the
rename has changed nothing, and whoever comes after one that was killed later finishes its work.

Who writes holds the folder's `LOCK`; who reads needs none.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from regraft.errors import StorageError
from regraft.storage.files import (
    held,
    make_folder,
    part_folder,
    remove,
    storage_errors,
    sync_folder,
    write_atomic,
)
from regraft.storage.saved import read_json

T = TypeVar("T")

LOCK = ".regraft.lock"
COMMITTED = ".regraft.committed"
_PLAN, _REPLACED = ".plan.json", ".replaced"
_WAIT_S = 20.0  # of a reader, for the moves of other processes
_LOOKS = 20  # of a reader, at parts that nobody moves any more


class Disk:
    """What a switch asks of the file system; tests hand in one that fails."""

    def write(self, path: Path, text: str) -> None:
        """Write a file whole; it is on the disk when this returns."""
        write_atomic(path, text)

    def sync(self, folder: Path) -> None:
        """Have all below a folder on the disk."""
        for path, _, files in os.walk(folder):
            for name in files:
                with (Path(path) / name).open("rb") as file, contextlib.suppress(OSError):
                    os.fsync(file.fileno())
            sync_folder(Path(path))

    def rename(self, source: Path, target: Path) -> None:
        """Move a file, also in the place of another, or a folder to where nothing is."""
        source.replace(target)
        sync_folder(target.parent)

    def make_folder(self, folder: Path) -> None:
        """Make a folder, unless it is there."""
        folder.mkdir(exist_ok=True)

    def remove(self, path: Path) -> None:
        """Remove a file or a folder, if it is there."""
        remove(path)


DISK = Disk()


@contextlib.contextmanager
def locked(folder: Path, busy: Exception, *, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold a folder for writing; what a killed process had committed is in its place.

    Args:
        folder: which.
        busy: raised where another process holds it for longer than `timeout_s`.
        timeout_s: how long to wait.

    Raises:
        StorageError: it cannot be written.
    """
    with held(folder / LOCK, busy, doing=f"write in {folder}", timeout_s=timeout_s):
        settle(folder)
        yield


def commit(
    staged: Path,
    folder: Path,
    parts: Sequence[str],
    *,
    remove: Sequence[str] = (),
    disk: Disk = DISK,
) -> None:
    """Put parts of a staged folder in the place of their namesakes; the caller holds the lock.

    Args:
        staged: a folder within `folder`, which is gone afterwards.
        folder: where the parts belong.
        parts: paths of files and folders, seen from `staged` as from `folder`.
        remove: paths within `folder` that are not there any more afterwards.
        disk: the file system.

    Raises:
        StorageError: it cannot be done. What was committed counts all the same, and whoever next
            takes the lock moves it to its place.
    """
    with storage_errors(f"put what is new into {folder}"):
        disk.write(staged / _PLAN, json.dumps({"parts": list(parts), "remove": list(remove)}))
        disk.sync(staged)
        disk.rename(staged, folder / COMMITTED)
    settle(folder, disk=disk)


def write_together(
    folder: Path, contents: Mapping[str, bytes | str], *, busy: Exception, timeout_s: float = 0.0
) -> None:
    """Write files of a folder so that all of them are the old ones or all the new.

    Args:
        folder: made if need be.
        contents: of each file, by its name.
        busy: see `locked`.
        timeout_s: see `locked`.

    Raises:
        StorageError: the disk is full or the folder is not writable.
    """
    make_folder(folder)
    with locked(folder, busy, timeout_s=timeout_s), part_folder(folder / "files") as staged:
        for name, data in contents.items():
            write_atomic(staged / name, data)
        commit(staged, folder, list(contents))


def settle(folder: Path, *, disk: Disk = DISK) -> None:
    """Move to its place what was committed and is not there yet; the caller holds the lock.

    Raises:
        StorageError: it cannot be moved.
    """
    committed = folder / COMMITTED
    if not os.path.lexists(committed):
        return
    plan = _read_plan(folder)
    with storage_errors(f"finish what an interrupted command began in {folder}"):
        for number, name in enumerate([*plan.parts, *plan.remove]):
            new, target = committed / name, folder / name
            if name in plan.parts and not os.path.lexists(new):
                continue  # it was moved before
            if target.is_symlink() or target.is_dir():  # a folder cannot be replaced in one step
                aside = committed / _REPLACED / str(number)
                disk.make_folder(aside.parent)
                disk.remove(aside)
                disk.rename(target, aside)
            if name in plan.parts:
                disk.make_folder(target.parent)
                disk.rename(new, target)
            else:
                disk.remove(target)
        # All is in its place. Without the plan, what is left in the folder means nothing.
        disk.remove(committed / _PLAN)
        disk.remove(committed)


def settled(folder: Path) -> None:
    """As `settle`, for who only reads: as far as this process may, after any that is at it."""
    if os.path.lexists(folder / COMMITTED):
        busy = StorageError(f"another process writes in {folder}")
        with contextlib.suppress(StorageError), locked(folder, busy, timeout_s=_WAIT_S):
            pass


def current(folder: Path, name: str) -> Path:
    """Where a part of a folder is: in its place, or committed and not moved yet.

    Raises:
        StorageError: what was committed is damaged.
    """
    committed = folder / COMMITTED
    if os.path.lexists(committed) and (
        os.path.lexists(committed / name) or name in _read_plan(folder).remove
    ):
        return committed / name
    return folder / name


def read_whole(folder: Path, part: str, read: Callable[[], T]) -> T:
    """What `read` returns, all of it from before a switch of the folder or all from after it.

    Args:
        folder: whose parts are read, where `current` says that they are.
        part: one that every switch replaces.
        read: may be called several times.
    """
    deadline, same = time.monotonic() + _WAIT_S, 0
    while True:
        settled(folder)
        before = _state(folder, part)  # an optimistic reader: what it read counts if nothing moved
        try:
            result = read()
        except Exception:
            after = _state(folder, part)
            same = same + 1 if after == before else 0
            most = _LOOKS if after.is_moving else 0
            if same > most or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if _state(folder, part) == before or time.monotonic() > deadline:
            return result


class _State(NamedTuple):
    """What differs before and after a switch."""

    is_moving: bool
    path: str
    file: int
    modified: int


def _state(folder: Path, part: str) -> _State:
    path = current(folder, part)
    is_moving = os.path.lexists(folder / COMMITTED)
    try:
        status = path.stat()
    except OSError:
        return _State(is_moving, str(path), 0, 0)
    return _State(is_moving, str(path), status.st_ino, status.st_mtime_ns)


class _Plan(NamedTuple):
    parts: list[str]
    remove: list[str]


def _read_plan(folder: Path) -> _Plan:
    """What is to be moved and what to be removed; nothing where all of it was."""
    committed = folder / COMMITTED
    try:
        if committed.is_symlink() or (committed / _REPLACED).is_symlink():
            raise ValueError("it is a link")
        plan: dict[str, list[str]] = read_json(committed / _PLAN, dict[str, list[str]])
        names = _Plan(plan["parts"], plan["remove"])
        for name in [*names.parts, *names.remove]:
            _require_inside(folder, name)
    except (FileNotFoundError, NotADirectoryError):
        return _Plan([], [])
    except (OSError, ValueError, LookupError) as error:
        raise StorageError(
            f"{committed} is damaged ({error}); move what is in it to {folder}, and remove it"
        ) from error
    return names


def _require_inside(folder: Path, name: str) -> None:
    """Raises ValueError: it is no path below the folder, or leads out of it by a link."""
    path = Path(name)
    steps = path.parts
    if not steps or ".." in steps or path.anchor:
        raise ValueError(f"it names {name!r}")
    for last in range(1, len(steps)):
        if folder.joinpath(*steps[:last]).is_symlink():
            raise ValueError(f"{steps[0]} is a link")
