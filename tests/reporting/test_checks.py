from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from regraft.dataset import Row
from regraft.issues import Issue
from regraft.metrics import Estimate
from regraft.reporting.checks import Check, trust_checks
from regraft.runs import Run
from tests.reporting.sample_runs import make_run


def answers(run: Run) -> dict[str, Check]:
    return {check.claim: check for check in trust_checks(run)}


GUESSING = "Better than always naming the most frequent class"
ENOUGH = "Enough photos to know the accuracy well"
AGREE = "Test set and cross-validation agree"
LEAK = "No photo it was tested on was known from training"
CLASSES = "No class is left behind"
USED = "Every photo could be used"


def with_accuracy(run: Run, value: float, low: float, high: float) -> Run:
    changed = [
        dataclasses.replace(e, accuracy=Estimate(value, low, high, "wilson"))
        for e in run.evaluations
    ]
    return dataclasses.replace(run, evaluations=tuple(changed))


def test_a_good_run_is_trusted(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=100, wrong=0.1, write_images=False)
    found = answers(with_accuracy(run, 0.9, 0.86, 0.93))
    for claim in (GUESSING, ENOUGH, LEAK, CLASSES, USED):
        assert found[claim].answer == "yes", claim
    assert AGREE not in found  # there is no test set


@pytest.mark.parametrize(
    ("value", "low", "answer"), [(0.6, 0.52, "yes"), (0.6, 0.45, "careful"), (0.5, 0.4, "no")]
)
def test_guessing_is_the_bar(tmp_path: Path, value: float, low: float, answer: str) -> None:
    run = with_accuracy(make_run(tmp_path, write_images=False), value, low, 0.7)
    assert answers(run)[GUESSING].answer == answer


def test_a_wide_interval_asks_for_more_photos(tmp_path: Path) -> None:
    found = answers(make_run(tmp_path, train=6, write_images=False))[ENOUGH]
    assert found.answer == "careful"
    assert "Four times as many photos would halve it." in found.reason


def test_estimates_that_disagree_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=100, test=60, write_images=False)
    assert answers(run)[AGREE].answer == "yes"
    test, other = run.evaluations
    low = dataclasses.replace(test, accuracy=Estimate(0.5, 0.4, 0.6, "wilson"))
    found = answers(dataclasses.replace(run, evaluations=(low, other)))[AGREE]
    assert found.answer == "careful"
    assert "of another kind" in found.reason


def test_leaks_are_named(tmp_path: Path) -> None:
    leak = Issue("test/0/0.jpg", "leakage", 1.0, "train/0/0.jpg")
    left_out = Row("copy.jpg", "", "cat", "train", status="excluded", reason="copy of a test image")
    still_in = make_run(tmp_path, test=2, issues=[leak], write_images=False)
    gone = Issue("test/0/0.jpg", "leakage", 1.0, "copy.jpg (near duplicate)")
    handled = make_run(tmp_path, test=2, issues=[gone], more_rows=[left_out], write_images=False)
    one_of_two = make_run(
        tmp_path, test=2, issues=[gone, leak], more_rows=[left_out], write_images=False
    )
    assert answers(still_in)[LEAK].answer == "careful"
    assert answers(handled)[LEAK].answer == "yes"
    assert answers(one_of_two)[LEAK].answer == "careful"
    assert answers(one_of_two)[LEAK].reason.startswith("1 test photo has")
    assert "1 test photo has a copy" in answers(handled)[LEAK].reason


def test_a_class_that_is_not_recognised_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=30, wrong=0.8, write_images=False)
    found = answers(run)[CLASSES]
    assert found.answer == "no"
    assert "“cat”" in found.reason


def test_files_that_were_lost_and_warnings_are_named(tmp_path: Path) -> None:
    lost = Row("a.jpg", status="unreadable", reason="the file is empty")
    run = make_run(tmp_path, more_rows=[lost], about={"warnings": ["slow"]}, write_images=False)
    assert answers(run)[USED].answer == "careful"
    assert answers(run)["A warning from the run"].reason == "slow"


def test_a_run_without_evaluation_is_not_trusted(tmp_path: Path) -> None:
    (check,) = trust_checks(make_run(tmp_path, evaluations=[], write_images=False))
    assert check.answer == "no"
