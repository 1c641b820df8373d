"""Which network a backbone is: one type a family, which builds, loads, describes and exports it.

An architecture is data: it is compared, hashed into keys and saved with a model as JSON. The
libraries that build networks are imported by its methods alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from regraft.errors import BackboneError
from regraft.kinds import KINDS
from regraft.kinds.base import Transform
from regraft.kinds.images.transform import ImageTransform, as_of_images

if TYPE_CHECKING:
    from regraft.engines.classifiers import Described
    from regraft.engines.encoders import Encoder
    from regraft.engines.torch import Exported


class WeightsLayout(StrEnum):
    """How a file of weights names its parameters."""

    NAMES = "names"
    """As the network does; it may have another classifier, or none."""
    ORDER = "order"
    """By the names of another library: the same parameters in the same order."""
    PUBLISHED = "published"
    """As the network's own library publishes it, which reads it."""


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What is known of a network; `transform` is None where the network does not say it."""

    parameters: int
    feature_width: int
    transform: Transform | None = None
    task: str = "image classification"


class Timm(msgspec.Struct, frozen=True, tag_field="family", tag="timm"):
    """A network of timm, by its name, with its pretrained tag or without."""

    name: str

    is_frozen: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """The network for people, as `--arch` takes it."""
        return self.name

    def build(self) -> Any:
        """The network with random weights, its classifier included."""
        from regraft.engines import timm

        return timm.create(self.name)

    def load(self, weights: Path, layout: WeightsLayout = WeightsLayout.NAMES) -> Any:
        """The network in evaluation mode with the weights of a file."""
        from regraft.engines import timm, torch

        if layout is WeightsLayout.PUBLISHED:
            return timm.load(self.name, weights)
        return _loaded(self, torch.read_state(weights), weights, layout)

    def describe(self, _weights: Path) -> NetworkFacts:
        """Facts on the network."""
        from regraft.engines import timm

        return image_facts(timm.describe_network(self.name))


class Torchvision(msgspec.Struct, frozen=True, tag_field="family", tag="torchvision"):
    """An image classifier of torchvision, by its name."""

    name: str

    is_frozen: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """The network for people, as `--arch` takes it."""
        return f"torchvision:{self.name}"

    def build(self) -> Any:
        """The network with random weights, its classifier included."""
        from regraft.engines import torchvision

        return torchvision.create(self.name)

    def load(self, weights: Path, layout: WeightsLayout = WeightsLayout.NAMES) -> Any:
        """The network in evaluation mode with the weights of a file."""
        from regraft.engines import torchvision

        return _loaded(self, torchvision.state_of(weights), weights, layout)

    def describe(self, _weights: Path) -> NetworkFacts:
        """Facts on the network."""
        from regraft.engines import torchvision

        return image_facts(torchvision.describe_network(self.name))


class Transformers(msgspec.Struct, frozen=True, tag_field="family", tag="transformers"):
    """An image model of Hugging Face transformers, by its configuration."""

    config: dict[str, Any]

    is_frozen: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """The network for people."""
        return f"transformers: {self.config['model_type']}"

    def build(self) -> Any:
        """The network with random weights, its classifier included."""
        from regraft.engines import transformers

        return transformers.create(self.config)

    def load(self, weights: Path, layout: WeightsLayout = WeightsLayout.NAMES) -> Any:
        """The network in evaluation mode with the weights of a file."""
        from regraft.engines import torch, transformers

        if layout is WeightsLayout.PUBLISHED:
            return transformers.load(self.config, weights)
        return _loaded(self, torch.read_state(weights), weights, layout)

    def describe(self, _weights: Path) -> NetworkFacts:
        """Facts on the network; its transform is a guess."""
        from regraft.engines import transformers

        return image_facts(transformers.describe_network(self.config))


class OwnModule(msgspec.Struct, frozen=True, tag_field="family", tag="module"):
    """A network of the user's own: where it is, and a digest where two may be at one place."""

    where: str
    digest: str = ""

    is_frozen: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """The network for people, as `--arch` takes it."""
        return f"module:{self.where}"

    @property
    def is_allowed(self) -> bool:
        """Whether the user has named this network in this process."""
        from regraft.engines import modules

        return modules.is_allowed(self.where, self.digest)

    def allow(self, made_by: Any) -> None:
        """Let the network be made in this process, by a callable or as copies of a module."""
        from regraft.engines import modules

        modules.allow(self.where, made_by, digest=self.digest)

    def build(self) -> Any:
        """The network anew, with the weights that it brings."""
        from regraft.engines import modules

        return modules.create(self.where, self.digest)

    def load(self, weights: Path, layout: WeightsLayout = WeightsLayout.NAMES) -> Any:
        """The network in evaluation mode with the weights of a file."""
        from regraft.engines import torch

        return _loaded(self, torch.read_state(weights), weights, layout)

    def describe(self, _weights: Path) -> NetworkFacts:
        """Facts on the network; it is asked for its transform by `module_backbone`."""
        network = self.build()
        count = sum(parameter.numel() for parameter in network.parameters())
        return NetworkFacts(count, int(network.headless_width))


class SentenceEncoder(msgspec.Struct, frozen=True, tag_field="family", tag="encoder"):
    """A text encoder of Hugging Face transformers: its configuration and what follows it.

    `pooling` is "mean", "cls" or "max": how token vectors become one; `is_normalised` says whether
    features have length one.
    """

    config: dict[str, Any]
    pooling: str = "mean"
    is_normalised: bool = False

    is_frozen: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """The network for people."""
        return f"encoder: {self.config['model_type']}"

    def load(self, weights: Path, layout: WeightsLayout = WeightsLayout.NAMES) -> Encoder:
        """The encoder in evaluation mode with the weights of a file."""
        from regraft.engines.encoders import load_encoder

        return load_encoder(
            self.config,
            weights,
            pooling=self.pooling,
            is_normalised=self.is_normalised,
            is_published=layout is WeightsLayout.PUBLISHED,
        )

    def describe(self, weights: Path) -> NetworkFacts:
        """Facts on the network and its weights."""
        from regraft.engines.encoders import parameters_in, width_of

        return NetworkFacts(parameters_in(weights), width_of(self.config), task="text encoding")

    def export(self, weights: Path, layout: WeightsLayout, _transform: Transform) -> Exported:
        """The network as ONNX graphs."""
        from regraft.engines.texts import export_encoder

        return export_encoder(self.load(weights, layout))

    def token_table(self, weights: Path, layout: WeightsLayout) -> NDArray[np.float32]:
        """The vectors (v, h) that the encoder begins with."""
        from regraft.engines.texts import token_table

        return token_table(self.load(weights, layout))


class WordTable(msgspec.Struct, frozen=True, tag_field="family", tag="vectors"):
    """A table of word vectors, whose mean over a text are its features."""

    is_frozen: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """The network for people."""
        return "word vectors"

    def describe(self, weights: Path) -> NetworkFacts:
        """Facts on the table."""
        from regraft.engines.texts import table_shape

        rows, width = table_shape(weights)
        return NetworkFacts(rows * width, width, task="word vectors")

    def export(self, weights: Path, _layout: WeightsLayout, _transform: Transform) -> Exported:
        """The mean of word vectors as an ONNX graph; PyTorch has no part in it."""
        from regraft.engines.texts import export_mean, read_table

        return export_mean(read_table(weights))

    def token_table(self, weights: Path, _layout: WeightsLayout) -> NDArray[np.float32]:
        """The vectors (v, w)."""
        from regraft.engines.texts import read_table

        return read_table(weights)


class OnnxFile(msgspec.Struct, frozen=True, tag_field="family", tag="onnx"):
    """A network that is known as an ONNX graph alone, and stays frozen as that."""

    is_frozen: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """The network for people."""
        return "an ONNX file"

    def describe(self, weights: Path) -> NetworkFacts:
        """Facts on the file."""
        from regraft.backbones.foreign import read_foreign

        foreign = read_foreign(weights)
        return NetworkFacts(foreign.parameters, foreign.feature_width)

    def export(self, weights: Path, _layout: WeightsLayout, transform: Transform) -> Exported:
        """The graph in the form of a backbone; PyTorch has no part in it."""
        from regraft.backbones.foreign import read_foreign
        from regraft.engines.torch import Exported

        foreign = read_foreign(weights, image_size_px=_image_size_px(transform))
        return Exported(foreign.graph, b"", {})


class FromScratch(msgspec.Struct, frozen=True, tag_field="family", tag="scratch"):
    """What owes nothing to pretraining; only the approach that trains it can make it."""

    name: str

    is_frozen: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """The network for people."""
        return self.name

    def describe(self, weights: Path) -> NetworkFacts:
        """Raises BackboneError: nothing can be made of a name."""
        raise BackboneError(
            f"{weights} is of the network {self.name}, which cannot be gone on from; expected a "
            "model of linear_probe, knn or fine_tune, or --arch with timm's name, torchvision:NAME "
            "or module:FILE.py:NAME"
        )

    def export(self, _weights: Path, _layout: WeightsLayout, _transform: Transform) -> Exported:
        """Raises BackboneError: nothing can be made of a name."""
        raise _no_network(self.name)


ImageNetwork = Timm | Torchvision | Transformers | OwnModule
"""What PyTorch builds, and what can be cut, trained and looked into."""

Architecture = ImageNetwork | SentenceEncoder | WordTable | OnnxFile | FromScratch
"""Those that are known here; a kind of input may bring another with a backbone of its own. Each has
what OnnxFile has, and `is_frozen` says whether it can only be used as it is: its parts are not
known by name, or it has none."""


def image_network(architecture: Architecture) -> ImageNetwork:
    """An architecture that PyTorch can build.

    Raises:
        BackboneError: it is of another family.
    """
    if isinstance(architecture, ImageNetwork):
        return architecture
    raise _no_network(architecture.title)


def export_graphs(
    architecture: Architecture, weights: Path, layout: WeightsLayout, transform: Transform
) -> Exported:
    """The network with the weights of a file as ONNX graphs.

    Raises:
        BackboneError: the weights do not fit, or it takes no such input or cannot be exported.
    """
    if not isinstance(architecture, ImageNetwork):
        return architecture.export(weights, layout, transform)
    size_px = _image_size_px(transform)
    if layout is WeightsLayout.ORDER:  # the built-in ones: PyTorch has no part in them
        from regraft.engines.efficientnet_lite import export_efficientnet_lite

        return export_efficientnet_lite(architecture.title, weights, image_size_px=size_px)
    from regraft.engines.torch import export_network

    network = architecture.load(weights, layout)
    return export_network(network, title=architecture.title, image_size_px=size_px)


def architecture_json(architecture: Architecture) -> dict[str, Any]:
    """An architecture as JSON, for models that are saved and for keys."""
    return dict(msgspec.to_builtins(architecture))


def read_architecture(saved: object) -> Architecture:
    """The architecture that `architecture_json` made JSON of, or an earlier version a string.

    Raises:
        BackboneError: it is neither.
    """
    if isinstance(saved, str):
        return architecture_named(saved)
    try:
        architecture: Architecture = msgspec.convert(saved, _type_of(saved))
    except msgspec.ValidationError as error:
        raise BackboneError(
            f"{saved!r:.80} is no architecture ({error}); it may be of a newer version of regraft"
        ) from error
    return architecture


def _type_of(saved: object) -> Any:
    """The type that a kind of input brought under the family that is named; else any known here."""
    family = saved.get("family") if isinstance(saved, dict) else None
    for kind in KINDS.values():
        for backbone in kind.backbones():
            if backbone.architecture.__struct_config__.tag == family:
                return type(backbone.architecture)
    return Architecture


def architecture_named(name: str) -> Architecture:
    """The architecture that `--arch` names; model folders of format 1 name theirs in this way.

    >>> architecture_named("torchvision:resnet18")
    Torchvision(name='resnet18')
    """
    family, colon, rest = name.partition(":")
    match family:
        case "torchvision" if colon:
            return Torchvision(rest)
        case "module" if colon:
            where, _, digest = rest.partition("#")
            return OwnModule(where, digest)
        case "transformers" if rest.startswith("{"):
            return Transformers(json.loads(rest))
        case "encoder" if rest.startswith("{"):
            saved = json.loads(rest)
            config = {"model_type": saved["model_type"], **saved["config"]}
            return SentenceEncoder(config, saved["pooling"], saved["is_normalised"])
        case "vectors":
            return WordTable()
        case "onnx":
            return OnnxFile()
        case "small_resnet" | "small_cnn" | "small_gru" | "tfidf":
            return FromScratch(name)
    return FromScratch(name) if colon else Timm(name)


def _no_network(title: str) -> BackboneError:
    return BackboneError(
        f"{title} is no image network that can be trained or changed; name another backbone"
    )


def _loaded(
    architecture: ImageNetwork,
    state: dict[str, Any],
    weights: Path,
    layout: WeightsLayout,
) -> Any:
    from regraft.engines.torch import load_state

    return load_state(
        architecture.build(),
        state,
        title=architecture.title,
        file=weights.name,
        in_order=layout is WeightsLayout.ORDER,
    )


def _image_size_px(transform: Transform) -> int:
    of_images = as_of_images(transform)
    assert of_images is not None, transform.modality
    return of_images.image_size_px


def image_facts(described: Described) -> NetworkFacts:
    """Facts that an engine tells of an image network."""
    transform = ImageTransform.from_dict(described.transform)
    return NetworkFacts(described.parameters, described.feature_width, transform)
