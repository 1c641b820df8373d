"""The runtimes that turn arrays into features: one file each, imported only when used."""

from __future__ import annotations

import sys

_LOADING_S = 4.0  # of PyTorch and what comes with it, on two idle cores


def seconds_to_load() -> float:
    """How long PyTorch takes to be loaded, 0 once it is; without so much time it stays unloaded."""
    return 0.0 if "torch" in sys.modules else _LOADING_S
