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
    where.json        private, for its owner alone: absolute paths of the data, settings and command

No other file holds an absolute path: the folder can be shared without `where.json`. `run.json`
says "running" until the rest is complete and "done" afterwards, so a folder left by a killed
process is never taken for a finished one. Where a run or a model is there already, the new run is
made in a folder within (`NEXT`) and takes its place in one step once it is complete: until then,
and if it never is, the old one is as it was.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from regraft.errors import RegraftError, RunError, StorageError, UnreadableInputError
from regraft.evaluation import Evaluation
from regraft.exploring import Exploration
from regraft.features import read_checked
from regraft.grouping import count_leaks
from regraft.issues import Issue, issues_csv
from regraft.issues.base import COLUMNS as ISSUE_COLUMNS
from regraft.locations import (
    find,
    recall,
    remember,
    shareable,
    shareable_command,
    shareable_word,
    without_places,
)
from regraft.metrics import FloatArray
from regraft.modality import IMAGE, things
from regraft.model import Model, load
from regraft.run_forms import ComparisonForm, EvaluationsForm, RunForm
from regraft.saved import naming, parse_json, read_json, read_text, reason_of
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
WHERE = "where.json"
_RUN, _MODEL = "run.json", "model"
_PATHS = ("data", "labels", "image_dir", "test")  # settings that are paths
_SOURCES = ("decisions", "corrections")  # settings with a path in them
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
    WHERE,
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

    def __repr__(self) -> str:
        found = next(iter(self.evaluations), None)
        accuracy = "" if found is None else f"{found.on} accuracy {found.accuracy.percent}, "
        chosen = self.comparison["candidates"][self.comparison["chosen"]]["title"]
        return f"Run({self.folder}: {accuracy}{chosen})"

    @property
    def model(self) -> Model:
        """Its model, read at each call.

        Raises:
            ModelError: it cannot be read.
        """
        return load(self.folder)

    @property
    def test_is_independent(self) -> bool:
        """Whether no test row has a copy, or a member of its group, among the training rows."""
        return not count_leaks(self.data)


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
        about = _about(shareable_settings(settings, folder), shareable_command(command, Path.cwd()))
        work = _begin(folder, about, settings)
        remember(work / WHERE, {"settings": json.dumps(settings), "command": command})
        try:
            yield Workplace(work, about)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            if not interrupted:
                about["error"] = without_places(str(error), settings["data"], folder)
            with contextlib.suppress(StorageError):  # the first error is the one to report
                _close(work, about, "interrupted" if interrupted else "failed")
            raise
        _close(work, about, "done")
        if work == folder:
            shutil.rmtree(folder / RACE, ignore_errors=True)
        else:
            _put_in_place(work, folder)
        clear_parts(folder, is_locked=True)


def place_data(folder: Path, data: Dataset, *, home: Path) -> str:
    """What run.json says of where the data are; where that is goes into `where.json`.

    Raises:
        StorageError: it cannot be written.
    """
    known = recall(folder / WHERE) | {"data": str(data.root)}
    remember(folder / WHERE, known | {"elsewhere": json.dumps(dict(data.elsewhere))})
    return shareable(data.root, home)


def settings_of(run: Run) -> dict[str, Any]:
    """The settings of a run, with paths that can be opened here, as far as they are known."""
    shared = dict(run.about.get("settings") or {})
    settings = shared | dict(json.loads(recall(current(run.folder, WHERE)).get("settings", "{}")))
    is_beside = run.data.root == find(run.about["data"], run.folder, None)[0]
    for name in _PATHS:
        if shared.get(name):
            found = find(shared[name], run.folder, settings[name])
            settings[name] = str(found[0 if is_beside else -1])
    return settings


def require_data(run: Run) -> None:
    """Raises RunError: the folder of the data is not where it was, as after a move."""
    if not run.data.root.exists():
        raise RunError(
            f"the {things(run.data.modality)} of {run.folder} are not in {run.data.root}; put "
            f'them there, or write where they are into {run.folder / WHERE} as {{"data": "FOLDER"}}'
        )


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
    if about is None or about.get("status") != "done":
        return None
    return read_run(folder) if _are_settings_of(folder, about, settings, home=folder) else None


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
            f"{_command_of(folder, about) or 'the same regraft fit again'}"
        )
    comparison = _record(folder, "comparison.json", ComparisonForm)
    evaluations = _record(folder, "evaluation.json", EvaluationsForm)
    with _naming(path := current(folder, WHERE)):
        places = recall(path)
        elsewhere: dict[str, str] = parse_json(places.get("elsewhere", "{}"), dict[str, str])
    with _naming(path := current(folder, "dataset.csv")):
        table = read_text(path)
        data = _with_its_photos(
            Dataset.from_csv(
                table, root, modality=about.get("modality", IMAGE), elsewhere=elsewhere
            )
            for root in find(about["data"], home or folder, places.get("data"))
        )
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
    if not _are_settings_of(folder, about, settings, home=folder):
        raise RunError(
            f"{folder} holds an unfinished run with other settings; finish it with its command "
            f"({_command_of(folder, about)}), add --force to replace it, or choose another --out"
        )


def _with_its_photos(candidates: Iterable[Dataset]) -> Dataset:
    """The first dataset in whose folder the first of its files lies, or else the last one."""
    last = None
    for data in candidates:
        if last is not None and _is_there(last):
            return last
        last = data
    assert last is not None
    return last


def _is_there(data: Dataset) -> bool:
    row = next((row for row in data.ok if row.path.split("/")[0] not in ("..", "...")), None)
    if row is None:
        return True
    try:
        read_checked(data.absolute(row), sha256=row.sha256)
    except UnreadableInputError:
        return False
    return True


def _are_settings_of(
    folder: Path, about: Mapping[str, Any], settings: Mapping[str, Any], *, home: Path
) -> bool:
    wanted = json.loads(json.dumps(settings))
    private = recall(current(folder, WHERE)).get("settings")
    if private is not None:
        return bool(json.loads(private) == wanted)
    return about.get("settings") in (wanted, shareable_settings(wanted, home))


def _command_of(folder: Path, about: Mapping[str, Any]) -> str:
    """What repeats a run on this machine."""
    return str(recall(current(folder, WHERE)).get("command") or about.get("command") or "")


def shareable_settings(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings without absolute paths: those of files as they are seen from the run folder."""
    here, found = Path.cwd(), dict(settings)
    for name in _PATHS:
        if found.get(name):
            found[name] = _unless_relative(found[name], folder)
    for name in _SOURCES:
        if found.get(name):
            found[name] = {**found[name], "path": _unless_relative(found[name]["path"], folder)}
    found["backbones"] = [shareable_word(name, here) for name in found.get("backbones", ())]
    if found.get("architecture"):
        found["architecture"] = shareable_word(found["architecture"], here)
    options = dict(found.get("backbone_options") or {})
    if options.get("architecture"):
        found["backbone_options"] = options | {
            "architecture": shareable_word(options["architecture"], here)
        }
    return found


def _unless_relative(path: str, folder: Path) -> str:
    return shareable(path, folder) if Path(path).is_absolute() else path


def _begin(folder: Path, about: dict[str, Any], settings: Mapping[str, Any]) -> Path:
    """Where a run is to be written: in its folder, or within it while that has something to lose.

    What an unfinished run of the same settings had finished comparing is found there.
    """
    before = _read_about(folder)
    goes_on = before is not None and _are_settings_of(folder, before, settings, home=folder)
    is_done = before is not None and before.get("status") == "done"
    if not is_done and not (folder / _MODEL).exists():
        with storage_errors(f"clear {folder}"):
            remove(folder / WHERE)  # of other settings than run.json will name
        write_about(folder, about)  # from here on the folder does not pass for a finished run
        with storage_errors(f"clear {folder}"):
            remove(folder / NEXT)
            _clear(folder, race=not goes_on)
        return folder
    work = folder / NEXT
    with storage_errors(f"clear {work}"):
        if not _may_go_on(work, settings, home=folder):
            remove(work)
        make_folder(work)
        write_about(work, about)
        _clear(work, race=False)
        if goes_on and (folder / RACE).is_dir() and not (work / RACE).exists():
            (folder / RACE).rename(work / RACE)
    return work


def _may_go_on(work: Path, settings: Mapping[str, Any], *, home: Path) -> bool:
    try:
        about = _read_about(work)
    except RunError:
        return False
    return about is not None and _are_settings_of(work, about, settings, home=home)


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
