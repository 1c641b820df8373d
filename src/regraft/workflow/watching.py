"""A folder that cameras write into in, a history and its timeline out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.errors import DataError, StorageError
from regraft.model import Model, load
from regraft.progress import Progress, silent
from regraft.storage.files import held, write_atomic
from regraft.workflow.reading import of_photos

if TYPE_CHECKING:
    from regraft.watching import Rules, Settings, Timeline, Watcher
    from regraft.watching.outputs import Output


@contextmanager
def watch(
    model: str | Path | Model,
    folder: str | Path,
    db: str | Path,
    *,
    settings: Settings | None = None,
    outputs: Sequence[Output] = (),
    progress: Progress = silent,
) -> Iterator[Watcher]:
    """A watcher of the folder that cameras write into; call its `run`, or `once`.

    Args:
        model: a Model, or a model or run folder.
        folder: with a folder in it for each camera, or with photos.
        db: the history, an SQLite file, made if need be.
        settings: rules of states, and how files are read; None for the usual ones.
        outputs: who is told of events.
        progress: told how far a pass is.

    Raises:
        ModelError: the model cannot be read, or the history is of other classes.
        DataError: the folder is not there.
        StorageError: the history cannot be used, or another process writes it.
    """
    from regraft.watching import Store, Watcher, require_folder

    loaded = of_photos(
        model if isinstance(model, Model) else load(model),
        "watch",
        "regraft serve answers for texts as they come, and regraft predict for a folder of them",
    )
    require_folder(folder)  # before there is a history of it
    loaded.check()
    with Store(db) as store:
        guard = store.file.with_name(f"{store.file.name}.lock")
        busy = StorageError(
            f"another process watches with {db}; stop that one, or choose another --db"
        )
        with held(guard, busy, doing=f"write beside {store.file}"):
            yield Watcher(
                loaded, folder, store, settings=settings, outputs=outputs, progress=progress
            )


def timeline(
    db: str | Path,
    out: str | Path | None = None,
    *,
    rules: Rules | None = None,
    since: float = 0.0,
    cameras: Sequence[str] = (),
) -> Timeline:
    """What a watched folder showed over time; with `out` also as an HTML page.

    Args:
        db: the history.
        out: where the page is written.
        rules: what makes a change; None for those of the watcher.
        since: photos taken before are left out, seconds since 1970.
        cameras: which; () for all.

    Raises:
        StorageError: the history cannot be read, or the page not written.
        DataError: there is no camera of a name.
    """
    from regraft.watching import Store, read_timeline
    from regraft.watching.page import build_timeline_page

    with Store(db, must_exist=True) as store:
        known = store.cameras()
        for name in cameras:
            if name not in known:
                raise DataError(f"there is no camera {name!r}; expected {', '.join(known)}")
        summary = read_timeline(store, rules=rules, since=since, cameras=cameras)
    if out is not None:
        write_atomic(Path(out), build_timeline_page(summary))
    return summary
