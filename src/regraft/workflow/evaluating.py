"""A model and labelled inputs in, how well it does out."""

from __future__ import annotations

from pathlib import Path

from regraft.dataset import Dataset
from regraft.evidence.evaluation import Evaluation, evaluate_model
from regraft.model import Model, load
from regraft.progress import Progress, silent
from regraft.workflow.reading import LabelColumns, scanned, tell_notes


def evaluate(
    model: str | Path | Model,
    data: str | Path | Dataset,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Score a model on labelled images it has not seen: the test rows of `data`, or all.

    Args:
        model: a Model, or a model or run folder.
        data: a Dataset, a folder or a label table.
        labels, image_dir, columns: as for `fit`, where `data` is a path.
        jobs: worker threads.
        progress: told how many images are done.

    Raises:
        ModelError: the model cannot be read.
        DataError: no labelled image, or a label the model does not know.
    """
    loaded = model if isinstance(model, Model) else load(model)
    dataset = scanned(
        data,
        labels=labels,
        image_dir=image_dir,
        remembered=loaded.columns,
        classes=loaded.classes,
        min_class_images=1,
        jobs=jobs,
        progress=progress,
        columns=columns,
    )
    evaluation = evaluate_model(loaded, dataset, jobs=jobs, progress=progress)
    tell_notes(data, dataset, progress)
    return evaluation
