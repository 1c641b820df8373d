"""ONNX graphs written operator by operator: names of values in, names of values out.

A leaf module. `onnx` is imported when a graph is begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

OPSET = 20
IR_VERSION = 10


class GraphBuilder:
    """Collects operators and constants; calling it adds an operator and returns its output.

    Equal constants are held once. Everything that is not named is called `prefix/...`, so that
    graphs can be put one behind the other.

    >>> graph = GraphBuilder("double")
    >>> doubled = graph("Mul", "x", graph.floats(2.0), output="y")
    >>> len(graph.model([value("x", np.float32, [3])], [value("y", np.float32, [3])]).graph.node)
    1
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[object, ...], onnx.TensorProto] = {}

    def __call__(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add an operator with one output, which is named only where others need it."""
        return self._add(operator, inputs, [output], attributes)[0]

    def pair(self, operator: str, *inputs: str, **attributes: Any) -> tuple[str, str]:
        """Add an operator with two outputs, such as TopK."""
        first, second = self._add(operator, inputs, ["", ""], attributes)
        return first, second

    def ints(self, *values: int) -> str:
        """A constant int64 (n,)."""
        return self._constant(np.array(values, np.int64))

    def floats(self, values: float | NDArray[Any]) -> str:
        """A constant float32 of any shape."""
        return self._constant(np.array(values, np.float32))

    def tensor(self, name: str, values: NDArray[Any]) -> str:
        """A constant under a name of its own, such as the weights of a head."""
        from onnx import numpy_helper

        self._constants[name,] = numpy_helper.from_array(values, name)
        return name

    def add_to(self, graph: onnx.GraphProto) -> None:
        """Put everything behind the operators of another graph."""
        graph.node.extend(self._nodes)
        graph.initializer.extend(self._constants.values())

    def add_before(self, graph: onnx.GraphProto) -> None:
        """Put everything in front of the operators of another graph."""
        behind = list(graph.node)
        del graph.node[:]
        self.add_to(graph)
        graph.node.extend(behind)

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The graph as a model, from inputs to outputs; see `value`."""
        from onnx import helper

        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, self._prefix, inputs, outputs, constants)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="regraft",
        )

    def _add(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: dict[str, Any],
    ) -> list[str]:
        from onnx import helper

        name = f"{self._prefix}/{operator.lower()}_{len(self._nodes)}"
        ends = ["", *(f"_{i}" for i in range(1, len(outputs)))]
        names = [given or name + end for given, end in zip(outputs, ends, strict=True)]
        self._nodes.append(helper.make_node(operator, inputs, names, name=name, **attributes))
        return names

    def _constant(self, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._constants:
            name = f"{self._prefix}/constant_{len(self._constants)}"
            self._constants[key] = numpy_helper.from_array(values, name)
        return str(self._constants[key].name)


def value(
    name: str, dtype: type[np.generic], shape: Sequence[int | str | None] | None
) -> onnx.ValueInfoProto:
    """An input or output of a graph; None for a size, or for all of them, says that it varies."""
    from onnx import helper

    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
    )
