"""Files appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from regraft import storage
from regraft.errors import StorageError


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.write_atomic(path, "one")
    storage.write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.open"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = tmp_path / "a.json"
    storage.write_atomic(path, "old")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(where, full)
        with pytest.raises(StorageError, match="No space left on device; free some disk space"):
            storage.write_atomic(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_cache_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert storage.cache_dir() == tmp_path / "elsewhere" / "regraft"


def test_a_lock_file_is_held_by_one_and_gone_afterwards(tmp_path: Path) -> None:
    guard = tmp_path / ".lock"
    with storage.held(guard, StorageError("somebody else has it"), doing="write here"):
        assert guard.exists()
        with (
            pytest.raises(StorageError, match="somebody else has it"),
            storage.held(guard, StorageError("somebody else has it"), doing="write here"),
        ):
            pass
        assert guard.exists()
    assert not guard.exists()
    a_file = tmp_path / "file"
    a_file.touch()
    with (
        pytest.raises(StorageError, match="could not write here"),
        storage.held(a_file / ".lock", StorageError("busy"), doing="write here"),
    ):
        pass
