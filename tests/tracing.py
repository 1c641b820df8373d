"""Commands under strace: which addresses a process and its children look up or connect to."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from regraft.telemetry import VARIABLES

CALLS = "connect,sendto,sendmsg,sendmmsg"
_ADDRESS = re.compile(
    r'sa_family=(AF_INET6?|AF_UNIX).*?(?:port=htons\((\d+)\)|sun_path="([^"]*)")'
    r'(?:.*?inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)")?'
)
_ASKED = re.compile(r"^(CI|PYTEST_\w+|GITHUB_ACTIONS|DO_NOT_TRACK|DISABLE_TELEMETRY|HF_\w+)$")

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: apt install strace"
)


@dataclass(frozen=True, slots=True)
class Traced:
    """What a traced command left: its exit code, its output, and system calls that went outside."""

    code: int
    output: str
    outside: tuple[str, ...]


def outside_calls(trace: str) -> tuple[str, ...]:
    """Lines of a trace that look a name up, or speak to another machine.

    Sockets of this machine and questions to its kernel are none of these; its resolvers are.
    """
    found = []
    for line in trace.splitlines():
        match = _ADDRESS.search(line)
        if match is None:
            continue
        family, port, path, address = match.groups()
        if family == "AF_UNIX":
            if "resolve" in path:
                found.append(line)
        elif port == "53" or not (address.startswith("127.") or address == "::1"):
            found.append(line)
    return tuple(found)


def plain_environment(home: Path) -> dict[str, str]:
    """The environment of a user who has set nothing, with a home of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in VARIABLES and not _ASKED.match(name)
    }
    home.mkdir(exist_ok=True)
    return kept | {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "DISPLAY": ""}


def traced(
    arguments: Sequence[object],
    *,
    folder: Path,
    environment: Mapping[str, str],
    until: Callable[[], None] | None = None,
    timeout_s: float = 600,
) -> Traced:
    """Run `python ARGUMENTS` in a folder and see what it says to the network.

    Args:
        arguments: of the interpreter, such as "-m", "regraft", "scan", "photos".
        folder: to run in; the trace is written beside it.
        environment: see `plain_environment`.
        until: called once the process has started; when it returns, the process gets a Ctrl-C.
        timeout_s: after which the test fails.
    """
    trace = folder.with_name(f"{folder.name}.strace")
    command = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "200", "-e", f"trace={CALLS}"]
    process = subprocess.Popen(
        [*command, "-o", str(trace), sys.executable, *map(str, arguments)],
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        if until is not None:
            until()
            os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=timeout_s)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return Traced(process.returncode, output, outside_calls(trace.read_text(encoding="utf-8")))


def wait(seconds: float) -> Callable[[], None]:
    """For `until`: let it run for a while."""
    return lambda: time.sleep(seconds)
