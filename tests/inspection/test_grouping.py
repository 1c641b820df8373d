"""What belongs together gets one group; what a given test set holds is left out of the training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from regraft.dataset import Dataset, Row, make_folds, require_trainable, set_aside, split_groups
from regraft.inspection.grouping import Grouped, blocks_of_order, keep_together
from regraft.inspection.issues import Copy, Findings, Series

ROWS = [
    Row("test/a.jpg", "1", "cat", "test"),
    Row("train/b.jpg", "2", "cat", "train"),
    Row("train/c.jpg", "3", "dog", "train", "g"),
    Row("train/d.jpg", "4", "dog", "train", "g"),
    Row("train/e.jpg", "5", "dog", "train"),
    Row("train/f.jpg", "6", "dog", "train"),
]


def series_of(n: int, *members: Sequence[int]) -> Series:
    """Series with these rows, in this order."""
    numbers, places = np.full(n, -1), np.full(n, -1)
    for number, rows in enumerate(members):
        numbers[list(rows)], places[list(rows)] = number, np.arange(len(rows))
    order = np.array([i for rows in members for i in rows], dtype=np.int64)
    return Series(numbers, places, np.full(len(members), 0.8), ("names",), order)


def grouped(
    rows: Sequence[Row], *, copies: Sequence[tuple[int, int]] = (), series: Series | None = None
) -> Grouped:
    data = Dataset.from_rows(Path("/x"), rows)
    pairs = tuple(Copy(first, second, 0.99, False) for first, second in copies)
    return keep_together(data, Findings(data.ok, copies=pairs, series=series))


def together(*pairs: tuple[int, int]) -> Dataset:
    return grouped(ROWS, copies=pairs).data


def groups_of(data: Dataset) -> dict[str, str]:
    return {row.path: row.group for row in data.rows}


def films(*labels: str, frames: int = 4, split: str = "train") -> list[Row]:
    """Rows of one film after another, each of the class that is named."""
    return [
        Row(f"{label}/{film}_{frame}.jpg", f"{film}-{frame}", label, split)
        for film, label in enumerate(labels)
        for frame in range(frames)
    ]


def all_series(rows: Sequence[Row], frames: int = 4) -> Series:
    n = len(rows)
    return series_of(n, *(range(i, i + frames) for i in range(0, n, frames)))


def test_without_copies_nothing_changes() -> None:
    found = grouped(ROWS)
    assert found.data.rows == tuple(ROWS)
    assert (found.cut, found.leaks, found.parted) == ((), 0, 0)


def test_training_photos_that_show_a_test_photo_are_left_out() -> None:
    found = {row.path: row for row in together((0, 1)).rows}
    assert found["train/b.jpg"].status == "excluded"
    assert found["train/b.jpg"].reason == "is a near copy of the test photo test/a.jpg"
    assert found["test/a.jpg"].status == "ok"


def test_copies_join_a_named_group_and_leave_it_its_name() -> None:
    found = groups_of(together((3, 4)))
    assert found["train/c.jpg"] == found["train/d.jpg"] == found["train/e.jpg"] == "g"
    assert found["train/f.jpg"] == ""


def test_two_named_groups_that_share_a_picture_are_named_by_both() -> None:
    rows = [*ROWS[:4], Row("train/e.jpg", "5", "dog", "train", "h"), ROWS[5]]
    found = groups_of(grouped(rows, copies=[(3, 4)]).data)
    assert {found[f"train/{name}.jpg"] for name in "cde"} == {"g and h"}


def test_a_chain_of_copies_is_one_group() -> None:
    found = groups_of(together((1, 4), (4, 5)))
    assert found["train/b.jpg"] == found["train/e.jpg"] == found["train/f.jpg"] != ""
    assert found["train/c.jpg"] == found["train/d.jpg"] == "g"


def test_a_split_that_leaks_too_much_is_told_and_not_thinned_out() -> None:
    found = grouped(ROWS, copies=[(0, 1), (0, 4)])  # two of five training photos
    assert {row.status for row in found.data.rows} == {"ok"}
    assert "2 of 5 training photos are near duplicates of test photos" in found.data.notes[-1]
    assert "not independent" in found.data.notes[-1]
    assert found.leaks == 1


def test_a_series_is_one_group_and_never_parted() -> None:
    rows = films(*["open", "shut"] * 4)
    data = grouped(rows, series=all_series(rows)).data
    assert len({row.group for row in data.rows}) == 8
    assert "32 photos are 8 series" in data.notes[0]
    assert "their names" in data.notes[0]
    folds = make_folds(data.train)
    numbers = split_groups(data.train)
    for number in np.unique(numbers):
        assert len(set(folds[numbers == number])) == 1


def test_a_series_of_several_classes_stays_together() -> None:
    rows = films("open", "shut", "open", "shut")
    series = series_of(16, [*range(8)], [*range(8, 16)])
    found = grouped(rows, series=series)
    assert [len(set(own)) for own in np.split(np.array([r.group for r in found.data.rows]), 2)] == [
        1,
        1,
    ]
    assert found.cut == ()
    require_trainable(found.data)


def test_named_groups_win_over_series_which_are_told() -> None:
    rows = [
        Row(f"a/{i}.jpg", str(i), "a", "train", group="day 1" if i < 4 else "day 2")
        for i in range(8)
    ]
    found = grouped(rows, series=series_of(8, range(2, 6)))
    assert groups_of(found.data) == {row.path: row.group for row in rows}
    assert found.parted == 1
    assert "1 series has photos in several of the named groups" in found.data.notes[0]


def test_a_series_within_a_named_group_is_nothing_to_tell() -> None:
    rows = [Row(f"a/{i}.jpg", str(i), "a", "train", group="day 1") for i in range(8)]
    found = grouped(rows, series=series_of(8, range(2, 6)))
    assert (found.parted, found.data.notes) == (0, ())


def test_training_photos_of_a_series_with_test_photos_are_left_out() -> None:
    rows = films(*["open", "shut"] * 6)
    rows[0] = Row("open/0_0.jpg", "0-0", "open", "test")
    found = grouped(rows, series=all_series(rows))
    left_out = [row for row in found.data.rows if row.status == "excluded"]
    assert [row.path for row in left_out] == ["open/0_1.jpg", "open/0_2.jpg", "open/0_3.jpg"]
    assert left_out[0].reason == "is of one series with the test photo open/0_0.jpg"
    assert "3 training photos left out, of one series with test photos" in found.data.notes[-1]
    assert found.leaks == 0


def test_frames_dealt_over_a_given_split_are_told_as_a_leak() -> None:
    rows = [
        Row(row.path, row.sha256, row.label, "test" if i % 4 == 3 else "train")
        for i, row in enumerate(films(*["open", "shut"] * 4))
    ]
    found = grouped(rows, series=all_series(rows))
    assert {row.status for row in found.data.rows} == {"ok"}
    assert "24 of 24 training photos are of one series with test photos" in found.data.notes[-1]
    assert found.leaks == 8


def test_near_copies_are_left_out_even_where_series_are_too_many() -> None:
    rows = [
        Row(row.path, row.sha256, row.label, "test" if i % 4 == 3 else "train")
        for i, row in enumerate(films(*["open", "shut"] * 4))
    ]
    found = grouped(rows, copies=[(2, 3)], series=all_series(rows))
    assert [row.path for row in found.data.rows if row.status == "excluded"] == ["open/0_2.jpg"]
    assert found.leaks == 8


@pytest.mark.parametrize("labels", [("open", "shut"), ("open", "shut", "shut", "shut")])
def test_a_class_of_one_film_is_cut_into_blocks_and_said(labels: tuple[str, ...]) -> None:
    rows = films(*labels, frames=20)
    found = grouped(rows, series=all_series(rows, frames=20))
    assert found.cut == (("open", "shut") if len(labels) == 2 else ("open",))
    blocks = [row.group for row in found.data.train if row.label == "open"]
    assert [blocks.index(name) for name in dict.fromkeys(blocks)] == [0, 4, 8, 12, 16]
    assert "All training photos of class 'open' are of one series" in found.data.notes[-1] or (
        "class 'open'" in found.data.notes[-2]
    )
    require_trainable(found.data)
    folds = make_folds(found.data.train)
    is_open = np.array([row.label == "open" for row in found.data.train])
    assert all((folds[is_open] == fold).sum() == 4 for fold in np.unique(folds[is_open]))


def test_one_film_that_shows_both_classes_is_cut_within_each() -> None:
    rows = films("open", "shut", frames=10)
    found = grouped(rows, series=series_of(20, range(20)))
    assert found.cut == ("open", "shut")
    require_trainable(found.data)


def test_hardly_any_series_are_not_set_aside_as_a_test_set() -> None:
    rows = films(*["open", "shut"] * 10, frames=60)
    data = grouped(rows, series=all_series(rows, frames=60)).data
    assert len(data.train) == 1_200
    found = set_aside(data)
    assert not found.test
    assert "20 independent groups" in found.notes[-1]


def test_many_series_are_set_aside_whole() -> None:
    rows = films(*["open", "shut"] * 100, frames=6)
    found = set_aside(grouped(rows, series=all_series(rows, frames=6)).data)
    assert 0.15 < len(found.test) / len(rows) < 0.25
    assert not {row.group for row in found.test} & {row.group for row in found.train}


def test_blocks_of_an_order_are_even_and_within_classes() -> None:
    data = Dataset.from_rows(Path("/x"), films("open", "shut", frames=25))
    blocked = blocks_of_order(data, np.arange(50, dtype=np.int64), blocks=10)
    sizes = np.unique([row.group for row in blocked.rows], return_counts=True)[1]
    assert len(sizes) == 20
    assert set(sizes) == {2, 3}
    for row in blocked.rows:
        assert row.label in row.group
