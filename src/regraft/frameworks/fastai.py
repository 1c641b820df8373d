"""fastai: its `DataLoaders` and `Learner` from regraft's data and models, and its weights back.

Weights go as safetensors; nothing that runs code when it is read is written or opened. Needs the
extra `fastai`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.approaches.base import FOLDS, repeated_folds
from regraft.approaches.fine_tune import pixel_scale
from regraft.backbones.architectures import architecture_named, image_network
from regraft.backbones.backbone import Backbone, image_transform
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.backbones.graphs import boundary_graph
from regraft.backbones.sources import get_backbone
from regraft.dataset import Dataset, Row
from regraft.engines import fastai as engine
from regraft.engines.devices import load_graph
from regraft.engines.learners import (
    architecture_name,
    averaged,
    body_weights,
    empty_loaders,
    image_loaders,
    learner_of,
)
from regraft.errors import DataError, UsageError
from regraft.features.embedding import unreadable_images
from regraft.kinds.base import read_input
from regraft.kinds.images.decoding import decode
from regraft.kinds.images.transform import ImageTransform
from regraft.model import Model, load, network_of
from regraft.progress import Progress, note, silent
from regraft.storage.files import write_atomic


def to_dataloaders(
    data: Dataset,
    *,
    backbone: str | Backbone = DEFAULT_BACKBONE,
    batch_size: int = 32,
    fold: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Any:
    """A fastai `DataLoaders` of the photos, as a backbone of regraft sees them.

    Photos are opened by regraft (upright, CMYK and 16 bit included), and resized, cropped and
    normalised as the backbone asks for. Class numbers are in the order of `data.classes`.
    Nothing is augmented; `dls.add_tfms(aug_transforms(), "after_batch")` does so for the training
    part. A learner of them can be saved by `Learner.save`, not exported by `Learner.export`.

    Args:
        data: what `scan` returned, or `find_groups`, which keeps near copies and series of frames
            in one part. Photos that cannot be read are left out.
        backbone: whose transform is used.
        batch_size: of both parts.
        fold: the fold of the training rows that is the validation part, 0 to 4: those of `fit`
            with the same seed. None for the test rows, or for fold 0 where there are none.
        seed: of the folds.
        jobs: worker threads.
        progress: told which photos are left out.

    Raises:
        MissingExtraError: fastai is not installed.
        UsageError: there is no such fold, or the batch size is below 1.
        DataError: no photo is left in one of the parts.
        BackboneError: the backbone is unknown.
    """
    engine.library("a fastai DataLoaders")
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}, expected at least 1")
    found = get_backbone(backbone) if isinstance(backbone, str) else backbone
    parts = []
    for name, rows in zip(("training", "validation"), _parts(data, fold, seed), strict=True):
        readable = _readable(data, rows, jobs=jobs, progress=progress)
        if not readable:
            raise DataError(f"no photo of the {name} part can be read; see regraft scan for why")
        parts.append(readable)
    return image_loaders(
        *parts,
        classes=data.classes,
        read=_Reader(found),
        scale=pixel_scale(found),
        batch_size=batch_size,
    )


def to_learner(
    model: str | Path | Model,
    dls: Any = None,
    *,
    architecture: Callable[[int], Any] | None = None,
) -> Any:
    """A fastai `Learner` whose network is that of a saved model.

    It predicts the model's probabilities, the temperature of their calibration included, and can
    be trained further. Its model is a sequence of the backbone and a linear head.

    Args:
        model: a Model, or a model or run folder.
        dls: a `DataLoaders`, see `to_dataloaders`; None for one that only predicts files.
        architecture: makes the network of a model that was trained from scratch on your own.

    Raises:
        MissingExtraError: fastai is not installed.
        ModelError: the model cannot be read, or is no network that can be rebuilt.
        UsageError: the classes of `dls` are not those of the model.
    """
    engine.library("a fastai Learner")
    found = model if isinstance(model, Model) else load(model)
    backbone = _backbone_of(found)
    network = network_of(found, make=architecture, calibrated=True)
    if "mirror" in backbone.transform.views:
        network = averaged(network)
    if dls is None:
        dls = empty_loaders(
            classes=found.classes,
            read=_Reader(backbone),
            scale=pixel_scale(backbone),
            size_px=image_transform(backbone).image_size_px,
        )
    elif tuple(dls.vocab) != found.classes:
        raise UsageError(
            f"the classes of dls are {', '.join(map(str, dls.vocab))}, expected those of the "
            f"model in their order: {', '.join(found.classes)}"
        )
    return learner_of(network, dls, architecture=found.architecture.title)


def save_learner_weights(learner: Any, file: str | Path, *, architecture: str | None = None) -> str:
    """Write the body of a fastai `Learner` as safetensors, for `--backbone file:FILE --arch NAME`.

    Args:
        learner: of `vision_learner`, `to_learner`, or any whose body is a network of timm or
            torchvision.
        file: its name, ending in .safetensors.
        architecture: timm's name or "torchvision:NAME", where the learner does not say it.

    Returns:
        The name for `--arch`.

    Raises:
        UsageError: the file has another ending.
        BackboneError: the names of the body's parameters cannot be told.
        StorageError: the file cannot be written.
    """
    from safetensors.numpy import save

    path = Path(file)
    if path.suffix != ".safetensors":
        raise UsageError(f"the file is {path}, expected a name that ends in .safetensors")
    named = architecture_named(architecture or architecture_name(learner))
    network = image_network(named).build()
    write_atomic(path, save(body_weights(learner, network, title=named.title)))
    return named.title


class _Reader:
    """Makes the square picture that a backbone sees of a path, of bytes, or of a picture."""

    def __init__(self, backbone: Backbone) -> None:
        plain = replace(backbone, transform=backbone.transform.plain())
        self._engine = load_graph(boundary_graph(plain, 0))

    def __call__(self, item: Any) -> NDArray[np.uint8]:
        if isinstance(item, str | Path):
            item = read_input(item)
        image = decode(item) if isinstance(item, bytes) else _rgb(item)
        found: NDArray[np.uint8] = self._engine.run(image)[0]
        return np.ascontiguousarray(found.transpose(1, 2, 0))


def _rgb(picture: Any) -> NDArray[np.uint8]:
    """Of a Pillow picture or an array, uint8 (h, w, 3)."""
    return np.asarray(picture.convert("RGB") if hasattr(picture, "convert") else picture)


def _parts(data: Dataset, fold: int | None, seed: int) -> tuple[Sequence[Row], Sequence[Row]]:
    """The training and the validation rows; see `to_dataloaders`."""
    if fold is None and data.test:
        return data.train, data.test
    number = 0 if fold is None else fold
    if not 0 <= number < FOLDS:
        raise UsageError(f"fold is {number}, expected 0 to {FOLDS - 1}")
    folds = repeated_folds(data, repeats=1, seed=seed)[0]
    rows = list(zip(data.train, folds, strict=True))
    return [row for row, f in rows if f != number], [row for row, f in rows if f == number]


def _readable(
    data: Dataset, rows: Sequence[Row], *, jobs: int | None, progress: Progress
) -> Mapping[Path, str]:
    """Labels by file, of the rows that can be decoded."""
    reasons = unreadable_images(data, rows, jobs=jobs)
    for path, reason in reasons.items():
        note(progress, f"{path} is left out: {reason}")
    return {data.absolute(row): row.label for row in rows if row.path not in reasons}


def _backbone_of(model: Model) -> Backbone:
    """As much of a model's backbone as reading photos needs: its transform."""
    transform = ImageTransform.from_dict(model.backbone["transform"])
    return replace(get_backbone(DEFAULT_BACKBONE), transform=transform)
