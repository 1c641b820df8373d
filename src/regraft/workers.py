"""Work spread over threads, in order and with bounded memory.

A leaf module. Decoding, hashing and inference all release Python's global lock, so threads
use every core without copying images between processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS_AHEAD = 8  # per worker: enough that a slow file leaves no worker idle


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_threads(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, jobs: int | None = None
) -> Iterator[Result]:
    """Apply `function` to every task, yielding results in the order of the tasks.

    Tasks are taken from the iterable only a little ahead of the results, so a million of them
    need no more memory than a hundred. An exception (an interrupt too) cancels what has not
    begun and surfaces once the calls under way have returned.

    Args:
        function: called in worker threads.
        tasks: consumed lazily.
        jobs: number of threads, at least 1; None for one a core.
    """
    jobs = jobs or available_cores()
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(jobs)
    try:
        for task in tasks:
            waiting.append(pool.submit(function, task))
            if len(waiting) >= jobs * _TASKS_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class EndOfProcess:
    """Ends the process some seconds after `begin`, at once on the second, unless it is called off.

    A thread inside a decoder or a graph cannot be ended otherwise.
    """

    def __init__(self, *, within_s: float) -> None:
        self._within_s = within_s
        self._timer: threading.Timer | None = None

    def begin(self, code: int) -> None:
        """Count down to the end with an exit code."""
        if self._timer is not None:
            os._exit(code)
        self._timer = threading.Timer(self._within_s, os._exit, (code,))
        self._timer.daemon = True
        self._timer.start()

    def call_off(self) -> None:
        """What hindered the end has gone."""
        if self._timer is not None:
            self._timer.cancel()


@contextlib.contextmanager
def interrupted_within(seconds: float) -> Iterator[None]:
    """Let Ctrl-C end the process within some seconds, whatever its threads are at."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    end = EndOfProcess(within_s=seconds)

    def interrupt(number: int, frame: FrameType | None) -> None:
        end.begin(128 + number)
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        end.call_off()
        signal.signal(signal.SIGINT, before)
