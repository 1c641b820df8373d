"""scikit-learn in and out: `RegraftClassifier` takes paths or images and is an estimator.

It works in `cross_val_score`, `Pipeline` and `GridSearchCV`. What it fits is a Model like any
other: `classifier.model_.save(...)`.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from regraft.approaches import APPROACHES
from regraft.approaches.base import Approach
from regraft.backbones.backbone import Backbone
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.dataset import Dataset, require_trainable, scan_files
from regraft.errors import DataError, UsageError
from regraft.inputs import as_files, each
from regraft.kinds import IMAGE

_WARNED_OF = 3  # images by name


class RegraftClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An approach of regraft as a classifier of scikit-learn.

    X is paths of images, (n,) or (n, 1), or images: uint8 (n, height, width, 3), or a sequence of
    PIL pictures or of uint8 (height, width, 3) of any sizes; see `inputs`.

    Args:
        approach: the name of one for images: "multilayer_probe", "linear_probe", "knn",
            "fine_tune", "scratch" or "fastai".
        backbone: a name or a Backbone; not for "scratch".
        settings: further arguments of the approach, such as `{"train": "last_2_stages"}`.
        seed: of folds and training.
        jobs: worker threads; None for one a core.

    Attributes:
        classes_: (k,), the sorted distinct labels.
        model_: the Model.
    """

    def __init__(
        self,
        approach: str = "linear_probe",
        backbone: str | Backbone = DEFAULT_BACKBONE,
        *,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        jobs: int | None = None,
    ) -> None:
        self.approach = approach
        self.backbone = backbone
        self.settings = settings
        self.seed = seed
        self.jobs = jobs

    def fit(self, X: Any, y: Any, groups: Any = None) -> RegraftClassifier:  # noqa: N803
        """Train on images with their labels; warns of those that cannot be used.

        Args:
            X: n images, see the class.
            y: labels (n,) of any kind.
            groups: (n,), what must not be parted while settings are chosen; None for none.

        Raises:
            DataError: X or y is nothing of the kind, or cannot be trained on.
            UsageError: a setting is outside its range.
        """
        labels = _labels(y)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        names = [str(label) for label in self.classes_]
        if len(set(names)) < len(names):
            raise DataError(f"two labels are written alike: {', '.join(names)}; rename one")
        with as_files(X) as paths:
            if len(paths) != len(labels):
                raise DataError(f"X has {len(paths):,} images and y {len(labels):,} labels")
            data = scan_files(
                paths,
                [names[number] for number in numbers],
                groups=None if groups is None else [str(group) for group in groups],
                jobs=self.jobs,
            )
            _warn_of_what_is_not_used(data)
            require_trainable(data)
            self.model_ = self._approach().fit(data, seed=self.seed, jobs=self.jobs)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Calibrated probabilities (n, k), in the order of `classes_`.

        Raises:
            DataError: X is nothing of the kind, or one of the images cannot be read.
        """
        check_is_fitted(self, "model_")
        found = self.model_.predict(each(X), jobs=self.jobs)
        bad = [one for one in found if one.flag == "unreadable"]
        if bad:
            raise DataError(f"{bad[0].path} cannot be read: {bad[0].reason}")
        # A class whose images could not be used is in `classes_` but not in the model.
        place = {name: i for i, name in enumerate(self.model_.classes)}
        probabilities = np.zeros((len(found), len(self.classes_)))
        for number, label in enumerate(self.classes_):
            if (i := place.get(str(label))) is not None:
                probabilities[:, number] = [one.probabilities[i] for one in found]
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Labels (n,); see `predict_proba`."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Accuracy on images with their labels.

        Images that the model was trained on say nothing of others: a UserWarning counts them.
        """
        accuracy = float(super().score(X, y, sample_weight))
        with as_files(X) as paths:
            hashes = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
        known = int(self.model_.contents.known_to_model(hashes).sum())
        if known:
            warnings.warn(
                f"the model was trained on {known:,} of these {len(hashes):,} images, so their "
                "score says nothing of others; use cross_val_score, or images that it has not seen",
                stacklevel=2,
            )
        return accuracy

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags

    def _approach(self) -> Approach:
        names = [name for name, kind in APPROACHES.items() if kind.profile.is_for(IMAGE)]
        if self.approach not in names:
            raise UsageError(
                f"there is no approach {self.approach!r} to images; expected {', '.join(names)}"
            )
        settings = dict(self.settings or {})
        if self.approach != "scratch":
            settings["backbone"] = self.backbone
        try:
            return APPROACHES[self.approach](**settings)
        except TypeError as error:
            raise UsageError(f"{self.approach} cannot take these settings: {error}") from error


def _warn_of_what_is_not_used(data: Dataset) -> None:
    """One line, for scikit-learn has no other way to tell."""
    left_out = [row for row in data.rows if row.status != "ok"]
    if left_out:
        some = "; ".join(f"{data.absolute(row)}: {row.reason}" for row in left_out[:_WARNED_OF])
        more = "; ..." if len(left_out) > _WARNED_OF else ""
        warnings.warn(
            f"{len(left_out):,} of {len(data):,} images not used: {some}{more}", stacklevel=3
        )


def _labels(y: Any) -> NDArray[Any]:
    if y is None:
        raise DataError("y is None, expected one label for each image")
    try:
        labels = np.asarray(column_or_1d(y))
        check_classification_targets(labels)
    except ValueError as error:
        raise DataError(f"y cannot be taken as labels: {error}") from error
    return labels
