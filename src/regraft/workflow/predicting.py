"""A model and inputs in, predictions out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import starmap
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regraft.dataset import InputOptions, Inputs, find_inputs
from regraft.errors import ModelError, UnreadableInputError
from regraft.inputs import Input, each, is_one, is_path
from regraft.kinds import kind_named
from regraft.kinds.base import read_input
from regraft.kinds.texts.decoding import read_text
from regraft.model import Model, Prediction, load
from regraft.progress import Progress, note, silent
from regraft.storage.csv_table import csv_text
from regraft.workflow.reading import LabelColumns

_BEGINNING = 40  # characters of a text that stand for it


@overload
def predict(  # type: ignore[overload-overlap]  # a str is a sequence of them
    model: str | Path | Model,
    inputs: str | os.PathLike[str],
    *,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Prediction | list[Prediction]: ...


@overload
def predict(  # type: ignore[overload-overlap]  # an array can be gone through
    model: str | Path | Model,
    inputs: Image.Image | NDArray[np.uint8],
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Prediction: ...


@overload
def predict(
    model: str | Path | Model,
    inputs: Iterable[Input],
    *,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[Prediction]: ...


def predict(
    model: str | Path | Model,
    inputs: Input | Iterable[Input],
    *,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Prediction | list[Prediction]:
    """Predict files, folders (with all inputs below them), glob patterns, tables, pictures, arrays.

    One file, picture or array gives one Prediction; several, a folder, a pattern or a table give a
    list. A table stands for the files that it names, or for the texts or images that it holds.
    Files that are no inputs come last, with the flag "ignored" and the reason. See `Model.predict`,
    which flags what is not there where this raises.

    Args:
        model: a Model, or a model or run folder.
        inputs: what to predict, one or many.
        image_dir: the folder of the files that a table names; by default that of the table.
        columns: `path_column` or `text_column` of the tables; by default what the model was trained
            on, else what they are recognised by.
        jobs: worker threads.
        progress: told how many are done, and what was taken for what.

    Raises:
        ModelError: the model cannot be read.
        DataError: an input is not there, or none was found.
    """
    loaded = model if isinstance(model, Model) else load(model)
    kind = loaded.transform.modality
    named = columns or LabelColumns()
    options = InputOptions(
        path_column=named.get("path_column"),
        text_column=named.get("text_column"),
        image_dir=image_dir,
        remembered=loaded.columns,
    )
    given = each(inputs)
    paths = [os.fspath(one) for one in given if is_path(one, kind)]  # type: ignore[arg-type]
    sources = find_inputs(paths, modality=kind, options=options) if paths else Inputs()
    for text in sources.notes:
        note(progress, text)
    expanded = list(sources.paths) if len(paths) == len(given) else given
    predictions = loaded.predict(expanded, jobs=jobs, progress=progress)
    if is_one(inputs) and (expanded is given or expanded == [str(Path(paths[0]))]):
        return predictions[0]
    return [*predictions, *starmap(Prediction.ignored, sources.left_out.items())]


def predict_texts(model: str | Path | Model, texts: Sequence[str]) -> list[Prediction]:
    """Predict texts as such; their paths are "text 1", "text 2"...

    Raises:
        ModelError: the model cannot be read, or is not one of texts.
    """
    loaded = model if isinstance(model, Model) else load(model)
    kind = kind_named(loaded.transform.modality)
    if not kind.in_cells:
        raise ModelError(
            f"the model reads {kind.things}, and --text is for models of texts; give files"
        )
    predictions = []
    for number, text in enumerate(texts, start=1):
        name = f"text {number}"
        try:
            array = loaded.transform.read(text.encode("utf-8", "replace"))
            predictions.append(loaded.predict_array(array, name))
        except UnreadableInputError as error:
            predictions.append(Prediction.unreadable(name, error))
    return predictions


def beginnings(
    model: Model, predictions: Sequence[Prediction], texts: Sequence[str] = ()
) -> dict[str, str]:
    """The first characters of the texts that were predicted, by path; {} for other inputs.

    Args:
        model: that predicted them.
        predictions: of files or cells, and of `texts` (see `predict_texts`).
        texts: which lie in no file.
    """
    if not kind_named(model.transform.modality).in_cells:
        return {}
    texts_by_path = {f"text {number}": text for number, text in enumerate(texts, start=1)}
    for p in predictions:
        if p.probabilities and p.path not in texts_by_path:
            with suppress(UnreadableInputError):  # gone since it was predicted
                texts_by_path[p.path] = read_text(read_input(p.path))[0]
    return {
        path: " ".join(text[: 4 * _BEGINNING].split())[:_BEGINNING]
        for path, text in texts_by_path.items()
    }


def predictions_table(model: Model, predictions: Sequence[Prediction]) -> str:
    """CSV: path, predicted, confidence, set, flag, p_<class>..., reason; a set is joined by `|`."""
    header = ["path", "predicted", "confidence", "set", "flag"]
    rows = [[*header, *(f"p_{name}" for name in model.classes), "reason"]]
    for p in predictions:
        numbers = [f"{x:.6f}" for x in p.probabilities] or [""] * len(model.classes)
        confidence = f"{p.confidence:.6f}" if p.probabilities else ""
        rows.append([p.path, p.predicted, confidence, "|".join(p.set), p.flag, *numbers, p.reason])
    return csv_text(rows)
