"""Approaches that predict what they are told to, and a clock that they turn forward."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import regraft
import regraft.clock
from regraft.approaches.base import (
    NO_LIMITS,
    Approach,
    Cost,
    CrossValidation,
    Limits,
    Profile,
    TrainingLog,
    Turn,
    further_epochs,
)
from regraft.approaches.trained import calibrated
from regraft.backbones.architectures import OnnxFile
from regraft.dataset import Dataset, Row
from regraft.engines.training import Step
from regraft.errors import BackboneError, TrainingError
from regraft.racing import Comparison, compare

BASE = replace(
    regraft.get_backbone("efficientnet_lite0"), architecture=OnnxFile()
)  # nothing is to be exported
EXPORT_S = 1.0  # of every fake training
RATE = 2e-3  # the learning rate of every fake training


class Clock:
    """Seconds that pass only when someone says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


def install_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in place of `time.monotonic`."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def many_rows(count: int = 300) -> Dataset:
    """`count` training rows of two classes and one test row, without files."""
    rows = [
        Row(path=f"{i}.jpg", sha256=f"{i:064d}", label="ab"[i % 2], split="train")
        for i in range(count)
    ] + [Row(path="t.jpg", sha256="f" * 64, label="a", split="test")]
    return Dataset.from_rows(Path("/nowhere"), rows)


@dataclass(eq=False)
class Fake:
    """An approach on frozen features, right on a chosen share of images.

    It keeps the folds it was given. `rates` replaces `rate` for folds of the first repeat.
    """

    profile: ClassVar[Profile] = Profile(turn=Turn.FROZEN, needs_backbone=False)

    rate: float
    name: str = "fake"
    parameters: int = 1_000
    fails: str = ""
    takes_s: float = 0.0
    folds: list[np.ndarray] = field(default_factory=list)
    seed: int = 0
    rates: Mapping[int, float] = field(default_factory=dict)

    @property
    def network(self) -> regraft.Backbone:
        return replace(BASE, name=f"{self.name}_net", parameters=self.parameters)

    @property
    def settings(self) -> dict[str, Any]:
        return {"views": 1}

    def cross_validate(
        self, data, folds, *, limits=None, jobs=None, progress=None
    ) -> CrossValidation:
        self.folds.append(folds)
        time.sleep(self.takes_s)
        if self.fails:
            raise BackboneError(self.fails)
        labels = data.labels(data.train)
        rates = np.full(folds.shape, self.rate)
        for fold, rate in self.rates.items():
            rates[:, folds[0] == fold] = rate
        right = np.random.default_rng(self.seed).random(folds.shape) < rates
        said = np.where(right, labels, 1 - labels)
        probabilities = np.full((*said.shape, 2), 0.1)
        np.put_along_axis(probabilities, said[..., None], 0.9, axis=2)
        return CrossValidation(folds, labels, probabilities, {}, 1.0)

    def fit(self, data, **options):
        raise AssertionError("a comparison fits no final model")


@dataclass(eq=False)
class FakeTrained:
    """An approach that trains: an epoch of a fold or of the final training takes a second.

    Args:
        rate: the share of images it gets right.
        clock: turned forward while it "trains".
        curve: accuracy in its log after each epoch, if not `rate`.
        slower: how many times longer it takes than it says it will.
        fails: by fold, what is raised instead of training.
        cost_fails: raised when it is asked for its cost.
        cost_takes_s: how long it takes to answer that.
        calls: folds that were asked for, call by call; shared by all versions of it.
        reported: epochs that were trained, by call.
        epoch_fit_s: seconds of an epoch of the final training.
    """

    rate: float
    clock: Clock
    name: str = "fake_tune"
    train: str = "last_2_stages"
    epochs: int | None = None
    parameters: int = 1_000
    curve: float | None = None
    slower: float = 1.0
    seed: int = 0
    epoch_fit_s: float = 1.0
    fewest_epochs: int = 3
    fails: Mapping[int, Exception] = field(default_factory=dict)
    cost_fails: str = ""
    cost_takes_s: float = 0.0
    calls: list[tuple[int, ...]] = field(default_factory=list)
    reported: list[int] = field(default_factory=list)

    @property
    def network(self) -> regraft.Backbone:
        return replace(BASE, name=f"{self.name}_net", parameters=self.parameters)

    @property
    def settings(self) -> dict[str, Any]:
        asked = {} if self.epochs is None else {"epochs": self.epochs}
        return {"train": self.train} | asked

    @property
    def is_baseline(self) -> bool:
        return self.train == "scratch"

    @property
    def last_stages(self) -> int | None:
        return {"last_2_stages": 2, "last_4_stages": 4}.get(self.train)

    @property
    def planned_epochs(self) -> int:
        return self.epochs or 10

    def with_epochs(self, epochs: int) -> FakeTrained:
        return replace(self, epochs=epochs)

    def cost(self, data, *, folds, limits: Limits = NO_LIMITS, jobs=None) -> Cost:
        self.clock.now += self.cost_takes_s
        if self.cost_fails:
            raise TrainingError(self.cost_fails)
        epochs = self.planned_epochs
        fit = EXPORT_S + further_epochs(epochs) * self.epoch_fit_s
        return Cost(epochs, 0.0, float(epochs), fit, 1.0, self.epoch_fit_s)

    def cross_validate(
        self, data, folds, *, limits: Limits = NO_LIMITS, jobs=None, progress=None
    ) -> CrossValidation:
        fold = folds[0]
        asked = tuple(map(int, np.unique(fold))) if limits.folds is None else limits.folds
        self.calls.append(asked)
        labels = data.labels(data.train)
        right = np.random.default_rng(self.seed).random(len(labels)) < self.rate
        said = np.where(right, labels, 1 - labels)
        logits = np.full((len(labels), 2), np.nan)
        log = []
        for number in asked:
            if number in self.fails:
                raise self.fails[number]
            steps = []
            self.reported.append(0)
            for epoch in range(self.planned_epochs):
                self.clock.now += self.slower
                limits.check()
                accuracy = self.rate if self.curve is None else self.curve
                steps += [
                    Step(epoch, epoch, RATE, 0.5, 0.9),
                    Step(epoch, -1, RATE, 0.5, 0.9, 0.4, accuracy),
                ]
                self.reported[-1] += 1
            held = fold == number
            logits[held] = 0.0
            logits[held, said[held]] = 3.0
            rates = ((1e-4, 0.7), (RATE, 0.5), (1e-1, math.e)) if number == 0 else ()
            log.append(TrainingLog(number, tuple(steps), rates, RATE))
        chosen = {"epochs": self.planned_epochs, "rate": RATE}
        return calibrated(fold, labels, logits, chosen, tuple(log))

    def fit(self, data, **options):
        raise AssertionError("a comparison fits no final model")


def raced(
    approaches: Sequence[Approach],
    data: Dataset,
    *,
    budget_s: float | None = None,
    reserve_s: float = 0.0,
    clock: Clock | None = None,
    **options: Any,
) -> Comparison:
    """What `compare` says by a clock, or by that which the approaches turn forward."""
    clock = clock or next((a.clock for a in approaches if isinstance(a, FakeTrained)), Clock())
    budget = regraft.clock.Clock(math.inf if budget_s is None else budget_s, now=clock.monotonic)
    budget.reserve("afterwards", reserve_s)
    return compare(approaches, data, clock=budget, **options)
