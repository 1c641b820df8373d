"""One matrix: every approach x backbone keeps the same promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import regraft
from regraft.approaches import APPROACHES, repeated_folds
from regraft.catalogue import is_available, list_backbones
from regraft.dataset import scan
from regraft.errors import BackboneError, UsageError
from regraft.evaluation import evaluate_probabilities

MATRIX = [
    pytest.param(
        approach,
        backbone.name,
        marks=[] if backbone.name == "efficientnet_lite0" else [pytest.mark.slow],
        id=f"{approach}-{backbone.name}",
    )
    for approach in APPROACHES
    for backbone in list_backbones()
]


def test_the_matrix_is_complete() -> None:
    assert len(MATRIX) == len(APPROACHES) * len(list_backbones()) == 6


@pytest.mark.parametrize(("name", "backbone"), MATRIX)
@pytest.mark.parametrize("views", [1, 2])
def test_an_approach_predicts_out_of_fold_and_fits(
    photo_folder: Path, name: str, backbone: str, views: int
) -> None:
    if not is_available(regraft.get_backbone(backbone)):
        pytest.skip(f"{backbone} is not installed")
    data = scan(photo_folder)
    approach = APPROACHES[name](backbone, views=views)
    assert approach.name == name
    assert approach.network.name == backbone
    assert approach.settings == {"views": views}

    folds = repeated_folds(data, folds=4, repeats=2, seed=3)
    found = approach.cross_validate(data, folds)
    assert found.probabilities.shape == (2, 24, 2)
    assert np.allclose(found.probabilities.sum(axis=2), 1.0)
    assert len(found.fold_scores) == 8
    assert found.temperature > 0
    assert found.correct.mean() > 0.6
    again = approach.cross_validate(data, folds)
    assert np.array_equal(found.probabilities, again.probabilities)

    model = approach.fit(data, cross_validation=found)
    assert model.classes == ("clean", "messy")
    assert model.approach == name
    assert model.settings == {"views": views, **found.chosen}
    assert model.trained_on["images"] == 24
    paths = [data.absolute(row) for row in data.train]
    predictions = model.predict(paths)
    right = [p.predicted == r.label for p, r in zip(predictions, data.train, strict=True)]
    assert np.mean(right) > 0.8
    evaluation = evaluate_probabilities(
        "cross-validation",
        labels=found.labels,
        probabilities=found.probabilities,
        classes=data.classes,
        groups=np.arange(24),
    )
    assert evaluation.accuracy.low < evaluation.accuracy.value < evaluation.accuracy.high


@pytest.mark.parametrize("name", list(APPROACHES))
@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_the_way_a_photo_becomes_square_is_kept_in_the_model(
    photo_folder: Path, name: str, resize: str
) -> None:
    data = scan(photo_folder)
    model = APPROACHES[name](resize=resize).fit(data)
    assert model.backbone["transform"]["resize"] == resize
    assert model.settings["resize"] == resize


@pytest.mark.parametrize("name", list(APPROACHES))
def test_constructors_only_store_and_wrong_settings_are_explained(name: str) -> None:
    approach = APPROACHES[name]("no_such_backbone", views=7)
    with pytest.raises(UsageError, match="views is 7, expected 1"):
        _ = approach.network
    with pytest.raises(BackboneError, match="no_such_backbone"):
        _ = APPROACHES[name]("no_such_backbone").network
    with pytest.raises(UsageError, match="stretch"):
        _ = APPROACHES[name](resize="stretch").network


def test_small_sets_are_split_several_times_and_large_ones_once(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = scan(photo_folder)
    assert repeated_folds(data).shape == (3, 24)
    monkeypatch.setattr("regraft.approaches.base.REPEAT_BELOW", 20)
    assert repeated_folds(data).shape == (1, 24)
    assert np.array_equal(repeated_folds(data, seed=5), repeated_folds(data, seed=5))
    assert not np.array_equal(repeated_folds(data, seed=5), repeated_folds(data, seed=6))
