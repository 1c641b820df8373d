"""Predicted costs and the time that is left in; for how many epochs each candidate trains, out.

Candidates that train get the same share of the epochs they plan: after unequal training it is the
training that is compared. Time for the final training of the dearest is kept back, and a share for
training from scratch, which shows what transfer is worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from regraft.approaches import Cost

MARGIN = 1.15  # predicted times are multiplied by it before they are relied on


@dataclass(frozen=True, slots=True)
class Contender:
    """What an approach that trains would cost, and between how many epochs it may be given."""

    cost: Cost
    fewest: int
    planned: int

    def on_a_fold(self, epochs: int) -> float:
        """Seconds of training on one fold, with what all folds share."""
        then = self.cost.at(epochs)
        return then.once + then.fold

    def final(self, epochs: int) -> float:
        """Seconds of the final training that goes on from it."""
        return self.cost.at(epochs).fit


@dataclass(frozen=True, slots=True)
class Allotment:
    """Epochs of each contender and of the baseline; 0 for what there is no time for."""

    contenders: tuple[int, ...]
    baseline: int


def allot(
    contenders: Sequence[Contender],
    baseline: Contender | None,
    seconds: float,
    *,
    baseline_s: float,
    refit_s: float = 0.0,
) -> Allotment:
    """Divide what is left of the budget.

    The first contender comes before the baseline, the baseline before the others, and all of them,
    with the fewest epochs they make sense with, before further epochs of any. Where nothing else
    was trained and not even the first fits with its final training, it may go without that, with a
    single epoch if need be: the network of the fold is then the model.

    Args:
        contenders: in the order in which they are tried; not the baseline.
        baseline: training from scratch; it has no final training.
        seconds: that are left, for all of them and for one final training.
        baseline_s: what the baseline may take while there is something else to train.
        refit_s: of the final training of what was trained before; 0 if nothing was.
    """
    if math.isinf(seconds):
        return Allotment(tuple(c.planned for c in contenders), baseline.planned if baseline else 0)
    given = [0] * len(contenders)
    begin = [min(c.fewest, c.planned) for c in contenders]
    for_baseline = 0

    def fits() -> bool:
        folds = sum(c.on_a_fold(e) for c, e in zip(contenders, given, strict=True) if e)
        if baseline and for_baseline:
            folds += baseline.on_a_fold(for_baseline)
        finals = [c.final(e) for c, e in zip(contenders, given, strict=True) if e]
        return MARGIN * (folds + max(refit_s, *finals, 0.0)) <= seconds

    def include(i: int) -> None:
        given[i] = begin[i]
        if not fits():
            given[i] = 0

    if contenders:
        include(0)
    if baseline is not None:
        fewest = min(baseline.fewest, baseline.planned)
        within = [
            e
            for e in range(fewest, baseline.planned + 1)
            if MARGIN * baseline.on_a_fold(e) <= baseline_s
        ]
        # More than its share only where nothing else is left to train.
        for_baseline = max(within, default=0 if contenders else fewest)
        while for_baseline and not fits():
            for_baseline = for_baseline - 1 if for_baseline > fewest else 0
    for i in range(1, len(contenders)):
        include(i)
    if not any(given) and contenders and not refit_s:
        for epochs in range(begin[0], 0, -1):
            then = contenders[0].cost.at(epochs)
            if MARGIN * (then.once + then.fold + then.export) <= seconds:
                return Allotment((epochs, *given[1:]), 0)
    while True:
        growing = [i for i, e in enumerate(given) if 0 < e < contenders[i].planned]
        if not growing:
            break
        i = min(growing, key=lambda j: (given[j] / contenders[j].planned, j))
        given[i] += 1
        if not fits():  # what is left is worth more in the final training than in another's fold
            given[i] -= 1
            break
    return Allotment(tuple(given), for_baseline)
