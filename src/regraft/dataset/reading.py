"""Content hash and size of every file, on all cores.

Enters: rows that name files. Leaves: the same rows in the same order with hash, size and mode,
or with the status "unreadable" and the reason. A file is opened once, and never changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regraft.dataset.table import Row
from regraft.errors import UnreadableInputError
from regraft.kinds import Kind
from regraft.kinds.base import Reader, read_input
from regraft.progress import Progress, silent
from regraft.workers import map_threads

_ROWS_PER_TASK = 32  # handing over single small files would cost as much as reading them
_TO_READ = frozenset({"ok", "unlabelled", "conflict", "excluded"})


def read_rows(
    rows: Sequence[Row],
    root: Path,
    kind: Kind,
    *,
    verify: bool = False,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[Row]:
    """Fill in hash, width, height and mode of every row that has a file.

    Args:
        rows: rows with other statuses than "ignored", "missing" and "unreadable" are read.
        root: absolute folder that their paths are relative to.
        kind: whose reader inspects, and with `verify` decodes, the bytes of a file.
        verify: decode every file in full, which finds damage behind the header; much slower.
        jobs: number of threads; None for one a core.
        progress: called with the phase "reading".
    """
    interrupted = threading.Event()
    reader = kind.reader()
    total = len(rows)

    def read_some(some: Sequence[Row]) -> list[Row]:
        read = []
        for row in some:
            if interrupted.is_set():
                break
            is_there = row.status in _TO_READ
            read.append(_read_row(row, root, reader, verify=verify) if is_there else row)
        return read

    result: list[Row] = []
    try:
        for some in map_threads(read_some, _in_batches(rows, _ROWS_PER_TASK), jobs=jobs):
            result += some
            progress("reading", len(result), total)
    finally:
        interrupted.set()  # after Ctrl-C the threads stop at their next file
    return result


def file_times(rows: Sequence[Row], root: Path) -> NDArray[np.float64]:
    """When the file of each row was last written, float64 (n,), seconds; NaN where it is not there.

    The cell of a table has no time of its own.
    """
    found = np.full(len(rows), np.nan)
    for i, row in enumerate(rows):
        with contextlib.suppress(OSError, ValueError):
            found[i] = os.stat(f"{root}/{row.path}").st_mtime  # noqa: PTH116 - three times as fast
    return found


def _in_batches(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _read_row(row: Row, root: Path, reader: Reader, *, verify: bool) -> Row:
    """One row with what its file holds."""
    sha256 = ""
    try:
        data = read_input(root / row.path)
        sha256 = hashlib.sha256(data).hexdigest()
        info = reader.inspect(data)
        if verify:
            reader.decode(data)
    except UnreadableInputError as error:
        return Row(
            row.path,
            sha256,
            row.label,
            row.split,
            row.group,
            status="unreadable",
            reason=str(error),
        )
    return Row(
        row.path,
        sha256,
        row.label,
        row.split,
        row.group,
        info.width,
        info.height,
        info.mode,
        row.status,
        row.reason,
    )
