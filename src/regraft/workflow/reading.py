"""What was given, a path or a Dataset, in; a Dataset out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from regraft.dataset import Dataset, InputOptions, find_inputs, scan
from regraft.errors import DataError, ModelError, UsageError
from regraft.kinds import kind_named, things
from regraft.model import Model
from regraft.progress import Progress, note


class LabelColumns(TypedDict, total=False):
    """Names of columns of a label table; those left out are found by common names."""

    path_column: str
    text_column: str
    label_column: str
    split_column: str
    group_column: str


def scanned(
    data: str | Path | Dataset,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    test: str | Path | None = None,
    modality: str | None = None,
    columns: LabelColumns | None = None,
    **options: Any,
) -> Dataset:
    """The Dataset of what was given; one that is a Dataset already stays as it is.

    Raises:
        UsageError: it is a Dataset, and options for reading one came with it, or it is of another
            kind than the backbones that were named.
        DataError: see `scan`.
    """
    if not isinstance(data, Dataset):
        return scan(
            data,
            labels=labels,
            image_dir=image_dir,
            test=test,
            modality=modality,
            **(columns or LabelColumns()),
            **options,
        )
    given = {"labels": labels, "image_dir": image_dir, "test": test, "columns": columns}
    unused = [name for name, value in given.items() if value]
    if unused:
        raise UsageError(f"{unused[0]} is for a path, and a Dataset came; give it to scan instead")
    if modality not in (None, data.modality):
        raise UsageError(
            f"the backbone is for {things(modality)}, and the data are {things(data.modality)}"
        )
    return data


def tell_notes(given: str | Path | Dataset, data: Dataset, progress: Progress) -> None:
    """Tell what was taken for what, where no result shows it; who gave a Dataset has its notes."""
    for text in () if isinstance(given, Dataset) else data.notes:
        note(progress, text)


def labelled_or_not(
    source: str | Path, model: Model, *, jobs: int | None, progress: Progress
) -> Dataset | Sequence[str | Path]:
    """The inputs of a data set with their labels, or plain files where there are none."""
    kind, before = model.transform.modality, model.columns
    try:
        return scan(
            source,
            modality=kind,
            remembered=before,
            classes=model.classes,
            min_class_images=1,
            jobs=jobs,
            progress=progress,
        )
    except DataError:
        options = InputOptions(remembered=before)
        return list(find_inputs([source], modality=kind, options=options).paths)


def of_photos(model: Model, verb: str, instead: str) -> Model:
    """The model, if it is one of photos.

    Raises:
        ModelError: it reads something else.
    """
    kind = kind_named(model.transform.modality)
    if not kind.is_picture:
        raise ModelError(
            f"the model reads {kind.things}, and regraft {verb} is for photos; {instead}"
        )
    return model


def require_photos(data: Dataset, verb: str, instead: str) -> None:
    """Raises DataError: the data are something else."""
    kind = kind_named(data.modality)
    if not kind.is_picture:
        raise DataError(f"the data are {kind.things}, and regraft {verb} is for photos; {instead}")
