"""Seconds to scan 100,000 small files, reading headers only and decoding every one.

Command   python -m benchmarks scan_speed
Data      generated: 28 x 28 grey noise in ten class folders, half JPEG, half PNG, all different;
          making them is not timed
Expected  on 2 cores 10 to 20 s with headers only, twice that decoding all

A scan lists, hashes, labels and checks. The command line decodes (`verify`) unless told
`--header-only`; `fit` reads headers and decodes when it computes features.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

import regraft as rg
from benchmarks.rows import Row, at_most, spread_text
from benchmarks.timing import seconds_of, take_turns

LIMIT_S = 60.0
CLASSES = 10


def run(*, files: int = 100_000, repeats: int = 3) -> list[Row]:
    """Seconds and files a second for both kinds of scan.

    Args:
        files: how many are made.
        repeats: turns of each kind.
    """
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        make_files(Path(folder), files)
        cases = {
            "headers only": partial(_time_scan, Path(folder), files, verify=False),
            "every image decoded": partial(_time_scan, Path(folder), files, verify=True),
        }
        seconds = take_turns(cases, repeats=repeats)
    return [
        at_most(
            f"scan of {files:,} small files, {kind}",
            median(times),
            LIMIT_S,
            measured=f"{spread_text(times, digits=1, unit='s')}, {_speed(files, times)}",
            target=f"below {LIMIT_S:g} s",
        )
        for kind, times in seconds.items()
    ]


def make_files(folder: Path, count: int) -> None:
    """`count` different images of noise in class folders below `folder`."""
    random = np.random.default_rng(0)
    for number in range(count):
        class_folder = folder / f"class {number % CLASSES}"
        class_folder.mkdir(exist_ok=True)
        picture = Image.fromarray(random.integers(0, 256, (28, 28), dtype=np.uint8))
        picture.save(class_folder / f"{number}{'.png' if number % 2 else '.jpg'}")


def _time_scan(folder: Path, files: int, *, verify: bool) -> float:
    found: list[rg.Dataset] = []
    seconds = seconds_of(lambda: found.append(rg.scan(folder, verify=verify)))
    if len(found[0].ok) != files:
        raise RuntimeError(f"{len(found[0].ok)} of {files} files are usable, expected all")
    return seconds


def _speed(files: int, seconds: list[float]) -> str:
    return f"{files / median(seconds):,.0f} files/s"
