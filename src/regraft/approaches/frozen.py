"""What `knn` and `linear_probe` share: features of a frozen backbone and a head on top.

A Dataset and a backbone in, cross-validated predictions or a Model out. The two differ only in
the head they fit and in the setting they choose, which is what a `HeadRecipe` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.approaches.base import NO_LIMITS, CrossValidation, Limits, repeated_folds
from regraft.backbones.backbone import Backbone, with_transform
from regraft.backbones.sources import get_backbone
from regraft.dataset import Dataset, split_groups
from regraft.errors import DataError, UsageError
from regraft.features.embedding import Embedding, embed_rows
from regraft.heads import (
    Head,
    HeadFitter,
    OutOfFold,
    choose_setting,
    conformal_thresholds,
    cross_validate_head,
    fit_familiarity,
    fitting,
    span_coordinates,
)
from regraft.metrics.rates import FewerImages, FloatArray, IntArray, remaining_share
from regraft.model import DepthFeatures, Model, TrainedNetwork, assemble
from regraft.progress import Progress

VIEWS = {1: ("plain",), 2: ("plain", "mirror")}


@dataclass(frozen=True, slots=True)
class HeadRecipe:
    """How one kind of head is fitted.

    `values` of `setting` are tried in cross-validation; `fit` returns a head for each it is given.
    """

    approach: str
    setting: str
    values: Sequence[Any]
    fit: HeadFitter


def frozen_backbone(
    backbone: str | Backbone, *, views: int, resize: str | None, image_size_px: int | None = None
) -> Backbone:
    """The backbone with the transform an approach asks for.

    Raises:
        BackboneError: there is none of that name.
        UsageError: `views` is neither 1 nor 2, or `resize` is unknown.
    """
    if views not in VIEWS:
        raise UsageError(f"views is {views}, expected 1 (as it is) or 2 (and its mirror image)")
    found = get_backbone(backbone) if isinstance(backbone, str) else backbone
    changes: dict[str, Any] = {}
    if found.transform.views != VIEWS[views]:
        changes["views"] = list(VIEWS[views])
    if resize is not None:
        changes["resize"] = resize
    if image_size_px is not None:
        changes["image_size_px"] = image_size_px
    return with_transform(found, **changes) if changes else found


def cross_validate_frozen(
    recipe: HeadRecipe,
    data: Dataset,
    backbone: Backbone,
    folds: IntArray,
    *,
    limits: Limits = NO_LIMITS,
    jobs: int | None,
    progress: Progress,
) -> CrossValidation:
    """Nested cross-validation of a head over r repeats; see `heads.cross_validate_head`.

    Args:
        recipe: which head.
        data: its training rows are predicted.
        backbone: computes the features.
        folds: int64 (r, n).
        limits: its deadline is looked at between repeats.
        jobs: worker threads.
        progress: told how many images and repeats are done.
    """
    features, labels = training_arrays(data, backbone, jobs=jobs, progress=progress)
    coordinates = span_coordinates(features)

    def predict(fold: IntArray) -> OutOfFold:
        return cross_validate_head(
            recipe.fit, recipe.values, coordinates, labels, fold, n_classes=len(data.classes)
        )

    return cross_validate_repeats(
        predict,
        labels,
        folds,
        conclude=one_of(recipe.setting, recipe.values),
        phase=f"cross-validating {recipe.approach} on {backbone.name}",
        limits=limits,
        progress=progress,
    )


Conclusion = Callable[[FloatArray, IntArray], tuple[Mapping[str, Any], float]]
"""Logits (s, m, k) of unseen images by each setting and labels (m,) in; what is chosen, and the
temperature of its logits, out."""


def one_of(setting: str, values: Sequence[Any]) -> Conclusion:
    """The best value of one setting."""

    def conclude(logits: FloatArray, labels: IntArray) -> tuple[Mapping[str, Any], float]:
        best, temperature = choose_setting(logits, labels)
        return {setting: values[best]}, temperature

    return conclude


def cross_validate_repeats(
    predict: Callable[[IntArray], OutOfFold],
    labels: IntArray,
    folds: IntArray,
    *,
    conclude: Conclusion,
    phase: str,
    limits: Limits,
    progress: Progress,
) -> CrossValidation:
    """Nested cross-validation over r repeats, and the settings that all of them favour.

    Args:
        predict: what one repeat does with its folds, int64 (n,).
        labels: int64 (n,).
        folds: int64 (r, n).
        conclude: which settings all repeats favour.
        phase: what `progress` is told.
        limits: its deadline is looked at between repeats.
        progress: told how many repeats are done.
    """
    found = []
    with fitting():
        for repeat, fold in enumerate(folds):
            limits.check()
            progress(phase, repeat, len(folds))
            found.append(predict(fold))
    progress(phase, len(folds), len(folds))
    chosen, temperature = conclude(
        np.concatenate([one.inner_logits for one in found], axis=1),
        np.concatenate([one.inner_labels for one in found]),
    )
    return CrossValidation(
        folds=folds,
        labels=labels,
        probabilities=np.stack([one.probabilities for one in found]),
        chosen=chosen,
        temperature=temperature,
        fewer=_fewer_images(found, folds),
    )


def _fewer_images(found: Sequence[OutOfFold], folds: IntArray) -> FewerImages | None:
    """The predictions of all inner heads; None with two folds, where there are none."""
    probabilities = np.concatenate([one.fewer for one in found])
    if not len(probabilities):
        return None
    n = folds.shape[1]
    of_fold = n - n / np.mean([len(np.unique(fold)) for fold in folds])
    fewest = float(np.mean([one.fewer_images for one in found]))
    return FewerImages(probabilities, remaining_share(fewest, of_fold, n))


def set_thresholds(found: CrossValidation) -> FloatArray:
    """From which probability (k,) a class enters the prediction set: the mean over repeats."""
    thresholds = [conformal_thresholds(p, found.labels) for p in found.probabilities]
    return np.asarray(np.mean(thresholds, axis=0))


def fit_frozen(
    recipe: HeadRecipe,
    data: Dataset,
    backbone: Backbone,
    *,
    settings: Mapping[str, Any],
    cross_validation: CrossValidation | None,
    limits: Limits = NO_LIMITS,
    seed: int,
    jobs: int | None,
    progress: Progress,
) -> Model:
    """A head on all training rows, with calibration, prediction sets and familiarity.

    Args:
        recipe: which head.
        data: its training rows are used.
        backbone: computes the features.
        settings: of the approach, kept in the model.
        cross_validation: what chose the setting; None runs it.
        limits: of a cross-validation that has to be run; the fit itself takes moments.
        seed: of the folds, where it has to be run.
        jobs: worker threads.
        progress: told how far each step is.
    """
    if cross_validation is None:
        folds = repeated_folds(data, seed=seed)
        cross_validation = cross_validate_frozen(
            recipe, data, backbone, folds, limits=limits, jobs=jobs, progress=progress
        )
    features, labels = training_arrays(data, backbone, jobs=jobs, progress=progress)
    value = cross_validation.chosen[recipe.setting]
    with fitting():
        (head,) = recipe.fit(features, labels, len(data.classes), [value])
    return frozen_model(
        data,
        cross_validation,
        backbone=backbone,
        head=head,
        features=features,
        approach=recipe.approach,
        settings=settings,
    )


def frozen_model(
    data: Dataset,
    cross_validation: CrossValidation,
    *,
    backbone: Backbone,
    head: Head,
    features: NDArray[Any],
    approach: str,
    settings: Mapping[str, Any],
    network: TrainedNetwork | None = None,
    depths: DepthFeatures | None = None,
) -> Model:
    """A head on all training rows as a Model, with what cross-validation says of it.

    Args:
        data: its training rows were trained on.
        cross_validation: calibrates it, and chose some of its settings.
        backbone, head: see `assemble`.
        features: (n, d), what the head takes of the training rows.
        approach, settings: its name, and what was asked for.
        network, depths: see `assemble`.
    """
    rows = data.train
    return assemble(
        backbone=backbone,
        head=head,
        familiarity=fit_familiarity(
            features, data.labels(rows), split_groups(rows), cross_validation.doubts
        ),
        temperature=cross_validation.temperature,
        set_thresholds=set_thresholds(cross_validation),
        classes=data.classes,
        approach=approach,
        settings={**settings, **cross_validation.chosen},
        trained_on={"images": len(rows), **data.facts()},
        trained_contents=[row.sha256 for row in rows],
        network=network,
        depths=depths,
    )


def training_arrays(
    data: Dataset,
    backbone: Backbone,
    *,
    embedded: Callable[..., Embedding] = embed_rows,
    jobs: int | None,
    progress: Progress,
) -> tuple[NDArray[Any], IntArray]:
    """Features (n, d) and class numbers (n,) of the training rows; `embedded` computes them."""
    rows = data.train
    embedding = embedded(data, rows, backbone, jobs=jobs, progress=progress)
    if embedding.failures:
        path, reason = next(iter(embedding.failures.items()))
        raise DataError(
            f"{len(embedding.failures)} training images cannot be read, the first is {path} "
            f"({reason}); scan the folder again with verify=True"
        )
    return embedding.features, data.labels(rows)
