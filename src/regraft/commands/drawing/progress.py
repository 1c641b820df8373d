"""How long work tells of its progress: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from regraft.commands.drawing.lines import escaped
from regraft.progress import NOTE, Progress


@contextmanager
def live_progress(
    console: Console, *, show_after_s: float = 1.0, plain_every_s: float = 10.0
) -> Iterator[Progress]:
    """A callback that draws steps longer than `show_after_s`, with the time that is left.

    Where the console is not a terminal, a plain line is printed every `plain_every_s` instead.
    """
    if not console.is_terminal:
        yield _plain_progress(console, plain_every_s)
        return
    from regraft.commands.drawing.bars import LateBars, OneStepAtATime

    with LateBars(console, show_after_s=show_after_s) as bars:
        yield OneStepAtATime(bars)


def _plain_progress(console: Console, every_s: float) -> Progress:
    told_at: dict[str, float] = {}

    def update(phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if total == NOTE:
            if phase not in told_at:
                told_at[phase] = now
                console.print(escaped(phase))
            return
        begun = told_at.setdefault(phase, now)
        if done >= total > 0:
            del told_at[phase]
        if now - begun >= every_s and total > 0 and done < total:
            told_at[phase] = now
            console.print(escaped(f"{phase}: {done:,} of {total:,}"))

    return update
