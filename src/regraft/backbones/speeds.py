"""Inputs per second on this machine, by the key of what was timed."""

from __future__ import annotations

from pathlib import Path

from regraft.storage.files import cache_dir, make_folder, write_atomic
from regraft.storage.seals import sealed_json, unsealed_json


def graph_folder() -> Path:
    """Where exported graphs are kept, and the speeds beside them."""
    return make_folder(cache_dir() / "graphs")


def read_speed(key: str) -> float | None:
    """Inputs per second last measured on this machine, decoding included; None if never."""
    speed = _speeds().get(key)
    return float(speed) if isinstance(speed, int | float) else None


def write_speed(key: str, inputs_per_second: float) -> None:
    """Keep a measured speed, for predicting how long work takes.

    Raises:
        StorageError: the cache cannot be written.
    """
    speeds = _speeds() | {key: round(inputs_per_second, 1)}
    write_atomic(graph_folder() / "speed.json", sealed_json(speeds))


def _speeds() -> dict[str, float]:
    try:
        return unsealed_json((cache_dir() / "graphs" / "speed.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, of an earlier version, or damaged
        return {}
