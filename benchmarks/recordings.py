"""What candidates of a race did, recorded once, so that the race can be run again in a moment.

Training takes hours, deciding takes nothing. Each approach is trained for a few numbers of epochs,
and its predictions, its seconds and which held-out photos its model gets right are kept in a
folder. A `Replay` of it is an approach that answers with what was recorded, for the nearest number
of epochs, and turns the clock of a `Machine` forward.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import regraft as rg
from regraft.approaches.base import (
    NO_LIMITS,
    Approach,
    Cost,
    CrossValidation,
    Limits,
    is_trained,
    repeated_folds,
)
from regraft.approaches.trained import calibrated
from regraft.backbones.backbone import measured_speed, remember_speed
from regraft.metrics.rates import FloatArray, IntArray
from regraft.racing.memory import Predicted, Race, race_key

NOISE = 0.2  # standard deviation of the logarithm of seconds; predictions are off by as much


@dataclass(frozen=True)
class Take:
    """One training, or the probe: what it predicted, how long it took, what its model gets right.

    `right` is 1.0 where a held-out photo is predicted right, (n,).
    """

    predicted: Predicted
    right: FloatArray


@dataclass(frozen=True)
class Recording:
    """All takes of an approach by their epochs (0 of frozen features), and what it was to cost."""

    takes: Mapping[int, Take]
    cost: Cost | None = None
    timing_s: float = 0.0

    def nearest(self, epochs: int) -> int:
        """The most epochs that were recorded up to a number, else the fewest."""
        return max((e for e in self.takes if e <= epochs), default=min(self.takes))


@dataclass
class Machine:
    """A clock that moves on by what is spent; everything takes `load` times as long, more or less.

    The same `seed` draws the same noise.
    """

    load: float = 1.0
    seed: int = 0
    now: float = 0.0

    def __post_init__(self) -> None:
        """Begin to draw."""
        self._chance = random.Random(self.seed)

    def spend(self, seconds: float) -> None:
        """Let a step pass."""
        self.now += seconds * self.factor()

    def factor(self) -> float:
        """How many times as long the next step takes."""
        return self.load * self._chance.lognormvariate(0.0, NOISE)


def record(approaches: Iterable[Approach], data: rg.Dataset, folder: Path, *, seed: int) -> None:
    """Train every approach for its fewest, half of its and all of its epochs, into a folder.

    What an interrupted recording has finished is not trained again.
    """
    folds, race = repeated_folds(data, seed=seed), Race(folder)
    for approach in approaches:
        about = folder / f"{race_key(approach, data.fingerprint(), folds)}.recording.json"
        if about.exists():
            continue
        entry: dict[str, Any] = {"takes": {}}
        versions: dict[int, Approach] = {0: approach}
        if is_trained(approach):
            began, planned = time.monotonic(), approach.planned_epochs
            cost = approach.cost(data, folds=len(np.unique(folds[0])))
            entry["timing_s"] = time.monotonic() - began
            fewest = min(approach.fewest_epochs, planned)
            grid = sorted({fewest, max(fewest, planned // 2), planned})
            entry["cost"] = asdict(replace(cost, once_at=None))
            entry["once"] = {epochs: cost.at(epochs).once for epochs in grid}
            versions = {epochs: approach.with_epochs(epochs) for epochs in grid}
        for epochs, version in versions.items():
            take = _take(version, data, folds, first_fold=0 < epochs < max(versions))
            race.keep(_take_key(about, epochs), take.predicted)
            entry["takes"][epochs] = "".join(str(int(right)) for right in take.right)
        entry["speed"] = measured_speed(approach.network)
        about.write_text(json.dumps(entry), encoding="utf-8")


def _take(approach: Approach, data: rg.Dataset, folds: IntArray, *, first_fold: bool) -> Take:
    limits = Limits(folds=(0,)) if first_fold else NO_LIMITS
    began = time.monotonic()
    predictions = approach.cross_validate(data, folds, limits=limits)
    seconds = time.monotonic() - began
    model = approach.fit(data, cross_validation=predictions)
    predicted = model.predict([data.root / row.path for row in data.test])
    pairs = zip(predicted, data.test, strict=True)
    right = [float(prediction.predicted == row.label) for prediction, row in pairs]
    return Take(Predicted(replace(predictions, network=None), seconds), np.array(right))


def _take_key(about: Path, epochs: int) -> str:
    return f"{about.name.partition('.')[0]}-{epochs}"


def read_recording(approach: Approach, data: rg.Dataset, folder: Path, *, seed: int) -> Recording:
    """What was recorded of an approach; the speed of its network is remembered in the cache.

    Raises:
        FileNotFoundError: nothing was.
    """
    folds, race = repeated_folds(data, seed=seed), Race(folder)
    about = folder / f"{race_key(approach, data.fingerprint(), folds)}.recording.json"
    entry = json.loads(about.read_text(encoding="utf-8"))
    if entry["speed"]:
        remember_speed(approach.network, entry["speed"])
    takes = {}
    for epochs, right in entry["takes"].items():
        predicted = race.recall(_take_key(about, int(epochs)))
        if predicted is None:
            raise FileNotFoundError(f"{about} has lost its predictions")
        takes[int(epochs)] = Take(predicted, np.array([float(digit) for digit in right]))
    if "cost" not in entry:
        return Recording(takes)
    once = {int(epochs): float(seconds) for epochs, seconds in entry["once"].items()}
    cost = Cost(**entry["cost"] | {"once_at": _step(once)})
    return Recording(takes, cost, entry["timing_s"])


def _step(values: Mapping[int, float]) -> Callable[[int], float]:
    """The value of the nearest number up to a given one, else of the lowest."""
    return lambda number: values[max((n for n in values if n <= number), default=min(values))]


@dataclass(frozen=True)
class Replay:
    """An approach that answers with its recording; the rest is that of the approach itself."""

    approach: Any
    recording: Recording
    machine: Machine

    def __getattr__(self, name: str) -> Any:
        """An attribute of the approach."""
        if name != "with_epochs":
            return getattr(self.approach, name)
        with_epochs = self.approach.with_epochs  # frozen features have none
        return lambda epochs: replace(self, approach=with_epochs(epochs))

    @property
    def take(self) -> Take:
        """The recorded training that is nearest to its epochs."""
        return self.recording.takes[self._recorded_epochs]

    @property
    def _recorded_epochs(self) -> int:
        is_frozen = self.recording.cost is None
        return 0 if is_frozen else self.recording.nearest(self.approach.planned_epochs)

    def cost(self, *_given: Any, **_options: Any) -> Cost:
        """What it was to cost, as a probe on this machine now finds it."""
        if self.recording.cost is None:
            raise NotImplementedError("frozen features have no cost")
        self.machine.spend(self.recording.timing_s)
        cost, factor = self.recording.cost.at(self.approach.planned_epochs), self.machine.factor()
        once_at = cost.once_at or (lambda _epochs: cost.once)
        return replace(
            cost,
            once=factor * cost.once,
            fold=factor * cost.fold,
            fit=factor * cost.fit,
            fold_epoch=factor * cost.fold_epoch,
            fit_epoch=factor * cost.fit_epoch,
            once_at=lambda epochs: factor * once_at(epochs),
        )

    def cross_validate(
        self, _data: rg.Dataset, folds: IntArray, *, limits: Limits = NO_LIMITS, **_options: Any
    ) -> CrossValidation:
        """Its predictions, after its seconds."""
        predictions, seconds = self.take.predicted
        if self.recording.cost is None:
            self.machine.spend(seconds)
            limits.check()
            return predictions
        (number,) = limits.folds or (0,)
        recorded = self._recorded_epochs
        if number:  # only the longest training was recorded on all folds
            recorded = max(self.recording.takes)
            predictions, seconds = self.recording.takes[recorded].predicted
        used = int(predictions.chosen["epochs"])
        each_s = seconds / predictions.folds_done / used
        epochs = used if used < recorded else self.approach.planned_epochs  # it ended by itself
        done = self._train(epochs, each_s, limits)
        logits = np.full((len(predictions.labels), 0), np.nan)
        if predictions.logits is not None:
            logits = np.where((folds[0] == number)[:, None], predictions.logits, np.nan)
        chosen = {**predictions.chosen, "epochs": done}
        log = tuple(entry for entry in predictions.log if entry.fold == number)
        return calibrated(folds[0], predictions.labels, logits, chosen, log)

    def _train(self, epochs: int, each_s: float, limits: Limits) -> int:
        """Spend the epochs; how many there were."""
        pace = self.machine.factor()
        for epoch in range(epochs):
            if epoch and self.machine.now + each_s * pace > limits.stop_by:
                return epoch
            self.machine.now += each_s * pace
            limits.check()
        return epochs
