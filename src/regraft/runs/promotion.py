"""A new model beside the one at work: promoted unless it is worse, and taken back with one call.

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
from pathlib import Path

from regraft.errors import RegraftError, RunError
from regraft.evidence.evaluation import CROSS_VALIDATION, TEST
from regraft.metrics.differences import standing
from regraft.model import load
from regraft.model_record import RECORD
from regraft.runs import Promotion, Run, read_run
from regraft.runs.pairing import paired_accuracy
from regraft.storage.files import make_folder, part_folder, storage_errors, write_atomic
from regraft.storage.saved import read_bytes, read_json
from regraft.storage.switching import commit, current, locked, settled

_MODEL, _BEFORE = "model", "models"
_ORIGIN = "origin.json"  # of a model folder
_WAIT_S = 10.0  # for another process that writes in the run folder


def promote(new: Run, old: Run) -> Promotion:
    """Put the model of a new run to work in the folder of the old one, unless it is worse.

    Both are compared on photos that they predicted without having been trained on them: those of
    the test set, and those of cross-validation. Worse is what is significantly behind on either, by
    the rule that candidates are compared by as well (`differences.standing`). Where the new one is
    at work already, as after a process that was killed before it could say so, nothing changes.

    Raises:
        ModelError: the new model cannot be read.
        RunError: another process writes in the folder of the old run.
        StorageError: the folder cannot be written; the old model is at work then.
    """
    deployed = deployed_run(old)
    if deployed is None:
        reason = "the run that the deployed model comes from is gone, or has another model by now"
        return Promotion(promoted=False, reason=f"not promoted: {reason}")
    if deployed is not old and os.path.realpath(deployed.folder) == os.path.realpath(new.folder):
        return Promotion(promoted=True, reason="promoted before")
    both_tested = new.data.test and deployed.data.test and new.test_is_independent
    pairs = [
        paired_accuracy(new, deployed, on)
        for on in ((TEST, CROSS_VALIDATION) if both_tested else (CROSS_VALIDATION,))
    ]
    compared = [(pair, gap) for pair in pairs if (gap := pair.difference) is not None]
    if not compared:
        reason = "both runs have no photo in common to be compared on"
        if known := max(pair.flattered for pair in pairs):
            reason = f"a backbone had been trained on {known:,} of the photos to compare on before"
        return Promotion(promoted=False, reason=f"not promoted: {reason}")
    worse = next(((pair, gap) for pair, gap in compared if standing(gap) == "behind"), None)
    pair, gap = worse or compared[0]
    measured = f"{gap.points} on {pair.photos:,} photos"
    if worse:
        return Promotion(False, pair.photos, gap, f"not promoted, it is worse: {measured}")
    load(new.folder)
    _replace(old.folder, new.folder)
    why = "it is better" if standing(gap) == "ahead" else "the two cannot be told apart"
    return Promotion(True, pair.photos, gap, f"promoted, {why}: {measured}")


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


def deployed_run(run: Run) -> Run | None:
    """The run that the model of a folder comes from: itself, or one that was promoted over it.

    None where that one cannot be read any more, or has been fitted again since.
    """
    model = current(run.folder, _MODEL)
    if not (model / _ORIGIN).exists():
        return run
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RegraftError):
        origin: dict[str, str] = read_json(model / _ORIGIN, dict[str, str])
        found = read_run(run.folder / origin["run"])
        records = [read_bytes(m / RECORD) for m in (model, current(found.folder, _MODEL))]
        return found if records[0] == records[1] else None
    return None


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
