"""Where output goes: results to standard output, prose and progress to standard error.

A leaf module; rich is imported once something is drawn.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import typer

from regraft.storage import csv_table

if TYPE_CHECKING:
    from rich.console import Console

    from regraft.progress import Progress

Format = Literal["text", "csv", "json"]


def print_result(
    form: Format,
    *,
    text: Callable[[Console, Console], None],
    csv: Callable[[], str],
    json: Callable[[], object],
) -> None:
    """Print a result in the form that was asked for; only that one is made.

    Args:
        form: what --format says.
        text: draws it for people, on standard output and, with what to do next, standard error.
        csv: makes a table of it.
        json: makes JSON values of it.
    """
    if form == "json":
        write(json_text(json()))
    elif form == "csv":
        write(csv())
    else:
        text(console(stderr=False), console(stderr=True))


def console(*, stderr: bool) -> Console:
    """A console of rich on standard error or standard output."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def say(message: str) -> None:
    """A line of prose."""
    typer.echo(message, err=True)


def say_next(*words: object, **options: object) -> None:
    """The command to go on with, as in `hint`."""
    say(f"next     {hint(*words, **options)}")


def hint(*words: object, **options: object) -> str:
    """A command to copy: `words`, then those `options` that are given."""
    line = ["regraft", *map(str, words)]
    for name, value in options.items():
        if value is not None:
            line += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(line)


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Progress on standard error, drawn once a step has taken a second."""
    from regraft.commands.drawing.progress import live_progress

    with live_progress(console(stderr=True)) as progress:
        yield progress


def write(text: str) -> None:
    """Machine output, as it is."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows of equal keys as CSV; lists are joined by spaces."""
    lines = (
        [" ".join(map(str, v)) if isinstance(v, list | tuple) else v for v in row.values()]
        for row in rows
    )
    return csv_table.csv_text([list(rows[0]), *lines])


def json_text(data: object) -> str:
    """JSON values as text; numbers that JSON has none for, no value and no bound, become null."""
    return json.dumps(_finite(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(data: object) -> object:
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, list | tuple) else data
