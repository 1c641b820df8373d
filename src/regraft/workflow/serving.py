"""A model in, a server that answers with its predictions out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.errors import StorageError, UsageError
from regraft.model import Model, load
from regraft.runs import read_run
from regraft.runs.corrections import keep_correction
from regraft.workflow.reading import of_photos
from regraft.workflow.watching import timeline

if TYPE_CHECKING:
    from regraft.serving import Server, ServerLimits
    from regraft.serving.app import ExtraPage, KeepCorrection
    from regraft.watching import Timeline


def serve(
    model: str | Path | Model,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: ServerLimits | None = None,
    token: str = "",
    history: str | Path | None = None,
    corrections: bool = False,
    unfamiliar_from: float | None = None,
    jobs: int | None = None,
) -> Server:
    """A server that listens; call its `serve` to answer until the process is told to stop.

    Args:
        model: a Model, or a model or run folder.
        host: address to listen on; by default only this machine can reach it.
        port: 0 for any that is free.
        limits: of requests; None for the usual ones.
        token: that requests have to carry as "Authorization: Bearer TOKEN"; "" for none.
        history: of a watched folder; its timeline is served as /timeline and /timeline.csv.
        corrections: whether the page may keep photos under their right label, in the run folder
            that `model` is then; not for texts.
        unfamiliar_from: distance from which a photo is unfamiliar; None for that of the model.
        jobs: worker threads.

    Raises:
        ModelError: the model cannot be read, or is not of photos where these alone will do.
        StorageError: the history is not there.
        RunError: corrections are to be kept, and the model is not that of a run.
        UsageError: the address or the port cannot be used.
    """
    from regraft.serving import Server

    loaded = model if isinstance(model, Model) else load(model)
    loaded = loaded.flagging_from(unfamiliar_from)
    if history is not None:
        of_photos(loaded, "serve --history", "leave it out")
    keep: KeepCorrection | None = None
    if corrections:
        of_photos(loaded, "serve --corrections", "leave it out")
        if isinstance(model, Model):
            raise UsageError("corrections are kept in a run folder; give that as the model")
        keep = partial(_keep_from_page, read_run(model).folder)
    return Server(
        loaded,
        host=host,
        port=port,
        limits=limits,
        token=token,
        pages={} if history is None else _timeline_pages(history),
        keep=keep,
        jobs=jobs,
    )


def _keep_from_page(run: Path, data: bytes, label: str, said: str, name: str) -> None:
    keep_correction(run, data, label, said=said, source="page", name=name)


def _timeline_pages(history: str | Path) -> dict[str, ExtraPage]:
    from regraft.serving.app import ExtraPage
    from regraft.watching.page import build_timeline_page

    def timeline_now() -> Timeline:
        try:
            return timeline(history)
        except StorageError as error:  # others may be told: without where it is
            text = str(error).replace(str(history), Path(history).name)
            raise StorageError(text) from error

    timeline(history)  # it is there, and can be read
    return {
        "/timeline": ExtraPage(
            "text/html",  # others may reach it: figures, without a look into the room
            lambda: build_timeline_page(timeline_now(), with_pictures=False),
        ),
        "/timeline.csv": ExtraPage("text/csv", lambda: timeline_now().to_csv()),
    }
