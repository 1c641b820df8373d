from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from regraft.dataset.walking import Listing, walk
from regraft.errors import DataError

SUFFIXES = frozenset({".jpg", ".png"})


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def left_out(listing: Listing) -> dict[str, str]:
    return {row.path: row.reason for row in listing.left_out}


def test_files_in_natural_order_and_everything_else_with_a_reason(tmp_path: Path) -> None:
    touch(tmp_path, "cat/10.jpg", "cat/9.JPG", "cat/deep/er/1.png", "cat/notes.TXT", "cat/README")
    listing = walk(tmp_path, suffixes=SUFFIXES)
    assert listing.files == ("cat/9.JPG", "cat/10.jpg", "cat/deep/er/1.png")
    assert listing.folders == ("cat", "cat/deep", "cat/deep/er")
    assert left_out(listing) == {
        "cat/notes.TXT": "not an image (.TXT)",
        "cat/README": "not an image (no suffix)",
    }
    assert {row.status for row in listing.left_out} == {"ignored"}


def test_hidden_and_system_files_are_listed_as_ignored(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "cat/.ipynb_checkpoints/1.jpg",
        "__MACOSX/cat/._1.jpg",
        "cat/.DS_Store",
        "cat/Thumbs.db",
        "cat/._1.jpg",
    )
    (tmp_path / ".empty").mkdir()
    listing = walk(tmp_path, suffixes=SUFFIXES)
    assert listing.files == ()
    assert listing.folders == ("cat",)
    assert left_out(listing) == {
        "cat/.ipynb_checkpoints/1.jpg": "in the hidden folder .ipynb_checkpoints",
        "__MACOSX/cat/._1.jpg": "in the hidden folder __MACOSX",
        "cat/.DS_Store": "a hidden file",
        "cat/Thumbs.db": "a system file",
        "cat/._1.jpg": "a hidden file",
        ".empty": "a hidden folder",
    }


def test_a_huge_hidden_folder_is_one_row(tmp_path: Path) -> None:
    touch(tmp_path, *(f".git/objects/{number}" for number in range(1_001)))
    assert left_out(walk(tmp_path, suffixes=SUFFIXES)) == {".git": "a hidden folder"}


def test_links_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/dogs/1.jpg", "data/cat/1.jpg")
    (tmp_path / "data/dog").symlink_to(tmp_path / "elsewhere/dogs")
    (tmp_path / "data/cat/2.jpg").symlink_to("1.jpg")
    listing = walk(tmp_path / "data", suffixes=SUFFIXES)
    assert listing.files == ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg")
    assert listing.left_out == ()


def test_links_in_circles_end(tmp_path: Path) -> None:
    touch(tmp_path, "data/cat/1.jpg", "data/zoo/2.jpg")
    (tmp_path / "data/cat/top").symlink_to(tmp_path / "data")
    (tmp_path / "data/cat/self").symlink_to(tmp_path / "data/cat")
    (tmp_path / "data/cat/outside").symlink_to(tmp_path)
    (tmp_path / "data/aardvark").symlink_to("zoo")
    (tmp_path / "data/a.jpg").symlink_to("b.jpg")
    (tmp_path / "data/b.jpg").symlink_to("a.jpg")
    (tmp_path / "data/gone.jpg").symlink_to("nowhere.jpg")
    listing = walk(tmp_path / "data", suffixes=SUFFIXES)
    assert listing.files == ("cat/1.jpg", "zoo/2.jpg")
    assert left_out(listing) == {
        "aardvark": "the same folder as zoo, which is listed already",
        "cat/outside": "a link back up to a folder that holds this one",
        "cat/self": "a link back up to cat",
        "cat/top": "a link back to the top folder",
        "a.jpg": left_out(listing)["b.jpg"],
        "b.jpg": "cannot be opened: too many levels of symbolic links",
        "gone.jpg": "a link to a file that is not there",
    }


def test_many_links_to_the_same_folders_do_not_multiply(tmp_path: Path) -> None:
    """Twenty levels with two ways down each would be a million paths."""
    for level in range(20):
        touch(tmp_path, f"levels/{level}/1.jpg")
        for way in "ab":
            (tmp_path / f"levels/{level}/{way}").symlink_to(tmp_path / f"levels/{level + 1}")
    (tmp_path / "levels/20").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/start").symlink_to(tmp_path / "levels/0")
    listing = walk(tmp_path / "data", suffixes=SUFFIXES)
    assert len(listing.files) == 20
    assert len(listing.left_out) == 20


def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server, working_in(tmp_path):
        server.bind("socket.jpg")
        listing = walk(tmp_path, suffixes=SUFFIXES)
    assert left_out(listing) == {
        "pipe.jpg": "not a regular file",
        "socket.jpg": "not a regular file",
    }


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work inside `folder`: the path of a socket must be short."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def test_names_that_are_not_unicode_are_rows(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system refuses such names")
    listing = walk(tmp_path, suffixes=SUFFIXES)
    assert listing.files == ()
    (row,) = listing.left_out
    assert row.path == "caf\\xe9.jpg"
    assert row.status == "unreadable"
    assert row.reason == "its name is not valid Unicode; rename it"


def test_skipped_folders_are_not_mentioned(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "held out/cat/2.jpg")
    listing = walk(tmp_path, suffixes=SUFFIXES, skip=[tmp_path / "held out"])
    assert listing.files == ("cat/1.jpg",)
    assert listing.folders == ("cat",)


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder that anybody may enter, seen by a user to whom permissions apply."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        is_root = os.geteuid() == 0
        if is_root:
            os.chown(name, 65534, -1)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if is_root:
                os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions work differently here")
def test_a_folder_without_permission_is_a_row(tmp_path: Path) -> None:
    with as_nobody() as folder:
        touch(folder, "cat/1.jpg", "dog/1.jpg")
        (folder / "dog").chmod(0)
        listing = walk(folder, suffixes=SUFFIXES)
        (folder / "dog").chmod(0o700)
        assert listing.files == ("cat/1.jpg",)
        (row,) = listing.left_out
        assert (row.path, row.status) == ("dog", "unreadable")
        assert row.reason == "the folder cannot be opened: permission denied"

        folder.chmod(0)
        with pytest.raises(DataError, match="cannot be opened: permission denied; change its"):
            walk(folder, suffixes=SUFFIXES)
        folder.chmod(0o755)
