"""`regraft timeline`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regraft.commands.options import Output
from regraft.commands.printing import print_result, say
from regraft.errors import UsageError

Database = Annotated[Path, typer.Argument(metavar="DB", help="The history of a regraft watch.")]
Page = Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw it, as one HTML page.")]
Cameras = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Only this one; repeatable.")
]
Since = Annotated[
    str, typer.Option(metavar="DATE", help="Only photos taken from then, as 2026-11-24.")
]


def timeline(
    *,
    db: Database,
    out: Page = None,
    camera: Cameras = None,
    since: Since = "",
    output: Output = "text",
) -> None:
    """How often cameras saw a change, for how long, is it changing.

    By calendar time, with intervals. Also outages, how much could not be relied on, and whether the
    photos have become unlike those before.

    Example: regraft timeline rooms.db --out rooms.html
    """
    from regraft import workflow
    from regraft.commands.drawing.timeline import show_timeline

    summed = workflow.timeline(db, out, since=_timestamp(since), cameras=camera or ())
    print_result(
        output,
        text=lambda stdout, _: show_timeline(stdout, summed),
        csv=summed.to_csv,
        json=summed.to_dict,
    )
    if out is not None:
        say(f"page     {out}")


def _timestamp(text: str) -> float:
    """Seconds since 1970 of a date, or date and time, in this machine's zone; 0 for ""."""
    from datetime import datetime

    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageError(f"since is {text!r}, expected a date such as 2026-11-24") from error
