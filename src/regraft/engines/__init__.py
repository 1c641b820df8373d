"""The runtimes that turn arrays into features: one file each, imported only when used."""

from __future__ import annotations

import importlib.util
import sys

from regraft.errors import MissingExtraError

TRAIN = "train"  # the extra of regraft that brings PyTorch
_BROUGHT = ("torch", "torchvision", "timm", "captum", "lightning_fabric", "onnxscript")
_LOADING_S = 4.0  # of PyTorch and what comes with it, on two idle cores


def can_train() -> bool:
    """Whether PyTorch and what it needs beside it are installed; none of it is loaded."""
    return all(importlib.util.find_spec(name) is not None for name in _BROUGHT)


def require_training(purpose: str) -> None:
    """See that PyTorch is installed.

    Raises:
        MissingExtraError: it is not; `purpose` says what needs it.
    """
    if not can_train():
        raise MissingExtraError(purpose, TRAIN)


def seconds_to_load() -> float:
    """How long PyTorch takes to be loaded, 0 once it is; without so much time it stays unloaded."""
    return 0.0 if "torch" in sys.modules else _LOADING_S
