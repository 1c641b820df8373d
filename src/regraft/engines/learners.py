"""fastai's loaders and learners: made of files, labels and networks, and taken apart into weights.

What is read of a file comes from the caller, as a square picture. Nothing is saved as fastai saves
it, which is code and not data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.engines import torchvision
from regraft.engines.classifiers import classifier_names
from regraft.engines.fastai import library, normalising
from regraft.engines.networks import PixelScale
from regraft.errors import BackboneError

if TYPE_CHECKING:
    import torch

Read = Callable[[Any], NDArray[np.uint8]]


def image_loaders(
    training: Mapping[Path, str],
    held: Mapping[Path, str],
    *,
    classes: Sequence[str],
    read: Read,
    scale: PixelScale,
    batch_size: int,
) -> Any:
    """A `DataLoaders` of fastai with a training and a validation part.

    Args:
        training: labels by file.
        held: those of the validation part.
        classes: every label, in the order of the class numbers.
        read: makes a picture, uint8 (s, s, 3), of what is given as an item, such as a path.
        scale: of the pixels.
        batch_size: of both parts, at most as many as there are files to train on.
    """
    fastai = library()
    labels = {**training, **held}
    items = [*training, *held]
    splits = [list(range(len(training))), list(range(len(training), len(items)))]
    category = fastai.Categorize(vocab=list(classes), sort=False)
    sets = fastai.Datasets(items, [[_picture_of(read)], [labels.get, category]], splits=splits)
    return sets.dataloaders(bs=min(batch_size, len(training)), **_transforms(scale))


def empty_loaders(*, classes: Sequence[str], read: Read, scale: PixelScale, size_px: int) -> Any:
    """A `DataLoaders` without any photo, for a learner that predicts; see `image_loaders`."""
    fastai = library()
    blank = np.zeros((size_px, size_px, 3), np.uint8)  # from which fastai reads the types
    category = fastai.Categorize(vocab=list(classes), sort=False)
    sets = fastai.Datasets(
        [blank, blank],
        [[_picture_of(read)], [lambda _: classes[0], category]],
        splits=[[0], [1]],
    )
    loaders = sets.dataloaders(bs=1, **_transforms(scale))
    return loaders.new_empty()


def _transforms(scale: PixelScale) -> dict[str, Any]:
    fastai = library()
    return {
        "after_item": [fastai.ToTensor()],
        "after_batch": [fastai.IntToFloatTensor(), *normalising(scale)],
        "num_workers": 0,  # ONNX Runtime's threads do not survive a fork
    }


def _picture_of(read: Read) -> Any:
    """The transform from an item to a picture, for every type that an item may have."""
    fastai = library()
    transform = fastai.Transform(lambda item: fastai.PILImage.create(read(item)))
    transform.input_types = (str, Path, bytes, np.ndarray, fastai.Image.Image)
    return transform


def learner_of(network: torch.nn.Module, loaders: Any, *, architecture: str) -> Any:
    """A `Learner` of a network that is a sequence of body and head; `arch` is its architecture."""
    fastai = library()
    learner = fastai.Learner(
        loaders,
        network,
        loss_func=fastai.CrossEntropyLossFlat(),
        splitter=fastai.default_split,
        metrics=fastai.accuracy,
    )
    learner.arch = architecture
    return learner


def averaged(network: torch.nn.Module) -> torch.nn.Module:
    """A sequence of body and head whose features are the mean of a picture's and its mirror's."""
    import torch

    parts: Any = network
    return torch.nn.Sequential(_averaged_type()(parts[0]), parts[1])


@cache
def _averaged_type() -> Any:
    import torch

    class Averaged(torch.nn.Module):
        """The mean of the features of a picture and of its mirror image."""

        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.model(x) + self.model(x.flip(-1))) / 2  # type: ignore[no-any-return]

    return Averaged


def body_weights(learner: Any, network: Any, *, title: str) -> dict[str, NDArray[Any]]:
    """The parameters of a learner's body, by the names of the library its network is from.

    fastai cuts networks of torchvision into numbered parts; those of timm it keeps as they are.

    Args:
        learner: its model is a sequence of body and head, or a network of timm or torchvision.
        network: one of that library, as its body was before.
        title: what it is, for people.

    Returns:
        All tensors of the network but those of its classifier.

    Raises:
        BackboneError: the tensors are not those of the network.
    """
    body = _body(learner)
    heads = tuple(f"{head}." for head in classifier_names(network))
    expected = {n: t for n, t in network.state_dict().items() if not n.startswith(heads)}
    problem = ""
    children = [child for child, _ in network.named_children()]
    for state in (body.state_dict(), _by_children(body.state_dict(), children)):
        lacking = [n for n, t in expected.items() if n not in state or state[n].shape != t.shape]
        if not lacking:
            return {n: state[n].detach().cpu().contiguous().numpy() for n in expected}
        found = tuple(state[lacking[0]].shape) if lacking[0] in state else "missing"
        problem = f"{lacking[0]} is {found}, expected {tuple(expected[lacking[0]].shape)}"
    raise BackboneError(
        f"the body of the learner does not hold what {title} needs below its classifier "
        f"({problem}); name its architecture, or take one of which fastai keeps all else"
    )


def _by_children(state: Mapping[str, Any], children: Sequence[str]) -> dict[str, Any]:
    """The names that parameters had before the children of a network were numbered."""
    found = {}
    for name, tensor in state.items():
        number, _, rest = name.partition(".")
        if number.isdecimal() and int(number) < len(children):
            found[f"{children[int(number)]}.{rest}"] = tensor
    return found


def _body(learner: Any) -> Any:
    import torch

    body = learner.model
    if isinstance(body, torch.nn.Sequential) and len(body) > 1:
        body = body[0]
    while isinstance(getattr(body, "model", None), torch.nn.Module):
        body = body.model
    return body


def architecture_name(learner: Any) -> str:
    """What a learner says its architecture is: timm's name, or "torchvision:NAME".

    Raises:
        BackboneError: it says nothing.
    """
    body, arch = _body(learner), getattr(learner, "arch", None)
    if isinstance(arch, str):
        return arch
    name = getattr(arch, "__name__", "")
    if name in torchvision.names():
        return f"torchvision:{name}"
    facts = getattr(body, "pretrained_cfg", None) or {}
    if facts.get("architecture"):
        return str(facts["architecture"])
    raise BackboneError(
        f"the body of the learner is {name or type(body).__name__}, of which it is not known what "
        "timm or torchvision call it; add architecture with timm's name, or torchvision:NAME"
    )
