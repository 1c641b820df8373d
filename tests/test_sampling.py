"""A sample keeps the shares of classes, and every class where that is asked for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from regraft.sampling import stratified_sample

COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=8)


def _labels(counts: list[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


@given(counts=COUNTS, size=st.integers(1, 200), seed=st.integers(0, 99))
def test_each_class_keeps_its_share(counts: list[int], size: int, seed: int) -> None:
    labels = _labels(counts, seed)
    rows = stratified_sample(labels, size, seed=seed)
    assert len(rows) == min(size, len(labels))
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, stratified_sample(labels, size, seed=seed))
    drawn = np.bincount(labels[rows], minlength=len(counts))
    # Shares agree up to one image a class: what all classes have in common is a level t.
    low, high = ((drawn - 1) / counts).max(), ((drawn + 1) / counts).min()
    assert low <= high


@given(counts=COUNTS, size=st.integers(1, 200), seed=st.integers(0, 99))
def test_every_class_is_in_a_sample_that_has_to_hold_it(
    counts: list[int], size: int, seed: int
) -> None:
    labels = _labels(counts, seed)
    shares = stratified_sample(labels, size, seed=seed)
    rows = stratified_sample(labels, size, every_class=True, seed=seed)
    assert set(labels[rows]) == set(labels)
    assert set(shares) <= set(rows)
    missing = set(labels) - set(labels[shares])
    assert len(rows) == len(shares) + len(missing)
    assert (np.diff(rows) > 0).all()
