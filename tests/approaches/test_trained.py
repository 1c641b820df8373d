"""Networks that are trained: calibration without peeking, costs, settings, and one whole path."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import regraft
from regraft.approaches.base import Cost, CrossValidation, Limits, TrainingLog, further_epochs
from regraft.approaches.fine_tune import FineTune
from regraft.approaches.plans import TrainingPlan, is_unbalanced
from regraft.approaches.scratch import Scratch, load_architecture
from regraft.approaches.trained import calibrated, cross_validate_trained, fit_trained, merged
from regraft.backbones.backbone import Backbone
from regraft.backbones.graphs import network_graph, stage_count
from regraft.dataset import Dataset, make_folds, scan
from regraft.engines.onnx import OnnxEngine
from regraft.engines.training import Step
from regraft.errors import DataError, OutOfTimeError, RegraftError, TrainingError, UsageError
from regraft.heads import fit_temperature, softmax
from regraft.kinds.images.decoding import decode
from regraft.kinds.images.transform import transform_graph
from regraft.metrics.rates import FloatArray, IntArray
from regraft.progress import silent
from regraft.serving.heat import HeatMapper
from regraft.storage.locations import shareable_word
from tests.tiny_networks import STAGES, tiny_backbone

# --- Calibration ------------------------------------------------------------------------------


def predictions(
    seed: int, n: int = 40, *, n_folds: int = 4, n_classes: int = 3
) -> tuple[IntArray, IntArray, FloatArray]:
    """Folds, labels and logits that are right two times of three and far too sure."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, n_classes, n)
    logits = random.normal(0, 4, (n, n_classes))
    logits[np.arange(n), labels] += 5
    return random.permutation(np.arange(n) % n_folds), labels, logits


def calibrate(fold: IntArray, labels: IntArray, logits: FloatArray) -> CrossValidation:
    return calibrated(fold, labels, logits, {}, ())


def probabilities(fold: IntArray, labels: IntArray, logits: FloatArray) -> FloatArray:
    return calibrate(fold, labels, logits).probabilities[0]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_folds=st.integers(2, 6),
    done=st.integers(2, 6),
    shift=st.integers(1, 2),
)
def test_the_labels_of_a_fold_do_not_touch_its_probabilities(
    seed: int, n_folds: int, done: int, shift: int
) -> None:
    fold, labels, logits = predictions(seed, n_folds=n_folds)
    logits[fold >= done] = np.nan  # some folds may not have been predicted
    before = probabilities(fold, labels, logits)
    assert np.array_equal(np.isnan(before).any(axis=1), fold >= done)
    for number in range(min(done, n_folds)):
        inside = fold == number
        changed = np.where(inside, (labels + shift) % 3, labels)
        after = probabilities(fold, changed, logits)
        assert np.array_equal(before[inside], after[inside])


def test_temperatures_come_from_the_other_folds() -> None:
    fold, labels, logits = predictions(1)
    found = calibrate(fold, labels, logits)
    for number in range(4):
        inside = fold == number
        temperature = fit_temperature(logits[~inside], labels[~inside])
        assert temperature > 1  # they were too sure
        assert np.allclose(found.probabilities[0, inside], softmax(logits[inside] / temperature))
    assert found.temperature == fit_temperature(logits, labels)
    assert np.array_equal(found.logits, logits)
    assert np.array_equal(found.folds, fold[None])
    assert found.covered.all()
    assert found.folds_done == 4
    changed = labels.copy()
    changed[fold == 0] = (changed[fold == 0] + 1) % 3
    assert not np.array_equal(found.probabilities[0], probabilities(fold, changed, logits))


def test_a_single_fold_is_calibrated_by_halves() -> None:
    fold, labels, logits = predictions(2)
    logits[fold != 3] = np.nan
    found = calibrate(fold, labels, logits)
    inside = np.flatnonzero(fold == 3)
    assert np.array_equal(np.flatnonzero(found.covered), inside)
    halves = inside[0::2], inside[1::2]
    for half, other in (halves, halves[::-1]):
        temperature = fit_temperature(logits[other], labels[other])
        assert np.allclose(found.probabilities[0, half], softmax(logits[half] / temperature))
        changed = labels.copy()
        changed[half] = (changed[half] + 1) % 3
        assert np.array_equal(
            found.probabilities[0, half], probabilities(fold, changed, logits)[half]
        )


def test_a_single_image_keeps_its_temperature() -> None:
    fold, labels, logits = predictions(3, n=4)
    logits[1:] = np.nan
    found = calibrate(fold, labels, logits)
    assert np.allclose(found.probabilities[0, 0], softmax(logits[0]))
    assert np.isnan(found.probabilities[0, 1:]).all()


def _log(fold: int, epochs: int) -> TrainingLog:
    return TrainingLog(fold, tuple(Step(epoch, -1, 0.1, 0.5, 0.9) for epoch in range(epochs)))


def test_two_parts_of_a_cross_validation_merge_into_the_whole() -> None:
    fold, labels, logits = predictions(4)
    parts = []
    for numbers, epochs in (((0, 2), 5), ((1, 3), 7)):
        some = np.where(np.isin(fold, numbers)[:, None], logits, np.nan)
        log = tuple(_log(number, epochs) for number in numbers)
        parts.append(calibrated(fold, labels, some, {"epochs": epochs, "rate": epochs}, log))
    both = merged(*parts)
    whole = calibrate(fold, labels, logits)
    assert np.array_equal(both.probabilities, whole.probabilities)
    assert np.array_equal(both.logits, whole.logits)
    assert both.temperature == whole.temperature
    assert both.chosen == {"epochs": 7, "rate": 5}
    assert [log.fold for log in both.log] == [0, 2, 1, 3]
    assert np.array_equal(merged(*parts[::-1]).probabilities, both.probabilities)


@pytest.mark.parametrize(
    ("counts", "unbalanced"),
    [((5, 5), False), ((29, 10), False), ((30, 10), True), ((1, 3), True), ((5, 0, 4), False)],
)
def test_classes_are_unbalanced_from_three_to_one(
    counts: tuple[int, ...], unbalanced: bool
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    assert is_unbalanced(labels) is unbalanced


# --- Settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("approach", "text"),
    [
        (FineTune(train="x"), "train is 'x', expected last_2_stages, first_2_stages (any number)"),
        (FineTune(train="last_0_stages"), "train is 'last_0_stages', expected last_2_stages"),
        (FineTune(train="all "), "train is 'all ', expected last_2_stages"),
        (FineTune(epochs=0), "epochs is 0, expected at least 1"),
        (FineTune(learning_rate=2), "learning_rate is 2, expected 0 to 1, as 0.001"),
        (FineTune(learning_rate=0.0), "learning_rate is 0.0, expected 0 to 1"),
        (FineTune(learning_rate=float("nan")), "learning_rate is nan, expected 0 to 1"),
        (FineTune(views=0), "views is 0, expected at least 1"),
        (FineTune(views=-1), "views is -1, expected at least 1"),
        (FineTune(resize="stretch"), "image transform: resize is 'stretch'"),
        (Scratch(epochs=0), "epochs is 0, expected at least 1"),
        (Scratch(learning_rate=2), "learning_rate is 2, expected 0 to 1, as 0.001"),
        (Scratch(learning_rate=float("nan")), "learning_rate is nan, expected 0 to 1"),
        (Scratch(resize="stretch"), "image transform: resize is 'stretch'"),
        (Scratch(image_size_px=0), "image transform: image_size_px is 0, expected a whole number"),
        (Scratch(architecture="nothing"), "the architecture is 'nothing', expected package.module"),
    ],
)
def test_wrong_settings_are_explained(approach: Any, text: str) -> None:
    data = Dataset.from_rows(Path("/nowhere"), [])
    for call in (
        lambda: approach.cost(data, folds=5),
        lambda: approach.cross_validate(data, np.zeros((1, 0), np.int64)),
        lambda: approach.fit(data),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert str(caught.value).startswith(text)
        assert "\n" not in str(caught.value)


NETWORK = """
import torch
from torch import nn

def small(n_classes):
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, n_classes))

def wide(n_classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, n_classes + 1))

def broken(n_classes):
    raise KeyError("of all things")

number = 3
"""


@pytest.fixture
def network_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "my_regraft_network.py"
    path.write_text(NETWORK)
    yield path
    sys.modules.pop(path.stem, None)


def test_an_architecture_is_found_in_a_file_and_in_a_module(
    network_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(load_architecture(f"{network_file}:small")(2), torch.nn.Module)
    other = network_file.parent / "other" / network_file.name
    other.parent.mkdir()
    other.write_text("def small(n_classes):\n    return 'the other one'\n")
    assert load_architecture(f"{other}:small")(2) == "the other one"  # no mix-up by name

    sys.modules.pop(network_file.stem, None)
    monkeypatch.syspath_prepend(network_file.parent)
    importlib.invalidate_caches()
    found = load_architecture(f"{network_file.stem}:small")
    assert isinstance(found(3), torch.nn.Module)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("{}:gone", "cannot be imported (AttributeError: module 'my_regraft_network' has no"),
        ("{}x.py:small", "cannot be imported (FileNotFoundError: "),
        ("no_such_module_at_all:small", "cannot be imported (ModuleNotFoundError: "),
        ("{}:number", "is int, expected something to call"),
        ("{}", "expected package.module:name or path/file.py:name"),
        ("{}:", "expected package.module:name or path/file.py:name"),
        (":small", "expected package.module:name or path/file.py:name"),
    ],
)
def test_an_architecture_that_cannot_be_found_is_explained(
    network_file: Path, where: str, text: str
) -> None:
    where = where.format(network_file)
    with pytest.raises(UsageError) as caught:
        load_architecture(where)
    assert text in str(caught.value)
    assert where in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_fails_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "my_regraft_failing.py"
    path.write_text("def net(n):\n    return n\nraise ValueError('two\\nlines')\n")
    with pytest.raises(UsageError, match=r"\(ValueError: two\)"):
        load_architecture(f"{path}:net")
    assert path.stem not in sys.modules


# --- Training on a few pictures ---------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_and_graphs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Backbone, Path]]:
    """A backbone with random weights, exported once for all workers."""
    folder = tmp_path_factory.getbasetemp().parent / "regraft-tiny"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        with FileLock(folder / "lock"), pytest.MonkeyPatch.context() as environment:
            environment.setenv("XDG_CACHE_HOME", str(folder))
            backbone = tiny_backbone(folder)
            graphs = network_graph(backbone).parent
            assert stage_count(backbone) == STAGES
        yield backbone, graphs


@pytest.fixture
def tiny(own_cache: Path, tiny_and_graphs: tuple[Backbone, Path]) -> Backbone:
    backbone, graphs = tiny_and_graphs
    own_cache.mkdir(parents=True, exist_ok=True)
    (own_cache / "graphs").symlink_to(graphs)
    return backbone


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return colours(tmp_path / "data", {"a": 10, "b": 10})


def colours(folder: Path, counts: Mapping[str, int]) -> Dataset:
    """Pictures of noise around a colour of their class, the same in every run."""
    random = np.random.default_rng(0)
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(0, 100, (36, 40, 3))
            pixels[..., number % 3] += 120
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return scan(folder)


def folds_of(data: Dataset, folds: int = 2) -> IntArray:
    return make_folds(data.train, folds=folds, seed=0)[None]


@pytest.mark.slow
def test_the_final_training_goes_on_from_the_network_of_the_fold(
    tiny: Backbone, data: Dataset
) -> None:
    approach = FineTune(tiny, train="last_1_stage", epochs=2, views=1)
    found = approach.cross_validate(data, folds_of(data), limits=Limits(folds=(0,)))
    assert found.network is not None
    assert {"head.weight", "head.bias"} < found.network.keys()
    assert sum(name.startswith("network.") for name in found.network) > 10
    held = found.covered
    assert found.logits is not None
    expected = softmax(found.logits[held] / found.temperature)
    paths = [data.absolute(row) for row, is_held in zip(data.train, held, strict=True) if is_held]

    def said(limits: Limits) -> tuple[int, FloatArray]:
        model = approach.fit(data, cross_validation=found, limits=limits)
        predicted = np.array([one.probabilities for one in model.predict(paths)])
        return model.settings["final_epochs"], predicted

    epochs, without_time = said(Limits(deadline=time.monotonic()))
    assert epochs == 0
    assert without_time == pytest.approx(expected, abs=1e-3)
    epochs, with_time = said(Limits())
    assert epochs == 2
    moved = np.log(with_time + 1e-300) - np.log(expected + 1e-300)  # all of them are sure
    assert np.abs(moved).max() > 1e-2

    started_anew = replace(found, network=None)
    with pytest.raises(OutOfTimeError):
        approach.fit(data, cross_validation=started_anew, limits=Limits(deadline=time.monotonic()))


def test_more_stages_than_there_are_is_explained(tiny: Backbone, data: Dataset) -> None:
    for train, number in (("last_9_stages", 9), ("first_6_stages", 6)):
        with pytest.raises(TrainingError) as caught:
            FineTune(tiny, train=train).cost(data, folds=5)
        assert str(caught.value) == (
            f"tiny has 5 stages to train, fewer than the {number} of {train}; use train=all"
        )


def test_more_stages_than_lite0_has(graphs: Path, data: Dataset) -> None:
    with pytest.raises(TrainingError, match=r"efficientnet_lite0 has 7 stages .* last_9_stages"):
        FineTune(train="last_9_stages").fit(data)


def test_a_fold_without_a_class_is_explained(tiny: Backbone, data: Dataset) -> None:
    of_a = np.array([row.label == "a" for row in data.train])
    folds = np.where(of_a, 0, 1)[None]
    for approach in (FineTune(tiny, train="last_1_stage", epochs=1, views=1), Scratch(epochs=1)):
        with pytest.raises(DataError) as caught:
            approach.cross_validate(data, folds)
        assert str(caught.value).startswith("a fold leaves no training image of a; ")
        assert "add more of that class" in str(caught.value)
        assert "\n" not in str(caught.value)


def _remembered(plan: TrainingPlan) -> tuple[TrainingPlan, list[Any]]:
    made: list[Any] = []

    def make(n_classes: int) -> Any:
        made.append(plan.make(n_classes))
        return made[-1]

    return replace(plan, make=make), made


def _torch_probabilities(
    trainee: Any, temperature: float, backbone: Backbone, data: Dataset
) -> NDArray[np.float64]:
    """Of the training rows, with the transform's own graph and torch for all the rest."""
    engine = OnnxEngine(transform_graph(backbone.transform).SerializeToString())
    images = [decode(data.absolute(row).read_bytes()) for row in data.train]
    pixels = torch.from_numpy(np.concatenate([engine.run(image)[0] for image in images]))
    with torch.no_grad():
        logits = trainee.head(trainee.whole.eval()(pixels)).double().numpy()
    return softmax(logits / temperature)


def _whole_path(plan: TrainingPlan, data: Dataset, folder: Path) -> CrossValidation:
    """Predict out of fold, fit, save, load; the loaded graph is the trained network."""
    options: dict[str, Any] = {"limits": Limits(), "jobs": 2, "progress": silent}
    folds = folds_of(data)
    found = cross_validate_trained(plan, data, folds, **options)
    assert found.covered.all()
    assert found.folds_done == 2
    assert np.allclose(found.probabilities.sum(axis=2), 1.0)
    assert [log.fold for log in found.log] == [0, 1]
    assert found.chosen["epochs"] == plan.recipe.epochs
    assert found.chosen["rate"] == found.log[0].chosen_rate
    assert bool(found.log[0].rates) and not found.log[1].rates  # noqa: PT018 - one statement

    # One fold after the other comes to the same.
    parts = [
        cross_validate_trained(plan, data, folds, **options | {"limits": Limits(folds=(i,))})
        for i in (0, 1)
    ]
    joined = merged(*parts)
    assert joined.probabilities == pytest.approx(found.probabilities, abs=1e-3)

    remembering, made = _remembered(plan)
    model = fit_trained(remembering, data, cross_validation=found, seed=0, **options)
    model.save(folder)
    loaded = regraft.load(folder)
    predicted = loaded.predict([data.absolute(row) for row in data.train])
    probabilities = np.array([one.probabilities for one in predicted])
    expected = _torch_probabilities(made[-1], found.temperature, plan.backbone, data)
    assert probabilities == pytest.approx(expected, abs=1e-3)
    assert np.ptp(expected[:, 0]) > 0.05  # and they do differ between photos
    assert loaded.approach == plan.approach
    further = {"final_epochs": further_epochs(found.chosen["epochs"])}
    assert loaded.settings == {**plan.settings, **found.chosen, **further}
    weights, bias = made[-1].head_arrays()
    assert weights.shape == (plan.backbone.feature_width, 2) or plan.approach == "scratch"
    assert len(bias) == 2
    return found


@pytest.mark.slow
@pytest.mark.parametrize("train", ["last_1_stage", "first_1_stage"])
def test_fine_tuning_from_photos_to_a_saved_model(
    tiny: Backbone, data: Dataset, tmp_path: Path, train: str
) -> None:
    plan = FineTune(tiny, train=train, epochs=2, views=1).plan()
    assert plan.boundary == (4 if train == "last_1_stage" else 0)
    found = _whole_path(plan, data, tmp_path / "model")
    assert found.correct.mean() > 0.7  # the head begins as a linear probe


def test_training_from_scratch_from_photos_to_a_saved_model(
    network_file: Path, data: Dataset, tmp_path: Path
) -> None:
    where = f"{network_file}:small"
    approach = Scratch(architecture=where, image_size_px=16, epochs=3, learning_rate=0.05)
    named = shareable_word(where, Path.cwd())
    assert approach.network.name == approach.settings["architecture"] == named
    assert approach.network.licence == "your own"
    _whole_path(approach.plan(), data, tmp_path / "model")


@pytest.mark.slow
def test_fine_tuning_the_built_in_backbone(photo_folder: Path, tmp_path: Path) -> None:
    data = scan(photo_folder)
    plan = FineTune(train="last_1_stage", epochs=2, views=1).plan()
    _whole_path(plan, data, tmp_path / "model")


@pytest.mark.slow
def test_the_small_network_from_photos_to_a_saved_model(data: Dataset, tmp_path: Path) -> None:
    _whole_path(Scratch(image_size_px=32, epochs=4).plan(), data, tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        (
            "wide",
            TrainingError,
            r"the architecture returned \(2, 3\) for 2 images, expected \(2, 2",
        ),
        ("broken", TrainingError, "the architecture cannot be made for 2 classes: KeyError"),
        ("gone", UsageError, "cannot be imported"),
    ],
)
def test_an_architecture_that_does_not_fit_is_explained(
    network_file: Path, data: Dataset, name: str, error: type[RegraftError], text: str
) -> None:
    approach = Scratch(architecture=f"{network_file}:{name}", image_size_px=16, epochs=1)
    for call in (
        lambda: approach.cost(data, folds=2),
        lambda: approach.cross_validate(data, folds_of(data)),
    ):
        with pytest.raises(error, match=text) as caught:
            call()
        assert "\n" not in str(caught.value)


def _same(a: Cost, b: Cost) -> None:
    assert (a.epochs, a.once) == (b.epochs, b.once)
    for name in ("fold", "fit", "fold_epoch", "fit_epoch"):
        assert getattr(a, name) == pytest.approx(getattr(b, name))


def test_cost_is_predicted_from_a_probe_and_is_linear_in_epochs(
    tiny: Backbone, data: Dataset
) -> None:
    for approach in (
        FineTune(tiny, train="last_1_stage", epochs=4, views=2),
        Scratch(image_size_px=16, epochs=4),
    ):
        cost = approach.cost(data, folds=5)
        assert cost.epochs == approach.planned_epochs == 4
        assert min(cost.once, cost.fold, cost.fit, cost.fold_epoch, cost.fit_epoch) > 0
        assert cost.export < cost.fit < 60
        assert cost.fold > 4 * cost.fold_epoch
        _same(cost.at(4), cost)
        _same(cost.at(9).at(2).at(4), cost)
        steps = [cost.at(epochs) for epochs in (1, 2, 3)]
        assert steps[1].fold - steps[0].fold == pytest.approx(cost.fold_epoch)
        assert steps[2].fold - steps[1].fold == pytest.approx(cost.fold_epoch)
        assert cost.at(12).fit - cost.at(9).fit == pytest.approx(cost.fit_epoch)  # 4 and 3 more
        assert cost.at(3).fit == cost.at(4).fit, "two at the least"
        assert approach.with_epochs(7).planned_epochs == 7


def test_what_is_on_disk_costs_nothing(tiny: Backbone, data: Dataset) -> None:
    approach = FineTune(tiny, train="last_1_stage", epochs=4, views=2)
    assert approach.cost(data, folds=2).once > 0
    approach.with_epochs(1).cross_validate(data, folds_of(data), limits=Limits(folds=(0,)))
    assert approach.cost(data, folds=2).once == 0
    more = FineTune(tiny, train="last_1_stage", epochs=8)
    cost = more.cost(data, folds=2)
    assert cost.once > 0
    assert cost.at(4).once == 0  # two views would do


def test_classes_are_weighed_where_one_is_three_times_another(
    tiny: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regraft.engines import training

    seen: list[bool] = []
    real = training.train

    def noting(trainee: Any, inputs: Any, labels: Any, rows: Any, recipe: Any, **more: Any) -> Any:
        seen.append(recipe.balanced)
        return real(trainee, inputs, labels, rows, recipe, **more)

    monkeypatch.setattr(training, "train", noting)
    data = colours(tmp_path / "data", {"a": 12, "b": 4})
    for balanced in (None, False, True):
        approach = FineTune(tiny, train="last_1_stage", epochs=1, views=1, balanced=balanced)
        approach.cross_validate(data, folds_of(data), limits=Limits(folds=(0,)))
    assert seen == [True, False, True]


def test_pytorch_is_not_loaded_where_there_is_no_time_for_it(photo_folder: Path) -> None:
    code = (
        "import sys, time, regraft, pytest\n"
        "from regraft.approaches.base import Limits\n"
        "from regraft.approaches.fine_tune import FineTune\n"
        "from regraft.errors import OutOfTimeError\n"
        "data, soon = regraft.scan(sys.argv[1]), Limits(deadline=time.monotonic() + 2)\n"
        "with pytest.raises(OutOfTimeError, match='loading PyTorch would need about 4 s'):\n"
        "    FineTune('efficientnet_lite0').cost(data, folds=5, limits=soon)\n"
        "assert 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(photo_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_model_of_the_final_training_says_where_its_evidence_lies(photo_folder: Path) -> None:
    """Its graph ends like that of the pretrained network, by the mean of a map."""
    model = FineTune(train="last_1_stage", epochs=1, views=1).fit(scan(photo_folder))
    assert model.settings["final_epochs"] > 0
    assert HeatMapper.of(model) is not None
