"""Evaluation: what is scored, with which interval, and that it survives JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import regraft
from regraft.dataset import scan
from regraft.errors import DataError
from regraft.evidence.evaluation import Evaluation, evaluate_probabilities, evaluation_csv
from regraft.metrics import METRICS
from regraft.metrics.rates import FewerImages
from tests.commands import copy_photos


def _evaluation(*, repeats: int = 1, groups: np.ndarray | None = None) -> Evaluation:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    scores = rng.normal(size=(repeats, 60, 3)) + 1.5 * np.eye(3)[labels]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    return evaluate_probabilities(
        "test",
        labels=labels,
        probabilities=probabilities,
        classes=("a", "b", "c"),
        groups=np.arange(60) if groups is None else groups,
    )


def test_every_metric_has_its_interval() -> None:
    found = _evaluation()
    for name in METRICS:
        estimate = found.metrics[name]
        assert estimate.low <= estimate.value <= estimate.high, name
        assert estimate.high > estimate.low, name
    assert found.accuracy.method == "wilson"
    assert found.majority_share == pytest.approx(1 / 3)
    assert found.confusion.sum() == 60
    assert sum(score.n for score in found.per_class.values()) == 60
    assert np.trace(found.confusion) / 60 == pytest.approx(found.accuracy.value)


def test_repeats_average_and_count_images_once() -> None:
    once, thrice = _evaluation(), _evaluation(repeats=3)
    assert thrice.n == once.n == 60
    assert thrice.confusion.sum() == pytest.approx(60)
    assert len(thrice.accuracy_by_repeat) == 3
    assert np.mean(thrice.accuracy_by_repeat) == pytest.approx(thrice.accuracy.value)
    # Three predictions of an image are not three images: the interval must not shrink by them.
    assert thrice.accuracy.high - thrice.accuracy.low > 0.9 * (
        once.accuracy.high - once.accuracy.low
    )


def test_groups_are_resampled_whole() -> None:
    found = _evaluation(groups=np.arange(60) // 6)
    assert found.accuracy.method == "bootstrap over groups"
    assert found.metrics["log_loss"].method == "bootstrap over groups"


def _with_fewer(share: float, *, worse: bool) -> Evaluation:
    """120 images of three classes by folds, 20 of them wrong; with fewer images 36, or 4."""
    labels = np.arange(120) % 3

    def probabilities(wrong: int) -> np.ndarray:
        answers = np.where(np.arange(120) < wrong, (labels + 1) % 3, labels)
        return 0.2 + 0.4 * np.eye(3)[answers][None]

    return evaluate_probabilities(
        "cross-validation",
        labels=labels,
        probabilities=probabilities(20),
        classes=("a", "b", "c"),
        groups=np.arange(120),
        folds=5,
        fewer=FewerImages(np.tile(probabilities(36 if worse else 4), (4, 1, 1)), share),
    )


def test_intervals_reach_as_far_as_all_images_are_expected_to_bring() -> None:
    plain, raised = _with_fewer(0.0, worse=True), _with_fewer(0.6, worse=True)
    gain = 0.6 * 16 / 120
    assert raised.expected_gain == pytest.approx(gain)
    assert plain.expected_gain == 0.0
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc"):
        before, after = plain.metrics[name], raised.metrics[name]
        assert (after.value, after.low) == (before.value, before.low), name
        assert after.high > before.high, name
    assert raised.accuracy.high == pytest.approx(plain.accuracy.high + gain)
    assert raised.balanced_accuracy.high == pytest.approx(plain.balanced_accuracy.high + gain)
    before, after = plain.metrics["log_loss"], raised.metrics["log_loss"]
    assert after.high == before.high
    assert after.low == pytest.approx(before.low - gain * (np.log(0.6) - np.log(0.2)))
    assert raised.ece == plain.ece
    before, after = plain.per_class["a"].recall, raised.per_class["a"].recall
    assert after.low == before.low
    assert after.high == pytest.approx(before.high + 0.6 * 5 / 40)  # 12 wrong instead of 7


def test_an_interval_below_zero_ends_where_its_metric_does(monkeypatch: pytest.MonkeyPatch) -> None:
    row = dataclasses.replace(
        METRICS["accuracy"],
        statistic=lambda *rows: -METRICS["accuracy"].statistic(*rows),
        higher_is_better=False,
        lowest=-1.0,
    )
    monkeypatch.setitem(METRICS, "below", row)
    plain, raised, far = (_with_fewer(share, worse=True) for share in (0.0, 0.6, 60.0))
    before, after = plain.metrics["below"], raised.metrics["below"]
    assert -1 < after.low < before.low < before.value == after.value < 0
    assert after.high == before.high < 0
    assert far.metrics["below"].low == -1


def test_a_curve_that_falls_moves_no_interval() -> None:
    assert _with_fewer(0.6, worse=False).to_dict() == _with_fewer(0.0, worse=False).to_dict()


def test_the_interval_of_the_calibration_error_reaches_down_as_far_as_up() -> None:
    random = np.random.default_rng(0)
    p = random.uniform(0.5, 1.0, 200)
    labels = (random.random(200) > p).astype(np.int64)  # perfectly calibrated, 0 but for noise
    found = evaluate_probabilities(
        "test",
        labels=labels,
        probabilities=np.stack([p, 1 - p], axis=1)[None],
        classes=("a", "b"),
        groups=np.arange(200),
    )
    assert found.ece.low <= 2 * found.ece.value - found.ece.high or found.ece.low == 0.0
    assert found.ece.low < 0.01


def test_evaluations_survive_json() -> None:
    found = _evaluation(repeats=2)
    text = json.dumps(found.to_dict(), allow_nan=False)
    again = Evaluation.from_dict(json.loads(text))
    assert again.to_dict() == found.to_dict()
    older = json.loads(text)
    del older["expected_gain"]
    assert Evaluation.from_dict(older).expected_gain == 0.0


def test_a_run_from_before_a_metric_existed_is_read() -> None:
    written = json.loads(json.dumps(_evaluation().to_dict()))
    newer = [name for name in METRICS if name != "accuracy"]
    for name in newer:
        older = Evaluation.from_dict({key: written[key] for key in written if key != name})
        assert math.isnan(older.metrics[name].value)
        assert older.to_dict()[name]["method"] == "not measured"
        assert older.to_dict() | {name: written[name]} == written
    oldest = Evaluation.from_dict({key: written[key] for key in written if key not in newer})
    assert f"{newer[-1]},,,,not measured" in evaluation_csv(oldest)
    with pytest.raises(ValueError, match="accuracy"):
        Evaluation.from_dict({key: written[key] for key in written if key != "accuracy"})


def test_what_a_later_version_adds_is_passed_over() -> None:
    written = _evaluation().to_dict()
    later = {**written, "brier": 0.1}
    later["reliability"] = [{**bin_, "median": 0.5} for bin_ in written["reliability"]]
    assert Evaluation.from_dict(later).to_dict() == written


def test_one_class_in_the_test_set_has_no_roc_auc() -> None:
    found = evaluate_probabilities(
        "test",
        labels=np.zeros(5, dtype=np.int64),
        probabilities=np.array([[[0.9, 0.1]] * 5]),
        classes=("a", "b"),
        groups=np.arange(5),
    )
    assert math.isnan(found.metrics["roc_auc"].value)
    assert found.to_dict()["roc_auc"]["value"] is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_csv_has_a_line_for_each_metric() -> None:
    lines = evaluation_csv(_evaluation()).splitlines()
    assert lines[0] == "metric,value,low,high,method"
    assert [line.split(",")[0] for line in lines[1:]] == list(METRICS)


def test_a_model_is_scored_on_other_data(
    photo_folder: Path, test_data: Path, tmp_path: Path
) -> None:
    model = regraft.Knn().fit(scan(photo_folder))
    for name in ("clean", "messy"):
        copy_photos(test_data / "rooms" / "train" / name, tmp_path / "new" / name, 3, skip=12)
    found = regraft.evaluate(model, tmp_path / "new")
    assert (found.on, found.n, found.overlap.left_out) == ("test", 6, 0)
    shutil.copytree(photo_folder / "clean", tmp_path / "more" / "clean")
    shutil.copytree(photo_folder / "messy", tmp_path / "more" / "untidy")
    with pytest.raises(DataError, match=r"not trained on: untidy; it knows clean, messy"):
        regraft.evaluate(model, tmp_path / "more")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        regraft.evaluate(model, tmp_path / "empty")
