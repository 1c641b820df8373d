"""Learning curves: nested stratified parts, a law that is recovered, a forecast that holds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import regraft
from regraft.approaches.base import repeated_folds
from regraft.evidence.learning_curve import LearningCurve, PowerLaw, fit_power_law, learning_curve
from regraft.heads import fit_knn, fit_logistic
from regraft.storage.records import to_json


def _folds(n: int, *, repeats: int = 3, folds: int = 5) -> np.ndarray:
    return np.stack(
        [np.random.default_rng(r).permutation(np.arange(n) % folds) for r in range(repeats)]
    )


@dataclass(frozen=True)
class _Hard:
    """A head that gets an image right if its hardness exceeds the law's error at this size."""

    error: float
    k: int

    def logits(self, features: np.ndarray) -> np.ndarray:
        number, hardness = features[:, 0].astype(int), features[:, 1]
        said = np.where(hardness > self.error, number, (number + 1) % self.k)
        return np.eye(self.k)[said]

    def tensors(self) -> dict[str, Any]:
        raise NotImplementedError

    def nodes(self) -> Any:
        raise NotImplementedError


class _Counting:
    """A fitter that obeys a known law, and remembers the class counts it was trained on."""

    def __init__(self, law: PowerLaw) -> None:
        self.law = law
        self.rows: list[np.ndarray] = []

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, n_classes: int, values: Sequence[Any]
    ) -> list[_Hard]:
        self.rows.append(features[:, 2].astype(int))
        return [_Hard(self.law.error(len(labels)), n_classes) for _ in values]


def _obeying(
    law: PowerLaw, n: int, k: int = 2, *, seed: int = 0, noise: float = 0.0, **options: Any
) -> tuple[LearningCurve, _Counting]:
    """A curve of images whose hardness is drawn at random; `n` more than 3 columns are needed."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    hardness = rng.random(n)
    features = np.stack([labels, hardness, np.arange(n)], axis=1).astype(float)
    fitter = _Counting(law)
    curve = learning_curve(
        features, labels, _folds(n), n_classes=k, fit=fitter, setting=1, seed=seed, **options
    )
    return curve, fitter


laws = st.builds(
    PowerLaw, st.floats(0.0, 0.3), st.floats(0.01, 1.0), st.floats(0.1, 1.0, exclude_min=True)
)


@given(laws, st.integers(4, 8), st.integers(5, 40))
@example(PowerLaw(0.0, 1.0, 0.15625), 4, 5)  # no exponent of the grid
@settings(max_examples=60, deadline=None)
def test_a_law_without_noise_is_recovered(law: PowerLaw, p: int, smallest: int) -> None:
    sizes = np.geomspace(smallest, 20 * smallest, p)
    errors = law.floor + law.scale * sizes**-law.exponent
    found = fit_power_law(sizes, errors, np.ones(p))
    twice = 2 * sizes[-1]
    true = law.floor + law.scale * twice**-law.exponent
    assert found.floor + found.scale * twice**-found.exponent == pytest.approx(true, abs=2e-3)


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=6),
    st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_any_points_give_a_law_that_never_rises(errors: list[float], seed: int) -> None:
    p = len(errors)
    sizes = np.sort(np.random.default_rng(seed).choice(np.arange(2, 500), p, replace=False))
    law = fit_power_law(sizes.astype(float), np.array(errors), np.ones(p))
    assert law.floor >= 0
    assert law.scale >= 0
    assert 0 < law.exponent <= 1
    at = [law.error(m) for m in (1, 10, 100, 1000, 10_000)]
    assert at == sorted(at, reverse=True)
    assert all(0 <= e <= 1 for e in at)


@pytest.mark.slow
@given(laws, st.integers(20, 200), st.integers(2, 4), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_a_curve_holds_together(law: PowerLaw, n: int, k: int, seed: int) -> None:
    curve, _ = _obeying(law, n, k, seed=seed)
    sizes = [point.images for point in curve.points]
    assert sizes == sorted(set(sizes))
    assert 1 <= len(sizes) <= 6
    assert sizes[-1] == round(0.8 * n)
    for point in curve.points:
        a = point.accuracy
        assert 0 <= a.low <= a.value <= a.high <= 1
        assert point.per_class == pytest.approx(point.images / k, abs=1)
    assert curve.text.endswith(".")
    forecast = curve.forecast
    if forecast is None:
        assert curve.text.startswith("No forecast: ")
        return
    gain, last = forecast.gain, curve.points[-1].accuracy
    assert 0 <= gain.low <= gain.value <= gain.high
    assert last.value + gain.high <= 1 + 1e-12
    assert forecast.accuracy.high <= 1
    assert forecast.images == 2 * n


def test_parts_are_nested_stratified_and_end_with_all() -> None:
    n, k = 100, 2
    labels = np.where(np.arange(n) < 75, 0, 1)
    features = np.stack([labels, np.zeros(n), np.arange(n)], axis=1).astype(float)
    fitter = _Counting(PowerLaw(0.1, 0.5, 0.5))
    folds = np.stack([np.arange(n) % 5])
    learning_curve(features, labels, folds, n_classes=k, fit=fitter, setting=1)
    assert len(fitter.rows) == 5 * 6
    for fold in range(5):
        parts = fitter.rows[6 * fold : 6 * fold + 6]
        for smaller, larger in itertools.pairwise(parts):
            assert set(smaller) < set(larger)
        assert set(parts[-1]) == set(np.flatnonzero(folds[0] != fold))
        for part in parts:
            counts = np.bincount(labels[part], minlength=k)
            assert counts.min() >= 2
            assert counts[0] / counts[1] == pytest.approx(3, abs=1)


def test_parts_grow_by_whole_groups() -> None:
    n = 120
    labels, groups = np.arange(n) % 2, np.arange(n) // 2 % 20
    features = np.stack([labels, np.linspace(0, 1, n), np.arange(n)], axis=1)
    fitter = _Counting(PowerLaw(0.1, 0.5, 0.5))
    curve = learning_curve(
        features, labels, groups[None] % 5, n_classes=2, fit=fitter, setting=1, groups=groups
    )
    # All but the last group of a class is complete: of 3 images each, m images touch m / 3.
    for part in fitter.rows[:6]:
        for c in (0, 1):
            own = part[labels[part] == c]
            assert len(np.unique(groups[own])) == math.ceil(len(own) / 3)
    assert "groups" in curve.points[-1].accuracy.method
    assert curve.forecast is not None
    assert curve.forecast.gain.method == "power law, bootstrap over groups"


@pytest.mark.slow
@pytest.mark.parametrize(
    "law", [PowerLaw(0.05, 0.9, 0.5), PowerLaw(0.0, 0.6, 0.25), PowerLaw(0.2, 2.0, 0.9)]
)
def test_the_interval_holds_the_truth_most_times(law: PowerLaw) -> None:
    n, hits = 240, 0
    for seed in range(20):
        curve, _ = _obeying(law, n, seed=seed)
        assert curve.forecast is not None
        gain = curve.forecast.gain
        hits += gain.low <= law.error(n) - law.error(2 * n) <= gain.high
    assert hits >= 17


@pytest.mark.slow
def test_the_interval_holds_what_a_real_head_gains() -> None:
    """Gaussian classes: the truth is measured on fresh images; its law is none of powers."""
    rng = np.random.default_rng(0)
    k, d, n, hits = 3, 60, 150, 0
    for seed in range(12):
        centres = 2 * rng.normal(size=(k, d)) / math.sqrt(d)

        def drawn(m: int, centres: np.ndarray = centres) -> tuple[np.ndarray, np.ndarray]:
            labels = np.arange(m) % k
            return centres[labels] + rng.normal(size=(m, len(centres[0]))), labels

        fresh, truth = drawn(3000)

        def accuracy(
            m: int,
            fresh: np.ndarray = fresh,
            truth: np.ndarray = truth,
            drawn: Any = drawn,
        ) -> float:
            heads = [fit_logistic(*drawn(m), k, [4.0])[0] for _ in range(6)]
            return float(np.mean([h.logits(fresh).argmax(axis=1) == truth for h in heads]))

        features, labels = drawn(n)
        curve = learning_curve(
            features, labels, _folds(n), n_classes=k, fit=fit_logistic, setting=4.0, seed=seed
        )
        assert curve.forecast is not None
        gain = curve.forecast.gain
        hits += gain.low - 0.005 <= accuracy(2 * n) - accuracy(n) <= gain.high + 0.005
    assert hits >= 9


def _said(law: PowerLaw, n: int = 200, **options: Any) -> str:
    return _obeying(law, n, **options)[0].text


def test_says_what_twice_as_many_would_give() -> None:
    text = _said(PowerLaw(0.02, 2.0, 0.5))
    assert text.startswith("About 100 more of each class (twice as many) would give +")
    assert text.endswith("].")


def test_says_when_the_curve_is_flat() -> None:
    assert _said(PowerLaw(0.1, 0.0, 0.5)).startswith("The learning curve is flat: about 100 more")


def test_says_when_all_is_right_already() -> None:
    curve, _ = _obeying(PowerLaw(0.0, 0.0, 0.5), 100)
    assert curve.forecast is None
    assert curve.text == (
        "No forecast: everything was predicted right, so the curve cannot show what more data "
        "would give."
    )


def test_says_when_it_only_guesses() -> None:
    curve, _ = _obeying(PowerLaw(0.5, 0.0, 0.5), 100)
    assert curve.forecast is None
    assert "not clearly better than always naming the most frequent class" in curve.text


@pytest.mark.parametrize("n", [4, 6, 8])
def test_says_when_there_are_too_few_images(n: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    folds = (np.arange(n) // 2 % 2)[None]
    curve = learning_curve(
        rng.normal(size=(n, 5)), labels, folds, n_classes=2, fit=fit_logistic, setting=4.0
    )
    assert curve.forecast is None
    assert "too little of a class" in curve.text


def test_a_class_that_a_fold_lacks_does_no_harm() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 40 + [1] * 40 + [2])
    folds = np.concatenate([np.arange(80) % 5, [0]])[None]
    features = rng.normal(size=(81, 10)) + 3 * np.eye(3, 10)[labels]
    curve = learning_curve(
        features, labels, folds, n_classes=3, fit=fit_logistic, setting=4.0, approach="linear_probe"
    )
    assert len(curve.points) >= 4


def test_the_same_seed_gives_the_same_curve() -> None:
    law = PowerLaw(0.05, 0.9, 0.5)
    assert _obeying(law, 80)[0] == _obeying(law, 80)[0]


def test_large_data_is_tested_on_fewer_folds() -> None:
    _, fitter = _obeying(PowerLaw(0.05, 0.9, 0.5), 200, most_work=200 * 3 * 2 * 7)
    assert len(fitter.rows) == 5 * 6  # one whole repeat of three
    curve, fitter = _obeying(PowerLaw(0.05, 0.9, 0.5), 200, most_work=1)
    assert len(fitter.rows) == 6
    assert curve.forecast is not None


def test_the_json_form() -> None:
    curve, _ = _obeying(PowerLaw(0.05, 0.9, 0.5), 100, approach="knn", backbone="lite0")
    data = to_json(curve)
    assert list(data) == ["approach", "backbone", "points", "forecast", "text"]
    assert (data["approach"], data["backbone"], data["text"]) == ("knn", "lite0", curve.text)
    assert [point["images"] for point in data["points"]] == [p.images for p in curve.points]
    assert set(data["points"][0]) == {"images", "per_class", "accuracy"}
    assert set(data["points"][0]["accuracy"]) == {"value", "low", "high", "method"}
    assert data["forecast"]["images"] == 200
    assert data["forecast"]["per_class_more"] == 50
    assert data["forecast"]["gain"]["method"] == "power law, bootstrap"
    nothing, _ = _obeying(PowerLaw(0.0, 0.0, 0.5), 100)
    assert to_json(nothing)["forecast"] is None


@pytest.mark.slow
@pytest.mark.parametrize(("fit", "setting"), [(fit_logistic, 16.0), (fit_knn, 5)])
def test_on_photos_of_rooms(graphs: Path, test_data: Path, fit: Any, setting: Any) -> None:
    data = regraft.scan(test_data / "rooms")
    rows = {row.path: i for i, row in enumerate(data.rows)}
    features = regraft.embed(data, "efficientnet_lite0")[[rows[row.path] for row in data.train]]
    labels = np.array([data.classes.index(row.label) for row in data.train])
    curve = learning_curve(
        features, labels, repeated_folds(data), n_classes=2, fit=fit, setting=setting
    )
    assert len(curve.points) == 6
    assert curve.points[-1].accuracy.value > 0.9
    assert curve.points[-1].accuracy.value >= curve.points[0].accuracy.value
    assert "bout 96 more of each class (twice as many)" in curve.text
    assert curve.forecast is not None
    assert curve.forecast.gain.high < 0.05
