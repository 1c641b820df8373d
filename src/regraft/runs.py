"""The run folder: everything a fit found, as plain files, written whole and read back.

    run.json          status, settings, versions, machine, dataset fingerprint, seconds per phase
    dataset.csv       one row per file found
    issues.csv        what is wrong with the data
    comparison.json   every candidate on the same folds, and the verdict
    evaluation.json   metrics with intervals: cross-validation, and the test set if there is one
    predictions.csv   one row per image, predicted by a model that had not seen it
    training.csv      every step and epoch of the networks that were trained
    lr_range.csv      their learning-rate range tests
    exploration.json  the map of the photos, how the classes keep apart, plain facts by class
    explanations.json heat maps of some photos, see `explaining.py`
    report.html       all of the above for people
    model/            the model, see `model.py`
    decisions.csv     what people decided in a review, see `decisions.py`; no later fit removes it

`run.json` says "running" until the rest is complete and "done" afterwards, so a folder left by
a killed process is never taken for a finished one. Where a run or a model is there already, the new
run is made in a folder within (`NEXT`) and takes its place in one step once it is complete: until
then, and if it never is, the old one is as it was.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from regraft._version import __version__
from regraft.csv_table import csv_text, read_csv, read_records
from regraft.dataset import Dataset, Row
from regraft.errors import RegraftError, RunError, StorageError
from regraft.evaluation import Evaluation
from regraft.exploring import Exploration
from regraft.issues import Issue, issues_csv
from regraft.issues.base import COLUMNS as ISSUE_COLUMNS
from regraft.metrics import FloatArray
from regraft.modality import IMAGE
from regraft.run_forms import ComparisonForm, EvaluationsForm, RunForm
from regraft.saved import naming, read_json, read_text, reason_of
from regraft.storage import (
    clear_parts,
    is_part,
    make_folder,
    remove,
    storage_errors,
    write_atomic,
)
from regraft.switching import COMMITTED, LOCK, commit, current, locked, read_whole

FORMAT = 1
_RUN, _MODEL = "run.json", "model"
_FILES = (
    "dataset.csv",
    "issues.csv",
    "comparison.json",
    "evaluation.json",
    "predictions.csv",
    "report.html",
    "training.csv",
    "lr_range.csv",
    "exploration.json",
    "explanations.json",
)
_PREDICTION_COLUMNS = ["path", "label", "predicted", "confidence", "split", "fold"]
RACE = "race"  # what a comparison has finished; there while a run is not done
NEXT = ".regraft.next"  # the run that is to replace the one in the folder
_OURS = {LOCK, COMMITTED, NEXT, ".lock"}  # the last is the lock of an earlier version


@dataclass(frozen=True, slots=True)
class ImagePrediction:
    """One row of `predictions.csv`.

    `fold` is the cross-validation fold (of the first repeat) in which a training image was
    predicted, -1 for others; `probabilities` are in class order, empty if there are none.
    """

    path: str
    label: str
    predicted: str
    confidence: float
    split: str
    fold: int
    probabilities: tuple[float, ...]

    @classmethod
    def out_of_fold(
        cls, row: Row, probabilities: FloatArray, classes: Sequence[str], *, fold: int
    ) -> ImagePrediction:
        """Of a row that was predicted in a cross-validation fold; `probabilities` are (k,)."""
        best = int(probabilities.argmax())
        return cls(
            path=row.path,
            label=row.label,
            predicted=classes[best],
            confidence=float(probabilities[best]),
            split=row.split,
            fold=fold,
            probabilities=tuple(map(float, probabilities)),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run as read from its folder; `about` is run.json, `comparison` its JSON.

    `home` is the folder that it has for people, where that is not the one its files are in yet.
    """

    folder: Path
    about: Mapping[str, Any]
    data: Dataset
    issues: tuple[Issue, ...]
    comparison: Mapping[str, Any]
    evaluations: tuple[Evaluation, ...]
    predictions: tuple[ImagePrediction, ...]
    exploration: Exploration | None = None
    home: Path | None = None

    @property
    def known_as(self) -> Path:
        """The folder to show and to put into commands."""
        return self.home or self.folder


class Workplace(NamedTuple):
    """Where the files of a run that is being made are written, and what its run.json says."""

    folder: Path
    about: dict[str, Any]


def check_folder(folder: Path, settings: Mapping[str, Any], *, force: bool = False) -> None:
    """Raise what `open_run` would raise, before long work, and without touching the folder.

    Raises:
        RunError: the folder is busy, finished, of other settings, or not a run folder.
        StorageError: it cannot be looked into.
    """
    from filelock import FileLock, Timeout

    with storage_errors(f"use {folder} as the run folder"):
        _check_ours(folder)
        if (folder / LOCK).exists():
            try:
                with FileLock(folder / LOCK, timeout=0):
                    pass
            except Timeout as error:
                raise RunError(_busy(folder)) from error
        _check_free(folder, settings, force=force)


@contextlib.contextmanager
def open_run(
    folder: Path, settings: Mapping[str, Any], *, command: str = "", force: bool = False
) -> Iterator[Workplace]:
    """Take a run folder for writing; yields where to write and what run.json says, to be added to.

    Two processes never write one folder. What may be resumed, features of images and activations,
    lies in the cache, and finished candidates in the folder `race`. On leaving, run.json records
    "done", "interrupted" or "failed"; of a run that replaces another, in its own folder, and the
    other stays as it was unless it is "done".

    Args:
        folder: created if need be.
        settings: JSON values; an unfinished run there goes on only if they are the same.
        command: what repeats the run.
        force: replace a run that is there, finished or not.

    Raises:
        RunError: the folder is busy, finished, of other settings, or not a run folder.
        StorageError: it cannot be written.
    """
    with storage_errors(f"use {folder} as the run folder"):
        _check_ours(folder)
    make_folder(folder)
    with locked(folder, RunError(_busy(folder))):
        _check_free(folder, settings, force=force)
        about = _about(settings, command)
        work = _begin(folder, about)
        try:
            yield Workplace(work, about)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            if not interrupted:
                about["error"] = str(error)
            with contextlib.suppress(StorageError):  # the first error is the one to report
                _close(work, about, "interrupted" if interrupted else "failed")
            raise
        _close(work, about, "done")
        if work == folder:
            shutil.rmtree(folder / RACE, ignore_errors=True)
        else:
            _put_in_place(work, folder)
        clear_parts(folder, is_locked=True)


def write_results(
    folder: Path,
    *,
    data: Dataset,
    issues: Sequence[Issue],
    comparison: Mapping[str, Any],
    evaluations: Sequence[Evaluation],
    predictions: Sequence[ImagePrediction],
    training: str = "",
    ranges: str = "",
    exploration: Exploration | None = None,
) -> None:
    """Write the tables of a run; `training` and `ranges` are texts, written unless empty.

    Raises:
        StorageError: a file cannot be written; those written before stay.
    """
    write_atomic(folder / "dataset.csv", data.to_csv())
    write_atomic(folder / "issues.csv", issues_csv(issues))
    write_atomic(folder / "comparison.json", _json(comparison))
    write_atomic(folder / "evaluation.json", _json([e.to_dict() for e in evaluations]))
    write_atomic(folder / "predictions.csv", predictions_csv(predictions, data.classes))
    for name, text in (("training.csv", training), ("lr_range.csv", ranges)):
        if text:
            write_atomic(folder / name, text)
    if exploration is not None:
        write_atomic(folder / "exploration.json", _json(exploration.to_dict()))


def read_run(folder: str | Path, *, unfinished: bool = False, home: Path | None = None) -> Run:
    """Read a run folder back.

    Args:
        folder: the run folder.
        unfinished: read a run that is not done as well, provided that its tables are there.
        home: see `Run`.

    Raises:
        RunError: it is not a run folder, is unfinished, of a newer format, or damaged.
    """
    folder = Path(folder)
    return read_whole(folder, _RUN, lambda: _read_run(folder, unfinished=unfinished, home=home))


def finished_run(folder: Path, settings: Mapping[str, Any]) -> Run | None:
    """The run in a folder, if it is done and of these settings."""
    about = _read_about(folder)
    is_it = about is not None and about.get("status") == "done" and _is_of(about, settings)
    return read_run(folder) if is_it else None


def _read_run(folder: Path, *, unfinished: bool, home: Path | None) -> Run:
    about = _read_about(folder)
    if about is None:
        raise RunError(f"{folder} is not a run folder: it has no {_RUN}; give the --out of a fit")
    if not isinstance(about.get("format"), int) or about["format"] > FORMAT:
        raise RunError(
            f"{folder} was written by regraft {about.get('regraft')}, this is {__version__}; "
            "upgrade with pip install --upgrade regraft"
        )
    if about.get("status") != "done" and not unfinished:
        raise RunError(
            f"the run in {folder} is not finished ({about.get('status')}); to finish it, run: "
            f"{about.get('command') or 'the same regraft fit again'}"
        )
    comparison = _record(folder, "comparison.json", ComparisonForm)
    evaluations = _record(folder, "evaluation.json", EvaluationsForm)
    with _naming(path := current(folder, "dataset.csv")):
        root = Path(about["data"])
        data = Dataset.from_csv(read_text(path), root, modality=about.get("modality", IMAGE))
    with _naming(current(folder, "evaluation.json")):
        evaluated = tuple(Evaluation.from_dict(entry) for entry in evaluations)
    with _naming(path := current(folder, "issues.csv")):
        issues = _read_issues(path)
    with _naming(path := current(folder, "predictions.csv")):
        predictions = _read_predictions(path)
    with _naming(path := current(folder, "exploration.json")):
        exploration = _read_exploration(path)
    return Run(
        folder=folder,
        about=about,
        data=data,
        issues=issues,
        comparison=comparison,
        evaluations=evaluated,
        predictions=predictions,
        exploration=exploration,
        home=home,
    )


def _record(folder: Path, name: str, form: Any) -> Any:
    """The plain JSON values of a record that has its form.

    Raises:
        RunError: it has not.
    """
    with _naming(path := current(folder, name)):
        values: Any = read_json(path)
        msgspec.convert(values, form)
        return values


def _naming(path: Path) -> AbstractContextManager[None]:
    return naming(path, RunError, "fit again with --force")


@contextlib.contextmanager
def shown_from(*runs: Run) -> Iterator[None]:
    """Say of whatever goes wrong while runs are shown that their records are damaged.

    What these hold below their first levels is not checked before.
    """
    try:
        yield
    except (RegraftError, OSError, MemoryError):
        raise
    except Exception as error:
        if os.environ.get("REGRAFT_TRACEBACK"):
            raise
        names = " or of ".join(str(run.folder) for run in runs)
        raise RunError(
            f"the run.json, comparison.json or exploration.json of {names} is damaged "
            f"({reason_of(error)}); fit again with --force, or if nobody changed it, report that "
            "as a defect in regraft"
        ) from error


def predictions_csv(predictions: Sequence[ImagePrediction], classes: Sequence[str]) -> str:
    """The text of `predictions.csv`: path, label, predicted, confidence, split, fold, p_<class>."""
    names = [f"p_{name}" for name in classes]
    rows = [[*_PREDICTION_COLUMNS, *names]]
    for p in predictions:
        numbers = [f"{x:.6f}" for x in p.probabilities] or [""] * len(classes)
        confidence = f"{p.confidence:.6f}" if p.probabilities else ""
        fold = str(p.fold) if p.fold >= 0 else ""
        rows.append([p.path, p.label, p.predicted, confidence, p.split, fold, *numbers])
    return csv_text(rows)


def free_folder(base: Path) -> Path:
    """`base`, or `base-2`, `base-3`...: the first that holds no finished run."""
    number, folder = 1, base
    while (about := _read_about(folder)) is not None and about.get("status") == "done":
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _busy(folder: Path) -> str:
    return f"another process is writing {folder}; wait for it or choose another --out"


def _check_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another --out")
    if folder.is_dir() and not (folder / _RUN).exists():
        foreign = sorted(p.name for p in folder.iterdir() if p.name not in _OURS and not is_part(p))
        if foreign:
            raise RunError(
                f"{folder} holds other files ({foreign[0]}); choose a new folder as --out"
            )


def _check_free(folder: Path, settings: Mapping[str, Any], *, force: bool) -> None:
    about = _read_about(folder)
    if about is None or force or about.get("status") == "failed":  # nothing to lose
        return
    if about.get("status") == "done":
        raise RunError(
            f"{folder} holds a finished run; add --force to replace it or choose another --out"
        )
    if not _is_of(about, settings):
        raise RunError(
            f"{folder} holds an unfinished run with other settings; finish it with its command "
            f"({about.get('command')}), add --force to replace it, or choose another --out"
        )


def _begin(folder: Path, about: dict[str, Any]) -> Path:
    """Where a run is to be written: in its folder, or within it while that has something to lose.

    What an unfinished run of the same settings had finished comparing is found there.
    """
    before = _read_about(folder)
    goes_on = before is not None and _is_of(before, about["settings"])
    is_done = before is not None and before.get("status") == "done"
    if not is_done and not (folder / _MODEL).exists():
        write_about(folder, about)  # from here on the folder does not pass for a finished run
        with storage_errors(f"clear {folder}"):
            remove(folder / NEXT)
            _clear(folder, race=not goes_on)
        return folder
    work = folder / NEXT
    with storage_errors(f"clear {work}"):
        if not _may_go_on(work, about["settings"]):
            remove(work)
        make_folder(work)
        write_about(work, about)
        _clear(work, race=False)
        if goes_on and (folder / RACE).is_dir() and not (work / RACE).exists():
            (folder / RACE).rename(work / RACE)
    return work


def _may_go_on(work: Path, settings: Mapping[str, Any]) -> bool:
    try:
        about = _read_about(work)
    except RunError:
        return False
    return about is not None and _is_of(about, settings)


def _is_of(about: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    return bool(about.get("settings") == json.loads(json.dumps(settings)))


def _clear(folder: Path, *, race: bool) -> None:
    """Remove what an earlier attempt at a run wrote; what it had finished comparing if `race`."""
    for name in (*_FILES, _MODEL, *([RACE] if race else [])):
        remove(folder / name)


def _put_in_place(work: Path, folder: Path) -> None:
    """Replace the run of a folder by the one that was made within it; nothing else there changes.

    Decisions, corrections and the models before stay: people gave them, or may want them back.
    """
    names = {path.name for path in work.iterdir() if not path.name.startswith(".")}
    new = sorted(names - {RACE})
    old = [name for name in (*_FILES, _MODEL, RACE) if name not in new]
    commit(work, folder, new, remove=[name for name in old if os.path.lexists(folder / name)])


def _about(settings: Mapping[str, Any], command: str) -> dict[str, Any]:
    return {
        "kind": "regraft run",
        "format": FORMAT,
        "status": "running",
        "regraft": __version__,
        "started": _now(),
        "command": command,
        "settings": dict(settings),
        "versions": _versions(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
        "seconds": {},
    }


def _close(folder: Path, about: dict[str, Any], status: str) -> None:
    about["status"] = status
    about["finished"] = _now()
    write_about(folder, about)


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Write run.json."""
    write_atomic(folder / _RUN, _json(about))


def _read_about(folder: Path) -> dict[str, Any] | None:
    path = current(folder, _RUN)
    if not path.exists() and not path.is_symlink():
        return None
    with naming(path, RunError, "choose another folder"):
        about: Any = read_json(path)
        if not isinstance(about, dict) or about.get("kind") != "regraft run":
            raise RunError(f"{path} does not describe a regraft run; choose another folder")
        if isinstance(about.get("format"), int) and about["format"] <= FORMAT:
            msgspec.convert(about, RunForm)
        return about


def _versions() -> dict[str, str]:
    names = (
        *("numpy", "onnxruntime", "pillow", "scikit-learn", "torch", "timm", "lightning-fabric"),
        "fastai",
    )
    found = {"python": platform.python_version(), "regraft": __version__}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _read_issues(path: Path) -> tuple[Issue, ...]:
    return tuple(
        Issue(row["path"], row["issue"], _finite(row["score"]), row["detail"])
        for row in read_records(read_text(path), columns=ISSUE_COLUMNS)
    )


def _read_exploration(path: Path) -> Exploration | None:
    """None where the time was too short for it, or the run is of an earlier version."""
    if not path.exists() and not path.is_symlink():
        return None
    return Exploration.from_dict(read_json(path))


def _read_predictions(path: Path) -> tuple[ImagePrediction, ...]:
    lines = read_csv(read_text(path))
    _, header = next(lines, (0, []))
    if header[:6] != _PREDICTION_COLUMNS:
        raise ValueError(f"its columns are {', '.join(header)[:80]!r}")
    predictions = []
    for number, row in lines:
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} cells, expected {len(header)}")
        numbers = tuple(_finite(x) for x in row[6:] if x)
        if numbers and len(numbers) != len(header) - 6:
            raise ValueError(f"line {number} lacks the probability of a class")
        predictions.append(
            ImagePrediction(
                path=row[0],
                label=row[1],
                predicted=row[2],
                confidence=_finite(row[3]) if row[3] else math.nan,
                split=row[4],
                fold=int(row[5][:9] or -1),
                probabilities=numbers,
            )
        )
    return tuple(predictions)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is no number")
    return number


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
