"""`regraft serve`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regraft.commands.groups import option
from regraft.commands.options import Jobs, ModelPath, UnfamiliarFrom
from regraft.commands.printing import say

if TYPE_CHECKING:
    from regraft.serving import Server, ServerLimits


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Where it listens, and what it offers."""

    host: str = option("Others than this machine's own are reachable.", "ADDRESS", "127.0.0.1")
    port: int = option("0 for any that is free.", "P", 8000)
    token: str = option(
        "Requests have to carry it as a bearer.", "TEXT", "", envvar="REGRAFT_TOKEN"
    )
    history: Path | None = option("Of a regraft watch: serve its timeline too.", "DB")
    corrections: bool = option("Let the page keep photos under their right label.", default=False)
    unfamiliar_from: UnfamiliarFrom = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for, and how many there may be."""

    max_body: float = option("Of one request.", "MB", 32.0)
    max_pixels: float = option("Megapixels of a photo.", "MP", 50.0)
    max_characters: int = option("Of a text.", "N", 200_000)
    max_inputs: Annotated[
        int,
        typer.Option(
            "--max-inputs", "--max-images", metavar="N", help="Photos or texts in one request."
        ),
    ] = 32
    max_requests: int = option("Requests answered at the same time.", "N", 64)
    max_seconds: float = option("To send a request, and to answer it.", "S", 30.0)

    def of_server(self) -> ServerLimits:
        """As the server takes them."""
        from regraft.serving import ServerLimits

        return ServerLimits(
            body_mb=self.max_body,
            megapixels=self.max_pixels,
            characters=self.max_characters,
            inputs=self.max_inputs,
            requests=self.max_requests,
            body_s=self.max_seconds,
            answer_s=self.max_seconds,
        )


def serve(*, model: ModelPath, options: ServeOptions, limits: Limits, jobs: Jobs = None) -> None:
    """A page and an API that predict photos or texts.

    POST /predict takes photos or texts as the multipart field files, and texts also as JSON,
    {"texts": ["..."]}; /model, /health, /metrics (Prometheus) and /openapi.json say the rest. The
    page takes photos by drop, paste or camera, and texts as you write them. Nothing is kept but
    photos that are corrected with --corrections, and nothing leaves the machine. Ctrl-C ends it
    once what was begun is answered.

    Example: regraft serve runs/photos --port 8000
    """
    from regraft import workflow

    with workflow.serve(
        model,
        host=options.host,
        port=options.port,
        limits=limits.of_server(),
        token=options.token,
        history=options.history,
        corrections=options.corrections,
        unfamiliar_from=options.unfamiliar_from,
        jobs=jobs,
    ) as server:
        _announce(server, options)
        with suppress(KeyboardInterrupt):
            server.serve()
        say("stopped")


def _announce(server: Server, options: ServeOptions) -> None:
    say(f"page     {server.url}")
    if options.history is not None:
        say(f"timeline {server.url}timeline")
    if not server.is_local and not options.token:
        say("note     anyone who can reach this machine may use it; set --token to change that")
    say(f"try      {server.example}")
