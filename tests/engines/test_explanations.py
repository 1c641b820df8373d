"""Heat maps of every family of networks: they point at what decides, and change when it is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from timm.models.deit import VisionTransformerDistilled
from timm.models.densenet import DenseNet
from timm.models.swin_transformer import SwinTransformer
from torch import nn

from regraft.engines.explanations import (
    EvidenceLayer,
    class_logits,
    class_maps,
    find_layer,
    randomised,
)
from regraft.errors import ExplanationError
from regraft.metrics.rates import rank_correlation

Pixels = NDArray[np.float32]


def timm_network(name: str, **options: Any) -> Callable[[], Any]:
    return lambda: timm.create_model(name, pretrained=False, **options)


# Each family: how it is made, the side of its pixels, and the layer that is to be found.
FAMILIES: dict[str, tuple[Callable[[], Any], int, EvidenceLayer]] = {
    "resnet": (
        timm_network("test_resnet"),
        128,
        EvidenceLayer("layer4", "channels first", 4),
    ),
    "efficientnet_lite": (
        timm_network("tf_efficientnet_lite0"),
        96,
        EvidenceLayer("bn2", "channels first", 3),
    ),
    "densenet": (
        lambda: DenseNet(growth_rate=8, block_config=(2, 2, 2, 2)),
        96,
        EvidenceLayer("features", "channels first", 3),
    ),
    "convnext": (
        timm_network("test_convnext"),
        96,
        EvidenceLayer("norm_pre", "channels first", 3),
    ),
    # Only its class token is read, so the places of the last block decide nothing.
    "vit": (timm_network("test_vit", img_size=64), 64, EvidenceLayer("blocks.4", "tokens", 4, 1)),
    "vit, mean of its tokens": (
        timm_network("test_vit", img_size=64, global_pool="avg"),
        64,
        EvidenceLayer("norm", "tokens", 4, 1),
    ),
    "vit with registers": (
        timm_network("test_vit", img_size=64, reg_tokens=4),
        64,
        EvidenceLayer("blocks.4", "tokens", 4, 5),
    ),
    "deit": (
        lambda: VisionTransformerDistilled(img_size=64, embed_dim=48, depth=3, num_heads=3),
        64,
        EvidenceLayer("blocks.1", "tokens", 4, 2),
    ),
    "swin": (
        lambda: SwinTransformer(
            img_size=64, window_size=4, embed_dim=24, depths=(1, 1, 1), num_heads=(1, 2, 4)
        ),
        64,
        EvidenceLayer("norm", "channels last", 4),
    ),
}


def classifier_of(features: Any, width: int, n_classes: int = 3) -> Any:
    classifier = nn.Sequential()
    classifier.add_module("features", features)
    classifier.add_module("head", nn.Linear(width, n_classes))
    return classifier.eval().requires_grad_(False)


def make(family: str, *, n_classes: int = 3) -> tuple[Any, int]:
    """A classifier with random weights, always the same, and the side of its pixels."""
    build, size, _ = FAMILIES[family]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build()
        network.reset_classifier(0)
        return classifier_of(network, network.num_features, n_classes), size


def noise(n: int, size: int) -> Pixels:
    return np.random.default_rng(0).normal(size=(n, 3, size, size)).astype(np.float32)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layer_is_the_last_one_whose_places_count(family: str) -> None:
    classifier, size = make(family)
    assert find_layer(classifier, noise(1, size)) == FAMILIES[family][2]


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_are_grids_of_evidence(family: str) -> None:
    classifier, size = make(family)
    pixels = noise(6, size)
    before = pixels.copy()
    layer = find_layer(classifier, pixels[:1])
    maps = class_maps(classifier, layer, pixels, [0, 1, 2, 0, 1, 2])
    assert maps.dtype == np.float32
    assert maps.shape == (6, layer.grid, layer.grid)
    assert np.isfinite(maps).all()
    assert (maps >= 0).all()
    assert (maps > 0).any(), "some photo speaks for its class somewhere"
    one_by_one = [
        class_maps(classifier, layer, pixels[i : i + 1], [i % 3])[0] for i in range(len(pixels))
    ]
    assert np.allclose(maps, one_by_one, atol=1e-5 * maps.max())
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("family", FAMILIES)
def test_looking_leaves_the_network_as_it_was(family: str) -> None:
    classifier, size = make(family)
    pixels = noise(2, size)
    before = class_logits(classifier, pixels)
    layer = find_layer(classifier, pixels[:1])
    class_maps(classifier, layer, pixels, [0, 1])
    assert np.array_equal(class_logits(classifier, pixels), before)
    assert not classifier.training
    assert all(p.grad is None and not p.requires_grad for p in classifier.parameters())
    assert all(not m._forward_hooks for m in classifier.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_random_weights_change_the_maps(family: str) -> None:
    """Adebayo et al. 2018, on networks whose head tells its classes by what they see."""
    classifier, size = make(family)
    pixels = noise(8, size)
    layer = find_layer(classifier, pixels[:1])
    targets = class_logits(classifier, pixels).argmax(axis=1)
    before = class_logits(classifier, pixels)
    maps = class_maps(classifier, layer, pixels, targets)
    found = []
    for seed in range(6):
        other = class_maps(randomised(classifier, seed=seed), layer, pixels, targets)
        assert np.isfinite(other).all()
        found += [
            abs(rank_correlation(a.ravel().astype(float), b.ravel().astype(float)))
            for a, b in zip(maps, other, strict=True)
            if np.ptp(a) > 0 and np.ptp(b) > 0
        ]
    assert len(found) >= 8
    assert np.median(found) < 0.6
    assert np.array_equal(class_logits(classifier, pixels), before), "it works on a copy"


@pytest.mark.parametrize("family", ["resnet", "efficientnet_lite", "densenet"])
def test_where_features_are_averaged_the_map_is_their_weighted_sum(family: str) -> None:
    """The class activation map of Zhou et al. 2016, which Grad-CAM is then equal to."""
    classifier, size = make(family)
    pixels = noise(3, size)
    layer = find_layer(classifier, pixels[:1])
    with torch.no_grad():
        features = classifier.features.forward_features(torch.from_numpy(pixels)).numpy()
    weights = classifier.head.weight.numpy()
    for target in range(3):
        maps = class_maps(classifier, layer, pixels, [target] * 3)
        expected = np.einsum("nchw,c->nhw", features, weights[target]) / layer.grid**2
        assert np.allclose(maps, np.maximum(expected, 0), atol=1e-5)


def test_the_mean_of_tokens_is_such_a_sum_too() -> None:
    classifier, size = make("vit, mean of its tokens")
    with torch.no_grad():
        network = classifier.features
        network.fc_norm = nn.Identity()
        tokens = network.forward_features(torch.from_numpy(noise(2, size))).numpy()
    places = tokens[:, 1:].reshape(2, 4, 4, -1)  # rows of patches, from the top
    layer = find_layer(classifier, noise(1, size))
    maps = class_maps(classifier, layer, noise(2, size), [1, 1])
    expected = places @ classifier.head.weight.numpy()[1] / 16
    assert np.allclose(maps, np.maximum(expected, 0), atol=1e-5)


# --- Planted evidence


def squares(n: int, size: int, seed: int) -> tuple[Pixels, NDArray[np.int64], list[Any]]:
    """Noise with a bright square: red for class 0, green for class 1; and where the squares are."""
    random = np.random.default_rng(seed)
    pixels = random.normal(0, 0.3, (n, 3, size, size)).astype(np.float32)
    labels = random.integers(0, 2, n)
    side, where = size // 4, []
    for i, label in enumerate(labels):
        y, x = random.integers(0, 4, 2) * side
        where.append((slice(y, y + side), slice(x, x + side)))
        pixels[i, label][where[-1]] += 3.0
    return pixels, labels, where


def trained(classifier: Any, size: int, *, steps: int, rate: float) -> Any:
    """The classifier after some steps on planted squares."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier.requires_grad_(True).train()
        optimiser = torch.optim.Adam(classifier.parameters(), lr=rate)
        for step in range(steps):
            pixels, labels, _ = squares(32, size, seed=step)
            loss = nn.functional.cross_entropy(
                classifier(torch.from_numpy(pixels)), torch.from_numpy(labels)
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return classifier.eval().requires_grad_(False)


def share_on_the_square(maps: Pixels, where: list[Any], size: int) -> float:
    """The mean share of a map that lies within its square and half a place around it."""
    found = []
    for one, (rows, columns) in zip(maps, where, strict=True):
        cell = size // one.shape[0]
        large = np.kron(one, np.ones((cell, cell)))
        mask = np.zeros_like(large)
        edge = cell // 2
        mask[
            max(0, rows.start - edge) : rows.stop + edge,
            max(0, columns.start - edge) : columns.stop + edge,
        ] = 1
        found.append(float((large * mask).sum() / large.sum()))
    return float(np.mean(found))


@pytest.mark.parametrize(
    ("family", "steps", "rate"),
    [("resnet", 8, 3e-3), ("vit", 40, 1e-3), ("swin", 30, 1e-3)],
)
def test_maps_point_at_what_was_planted(family: str, steps: int, rate: float) -> None:
    classifier, _ = make(family, n_classes=2)
    size = 64
    classifier = trained(classifier, size, steps=steps, rate=rate)
    pixels, labels, where = squares(24, size, seed=10_000)
    assert (class_logits(classifier, pixels).argmax(axis=1) == labels).mean() > 0.9
    layer = find_layer(classifier, pixels[:1])
    maps = class_maps(classifier, layer, pixels, labels)
    has_map = maps.reshape(24, -1).any(axis=1)
    assert has_map.sum() >= 16
    seen = [spot for spot, kept in zip(where, has_map, strict=True) if kept]
    by_chance = share_on_the_square(np.ones_like(maps[has_map]), seen, size)
    assert share_on_the_square(maps[has_map], seen, size) > 2 * by_chance


# --- Networks of one's own


class Twice(nn.Module):
    """Its block runs two times; what comes before it runs once."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.block = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.block(torch.relu(self.block(self.stem(x)))).mean(dim=(2, 3))


class Wrapped(nn.Module):
    """A network inside a module inside a module."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Module()
        inner.model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.Conv2d(8, 8, 3, stride=2))
        self.inner = inner

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner.model(x).mean(dim=(2, 3))


class InPlace(nn.Module):
    """It writes into what it was given, and into the output of its last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=4)

    def forward(self, x: torch.Tensor) -> Any:
        x.add_(1.0)
        return torch.relu_(self.conv(x)).mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("build", "name"), [(Twice, "stem"), (Wrapped, "inner.model"), (InPlace, "conv")]
)
def test_networks_that_are_not_from_timm(build: Callable[[], Any], name: str) -> None:
    torch.manual_seed(0)
    classifier = classifier_of(build(), 8)
    pixels = noise(2, 32)
    before = pixels.copy()
    layer = find_layer(classifier, pixels[:1])
    assert (layer.name, layer.layout) == (name, "channels first")
    targets = class_logits(classifier, pixels).argmax(axis=1)
    maps = class_maps(classifier, layer, pixels, targets)
    assert maps.shape == (2, layer.grid, layer.grid)
    assert maps.any()
    assert np.array_equal(pixels, before)


def test_a_network_without_places_has_no_layer() -> None:
    classifier = classifier_of(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 8)), 8)
    with pytest.raises(ExplanationError, match="no layer whose output is a grid of places"):
        find_layer(classifier, noise(1, 16))


def test_a_network_on_which_places_have_no_influence_has_no_layer() -> None:
    classifier = classifier_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1)), 8)
    classifier.features.append(nn.Flatten())
    classifier.head.weight.zero_()
    with pytest.raises(ExplanationError, match="no layer whose output is a grid of places"):
        find_layer(classifier, noise(1, 16))


def test_whatever_a_network_raises_is_one_line() -> None:
    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            raise RuntimeError("first line\nsecond line")

    classifier = classifier_of(Fails(), 8)
    for look in (
        lambda: find_layer(classifier, noise(1, 16)),
        lambda: class_logits(classifier, noise(1, 16)),
    ):
        with pytest.raises(ExplanationError) as caught:
            look()
        assert str(caught.value) == "the network cannot be looked into (RuntimeError: first line)"


def test_randomised_networks_differ_by_seed_and_repeat() -> None:
    classifier, size = make("resnet")
    pixels = noise(2, size)
    first, again, other = (
        class_logits(randomised(classifier, seed=seed), pixels) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    kept = {
        name
        for (name, a), b in zip(
            classifier.state_dict().items(),
            randomised(classifier, seed=0).state_dict().values(),
            strict=True,
        )
        if a.dim() >= 2 and torch.equal(a, b)
    }
    assert kept == set()
