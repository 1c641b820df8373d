"""An ONNX graph in, the same graph with smaller numbers out: half precision or 8-bit integers.

What a head, the calibration and the unfamiliarity compute stays in single precision either way.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regraft.engines.onnx import load_quantizer
from regraft.errors import ExportError
from regraft.onnx_graphs import GraphBuilder
from regraft.storage.files import storage_errors

_SMALLEST = 64  # numbers; smaller constants are left as they are
_HALF_MAX = float(np.finfo(np.float16).max)
_LAYERS = ("Conv", "Gemm", "MatMul")
_WITH_WEIGHTS = ("Gather", "Gemm", "MatMul")  # what dynamic integers are for
# A clipping that is part of this takes the range of what it lets through, not of what it gets.
_BETWEEN = ("Add", "Clip", "GlobalAveragePool", "Relu")


def half_weights(graph: bytes, *, last: str = "features") -> bytes:
    """Constants of the backbone kept in half precision and cast back where they are used.

    Half the size at the speed of single precision: ONNX Runtime casts once, when it loads the file.
    A constant whose numbers half precision cannot hold is left as it is.

    Args:
        graph: any.
        last: the value up to which constants are halved; those of the head stay as they are.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(graph)
    inside = {name for i in _computes(model.graph, last) for name in model.graph.node[i].input}
    casts = GraphBuilder("half")
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or tensor.name not in inside:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < _SMALLEST or not np.isfinite(values).all():
            continue
        if np.abs(values).max() > _HALF_MAX:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}/half"))
        casts("Cast", f"{name}/half", output=name, to=onnx.TensorProto.FLOAT)
    casts.add_before(model.graph)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def integer_graph(
    graph: bytes, images: Iterable[NDArray[np.uint8]], *, last: str = "features"
) -> bytes:
    """Weights and activations of the backbone as 8-bit integers (ONNX Runtime, QDQ, static).

    Ranges of activations are those of `images`; weights have a range for each output channel
    (Jacob et al. 2018, CVPR, for the scheme).

    Args:
        graph: `image` uint8 (h, w, 3) in.
        images: uint8 (h, w, 3), at least one.
        last: the value up to which numbers become integers; what comes after stays as it is.

    Raises:
        ExportError: the graph cannot be quantised.
    """
    import onnx

    model = onnx.load_from_string(graph)
    inside = _computes(model.graph, last)
    names = []
    after: set[str] = set()  # values that a layer has had a part in, not just the transform
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{i}"
        if node.op_type in _LAYERS or after.intersection(node.input):
            after.update(node.output)
            if i in inside and node.op_type in (*_LAYERS, *_BETWEEN):
                names.append(node.name)
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder, _quiet():
        quantization = load_quantizer()
        source, target = Path(folder) / "float.onnx", Path(folder) / "integer.onnx"
        with storage_errors(f"write {source}"):
            source.write_bytes(model.SerializeToString())
        try:
            quantization.quantize_static(
                source,
                target,
                _Reader(images),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                nodes_to_quantize=names,
            )
            return target.read_bytes()
        except Exception as error:  # the quantiser raises whatever its parts raise
            raise _not_quantised(error) from error


def integer_weights(graph: bytes, *, last: str = "features") -> bytes:
    """Weights of the backbone as 8-bit integers, and activations as they come (dynamic).

    For networks of attention, whose few large activations would take the range of all others if
    ranges were fixed beforehand. Tables of vectors have one range, other weights one for each
    output channel. Weights use 7 bits: with 8, sums overflow on processors without VNNI, and a
    file that was checked on this machine would say something else on another.

    Args:
        graph: any.
        last: the value up to which numbers become integers; what comes after stays as it is.

    Raises:
        ExportError: the graph cannot be quantised.
    """
    import onnx

    model = onnx.load_from_string(graph)
    inside = _computes(model.graph, last)
    names = []
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{i}"
        if i in inside and node.op_type in _WITH_WEIGHTS:
            names.append(node.name)
    if not names:  # the quantiser takes an empty list for all there are
        raise ExportError("the model has no network whose numbers could become 8-bit integers")
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder, _quiet():
        quantization = load_quantizer()
        source, target = Path(folder) / "float.onnx", Path(folder) / "integer.onnx"
        with storage_errors(f"write {source}"):
            source.write_bytes(model.SerializeToString())
        try:
            quantization.quantize_dynamic(
                source,
                target,
                op_types_to_quantize=list(_WITH_WEIGHTS),
                nodes_to_quantize=names,
                per_channel=True,
                reduce_range=True,
                weight_type=quantization.QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
            return target.read_bytes()
        except Exception as error:  # the quantiser raises whatever its parts raise
            raise _not_quantised(error) from error


def _not_quantised(error: Exception) -> ExportError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ExportError(f"the network cannot be turned into 8-bit integers ({reason})")


def _computes(graph: object, last: str) -> set[int]:
    """Numbers of the nodes that the value `last` depends on."""
    nodes = list(graph.node)  # type: ignore[attr-defined]
    maker = {output: i for i, node in enumerate(nodes) for output in node.output}
    found: set[int] = set()
    open_values = [last]
    while open_values:
        i = maker.get(open_values.pop())
        if i is not None and i not in found:
            found.add(i)
            open_values += list(nodes[i].input)
    return found


class _Reader:
    """Images as ONNX Runtime's calibration asks for them: one after the other, None at the end."""

    def __init__(self, images: Iterable[NDArray[np.uint8]]) -> None:
        self._images: Iterator[NDArray[np.uint8]] = iter(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {"image": image}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice on the root logger."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
