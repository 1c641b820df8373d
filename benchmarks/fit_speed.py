"""Wall time of `regraft fit` as a whole process, against a fastai script on the same weights.

Command   python -m benchmarks fit_speed
Data      rooms: 192 training photos, 20 in `val`
Expected  on 2 cores: first run ever 15 to 25 s, cold 5 s, warm 3 s, fastai 95 s

    first run ever   `regraft fit rooms --approach linear_probe` with an empty cache folder: the
                     backbone's graph is exported
    cold             the graph is there, no features
    warm             graph and features are there
    fastai           `fastai_rooms.py`

All take turns, round by round, each round in a new cache folder. Interpreter start, imports and
the report are included. Files are in the system's cache, as after any earlier run of Python;
right after booting the first run takes longer. Afterwards a cold and a warm run list every
module they import: neither torch nor what builds on it may be among them.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import regraft as rg
from benchmarks.data import environment_with_cache, photo_folder
from benchmarks.rows import Row, SkippedError, at_least, at_most, spread_text
from benchmarks.timing import run_process

LIMITS_S = {"first run ever": 30.0, "cold": 8.0, "warm": 4.0}
TIMES_FASTAI = 10.0
SLOW_IMPORTS = frozenset({"torch", "torchvision", "timm", "fastai"})


def run(*, repeats: int = 3, fastai: bool = True) -> list[Row]:
    """Seconds of every kind of run, the ratio to fastai, both accuracies, and slow imports.

    Args:
        repeats: rounds.
        fastai: whether to run that script too; it takes most of the time.
    """
    rooms = photo_folder("rooms")
    if fastai:
        _require_fastai()
    seconds: dict[str, list[float]] = {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
            for kind, taken in _round(rooms, Path(folder)).items():
                seconds.setdefault(kind, []).append(taken)
            imported = _slow_imports(rooms, Path(folder))
            accuracy = _accuracy(Path(folder) / "cold")
        if fastai:
            taken, rival = _run_fastai(rooms)
            seconds.setdefault("fastai", []).append(taken)
    rows = [_limit_row(kind, seconds[kind]) for kind in LIMITS_S]
    if fastai:
        rows += _fastai_rows(seconds, accuracy, rival)
    return [*rows, _import_row(imported)]


def _round(rooms: Path, folder: Path) -> dict[str, float]:
    """Seconds of a first, a cold and a warm run with a cache of their own in `folder`."""
    seconds = {"first run ever": _fit(rooms, folder, "first")}
    _forget_features(folder)
    seconds["cold"] = _fit(rooms, folder, "cold")
    seconds["warm"] = _fit(rooms, folder, "warm")
    return seconds


def _fit(rooms: Path, folder: Path, name: str) -> float:
    return run_process(_command(rooms, folder / name), environment=_environment(folder))[0]


def _command(rooms: Path, out: Path) -> list[str]:
    program = [sys.executable, "-m", "regraft", "fit", str(rooms)]
    return [*program, "--approach", "linear_probe", "--out", str(out)]


def _environment(folder: Path) -> dict[str, str]:
    return environment_with_cache(folder / "cache")


def _forget_features(folder: Path) -> None:
    (features,) = (folder / "cache").glob("*/features")
    shutil.rmtree(features)


def _slow_imports(rooms: Path, folder: Path) -> list[str]:
    """Which of `SLOW_IMPORTS` a cold and then a warm run import; not timed."""
    _forget_features(folder)
    environment = _environment(folder) | {"PYTHONPROFILEIMPORTTIME": "1"}
    imported: set[str] = set()
    for name in ("cold-imports", "warm-imports"):
        _, _, listed = run_process(_command(rooms, folder / name), environment=environment)
        imported |= imported_packages(listed)
    if "numpy" not in imported:
        raise RuntimeError("the list of imported modules could not be read")
    return sorted(imported & SLOW_IMPORTS)


def imported_packages(listed: str) -> set[str]:
    """Top-level names in what `python -X importtime` writes."""
    lines = (line for line in listed.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def _require_fastai() -> None:
    from importlib.util import find_spec

    if find_spec("fastai") is None:
        raise SkippedError('fastai is not installed; run: pip install "regraft[bench]"')


def _run_fastai(rooms: Path) -> tuple[float, dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.fastai_rooms", str(rooms)]
    seconds, printed, _ = run_process(command)
    return seconds, json.loads(printed.splitlines()[-1])


def _accuracy(run: Path) -> str:
    (found,) = (
        evaluation for evaluation in rg.read_run(run).evaluations if evaluation.on == "test"
    )
    return f"{round(found.accuracy.value * found.n)}/{found.n}"


def _limit_row(kind: str, seconds: Sequence[float]) -> Row:
    return at_most(
        f"regraft fit rooms --approach linear_probe, {kind}",
        median(seconds),
        LIMITS_S[kind],
        measured=spread_text(seconds, digits=1, unit="s"),
        target=f"at most {LIMITS_S[kind]:g} s",
    )


def _fastai_rows(
    seconds: Mapping[str, Sequence[float]], accuracy: str, rival: Mapping[str, Any]
) -> list[Row]:
    times = median(seconds["fastai"]) / median(seconds["cold"])
    rival_accuracy = f"{round(rival['accuracy'] * rival['images'])}/{rival['images']}"
    return [
        at_least(
            "fastai fine_tune(4) / regraft cold",
            times,
            TIMES_FASTAI,
            measured=f"{times:.1f} times",
            target=f"at least {TIMES_FASTAI:g} times",
        ),
        Row("fastai fine_tune(4), process", spread_text(seconds["fastai"], digits=1, unit="s")),
        Row("fastai fine_tune(4), training alone", f"{rival['training_seconds']:.1f} s"),
        Row("right on val, regraft and fastai", f"{accuracy} and {rival_accuracy}"),
    ]


def _import_row(imported: Sequence[str]) -> Row:
    return Row(
        "torch, torchvision, timm or fastai imported, cold or warm",
        ", ".join(imported) or "none",
        "none",
        not imported,
    )
