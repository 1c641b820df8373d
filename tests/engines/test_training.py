"""The training loop on problems so small that every promise can be looked at."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from regraft.engines import training
from regraft.engines.networks import Pixels, PixelScale, Trainee
from regraft.engines.training import (
    History,
    Recipe,
    Step,
    adapt_statistics,
    measure_speed,
    predict,
    range_test,
    train,
)
from regraft.errors import TrainingError

SCALE = PixelScale((0.5,) * 3, (0.5,) * 3, 1.0, "rgb")


class Pictures:
    """Classes that a colour tells apart; views differ by noise. Notes what is taken."""

    def __init__(
        self, n: int = 48, *, n_classes: int = 2, size: int = 6, dtype: Any = np.uint8
    ) -> None:
        random = np.random.default_rng(0)
        self.labels = np.arange(n) % n_classes
        level = np.where(np.arange(3) == self.labels[:, None] % 3, 200.0, 60.0)
        noise = random.normal(0, 20, (4, n, 3, size, size))
        self.values = np.clip(level[:, :, None, None] + noise, 0, 255)  # (views, n, ...)
        if dtype != np.uint8:
            self.values = self.values / 128 - 1
        self.values = self.values.astype(dtype)
        self.taken: list[tuple[list[int], list[int]]] = []

    def take(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[Any]:
        self.taken.append((rows.tolist(), views.tolist()))
        return np.asarray(self.values[views, rows])


def toy(n_classes: int = 2, *, statistics_learn: bool = True, frozen: bool = False) -> Trainee:
    """A convolution, batch normalisation and dropout at depth 1, the head at depth 0."""
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()
    head = nn.Linear(8, n_classes)
    for parameter in body.parameters():
        parameter.requires_grad_(not frozen)
    learning = [(0, list(head.parameters()))]
    if not frozen:
        learning.append((1, list(body.parameters())))
    return Trainee(
        body=body,
        head=head,
        whole=body,
        learning=learning,
        state=body.state_dict,
        intake=Pixels(SCALE, 6),
        statistics_learn=statistics_learn,
    )


def state(trainee: Trainee) -> dict[str, torch.Tensor]:
    both = {"body": trainee.body, "head": trainee.head}
    return {
        f"{part}.{name}": tensor.clone()
        for part, module in both.items()
        for name, tensor in module.state_dict().items()
    }


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def run(
    trainee: Trainee,
    pictures: Pictures,
    rows: NDArray[np.int64] | None = None,
    *,
    epochs: int = 3,
    n_classes: int = 2,
    recipe: dict[str, Any] | None = None,
    **options: Any,
) -> History:
    settings = {"learning_rate": 0.02, "batch_size": 8} | (recipe or {})
    return train(
        trainee,
        pictures,
        pictures.labels,
        np.arange(len(pictures.labels)) if rows is None else rows,
        Recipe(epochs=epochs, **settings),
        n_classes=n_classes,
        **options,
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_separable_problem_is_learnt(dtype: Any, n_classes: int) -> None:
    pictures, trainee = Pictures(n_classes=n_classes, dtype=dtype), toy(n_classes)
    fold, rows = np.arange(12), np.arange(12, 48)
    history = run(
        trainee, pictures, rows, epochs=10, n_classes=n_classes, fold=fold, recipe={"patience": 99}
    )
    last = history.steps[-1]
    assert last.fold_accuracy > 0.9
    assert last.train_accuracy > 0.9
    logits, features = predict(trainee, pictures, fold)
    assert (logits.dtype, features.dtype) == (np.float64, np.float32)
    assert (logits.shape, features.shape) == ((12, n_classes), (12, 8))
    assert (logits.argmax(axis=1) == pictures.labels[fold]).mean() == last.fold_accuracy
    weights, bias = trainee.head_arrays()
    assert features @ weights + bias == pytest.approx(logits, abs=1e-4)
    assert not trainee.body.training


def test_only_the_rows_given_are_trained_on_and_only_the_fold_is_measured() -> None:
    pictures = Pictures()
    run(toy(), pictures, np.arange(12, 48), fold=np.arange(8), recipe={"views": 3})
    trained = {row for rows, views in pictures.taken for row in rows if row >= 8}
    measured = [(rows, views) for rows, views in pictures.taken if min(rows) < 8]
    assert trained == set(range(12, 48))
    assert measured == [(list(range(8)), [0] * 8)] * 3


def test_epochs_take_turns_with_views_and_meet_every_row_once() -> None:
    pictures = Pictures()
    run(toy(), pictures, epochs=6, recipe={"views": 3})
    assert len(pictures.taken) == 36
    seen: dict[int, list[int]] = {}
    for epoch in range(6):
        batches = pictures.taken[epoch * 6 : epoch * 6 + 6]
        assert sorted(row for rows, _ in batches for row in rows) == list(range(48))
        for rows, views in batches:
            for row, view in zip(rows, views, strict=True):
                seen.setdefault(row, []).append(view)
    assert all(sorted(views) == [0, 0, 1, 1, 2, 2] for views in seen.values())
    assert {views[0] for views in seen.values()} == {0, 1, 2}


def test_the_seed_decides() -> None:
    found = []
    for seed in (3, 3, 4):
        trainee = toy()
        history = run(trainee, Pictures(), seed=seed, recipe={"views": 2, "flip": True})
        found.append((state(trainee), history.steps))
    assert same(found[0][0], found[1][0])
    assert [repr(step) for step in found[0][1]] == [repr(step) for step in found[1][1]]
    assert not same(found[0][0], found[2][0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inputs_that_are_not_finite_end_the_training(value: float) -> None:
    pictures = Pictures(dtype=np.float16)
    pictures.values[:, 5] = value
    with pytest.raises(TrainingError) as caught:
        run(toy(), pictures)
    text = str(caught.value)
    assert text.startswith("training diverged in epoch 1, step ")
    assert "at learning rate 0.02" in text
    assert "a lower learning rate may help" in text
    assert "\n" not in text


def test_a_rate_far_too_high_is_noticed() -> None:
    with pytest.raises(TrainingError, match=r"diverged in epoch .* at learning rate 1e"):
        run(toy(), Pictures(), epochs=20, recipe={"learning_rate": 1e4})


class _StopError(Exception):
    pass


def test_check_and_on_epoch_end_it_at_once() -> None:
    pictures, calls = Pictures(), [0]

    def check() -> None:
        calls[0] += 1
        if calls[0] == 4:
            raise _StopError

    with pytest.raises(_StopError):
        run(toy(), pictures, check=check)
    assert len(pictures.taken) == 3

    ends: list[Step] = []

    def on_epoch(end: Step) -> None:
        ends.append(end)
        if len(ends) == 2:
            raise _StopError

    with pytest.raises(_StopError):
        run(toy(), Pictures(), epochs=5, on_epoch=on_epoch)
    assert [end.epoch for end in ends] == [0, 1]

    for function in (range_test, run):  # range_test asks before every step as well
        with pytest.raises(_StopError):
            _call(function, check=_raise_stop)


def _raise_stop() -> None:
    raise _StopError


def _call(function: Callable[..., Any], **options: Any) -> Any:
    pictures = Pictures()
    if function is run:
        return run(toy(), pictures, **options)
    recipe = Recipe(epochs=1, batch_size=8)
    return range_test(
        toy(), pictures, pictures.labels, np.arange(48), recipe, n_classes=2, seed=0, **options
    )


def test_training_ends_where_the_fold_gets_no_better() -> None:
    pictures = Pictures()
    fold, rows = np.arange(12), np.arange(12, 48)
    pictures.labels = pictures.labels.copy()
    pictures.labels[fold] = 1 - pictures.labels[fold]  # the better it learns, the worse
    history = run(toy(), pictures, rows, epochs=30, fold=fold, recipe={"patience": 3})
    losses = [step.fold_loss for step in history.steps if step.step == -1]
    assert history.epochs == len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 1 - 3

    assert run(toy(), Pictures(), rows, epochs=6, recipe={"patience": 1}).epochs == 6  # no fold


def test_no_epoch_is_begun_that_would_not_be_over_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])

    def passes(_: Step) -> None:
        now[0] += 10.0

    class Slow(Pictures):
        def take(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[Any]:
            now[0] += 1.0
            return super().take(rows, views)

    pictures = Slow(32)
    recipe = Recipe(epochs=6, batch_size=8, learning_rate=1e-3)
    rows = np.arange(32)
    options: dict[str, Any] = {"n_classes": 2, "on_epoch": passes}
    # Four batches of a second, then ten: epochs take 14.
    found = train(toy(), pictures, pictures.labels, rows, recipe, stop_by=42.0, **options)
    assert found.epochs == 3
    now[0] = 0.0
    found = train(toy(), pictures, pictures.labels, rows, recipe, stop_by=-1.0, **options)
    assert found.epochs == 1  # the first is always trained


def test_the_history_has_every_step_and_every_epoch() -> None:
    pictures = Pictures()
    progress: list[tuple[int, int]] = []
    ends: list[Step] = []
    history = run(
        toy(),
        pictures,
        np.arange(8, 48),
        epochs=8,
        fold=np.arange(8),
        recipe={"patience": 99, "warmup": 0.25},
        on_step=lambda done, total: progress.append((done, total)),
        on_epoch=ends.append,
    )
    steps = [step for step in history.steps if step.step >= 0]
    assert [step.step for step in steps] == list(range(40))
    assert [step.epoch for step in steps] == [i // 5 for i in range(40)]
    assert [end for end in history.steps if end.step == -1] == ends
    assert [end.epoch for end in ends] == list(range(8)) == list(range(history.epochs))
    assert [i for i, step in enumerate(history.steps) if step.step == -1] == list(range(5, 48, 6))
    assert progress == [(i + 1, 40) for i in range(40)]
    assert all(math.isnan(step.fold_loss) and math.isnan(step.fold_accuracy) for step in steps)
    assert all(math.isfinite(end.fold_loss) and 0 <= end.fold_accuracy <= 1 for end in ends)
    for end in ends:  # batches of the same size: the mean of the steps
        of_epoch = [step for step in steps if step.epoch == end.epoch]
        assert end.train_loss == pytest.approx(np.mean([step.train_loss for step in of_epoch]))
        assert end.train_accuracy == pytest.approx(
            np.mean([step.train_accuracy for step in of_epoch])
        )
        assert end.learning_rate == of_epoch[-1].learning_rate

    rates = [step.learning_rate for step in steps]
    top = int(np.argmax(rates))
    assert top == pytest.approx(0.25 * 40, abs=1)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(0.02, rel=0.01)
    assert rates[-1] < 0.02 / 50
    assert history.chosen_rate == 0.02
    assert history.rates == []


def test_without_a_fold_nothing_is_measured() -> None:
    for fold in (None, np.array([], np.int64)):
        history = run(toy(), Pictures(), fold=fold)
        assert all(math.isnan(step.fold_loss) for step in history.steps)


def _learning_rates(trainee: Trainee, **recipe: Any) -> list[tuple[float, float, int]]:
    _, _, optimiser = training._set_up(trainee, Recipe(epochs=1, **recipe), 0.01, "32-true")
    return [
        (group["lr"], group["weight_decay"], len(group["params"]))
        for group in optimiser.param_groups
    ]


def test_rates_fall_with_depth_and_vectors_do_not_decay() -> None:
    found = _learning_rates(toy(), layer_decay=0.5, weight_decay=0.02)
    # Weight and bias of the head; the convolution's weight; its bias and the normalisation.
    assert found == [(0.01, 0.02, 1), (0.01, 0.0, 1), (0.005, 0.02, 1), (0.005, 0.0, 3)]


def test_what_is_frozen_does_not_change() -> None:
    trainee = toy(frozen=True, statistics_learn=False)
    before = state(trainee)
    run(trainee, Pictures())
    after = state(trainee)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}


@pytest.mark.parametrize("learn", [False, True])
def test_statistics_of_normalisation_follow_the_data_only_where_they_may(learn: bool) -> None:
    trainee = toy(statistics_learn=learn)
    before = state(trainee)
    run(trainee, Pictures(), recipe={"range_test": True})
    after = state(trainee)
    names = ("running_mean", "running_var", "num_batches_tracked")
    for name in names:
        assert torch.equal(before[f"body.1.{name}"], after[f"body.1.{name}"]) is not learn
    assert not torch.equal(before["body.1.weight"], after["body.1.weight"])


@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
def test_statistics_can_be_taken_from_the_data(dtype: Any) -> None:
    pictures, trainee = Pictures(dtype=dtype), toy()
    layer: Any = trainee.body[1]  # type: ignore[index]
    rows = np.arange(20)
    with torch.no_grad():
        x = trainee.intake.tensor(pictures.values[0, rows])
        inside = trainee.body[0](x)  # type: ignore[index]
    before = state(trainee)
    torch.manual_seed(5)
    adapt_statistics(trainee, pictures, rows)
    assert layer.running_mean.numpy() == pytest.approx(inside.mean((0, 2, 3)).numpy(), abs=1e-4)
    assert layer.running_var.numpy() == pytest.approx(inside.var((0, 2, 3)).numpy(), rel=1e-3)
    assert layer.momentum == 0.1
    assert not any(module.training for module in trainee.body.modules())
    after = state(trainee)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        f"body.1.{n}" for n in ("running_mean", "running_var", "num_batches_tracked")
    }
    adapt_statistics(trainee, pictures, rows)
    assert torch.allclose(layer.running_mean, after["body.1.running_mean"])
    with pytest.raises(_StopError):
        adapt_statistics(toy(), pictures, rows, check=_raise_stop)


def test_statistics_that_are_kept_are_not_taken_from_the_data() -> None:
    trainee = toy(statistics_learn=False)
    before = state(trainee)
    adapt_statistics(trainee, Pictures(), np.arange(20))
    assert same(before, state(trainee))


def test_statistics_of_many_rows_are_averaged_over_batches() -> None:
    few, many = toy(), toy()
    pictures = Pictures(n=200)
    adapt_statistics(many, pictures, np.arange(200))
    assert [len(rows) for rows, _ in pictures.taken] == [67, 67, 66]
    assert all(set(views) == {0} for _, views in pictures.taken)
    assert sorted(row for rows, _ in pictures.taken for row in rows) == list(range(200))
    adapt_statistics(few, pictures, np.arange(60))
    for name in ("running_mean", "running_var"):
        a, b = (state(one)[f"body.1.{name}"] for one in (few, many))
        assert torch.allclose(a, b, rtol=0.1, atol=0.02)


def _losses(labels: NDArray[np.int64], **recipe: Any) -> Any:
    return training.loss_function(labels, Recipe(epochs=1, **recipe), 3)


def test_classes_are_weighed_where_that_is_asked_for() -> None:
    labels = np.array([0] * 6 + [1] * 3)  # class 2 has no rows in this fold
    weighed = _losses(labels, balanced=True, label_smoothing=0.0)
    assert weighed.weight.tolist() == pytest.approx([9 / 12, 9 / 6, 9 / 2])
    shares = np.array([6, 3]) * weighed.weight[:2].numpy()
    assert shares[0] == pytest.approx(shares[1])
    assert _losses(labels).weight is None

    random = np.random.default_rng(0)
    logits = torch.from_numpy(random.normal(size=(9, 3)))
    y = torch.from_numpy(labels)
    each = nn.functional.cross_entropy(logits, y, reduction="none")
    of_class = torch.stack([each[:6].mean(), each[6:].mean()])
    assert weighed.double()(logits, y) == pytest.approx(float(of_class.mean()), rel=1e-5)

    rare = Pictures(n=60)
    rare.labels = (np.arange(60) % 12 == 0).astype(np.int64)
    rare.values[:] = 128  # nothing to see: only the prior can be learnt
    guesses = {}
    for balanced in (False, True):
        trainee = toy()
        run(trainee, rare, epochs=15, recipe={"balanced": balanced, "batch_size": 20})
        logits_found, _ = predict(trainee, rare, np.arange(1))
        guesses[balanced] = logits_found[0, 0] - logits_found[0, 1]
    assert guesses[False] > 1
    assert abs(guesses[True]) < 0.7


def test_labels_are_smoothed_in_training_and_not_when_measured() -> None:
    logits = torch.tensor([[4.0, 0.0, 0.0]])
    y = torch.tensor([0])
    logs = torch.log_softmax(logits, dim=1)[0]
    target = torch.tensor([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3])
    loss = _losses(np.array([0, 1, 2]), label_smoothing=0.1)(logits, y)
    assert float(loss) == pytest.approx(-float((target * logs).sum()), rel=1e-5)

    pictures, trainee = Pictures(), toy()
    fold = np.arange(8)
    end = run(trainee, pictures, epochs=1, fold=fold, recipe={"label_smoothing": 0.3}).steps[-1]
    found, _ = predict(trainee, pictures, fold)
    right = torch.tensor(pictures.labels[fold])
    assert end.fold_loss == pytest.approx(
        float(nn.functional.cross_entropy(torch.from_numpy(found), right))
    )


def test_a_single_row_left_over_is_skipped_where_statistics_learn() -> None:
    history = run(toy(), Pictures(), np.arange(3), epochs=2, recipe={"batch_size": 2})
    assert [step.step for step in history.steps] == [0, -1, 1, -1]
    history = run(
        toy(statistics_learn=False), Pictures(), np.arange(3), epochs=2, recipe={"batch_size": 2}
    )
    assert [step.step for step in history.steps] == [0, 1, -1, 2, 3, -1]
    with pytest.raises(TrainingError, match="1 are too few images to train a network on"):
        run(toy(), Pictures(), np.arange(1))


def _options(pictures: Pictures) -> dict[str, Any]:
    return {
        "inputs": pictures,
        "labels": pictures.labels,
        "rows": np.arange(48),
        "n_classes": 2,
        "seed": 0,
    }


@pytest.mark.parametrize("learn", [False, True])
def test_the_range_test_leaves_the_network_as_it_was(learn: bool) -> None:
    trainee = toy(statistics_learn=learn)
    before = state(trainee)
    found, rate = range_test(
        trainee, recipe=Recipe(epochs=1, learning_rate=1e-3), **_options(Pictures())
    )
    assert same(before, state(trainee))
    rates = [rate for rate, _ in found]
    assert rates == sorted(rates)
    assert rates[0] == 1e-6
    assert 10 < len(rates) <= 24
    assert rates[-1] <= 0.1 * (1 + 1e-9)
    assert 1e-5 <= rate <= 1e-3


def test_the_range_test_only_lowers_a_rate_and_training_follows_it() -> None:
    pictures = Pictures()
    options = _options(pictures)
    assert range_test(toy(), recipe=Recipe(epochs=1, learning_rate=2e-5), **options)[1] == 2e-5
    found, rate = range_test(toy(), recipe=Recipe(epochs=1, learning_rate=1.0), **options)
    limit = 1.25 * found[0][1] + 0.1
    risen = [at for at, loss in found if loss > limit]
    assert rate == (pytest.approx(max(risen[0] / 3, 1e-5)) if risen else 1.0)

    history = run(toy(), pictures, recipe={"range_test": True, "learning_rate": 0.01})
    assert len(history.rates) > 10
    assert history.chosen_rate <= 0.01
    assert max(step.learning_rate for step in history.steps) <= history.chosen_rate * 1.001


def test_a_loss_that_is_not_finite_ends_the_range_test() -> None:
    pictures = Pictures()
    options = _options(pictures)

    pictures.values = np.full_like(pictures.values, np.nan, dtype=np.float16)
    with pytest.raises(TrainingError, match="not finite at the lowest learning rate"):
        range_test(toy(), recipe=Recipe(epochs=1), **options)


@pytest.mark.parametrize(("learn", "dtype"), [(False, np.uint8), (True, np.float16)])
def test_speed_is_measured_and_the_network_left_as_it_was(learn: bool, dtype: Any) -> None:
    trainee = toy(statistics_learn=learn)
    before = state(trainee)
    speed = measure_speed(trainee, (3, 6, 6), np.dtype(dtype), n_classes=2, batch_size=8)
    assert same(before, state(trainee))
    assert speed.precision in ("32-true", "bf16-mixed")
    assert 0 < speed.train_s < 1
    assert 0 < speed.predict_s < 1
    with pytest.raises(_StopError):
        measure_speed(toy(), (3, 6, 6), np.dtype(dtype), n_classes=2, check=_raise_stop)


def test_mixed_precision_trains_and_predicts_about_the_same() -> None:
    pictures, trainee = Pictures(), toy()
    history = run(trainee, pictures, epochs=10, precision="bf16-mixed")
    assert history.precision == "bf16-mixed"
    assert history.steps[-1].train_accuracy > 0.9
    exact, _ = predict(trainee, pictures, np.arange(48))
    rounded, features = predict(trainee, pictures, np.arange(48), precision="bf16-mixed")
    assert rounded == pytest.approx(exact, abs=0.1)
    assert features.dtype == np.float32
    assert all(tensor.dtype != torch.bfloat16 for tensor in state(trainee).values())


def test_pixels_are_scaled_as_the_transform_scales_them() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
    scale = PixelScale((0.1, 0.2, 0.3), (0.5, 1.0, 2.0), 1.0, "rgb")
    mean, std = (np.array(p)[:, None, None] for p in (scale.mean, scale.std))
    found = Pixels(scale, 4).tensor(pixels).numpy()
    assert found == pytest.approx((pixels / 255 - mean) / std, abs=1e-5)
    scale = PixelScale((103.0, 116.0, 123.0), (1.0,) * 3, 255.0, "bgr")
    found = Pixels(scale, 4).tensor(pixels).numpy()
    mean = np.array(scale.mean)[:, None, None]
    assert found == pytest.approx(pixels[:, ::-1] - mean, abs=1e-3)
    half = np.full((2, 5), 1.5, np.float16)
    assert np.array_equal(Pixels(scale, 4).tensor(half).numpy(), half.astype(np.float32))


def test_mirroring_touches_half_of_the_inputs() -> None:
    seen: list[torch.Tensor] = []
    trainee = toy()
    trainee.body.register_forward_pre_hook(lambda _, x: seen.append(x[0].clone()))
    pictures = Pictures()
    pictures.values = np.broadcast_to(
        np.arange(6, dtype=np.uint8) * 40, pictures.values.shape
    ).copy()
    run(trainee, pictures, epochs=4, recipe={"flip": True, "label_smoothing": 0.5})
    mirrored = [bool(x[0, 0, 0] > x[0, 0, -1]) for batch in seen for x in batch]
    assert len(mirrored) == 4 * 48
    assert 60 < sum(mirrored) < 132
    seen.clear()
    run(trainee, pictures, epochs=1)
    assert not any(bool(x[0, 0, 0] > x[0, 0, -1]) for batch in seen for x in batch)
