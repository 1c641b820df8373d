"""A history summed up, camera by camera."""

from __future__ import annotations

from rich.console import Console

from regraft.commands.drawing.lines import escaped
from regraft.watching.sentences import answers, remarks
from regraft.watching.timeline import Timeline

_FLAGS = ("unsure", "unfamiliar", "dark", "unreadable")


def show_timeline(out: Console, timeline: Timeline) -> None:
    """For each camera how often its state changed, how long it lasted, and what is not known."""
    if not timeline.cameras:
        out.print("no photo has been recorded yet")
    for camera in timeline.cameras:
        for answer in answers(camera):
            out.print(f"[bold]{escaped(camera.name)}[/bold] {escaped(', '.join(answer))}")
        for remark in remarks(camera):
            out.print(f"  {escaped(remark)}")
        shares = [
            f"{100 * camera.share(flag):.1f} % {flag}" for flag in _FLAGS if camera.flags.get(flag)
        ]
        out.print(", ".join([f"  {camera.photos:,} photos", *shares]))
        for warning in camera.warnings:
            out.print(f"  [yellow]{escaped(warning)}[/yellow]")
