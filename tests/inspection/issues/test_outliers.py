"""Outliers: strangers are found, alone or in a small crowd, and a copy is no company."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from regraft.inspection.issues import Outliers, find_neighbours, find_outliers
from regraft.metrics.rates import IntArray


def crowd(n: int, *, d: int = 32, axis: int = 0, seed: int = 0) -> NDArray[np.float32]:
    """Vectors around one direction."""
    random = np.random.default_rng(seed)
    found = 0.15 * random.normal(size=(n, d))
    found[:, axis] += 2.0
    return found.astype(np.float32)


def outliers_of(features: NDArray[np.float32], copies: IntArray | None = None) -> Outliers:
    return find_outliers(find_neighbours(features, 30), copies=copies)


def test_ten_alike_strangers_are_all_among_the_first() -> None:
    features = np.concatenate([crowd(200), crowd(10, axis=5, seed=1)])
    found = outliers_of(features)
    assert set(range(200, 210)) <= set(found.order[:20])
    assert found.scores[200:].min() > found.scores[:200].max()


def test_the_oddest_comes_first() -> None:
    features = crowd(100)
    features[40] = crowd(1, axis=3, seed=2)[0]
    features[7] = features[40] + 1.5 * features[0]  # half a stranger
    found = outliers_of(features)
    assert found.order[:2].tolist() == [40, 7]
    assert found.scores[40] >= found.scores[7] > 0.9


def test_copies_of_each_other_do_not_hide_a_stranger() -> None:
    features = np.concatenate([crowd(100), np.repeat(crowd(1, axis=5, seed=3), 18, axis=0)])
    one_picture = np.concatenate([np.arange(100), np.full(18, 100)])
    hidden = outliers_of(features)
    assert not set(range(100, 118)) & set(hidden.order)
    found = outliers_of(features, one_picture)
    assert set(range(100, 118)) == set(found.order[:18])


@pytest.mark.parametrize("n", [0, 1, 5, 19])
def test_few_photos_show_no_pattern(n: int) -> None:
    features = crowd(n)
    features[: min(1, n)] = -2.0
    found = outliers_of(features)
    assert len(found.order) == 0
    assert found.scores.tolist() == [0.0] * n


def test_no_more_than_a_few_are_listed() -> None:
    strangers = np.random.default_rng(4).normal(size=(60, 32)).astype(np.float32)
    found = outliers_of(np.concatenate([crowd(300), strangers]))
    assert len(found.order) == 20
    assert (found.order >= 300).all()


def test_scores_are_shares_and_half_of_the_photos_lie_below_the_middle() -> None:
    found = outliers_of(crowd(151))
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert np.median(found.scores) == pytest.approx(0.5)


def test_rows_of_nan_are_no_outliers() -> None:
    features = crowd(60)
    features[9] = np.nan
    found = outliers_of(features)
    assert 9 not in found.order
    assert found.scores[9] == 0.0


def test_photos_that_are_all_the_same_have_no_outlier() -> None:
    found = outliers_of(np.ones((50, 8), dtype=np.float32))
    assert len(found.order) == 0


def test_copies_of_one_photo_are_no_outliers_of_each_other() -> None:
    neighbours = find_neighbours(np.ones((25, 4), np.float32), 24)
    assert not len(find_outliers(neighbours, copies=np.zeros(25, dtype=np.int64)).order)


def test_distances_that_are_nearly_all_equal_give_scores_between_0_and_1() -> None:
    features = np.concatenate([np.eye(60), np.pad(np.ones((20, 1)), ((0, 0), (59, 0)))])
    features[60:, 58] = np.arange(20) / 100
    scores = find_outliers(find_neighbours(features.astype(np.float32), 30)).scores
    assert ((scores >= 0) & (scores <= 1)).all()
