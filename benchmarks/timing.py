"""Seconds: of functions, of whole processes, and of alternatives that take turns.

Alternatives are timed A B A B rather than A A B B, so that a machine that slows down or speeds
up on the way treats them alike; ratios are of medians from one such run.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def seconds_of(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def take_turns(cases: Mapping[str, Callable[[], float]], *, repeats: int) -> dict[str, list[float]]:
    """Run every case in turn, `repeats` times; the seconds that each of them returned."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            seconds[name].append(case())
    return seconds


def run_process(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> tuple[float, str, str]:
    """Run a command from the project's root to its end: wall time, standard output and error.

    Raises:
        RuntimeError: it failed; the text has its last lines.
    """
    started = time.perf_counter()
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[1], capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        last = "\n".join(done.stderr.splitlines()[-5:])
        raise RuntimeError(f"{' '.join(command)} left with {done.returncode}:\n{last}")
    return seconds, done.stdout, done.stderr
