"""One matrix: every approach x backbone keeps the same promises."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.approaches import APPROACHES
from regraft.approaches.base import (
    Limits,
    TrainedApproach,
    further_epochs,
    is_trained,
    repeated_folds,
)
from regraft.approaches.trained import merged
from regraft.backbones.backbone import is_available, with_transform
from regraft.backbones.built_in import list_backbones
from regraft.dataset import Dataset, scan
from regraft.errors import BackboneError, OutOfTimeError, TrainingError, UsageError
from regraft.evidence.evaluation import evaluate_probabilities

OF_IMAGES = [backbone for backbone in list_backbones() if backbone.modality == "image"]
FROZEN = ("linear_probe", "knn")
TRAINED = ("fine_tune", "scratch", "fastai")
SMALL: dict[str, dict[str, Any]] = {
    "fine_tune": {"train": "last_1_stage", "epochs": 2, "views": 1},
    "scratch": {"image_size_px": 32, "epochs": 2},
    "fastai": {
        "epochs": 2,
        "backbone": with_transform(regraft.get_backbone("efficientnet_lite0"), image_size_px=64),
    },
}


def _cells(names: tuple[str, ...]) -> list[Any]:
    return [
        pytest.param(
            approach,
            backbone.name,
            marks=(
                [pytest.mark.slow]
                if approach == "fastai" or backbone.name != "efficientnet_lite0"
                else []
            ),
            id=f"{approach}-{backbone.name}",
        )
        for approach in names
        for backbone in OF_IMAGES
    ]


MATRIX = [*_cells(FROZEN), *_cells(("fine_tune", "fastai"))]
NO_BACKBONE = [pytest.param("scratch", "", id="scratch")]  # it begins with random weights


def test_the_matrix_is_complete() -> None:
    of_images = [name for name in APPROACHES if APPROACHES[name].profile.is_for("image")]
    assert {*FROZEN, *TRAINED} == set(of_images)
    assert len(MATRIX) == 4 * len(OF_IMAGES) == 12
    assert [name for name in of_images if is_trained(APPROACHES[name]())] == list(TRAINED)


def _need(backbone: str) -> None:
    if not is_available(regraft.get_backbone(backbone)):
        pytest.skip(f"{backbone} is not installed")


@pytest.mark.parametrize(("name", "backbone"), _cells(FROZEN))
@pytest.mark.parametrize("views", [1, 2])
def test_an_approach_predicts_out_of_fold_and_fits(
    photo_folder: Path, name: str, backbone: str, views: int
) -> None:
    _need(backbone)
    data = scan(photo_folder)
    approach = APPROACHES[name](backbone, views=views)
    assert approach.name == name
    assert approach.network.name == backbone
    assert approach.settings == {"views": views}

    folds = repeated_folds(data, folds=4, repeats=2, seed=3)
    found = approach.cross_validate(data, folds)
    assert found.probabilities.shape == (2, 24, 2)
    assert np.allclose(found.probabilities.sum(axis=2), 1.0)
    assert found.covered.all()
    assert (len(found.fold_scores), found.folds_done) == (8, 4)
    assert found.temperature > 0
    assert found.correct.mean() > 0.6
    again = approach.cross_validate(data, folds)
    assert np.array_equal(found.probabilities, again.probabilities)

    model = approach.fit(data, cross_validation=found)
    assert model.classes == ("clean", "messy")
    assert model.approach == name
    assert model.settings == {"views": views, **found.chosen}
    assert model.trained_on["images"] == 24
    assert _share_right(model, data) > 0.8
    evaluation = evaluate_probabilities(
        "cross-validation",
        labels=found.labels,
        probabilities=found.probabilities,
        classes=data.classes,
        groups=np.arange(24),
    )
    assert evaluation.accuracy.low < evaluation.accuracy.value < evaluation.accuracy.high


@pytest.mark.parametrize(("name", "backbone"), [*_cells(("fine_tune", "fastai")), *NO_BACKBONE])
def test_an_approach_that_trains_predicts_out_of_fold_and_fits(
    photo_folder: Path, tmp_path: Path, name: str, backbone: str
) -> None:
    if backbone:
        _need(backbone)
    data = scan(photo_folder)
    approach = APPROACHES[name](**SMALL[name] | ({"backbone": backbone} if backbone else {}))
    assert is_trained(approach)
    assert approach.name == name
    assert approach.network.name == (backbone or "small_resnet")
    assert approach.settings["epochs"] == approach.planned_epochs == 2

    folds = repeated_folds(data, folds=4, repeats=2, seed=3)
    ends: list[tuple[int, int]] = []
    limits = Limits(folds=(0,), on_epoch=lambda fold, epoch, _: ends.append((fold, epoch)))
    first = approach.cross_validate(data, folds, limits=limits)
    assert ends == [(0, 0), (0, 1)]
    assert np.array_equal(first.folds, folds[:1])
    assert first.probabilities.shape == (1, 24, 2)
    assert np.array_equal(first.covered, folds[0] == 0)
    assert np.isnan(first.probabilities[0, ~first.covered]).all()
    assert np.allclose(first.probabilities[0, first.covered].sum(axis=1), 1.0)
    assert (len(first.fold_scores), first.folds_done) == (1, 1)
    assert first.chosen.keys() == {"epochs", "rate"}
    assert first.chosen["epochs"] == 2

    second = approach.cross_validate(data, folds, limits=Limits(folds=(1, 2)))
    both = merged(first, second)
    assert np.array_equal(both.covered, folds[0] < 3)
    assert (len(both.fold_scores), both.folds_done) == (3, 3)
    assert both.fold_scores[0] == first.fold_scores[0]
    assert both.temperature > 0
    assert [log.fold for log in both.log] == [0, 1, 2]
    for log in both.log:
        assert [step.epoch for step in log.steps if step.step < 0] == [0, 1]
        assert all(np.isfinite(step.train_loss) for step in log.steps)
        assert bool(log.rates) == (log.fold == 0 and name != "fastai")  # it has no range test

    model = approach.fit(data, cross_validation=both)
    assert model.classes == ("clean", "messy")
    assert model.approach == name
    assert model.settings == {**approach.settings, **both.chosen, "final_epochs": 2}
    assert model.trained_on == {"images": 24, "fingerprint": data.fingerprint()}
    share = _share_right(model, data)
    if name == "fine_tune":  # its head begins as a linear probe
        assert share > 0.8
        assert both.correct[:, both.covered].mean() > 0.5
    model.save(tmp_path / "model")
    paths = [data.absolute(row) for row in data.train[:3]]
    assert regraft.load(tmp_path / "model").predict(paths) == model.predict(paths)


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_trains_the_same_network(photo_folder: Path, name: str) -> None:
    data = scan(photo_folder)
    approach = APPROACHES[name](**SMALL[name])
    folds = repeated_folds(data, folds=4, repeats=1)
    first, second = (
        approach.cross_validate(data, folds, limits=Limits(folds=(0,))) for _ in range(2)
    )
    assert first.logits is not None
    assert second.logits is not None
    assert np.allclose(first.logits, second.logits, atol=1e-3, equal_nan=True)


def _share_right(model: regraft.Model, data: Dataset) -> float:
    predictions = model.predict([data.absolute(row) for row in data.train])
    assert len(predictions) == len(data.train)
    for prediction in predictions:
        assert prediction.flag != "unreadable"
        assert sum(prediction.probabilities) == pytest.approx(1.0, abs=1e-5)
    pairs = zip(predictions, data.train, strict=True)
    return float(np.mean([p.predicted == row.label for p, row in pairs]))


@pytest.mark.parametrize("name", FROZEN)
@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_the_way_a_photo_becomes_square_is_kept_in_the_model(
    photo_folder: Path, name: str, resize: str
) -> None:
    data = scan(photo_folder)
    model = APPROACHES[name](resize=resize).fit(data)
    assert model.backbone["transform"]["resize"] == resize
    assert model.settings["resize"] == resize


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_the_way_a_photo_becomes_square_reaches_what_trains(name: str, resize: str) -> None:
    approach = APPROACHES[name](resize=resize)
    assert approach.network.transform.resize == resize
    assert approach.settings["resize"] == resize
    assert approach.network.transform.views == ("plain",)


@pytest.mark.parametrize("name", FROZEN)
def test_constructors_only_store_and_wrong_settings_are_explained(name: str) -> None:
    approach = APPROACHES[name]("no_such_backbone", views=7)
    with pytest.raises(UsageError, match="views is 7, expected 1"):
        _ = approach.network
    with pytest.raises(BackboneError, match="no_such_backbone"):
        _ = APPROACHES[name]("no_such_backbone").network
    with pytest.raises(UsageError, match="stretch"):
        _ = APPROACHES[name](resize="stretch").network


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"backbone": "no_such_backbone"}, BackboneError, "no_such_backbone"),
        ({"resize": "stretch"}, UsageError, "stretch"),
        ({"train": "middle"}, UsageError, "train is 'middle', expected last_2_stages, first_2"),
        ({"train": "last_0_stages"}, UsageError, "train is 'last_0_stages'"),
        ({"epochs": 0}, UsageError, "epochs is 0, expected at least 1"),
        ({"learning_rate": 2.0}, UsageError, "learning_rate is 2.0, expected 0 to 1"),
    ],
)
def test_wrong_settings_of_fine_tuning_are_explained(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    approach = regraft.FineTune(**settings)
    with pytest.raises(error, match=message):
        _ = approach.network


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": 0}, UsageError, "epochs is 0, expected at least 1"),
        ({"architecture": "nowhere"}, UsageError, "the architecture is 'nowhere', expected"),
        ({"architecture": "gone.py:net"}, UsageError, "the architecture gone.py:net cannot be"),
        ({"architecture": "json:none"}, UsageError, "json:none cannot be imported"),
        ({"architecture": "math:pi"}, UsageError, "math:pi is float, expected something to call"),
        ({"architecture": lambda n: n}, TrainingError, "returned int, expected a torch.nn.Module"),
    ],
)
def test_wrong_settings_of_training_from_scratch_are_explained(
    photo_folder: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    approach = regraft.Scratch(**settings)
    with pytest.raises(error, match=message):
        approach.cost(scan(photo_folder), folds=5)


def test_more_stages_than_there_are_is_explained(photo_folder: Path) -> None:
    with pytest.raises(TrainingError, match="stages to train, fewer than the 40 of last_40_stages"):
        regraft.FineTune(train="last_40_stages").cost(scan(photo_folder), folds=5)


@pytest.mark.parametrize("name", TRAINED)
def test_a_deadline_that_has_passed_is_kept(photo_folder: Path, name: str) -> None:
    data = scan(photo_folder)
    approach = APPROACHES[name](**SMALL[name])
    limits = Limits(deadline=time.monotonic() - 1, folds=(0,))
    with pytest.raises(OutOfTimeError, match="the time budget ended before it was finished"):
        approach.cross_validate(data, repeated_folds(data, repeats=1), limits=limits)
    with pytest.raises(OutOfTimeError, match="the time budget ended before it was finished"):
        approach.cost(data, folds=5, limits=limits)


@pytest.mark.parametrize("name", TRAINED)
def test_what_trains_says_what_it_costs(photo_folder: Path, name: str) -> None:
    data = scan(photo_folder)
    approach: TrainedApproach = APPROACHES[name](**SMALL[name] | {"epochs": 8})
    cost = approach.cost(data, folds=4)
    assert cost.epochs == approach.planned_epochs == 8
    assert 0 < cost.fold_epoch < cost.fold
    assert 0 < cost.fit_epoch < cost.fit
    assert cost.once > 0, "nothing was computed before"
    fewer = cost.at(approach.with_epochs(approach.fewest_epochs).planned_epochs)
    assert fewer.epochs == approach.fewest_epochs
    saved = 8 - approach.fewest_epochs
    assert fewer.fold == pytest.approx(cost.fold - saved * cost.fold_epoch)
    further = further_epochs(8) - further_epochs(approach.fewest_epochs)
    assert fewer.fit == pytest.approx(cost.fit - further * cost.fit_epoch)
    assert 0 < cost.export == pytest.approx(fewer.export)


def test_small_sets_are_split_several_times_and_large_ones_once(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = scan(photo_folder)
    assert repeated_folds(data).shape == (3, 24)
    monkeypatch.setattr("regraft.approaches.base.REPEAT_BELOW", 20)
    assert repeated_folds(data).shape == (1, 24)
    assert np.array_equal(repeated_folds(data, seed=5), repeated_folds(data, seed=5))
    assert not np.array_equal(repeated_folds(data, seed=5), repeated_folds(data, seed=6))
