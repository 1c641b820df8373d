"""Neighbours: small sets exactly, large ones nearly so, and never a row that is not known."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from regraft.inspection.issues import find_neighbours, neighbours

SMALL = st.tuples(st.integers(2, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-10, 10, width=32))
)


def clustered(n: int, *, d: int = 40, clusters: int = 20, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(clusters, d))
    near = centres[random.integers(clusters, size=n)] + 0.5 * random.normal(size=(n, d))
    return near.astype(np.float32)


def cosines(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of every row with every other; -2 with itself."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(length, np.float32(1e-12))
    found: NDArray[np.float32] = unit @ unit.T
    np.fill_diagonal(found, -2.0)
    return found


@settings(deadline=None, max_examples=80)
@given(features=SMALL, k=st.integers(1, 15))
def test_a_small_set_is_compared_pair_by_pair(features: NDArray[np.float32], k: int) -> None:
    found = find_neighbours(features, k)
    n = len(features)
    width = min(k, n - 1)
    wanted = -np.sort(-cosines(features), axis=1)[:, :width]
    assert found.indices.shape == found.cosine.shape == (n, k)
    assert np.allclose(found.cosine[:, :width], wanted, atol=1e-5)
    told = np.take_along_axis(cosines(features), found.indices[:, :width], axis=1)
    assert np.allclose(told, wanted, atol=1e-5)
    for i, row in enumerate(found.indices[:, :width]):
        assert i not in row
        assert len(set(row)) == width


def test_the_nearest_come_first() -> None:
    turned = np.array([[np.cos(a), np.sin(a)] for a in (0.0, 0.1, 0.3, 0.7)])
    assert find_neighbours(turned, 3).indices.tolist() == [
        [1, 2, 3],
        [0, 2, 3],
        [1, 0, 3],
        [2, 1, 0],
    ]


@pytest.mark.parametrize("exact_below", [1_000, 50])
def test_rows_of_nan_have_no_neighbours_and_are_nobodys(
    exact_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "EXACT_BELOW", exact_below)
    features = clustered(120)
    lost = [0, 7, 64, 119]
    features[lost, 3] = np.nan
    found = find_neighbours(features, 10)
    assert (found.indices[lost] == -1).all()
    assert (found.cosine[lost] == -1.0).all()
    kept = np.setdiff1d(np.arange(120), lost)
    assert not np.isin(found.indices[kept], [*lost, -1]).any()


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_where_there_are_fewer_rows_than_asked_for_the_rest_is_empty(n: int) -> None:
    found = find_neighbours(clustered(n), 6)
    there = max(0, n - 1)
    assert (found.indices[:, :there] >= 0).all()
    assert (found.indices[:, there:] == -1).all()
    assert (found.cosine[:, there:] == -1.0).all()


def test_a_single_row_that_is_known_has_no_neighbour() -> None:
    features = np.full((5, 3), np.nan, dtype=np.float32)
    features[2] = 1.0
    assert (find_neighbours(features, 2).indices == -1).all()


@pytest.mark.parametrize("d", [40, 300])
def test_the_graph_finds_nearly_all_nearest(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_BELOW", 50)
    features = clustered(900, d=d)
    found = find_neighbours(features, 10)
    near = cosines(features)
    assert np.mean(found.indices[:, 0] == near.argmax(axis=1)) >= 0.95
    true_ten = np.argsort(-near, axis=1)[:, :10]
    both = [len(set(a) & set(b)) for a, b in zip(found.indices, true_ten, strict=True)]
    assert np.mean(both) >= 9.0
    assert (found.indices != np.arange(900)[:, None]).all()
    told = np.take_along_axis(near, found.indices, axis=1)
    assert np.allclose(found.cosine, told, atol=1e-5)


def test_the_graph_finds_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_BELOW", 50)
    features = clustered(400, d=200)
    copies = features[:40] + np.float32(1e-3)
    found = find_neighbours(np.concatenate([features, copies]), 5)
    assert (found.indices[400:, 0] == np.arange(40)).mean() >= 0.95
    assert (found.indices[:40, 0] == 400 + np.arange(40)).mean() >= 0.95


def test_the_graph_gives_the_same_answer_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_BELOW", 50)
    features = clustered(600, d=200)
    first, second = find_neighbours(features, 10), find_neighbours(features.copy(), 10)
    assert np.array_equal(first.indices, second.indices)
    assert np.array_equal(first.cosine, second.cosine)


def test_equal_rows_are_each_others_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_BELOW", 50)
    features = np.repeat(clustered(6), 20, axis=0)
    found = find_neighbours(features, 10)
    assert (found.indices // 20 == np.arange(120)[:, None] // 20).all()
    assert np.allclose(found.cosine, 1.0, atol=1e-5)


def test_the_runtime_can_still_be_loaded_after_a_search() -> None:
    code = (
        "import numpy as np\n"
        "from regraft.inspection.issues import find_neighbours\n"
        "find_neighbours(np.random.default_rng(0).normal(size=(1_000, 8)), 3)\n"
        "import onnxruntime\n"
        "print(onnxruntime.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, "usearch was loaded before ONNX Runtime"
