"""What an approach is: settings that turn a Dataset into a Model, and can be cross-validated.

Every approach answers two questions on the same folds as every other: how well would models
made this way do on images they have not seen (`cross_validate`), and which model comes out when
all training images are used (`fit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from regraft.catalogue import DEFAULT_BACKBONE, Backbone, get_backbone, measured_speed
from regraft.dataset import Dataset, make_folds
from regraft.metrics import FloatArray, IntArray
from regraft.model import Model
from regraft.progress import Progress, silent

FOLDS = 5
REPEATS = 3
REPEAT_BELOW = 1_000  # training images below which cross-validation is repeated


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Out-of-fold predictions of one approach on the training rows.

    `folds` int64 (r, n) is the fold of each image in each of r repeats; `probabilities` float64
    (r, n, k) are calibrated and come from models, settings and temperatures chosen without the
    image's fold. `chosen` is the setting that all training images together favour, `temperature`
    its calibration.
    """

    folds: IntArray
    labels: IntArray
    probabilities: FloatArray
    chosen: Mapping[str, Any]
    temperature: float

    @property
    def correct(self) -> FloatArray:
        """1.0 where an image was predicted right, float64 (r, n)."""
        right: FloatArray = (self.probabilities.argmax(axis=2) == self.labels).astype(np.float64)
        return right

    @property
    def fold_scores(self) -> list[float]:
        """Accuracy of every fold, repeat by repeat."""
        return [
            float(right[fold == f].mean())
            for right, fold in zip(self.correct, self.folds, strict=True)
            for f in np.unique(fold)
        ]


class Approach(Protocol):
    """A way to make a Model; constructors only store their settings."""

    @property
    def name(self) -> str:
        """For example "linear_probe"."""

    @property
    def network(self) -> Backbone:
        """The pretrained network it builds on, with the transform it uses."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What distinguishes it from others of its name, as JSON values."""

    def cross_validate(
        self,
        data: Dataset,
        folds: IntArray,
        *,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> CrossValidation:
        """Predict every training row of `data` out of fold; `folds` is int64 (r, n)."""

    def fit(
        self,
        data: Dataset,
        *,
        cross_validation: CrossValidation | None = None,
        seed: int = 0,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> Model:
        """Train on all training rows of `data`, calibrated by `cross_validation`."""


def repeated_folds(
    data: Dataset, *, folds: int = FOLDS, repeats: int | None = None, seed: int = 0
) -> IntArray:
    """Fold numbers of the training rows, int64 (r, n); small sets are split several times.

    Args:
        data: its training rows are split; groups and exact copies stay together.
        folds: at least 2.
        repeats: None for 3 below 1,000 images and 1 from there.
        seed: the same seed gives the same folds.
    """
    rows = data.train
    if repeats is None:
        repeats = REPEATS if len(rows) < REPEAT_BELOW else 1
    return np.stack(
        [make_folds(rows, folds=folds, seed=seed * 1_000 + repeat) for repeat in range(repeats)]
    )


def prediction_cost(backbone: Backbone) -> float:
    """Parameters x pixels x views: proportional to multiplications for networks of one family."""
    transform = backbone.transform
    return float(backbone.parameters * transform.image_size_px**2 * len(transform.views))


def seconds_expected(backbone: Backbone, images: int) -> float | None:
    """Time to compute features of `images`, from speeds measured on this machine.

    Where this backbone was never timed, the default one's speed is scaled by cost; None where
    nothing was timed yet.
    """
    speed = measured_speed(backbone)
    if speed:
        return images * len(backbone.transform.views) / speed
    reference = get_backbone(DEFAULT_BACKBONE)
    speed = measured_speed(reference)
    if not speed:
        return None
    return images * prediction_cost(backbone) / prediction_cost(reference) / speed
