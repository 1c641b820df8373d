"""What `fine_tune` and `scratch` share: cross-validating and fitting a network that is trained.

A Dataset and a `TrainingPlan` in, out-of-fold predictions or a Model out. The frozen part runs
once over all photos, see `activations.py`; what learns is trained for each fold, and once more on
all training rows for the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from regraft.approaches.base import (
    NO_LIMITS,
    Cost,
    CrossValidation,
    Limits,
    TrainingLog,
    further_epochs,
    repeated_folds,
)
from regraft.approaches.costs import EXPORT_S, predicted_cost, speed_of
from regraft.approaches.plans import Job, TrainingPlan, plain
from regraft.backbones.backbone import Backbone
from regraft.backbones.graphs import graph_on_inputs
from regraft.dataset import Dataset, split_groups
from regraft.engines import require_training, seconds_to_load
from regraft.errors import DataError, OutOfTimeError, UsageError
from regraft.heads import (
    LinearHead,
    conformal_thresholds,
    fit_familiarity,
    fit_temperature,
    softmax,
)
from regraft.metrics.rates import FloatArray, IntArray
from regraft.model import Model, TrainedNetwork, assemble
from regraft.progress import Progress, note, silent

if TYPE_CHECKING:
    from regraft.engines.networks import Trainee
    from regraft.engines.training import Recipe, Step


_PURPOSE = "training a network"


class Trains:
    """What approaches that train a network do alike, once they have a plan."""

    __slots__ = ()

    @property
    def is_baseline(self) -> bool:
        """Whether it begins with random weights."""
        return False

    @property
    def last_stages(self) -> int | None:
        """How many stages train, counted from the output; None where it is something else."""
        return None

    def plan(self, _progress: Progress = silent, /) -> TrainingPlan:
        """What is trained and how, in full."""
        raise NotImplementedError

    def with_epochs(self, epochs: int) -> Self:
        """The same approach with another number of epochs."""
        return replace(self, epochs=epochs)  # type: ignore[type-var]

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
            OutOfTimeError: the deadline of `limits` passed, or comes before PyTorch is loaded.
            MissingExtraError: PyTorch is not installed.
        """
        require_training(_PURPOSE)
        limits.require(seconds_to_load(), "loading PyTorch")
        return predicted_cost(
            self.plan(), data, folds=folds, views_at=self.views_at, limits=limits, jobs=jobs
        )

    @property
    def views_at(self) -> Callable[[int], int] | None:
        """How many views each number of epochs has; None where all have those of the plan."""
        return None

    def cross_validate(
        self,
        data: Dataset,
        folds: IntArray,
        *,
        limits: Limits = NO_LIMITS,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> CrossValidation:
        """Train without each fold of the first repeat and predict it; see `Approach`."""
        require_training(_PURPOSE)
        return cross_validate_trained(
            self.plan(progress), data, folds, limits=limits, jobs=jobs, progress=progress
        )

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
        """Train on all training rows; see `Approach`."""
        require_training(_PURPOSE)
        return fit_trained(
            self.plan(progress),
            data,
            cross_validation=cross_validation,
            limits=limits,
            seed=seed,
            jobs=jobs,
            progress=progress,
        )


def check_training(epochs: int | None, learning_rate: float | None) -> None:
    """Raises UsageError: a setting of the training is outside its range."""
    if epochs is not None and epochs < 1:
        raise UsageError(f"epochs is {epochs}, expected at least 1")
    if learning_rate is not None and not 0 < learning_rate <= 1:
        raise UsageError(f"learning_rate is {learning_rate}, expected 0 to 1, as 0.001")


def cross_validate_trained(
    plan: TrainingPlan,
    data: Dataset,
    folds: IntArray,
    *,
    limits: Limits,
    jobs: int | None,
    progress: Progress,
) -> CrossValidation:
    """Train without each fold of the first repeat in turn and predict it.

    Args:
        plan: what is trained, and how.
        data: its training rows are predicted.
        folds: int64 (r, n); only the first repeat is used.
        limits: which folds, and until when.
        jobs: worker threads.
        progress: told how many photos and steps are done.

    Raises:
        OutOfTimeError: the deadline passed first.
        TrainingError: a training came apart.
    """
    from regraft.engines.training import predict

    job = Job.open(plan, data, jobs=jobs, progress=progress)
    fold = folds[0]
    logits = np.full((len(job.labels), len(data.classes)), np.nan)
    log = []
    network: dict[str, NDArray[Any]] | None = None
    chosen = np.unique(fold) if limits.folds is None else np.array(limits.folds)
    for number in map(int, chosen):
        limits.check()
        rows, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        _require_classes(job.labels[rows], data.classes)
        trainee = job.trainee(rows, limits.check)
        live = _Live(f"training {plan.title}, fold {number + 1}", progress)
        history = job.loop.train(
            trainee,
            job.inputs,
            job.labels,
            rows,
            replace(job.recipe(rows), range_test=number == 0),
            n_classes=len(data.classes),
            fold=held,
            seed=number,
            precision=speed_of(job).precision,
            check=limits.check,
            stop_by=limits.stop_by,
            on_epoch=live.epoch,
            on_step=live.step,
        )
        live.end()
        logits[held], _ = predict(
            trainee, job.inputs, held, precision=speed_of(job).precision, check=limits.check
        )
        network = trainee.parameters() if network is None else network
        rates = tuple(history.rates)
        log.append(TrainingLog(number, tuple(history.steps), rates, history.chosen_rate))
    chosen_settings = {"epochs": max(_epochs(one) for one in log), "rate": log[0].chosen_rate}
    found = calibrated(fold, job.labels, logits, chosen_settings, tuple(log))
    return replace(found, network=network)


def calibrated(
    fold: IntArray,
    labels: IntArray,
    logits: FloatArray,
    chosen: Mapping[str, Any],
    log: tuple[TrainingLog, ...],
) -> CrossValidation:
    """Out-of-fold logits (n, k), NaN where there are none, as calibrated probabilities.

    The temperature of each fold is fitted on the other folds; with a single fold, of each half
    of it on the other half.
    """
    covered = np.flatnonzero(~np.isnan(logits).any(axis=1))
    parts = fold[covered]
    if len(np.unique(parts)) == 1:
        parts = np.arange(len(covered)) % 2
    probabilities = np.full_like(logits, np.nan)
    for part in np.unique(parts):
        inside, outside = covered[parts == part], covered[parts != part]
        temperature = fit_temperature(logits[outside], labels[outside]) if len(outside) else 1.0
        probabilities[inside] = softmax(logits[inside] / temperature)
    return CrossValidation(
        folds=fold[None],
        labels=labels,
        probabilities=probabilities[None],
        chosen=chosen,
        temperature=fit_temperature(logits[covered], labels[covered]),
        logits=logits,
        log=log,
    )


def merged(first: CrossValidation, second: CrossValidation) -> CrossValidation:
    """Two cross-validations of one plan on different folds, as one."""
    assert first.logits is not None
    assert second.logits is not None
    logits = np.where(np.isnan(first.logits), second.logits, first.logits)
    epochs = {"epochs": max(first.chosen["epochs"], second.chosen["epochs"])}
    both = calibrated(
        first.folds[0],
        first.labels,
        logits,
        {**first.chosen, **epochs},
        (*first.log, *second.log),
    )
    return replace(both, network=first.network)


def fit_trained(
    plan: TrainingPlan,
    data: Dataset,
    *,
    cross_validation: CrossValidation | None,
    limits: Limits,
    seed: int,
    jobs: int | None,
    progress: Progress,
) -> Model:
    """Go on with the network of the first fold, now on all training rows, and assemble.

    Where the time is up before that training ends, the model is the network of the fold: its
    setting `final_epochs` is 0 then. Cross-validation says for how many epochs, see
    `further_epochs`; one without a network is followed by a training from the start.

    Raises:
        OutOfTimeError: the deadline passed before any network was trained.
        TrainingError: training came apart.
    """
    from regraft.engines.training import predict

    if cross_validation is None:
        cross_validation = cross_validate_trained(
            plan,
            data,
            repeated_folds(data, seed=seed),
            limits=limits,
            jobs=jobs,
            progress=progress,
        )
    job = Job.open(plan, data, jobs=jobs, progress=progress)
    every = np.arange(len(job.labels))
    known = cross_validation.network
    chosen = dict(cross_validation.chosen)
    after = EXPORT_S + len(every) * speed_of(job).predict_s
    in_time = limits if known is None else replace(limits, deadline=limits.deadline - after)
    trainee = job.trainee(every, limits.check) if known is None else job.continued(known)
    epochs = chosen["epochs"] if known is None else further_epochs(chosen["epochs"])
    chosen["final_epochs"] = chosen.get("final_epochs", epochs)
    recipe = replace(
        job.recipe(every),
        epochs=chosen["final_epochs"],
        learning_rate=chosen["rate"],
    )
    try:
        _train_on_all(job, trainee, recipe, seed=seed, limits=in_time, progress=progress)
    except OutOfTimeError:
        if known is None:
            raise
        note(progress, "no time was left to train on all of the data; the model is that of a fold")
        trainee, chosen["final_epochs"] = job.continued(known), 0
    _, features = predict(trainee, job.inputs, every, precision=speed_of(job).precision)
    return trained_model(
        trainee,
        data,
        features,
        backbone=plan.backbone,
        approach=plan.approach,
        settings={**plan.settings, **chosen},
        cross_validation=cross_validation,
    )


def trained_model(
    trainee: Trainee,
    data: Dataset,
    features: NDArray[np.float32],
    *,
    backbone: Backbone,
    approach: str,
    settings: Mapping[str, Any],
    cross_validation: CrossValidation,
    images: int | None = None,
) -> Model:
    """A trained network as a Model, calibrated by predictions of photos it had not seen.

    Args:
        trainee: the network; it is moved to the CPU.
        data: where it was trained.
        features: of the training rows of `data`, float32 (n, d), by this network.
        backbone: what it was before.
        approach: how it was trained, with its `settings`.
        settings: see `approach`.
        cross_validation: of the training rows; may cover a part of them.
        images: how many photos it was trained on; None for all training rows.
    """
    import onnx

    rows = data.train
    graph, tensors = trainee.export()
    embedding = graph_on_inputs(plain(backbone).transform, onnx.load_from_string(graph))
    covered = cross_validation.covered
    thresholds = conformal_thresholds(
        cross_validation.probabilities[0][covered], cross_validation.labels[covered]
    )
    return assemble(
        backbone=plain(backbone),
        head=LinearHead(*trainee.head_arrays()),
        familiarity=fit_familiarity(
            features, data.labels(rows), split_groups(rows), cross_validation.doubts
        ),
        temperature=cross_validation.temperature,
        set_thresholds=thresholds,
        classes=data.classes,
        approach=approach,
        settings=settings,
        trained_on={
            "images": len(rows) if images is None else images,
            **data.facts(),
        },
        trained_contents=[row.sha256 for row in rows],
        network=TrainedNetwork(embedding, tensors),
    )


def _train_on_all(
    job: Job,
    trainee: Trainee,
    recipe: Recipe,
    *,
    seed: int,
    limits: Limits,
    progress: Progress,
) -> None:
    phase = f"training {job.plan.title}, all of the data"
    job.loop.train(
        trainee,
        job.inputs,
        job.labels,
        np.arange(len(job.labels)),
        recipe,
        n_classes=job.n_classes,
        seed=seed,
        precision=speed_of(job).precision,
        check=limits.check,
        on_step=lambda done, total: progress(phase, done, total),
    )
    progress(phase, 1, 1)


@dataclass(slots=True)
class _Live:
    """Training as it is shown: steps as progress, the accuracy so far in its name."""

    phase: str
    progress: Progress
    accuracy: str = ""

    def step(self, done: int, total: int) -> None:
        self.progress(self.phase + self.accuracy, done, total)

    def epoch(self, end: Step) -> None:
        self.end()
        self.accuracy = f", {100 * end.fold_accuracy:.1f} % after epoch {end.epoch + 1}"

    def end(self) -> None:
        self.progress(self.phase + self.accuracy, 1, 1)


def _epochs(log: TrainingLog) -> int:
    return int(1 + max(step.epoch for step in log.steps))


def _require_classes(labels: IntArray, classes: tuple[str, ...]) -> None:
    missing = [name for i, name in enumerate(classes) if not (labels == i).any()]
    if missing:
        raise DataError(
            f"a fold leaves no training image of {', '.join(missing)}; its images are one group "
            "or copies of one image: add more of that class"
        )


__all__ = [
    "Trains",
    "calibrated",
    "check_training",
    "cross_validate_trained",
    "fit_trained",
    "merged",
    "trained_model",
]
