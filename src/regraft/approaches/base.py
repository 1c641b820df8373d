"""What an approach is: settings that turn a Dataset into a Model, and can be cross-validated.

Every approach answers two questions on the same folds as every other: how well would models
made this way do on images they have not seen (`cross_validate`), and which model comes out when
all training images are used (`fit`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, ClassVar, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from regraft.backbones.backbone import Backbone, measured_speed
from regraft.backbones.built_in import default_backbone
from regraft.backbones.graphs import is_exported
from regraft.dataset import Dataset, make_folds
from regraft.errors import OutOfTimeError
from regraft.heads import doubt
from regraft.metrics.rates import FewerImages, FloatArray, IntArray
from regraft.model import Model
from regraft.progress import Progress, silent

FOLDS = 5
REPEATS = 3
_EXPORT_S = 12.0  # of a network, PyTorch's loading included; measured 11 to 15 on two idle cores
REPEAT_BELOW = 1_000  # training images below which cross-validation is repeated


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """What one training looked like: `steps` rows of `engines.training.Step`, the range test.

    `rates` are (learning rate, smoothed loss) of the learning-rate range test, empty without
    one; `chosen_rate` is what the training used.
    """

    fold: int
    steps: tuple[Any, ...]
    rates: tuple[tuple[float, float], ...] = ()
    chosen_rate: float = math.nan


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Out-of-fold predictions of one approach on the training rows.

    `folds` int64 (r, n) is the fold of each image in each of r repeats; `probabilities` float64
    (r, n, k) are calibrated and come from models, settings and temperatures chosen without the
    image's fold. They are NaN for images that no fold has predicted: approaches that train a
    network may be measured on fewer folds. `chosen` is the setting that all training images
    together favour, `temperature` its calibration. `logits` float64 (n, k), where there are any,
    are those of the first repeat before calibration; `log` is how training went, fold by fold.
    `network` is the network that was trained for the first of the folds, its parameters by name;
    the final training goes on from it. `fewer` are predictions of models that were trained on
    fewer images, where there are any; they tell what the images of a fold add.
    """

    folds: IntArray
    labels: IntArray
    probabilities: FloatArray
    chosen: Mapping[str, Any]
    temperature: float
    logits: FloatArray | None = None
    log: tuple[TrainingLog, ...] = ()
    network: Mapping[str, NDArray[Any]] | None = None
    fewer: FewerImages | None = None

    def __repr__(self) -> str:
        repeats, n = self.folds.shape
        return f"CrossValidation({n:,} rows, {self.folds_done} folds done, {repeats} repeats)"

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Which images were predicted in every repeat, (n,)."""
        return np.asarray(~np.isnan(self.probabilities).any(axis=(0, 2)))

    @property
    def correct(self) -> FloatArray:
        """1.0 where an image was predicted right, NaN where it was not predicted, (r, n)."""
        right: FloatArray = (self.probabilities.argmax(axis=2) == self.labels).astype(np.float64)
        right[np.isnan(self.probabilities).any(axis=2)] = np.nan
        return right

    @property
    def accuracy_gain(self) -> float:
        """By how much the final model is expected to be more accurate than those of the folds.

        0 to 1; 0 where nothing is known of it, or the learning curve does not rise.
        """
        if self.fewer is None:
            return 0.0
        before = float((self.fewer.probabilities.argmax(axis=2) == self.labels).mean())
        return max(0.0, self.fewer.change(float(self.correct.mean()), before))

    @property
    def doubts(self) -> FloatArray:
        """See `heads.doubt`, (n,): the mean over repeats, NaN where an image is not covered."""
        return np.asarray(doubt(self.probabilities).mean(axis=0))

    @property
    def folds_done(self) -> int:
        """How many folds of the first repeat were predicted."""
        return len(np.unique(self.folds[0][self.covered]))

    @property
    def fold_scores(self) -> list[float]:
        """Accuracy of every fold that was predicted, repeat by repeat."""
        return [
            float(right[fold == f].mean())
            for right, fold in zip(self.correct, self.folds, strict=True)
            for f in np.unique(fold)
            if not np.isnan(right[fold == f]).any()
        ]


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a cross-validation may go.

    Args:
        deadline: in seconds of `now`, infinite for none.
        folds: of the first repeat, those to predict, for approaches that train a network; None
            for all.
        stop_by: like `deadline`; training ends before an epoch that would not be over by then.
        now: reads the time.
    """

    deadline: float = math.inf
    folds: tuple[int, ...] | None = None
    stop_by: float = math.inf
    now: Callable[[], float] = time.monotonic

    def check(self) -> None:
        """Raises OutOfTimeError: the deadline has passed."""
        if self.now() > self.deadline:
            raise OutOfTimeError("the time budget ended before it was finished")

    def require(self, seconds: float, what: str) -> None:
        """Raises OutOfTimeError: `what` takes so many seconds, and fewer are left."""
        self.check()
        left = self.deadline - self.now()
        if left < seconds:
            raise OutOfTimeError(
                f"{what} would need about {seconds:.0f} s; {math.floor(left)} s of the "
                "budget were left"
            )


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Cost:
    """Predicted seconds of training on this machine, for a number of epochs.

    `once` is for what all folds share, `fold` for each fold of that many epochs, `fit` for the
    final training on all rows, which goes on from a fold's network for `further_epochs`;
    `fold_epoch` and `fit_epoch` are what one epoch more or less changes, `once_at` what is shared
    for another number of epochs.
    """

    epochs: int
    once: float
    fold: float
    fit: float
    fold_epoch: float
    fit_epoch: float
    once_at: Callable[[int], float] | None = None

    @property
    def export(self) -> float:
        """Seconds to make a model of a fold's network as it is."""
        return self.fit - further_epochs(self.epochs) * self.fit_epoch

    def at(self, epochs: int) -> Cost:
        """The same for another number of epochs."""
        more = epochs - self.epochs
        further = further_epochs(epochs) - further_epochs(self.epochs)
        return replace(
            self,
            epochs=epochs,
            once=self.once if self.once_at is None else self.once_at(epochs),
            fold=self.fold + more * self.fold_epoch,
            fit=self.fit + further * self.fit_epoch,
        )


def further_epochs(epochs: int) -> int:
    """For how long the final training goes on with a network that a fold trained for `epochs`.

    That network knows four photos in five already: half of the epochs on all of them are cheaper
    than to begin again.
    """
    return max(2, math.ceil(epochs / 2))


class Turn(IntEnum):
    """When an approach is tried: what takes seconds first, the measure of all others last."""

    COUNTED = 0
    FROZEN = 1
    SMALL = 2
    TUNED = 3
    BY_OTHERS = 4
    BASELINE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What an approach is for.

    Attributes:
        turn: when it is tried.
        kind: the kind of input that it is for alone; "" for any.
        trains: whether it trains a network.
        tunes: whether that is the backbone, so that one that cannot be trained is of no use.
        needs_backbone: whether there has to be one, if only for its tokenizer.
        every_depth: whether it looks at every depth of the first backbone, not at the last alone.
        by_default: whether it is tried without being named.
        extra: of this package that it needs; it has a package of that name.
    """

    turn: Turn
    kind: str = ""
    trains: bool = False
    tunes: bool = False
    needs_backbone: bool = True
    every_depth: bool = False
    by_default: bool = True
    extra: str = ""

    def is_for(self, kind: str) -> bool:
        """Whether it can be tried on inputs of a kind."""
        return self.kind in ("", kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What candidates are made of.

    Attributes:
        backbones: in the order to try them, of one kind of input.
        kind: of input.
        names_backbones: whether the backbones were named.
        names_approaches: whether the approaches were.
        resize: "crop", "pad" or "squash"; None for each backbone's own.
        whole_px: the side of a square in which photos are seen whole; None where they are no
            photos.
        architecture: of a network of one's own, see `Scratch`; None for none.
        advised: what the guide advises to train, the best first; () where it was not asked.
    """

    backbones: Sequence[Backbone]
    kind: str
    names_backbones: bool = False
    names_approaches: bool = False
    resize: str | None = None
    whole_px: int | None = None
    architecture: str | None = None
    advised: Sequence[str] = ()

    @property
    def to_train(self) -> Sequence[Backbone]:
        """The backbones that are worth training: those that were named, or the first one."""
        return self.backbones if self.names_backbones else self.backbones[:1]

    @property
    def to_tune(self) -> Sequence[Backbone]:
        """Those of them that can be trained themselves."""
        return [backbone for backbone in self.to_train if not backbone.is_frozen]


class Approach(Protocol):
    """A way to make a Model; constructors only store their settings."""

    profile: ClassVar[Profile]

    @property
    def name(self) -> str:
        """For example "linear_probe"."""

    @property
    def network(self) -> Backbone:
        """The pretrained network it builds on, with the transform it uses."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What distinguishes it from others of its name, as JSON values."""

    def cross_validate(
        self,
        data: Dataset,
        folds: IntArray,
        *,
        limits: Limits = NO_LIMITS,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> CrossValidation:
        """Predict every training row of `data` out of fold; `folds` is int64 (r, n).

        Raises:
            OutOfTimeError: the deadline passed first.
            TrainingError: training came apart.
        """

    def fit(
        self,
        data: Dataset,
        *,
        cross_validation: CrossValidation | None = None,
        limits: Limits = NO_LIMITS,
        seed: int = 0,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> Model:
        """Train on all training rows of `data`, calibrated by `cross_validation`."""


class ApproachType(Protocol):
    """The class of an approach, as the registry keeps it."""

    @property
    def profile(self) -> Profile:
        """What it is for."""

    def __call__(self, *arguments: Any, **settings: Any) -> Approach:
        """An approach of that kind with these settings."""

    def candidates(self, asked: Asked) -> Sequence[Approach]:
        """Those of this kind that are worth comparing, in the order to try them."""


class TrainedApproach(Approach, Protocol):
    """An approach that trains a network: it can say what it costs, and do with fewer epochs."""

    @property
    def is_baseline(self) -> bool:
        """Whether it begins with random weights, to show what the pretrained ones are worth."""

    @property
    def last_stages(self) -> int | None:
        """How many stages train, counted from the output; None where it is something else."""

    @property
    def fewest_epochs(self) -> int:
        """Fewer are not worth the time."""

    @property
    def planned_epochs(self) -> int:
        """How many it would train for, given the time."""

    def with_epochs(self, epochs: int) -> TrainedApproach:
        """The same approach with another number of epochs."""

    def cost(
        self,
        data: Dataset,
        *,
        folds: int,
        limits: Limits = NO_LIMITS,
        jobs: int | None = None,
    ) -> Cost:
        """Seconds it will take on this machine, from a short measured probe.

        Raises:
            OutOfTimeError: the deadline of `limits` passed first.
        """


def is_trained(approach: Approach) -> TypeGuard[TrainedApproach]:
    """Whether an approach trains a network."""
    return hasattr(approach, "with_epochs")


def scope_of(approach: Approach) -> str:
    """What an approach trains: "head", "last_2_stages"..., "all", or "scratch"."""
    return str(approach.settings.get("train", "head"))


def repeated_folds(
    data: Dataset, *, folds: int = FOLDS, repeats: int | None = None, seed: int = 0
) -> IntArray:
    """Fold numbers of the training rows, int64 (r, n); small sets are split several times.

    Args:
        data: its training rows are split; groups and exact copies stay together.
        folds: at least 2.
        repeats: None for 3 below 1,000 images and 1 from there.
        seed: the same seed gives the same folds.
    """
    rows = data.train
    if repeats is None:
        repeats = REPEATS if len(rows) < REPEAT_BELOW else 1
    return np.stack(
        [make_folds(rows, folds=folds, seed=seed * 1_000 + repeat) for repeat in range(repeats)]
    )


def prediction_cost(backbone: Backbone) -> float:
    """Parameters x positions x views: proportional to multiplications, for one family.

    Of a table of word vectors one row is counted, see `Backbone.work`.
    """
    transform = backbone.transform
    return float(backbone.work * transform.positions * len(transform.views))


def seconds_expected(backbone: Backbone, images: int) -> float | None:
    """Time to compute features of `images`, from speeds measured on this machine.

    Where this backbone was never timed, the default one's speed is scaled by cost, and the export
    of its graph is counted if that is still to be made; None where nothing was timed yet.
    """
    speed = measured_speed(backbone)
    if speed:
        return images * len(backbone.transform.views) / speed
    reference = default_backbone(backbone.modality)
    speed = measured_speed(reference)
    if not speed:
        return None
    computing_s = images * prediction_cost(backbone) / prediction_cost(reference) / speed
    return seconds_to_export(backbone) + computing_s


def seconds_to_export(backbone: Backbone) -> float:
    """Time to make the graph of a network that was never used on this machine; 0 where it is."""
    return 0.0 if is_exported(backbone) else _EXPORT_S
