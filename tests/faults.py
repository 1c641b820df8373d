"""Kills at chosen system calls: a process that has everything loaded forks, and strace kills the
fork as it enters the n-th call of a kind.

    with Faults("tests.test_kills", ["rollback"]) as faults:
        for fault in faults.every("rollback", prepare): ...
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

CHANGING = (
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat"),
    *("link", "linkat", "symlink", "symlinkat", "write", "pwrite64", "ftruncate", "fsync"),
    *("fdatasync", "sendfile", "copy_file_range", "fchmod", "chmod", "utimensat"),
)
"""System calls that change what is on the disk. A file that was opened and is still empty is what
a kill at the first write to it leaves."""

DRIVER = """
import importlib, os, signal, sys
actions = importlib.import_module(sys.argv[1])
for line in sys.stdin:
    name, folder = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        getattr(actions, name)(folder)
        os._exit(0)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(status, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """A process that was killed as it entered a call for the n-th time."""

    call: str
    number: int
    folder: Path


class Faults:
    """Runs functions of a module of tests, `name(folder)`, and kills them."""

    def __init__(self, module: str) -> None:
        if shutil.which("strace") is None:
            pytest.skip("no strace")
        self._driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._driver.kill()
        self._driver.communicate()

    def count(self, action: str, folder: Path, calls: Sequence[str]) -> Counter[str]:
        """How often an undisturbed run of an action enters each call, processes that it starts
        aside."""
        with tempfile.TemporaryDirectory() as place:
            log = Path(place) / "log"
            status = self._run(action, folder, [f"-etrace={','.join(calls)}", f"-o{log}"])
            assert status == 0, f"{action} failed undisturbed: {status}"
            lines = log.read_text()
            process = lines.partition(" ")[0]
            return Counter(re.findall(rf"^{process} +(\w+)\(", lines, flags=re.MULTILINE))

    def every(
        self, action: str, prepare: Callable[[], Path], calls: Sequence[str] = CHANGING
    ) -> Iterator[Fault]:
        """A fault for each call that an action makes, in a folder of its own."""
        for call, count in sorted(self.count(action, prepare(), calls).items()):
            for number in range(1, count + 1):
                folder = prepare()
                inject = f"-einject={call}:signal=KILL:when={number}"
                status = self._run(action, folder, [f"-etrace={call}", inject, "-o/dev/null"])
                # The very last calls may differ from run to run: then it was not killed.
                assert status in (0, signal.SIGKILL), (call, number, status)
                if status == signal.SIGKILL:
                    yield Fault(call, number, folder)

    def _run(self, action: str, folder: Path, options: list[str]) -> int:
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(f"{action}\t{folder}\n")
        self._driver.stdin.flush()
        child = int(self._driver.stdout.readline())
        _wait_until(lambda: _state(child) in ("T", "t"))
        tracer = subprocess.Popen(
            ["strace", "-f", "-qq", *options, f"-p{child}"], stderr=subprocess.PIPE, text=True
        )
        _wait_until(lambda: _tracer(child) != 0 or tracer.poll() is not None)
        may_trace = _tracer(child) != 0
        os.kill(child, signal.SIGCONT if may_trace else signal.SIGKILL)
        status = int(self._driver.stdout.readline())
        _, said = tracer.communicate(timeout=30)
        if not may_trace:
            pytest.skip(f"strace may not trace: {said}")
        return status


def _state(process: int) -> str:
    return _status(process, "State")[:1]


def _tracer(process: int) -> int:
    return int(_status(process, "TracerPid") or 0)


def _status(process: int, name: str) -> str:
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return ""
    found = re.search(rf"^{name}:\s*(.*)$", text, flags=re.MULTILINE)
    return found[1] if found else ""


def _wait_until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.001)
