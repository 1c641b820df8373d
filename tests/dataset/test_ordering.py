"""Names and times put rows in order; random parts of names do not."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from regraft.dataset import Row
from regraft.dataset.ordering import (
    Order,
    cells_of_order,
    numbered_runs,
    order_by_file_time,
    order_by_time,
    orders_by_name,
)
from regraft.dataset.reading import file_times


def rows_of(*paths: str) -> list[Row]:
    """Rows whose class is the first folder."""
    return [Row(path, label=path.rpartition("/")[0].split("/")[0]) for path in paths]


def neighbours(order: Order, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The paths that come right behind each other."""
    paths = [rows[i].path for i in order.rows]
    return [
        (before, path)
        for before, path, follows in zip(paths, paths[1:], order.follows[1:], strict=False)
        if follows
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("open/clip00_frame0009.jpg", "open/clip00_frame0010.jpg"),
        ("open/IMG_20240511_143022.jpg", "open/IMG_20240511_143101.jpg"),
        ("open/frame-9.jpg", "open/frame-10.jpg"),
        ("open/DSC01234.JPG", "open/DSC01235.JPG"),
        ("open/VID_20240511_143022_001.jpg", "open/VID_20240511_143022_002.jpg"),
        ("open/cam1_2024-05-11T23-59-58.jpg", "open/cam1_2024-05-12T00-00-02.jpg"),
        ("open/photo_aug_3.jpg", "open/photo_aug_4.jpg"),
        ("open/a (1).jpg", "open/a (2).jpg"),
        (
            "open/clip00_frame0003_jpg.rf.7f3a9c2e11aa04b2.jpg",
            "open/clip00_frame0004_jpg.rf.00aa11bb22cc33dd.jpg",
        ),
        ("open/2467959963_a7831e9ff0.jpg", "open/2467959999_11aa4b2c8d.jpg"),
        ("mails.csv#cell=9,2", "mails.csv#cell=10,2"),
    ],
)
def test_numbers_in_names_put_them_in_order(first: str, second: str) -> None:
    rows = rows_of(second, first)
    (order,) = orders_by_name(rows)
    assert neighbours(order, rows) == [(first, second)]
    assert order.source == ("rows" if "#cell=" in first else "names")


@pytest.mark.parametrize(
    "names",
    [
        [f"{uuid.UUID(int=random.Random(i).getrandbits(128))}.jpg" for i in range(20)],
        [f"{random.Random(i).getrandbits(64):016x}a1.jpg" for i in range(20)],
        ["kitchen.jpg", "bath.jpg"],
    ],
)
def test_names_without_numbers_are_in_no_order(names: list[str]) -> None:
    for order in orders_by_name(rows_of(*(f"room/{name}" for name in names))):
        assert len(order.rows) == 0


def test_other_names_and_other_folders_are_not_neighbours() -> None:
    rows = rows_of("a/x_1.jpg", "a/x_2.jpg", "a/y_3.jpg", "a/v1/z_1.jpg", "a/v2/z_2.jpg")
    (order,) = orders_by_name([Row(row.path, label="a") for row in rows])
    assert neighbours(order, rows) == [("a/x_1.jpg", "a/x_2.jpg")]


def test_a_film_that_was_sorted_into_classes_and_splits_is_in_order_again() -> None:
    rows = [
        Row("train/open/film1_1.jpg", label="open"),
        Row("train/open/film1_4.jpg", label="open"),
        Row("train/shut/film1_3.jpg", label="shut"),
        Row("val/open/film1_2.jpg", label="open"),
    ]
    apart, joined = orders_by_name(rows)
    assert neighbours(apart, rows) == [("train/open/film1_1.jpg", "train/open/film1_4.jpg")]
    assert [path for _, path in neighbours(joined, rows)] == [
        "val/open/film1_2.jpg",
        "train/shut/film1_3.jpg",
        "train/open/film1_4.jpg",
    ]


def test_a_folder_for_each_film_below_the_class() -> None:
    rows = [Row(f"open/film{f}/{i}.jpg", label="open") for f in (1, 2) for i in (9, 10, 11)]
    (order,) = orders_by_name(rows)
    assert len(neighbours(order, rows)) == 4


def test_rows_of_one_class_and_split_can_change_places() -> None:
    rows = [
        Row("train/open/film1/1.jpg", label="open"),
        Row("train/open/film2/1.jpg", label="open"),
        Row("val/open/film2/1.jpg", label="open"),
        Row("train/shut/film1/1.jpg", label="shut"),
    ]
    assert cells_of_order(rows).tolist() == [0, 0, 1, 2]


def test_cameras_take_turns_in_time_and_are_kept_apart() -> None:
    rows = rows_of(*(f"a/{name}.jpg" for name in "wxyz"))
    order = order_by_time(rows, np.array([30.0, 10.0, np.nan, 20.0]), ["A", "B", "A", "A"])
    assert order.source == "time taken"
    assert neighbours(order, rows) == [("a/z.jpg", "a/w.jpg")]


def test_photos_of_the_same_second_are_in_the_order_of_their_names() -> None:
    rows = rows_of("a/10.jpg", "a/9.jpg")
    order = order_by_time(rows, np.array([5.0, 5.0]), ["", ""])
    assert neighbours(order, rows) == [("a/9.jpg", "a/10.jpg")]


def test_times_of_files_that_were_copied_say_nothing() -> None:
    rows = rows_of(*(f"a/{i}.jpg" for i in range(10)))
    copied: NDArray[np.float64] = 1.7e9 + 0.01 * np.arange(10, dtype=np.float64)
    assert order_by_file_time(rows, copied) is None
    assert order_by_file_time(rows, np.full(10, np.nan)) is None
    backwards: NDArray[np.float64] = 1.7e9 - 2.0 * np.arange(10, dtype=np.float64)
    order = order_by_file_time(rows, backwards)
    assert order is not None
    assert [rows[i].path for i in order.rows] == [f"a/{i}.jpg" for i in range(9, -1, -1)]


def test_times_of_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    os.utime(tmp_path / "a.jpg", (5.0, 7.0))
    found = file_times([Row("a.jpg"), Row("gone.jpg"), Row("mails.csv#cell=1,1")], tmp_path)
    assert found[0] == 7.0
    assert np.isnan(found[1:]).all()


@pytest.mark.parametrize(
    ("paths", "runs"),
    [
        ([f"a/clip{c}_frame{f:04}.jpg" for c in range(4) for f in range(6)], 4),
        ([f"a/film{c}/{25 * f}.jpg" for c in range(3) for f in range(5)], 3),
        ([f"a/{i}.png" for i in range(96)], 0),  # one run: numbered photos
        ([f"a/clip{c}_frame{f}.jpg" for c in range(3) for f in (0, 1, 2, 5)], 3),  # one is missing
        ([f"a/user{u}_{random.Random(u).randrange(10**6)}.jpg" for u in range(30)], 0),
        (["a/x.jpg", "a/y.jpg"], 0),
    ],
)
def test_runs_of_numbers(paths: list[str], runs: int) -> None:
    found = numbered_runs(rows_of(*paths))
    assert (0 if found is None else found.runs) == runs
    if found is not None:
        assert found.files == len(paths)
        assert found.first == paths[0]


@given(st.lists(st.text(alphabet="ab01_-./", min_size=1, max_size=12), max_size=30))
def test_any_names_give_orders_in_which_each_row_comes_once(names: list[str]) -> None:
    rows = [Row(name, label="a") for name in names]
    for order in orders_by_name(rows):
        assert len(set(order.rows.tolist())) == len(order.rows) <= len(rows)
        assert len(order.follows) == len(order.rows)
        assert not order.follows[:1].any()
    numbered_runs(rows)
    assert len(cells_of_order(rows)) == len(rows)
