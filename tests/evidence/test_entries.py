"""What a comparison shows: transfer, selection, the rule of thumb, and how training went."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.approaches.base import Approach
from regraft.dataset import scan
from regraft.errors import TrainingError
from regraft.evidence.entries import (
    GuideRecord,
    guide_entry,
    learning_curve_entry,
    range_csv,
    selection_entry,
    training_csv,
    transfer_entry,
)
from regraft.evidence.evaluation import CROSS_VALIDATION, TEST, Evaluation, evaluate_probabilities
from regraft.evidence.learning_curve import LearningCurve
from regraft.progress import silent
from regraft.racing import Comparison
from regraft.racing.guide import RULE, Size
from regraft.racing.similarity import Similarity
from tests.fakes import RATE, Clock, Fake, FakeTrained, many_rows, raced


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _compared(*approaches: Approach, **options: Any) -> Comparison:
    return raced(approaches, many_rows(), **options)


def _scratch(rate: float, clock: Clock, **options: Any) -> FakeTrained:
    return FakeTrained(rate, clock, "scratch", "scratch", **options)


# --- what transfer bought


@pytest.mark.parametrize("scratch_first", [True, False])
def test_transfer_that_is_ahead(clock: Clock, scratch_first: bool) -> None:
    candidates: list[Approach] = [Fake(0.9, "probe"), _scratch(0.6, clock, seed=1)]
    found = transfer_entry(_compared(*(candidates[::-1] if scratch_first else candidates)))
    assert found is not None
    assert found.text.startswith(
        "probe on probe_net is ahead of scratch on scratch_net, trained from random weights for 10 "
        "s: +"
    )
    assert found.text.endswith("], on the same data.")
    assert found.difference.low > 0
    assert (found.seconds_transfer, found.seconds_scratch) == (0.0, 10.0)


def test_transfer_that_is_behind(clock: Clock) -> None:
    comparison = _compared(Fake(0.6, "probe"), Fake(0.5, "worse"), _scratch(0.95, clock, seed=1))
    assert comparison.best.name == "scratch"
    found = transfer_entry(comparison)
    assert found is not None
    assert found.text.startswith("probe on probe_net is behind scratch on scratch_net")
    assert "cannot be ruled out" not in found.text
    assert found.difference.high < 0


def test_transfer_that_is_undecided(clock: Clock) -> None:
    found = transfer_entry(_compared(Fake(0.8, "probe"), _scratch(0.8, clock)))
    assert found is not None
    assert found.text.endswith("That the pretrained weights bring nothing cannot be ruled out.")
    assert found.difference.low <= 0 <= found.difference.high


def test_transfer_is_of_the_winner(clock: Clock) -> None:
    tuned = FakeTrained(0.97, clock)
    comparison = _compared(Fake(0.7, "probe"), tuned, _scratch(0.6, clock, seed=1))
    found = transfer_entry(comparison)
    assert found is not None
    assert found.text.startswith("fake_tune on fake_tune_net, last 2 stages is ")
    assert found.seconds_transfer == 50.0


def test_no_transfer_without_both_sides(clock: Clock) -> None:
    assert transfer_entry(_compared(Fake(0.8))) is None
    assert transfer_entry(_compared(_scratch(0.8, clock))) is None
    failed = _scratch(0.8, clock, fails={0: TrainingError("x")})
    assert transfer_entry(_compared(Fake(0.8), failed)) is None


# --- what choosing may have flattered


def _evaluation(on: str, rate: float) -> Evaluation:
    labels = np.arange(100) % 2
    said = np.where(np.arange(100) < 100 * rate, labels, 1 - labels)
    return evaluate_probabilities(
        on,
        labels=labels,
        probabilities=np.eye(2)[said][None] * 0.8 + 0.1,
        classes=("a", "b"),
        groups=np.arange(100),
    )


def test_selection_with_a_test_set() -> None:
    evaluations = [_evaluation(TEST, 0.85), _evaluation(CROSS_VALIDATION, 0.5)]
    text = selection_entry(_compared(Fake(0.9, "a"), Fake(0.8, "b")), evaluations).text
    assert text.startswith("The best of 2 candidates had 9")
    assert " and 85.0 % [" in text
    assert text.endswith("on the test set, which no choice has seen.")
    text = selection_entry(_compared(Fake(0.9, "a")), evaluations).text
    assert text.startswith("The only candidate had ")
    assert "85.0 %" in text


def test_selection_without_a_test_set() -> None:
    evaluations = [_evaluation(CROSS_VALIDATION, 0.9)]
    text = selection_entry(_compared(Fake(0.9, "a"), Fake(0.8, "b")), evaluations).text
    assert text.startswith("The best of 2 candidates had ")
    assert text.endswith("what choosing it may have flattered is not measured.")
    text = selection_entry(_compared(Fake(0.9, "a"), Fake(0.9, "x", fails="no")), []).text
    assert text.startswith("The only candidate had ")
    assert text.endswith("in cross-validation.")


# --- the rule of thumb

SIZE = Size(300, 2, 150, 150.0)
SIMILARITY = Similarity(0.2, 0.1, 0.2, 0.3, 0.5, 96)


def _guide(quadrant: str, comparison: Comparison) -> GuideRecord:
    return guide_entry(SIZE, SIMILARITY, RULE[quadrant], comparison)


def test_the_rule_that_held_and_the_one_that_did_not(clock: Clock) -> None:
    first = FakeTrained(0.6, clock, "first", "first_2_stages", seed=2)
    all_layers = FakeTrained(0.6, clock, "all", "all", seed=2)
    comparison = _compared(Fake(0.6, "probe"), FakeTrained(0.95, clock), first, all_layers)
    held = _guide("small and similar", comparison).held
    assert held.startswith("The rule of thumb for small and similar data held: training the last")
    held = _guide("small and different", comparison).held
    assert "was wrong here: it expects training the first two stages to be best" in held
    assert held.endswith("training the last two stages was measured to be best.")


def test_what_is_measured_and_advised_is_kept(clock: Clock) -> None:
    entry = _guide("small and similar", _compared(Fake(0.9, "a"), _scratch(0.5, clock, seed=1)))
    assert (entry.size.images, entry.similarity.value) == (300, 0.2)
    assert entry.quadrant == "small and similar"
    assert "only a new head was measured to be best" in entry.held


def test_a_rule_whose_candidate_was_skipped_was_not_tested(clock: Clock) -> None:
    # The probe and the last stages take what there is; training everything is skipped.
    slow = FakeTrained(0.95, clock, "everything", "all", epochs=500, fewest_epochs=400)
    comparison = raced(
        [Fake(0.6, "probe"), FakeTrained(0.9, clock), slow], many_rows(), budget_s=150
    )
    status = {c.approach.name: c.status for c in comparison.candidates}
    assert status == {"probe": "done", "fake_tune": "done", "everything": "skipped"}
    held = _guide("large and different", comparison).held
    assert held.startswith(
        "The rule of thumb for large and different data was not tested: it expects training every "
        "layer from the pretrained weights to be best, and everything on everything_net, all was "
        "not finished (would need"
    )
    assert "wrong" not in held


def test_a_rival_that_the_rule_names_and_that_is_level_settles_nothing(clock: Clock) -> None:
    tuned = FakeTrained(0.9, clock, parameters=9_000)
    comparison = _compared(Fake(0.9, "probe"), tuned, _scratch(0.4, clock, seed=1))
    assert comparison.best.name == "probe"
    held = _guide("small and similar", comparison).held
    assert "data held: training only a new head" in held, "both are what the rule names"
    named = FakeTrained(0.9, clock, "first", "first_2_stages", parameters=9_000)
    held = _guide("small and different", _compared(Fake(0.9, "probe"), named)).held
    assert "is not settled here" in held
    assert held.endswith("it cannot be told apart from first on first_net, first 2 stages.")


def test_one_candidate_says_nothing_about_the_rule(clock: Clock) -> None:
    assert _guide("small and similar", _compared(Fake(0.9))).held == ""
    alone = _compared(Fake(0.9, "a"), Fake(0.9, "b", fails="broken"))
    assert "no such candidate was compared" in _guide("large and different", alone).held
    held = _guide("small and similar", alone).held
    assert held.endswith("was not tested: nothing else was compared.")


def test_scratch_may_win(clock: Clock) -> None:
    every = FakeTrained(0.5, clock, "all", "all", seed=4)
    comparison = _compared(Fake(0.5, "probe"), _scratch(0.97, clock, seed=1), every)
    held = _guide("large and different", comparison).held
    assert "was wrong here" in held
    assert "training every layer from random weights was measured to be best" in held


def test_what_had_too_few_epochs_is_told_of_transfer(clock: Clock) -> None:
    comparison = raced(
        [Fake(0.9, "probe"), _scratch(0.6, clock, seed=1, epochs=80)], many_rows(), budget_s=100
    )
    found = transfer_entry(comparison)
    assert found is not None
    assert "That network had time for " in found.text
    assert "of 80 epochs for want of time: with more it may come closer." in found.text


# --- how training went


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_training_csv_has_every_step_and_epoch(clock: Clock) -> None:
    comparison = _compared(Fake(0.7, "probe"), FakeTrained(0.9, clock, epochs=4))
    text = training_csv(comparison)
    assert text.splitlines()[0] == (
        "candidate,fold,epoch,step,learning_rate,train_loss,train_accuracy,fold_loss,fold_accuracy"
    )
    rows = _rows(text)
    assert len(rows) == 5 * 4 * 2
    assert {row["candidate"] for row in rows} == {"fake_tune on fake_tune_net, last 2 stages"}
    assert [row["fold"] for row in rows] == [str(fold) for fold in range(5) for _ in range(8)]
    steps = [row for row in rows if row["step"]]
    ends = [row for row in rows if not row["step"]]
    assert len(steps) == len(ends) == 20
    assert [int(row["epoch"]) for row in ends[:4]] == [0, 1, 2, 3]
    for row in rows:
        assert float(row["learning_rate"]) == RATE
        assert float(row["train_loss"]) == 0.5
    assert all(row["fold_loss"] == row["fold_accuracy"] == "" for row in steps)
    assert {(row["fold_loss"], row["fold_accuracy"]) for row in ends} == {("0.40000", "0.90000")}


def test_an_epoch_without_a_score_is_left_empty(clock: Clock) -> None:
    rows = _rows(training_csv(_compared(FakeTrained(0.9, clock, curve=math.nan))))
    assert {row["fold_accuracy"] for row in rows} == {""}
    assert "nan" not in training_csv(_compared(FakeTrained(0.9, clock, curve=math.nan)))


def test_range_csv_marks_the_rate_that_was_chosen(clock: Clock) -> None:
    text = range_csv(_compared(FakeTrained(0.9, clock), _scratch(0.6, clock)))
    assert text.splitlines()[0] == "candidate,learning_rate,loss,chosen"
    rows = _rows(text)
    assert len(rows) == 2 * 3  # once for each candidate, on its first fold
    assert [float(row["learning_rate"]) for row in rows if row["chosen"] == "1"] == [RATE, RATE]
    assert [row["chosen"] for row in rows] == ["0", "1", "0"] * 2


def test_without_a_network_there_is_no_training(clock: Clock) -> None:
    comparison = _compared(Fake(0.7, "probe"))
    assert training_csv(comparison) == range_csv(comparison) == ""


# --- would more photos help


def _curve(data: regraft.Dataset, comparison: Comparison) -> LearningCurve | None:
    return learning_curve_entry(data, comparison, seed=0, jobs=None, progress=silent)


def test_the_learning_curve_is_that_of_the_best_probe(photo_folder: Path) -> None:
    data = scan(photo_folder)
    comparison = raced([regraft.Knn(), regraft.LinearProbe()], data, folds=3, repeats=1)
    found = _curve(data, comparison)
    assert found is not None
    assert found.approach == "linear_probe"
    assert "which is quick to measure" not in found.text
    assert _curve(data, raced([regraft.Knn()], data, folds=3, repeats=1)) is None


def test_whose_curve_it_is_where_something_else_won(photo_folder: Path) -> None:
    data = scan(photo_folder)
    winner = Fake(1.0, "perfect", parameters=1)
    comparison = raced([regraft.LinearProbe(), winner], data, folds=3, repeats=1)
    assert comparison.best is winner
    found = _curve(data, comparison)
    assert found is not None
    assert found.text.endswith(
        "This is the curve of linear_probe on efficientnet_lite0, which is quick to measure, not "
        "of the chosen approach."
    )
