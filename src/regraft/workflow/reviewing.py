"""A run in, a page to go through its suspects out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regraft.runs import Run, read_run, require_data, settings_of
from regraft.storage.locations import seen_from_here
from regraft.workflow.reading import require_photos
from regraft.workflow.request import command_of

if TYPE_CHECKING:
    from regraft.reviewing import ReviewServer


def review(run: str | Path, *, port: int = 0) -> ReviewServer:
    """A local page to go through the suspects and errors of a run; see `ReviewServer`.

    Every decision is appended at once to the file decisions.csv in the run folder, which
    `fit(decisions=...)` applies. Photos and label tables stay as they are.

    Args:
        run: the folder of a finished run.
        port: of this machine; 0 for any that is free.

    Raises:
        RunError: the folder holds no complete run.
        DataError: its decisions.csv cannot be understood.
        UsageError: the port is in use or not allowed.
    """
    from regraft.reviewing import ReviewServer

    finished = read_run(run)
    require_photos(finished.data, "review", "issues.csv in the run folder lists what to look at")
    require_data(finished)
    return ReviewServer(finished, port=port)


def review_command(run: Run) -> str:
    """The command that fits the data of a run again with what was decided in its review."""
    settings = settings_of(run) | {"decisions": {"path": str(run.folder)}}
    if "dataset" in settings:
        return f"in Python: rg.fit(data, decisions={str(run.folder)!r})"
    for name in ("data", "labels", "image_dir", "test"):
        if settings.get(name) is not None:
            settings[name] = seen_from_here(settings[name])
    return command_of(settings)
