"""Lightning: a Trainee as a module that its Trainer trains, photos as a data module.

Imported only by who asks for such a module, for it loads pytorch_lightning with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from regraft.engines.networks import Trainee
from regraft.engines.training import Recipe, loss_function, make_optimiser, one_cycle, training_mode
from regraft.errors import DataError, UsageError
from regraft.telemetry import opt_out

opt_out()
import pytorch_lightning as pl  # noqa: E402

_PREDICT_BATCH = 64


class Photos(Protocol):
    """Photos as a map-style dataset of torch: pixels float32 (3, s, s), and a class number."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, index: int) -> Any:
        """Pixels and class number; pixels alone where no class is known."""


def random_view(views: int) -> int:
    """A number from 1 to `views`, of torch's generator: another in each worker and epoch."""
    return int(torch.randint(1, views + 1, ()))


class PhotoModule(pl.LightningDataModule):
    """Loaders of photos for training, validation, testing and prediction.

    Args:
        training: photos to train on, in random order.
        validation: photos that are measured after each epoch.
        testing: photos of the test set; empty for none.
        predicting: photos to predict, without class numbers.
        batch_size: photos of a step.
        workers: processes that decode; 0 for this one.
        left_out: why photos are in none of these, by path.
    """

    def __init__(
        self,
        training: Photos,
        validation: Photos,
        testing: Photos,
        predicting: Photos,
        *,
        batch_size: int,
        workers: int,
        left_out: Mapping[str, str],
    ) -> None:
        super().__init__()
        self.training, self.validation = training, validation
        self.testing, self.predicting = testing, predicting
        self.batch_size, self.workers = batch_size, workers
        self.left_out = dict(left_out)

    def train_dataloader(self) -> DataLoader[Any]:
        """Augmented photos in random order; a last batch of a single photo is left out.

        Batch normalisation cannot learn from one photo.
        """
        alone = len(self.training) % self.batch_size == 1 and len(self.training) > 1
        return self._loader(self.training, shuffle=True, drop_last=alone)

    def val_dataloader(self) -> DataLoader[Any]:
        """The photos of the fold."""
        return self._loader(self.validation)

    def test_dataloader(self) -> DataLoader[Any]:
        """The photos of the test set.

        Raises:
            DataError: there is none.
        """
        if not len(self.testing):
            raise DataError("there is no test set; measure on the fold: trainer.validate(...)")
        return self._loader(self.testing)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Every photo that can be read, without class numbers."""
        return self._loader(self.predicting)

    def _loader(
        self, photos: Photos, *, shuffle: bool = False, drop_last: bool = False
    ) -> DataLoader[Any]:
        dataset: Any = photos  # all that a loader needs of a Dataset of torch
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=self.workers,
        )


class Classifier(pl.LightningModule):
    """A backbone and a head: pixels float32 (n, 3, s, s) in, logits (n, k) out.

    Its parts are `backbone`, pixels to features (n, d), and `head`. `predict_step` returns
    probabilities (n, k).

    Args:
        backbone: maps pixels to features.
        head: maps features to logits.
        classes: the k names.
        mirror: average the logits of each photo and its mirror image.
    """

    def __init__(
        self,
        backbone: torch.nn.Module,
        head: torch.nn.Module,
        classes: Sequence[str],
        *,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.classes, self.mirror = tuple(classes), mirror

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (n, k)."""
        logits: torch.Tensor = self.head(self.backbone(pixels))
        if self.mirror:
            logits = (logits + self.head(self.backbone(pixels.flip(-1)))) / 2
        return logits

    def validation_step(self, batch: Any) -> None:
        """Logs `val_loss` and `val_accuracy`."""
        self._measure(batch, "val")

    def test_step(self, batch: Any) -> None:
        """Logs `test_loss` and `test_accuracy`."""
        self._measure(batch, "test")

    def predict_step(self, batch: Any) -> torch.Tensor:
        """Probabilities (n, k) of pixels, or of pixels with class numbers."""
        pixels = batch[0] if isinstance(batch, list | tuple) else batch
        return torch.softmax(self(pixels), dim=1)

    def _measure(self, batch: Any, name: str) -> None:
        pixels, labels = batch
        logits = self(pixels)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        self.note(name, loss, logits, labels)

    def note(
        self, name: str, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor
    ) -> None:
        """Log loss and accuracy of a batch, averaged over the epoch."""
        right = (logits.argmax(dim=1) == labels).float().mean()
        for what, value in (("loss", loss), ("accuracy", right)):
            self.log(
                f"{name}_{what}",
                value,
                batch_size=len(labels),
                on_step=False,
                on_epoch=True,
                prog_bar=True,
            )


class TrainedClassifier(Classifier):
    """A Trainee that a Trainer of Lightning trains as `engines.training.train` would.

    What is frozen stays in evaluation mode, rates fall with depth and follow one cycle over all the
    steps of the Trainer, gradients are clipped. Data must be normalised pixels.

    Args:
        trainee: what learns.
        recipe: how; its number of epochs is that of the Trainer.
        classes: the k names.
        plan: what it was made from, for who makes a Model of it.
        labels: class numbers (m,) of the training rows, by which a balanced recipe weighs classes.
    """

    def __init__(
        self,
        trainee: Trainee,
        recipe: Recipe,
        classes: Sequence[str],
        *,
        plan: Any,
        labels: NDArray[np.int64],
    ) -> None:
        super().__init__(trainee.whole, trainee.head, classes)
        self.trainee, self.recipe, self.plan = trainee, recipe, plan
        self.criterion = loss_function(labels, recipe, len(classes))
        self.train()

    def train(self, mode: bool = True) -> TrainedClassifier:
        """Training mode for what learns; the frozen part keeps its evaluation mode."""
        super().train(mode)
        if mode:
            self.backbone.eval()
            training_mode(self.trainee)
        return self

    def on_fit_start(self) -> None:
        """Training mode for all until the first epoch: Lightning warns of what it finds frozen."""
        super().train()

    def on_train_epoch_start(self) -> None:
        """The frozen part back in its evaluation mode; the Trainer does not call `train`."""
        self.train()

    def training_step(self, batch: Any) -> torch.Tensor:
        """The loss; logs `train_loss` and `train_accuracy`."""
        pixels, labels = batch
        logits = self(pixels)
        loss: torch.Tensor = self.criterion(logits, labels)
        self.note("train", loss.detach(), logits.detach(), labels)
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with a rate for each stage, on one cycle over all steps of the Trainer.

        Raises:
            UsageError: the Trainer has no end.
        """
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise UsageError(
                "the Trainer has no end, which the learning rate follows; give it one: "
                "Trainer(max_epochs=12)"
            )
        optimiser = make_optimiser(self.trainee, self.recipe, self.recipe.learning_rate)
        schedule = one_cycle(optimiser, self.recipe, int(steps))
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """As the Trainer says, or as the recipe does where it says nothing."""
        self.clip_gradients(
            optimizer,
            gradient_clip_val=self.recipe.clip if gradient_clip_val is None else gradient_clip_val,
            gradient_clip_algorithm=gradient_clip_algorithm or "norm",
        )


def outputs_of(
    module: Classifier, photos: Photos
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Logits float64 (n, k) and features float32 (n, d) of photos, in evaluation mode.

    Args:
        module: whose backbone and head are run, wherever they are.
        photos: pixels, or pixels and class numbers.
    """
    module.eval()
    device = next(module.parameters()).device
    dataset: Any = photos
    logits, features = [], []
    with torch.no_grad():
        for batch in DataLoader(dataset, batch_size=_PREDICT_BATCH):
            pixels = batch[0] if isinstance(batch, list | tuple) else batch
            found = module.backbone(pixels.to(device))
            logits.append(module.head(found).double().cpu().numpy())
            features.append(found.float().cpu().numpy())
    return np.concatenate(logits), np.concatenate(features)
