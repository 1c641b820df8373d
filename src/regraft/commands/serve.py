"""`regraft serve`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regraft.commands.options import Jobs, ModelPath, UnfamiliarFrom
from regraft.commands.printing import say

if TYPE_CHECKING:
    from regraft.serving import Server, ServerLimits

Host = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Others than this machine's own are reachable.")
]
Port = Annotated[int, typer.Option(metavar="P", help="0 for any that is free.")]
Token = Annotated[
    str,
    typer.Option(
        metavar="TEXT", envvar="REGRAFT_TOKEN", help="Requests have to carry it as a bearer."
    ),
]
History = Annotated[
    Path | None, typer.Option(metavar="DB", help="Of a regraft watch: serve its timeline too.")
]
Corrections = Annotated[
    bool,
    typer.Option("--corrections", help="Let the page keep photos under their right label."),
]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for, and how many there may be."""

    max_body: Annotated[float, typer.Option(metavar="MB", help="Of one request.")] = 32.0
    max_pixels: Annotated[float, typer.Option(metavar="MP", help="Megapixels of a photo.")] = 50.0
    max_characters: Annotated[int, typer.Option(metavar="N", help="Of a text.")] = 200_000
    max_inputs: Annotated[
        int,
        typer.Option(
            "--max-inputs", "--max-images", metavar="N", help="Photos or texts in one request."
        ),
    ] = 32
    max_requests: Annotated[int, typer.Option(metavar="N", help="Open at once.")] = 64
    max_seconds: Annotated[
        float, typer.Option(metavar="S", help="To send a request, and to answer it.")
    ] = 30.0

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


def serve(
    *,
    model: ModelPath,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: Token = "",
    history: History = None,
    corrections: Corrections = False,
    unfamiliar_from: UnfamiliarFrom = None,
    limits: Limits,
    jobs: Jobs = None,
) -> None:
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
        host=host,
        port=port,
        limits=limits.of_server(),
        token=token,
        history=history,
        corrections=corrections,
        unfamiliar_from=unfamiliar_from,
        jobs=jobs,
    ) as server:
        _announce(server, has_history=history is not None, has_token=bool(token))
        with suppress(KeyboardInterrupt):
            server.serve()
        say("stopped")


def _announce(server: Server, *, has_history: bool, has_token: bool) -> None:
    say(f"page     {server.url}")
    if has_history:
        say(f"timeline {server.url}timeline")
    if not server.is_local and not has_token:
        say("note     anyone who can reach this machine may use it; set --token to change that")
    say(f"try      {server.example}")
