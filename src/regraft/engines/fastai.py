"""fastai's own training, in the place of `training.py`: the same arguments, the same history.

`train` is `Learner.fine_tune` with what fastai does unless told otherwise: its one-cycle schedule,
an epoch with only the head and batch normalisation learning, discriminative rates from then on,
its Adam and its augmentation of batches. Limits are kept and numbers are noted by one callback.
Nothing is printed and nothing is written.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.engines.networks import Pixels, PixelScale, Trainee, pretrained_trainee
from regraft.engines.training import History, Inputs, IntArray, Recipe, Speed, Step, predict, score
from regraft.errors import MissingExtraError, TrainingError
from regraft.telemetry import opt_out

if TYPE_CHECKING:
    import torch

_PROBED = 8  # images of a step that is timed
_PREDICT_BATCH = 64


def library(purpose: str = "fastai") -> Any:
    """fastai's names for images; imported at the first call, which takes seconds.

    Raises:
        MissingExtraError: it is not installed; `purpose` says what needs it.
    """
    if importlib.util.find_spec("fastai") is None:
        raise MissingExtraError(purpose, "fastai")
    return _imported()


@cache
def _imported() -> Any:
    charts = logging.getLogger("matplotlib")
    level = charts.level
    charts.setLevel(logging.ERROR)  # else it tells of its cache of fonts the first time
    try:
        with warnings.catch_warnings():
            # Its layers are scripted when they are imported, of which torch warns its authors.
            warnings.simplefilter("ignore")
            opt_out()
            from fastai.vision import all as everything
    finally:
        charts.setLevel(level)
    return everything


def fastai_trainee(
    network: Any,
    *,
    title: str,
    n_classes: int,
    feature_width: int,
    scale: PixelScale,
    image_size_px: int,
) -> Trainee:
    """A pretrained network, all of which learns, with the last layers of fastai's head on it.

    These are batch normalisation, dropout and a linear layer. Arguments are those of
    `pretrained_trainee`.
    """
    trainee = pretrained_trainee(
        network,
        title=title,
        boundary=0,
        first_stages=None,
        n_classes=n_classes,
        feature_width=feature_width,
        scale=scale,
        image_size_px=image_size_px,
    )
    with library("the approach fastai").no_random(0):
        head = _head_type()(feature_width, n_classes)
    body = [(depth, parameters) for depth, parameters in trainee.learning if depth]
    return replace(trainee, head=head, learning=[(0, list(head.parameters())), *body])


@cache
def _head_type() -> Any:
    import torch

    class Head(torch.nn.Module):
        """fastai's last layers; `weight` and `bias` are what they do in evaluation, as one."""

        def __init__(self, width: int, n_classes: int) -> None:
            super().__init__()
            fastai = library()
            self.layers = fastai.create_head(width, n_classes, lin_ftrs=[], pool=False)
            fastai.apply_init(self.layers, torch.nn.init.kaiming_normal_)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)  # type: ignore[no-any-return]

        @property
        def weight(self) -> torch.Tensor:
            _, linear, factor = self._parts()
            return linear.weight * factor  # type: ignore[no-any-return]

        @property
        def bias(self) -> torch.Tensor:
            norm, linear, factor = self._parts()
            return linear.weight @ (norm.bias - norm.running_mean * factor)  # type: ignore[no-any-return]

        def _parts(self) -> tuple[Any, Any, torch.Tensor]:
            norm: Any = next(m for m in self.modules() if isinstance(m, torch.nn.BatchNorm1d))
            linear: Any = next(m for m in self.modules() if isinstance(m, torch.nn.Linear))
            return norm, linear, norm.weight / (norm.running_var + norm.eps).sqrt()

    return Head


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
    """Train `trainee` in place by `Learner.fine_tune`; see `training.train` for the arguments.

    Of the recipe count `epochs`, the first of which is fastai's frozen one, `learning_rate` and
    `batch_size`. The state of all random generators is afterwards what it was.

    Raises:
        TrainingError: the loss is not finite, or there are too few images for a batch.
    """
    if len(rows) < 2:
        raise TrainingError(f"{len(rows)} are too few images to train a network on")
    fastai = library()
    held = np.zeros(0, np.int64) if fold is None else fold
    size = min(recipe.batch_size, len(rows))
    watch = _Watch(
        history=History(chosen_rate=recipe.learning_rate, precision=precision),
        total=recipe.epochs * (len(rows) // size),
        fold_labels=labels[held],
        check=check,
        stop_by=stop_by,
        on_epoch=on_epoch,
        on_step=on_step,
        cancel=fastai.CancelFitException,
    )
    assert isinstance(trainee.intake, Pixels)
    scale = trainee.intake.scale
    with fastai.no_random(seed):
        loaders = fastai.DataLoaders(
            _batches(inputs, labels, rows, scale, size=size, learn=True),
            _batches(inputs, labels, held, scale, size=_PREDICT_BATCH, learn=False),
            device=fastai.default_device(),
        )
        loaders.c = n_classes
        learner = fastai.Learner(
            loaders,
            _whole(trainee),
            loss_func=fastai.CrossEntropyLossFlat(),
            splitter=fastai.default_split,
            cbs=[fastai.TrainEvalCallback(), watch.callback(fastai.Callback)],
            default_cbs=False,  # no progress bars, and no table of numbers
        )
        learner.fine_tune(recipe.epochs - 1, base_lr=recipe.learning_rate)
    if watch.error is not None:
        raise watch.error
    trainee.body.eval()
    return watch.history


def measure_speed(
    trainee: Trainee,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    *,
    n_classes: int,
    batch_size: int = 64,
    check: Callable[[], None] = lambda: None,
) -> Speed:
    """Time a few steps of fastai and a prediction; the network is not to be used afterwards."""
    size = min(batch_size, _PROBED)
    random = np.random.default_rng(0)
    values = random.integers(0, 256, (size, *shape)).astype(dtype)

    class _Same:
        def take(self, rows: IntArray, views: IntArray) -> NDArray[Any]:
            assert len(rows) == len(views)
            return values[: len(rows)]

    ends = []
    train(
        trainee,
        _Same(),
        np.arange(3 * size) % n_classes,
        np.arange(3 * size),
        Recipe(epochs=2, batch_size=size, learning_rate=1e-9),
        n_classes=n_classes,
        check=check,
        on_step=lambda _done, _total: ends.append(time.perf_counter()),
    )
    laps = []
    for _ in range(2):
        started = time.perf_counter()
        predict(trainee, _Same(), np.arange(size), check=check)
        laps.append(time.perf_counter() - started)
    # All of the network learns in the last two steps, with no other work around them.
    step = min(ends[-1] - ends[-2], ends[-2] - ends[-3])
    return Speed("32-true", step / size, min(laps) / size)


def _whole(trainee: Trainee) -> torch.nn.Module:
    """Body and head as fastai's splitter expects them."""
    import torch

    head: Any = trainee.head
    return torch.nn.Sequential(trainee.body, head.layers)


class _Rows(list[int]):
    """Row numbers, as a data set of fastai: `split_idx` says whether batches are augmented."""

    split_idx = 0


def _batches(
    inputs: Inputs,
    labels: IntArray,
    rows: IntArray,
    scale: PixelScale,
    *,
    size: int,
    learn: bool,
) -> Any:
    """A loader of fastai over stored pixels; what learns is shuffled and augmented."""
    import torch

    fastai = library()

    def batch_of(numbers: list[int]) -> tuple[Any, Any]:
        at = np.array(numbers, np.int64)
        pixels = np.ascontiguousarray(inputs.take(at, np.zeros(len(at), np.int64)))
        return (
            fastai.TensorImage(torch.from_numpy(pixels)),
            fastai.TensorCategory(torch.from_numpy(labels[at])),
        )

    numbers = _Rows(map(int, rows))
    numbers.split_idx = 0 if learn else 1
    varied = fastai.aug_transforms() if learn else []
    return fastai.TfmdDL(
        numbers,
        bs=size,
        shuffle=learn,
        drop_last=learn,
        num_workers=0,
        create_batch=batch_of,
        after_batch=[fastai.IntToFloatTensor(), *varied, *normalising(scale)],
        device=fastai.default_device(),
    )


def normalising(scale: PixelScale) -> list[Any]:
    """Transforms of fastai from pixels of 0 to 1 to what a network takes."""
    fastai = library()
    found = []
    if scale.channel_order == "bgr":
        found.append(_reversed_channels())
    mean, std = (np.array(numbers) / scale.pixel_max for numbers in (scale.mean, scale.std))
    return [*found, fastai.Normalize.from_stats(mean.tolist(), std.tolist(), cuda=False)]


def _reversed_channels() -> Any:
    """From RGB to BGR, and back to be shown; labels are left as they are."""
    fastai = library()

    def reverse(x: Any) -> Any:
        return x.flip(-3) if isinstance(x, fastai.TensorImage) else x

    transform = fastai.Transform(reverse, reverse)
    transform.order = 90  # behind the augmentation, before the normalisation
    return transform


@dataclass(slots=True)
class _Watch:
    """What fastai's events are answered with: limits are kept, and numbers are noted.

    An error in a callback would get fastai's words before its own. It is kept instead, and the
    training cancelled.
    """

    history: History
    total: int
    fold_labels: IntArray
    check: Callable[[], None]
    stop_by: float
    on_epoch: Callable[[Step], None]
    on_step: Callable[[int, int], None]
    cancel: type[Exception]
    error: Exception | None = None
    is_over: bool = False
    done: int = 0
    began: float = 0.0
    lasted: float = 0.0
    rate: float = math.nan
    seen: list[tuple[float, int, int]] = field(default_factory=list)  # loss, right, images
    logits: list[NDArray[np.float64]] = field(default_factory=list)

    def callback(self, kind: Any) -> Any:
        """A callback of fastai that passes its events on to here."""
        answered = kind(
            before_fit=lambda _: self._go_on(),
            before_epoch=lambda _: self._begin_epoch(),
            before_batch=lambda _: self._guarded(self.check),
            after_batch=lambda callback: self._end_batch(callback.learn),
            after_epoch=lambda _: self._end_epoch(),
        )
        answered.order = 70  # behind the schedule, which sets the rate of the step
        return answered

    def _guarded(self, do: Callable[..., None], *arguments: Any) -> None:
        try:
            do(*arguments)
        except Exception as error:
            self.error = error
            raise self.cancel from error

    def _go_on(self) -> None:
        """`fine_tune` fits twice; the second time is not begun once the first was ended."""
        if self.is_over or self.error is not None:
            raise self.cancel

    def _begin_epoch(self) -> None:
        now = time.monotonic()
        if self.history.epochs and now + self.lasted > self.stop_by:
            self.is_over = True
            raise self.cancel
        self.began = now
        self.seen.clear()
        self.logits.clear()

    def _end_batch(self, learner: Any) -> None:
        logits = learner.pred.detach()
        if not learner.training:
            self.logits.append(np.asarray(logits.double().cpu()))
            return
        loss, targets = float(learner.loss.detach()), learner.yb[0]
        n, right = len(targets), int((logits.argmax(dim=1) == targets).sum())
        epoch, self.rate = self.history.epochs, float(learner.opt.hypers[-1]["lr"])
        if not math.isfinite(loss):
            self.error = TrainingError(
                f"training diverged in epoch {epoch + 1}, step {self.done + 1}: the loss was "
                f"{loss:.3g} at learning rate {self.rate:.2g}; a lower learning rate may help"
            )
            raise self.cancel
        self.seen.append((loss, right, n))
        self.history.steps.append(Step(epoch, self.done, self.rate, loss, right / n))
        self.done += 1
        self._guarded(self.on_step, self.done, self.total)

    def _end_epoch(self) -> None:
        loss, right, images = (sum(x) for x in zip(*self._weighted(), strict=True))
        fold_loss = fold_accuracy = math.nan
        if self.logits:
            fold_loss, fold_accuracy = score(np.concatenate(self.logits), self.fold_labels)
        epoch = self.history.epochs
        end = Step(epoch, -1, self.rate, loss / images, right / images, fold_loss, fold_accuracy)
        self.history.steps.append(end)
        self.history.epochs = epoch + 1
        self.lasted = time.monotonic() - self.began
        self._guarded(self.on_epoch, end)

    def _weighted(self) -> list[tuple[float, int, int]]:
        return [(loss * n, right, n) for loss, right, n in self.seen]
