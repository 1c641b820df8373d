"""`regraft watch`."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.commands.durations import parse_duration
from regraft.commands.groups import argument, option
from regraft.commands.options import Jobs, ModelPath, Output, UnfamiliarFrom
from regraft.commands.printing import Format, say, say_next, shown_progress, write

if TYPE_CHECKING:
    from regraft.watching import Settings, Watcher
    from regraft.watching.outputs import Output as EventOutput

_END_S = 9.0  # after Ctrl-C a watcher ends, though it may be amid a photo


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Where photos come from, what makes a change, and what becomes of it."""

    folder: Path = argument("FOLDER", "Cameras write here, each into its folder.")
    db: Path | None = option("The history; by default NAME_OF_FOLDER.db here.", "FILE")
    once: bool = option("Work through what is there, and end.", default=False)
    hold: str = option("For how long photos have to show a new state.", "TIME", "15m")
    gap: str = option("Without a photo to rely on, after which it is unknown.", "TIME", "3h")
    evidence: float = option("For a change: each clear photo adds 2, or takes 2.", "N", 6.0)
    unfamiliar_from: UnfamiliarFrom = None
    settle: str = option("How old a file has to be to be read.", "TIME", "2s")
    webhook: list[str] | None = option("POST events here; repeatable.", "URL")
    mqtt: str | None = option("Publish events: mqtt://HOST/PREFIX.", "URL")
    keep_days: float | None = option("Forget photos taken before that.", "N", min=0)
    keep_photos: Path | None = option("Copy photos there; by default none is.", "FOLDER")
    poll: bool = option("For network shares that tell of no changes.", default=False)

    @property
    def file(self) -> Path:
        """The history."""
        return self.db or Path(f"{self.folder.resolve().name or 'photos'}.db")

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
    *, model: ModelPath, options: WatchOptions, output: Output = "text", jobs: Jobs = None
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

    outputs, settings = options.outputs(), options.settings(jobs)
    loaded = load(model).flagging_from(options.unfamiliar_from)
    with (
        shown_progress() as progress,
        workflow.watch(
            loaded,
            options.folder,
            options.file,
            settings=settings,
            outputs=outputs,
            progress=progress,
        ) as watcher,
        suppress(KeyboardInterrupt),
        interrupted_within(_END_S),
    ):
        say(f"history  {options.file}")
        _tell(watcher, once=options.once, output=output)
    say_next("timeline", options.file)


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
