"""How a candidate did: it was skipped or failed, each for a reason, or it was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from regraft.approaches.base import Cost, CrossValidation
from regraft.errors import OutOfTimeError, RegraftError
from regraft.metrics.differences import paired_difference
from regraft.metrics.rates import Estimate, IntArray


@dataclass(frozen=True, slots=True)
class Training:
    """What a measured network was trained for.

    `cost` is what it was predicted to take with the epochs it was given, `wanted_epochs` what it
    would have trained for with more time; `broken` says why a later fold was not finished.
    """

    cost: Cost
    wanted_epochs: int
    broken: str = ""

    @property
    def is_cut_short(self) -> bool:
        """Whether it had fewer epochs than it wanted."""
        return self.cost.epochs < self.wanted_epochs


@dataclass(frozen=True, slots=True)
class Measured:
    """Predictions on the folds and their accuracy; `training` is None of frozen features.

    `groups` (n,) has equal numbers for training images that belong together; `flattering` counts
    the images predicted that the backbone had been trained on before.
    """

    seconds: float
    accuracy: Estimate
    cross_validation: CrossValidation
    groups: IntArray
    flattering: int = 0
    training: Training | None = None

    @property
    def images_predicted(self) -> int:
        """How many training images the folds have predicted."""
        return int(self.cross_validation.covered.sum())

    @property
    def predicted_seconds(self) -> float | None:
        """What it was expected to take, before it was begun; None where nobody asked."""
        if self.training is None or self.training.broken:
            return None
        cost = self.training.cost
        return cost.once + cost.fold * self.cross_validation.folds_done

    def minus(self, other: Measured) -> Estimate:
        """The accuracy of this one minus that of another, see `candidate_difference`."""
        a, b = self.cross_validation, other.cross_validation
        both = a.covered & b.covered
        repeats = min(len(a.folds), len(b.folds))
        return paired_difference(
            a.correct[:repeats, both],
            b.correct[:repeats, both],
            groups=self.groups[both],
            folds=len(np.unique(a.folds[0][both])),
        )

    def fits(self, left_s: float) -> bool:
        """Whether there is time to make a model of it."""
        return self.training is None or self.training.cost.export <= left_s


@dataclass(frozen=True, slots=True)
class Skipped:
    """There was no time for it."""

    reason: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised an error; `measured` is what was known of it, where that was its final training."""

    reason: str
    seconds: float
    measured: Measured | None = None


Ended: TypeAlias = Skipped | Failed
Outcome: TypeAlias = Ended | Measured


def ended_by(error: RegraftError, seconds: float) -> Ended:
    """What an error makes of the candidate that raised it."""
    if isinstance(error, OutOfTimeError):
        return Skipped(str(error), seconds)
    return Failed(str(error), seconds)
