"""Labelled sets to draw training sets from: each content once, with its features.

They are embedded by the built-in network.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import regraft as rg
from benchmarks.data import photo_folder, textile_folder
from benchmarks.race import held_out_table
from benchmarks.rows import SkippedError
from regraft.backbones.built_in import DEFAULT_BACKBONE

FASHION = 8_000  # images of Fashion-MNIST


@dataclass(frozen=True, slots=True)
class Pool:
    """Rows of a set, and their features float32 (n, d)."""

    name: str
    data: rg.Dataset
    features: NDArray[np.float32]


def load_pool(name: str) -> Pool:
    """One of `POOLS`.

    Raises:
        SkippedError: it is not on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        data = POOLS[name](Path(folder))
        distinct = {row.sha256: replace(row, split="") for row in data.ok if row.label}
        pool = rg.Dataset.from_rows(data.root, distinct.values())
        return Pool(name, pool, np.asarray(rg.embed(pool, DEFAULT_BACKBONE), dtype=np.float32))


def _solar_cells(folder: Path) -> rg.Dataset:
    root, table = held_out_table("solar cells", folder, seed=0)
    return rg.scan(root, labels=table)


def _digits(folder: Path) -> rg.Dataset:
    from sklearn.datasets import load_digits

    found = load_digits()
    return _written(folder, found.images * (255 / 16), found.target, size_px=64)


def _fashion(folder: Path) -> rg.Dataset:
    root = Path(os.environ.get("REGRAFT_FASHION", "/usr/share/datasets/fashion-mnist"))
    if not root.is_dir():
        raise SkippedError(
            f"there is no {root}; install Debian's dataset-fashion-mnist, or name the folder of "
            "its files in REGRAFT_FASHION"
        )
    images = _numbers(root / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = _numbers(root / "t10k-labels-idx1-ubyte.gz", 8)
    return _written(folder, images[:FASHION], labels[:FASHION], size_px=28)


def _numbers(path: Path, header_bytes: int) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header_bytes)


def _written(
    folder: Path,
    images: Sequence[NDArray[np.generic]] | NDArray[np.generic],
    labels: NDArray[np.generic],
    *,
    size_px: int,
) -> rg.Dataset:
    for i, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / str(label) / f"{i}.png"
        place.parent.mkdir(exist_ok=True)
        image = Image.fromarray(np.asarray(pixels).astype(np.uint8))
        image.resize((size_px, size_px), Image.Resampling.BICUBIC).save(place)
    return rg.scan(folder)


POOLS: Mapping[str, Callable[[Path], rg.Dataset]] = {
    "rooms": lambda _: rg.scan(photo_folder("rooms")),
    "hymenoptera": lambda _: rg.scan(photo_folder("hymenoptera")),
    "clothing": lambda _: rg.scan(photo_folder("clothing")),
    "simulated fabric": lambda _: rg.scan(textile_folder()),
    "solar cells": _solar_cells,
    "digits": _digits,
    "fashion": _fashion,
}
