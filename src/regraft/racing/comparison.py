"""Approaches and a Dataset in, a Comparison out: who wins, by how much, at what cost.

All candidates predict the same training rows on the same folds; the test set is not looked at.
Differences are paired, image by image. "Cannot tell A from B" is a legal verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from regraft.approaches.base import (
    Approach,
    CrossValidation,
    TrainedApproach,
    further_epochs,
    is_trained,
    repeated_folds,
)
from regraft.clock import Clock
from regraft.dataset import Dataset, split_groups
from regraft.errors import DataError, UsageError
from regraft.progress import Progress, silent
from regraft.racing.candidate import Candidate
from regraft.racing.course import Course, run_frozen
from regraft.racing.entrants import candidate_approaches
from regraft.racing.memory import Race
from regraft.racing.outcomes import Failed
from regraft.racing.policy import DEFAULT_POLICY, Policy
from regraft.racing.rules import most_final_epochs
from regraft.racing.runner import run_trained
from regraft.racing.verdict import against_chosen, choose, verdict_text


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every candidate on the same folds, and the verdict in words."""

    candidates: tuple[Candidate, ...]
    chosen: int
    verdict: str
    folds: int
    repeats: int

    def __repr__(self) -> str:
        of = f"{len(self.candidates):,} candidate" + ("" if len(self.candidates) == 1 else "s")
        return f"Comparison({of}, chosen {self.winner!r})"

    @property
    def winner(self) -> Candidate:
        """The chosen candidate."""
        return self.candidates[self.chosen]

    @property
    def best(self) -> Approach:
        """The chosen approach; `comparison.best.fit(data)` trains it on all training rows."""
        return self.winner.approach

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, `comparison.json`."""
        return {
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "chosen": self.chosen,
            "verdict": self.verdict,
            "folds": self.folds,
            "repeats": self.repeats,
        }


def compare(
    approaches: str | Approach | Iterable[str | Approach],
    data: Dataset,
    *,
    folds: int = 5,
    repeats: int | None = None,
    budget_s: float | None = None,
    reserve_s: float = 0.0,
    clock: Clock | None = None,
    trains: bool | None = None,
    policy: Policy = DEFAULT_POLICY,
    race: Race | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Cross-validate every approach on the same folds and choose one.

    Approaches on frozen features come first; they take seconds. Each approach that trains a
    network is then measured on the first fold, with as many epochs as the budget has room for; the
    leaders go on to the other folds while there is time. Time for the final training of the best
    one is always kept back.

    Chosen is the highest expected accuracy; among candidates within half a point of it whose
    paired difference could be zero, the cheapest to predict with. A candidate that fails, or that
    the budget leaves no time for, is recorded with its reason and the others go on.

    Args:
        approaches: one or several, or their names, in the order in which they are tried. Those on
            frozen features are run as they are taken from it, so that what the others depend on
            may be found out after them.
        data: its training rows are used, and only those; groups stay whole, and `find_groups` makes
            some of near copies and series.
        folds: of each repeat.
        repeats: None for 3 below 1,000 images, else 1.
        budget_s: seconds for all candidates and the final training together; None for no limit.
        reserve_s: seconds of the budget to keep for what comes after the final training.
        clock: of a job that this is a part of, in place of the two.
        trains: whether some of them train a network, so that time is kept for these; None where
            that is to be seen from a list.
        policy: the shares, margins and limits by which time is divided.
        race: where finished results are kept, so that an interrupted comparison goes on.
        seed: of the folds.
        jobs: worker threads.
        progress: told how far each step is.

    Raises:
        DataError: the data cannot be trained on, or no candidate could be finished.
        UsageError: there is no approach of a name, or both a clock and a budget.
    """
    if clock is not None and (budget_s is not None or reserve_s):
        raise UsageError("a clock has its budget and what is reserved of it; give one or the other")
    if clock is None:
        clock = Clock(math.inf if budget_s is None else budget_s)
        clock.reserve("afterwards", reserve_s)
    approaches = _named_approaches(approaches, data.modality)
    if trains is None:
        approaches = tuple(approaches)
        trains = any(is_trained(approach) for approach in approaches)
    course = Course(
        data=data,
        folds=repeated_folds(data, folds=folds, repeats=repeats, seed=seed),
        groups=split_groups(data.train),
        fingerprint=data.fingerprint(),
        clock=clock,
        budget_s=clock.left + clock.reserved,
        race=race or Race(),
        policy=policy,
        seed=seed,
        jobs=jobs,
        progress=progress,
    )
    candidates = _run(course, approaches, trains=trains)
    left_s = clock.left
    chosen = choose(candidates, left_s, policy)
    return _concluded(candidates, chosen, left_s, folds=course.n_folds, repeats=len(course.folds))


def _run(course: Course, approaches: Iterable[Approach], *, trains: bool) -> list[Candidate]:
    """Every candidate in its place; those on frozen features are run as they are taken."""
    began, frozen_s = course.clock.now, math.inf
    if trains:
        frozen_s = course.policy.frozen_share * course.budget_s
    frozen: dict[int, Candidate] = {}
    first, heads_s = "", dict[str, float]()  # a network; what an approach took the first time
    waiting: dict[int, TrainedApproach] = {}
    for i, approach in enumerate(approaches):
        if is_trained(approach):
            waiting[i] = approach
            continue
        first = first or approach.network.name
        is_other = approach.network.name != first
        share_s = frozen_s - (course.clock.now - began) if is_other else math.inf
        frozen[i] = run_frozen(
            course,
            approach,
            is_first=not frozen,
            share_s=share_s,
            head_s=heads_s.get(approach.name, 0.0),
        )
        if frozen[i].result:
            heads_s.setdefault(approach.name, frozen[i].seconds)
    trained = run_trained(course, list(waiting.values()), list(frozen.values()))
    in_place = frozen | dict(zip(waiting, trained, strict=True))
    candidates = [in_place[i] for i in sorted(in_place)]
    if not candidates:
        raise DataError("nothing to compare; give at least one approach")
    if not any(candidate.result for candidate in candidates):
        reasons = "; ".join(f"{c.title}: {c.reason}" for c in candidates)
        raise DataError(f"no candidate could be finished ({reasons})")
    return candidates


def _concluded(
    candidates: Sequence[Candidate], chosen: int, left_s: float, *, folds: int, repeats: int
) -> Comparison:
    against = against_chosen(candidates, chosen)
    return Comparison(against, chosen, verdict_text(against, chosen, left_s), folds, repeats)


def choose_again(
    comparison: Comparison, reason: str, *, policy: Policy = DEFAULT_POLICY
) -> Comparison | None:
    """The same comparison without its winner, whose final training failed; None if none is left.

    Only candidates on frozen features are considered: their final training takes moments.
    """
    winner = comparison.winner
    failed = Failed(reason, winner.seconds, winner.measured)
    candidates = [
        replace(c, outcome=failed) if i == comparison.chosen else c
        for i, c in enumerate(comparison.candidates)
    ]
    quick = [i for i, c in enumerate(candidates) if c.result and c.result.training is None]
    if not quick:
        return None
    chosen = quick[choose([candidates[i] for i in quick], math.inf, policy)]
    return _concluded(candidates, chosen, 0.0, folds=comparison.folds, repeats=comparison.repeats)


def with_time_left(
    winner: Candidate, left_s: float, *, policy: Policy = DEFAULT_POLICY
) -> CrossValidation | None:
    """What the final training goes by: with time to spare, more epochs than on the folds.

    Only where the budget, and not the fold data, ended the training on the folds.
    """
    predictions, training = winner.cross_validation, winner.training
    if predictions is None or training is None:
        return predictions
    cost = training.cost
    if predictions.chosen["epochs"] < cost.epochs or not training.is_cut_short:
        return predictions
    if cost.fit_epoch <= 0:
        return predictions
    epochs = most = most_final_epochs(cost, training.wanted_epochs)
    if not math.isinf(left_s):
        affordable = int((left_s / policy.margin - cost.export) / cost.fit_epoch)
        epochs = min(most, max(further_epochs(cost.epochs), affordable))
    return replace(predictions, chosen={**predictions.chosen, "final_epochs": epochs})


def _named_approaches(
    given: str | Approach | Iterable[str | Approach], modality: str
) -> Iterator[Approach]:
    """The approaches, those given by name as `fit` tries them first for that kind of input."""
    for entry in given if isinstance(given, Iterable) and not isinstance(given, str) else [given]:
        yield (
            candidate_approaches([entry], (), modality=modality)[0]
            if isinstance(entry, str)
            else entry
        )
