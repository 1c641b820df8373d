"""Films are found in the order of their frames, and nothing is found where there is no order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from regraft.dataset import Row
from regraft.dataset.ordering import Order, orders_by_name
from regraft.inspection.issues.series import Series, berk_jones, find_series

WIDTH = 64


def films(
    lengths: list[int], labels: list[int], *, seed: int = 0, noise: float = 0.5, drift: float = 0.1
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Features of frames that drift through each film, their classes, and which film each is of."""
    random = np.random.default_rng(seed)
    classes = 2.0 * random.normal(size=(max(labels) + 1, WIDTH))
    features, of_film = [], []
    for film, (length, label) in enumerate(zip(lengths, labels, strict=True)):
        scene = random.normal(size=WIDTH)
        for _ in range(length):
            scene = scene + drift * random.normal(size=WIDTH)
            features.append(classes[label] + scene + noise * random.normal(size=WIDTH))
            of_film.append(film)
    of = np.array(of_film)
    return np.array(features, dtype=np.float32), np.array(labels)[of], of


def in_one_order(n: int, source: str = "names") -> Order:
    follows = np.ones(n, dtype=bool)
    follows[0] = False
    return Order(source, np.arange(n), follows, np.full(n, -1))


def shared(found: Series, of_film: NDArray[np.int64]) -> tuple[float, float]:
    """Of pairs of one film, the share in one series; and of those in one series, of one film."""
    upper = np.triu_indices(len(of_film), 1)
    numbers = np.where(found.numbers < 0, -1 - np.arange(len(of_film)), found.numbers)
    together = (numbers[:, None] == numbers[None])[upper]
    same = (of_film[:, None] == of_film[None])[upper]
    both = (together & same).sum()
    return both / max(1, same.sum()), both / max(1, together.sum())


@pytest.mark.parametrize("length", [3, 8, 50])
@pytest.mark.parametrize("drift", [0.0, 0.3])
def test_films_are_found_and_kept_apart(length: int, drift: float) -> None:
    features, labels, of_film = films([length] * 20, [0, 1] * 10, drift=drift)
    found = find_series(features, labels, [in_one_order(len(labels))])
    recall, precision = shared(found, of_film)
    assert recall >= 0.95
    assert precision >= 0.95
    assert found.sources == ("names",)
    assert ((found.alike > 0.5) & (found.alike <= 1.0)).all()


def test_two_films_of_a_class_are_enough() -> None:
    features, labels, of_film = films([10] * 4, [0, 0, 1, 1])
    found = find_series(features, labels, [in_one_order(40)])
    assert shared(found, of_film) == (1.0, 1.0)


def test_a_film_that_shows_two_classes_is_one_series() -> None:
    features, labels, of_film = films([16] * 12, [0] * 12)
    second = 3.0 * np.random.default_rng(5).normal(size=WIDTH)
    labels = (np.arange(len(labels)) // 8 % 2).astype(np.int64)
    features[labels == 1] += second
    found = find_series(features, labels, [in_one_order(len(labels))])
    recall, precision = shared(found, of_film)
    assert recall >= 0.9
    assert precision >= 0.95


def test_a_few_bursts_among_many_single_photos() -> None:
    lengths = ([1] * 30 + [4]) * 8
    features, labels, of_film = films(lengths, [0] * len(lengths), noise=0.3)
    found = find_series(features, labels, [in_one_order(len(labels))])
    recall, precision = shared(found, of_film)
    assert recall >= 0.9
    assert precision >= 0.9


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("n", [12, 100, 400])
def test_independent_photos_are_no_series(n: int, seed: int) -> None:
    features, labels, _ = films([1] * n, [0, 1] * (n // 2), seed=seed)
    assert len(find_series(features, labels, [in_one_order(n)])) == 0


def test_films_whose_frames_were_shuffled_are_no_series() -> None:
    features, labels, _ = films([8] * 20, [0, 1] * 10)
    with_series = 0
    for seed in range(20):
        mixed = np.random.default_rng(seed).permutation(len(labels))
        found = find_series(features[mixed], labels[mixed], [in_one_order(len(labels))])
        with_series += len(found) > 0
    assert with_series <= 1  # frames of one film may come side by side by chance


def test_independent_photos_that_are_sorted_by_kinds_are_no_series() -> None:
    """Kinds within a class, as breeds of dogs: neighbours are alike, but no two are one scene."""
    random = np.random.default_rng(0)
    kinds = random.normal(size=(10, WIDTH))
    labels = np.repeat([0, 1], 250)
    features = 0.7 * kinds[np.arange(500) // 50] + random.normal(size=(500, WIDTH))
    found = find_series(features.astype(np.float32), labels, [in_one_order(500)])
    assert len(found) == 0
    assert found.order is not None  # though their order means something


def test_what_is_the_same_in_all_photos_makes_no_series() -> None:
    features = np.ones((40, WIDTH), dtype=np.float32)
    assert len(find_series(features, np.arange(40) // 20, [in_one_order(40)])) == 0


def test_a_second_order_finds_what_the_first_does_not() -> None:
    features, labels, of_film = films([8] * 20, [0, 1] * 10)
    mixed = np.random.default_rng(1).permutation(len(labels))
    back = np.argsort(mixed)
    plain = in_one_order(len(labels))
    by_time = Order("time taken", back, plain.follows, plain.films)
    orders = [in_one_order(len(labels)), by_time]
    found = find_series(features[mixed], labels[mixed], orders)
    assert found.sources == ("time taken",)
    recall, precision = shared(found, of_film[mixed])
    assert min(recall, precision) >= 0.95
    for number in range(len(found)):
        assert (np.diff(mixed[found.members(number)]) > 0).all()  # in the order of the frames


def test_rows_that_could_not_be_read_are_in_no_series() -> None:
    features, labels, _ = films([8] * 20, [0, 1] * 10)
    features[::7] = np.nan
    found = find_series(features, labels, [in_one_order(len(labels))])
    assert len(found) > 0
    assert (found.numbers[::7] == -1).all()


def test_few_rows_and_few_of_a_class_are_no_matter() -> None:
    features, labels, _ = films([2] * 3, [0, 1, 2])
    for n in range(7):
        found = find_series(features[:n], labels[:n], [in_one_order(n)] if n else [])
        assert len(found) == 0
        assert found.numbers.tolist() == [-1] * n


def test_equal_input_gives_equal_series() -> None:
    features, labels, _ = films([8] * 20, [0, 1] * 10)
    first, second = (find_series(features, labels, [in_one_order(160)]) for _ in range(2))
    np.testing.assert_array_equal(first.numbers, second.numbers)
    np.testing.assert_array_equal(first.alike, second.alike)


def test_names_find_the_films_of_each_class_folder() -> None:
    features, labels, of_film = films([8] * 6, [0, 1] * 3)
    frames = np.arange(48) % 8
    rows = [
        Row(f"{'ab'[label]}/clip{film}_{frame}.jpg", label="ab"[label])
        for label, film, frame in zip(labels, of_film, frames, strict=True)
    ]
    found = find_series(features, labels, orders_by_name(rows))
    assert shared(found, of_film) == (1.0, 1.0)


@pytest.mark.parametrize("n", [20, 200, 2_000])
def test_chance_seldom_looks_like_an_order(n: int) -> None:
    random = np.random.default_rng(n)
    values = [berk_jones(random.normal(size=n), random.normal(size=20 * n)) for _ in range(300)]
    assert np.mean(np.array(values) > math.log(1_000)) < 0.04


def test_berk_jones_is_the_likelihood_ratio_at_the_best_threshold() -> None:
    others = np.linspace(0.0, 1.0, 999)
    near = np.concatenate([np.full(5, 2.0), np.linspace(0.0, 0.5, 5)])
    share, chance = 0.5, 1 / 1_001  # five of ten are beyond all of the others
    expected = 10 * (
        share * math.log(share / chance) + (1 - share) * math.log((1 - share) / (1 - chance))
    )
    assert berk_jones(near, others) == pytest.approx(expected)
    assert berk_jones(np.full(10, -1.0), others) == pytest.approx(0.0, abs=0.02)
