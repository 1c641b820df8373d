"""Networks that can be trained: what is frozen, what learns, and how they end up as ONNX.

A `Trainee` maps stored activations (or pixels) to features and logits. It is built from a
pretrained network cut at a stage, from regraft's own small residual network, or from any module
a user brings. `with_head` and `restore_scratch` make networks of what was saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from regraft.engines.classifiers import remove_classifier
from regraft.engines.stages import chain_of
from regraft.engines.torch import export_module, read_state
from regraft.errors import ModelError, TrainingError

if TYPE_CHECKING:
    import torch

_SMALL_WIDTHS = (16, 32, 64, 128)


class Intake(Protocol):
    """What a network takes: how stored batches become its input, and what its graph's input is."""

    def tensor(self, batch: NDArray[Any]) -> torch.Tensor:
        """A stored batch (b, ...) as what `body` takes; the dtype says what was stored."""

    def dummies(self, shape: Sequence[int], dtype: np.dtype[Any], n: int) -> NDArray[Any]:
        """A batch (n, *shape) as it could be stored, to time a network with."""

    def graph(self, whole: torch.nn.Module) -> bytes:
        """The network from its raw input to features, as ONNX."""


@dataclass(frozen=True, slots=True)
class PixelScale:
    """How grey levels 0 to 255 become what a network takes; see `kinds.images.transform`."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pixel_max: float
    channel_order: str


@dataclass(frozen=True, slots=True)
class Pixels:
    """An Intake of pictures: uint8 (b, 3, s, s), or the activations of a stage."""

    scale: PixelScale
    image_size_px: int

    def tensor(self, batch: NDArray[Any]) -> torch.Tensor:
        """Float32, pixels normalised as well; channels last, which CPUs prefer."""
        import torch

        x = torch.from_numpy(np.ascontiguousarray(batch)).float()
        if batch.dtype == np.uint8:
            scale = self.scale
            if scale.channel_order == "bgr":
                x = x.flip(1)
            mean = torch.tensor(scale.mean).view(1, 3, 1, 1)
            std = torch.tensor(scale.std).view(1, 3, 1, 1)
            x = (x * (scale.pixel_max / 255) - mean) / std
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    def dummies(self, shape: Sequence[int], dtype: np.dtype[Any], n: int) -> NDArray[Any]:
        """Random grey levels, or activations of 0 to 4."""
        values = np.random.default_rng(0).integers(0, 256, (n, *shape))
        return (values if dtype == np.uint8 else values / 64).astype(dtype)

    def graph(self, whole: torch.nn.Module) -> bytes:
        """From `pixels` float32 (n, 3, s, s), normalised, to `features` (n, d)."""
        return export_module(whole, ["features"], image_size_px=self.image_size_px)


@dataclass(slots=True)
class Trainee:
    """A network in training.

    `body` maps an input batch to features (n, d), `head` features to logits (n, k). `whole` maps
    raw inputs (normalised pixels, tokens) to features: the frozen part below and `body`. `learning`
    lists the parameters that learn with their depth below the head, in stages. `intake` says what
    the network takes. `statistics_learn` says whether batch normalisation in `body` follows the
    data or keeps what it was pretrained with; in the frozen part it always keeps it.
    """

    body: torch.nn.Module
    head: torch.nn.Module
    whole: torch.nn.Module
    learning: list[tuple[int, list[torch.nn.Parameter]]]
    state: Callable[[], dict[str, Any]]
    intake: Intake
    statistics_learn: bool

    def export(self) -> tuple[bytes, dict[str, NDArray[Any]]]:
        """The graph from the raw input to `features`, see `intake`, and all parameters."""
        graph = self.intake.graph(self.whole.float().cpu().eval())
        tensors = {name: t.detach().cpu().contiguous().numpy() for name, t in self.state().items()}
        return graph, tensors

    def parameters(self) -> dict[str, NDArray[Any]]:
        """All parameters and statistics, those of the head included, by name."""
        found = {f"network.{name}": tensor for name, tensor in self.state().items()}
        found |= {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in found.items()}

    def load_parameters(self, parameters: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `parameters` returned."""
        import torch

        with torch.no_grad():
            for prefix, state in (("network", self.state()), ("head", self.head.state_dict())):
                for name, tensor in state.items():
                    tensor.copy_(torch.from_numpy(np.array(parameters[f"{prefix}.{name}"])))

    def set_head(self, weights: NDArray[Any], bias: NDArray[Any]) -> None:
        """Put weights (d, k) and bias (k,) into the head."""
        import torch

        linear: Any = self.head
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(np.asarray(weights).T, dtype=torch.float32))
            linear.bias.copy_(torch.tensor(np.asarray(bias), dtype=torch.float32))

    def head_arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (d, k) and bias (k,) of the head."""
        linear: Any = self.head
        return (
            linear.weight.detach().double().cpu().numpy().T.copy(),
            linear.bias.detach().double().cpu().numpy().copy(),
        )


def pretrained_trainee(
    network: Any,
    *,
    title: str,
    boundary: int,
    first_stages: int | None,
    n_classes: int,
    feature_width: int,
    scale: PixelScale,
    image_size_px: int,
) -> Trainee:
    """A pretrained network of which the stages from `boundary` on learn.

    Args:
        network: with its weights; changed in place.
        title: what network it is, for people.
        boundary: stages below, whose outputs are what `body` takes; 0 for pixels.
        first_stages: with boundary 0, that only so many of the first stages learn; None for all.
        n_classes: k, of the head, which begins at zero.
        feature_width: d.
        scale: of the pixels.
        image_size_px: of the pixels.
    """
    import torch

    remove_classifier(network)
    chain = chain_of(network, image_size_px=image_size_px)
    if boundary >= max(1, chain.stages):
        raise TrainingError(f"{title} has {chain.stages} stages, cannot train {boundary}")
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    learning: dict[int, list[torch.nn.Parameter]] = {}
    lowest = len(chain.below(boundary))
    for i, (_, link) in enumerate(chain.links):
        stage = chain.stage_of(i)
        if i < lowest or (first_stages is not None and stage >= first_stages):
            continue
        for parameter in link.parameters():
            parameter.requires_grad_(True)
            learning.setdefault(max(1, chain.stages) - stage, []).append(parameter)
    linear = zero_head(feature_width, n_classes)
    learning[0] = list(linear.parameters())
    return Trainee(
        body=torch.nn.Sequential(*(link for _, link in chain.above(boundary))),
        head=linear,
        whole=network,
        learning=sorted(learning.items()),
        state=network.state_dict,
        intake=Pixels(scale, image_size_px),
        statistics_learn=first_stages is None,
    )


def scratch_trainee(
    make: Callable[[int], Any] | None, *, n_classes: int, scale: PixelScale, image_size_px: int
) -> Trainee:
    """A network that starts from random weights.

    Args:
        make: called with the number of classes, returns a module that maps normalised pixels
            float32 (n, 3, s, s) to logits (n, k); None for regraft's small residual network.
        n_classes: k.
        scale: of the pixels.
        image_size_px: s.

    Raises:
        TrainingError: what `make` returns is no module or its output has another shape.
    """
    network = _made(make, n_classes, image_size_px)
    learning = [p for p in network.parameters() if p.requires_grad]
    if not learning:
        raise TrainingError("the architecture has no parameters that can learn")
    body, head = _split_head(network, n_classes, image_size_px)
    return Trainee(
        body=body,
        head=head,
        whole=body,
        learning=[(0, learning)],
        state=body.state_dict,
        intake=Pixels(scale, image_size_px),
        statistics_learn=True,
    )


def restore_scratch(
    make: Callable[[int], Any] | None,
    weights: Path,
    *,
    head: tuple[NDArray[Any], NDArray[Any]],
    image_size_px: int,
) -> torch.nn.Module:
    """What was trained by `scratch_trainee` and saved; see `with_head`.

    Args:
        make: see `scratch_trainee`.
        weights: the safetensors file of a model folder.
        head: weights (d, k) and bias (k,).
        image_size_px: s.

    Raises:
        ModelError: the weights do not fit the network that `make` builds.
        TrainingError: `make` builds no network.
    """
    n_classes = len(head[1])
    network = _made(make, n_classes, image_size_px)
    features, _ = _split_head(network, n_classes, image_size_px)
    try:
        features.load_state_dict(read_state(weights))
    except RuntimeError as error:
        what = " ".join(str(error).split())
        raise ModelError(
            f"the weights in {weights} are not of this network ({what[:200]}); name the "
            "architecture that was trained"
        ) from error
    return with_head(features, head)


def zero_head(feature_width: int, n_classes: int) -> torch.nn.Linear:
    """A linear layer (d, k) that says the same of everything until it is set or trained."""
    import torch

    linear = torch.nn.Linear(feature_width, n_classes)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    return linear


def with_head(
    features: torch.nn.Module, head: tuple[NDArray[Any], NDArray[Any]]
) -> torch.nn.Module:
    """An image classifier as a torch network, to look into: pixels in, plain logits out.

    It is in evaluation mode and none of its parameters asks for a gradient. Its parts are called
    `features`, float32 (n, 3, s, s) to (n, d), and `head`, to (n, k).

    Args:
        features: a network without its classifier.
        head: weights (d, k) and bias (k,).
    """
    import torch

    linear = torch.nn.Linear(*head[0].shape)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.asarray(head[0], dtype=np.float32).T.copy()))
        linear.bias.copy_(torch.from_numpy(np.asarray(head[1], dtype=np.float32).copy()))
    classifier = torch.nn.Sequential()
    classifier.add_module("features", features)
    classifier.add_module("head", linear)
    return classifier.eval().requires_grad_(False)


def _made(make: Callable[[int], Any] | None, n_classes: int, image_size_px: int) -> Any:
    """The network from random weights, checked; see `scratch_trainee`."""
    import torch

    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the same random weights in every run
            network: Any = _small_resnet(n_classes) if make is None else make(n_classes)
    except Exception as error:  # whatever the user's code raises
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise TrainingError(
            f"the architecture cannot be made for {n_classes} classes: {what}"
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise TrainingError(
            f"the architecture returned {type(network).__name__}, expected a torch.nn.Module"
        )
    pixels = torch.zeros(2, 3, image_size_px, image_size_px)
    try:
        with torch.no_grad():
            found = network.eval()(pixels)
    except Exception as error:
        what = str(error).partition("\n")[0]
        raise TrainingError(
            f"the architecture cannot take pixels of shape (2, 3, {image_size_px}, "
            f"{image_size_px}): {what}"
        ) from error
    shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
    if shape != (2, n_classes):
        raise TrainingError(
            f"the architecture returned {shape} for 2 images, expected (2, {n_classes}): one "
            "logit for each class"
        )
    return network


def _split_head(network: Any, n_classes: int, image_size_px: int) -> tuple[Any, Any]:
    """Body and head: its last linear layer, if that is what makes the logits; else identity."""
    import torch

    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 3, image_size_px, image_size_px, generator=generator)
    linear = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and module.bias is not None
    ]
    if linear and linear[-1][1].out_features == n_classes and linear[-1][0]:
        name, head = linear[-1]
        parent, _, last = name.rpartition(".")
        with torch.no_grad():
            logits = network(pixels)
            setattr(network.get_submodule(parent), last, torch.nn.Identity())
            try:
                found = head(network(pixels))
            except Exception:  # code behind the layer that only logits survive
                found = torch.empty(0)
        if found.shape == logits.shape and torch.allclose(found, logits, atol=1e-5):
            return network, head
        setattr(network.get_submodule(parent), last, head)
    identity = torch.nn.Linear(n_classes, n_classes)
    with torch.no_grad():
        identity.weight.copy_(torch.eye(n_classes))
        identity.bias.zero_()
    for parameter in identity.parameters():
        parameter.requires_grad_(False)
    return network, identity


def _small_resnet(n_classes: int) -> Any:
    """A residual network of 0.7 million parameters for 128 pixels and a CPU.

    Pre-activation is not used; the last normalisation of each block starts at zero (Goyal et al.
    2017), shortcuts shrink by average pooling (ResNet-D, He et al., CVPR 2019).
    """
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            last = nn.BatchNorm2d(width)
            nn.init.zeros_(last.weight)
            self.main = nn.Sequential(
                nn.Conv2d(before, width, 3, stride, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.Conv2d(width, width, 3, 1, 1, bias=False),
                last,
            )
            steps: list[nn.Module] = [nn.AvgPool2d(stride)] if stride > 1 else []
            if before != width:
                steps += [nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width)]
            self.shortcut = nn.Sequential(*steps)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.main(x) + self.shortcut(x))

    layers: list[nn.Module] = [
        nn.Conv2d(3, _SMALL_WIDTHS[0], 3, 2, 1, bias=False),
        nn.BatchNorm2d(_SMALL_WIDTHS[0]),
        nn.ReLU(inplace=True),
    ]
    before = _SMALL_WIDTHS[0]
    for i, width in enumerate(_SMALL_WIDTHS):
        layers += [Block(before, width, 1 if i == 0 else 2), Block(width, width, 1)]
        before = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, n_classes)]
    return nn.Sequential(*layers)
