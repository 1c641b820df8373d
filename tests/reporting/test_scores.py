from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from regraft.evidence.evaluation import Evaluation
from regraft.metrics import METRICS
from regraft.metrics.rates import ReliabilityBin
from regraft.reporting.scores import (
    details,
    headline,
    headline_first,
    headline_of,
    hero,
    metrics,
)
from tests.reporting.sample_runs import make_run


def evaluations(tmp_path: Path, *, train: int, test: int) -> tuple[Evaluation, ...]:
    return make_run(tmp_path, train=train, test=test, write_images=False).evaluations


@pytest.mark.parametrize(
    ("test", "on"), [(50, "test"), (5, "cross-validation"), (0, "cross-validation")]
)
def test_which_estimate_leads(tmp_path: Path, test: int, on: str) -> None:
    run = make_run(tmp_path, train=100, test=test, write_images=False)
    first = headline(run.evaluations)
    assert first is not None
    assert first.on == on
    assert headline_of(run) is first
    assert headline_first(run)[0] is first
    assert headline([]) is None


def test_a_test_set_of_which_training_holds_a_part_does_not_lead(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=100, test=200, write_images=False)
    in_both = {run.data.train[0].path: "series 1", run.data.test[0].path: "series 1"}
    leaking = dataclasses.replace(run, data=run.data.with_groups(in_both))
    assert run.test_is_independent
    assert not leaking.test_is_independent
    for one, on in ((run, "test"), (leaking, "cross-validation")):
        first = headline_of(one)
        assert first is not None
        assert first.on == on
        assert headline_first(one)[0].on == on


def test_metrics_of_all_estimates_share_an_axis(tmp_path: Path) -> None:
    found = metrics(evaluations(tmp_path, train=40, test=20))
    assert [chart.title for chart in found] == [metric.title for metric in METRICS.values()]
    for metric in found:
        assert [m.on for m in metric.measured] == ["test", "cross-validation"]
        marks = [m.mark for m in metric.measured if m.mark]
        assert len(marks) == 2
        assert all(mark.low <= mark.value <= mark.high for mark in marks)
    rates = [c for c, m in zip(found, METRICS.values(), strict=True) if not m.own_axis]
    assert len(rates) == 4
    assert {chart.scale.low for chart in rates} == {rates[0].scale.low}


def test_the_first_chart_reaches_down_to_guessing(tmp_path: Path) -> None:
    found = hero(evaluations(tmp_path, train=100, test=0))
    assert found.scale.low <= 0.5
    assert found.guess == found.scale.at(0.5)


@pytest.mark.parametrize(
    ("confidence", "n", "words"),
    [
        (0.95, 1000, "too sure of itself, by 15.0 points"),
        (0.65, 1000, "too cautious, by 15.0 points"),
        (0.81, 1000, "neither too sure of itself nor too cautious"),
        (0.9, 10, "neither too sure of itself nor too cautious, as far as 10 photos can tell"),
    ],
)
def test_calibration_in_words(tmp_path: Path, confidence: float, n: int, words: str) -> None:
    (found,) = evaluations(tmp_path, train=10, test=0)
    bins = (ReliabilityBin(0.6, 1.0, n, confidence, 0.8),)
    found = dataclasses.replace(found, reliability=bins, n=n)
    assert words in details(found).reliability.sentences[0]


def test_bins_of_a_few_photos_are_drawn_but_not_put_in_words(tmp_path: Path) -> None:
    (found,) = evaluations(tmp_path, train=10, test=0)
    bins = (ReliabilityBin(0.5, 0.6, 2, 0.55, 0.0), ReliabilityBin(0.9, 1.0, 18, 0.95, 1.0))
    reliability = details(dataclasses.replace(found, reliability=bins)).reliability
    assert len(reliability.points) == 2
    assert len(reliability.sentences) == 2
    assert "When it says 90 to 100" in reliability.sentences[1]
    nothing = details(dataclasses.replace(found, reliability=())).reliability
    assert nothing.sentences == ("No confidence was stored.",)


def test_counts_are_whole_numbers_and_means_of_earlier_versions_are_no_counts(
    tmp_path: Path,
) -> None:
    (found,) = evaluations(tmp_path, train=10, test=0)
    assert details(found).confusion.repeats == 1
    assert details(found).confusion.cells[0][0].count == "8"
    repeated = dataclasses.replace(
        found, accuracy_by_repeat=(0.8, 0.9), confusion=found.confusion / 3
    )
    assert details(repeated).confusion.repeats == 2
    cell = details(repeated).confusion.cells[0][0]
    assert (cell.count, cell.share) == ("", 0.8)
