"""Lightning: a Dataset as a data module, a network or a Model as a module, and a Model of it.

    photos = to_datamodule(data)
    module = to_module(photos)
    pytorch_lightning.Trainer(max_epochs=12).fit(module, photos)
    model = model_from_module(module, photos)

Pixels, frozen stages, batch normalisation, rates and the Model are those of `fine_tune`. Needs the
extra `lightning`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.approaches.fine_tune import FineTune
from regraft.approaches.plans import starting_network
from regraft.approaches.trained import calibrated, trained_model
from regraft.backbones.backbone import Backbone
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.backbones.sources import get_backbone
from regraft.dataset import Dataset, Row, make_folds
from regraft.engines.base import Engine
from regraft.engines.devices import load_graph
from regraft.errors import DataError, MissingExtraError, UnreadableInputError, UsageError
from regraft.features.activations import variant_seed
from regraft.features.embedding import read_checked, unreadable_images
from regraft.kinds.base import Transform
from regraft.kinds.images.transform import ImageTransform, as_of_images
from regraft.metrics.rates import IntArray
from regraft.model import Model, load, network_of

if TYPE_CHECKING:
    from regraft.engines.lightning import Classifier, PhotoModule, TrainedClassifier

_VIEWS = 999  # augmented variants of a photo


@dataclass(slots=True)
class _Photos:
    """Rows of a Dataset as pixels float32 (3, s, s), with class numbers unless `labels` is None.

    `vary` draws another augmented variant each time.
    """

    data: Dataset
    rows: tuple[Row, ...]
    labels: IntArray | None
    transform: ImageTransform
    vary: bool = False
    seed: int = 0
    _engine: tuple[int, Engine] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        row = self.rows[index]
        try:
            data = read_checked(self.data.absolute(row), sha256=row.sha256)
            if self.vary:
                from regraft.engines.lightning import random_view

                seed = variant_seed(row.sha256, random_view(_VIEWS), seed=self.seed)
                image = self.transform.vary(data, seed)
            else:
                image = self.transform.read(data)
        except UnreadableInputError as error:
            raise DataError(f"{row.path} cannot be read any more: {error}") from error
        pixels = self._graph().run(image)[0][0]
        return pixels if self.labels is None else (pixels, int(self.labels[index]))

    def __getstate__(self) -> dict[str, Any]:
        """Without the engine: a worker process makes its own."""
        names = ("data", "rows", "labels", "transform", "vary", "seed")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in {**state, "_engine": None}.items():
            setattr(self, name, value)

    def _graph(self) -> Engine:
        """The transform, in this process: an engine does not survive a fork."""
        if self._engine is None or self._engine[0] != os.getpid():
            graph = self.transform.plain(precropped=self.vary).graph()
            self._engine = (os.getpid(), load_graph(graph.SerializeToString()))
        return self._engine[1]


def to_datamodule(
    data: Dataset,
    *,
    backbone: str | Backbone | Model = DEFAULT_BACKBONE,
    batch_size: int = 32,
    fold: int = 0,
    folds: int = 5,
    seed: int = 0,
    augment: bool = True,
    workers: int = 0,
) -> PhotoModule:
    """A Dataset as a LightningDataModule, its pixels those that regraft gives the backbone.

    Validation is on one fold of the training rows, stratified, groups and copies kept together
    (near copies and series of frames where `regraft.find_groups` has made groups of them);
    testing on the test rows; prediction on every row that can be read, labelled or not, in the
    order of the Dataset. Every photo is decoded once: one that cannot be is in none of them, and
    in `left_out` with its reason.

    Args:
        data: what `scan` returned.
        backbone: whose transform the pixels go through: a name, a Backbone, or a Model.
        batch_size: photos of a step.
        fold: which fold validates, 0 to `folds` - 1.
        folds: how many there are.
        seed: of the folds and the augmentation.
        augment: train on varied photos: cut, mirrored, their colours changed.
        workers: processes that decode; 0 for the one of the Trainer.

    Raises:
        MissingExtraError: Lightning is not installed.
        UsageError: there is no such fold, or the batch size is below 1.
        DataError: too few photos for folds.
    """
    _require("a LightningDataModule")
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}, expected at least 1")
    from regraft.engines.lightning import PhotoModule

    transform = _transform(backbone)
    data = _without_unreadable(data)
    rows = data.train
    number = make_folds(rows, folds=folds, seed=seed)
    if not 0 <= fold <= number.max():
        raise UsageError(f"fold is {fold}, expected 0 to {number.max()}")

    def photos(rows: Sequence[Row], *, vary: bool = False, labelled: bool = True) -> _Photos:
        labels = data.labels(rows) if labelled else None
        return _Photos(data, tuple(rows), labels, transform, vary, seed)

    parts = tuple(zip(rows, number, strict=True))
    return PhotoModule(
        photos([row for row, part in parts if part != fold], vary=augment),
        photos([row for row, part in parts if part == fold]),
        photos(data.test),
        photos([row for row in data.rows if row.status in ("ok", "unlabelled")], labelled=False),
        batch_size=batch_size,
        workers=workers,
        left_out={row.path: row.reason for row in data.rows if row.status == "unreadable"},
    )


def to_module(
    data: Dataset | PhotoModule | Sequence[str],
    *,
    backbone: str | Backbone = DEFAULT_BACKBONE,
    train: str = "last_2_stages",
    learning_rate: float | None = None,
) -> TrainedClassifier:
    """A pretrained network as a LightningModule that a Trainer fine-tunes as regraft would.

    The stages below those that train are frozen, batch normalisation in them keeps what it
    learned, rates fall with depth and follow one cycle over all epochs of the Trainer, which says
    how many there are. With photos, the head begins as a linear probe of the training ones; with
    names of classes alone at zero. Its checkpoint is a backbone: `--backbone file:FILE --arch
    NAME`.

    Args:
        data: what `to_datamodule` returned; a Dataset stands for `to_datamodule(data)`; or the
            names of the classes.
        backbone: a name, see `backbones.sources`, or a Backbone.
        train: which stages; see `FineTune`.
        learning_rate: the highest one, of the head.

    Raises:
        MissingExtraError: Lightning is not installed.
        BackboneError: the backbone is unknown or its weights are missing.
        TrainingError: it cannot be cut there.
        UsageError: a setting is outside its range, or the photos are prepared for another backbone.
    """
    _require("a LightningModule")
    from regraft.engines.lightning import PhotoModule, TrainedClassifier

    plan = FineTune(backbone, train=train, learning_rate=learning_rate).plan()
    if not isinstance(data, Dataset | PhotoModule):
        classes = _class_names(data)
        return TrainedClassifier(
            plan.make(len(classes)), plan.recipe, classes, plan=plan, labels=np.zeros(0, np.int64)
        )
    photos = _prepared(data, plan.backbone)
    whole, rows = _training_side(photos)
    trainee, recipe = starting_network(plan, whole, rows)
    labels = whole.labels(whole.train)[rows]
    return TrainedClassifier(trainee, recipe, whole.classes, plan=plan, labels=labels)


def module_from_model(
    model: Model | str | Path, *, make: Callable[[int], Any] | None = None
) -> Classifier:
    """A Model as a LightningModule that predicts what it predicts; nothing in it learns.

    It takes the pixels of `to_datamodule(data, backbone=model)`. Softmax of its logits are the
    calibrated probabilities, which `Trainer.predict` returns.

    Args:
        model: a Model, or a model or run folder.
        make: builds a network of your own from the number of classes; see `scratch`.

    Raises:
        MissingExtraError: Lightning is not installed.
        ModelError: its head or its network is no torch module, or it is not there.
    """
    _require("a LightningModule")
    from regraft.engines.lightning import Classifier

    found = model if isinstance(model, Model) else load(model)
    network: Any = network_of(found, make=make, calibrated=True)
    mirror = "mirror" in found.transform.views
    return Classifier(network.features, network.head, found.classes, mirror=mirror)


def model_from_module(module: TrainedClassifier, data: Dataset | PhotoModule) -> Model:
    """A module that was trained as a Model: one ONNX graph with calibration and unfamiliarity.

    Temperature, prediction sets and the distance from which a photo is unfamiliar come from the
    validation fold, which training has not seen.

    Args:
        module: what `to_module` returned, after training; it is moved to the CPU.
        data: what it was trained on; a Dataset stands for `to_datamodule(data)`.

    Raises:
        UsageError: the module is another, or was trained on other classes or pixels.
    """
    _require("a LightningModule")
    from regraft.engines.lightning import TrainedClassifier, outputs_of

    if not isinstance(module, TrainedClassifier):
        raise UsageError(
            f"the module is {type(module).__name__}, expected what to_module returned; save the "
            "state dict of another one and use: --backbone file:WEIGHTS --arch NAME"
        )
    plan = module.plan
    photos = _prepared(data, plan.backbone)
    whole, rows = _training_side(photos)
    if whole.classes != module.classes:
        raise UsageError(
            f"the module knows the classes {', '.join(module.classes)}, the data has "
            f"{', '.join(whole.classes)}; give the data it was trained on"
        )
    labels = whole.labels(whole.train)
    every = _Photos(whole, whole.train, labels, _image_transform(plan.backbone.transform))
    logits, features = outputs_of(module, every)
    fold = np.zeros(len(labels), np.int64)
    fold[rows] = 1
    logits[rows] = np.nan
    epochs = int(module.current_epoch)
    return trained_model(
        module.trainee,
        whole,
        features,
        backbone=plan.backbone,
        approach=plan.approach,
        settings={**plan.settings, "epochs": epochs, "trained_by": "pytorch_lightning"},
        cross_validation=calibrated(fold, labels, logits, {"epochs": epochs}, ()),
        images=len(rows),
    )


def _require(purpose: str) -> None:
    if importlib.util.find_spec("pytorch_lightning") is None:
        raise MissingExtraError(purpose, "lightning")


def _transform(backbone: str | Backbone | Model) -> ImageTransform:
    """The transform of one view."""
    found = get_backbone(backbone) if isinstance(backbone, str) else backbone
    return _image_transform(found.transform)


def _image_transform(transform: Transform) -> ImageTransform:
    of_images = as_of_images(transform)
    if of_images is None:
        raise UsageError(f"the backbone takes {transform.modality}, expected one that takes images")
    return of_images.plain()


def _without_unreadable(data: Dataset) -> Dataset:
    """The Dataset in which photos that cannot be decoded in full are unreadable rows."""
    rows = [*data.ok, *data.unlabelled]
    reasons = unreadable_images(data, rows)
    return data.mark({path: ("unreadable", reason) for path, reason in reasons.items()})


def _prepared(data: Dataset | PhotoModule, backbone: Backbone) -> PhotoModule:
    """The photos of a module, as that backbone takes them."""
    photos = to_datamodule(data, backbone=backbone) if isinstance(data, Dataset) else data
    if _photos_of(photos.training).transform != _image_transform(backbone.transform):
        raise UsageError(
            f"the photos are prepared for another network than {backbone.name}; give both the "
            f"same: to_datamodule(data, backbone={backbone.name!r})"
        )
    return photos


def _training_side(photos: PhotoModule) -> tuple[Dataset, NDArray[np.int64]]:
    """The Dataset, and the numbers of its training rows that are trained on."""
    training = _photos_of(photos.training)
    paths = {row.path for row in training.rows}
    data = training.data
    return data, np.array([i for i, row in enumerate(data.train) if row.path in paths], np.int64)


def _photos_of(photos: Any) -> _Photos:
    if not isinstance(photos, _Photos):
        raise UsageError("the data module is another, expected what to_datamodule returned")
    return photos


def _class_names(names: Sequence[str]) -> tuple[str, ...]:
    classes = tuple(names)
    if isinstance(names, str) or len(set(classes)) != len(classes) or len(classes) < 2:
        raise UsageError(f"the classes are {names!r}, expected two or more different names")
    return classes


__all__ = ["model_from_module", "module_from_model", "to_datamodule", "to_module"]
