"""Distances from the stored statistics: the formula, its order, and that nothing is changed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from regraft.engines.statistics import SMALLEST_VARIANCE, observe


class _Tiny(nn.Module):
    """Normalise, rectify, normalise, pool, classify; all of it easy to redo in numpy."""

    def __init__(self, seed: int, *, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        random = np.random.default_rng(seed)
        # Registered in another order than they are reached.
        self.second = nn.BatchNorm2d(channels)
        self.first = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, classes)
        for layer in (self.first, self.second):
            _store(layer, random.normal(size=channels), random.uniform(0.2, 3, channels))
            layer.weight.data = torch.tensor(random.uniform(0.5, 2, channels)).float()
            layer.bias.data = torch.tensor(random.normal(size=channels)).float()
        self.eval()

    def forward(self, x: torch.Tensor) -> Any:
        x = self.second(torch.relu(self.first(x)))
        return self.classifier(x.mean(dim=(2, 3)))


def _store(layer: nn.BatchNorm2d, mean: np.ndarray, variance: np.ndarray) -> None:
    layer.running_mean = torch.tensor(mean).float()
    layer.running_var = torch.tensor(variance).float()


def _pixels(seed: int, n: int = 5, size: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, 1.3, (n, 3, size, size)).astype(np.float32)


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().double())


def _normalised(layer: nn.BatchNorm2d, x: np.ndarray) -> np.ndarray:
    mean, variance, weight, bias = (
        _array(part)[:, None, None]
        for part in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return np.asarray((x - mean) / np.sqrt(variance + layer.eps) * weight + bias)


def _distance(layer: nn.BatchNorm2d, x: np.ndarray) -> float:
    """The formula as the design writes it, in numpy and without streaming."""
    m, v = _array(layer.running_mean), _array(layer.running_var)
    a, b = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    every = np.sqrt(((a - m) ** 2 + (np.sqrt(b) - np.sqrt(v)) ** 2) / v)
    return float(np.median(every[v >= 1e-3]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.sets(st.integers(1, 4)))
def test_the_formula_and_that_batches_do_not_matter(seed: int, cuts: set[int]) -> None:
    network, pixels = _Tiny(seed), _pixels(seed + 1)
    seen = observe(network, np.split(pixels, sorted(cuts)))

    x = pixels.astype(np.float64)
    between = np.maximum(_normalised(network.first, x), 0)
    pooled = _normalised(network.second, between).mean(axis=(2, 3))
    logits = pooled @ _array(network.classifier.weight).T + _array(network.classifier.bias)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    top = (odds / odds.sum(axis=1, keepdims=True)).max(axis=1).mean()

    assert [layer.name for layer in seen.layers] == ["first", "second"]
    expected = [_distance(network.first, x), _distance(network.second, between)]
    assert [layer.distance for layer in seen.layers] == pytest.approx(expected, rel=1e-4)
    assert seen.top_probability == pytest.approx(top, rel=1e-4)
    assert seen.images == 5


def _first_distance(network: nn.Module, pixels: np.ndarray) -> float:
    return observe(network, [pixels]).layers[0].distance


def test_images_like_those_of_pretraining_are_at_no_distance_and_a_shift_is_seen() -> None:
    network = _Tiny(0)
    mean, variance = (
        _array(part)[:, None, None]
        for part in (network.first.running_mean, network.first.running_var)
    )
    deviations = np.random.default_rng(0).normal(size=(32, 3, 24, 24))

    def seen(shift: float, stretch: float = 1.0) -> float:
        pixels = mean + np.sqrt(variance) * (deviations * stretch + shift)
        return _first_distance(network, pixels.astype(np.float32))

    assert seen(0) < 0.02
    found = [seen(shift) for shift in (0, 0.1, 0.5, 1, 3)]
    assert found == pytest.approx([0, 0.1, 0.5, 1, 3], abs=0.02)
    assert seen(0, stretch=1.5) == pytest.approx(0.5, abs=0.02)
    assert seen(0, stretch=0.5) == pytest.approx(0.5, abs=0.02)


def test_a_large_mean_does_not_drown_the_variance() -> None:
    layer = nn.BatchNorm2d(3)
    _store(layer, np.full(3, 5_000.0), np.full(3, 1.0))
    network = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    pixels = np.random.default_rng(0).normal(5_000, 1, (8, 3, 32, 32)).astype(np.float32)
    assert _first_distance(network, pixels) < 0.03


def test_channels_that_hardly_vary_are_skipped() -> None:
    network, tiny = _Tiny(3), SMALLEST_VARIANCE / 2
    _store(network.first, np.zeros(3), np.array([1, tiny, 2]))
    _store(network.second, np.zeros(3), np.full(3, tiny))
    pixels = _pixels(4)
    (layer,) = observe(network, [pixels]).layers
    assert (layer.name, layer.channels) == ("first", 2)
    assert layer.distance == pytest.approx(_distance(network.first, pixels.astype(np.float64)))


def test_a_layer_that_is_reached_twice_is_one_layer() -> None:
    class Twice(_Tiny):
        def forward(self, x: torch.Tensor) -> Any:
            return self.classifier(self.first(self.first(x)).mean(dim=(2, 3)))

    network, x = Twice(5), _pixels(6).astype(np.float64)
    (layer,) = observe(network, [_pixels(6)]).layers
    both = np.concatenate([x, _normalised(network.first, x)])
    assert layer.distance == pytest.approx(_distance(network.first, both), rel=1e-4)


@pytest.mark.parametrize(
    "norm", [nn.Identity(), nn.GroupNorm(1, 3), nn.BatchNorm2d(3, track_running_stats=False)]
)
def test_without_stored_statistics_there_is_only_the_probability(norm: nn.Module) -> None:
    network = nn.Sequential(norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).eval()
    seen = observe(network, [_pixels(1)])
    assert seen.layers == ()
    assert 0.25 <= seen.top_probability <= 1


def test_without_images_nothing_is_known() -> None:
    seen = observe(_Tiny(0), [])
    assert (seen.layers, seen.images) == ((), 0)
    assert math.isnan(seen.top_probability)


def test_the_network_is_left_as_it_was() -> None:
    network, pixels = _Tiny(0), _pixels(1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    kept = pixels.copy()
    observe(network, [pixels])
    with pytest.raises(RuntimeError):
        observe(network, [pixels[:, :2]])  # the hooks go although it failed
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert np.array_equal(pixels, kept)
    with pytest.raises(ValueError, match=r"in training mode; call network\.eval\(\) first"):
        observe(network.train(), [pixels])
