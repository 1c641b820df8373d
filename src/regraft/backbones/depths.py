"""What a backbone knows at every depth, in one pass: a batch in, statistics of each depth out.

The last layer of a network tells objects apart; whether cloth is torn or a cell is cracked may be
plainer in the first ones (Yosinski et al. 2014; Evci et al. 2022, Head2Toe). Of each map that
enters or leaves a stage the mean, the maximum and the standard deviation over places are kept, of
token states those over tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from regraft.backbones.backbone import Backbone, graph_key
from regraft.backbones.graphs import (
    graph_on_inputs,
    kept_graph,
    network_graph,
    stages_graph,
)
from regraft.onnx_graphs import GraphBuilder, value
from regraft.progress import Progress, silent

if TYPE_CHECKING:
    import onnx

FEATURES = "features"  # the last layer as every other approach uses it
_INNER = "last_layer"  # what the network calls its features, behind which the statistics come


@dataclass(frozen=True, slots=True)
class Depth:
    """One place in a network, and which columns of the statistics are its own."""

    output: str
    start: int
    width: int

    @property
    def columns(self) -> slice:
        """Of the statistics of all depths."""
        return slice(self.start, self.start + self.width)


def depth_title(output: str) -> str:
    """A depth for people.

    >>> depth_title("boundary_2")
    'stage 2'
    """
    named = {"stem": "first convolution", "end": "last stage", FEATURES: "last layer"}
    return named.get(output) or f"stage {output.removeprefix('boundary_')}"


def value_in_model(output: str) -> str:
    """What the maps of a depth are called in the graph of a model, see `graph_on_inputs`."""
    return f"backbone/{_INNER if output == FEATURES else output}"


def depths_of(backbone: Backbone, *, progress: Progress = silent) -> tuple[Depth, ...]:
    """The depths of a network from its input on, the last layer at the end.

    A network that cannot be cut has that one alone.
    """
    model = stages_graph(backbone, progress=progress)
    depths: list[Depth] = []
    start = 0
    for output in [] if model is None else model.graph.output:
        if output.name == FEATURES:
            continue
        shape = output.type.tensor_type.shape.dim
        channels = shape[1].dim_value if len(shape) == 4 else shape[-1].dim_value
        width = channels * (1 if len(shape) == 2 else 3)
        depths.append(Depth(output.name, start, width))
        start += width
    return (*depths, Depth(FEATURES, start, backbone.feature_width))


def depths_graph(backbone: Backbone, *, progress: Progress = silent) -> Path:
    """An ONNX file with every depth, as it is run to embed inputs.

    It is `depths_network` where inputs of one shape go through it in batches; else what the
    transform reads goes in, and `features` (d,) come out.
    """
    stacks = backbone.transform.is_batchable

    def make() -> bytes:
        network = depths_network(backbone, depths_of(backbone), progress=progress)
        if stacks:
            return bytes(network.SerializeToString())
        return graph_on_inputs(backbone.transform, network)

    return kept_graph(f"{graph_key(backbone)}-depths{'-n' * stacks}", backbone.name, make)


def depths_network(
    backbone: Backbone,
    depths: Sequence[Depth],
    *,
    scaling: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    progress: Progress = silent,
) -> onnx.ModelProto:
    """A batch of n in, the statistics of `depths` one after the other out, `features` (n, d).

    What no depth needs is not in the graph: one that ends at the first stage is a fraction of the
    network.

    Args:
        backbone: its network.
        depths: some of `depths_of`.
        scaling: centre and gain (d,); features are (statistics - centre) * gain. None for the
            statistics as they are.
        progress: told when the network has to be exported first.
    """
    import onnx

    whole = stages_graph(backbone, progress=progress)
    if whole is None:
        whole = onnx.load(network_graph(backbone, progress=progress))
    ranks = {o.name: len(o.type.tensor_type.shape.dim) for o in whole.graph.output}
    taken = [depth.output for depth in depths]
    source = whole.graph.input[0].name
    cut = onnx.utils.Extractor(whole).extract_model([source], sorted(set(taken)))
    for node in cut.graph.node:  # `features` is what comes out in the end
        node.output[:] = [_INNER if name == FEATURES else name for name in node.output]
    graph = GraphBuilder("depths")
    parts = []
    for name in taken:
        if name == FEATURES or ranks[name] == 2:
            parts.append(_INNER if name == FEATURES else name)
            continue
        axes = graph.ints(2, 3) if ranks[name] == 4 else graph.ints(1)
        mean = graph("ReduceMean", name, axes, keepdims=0)
        squares = graph("ReduceMean", graph("Mul", name, name), axes, keepdims=0)
        variance = graph("Sub", squares, graph("Mul", mean, mean))
        deviation = graph("Sqrt", graph("Max", variance, graph.floats(0.0)))
        parts += [mean, graph("ReduceMax", name, axes, keepdims=0), deviation]
    if scaling is None:
        graph("Concat", *parts, axis=1, output=FEATURES)
    else:
        centre, gain = map(graph.floats, scaling)
        centred = graph("Sub", graph("Concat", *parts, axis=1), centre)
        graph("Mul", centred, gain, output=FEATURES)
    graph.add_to(cut.graph)
    del cut.graph.output[:]
    width = sum(depth.width for depth in depths)
    cut.graph.output.append(value(FEATURES, np.float32, ["n", width]))
    onnx.checker.check_model(cut)
    return cut
