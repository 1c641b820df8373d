"""A Model in; one verified ONNX file, a script to run it and a model card out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.dataset import Dataset
from regraft.errors import ExportError, StorageError, UnreadableInputError, UsageError
from regraft.evidence.evaluation import Evaluation
from regraft.exporting.artifact import (
    milliseconds,
    standalone_source,
    with_metadata,
    with_precision,
)
from regraft.exporting.card import model_card
from regraft.exporting.forms import form_named, form_of
from regraft.exporting.precisions import (
    DEFAULT_PRECISION,
    PRECISIONS,
    advice_instead,
    precision_named,
)
from regraft.exporting.replay import Replay, predictions_of_model, replay
from regraft.features.embedding import read_checked
from regraft.inspection.exploring import spread
from regraft.model import Model, Prediction
from regraft.progress import Progress, note, silent
from regraft.storage.files import write_atomic
from regraft.storage.switching import settled, write_together

_CALIBRATING = 100  # inputs
_TIMED = 20  # inputs
_WAIT_S = 30.0  # for another export into the same folder
_SCRIPT_MARK = "with the .onnx file beside this script"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how it was found to agree with the model.

    `checked` compares both on the user's photos or texts, `odd` on odd ones, such as pictures of
    noise; `bytes` and `ms` (median time of an input on one thread, decoding aside) are of the
    exported file, `bytes_before` and `ms_before` of the model's own; both times are NaN where
    there was nothing to check with. `modality` is what the model reads.
    """

    modality: str
    file: Path
    script: Path
    card: Path
    precision: str
    checked: Replay
    odd: Replay
    bytes: int
    bytes_before: int
    ms: float
    ms_before: float

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "modality": self.modality,
            "file": str(self.file),
            "script": str(self.script),
            "card": str(self.card),
            "precision": self.precision,
            "bytes": self.bytes,
            "bytes_before": self.bytes_before,
            "ms": None if np.isnan(self.ms) else round(self.ms, 2),
            "ms_before": None if np.isnan(self.ms_before) else round(self.ms_before, 2),
            "checked": self.checked.to_dict(),
            "odd": self.odd.to_dict(),
        }

    @property
    def row(self) -> dict[str, Any]:
        """The same as one row of a table."""
        found = self.to_dict()
        accuracy = self.checked.accuracy
        return {name: value for name, value in found.items() if not isinstance(value, dict)} | {
            "inputs": self.checked.inputs,
            "largest_difference": self.checked.largest_difference,
            "changed": len(self.checked.changed),
            "ties": len(self.checked.ties),
            "accuracy_change": "" if accuracy is None else accuracy.value,
        }


def export_model(
    model: Model,
    file: str | Path,
    *,
    check: Dataset | Sequence[str | Path] = (),
    precision: str = DEFAULT_PRECISION,
    evaluations: Sequence[Evaluation] = (),
    force: bool = False,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write a model as one ONNX file, once it is shown to predict as the model does.

    The file takes `image`, uint8 (h, w, 3), upright RGB of any size, or `tokens`, int64 (t,), as
    the tokenizer in its metadata makes them, and returns `probabilities`, float32 (k,), and
    `unfamiliarity`, float32 (); its metadata says the rest. A script that needs only onnxruntime,
    numpy and Pillow (tokenizers for texts), and a model card in Markdown, are written beside it.
    Before anything is written, that script runs in a process of its own on everything in `check`
    and on odd inputs, such as pictures of odd sizes.

    Args:
        model: what to export.
        file: its name, ending in .onnx.
        check: photos or texts to compare on, all of them; rows with labels measure accuracy as
            well.
        precision: the name of one of `PRECISIONS`.
        evaluations: of the run, for the card.
        force: replace files that are there.
        jobs: worker threads.
        progress: told how far each step is.

    Raises:
        UsageError, MissingExtraError: the name is no such name, or see `precision_named`.
        ExportError: files are there, the exported file does not agree with the model as closely
            as its precision has to (`agreement`), or is no smaller where it should be.
        StorageError: the files cannot be written.
    """
    file = Path(file)
    script, card = file.with_suffix(".py"), file.with_suffix(".md")
    asked = precision_named(precision)
    _check_names(file, script, card, force=force)
    form = form_of(model)
    paths, labels = _labelled(check, model.classes)
    expected = predictions_of_model(model, paths, jobs=jobs, progress=progress)
    if check and not expected:
        raise ExportError(
            f"none of the {form.things} to check with can be read; nothing was exported"
        )
    changed = _converted(model, precision, expected, jobs=jobs, progress=progress)
    contents = with_metadata(changed, precision=precision)
    source = standalone_source(model)
    with tempfile.TemporaryDirectory(prefix="regraft-export-") as folder:
        staged = Path(folder) / script.name
        write_atomic(staged, source)
        write_atomic(staged.with_suffix(".onnx"), contents)
        checked = replay(staged, expected, labels=labels, progress=progress)
        odd = replay(staged, predictions_of_model(model, form.write_odd(Path(folder))))
    if objection := asked.agreement.objection(checked, odd, form.things):
        raise ExportError(
            f"with --precision {precision} the exported file {objection}; nothing was written"
            f"{advice_instead(precision)}"
        )
    timed = _arrays(model, expected, _TIMED)
    found = Exported(
        modality=model.transform.modality,
        file=file,
        script=script,
        card=card,
        precision=precision,
        checked=checked,
        odd=odd,
        bytes=len(contents),
        bytes_before=len(model.graph),
        ms=milliseconds(contents, timed) if timed else float("nan"),
        ms_before=milliseconds(model.graph, timed) if timed else float("nan"),
    )
    files: dict[str, bytes | str] = {
        card.name: model_card(changed, found.to_dict(), evaluations),
        script.name: source,
        file.name: contents,
    }
    busy = StorageError(f"another process writes in {file.parent}; wait for it, then export again")
    write_together(file.parent, files, busy=busy, timeout_s=_WAIT_S)
    return found


def _check_names(file: Path, script: Path, card: Path, *, force: bool) -> None:
    if file.suffix != ".onnx":
        raise UsageError(f"the exported file is {file.name!r}, expected a name ending in .onnx")
    settled(file.parent)
    there = [path.name for path in (file, script, card) if path.exists()]
    if there and not force:
        raise ExportError(f"{', '.join(there)} would be replaced; add --force or choose a name")
    if script.exists() and _SCRIPT_MARK not in script.read_text(encoding="utf-8", errors="ignore"):
        raise ExportError(
            f"{script} is not a script of an export and would be replaced; choose another name"
        )


def sample_of_run(data: Dataset, most: int = 500) -> Dataset:
    """Rows of a run to check an export on: those of its test set first, then training rows."""
    rows = spread(data.test, most)
    rows += spread(data.train, most - len(rows))
    return data.with_rows(rows)


def _labelled(
    check: Dataset | Sequence[str | Path], classes: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    if not isinstance(check, Dataset):
        return [str(path) for path in check], {}
    rows = [*check.ok, *check.unlabelled]
    labels = {str(check.absolute(row)): row.label for row in check.ok if row.label in classes}
    return [str(check.absolute(row)) for row in rows], labels


def _arrays(model: Model, expected: Sequence[Prediction], most: int) -> list[NDArray[Any]]:
    """What the graph takes, of some that were predicted; one that has gone since is left out."""
    arrays = []
    for prediction in spread(expected, most):
        try:
            arrays.append(model.transform.read(read_checked(prediction.path)))
        except UnreadableInputError:
            continue
    return arrays


def _converted(
    model: Model,
    precision: str,
    expected: Sequence[Prediction],
    *,
    jobs: int | None,
    progress: Progress,
) -> Model:
    """The model in another precision, calibrated where that takes it."""
    asked = PRECISIONS[precision]
    if asked.calibrated and not expected:
        raise ExportError(
            f"--precision {precision} needs {form_of(model).things} to be calibrated and checked "
            "on; add --check FOLDER"
        )
    if asked.convert is not None:
        note(progress, f"changing the precision to {precision}")
    arrays = _arrays(model, expected, _CALIBRATING) if asked.calibrated else []
    changed = with_precision(model, precision, arrays)
    return _recalibrated(changed, expected, jobs=jobs) if asked.calibrated else changed


def _recalibrated(model: Model, expected: Sequence[Prediction], *, jobs: int | None) -> Model:
    """The distance from which an input is unfamiliar, moved as far as distances have moved."""
    some = {one.path: one.unfamiliarity for one in spread(expected, _CALIBRATING)}
    moved = [
        one.unfamiliarity - some[one.path]
        for one in model.predict(list(some), jobs=jobs)
        if one.flag != "unreadable"
    ]
    return replace(model, unfamiliar_from=model.unfamiliar_from + float(np.median(moved)))


def facts_of(found: Mapping[str, Any]) -> str:
    """How an export agrees with its model, in a sentence; `found` is `Exported.to_dict()`."""
    form, checked = form_named(found["modality"]), found["checked"]
    if not checked["inputs"]:
        return (
            f"checked on {found['odd']['inputs']} {form.odd} only, not on {form.things}: "
            "give --check FOLDER"
        )
    same = checked["inputs"] - len(checked["changed"]) - len(checked["ties"])
    ties = f", {len(checked['ties'])} near ties" if checked["ties"] else ""
    return (
        f"the same class on {same:,} of {checked['inputs']:,} {form.things}{ties}; probabilities "
        f"differ by {checked['largest_difference']:.4f} at most"
    )
