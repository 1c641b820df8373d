"""A run folder that is written: locked, each file whole or not at all, replaced in one step."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from regraft._version import __version__
from regraft.dataset import Dataset
from regraft.errors import RunError, StorageError
from regraft.evidence.evaluation import Evaluation
from regraft.evidence.predictions import ImagePrediction, predictions_csv
from regraft.inspection.exploring import Exploration
from regraft.inspection.issues import Issue, issues_csv
from regraft.runs.reading import RECORD, read_about
from regraft.runs.records import (
    FORMAT,
    KIND,
    MachineRecord,
    Promotion,
    Results,
    Start,
    members_of,
)
from regraft.runs.settings import WHERE, are_settings_of, command_of, shareable_settings
from regraft.storage.files import (
    clear_parts,
    is_part,
    make_folder,
    remove,
    storage_errors,
    write_atomic,
)
from regraft.storage.locations import remember, shareable_command, without_places
from regraft.storage.records import to_json
from regraft.storage.saved import read_json
from regraft.storage.switching import COMMITTED, LOCK, commit, current, locked

_MODEL = "model"
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
RACE = "race"  # what a comparison has finished; there while a run is not done
NEXT = ".regraft.next"  # the run that is to replace the one in the folder
_OURS = {LOCK, COMMITTED, NEXT, ".lock"}  # the last is the lock of an earlier version


@dataclass(slots=True)
class Workplace:
    """Where the files of a run that is being made are written, and what its run.json says so far.

    `seconds` are of each phase, as they grow; `results` None until there are some.
    """

    folder: Path
    start: Start
    seconds: Mapping[str, float] = field(default_factory=dict)
    results: Results | None = None
    seconds_total: float = 0.0

    def write(self, status: str = "running", **at_the_end: str) -> None:
        """Write run.json.

        Raises:
            StorageError: it cannot be written.
        """
        members = {
            "kind": KIND,
            "format": FORMAT,
            "status": status,
            **members_of(self.start),
            "seconds": self.seconds,
        }
        if self.results is not None:
            members |= members_of(self.results) | {"seconds_total": self.seconds_total}
        _write_members(self.folder, members | at_the_end)


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
    """Take a run folder for writing; yields where to write and what run.json says, to be filled.

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
        start = _start(shareable_settings(settings, folder), shareable_command(command, Path.cwd()))
        place = _begin(folder, start, settings)
        work = place.folder
        remember(work / WHERE, {"settings": json.dumps(settings), "command": command})
        try:
            yield place
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            with contextlib.suppress(StorageError):  # the first error is the one to report
                if interrupted:
                    place.write("interrupted", finished=_now())
                else:
                    reason = without_places(str(error), settings["data"], folder)
                    place.write("failed", error=reason, finished=_now())
            raise
        place.write("done", finished=_now())
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
    write_atomic(
        folder / "evaluation.json", _json([evaluation.to_dict() for evaluation in evaluations])
    )
    write_atomic(folder / "predictions.csv", predictions_csv(predictions, data.classes))
    for name, text in (("training.csv", training), ("lr_range.csv", ranges)):
        if text:
            write_atomic(folder / name, text)
    if exploration is not None:
        write_atomic(folder / "exploration.json", _json(exploration))


def free_folder(base: Path) -> Path:
    """`base`, or `base-2`, `base-3`...: the first that holds no finished run."""
    number, folder = 1, base
    while (about := read_about(folder)) is not None and about.status == "done":
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _busy(folder: Path) -> str:
    return f"another process is writing {folder}; wait for it or choose another --out"


def _check_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another --out")
    if folder.is_dir() and not (folder / RECORD).exists():
        foreign = sorted(p.name for p in folder.iterdir() if p.name not in _OURS and not is_part(p))
        if foreign:
            raise RunError(
                f"{folder} holds other files ({foreign[0]}); choose a new folder as --out"
            )


def _check_free(folder: Path, settings: Mapping[str, Any], *, force: bool) -> None:
    about = read_about(folder)
    if about is None or force or about.status == "failed":  # nothing to lose
        return
    if about.status == "done":
        raise RunError(
            f"{folder} holds a finished run; add --force to replace it or choose another --out"
        )
    if not are_settings_of(folder, about, settings, home=folder):
        raise RunError(
            f"{folder} holds an unfinished run with other settings; finish it with its command "
            f"({command_of(folder, about)}), add --force to replace it, or choose another --out"
        )


def _begin(folder: Path, start: Start, settings: Mapping[str, Any]) -> Workplace:
    """Where a run is to be written: in its folder, or within it while that has something to lose.

    What an unfinished run of the same settings had finished comparing is found there.
    """
    before = read_about(folder)
    goes_on = before is not None and are_settings_of(folder, before, settings, home=folder)
    is_done = before is not None and before.status == "done"
    if not is_done and not (folder / _MODEL).exists():
        with storage_errors(f"clear {folder}"):
            remove(folder / WHERE)  # of other settings than run.json will name
        place = Workplace(folder, start)
        place.write()  # from here on the folder does not pass for a finished run
        with storage_errors(f"clear {folder}"):
            remove(folder / NEXT)
            _clear(folder, race=not goes_on)
        return place
    work = folder / NEXT
    with storage_errors(f"clear {work}"):
        if not _may_go_on(work, settings, home=folder):
            remove(work)
        make_folder(work)
        place = Workplace(work, start)
        place.write()
        _clear(work, race=False)
        if goes_on and (folder / RACE).is_dir() and not (work / RACE).exists():
            (folder / RACE).rename(work / RACE)
    return place


def _may_go_on(work: Path, settings: Mapping[str, Any], *, home: Path) -> bool:
    try:
        about = read_about(work)
    except RunError:
        return False
    return about is not None and are_settings_of(work, about, settings, home=home)


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


def _start(settings: Mapping[str, Any], command: str) -> Start:
    return Start(
        regraft=__version__,
        started=_now(),
        command=command,
        settings=settings,
        versions=_versions(),
        machine=MachineRecord(
            system=platform.platform(), processor=platform.machine(), cores=os.cpu_count()
        ),
    )


def _write_members(folder: Path, members: Mapping[str, Any]) -> None:
    write_atomic(folder / RECORD, _json(members))


def note_promotion(folder: Path, promotion: Promotion) -> None:
    """Add to the run.json of a finished run what became of its model.

    Raises:
        StorageError: it cannot be written.
    """
    members: dict[str, Any] = read_json(current(folder, RECORD), dict[str, Any])
    _write_members(folder, members | {"promotion": promotion})


def _versions() -> dict[str, str]:
    names = (
        *("numpy", "onnxruntime", "pillow", "scikit-learn", "torch", "timm", "lightning-fabric"),
        "fastai",
    )
    versions = {"python": platform.python_version(), "regraft": __version__}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _json(data: Any) -> str:
    return json.dumps(to_json(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
