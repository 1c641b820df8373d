"""Predicted costs and the time that is left in; for how many epochs each candidate trains, out.

Candidates that train get the same share of the epochs they plan: after unequal training it is the
training that is compared. Time for the final training of the dearest is kept back, and a share for
training from scratch, which shows what transfer is worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from regraft.approaches.base import Cost

_FINAL = "the final training of the best one so far"


@dataclass(frozen=True, slots=True)
class Contender:
    """What an approach that trains would cost, and between how many epochs it may be given."""

    cost: Cost
    fewest: int
    planned: int

    def on_a_fold(self, epochs: int) -> float:
        """Seconds of training on one fold, with what all folds share; none without an epoch."""
        if not epochs:
            return 0.0
        cost = self.cost.at(epochs)
        return cost.once + cost.fold

    def final(self, epochs: int) -> float:
        """Seconds of the final training that goes on from it; none without an epoch."""
        return self.cost.at(epochs).fit if epochs else 0.0

    def without_final(self, epochs: int) -> float:
        """Seconds of training on one fold, and of making a model of its network as it is."""
        return self.on_a_fold(epochs) + self.cost.at(epochs).export


@dataclass(frozen=True, slots=True)
class Demand:
    """Who waits for a part of the time that is left.

    `contenders` are in the order in which they are tried; the `baseline`, training from scratch,
    is none of them, has no final training, and may take `baseline_s` while there is something else
    to train. `left_s` are for all of them and for one final training, which takes `final_s` for
    what was trained before (0 if nothing was). Predicted seconds are multiplied by `margin`.
    """

    contenders: Sequence[Contender]
    baseline: Contender | None
    left_s: float
    baseline_s: float
    final_s: float
    margin: float

    def fits(self, epochs: Sequence[int], for_baseline: int) -> bool:
        """Whether there is time for so many epochs of each, and for any of the final trainings."""
        each = list(zip(self.contenders, epochs, strict=True))
        folds = sum(contender.on_a_fold(e) for contender, e in each)
        if self.baseline:
            folds += self.baseline.on_a_fold(for_baseline)
        final = max([self.final_s, *(contender.final(e) for contender, e in each)])
        return self.margin * (folds + final) <= self.left_s


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a candidate got no epochs: it needs more than what is left, less what is reserved.

    All seconds have their margin in them. `reserved` names what else the time is kept for.
    """

    needed_s: float
    needed_for: str
    left_s: float
    reserved: tuple[tuple[float, str], ...] = ()

    @property
    def text(self) -> str:
        """The reason, as it stands in `comparison.json`; its numbers never contradict it."""
        kept = [f"{math.ceil(s)} s of them reserved for {what}" for s, what in self.reserved if s]
        return (
            f"would need about {math.ceil(self.needed_s)} s ({self.needed_for}); "
            f"{', '.join([f'{max(0, math.floor(self.left_s))} s of the budget were left', *kept])}"
        )


@dataclass(frozen=True, slots=True)
class Allotment:
    """Epochs of each contender and of the baseline; 0 for what there is no time for."""

    contenders: tuple[int, ...]
    baseline: int


def allot(demand: Demand) -> Allotment:
    """Divide what is left of the budget.

    The first contender comes before the baseline, the baseline before the others, and all of them,
    with the fewest epochs they make sense with, before further epochs of any. Where nothing else
    was trained and not even the first fits with its final training, it may go without that, with a
    single epoch if need be: the network of the fold is then the model.
    """
    contenders, baseline = demand.contenders, demand.baseline
    if math.isinf(demand.left_s):
        return Allotment(tuple(c.planned for c in contenders), baseline.planned if baseline else 0)
    epochs, for_baseline = [0] * len(contenders), 0
    for i, contender in enumerate(contenders):
        epochs[i] = contender.fewest
        if not demand.fits(epochs, for_baseline):
            epochs[i] = 0
        if i == 0:
            for_baseline = _baseline_epochs(demand, epochs)
    if not contenders:
        for_baseline = _baseline_epochs(demand, epochs)
    elif not any(epochs) and not demand.final_s:
        return _without_final(demand, for_baseline)
    return Allotment(_grown(demand, epochs, for_baseline), for_baseline)


def _baseline_epochs(demand: Demand, epochs: Sequence[int]) -> int:
    """Its share; more than that only where nothing else is left to train."""
    baseline = demand.baseline
    if baseline is None:
        return 0
    within = [
        e
        for e in range(baseline.fewest, baseline.planned + 1)
        if demand.margin * baseline.on_a_fold(e) <= demand.baseline_s
    ] or ([] if demand.contenders else [baseline.fewest])
    return max((e for e in within if demand.fits(epochs, e)), default=0)


def _without_final(demand: Demand, for_baseline: int) -> Allotment:
    """The first contender without its final training, and the baseline if it fits as well."""
    first, baseline = demand.contenders[0], demand.baseline
    others = [0] * (len(demand.contenders) - 1)
    for epochs in range(first.fewest, 0, -1):
        alone = first.without_final(epochs)
        if demand.margin * alone <= demand.left_s:
            both = alone + (baseline.on_a_fold(for_baseline) if baseline else 0.0)
            return Allotment(
                (epochs, *others), for_baseline * (demand.margin * both <= demand.left_s)
            )
    return Allotment((0, *others), for_baseline)


def _grown(demand: Demand, epochs: Sequence[int], for_baseline: int) -> tuple[int, ...]:
    """More epochs for who has the smallest share of those it plans, as long as they fit."""
    shares = list(epochs)
    while True:
        growing = [i for i, e in enumerate(shares) if 0 < e < demand.contenders[i].planned]
        if not growing:
            return tuple(shares)
        i = min(growing, key=lambda j: (shares[j] / demand.contenders[j].planned, j))
        shares[i] += 1
        if not demand.fits(shares, for_baseline):
            # What is left is worth more in the final training than in another's fold.
            shares[i] -= 1
            return tuple(shares)


def baseline_shortfall(demand: Demand, baseline: Contender, given: Allotment) -> Shortfall:
    """Why the baseline, whose turn it is, was given no epochs."""
    needed_s = demand.margin * baseline.on_a_fold(baseline.fewest)
    on_a_fold = f"{_epochs(baseline.fewest)} on one fold"
    if demand.contenders and needed_s > demand.baseline_s:
        what = f"{on_a_fold}, more than its share while other candidates wait"
        return Shortfall(needed_s, what, min(demand.left_s, demand.baseline_s))
    reserved = (demand.margin * demand.final_s, _FINAL)
    if given.contenders and (e := given.contenders[0]):
        first = demand.contenders[0]
        both = first.on_a_fold(e) + max(demand.final_s, first.final(e))
        reserved = (demand.margin * max(first.without_final(e), both), "the next candidate")
    return Shortfall(needed_s, on_a_fold, demand.left_s, (reserved,))


def contender_shortfall(demand: Demand, given: Allotment) -> Shortfall:
    """Why the first contender, whose turn it is, was given no epochs."""
    first, final_s = demand.contenders[0], demand.final_s
    if not final_s and not any(given.contenders[1:]):
        needed_s = demand.margin * first.without_final(1)
        return Shortfall(needed_s, "1 epoch on one fold", demand.left_s)
    more_s = max(0.0, first.final(first.fewest) - final_s)
    needed_s = demand.margin * (first.on_a_fold(first.fewest) + more_s)
    what = f"{_epochs(first.fewest)} on one fold and the final training"
    return Shortfall(needed_s, what, demand.left_s, ((demand.margin * final_s, _FINAL),))


def _epochs(number: int) -> str:
    return "1 epoch" if number == 1 else f"{number} epochs"
