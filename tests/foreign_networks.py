"""Networks as other frameworks export them, as ONNX files with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_keras_like(path: Path, *, batch: int | str = "n", size: int | str = 64) -> np.ndarray:
    """Channels last, fixed size, a dense layer and a softmax at the end; returns its kernel."""
    rng = np.random.default_rng(3)
    kernel = rng.normal(size=(8, 3, 3, 3)).astype(np.float32)
    constants = {
        "kernel": kernel,
        "dense": rng.normal(size=(8, 5)).astype(np.float32),
        "bias": rng.normal(size=5).astype(np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["input_1"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "kernel"], ["conv"], strides=[2, 2]),
        helper.make_node("Relu", ["conv"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    save_network(
        path, nodes, constants, [batch, size, size, 3], "input_1", "probabilities", opset=13
    )
    return kernel


def save_network(
    path: Path,
    nodes: list[Any],
    constants: dict[str, np.ndarray],
    shape: list[int | str],
    source: str,
    target: str,
    *,
    opset: int = 20,
    kind: int = TensorProto.FLOAT,
) -> None:
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info(source, kind, shape)],
        [helper.make_tensor_value_info(target, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
