"""The real command line for tests: arguments go in, exit code and output come out."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

import regraft
from regraft.commands import app

QUICK = ("--approach", "knn")
"""Options of `fit` that compare a single candidate: the one that takes the least time."""

PROBE = ("--approach", "linear_probe")
"""Those of the single candidate that people would take."""

FROZEN = (*PROBE, "--approach", "knn")
"""Options of `fit` that compare several candidates and train no network."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind; `error` checks that a failure was explained as it should be."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a failed command, without its "error: "."""
        lines = self.err.strip().splitlines()
        assert self.code in (1, 2), f"exit code {self.code}: {self.err}"
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")

    @property
    def rows(self) -> list[dict[str, str]]:
        """Standard output, read as CSV."""
        return list(csv.DictReader(io.StringIO(self.out)))

    @property
    def data(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs commands in this process, which is quick."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Outcome:
        """Run `regraft` with these arguments."""
        self.capsys.readouterr()
        code = app.run([str(argument) for argument in arguments])
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return Outcome(code, out, err)

    def done(self, *arguments: object) -> Outcome:
        """Run `regraft`, which must succeed."""
        outcome = self(*arguments)
        assert outcome.code == 0, outcome.err
        return outcome


def help_of(command: str, folder: Path, first: str) -> str:
    """`--help` of a command in a process that has run `first`, with `folder` to import from."""
    code = (
        f"{first}; from regraft.commands import app; raise SystemExit(app.run(['{command}', '-h']))"
    )
    path = os.pathsep.join([str(folder), str(Path(regraft.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `regraft` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "regraft", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )


class Started:
    """Runs commands in processes of their own, to be disturbed while they run."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: object) -> subprocess.Popen[str]:
        """Start `regraft` with these arguments."""
        process = subprocess.Popen(
            [sys.executable, "-m", "regraft", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def end(self) -> None:
        """Kill what a failed test left running, so that it disturbs no other."""
        for process in self._processes:
            process.kill()
            process.communicate()


def copy_photos(source: Path, target: Path, count: int, *, skip: int = 0, size: int = 120) -> None:
    """Copy some photos of a folder into another, made small."""
    target.mkdir(parents=True, exist_ok=True)
    found = sorted(source.iterdir())[skip : skip + count]
    assert len(found) == count, f"{source} has too few photos"
    for path in found:
        with Image.open(path) as photo:
            photo.convert("RGB").resize((size, size * 3 // 4)).save(target / f"{path.stem}.jpg")


def make_run(folder: Path, *, graphs: Path, rooms: Path) -> Path:
    """Fill `folder` with `photos/`, the finished run `run/` of them, and the `cache/` it used.

    In `more/` are photos that the run has not seen.
    """
    for name in ("clean", "messy"):
        copy_photos(rooms / "train" / name, folder / "photos" / name, 12)
        copy_photos(rooms / "train" / name, folder / "more" / name, 6, skip=12)
    (folder / "cache" / "regraft").mkdir(parents=True)
    (folder / "cache" / "regraft" / "graphs").symlink_to(graphs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.chdir(folder)
        assert app.run(["fit", str(folder / "photos"), *PROBE, "--out", "run"]) == 0
    return folder


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def snapshot(folder: Path) -> Mapping[str, tuple[str, int, int]]:
    """Content hash, time of change and permissions of everything below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = os.lstat(path)
        is_plain = path.is_file() and not path.is_symlink()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if is_plain else ""
        found[str(path.relative_to(folder))] = (content, about.st_mtime_ns, about.st_mode)
    return found


def find_command(name: str) -> Any:
    """What typer made of a command such as "fit" or "cache show", with its `params`."""
    command: Any = typer.main.get_command(app.app)
    for part in name.split():
        command = command.commands[part]
    return command


def assert_runnable(line: str) -> None:
    """That a line to copy names a command and options that exist."""
    if line.startswith("pip install"):
        return
    words = shlex.split(line.partition(" > ")[0])
    assert words[0] == "regraft", line
    name = " ".join(words[1:3]) if words[1] == "cache" else words[1]
    options = {option for parameter in find_command(name).params for option in parameter.opts}
    for word in words[2:]:
        if word.startswith("--"):
            assert word in options, f"{line}: no option {word}"
