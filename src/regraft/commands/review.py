"""`regraft review`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regraft.commands.options import RunPath
from regraft.commands.printing import say, say_next

if TYPE_CHECKING:
    from regraft.reviewing import ReviewServer, Session

Port = Annotated[
    int, typer.Option(min=0, max=65535, metavar="P", help="Of the page; 0 for one that is free.")
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only say where the page is.")]
_DECISIONS = {"relabel": "relabelled", "exclude": "excluded", "keep": "kept"}


def review(*, run_folder: RunPath, port: Port = 0, no_browser: NoBrowser = False) -> None:
    """Go through doubtful labels and errors: keep, relabel, exclude.

    Opens a page on this machine, for the keyboard. Every decision is kept at once in RUN; your
    photos and tables stay as they are. Ctrl-C ends it; fit --decisions RUN applies it.

    Example: regraft review runs/photos
    """
    from regraft import workflow

    with workflow.review(run_folder, port=port) as server:
        session = server.session
        if session.note:
            say(f"note: {session.note}")
        if session.queue:
            _serve(server, opens_browser=not no_browser)
        else:
            say("nothing to review: no doubtful label, confident error, outlier or poor photo")
        decided = session.decided()
    _sum_up(session, decided, run_folder)


def _serve(server: ReviewServer, *, opens_browser: bool) -> None:
    from regraft.wording import counted

    photos = counted(len(server.session.queue), "photo")
    with suppress(KeyboardInterrupt):  # how a review ends
        say(f"review   {server.url}")
        say(f"{photos} to go through; every decision is kept at once, Ctrl-C ends it")
        if opens_browser:
            _open_page(server.url)
        server.serve()


def _open_page(url: str) -> None:
    """Open a browser of its own window; never one that would take the terminal."""
    import webbrowser

    is_drawn = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if is_drawn:
        webbrowser.open(url)


def _sum_up(session: Session, decided: Mapping[str, int], run_folder: Path) -> None:
    from regraft.wording import counted
    from regraft.workflow import review_command

    total = sum(decided.values())
    if total:
        counts = [f"{decided[name]:,} {word}" for name, word in _DECISIONS.items() if decided[name]]
        say(f"{counted(total, 'decision')} in {session.file}: {', '.join(counts)}")
        say(f"next     {review_command(session.run)}")
    else:
        say(f"no decision in {session.file}")
        say_next("predict", run_folder, "new_photo.jpg")
