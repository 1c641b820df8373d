"""Rows of files far from the root: what they are called, and that they are found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.dataset import Dataset, Row
from regraft.dataset.elsewhere import without_absolute_paths


@pytest.fixture(autouse=True)
def anna(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.setenv("LOGNAME", "anna")


def data(*paths: str, root: str = "/srv/photos") -> Dataset:
    return Dataset.from_rows(Path(root), [Row(path, label="a") for path in paths])


def paths_of(found: Dataset) -> list[str]:
    return [row.path for row in found.rows]


def test_what_is_near_stays() -> None:
    near = data("a/1.jpg", "../test/a/1.jpg", "mails.csv#cell=1,2")
    assert without_absolute_paths(near) is near


def test_a_folder_far_away_is_named_once() -> None:
    home = "../../home/anna/rooms/test"
    found = without_absolute_paths(data("a/1.jpg", f"{home}/a/1.jpg", f"{home}/b/2.jpg"))
    assert paths_of(found) == ["a/1.jpg", ".../test/a/1.jpg", ".../test/b/2.jpg"]
    assert found.elsewhere == {".../test": "/home/anna/rooms/test"}
    assert found.locate(".../test/b/2.jpg") == Path("/home/anna/rooms/test/b/2.jpg")
    assert found.locate("a/1.jpg") == Path("/srv/photos/a/1.jpg")
    assert without_absolute_paths(found) is found


def test_folders_of_one_name_are_told_apart() -> None:
    found = without_absolute_paths(data("/x/one/two/three/test/1.jpg", "/y/one/two/test/1.jpg"))
    assert paths_of(found) == [".../test/1.jpg", ".../test-2/1.jpg"]
    assert len(set(found.elsewhere.values())) == 2


def test_the_name_of_the_user_is_no_name_of_a_folder() -> None:
    found = without_absolute_paths(data("/home/anna/1.jpg"))
    assert paths_of(found) == [".../data/1.jpg"]


def test_more_rows_join_what_is_known() -> None:
    first = without_absolute_paths(data("/home/anna/test/1.jpg"))
    second = without_absolute_paths(
        first.with_rows([*first.rows, Row("../../home/anna/runs/a/corrections/2.jpg", label="a")])
    )
    assert paths_of(second) == [".../test/1.jpg", ".../corrections/2.jpg"]
    assert second.elsewhere == {
        ".../test": "/home/anna/test",
        ".../corrections": "/home/anna/runs/a/corrections",
    }


parts = st.sampled_from(["home", "anna", "srv", "photos", "test", "a", "b"])


@given(st.lists(st.lists(parts, min_size=1, max_size=5), min_size=1, max_size=12, unique_by=tuple))
def test_every_file_is_found_and_none_says_where(folders: list[list[str]]) -> None:
    places = [f"/{'/'.join(folder)}/{i}.jpg" for i, folder in enumerate(folders)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", "/home/anna")
        patch.setenv("LOGNAME", "anna")
        some = data(*(os.path.relpath(place, "/srv/photos") for place in places))
        found = without_absolute_paths(some)
    assert [str(found.absolute(row)) for row in found.rows] == places
    assert len(set(paths_of(found))) == len(places)
    for path, place in zip(paths_of(found), places, strict=True):
        assert not path.startswith("/")
        # A folder of that name within the data is theirs; the way to the data is not.
        assert "home/anna" not in path or place.startswith("/srv/photos/")
