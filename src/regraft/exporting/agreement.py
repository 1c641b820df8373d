"""What a Replay showed in; why the exported file is not written, or nothing, out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regraft.exporting.replay import Replay

TOLERANCE = 0.01  # of a probability
MOST_LOST = 0.01  # accuracy
MOST_CHANGED = 0.02  # share of inputs that get another class, where labels are not known


@dataclass(frozen=True, slots=True)
class Agreement:
    """How close to its model an exported file has to be.

    Attributes:
        summary: that, for people.
        objection: why a file is refused, or ""; given the replays of the user's inputs and of odd
            ones, and what inputs are called ("photos").
    """

    summary: str
    objection: Callable[[Replay, Replay, str], str]


def _other_answers(checked: Replay, odd: Replay, things: str) -> str:
    for found, where in ((checked, things), (odd, f"odd {things}")):
        if found.changed or found.largest_difference > TOLERANCE:
            example = f", {found.changed[0]} first" if found.changed else ""
            return (
                f"differs from the model: {len(found.changed):,} of {found.inputs:,} {where} get "
                f"another class{example}, and probabilities differ by up to "
                f"{found.largest_difference:.3f} where {TOLERANCE} is accepted"
            )
    return ""


def _lost_accuracy(checked: Replay, _odd: Replay, things: str) -> str:
    where = f"{checked.inputs:,} {things}, more than is accepted"
    if checked.accuracy is None:
        changed = len(checked.changed)
        too_many = changed > MOST_CHANGED * checked.inputs
        return f"would change the class of {changed:,} of {where}" if too_many else ""
    lost = -checked.accuracy.value
    # A single input, whatever share of a few that is, says nothing.
    if lost <= MOST_LOST or lost * checked.inputs < 1.5:
        return ""
    return f"would cost {100 * lost:.1f} points of accuracy on {where}"


SAME_ANSWERS = Agreement(
    f"the same class, near ties aside, and every probability within {TOLERANCE:g}", _other_answers
)
SAME_ACCURACY = Agreement(
    f"at most {100 * MOST_LOST:g} point of accuracy less, or one input; without labels, another "
    f"class for at most {100 * MOST_CHANGED:g} % of the inputs",
    _lost_accuracy,
)
