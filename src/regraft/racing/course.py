"""What all candidates of one comparison share, and those on frozen features run with it.

All of them predict the same training rows on the same folds; the test set is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regraft.approaches.base import Approach, Limits, seconds_expected, seconds_to_export
from regraft.clock import Clock
from regraft.dataset import Dataset
from regraft.dataset.overlaps import overlap_with
from regraft.errors import RegraftError
from regraft.features.embedding import count_missing
from regraft.metrics.rates import IntArray, accuracy_estimate
from regraft.progress import Progress
from regraft.racing.candidate import Candidate
from regraft.racing.memory import Predicted, Race, race_key
from regraft.racing.outcomes import Ended, Measured, Skipped, Training, ended_by
from regraft.racing.policy import Policy
from regraft.racing.rules import no_time_for_frozen


@dataclass(frozen=True, slots=True)
class Course:
    """What all candidates of one comparison share; `budget_s` is what it and the final training
    have together."""

    data: Dataset
    folds: IntArray
    groups: IntArray
    fingerprint: str
    clock: Clock
    budget_s: float
    race: Race
    policy: Policy
    seed: int
    jobs: int | None
    progress: Progress

    @property
    def n_folds(self) -> int:
        """Folds of each repeat."""
        return len(np.unique(self.folds[0]))

    def key(self, approach: Approach) -> str:
        """The name of its result in the memory."""
        return race_key(approach, self.fingerprint, self.folds)

    def limits(self, *, folds: tuple[int, ...] | None = None) -> Limits:
        """Until the deadline."""
        return Limits(self.clock.deadline, folds, now=lambda: self.clock.now)

    def predict(self, approach: Approach, limits: Limits) -> Predicted | Ended:
        """Its predictions on the folds, or how it ended without any."""
        began = self.clock.now
        try:
            predictions = approach.cross_validate(
                self.data, self.folds, limits=limits, jobs=self.jobs, progress=self.progress
            )
        except RegraftError as error:
            return ended_by(error, self.clock.now - began)
        return Predicted(predictions, self.clock.now - began)

    def measured(
        self,
        approach: Approach,
        predicted: Predicted,
        training: Training | None = None,
    ) -> Measured:
        """What the predictions are worth."""
        predictions, seconds = predicted
        covered = predictions.covered
        groups = self.groups[covered]
        is_grouped = len(np.unique(groups)) < len(groups)
        accuracy = accuracy_estimate(
            predictions.correct[:, covered].mean(axis=0),
            groups if is_grouped else None,
            folds=predictions.folds_done if predictions.folds_done > 1 else None,
            seed=self.seed,
        ).reaching(predictions.accuracy_gain)
        rows = [row for row, is_covered in zip(self.data.train, covered, strict=True) if is_covered]
        flattering = overlap_with(rows, approach.network.contents).flattering
        return Measured(seconds, accuracy, predictions, self.groups, flattering, training)


def _missing(data: Dataset, approach: Approach) -> int:
    """Of how many training rows the features are still to be computed.

    An approach that needs no backbone, such as `tfidf`, keeps none.
    """
    if not approach.profile.needs_backbone:
        return len(data.train)
    depths = approach.profile.every_depth
    return count_missing(data.train, approach.network, every_depth=depths)


def run_frozen(
    course: Course, approach: Approach, *, is_first: bool, share_s: float, head_s: float
) -> Candidate:
    """An approach on frozen features: all folds and repeats at once.

    Unless it is the first of all, it may take `share_s` of the seconds that are left, and takes
    `head_s` beside those for features.
    """
    key, network = course.key(approach), approach.network
    if recalled := course.race.recall(key):
        return Candidate(approach, course.measured(approach, recalled))
    if not is_first:
        needed_s = seconds_expected(network, _missing(course.data, approach))
        if needed_s is None:
            needed_s = seconds_to_export(network)
        reason = no_time_for_frozen(
            network.name, needed_s + head_s, left_s=course.clock.left, share_s=share_s
        )
        if reason:
            return Candidate(approach, Skipped(reason))
    predicted = course.predict(approach, Limits() if is_first else course.limits())
    if not isinstance(predicted, Predicted):
        return Candidate(approach, predicted)
    course.race.keep(key, predicted)
    return Candidate(approach, course.measured(approach, predicted))
