"""Races that run on recordings: the same decisions, by a clock that costs nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import regraft
from benchmarks.ablation import LOADS, Stage, ablation_rows, replay
from benchmarks.recordings import Machine, Recording, Replay, Take, read_recording, record
from regraft.approaches.base import Approach, Cost, Limits, is_trained, repeated_folds
from regraft.errors import OutOfTimeError
from regraft.racing.memory import Predicted
from regraft.racing.policy import DEFAULT_POLICY, WITHOUT
from tests.fakes import Clock, Fake, FakeTrained, many_rows

DATA = many_rows()
FOLDS = repeated_folds(DATA)


def frozen(rate: float, name: str) -> tuple[Approach, Recording]:
    approach = Fake(rate, name)
    predicted = Predicted(approach.cross_validate(DATA, FOLDS), 5.0)
    return approach, Recording({0: Take(predicted, np.array([0.0]))})


def trained(rate: float, name: str, right: float, **options) -> tuple[Approach, Recording]:
    approach = FakeTrained(rate, Clock(), name, **options)
    takes = {}
    for epochs in (3, 10):
        limits = Limits(folds=None if epochs == 10 else (0,), now=lambda: 0.0)
        predictions = approach.with_epochs(epochs).cross_validate(DATA, FOLDS, limits=limits)
        seconds = float(epochs * predictions.folds_done)
        takes[epochs] = Take(Predicted(predictions, seconds), np.array([right]))
    cost = Cost(10, 0.0, 10.0, 6.0, 1.0, 1.0)
    return approach, Recording(takes, cost, timing_s=1.0)


STAGE = Stage(
    DATA,
    0,
    [
        frozen(0.7, "probe"),
        trained(0.9, "tune", 1.0),
        trained(0.3, "bad", 0.0),
        trained(0.6, "scratch", 0.0, train="scratch"),
    ],
)


def test_a_race_on_recordings_ends_within_its_budget_with_the_best_model() -> None:
    for load in LOADS.values():
        run = replay(STAGE, DEFAULT_POLICY, budget_s=600.0, load=load)
        assert run.right.tolist() == [1.0]
        assert 0 < run.seconds <= 600.0
    short = replay(STAGE, DEFAULT_POLICY, budget_s=30.0, load=3.0)
    assert short.right.tolist() == [0.0], "there was time for the probe only"


def test_a_rule_that_is_off_changes_what_is_spent() -> None:
    rule = "only contenders get further time"
    before, after = (
        replay(STAGE, policy, budget_s=600.0, load=1.0)
        for policy in (DEFAULT_POLICY, WITHOUT[rule])
    )
    assert after.seconds > before.seconds
    rows = ablation_rows("fakes", [STAGE, STAGE], rules=[rule], budget_s=600.0)
    assert [row.name for row in rows] == ["fakes: all rules", f'fakes: without "{rule}"']
    assert rows[0].measured.startswith("quiet 1.000, ")
    assert rows[1].measured.startswith("quiet +0.0 points [")


def test_a_training_ends_by_the_limit_it_is_given() -> None:
    approach, recording = STAGE.recordings[1]
    machine = Machine(seed=1)
    answering = Replay(approach, recording, machine).with_epochs(8)
    limits = Limits(folds=(0,), stop_by=4.0, now=lambda: machine.now)
    predictions = answering.cross_validate(DATA, FOLDS, limits=limits)
    assert 1 < predictions.chosen["epochs"] < 8
    assert predictions.folds_done == 1
    assert machine.now <= 4.0
    assert is_trained(answering)
    with pytest.raises(OutOfTimeError):
        answering.cross_validate(DATA, FOLDS, limits=replace(limits, deadline=machine.now))


@pytest.mark.slow
def test_what_was_recorded_is_read_back_and_not_made_again(
    photo_folder: Path, tmp_path: Path
) -> None:
    data = regraft.scan(photo_folder)
    rows = [replace(row, split="test" if i % 4 == 0 else "train") for i, row in enumerate(data.ok)]
    data = data.with_rows(rows)
    approaches = [
        regraft.LinearProbe(),
        regraft.FineTune(train="last_1_stage", epochs=3, views=1),
    ]
    record(approaches, data, tmp_path / "recordings", seed=0)
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "recordings").iterdir()}
    record(approaches, data, tmp_path / "recordings", seed=0)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "recordings").iterdir()} == files
    read = [read_recording(a, data, tmp_path / "recordings", seed=0) for a in approaches]
    assert [sorted(recording.takes) for recording in read] == [[0], [3]]
    assert read[1].cost is not None
    assert read[1].cost.epochs == 3
    stage = Stage(data, 0, list(zip(approaches, read, strict=True)))
    run = replay(stage, DEFAULT_POLICY, budget_s=3_600.0, load=1.0)
    assert len(run.right) == len(data.test) == 6
    with pytest.raises(FileNotFoundError):
        read_recording(regraft.Knn(), data, tmp_path / "recordings", seed=0)
