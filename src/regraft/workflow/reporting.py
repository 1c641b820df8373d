"""Run folders in, one offline page out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.errors import RunError, StorageError
from regraft.runs import Run, read_run, shown_from
from regraft.storage.files import write_atomic


def report(run: str | Path | Sequence[str | Path], out: str | Path) -> Path:
    """Write the report of a run folder, or of several side by side, as one offline HTML file.

    Raises:
        RunError: the folder holds no complete run, or fewer than two of several do.
        StorageError: `out` cannot be written.
    """
    from regraft.reporting import build_report

    if not isinstance(run, str | Path):
        return report_side_by_side(run, out, force=True).path
    finished = read_run(run)
    with shown_from(finished):
        page = build_report(finished)
    write_atomic(Path(out), page)
    return Path(out)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Where the page on several runs is, which of them did best, and what is not on it, and why."""

    path: Path
    best: Path
    left_out: tuple[str, ...]


def report_side_by_side(
    runs: Sequence[str | Path], out: str | Path, *, force: bool = False
) -> SideBySide:
    """Write one offline HTML file on several runs.

    A folder that holds no complete run is left out, and the page says so, as long as two remain.

    Args:
        runs: run folders; one that is given twice is shown once.
        out: the HTML file.
        force: replace a file that is there.

    Raises:
        RunError: fewer than two of them can be shown.
        StorageError: `out` is there already, or cannot be written.
    """
    from regraft.reporting import best_run, build_side_by_side

    target = Path(out)
    if os.path.lexists(target) and not force:
        raise StorageError(
            f"{target} is there already; add --force to replace it or choose another --out"
        )
    by_place: dict[str, Run] = {}
    left_out = []
    for folder in map(Path, runs):
        place = os.path.realpath(folder)
        if place in by_place:
            left_out.append(f"{folder} was given twice and is shown once")
            continue
        try:
            by_place[place] = read_run(folder)
        except RunError as error:
            left_out.append(f"left out: {error}")
    if len(by_place) < 2:
        why = f": {left_out[0]}" if left_out else ""
        raise RunError(
            f"{len(by_place)} of {len(runs)} runs can be shown, expected at least 2{why}; to see a "
            "single run, give it alone"
        )
    shown = list(by_place.values())
    with shown_from(*shown):
        page = build_side_by_side(shown, left_out=left_out)
        best = shown[best_run(shown)].folder
    write_atomic(target, page)
    return SideBySide(target, best, tuple(left_out))
