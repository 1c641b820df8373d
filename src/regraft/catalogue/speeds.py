"""Images per second of each backbone on this machine, measured whenever it embeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.storage import cache_dir, make_folder, write_atomic

if TYPE_CHECKING:
    from regraft.catalogue.backbone import Backbone


def graph_folder() -> Path:
    """Where exported graphs are kept, and the speeds beside them."""
    return make_folder(cache_dir() / "graphs")


def measured_speed(backbone: Backbone) -> float | None:
    """Images per second last measured on this machine, decoding included; None if never."""
    try:
        speeds = json.loads((cache_dir() / "graphs" / "speed.json").read_text(encoding="utf-8"))
        return float(speeds[backbone.name])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_speed(backbone: Backbone, images_per_second: float) -> None:
    """Keep a measured speed for `regraft backbones` and for predicting how long work takes."""
    path = graph_folder() / "speed.json"
    try:
        speeds = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        speeds = {}
    if not isinstance(speeds, dict):
        speeds = {}
    speeds[backbone.name] = round(images_per_second, 1)
    write_atomic(path, json.dumps(speeds, indent=1))
