"""The same photos in two runs, and whether the runs can be told apart on them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from regraft.dataset import Dataset, Row
from regraft.evidence.evaluation import CROSS_VALIDATION, TEST
from regraft.metrics.rates import Estimate
from regraft.runs import ImagePrediction, Run
from regraft.runs.pairing import Opinions, Paired, opinions, paired_accuracy, predictions_on
from tests.reporting.sample_runs import make_run

Changed = Callable[[ImagePrediction], ImagePrediction | None]


def changed(run: Run, change: Changed) -> Run:
    """The run with other predictions; None leaves one out."""
    kept = [p for old in run.predictions if (p := change(old)) is not None]
    return dataclasses.replace(run, predictions=tuple(kept))


def said(p: ImagePrediction, predicted: str) -> ImagePrediction:
    return dataclasses.replace(p, predicted=predicted)


def number(p: ImagePrediction) -> int:
    return int(Path(p.path).stem)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """40 training photos of each of two classes, 8 of each wrong; 10 test photos, 2 wrong."""
    return make_run(tmp_path, train=40, test=10, write_images=False)


def test_test_set_and_cross_validation_are_kept_apart(run: Run) -> None:
    assert len(predictions_on(run, TEST)) == 20
    assert len(predictions_on(run, CROSS_VALIDATION)) == 80
    assert {p.split for p in predictions_on(run, TEST).values()} == {"test"}


def test_photos_without_a_label_and_training_photos_never_predicted_do_not_count(run: Run) -> None:
    new = ImagePrediction("new.jpg", "", "cat", 0.9, "", -1, (0.9, 0.1))
    fitted = ImagePrediction("fitted.jpg", "cat", "cat", 0.9, "train", -1, (0.9, 0.1))
    more = dataclasses.replace(run, predictions=(*run.predictions, new, fitted))
    for on in (TEST, CROSS_VALIDATION):
        assert predictions_on(more, on) == predictions_on(run, on)


def test_a_photo_is_known_by_its_bytes_not_by_its_path(run: Run, tmp_path: Path) -> None:
    rows = [dataclasses.replace(row, path=f"moved/{row.path}") for row in run.data.rows]
    moved = dataclasses.replace(run, data=Dataset.from_rows(tmp_path / "elsewhere", rows))
    moved = changed(moved, lambda p: dataclasses.replace(p, path=f"moved/{p.path}"))
    assert paired_accuracy(run, moved, TEST).photos == 20
    assert predictions_on(moved, TEST).keys() == predictions_on(run, TEST).keys()


def test_the_same_path_in_other_data_is_another_photo(run: Run, tmp_path: Path) -> None:
    rows = [dataclasses.replace(row, sha256="f" + row.sha256[1:]) for row in run.data.rows]
    other = dataclasses.replace(run, data=Dataset.from_rows(tmp_path, rows))
    found = paired_accuracy(run, other, TEST)
    assert found.photos == 0
    assert found.difference is None
    assert found.standing is None


def test_copies_of_one_photo_are_told_apart(run: Run) -> None:
    first = run.data.rows[0]
    rows = [dataclasses.replace(row, sha256=first.sha256) for row in run.data.rows[:3]]
    data = Dataset.from_rows(run.data.root, [*rows, *run.data.rows[3:]])
    assert len(predictions_on(dataclasses.replace(run, data=data), CROSS_VALIDATION)) == 80


def test_a_photo_with_another_label_is_left_out_and_counted(run: Run) -> None:
    def relabelled(p: ImagePrediction) -> ImagePrediction:
        return dataclasses.replace(p, label="dog") if p.label == "cat" and number(p) < 3 else p

    found = paired_accuracy(run, changed(run, relabelled), TEST)
    assert (found.photos, found.relabelled) == (17, 3)
    assert paired_accuracy(run, run, TEST).relabelled == 0


@pytest.mark.parametrize("on", [TEST, CROSS_VALIDATION])
def test_runs_are_compared_photo_by_photo(run: Run, on: str) -> None:
    better = changed(run, lambda p: said(p, p.label))
    shuffled = changed(better, lambda p: dataclasses.replace(p, fold=(p.fold + number(p)) % 5))
    n = 20 if on == TEST else 80
    spread = 1.96 * math.sqrt(0.2 * n + 1 - n * 0.2**2) / (n + 2)  # Agresti and Min
    wider = 1.0 if on == TEST else math.sqrt(5 / 4)
    for other in (better, shuffled) if on == CROSS_VALIDATION else (better,):
        found = paired_accuracy(other, run, on).difference
        assert found is not None
        assert found.method == "paired, by image"
        assert found.value == pytest.approx(0.2)
        assert found.high - found.value == pytest.approx(wider * spread)
        assert found.value - found.low == pytest.approx(wider * spread)
        back = paired_accuracy(run, other, on).difference
        assert back is not None
        assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_an_interval_stays_between_all_and_nothing(run: Run) -> None:
    right = changed(run, lambda p: said(p, p.label) if number(p) == 0 else None)
    wrong = changed(right, lambda p: said(p, "neither"))
    found = paired_accuracy(right, wrong, CROSS_VALIDATION)
    assert found.photos == 2
    assert found.difference is not None
    assert found.difference.value == 1.0
    assert -1.0 < found.difference.low < found.difference.high <= 1.0


def test_groups_count_as_one_trial_each(run: Run) -> None:
    better = changed(run, lambda p: said(p, p.label))
    rows = [
        dataclasses.replace(row, group=f"{row.label} {int(Path(row.path).stem) // 5}")
        for row in better.data.rows
    ]
    grouped = dataclasses.replace(better, data=Dataset.from_rows(better.data.root, rows))
    alone = paired_accuracy(better, run, TEST).difference
    together = paired_accuracy(grouped, run, TEST).difference
    assert alone is not None
    assert together is not None
    assert together.value == pytest.approx(alone.value) == pytest.approx(0.2)
    assert together.high - together.low > alone.high - alone.low


@pytest.mark.parametrize(
    ("low", "high", "standing"),
    [(0.01, 0.2, "ahead"), (-0.2, -0.01, "behind"), (-0.1, 0.2, "level")],
)
def test_who_is_ahead(low: float, high: float, standing: str) -> None:
    assert Paired(9, 0, Estimate((low + high) / 2, low, high, "t")).standing == standing


def test_how_many_photos_would_tell() -> None:
    assert Paired(100, 0, Estimate(0.02, -0.02, 0.06, "t")).photos_to_tell == 400
    assert Paired(100, 0, Estimate(-0.02, -0.06, 0.02, "t")).photos_to_tell == 400
    assert Paired(100, 0, Estimate(0.0, -0.1, 0.1, "t")).photos_to_tell is None
    assert Paired(100, 0, Estimate(0.05, 0.01, 0.09, "t")).photos_to_tell is None
    assert Paired(0, 0).photos_to_tell is None


def test_opinions_are_of_photos_that_two_runs_predicted(run: Run) -> None:
    fewer = changed(run, lambda p: p if number(p) < 4 else None)
    fewest = changed(run, lambda p: p if number(p) < 2 else None)
    found = opinions([fewest, run, fewer], TEST)
    assert len(found) == 8
    assert sum(one.said[0] is None for one in found) == 4
    assert all(len(one.given) == (3 if one.said[0] else 2) for one in found)
    assert not any(one.differ for one in found)


def test_what_opinions_say() -> None:
    def opinion(predicted: str, sure: float) -> ImagePrediction:
        return ImagePrediction("a.jpg", "cat", predicted, sure, "test", -1, (sure, 1 - sure))

    split = Opinions("cat", (opinion("cat", 0.9), None, opinion("dog", 0.6), opinion("dog", 0.8)))
    assert split.differ
    assert not split.all_wrong
    assert split.sureness == 0.8
    wrong = Opinions("cat", (opinion("dog", 0.7), opinion("dog", 0.6)))
    assert not wrong.differ
    assert wrong.all_wrong
    assert wrong.sureness == 0.7


def test_a_row_that_is_not_in_the_table_is_known_by_its_place(run: Run, tmp_path: Path) -> None:
    data = Dataset.from_rows(tmp_path, [Row("other.jpg")])
    lost = dataclasses.replace(run, data=data)
    assert paired_accuracy(lost, lost, TEST).photos == 20
