"""A budget: what has passed, what is left, what is kept."""

from __future__ import annotations

import math
from contextlib import suppress

from regraft.clock import Clock
from tests.fakes import Clock as Time


def test_what_is_reserved_is_not_left() -> None:
    time = Time()
    clock = Clock(100.0, now=time.monotonic)
    clock.reserve("report", 8.0)
    clock.reserve("final fit", 20.0)
    clock.reserve("final fit", 30.0)
    time.now += 10.0
    assert (clock.passed, clock.reserved, clock.left) == (10.0, 38.0, 52.0)
    assert clock.deadline == time.now + clock.left
    clock.reserve("final fit", 0.0)
    assert clock.left == 82.0
    assert clock.within(5.0) == time.now + 5.0
    assert clock.within(500.0) == clock.deadline
    assert clock.share(0.15) == 15.0


def test_without_a_budget_there_is_always_time() -> None:
    clock = Clock()
    assert clock.left == clock.deadline == clock.share(0.1) == math.inf


def test_a_step_that_comes_twice_adds_up_and_one_that_fails_counts() -> None:
    time = Time()
    clock = Clock(now=time.monotonic)
    seconds = {"scan": 1.0}
    for _ in range(2):
        with suppress(KeyError), clock.measured(seconds, "audit"):
            time.now += 0.25
            raise KeyError
    assert seconds == {"scan": 1.0, "audit": 0.5}
