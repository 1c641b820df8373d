"""`regraft watch`."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regraft.commands.durations import parse_duration
from regraft.commands.options import Jobs, ModelPath, Output, UnfamiliarFrom
from regraft.commands.printing import Format, say, say_next, shown_progress, write

if TYPE_CHECKING:
    from regraft.watching import Settings, Watcher
    from regraft.watching.outputs import Output as EventOutput

_END_S = 9.0  # after Ctrl-C a watcher ends, though it may be amid a photo
Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Cameras write here, each into its folder.")
]
Database = Annotated[
    Path | None,
    typer.Option("--db", metavar="FILE", help="The history; by default NAME_OF_FOLDER.db here."),
]
Once = Annotated[bool, typer.Option("--once", help="Work through what is there, and end.")]


@dataclass(frozen=True, slots=True)
class Watching:
    """What makes a change, what becomes of it, and how photos arrive."""

    hold: Annotated[
        str, typer.Option(metavar="TIME", help="For how long photos have to show a new state.")
    ] = "15m"
    gap: Annotated[
        str,
        typer.Option(metavar="TIME", help="Without a photo to rely on, after which it is unknown."),
    ] = "3h"
    evidence: Annotated[
        float, typer.Option(metavar="N", help="For a change: each clear photo adds 2, or takes 2.")
    ] = 6.0
    unfamiliar_from: UnfamiliarFrom = None
    settle: Annotated[
        str, typer.Option(metavar="TIME", help="How old a file has to be to be read.")
    ] = "2s"
    webhook: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="POST events here; repeatable.")
    ] = None
    mqtt: Annotated[
        str | None, typer.Option(metavar="URL", help="Publish events: mqtt://HOST/PREFIX.")
    ] = None
    keep_days: Annotated[
        float | None, typer.Option(min=0, metavar="N", help="Forget photos taken before that.")
    ] = None
    keep_photos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Copy photos there; by default none is.")
    ] = None
    poll: Annotated[
        bool, typer.Option("--poll", help="For network shares that tell of no changes.")
    ] = False

    def settings(self, jobs: int | None) -> Settings:
        """As the watcher takes them."""
        from regraft.watching import Rules, Settings

        rules = Rules(
            evidence=self.evidence,
            hold_s=parse_duration(self.hold, "hold", zero=True),
            gap_s=parse_duration(self.gap, "gap"),
        )
        return Settings(
            rules=rules,
            settle_s=parse_duration(self.settle, "settle", zero=True),
            keep_days=self.keep_days,
            copies=self.keep_photos,
            poll=self.poll,
            jobs=jobs,
        )

    def outputs(self) -> list[EventOutput]:
        """Where events go beside standard output."""
        from regraft.watching.outputs import Mqtt, Webhook

        webhooks = [Webhook(url) for url in self.webhook or ()]
        return [*webhooks, *([] if self.mqtt is None else [Mqtt(self.mqtt)])]


def watch(
    *,
    model: ModelPath,
    folder: Folder,
    db: Database = None,
    once: Once = False,
    watching: Watching,
    output: Output = "text",
    jobs: Jobs = None,
) -> None:
    """Predict what cameras write into a folder, and tell of changes.

    Each photo is predicted once, also after restarts, renames, or when it comes late. A state
    changes only once several photos say so; dark and unfamiliar photos count for nothing. Events
    are printed as they come. Ctrl-C ends it; nothing is lost.

    Example: regraft watch runs/rooms /srv/cameras --db rooms.db
    """
    from regraft import workflow
    from regraft.model import load
    from regraft.workers import interrupted_within

    outputs, settings = watching.outputs(), watching.settings(jobs)
    file = db or Path(f"{folder.resolve().name or 'photos'}.db")
    loaded = load(model).flagging_from(watching.unfamiliar_from)
    with (
        shown_progress() as progress,
        workflow.watch(
            loaded, folder, file, settings=settings, outputs=outputs, progress=progress
        ) as watcher,
        suppress(KeyboardInterrupt),
        interrupted_within(_END_S),
    ):
        say(f"history  {file}")
        _tell(watcher, once=once, output=output)
    say_next("timeline", file)


def _tell(watcher: Watcher, *, once: bool, output: Format) -> None:
    """Print events as they come; only text and JSON lines are made of them."""
    from regraft.commands.drawing.watch import event_line
    from regraft.watching.outputs import message
    from regraft.wording import counted

    for done in [watcher.once()] if once else watcher.run():
        for camera, event in done.events:
            if output == "json":
                write(json.dumps(message(camera, event), ensure_ascii=False) + "\n")
            else:
                write(event_line(camera, event))
        if done.added:
            say(counted(done.added, "new photo"))
