"""Who is clearly behind, from curves."""

from __future__ import annotations

import pytest

from regraft.racing.halving import Curve, accuracy_to_reach, rungs
from regraft.racing.policy import DEFAULT_POLICY, WITHOUT


def curve(*accuracy: float, competes: bool = True) -> Curve:
    return Curve(competes, dict(enumerate(accuracy)))


def epochs_until_stopped(accuracy: list[float], others: list[Curve], *, competes: bool) -> int:
    partial = Curve(competes)
    for epoch, value in enumerate(accuracy):
        partial = partial.after(epoch, value)
        if accuracy_to_reach(partial, others, DEFAULT_POLICY) is not None:
            return epoch + 1
    return len(accuracy)


def test_rungs_are_three_times_as_far_each() -> None:
    assert list(rungs(1, DEFAULT_POLICY)) == []
    assert list(rungs(40, DEFAULT_POLICY)) == [2, 6, 18]


GOOD = curve(*[0.9] * 30)
SLOW = curve(0.5, 0.6, 0.7, 0.8, 0.9, *[0.95] * 20)


@pytest.mark.parametrize(
    ("others", "accuracy", "epochs"),
    [
        ([], [0.1] * 12, 12),
        ([GOOD], [0.5] * 12, 3),
        ([GOOD], [0.95] * 12, 12),
        # Behind at the second rung, and at the third.
        ([SLOW], [0.5, 0.6, 0.69, *[0.7] * 9], 7),
        ([SLOW], [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.93, *[0.5] * 20], 19),
        # Only at a rung: what is behind between two of them may catch up.
        ([GOOD], [0.1, 0.3, 0.88, 0.5, 0.5, 0.5, 0.9, 0.9], 8),
        # Five points are never held against a candidate, however many are better.
        ([GOOD, GOOD, GOOD], [0.86] * 12, 12),
        ([GOOD, GOOD, GOOD], [0.84] * 12, 3),
        # Of six at a rung two go on, however far the second one is behind the best.
        ([GOOD, *[curve(*[0.3] * 30)] * 4], [0.5] * 12, 12),
        ([GOOD, curve(*[0.6] * 30), *[curve(*[0.3] * 30)] * 3], [0.5] * 12, 3),
        # Rungs hold those that reached them, the best after an epoch is anybody's.
        ([curve(0.9, 0.9)], [0.5] * 12, 12),
        ([curve(*[0.9] * 30, competes=False)], [0.5] * 12, 12),
        ([curve(*[0.9] * 30, competes=False), curve(*[0.55] * 30)], [0.5] * 12, 3),
    ],
)
def test_who_is_stopped_after_how_many_epochs(
    others: list[Curve], accuracy: list[float], epochs: int
) -> None:
    assert epochs_until_stopped(accuracy, others, competes=True) == epochs
    assert epochs_until_stopped(accuracy, others, competes=False) == len(accuracy)


def test_an_epoch_without_a_prediction_is_no_rung_and_the_next_one_is() -> None:
    late = Curve(True, {0: 0.5, 1: 0.5, 3: 0.5})
    assert accuracy_to_reach(late, [GOOD], DEFAULT_POLICY) == 0.9
    assert accuracy_to_reach(late.after(4, 0.5), [GOOD], DEFAULT_POLICY) is None


def test_without_a_gap_that_stops_nobody_is_stopped() -> None:
    behind = curve(0.1, 0.1, 0.1)
    assert accuracy_to_reach(behind, [GOOD], DEFAULT_POLICY) == 0.9
    off = WITHOUT["what is clearly behind is stopped"]
    assert accuracy_to_reach(behind, [GOOD], off) is None
