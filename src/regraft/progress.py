"""How long work tells of its progress: a callback in, nothing out.

A leaf module. The core never prints; the command line passes a callback that draws a bar.
"""

from __future__ import annotations

from typing import Protocol

NOTE = -1


class Progress(Protocol):
    """Called as work advances; must be cheap and must not raise."""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """`done` of `total` items of `phase` are finished.

        A `total` of 0 means not yet known; `NOTE` that `phase` is a sentence to be shown once.
        """


def silent(phase: str, done: int, total: int) -> None:
    """The default: no progress is shown."""


def note(progress: Progress, message: str) -> None:
    """Tell the person who waits something in a sentence: a slow step begins, a cache is full."""
    progress(message, 0, NOTE)
