"""`multilayer_probe`: a linear head on statistics of every depth of a frozen backbone that helps.

Where the classes differ in objects, the last layers tell them apart; where they differ in texture,
the first ones do (Evci et al. 2022, Head2Toe, ICML). Which depths count, and how much, is chosen by
nested cross-validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from regraft.approaches.base import (
    NO_LIMITS,
    Asked,
    CrossValidation,
    Limits,
    Profile,
    Turn,
    repeated_folds,
)
from regraft.approaches.frozen import (
    cross_validate_repeats,
    frozen_backbone,
    frozen_model,
    training_arrays,
)
from regraft.backbones.backbone import Backbone
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.backbones.depths import FEATURES, depths_network, depths_of
from regraft.backbones.graphs import graph_on_inputs
from regraft.dataset import Dataset
from regraft.features.embedding import embed_depths
from regraft.heads import OutOfFold, choose_setting, cross_validate_head, fit_logistic, fitting
from regraft.heads.depths import (
    DepthInputs,
    depth_accuracies,
    fit_scaling,
    pool_depths,
    sum_of_heads,
)
from regraft.metrics.rates import FloatArray, IntArray
from regraft.model import DepthFeatures, Model
from regraft.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class MultilayerProbe:
    """Train linear classifiers on frozen features of every depth, and add up those that help.

    Args:
        backbone: a name, see `backbones.sources`, or a Backbone.
        views: 1, or 2 to average the features of each image and its mirror image.
        resize: "crop", "pad" or "squash"; None for the backbone's own.
        image_size_px: the side of the square that the network sees; None for the backbone's own.
    """

    name: ClassVar[str] = "multilayer_probe"
    profile: ClassVar[Profile] = Profile(turn=Turn.FROZEN, every_depth=True)

    backbone: str | Backbone = DEFAULT_BACKBONE
    views: int = 1
    resize: str | None = None
    image_size_px: int | None = None

    @property
    def network(self) -> Backbone:
        """The backbone with the transform this approach uses."""
        return frozen_backbone(
            self.backbone,
            views=self.views,
            resize=self.resize,
            image_size_px=self.image_size_px,
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """Views, and what else was asked for."""
        asked = {"resize": self.resize, "image_size_px": self.image_size_px}
        return {"views": self.views} | {name: v for name, v in asked.items() if v is not None}

    @classmethod
    def candidates(cls, asked: Asked) -> list[MultilayerProbe]:
        """One on the first backbone, and of photos one that sees them whole."""
        first = [one for one in asked.backbones[:1] if asked.names_approaches or not one.is_frozen]
        found = [cls(backbone) for backbone in first]
        if asked.whole_px is not None and not asked.names_approaches and asked.resize is None:
            found += [cls(one, resize="squash", image_size_px=asked.whole_px) for one in first]
        return found

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
        network = self.network
        features, labels = _statistics(data, network, jobs=jobs, progress=progress)
        depths = depths_of(network)
        inputs = DepthInputs.of([features[:, depth.columns] for depth in depths])

        def predict(fold: IntArray) -> OutOfFold:
            return cross_validate_head(
                inputs.fit,
                inputs.settings,
                inputs.features,
                labels,
                fold,
                n_classes=len(data.classes),
                choose=pool_depths,
            )

        def conclude(logits: FloatArray, labels: IntArray) -> tuple[Mapping[str, Any], float]:
            weights = pool_depths(logits, labels, folds.shape[1])
            used = np.flatnonzero(weights).tolist()
            chosen = {
                "depths": [depths[inputs.settings[s][0]].output for s in used],
                "widths": [depths[inputs.settings[s][0]].width for s in used],
                "penalties": [inputs.settings[s][1] for s in used],
                "weights": [round(float(weights[s]), 6) for s in used],
                "accuracy_by_depth": {
                    depth.output: round(accuracy, 4)
                    for depth, accuracy in zip(
                        depths, depth_accuracies(logits, labels), strict=False
                    )
                },
            }
            _, temperature = choose_setting(np.tensordot(weights, logits, 1)[None], labels)
            return chosen, temperature

        return cross_validate_repeats(
            predict,
            labels,
            folds,
            conclude=conclude,
            phase=f"cross-validating {self.name} on {network.name}",
            limits=limits,
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
        if cross_validation is None:
            folds = repeated_folds(data, seed=seed)
            cross_validation = self.cross_validate(
                data, folds, limits=limits, jobs=jobs, progress=progress
            )
        chosen, network = cross_validation.chosen, self.network
        every = {depth.output: depth for depth in depths_of(network)}
        depths = [every[name] for name in chosen["depths"]]
        statistics, labels = _statistics(data, network, jobs=jobs, progress=progress)
        scalings = [
            fit_scaling(statistics[:, depth.columns], by_column=depth.output != FEATURES)
            for depth in depths
        ]
        parts = [s.apply(statistics[:, d.columns]) for s, d in zip(scalings, depths, strict=True)]
        with fitting():
            heads = [
                fit_logistic(part, labels, len(data.classes), [penalty], balanced=False)[0]
                for part, penalty in zip(parts, chosen["penalties"], strict=True)
            ]
        centre = np.concatenate([scaling.centre for scaling in scalings])
        gain = np.concatenate([scaling.gain for scaling in scalings])
        graph = depths_network(network, depths, scaling=(centre, gain))
        return frozen_model(
            data,
            cross_validation,
            backbone=network,
            head=sum_of_heads(heads, chosen["weights"]),
            features=np.concatenate(parts, axis=1),
            approach=self.name,
            settings=self.settings,
            depths=DepthFeatures(graph_on_inputs(network.transform, graph), centre, gain),
        )


def _statistics(
    data: Dataset, network: Backbone, *, jobs: int | None, progress: Progress
) -> tuple[NDArray[np.float16], IntArray]:
    """Statistics of every depth (n, d) and class numbers (n,) of the training rows."""
    return training_arrays(data, network, embedded=embed_depths, jobs=jobs, progress=progress)
