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

    def without_final(self, epochs: int) -> float:
        """Seconds of training on one fold, and of making a model of its network as it is."""
        return self.on_a_fold(epochs) + self.cost.at(epochs).export


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


def allot(
    contenders: Sequence[Contender],
    baseline: Contender | None,
    seconds: float,
    *,
    baseline_s: float,
    margin: float,
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
        margin: predicted seconds are multiplied by it before they are relied on.
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
        return margin * (folds + max(refit_s, *finals, 0.0)) <= seconds

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
            if margin * baseline.on_a_fold(e) <= baseline_s
        ]
        # More than its share only where nothing else is left to train.
        for_baseline = max(within, default=0 if contenders else fewest)
        while for_baseline and not fits():
            for_baseline = for_baseline - 1 if for_baseline > fewest else 0
    for i in range(1, len(contenders)):
        include(i)
    if not any(given) and contenders and not refit_s:
        for epochs in range(begin[0], 0, -1):
            alone = contenders[0].without_final(epochs)
            if margin * alone <= seconds:
                both = alone + (baseline.on_a_fold(for_baseline) if baseline else 0.0)
                return Allotment((epochs, *given[1:]), for_baseline * (margin * both <= seconds))
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


def shortfall(
    contenders: Sequence[Contender],
    baseline: Contender | None,
    seconds: float,
    *,
    given: Allotment,
    is_baseline: bool,
    baseline_s: float,
    margin: float,
    refit_s: float = 0.0,
) -> Shortfall:
    """Why the next candidate, which `allot` gave no epochs, has none.

    Args:
        contenders, baseline, seconds, baseline_s, margin, refit_s: as for `allot`.
        given: what it returned.
        is_baseline: whether the next candidate is the baseline, else it is the first contender.
    """
    final = (margin * refit_s, "the final training of the best one so far")
    if is_baseline:
        assert baseline is not None
        epochs = min(baseline.fewest, baseline.planned)
        needed = margin * baseline.on_a_fold(epochs)
        on_a_fold = f"{_epochs(epochs)} on one fold"
        if contenders and needed > baseline_s:
            what = f"{on_a_fold}, more than its share while other candidates wait"
            return Shortfall(needed, what, min(seconds, baseline_s))
        if given.contenders and (e := given.contenders[0]):
            first = contenders[0]
            rest = max(first.without_final(e), first.on_a_fold(e) + max(refit_s, first.final(e)))
            final = (margin * rest, "the next candidate")
        return Shortfall(needed, on_a_fold, seconds, (final,))
    first = contenders[0]
    epochs = min(first.fewest, first.planned)
    if not refit_s and not any(given.contenders[1:]):
        return Shortfall(margin * first.without_final(1), "1 epoch on one fold", seconds)
    needed = margin * (first.on_a_fold(epochs) + max(0.0, first.final(epochs) - refit_s))
    what = f"{_epochs(epochs)} on one fold and the final training"
    return Shortfall(needed, what, seconds, (final,))


def _epochs(number: int) -> str:
    return "1 epoch" if number == 1 else f"{number} epochs"
