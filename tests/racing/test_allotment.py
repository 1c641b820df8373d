"""How the time that is left is divided among what trains."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from regraft.approaches.base import Cost, further_epochs
from regraft.racing.allotment import (
    Allotment,
    Contender,
    Demand,
    Shortfall,
    allot,
    baseline_shortfall,
    contender_shortfall,
)

EXPORT_S = 5.0
MARGIN = 1.15


def contender(
    epoch_s: float, *, planned: int = 12, fewest: int = 3, once: float = 0.0
) -> Contender:
    fit = EXPORT_S + further_epochs(planned) * epoch_s
    cost = Cost(planned, once, planned * epoch_s, fit, epoch_s, epoch_s)
    return Contender(cost, min(fewest, planned), planned)


def demand(
    contenders: list[Contender],
    baseline: Contender | None,
    seconds: float,
    *,
    baseline_s: float,
    refit_s: float = 0.0,
) -> Demand:
    return Demand(contenders, baseline, seconds, baseline_s, refit_s, MARGIN)


def divided(*wanted: Any, **options: float) -> Allotment:
    return allot(demand(*wanted, **options))


def needed(some: list[Contender], epochs: tuple[int, ...], refit_s: float = 0.0) -> float:
    trained = [(c, e) for c, e in zip(some, epochs, strict=True) if e]
    final = max([refit_s, *(c.final(e) for c, e in trained)])
    return MARGIN * (sum(c.on_a_fold(e) for c, e in trained) + final)


some_contenders = st.lists(
    st.builds(
        contender,
        st.floats(0.1, 60.0),
        planned=st.integers(1, 40),
        fewest=st.integers(1, 6),
        once=st.floats(0.0, 100.0),
    ),
    max_size=5,
)


@given(
    some=some_contenders,
    baseline=st.none() | st.builds(contender, st.floats(0.1, 20.0), planned=st.just(40)),
    seconds=st.floats(0.0, 3_000.0),
    refit_s=st.sampled_from([0.0, 30.0, 200.0]),
)
def test_never_more_than_there_is_and_never_outside_the_bounds(
    some: list[Contender], baseline: Contender | None, seconds: float, refit_s: float
) -> None:
    found = divided(some, baseline, seconds, baseline_s=0.15 * seconds, refit_s=refit_s)
    assert len(found.contenders) == len(some)
    for one, epochs in zip(some, found.contenders, strict=True):
        fewest = 1 if sum(map(bool, found.contenders)) == 1 else one.fewest
        assert epochs == 0 or fewest <= epochs <= one.planned
    if baseline is None:
        assert found.baseline == 0
    for_baseline = 0.0
    if found.baseline and baseline:
        assert baseline.fewest <= found.baseline <= baseline.planned
        for_baseline = MARGIN * baseline.on_a_fold(found.baseline)
    total = needed(some, found.contenders, refit_s) + for_baseline
    lone = sum(map(bool, found.contenders)) == 1 and not refit_s
    if lone and total > seconds:  # it goes without its final training
        total = MARGIN * some[0].without_final(found.contenders[0]) + for_baseline
    if any(found.contenders) or found.baseline:
        assert total <= seconds + 1e-9


@given(some=some_contenders, seconds=st.floats(0.0, 3_000.0), more=st.floats(0.0, 500.0))
def test_more_time_never_leaves_all_untrained(
    some: list[Contender], seconds: float, more: float
) -> None:
    if any(divided(some, None, seconds, baseline_s=0.0).contenders):
        assert any(divided(some, None, seconds + more, baseline_s=0.0).contenders)
    alone = some[:1]
    if any(divided(alone, None, seconds, baseline_s=0.0).contenders):
        assert divided(alone, None, seconds + more, baseline_s=0.0).contenders[0]


def test_without_a_limit_all_get_what_they_plan() -> None:
    found = divided(
        [contender(1.0), contender(9.0, planned=4)],
        contender(1.0),
        math.inf,
        baseline_s=0,
    )
    assert (found.contenders, found.baseline) == ((12, 4), 12)


def test_a_dear_one_gets_the_same_share_of_its_epochs_as_a_cheap_one() -> None:
    cheap, dear = contender(40.0), contender(100.0)
    found = divided([cheap, dear], None, 1_100.0, baseline_s=0.0)
    assert found.contenders == (5, 4)
    assert needed([cheap, dear], (5, 5)) > 1_100


def test_training_from_scratch_has_its_share_before_others_get_more_epochs() -> None:
    scratch = contender(10.0, planned=40, fewest=5)
    found = divided([contender(40.0), contender(100.0)], scratch, 1_100.0, baseline_s=165.0)
    assert found.baseline == 14  # 140 s and a margin
    assert min(found.contenders) >= 3


def test_training_from_scratch_comes_before_a_second_contender() -> None:
    scratch = contender(10.0, planned=40, fewest=5)
    found = divided([contender(10.0), contender(100.0)], scratch, 200.0, baseline_s=60.0)
    assert found.contenders[0] >= 3
    assert found.contenders[1] == 0
    assert found.baseline == 5


@pytest.mark.parametrize(
    ("seconds", "first", "baseline"),
    [(17.2, 0, 0), (17.3, 1, 0), (39.9, 2, 0), (40.3, 3, 0), (63.3, 3, 0), (81, 4, 0), (120, 5, 5)],
)
def test_with_little_time_the_first_goes_before_the_baseline(
    seconds: float, first: int, baseline: int
) -> None:
    # Three epochs and the export take 35 s, the final training 20 s, the baseline 15 s.
    scratch = contender(3.0, planned=40, fewest=5)
    found = divided([contender(10.0)], scratch, seconds, baseline_s=0.15 * seconds)
    assert (found.contenders[0], found.baseline) == (first, baseline)


def test_a_baseline_beyond_its_share_keeps_nobody_from_training() -> None:
    dear = contender(100.0, planned=40, fewest=5)
    found = divided([contender(10.0)], dear, 900.0, baseline_s=135.0)
    assert found.baseline == 0
    assert found.contenders == (12,)
    assert divided([], dear, 900.0, baseline_s=135.0).baseline == 5  # once nobody else is left


def test_one_that_is_too_dear_does_not_keep_later_ones_out() -> None:
    found = divided(
        [contender(5.0), contender(500.0), contender(6.0)],
        None,
        200.0,
        baseline_s=0.0,
    )
    assert found.contenders[1] == 0
    assert min(found.contenders[0], found.contenders[2]) >= 3


def test_nothing_to_divide() -> None:
    assert divided([], None, 100.0, baseline_s=15.0).contenders == ()
    assert divided([], contender(1.0, planned=40, fewest=5), 100.0, baseline_s=15.0).baseline == 13


@given(
    some=some_contenders,
    baseline=st.none() | st.builds(contender, st.floats(0.1, 20.0), planned=st.just(40)),
    seconds=st.floats(0.0, 3_000.0),
    refit_s=st.sampled_from([0.0, 30.0, 200.0]),
    is_baseline=st.booleans(),
)
def test_a_reason_never_contradicts_itself(
    some: list[Contender],
    baseline: Contender | None,
    seconds: float,
    refit_s: float,
    is_baseline: bool,
) -> None:
    wanted = demand(some, baseline, seconds, baseline_s=0.15 * seconds, refit_s=refit_s)
    found = allot(wanted)
    got = found.baseline if is_baseline else found.contenders[0] if some else 1
    assume(got == 0 and (baseline is not None or not is_baseline))
    if is_baseline and baseline:
        missing = baseline_shortfall(wanted, baseline, found)
    else:
        missing = contender_shortfall(wanted, found)
    free = missing.left_s - sum(s for s, _ in missing.reserved)
    assert missing.needed_s > free - 1e-9
    needed, left, *reserved = map(int, re.findall(r"(\d+) s", missing.text))
    assert needed > left - sum(reserved)
    assert missing.text.count("reserved for") == len(reserved)


def test_a_reason_names_all_that_is_reserved() -> None:
    missing = Shortfall(
        59.2, "3 epochs on one fold", 190.9, ((131.1, "the final training"), (0.0, "nothing"))
    )
    assert missing.text == (
        "would need about 60 s (3 epochs on one fold); 190 s of the budget were left, "
        "132 s of them reserved for the final training"
    )
