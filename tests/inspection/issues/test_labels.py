"""Label suspects: a wrong label comes first, and nothing else is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from regraft.inspection.issues import (
    Doubt,
    Suspects,
    about_doubts,
    confident_doubts,
    suspect_labels,
)
from regraft.metrics.rates import FloatArray, IntArray


def confident(labels: IntArray, k: int, *, seed: int = 0, sure: float = 6.0) -> FloatArray:
    """Probabilities (n, k) of a model that is right most of the time."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(len(labels), k))
    logits[np.arange(len(labels)), labels] += sure
    odds = np.exp(logits)
    found: FloatArray = odds / odds.sum(axis=1, keepdims=True)
    return found


@st.composite
def predictions(draw: st.DrawFn) -> tuple[IntArray, FloatArray]:
    """Labels (n,) and probabilities (n, k), some of them not known."""
    n, k = draw(st.integers(1, 25)), draw(st.integers(2, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = random.integers(0, k, n)
    p = confident(labels, k, seed=int(random.integers(2**31)), sure=draw(st.floats(-4, 30)))
    p[random.random(n) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = np.nan
    return labels, p


def test_wrong_labels_come_first() -> None:
    truth = np.repeat(np.arange(3), 40)
    p = confident(truth, 3)
    given_labels = truth.copy()
    wrong = [5, 50, 100]
    given_labels[wrong] = (truth[wrong] + 1) % 3
    found = suspect_labels(given_labels, p)
    assert set(found.order[:3]) == set(wrong)
    assert found.said[wrong].tolist() == truth[wrong].tolist()
    assert (found.sure[wrong] > 0.9).all()


def test_scores_are_those_of_cleanlab() -> None:
    labels = np.random.default_rng(0).integers(0, 4, 60)
    p = confident(labels, 4, sure=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cleanlab.rank import get_label_quality_scores

        quality = get_label_quality_scores(labels, p, method="normalized_margin")
    np.testing.assert_array_equal(suspect_labels(labels, p).scores, 1 - quality)


def test_the_order_falls_with_the_score() -> None:
    truth = np.repeat(np.arange(2), 60)
    found = suspect_labels(truth, confident(truth, 2, sure=0.5))
    assert len(found.order) > 3
    assert (np.diff(found.scores[found.order]) <= 0).all()


def test_labels_that_fit_are_no_suspects() -> None:
    truth = np.repeat(np.arange(3), 30)
    found = suspect_labels(truth, confident(truth, 3, sure=20.0))
    assert len(found.order) == 0


def test_photos_that_were_not_predicted_are_no_suspects() -> None:
    truth = np.repeat(np.arange(2), 20)
    labels = truth.copy()
    labels[[3, 25]] = 1 - labels[[3, 25]]
    p = confident(truth, 2)
    p[3] = np.nan
    p[10, 1] = np.nan
    found = suspect_labels(labels, p)
    assert found.order[0] == 25
    assert not {3, 10} & set(found.order)
    assert found.scores[[3, 10]].tolist() == [0.0, 0.0]
    assert found.said[[3, 10]].tolist() == labels[[3, 10]].tolist()


@settings(deadline=None, max_examples=100)
@given(drawn=predictions())
def test_whatever_is_predicted_the_scores_are_shares_and_the_order_is_of_suspects(
    drawn: tuple[IntArray, FloatArray],
) -> None:
    labels, p = drawn
    found = suspect_labels(labels, p)
    assert found.scores.shape == found.said.shape == labels.shape
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert len(set(found.order)) == len(found.order)
    assert (found.said[found.order] != labels[found.order]).all()
    assert np.isfinite(p[found.order]).all()
    assert np.isnan(found.sure).tolist() == (~np.isfinite(p).all(axis=1)).tolist()


def nothing(found: Suspects) -> bool:
    return len(found.order) == 0 and not found.scores.any() and bool(np.isnan(found.sure).all())


@pytest.mark.parametrize(
    ("labels", "p"),
    [
        (np.zeros(10, dtype=np.int64), np.ones((10, 1))),
        (np.zeros(0, dtype=np.int64), np.zeros((0, 3))),
        (np.zeros(0, dtype=np.int64), np.zeros((0, 0))),
        (np.array([0, 1, 1]), np.full((3, 2), np.nan)),
    ],
)
def test_one_class_or_no_predictions_give_nothing(labels: IntArray, p: NDArray[np.float64]) -> None:
    assert nothing(suspect_labels(labels, p))


def test_a_class_without_photos_is_no_obstacle() -> None:
    labels = np.repeat(np.array([0, 2]), 15)
    p = confident(labels, 3)
    p[4] = [0.01, 0.01, 0.98]
    found = suspect_labels(labels, p)
    assert found.order.tolist() == [4]


def test_the_labels_given_are_not_changed() -> None:
    labels = np.repeat(np.arange(2), 10)
    before = labels.copy()
    suspect_labels(labels, confident(1 - labels, 2))
    assert np.array_equal(labels, before)


# --- what is said of all of them


def test_at_most_a_tenth_is_listed_unless_the_model_is_confident() -> None:
    labels = np.zeros(100, dtype=np.int64)
    unsure, sure = (np.tile([1 - p, p], (40, 1)) for p in (0.55, 0.95))
    right = np.tile([0.99, 0.01], (60, 1))
    assert len(suspect_labels(labels, np.concatenate([unsure, right])).order) == 10
    assert len(suspect_labels(labels, np.concatenate([sure, right])).order) == 40


def doubts(*pairs: tuple[str, str, int], sure: float = 0.6) -> list[Doubt]:
    return [Doubt(label, said, sure) for label, said, n in pairs for _ in range(n)]


def test_suspects_in_one_pair_of_classes_are_told_as_such() -> None:
    fabric = doubts(("local", "nominal", 48), ("global", "nominal", 2))
    assert about_doubts(fabric, "photos", n_classes=3) == (
        "Hard photos or wrong labels: only a look at them tells. Nearly all of them (48 of 50) are "
        "labelled 'local', which the model confuses with 'nominal'."
    )
    both_ways = doubts(("local", "nominal", 9), ("nominal", "local", 11), ("global", "local", 8))
    assert about_doubts(both_ways, "photos", n_classes=3).endswith(
        "Most of them (20 of 28) are labelled 'nominal' or 'local', which the model confuses."
    )


def test_suspects_spread_over_classes_have_no_pattern() -> None:
    flips = doubts(*((a, b, 2) for a in "abcd" for b in "abcd" if a != b))
    two_classes = doubts(("clean", "messy", 9), ("messy", "clean", 6))
    few = doubts(("local", "nominal", 3), ("global", "nominal", 1))
    for some, n_classes in ((flips, 4), (two_classes, 2), (few, 3)):
        assert about_doubts(some, "texts", n_classes=n_classes) == (
            "Hard texts or wrong labels: only a look at them tells."
        )
    assert about_doubts([], "photos", n_classes=2) == ""
    one_way = doubts(("messy", "clean", 19), ("clean", "messy", 1))
    assert "Nearly all of them (20 of 20) are labelled 'messy', which the model confuses " in (
        about_doubts(one_way, "photos", n_classes=2)
    )


def test_those_the_model_is_confident_of_are_counted() -> None:
    some = doubts(("clean", "messy", 2), sure=0.95) + doubts(("clean", "messy", 5))
    assert confident_doubts(some) == 2
    assert "The model is at least 90 % sure of another class on 2 of 7." in about_doubts(
        some, "photos", n_classes=2
    )
