"""One matrix: every approach x backbone keeps the same promises, of photos and of texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.approaches import APPROACHES
from regraft.approaches.base import (
    Approach,
    Asked,
    CrossValidation,
    Limits,
    TrainedApproach,
    further_epochs,
    is_trained,
    repeated_folds,
)
from regraft.approaches.trained import merged
from regraft.backbones.backbone import Backbone, is_available, with_transform
from regraft.backbones.built_in import DEFAULT_BACKBONE, built_in, default_backbone
from regraft.dataset import Dataset, scan
from regraft.errors import BackboneError, OutOfTimeError, TrainingError, UsageError
from regraft.evidence.evaluation import evaluate_probabilities
from regraft.kinds import KINDS
from tests.text_runs import sentences
from tests.tiny_encoders import write_encoder
from tests.tiny_networks import tiny_backbone

TINY = {"image": "tiny_network", "text": "tiny_encoder"}
"""Networks with random weights, for what has to be quick."""

SMALL: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("fine_tune", "image"): {"train": "last_1_stage", "epochs": 2, "views": 1},
    ("fine_tune", "text"): {"train": "last_1_stage", "epochs": 2},
    ("scratch", "image"): {"image_size_px": 32, "epochs": 2},
    ("scratch", "text"): {"epochs": 2},
    ("word_vectors", "text"): {"epochs": 2},
    ("fastai", "image"): {"epochs": 2},
}
"""Settings of an approach on a kind of input that make it quick."""


@dataclass(frozen=True, slots=True)
class Cell:
    """An approach on a backbone, "" where it has none, for a kind of input."""

    approach: str
    kind: str
    backbone: str

    @property
    def is_slow(self) -> bool:
        """Whether it takes more than a few seconds."""
        if self.backbone in (*TINY.values(), ""):
            return False
        return self.backbone != DEFAULT_BACKBONE or APPROACHES[self.approach].profile.trains


def first_candidate(approach: str, kind: str, backbone: Backbone) -> Any:
    """What an approach itself makes of a backbone."""
    asked = Asked(backbones=[backbone], kind=kind, names_backbones=True, names_approaches=True)
    return APPROACHES[approach].candidates(asked)[0]


def takes_backbone(approach: str, kind: str) -> bool:
    candidate = first_candidate(approach, kind, default_backbone(kind))
    return any(field.name == "backbone" for field in fields(candidate))


def all_cells() -> list[Cell]:
    cells = []
    for kind in KINDS:
        backbones = [b.name for b in built_in().values() if b.modality == kind]
        for name in APPROACHES:
            if APPROACHES[name].profile.is_for(kind):
                of_it = [TINY[kind], *backbones] if takes_backbone(name, kind) else [""]
                cells += [Cell(name, kind, backbone) for backbone in of_it]
    return cells


CELLS = all_cells()
TRAINED = [cell for cell in CELLS if APPROACHES[cell.approach].profile.trains]
FROZEN = [cell for cell in CELLS if cell not in TRAINED]


def each(cells: Sequence[Cell]) -> pytest.MarkDecorator:
    """Parametrizes by cells, the slow ones marked."""
    return pytest.mark.parametrize(
        "cell",
        [
            pytest.param(
                cell,
                id="-".join(filter(None, (cell.approach, cell.backbone or cell.kind))),
                marks=[pytest.mark.slow] if cell.is_slow else [],
            )
            for cell in cells
        ],
    )


def not_covered(cells: Sequence[Cell]) -> set[str]:
    """Approaches and built-in backbones that are in none of the cells."""
    covered = {name for cell in cells for name in (cell.approach, cell.backbone)}
    return {*APPROACHES, *built_in()} - covered


def test_the_matrix_is_complete() -> None:
    assert not_covered(CELLS) == set()
    names = (*APPROACHES, *built_in())
    for name in names:
        others = [cell for cell in CELLS if name not in (cell.approach, cell.backbone)]
        assert not_covered(others) == {name}
    assert len(names) == 8 + 4
    assert len(set(CELLS)) == len(CELLS) == (5 * 4 + 1) + (6 * 2 + 1)
    quick = [cell for cell in CELLS if not cell.is_slow]
    assert {(cell.approach, cell.kind) for cell in quick} == {(c.approach, c.kind) for c in CELLS}


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny networks are; not to be changed."""
    folder = tmp_path_factory.mktemp("tiny")
    write_encoder(folder / TINY["text"], pooling="mean")
    tiny_backbone(folder)
    return folder


@pytest.fixture
def made(cell: Cell, request: pytest.FixtureRequest, tiny_folder: Path) -> Callable[..., Any]:
    """Makes the approach of the cell, with settings that make it quick and those given."""
    request.getfixturevalue("text_graphs" if cell.kind == "text" else "graphs")

    def backbone() -> Backbone:
        if cell.backbone == TINY["text"]:
            return regraft.get_backbone(f"hf:{tiny_folder / cell.backbone}")
        if cell.backbone == TINY["image"]:
            tiny = tiny_backbone(tiny_folder)
            weights = tiny_folder / tiny.package / tiny.weights_file
            return replace(tiny, name=cell.backbone, package="", weights_at=str(weights))
        found = built_in()[cell.backbone] if cell.backbone else default_backbone(cell.kind)
        if not is_available(found):
            pytest.skip(f"{found.name} is not installed")
        if cell.approach == "fastai":  # it trains everything
            return with_transform(found, image_size_px=64)
        return found

    def make(**settings: Any) -> Any:
        of_it = backbone()
        approach = first_candidate(cell.approach, cell.kind, of_it)
        given = {"backbone": of_it} if cell.backbone else {}
        return replace(approach, **SMALL.get((cell.approach, cell.kind), {}), **given, **settings)

    return make


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, few_photos: Path) -> dict[str, Path]:
    """12 real photos, small, and 12 texts of each of two classes; not to be changed."""
    texts = tmp_path_factory.mktemp("texts")
    for name in ("blame", "praise"):
        (texts / name).mkdir()
        for number, text in enumerate(sentences(name, 12)):
            (texts / name / f"{number}.txt").write_text(text, encoding="utf-8")
    return {"image": few_photos, "text": texts}


def check_model(approach: Approach, model: regraft.Model, data: Dataset, folder: Path) -> float:
    """What holds for every model, saved and loaded; the share that it is right of."""
    assert model.classes == data.classes
    assert model.approach == approach.name
    assert model.trained_on == {"images": 24, "fingerprint": data.fingerprint()}
    paths = [data.absolute(row) for row in data.train]
    predictions = model.predict(paths)
    assert len(predictions) == 24
    for prediction in predictions:
        assert prediction.flag != "unreadable"
        assert sum(prediction.probabilities) == pytest.approx(1.0, abs=1e-5)
    model.save(folder)
    assert regraft.load(folder).predict(paths[:3]) == predictions[:3]
    pairs = zip(predictions, data.train, strict=True)
    return float(np.mean([p.predicted == row.label for p, row in pairs]))


@each(FROZEN)
def test_an_approach_predicts_out_of_fold_and_fits(
    made: Any, folders: dict[str, Path], tmp_path: Path, cell: Cell
) -> None:
    check_frozen(cell, made(), scan(folders[cell.kind]), tmp_path)


@each([cell for cell in FROZEN if cell.kind == "image" and cell.backbone])
def test_an_approach_looks_at_photos_and_their_mirror_images(
    made: Any, folders: dict[str, Path], tmp_path: Path, cell: Cell
) -> None:
    approach = made(views=2)
    assert approach.settings == {"views": 2}
    check_frozen(cell, approach, scan(folders[cell.kind]), tmp_path)


def check_frozen(cell: Cell, approach: Approach, data: Dataset, tmp_path: Path) -> None:
    assert approach.name == cell.approach
    assert approach.network.name == (cell.backbone or "words")
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
    assert model.settings == {**approach.settings, **found.chosen}
    share = check_model(approach, model, data, tmp_path / "model")
    assert share > (0.6 if cell.backbone in TINY.values() else 0.8)
    evaluation = evaluate_probabilities(
        "cross-validation",
        labels=found.labels,
        probabilities=found.probabilities,
        classes=data.classes,
        groups=np.arange(24),
    )
    assert evaluation.accuracy.low < evaluation.accuracy.value <= evaluation.accuracy.high


@each(TRAINED)
def test_an_approach_that_trains_predicts_out_of_fold_and_fits(
    made: Any, folders: dict[str, Path], tmp_path: Path, cell: Cell
) -> None:
    data, approach = scan(folders[cell.kind]), made()
    assert is_trained(approach)
    assert approach.name == cell.approach
    begins_anew = {"image": "small_resnet", "text": "small_cnn"}[cell.kind]
    assert approach.network.name == (begins_anew if cell.approach == "scratch" else cell.backbone)
    assert approach.is_baseline == (cell.approach == "scratch")
    assert approach.settings["epochs"] == approach.planned_epochs == 2

    folds = repeated_folds(data, folds=4, repeats=2, seed=3)
    first = approach.cross_validate(data, folds, limits=Limits(folds=(0,)))
    assert np.array_equal(first.folds, folds[:1])
    assert first.probabilities.shape == (1, 24, 2)
    assert np.array_equal(first.covered, folds[0] == 0)
    assert np.isnan(first.probabilities[0, ~first.covered]).all()
    assert np.allclose(first.probabilities[0, first.covered].sum(axis=1), 1.0)
    assert (len(first.fold_scores), first.folds_done) == (1, 1)
    assert first.chosen.keys() == {"epochs", "rate"}
    assert first.chosen["epochs"] == 2

    second = approach.cross_validate(data, folds, limits=Limits(folds=(0, 1, 2)))
    assert_same_training(first, second)
    both = merged(first, replace(second, log=second.log[1:]))
    assert np.array_equal(both.covered, folds[0] < 3)
    assert (len(both.fold_scores), both.folds_done) == (3, 3)
    assert both.fold_scores[0] == first.fold_scores[0]
    assert both.temperature > 0
    assert [log.fold for log in both.log] == [0, 1, 2]
    for log in both.log:
        assert [step.epoch for step in log.steps if step.step < 0] == [0, 1]
        assert all(np.isfinite(step.train_loss) for step in log.steps)
        has_range_test = log.fold == 0 and cell.approach != "fastai"
        assert bool(log.rates) == has_range_test

    model = approach.fit(data, cross_validation=both)
    assert model.settings == {**approach.settings, **both.chosen, "final_epochs": 2}
    share = check_model(approach, model, data, tmp_path / "model")
    if cell.approach == "fine_tune":  # its head begins as a linear probe
        assert share > 0.8
        assert both.correct[:, both.covered].mean() > 0.5


def assert_same_training(first: CrossValidation, second: CrossValidation) -> None:
    """That the same seed trained the same network for the first fold."""
    assert first.logits is not None
    assert second.logits is not None
    held = first.covered
    assert np.allclose(first.logits[held], second.logits[held], atol=1e-3)


QUICK = [cell for cell in TRAINED if not cell.is_slow]


@pytest.mark.parametrize("name", ["linear_probe", "knn"])
@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_the_way_a_photo_becomes_square_is_kept_in_the_model(
    photo_folder: Path, name: str, resize: str
) -> None:
    data = scan(photo_folder)
    model = APPROACHES[name](resize=resize).fit(data)
    assert model.backbone["transform"]["resize"] == resize
    assert model.settings["resize"] == resize


@pytest.mark.parametrize("name", ["fine_tune", "scratch", "fastai"])
@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_the_way_a_photo_becomes_square_reaches_what_trains(name: str, resize: str) -> None:
    approach = APPROACHES[name](resize=resize)
    assert approach.network.transform.resize == resize
    assert approach.settings["resize"] == resize
    assert approach.network.transform.views == ("plain",)


@pytest.mark.parametrize("name", ["linear_probe", "knn"])
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


@each(QUICK)
def test_a_deadline_that_has_passed_is_kept(
    made: Any, folders: dict[str, Path], cell: Cell
) -> None:
    data, approach = scan(folders[cell.kind]), made()
    limits = Limits(deadline=time.monotonic() - 1, folds=(0,))
    with pytest.raises(OutOfTimeError, match="the time budget ended before it was finished"):
        approach.cross_validate(data, repeated_folds(data, repeats=1), limits=limits)
    with pytest.raises(OutOfTimeError, match="the time budget ended before it was finished"):
        approach.cost(data, folds=5, limits=limits)


@each(QUICK)
def test_what_trains_says_what_it_costs(made: Any, folders: dict[str, Path], cell: Cell) -> None:
    data = scan(folders[cell.kind])
    approach: TrainedApproach = made().with_epochs(8)
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
