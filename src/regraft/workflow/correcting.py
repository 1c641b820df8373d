"""Photos with their right labels in; kept to be trained on, or a promotion taken back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from regraft.inputs import Input, as_files
from regraft.kinds.base import read_input
from regraft.progress import Progress, note, silent
from regraft.runs import read_run
from regraft.runs.corrections import Correction, class_meant, keep_correction, read_corrections
from regraft.runs.promotion import roll_back
from regraft.workflow.predicting import predict
from regraft.workflow.reading import require_photos


def correct(
    run: str | Path,
    files: Input | Iterable[Input],
    label: str,
    *,
    new_class: bool = False,
    source: str = "command",
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[Correction]:
    """Keep photos under their right label, to be trained on by `fit` with `with_corrections`.

    Args:
        run: the run folder whose model said something else.
        files: photos, folders or glob patterns, PIL pictures or uint8 (h, w, 3), one or many.
        label: the class of all of them.
        new_class: whether that may be a class that the run does not know.
        source: where the corrections come from, see `corrections.SOURCES`.
        jobs: worker threads.
        progress: told of files that are no photos.

    Raises:
        RunError: there is no such run.
        DataError: a file is not there or no photo, or the label no class.
        StorageError: they cannot be kept.
    """
    finished = read_run(run)
    instead = "put texts into the folder of their class, or the table, and fit again"
    require_photos(finished.data, "correct", instead)
    folder = finished.folder
    classes = {*finished.data.classes, *(one.label for one in read_corrections(folder))}
    label = class_meant(label, classes, is_new=new_class)
    with as_files(files) as paths:
        said = {}
        for p in predict(folder, paths, jobs=jobs):
            if p.flag == "ignored":
                note(progress, f"{p.path} is not kept: {p.reason}")
            else:
                said[p.path] = p.predicted
        return [
            keep_correction(
                folder,
                read_input(path),
                label,
                said=predicted,
                source=source,
                name=Path(path).name,
            )
            for path, predicted in said.items()
        ]


def rollback(run: str | Path) -> Path:
    """Put the model that a promotion replaced to work again.

    Raises:
        RunError: the run keeps no earlier model.
        ModelError: it cannot be read.
        StorageError: the folder cannot be written.
    """
    return roll_back(run)
