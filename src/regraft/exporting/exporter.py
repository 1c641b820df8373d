"""A Model in; one verified ONNX file, a script to run it and a model card out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regraft.dataset import Dataset
from regraft.errors import ExportError, UnreadableInputError, UsageError
from regraft.evaluation import Evaluation
from regraft.exploring import spread
from regraft.exporting.artifact import (
    PRECISIONS,
    SCRIPT_MARK,
    milliseconds,
    standalone_source,
    with_metadata,
    with_precision,
)
from regraft.exporting.card import model_card
from regraft.exporting.replay import TOLERANCE, Replay, predictions_of_model, replay
from regraft.features import read_image
from regraft.model import Model, Prediction
from regraft.progress import Progress, note, silent
from regraft.storage import make_folder, write_atomic

MOST_LOST = 0.01  # accuracy that half precision or 8-bit integers may cost
MOST_CHANGED = 0.02  # share of photos whose class they may change, where labels are not known
_CALIBRATING = 100  # photos whose activations give the ranges of integers
_TIMED = 20  # photos
# Width and height of pictures of noise that every export has to agree on.
_ODD_SIZES = ((1, 1), (1, 400), (500, 3), (37, 1_200), (1_600, 90), (223, 225), (4_000, 3_000))


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how it was found to agree with the model.

    `photos` compares both on the user's photos, `odd` on pictures of noise of odd sizes; `bytes`
    and `ms` (median time of a photo on one thread, decoding aside) are of the exported file,
    `bytes_before` and `ms_before` of the model's own; both times are NaN where no photo was given.
    """

    file: Path
    script: Path
    card: Path
    precision: str
    photos: Replay
    odd: Replay
    bytes: int
    bytes_before: int
    ms: float
    ms_before: float

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "file": str(self.file),
            "script": str(self.script),
            "card": str(self.card),
            "precision": self.precision,
            "bytes": self.bytes,
            "bytes_before": self.bytes_before,
            "ms": None if np.isnan(self.ms) else round(self.ms, 2),
            "ms_before": None if np.isnan(self.ms_before) else round(self.ms_before, 2),
            "photos": self.photos.to_dict(),
            "odd_sizes": self.odd.to_dict(),
        }

    @property
    def row(self) -> dict[str, Any]:
        """The same as one row of a table."""
        found = self.to_dict()
        accuracy = self.photos.accuracy
        return {name: value for name, value in found.items() if not isinstance(value, dict)} | {
            "photos": self.photos.photos,
            "largest_difference": self.photos.largest_difference,
            "changed": len(self.photos.changed),
            "ties": len(self.photos.ties),
            "accuracy_change": "" if accuracy is None else accuracy.value,
        }


def export_model(
    model: Model,
    file: str | Path,
    *,
    check: Dataset | Sequence[str | Path] = (),
    precision: str = "float32",
    evaluations: Sequence[Evaluation] = (),
    force: bool = False,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write a model as one ONNX file, once it is shown to predict as the model does.

    The file takes `image`, uint8 (h, w, 3), upright RGB of any size, and returns `probabilities`,
    float32 (k,), and `unfamiliarity`, float32 (); its metadata says the rest. A script that needs
    only onnxruntime, numpy and Pillow, and a model card in Markdown, are written beside it. Before
    anything is written, that script runs in a process of its own on every photo of `check` and on
    pictures of odd sizes.

    Args:
        model: what to export.
        file: its name, ending in .onnx.
        check: photos to compare on, all of them; rows with labels measure accuracy as well.
        precision: "float32"; "half" for constants of half the size; "int8" for 8-bit integers.
        evaluations: of the run, for the card.
        force: replace files that are there.
        jobs: worker threads.
        progress: told how far each step is.

    Raises:
        UsageError: the name or the precision is not one of those.
        ExportError: files are there, or the exported file does not predict as the model does:
            in single precision by more than 0.01 in a probability or another class, near ties
            aside; in another precision by more than a point of accuracy and a photo (or another
            class for 2 % of the photos, where labels are not known).
        StorageError: the files cannot be written.
    """
    file = Path(file)
    script, card = file.with_suffix(".py"), file.with_suffix(".md")
    _check_names(file, script, card, precision=precision, force=force)
    paths, labels = _photos(check, model.classes)
    expected = predictions_of_model(model, paths, jobs=jobs, progress=progress)
    if check and not expected:
        raise ExportError("none of the photos to check with can be read; nothing was exported")
    if precision == "int8" and not expected:
        raise ExportError(
            "8-bit integers need photos to be calibrated and checked on; add --check FOLDER"
        )
    if precision != "float32":
        note(progress, f"changing the precision to {precision}")
    changed = with_precision(model, precision, lambda: _images(expected, _CALIBRATING))
    if precision == "int8":
        changed = _recalibrated(changed, expected, jobs=jobs)
    contents = with_metadata(changed, precision=precision)
    source = standalone_source()
    with tempfile.TemporaryDirectory(prefix="regraft-export-") as folder:
        staged = Path(folder) / script.name
        write_atomic(staged, source)
        write_atomic(staged.with_suffix(".onnx"), contents)
        on_photos = replay(staged, expected, labels=labels, progress=progress)
        on_odd = replay(staged, predictions_of_model(model, _odd_pictures(Path(folder))))
    _require_agreement(on_photos, on_odd, precision=precision)
    timed = _images(expected, _TIMED)
    found = Exported(
        file=file,
        script=script,
        card=card,
        precision=precision,
        photos=on_photos,
        odd=on_odd,
        bytes=len(contents),
        bytes_before=len(model.graph),
        ms=milliseconds(contents, timed) if timed else float("nan"),
        ms_before=milliseconds(model.graph, timed) if timed else float("nan"),
    )
    make_folder(file.parent)
    write_atomic(script, source)
    write_atomic(card, model_card(changed, found.to_dict(), evaluations))
    write_atomic(file, contents)
    return found


def _check_names(file: Path, script: Path, card: Path, *, precision: str, force: bool) -> None:
    if precision not in PRECISIONS:
        raise UsageError(f"precision is {precision!r}, expected {', '.join(PRECISIONS)}")
    if file.suffix != ".onnx":
        raise UsageError(f"the exported file is {file.name!r}, expected a name ending in .onnx")
    there = [path.name for path in (file, script, card) if path.exists()]
    if there and not force:
        raise ExportError(f"{', '.join(there)} would be replaced; add --force or choose a name")
    if script.exists() and SCRIPT_MARK not in script.read_text(encoding="utf-8", errors="ignore"):
        raise ExportError(
            f"{script} is not a script of an export and would be replaced; choose another name"
        )


def sample_of_run(data: Dataset, most: int = 500) -> Dataset:
    """Photos of a run to check an export on: its test photos first, then training photos."""
    rows = spread(data.test, most)
    rows += spread(data.train, most - len(rows))
    return data.with_rows(rows)


def _photos(
    check: Dataset | Sequence[str | Path], classes: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    if not isinstance(check, Dataset):
        return [str(path) for path in check], {}
    rows = [*check.ok, *check.unlabelled]
    labels = {str(check.absolute(row)): row.label for row in check.ok if row.label in classes}
    return [str(check.absolute(row)) for row in rows], labels


def _images(expected: Sequence[Prediction], most: int) -> list[NDArray[np.uint8]]:
    """Photos spread over those that were predicted; one that has gone meanwhile is left out."""
    images = []
    for prediction in spread(expected, most):
        try:
            images.append(read_image(prediction.path))
        except UnreadableInputError:
            continue
    return images


def _recalibrated(model: Model, expected: Sequence[Prediction], *, jobs: int | None) -> Model:
    """The distance from which a photo is unfamiliar, moved as far as the distances have moved."""
    some = {one.path: one.unfamiliarity for one in spread(expected, _CALIBRATING)}
    moved = [
        one.unfamiliarity - some[one.path]
        for one in model.predict(list(some), jobs=jobs)
        if one.flag != "unreadable"
    ]
    return replace(model, unfamiliar_from=model.unfamiliar_from + float(np.median(moved)))


def _odd_pictures(folder: Path) -> list[str]:
    random = np.random.default_rng(0)
    paths = []
    for width, height in _ODD_SIZES:
        path = folder / f"{width}x{height}.png"
        noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, compress_level=1)
        paths.append(str(path))
    return paths


def _require_agreement(photos: Replay, odd: Replay, *, precision: str) -> None:
    if precision != "float32":
        lost = 0.0 if photos.accuracy is None else -photos.accuracy.value
        if lost * photos.photos < 1.5:  # a single photo, whatever share of a few that is
            lost = 0.0
        changed = len(photos.changed) / max(1, photos.photos)
        if lost > MOST_LOST or (photos.accuracy is None and changed > MOST_CHANGED):
            what = f"would cost {100 * lost:.1f} points of accuracy on"
            if photos.accuracy is None:
                what = f"would change the class of {len(photos.changed):,} of"
            instead = "half" if precision == "int8" else "float32"
            raise ExportError(
                f"--precision {precision} {what} {photos.photos:,} photos, more than is accepted; "
                f"nothing was written: export it with --precision {instead}"
            )
        return
    for found, where in ((photos, "photos"), (odd, "pictures of odd sizes")):
        if found.changed or found.largest_difference > TOLERANCE:
            example = f", {found.changed[0]} first" if found.changed else ""
            raise ExportError(
                f"the exported file differs from the model: {len(found.changed):,} of "
                f"{found.photos:,} {where} get another class{example}, and probabilities differ by "
                f"up to {found.largest_difference:.3f} where {TOLERANCE} is accepted; nothing was "
                "written"
            )


def facts_of(found: Mapping[str, Any]) -> str:
    """How an export agrees with its model, in a sentence; `found` is `Exported.to_dict()`."""
    photos = found["photos"]
    if not photos["photos"]:
        return (
            f"checked on {found['odd_sizes']['photos']} pictures of odd sizes only, not on photos: "
            "give --check FOLDER"
        )
    same = photos["photos"] - len(photos["changed"]) - len(photos["ties"])
    ties = f", {len(photos['ties'])} near ties" if photos["ties"] else ""
    return (
        f"the same class on {same:,} of {photos['photos']:,} photos{ties}; probabilities differ by "
        f"{photos['largest_difference']:.4f} at most"
    )


__all__ = ["Exported", "export_model", "facts_of", "sample_of_run"]
