"""EfficientNet-Lite as an ONNX graph, made of its weights without PyTorch.

An EfficientNet (Tan and Le 2019) without squeeze-and-excitation and with ReLU6 in place of swish.
What is made says the same as what PyTorch would export of timm's network, and calls the tensors by
the names that timm gives them, so that a network that is trained goes on from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.engines.state_dicts import read_state_dict
from regraft.engines.torch import Exported
from regraft.errors import BackboneError
from regraft.onnx_graphs import GraphBuilder, value

if TYPE_CHECKING:
    import onnx

_SCALES = {
    "tf_efficientnet_lite0": (1.0, 1.0),
    "tf_efficientnet_lite1": (1.0, 1.1),
    "tf_efficientnet_lite2": (1.1, 1.2),
}
"""Timm's names, and by how much channels and repetitions are multiplied."""
_STAGES = (  # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM, _HEAD = 32, 1280  # channels
_CLASSIFIER = {"classifier.weight": (1000, _HEAD), "classifier.bias": (1000,)}
_NORM = ("weight", "bias", "running_mean", "running_var")
_EPSILON = 1e-3  # of batch normalisation, as TensorFlow has it


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution, its batch normalisation and, where it `is_clipped`, ReLU6.

    `place` is the prefix of their names in the network.
    """

    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    is_clipped: bool = True
    place: str = ""

    def output_size(self, size: int) -> int:
        """Of one side, for `size` at the input."""
        return -(-size // self.stride)

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of its tensors, in the order of a state dict."""
        shape = (self.outputs, self.inputs // self.groups, self.kernel, self.kernel)
        yield f"{self.place}{self.name}.weight", shape
        for part in _NORM:
            yield f"{self.place}{self.norm}.{part}", (self.outputs,)
        yield f"{self.place}{self.norm}.num_batches_tracked", ()


@dataclass(frozen=True, slots=True)
class _Network:
    """The layers in their order: a block is a tuple of them, a stage a tuple of blocks."""

    stem: _Layer
    stages: tuple[tuple[tuple[_Layer, ...], ...], ...]
    head: _Layer

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all tensors, those of the classifier last."""
        blocks = (layer for stage in self.stages for block in stage for layer in block)
        layers = (self.stem, *blocks, self.head)
        return {
            **{name: shape for layer in layers for name, shape in layer.shapes()},
            **_CLASSIFIER,
        }


def export_efficientnet_lite(architecture: str, weights: Path, *, image_size_px: int) -> Exported:
    """The graphs and tensors of a network as its authors published it, without its classifier.

    Args:
        architecture: timm's name.
        weights: a state dict with the same tensors in the same order, whatever their names.
        image_size_px: s.

    Raises:
        BackboneError: the weights cannot be read, or do not fit.
    """
    network = _network_of(architecture)
    shapes = network.shapes()
    state = list(read_state_dict(weights).values())
    for number, (name, shape) in enumerate(shapes.items()):
        received = state[number].shape if number < len(state) else "missing"
        if received != shape:
            raise BackboneError(
                f"the weights in {weights.name} do not fit {architecture}: {name} is {received}, "
                f"expected {shape}; name the architecture the file was saved from"
            )
    tensors = dict(zip(shapes, state, strict=False))
    for name in _CLASSIFIER:
        del tensors[name]
    graph = _graph(network, tensors, image_size_px)
    stages = graph.SerializeToString()
    del graph.graph.output[1:]
    return Exported(features=graph.SerializeToString(), stages=stages, tensors=tensors)


def _network_of(architecture: str) -> _Network:
    width, depth = _SCALES[architecture]
    stages = []
    inputs = _STEM
    for i, (kernel, stride, expansion, channels, repeats) in enumerate(_STAGES):
        is_scaled = 0 < i < len(_STAGES) - 1
        outputs = _rounded(width * channels)
        blocks = []
        for j in range(math.ceil(depth * repeats) if is_scaled else repeats):
            layers = _block(inputs, outputs, kernel, 1 if j else stride, expansion)
            blocks.append(tuple(replace(x, place=f"blocks.{i}.{j}.") for x in layers))
            inputs = outputs
        stages.append(tuple(blocks))
    return _Network(
        stem=_Layer("conv_stem", "bn1", 3, _STEM, kernel=3, stride=2),
        stages=tuple(stages),
        head=_Layer("conv_head", "bn2", inputs, _HEAD),
    )


def _block(
    inputs: int, outputs: int, kernel: int, stride: int, expansion: int
) -> tuple[_Layer, ...]:
    """An inverted bottleneck: widened, filtered channel by channel, narrowed."""
    wide = expansion * inputs
    spatial = _Layer("conv_dw", "bn2", wide, wide, kernel, stride, groups=wide)
    if expansion == 1:
        narrow = _Layer("conv_pw", "bn2", wide, outputs, is_clipped=False)
        return replace(spatial, norm="bn1"), narrow
    narrow = _Layer("conv_pwl", "bn3", wide, outputs, is_clipped=False)
    return _Layer("conv_pw", "bn1", inputs, wide), spatial, narrow


def _rounded(channels: float) -> int:
    """The multiple of 8 next to it that is not below nine tenths of it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


# ---- The graph ----------------------------------------------------------------------------


def _graph(
    network: _Network, tensors: Mapping[str, NDArray[Any]], image_size_px: int
) -> onnx.ModelProto:
    """`pixels` float32 (n, 3, s, s) in; `features` out, and what lies between, see `Exported`."""

    def described(name: str, *shape: int) -> onnx.ValueInfoProto:
        return value(name, np.float32, ["n", *shape])

    graph = GraphBuilder("network")
    between = []
    x, size = _add_layers(graph, "pixels", (network.stem,), tensors, image_size_px, output="stem")
    stem = described("stem", network.stem.outputs, size, size)
    for number, stage in enumerate(network.stages, start=1):
        for block in stage:
            is_last = number == len(network.stages)
            name = "end" if is_last else f"boundary_{number}"
            name = name if block is stage[-1] else ""
            x, size = _add_layers(graph, x, block, tensors, size, output=name)
        between.append(described(x, stage[-1][-1].outputs, size, size))
    x, _ = _add_layers(graph, x, (network.head,), tensors, size)
    graph("ReduceMean", x, graph.ints(2, 3), keepdims=0, output="features")
    pixels = described("pixels", 3, image_size_px, image_size_px)
    return graph.model([pixels], [described("features", _HEAD), stem, *between])


def _add_layers(
    graph: GraphBuilder,
    x: str,
    layers: Sequence[_Layer],
    tensors: Mapping[str, NDArray[Any]],
    size: int,
    *,
    output: str = "",
) -> tuple[str, int]:
    """A block, with a shortcut around it where its input and its output have one shape.

    Args:
        graph: gets the nodes.
        x: the input.
        layers: of the block.
        tensors: by name.
        size: height and width of the input.
        output: what the output is to be called; "" for any name.

    Returns:
        The name of the output, and its height and width.
    """
    first, last = layers[0], layers[-1]
    has_shortcut = first.inputs == last.outputs and all(layer.stride == 1 for layer in layers)
    shortcut = x
    for layer in layers:
        name = output if layer is last and not has_shortcut else ""
        x = _add_layer(graph, x, layer, tensors, size, output=name)
        size = layer.output_size(size)
    return graph("Add", x, shortcut, output=output) if has_shortcut else x, size


def _add_layer(
    graph: GraphBuilder,
    x: str,
    layer: _Layer,
    tensors: Mapping[str, NDArray[Any]],
    size: int,
    *,
    output: str,
) -> str:
    """Convolution with the normalisation folded into it, and ReLU6.

    At the borders zeros are added as TensorFlow does ("SAME"): where their number is odd, the one
    more is at the right and at the bottom.
    """
    name = f"{layer.place}{layer.name}"
    weights = tensors[f"{name}.weight"].astype(np.float64)
    gain, offset, mean, variance = (
        tensors[f"{layer.place}{layer.norm}.{part}"].astype(np.float64) for part in _NORM
    )
    scale = gain / np.sqrt(variance + _EPSILON)
    zeros = max(0, (layer.output_size(size) - 1) * layer.stride + layer.kernel - size)
    x = graph(
        "Conv",
        x,
        graph.tensor(f"{name}.weight", (weights * scale[:, None, None, None]).astype(np.float32)),
        graph.tensor(f"{name}.bias", (offset - mean * scale).astype(np.float32)),
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[zeros // 2] * 2 + [zeros - zeros // 2] * 2,
        group=layer.groups,
        output="" if layer.is_clipped else output,
    )
    if layer.is_clipped:
        x = graph("Clip", x, graph.floats(0.0), graph.floats(6.0), output=output)
    return x
