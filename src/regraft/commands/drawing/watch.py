"""An event of a watched camera, as a line."""

from __future__ import annotations

from regraft.commands.drawing.figures import clock_time
from regraft.watching.states import Event, local_minute


def event_line(camera: str, event: Event) -> str:
    """When which camera showed what, and on what evidence."""
    evidence = f"{len(event.evidence)} photos"
    if event.after_gap_s:
        evidence += f", within a gap of {clock_time(event.after_gap_s)}"
    change = f"{event.previous} -> {event.state}"
    return f"{local_minute(event.at)}  {camera}  {change}  ({evidence})\n"
