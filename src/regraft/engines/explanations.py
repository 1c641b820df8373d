"""A torch classifier, pixels and classes in, heat maps out: where the evidence for a class lies.

The method is Grad-CAM (Selvaraju et al., ICCV 2017, arXiv 1610.02391) as captum computes it:
the features of the last layer that still has places, each weighted by how much the logit of the
class rises with it, negative sums cut off. Convolutional networks have such a layer; the tokens
of a transformer are laid out as the grid they were cut from, class and register tokens left out.

A classifier is what `networks.with_head` returns.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from regraft.errors import ExplanationError

if TYPE_CHECKING:
    import torch

METHOD = "Grad-CAM"

_SMALLEST_GRID = 3  # places a side: fewer point nowhere
_REACHING = 0.5  # share of the places on which the logit has to depend
_OUTERMOST = 2  # depth at which a network's stages are found: `layer4`, `blocks.11`

Layout = Literal["channels first", "channels last", "tokens"]


@dataclass(frozen=True, slots=True)
class EvidenceLayer:
    """The layer that is looked at: the module of `features` of that name.

    Its output is (n, c, g, g), (n, g, g, c) or (n, prefix + g * g, c), as `layout` says; `grid` is
    g, `prefix` the number of tokens in front that belong to no place.
    """

    name: str
    layout: Layout
    grid: int
    prefix: int = 0


def find_layer(classifier: torch.nn.Module, pixels: NDArray[np.float32]) -> EvidenceLayer:
    """The last layer whose output is a grid of places on which the logits depend.

    It is found by running the network once, not by its name: the places of a transformer's last
    block count for nothing where only its class token is read, so the block before it is taken.
    Modules that run several times are passed over, and what lies deep inside a block is looked at
    only if nothing further out will do.

    Args:
        classifier: as `with_head` returns it.
        pixels: (1, 3, s, s), as the transform makes them.

    Raises:
        ExplanationError: there is no such layer.
    """
    import torch

    features: Any = classifier.get_submodule("features")
    outputs: dict[str, Any] = {}  # in the order in which the modules finish
    runs: Counter[str] = Counter()

    def keep(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            runs[name] += 1
            outputs[name] = output

        return hook

    handles = [m.register_forward_hook(keep(name)) for name, m in features.named_modules() if name]
    try:
        with _explained(), torch.enable_grad():
            x = torch.tensor(pixels, requires_grad=True)
            logits = classifier(x.clone())  # a copy: networks may write into what they are given
            found = [
                layer
                for name, output in outputs.items()
                if runs[name] == 1 and (layer := _layer(name, output, classifier)) is not None
            ]
            gradients: Sequence[Any] = ()
            if found:
                gradients = torch.autograd.grad(
                    logits.max(dim=1).values.sum(),
                    [outputs[layer.name] for layer in found],
                    allow_unused=True,
                )
    finally:
        for handle in handles:
            handle.remove()
    last_first = list(zip(found, gradients, strict=True))[::-1]
    last_first.sort(key=lambda pair: max(_OUTERMOST, pair[0].name.count(".") + 1))
    for layer, gradient in last_first:
        if gradient is not None and _reaching(_as_grid(layer, gradient)) >= _REACHING:
            return layer
    raise ExplanationError(
        "the network has no layer whose output is a grid of places; heat maps need a "
        "convolutional network or a transformer on patches"
    )


def class_maps(
    classifier: torch.nn.Module,
    layer: EvidenceLayer,
    pixels: NDArray[np.float32],
    targets: Sequence[int] | NDArray[np.int64],
) -> NDArray[np.float32]:
    """Where each picture holds evidence for a class: float32 (n, g, g), 0 or more.

    All zeros where nothing speaks for it.

    Args:
        classifier: as `with_head` returns it.
        layer: see `find_layer`.
        pixels: (n, 3, s, s), as the transform makes them.
        targets: n class numbers, 0 to k - 1.

    Raises:
        ExplanationError: the maps cannot be computed.
    """
    import torch

    grid = torch.nn.Identity()  # captum listens here: it takes the second dimension for channels
    module = classifier.get_submodule("features").get_submodule(layer.name)

    def through_the_grid(_module: Any, _inputs: Any, output: Any) -> Any:
        return _from_grid(layer, grid(_as_grid(layer, output)), output)

    handle = module.register_forward_hook(through_the_grid)
    try:
        with _explained():
            from captum.attr import LayerGradCam

            found: Any = LayerGradCam(classifier, grid).attribute(
                torch.tensor(pixels),
                target=torch.from_numpy(np.asarray(targets, dtype=np.int64)),
                relu_attributions=True,
            )
    finally:
        handle.remove()
    return np.asarray(found[:, 0].detach().numpy(), dtype=np.float32)


def class_logits(classifier: torch.nn.Module, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Uncalibrated logits (n, k) of pixels (n, 3, s, s)."""
    import torch

    with _explained(), torch.no_grad():
        return np.asarray(classifier(torch.tensor(pixels)).numpy(), dtype=np.float32)


def randomised(classifier: torch.nn.Module, *, seed: int) -> torch.nn.Module:
    """The same network with nothing learned left in it: every weight is drawn anew.

    Weights are normal with variance 2 / fan-in (He et al., ICCV 2015), which keeps the scale of
    activations in deep networks; biases are 0, scales 1, statistics of normalisation 0 and 1.
    """
    import torch

    with _explained():
        found = copy.deepcopy(classifier)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0.0, math.sqrt(2 / parameter[0].numel()), generator=generator)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
        for name, buffer in found.named_buffers():
            if name.endswith("running_mean"):
                buffer.zero_()
            elif name.endswith("running_var"):
                buffer.fill_(1.0)
    return found


def _layer(name: str, output: Any, classifier: Any) -> EvidenceLayer | None:
    """What is known of a module from its output (n, ...); None if that is no grid of places."""
    import torch

    if not isinstance(output, torch.Tensor) or not output.requires_grad:
        return None
    shape = tuple(output.shape)
    features: Any = classifier.features
    widths = {getattr(features, name, None) for name in ("num_features", "embed_dim")}
    widths.add(getattr(getattr(features, "config", None), "hidden_size", None))  # transformers
    widths.add(classifier.head.in_features)
    if len(shape) == 4:
        is_last = "NHWC" in str(getattr(features, "output_fmt", ""))  # timm says so
        if not is_last and shape[2] == shape[3] >= _SMALLEST_GRID:
            return EvidenceLayer(name, "channels first", shape[3])
        if (is_last or shape[3] in widths) and shape[1] == shape[2] >= _SMALLEST_GRID:
            return EvidenceLayer(name, "channels last", shape[1])
    if len(shape) == 3 and shape[2] in widths:
        for prefix in dict.fromkeys((int(getattr(features, "num_prefix_tokens", 0)), 0, 1)):
            side = math.isqrt(max(0, shape[1] - prefix))
            if side >= _SMALLEST_GRID and side * side + prefix == shape[1]:
                return EvidenceLayer(name, "tokens", side, prefix)
    return None


def _as_grid(layer: EvidenceLayer, output: Any) -> Any:
    """(n, c, g, g) of what the layer put out."""
    if layer.layout == "channels last":
        return output.permute(0, 3, 1, 2)
    if layer.layout == "tokens":
        places = output[:, layer.prefix :].transpose(1, 2)
        return places.unflatten(2, (layer.grid, layer.grid))
    return output


def _from_grid(layer: EvidenceLayer, grid: Any, output: Any) -> Any:
    """What the network goes on with: `output` with its places taken from the grid."""
    import torch

    if layer.layout == "channels last":
        return grid.permute(0, 2, 3, 1)
    if layer.layout == "tokens":
        return torch.cat([output[:, : layer.prefix], grid.flatten(2).transpose(1, 2)], dim=1)
    return grid


def _reaching(gradient: Any) -> float:
    """Share of the places of a gradient (1, c, g, g) that is not zero in every channel."""
    return float((gradient.abs().sum(dim=1) > 0).float().mean())


@contextmanager
def _explained() -> Iterator[None]:
    """Whatever a network of unknown make or a library trips over, as one line."""
    try:
        yield
    except ExplanationError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ExplanationError(f"the network cannot be looked into ({what})") from error
