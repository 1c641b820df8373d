"""Who gets time next: states that are written down, and the move that follows from each."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from regraft.approaches.base import Cost, further_epochs
from regraft.racing.policy import DEFAULT_POLICY, WITHOUT, Policy
from regraft.racing.rules import (
    most_final_epochs,
    next_move,
    no_time_for_frozen,
    timing_order,
)
from regraft.racing.state import (
    Entrant,
    FirstFold,
    Move,
    NextFold,
    Out,
    Skip,
    Stage,
    State,
    Stop,
    Time,
    Timed,
    Trained,
    Waiting,
)

EXPORT_S = 5.0


def cost(epochs: int = 10, *, epoch_s: float = 1.0) -> Cost:
    """An epoch of a fold takes as long as one of the final training."""
    fit = EXPORT_S + further_epochs(epochs) * epoch_s
    return Cost(epochs, 0.0, epochs * epoch_s, fit, epoch_s, epoch_s)


def entrant(stage: Stage, **options) -> Entrant:
    return Entrant("net", 3, 10, stage=stage, **options)


def trained(expected: float, **options) -> Trained:
    return Trained(expected, expected, cost(), **options)


def state(*entrants: Entrant, left_s: float = 1_000.0, **options) -> State:
    return State(entrants, left_s=left_s, budget_s=options.pop("budget_s", 1_000.0), **options)


TIMED = Timed(cost())
HEAVY = {"work": 2e11}


# --- timing


@pytest.mark.parametrize(
    ("waiting", "options", "move"),
    [
        (Waiting(), {}, Time(0)),
        (Waiting(), {"left_s": 0.0}, Skip(0, "the time budget was used up")),
        (Waiting(is_recalled=True), {"left_s": -5.0, "timing_s": 900.0}, Time(0)),
        (Waiting(), {"timing_s": 100.0}, Time(0)),
        (
            Waiting(),
            {"timing_s": 100.1},
            Skip(
                0,
                "timing the cheaper ones took 100.1 s, more than the 100.0 s that are 10% of the "
                "budget",
            ),
        ),
        (Waiting(pass_s=60.0), {"left_s": 90.0}, Time(0)),
        (
            Waiting(pass_s=60.0),
            {"left_s": 89.5},
            Skip(
                0,
                "one pass of all photos through net would need about 60 s, and training it more "
                "than 90 s; 89 s of the budget were left",
            ),
        ),
        (Waiting(pass_s=1e9), {"left_s": math.inf, "budget_s": math.inf}, Time(0)),
    ],
)
def test_what_is_timed(waiting: Waiting, options: dict[str, float], move: Move) -> None:
    assert next_move(state(entrant(waiting, **HEAVY), **options)) == move


def test_a_light_network_is_timed_however_long_a_pass_takes() -> None:
    assert next_move(state(entrant(Waiting(pass_s=1e9)))) == Time(0)


def test_light_networks_are_timed_first_and_few_stages_before_many() -> None:
    entrants = [
        entrant(Waiting(), **HEAVY),
        entrant(Waiting(), is_baseline=True, **HEAVY),
        entrant(Waiting(), last_stages=4, **HEAVY),
        entrant(Waiting(), last_stages=2, **HEAVY),
        entrant(Waiting()),
    ]
    assert timing_order(entrants, DEFAULT_POLICY) == [4, 3, 2, 1, 0]
    assert next_move(state(*entrants)) == Time(4)
    assert next_move(state(*entrants[:4], entrant(TIMED))) == Time(3), "all are timed before one"


# --- the first fold


@pytest.mark.parametrize(
    ("left_s", "epochs"), [(1_000, 10), (math.inf, 10), (23.1, 10), (22.9, 9), (10, 3)]
)
def test_a_candidate_gets_the_epochs_that_fit_with_its_final_training(
    left_s: float, epochs: int
) -> None:
    move = next_move(state(entrant(TIMED), left_s=left_s))
    assert move == FirstFold(0, epochs, 1.15 * EXPORT_S)


def test_a_candidate_without_an_epoch_in_time_is_skipped_with_what_it_needs() -> None:
    assert next_move(state(entrant(TIMED), left_s=6.0)) == Skip(
        0, "would need about 7 s (1 epoch on one fold); 6 s of the budget were left"
    )
    assert next_move(state(entrant(TIMED), left_s=0.0)) == Skip(0, "the time budget was used up")


def test_what_waits_has_its_share_and_what_has_ended_none() -> None:
    both = state(entrant(TIMED), entrant(TIMED), left_s=26.0)
    assert next_move(both) == FirstFold(0, 7, 1.15 * EXPORT_S)
    assert next_move(state(entrant(TIMED), entrant(Out()), left_s=26.0)) == FirstFold(
        0, 10, 1.15 * EXPORT_S
    )


def test_time_is_kept_for_the_final_training_of_what_may_still_be_chosen() -> None:
    long = replace(trained(0.9), cost=replace(cost(), fit=100.0))
    kept = 1.15 * 100.0
    assert next_move(state(entrant(long), entrant(TIMED))) == FirstFold(1, 10, kept)
    behind = state(entrant(long), entrant(TIMED), frozen_accuracy=0.95)
    assert next_move(behind) == FirstFold(1, 10, 1.15 * EXPORT_S)


def test_the_baseline_has_its_share_and_more_only_where_nobody_waits() -> None:
    slow = entrant(Timed(cost(epoch_s=20.0)), is_baseline=True)
    assert next_move(state(slow)) == FirstFold(0, 6, 1.15 * EXPORT_S)  # 138 s with the margin
    too_slow = entrant(Timed(cost(epoch_s=100.0)), is_baseline=True)
    assert next_move(state(too_slow)) == FirstFold(0, 3, 1.15 * EXPORT_S)
    assert next_move(state(too_slow, entrant(TIMED))) == Skip(
        0,
        "would need about 345 s (3 epochs on one fold, more than its share while other candidates "
        "wait); 150 s of the budget were left",
    )


# --- further folds


@pytest.mark.parametrize(
    ("entrants", "options", "move"),
    [
        ([trained(0.9), trained(0.95)], {}, NextFold(1)),
        ([trained(0.9), trained(0.95)], {"left_s": 1.15 * 20.0}, NextFold(1)),
        ([trained(0.9), trained(0.95)], {"left_s": 1.15 * 19.9}, Stop()),
        ([trained(0.9), trained(0.91, folds_done=5)], {}, NextFold(0)),
        ([trained(0.9), trained(0.93, folds_done=5)], {}, Stop()),
        ([trained(0.9), trained(0.95, is_broken=True)], {}, Stop()),
        ([trained(0.94), trained(0.95, is_broken=True)], {}, NextFold(0)),
        ([trained(0.9)], {"frozen_expected": 0.95}, Stop()),
        ([trained(0.9)], {"images": 1_000}, NextFold(0)),
        ([trained(0.9)], {"images": 1_000, "has_test": True}, Stop()),
        ([trained(0.9)], {"images": 999, "has_test": True}, NextFold(0)),
        ([trained(0.9), Out()], {"left_s": math.inf}, NextFold(0)),
        ([Out()], {}, Stop()),
        ([], {}, Stop()),
    ],
)
def test_who_gets_a_further_fold(entrants: list[Stage], options, move: Move) -> None:
    assert next_move(state(*map(entrant, entrants), **options)) == move


def test_the_baseline_gets_no_further_fold() -> None:
    assert next_move(state(entrant(trained(0.99), is_baseline=True))) == Stop()


# --- the final training


@pytest.mark.parametrize(("epochs", "most"), [(10, 5), (4, 11), (12, 6)])
def test_the_final_training_makes_up_for_what_the_folds_lacked(epochs: int, most: int) -> None:
    assert most_final_epochs(cost(epochs), 10) == most


# --- frozen features

RESERVED = "the 40 s that were left are reserved for candidates that train a network"


@pytest.mark.parametrize(
    ("needed_s", "left_s", "share_s", "reason"),
    [
        (30.0, 60.0, 30.0, ""),
        (60.0, 60.0, math.inf, ""),
        (1e9, math.inf, math.inf, ""),
        (1.0, 0.0, math.inf, "the time budget was used up"),
        (
            1.0,
            40.5,
            0.0,
            RESERVED,
        ),
        (
            1.0,
            40.5,
            -9.0,
            RESERVED,
        ),
        (
            31.0,
            60.0,
            30.0,
            "would need about 31 s (for features of net); 60 s of the budget were left, 30 s of "
            "them reserved for candidates that train a network",
        ),
    ],
)
def test_when_a_frozen_network_is_left_out(
    needed_s: float, left_s: float, share_s: float, reason: str
) -> None:
    assert no_time_for_frozen("net", needed_s, left_s=left_s, share_s=share_s) == reason


# --- rules that are off

_OFF = {
    "at most 10 % for timing": (
        state(entrant(Waiting()), timing_s=500.0),
        Time(0),
    ),
    "at most 15 % for training from scratch": (
        state(entrant(Timed(cost(epoch_s=20.0)), is_baseline=True), entrant(TIMED)),
        FirstFold(0, 10, 1.15 * EXPORT_S),
    ),
    "a margin on predicted seconds": (
        state(entrant(TIMED), left_s=20.0),
        FirstFold(0, 10, EXPORT_S),
    ),
    "expensive networks are timed last": (
        state(entrant(Waiting(), last_stages=2, **HEAVY), entrant(Waiting(), last_stages=4)),
        Time(0),
    ),
    "what one pass rules out is not timed": (
        state(entrant(Waiting(pass_s=1e6), **HEAVY)),
        Time(0),
    ),
    "one fold is enough from 1,000 images": (
        state(entrant(trained(0.9)), images=1_000, has_test=True),
        NextFold(0),
    ),
    "only contenders get further time": (
        state(entrant(trained(0.9)), frozen_expected=0.99),
        NextFold(0),
    ),
}
# These have no part in a move; see `test_verdict.py`, `test_comparison.py`.
_ELSEWHERE = {
    "at most 40 % for frozen networks",
    "among equals the cheapest is chosen",
}


@pytest.mark.parametrize("rule", _OFF)
def test_each_rule_can_be_switched_off(rule: str) -> None:
    written, move = _OFF[rule]
    assert next_move(written, WITHOUT[rule]) == move
    assert next_move(written) != move


def test_every_rule_is_tried_without() -> None:
    assert set(WITHOUT) == set(_OFF) | _ELSEWHERE
    assert all(policy != DEFAULT_POLICY for policy in WITHOUT.values())


def test_no_state_repeats_a_move_for_ever() -> None:
    """A candidate that is timed, trained and given folds until nothing is left."""
    stages: list[Stage] = [Waiting(), Waiting()]
    moves: list[Move] = []
    while not isinstance(move := next_move(state(*map(entrant, stages)), Policy()), Stop):
        moves.append(move)
        i = move.entrant
        stage = stages[i]
        if isinstance(move, Time):
            stages[i] = TIMED
        elif isinstance(move, FirstFold):
            stages[i] = trained(0.9)
        elif isinstance(move, NextFold) and isinstance(stage, Trained):
            stages[i] = replace(stage, folds_done=stage.folds_done + 1)
    assert len(moves) == 2 * (1 + 5)
