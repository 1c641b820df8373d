"""Backbones as ONNX graphs on this machine, made once and kept in the cache.

`embedding_graph` turns a backbone and a transform into one file (upright RGB in, features out);
`boundary_graph` cuts it where training begins.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.backbones.architectures import (
    SentenceEncoder,
    WeightsLayout,
    WordTable,
    architecture_json,
    export_graphs,
)
from regraft.backbones.backbone import (
    GRAPH_FORMAT,
    Backbone,
    graph_key,
    weights_path,
)
from regraft.backbones.speeds import graph_folder
from regraft.errors import BackboneError
from regraft.kinds.base import Transform
from regraft.onnx_graphs import GraphBuilder, value
from regraft.progress import Progress, note, silent
from regraft.storage.seals import is_whole, write_sealed

if TYPE_CHECKING:
    import onnx


_LONGEST_NAME = 80


def embedding_graph(backbone: Backbone, *, progress: Progress = silent) -> Path:
    """An ONNX file: what the transform reads in, `features` float32 (d,) out.

    For images the input is `image`, uint8 (h, w, 3), upright RGB.

    Features are averaged over the views of the backbone's transform. The first call for a
    backbone on a machine makes its graph (those that are not built in are exported with PyTorch,
    which takes some seconds); later ones find it, or make it again where the file is not what was
    written.

    Args:
        backbone: perhaps with another transform than its own.
        progress: told, in a sentence, when something slow begins.

    Raises:
        BackboneError: the weights are missing or damaged.
        StorageError: the cache cannot be written.
    """

    def make() -> bytes:
        import onnx

        network = onnx.load(network_graph(backbone, progress=progress))
        return graph_on_inputs(backbone.transform, network)

    return kept_graph(graph_key(backbone), backbone.name, make)


def kept_graph(key: str, name: str, make: Callable[[], bytes]) -> Path:
    """The file of a graph, made where it is not whole; `name` is of the backbone, for people."""
    path = graph_folder() / _file_name(f"{_short(name)}-{key}.onnx")
    if not is_whole(path):
        write_sealed(path, make())
    return path


def graph_on_inputs(transform: Transform, network: onnx.ModelProto) -> bytes:
    """The transform in front of a network: what it reads in, `features` float32 (d,) out.

    `network` maps a batch of n to `features` (n, d), which are averaged over the views of the
    transform.
    """
    import onnx

    merged = _after_transform(transform, network)
    average = GraphBuilder("average")
    average("ReduceMean", "backbone/features", average.ints(0), output="features", keepdims=0)
    average.add_to(merged.graph)
    del merged.graph.output[:]
    width = network.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    merged.graph.output.append(value("features", np.float32, [width]))
    onnx.checker.check_model(merged)
    return bytes(merged.SerializeToString())


def boundary_graph(
    backbone: Backbone, boundary: int, *, precropped: bool = False, progress: Progress = silent
) -> bytes:
    """What lies below a stage: what the transform reads in, that stage's input out, as float16.

    Boundary 0 is the input itself, see `Transform.stored_graph`.

    Args:
        backbone: its network and its transform.
        boundary: how many stages lie below, 0 to one less than `stage_count`.
        precropped: the input was cut to shape before, see `Transform.plain`.
        progress: told when the network has to be exported first.

    Raises:
        BackboneError: the weights are missing, or the network has no such stage.
    """
    import onnx

    transform = backbone.transform.plain(precropped=precropped)
    if boundary == 0:
        stored = transform.stored_graph()
        onnx.checker.check_model(stored)
        return bytes(stored.SerializeToString())
    whole = stages_graph(backbone, progress=progress)
    name = f"boundary_{boundary}"
    if whole is None:
        raise BackboneError(f"{backbone.name} cannot be cut")
    extractor = onnx.utils.Extractor(whole)
    if name not in extractor.outmap:
        raise BackboneError(f"{backbone.name} cannot be cut before stage {boundary}")
    lower = extractor.extract_model([whole.graph.input[0].name], [name])
    rank = len(lower.graph.output[0].type.tensor_type.shape.dim) - 1
    merged = _after_transform(transform, lower)
    cut = GraphBuilder("boundary")
    largest = 65_504.0  # of half precision
    bounded = cut("Clip", f"backbone/{name}", cut.floats(-largest), cut.floats(largest))
    half = cut("Cast", bounded, to=onnx.TensorProto.FLOAT16)
    cut("Squeeze", half, cut.ints(0), output="activations")
    cut.add_to(merged.graph)
    del merged.graph.output[:]
    merged.graph.output.append(value("activations", np.float16, [None] * rank))
    onnx.checker.check_model(merged)
    return bytes(merged.SerializeToString())


def stage_count(backbone: Backbone, *, progress: Progress = silent) -> int:
    """How many stages the network has between which it can be cut; 0 if it cannot be cut."""
    model = stages_graph(backbone, progress=progress)
    if model is None:
        return 0
    return 1 + sum(1 for output in model.graph.output if output.name.startswith("boundary_"))


def stages_graph(backbone: Backbone, *, progress: Progress = silent) -> onnx.ModelProto | None:
    """The network with an output at every stage, see `Exported`; None if it cannot be cut."""
    import onnx

    path = _network_part(backbone, _STAGES, progress)
    return onnx.load(path) if path.stat().st_size else None


def _after_transform(transform: Transform, network: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import compose

    front = transform.graph()
    front.ir_version = network.ir_version = max(front.ir_version, network.ir_version)
    network = compose.add_prefix(network, "backbone/")
    joint = (front.graph.output[0].name, network.graph.input[0].name)
    return compose.merge_models(front, network, io_map=[joint])


def network_graph(backbone: Backbone, *, progress: Progress = silent) -> Path:
    """The backbone alone as ONNX: a batch in, `features` (n, d) out.

    The batch of an image network is `pixels` float32 (n, 3, s, s). Beside it lie the same network
    with an output at every stage, see `boundary_graph`, and its parameters as safetensors, see
    `network_tensors`.
    """
    return _network_part(backbone, _FEATURES, progress)


def is_exported(backbone: Backbone) -> bool:
    """Whether `network_graph` need not run PyTorch, which takes many seconds."""
    is_quick = backbone.is_frozen or backbone.layout is WeightsLayout.ORDER
    return is_quick or _part_of(backbone, _FEATURES).is_file()


_FEATURES, _STAGES, _TENSORS = ".onnx", "-depths.onnx", ".safetensors"


def _part_of(backbone: Backbone, part: str) -> Path:
    """Where one of the files lies that a network is exported to."""
    described = json.dumps(architecture_json(backbone.architecture), sort_keys=True)
    network = hashlib.sha256(f"{described} {backbone.weights_sha256}".encode()).hexdigest()[:16]
    name, shape = _short(backbone.architecture.title), backbone.transform.positions
    stem = _file_name(f"{name}-{shape}-{network}-v{GRAPH_FORMAT}")
    return graph_folder() / f"{stem}{part}"


def _network_part(backbone: Backbone, part: str, progress: Progress) -> Path:
    """One of the files that a network is exported to, all of them made where it is not whole."""
    wanted = _part_of(backbone, part)
    if is_whole(wanted):
        return wanted

    from safetensors.numpy import save

    weights = weights_path(backbone)
    if not is_exported(backbone):
        note(progress, f"preparing {backbone.name}: exporting its network, once on this machine")
    exported = export_graphs(backbone.architecture, weights, backbone.layout, backbone.transform)
    files = {
        _FEATURES: exported.features,
        _STAGES: exported.stages,
        _TENSORS: save(exported.tensors) if exported.tensors else b"",
    }
    for suffix, data in files.items():
        write_sealed(_part_of(backbone, suffix), data)
    return wanted


def _file_name(text: str) -> str:
    """A name of a backbone as part of a file name, on any system."""
    return re.sub(r"[^\w.-]", "_", text)


def _short(name: str) -> str:
    """A name, or what tells a long one from others."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:24]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def word_table(backbone: Backbone) -> NDArray[np.float32]:
    """The vectors (v, w) of a backbone of texts, one for each number of its tokenizer.

    Raises:
        BackboneError: the weights are missing or damaged.
    """
    architecture = backbone.architecture
    assert isinstance(architecture, SentenceEncoder | WordTable), architecture.title
    return architecture.token_table(weights_path(backbone), backbone.layout)


def network_tensors(backbone: Backbone) -> dict[str, np.ndarray[Any, Any]]:
    """The parameters of the backbone without its classifier, by name; none of an ONNX file."""
    from safetensors.numpy import load_file

    path = _network_part(backbone, _TENSORS, silent)
    return dict(load_file(path)) if path.stat().st_size else {}
