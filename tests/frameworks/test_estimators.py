"""The classifier for scikit-learn: paths and images in, what scikit-learn does with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

import regraft
from regraft.approaches import APPROACHES
from regraft.errors import DataError, UsageError
from regraft.kinds.base import read_input
from regraft.kinds.images.decoding import decode

RegraftClassifier = regraft.RegraftClassifier


@pytest.fixture
def paths(photo_folder: Path) -> np.ndarray:
    return np.array([str(path) for path in sorted(photo_folder.rglob("*.jpg"))])


@pytest.fixture
def labels(paths: np.ndarray) -> np.ndarray:
    return np.array([Path(path).parent.name for path in paths])


def test_paths_are_fitted_and_predicted(paths: np.ndarray, labels: np.ndarray) -> None:
    classifier = RegraftClassifier().fit(paths, labels)
    assert classifier.classes_.tolist() == ["clean", "messy"]
    probabilities = classifier.predict_proba(paths)
    assert probabilities.shape == (len(paths), 2)
    assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert (classifier.predict(paths) == labels).mean() > 0.8
    with pytest.warns(UserWarning, match=f"was trained on {len(paths)} of these {len(paths)} im"):
        score = classifier.score(paths, labels)
    assert score == (classifier.predict(paths) == labels).mean()
    column = paths.reshape(-1, 1)
    assert (classifier.predict(column) == classifier.predict(list(paths))).all()


def test_numbers_as_labels_keep_their_order_and_kind(paths: np.ndarray, labels: np.ndarray) -> None:
    numbers = np.where(labels == "clean", 10, 9)  # as texts, "10" comes first
    classifier = RegraftClassifier("knn").fit(paths, numbers)
    assert classifier.classes_.tolist() == [9, 10]
    assert classifier.predict(paths).dtype == numbers.dtype
    assert (classifier.predict(paths) == numbers).mean() > 0.8


@pytest.mark.slow
def test_images_in_memory_say_the_same_as_their_files(
    paths: np.ndarray, labels: np.ndarray, tmp_path: Path
) -> None:
    images = [decode(read_input(Path(path))) for path in paths]
    from_files = RegraftClassifier().fit(paths, labels)
    from_memory = RegraftClassifier().fit(images, labels)
    assert np.allclose(
        from_files.predict_proba(paths), from_memory.predict_proba(images), atol=1e-4
    )
    with pytest.warns(UserWarning, match="so their score says nothing of others"):
        from_memory.score(images, labels)
    same_size = np.stack([image[:64, :64] for image in images])
    assert RegraftClassifier().fit(same_size, labels).predict(same_size[:3]).shape == (3,)


@pytest.mark.slow
def test_scikit_learn_takes_it_apart_and_together(paths: np.ndarray, labels: np.ndarray) -> None:
    classifier = RegraftClassifier("linear_probe", settings={"views": 2}, seed=3)
    assert clone(classifier).get_params() == classifier.get_params()
    scores = cross_val_score(RegraftClassifier(), paths, labels, cv=3)
    assert scores.shape == (3,)
    assert scores.mean() > 0.6
    names = FunctionTransformer(lambda x: np.asarray(x))
    pipeline = Pipeline([("same", names), ("classify", RegraftClassifier())])
    search = GridSearchCV(pipeline, {"classify__approach": ["knn", "linear_probe"]}, cv=2)
    search.fit(paths, labels)
    assert search.best_params_["classify__approach"] in ("knn", "linear_probe")
    assert search.predict(paths[:2]).shape == (2,)


def test_groups_stay_together(paths: np.ndarray, labels: np.ndarray) -> None:
    groups = np.arange(len(paths)) // 2
    assert RegraftClassifier().fit(paths, labels, groups=groups).model_ is not None


# All others hand over tables of numbers as X, and scikit-learn leaves them out by itself.
CHECKS = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)


@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_of_estimators_that_apply_pass(name: str) -> None:
    getattr(estimator_checks, name)("RegraftClassifier", RegraftClassifier())


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.zeros((4, 3)), [0, 1, 0, 1], r"an array came, float64 \(4, 3\), expected a path"),
        (np.array([["a", "b"]]), [0], r"an array of the shape \(1, 2\) came, expected a path"),
        ([1, 2], [0, 1], "int came among the inputs, expected a path"),
        (5, [0], "int came, expected a path"),
        ("a.jpg", [0, 1], "X has 1 images and y 2 labels"),
        (["a.jpg", "b.jpg"], [0], "X has 2 images and y 1 labels"),
        (["a.jpg", "a.jpg"], [0, 1], r"a\.jpg is named twice"),
        (["a.jpg", "b.jpg"], None, "y is None"),
        (["a.jpg", "b.jpg"], [0.5, 1.7], "y cannot be taken as labels"),
        (np.zeros((2, 8, 8, 5), np.uint8), [0, 1], r"an array came, uint8 \(8, 8, 5\)"),
        (np.zeros((2, 8, 8, 3)), [0, 1], r"an array came, float64 \(8, 8, 3\)"),
    ],
)
def test_what_is_no_data_is_explained(x: Any, y: Any, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        RegraftClassifier().fit(x, y)


def test_wrong_settings_are_explained(paths: np.ndarray, labels: np.ndarray) -> None:
    of_images = [name for name in APPROACHES if APPROACHES[name].profile.is_for("image")]
    for name in ("svm", "tfidf"):
        with pytest.raises(UsageError) as caught:
            RegraftClassifier(name).fit(paths, labels)
        expected = f"there is no approach {name!r} to images; expected {', '.join(of_images)}"
        assert str(caught.value) == expected
    assert re.findall(r'"(\w+)"', str(RegraftClassifier.__doc__).partition("backbone:")[0]) == (
        of_images
    )
    with pytest.raises(UsageError, match="knn cannot take these settings"):
        RegraftClassifier("knn", settings={"depth": 3}).fit(paths, labels)
    with pytest.raises(NotFittedError):
        RegraftClassifier().predict(paths)


def test_an_image_that_cannot_be_read_ends_a_prediction_and_is_told_by_a_fit(
    paths: np.ndarray, labels: np.ndarray, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    told = r"2 of 26 images not used: .*gone\.jpg: the file is not there; .*bad\.jpg: not an im"
    with pytest.warns(UserWarning, match=told) as caught:
        classifier = RegraftClassifier().fit(
            [*paths, "gone.jpg", str(bad)], [*labels, "clean", "clean"]
        )
    assert "\n" not in str(caught[0].message)
    assert caught[0].filename == __file__
    with pytest.raises(DataError, match=r"bad\.jpg cannot be read"):
        classifier.predict([str(bad)])
