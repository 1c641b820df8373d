"""How training went: what is read, what is drawn, and the rule for over- and underfitting."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.reporting.training import Epoch, how_training_went, judge, mean_epochs
from regraft.runs import Run
from tests.reporting.page import squeezed
from tests.reporting.sample_runs import make_run, write_training

NAME = "fine_tune on efficientnet_lite0, last 2 stages"


def run_in(tmp_path: Path) -> Run:
    return dataclasses.replace(make_run(tmp_path / "photos", write_images=False), folder=tmp_path)


def epochs(losses: list[tuple[float, float]], *, gap: float = 0.0) -> list[Epoch]:
    return [Epoch(i, a, 0.9, b, 0.9 - gap) for i, (a, b) in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "gap", "answer", "words"),
    [
        ([(1.0, 1.0), (0.5, 0.5), (0.3, 0.6), (0.1, 0.9)], 0.0, "overfits", "after epoch 2"),
        ([(1.0, 1.0), (0.5, 0.5), (0.4, 0.5), (0.4, 0.5)], 0.2, "overfits", "90.0 % of its"),
        ([(1.0, 1.0), (0.8, 0.8), (0.6, 0.6), (0.4, 0.4)], 0.02, "underfits", "by 33 % since"),
        ([(1.0, 1.0), (0.5, 0.5), (0.4, 0.4), (0.4, 0.4)], 0.02, "fits", "neither over- nor"),
        ([(1.0, 1.0), (0.5, 0.4), (0.6, 0.5), (0.7, 0.6)], 0.0, "fits", "neither"),
        ([(1.0, 1.0), (0.5, 0.5)], 0.0, "unknown", "2 epochs with a loss on both sides"),
        ([(1.0, math.nan)] * 5, 0.0, "unknown", "0 epochs"),
    ],
)
def test_the_rule(losses: list[tuple[float, float]], gap: float, answer: str, words: str) -> None:
    found, sentence = judge(epochs(losses, gap=gap))
    assert found == answer
    assert words in squeezed(sentence)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=12), st.floats(-1, 1))
def test_any_losses_get_one_sentence(losses: list[tuple[float, float]], gap: float) -> None:
    answer, sentence = judge(epochs(losses, gap=gap))
    assert answer in {"overfits", "underfits", "fits", "unknown"}
    assert sentence.endswith(".")
    assert "nan" not in sentence


def test_epochs_that_few_folds_reached_are_left_out() -> None:
    long = epochs([(1.0, 1.0), (0.5, 0.5), (0.4, 0.4)])
    short = epochs([(0.0, 0.0)])
    means = mean_epochs([long, short, short])
    assert [(e.number, e.train_loss) for e in means] == [(1, pytest.approx(1 / 3))]


def test_draws_loss_accuracy_schedule_and_range_test(tmp_path: Path) -> None:
    write_training(tmp_path, folds=3)
    (found,) = how_training_went(run_in(tmp_path))
    assert found.candidate == NAME
    assert found.answer == "overfits"
    assert [plot.title for plot in found.plots] == [
        "Loss by epoch",
        "Accuracy by epoch",
        "Learning rate by step",
        "Learning-rate range test",
    ]
    loss, accuracy, schedule, test = found.plots
    assert [line.kind for line in loss.lines].count("fold faint") == 3
    assert [line.kind for line in loss.lines[-2:]] == ["train", "fold"]
    assert "on training photos from 0.52 to" in loss.label
    assert "%" in accuracy.label
    assert "highest 2e-4" in schedule.label
    assert "after 120 steps" in schedule.label
    assert len(test.upright) == 1
    assert test.label.endswith("was chosen")
    assert found.folds == "Thick lines are means over 3 folds, thin ones single folds."


def test_one_fold_needs_no_mean(tmp_path: Path) -> None:
    write_training(tmp_path, folds=1, overfits=False)
    (found,) = how_training_went(run_in(tmp_path))
    assert [line.kind for line in found.plots[0].lines] == ["train", "fold"]
    assert found.folds == ""
    assert found.answer != "overfits"


def test_neither_file_is_there(tmp_path: Path) -> None:
    assert how_training_went(run_in(tmp_path)) == ()


def test_only_the_range_test_is_there(tmp_path: Path) -> None:
    write_training(tmp_path)
    (tmp_path / "training.csv").unlink()
    (found,) = how_training_went(run_in(tmp_path))
    assert [plot.title for plot in found.plots] == ["Learning-rate range test"]
    assert found.sentence == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate,fold\n",
        "not a table at all",
        "candidate,fold,epoch,step,learning_rate,train_loss\nx,0,one,,y,z\n",
        "candidate,fold,epoch,step,learning_rate,train_loss,train_accuracy,fold_loss,fold_accuracy\n"
        "x,0,1,,1e-3,nan,inf,,\nx,0,2,,1e-3,nan\n",
        "a\x00b\n\x00",
    ],
)
def test_damaged_files_do_not_break_the_page(tmp_path: Path, text: str) -> None:
    (tmp_path / "training.csv").write_text(text)
    (tmp_path / "lr_range.csv").write_text(text)
    assert all(not found.plots for found in how_training_went(run_in(tmp_path)))
