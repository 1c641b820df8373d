"""The comparison: same folds for all, a fair verdict, and a budget that is kept."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from regraft.approaches.base import further_epochs
from regraft.dataset import Dataset
from regraft.errors import DataError, OutOfTimeError, TrainingError
from regraft.evidence.evaluation import evaluate_probabilities
from regraft.racing import choose_again, compare
from regraft.racing.policy import WITHOUT
from tests.fakes import BASE, EXPORT_S, Clock, Fake, FakeTrained, many_rows, raced

FOLD_S = 10.0  # of a FakeTrained, and as long for its final training


@pytest.fixture
def data() -> Dataset:
    return many_rows()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_all_candidates_get_the_same_folds_of_training_rows(data: Dataset) -> None:
    fakes = [Fake(0.9), Fake(0.8), Fake(0.7)]
    found = compare(fakes, data, seed=4)
    assert (found.folds, found.repeats) == (5, 3)
    for fake in fakes:
        (folds,) = fake.folds
        assert folds.shape == (3, 300)  # the test row is not among them
        assert np.array_equal(folds, fakes[0].folds[0])


def test_the_best_wins_and_the_verdict_says_by_how_much(data: Dataset) -> None:
    found = compare([Fake(0.7, "poor"), Fake(0.95, "good")], data)
    assert found.best.name == "good"
    assert found.chosen == 1
    gap = found.candidates[0].ahead
    assert gap is not None
    assert 0.15 < gap.value < 0.35
    assert gap.low > 0
    assert "Chosen: good on good_net" in found.verdict
    assert "It is ahead of poor on poor_net (+" in found.verdict
    assert found.winner.ahead is None


def test_what_cannot_be_told_apart_is_said_and_the_cheaper_one_taken(data: Dataset) -> None:
    dear, cheap = Fake(0.9, "dear", parameters=9_000), Fake(0.9, "cheap", parameters=10)
    found = compare([dear, cheap], data)  # the same seed: the same images right
    assert found.best.name == "cheap"
    assert "It cannot be told apart from dear on dear_net (+0.0" in found.verdict


def test_clearly_better_beats_cheaper(data: Dataset) -> None:
    dear, cheap = Fake(0.97, "dear", parameters=9_000), Fake(0.8, "cheap", parameters=10)
    assert compare([dear, cheap], data).best.name == "dear"


def test_a_candidate_that_fails_is_recorded_and_the_others_go_on(data: Dataset) -> None:
    found = compare([Fake(0.9, "broken", fails="no weights"), Fake(0.8, "fine")], data)
    assert found.best.name == "fine"
    assert (found.candidates[0].status, found.candidates[0].reason) == ("failed", "no weights")
    assert "Not finished: broken on broken_net (no weights)." in found.verdict
    entry = found.to_dict()["candidates"][0]
    assert entry["accuracy"] is None
    assert entry["fold_scores"] == []


def test_when_all_fail_the_reasons_are_given(data: Dataset) -> None:
    with pytest.raises(DataError, match=r"no candidate could be finished \(x on x_net: why\)"):
        compare([Fake(0.9, "x", fails="why")], data)
    with pytest.raises(DataError, match="nothing to compare"):
        compare([], data)


def test_a_used_up_budget_skips_what_is_left_but_never_the_first(data: Dataset) -> None:
    found = compare([Fake(0.8, "first", takes_s=0.05), Fake(0.9, "late")], data, budget_s=0.01)
    assert found.best.name == "first"
    assert found.candidates[1].status == "skipped"
    assert "the time budget was used up" in found.candidates[1].reason


def test_what_would_not_fit_is_not_begun(data: Dataset) -> None:
    from regraft.backbones.backbone import remember_speed

    remember_speed(BASE, 1.0)  # one image a second: 300 images need 300 s
    slow = Fake(0.9, "slow", parameters=BASE.parameters)
    found = compare([Fake(0.8, "first"), slow], data, budget_s=60)
    assert slow.folds == []
    assert found.candidates[1].reason.startswith(
        "would need about 300 s (for features of slow_net); "
    )


def test_json_holds_every_candidate(data: Dataset) -> None:
    entry = compare([Fake(0.9, "a"), Fake(0.8, "b")], data).to_dict()
    assert entry.keys() >= {"candidates", "chosen", "verdict"}
    for candidate in entry["candidates"]:
        assert candidate.keys() >= {
            "approach",
            "backbone",
            "settings",
            "fold_scores",
            "accuracy",
            "seconds",
            "status",
            "reason",
        }
        assert len(candidate["fold_scores"]) == 15


# --- candidates that train a network


def test_a_short_budget_is_enough_for_the_first_fold_only(data: Dataset, clock: Clock) -> None:
    tuned = FakeTrained(0.95, clock)
    found = raced([Fake(0.7, "probe"), tuned], data, budget_s=24)
    assert tuned.calls == [(0,)]
    assert found.best.name == "fake_tune"
    result = found.winner.cross_validation
    assert result is not None
    assert result.folds_done == 1
    assert result.covered.sum() == 60
    assert len(result.fold_scores) == 1
    assert "on 1 of 5 folds" in found.verdict
    entry = found.to_dict()["candidates"][1]
    assert (entry["folds_done"], entry["images_predicted"]) == (1, 60)
    assert entry["predicted_seconds"] == entry["seconds"] == FOLD_S
    assert entry["settings"]["epochs"] == 10


def test_a_long_budget_is_spent_on_all_folds_of_the_leader(data: Dataset, clock: Clock) -> None:
    leader, other = FakeTrained(0.95, clock, "leader"), FakeTrained(0.8, clock, "other")
    found = raced([Fake(0.7, "probe"), other, leader], data, budget_s=1_000)
    assert leader.calls == [(0,), (1,), (2,), (3,), (4,)]
    assert other.calls == [(0,)]
    assert found.best.name == "leader"
    assert found.winner.cross_validation is not None
    assert found.winner.cross_validation.covered.all()
    assert "of 5 folds" not in found.verdict
    assert len(found.to_dict()["candidates"][2]["fold_scores"]) == 5
    assert found.winner.seconds == found.winner.measured.predicted_seconds == 5 * FOLD_S
    assert clock.now == 1_000 + 6 * FOLD_S


def test_without_a_budget_every_contender_gets_every_fold(data: Dataset, clock: Clock) -> None:
    first, second = FakeTrained(0.9, clock, "a"), FakeTrained(0.9, clock, "b")
    raced([first, second], data)
    assert sorted(first.calls) == sorted(second.calls) == [(i,) for i in range(5)]


@pytest.mark.parametrize(("budget_s", "epochs"), [(60, 10), (16, 8), (12, 6), (7, 3), (5, 3)])
def test_epochs_are_cut_to_the_budget(
    data: Dataset, clock: Clock, budget_s: float, epochs: int
) -> None:
    tuned = FakeTrained(0.95, clock)  # e epochs take e seconds, the final training a third
    found = raced([Fake(0.7, "probe"), tuned], data, budget_s=budget_s)
    assert tuned.reported[0] == epochs
    assert found.candidates[1].training is not None
    assert found.candidates[1].training.cost.epochs == epochs
    assert found.best.settings["epochs"] == epochs
    needed = epochs + EXPORT_S
    if budget_s > 5:  # else the network of the fold has to do
        needed += further_epochs(epochs)
    assert 1.15 * needed <= budget_s


def test_too_short_for_the_fewest_epochs_is_skipped_and_says_what_it_needs(
    data: Dataset, clock: Clock
) -> None:
    tuned, scratch = FakeTrained(0.95, clock), _scratch(0.9, clock)
    found = raced([Fake(0.7, "probe"), tuned, scratch], data, budget_s=2)
    assert tuned.calls == scratch.calls == []
    assert [c.status for c in found.candidates] == ["done", "skipped", "skipped"]
    assert found.candidates[1].reason == (
        "would need about 3 s (1 epoch on one fold); 2 s of the budget were left"
    )
    assert found.candidates[2].reason == (
        "would need about 4 s (3 epochs on one fold); 2 s of the budget were left"
    )
    assert "Not finished: fake_tune on fake_tune_net, last 2 stages (would need" in found.verdict


def test_where_nothing_else_fits_a_single_epoch_has_to_do(data: Dataset, clock: Clock) -> None:
    tuned = FakeTrained(0.95, clock)
    found = raced([Fake(0.7, "probe"), tuned], data, budget_s=3)
    assert tuned.reported == [1]
    assert found.best.settings["epochs"] == 1


def test_on_a_busy_machine_the_dear_ones_are_not_timed(data: Dataset, clock: Clock) -> None:
    dear, cheap = (
        FakeTrained(0.9, clock, name, train=train, cost_takes_s=12)
        for name, train in (("dear", "all"), ("cheap", "last_2_stages"))
    )
    found = raced([Fake(0.7, "probe"), dear, cheap], data, budget_s=100)
    assert [c.status for c in found.candidates] == ["done", "skipped", "done"]
    assert found.candidates[1].reason == (
        "timing the cheaper ones took 12.0 s, more than the 10.0 s that are 10% of the budget"
    )
    assert dear.calls == []


def test_frozen_networks_leave_time_for_what_trains(data: Dataset, clock: Clock) -> None:
    class Slow(Fake):
        def cross_validate(self, *args, **options):
            clock.now += 30
            return super().cross_validate(*args, **options)

    frozen = [Slow(0.7, name) for name in ("first", "second", "third")]
    found = raced([*frozen, FakeTrained(0.95, clock)], data, budget_s=100)
    assert [c.status for c in found.candidates] == ["done", "done", "skipped", "done"]
    assert found.candidates[2].reason == (
        "the 40 s that were left are reserved for candidates that train a network"
    )
    off = WITHOUT["at most 40 % for frozen networks"]
    unfair = raced([*frozen, FakeTrained(0.95, clock)], data, budget_s=100, policy=off)
    assert [c.status for c in unfair.candidates] == ["done"] * 4
    alone = raced(frozen, data, budget_s=100, clock=clock)
    assert [c.status for c in alone.candidates] == ["done"] * 3


def test_the_share_of_frozen_networks_is_for_further_ones(data: Dataset, clock: Clock) -> None:
    class Seen(Fake):
        """Photos seen in some way, by one network; 30 s each."""

        @property
        def settings(self) -> dict[str, Any]:
            return {"views": 1, "seed": self.seed}

        def cross_validate(self, *args, **options):
            clock.now += 30
            return super().cross_validate(*args, **options)

    ways = [Seen(0.7, "probe", seed=seed) for seed in range(4)]
    found = raced([*ways, FakeTrained(0.95, clock)], data, budget_s=100)
    assert [c.status for c in found.candidates] == ["done", "done", "done", "skipped", "done"]
    # It is taken to need as long as its like did, and 10 s are left.
    assert found.candidates[3].reason.startswith("would need about 30 s")
    other = [Seen(0.7, "probe"), Seen(0.7, "other", seed=1), Seen(0.7, "third", seed=2)]
    found = raced([*other, FakeTrained(0.95, clock)], data, budget_s=100)
    assert [c.status for c in found.candidates] == ["done", "done", "skipped", "done"]


def test_training_is_told_to_leave_time_for_what_follows(data: Dataset, clock: Clock) -> None:
    limits: list[float] = []

    class Noted(FakeTrained):
        def cross_validate(self, *args, **options):
            limits.append(options["limits"].stop_by - clock.now)
            return super().cross_validate(*args, **options)

    raced([Fake(0.7, "probe"), Noted(0.95, clock)], data, budget_s=100)
    assert limits[0] == pytest.approx(100 - 1.15 * EXPORT_S)


def test_fewer_epochs_than_the_fewest_may_be_asked_for(data: Dataset, clock: Clock) -> None:
    tuned = FakeTrained(0.95, clock, epochs=1)
    found = raced([Fake(0.7, "probe"), tuned], data, budget_s=3)
    assert tuned.reported == [1]
    assert found.best.settings["epochs"] == 1


def test_a_used_up_budget_leaves_networks_out(data: Dataset, clock: Clock) -> None:
    tuned = FakeTrained(0.95, clock)
    found = raced([Fake(0.7, "probe"), tuned], data, budget_s=-1)
    assert found.candidates[1].reason == "the time budget was used up"
    assert found.best.name == "probe"


@pytest.mark.parametrize("budget_s", [7, 9, 16, 25, 33, 40, 64, 100, 150, 400])
@pytest.mark.parametrize("epoch_fit_s", [1.0, 3.0])
def test_time_for_the_final_training_is_kept(
    data: Dataset, clock: Clock, budget_s: float, epoch_fit_s: float
) -> None:
    started = clock.now
    tuned = [
        FakeTrained(0.95, clock, name, epoch_fit_s=epoch_fit_s, seed=seed)
        for seed, name in enumerate(("first", "second"))
    ]
    found = raced(
        [Fake(0.7, "probe"), *tuned, _scratch(0.6, clock)], data, budget_s=budget_s, reserve_s=0.5
    )
    training = found.winner.training
    needed = 0.0 if training is None else training.cost.export
    assert clock.now + needed <= started + budget_s - 0.5
    if budget_s >= 16 * epoch_fit_s:
        assert training is not None, "there was time for one of them"


def test_the_time_is_divided_among_all_and_what_is_saved_goes_to_later_ones(
    data: Dataset, clock: Clock
) -> None:
    tuned = [FakeTrained(0.9, clock, name, seed=i) for i, name in enumerate("abc")]
    scratch = _scratch(0.6, clock)
    raced([Fake(0.7, "probe"), *tuned, scratch], data, budget_s=30)
    assert [one.reported[0] for one in (*tuned, scratch)] == [6, 6, 7, 3]


def test_what_is_far_behind_is_trained_to_its_end_and_gets_no_further_fold(
    data: Dataset, clock: Clock
) -> None:
    good, bad = FakeTrained(0.9, clock, "good"), FakeTrained(0.3, clock, "bad")
    found = raced([good, bad], data, budget_s=1_000)
    assert found.candidates[1].status == "done"
    assert (bad.calls, bad.reported) == ([(0,)], [10])
    assert "It is ahead of bad on bad_net, last 2 stages (+" in found.verdict


def test_training_from_scratch_gets_no_further_fold(data: Dataset, clock: Clock) -> None:
    scratch = _scratch(0.55, clock)
    found = raced([FakeTrained(0.9, clock), scratch], data, budget_s=1_000)
    assert scratch.reported == [10]
    assert found.candidates[1].status == "done"
    best = _scratch(0.99, clock)
    found = raced([FakeTrained(0.7, clock), best], data, budget_s=1_000)
    assert best.calls == [(0,)]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TrainingError("the loss came apart"), "failed"),
        (OutOfTimeError("the time budget ended before it was finished"), "skipped"),
    ],
)
def test_a_training_that_does_not_end_well_is_recorded(
    data: Dataset, clock: Clock, error: Exception, status: str
) -> None:
    broken = FakeTrained(0.9, clock, fails={0: error})
    found = raced([Fake(0.7, "probe"), broken], data, budget_s=100)
    assert (found.candidates[1].status, found.candidates[1].reason) == (status, str(error))
    assert found.best.name == "probe"
    with pytest.raises(DataError, match="no candidate could be finished"):
        raced([FakeTrained(0.9, clock, fails={0: error})], data)


def test_a_network_that_cannot_be_timed_is_recorded(data: Dataset, clock: Clock) -> None:
    odd = FakeTrained(0.9, clock, cost_fails="the architecture returned (2, 5)")
    found = raced([Fake(0.7, "probe"), odd], data)
    assert (found.candidates[1].status, odd.calls) == ("failed", [])
    assert "returned (2, 5)" in found.verdict


@pytest.mark.parametrize("budget_s", [None, 1_000.0])
def test_a_later_fold_that_fails_leaves_what_was_finished(
    data: Dataset, clock: Clock, budget_s: float | None
) -> None:
    tuned = FakeTrained(0.9, clock, fails={2: TrainingError("came apart")})
    found = raced([tuned], data, budget_s=budget_s)
    assert tuned.calls == [(0,), (1,), (2,)]
    assert found.candidates[0].status == "done"
    assert found.candidates[0].reason == "fold 3: came apart"
    assert "on 2 of 5 folds" in found.verdict
    assert found.to_dict()["candidates"][0]["predicted_seconds"] is None


def test_an_easy_fold_does_not_flatter(data: Dataset, clock: Clock) -> None:
    # All that is measured of `tuned` is a fold on which the probe is right on every image.
    probe, tuned = Fake(0.75, "probe", rates={0: 1.0}), FakeTrained(0.92, clock)
    found = raced([probe, tuned], data, budget_s=30)
    measured = [c.accuracy.value for c in found.candidates if c.accuracy is not None]
    assert measured[1] > measured[0]
    assert found.best.name == "probe"


def test_a_hard_fold_does_not_hide_what_is_better(data: Dataset, clock: Clock) -> None:
    probe, tuned = Fake(0.9, "probe", rates={0: 0.5}), FakeTrained(0.82, clock)
    found = raced([probe, tuned], data, budget_s=30)
    measured = [c.accuracy.value for c in found.candidates if c.accuracy is not None]
    assert measured[1] < measured[0]
    assert found.best.name == "fake_tune"


def test_a_winner_whose_final_training_no_longer_fits_is_not_chosen(
    data: Dataset, clock: Clock
) -> None:
    tuned = FakeTrained(0.97, clock, epoch_fit_s=2.0, slower=3.0)
    found = raced([Fake(0.7, "probe"), tuned], data, budget_s=30.5)
    assert found.candidates[1].status == "done"
    assert found.best.name == "probe"
    assert "No time was left for the final training of fake_tune" in found.verdict
    assert "cannot be told apart" not in found.verdict
    gap = found.candidates[1].ahead
    assert gap is not None
    assert gap.high < 0


def test_if_none_fits_the_best_is_chosen_all_the_same(data: Dataset, clock: Clock) -> None:
    tuned = FakeTrained(0.97, clock, epoch_fit_s=2.0, slower=3.0)
    assert raced([tuned], data, budget_s=30.5).best.name == "fake_tune"


def test_choosing_again_takes_the_best_on_frozen_features(data: Dataset, clock: Clock) -> None:
    tuned = [FakeTrained(0.98, clock, "best"), FakeTrained(0.95, clock, "second", seed=1)]
    candidates = [Fake(0.6, "poor"), Fake(0.8, "probe"), *tuned]
    found = raced(candidates, data, budget_s=1_000)
    assert found.best.name == "best"
    again = choose_again(found, "the power went")
    assert again is not None
    assert again.best.name == "probe"
    assert again.winner.ahead is None
    assert again.verdict.startswith("Chosen: probe on probe_net, cross-validated accuracy")
    assert "Not finished: best on best_net, last 2 stages (the power went)." in again.verdict
    assert "No time was left for the final training of second" in again.verdict
    assert "told apart" not in again.verdict
    assert (again.candidates[2].status, again.candidates[2].accuracy) == ("failed", None)
    assert [c.status for c in again.candidates if c is not again.candidates[2]] == ["done"] * 3
    assert again.candidates[0].ahead is not None
    assert again.candidates[0].ahead.value > 0
    assert found.best.name == "best", "the first comparison is left as it was"


def test_choosing_again_without_an_alternative(data: Dataset, clock: Clock) -> None:
    found = raced([FakeTrained(0.98, clock), FakeTrained(0.9, clock, "b")], data, budget_s=1_000)
    assert choose_again(found, "why") is None
    assert choose_again(raced([Fake(0.9)], data), "why") is None


class Jumping(Clock):
    """A clock that is set anew before one of its readings."""

    def __init__(self, reading: int, jump_s: float) -> None:
        super().__init__()
        self.reading, self.jump_s, self.readings = reading, jump_s, itertools.count()

    def monotonic(self) -> float:
        self.now += self.jump_s * (next(self.readings) == self.reading)
        return self.now


@pytest.mark.parametrize("jump_s", [1e6, -1e6])
@pytest.mark.parametrize("budget_s", [25.0, 100.0, None])
def test_a_clock_that_jumps_is_survived(
    data: Dataset, jump_s: float, budget_s: float | None
) -> None:
    for reading in range(0, 120, 6):
        clock = Jumping(reading, jump_s)
        tuned = FakeTrained(0.95, clock)
        found = raced([Fake(0.7, "probe"), tuned, _scratch(0.6, clock)], data, budget_s=budget_s)
        assert found.winner.status == "done"
        assert len(tuned.calls) <= 5
        assert found.verdict


def test_folds_that_were_not_predicted_are_not_evaluated(data: Dataset, clock: Clock) -> None:
    found = raced([FakeTrained(0.9, clock)], data, budget_s=24).winner.cross_validation
    assert found is not None
    evaluation = evaluate_probabilities(
        "cross-validation",
        labels=found.labels[found.covered],
        probabilities=found.probabilities[:, found.covered],
        classes=data.classes,
        groups=np.arange(int(found.covered.sum())),
    )
    assert evaluation.n == 60
    assert found.correct[0][~found.covered].size == 240
    assert np.isnan(found.correct[0][~found.covered]).all()


def test_json_of_networks_has_no_number_that_is_none(data: Dataset, clock: Clock) -> None:
    candidates = [
        Fake(0.7, "probe"),
        FakeTrained(0.9, clock),
        FakeTrained(0.3, clock, "behind"),
        FakeTrained(0.9, clock, "broken", fails={0: TrainingError("x")}),
        _scratch(0.6, clock),
    ]
    found = raced(candidates, data, budget_s=200)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert [c["status"] for c in json.loads(text)["candidates"]] == [
        *("done", "done", "done", "failed", "done")
    ]


def _scratch(rate: float, clock: Clock) -> FakeTrained:
    return FakeTrained(rate, clock, "scratch", "scratch", seed=3)
