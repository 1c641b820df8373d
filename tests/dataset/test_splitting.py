from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.dataset import Dataset, Row, make_folds, set_aside, split_groups
from regraft.errors import DataError, UsageError


def rows_of(*specs: tuple[str, str, str]) -> list[Row]:
    """Training rows of label, content and named group."""
    return [
        Row(f"{index}.jpg", sha256, label, "train", group)
        for index, (label, sha256, group) in enumerate(specs)
    ]


def singles(**counts: int) -> list[Row]:
    """Rows that all differ, so many of each class."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    return rows_of(*((label, f"content {index}", "") for index, label in enumerate(labels)))


# Few contents and groups, so that they are often shared; "" as group is common.
SPECS = st.tuples(
    st.sampled_from("abcd"),
    st.integers(0, 30).map(str),
    st.one_of(st.just(""), st.integers(0, 8).map(lambda number: f"g{number}")),
)


# --- Groups ----------------------------------------------------------------------------------


def test_groups_are_chains_of_contents_and_names() -> None:
    rows = rows_of(
        *(("a", "1", ""), ("a", "2", "p"), ("b", "1", "q"), ("b", "3", "q"), ("a", "2", "")),
        *(("a", "", ""), ("a", "", ""), ("a", "", "p")),
    )
    assert split_groups(rows).tolist() == [0, 1, 0, 0, 1, 2, 3, 1]
    assert split_groups([]).tolist() == []


@given(st.lists(SPECS, max_size=40))
def test_groups_are_the_connected_components(specs: list[tuple[str, str, str]]) -> None:
    rows = rows_of(*specs)
    groups = split_groups(rows)
    expected = list(range(len(rows)))  # merged pair by pair: slow and plain
    for i, one in enumerate(rows):
        for j, two in enumerate(rows[:i]):
            if one.sha256 == two.sha256 or (one.group and one.group == two.group):
                old, new = expected[i], expected[j]
                expected = [new if number == old else number for number in expected]
    same = np.equal.outer(groups, groups)
    assert np.array_equal(same, np.equal.outer(expected, expected))
    assert sorted(set(groups.tolist())) == list(range(len(set(expected))))


# --- Folds -----------------------------------------------------------------------------------


def test_folds_are_stratified_to_within_one_row() -> None:
    rows = singles(a=101, b=7, c=2)
    folds = make_folds(rows, folds=5, seed=3)
    assert folds.shape == (110,)
    assert folds.dtype == np.int64
    labels = np.array([row.label for row in rows])
    for label in "abc":
        per_fold = np.bincount(folds[labels == label], minlength=5)
        assert per_fold.max() - per_fold.min() <= 1
    totals = np.bincount(folds)
    assert totals.max() - totals.min() <= 1


def test_the_seed_decides() -> None:
    rows = singles(a=50, b=50)
    assert np.array_equal(make_folds(rows, seed=1), make_folds(rows, seed=1))
    assert not np.array_equal(make_folds(rows, seed=1), make_folds(rows, seed=2))


@given(st.lists(SPECS, min_size=2, max_size=60), st.integers(2, 7), st.integers(0, 3))
@settings(max_examples=200)
def test_groups_never_straddle(specs: list[tuple[str, str, str]], wanted: int, seed: int) -> None:
    rows = rows_of(*specs)
    groups = split_groups(rows)
    if groups.max() == 0:
        with pytest.raises(DataError, match="are 1 group of copies or of one named group"):
            make_folds(rows, folds=wanted)
        return
    folds = make_folds(rows, folds=wanted, seed=seed)
    folds_of_group = defaultdict(set)
    groups_of_class = defaultdict(set)
    for row, group, fold in zip(rows, groups.tolist(), folds.tolist(), strict=True):
        folds_of_group[group].add(fold)
        groups_of_class[row.label].add(group)
    assert all(len(found) == 1 for found in folds_of_group.values())
    count = max(2, min(wanted, max(map(len, groups_of_class.values()))))
    assert set(folds.tolist()) == set(range(count))  # none is empty


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), min_size=2, max_size=30),
    st.integers(2, 6),
)
def test_every_training_side_knows_every_class(sizes: list[tuple[str, int]], wanted: int) -> None:
    """Groups of one class each: a class in two groups or more is never in one fold only."""
    specs = [
        (label, f"{number} {copy}", f"g{number}")
        for number, (label, size) in enumerate(sizes)
        for copy in range(size)
    ]
    rows = rows_of(*specs)
    folds = make_folds(rows, folds=wanted)
    for label, groups in Counter(label for label, _ in sizes).items():
        inside = {
            fold for row, fold in zip(rows, folds.tolist(), strict=True) if row.label == label
        }
        assert len(inside) > 1 or groups == 1


@given(st.lists(st.sets(st.sampled_from("abc"), min_size=1), min_size=4, max_size=30))
def test_so_it_does_with_groups_of_several_classes(groups: list[set[str]]) -> None:
    """With more folds than classes in a group it always works out."""
    specs = [
        (label, f"{number} {label}", f"g{number}")
        for number, labels in enumerate(groups)
        for label in sorted(labels)
    ]
    rows = rows_of(*specs)
    folds = make_folds(rows, folds=5)
    per_class = Counter(label for labels in groups for label in labels)
    if folds.max() < 3:
        return
    for label, count in per_class.items():
        inside = {
            fold for row, fold in zip(rows, folds.tolist(), strict=True) if row.label == label
        }
        assert len(inside) > 1 or count == 1


def test_patients_with_many_images_stay_balanced() -> None:
    random = np.random.default_rng(0)
    specs = []
    for patient in range(300):
        for image in range(int(random.integers(1, 30))):
            label = "sick" if random.random() < 0.2 + 0.6 * (patient % 2) else "well"
            specs.append((label, f"{patient} {image}", f"p{patient}"))
    rows = rows_of(*specs)
    folds = make_folds(rows, folds=5)
    labels = np.array([row.label for row in rows])
    for label in ("sick", "well"):
        per_fold = np.bincount(folds[labels == label], minlength=5)
        assert per_fold.max() - per_fold.min() <= 0.02 * per_fold.sum()


def test_a_group_linked_to_both_sides_moves_as_one() -> None:
    rows = rows_of(
        *(("a", "1", "p"), ("a", "1", "q"), ("b", "2", "q"), ("b", "3", ""), ("a", "4", "")),
        *(("a", "5", ""), ("b", "6", "")),
    )
    folds = make_folds(rows, folds=2)
    assert len(set(folds[:3].tolist())) == 1


@pytest.mark.parametrize(
    ("rows", "wanted", "count"),
    [
        (singles(a=3, b=2), 5, 3),
        (singles(a=1, b=1), 5, 2),
        (singles(a=100, b=1), 10, 10),
        (rows_of(*(("a", str(i), f"g{i % 2}") for i in range(20))), 5, 2),
    ],
)
def test_few_groups_make_few_folds(rows: list[Row], wanted: int, count: int) -> None:
    assert set(make_folds(rows, folds=wanted).tolist()) == set(range(count))


def test_folds_that_cannot_be() -> None:
    with pytest.raises(DataError, match="3 images cannot be split: they are 1 group of copies"):
        make_folds(rows_of(("a", "1", ""), ("b", "1", ""), ("b", "1", "")))
    with pytest.raises(DataError, match="0 images cannot be split"):
        make_folds([])
    with pytest.raises(UsageError, match="the number of folds is 1; expected at least 2"):
        make_folds(singles(a=9), folds=1)


# --- Setting aside ---------------------------------------------------------------------------


def dataset_of(rows: list[Row]) -> Dataset:
    return Dataset.from_rows(Path("/x"), [*rows, Row("new.jpg", "new", status="unlabelled")])


def test_a_fifth_is_set_aside_from_a_thousand() -> None:
    data = dataset_of(singles(a=800, b=190, c=8, d=2))
    aside = set_aside(data)
    assert Counter(row.label for row in aside.test) == {"a": 160, "b": 38, "c": 2}
    assert Counter(row.label for row in aside.train) == {"a": 640, "b": 152, "c": 6, "d": 2}
    assert aside.notes == ("200 of 1,000 images set aside as the test set.",)
    assert aside.rows[-1] == data.rows[-1]
    assert set_aside(data).rows == aside.rows
    assert set_aside(data, seed=1).rows != aside.rows
    assert set_aside(aside) is aside


def test_a_smaller_dataset_is_left_whole() -> None:
    data = dataset_of(singles(a=500, b=499))
    aside = set_aside(data)
    assert aside.rows == data.rows
    assert aside.notes == (
        "No test set: of fewer than 1,000 images none is set aside, and cross-validation "
        "estimates everything.",
    )
    assert len(set_aside(data, from_size=999).test) == 200


@given(st.lists(SPECS, min_size=4, max_size=60), st.sampled_from([0.1, 0.2, 0.5]))
def test_setting_aside_keeps_groups_together_and_classes_trainable(
    specs: list[tuple[str, str, str]], fraction: float
) -> None:
    data = dataset_of(rows_of(*specs))
    aside = set_aside(data, fraction=fraction, from_size=1)
    before, groups = data.train, split_groups(data.train)
    after = {row.path: row.split for row in aside.ok}
    sides = defaultdict(set)
    groups_before, groups_after = defaultdict(set), defaultdict(set)
    for row, group in zip(before, groups.tolist(), strict=True):
        sides[group].add(after[row.path])
        groups_before[row.label].add(group)
        if after[row.path] == "train":
            groups_after[row.label].add(group)
    assert all(len(found) == 1 for found in sides.values())
    for label, found in groups_before.items():
        assert len(groups_after[label]) >= min(2, len(found))


def test_the_fraction_has_a_range() -> None:
    for fraction in (0, 0.6, -1):
        with pytest.raises(UsageError, match=f"the test fraction is {fraction}; expected above 0"):
            set_aside(dataset_of(singles(a=9)), fraction=fraction)


def test_many_rows_are_dealt_in_bulk() -> None:
    """No time is asserted; one row at a time would take minutes."""
    rows = [Row("x", str(number), "abcdefghij"[number % 10]) for number in range(200_000)]
    assert np.bincount(make_folds(rows)).tolist() == [40_000] * 5
