"""Where graphs run and networks train: one value, the same for the whole process.

Whoever runs a graph asks `load_graph` for an engine. A further device is a row of `DEVICES`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from regraft.engines.base import Engine
from regraft.engines.onnx import IDENTITY, OnnxEngine
from regraft.errors import UsageError

VARIABLE = "REGRAFT_DEVICE"


class LoadGraph(Protocol):
    """How an engine is made of a graph."""

    def __call__(self, graph: Path | bytes, *, threads: int = 1, name: str = "") -> Engine:
        """Load a graph, see `load_graph`."""


@dataclass(frozen=True, slots=True)
class Device:
    """A runtime for graphs, and what trains networks.

    Attributes:
        identity: of runtime and precision; results of one identity are never taken for those of
            another (it is part of the keys of the cache).
        load: makes an engine.
        accelerator: for what trains, as Lightning Fabric names it.
    """

    identity: str
    load: LoadGraph
    accelerator: str


DEVICES = {"auto": Device(IDENTITY, OnnxEngine, accelerator="auto")}
"""By the name that `REGRAFT_DEVICE` gives; "auto" runs graphs on the CPU with ONNX Runtime and
trains with PyTorch on what it finds."""


def current_device() -> Device:
    """The device that `REGRAFT_DEVICE` names, or "auto".

    Raises:
        UsageError: there is none of that name.
    """
    name = os.environ.get(VARIABLE) or "auto"
    if name not in DEVICES:
        raise UsageError(f"{VARIABLE} is {name!r}, expected {' or '.join(DEVICES)}")
    return DEVICES[name]


def load_graph(graph: Path | bytes, *, threads: int = 1, name: str = "") -> Engine:
    """An engine that runs a graph with a single input on the current device.

    Args:
        graph: path of an .onnx file, or its bytes.
        threads: threads a single call may use.
        name: what errors call it; "" for the path, or "the graph".

    Raises:
        ModelError: the graph cannot be loaded.
        UsageError: `REGRAFT_DEVICE` names no device.
    """
    return current_device().load(graph, threads=threads, name=name)
