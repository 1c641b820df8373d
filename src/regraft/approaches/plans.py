"""What trains a network on a Dataset: a plan in, the network with its head and its inputs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from regraft.backbones.backbone import Backbone
from regraft.dataset import Dataset
from regraft.features.activations import Activations
from regraft.heads import fit_logistic, fitting
from regraft.metrics.rates import IntArray
from regraft.progress import Progress, note, silent

if TYPE_CHECKING:
    from regraft.engines.networks import Trainee
    from regraft.engines.training import History, Recipe, Speed

_HEAD_PENALTY = 4.0  # of the linear probe that a fine-tuned head begins with
_BALANCE_FROM = 3.0  # largest class / smallest class from which classes are weighted


class Loop(Protocol):
    """What trains a network: `engines.training`, or a module with the same two functions."""

    @property
    def train(self) -> Callable[..., History]:
        """See `engines.training.train`."""

    @property
    def measure_speed(self) -> Callable[..., Speed]:
        """See `engines.training.measure_speed`."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """One way to train a network on a Dataset.

    `make` builds the network for a number of classes. With `warm_head` its head begins as a linear
    probe of the features it has before training. `loop` trains it; None for `engines.training`.
    """

    approach: str
    backbone: Backbone
    boundary: int
    recipe: Recipe
    settings: Mapping[str, Any]
    warm_head: bool
    make: Callable[[int], Trainee]
    loop: Loop | None = None

    @property
    def title(self) -> str:
        """What trains, for people: "last 2 stages of efficientnet_lite0"."""
        train = str(self.settings.get("train", ""))
        if self.approach == "scratch":
            return f"{self.backbone.name} from scratch"
        if self.approach == "fastai":
            return f"{self.backbone.name} with fastai"
        return f"{train.replace('_', ' ')} of {self.backbone.name}"


@dataclass(slots=True)
class Job:
    """A plan on a Dataset, its inputs at hand."""

    plan: TrainingPlan
    inputs: Activations
    labels: IntArray
    n_classes: int
    check: Callable[[], None] = lambda: None

    @classmethod
    def open(
        cls,
        plan: TrainingPlan,
        data: Dataset,
        *,
        jobs: int | None,
        progress: Progress,
        views: int | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Job:
        rows = data.train
        inputs = Activations(data, rows, plain(plan.backbone), plan.boundary)
        inputs.prepare(plan.recipe.views if views is None else views, jobs=jobs, progress=progress)
        if inputs.warning:
            note(progress, inputs.warning)
        return cls(plan, inputs, data.labels(rows), len(data.classes), check)

    @property
    def loop(self) -> Loop:
        """What trains the network."""
        from regraft.engines import training

        return self.plan.loop or training

    def trainee(self, rows: IntArray, check: Callable[[], None] = lambda: None) -> Trainee:
        """The network before training: statistics of the data, and a linear probe as its head."""
        from regraft.engines.training import adapt_statistics, predict

        trainee = self.plan.make(self.n_classes)
        if self.plan.warm_head:
            adapt_statistics(trainee, self.inputs, rows, check=check)
            _, features = predict(trainee, self.inputs, rows, check=check)
            with fitting():
                (head,) = fit_logistic(features, self.labels[rows], self.n_classes, [_HEAD_PENALTY])
            # A class without an image would have a logit that no training could bring back.
            trainee.set_head(head.weights, np.maximum(head.bias, head.bias.max() - 10.0))
        return trainee

    def continued(self, network: Mapping[str, NDArray[Any]]) -> Trainee:
        """The network as a fold has trained it."""
        trainee = self.plan.make(self.n_classes)
        trainee.load_parameters(network)
        return trainee

    def recipe(self, rows: IntArray) -> Recipe:
        """The plan's recipe; with few rows batches are smaller, so that there are enough steps."""
        recipe = self.plan.recipe
        balanced = self.plan.settings.get("balanced")
        if balanced is None:
            balanced = is_unbalanced(self.labels[rows])
        size = min(recipe.batch_size, max(8, 2 ** int(np.log2(max(8, len(rows) / 16)))))
        return replace(recipe, balanced=bool(balanced), batch_size=size)


def starting_network(
    plan: TrainingPlan,
    data: Dataset,
    rows: IntArray,
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> tuple[Trainee, Recipe]:
    """What a training on some rows begins with: the network with its head, and the recipe.

    Args:
        plan: what is trained, and how.
        data: where the photos are.
        rows: numbers of its training rows (m,): the others have no part in the head.
        jobs: worker threads.
        progress: told how many photos are done.
    """
    job = Job.open(plan, data, jobs=jobs, progress=progress, views=1 if plan.warm_head else 0)
    return job.trainee(rows), job.recipe(rows)


def is_unbalanced(labels: IntArray) -> bool:
    """Whether the largest class is at least three times the smallest."""
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return bool(counts.max() >= _BALANCE_FROM * counts.min())


def plain(backbone: Backbone) -> Backbone:
    """The backbone as it trains: one view."""
    return replace(backbone, transform=backbone.transform.plain())
