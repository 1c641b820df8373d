"""Graphs that are no graph of a classifier, or of another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _classifier(*nodes: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "damaged",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["h", "w", 3])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None]),
            helper.make_tensor_value_info("unfamiliarity", TensorProto.FLOAT, []),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())


def saying(probabilities: list[float], unfamiliarity: float = 0.1) -> bytes:
    """A graph that says the same of every photo."""
    return _classifier(
        helper.make_node("Identity", ["p"], ["probabilities"]),
        helper.make_node("Identity", ["u"], ["unfamiliarity"]),
        constants={
            "p": np.array(probabilities, np.float32),
            "u": np.array(unfamiliarity, np.float32),
        },
    )


def _asking_for_memory() -> bytes:
    return _classifier(
        helper.make_node("ConstantOfShape", ["shape"], ["vast"]),
        helper.make_node("ReduceSum", ["vast"], ["unfamiliarity"], keepdims=0),
        helper.make_node("Identity", ["p"], ["probabilities"]),
        constants={
            "shape": np.array([1 << 20, 1 << 20], np.int64),
            "p": np.array([0.5, 0.5], np.float32),
        },
    )


def _changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_from_string(saying([0.5, 0.5]))
    change(model)
    return bytes(model.SerializeToString())


def _another_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def _another_name(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "picture"


def _another_rank(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim.add().dim_value = 1


def _one_output(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def _swapped(model: onnx.ModelProto) -> None:
    first, second = model.graph.output
    del model.graph.output[:]
    model.graph.output.extend([second, first])


def _no_input(model: onnx.ModelProto) -> None:
    del model.graph.input[:]


def _unknown(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Unknown"


NAN = float("nan")
DAMAGED: Mapping[str, Callable[[], bytes]] = {
    "nan": lambda: saying([NAN, 0.5]),
    "all nan": lambda: saying([NAN, NAN]),
    "infinite": lambda: saying([float("inf"), 0.0]),
    "above one": lambda: saying([7.0, 0.0]),
    "below zero": lambda: saying([-1.0, 0.5]),
    "nan distance": lambda: saying([0.5, 0.5], NAN),
    "three classes": lambda: saying([0.2, 0.3, 0.5]),
    "one class": lambda: saying([1.0]),
    "no class": lambda: saying([]),
    "four terabytes": _asking_for_memory,
    "another type": lambda: _changed(_another_type),
    "another name": lambda: _changed(_another_name),
    "another rank": lambda: _changed(_another_rank),
    "one output": lambda: _changed(_one_output),
    "outputs swapped": lambda: _changed(_swapped),
    "no input": lambda: _changed(_no_input),
    "unknown operator": lambda: _changed(_unknown),
    "no graph": lambda: b"no graph",
    "empty": lambda: b"",
    "an empty graph": lambda: bytes(onnx.ModelProto().SerializeToString()),
}
"""What an ONNX file may hold instead of a classifier of two classes, by name."""
