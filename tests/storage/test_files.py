"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from regraft.errors import StorageError
from regraft.storage import files as storage


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.write_atomic(path, "one")
    storage.write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace", "os.open"])
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


# --- what killed processes leave

WRITE = """
import os, signal, sys
from pathlib import Path
from regraft.storage import files as storage

def stop(descriptor):
    print("writing", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)

os.fsync = stop
if sys.argv[1] == "file":
    storage.write_atomic(Path(sys.argv[2]), "from the other process")
else:
    with storage.part_folder(Path(sys.argv[2])) as part:
        (part / "model.onnx").write_text("half")
        stop(None)
        part.rename(sys.argv[2])
"""
"""Writes a file or a folder and stops before it is complete."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def writing(tmp_path: Path) -> Callable[[str, str], subprocess.Popen[str]]:
    def start(kind: str, name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, kind, str(tmp_path / name)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        return process

    return start


def end(process: subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    process.communicate(timeout=30)
    return process.returncode


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_cleared_by_the_next_that_writes_there(
    tmp_path: Path, writing: Callable[[str, str], subprocess.Popen[str]], kind: str
) -> None:
    process = writing(kind, "a")
    assert names(tmp_path) == [".a.regraft.part"]
    storage.clear_parts(tmp_path)
    assert names(tmp_path) == [".a.regraft.part"]  # its writer lives
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    storage.write_atomic(tmp_path / "b", "another file")
    assert names(tmp_path) == ["b"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_being_written_is_left_alone(
    tmp_path: Path, writing: Callable[[str, str], subprocess.Popen[str]], kind: str
) -> None:
    process = writing(kind, "a")
    own = f".a.{os.getpid()}-{threading.get_ident()}.regraft.part"
    with storage.part_folder(tmp_path / "a") as part:  # the same name, at the same time
        assert part.name == own
        assert names(tmp_path) == [own, ".a.regraft.part"]
    if kind == "file":
        storage.write_atomic(tmp_path / "a", "from this process")
    assert end(process, signal.SIGCONT) == 0
    assert names(tmp_path) == ["a"]
    if kind == "file":
        assert (tmp_path / "a").read_text(encoding="utf-8") == "from the other process"


def test_the_next_writer_takes_over_what_a_killed_one_left(
    tmp_path: Path, writing: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    end(writing("file", "a"), signal.SIGKILL)
    end(writing("folder", "b"), signal.SIGKILL)
    assert names(tmp_path) == [".b.regraft.part"]  # the second cleared what the first had left
    with storage.part_folder(tmp_path / "b") as part:
        assert part.name == ".b.regraft.part"
        assert names(part) == []
        (part / "model.onnx").write_text("whole", encoding="utf-8")
        part.rename(tmp_path / "b")
    assert names(tmp_path) == ["b"]


def test_a_link_in_the_place_of_a_part_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("years of work", encoding="utf-8")
    (tmp_path / ".a.regraft.part").symlink_to(tmp_path / "precious")
    (tmp_path / ".b.regraft.part").mkdir()
    os.mkfifo(tmp_path / ".c.regraft.part")
    for name in "abc":
        storage.write_atomic(tmp_path / name, "new")
        assert (tmp_path / name).read_text(encoding="utf-8") == "new"
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "years of work"


def test_only_what_regraft_left_is_cleared(tmp_path: Path) -> None:
    for name in (".film.mp4.part", ".a.12-34.part", ".old.12-34.part", "a.regraft.part"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / ".model.12.part").mkdir()  # of an earlier version: perhaps a model
    two_days_ago = time.time() - 2 * 86_400
    for name in (".old.12-34.part", ".film.mp4.part", ".model.12.part"):
        os.utime(tmp_path / name, (two_days_ago, two_days_ago))
    storage.clear_parts(tmp_path)
    assert names(tmp_path) == [
        ".a.12-34.part",
        ".film.mp4.part",
        ".model.12.part",
        "a.regraft.part",
    ]


def test_threads_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    texts = [str(number) * 50_000 for number in range(8)]
    threads = [
        threading.Thread(target=storage.write_atomic, args=(tmp_path / "a", text))
        for text in texts
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text(encoding="utf-8") in texts
