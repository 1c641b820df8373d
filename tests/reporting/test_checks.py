from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regraft.dataset import Row
from regraft.evidence.evaluation import Evaluation, evaluate_probabilities
from regraft.inspection.issues import Issue
from regraft.metrics.rates import Estimate, ReliabilityBin
from regraft.reporting.answers import Check
from regraft.reporting.checks import trust_checks
from regraft.runs import ImagePrediction, Run
from regraft.training_contents import Overlap
from tests.reporting.sample_runs import ABOUT, AUDIT, make_run, with_estimates


def answers(run: Run) -> dict[str, Check]:
    return {check.claim: check for check in trust_checks(run)}


UNSEEN = "Measured only on photos it had not been trained on"
GUESSING = "Better than always naming the most frequent class"
ENOUGH = "Enough photos to know the accuracy well"
AGREE = "Test set and cross-validation agree"
LEAK = "No photo it was tested on was known from training"
CLASSES = "No class is left behind"
MADE = "Nothing but the content gives the class away"
PLAIN = "No plain fact alone tells the class"
LABELS = "No label is clearly contradicted by the model"
MEANT = "When it says 90\N{NARROW NO-BREAK SPACE}%, it means it"
USED = "Every photo could be used"


def with_accuracy(run: Run, value: float, low: float, high: float) -> Run:
    changed = [
        with_estimates(e, accuracy=Estimate(value, low, high, "wilson")) for e in run.evaluations
    ]
    return dataclasses.replace(run, evaluations=tuple(changed))


def test_a_good_run_is_trusted(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=100, wrong=0.1, write_images=False)
    found = answers(with_accuracy(run, 0.9, 0.86, 0.93))
    for claim in (UNSEEN, GUESSING, ENOUGH, LEAK, CLASSES, LABELS, USED):
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
    low = with_estimates(test, accuracy=Estimate(0.5, 0.4, 0.6, "wilson"))
    found = answers(dataclasses.replace(run, evaluations=(low, other)))[AGREE]
    assert found.answer == "careful"
    assert "of another kind" in found.reason


def test_leaks_are_named(tmp_path: Path) -> None:
    leak = Issue("test/0/0.jpg", "leakage", 1.0, "train/0/0.jpg", "train/0/0.jpg")
    left_out = Row("copy.jpg", "", "cat", "train", status="excluded", reason="copy of a test image")
    still_in = make_run(tmp_path, test=2, issues=[leak], write_images=False)
    gone = Issue("test/0/0.jpg", "leakage", 1.0, "copy.jpg (near duplicate)", "copy.jpg")
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


def test_files_that_were_lost_are_named(tmp_path: Path) -> None:
    lost = Row("a.jpg", status="unreadable", reason="the file is empty")
    run = make_run(tmp_path, more_rows=[lost], write_images=False)
    assert answers(run)[USED].answer == "careful"


def test_a_run_without_evaluation_is_not_trusted(tmp_path: Path) -> None:
    (check,) = trust_checks(make_run(tmp_path, evaluations=[], write_images=False))
    assert check.answer == "no"


# --- a tick has to be earned


def evaluation(counts: Sequence[Sequence[int]], classes: Sequence[str], on: str) -> Evaluation:
    """An Evaluation with such a confusion matrix."""
    pairs = [(i, j) for i, row in enumerate(counts) for j, n in enumerate(row) for _ in range(n)]
    labels, said = np.array(pairs).T
    probabilities = np.full((len(labels), len(classes)), 0.05)
    probabilities[np.arange(len(labels)), said] = 1 - 0.05 * (len(classes) - 1)
    return evaluate_probabilities(
        on,
        labels=labels,
        probabilities=probabilities[None],
        classes=tuple(classes),
        groups=np.arange(len(labels)),
    )


def run_of(
    tmp_path: Path, counts: Sequence[Sequence[int]], classes: Sequence[str], **options: Any
) -> Run:
    """A run whose test set has such a confusion matrix."""
    found = evaluation(counts, classes, "test")
    return make_run(
        tmp_path, classes=classes, train=2, evaluations=[found], write_images=False, **options
    )


FABRIC = ("global", "local", "nominal")


def test_a_weak_class_is_no_tick(tmp_path: Path) -> None:
    # The demo: 23 of 100 local defects pass as good.
    run = run_of(tmp_path, [[100, 0, 0], [0, 77, 23], [0, 10, 190]], FABRIC)
    found = answers(run)[CLASSES]
    assert found.answer == "careful"
    assert "The weakest is “local”: 77.0" in found.reason
    assert "against 96.7" in found.reason
    assert "; 23 of 100 are taken for “nominal”." in found.reason


def test_classes_that_cannot_be_told_apart_are_a_tick(tmp_path: Path) -> None:
    rooms = run_of(tmp_path, [[92, 4], [5, 91]], ("clean", "messy"))
    assert answers(rooms)[CLASSES].answer == "yes"
    weakest_of_ten = np.full((10, 10), 0) + np.diag([18, 20, 19, 20, 20, 20, 19, 20, 20, 20])
    weakest_of_ten[[0, 0, 2, 6], [3, 4, 1, 5]] = 1
    names = [f"c{i}" for i in range(10)]
    assert answers(run_of(tmp_path, weakest_of_ten.tolist(), names))[CLASSES].answer == "yes"


def test_a_class_that_is_clearly_behind_is_told_though_it_is_good(tmp_path: Path) -> None:
    run = run_of(tmp_path, [[990, 10], [60, 940]], ("a", "b"))
    assert answers(run)[CLASSES].answer == "careful"


def test_a_class_that_is_often_named_wrongly_is_told(tmp_path: Path) -> None:
    run = run_of(tmp_path, [[20, 0], [30, 970]], ("rare", "common"))
    found = answers(run)[CLASSES]
    assert found.answer == "careful"
    assert "When it says “rare”, it is right on 40.0" in found.reason


def test_a_class_without_photos_is_not_said_to_be_recognised(tmp_path: Path) -> None:
    run = run_of(tmp_path, [[50, 0, 0], [0, 50, 0], [0, 0, 0]], FABRIC)
    assert "Not judged, for want of a photo to test on: “nominal”." in answers(run)[CLASSES].reason
    lone = Row("rare/1.jpg", "e" * 64, "rare", status="excluded", reason="only 1 image")
    run = run_of(tmp_path, [[50, 0], [0, 50]], ("a", "b"), more_rows=[lone])
    found = answers(run)[CLASSES]
    assert found.answer == "careful"
    assert "Not known to the model, because its photos were left out: “rare”." in found.reason


def shortcuts(guess: float, incidental: float, content: float, **alone: float) -> dict[str, Any]:
    """What facts alone tell, as run.json has it; the facts named alone are of the content."""

    def told(value: float) -> dict[str, Any]:
        return {"value": value, "low": value - 0.07, "high": value + 0.07, "method": "wilson"}

    culprits = [
        {
            "name": name.replace("_", " "),
            "kind": "content",
            "accuracy": told(value),
            "p": 0.0025,
            "told": (value - guess) / (1 - guess),
        }
        for name, value in alone.items()
    ]
    return {
        "guess": guess,
        "incidental": told(incidental),
        "content": told(content),
        "culprits": culprits,
        "images": 192,
    }


def with_shortcuts(tmp_path: Path, found: dict[str, Any]) -> dict[str, Check]:
    about = {**ABOUT, "audit": {**AUDIT, "shortcuts": found}}
    return answers(make_run(tmp_path, about=about, write_images=False))


def test_a_plain_fact_that_tells_the_class_is_told_as_what_it_is(tmp_path: Path) -> None:
    # Rooms: brightness alone tells 73 %, and how a file was made less than guessing does.
    rooms = shortcuts(0.5, 0.349, 0.755, file_size=0.734, brightness=0.729)
    found = with_shortcuts(tmp_path, rooms)
    assert found[PLAIN].answer == "careful"
    assert found[PLAIN].reason.startswith("File size alone tells the class of 73.4")
    assert "brightness alone tells the class of 72.9" in found[PLAIN].reason
    assert "legitimate only if such a fact is the subject itself" in found[PLAIN].reason
    assert found[MADE].answer == "yes"
    assert "tell no more than guessing does (50.0" in found[MADE].reason


def test_facts_that_tell_nothing_are_a_tick(tmp_path: Path) -> None:
    found = with_shortcuts(tmp_path, shortcuts(0.5, 0.52, 0.53))
    assert (found[MADE].answer, found[PLAIN].answer) == ("yes", "yes")
    assert "tell the class of 53.0" in found[PLAIN].reason
    assert "little more than guessing (50.0" in found[PLAIN].reason


def test_facts_that_tell_the_class_only_together_are_no_tick(tmp_path: Path) -> None:
    found = with_shortcuts(tmp_path, shortcuts(0.5, 0.8, 0.7))
    assert (found[MADE].answer, found[PLAIN].answer) == ("careful", "careful")
    assert "little more" not in found[MADE].reason + found[PLAIN].reason
    assert "together tell the class of 80.0" in found[MADE].reason
    assert found[PLAIN].reason.startswith("Brightness, contrast, sharpness, colour and file size ")


def suspects(run: Run, sure: float, said: str) -> Run:
    """The run with every training photo of the first class doubted."""
    predictions = [
        dataclasses.replace(p, predicted=said, confidence=sure)
        if p.label == run.data.classes[0]
        else p
        for p in run.predictions
    ]
    predictions = [p for p in predictions if p.label]
    issues = [
        Issue(p.path, "label_suspect", 0.9, f"labelled {p.label}, looks like {said}")
        for p in predictions
        if p.label == run.data.classes[0]
    ]
    return dataclasses.replace(run, predictions=tuple(predictions), issues=tuple(issues))


def test_doubtful_labels_are_told_as_what_they_are(tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=("local", "nominal", "global"), write_images=False)
    unsure = answers(suspects(run, 0.7, "nominal"))[LABELS]
    assert unsure.answer == "yes"
    assert "Hard photos or wrong labels: only a look at them tells." in unsure.reason
    assert "Nearly all of them (12 of 12) are labelled 'global'" in unsure.reason
    sure = answers(suspects(run, 0.97, "nominal"))[LABELS]
    assert sure.answer == "careful"
    assert "at least 90 % sure of another class on 12 of 12" in sure.reason


def overlapping(run: Run, **overlap: Any) -> Run:
    changed = [dataclasses.replace(e, overlap=Overlap(**overlap)) for e in run.evaluations]
    return dataclasses.replace(run, evaluations=tuple(changed))


def test_what_the_backbone_knew_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=50, test=60, write_images=False)
    known = overlapping(run, flattering=40)
    found = answers(known)[UNSEEN]
    assert found.answer == "no"
    assert "had been trained on 40 of the 120 and 40 of the 100 photos" in found.reason
    for claim in (GUESSING, CLASSES, MEANT, LEAK):
        assert answers(known)[claim].answer != "yes", claim
    assert answers(known)[GUESSING].reason.endswith("See above: it is flattered.")
    assert answers(run)[GUESSING].answer == "yes"
    test, other = run.evaluations
    folds_only = (test, dataclasses.replace(other, overlap=Overlap(flattering=100)))
    found = answers(dataclasses.replace(run, evaluations=folds_only))[UNSEEN]
    assert found.answer == "careful"
    assert "100 of the 100 photos of cross-validation before, labels included" in found.reason
    unknown = answers(overlapping(run, is_complete=False))[UNSEEN]
    assert unknown.answer == "careful"
    assert "is not recorded" in unknown.reason


def test_a_small_test_set_agrees_with_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=100, test=5, write_images=False)
    found = answers(run)[AGREE]
    assert found.answer == "careful"
    assert "With 10 photos in the test set, larger differences would not show." in found.reason


def test_intervals_that_touch_may_still_differ(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=100, test=60, write_images=False)
    pairs = zip(run.evaluations, ((0.80, 0.75, 0.85), (0.88, 0.84, 0.92)), strict=True)
    changed = [with_estimates(e, accuracy=Estimate(*numbers, "wilson")) for e, numbers in pairs]
    found = answers(dataclasses.replace(run, evaluations=tuple(changed)))[AGREE]
    assert found.answer == "careful"
    assert "of another kind" in found.reason


@pytest.mark.parametrize(
    ("n", "confidence", "accuracy", "answer"),
    [(200, 0.96, 0.95, "yes"), (200, 0.97, 0.85, "careful"), (0, 0.0, 0.0, "careful")],
)
def test_ninety_percent_is_asked_for_where_it_is_said(
    tmp_path: Path, n: int, confidence: float, accuracy: float, answer: str
) -> None:
    (found,) = make_run(tmp_path, train=100, write_images=False).evaluations
    bins = (ReliabilityBin(0.5, 0.6, 200, 0.55, 0.55),)
    bins += (ReliabilityBin(0.9, 1.0, n, confidence, accuracy),) if n else ()
    ece = Estimate(0.02, 0.01, 0.04, "bootstrap")
    found = dataclasses.replace(with_estimates(found, ece=ece), reliability=bins)
    run = make_run(tmp_path, train=100, evaluations=[found], write_images=False)
    assert answers(run)[MEANT].answer == answer


def test_what_was_not_looked_for_is_no_tick(tmp_path: Path) -> None:
    series = AUDIT["series"]
    for audit, answer, reason in (
        ({}, "careful", "near copies and series of photos such as frames of a film were not"),
        ({"near_copies": True}, "careful", "series of photos such as frames of a film were not"),
        ({"near_copies": False, "series": series}, "careful", "near copies were not looked for"),
        ({"near_copies": True, "series": {**series, "cut": ["cat"]}}, "no", "of one series"),
        ({"near_copies": True, "series": {**series, "parted": 2}}, "careful", "2 series have"),
        (AUDIT, "yes", "series and named groups stay on one side of every split"),
    ):
        run = make_run(tmp_path, about={**ABOUT, "audit": audit}, write_images=False)
        check = answers(run)[LEAK]
        assert check.answer == answer, audit
        assert reason in check.reason


def test_a_run_without_predictions_says_nothing_of_labels(tmp_path: Path) -> None:
    run = dataclasses.replace(make_run(tmp_path, write_images=False), predictions=())
    assert LABELS not in answers(run)
    new = ImagePrediction("a.jpg", "", "cat", 0.9, "", -1, (0.9, 0.1))
    assert LABELS not in answers(dataclasses.replace(run, predictions=(new,)))
