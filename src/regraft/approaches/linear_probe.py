"""`linear_probe`: logistic regression on the features of a frozen backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from regraft.approaches.base import NO_LIMITS, Asked, CrossValidation, Limits, Profile, Turn
from regraft.approaches.frozen import (
    HeadRecipe,
    cross_validate_frozen,
    fit_frozen,
    frozen_backbone,
)
from regraft.backbones.backbone import Backbone
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.dataset import Dataset
from regraft.heads import PENALTIES, fit_logistic
from regraft.metrics.rates import IntArray
from regraft.model import Model
from regraft.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class LinearProbe:
    """Train a linear classifier on frozen features; its penalty is chosen by cross-validation.

    Args:
        backbone: a name, see `backbones.sources`, or a Backbone.
        views: 1, or 2 to average the features of each image and its mirror image.
        resize: "crop", "pad" or "squash"; None for the backbone's own.
        balanced: weigh classes by inverse frequency; None does so where the largest class is at
            least one and a half times the smallest.
    """

    name: ClassVar[str] = "linear_probe"
    profile: ClassVar[Profile] = Profile(turn=Turn.FROZEN)

    backbone: str | Backbone = DEFAULT_BACKBONE
    views: int = 1
    resize: str | None = None
    balanced: bool | None = None

    @property
    def network(self) -> Backbone:
        """The backbone with the transform this approach uses."""
        return frozen_backbone(self.backbone, views=self.views, resize=self.resize)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Views, and what else was asked for."""
        asked = {"resize": self.resize, "balanced": self.balanced}
        return {"views": self.views} | {name: v for name, v in asked.items() if v is not None}

    @classmethod
    def candidates(cls, asked: Asked) -> list[LinearProbe]:
        """One on each backbone."""
        return [cls(backbone) for backbone in asked.backbones]

    def cross_validate(
        self,
        data: Dataset,
        folds: IntArray,
        *,
        limits: Limits = NO_LIMITS,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> CrossValidation:
        """Predict every training row out of fold; see `Approach`."""
        return cross_validate_frozen(
            self._recipe,
            data,
            self.network,
            folds,
            limits=limits,
            jobs=jobs,
            progress=progress,
        )

    def fit(
        self,
        data: Dataset,
        *,
        cross_validation: CrossValidation | None = None,
        limits: Limits = NO_LIMITS,
        seed: int = 0,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> Model:
        """Train on all training rows; see `Approach`."""
        return fit_frozen(
            self._recipe,
            data,
            self.network,
            settings=self.settings,
            cross_validation=cross_validation,
            limits=limits,
            seed=seed,
            jobs=jobs,
            progress=progress,
        )

    @property
    def _recipe(self) -> HeadRecipe:
        return HeadRecipe(
            approach=self.name,
            setting="penalty",
            values=PENALTIES,
            fit=partial(fit_logistic, balanced=self.balanced),
        )
