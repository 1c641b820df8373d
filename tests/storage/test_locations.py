"""What files that people share may say of where things lie, and how these are found again."""

from __future__ import annotations

import getpass
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.storage.locations import find, recall, remember, shareable


@pytest.mark.parametrize(
    ("path", "start", "said"),
    [
        ("/home/anna/project/photos", "/home/anna/project/runs/a", "../../photos"),
        ("/home/anna/photos", "/home/anna/runs/a", "../../photos"),
        ("/home/anna/photos", "/home/anna", "photos"),
        ("/home/anna", "/home/anna/runs/a", "../.."),
        ("/home/anna/photos", "/tmp/run", ".../photos"),
        ("/mnt/disk/photos", "/home/anna/run", ".../photos"),
        ("/home/ben/photos", "/home/anna/run", ".../photos"),
        ("/srv/data/photos", "/srv/runs/a", "../../data/photos"),
        ("/srv/a/photos", "/srv/b/c/d/e", ".../photos"),  # four steps up
        ("/srv/anna/photos", "/srv/runs", ".../photos"),  # the user's name
        ("/srv/photos", "/srv/photos", "."),
    ],
)
def test_what_may_be_said(
    path: str, start: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.setenv("LOGNAME", "anna")
    assert getpass.getuser() == "anna"
    assert shareable(path, start) == said


names = st.sampled_from(["home", "anna", "ben", "photos", "runs", "a", "srv"])
paths = st.lists(names, max_size=6).map(lambda parts: "/" + "/".join(parts))


@given(paths, paths)
def test_nothing_said_is_absolute_or_names_the_user(path: str, start: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", "/home/anna")
        patch.setenv("LOGNAME", "anna")
        said = shareable(path, start)
        assert not said.startswith("/")
        assert "home/anna" not in said
        assert said.count("..") <= 4
        found = find(said, start, os.path.normpath(path))
    assert found[-1] == Path(os.path.normpath(path))


def test_a_project_that_was_moved_is_found_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "new" / "photos").mkdir(parents=True)
    (tmp_path / "old" / "photos").mkdir(parents=True)
    start, private = tmp_path / "new" / "run", str(tmp_path / "old" / "photos")
    both = [tmp_path / name / "photos" for name in ("new", "old")]
    assert find("../photos", start, private) == both
    assert find("../photos", start, None) == both[:1]
    both[1].rmdir()
    assert find("../photos", start, private) == both[:1]
    both[0].rmdir()
    assert find("../photos", start, private) == both[1:]
    assert find("../photos", start, None) == both[:1]
    assert find(".../photos", start, None) == [start / "photos"]
    assert find(".../photos", start, private) == both[1:]


def test_an_absolute_path_of_an_earlier_version_is_as_it_was(tmp_path: Path) -> None:
    assert find("/srv/photos", tmp_path, None) == [Path("/srv/photos")]


def test_what_is_remembered_is_for_the_owner(tmp_path: Path) -> None:
    file = tmp_path / "where.json"
    remember(file, {"data": "/srv/phöne"})
    assert recall(file)["data"] == "/srv/phöne"
    assert "leave it out when you share" in recall(file)["about"]
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[1]", '{"data": 5}', "{", "[" * 100_000, "\ud800"])
def test_what_is_damaged_is_forgotten(tmp_path: Path, text: str) -> None:
    (tmp_path / "where.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert recall(tmp_path / "where.json") == {}
    assert recall(tmp_path / "gone.json") == {}
