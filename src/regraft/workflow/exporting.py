"""A model in, one ONNX file that predicts as it does out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.dataset import Dataset
from regraft.exporting.precisions import DEFAULT_PRECISION, precision_named
from regraft.model import Model, load
from regraft.progress import Progress, silent
from regraft.runs import read_run
from regraft.runs.promotion import deployed_run
from regraft.workflow.reading import labelled_or_not

if TYPE_CHECKING:
    from regraft.exporting.exporter import Exported


def export(
    model: str | Path | Model,
    file: str | Path,
    *,
    check: str | Path | Dataset | None = None,
    precision: str = DEFAULT_PRECISION,
    force: bool = False,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write a model as one ONNX file, with a script that runs it and a model card.

    Nothing is written unless the file predicts as the model does, see `export_model`.

    Args:
        model: a Model, or a model or run folder.
        file: its name, ending in .onnx.
        check: photos or texts to compare on: a Dataset, a folder, a file or a table, all of it.
            By default those of the run, 500 at the most, its test set first.
        precision: the name of one of `exporting.precisions.PRECISIONS`.
        force: replace files that are there.
        jobs: worker threads.
        progress: told how far each step is.

    Raises:
        ModelError, RunError, DataError: what is given cannot be read.
        UsageError, MissingExtraError, ExportError, StorageError: see `export_model`.
    """
    from regraft.exporting.exporter import export_model, sample_of_run

    precision_named(precision)  # a typo is told before any work
    loaded = model if isinstance(model, Model) else load(model)
    run = None
    if not isinstance(model, Model) and (Path(model) / "run.json").exists():
        run = deployed_run(read_run(model))  # another one, after a promotion
    some: Dataset | Sequence[str | Path] = ()
    if isinstance(check, Dataset):
        some = check
    elif check is not None:
        some = labelled_or_not(check, loaded, jobs=jobs, progress=progress)
    elif run is not None:
        some = sample_of_run(run.data)
    return export_model(
        loaded,
        file,
        check=some,
        precision=precision,
        evaluations=run.evaluations if run is not None else (),
        force=force,
        jobs=jobs,
        progress=progress,
    )
