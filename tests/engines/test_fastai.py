"""fastai's training on problems so small that every promise can be looked at."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regraft.backbones.architectures import Timm
from regraft.engines import fastai
from regraft.engines.networks import PixelScale, Trainee
from regraft.engines.training import Recipe, predict
from regraft.errors import MissingExtraError, OutOfTimeError, TrainingError
from tests.engines.test_training import Pictures
from tests.tiny_networks import ARCHITECTURE, SIZE, WIDTH, write_weights

SCALE = PixelScale((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1.0, "rgb")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "weights.pth")


@pytest.fixture
def trainee(weights: Path) -> Trainee:
    return fastai.fastai_trainee(
        Timm(ARCHITECTURE).load(weights),
        title=ARCHITECTURE,
        n_classes=2,
        feature_width=WIDTH,
        scale=SCALE,
        image_size_px=SIZE,
    )


def train(
    trainee: Trainee, pictures: Pictures, *, epochs: int = 2, rate: float = 2e-3, **options: Any
) -> Any:
    n = len(pictures.labels)
    settings: dict[str, Any] = {"rows": np.arange(n), "n_classes": 2} | options
    rows = settings.pop("rows")
    recipe = Recipe(epochs=epochs, learning_rate=rate, batch_size=8)
    return fastai.train(trainee, pictures, pictures.labels, rows, recipe, **settings)


def test_every_step_and_epoch_is_noted_and_nothing_printed(
    trainee: Trainee, capfd: pytest.CaptureFixture[str]
) -> None:
    pictures = Pictures(40, size=SIZE)
    rows, fold = np.arange(32), np.arange(32, 40)
    told: list[tuple[int, int]] = []
    ends = []
    history = train(
        trainee,
        pictures,
        rows=rows,
        fold=fold,
        epochs=4,
        on_step=lambda done, total: told.append((done, total)),
        on_epoch=ends.append,
    )
    assert history.epochs == 4
    assert history.chosen_rate == 2e-3
    assert history.rates == []
    assert told == [(i + 1, 16) for i in range(16)]
    steps = [step for step in history.steps if step.step >= 0]
    assert [step.step for step in steps] == list(range(16))
    assert [step.epoch for step in steps] == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert all(0 < step.learning_rate <= 2e-3 for step in steps)
    assert max(step.learning_rate for step in steps[:4]) > 1e-3  # of the head alone
    assert max(step.learning_rate for step in steps[4:]) <= 1e-3  # half of it, as in fine_tune
    assert [step for step in history.steps if step.step < 0] == ends
    assert [end.epoch for end in ends] == [0, 1, 2, 3]
    assert all(math.isfinite(end.fold_loss) for end in ends)
    taken = {row for batch, _ in pictures.taken for row in batch}
    assert taken == set(range(40))
    assert capfd.readouterr() == ("", "")


def test_a_separable_problem_is_learnt(trainee: Trainee) -> None:
    pictures = Pictures(40, size=SIZE)
    fold = np.arange(32, 40)
    history = train(trainee, pictures, rows=np.arange(32), fold=fold, epochs=6, rate=0.02)
    ends = [step for step in history.steps if step.step < 0]
    assert ends[-1].train_loss < ends[0].train_loss / 2
    logits, _ = predict(trainee, pictures, fold)
    assert (logits.argmax(axis=1) == pictures.labels[fold]).mean() > 0.8


def test_what_fastai_validates_is_what_is_predicted_afterwards(trainee: Trainee) -> None:
    pictures = Pictures(24, size=SIZE)
    fold = np.arange(16, 24)
    history = train(trainee, pictures, rows=np.arange(16), fold=fold)
    logits, _ = predict(trainee, pictures, fold)
    loss, accuracy = fastai.score(logits, pictures.labels[fold])
    assert history.steps[-1].fold_loss == pytest.approx(loss, abs=1e-4)
    assert history.steps[-1].fold_accuracy == accuracy


def test_the_first_epoch_leaves_all_but_the_head_and_the_normalisation(trainee: Trainee) -> None:
    before = {name: p.detach().clone() for name, p in trainee.body.named_parameters()}
    train(trainee, Pictures(16, size=SIZE), epochs=1)
    after = dict(trainee.body.named_parameters())
    moved = {name for name, p in before.items() if not torch.equal(p, after[name])}
    assert moved
    assert all(before[name].ndim == 1 for name in moved)
    train(trainee, Pictures(16, size=SIZE), epochs=2)
    kernels = [name for name, p in before.items() if p.ndim == 4]
    assert len(kernels) > 5
    assert not any(torch.equal(before[name], after[name]) for name in kernels)


def test_the_head_as_one_linear_layer_says_the_same(trainee: Trainee) -> None:
    pictures = Pictures(16, size=SIZE)
    train(trainee, pictures)
    logits, features = predict(trainee, pictures, np.arange(16))
    head, bias = trainee.head_arrays()
    assert (head.shape, bias.shape) == ((WIDTH, 2), (2,))
    assert np.allclose(features @ head + bias, logits, atol=1e-4)


def test_a_network_is_put_back_as_it_was(trainee: Trainee, weights: Path) -> None:
    pictures = Pictures(16, size=SIZE)
    train(trainee, pictures)
    logits, _ = predict(trainee, pictures, np.arange(16))
    kept = trainee.parameters()
    train(trainee, pictures)
    assert not np.allclose(predict(trainee, pictures, np.arange(16))[0], logits, atol=1e-3)
    trainee.load_parameters(kept)
    assert np.allclose(predict(trainee, pictures, np.arange(16))[0], logits, atol=1e-5)


def test_chance_is_given_back(trainee: Trainee) -> None:
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    expected = (random.random(), np.random.rand(), float(torch.rand(1)))
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    train(trainee, Pictures(16, size=SIZE), seed=9)
    assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected


def _late(after: int) -> Callable[[], None]:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) > after:
            raise OutOfTimeError("the time budget ended before it was finished")

    return check


@pytest.mark.parametrize("after", [0, 1, 2, 3])  # at once, in the frozen epoch, behind it, later
def test_the_deadline_ends_it_in_its_own_words(trainee: Trainee, after: int) -> None:
    steps: list[int] = []
    with pytest.raises(OutOfTimeError, match=r"^the time budget ended before it was finished$"):
        train(
            trainee,
            Pictures(16, size=SIZE),
            epochs=3,
            check=_late(after),
            on_step=lambda done, _: steps.append(done),
        )
    assert len(steps) == after


def test_what_ends_an_epoch_ends_the_training(trainee: Trainee) -> None:
    def behind(_: Any) -> None:
        raise TrainingError("behind")

    with pytest.raises(TrainingError, match=r"^behind$"):
        train(trainee, Pictures(16, size=SIZE), on_epoch=behind)


@pytest.mark.parametrize(("stop_by", "epochs"), [(-math.inf, 1), (math.inf, 3)])
def test_no_epoch_is_begun_that_would_end_too_late(
    trainee: Trainee, stop_by: float, epochs: int
) -> None:
    history = train(trainee, Pictures(16, size=SIZE), epochs=3, stop_by=stop_by)
    assert history.epochs == epochs


def test_a_loss_that_is_no_number_is_explained(trainee: Trainee) -> None:
    with torch.no_grad():
        next(trainee.head.parameters()).fill_(math.nan)
    with pytest.raises(TrainingError, match="training diverged in epoch 1, step 1: the loss was n"):
        train(trainee, Pictures(16, size=SIZE))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_are_explained(trainee: Trainee, n: int) -> None:
    with pytest.raises(TrainingError, match=f"{n} are too few images to train a network on"):
        train(trainee, Pictures(16, size=SIZE), rows=np.arange(n))


def test_fewer_images_than_a_batch_are_one_batch(trainee: Trainee) -> None:
    history = train(trainee, Pictures(16, size=SIZE), rows=np.arange(3))
    assert [s.step for s in history.steps if s.step >= 0] == [0, 1]


def test_the_speed_is_measured(trainee: Trainee) -> None:
    started = time.perf_counter()
    found = fastai.measure_speed(trainee, (3, SIZE, SIZE), np.dtype(np.uint8), n_classes=2)
    took = time.perf_counter() - started
    assert found.precision == "32-true"
    assert 0 < found.predict_s < took
    assert 0 < found.train_s < took


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("white", [1.0, 255.0])
def test_pixels_are_normalised_as_in_prediction(order: str, white: float) -> None:
    scale = PixelScale((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), white, order)
    library = fastai.library()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4)).astype(np.uint8)
    x: Any = library.TensorImage(torch.from_numpy(pixels).float() / 255)
    for transform in fastai.normalising(scale):
        x = transform(x)
    expected = pixels[:, ::-1] if order == "bgr" else pixels
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (scale.mean, scale.std))
    expected = (expected.astype(float) * white / 255 - mean) / std
    assert np.allclose(np.asarray(x), expected, atol=1e-3)


def test_without_fastai_the_command_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        fastai.library("the approach fastai")
    assert str(caught.value) == 'the approach fastai needs an extra: pip install "regraft[fastai]"'
