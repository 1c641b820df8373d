"""How long an audit takes once features and facts are cached, and how its neighbour search grows.

Command   python -m benchmarks audit_speed
Data      10,000 parts of clothing photos, each another one; vectors drawn at random in clusters
Expected  an audit below 60 s and 2 GiB; search time growing no faster than n log n

The audit is a whole process, run a second time in a cache of its own. The search is timed at
1,000, 10,000 and 100,000 vectors of 1,280 numbers; growth is the time per n log n, of the largest
against that of the smallest.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.data import environment_with_cache, photo_folder
from benchmarks.memory import peak_private_gib
from benchmarks.rows import Row, at_most
from benchmarks.timing import run_process
from regraft.inspection.issues import find_neighbours

AUDIT_S = 60.0
AUDIT_GIB = 2.0
SIZES = (1_000, 10_000, 100_000)
GROWTH = 1.5
WIDTH = 1_280
NEIGHBOURS = 30


def run(*, photos: int = 10_000, sizes: tuple[int, ...] = SIZES) -> list[Row]:
    """The audit's rows, then the search's."""
    return [*_audit(photos), *_search(sizes)]


def _audit(photos: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        make_parts(photo_folder("clothing"), Path(folder) / "parts", photos)
        environment = environment_with_cache(Path(folder) / "cache")
        command = [sys.executable, "-m", "regraft", "audit", str(Path(folder) / "parts")]
        command += ["--format", "json"]
        run_process(command, environment=environment)
        seconds, _, _ = run_process(command, environment=environment)
        peak, _ = peak_private_gib(command, environment)
    return [
        at_most(
            f"audit of {photos:,} photos, features and facts cached",
            seconds,
            AUDIT_S,
            measured=f"{seconds:.0f} s",
            target=f"below {AUDIT_S:g} s",
        ),
        at_most(
            "peak private memory of it",
            peak,
            AUDIT_GIB,
            measured=f"{peak:.2f} GiB",
            target=f"below {AUDIT_GIB:g} GiB",
        ),
    ]


def make_parts(source: Path, target: Path, count: int) -> None:
    """`count` parts of photos, half as wide and high, spread over the photos of `source`."""
    files = sorted(source.rglob("*.jpg"))
    random = np.random.default_rng(0)
    for i in range(count):
        path = files[i % len(files)]
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        width, height = (max(1, side // 2) for side in picture.size)
        left = int(random.integers(0, picture.width - width + 1))
        upper = int(random.integers(0, picture.height - height + 1))
        folder = target / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        picture.crop((left, upper, left + width, upper + height)).save(folder / f"{i}.jpg")


def _search(sizes: tuple[int, ...]) -> list[Row]:
    random = np.random.default_rng(0)
    seconds = {}
    for n in sizes:
        centres = random.normal(size=(n // 20, WIDTH)).astype(np.float32)
        vectors = centres[random.integers(0, len(centres), n)]
        vectors += 0.5 * random.normal(size=(n, WIDTH)).astype(np.float32)
        started = time.perf_counter()
        find_neighbours(vectors, NEIGHBOURS)
        seconds[n] = time.perf_counter() - started
    each = {n: took / (n * math.log(n)) for n, took in seconds.items()}
    growth = each[max(sizes)] / each[min(sizes)]
    times = ", ".join(f"{n:,}: {took:.1f} s" for n, took in seconds.items())
    return [
        at_most(
            f"neighbour search, seconds per n log n, {max(sizes):,} against {min(sizes):,} vectors",
            growth,
            GROWTH,
            measured=f"{growth:.2f} times ({times})",
            target=f"at most {GROWTH:g} times",
        )
    ]
