"""Every benchmark by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks import (
    accuracy,
    coverage,
    embed_speed,
    epoch_speed,
    fit_speed,
    memory,
    race,
    scan_speed,
)
from benchmarks.rows import Row

BENCHMARKS: Mapping[str, Callable[[], list[Row]]] = {
    "accuracy": accuracy.run,
    "embed_speed": embed_speed.run,
    "fit_speed": fit_speed.run,
    "memory": memory.run,
    "scan_speed": scan_speed.run,
    "epoch_speed": epoch_speed.run,
    "coverage": coverage.run,
    "race": race.run,
}
