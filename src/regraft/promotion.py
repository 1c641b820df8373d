"""A new model beside the one at work: promoted if it is no worse, and taken back with one call.

A run folder keeps the models that were replaced in `models/`, the oldest first; `model/` is the one
at work. A model that came from another run says so in its `origin.json`, so that the next one is
compared with what it said. Both folders change in one step (`switching`): whenever a process ends,
one model is at work and the other kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.errors import RegraftError, RunError
from regraft.evaluation import CROSS_VALIDATION, TEST
from regraft.metrics import Estimate
from regraft.model import load
from regraft.model_record import RECORD
from regraft.reporting.pairing import paired_accuracy
from regraft.runs import Run, read_run
from regraft.saved import read_json
from regraft.storage import make_folder, part_folder, storage_errors, write_atomic
from regraft.switching import commit, current, locked, settled

_MODEL, _BEFORE = "model", "models"
_ORIGIN = "origin.json"  # of a model folder
_WAIT_S = 10.0  # for another process that writes in the run folder


@dataclass(frozen=True, slots=True)
class Promotion:
    """What became of a new model: accuracy on photos that both runs predicted, unseen in training.

    `difference` is the new model minus the old one, None where there is no such photo; `reason`
    says why it was promoted or not.
    """

    promoted: bool
    photos: int
    difference: Estimate | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "promoted": self.promoted,
            "photos": self.photos,
            "difference": self.difference and self.difference.to_dict(),
            "reason": self.reason,
        }


def promote(new: Run, old: Run) -> Promotion:
    """Put the model of a new run to work in the folder of the old one, if it is no worse.

    Both are compared on photos that they predicted without having been trained on them: those of
    the test set, or else those of cross-validation. Where the new one is at work already, as after
    a process that was killed before it could say so, nothing changes.

    Raises:
        ModelError: the new model cannot be read.
        RunError: another process writes in the folder of the old run.
        StorageError: the folder cannot be written; the old model is at work then.
    """
    if _is_at_work(new, old):
        return Promotion(True, 0, None, "promoted before")
    at_work = _at_work(old)
    on = TEST if new.data.test and at_work.data.test else CROSS_VALIDATION
    found = paired_accuracy(new, at_work, on)
    gap = found.difference
    if gap is None:
        return Promotion(False, 0, None, "both runs have no photo in common to be compared on")
    said = f"{gap.points} on {found.photos:,} photos"
    if gap.value < 0:
        return Promotion(False, found.photos, gap, f"not promoted, it is worse: {said}")
    load(new.folder)
    _replace(old.folder, new.folder)
    return Promotion(True, found.photos, gap, f"promoted, it is no worse: {said}")


def roll_back(folder: str | Path) -> Path:
    """Put the model that was at work before to work again; the present one is kept beside it.

    Raises:
        RunError: no earlier model is kept, or another process writes in the folder.
        ModelError: it cannot be read.
        StorageError: the folder cannot be written.
    """
    run = Path(folder)
    settled(run)
    if not _kept(run):
        raise RunError(f"{run} keeps no earlier model; nothing was promoted over it")
    with locked(run, _busy(run), timeout_s=_WAIT_S):
        earlier = _kept(run)[-1]
        load(earlier)
        present, kept_as = run / _MODEL, f"{_BEFORE}/{earlier.name}"
        with storage_errors(f"exchange the models of {run}"), part_folder(present) as staged:
            _copy(earlier, staged / _MODEL)
            if present.exists():
                _copy(present, staged / kept_as)
                commit(staged, run, [kept_as, _MODEL])
            else:
                commit(staged, run, [_MODEL], remove=[kept_as])
    return present


def _busy(run: Path) -> RunError:
    return RunError(
        f"another process writes in {run}; wait for it, then run the same command again"
    )


def _at_work(run: Run) -> Run:
    """The run that the model of a folder comes from: itself, or one that was promoted over it."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RegraftError):
        return read_run(run.folder / _origin(run.folder))
    return run


def _origin(run: Path) -> str:
    """The folder, seen from a run's, of the run that the model at work there comes from."""
    origin: dict[str, str] = read_json(current(run, _MODEL) / _ORIGIN, dict[str, str])
    return origin["run"]


def _is_at_work(new: Run, old: Run) -> bool:
    """Whether the model of a run was promoted in the folder of another."""
    try:
        comes_from = os.path.realpath(old.folder / _origin(old.folder))
        cards = [current(run.folder, _MODEL) / RECORD for run in (new, old)]
        first, second = (card.read_bytes() for card in cards)
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return comes_from == os.path.realpath(new.folder) and first == second


def _kept(run: Path) -> list[Path]:
    folder = run / _BEFORE
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdecimal())


def _replace(run: Path, new: Path) -> None:
    with locked(run, _busy(run), timeout_s=_WAIT_S):
        kept = _kept(run)
        number = int(kept[-1].name) + 1 if kept else 1
        kept_as = f"{_BEFORE}/{number:04}"
        with storage_errors(f"replace the model of {run}"), part_folder(run / _MODEL) as staged:
            _copy(current(new, _MODEL), staged / _MODEL)
            origin = {"run": os.path.relpath(new, run)}
            write_atomic(staged / _MODEL / _ORIGIN, json.dumps(origin) + "\n")
            _copy(run / _MODEL, staged / kept_as)
            commit(staged, run, [kept_as, _MODEL])


def _copy(model: Path, to: Path) -> None:
    """A second folder of a model; it takes no room where files can have two names."""
    make_folder(to.parent)
    shutil.copytree(model, to, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
