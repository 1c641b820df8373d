"""How networks were trained, as tables: `training.csv` and `lr_range.csv` of a run, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from regraft.csv_table import csv_text, read_records
from regraft.errors import RunError
from regraft.saved import naming, read_text

R = TypeVar("R")

TRAINING, RANGE_TEST = "training.csv", "lr_range.csv"
_TRAINING_COLUMNS = (
    *("candidate", "fold", "epoch", "step", "learning_rate"),
    *("train_loss", "train_accuracy", "fold_loss", "fold_accuracy"),
)
_RANGE_COLUMNS = ("candidate", "learning_rate", "loss", "chosen")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """One step of a network in training, or the end of an epoch, whose `step` is None.

    `fold`, `epoch` and `step` count from 0. What was not measured is NaN: during an epoch all that
    is about inputs the network is not trained on.
    """

    candidate: str
    fold: int
    epoch: int
    step: int | None
    learning_rate: float
    train_loss: float
    train_accuracy: float
    fold_loss: float = math.nan
    fold_accuracy: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRow:
    """One learning rate of a range test (Smith 2017, WACV, arXiv 1506.01186), and whether it was
    the nearest to the one that was chosen."""

    candidate: str
    learning_rate: float
    loss: float
    chosen: bool


def training_table(rows: Sequence[TrainingRow]) -> str:
    """The text of `training.csv`; "" without any row."""
    cells = (
        (
            row.candidate,
            row.fold,
            row.epoch,
            row.step,
            f"{row.learning_rate:.3e}",
            f"{row.train_loss:.5f}",
            f"{row.train_accuracy:.5f}",
            *("" if math.isnan(x) else f"{x:.5f}" for x in (row.fold_loss, row.fold_accuracy)),
        )
        for row in rows
    )
    return csv_text([_TRAINING_COLUMNS, *cells]) if rows else ""


def range_table(rows: Sequence[RangeRow]) -> str:
    """The text of `lr_range.csv`; "" without any row."""
    cells = (
        (row.candidate, f"{row.learning_rate:.3e}", f"{row.loss:.5f}", int(row.chosen))
        for row in rows
    )
    return csv_text([_RANGE_COLUMNS, *cells]) if rows else ""


def read_training(folder: Path) -> tuple[TrainingRow, ...]:
    """The rows of `training.csv` in a run folder; none where nothing was trained.

    Raises:
        RunError: the file is damaged.
    """
    return _read(folder / TRAINING, _TRAINING_COLUMNS, _training_row)


def read_range_test(folder: Path) -> tuple[RangeRow, ...]:
    """The rows of `lr_range.csv` in a run folder; none where no range was tested.

    Raises:
        RunError: the file is damaged.
    """
    return _read(folder / RANGE_TEST, _RANGE_COLUMNS, _range_row)


def _read(
    path: Path, columns: Sequence[str], row: Callable[[Mapping[str, str]], R]
) -> tuple[R, ...]:
    if not path.exists() and not path.is_symlink():
        return ()
    with naming(path, RunError, "fit again with --force"):
        return tuple(row(cells) for cells in read_records(read_text(path), columns=columns))


def _training_row(cells: Mapping[str, str]) -> TrainingRow:
    return TrainingRow(
        candidate=cells["candidate"],
        fold=int(cells["fold"]),
        epoch=int(cells["epoch"]),
        step=int(cells["step"]) if cells["step"] else None,
        **{name: float(cells[name] or "nan") for name in _TRAINING_COLUMNS[4:]},
    )


def _range_row(cells: Mapping[str, str]) -> RangeRow:
    return RangeRow(
        candidate=cells["candidate"],
        learning_rate=float(cells["learning_rate"]),
        loss=float(cells["loss"]),
        chosen=cells["chosen"] == "1",
    )
