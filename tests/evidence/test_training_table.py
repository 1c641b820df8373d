"""Tables of how networks were trained, written and read."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from regraft.errors import RunError
from regraft.evidence.training_table import (
    RANGE_TEST,
    TRAINING,
    RangeRow,
    TrainingRow,
    read_range_test,
    read_training,
    table_of,
)

STEP = TrainingRow(
    candidate='tune, "all"',
    fold=0,
    epoch=1,
    step=7,
    learning_rate=1e-4,
    train_loss=0.5,
    train_accuracy=0.75,
)
EPOCH = replace(STEP, step=None, fold_loss=0.25, fold_accuracy=1.0)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_training(tmp_path) == read_range_test(tmp_path) == ()
    (tmp_path / TRAINING).write_text(table_of([STEP, EPOCH]), encoding="utf-8")
    step, epoch = read_training(tmp_path)
    assert epoch == EPOCH
    assert math.isnan(step.fold_loss)
    assert replace(step, fold_loss=0.0, fold_accuracy=0.0) == replace(
        STEP, fold_loss=0.0, fold_accuracy=0.0
    )
    rates = [
        RangeRow(candidate="a", learning_rate=rate, loss=0.5, chosen=rate == 1e-3)
        for rate in (1e-4, 1e-3)
    ]
    (tmp_path / RANGE_TEST).write_text(table_of(rates), encoding="utf-8")
    assert read_range_test(tmp_path) == tuple(rates)
    assert table_of([]) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("candidate,fold\n", "its first line is"),
        (table_of([STEP]).replace(",7,", ",x,"), r"Expected `int \| null`"),
        (table_of([STEP]).replace("0.75", "much"), "Expected `float`"),
    ],
)
def test_a_table_that_is_damaged_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / TRAINING).write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=rf"training\.csv is damaged \({why}"):
        read_training(tmp_path)
