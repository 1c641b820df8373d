"""`regraft timeline`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regraft.commands.groups import argument, option
from regraft.commands.options import Output
from regraft.commands.printing import print_result, say
from regraft.errors import UsageError


@dataclass(frozen=True, slots=True)
class TimelineOptions:
    """Which history is summed up, and how much of it."""

    db: Path = argument("DB", "The history of a regraft watch.")
    out: Path | None = option("Also draw it, as one HTML page.", "FILE")
    camera: list[str] | None = option("Only this one; repeatable.", "NAME")
    since: str = option("Only photos taken from then, as 2026-11-24.", "DATE", "")


def timeline(*, options: TimelineOptions, output: Output = "text") -> None:
    """How often cameras saw a change, for how long, is it changing.

    By calendar time, with intervals. Also outages, how much could not be relied on, and whether the
    photos have become unlike those before.

    Example: regraft timeline rooms.db --out rooms.html
    """
    from regraft import workflow
    from regraft.commands.drawing.timeline import show_timeline

    since_s = _timestamp(options.since)
    summed = workflow.timeline(options.db, options.out, since=since_s, cameras=options.camera or ())
    print_result(
        output,
        text=lambda out, _: show_timeline(out, summed),
        csv=summed.to_csv,
        json=summed.to_dict,
    )
    if options.out is not None:
        say(f"page     {options.out}")


def _timestamp(text: str) -> float:
    """Seconds since 1970 of a date, or date and time, in this machine's zone; 0 for ""."""
    from datetime import datetime

    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageError(f"since is {text!r}, expected a date such as 2026-11-24") from error
