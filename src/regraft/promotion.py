"""A new model beside the one at work: promoted unless it is worse, and taken back with one call.

A run folder keeps the models that were replaced in `models/`, the oldest first; `model/` is the one
at work. A model that came from another run says so in its `origin.json`, so that the next one is
compared with what it said.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.differences import standing
from regraft.errors import RegraftError, RunError
from regraft.evaluation import CROSS_VALIDATION, TEST
from regraft.metrics import Estimate
from regraft.model import load
from regraft.reporting.pairing import paired_accuracy
from regraft.runs import Run, read_run
from regraft.saved import read_bytes, read_json
from regraft.storage import make_folder, storage_errors, write_atomic

_BEFORE, _ORIGIN = "models", "origin.json"


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
    """Put the model of a new run to work in the folder of the old one, unless it is worse.

    Both are compared on photos that they predicted without having been trained on them: those of
    the test set, and those of cross-validation. Worse is what is significantly behind on either, by
    the rule that candidates are compared by as well (`differences.standing`).

    Raises:
        ModelError: the new model cannot be read.
        StorageError: the folder cannot be written; the old model is at work then.
    """
    deployed = deployed_run(old)
    if deployed is None:
        reason = "the run that the deployed model comes from is gone, or has another model by now"
        return Promotion(False, 0, None, f"not promoted: {reason}")
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
        return Promotion(False, 0, None, f"not promoted: {reason}")
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
        RunError: no earlier model is kept.
        ModelError: it cannot be read.
        StorageError: the folder cannot be written.
    """
    run = Path(folder)
    kept = _kept(run)
    if not kept:
        raise RunError(f"{run} keeps no earlier model; nothing was promoted over it")
    earlier = kept[-1]
    load(earlier)
    present, aside = run / "model", run / f".model.{os.getpid()}.part"
    with storage_errors(f"exchange the models of {run}"):
        present.rename(aside)
        earlier.rename(present)
        aside.rename(earlier)
    return present


def deployed_run(run: Run) -> Run | None:
    """The run that the model of a folder comes from: itself, or one that was promoted over it.

    None where that one cannot be read any more, or has been fitted again since.
    """
    model = run.folder / "model"
    if not (model / _ORIGIN).exists():
        return run
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RegraftError):
        origin: dict[str, str] = read_json(model / _ORIGIN, dict[str, str])
        found = read_run(run.folder / origin["run"])
        cards = [read_bytes(folder / "model.json") for folder in (model, found.folder / "model")]
        return found if cards[0] == cards[1] else None
    return None


def _kept(run: Path) -> list[Path]:
    folder = run / _BEFORE
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdecimal())


def _replace(run: Path, new: Path) -> None:
    kept = _kept(run)
    number = int(kept[-1].name) + 1 if kept else 1
    before, staged = make_folder(run / _BEFORE) / f"{number:04}", run / f".model.{os.getpid()}.part"
    with storage_errors(f"replace the model of {run}"):
        try:
            shutil.copytree(new / "model", staged)
            origin = {"run": os.path.relpath(new, run)}
            write_atomic(staged / _ORIGIN, json.dumps(origin) + "\n")
            (run / "model").rename(before)
            staged.rename(run / "model")
        finally:
            shutil.rmtree(staged, ignore_errors=True)
