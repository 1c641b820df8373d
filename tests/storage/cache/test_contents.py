"""Results on disk: what was committed is there after a kill, and damage is never read."""

from __future__ import annotations

import hashlib
import itertools
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regraft.storage.cache import ContentStore
from regraft.storage.files import cache_dir


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def value_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest() * 40


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


KEYS = [key_of(number) for number in range(200)]


def opened() -> ContentStore:
    return ContentStore("measures", "key")


def filled() -> Path:
    store = opened()
    for key in KEYS:
        store.write(key, value_of(key))
    store.close()
    assert store.warning == ""
    return cache_dir() / "measures" / "key.sqlite"


def read() -> tuple[dict[str, bytes], str]:
    store = opened()
    found = dict(store.read([*KEYS, "none"]))
    store.close()
    return found, store.warning


def test_values_are_found_by_their_key(tmp_path: Path) -> None:
    filled()
    assert read() == ({key: value_of(key) for key in KEYS}, "")


@pytest.mark.parametrize("bits", [1, 5, 200])
def test_flipped_bits_cost_time_and_no_value(tmp_path: Path, bits: int) -> None:
    """At random places: header, inner pages, keys, checksums, values."""
    file = filled()
    written = file.read_bytes()
    noticed = 0
    for seed in range(30):
        damaged = bytearray(written)
        chance = random.Random(seed)
        for _ in range(bits):
            # Half of them where the structure is: the first bytes of a page.
            page = chance.randrange(len(written) // 4_096) * 4_096
            at = page + chance.randrange(*((0, 100) if chance.random() < 0.5 else (0, 4_096)))
            damaged[at] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        found, warning = read()
        assert all(value == value_of(key) for key, value in found.items()), seed
        noticed += len(found) < len(KEYS)
        assert "cannot be used" not in warning, seed
        for _ in range(2):  # damage to what was not read may be found while others are written
            again = opened()
            known = dict(again.read(KEYS))
            for key in KEYS:
                if key not in known:
                    again.write(key, value_of(key))
            again.close()
        assert read()[0] == {key: value_of(key) for key in KEYS}, seed
        for path in file.parent.iterdir():
            path.unlink()
    assert noticed > 5


@pytest.mark.parametrize("damage", ["zeros", "noise", "cut", "text", "empty", "another"])
def test_a_file_that_is_no_store_is_made_anew(tmp_path: Path, damage: str) -> None:
    file = filled()
    whole = file.read_bytes()
    if damage == "another":
        file.unlink()
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE contents (a, b)")
            connection.execute("INSERT INTO contents VALUES (1, 2)")
        connection.close()
    else:
        file.write_bytes(
            {
                "zeros": bytes(len(whole)),
                "noise": random.Random(0).randbytes(len(whole)),
                "cut": whole[: len(whole) // 2],
                "text": b"this is no database" * 100,
                "empty": b"",
            }[damage]
        )
    found, warning = read()
    assert all(value == value_of(key) for key, value in found.items())
    assert ("was damaged" in warning) == (damage in ("zeros", "noise", "cut", "text"))
    filled()
    assert read()[0].keys() == set(KEYS)


def test_a_store_of_an_earlier_version_is_made_anew(tmp_path: Path) -> None:
    """Its values have no checksum, so that nothing says whether they are whole."""
    file = cache_dir() / "measures" / "key.sqlite"
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as connection:
        connection.execute(
            "CREATE TABLE contents (sha256 TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"
        )
        connection.execute("INSERT INTO contents VALUES (?, ?)", (KEYS[0], b"old"))
    connection.close()
    assert read() == ({}, "")
    filled()
    assert read()[0].keys() == set(KEYS)


def test_a_value_that_somebody_changed_is_not_there(tmp_path: Path) -> None:
    file = filled()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE contents SET value = zeroblob(1280) WHERE sha256 = ?", KEYS[:1])
        connection.execute("UPDATE contents SET value = 'text' WHERE sha256 = ?", KEYS[1:2])
        # The value of another key, with the checksum that it has there.
        connection.execute(
            "UPDATE contents SET (checksum, value) = (SELECT checksum, value FROM contents WHERE "
            "sha256 = ?) WHERE sha256 = ?",
            (KEYS[3], KEYS[2]),
        )
    connection.close()
    found, warning = read()
    assert found.keys() == set(KEYS[3:])
    assert (
        warning
        == f"3 of the measures in {cache_dir() / 'measures'} were damaged and are made again"
    )


def test_two_processes_notice_the_same_damage(tmp_path: Path) -> None:
    """The second one must not remove what the first has made in its place."""
    file = filled()
    first, second = opened(), opened()
    file.write_bytes(b"no database" * 10_000)
    for store in (first, second):
        assert dict(store.read(KEYS)) == {}
        for key in KEYS:
            store.write(key, value_of(key))
        store.close()
    assert read() == ({key: value_of(key) for key in KEYS}, "")


WRITE = """
from tests.storage.cache.test_contents import KEYS, value_of
from regraft.storage.cache import ContentStore
store = ContentStore("measures", "key", rows_per_commit=2)
print("open", flush=True)
known = dict(store.read(KEYS))
for key in KEYS:
    if key not in known:
        store.write(key, value_of(key))
store.close()
"""


@pytest.mark.slow
def test_a_killed_process_leaves_what_it_had_committed(tmp_path: Path) -> None:
    counts = [0]
    for number in range(40):
        process = subprocess.Popen([sys.executable, "-c", WRITE], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(0.002 * (number % 20))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found, warning = read()
        assert warning == ""
        assert all(value == value_of(key) for key, value in found.items())
        counts.append(len(found))
        if len(found) == len(KEYS):
            (cache_dir() / "measures" / "key.sqlite").unlink()
            counts.append(0)
    within = [n for n in counts if 0 < n < len(KEYS)]
    assert len(within) > 5, counts  # killed among the commits, not before or after them
    assert all(b >= a for a, b in itertools.pairwise(counts) if b), counts
