"""Files regraft writes: whole or not at all, and where its caches live.

A leaf module. Every file appears under its final name only when complete (temporary file in
the same folder, flush, fsync, rename), so that a killed process never leaves half of one.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from regraft.errors import StorageError, UsageError


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    with storage_errors(f"write {path}"):
        try:
            with temporary.open("wb") as file:
                if private:
                    temporary.chmod(0o600)
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


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
