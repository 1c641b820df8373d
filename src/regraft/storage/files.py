"""Files regraft writes: whole or not at all, and where its caches live.

A leaf module. Every file appears under its final name only when complete (temporary file in
the same folder, flush, fsync, rename), so that a killed process never leaves half of one. What it
does leave, a hidden name that ends in `PART`, is removed by the next process that writes there: a
part is locked by its writer, and the system takes the lock from a process that ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from regraft.errors import StorageError, UsageError

try:
    import fcntl
except ImportError:  # Windows, where what is open cannot be removed
    fcntl = None  # type: ignore[assignment]

PART = ".regraft.part"
"""How names of files and folders end that are not complete."""

_EARLIER_PART = re.compile(r"\..+\.\d+(-\d+)?\.part")  # of versions that did not lock theirs
_OLD_S = 86_400.0  # age from which a part is abandoned where nothing can be locked
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"))
_cleared: set[str] = set()  # folders whose parts this process has looked for


def cache_dir() -> Path:
    """The folder of regraft's caches: `$XDG_CACHE_HOME/regraft` or the platform's own place."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("regraft", appauthor=False))


@contextlib.contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn an `OSError` of a write into a one-line `StorageError` naming what was being done."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"could not {doing}: {error.strerror or error}; free some disk space or choose "
            "another folder, then run the same command again"
        ) from error


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents and return it."""
    with storage_errors(f"create the folder {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def held(guard: Path, busy: Exception, *, doing: str, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold a lock file, which no other process does meanwhile, and which is gone afterwards.

    Args:
        guard: the lock file.
        busy: raised where another process holds it for longer than `timeout_s`.
        doing: what a `StorageError` says could not be done, as "write in runs/a".
        timeout_s: how long to wait.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(guard, timeout=timeout_s)
    with storage_errors(doing):
        try:
            lock.acquire()
        except Timeout as error:  # an OSError too
            raise busy from error
    try:
        yield
    finally:
        # Unlinked while it is held: whoever has opened the old file notices, and starts over.
        with contextlib.suppress(OSError):
            guard.unlink()
        lock.release()


def write_atomic(path: Path, data: bytes | str, *, private: bool = False) -> None:
    """Write `data` to `path` so that other processes see the old file or the new, whole one.

    A `private` file can be read by its owner alone.

    Raises:
        StorageError: the disk is full or the folder is not writable; `path` is untouched.
    """
    raw = data.encode("utf-8") if isinstance(data, str) else data
    with storage_errors(f"write {path}"):
        _clear_once(path.parent)
        part, descriptor = _open_part(path)
        try:
            with open(descriptor, "wb", closefd=fcntl is None) as file:
                if private:
                    part.chmod(0o600)
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        finally:
            if fcntl is not None:  # not before: the lock goes with it
                os.close(descriptor)


@contextlib.contextmanager
def part_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, which is gone afterwards unless it was moved away.

    Raises:
        StorageError: it cannot be made.
    """
    with storage_errors(f"write {target}"):
        _clear_once(target.parent)
        part, descriptor = _make_part(target)
    try:
        yield part
    finally:
        try:
            part.rmdir()  # what was in it has been moved away
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def clear_parts(folder: Path, *, is_locked: bool = False) -> None:
    """Remove what killed processes left half-written in a folder, not in those below it.

    Args:
        folder: which.
        is_locked: no other process writes there, one of an earlier version neither.
    """
    try:
        parts = [path for path in folder.iterdir() if is_part(path)]
    except OSError:
        return
    for path in parts:
        with contextlib.suppress(OSError):
            if path.name.endswith(PART):
                _remove_if_abandoned(path)
            elif is_locked:
                remove(path)
            elif _is_old(path):
                path.unlink()  # and no folder: it may be a model that an earlier version moved


def is_part(path: Path) -> bool:
    """Whether its name is that of something which regraft had not finished writing."""
    name = path.name
    return name.startswith(".") and (name.endswith(PART) or bool(_EARLIER_PART.fullmatch(name)))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can be asked for it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _clear_once(folder: Path) -> None:
    place = os.path.abspath(folder)  # noqa: PTH100 - keeps links
    if place not in _cleared:
        _cleared.add(place)
        clear_parts(folder)


def _part_names(path: Path) -> list[Path]:
    """Where to write what becomes `path`: the first that no other process or thread writes.

    The first name is always the same, so that the next writer takes over what a killed one left.
    """
    own = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{PART}")
    return [own] if fcntl is None else [path.with_name(f".{path.name}{PART}"), own]


def _open_part(path: Path) -> tuple[Path, int]:
    """An empty file for what becomes `path`, locked, and its descriptor."""
    *shared, own = _part_names(path)
    for part in (*shared, own, own, own):  # whoever clears may be quicker than the lock
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | _FLAGS, 0o666)
        except OSError:
            if part != own:  # of another user, a folder or a link
                continue
            raise
        if _is_claimed(descriptor, part):
            os.ftruncate(descriptor, 0)
            return part, descriptor
        os.close(descriptor)
    raise OSError(f"others write {own}")


def _make_part(path: Path) -> tuple[Path, int | None]:
    """An empty folder for what becomes `path`, and the descriptor that locks it."""
    *shared, own = _part_names(path)
    for part in (*shared, own, own, own):
        if fcntl is None:
            part.mkdir(parents=True, exist_ok=True)
            return part, None
        try:
            part.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(part, os.O_RDONLY | _FLAGS)
        except OSError:
            if part != own:
                continue
            raise
        if _is_claimed(descriptor, part):
            for left in part.iterdir():
                remove(left)
            return part, descriptor
        os.close(descriptor)
    raise OSError(f"others write {own}")


def _is_claimed(descriptor: int, path: Path) -> bool:
    """Lock what is open; False where another has it, or it is not at `path` any more.

    The lock lasts until the descriptor is closed, or the process ends.
    """
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            pass
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _remove_if_abandoned(path: Path) -> None:
    if fcntl is None:
        if path.is_file() or _is_old(path):  # a file that is open is not removed
            remove(path)
        return
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            if not _is_old(path):
                return
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            remove(path)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_old(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime > _OLD_S


def limit_from_environment(variable: str, default: int) -> int:
    """A limit in bytes: the gigabytes that an environment variable names, or `default`.

    Raises:
        UsageError: it is no number of gigabytes.
    """
    setting = os.environ.get(variable, "")
    try:
        limit = int(float(setting) * 1024**3) if setting else default
    except (ValueError, OverflowError):
        limit = -1
    if limit < 0:
        expected = f"{default / 1024**3:g}"
        raise UsageError(
            f"{variable} is {setting!r}, expected a number of gigabytes such as {expected}"
        )
    return limit
