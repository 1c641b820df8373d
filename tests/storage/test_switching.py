"""A switch from the old to the new: whatever happens in the midst of it, it is one of the two."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from regraft.errors import RunError, StorageError
from regraft.storage.files import held
from regraft.storage.switching import (
    COMMITTED,
    LOCK,
    Disk,
    commit,
    current,
    locked,
    read_whole,
    settle,
    settled,
)

PARTS = ("run.json", "model", "models/0002")
REMOVE = ("training.csv", "race", "never there")
OLD: Mapping[str, str | None] = {
    "run.json": "old",
    "model/model.json": "old",
    "model/model.onnx": "old",
    "models/0001/model.json": "oldest",
    "models/0002/model.json": None,
    "training.csv": "old",
    "race/a.json": "old",
    "decisions.csv": "of the user",
}
NEW: Mapping[str, str | None] = {
    "run.json": "new",
    "model/model.json": "new",
    "model/model.onnx": None,
    "models/0001/model.json": "oldest",
    "models/0002/model.json": "old",
    "training.csv": None,
    "race/a.json": None,
    "decisions.csv": "of the user",
}
"""Files by path, and what is in them."""


class Killed(BaseException):
    """The process ends."""


class Dying(Disk):
    """Ends the process before a step; removing a folder is a step for each thing in it.

    Nothing has to reach the disk, for that goes on.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self.taken = steps, 0

    def step(self) -> None:
        if self.taken == self.steps:
            raise Killed
        self.taken += 1

    def write(self, path: Path, text: str) -> None:
        self.step()
        path.write_text(text, encoding="utf-8")

    def sync(self, folder: Path) -> None:
        pass

    def rename(self, source: Path, target: Path) -> None:
        self.step()
        source.replace(target)

    def make_folder(self, folder: Path) -> None:
        self.step()
        super().make_folder(folder)

    def remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            for child in sorted(path.iterdir()):
                self.remove(child)
        self.step()
        super().remove(path)


def write(folder: Path, files: Mapping[str, str | None]) -> None:
    for name, text in files.items():
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")


def prepared(folder: Path) -> Path:
    """A folder of the old, with the new staged in it."""
    write(folder, OLD)
    staged = folder / ".next"
    write(staged, {name: text for name, text in NEW.items() if name.startswith(PARTS)})
    return staged


def where(folder: Path, name: str) -> Path:
    """As a reader finds it: by the part that it belongs to."""
    for part in (*PARTS, *REMOVE):
        if name == part or name.startswith(f"{part}/"):
            return current(folder, part) / name[len(part) :].lstrip("/")
    return folder / name


def read(folder: Path) -> dict[str, str | None]:
    found = {}
    for name in OLD:
        path = where(folder, name)
        found[name] = path.read_text(encoding="utf-8") if path.exists() else None
    return found


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_new_takes_the_place_of_the_old(tmp_path: Path) -> None:
    commit(prepared(tmp_path), tmp_path, PARTS, remove=REMOVE)
    assert read(tmp_path) == NEW
    assert below(tmp_path) == {name for name, text in NEW.items() if text is not None}
    assert not list(tmp_path.glob(".*"))


def test_whenever_it_ends_it_is_the_old_or_the_new(tmp_path: Path) -> None:
    """Killed before each step of the switch, and then before each step of who finishes it."""
    whole = Dying(1_000)
    commit(prepared(tmp_path / "whole"), tmp_path / "whole", PARTS, remove=REMOVE, disk=whole)
    outcomes = []
    for first in range(whole.taken):
        second, is_finished = 0, False
        while not is_finished:
            folder = tmp_path / f"{first}-{second}"
            with pytest.raises(Killed):
                commit(prepared(folder), folder, PARTS, remove=REMOVE, disk=Dying(first))
            outcome = read(folder)
            assert outcome in (OLD, NEW)
            try:
                settle(folder, disk=Dying(second))
                is_finished = True
            except Killed:
                second += 1
            assert read(folder) == outcome
            settle(folder, disk=Dying(1_000))
            assert read(folder) == outcome
            if outcome == NEW:
                assert below(folder) == {name for name, text in NEW.items() if text is not None}
                assert not list(folder.glob(".*"))
            outcomes.append(outcome == NEW)
    assert whole.taken > 20
    assert outcomes.count(False) == 2  # before its plan is written, and before the one rename
    assert outcomes.count(True) > 200


class Full(Disk):
    """A disk that is full from a step on."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def rename(self, source: Path, target: Path) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().rename(source, target)


@pytest.mark.parametrize("steps", range(8))
def test_a_full_disk_is_told_and_what_was_committed_counts(tmp_path: Path, steps: int) -> None:
    with contextlib.suppress(StorageError):
        commit(prepared(tmp_path), tmp_path, PARTS, remove=REMOVE, disk=Full(steps))
    assert read(tmp_path) == (NEW if steps else OLD)
    with locked(tmp_path, RunError("busy")):  # as the next command does
        pass
    assert read(tmp_path) == (NEW if steps else OLD)


def test_who_may_not_write_reads_the_new_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        commit(prepared(tmp_path), tmp_path, PARTS, remove=REMOVE, disk=Dying(4))
    (tmp_path / LOCK).mkdir()  # a lock that cannot be had, as on a medium that is read-only
    settled(tmp_path)
    assert (tmp_path / COMMITTED).exists()
    assert read(tmp_path) == NEW
    assert read_whole(tmp_path, "run.json", lambda: read(tmp_path)) == NEW
    (tmp_path / LOCK).rmdir()
    settled(tmp_path)
    assert not (tmp_path / COMMITTED).exists()
    assert read(tmp_path) == NEW


def test_a_reader_waits_for_the_moves_of_another_process(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        commit(prepared(tmp_path), tmp_path, PARTS, remove=REMOVE, disk=Dying(4))
    begun, done = threading.Event(), threading.Event()

    def finish() -> None:
        with held(tmp_path / LOCK, RunError("busy"), doing="write"):
            begun.set()
            done.wait(30)
            settle(tmp_path)

    writer = threading.Thread(target=finish)
    writer.start()
    begun.wait(30)
    reader = threading.Thread(target=settled, args=(tmp_path,))
    reader.start()
    assert (tmp_path / COMMITTED).exists()
    done.set()
    reader.join(30)
    writer.join(30)
    assert not (tmp_path / COMMITTED).exists()


def _switch_again_and_again(folder: Path, ready: Any) -> None:
    for number in range(100):
        staged = folder / ".next"
        for name in ("run.json", "model/model.json", "model/weights", "table.csv"):
            write(staged, {name: f"{number:05}"})
        with locked(folder, RunError("busy"), timeout_s=30):
            commit(staged, folder, ["run.json", "model", "table.csv"])
        ready.set()
        time.sleep(0.02)


@pytest.mark.slow
def test_readers_see_one_of_them_while_another_process_switches(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    writer = context.Process(target=_switch_again_and_again, args=(tmp_path, ready))
    writer.start()
    assert ready.wait(60)

    def all_parts() -> set[str]:
        names = ("table.csv", "run.json", "model")
        paths = [current(tmp_path, name) for name in names]
        files = [*paths[:2], paths[2] / "model.json", paths[2] / "weights"]
        return {path.read_text(encoding="utf-8") for path in files}

    seen = set()
    while writer.is_alive():
        found = read_whole(tmp_path, "run.json", all_parts)
        assert len(found) == 1, found
        seen |= found
    writer.join()
    assert writer.exitcode == 0
    assert len(seen) > 3
    assert read_whole(tmp_path, "run.json", all_parts) == {"00099"}


@pytest.mark.parametrize(
    "plan",
    [
        *("", "[]", "{}", '{"parts": [3], "remove": []}', '{"parts": [], "remove": "a"}'),
        *(
            json.dumps({"parts": [], "remove": [name]})
            for name in ("../precious", "/etc", "", ".", "a/../../precious", "link/x")
        ),
    ],
)
def test_a_plan_that_leads_elsewhere_is_refused(tmp_path: Path, plan: str) -> None:
    """A run folder may come from somebody else."""
    write(tmp_path, {"precious/x": "years", "precious/.plan.json": plan})
    folder = tmp_path / "run"
    write(folder, {"run.json": "old", f"{COMMITTED}/.plan.json": plan})
    (folder / "link").symlink_to(tmp_path / "precious")
    for call in (settle, lambda folder: current(folder, "run.json")):
        with pytest.raises(StorageError, match=r"is damaged \(.*\); move what is in it to "):
            call(folder)
    settled(folder)  # nothing happens
    assert (tmp_path / "precious" / "x").read_text(encoding="utf-8") == "years"
    assert (folder / "run.json").read_text(encoding="utf-8") == "old"


def test_links_in_the_place_of_folders_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"elsewhere/model/x": "years", "elsewhere/.plan.json": '{"parts": ["model"]}'})
    folder = tmp_path / "run"
    write(folder, {"model/model.json": "old"})
    (folder / COMMITTED).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="it is a link"):
        settle(folder)
    (folder / COMMITTED).unlink()
    (folder / "model").rename(folder / "elsewhere")
    (folder / "model").symlink_to(folder / "elsewhere")  # a user keeps it on another disk
    write(folder / ".next", {"model/model.json": "new"})
    commit(folder / ".next", folder, ["model"])
    assert (folder / "model" / "model.json").read_text(encoding="utf-8") == "new"
    assert (folder / "elsewhere" / "model.json").read_text(encoding="utf-8") == "old"
