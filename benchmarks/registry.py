"""Every benchmark by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks import (
    ablation,
    accuracy,
    audit_speed,
    coverage,
    embed_speed,
    epoch_speed,
    export,
    fit_speed,
    hostile,
    kills,
    memory,
    planted,
    race,
    reject,
    report_speed,
    rivals,
    scan_speed,
    series,
    serve_speed,
    texts,
    train_memory,
    watch,
)
from benchmarks.rows import Row

BENCHMARKS: Mapping[str, Callable[[], list[Row]]] = {
    "accuracy": accuracy.run,
    "embed_speed": embed_speed.run,
    "fit_speed": fit_speed.run,
    "memory": memory.run,
    "scan_speed": scan_speed.run,
    "epoch_speed": epoch_speed.run,
    "train_memory": train_memory.run,
    "coverage": coverage.run,
    "planted": planted.run,
    "series": series.run,
    "audit_speed": audit_speed.run,
    "report_speed": report_speed.run,
    "export": export.run,
    "reject": reject.run,
    "serve_speed": serve_speed.run,
    "hostile": hostile.run,
    "watch": watch.run,
    "texts": texts.run,
    "race": race.run,
    "ablation": ablation.run,
    "rivals": rivals.run,
    "kills": kills.run,
}
