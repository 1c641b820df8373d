"""What the race is decided by, and what can be decided: values without behaviour.

Nothing here holds an array, a file or a clock, so that any state can be written down in a test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from regraft.approaches.base import Cost
from regraft.racing.allotment import Contender


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is known yet of what it costs.

    `pass_s` are the seconds of one pass of all images through its network, None where its speed is
    unknown; a finished result `is_recalled` where an interrupted race had one.
    """

    pass_s: float | None = None
    is_recalled: bool = False


@dataclass(frozen=True, slots=True)
class Timed:
    """It waits for its turn on the first fold."""

    cost: Cost


@dataclass(frozen=True, slots=True)
class Trained:
    """What its folds have told so far.

    `accuracy` is that on its own folds, `expected` that on all images, see
    `verdict.expected_accuracies`; `cost` is for the epochs that it was given. No more is done with
    one that `is_broken`, for a later fold failed.
    """

    accuracy: float
    expected: float
    cost: Cost
    folds_done: int = 1
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class Out:
    """It has ended without a result."""


Stage: TypeAlias = Waiting | Timed | Trained | Out


@dataclass(frozen=True, slots=True)
class Entrant:
    """A candidate that trains a network, and how far it is.

    `work` is that of a prediction, see `prediction_cost`; for the others see `TrainedApproach`.
    """

    network: str
    fewest_epochs: int
    planned_epochs: int
    work: float = 0.0
    last_stages: int | None = None
    is_baseline: bool = False
    stage: Stage = Waiting()

    @property
    def contender(self) -> Contender | None:
        """What it asks of the time that is left, while it waits for the first fold."""
        if not isinstance(self.stage, Timed):
            return None
        fewest = min(self.fewest_epochs, self.planned_epochs)
        return Contender(self.stage.cost, fewest, self.planned_epochs)


@dataclass(frozen=True, slots=True)
class State:
    """All candidates that train a network, in the order in which they were given, and the time.

    `left_s` and `budget_s` are infinite without a budget; `timing_s` were spent on timing.
    `frozen_accuracy` and `frozen_expected` are the best of the candidates on frozen features.
    """

    entrants: Sequence[Entrant]
    left_s: float = math.inf
    budget_s: float = math.inf
    timing_s: float = 0.0
    images: int = 0
    folds: int = 5
    has_test: bool = False
    inputs: str = "photos"
    frozen_accuracy: float = 0.0
    frozen_expected: float = -math.inf

    @property
    def results(self) -> dict[int, Trained]:
        """What was measured, by number."""
        stages = enumerate(entrant.stage for entrant in self.entrants)
        return {i: stage for i, stage in stages if isinstance(stage, Trained)}

    @property
    def best_expected(self) -> float:
        """The highest accuracy that is expected of any candidate."""
        return max([self.frozen_expected, *(r.expected for r in self.results.values())])


@dataclass(frozen=True, slots=True)
class Time:
    """Measure what a candidate costs."""

    entrant: int


@dataclass(frozen=True, slots=True)
class Skip:
    """Leave a candidate out, for a reason."""

    entrant: int
    reason: str


@dataclass(frozen=True, slots=True)
class FirstFold:
    """Train a candidate on the first fold, and end so early that `reserve_s` seconds are left."""

    entrant: int
    epochs: int
    reserve_s: float


@dataclass(frozen=True, slots=True)
class NextFold:
    """Train a candidate on one more fold."""

    entrant: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing more is worth its time."""


Move: TypeAlias = Time | Skip | FirstFold | NextFold | Stop
