"""Successive halving: accuracies after each epoch in, which training is not worth finishing out.

At a rung, an epoch at which candidates are compared, only the best ones go on: one in
`Policy.reduction` of those that reached it (Li et al. 2020, MLSys; nobody waits for those that are
still to come).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from regraft.racing.policy import Policy


@dataclass(frozen=True, slots=True)
class Curve:
    """The accuracy on the first fold after each epoch, from 0; the baseline does not compete."""

    competes: bool
    accuracy: Mapping[int, float] = field(default_factory=dict)

    def after(self, epoch: int, accuracy: float) -> Curve:
        """The curve with one more epoch."""
        return Curve(self.competes, {**self.accuracy, epoch: accuracy})

    def at_rung(self, rung: int) -> int | None:
        """The first epoch at the rung or behind it; None if it is not reached."""
        return min((epoch for epoch in self.accuracy if epoch >= rung), default=None)


def rungs(last_epoch: int, policy: Policy) -> Iterator[int]:
    """The rungs up to an epoch: 2, 6, 18..."""
    rung = policy.first_rung
    while rung <= last_epoch:
        yield rung
        rung *= policy.reduction


def accuracy_to_reach(curve: Curve, others: Iterable[Curve], policy: Policy) -> float | None:
    """The best accuracy of others after the same epoch, if that stops the candidate; else None.

    It is stopped where its last epoch is at a rung, others were better there, and it is clearly
    behind the best.
    """
    others, epoch = list(others), max(curve.accuracy)
    accuracy = curve.accuracy[epoch]
    best = max((o.accuracy[epoch] for o in others if epoch in o.accuracy), default=0.0)
    if not curve.competes or best - accuracy <= policy.stop_gap:
        return None
    for rung in rungs(epoch, policy):
        if curve.at_rung(rung) != epoch:
            continue
        reached = [(o, at) for o in others if o.competes and (at := o.at_rung(rung)) is not None]
        ranked = sorted([accuracy, *(o.accuracy[at] for o, at in reached)], reverse=True)
        if accuracy < ranked[max(1, len(ranked) // policy.reduction) - 1]:
            return best
    return None
