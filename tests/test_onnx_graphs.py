"""Graphs written operator by operator say what the operators say."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from regraft.engines.onnx import OnnxEngine
from regraft.onnx_graphs import GraphBuilder, value


def test_operators_constants_and_outputs_come_together() -> None:
    graph = GraphBuilder("largest")
    offset = graph.tensor("offset", np.array([1, 1, 1], np.float32))
    values, places = graph.pair("TopK", graph("Add", "x", offset), graph.ints(2))
    assert values != places
    graph("Mul", values, graph.floats(2.0), output="y")
    model = graph.model([value("x", np.float32, [3])], [value("y", np.float32, [None])])
    onnx.checker.check_model(model, full_check=True)
    (found,) = OnnxEngine(model.SerializeToString()).run(np.array([3, 1, 2], np.float32))
    assert found.tolist() == [8, 6]
    names = [output for node in model.graph.node for output in node.output]
    assert all(name.startswith("largest/") for name in names[:-1])
    assert len(set(names)) == len(names)


def test_equal_constants_are_held_once() -> None:
    graph = GraphBuilder("twice")
    assert graph.ints(1) == graph.ints(1)
    assert graph.floats(1.0) != graph.ints(1)
    assert graph.floats(np.zeros((1, 2))) != graph.floats(np.zeros(2))


def test_a_graph_goes_behind_another() -> None:
    first, second = GraphBuilder("first"), GraphBuilder("second")
    first("Neg", "x", output="between")
    model = first.model([value("x", np.float32, [2])], [value("y", np.float32, [2])])
    second("Mul", "between", second.floats(3.0), output="y")
    second.add_to(model.graph)
    onnx.checker.check_model(model, full_check=True)
    (found,) = OnnxEngine(model.SerializeToString()).run(np.array([1, -2], np.float32))
    assert found == pytest.approx([-3, 6])
