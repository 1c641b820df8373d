"""Approaches that train a network, run one after the other.

What `rules.next_move` says is done, and its outcome is in the next state that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from regraft.approaches.base import (
    Approach,
    Cost,
    Limits,
    TrainedApproach,
    prediction_cost,
    seconds_expected,
)
from regraft.approaches.trained import merged
from regraft.errors import RegraftError
from regraft.kinds import things
from regraft.progress import note
from regraft.racing.candidate import Candidate, approach_title
from regraft.racing.course import Course
from regraft.racing.memory import Predicted
from regraft.racing.outcomes import Measured, Skipped, Training, ended_by
from regraft.racing.rules import next_move
from regraft.racing.state import (
    Entrant,
    FirstFold,
    Move,
    NextFold,
    Out,
    Skip,
    Stage,
    State,
    Stop,
    Time,
    Timed,
    Trained,
    Waiting,
)
from regraft.racing.verdict import expected_accuracies


def run_trained(
    course: Course, approaches: Sequence[TrainedApproach], frozen: Sequence[Candidate]
) -> list[Candidate]:
    """Approaches that train a network, as `next_move` has it, beside the candidates on frozen
    features that they compete with."""
    turns = [_Turn(approach, course) for approach in approaches]
    runner = _Runner(course, turns, frozen, course.clock.now)
    while not isinstance(move := next_move(runner.state(), course.policy), Stop):
        runner.obey(move)
    return [turn.progress for turn in turns if isinstance(turn.progress, Candidate)]


class _Turn:
    """An approach that trains, what the rules know of it, and how far it is."""

    def __init__(self, approach: TrainedApproach, course: Course) -> None:
        network = approach.network
        self.approach = approach
        self.key = course.key(approach)
        self.recalled = course.race.recall(self.key)
        self.entrant = Entrant(
            network.name,
            approach.fewest_epochs,
            approach.planned_epochs,
            prediction_cost(network),
            approach.last_stages,
            approach.is_baseline,
        )
        pass_s = seconds_expected(network, len(course.data.train))
        self.progress: Waiting | Timed | Candidate = Waiting(pass_s, self.recalled is not None)

    @property
    def result(self) -> Measured | None:
        """What was measured."""
        return self.progress.result if isinstance(self.progress, Candidate) else None

    def stage(self, expected: float) -> Stage:
        """How far it is, in the terms of the rules, with the accuracy that is expected of it."""
        match self.progress:
            case Candidate(_, Measured(training=Training() as training) as measured):
                return Trained(
                    accuracy=measured.accuracy.value,
                    expected=expected,
                    cost=training.cost,
                    folds_done=measured.cross_validation.folds_done,
                    is_broken=bool(training.broken),
                )
            case Candidate():
                return Out()
            case stage:
                return stage


@dataclass(frozen=True, slots=True)
class _Runner:
    """The turns of all approaches that train, and what they compete with."""

    course: Course
    turns: Sequence[_Turn]
    frozen: Sequence[Candidate]
    began: float

    def state(self) -> State:
        """What there is to decide by."""
        course, data = self.course, self.course.data
        results = [*(c.result for c in self.frozen), *(turn.result for turn in self.turns)]
        expected = expected_accuracies({i: r for i, r in enumerate(results) if r is not None})
        trained_from = len(self.frozen)
        return State(
            entrants=[
                replace(turn.entrant, stage=turn.stage(expected.get(trained_from + i, 0.0)))
                for i, turn in enumerate(self.turns)
            ],
            left_s=course.clock.left,
            budget_s=course.budget_s,
            timing_s=course.clock.now - self.began,
            images=len(data.train),
            folds=course.n_folds,
            has_test=bool(data.test),
            inputs=things(data.modality),
            frozen_accuracy=max((c.accuracy.value for c in self.frozen if c.accuracy), default=0.0),
            frozen_expected=max(
                (x for i, x in expected.items() if i < trained_from), default=-math.inf
            ),
        )

    def obey(self, move: Move) -> None:
        """Do it, and note what came of it."""
        if isinstance(move, Stop):
            return
        turn = self.turns[move.entrant]
        match move, turn.progress:
            case Skip(_, reason), _:
                turn.progress = Candidate(turn.approach, Skipped(reason))
            case Time(), Waiting():
                turn.progress = self._timed(turn)
            case FirstFold(), Timed(cost):
                turn.progress = self._on_first_fold(turn, cost, move)
            case (
                NextFold(),
                Candidate(approach, Measured(training=Training() as training) as measured),
            ):
                turn.progress = self._on_next_fold(turn, approach, measured, training)
            case _:
                raise TypeError(f"{move} is no move for {turn.progress}")

    def _timed(self, turn: _Turn) -> Timed | Candidate:
        """What it costs; of what has its result that is asked after the deadline as well."""
        course, approach = self.course, turn.approach
        note(course.progress, f"timing {approach_title(approach)}")
        limits = course.limits() if turn.recalled is None else Limits()
        began = course.clock.now
        try:
            cost = approach.cost(course.data, folds=course.n_folds, limits=limits, jobs=course.jobs)
        except RegraftError as error:
            return Candidate(approach, ended_by(error, course.clock.now - began))
        if turn.recalled is None:
            return Timed(cost)
        adapted = approach.with_epochs(int(turn.recalled.predictions.chosen["epochs"]))
        return self._done(turn, adapted, turn.recalled, cost.at(adapted.planned_epochs))

    def _on_first_fold(self, turn: _Turn, cost: Cost, move: FirstFold) -> Candidate:
        course, approach = self.course, turn.approach
        limits = replace(course.limits(folds=(0,)), stop_by=course.clock.deadline - move.reserve_s)
        adapted = approach.with_epochs(move.epochs)
        predicted = course.predict(adapted, limits)
        if not isinstance(predicted, Predicted):
            return Candidate(approach, predicted)
        predicted = course.race.keep(turn.key, predicted)
        return self._done(turn, adapted, predicted, cost.at(move.epochs))

    def _on_next_fold(
        self, turn: _Turn, approach: Approach, measured: Measured, training: Training
    ) -> Candidate:
        """The candidate with one more fold; where that fails, what was finished still counts."""
        folds = measured.cross_validation
        fold = int(min(set(folds.folds[0]) - set(folds.folds[0][folds.covered])))
        predicted = self.course.predict(approach, self.course.limits(folds=(fold,)))
        if not isinstance(predicted, Predicted):
            broken = replace(training, broken=f"fold {fold + 1}: {predicted.reason}")
            return Candidate(approach, replace(measured, training=broken))
        both = Predicted(merged(folds, predicted.predictions), measured.seconds + predicted.seconds)
        both = self.course.race.keep(turn.key, both)
        return Candidate(approach, self.course.measured(approach, both, training))

    def _done(
        self, turn: _Turn, approach: TrainedApproach, predicted: Predicted, cost: Cost
    ) -> Candidate:
        training = Training(cost, turn.approach.planned_epochs)
        return Candidate(approach, self.course.measured(approach, predicted, training))
