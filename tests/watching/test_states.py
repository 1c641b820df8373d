"""From single predictions to states and events: what counts, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.errors import UsageError
from regraft.watching.states import UNKNOWN, Reading, Rules, Span, history_of

CLASSES = ("clean", "messy")
STEP = 600.0  # ten minutes


def readings(text: str, *, start: float = 0.0, step: float = STEP) -> list[Reading]:
    """c and m: surely clean or messy; C and M: barely; ?: not to be relied on; space: no photo."""
    surely = {"c": 0.98, "m": 0.02, "C": 0.55, "M": 0.45, "?": 0.9}
    found = []
    for i, letter in enumerate(text):
        if letter == " ":
            continue
        p = surely[letter]
        found.append(Reading(start + i * step, f"{i}.jpg", (p, 1 - p), letter != "?"))
    return found


def states(text: str, **rules: float) -> list[tuple[str, int, int]]:
    """State, first and last photo of each span."""
    found = history_of(readings(text), CLASSES, Rules(**rules))
    return [(s.state, round(s.start / STEP), round(s.end / STEP)) for s in found.spans]


def events(text: str, **rules: float) -> list[tuple[str, str, int, int]]:
    """State before and after, where it began and when it was known."""
    found = history_of(readings(text), CLASSES, Rules(**rules))
    return [
        (e.previous, e.state, round(e.at / STEP), round(e.known_at / STEP)) for e in found.events
    ]


def test_one_state_is_one_span() -> None:
    assert states("ccccc") == [("clean", 0, 4)]
    assert events("ccccc") == []


def test_a_change_begins_where_its_evidence_begins() -> None:
    assert events("mmmmmcccccc") == [("messy", "clean", 5, 7)]
    assert states("mmmmmcccccc") == [("messy", 0, 5), ("clean", 5, 10)]
    (event,) = history_of(readings("mmmmmcccccc"), CLASSES).events
    assert event.evidence == ("5.jpg", "6.jpg", "7.jpg")


@pytest.mark.parametrize("wrong", ["mmcmmmmm", "mmccmmmmm", "mmcmcmcmmmm", "mmCCCCCCmm"])
def test_a_wrong_photo_or_two_change_nothing(wrong: str) -> None:
    assert events(wrong) == []
    assert [state for state, _, _ in states(wrong)] == ["messy"]


def test_photos_that_are_barely_sure_add_up_slowly() -> None:
    assert events("mmm" + "C" * 20) == []
    assert events("mmm" + "C" * 40) == [("messy", "clean", 3, 32)]


def test_a_change_has_to_last() -> None:
    quick = readings("mmmm", step=STEP) + readings("ccccc", start=4 * STEP, step=10.0)
    assert history_of(quick, CLASSES).events == ()
    assert len(history_of(quick, CLASSES, Rules(hold_s=20.0)).events) == 1


def test_photos_not_to_be_relied_on_count_for_nothing() -> None:
    assert events("mmm???????mmm") == []
    assert states("mmm???mmm") == [("messy", 0, 8)]
    assert events("mmmc?c?cccc") == [("messy", "clean", 3, 7)]
    assert states("????") == [(UNKNOWN, 0, 3)]
    assert states("????ccc") == [(UNKNOWN, 0, 3), ("clean", 4, 6)]


def test_a_gap_is_a_gap() -> None:
    assert states("mmm" + " " * 30 + "mmm") == [
        ("messy", 0, 2),
        (UNKNOWN, 2, 33),
        ("messy", 33, 35),
    ]
    assert events("mmm" + " " * 30 + "mmm") == []
    found = history_of(readings("mmm" + " " * 30 + "ccc"), CLASSES)
    (event,) = found.events
    assert (event.previous, event.state) == ("messy", "clean")
    assert event.after_gap_s == 31 * STEP
    assert found.spans[1] == Span(UNKNOWN, 2 * STEP, 33 * STEP, 0)


@pytest.mark.parametrize("night", ["?" * 60, "??  " * 15, "?" * 30 + "c" + "?" * 29])
def test_a_gap_lasts_until_something_is_known_again(night: str) -> None:
    """Also where photos of the night come in, and one that is not enough."""
    (event,) = history_of(readings("mmm" + night + "ccc"), CLASSES).events
    assert event.at - event.after_gap_s == 2 * STEP


def test_dark_photos_for_hours_are_unknown_and_not_the_last_state() -> None:
    found = states("mmm" + "?" * 30 + "mmm")
    assert found[0] == ("messy", 0, 2)
    assert found[-1] == ("messy", 33, 35)
    assert {state for state, _, _ in found[1:-1]} == {UNKNOWN}


def test_more_than_two_classes() -> None:
    def of(number: int, i: int) -> Reading:
        p = [0.01, 0.01, 0.01]
        p[number] = 0.98
        return Reading(i * STEP, f"{i}", tuple(p), True)

    some = [of(n, i) for i, n in enumerate([0] * 5 + [2] * 5 + [1] * 5)]
    found = history_of(some, ("a", "b", "c"))
    assert [(e.previous, e.state) for e in found.events] == [("a", "c"), ("c", "b")]


@given(st.text(alphabet="cmCM? ", max_size=80), st.integers(1, 12), st.integers(0, 4))
def test_spans_are_in_order_and_events_alternate(text: str, evidence: int, hold: int) -> None:
    rules = Rules(evidence=evidence, hold_s=hold * STEP)
    found = history_of(readings(text), CLASSES, rules)
    for first, second in zip(found.spans, found.spans[1:], strict=False):
        assert first.start <= first.end <= second.start <= second.end
    for one, following in zip(found.events, found.events[1:], strict=False):
        assert one.at < following.at
        assert one.state == following.previous
    for event in found.events:
        assert event.state != event.previous
        assert event.at <= event.known_at


@given(st.lists(st.sampled_from("cm"), min_size=1, max_size=60))
def test_what_all_photos_say_is_the_state(letters: list[str]) -> None:
    text = "".join(letters)
    last = history_of(readings(text + text[-1] * 8), CLASSES).spans[-1]
    assert last.state == {"c": "clean", "m": "messy"}[text[-1]]


def test_false_events_are_rare_and_true_ones_are_found() -> None:
    """A month of one camera, right on 95 of 100 photos, two changes a day."""
    random = np.random.default_rng(0)
    text = []
    true_at = []
    state = "m"
    for i in range(30 * 144):
        if i % 72 == 60:
            state = "c" if state == "m" else "m"
            true_at.append(i)
        wrong = random.random() < 0.05
        text.append(("m" if state == "c" else "c") if wrong else state)
    found = [at for _, _, at, _ in events("".join(text))]
    hit = [at for at in true_at if any(abs(at - other) <= 6 for other in found)]
    assert len(hit) >= 0.95 * len(true_at)
    assert len(found) - len(hit) <= 4


@pytest.mark.parametrize("name", ["evidence", "gap_s"])
def test_rules_are_above_zero(name: str) -> None:
    with pytest.raises(UsageError, match="expected more than 0"):
        Rules(**{name: 0.0})
    with pytest.raises(UsageError, match="hold is -1"):
        Rules(hold_s=-1)
