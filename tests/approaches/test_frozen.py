"""What approaches on frozen features keep of their folds: the models of fewer images."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.approaches.base import NO_LIMITS, CrossValidation
from regraft.approaches.frozen import cross_validate_repeats, one_of
from regraft.heads import PENALTIES, cross_validate_head, fit_logistic
from regraft.metrics.rates import FewerImages
from regraft.progress import silent


def _cross_validated(folds: np.ndarray) -> CrossValidation:
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = random.normal(size=(60, 12)) + 0.8 * random.normal(size=(3, 12))[labels]
    return cross_validate_repeats(
        lambda fold: cross_validate_head(
            fit_logistic, PENALTIES, features, labels, fold, n_classes=3
        ),
        labels,
        folds,
        conclude=one_of("penalty", PENALTIES),
        phase="",
        limits=NO_LIMITS,
        progress=silent,
    )


def test_the_gain_is_a_share_of_the_rise_that_folds_have_seen() -> None:
    folds = np.stack([np.arange(60) // 3 % 5, np.arange(60) // 12])
    found = _cross_validated(folds)
    assert found.fewer is not None
    assert found.fewer.probabilities.shape == (2 * 4, 60, 3)
    assert found.fewer.share == pytest.approx(0.6)
    before = (found.fewer.probabilities.argmax(axis=2) == found.labels).mean()
    assert found.accuracy_gain == pytest.approx(max(0.0, 0.6 * (found.correct.mean() - before)))


def test_two_folds_tell_nothing_of_the_gain() -> None:
    found = _cross_validated(np.arange(60)[None] // 3 % 2)
    assert found.fewer is None
    assert found.accuracy_gain == 0.0


@pytest.mark.parametrize(("wrong_before", "gain"), [(6, 0.6 * 4 / 20), (2, 0.0), (0, 0.0)])
def test_a_gain_is_never_a_loss(wrong_before: int, gain: float) -> None:
    labels = np.zeros(20, dtype=np.int64)

    def predictions(wrong: int) -> np.ndarray:
        return np.eye(2)[(np.arange(20) < wrong).astype(int)][None]

    found = CrossValidation(
        folds=np.arange(20)[None] % 5,
        labels=labels,
        probabilities=predictions(2),
        chosen={},
        temperature=1.0,
        fewer=FewerImages(predictions(wrong_before), 0.6),
    )
    assert found.accuracy_gain == pytest.approx(gain)
