"""Short hashes of what a model was trained on, so that nothing is scored on what it has learned.

A model folder keeps them as `training_contents.safetensors`: sorted uint64 (n,), the first eight
bytes of the SHA-256 of each file (or table cell). Two tensors: `model` holds everything the model
was trained on or chosen by, `backbone` the part of it by whose labels the backbone was trained, in
this fit or in one before it. A chance hit among a million photos of a million others has a
probability of 5e-8. Hashes of eight bytes tell whether a photo that one has was among them, and
nothing of any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.errors import ModelError
from regraft.storage.csv_table import read_records
from regraft.storage.saved import Count, naming, read_bytes, read_json, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "training_contents.safetensors"
_FROZEN = frozenset({"linear_probe", "multilayer_probe", "knn", "tfidf"})  # the backbone stays
_BYTES = 8

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingContents:
    """What a model and its backbone were trained on; `is_complete` if nothing else is possible."""

    model: Hashes
    backbone: Hashes
    is_complete: bool = True

    def known_to_model(self, sha256s: Sequence[str]) -> NDArray[np.bool_]:
        """Which of n contents the model was trained on or chosen by, (n,)."""
        return _among(sha256s, self.model)

    def known_to_backbone(self, sha256s: Sequence[str]) -> NDArray[np.bool_]:
        """Which of n contents the backbone was trained on, labels included, (n,)."""
        return _among(sha256s, self.backbone)

    def after_training(self, sha256s: Iterable[str], *, trains_backbone: bool) -> TrainingContents:
        """Those of a model whose backbone has these, once it is trained on further contents."""
        new = np.array([h for s in sha256s if (h := _short(s)) is not None], dtype=np.uint64)
        model = np.union1d(self.backbone, new)
        backbone = model if trains_backbone else self.backbone
        return TrainingContents(model, backbone, self.is_complete)

    def to_bytes(self) -> bytes:
        """The file of a model folder."""
        from safetensors.numpy import save

        tensors = {"model": self.model, "backbone": self.backbone}
        return bytes(save(tensors, metadata={"complete": json.dumps(self.is_complete)}))


@dataclass(frozen=True, slots=True)
class Overlap:
    """What an estimate has in common with what its model was trained on.

    `left_out` inputs are not scored, because the model was trained on them or chosen by them;
    `flattering` ones are, though the backbone had been trained on them before, labels included.
    `is_complete` is False where more of either kind is possible: what the model, or the backbone
    before it, was trained on is not recorded.
    """

    left_out: Count = 0
    flattering: Count = 0
    is_complete: bool = True


NOTHING = TrainingContents(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64))
"""Of a network that no label of the user's has reached."""

UNKNOWN = TrainingContents(NOTHING.model, NOTHING.backbone, is_complete=False)
"""Of a network of which nobody has said what it was trained on."""


def read_training_contents(folder: Path) -> TrainingContents:
    """Those of a model folder.

    Models saved before they were kept have none: their run folder tells, if they lie in one.

    Raises:
        ModelError: the file is damaged.
    """
    if (folder / FILE).is_file():
        return _read(folder / FILE)
    try:
        card: dict[str, Any] = read_json(folder / "model.json")
        return _of_earlier_version(_run_of(folder), card)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return UNKNOWN


def _read(file: Path) -> TrainingContents:
    from safetensors import safe_open

    with naming(file, ModelError, "copy the model folder again"):
        with safe_open(file, framework="numpy") as opened:
            model, backbone = (opened.get_tensor(name) for name in ("model", "backbone"))
            complete = json.loads((opened.metadata() or {})["complete"])
        for hashes in (model, backbone):
            if hashes.dtype != np.uint64 or hashes.ndim != 1:
                raise ValueError(f"it holds {hashes.dtype} {hashes.shape}, expected uint64 (n,)")
    return TrainingContents(np.unique(model), np.unique(backbone), complete is True)


def _run_of(folder: Path) -> Path:
    """The run folder whose model this is: that around it, or the one it was promoted from."""
    run = folder.parent
    if not (folder / "origin.json").exists():
        return run
    origin: dict[str, str] = read_json(folder / "origin.json", dict[str, str])
    made_in = run / origin["run"]
    if read_bytes(made_in / "model" / "model.json") != read_bytes(folder / "model.json"):
        raise LookupError("the run it was promoted from has another model by now")
    return made_in


def _of_earlier_version(run: Path, card: Mapping[str, Any]) -> TrainingContents:
    """By the dataset table of the run, in which each training row has its full hash."""
    table = read_records(read_text(run / "dataset.csv"))
    rows = [row for row in table if row["status"] == "ok" and row["split"] != "test"]
    source = str(card["backbone"]["pretrained_on"])
    from_elsewhere = "trained further" in source or "unknown" in source
    before = UNKNOWN if from_elsewhere else NOTHING
    trains = card["approach"] not in _FROZEN
    return before.after_training([row["sha256"] for row in rows], trains_backbone=trains)


def _short(sha256: str) -> int | None:
    return int(sha256[: 2 * _BYTES], 16) if sha256 else None


def _among(sha256s: Sequence[str], known: Hashes) -> NDArray[np.bool_]:
    found = np.zeros(len(sha256s), dtype=bool)
    short = [_short(sha256) for sha256 in sha256s]
    there = [i for i, value in enumerate(short) if value is not None]
    found[there] = np.isin(np.array([short[i] for i in there], dtype=np.uint64), known)
    return found


__all__ = ["FILE", "NOTHING", "UNKNOWN", "TrainingContents", "read_training_contents"]
