"""What the cache holds, and clearing it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from regraft.storage.cache.contents import count_contents
from regraft.storage.cache.room import KINDS
from regraft.storage.files import cache_dir, clear_parts, storage_errors


@dataclass(frozen=True, slots=True)
class CacheUse:
    """One part of the cache: what it holds and how much room it takes."""

    kind: str
    files: int
    bytes: int
    detail: str


def cache_use() -> tuple[CacheUse, ...]:
    """What `regraft cache show` lists: a part for each of `KINDS`."""
    return tuple(_use(kind) for kind in KINDS)


def clear_cache(kinds: Iterable[str] = KINDS) -> int:
    """Delete those parts of the cache; returns the bytes freed.

    Raises:
        StorageError: something cannot be deleted.
    """
    freed = 0
    for kind in kinds:
        freed += _use(kind).bytes
        folder = cache_dir() / kind
        with storage_errors(f"clear {folder}"):
            for path in _files(kind):
                path.unlink(missing_ok=True)
            clear_parts(folder)
    return freed


def _use(kind: str) -> CacheUse:
    files = _files(kind)
    detail = ""
    if kind == "features":
        vectors = sum(count_contents(path) for path in files if path.suffix == ".sqlite")
        detail = f"{vectors:,} vectors"
    return CacheUse(kind, len(files), sum(path.stat().st_size for path in files), detail)


def _files(kind: str) -> list[Path]:
    """All files of a part, with those of processes that were killed."""
    return sorted(path for path in (cache_dir() / kind).rglob("*") if path.is_file())
