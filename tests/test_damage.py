"""Whatever is damaged in the cache, the same command gives the same."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import QUICK, CommandLine
from tests.text_runs import FILLER, WORDS

pytestmark = pytest.mark.slow

RESULTS = ("predictions.csv", "evaluation.json", "issues.csv", "model/model.onnx")


def damaged(data: bytes, chance: random.Random) -> bytes:
    """One of the ways in which a disk loses what was written on it."""
    found = bytearray(data)
    at = chance.randrange(max(1, len(found)))
    way = chance.choice(("bits", "bits", "zeros", "cut", "noise", "empty"))
    if way == "bits":
        for _ in range(chance.choice((1, 1, 30))):
            bit = chance.randrange(8 * len(found))
            found[bit // 8] ^= 1 << bit % 8
    elif way == "zeros":
        found[at : at + 4_096] = bytes(len(found[at : at + 4_096]))
    elif way == "cut":
        del found[at:]
    elif way == "noise":
        found[at : at + 100] = chance.randbytes(len(found[at : at + 100]))
    else:
        found.clear()
    return bytes(found)


def results(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in RESULTS}


def rounds(cache: Path, kind: str, count: int) -> Iterator[list[str]]:
    """The names of the files of a kind that were damaged, again and again: one, some, or all."""
    for seed in range(count):
        chance = random.Random(f"{kind} {seed}")
        files = sorted(path for path in (cache / kind).iterdir() if path.stat().st_size)
        chosen = chance.sample(files, k=chance.choice((1, 2, len(files))) % (len(files) + 1) or 1)
        for path in chosen:
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(damaged(data, chance))
            os.utime(path, (seed, seed))  # another time than before, however coarse the clock
        yield [path.name for path in chosen]


@pytest.mark.parametrize(("kind", "count"), [("features", 12), ("measures", 12), ("graphs", 4)])
def test_photos(
    made_once: Path,
    warm_cache: Path,
    regraft: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    count: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    shared = (warm_cache / "graphs").resolve()
    (warm_cache / "graphs").unlink()
    (warm_cache / "graphs").mkdir()
    for path in shared.glob("*efficientnet_lite0*"):
        shutil.copy2(path, warm_cache / "graphs")
    command = ("fit", made_once / "photos", *QUICK, "--out")
    regraft.done(*command, "first")
    expected = results(tmp_path / "first")
    for number, names in enumerate(rounds(warm_cache, kind, count)):
        found = regraft(*command, f"after {number}")
        assert found.code == 0, (names, found.err)
        assert results(tmp_path / f"after {number}") == expected, names
        assert "cannot be used" not in found.err, names
    regraft.done("cache", "show")
    regraft.done("cache", "clear")


@pytest.mark.parametrize("kind", ["features", "graphs"])
def test_texts(
    texts_once: Path,
    own_cache: Path,
    regraft: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Of word vectors: their table and their words lie in the cache, too."""
    monkeypatch.chdir(tmp_path)
    words = sorted({*FILLER, *" ".join(WORDS.values()).split()})
    chance = random.Random(1)
    lines = (f"{w} {' '.join(f'{chance.gauss(0, 1):.4f}' for _ in range(20))}\n" for w in words)
    (tmp_path / "vectors.txt").write_text("".join(lines), encoding="utf-8")
    command = ("fit", texts_once / "texts", *QUICK, "--backbone", "vectors:vectors.txt", "--out")
    regraft.done(*command, "first")
    expected = results(tmp_path / "first")
    for number, names in enumerate(rounds(own_cache, kind, 12)):
        found = regraft(*command, f"after {number}")
        assert found.code == 0, (names, found.err)
        assert results(tmp_path / f"after {number}") == expected, names
