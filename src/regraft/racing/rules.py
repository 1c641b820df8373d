"""A state of the race in, the next move out: which candidate gets time, and for what.

Nothing here reads a clock: `runner.py` makes the states and does what it is told. Candidates are
timed first, cheap ones before dear ones; then each is trained on the first fold, in the order in
which they were given; then contenders get further folds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from regraft.approaches.base import Cost, further_epochs
from regraft.racing.allotment import (
    Demand,
    Shortfall,
    allot,
    baseline_shortfall,
    contender_shortfall,
)
from regraft.racing.policy import DEFAULT_POLICY, Policy
from regraft.racing.state import (
    Entrant,
    FirstFold,
    Move,
    NextFold,
    Skip,
    State,
    Stop,
    Time,
    Timed,
    Waiting,
)

_USED_UP = "the time budget was used up"
_TRAINING = "candidates that train a network"


def next_move(state: State, policy: Policy = DEFAULT_POLICY) -> Move:
    """What to do now; made again from what is left after each move."""
    for i in timing_order(state.entrants, policy):
        stage = state.entrants[i].stage
        if isinstance(stage, Waiting):
            reason = "" if stage.is_recalled else _not_timed(state, i, stage, policy)
            return Skip(i, reason) if reason else Time(i)
    for i, entrant in enumerate(state.entrants):
        if isinstance(entrant.stage, Timed):
            return _first_fold(state, i, entrant.stage, policy)
    return _next_fold(state, policy)


def timing_order(entrants: Sequence[Entrant], policy: Policy) -> list[int]:
    """Cheap networks before expensive ones, and of those the fewest stages first.

    The baseline trains a small network as a whole; what trains all of a large one comes last.
    """

    def dearness(i: int) -> tuple[bool, float]:
        entrant = entrants[i]
        parts = entrant.last_stages or (math.inf if not entrant.is_baseline else 1_000)
        return entrant.work >= policy.expensive_work, parts

    return sorted(range(len(entrants)), key=dearness)


def no_time_for_frozen(network: str, needed_s: float, *, left_s: float, share_s: float) -> str:
    """Why a frozen network, which needs some seconds, is not tried; "" if it is.

    `share_s` are what is left of the share of frozen networks; infinite where nothing is trained.
    """
    if math.isinf(left_s):
        return ""
    if left_s <= 0:
        return _USED_UP
    reserved_s = max(0.0, left_s - share_s)
    if left_s <= reserved_s:
        return f"the {math.floor(left_s)} s that were left are reserved for {_TRAINING}"
    if needed_s > left_s - reserved_s:
        reserved = ((reserved_s, _TRAINING),)
        return Shortfall(needed_s, f"for features of {network}", left_s, reserved).text
    return ""


def most_final_epochs(cost: Cost, wanted_epochs: int) -> int:
    """Of the final training: half of what was planned, and what the folds lacked."""
    lacking = max(0, wanted_epochs - cost.epochs)
    return further_epochs(max(wanted_epochs, cost.epochs)) + lacking


def _not_timed(state: State, i: int, stage: Waiting, policy: Policy) -> str:
    """Why an approach need not even be timed; "" if it may be worth it."""
    if state.left_s <= 0:
        return _USED_UP
    most_s = max(0.0, policy.timing_share * state.budget_s)
    if state.timing_s > most_s:
        return (
            f"timing the cheaper ones took {state.timing_s:.1f} s, more than the {most_s:.1f} s "
            f"that are {policy.timing_share:.0%} of the budget"
        )
    entrant = state.entrants[i]
    # Whatever is trained of an expensive network, everything passes through it at least once, and
    # what is trained of it again for the model.
    needed_s = policy.fewest_passes * (stage.pass_s or 0.0)
    if entrant.work < policy.expensive_work or stage.pass_s is None or needed_s <= state.left_s:
        return ""
    return (
        f"one pass of all {state.inputs} through {entrant.network} would need about "
        f"{math.ceil(stage.pass_s)} s, and training it more than {math.ceil(needed_s)} s; "
        f"{math.floor(state.left_s)} s of the budget were left"
    )


def _first_fold(state: State, i: int, stage: Timed, policy: Policy) -> Move:
    """As many epochs as there is time for, divided among all that wait."""
    if state.left_s <= 0:
        return Skip(i, _USED_UP)
    waiting = [(e.is_baseline, c) for e in state.entrants[i:] if (c := e.contender) is not None]
    demand = Demand(
        contenders=[contender for is_baseline, contender in waiting if not is_baseline],
        baseline=next((contender for is_baseline, contender in waiting if is_baseline), None),
        left_s=state.left_s,
        baseline_s=policy.baseline_share * state.budget_s,
        final_s=_final_training_s(state, policy),
        margin=policy.margin,
    )
    given = allot(demand)
    is_baseline, first = waiting[0]
    epochs = given.baseline if is_baseline else given.contenders[0]
    if epochs:
        reserve_s = policy.margin * max(stage.cost.at(epochs).export, demand.final_s)
        return FirstFold(i, epochs, reserve_s)
    missing = (
        baseline_shortfall(demand, first, given)
        if is_baseline
        else contender_shortfall(demand, given)
    )
    return Skip(i, missing.text)


def _final_training_s(state: State, policy: Policy) -> float:
    """Seconds of the longest final training of what was trained and may still be chosen."""
    results = state.results.values()
    best = max([state.frozen_accuracy, *(r.accuracy for r in results)])
    in_reach = [r.cost.fit for r in results if r.accuracy >= best - policy.contender_gap]
    return max(in_reach, default=0.0)


def _next_fold(state: State, policy: Policy) -> NextFold | Stop:
    """One more fold for the best contender that has one left and fits.

    Contenders are close to the leader; the baseline is none, but a measure.
    """
    if state.has_test and state.images >= policy.one_fold_from:
        return Stop()
    results = state.results
    final_s = max((result.cost.fit for result in results.values()), default=0.0)
    for i in sorted(results, key=lambda i: (-results[i].expected, i)):
        result = results[i]
        is_close = result.expected >= state.best_expected - policy.contender_gap
        is_contender = is_close and not result.is_broken and not state.entrants[i].is_baseline
        fits = policy.margin * (result.cost.fold + final_s) <= state.left_s
        if is_contender and fits and result.folds_done < state.folds:
            return NextFold(i)
    return Stop()
