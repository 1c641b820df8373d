"""Backbones as ONNX graphs on this machine, made once and kept in the cache.

`embedding_graph` turns a backbone and a transform into one file (upright RGB in, features out);
`boundary_graph` cuts it where training begins.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.catalogue.backbone import Backbone, weights_path
from regraft.catalogue.speeds import graph_folder
from regraft.engines import onnx as onnx_engine
from regraft.errors import BackboneError
from regraft.modality.transform import ImageTransform, Normalisation, transform_graph
from regraft.progress import Progress, note, silent
from regraft.storage import write_atomic

if TYPE_CHECKING:
    import onnx

GRAPH_FORMAT = 2  # raise when the exported graphs change meaning: older cached ones are left
_LONGEST_NAME = 80
_UNCHANGED = Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3, pixel_max=255.0, channel_order="rgb")


def graph_key(backbone: Backbone) -> str:
    """What features depend on: weights, transform, engine, precision; 16 hex characters."""
    parts = {
        "format": GRAPH_FORMAT,
        "weights": backbone.weights_sha256,
        "architecture": backbone.architecture,
        "transform": backbone.transform.to_dict(),
        "engine": onnx_engine.IDENTITY,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def embedding_graph(backbone: Backbone, *, progress: Progress = silent) -> Path:
    """An ONNX file: `image` uint8 (h, w, 3) upright RGB in, `features` float32 (d,) out.

    Features are averaged over the views of the backbone's transform. The first call for a
    backbone on a machine exports its network with PyTorch (some seconds); later ones find it.

    Args:
        backbone: from the catalogue, perhaps with another transform.
        progress: told, in a sentence, when something slow begins.

    Raises:
        BackboneError: the weights are missing or damaged.
        StorageError: the cache cannot be written.
    """
    path = graph_folder() / _file_name(f"{_short(backbone.name)}-{graph_key(backbone)}.onnx")
    if path.exists():
        return path

    import onnx

    network = onnx.load(network_graph(backbone, progress=progress))
    write_atomic(path, graph_on_images(backbone.transform, network))
    return path


def graph_on_images(transform: ImageTransform, network: onnx.ModelProto) -> bytes:
    """The transform in front of a network: `image` uint8 (h, w, 3) in, `features` (d,) out.

    `network` maps `pixels` float32 (n, 3, s, s) to `features` (n, d), which are averaged over the
    views of the transform.
    """
    import onnx
    from onnx import helper

    merged = _after_transform(transform, network)
    merged.graph.node.append(
        helper.make_node(
            "ReduceMean",
            ["backbone/features", "average/axes"],
            ["features"],
            name="average",
            keepdims=0,
        )
    )
    merged.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array([0], dtype=np.int64), "average/axes")
    )
    del merged.graph.output[:]
    width = network.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    merged.graph.output.append(
        helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [width])
    )
    onnx.checker.check_model(merged)
    return bytes(merged.SerializeToString())


def boundary_graph(
    backbone: Backbone, boundary: int, *, as_it_is: bool = False, progress: Progress = silent
) -> bytes:
    """What lies below a stage: `image` uint8 (h, w, 3) in, that stage's input out, as float16.

    Boundary 0 is the picture itself: uint8 (3, s, s), resized and cropped but not normalised.

    Args:
        backbone: its network and its transform.
        boundary: how many stages lie below, 0 to one less than `stage_count`.
        as_it_is: squeeze the image into the square instead, because it was cropped before.
        progress: told when the network has to be exported first.

    Raises:
        BackboneError: the weights are missing, or the network has no such stage.
    """
    import onnx
    from onnx import helper

    transform = replace(backbone.transform, views=("plain",))
    if as_it_is:
        transform = replace(transform, resize="squash")
    if boundary == 0:
        transform = replace(transform, normalisation=_UNCHANGED)
        merged, inner, kind = transform_graph(transform), "pixels", onnx.TensorProto.UINT8
        rank = 3
    else:
        stages = _stages_path(network_graph(backbone, progress=progress))
        name = f"boundary_{boundary}"
        extractor = onnx.utils.Extractor(onnx.load(stages))
        if name not in extractor.outmap:
            raise BackboneError(f"{backbone.name} cannot be cut before stage {boundary}")
        lower = extractor.extract_model(["pixels"], [name])
        rank = len(lower.graph.output[0].type.tensor_type.shape.dim) - 1
        merged = _after_transform(transform, lower)
        inner, kind = f"backbone/{name}", onnx.TensorProto.FLOAT16
        largest = np.array(65_504, np.float32)  # of half precision
        merged.graph.initializer.extend(
            onnx.numpy_helper.from_array(sign * largest, f"boundary/{word}")
            for word, sign in (("lowest", -1), ("highest", 1))
        )
        bounds = [inner, "boundary/lowest", "boundary/highest"]
        merged.graph.node.append(helper.make_node("Clip", bounds, ["boundary/bounded"]))
        inner = "boundary/bounded"
    merged.graph.node.append(helper.make_node("Cast", [inner], ["boundary/cast"], to=kind))
    merged.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array([0], np.int64), "boundary/axes")
    )
    merged.graph.node.append(
        helper.make_node("Squeeze", ["boundary/cast", "boundary/axes"], ["activations"])
    )
    del merged.graph.output[:]
    merged.graph.output.append(helper.make_tensor_value_info("activations", kind, [None] * rank))
    onnx.checker.check_model(merged)
    return bytes(merged.SerializeToString())


def stage_count(backbone: Backbone, *, progress: Progress = silent) -> int:
    """How many stages the network has between which it can be cut; 0 if it cannot be cut."""
    import onnx

    path = _stages_path(network_graph(backbone, progress=progress))
    if not path.stat().st_size:
        return 0
    return len(onnx.load(path, load_external_data=False).graph.output)


def _after_transform(transform: ImageTransform, network: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import compose

    pixels = transform_graph(transform)
    pixels.ir_version = network.ir_version = max(pixels.ir_version, network.ir_version)
    network = compose.add_prefix(network, "backbone/")
    return compose.merge_models(pixels, network, io_map=[("pixels", "backbone/pixels")])


def network_graph(backbone: Backbone, *, progress: Progress = silent) -> Path:
    """The backbone alone as ONNX: `pixels` float32 (n, 3, s, s) in, `features` (n, d) out.

    Beside it lie the same network with an output at every stage, see `boundary_graph`, and its
    parameters as safetensors, see `network_tensors`.
    """
    size = backbone.transform.image_size_px
    stem = f"{_short(backbone.architecture)}-{size}-{backbone.weights_sha256[:16]}-v{GRAPH_FORMAT}"
    path = graph_folder() / _file_name(f"{stem}.onnx")
    if path.exists() and path.with_suffix(".safetensors").exists() and _stages_path(path).exists():
        return path

    weights = weights_path(backbone)
    if backbone.is_frozen:
        from regraft.catalogue.foreign import read_foreign

        found = read_foreign(weights, image_size_px=size)
        write_atomic(path.with_suffix(".safetensors"), b"")
        write_atomic(_stages_path(path), b"")
        write_atomic(path, found.graph)
        return path
    note(progress, f"preparing {backbone.name}: exporting its network, once on this machine")
    from safetensors.numpy import save

    from regraft.engines.torch import export_network

    exported = export_network(
        backbone.architecture,
        weights,
        image_size_px=backbone.transform.image_size_px,
        match=backbone.match,
    )
    write_atomic(path.with_suffix(".safetensors"), save(exported.tensors))
    write_atomic(_stages_path(path), exported.stages)
    write_atomic(path, exported.features)
    return path


def _file_name(text: str) -> str:
    """A name of a backbone as part of a file name, on any system."""
    return re.sub(r"[^\w.-]", "_", text)


def _short(name: str) -> str:
    """A name, or what tells a long one from others."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:24]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _stages_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}-stages.onnx")


def network_tensors(backbone: Backbone) -> dict[str, np.ndarray[Any, Any]]:
    """The parameters of the backbone without its classifier, by name; none of an ONNX file."""
    from safetensors.numpy import load_file

    path = network_graph(backbone).with_suffix(".safetensors")
    return dict(load_file(path)) if path.stat().st_size else {}
