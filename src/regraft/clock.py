"""A budget in seconds: what has passed, what is left, and what is kept for the steps to come."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """The time of one job, from its beginning; the budget may be infinite.

    Steps to come reserve seconds by name, so that `left` says what the step at hand may take. What
    a reason tells of the time comes from here as well, so that its numbers add up.
    """

    def __init__(
        self, budget_s: float = math.inf, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin now.

        Args:
            budget_s: seconds for the whole job, above 0; infinite for no limit.
            now: reads the time in seconds, from any beginning; a test hands in its own.
        """
        self.budget_s = budget_s
        self._now = now
        self._started = now()
        self._reserved: dict[str, float] = {}

    @property
    def now(self) -> float:
        """The time, in the seconds of `now`, for deadlines."""
        return self._now()

    @property
    def passed(self) -> float:
        """Seconds since the beginning."""
        return self._now() - self._started

    @property
    def left(self) -> float:
        """Seconds until the budget is used up, below 0 after that, without what is reserved."""
        return self.budget_s - self.passed - self.reserved

    @property
    def deadline(self) -> float:
        """When the budget is used up but for what is reserved, in the seconds of `now`."""
        return self._started + self.budget_s - self.reserved

    @property
    def reserved(self) -> float:
        """Seconds that are kept for steps to come."""
        return sum(self._reserved.values())

    def reserve(self, step: str, seconds: float) -> None:
        """Keep seconds for a step to come, in place of what was kept for it before."""
        self._reserved[step] = seconds

    def share(self, part: float) -> float:
        """Seconds that are a part, 0 to 1, of the whole budget."""
        return part * self.budget_s

    def within(self, seconds: float) -> float:
        """The deadline of a step that may take so many seconds from now, and no more than is left.

        In the seconds of `now`.
        """
        return min(self.deadline, self._now() + seconds)

    @contextmanager
    def measured(self, seconds: dict[str, float], step: str) -> Iterator[None]:
        """Add what the step takes to `seconds[step]`, rounded to a millisecond."""
        began = self._now()
        try:
            yield
        finally:
            seconds[step] = round(seconds.get(step, 0.0) + self._now() - began, 3)
