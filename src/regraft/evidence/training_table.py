"""How networks were trained, as tables: `training.csv` and `lr_range.csv` of a run, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from regraft.errors import RunError
from regraft.storage.csv_table import csv_text, read_records
from regraft.storage.records import from_cells
from regraft.storage.saved import Count, naming, read_text

TRAINING, RANGE_TEST = "training.csv", "lr_range.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """One step of a network in training, or the end of an epoch, whose `step` is None.

    `fold`, `epoch` and `step` count from 0. What was not measured is NaN: during an epoch all that
    is about inputs the network is not trained on.
    """

    candidate: str
    fold: Count
    epoch: Count
    step: Count | None = None
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


Row = TypeVar("Row", TrainingRow, RangeRow)


def table_of(rows: Sequence[TrainingRow] | Sequence[RangeRow]) -> str:
    """The text of such a file; "" without any row."""
    if not rows:
        return ""
    columns = [column.name for column in fields(rows[0])]
    cells = ([_cell(name, getattr(row, name)) for name in columns] for row in rows)
    return csv_text([columns, *cells])


def _cell(column: str, value: str | float | None) -> str | int | None:
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return ""
    return f"{value:.3e}" if column == "learning_rate" else f"{value:.5f}"


def read_training(folder: Path) -> tuple[TrainingRow, ...]:
    """The rows of `training.csv` in a run folder; none where nothing was trained.

    Raises:
        RunError: the file is damaged.
    """
    return _read(folder / TRAINING, TrainingRow)


def read_range_test(folder: Path) -> tuple[RangeRow, ...]:
    """The rows of `lr_range.csv` in a run folder; none where no range was tested.

    Raises:
        RunError: the file is damaged.
    """
    return _read(folder / RANGE_TEST, RangeRow)


def _read(path: Path, form: type[Row]) -> tuple[Row, ...]:
    if not path.exists() and not path.is_symlink():
        return ()
    with naming(path, RunError, "fit again with --force"):
        columns = [column.name for column in fields(form)]
        records = read_records(read_text(path), columns=columns)
        return tuple(from_cells(cells, form) for cells in records)
