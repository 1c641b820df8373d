"""Any ONNX file of a network in, one that regraft can put its transform and a head on out.

Networks exported from Keras, TensorFlow, Caffe or PyTorch differ in where the channels are, in
whether the size is fixed, and in whether they end in features or in classes. What makes classes of
features (the last dense layer and what follows it) is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import BackboneError
from regraft.onnx_graphs import OPSET, GraphBuilder, value

_BEHIND = ("Softmax", "LogSoftmax", "Sigmoid", "Identity", "Add", "Reshape", "Squeeze", "Cast")
_DENSE = ("Gemm", "MatMul")
_LARGEST_BYTES = 2**31 - 1  # of a file that carries its weights


@dataclass(frozen=True, slots=True)
class Foreign:
    """A network of others as regraft takes it.

    Attributes:
        graph: `pixels` float32 (n, 3, s, s) in, `features` float32 (n, d) out.
        image_size_px: s where it is fixed, else 0.
        feature_width: d.
        parameters: how many numbers it holds.
    """

    graph: bytes
    image_size_px: int
    feature_width: int
    parameters: int


def read_foreign(path: Path, *, image_size_px: int = 0) -> Foreign:
    """Read an ONNX file and bring it into the form of a backbone.

    Args:
        path: the file.
        image_size_px: s; 0 for the size it is fixed to, or 224.

    Raises:
        BackboneError: it is no network that takes one image of three channels, its size is fixed to
            another one, or it cannot be brought to the operators that are used here.
    """
    import onnx

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf, missing external data, a folder...
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BackboneError(f"{path} cannot be read as ONNX ({reason[:200]})") from error
    if not model.graph.node:
        raise BackboneError(f"{path} holds no network: it has no operators")
    if model.ByteSize() > _LARGEST_BYTES:
        raise BackboneError(f"{path} is larger than 2 GB, which no ONNX file in one piece can be")
    name, last, fixed = _image_input(model, path)
    if fixed and image_size_px not in (0, fixed):
        raise BackboneError(
            f"{path} takes images of {fixed} px only, not of {image_size_px}; leave --size out"
        )
    size = image_size_px or fixed or 224
    output = _features_of(model)
    model = _in_form(model, path, name, last=last, output=output)
    width = _width(model, path, size)
    del model.graph.output[:]
    model.graph.output.append(value("features", np.float32, ["n", width]))
    parameters = sum(
        _count(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    )
    return Foreign(model.SerializeToString(), fixed, width, parameters)


def _image_input(model: Any, path: Path) -> tuple[str, bool, int]:
    """Name of the image input, whether its channels come last, and its fixed size (0: none)."""
    import onnx

    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    said = ", ".join(f"{value.name} {_shape_text(value)}" for value in inputs) or "none"
    wanted = "expected one image input, float32 (n, 3, h, w) or (n, h, w, 3)"
    if len(inputs) != 1:
        raise BackboneError(f"{path} has {len(inputs)} inputs ({said}), {wanted}")
    kind = inputs[0].type.tensor_type
    shape = [dim.dim_value for dim in kind.shape.dim]
    if kind.elem_type != onnx.TensorProto.FLOAT or len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise BackboneError(f"{path} has the input {said}, {wanted}")
    last = shape[1] != 3
    height, width = shape[1:3] if last else shape[2:]
    if height != width:
        raise BackboneError(f"{path} takes images of {height} x {width} px, expected a square")
    return inputs[0].name, last, int(height)


def _features_of(model: Any) -> str:
    """The value before the last dense layer, if only what makes classes follows it."""
    maker = {output: node for node in model.graph.node for output in node.output}
    held = {tensor.name for tensor in model.graph.initializer}
    value = model.graph.output[0].name
    node = maker.get(value)
    while node is not None and node.op_type in _BEHIND:
        value = next((name for name in node.input if name and name not in held), "")
        node = maker.get(value)
    if node is not None and node.op_type in _DENSE:
        return str(node.input[0])
    return str(model.graph.output[0].name)


def _in_form(model: Any, path: Path, name: str, *, last: bool, output: str) -> Any:
    """Inputs and outputs renamed, channels moved, as many rows as there are pixels."""
    import onnx
    from onnx import compose, helper, version_converter
    from onnx.utils import Extractor

    try:
        inferred = onnx.shape_inference.infer_shapes(model)
        model = Extractor(inferred).extract_model([name], [output])
        versions = {opset.domain: opset.version for opset in model.opset_import}
        if versions.get("", OPSET) != OPSET:
            model = version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter raises whatever an operator's adapter raises
        reason = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"{path} cannot be brought to operators of version {OPSET} ({reason}); export it anew"
        ) from error
    versions = {opset.domain: opset.version for opset in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(d, v) for d, v in versions.items())
    model = compose.add_prefix(model, "theirs/")
    graph = model.graph
    source, target = f"theirs/{name}", f"theirs/{output}"
    front, back = GraphBuilder("front"), GraphBuilder("back")
    if last:
        front("Transpose", "pixels", output=source, perm=[0, 2, 3, 1])
    else:
        front("Identity", "pixels", output=source)
    front.add_before(graph)
    rank = len(graph.output[0].type.tensor_type.shape.dim)
    # A map is averaged over its places, tokens of a transformer over the tokens.
    axes = {2: [], 3: [1], 4: [1, 2] if last else [2, 3]}.get(rank)
    if axes is None:
        raise BackboneError(f"{path} ends in a value of {rank} dimensions, expected 2, 3 or 4")
    if axes:
        back("ReduceMean", target, back.ints(*axes), output="features", keepdims=0)
    else:
        back("Identity", target, output="features")
    back.add_to(graph)
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(value("pixels", np.float32, ["n", 3, "s", "s"]))
    graph.output.append(value("features", np.float32, None))
    return model


def _width(model: Any, path: Path, size: int) -> int:
    """d, by running the network once."""
    from regraft.engines.devices import load_graph
    from regraft.errors import ModelError

    try:
        (features,) = load_graph(model.SerializeToString()).run(
            np.zeros((1, 3, size, size), dtype=np.float32)
        )
    except ModelError as error:
        raise BackboneError(f"{path} cannot be run: {error}") from error
    except Exception as error:  # ONNX Runtime raises a class of its own for each status
        reason = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"{path} cannot take images of {size} px ({reason}); name its size with --size"
        ) from error
    if features.ndim != 2 or len(features) != 1:
        raise BackboneError(f"{path} makes {features.shape} of one image, expected (1, features)")
    return int(features.shape[1])


def _shape_text(value: Any) -> str:
    dims = value.type.tensor_type.shape.dim
    return f"({', '.join(dim.dim_param or str(dim.dim_value or '?') for dim in dims)})"


def _count(dims: Any) -> int:
    total = 1
    for dim in dims:
        total *= int(dim)
    return total
