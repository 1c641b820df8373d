"""Which of the measured candidates is chosen."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from regraft.approaches.base import Cost, CrossValidation
from regraft.metrics.rates import Estimate
from regraft.racing.candidate import Candidate, candidate_difference
from regraft.racing.outcomes import Failed, Measured, Skipped, Training
from regraft.racing.policy import DEFAULT_POLICY, WITHOUT, Policy
from regraft.racing.verdict import against_chosen, choose, expected_accuracies, verdict_text
from tests.fakes import Fake

N = 400


def measured(wrong: int, *, covered: int = N, export_s: float | None = None) -> Measured:
    """The first `wrong` of 400 images are predicted wrong, and only the first `covered` at all."""
    probabilities = np.full((1, N, 2), np.nan)
    probabilities[0, :covered] = (0.9, 0.1)
    probabilities[0, :wrong] = (0.1, 0.9)
    folds = np.arange(N)[None] // 200
    predictions = CrossValidation(folds, np.zeros(N, np.int64), probabilities, {"epochs": 3}, 1.0)
    rate = 1 - wrong / covered
    training = None
    if export_s is not None:
        cost = Cost(3, 0.0, 3.0, export_s + 2.0, 1.0, 1.0)
        training = Training(cost, wanted_epochs=9)
    return Measured(
        1.0, Estimate(rate, rate, rate, "none"), predictions, np.arange(N), training=training
    )


def candidate(name: str, outcome: Measured, *, parameters: int = 1_000) -> Candidate:
    return Candidate(Fake(0.0, name, parameters=parameters), outcome)


@pytest.mark.parametrize(
    ("wrong", "parameters", "policy", "chosen"),
    [
        ((20, 80), (9, 1), DEFAULT_POLICY, 0),  # clearly better
        ((20, 21), (9, 1), DEFAULT_POLICY, 1),  # a quarter of a point, and cheaper
        ((20, 24), (9, 1), DEFAULT_POLICY, 0),  # a point
        ((20, 20), (9, 1), DEFAULT_POLICY, 1),
        ((20, 20), (1, 1), DEFAULT_POLICY, 0),  # the first of two that are equal
        ((20, 21), (9, 1), WITHOUT["among equals the cheapest is chosen"], 0),
    ],
)
def test_the_best_is_chosen_and_among_equals_the_cheapest(
    wrong: tuple[int, int], parameters: tuple[int, int], policy: Policy, chosen: int
) -> None:
    candidates = [
        candidate("a", measured(wrong[0]), parameters=parameters[0]),
        candidate("b", measured(wrong[1]), parameters=parameters[1]),
    ]
    assert choose(candidates, math.inf, policy) == chosen


def test_what_there_is_no_time_to_export_is_chosen_only_where_there_is_nothing_else() -> None:
    slow, quick = candidate("slow", measured(10, export_s=30.0)), candidate("quick", measured(100))
    assert choose([slow, quick], 30.0, DEFAULT_POLICY) == 0
    assert choose([slow, quick], 29.0, DEFAULT_POLICY) == 1
    assert choose([slow], 29.0, DEFAULT_POLICY) == 0
    against = against_chosen([slow, quick], 1)
    assert "No time was left for the final training of slow on slow_net (-22.5 [" in verdict_text(
        against, 1, 29.0
    )


def test_a_part_of_the_images_is_compared_with_the_same_part() -> None:
    whole, part = measured(80), measured(60, covered=200)
    # On its 200 images the first has 80 wrong, and none on the others.
    assert expected_accuracies({3: whole, 7: part}) == {3: 0.8, 7: pytest.approx(0.9)}
    assert expected_accuracies({}) == {}


def test_candidates_without_predictions_have_no_difference_and_are_never_chosen() -> None:
    skipped = Candidate(Fake(0.0, "late"), Skipped("no time"))
    done = candidate("done", measured(10))
    assert choose([skipped, done], math.inf, DEFAULT_POLICY) == 1
    assert [c.ahead for c in against_chosen([skipped, done], 1)] == [None, None]
    with pytest.raises(ValueError, match="has no predictions"):
        candidate_difference(done, skipped)


def test_what_failed_in_the_end_is_still_compared_and_written() -> None:
    outcome = measured(20, export_s=5.0)
    failed = Candidate(Fake(0.0, "failed"), Failed("the power went", 1.0, outcome))
    other = candidate("other", measured(40))
    (entry, _) = against_chosen([failed, other], 1)
    assert entry.ahead is not None
    assert entry.ahead.value == pytest.approx(-0.05)
    assert (entry.status, entry.accuracy, entry.training) == ("failed", None, None)
    assert entry.to_dict()["images_predicted"] == N
    assert entry.to_dict()["predicted_seconds"] == 6.0
    assert "Not finished: failed on failed_net (the power went)." in verdict_text(
        [entry, other], 1, 0.0
    )


def test_flattered_candidates_are_named() -> None:
    flattered = candidate("a", replace(measured(10), flattering=1_200))
    text = verdict_text([flattered], 0, math.inf)
    assert text.endswith(
        "a on a_net is flattered: its backbone had been trained on 1,200 of the images before, "
        "labels included."
    )
