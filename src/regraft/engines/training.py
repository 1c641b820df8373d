"""The training loop: a network, stored inputs and labels in; a trained network and its history out.

One short loop on Lightning Fabric serves every approach that trains. What varies is in `Recipe`.
Every step can be stopped (deadline, Ctrl-C), and every number that was seen on the way is kept.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from regraft.engines.devices import current_device
from regraft.engines.networks import Trainee
from regraft.errors import TrainingError
from regraft.telemetry import opt_out

if TYPE_CHECKING:
    import torch

IntArray = NDArray[np.int64]

_DIVERGED = 3.0  # times the loss of guessing, beyond which training has come apart
_FASTER = 1.15  # how much faster half precision must be to be worth its rounding
_RANGE = (1e-6, 1e-1)  # of the learning-rate range test
_RANGE_STEPS = 24
_PREDICT_BATCH = 64


class Inputs(Protocol):
    """Where batches come from: `activations.Activations`."""

    def take(self, rows: IntArray, views: IntArray) -> NDArray[Any]:
        """Inputs (b, ...) of some rows in some of their views."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Args:
        epochs: passes over the training rows.
        learning_rate: the highest one, of the head (AdamW; Loshchilov and Hutter 2019).
        layer_decay: factor for each stage below the head (Howard and Ruder 2018).
        warmup: share of the steps in which the rate rises; then it falls along a cosine
            (one-cycle: Smith and Topin 2019).
        batch_size: rows of a step.
        weight_decay: of AdamW.
        label_smoothing: share of the target spread over all classes.
        clip: largest norm of the gradient.
        views: how many variants of each photo there are; epochs take turns.
        balanced: weigh classes by inverse frequency.
        patience: epochs without a lower fold loss after which training ends.
        flip: mirror half of the inputs at random, for pixels only.
        range_test: look for the rate at which the loss falls fastest first, see
            `range_test`.
    """

    epochs: int
    learning_rate: float = 1e-3
    layer_decay: float = 0.8
    warmup: float = 0.15
    batch_size: int = 32
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    clip: float = 1.0
    views: int = 1
    balanced: bool = False
    patience: int = 4
    flip: bool = False
    range_test: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the history: a step, or the end of an epoch (`step` is -1)."""

    epoch: int
    step: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    fold_loss: float = math.nan
    fold_accuracy: float = math.nan


@dataclass(slots=True)
class History:
    """What training looked like: every step, every epoch, and the learning-rate range test."""

    steps: list[Step] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)
    chosen_rate: float = math.nan
    epochs: int = 0
    precision: str = "32-true"


@dataclass(frozen=True, slots=True)
class Speed:
    """What one image costs on this machine, in seconds, with the faster precision."""

    precision: str
    train_s: float
    predict_s: float


def train(
    trainee: Trainee,
    inputs: Inputs,
    labels: IntArray,
    rows: IntArray,
    recipe: Recipe,
    *,
    n_classes: int,
    fold: IntArray | None = None,
    seed: int = 0,
    precision: str = "32-true",
    check: Callable[[], None] = lambda: None,
    stop_by: float = math.inf,
    on_epoch: Callable[[Step], None] = lambda _: None,
    on_step: Callable[[int, int], None] = lambda _done, _total: None,
) -> History:
    """Train `trainee` in place.

    Args:
        trainee: what learns.
        inputs: of all rows.
        labels: class numbers of all rows, int64 (n,).
        rows: the rows to train on.
        recipe: how.
        n_classes: k.
        fold: rows to measure on after every epoch; None for none, and then no early stop.
        seed: of the order of rows and of their views.
        precision: Fabric's name, see `measure_speed`.
        check: called before every step; raises what should end the training.
        stop_by: in seconds of `time.monotonic`; no epoch but the first is begun that, taking as
            long as the one before, would end later.
        on_epoch: told the end of each epoch; may raise to end the training.
        on_step: told how many of the steps are done.

    Raises:
        TrainingError: the loss is not finite, or has come apart.
    """
    import torch

    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    history = History(precision=precision)
    rate = recipe.learning_rate
    if recipe.range_test:
        history.rates, rate = range_test(
            trainee, inputs, labels, rows, recipe, n_classes=n_classes, seed=seed, check=check
        )
    history.chosen_rate = rate
    fabric, model, optimiser = _set_up(trainee, recipe, rate, precision)
    batches = max(1, math.ceil(len(rows) / recipe.batch_size))
    total = batches * recipe.epochs
    schedule = one_cycle(optimiser, recipe, total)
    criterion = loss_function(labels[rows], recipe, n_classes).to(fabric.device)
    learner = _Learner(fabric, model, optimiser, schedule, criterion, recipe.clip)
    highest, smooth = _DIVERGED * math.log(n_classes) + 1.0, math.nan
    first_view = random.integers(0, recipe.views, len(labels))
    best, since_best, done = math.inf, 0, 0
    lasted = 0.0
    for epoch in range(recipe.epochs):
        began = time.monotonic()
        if epoch and began + lasted > stop_by:
            break
        training_mode(trainee)
        losses, right, seen = 0.0, 0, 0
        for batch in np.array_split(random.permutation(rows), batches):
            check()
            if trainee.statistics_learn and len(batch) < 2:
                continue
            views = (first_view[batch] + epoch) % recipe.views
            x = trainee.intake.tensor(inputs.take(batch, views))
            if recipe.flip:
                mirrored = torch.from_numpy(random.random(len(batch)) < 0.5)
                x[mirrored] = x[mirrored].flip(-1)
            loss, hits = learner.judge(x, torch.from_numpy(labels[batch]))
            value = float(loss.detach())
            smooth = value if done == 0 else 0.9 * smooth + 0.1 * value
            if not math.isfinite(value) or (epoch > 0 and smooth > highest):
                raise TrainingError(
                    f"training diverged in epoch {epoch + 1}, step {done + 1}: the loss was "
                    f"{value:.3g} at learning rate {rate:.2g}, expected below {highest:.2g}; a "
                    "lower learning rate may help"
                )
            now = learner.learn(loss)
            losses, right, seen = losses + value * len(batch), right + hits, seen + len(batch)
            history.steps.append(Step(epoch, done, now, value, hits / len(batch)))
            done += 1
            on_step(done, total)
        if not seen:
            raise TrainingError(f"{len(rows)} are too few images to train a network on")
        fold_loss = fold_accuracy = math.nan
        if fold is not None and len(fold):
            logits, _ = predict(trainee, inputs, fold, precision=precision, check=check)
            fold_loss, fold_accuracy = score(logits, labels[fold])
        end = Step(epoch, -1, now, losses / seen, right / seen, fold_loss, fold_accuracy)
        history.steps.append(end)
        history.epochs = epoch + 1
        on_epoch(end)
        lasted = time.monotonic() - began
        since_best = 0 if not fold_loss >= best else since_best + 1
        best = min(best, fold_loss) if math.isfinite(fold_loss) else best
        if since_best >= recipe.patience:
            break
    trainee.body.eval()
    return history


@dataclass(frozen=True, slots=True)
class _Learner:
    """What a step of gradient descent needs, as Fabric has set it up."""

    fabric: Any
    model: Any
    optimiser: Any
    schedule: Any
    criterion: Any
    clip: float

    def judge(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The loss of a batch, and how many of it are right."""
        x, y = x.to(self.fabric.device), y.to(self.fabric.device)
        logits = self.model(x)
        hits = int((logits.detach().argmax(dim=1) == y).sum())
        return self.criterion(logits, y), hits

    def learn(self, loss: torch.Tensor) -> float:
        """Change the parameters for a smaller loss; the learning rate at which."""
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.model, self.optimiser, max_norm=self.clip)
        self.optimiser.step()
        rate = float(self.optimiser.param_groups[0]["lr"])
        self.schedule.step()
        return rate


def predict(
    trainee: Trainee,
    inputs: Inputs,
    rows: IntArray,
    *,
    precision: str = "32-true",
    check: Callable[[], None] = lambda: None,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Logits float64 (m, k) and features float32 (m, d) of rows, in their first view."""
    import torch

    trainee.body.eval()
    trainee.head.eval()
    logits, features = [], []
    with torch.no_grad():
        for start in range(0, len(rows), _PREDICT_BATCH):
            check()
            part = rows[start : start + _PREDICT_BATCH]
            x = trainee.intake.tensor(inputs.take(part, np.zeros(len(part), np.int64)))
            x = x.to(next(trainee.head.parameters()).device)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=precision != "32-true"):
                found = trainee.body(x)
                scores = trainee.head(found)
            features.append(found.float().cpu().numpy())
            logits.append(scores.double().cpu().numpy())
    return np.concatenate(logits), np.concatenate(features)


def adapt_statistics(
    trainee: Trainee,
    inputs: Inputs,
    rows: IntArray,
    *,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Let batch normalisation in `body` take its statistics from these rows, in their first view.

    A head that is fitted next sees the features it will see in training (adaptive batch
    normalisation: Li et al. 2018, Pattern Recognition 80:109). Nothing is learned.
    """
    import torch

    layers = [
        module
        for module in trainee.body.modules()
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)  # noqa: SLF001
    ]
    if not layers or not trainee.statistics_learn:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain average over batches
        layer.train()  # not the body: dropout would add chance
    order = np.random.default_rng(0).permutation(rows)
    with torch.no_grad():
        for part in np.array_split(order, max(1, len(order) // _PREDICT_BATCH)):
            check()
            x = trainee.intake.tensor(inputs.take(part, np.zeros(len(part), np.int64)))
            trainee.body(x)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    trainee.body.eval()


def range_test(
    trainee: Trainee,
    inputs: Inputs,
    labels: IntArray,
    rows: IntArray,
    recipe: Recipe,
    *,
    n_classes: int,
    seed: int,
    check: Callable[[], None] = lambda: None,
) -> tuple[list[tuple[float, float]], float]:
    """Losses at rising learning rates, and the rate to train with (Smith 2017, WACV).

    The rate rises from 1e-6 to 0.1 over 24 steps; training stops where the loss comes apart.
    The recipe's rate is kept unless it lies above a third of the rate at which the smoothed loss
    has risen by a quarter, and is lowered to that then: on small sets the test is too noisy to be
    followed blindly, but it does see a rate that cannot work. The network is left as it was.

    Returns:
        (rate, smoothed loss) of every step, and the chosen rate.
    """
    import copy

    import torch

    saved = copy.deepcopy((trainee.body.state_dict(), trainee.head.state_dict()))
    random = np.random.default_rng(seed)
    fabric, model, optimiser = _set_up(trainee, recipe, 1.0, "32-true")
    shares = [group["lr"] for group in optimiser.param_groups]
    criterion = loss_function(labels[rows], recipe, n_classes).to(fabric.device)
    training_mode(trainee)
    found: list[tuple[float, float]] = []
    smooth = lowest = math.inf
    for i in range(_RANGE_STEPS):
        check()
        rate = _RANGE[0] * (_RANGE[1] / _RANGE[0]) ** (i / (_RANGE_STEPS - 1))
        for group, share in zip(optimiser.param_groups, shares, strict=True):
            group["lr"] = rate * share
        size = min(recipe.batch_size, len(rows))
        batch = random.choice(rows, size, replace=False)
        x = trainee.intake.tensor(inputs.take(batch, random.integers(0, recipe.views, size)))
        y = torch.from_numpy(labels[batch]).to(fabric.device)
        loss = criterion(model(x.to(fabric.device)), y)
        value = float(loss.detach())
        smooth = value if i == 0 else 0.7 * smooth + 0.3 * value
        if not math.isfinite(smooth):
            break
        found.append((rate, smooth))
        lowest = min(lowest, smooth)
        if smooth > 2 * lowest + 0.1:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    trainee.body.load_state_dict(saved[0])
    trainee.head.load_state_dict(saved[1])
    if not found:
        raise TrainingError("the loss is not finite at the lowest learning rate of the range test")
    start = found[0][1]
    risen = next((rate for rate, loss in found if loss > 1.25 * start + 0.1), math.inf)
    return found, min(recipe.learning_rate, max(risen / 3, 10 * _RANGE[0]))


def measure_speed(
    trainee: Trainee,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    *,
    n_classes: int,
    batch_size: int = 32,
    check: Callable[[], None] = lambda: None,
) -> Speed:
    """Time a few steps in single and in mixed precision; the faster one, and what it costs.

    Mixed precision (bfloat16) is taken only if it is 15 % faster: on CPUs without such units it
    can be slower. The network is left as it was.
    """
    import copy

    import torch

    saved = copy.deepcopy((trainee.body.state_dict(), trainee.head.state_dict()))
    recipe = Recipe(epochs=1, batch_size=batch_size)
    values = trainee.intake.dummies(shape, dtype, batch_size)
    x = trainee.intake.tensor(values)
    y = torch.from_numpy(np.random.default_rng(0).integers(0, n_classes, batch_size))
    criterion = loss_function(y.numpy(), recipe, n_classes)
    timed: dict[str, float] = {}
    for precision in ("32-true", "bf16-mixed"):
        fabric, model, optimiser = _set_up(trainee, recipe, 1e-9, precision)
        x, y = x.to(fabric.device), y.to(fabric.device)
        training_mode(trainee)
        laps = []
        for _ in range(3):
            check()
            started = time.perf_counter()
            optimiser.zero_grad()
            loss = criterion(model(x), y)
            fabric.backward(loss)
            optimiser.step()
            float(loss.detach())  # waits for accelerators
            laps.append(time.perf_counter() - started)
            if laps[-1] > 3 * timed.get("32-true", math.inf):
                break  # clearly no gain
        timed[precision] = min(laps[1:] or laps)
    faster = timed["32-true"] > _FASTER * timed.get("bf16-mixed", math.inf)
    precision = "bf16-mixed" if faster else "32-true"

    class _Same:
        def take(self, rows: IntArray, views: IntArray) -> NDArray[Any]:
            assert len(rows) == len(views)
            return values[: len(rows)]

    laps = []
    for _ in range(2):
        started = time.perf_counter()
        predict(trainee, _Same(), np.arange(batch_size), precision=precision, check=check)
        laps.append(time.perf_counter() - started)
    trainee.body.load_state_dict(saved[0])
    trainee.head.load_state_dict(saved[1])
    return Speed(precision, timed[precision] / batch_size, min(laps) / batch_size)


@cache
def _whole_type() -> Any:
    import torch

    class Whole(torch.nn.Module):
        """Body and head as one module, which is what Fabric prepares."""

        def __init__(self, trainee: Trainee) -> None:
            super().__init__()
            self.body, self.head = trainee.body, trainee.head

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x))  # type: ignore[no-any-return]

    return Whole


def _set_up(trainee: Trainee, recipe: Recipe, rate: float, precision: str) -> tuple[Any, Any, Any]:
    """Fabric, the module it prepared and the optimiser. Frozen before the optimiser is made."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opt_out()
        from lightning_fabric import Fabric

        accelerator = current_device().accelerator

        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        fabric: Any = Fabric(accelerator=accelerator, devices=1, precision=precision)  # type: ignore[arg-type]
    whole = _whole_type()(trainee).to(memory_format=torch.channels_last)
    optimiser = make_optimiser(trainee, recipe, rate)
    model, optimiser = fabric.setup(whole, optimiser)
    return fabric, model, optimiser


def make_optimiser(trainee: Trainee, recipe: Recipe, rate: float) -> torch.optim.Optimizer:
    """AdamW with a lower rate for each stage below the head, whose rate is `rate`."""
    import torch

    groups = []
    for depth, parameters in trainee.learning:
        lr = rate * recipe.layer_decay**depth
        plain = [p for p in parameters if p.ndim < 2]  # biases and normalisation do not decay
        decaying = [p for p in parameters if p.ndim >= 2]
        for members, decay in ((decaying, recipe.weight_decay), (plain, 0.0)):
            if members:
                groups.append({"params": members, "lr": lr, "weight_decay": decay})
    return torch.optim.AdamW(groups, lr=rate)


def one_cycle(
    optimiser: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.OneCycleLR:
    """The rates of the optimiser as the highest of a rise and a fall over `steps` steps."""
    import torch

    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=[group["lr"] for group in optimiser.param_groups],
        total_steps=steps + 1,
        pct_start=recipe.warmup,
        cycle_momentum=False,
    )


def training_mode(trainee: Trainee) -> None:
    """Training mode, but pretrained batch normalisation keeps its statistics."""
    import torch

    trainee.body.train()
    trainee.head.train()
    if not trainee.statistics_learn:
        for module in trainee.body.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
                module.eval()


def loss_function(
    labels: IntArray, recipe: Recipe, n_classes: int
) -> torch.nn.modules.loss.CrossEntropyLoss:
    """Cross-entropy as the recipe wants it, for training rows with these class numbers (n,)."""
    import torch

    weight = None
    if recipe.balanced:
        counts = np.bincount(labels, minlength=n_classes)
        share = len(labels) / (np.maximum(counts, 1) * np.count_nonzero(counts))
        weight = torch.tensor(share, dtype=torch.float32)
    return torch.nn.CrossEntropyLoss(weight=weight, label_smoothing=recipe.label_smoothing)


def score(logits: NDArray[np.float64], labels: IntArray) -> tuple[float, float]:
    """Log loss and accuracy."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -float(log_p[np.arange(len(labels)), labels].mean())
    return loss, float((logits.argmax(axis=1) == labels).mean())
