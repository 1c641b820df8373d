"""Threads: order, laziness, errors and interrupts."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from regraft.workers import available_cores, map_threads


def test_results_come_in_the_order_of_the_tasks() -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i == 0 else 0)
        return i * i

    assert list(map_threads(slow_first, range(50), jobs=4)) == [i * i for i in range(50)]


def test_tasks_are_taken_only_a_little_ahead() -> None:
    taken = 0

    def count() -> Iterator[int]:
        nonlocal taken
        for i in range(10_000):
            taken += 1
            yield i

    results = map_threads(lambda i: i, count(), jobs=2)
    next(results)
    assert taken < 50
    results.close()  # type: ignore[attr-defined]


def test_an_error_cancels_the_rest() -> None:
    done: list[int] = []

    def fail_at_ten(i: int) -> int:
        if i == 10:
            raise ValueError("ten")
        done.append(i)
        return i

    with pytest.raises(ValueError, match="ten"):
        list(map_threads(fail_at_ten, range(1_000), jobs=2))
    assert len(done) < 100


def test_an_interrupt_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    results = map_threads(lambda i: i, range(1_000), jobs=2)

    def interrupt() -> None:
        for i in results:
            if i == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_there_is_at_least_one_core() -> None:
    assert available_cores() >= 1


STUCK = """
import sys, threading, time
from regraft.workers import interrupted_within

within_s = float(sys.argv[1])
with interrupted_within(within_s):
    try:
        print("begun", flush=True)
        time.sleep(1_000)
    finally:
        time.sleep(float(sys.argv[2]))  # a thread that does not end
print("went on", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("within_s", "stuck_s", "times", "code"),
    [(0.5, 900, 1, 130), (900, 900, 2, 130), (900, 0, 1, 1)],
)
def test_an_interrupt_ends_the_process_though_threads_are_stuck(
    within_s: float, stuck_s: float, times: int, code: int
) -> None:
    command = [sys.executable, "-c", STUCK, str(within_s), str(stuck_s)]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        process.communicate(timeout=60)
        assert process.returncode in (code, -signal.SIGINT if code == 1 else code)
