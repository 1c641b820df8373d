"""scikit-learn in and out: `RegraftClassifier` takes paths or images and is an estimator.

It works in `cross_val_score`, `Pipeline` and `GridSearchCV`. What it fits is a Model like any
other: `classifier.model_.save(...)`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from regraft.approaches import APPROACHES, ONLY_FOR, Approach
from regraft.catalogue import DEFAULT_BACKBONE, Backbone
from regraft.dataset import require_trainable, scan_files
from regraft.errors import DataError, UsageError
from regraft.modality import IMAGE

_EXPECTED = "expected paths of images (n,) or images, uint8 (n, height, width, 3)"


class RegraftClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An approach of regraft as a classifier of scikit-learn.

    X is paths of images, (n,) or (n, 1), or images: uint8 RGB (n, height, width, 3), or a sequence
    of uint8 RGB (height, width, 3) of any sizes.

    Args:
        approach: the name of one for images: "linear_probe", "knn", "fine_tune", "scratch" or
            "fastai".
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
        """Train on images with their labels.

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
        with _files(X) as paths:
            if len(paths) != len(labels):
                raise DataError(f"X has {len(paths):,} images and y {len(labels):,} labels")
            data = scan_files(
                paths,
                [names[number] for number in numbers],
                groups=None if groups is None else [str(group) for group in groups],
                jobs=self.jobs,
            )
            require_trainable(data)
            self.model_ = self._approach().fit(data, seed=self.seed, jobs=self.jobs)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Calibrated probabilities (n, k), in the order of `classes_`.

        Raises:
            DataError: X is nothing of the kind, or one of the images cannot be read.
        """
        check_is_fitted(self, "model_")
        if _is_images(X):
            found = [self.model_.predict_image(_checked(image)) for image in X]
        else:
            found = self.model_.predict(_paths(X), jobs=self.jobs)
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags

    def _approach(self) -> Approach:
        names = [name for name in APPROACHES if ONLY_FOR.get(name, IMAGE) == IMAGE]
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


def _labels(y: Any) -> NDArray[Any]:
    if y is None:
        raise DataError("y is None, expected one label for each image")
    try:
        labels = np.asarray(column_or_1d(y))
        check_classification_targets(labels)
    except ValueError as error:
        raise DataError(f"y cannot be taken as labels: {error}") from error
    return labels


def _is_images(X: Any) -> bool:  # noqa: N803
    if isinstance(X, np.ndarray) and X.dtype != object:
        return X.ndim == 4
    return len(X) > 0 and all(isinstance(one, np.ndarray) and one.ndim == 3 for one in X)


def _checked(image: Any) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DataError(f"an image is {image.dtype} {image.shape}, {_EXPECTED}")
    return np.ascontiguousarray(image)


def _paths(X: Any) -> list[str]:  # noqa: N803
    values: Any = X
    if hasattr(X, "to_numpy"):  # pandas, polars
        values = X.to_numpy()
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise DataError(f"X has the shape {values.shape}, {_EXPECTED}")
    if isinstance(values, str | os.PathLike) or not isinstance(values, Sequence | np.ndarray):
        raise DataError(f"X is {type(X).__name__}, {_EXPECTED}")
    wrong = next((one for one in values if not isinstance(one, str | os.PathLike)), None)
    if wrong is not None:
        raise DataError(f"X holds {type(wrong).__name__}, {_EXPECTED}")
    return [os.fspath(one) for one in values]


@contextmanager
def _files(X: Any) -> Iterator[list[str]]:  # noqa: N803
    """Paths of the images; those in memory are written for as long as they are needed."""
    if not _is_images(X):
        yield _paths(X)
        return
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="regraft-images-") as folder:
        paths = []
        for number, image in enumerate(X):
            path = Path(folder) / f"{number:08}.png"
            Image.fromarray(_checked(image)).save(path, compress_level=1)
            paths.append(str(path))
        yield paths
