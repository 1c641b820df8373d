"""Trainees: what learns, what is frozen, and that head, body and graph are one network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from regraft.backbones.architectures import Timm
from regraft.engines.networks import (
    Pixels,
    PixelScale,
    Trainee,
    pretrained_trainee,
    scratch_trainee,
)
from regraft.engines.onnx import OnnxEngine
from regraft.engines.stages import chain_of
from regraft.errors import TrainingError
from tests.tiny_networks import ARCHITECTURE, SIZE, STAGES, WIDTH, write_weights

SCALE = PixelScale((0.5,) * 3, (0.5,) * 3, 1.0, "rgb")


def scratch(make: Callable[[int], Any] | None, *, n_classes: int = 3, size: int = 16) -> Trainee:
    torch.manual_seed(0)
    return scratch_trainee(make, n_classes=n_classes, scale=SCALE, image_size_px=size)


def user_network(n_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 8),
        nn.ReLU(),
        nn.Linear(8, n_classes),
    )


class ConvHead(nn.Module):
    """Without a linear layer at its end."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 5)
        self.conv = nn.Conv2d(3, n_classes, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return self.conv(x).mean(dim=(2, 3))


class ThenLogSoftmax(nn.Module):
    """Something follows the linear layer, of the same shape."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, n_classes)

    def forward(self, x: torch.Tensor) -> Any:
        return torch.log_softmax(self.fc(x.mean(dim=(2, 3))), dim=1)


class TwoHeads(nn.Module):
    """The last linear layer is one of two whose outputs are added."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(n_classes, n_classes), nn.Linear(n_classes, n_classes)

    def forward(self, x: torch.Tensor) -> Any:
        pooled = x.mean(dim=(2, 3))
        return self.one(pooled) + self.two(pooled)


class Reshaped(nn.Module):
    """Code behind the linear layer that only logits survive."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.fc = nn.Linear(3 * 16, n_classes)

    def forward(self, x: torch.Tensor) -> Any:
        wide = nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)
        return self.fc(wide).view(len(x), self.n_classes)


class NoBias(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, n_classes, bias=False)

    def forward(self, x: torch.Tensor) -> Any:
        return self.fc(x.mean(dim=(2, 3)))


def nested(n_classes: int) -> nn.Module:
    return nn.Sequential(user_network(6), nn.Sequential(nn.ReLU(), nn.Linear(6, n_classes)))


@pytest.mark.parametrize(
    ("make", "width"),
    [
        pytest.param(user_network, 8, id="last linear"),
        pytest.param(nested, 6, id="nested"),
        pytest.param(lambda k: nn.Sequential(nn.Flatten(), nn.Linear(768, k)), 768, id="only one"),
        pytest.param(ConvHead, None, id="convolution"),
        pytest.param(ThenLogSoftmax, None, id="log softmax"),
        pytest.param(TwoHeads, None, id="two heads"),
        pytest.param(Reshaped, None, id="reshaped"),
        pytest.param(NoBias, None, id="no bias"),
        pytest.param(None, 128, id="small resnet"),
    ],
)
def test_head_of_body_is_the_users_network(
    make: Callable[[int], nn.Module] | None, width: int | None
) -> None:
    made: list[Any] = []

    def remembered(n_classes: int) -> nn.Module:
        assert make is not None
        made.append(make(n_classes))
        return copy.deepcopy(made[0])

    trainee = scratch(None if make is None else remembered, size=16)
    head: Any = trainee.head
    assert (head.in_features, head.out_features) == (width or 3, 3)
    assert trainee.intake == Pixels(SCALE, 16)
    assert trainee.statistics_learn
    pixels = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        features = trainee.body.eval()(pixels)
        found = trainee.head(features)
    assert features.shape == (4, width or 3)
    if made:
        with torch.no_grad():
            expected = made[0].eval()(pixels)
        assert torch.allclose(found, expected, atol=1e-6)
        weights, bias = trainee.head_arrays()
        assert features.numpy() @ weights + bias == pytest.approx(found.numpy(), abs=1e-5)

    # All of the user's parameters learn; a head that is the identity does not.
    (depth, learning), *more = trainee.learning
    assert (depth, more) == (0, [])
    names = {id(p) for p in [*trainee.body.parameters(), *trainee.head.parameters()]}
    if width is None:
        names -= {id(p) for p in trainee.head.parameters()}
        assert np.array_equal(trainee.head_arrays()[0], np.eye(3))
        assert not any(p.requires_grad for p in trainee.head.parameters())
    assert {id(p) for p in learning} == names


@pytest.mark.parametrize(
    ("make", "text"),
    [
        pytest.param(
            lambda k: [k],
            "the architecture returned list, expected a torch.nn.Module",
            id="no module",
        ),
        pytest.param(
            lambda k: nn.Sequential(nn.Flatten(), nn.Linear(768, k + 1)),
            "the architecture returned (2, 4) for 2 images, expected (2, 3): one logit for each "
            "class",
            id="classes",
        ),
        pytest.param(
            lambda k: nn.Conv2d(3, k, 3),
            "the architecture returned (2, 3, 14, 14) for 2 images, expected (2, 3): one logit "
            "for each class",
            id="not pooled",
        ),
        pytest.param(
            lambda k: nn.Sequential(nn.Flatten(), nn.LSTM(768, k)),
            "the architecture returned tuple for 2 images, expected (2, 3): one logit for each "
            "class",
            id="tuple",
        ),
        pytest.param(
            lambda k: nn.Sequential(nn.Flatten(), nn.Linear(700, k)),
            "the architecture cannot take pixels of shape (2, 3, 16, 16): mat1 and mat2 shapes "
            "cannot be multiplied (2x768 and 700x3)",
            id="crash",
        ),
        pytest.param(
            lambda k: nn.Linear(k, -1),
            "the architecture cannot be made for 3 classes: RuntimeError: ",
            id="constructor",
        ),
        pytest.param(
            lambda: nn.Identity(),
            "the architecture cannot be made for 3 classes: TypeError: ",
            id="no argument",
        ),
        pytest.param(
            lambda k: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "the architecture has no parameters that can learn",
            id="nothing to learn",
        ),
    ],
)
def test_a_network_that_cannot_be_trained_is_explained_in_one_line(make: Any, text: str) -> None:
    with pytest.raises(TrainingError) as caught:
        scratch(make)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_random_weights_are_the_same_in_every_run() -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        trainee = scratch_trainee(user_network, n_classes=3, scale=SCALE, image_size_px=16)
        found.append([p.clone() for _, parameters in trainee.learning for p in parameters])
        after = torch.rand(1)
        torch.manual_seed(seed)
        assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_small_network_has_the_size_that_is_told() -> None:
    count = sum(p.numel() for p in scratch(None, n_classes=2, size=32).learning[0][1])
    assert 650_000 < count < 750_000


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(user_network, id="user"),
        pytest.param(ThenLogSoftmax, id="identity head"),
        pytest.param(None, id="small resnet", marks=pytest.mark.slow),
    ],
)
def test_the_graph_of_a_network_from_scratch(make: Callable[[int], nn.Module] | None) -> None:
    trainee = scratch(make, size=32)
    graph, tensors = trainee.export()
    assert set(tensors) == set(trainee.body.state_dict())
    pixels = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    (features,) = OnnxEngine(graph).run(pixels)
    with torch.no_grad():
        expected = trainee.whole(torch.from_numpy(pixels)).numpy()
    assert features == pytest.approx(expected, abs=1e-4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "tiny.pth")


def pretrained(weights: Path, *, boundary: int = 0, first_stages: int | None = None) -> Trainee:
    return pretrained_trainee(
        Timm(ARCHITECTURE).load(weights),
        title=ARCHITECTURE,
        boundary=boundary,
        first_stages=first_stages,
        n_classes=3,
        feature_width=WIDTH,
        scale=SCALE,
        image_size_px=SIZE,
    )


def stages_of(weights: Path) -> dict[str, int]:
    """The stage of every parameter by name."""
    network: Any = Timm(ARCHITECTURE).load(weights)
    network.reset_classifier(0)
    chain = chain_of(network, image_size_px=SIZE)
    assert chain.stages == STAGES
    return {
        f"{name}.{inner}": chain.stage_of(i)
        for i, (name, link) in enumerate(chain.links)
        for inner, _ in link.named_parameters()
    }


@pytest.mark.parametrize(
    ("boundary", "first_stages", "expected"),
    [
        pytest.param(4, None, {4}, id="last stage"),
        pytest.param(3, None, {3, 4}, id="last two"),
        pytest.param(0, None, {0, 1, 2, 3, 4}, id="all"),
        pytest.param(0, 1, {0}, id="first"),
        pytest.param(0, 2, {0, 1}, id="first two"),
    ],
)
def test_what_learns(
    weights: Path, boundary: int, first_stages: int | None, expected: set[int]
) -> None:
    trainee = pretrained(weights, boundary=boundary, first_stages=first_stages)
    stage = stages_of(weights)
    by_id = {id(p): name for name, p in trainee.whole.named_parameters()}
    (depth, head), *learning = trainee.learning
    assert depth == 0
    assert {id(p) for p in head} == {id(p) for p in trainee.head.parameters()}
    assert [depth for depth, _ in learning] == sorted(STAGES - s for s in expected)
    for depth, parameters in learning:
        names = {by_id[id(p)] for p in parameters}
        assert len(names) == len(parameters)
        assert names == {name for name, s in stage.items() if s == STAGES - depth}
    for name, parameter in trainee.whole.named_parameters():
        assert parameter.requires_grad == (stage[name] in expected)
    assert trainee.statistics_learn == (first_stages is None)
    assert set(trainee.state()) == set(trainee.whole.state_dict())


@pytest.mark.parametrize("boundary", [0, 2, 4])
def test_the_frozen_part_then_the_body_is_the_whole(weights: Path, boundary: int) -> None:
    trainee = pretrained(weights, boundary=boundary)
    chain = chain_of(trainee.whole, image_size_px=SIZE)
    pixels = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        x = pixels
        for _, link in chain.below(boundary):
            x = link(x)
        assert torch.allclose(trainee.body(x), trainee.whole(pixels), atol=1e-5)


@pytest.mark.slow
def test_the_graph_is_the_trained_network(weights: Path) -> None:
    trainee = pretrained(weights, boundary=3)
    with torch.no_grad():  # as if it had been trained
        for _, parameters in trainee.learning:
            for parameter in parameters:
                parameter.mul_(1.1)
    pixels = np.random.default_rng(1).normal(size=(3, 3, SIZE, SIZE)).astype(np.float32)
    with torch.no_grad():
        expected = trainee.whole.eval()(torch.from_numpy(pixels)).numpy()
    before = Timm(ARCHITECTURE).load(weights).state_dict()

    graph, tensors = trainee.export()
    (features,) = OnnxEngine(graph).run(pixels)
    assert features.shape == (3, WIDTH)
    assert features == pytest.approx(expected, abs=1e-4)
    assert set(tensors) == {name for name in before if not name.startswith("fc.")}
    stage = stages_of(weights)
    for name, tensor in tensors.items():
        changed = not np.array_equal(tensor, before[name].numpy())
        assert changed == (stage.get(name, 0) >= 3 and bool(before[name].any())), name
    assert b"site-packages" not in graph


def test_the_head_begins_at_zero_and_can_be_set(weights: Path) -> None:
    trainee = pretrained(weights)
    assert [part.shape for part in trainee.head_arrays()] == [(WIDTH, 3), (3,)]
    assert not any(part.any() for part in trainee.head_arrays())
    random = np.random.default_rng(0)
    given = random.normal(size=(WIDTH, 3)), random.normal(size=3)
    trainee.set_head(*given)
    for a, b in zip(trainee.head_arrays(), given, strict=True):
        assert a.dtype == np.float64
        assert a == pytest.approx(b, abs=1e-6)
    assert all(parameter.requires_grad for parameter in trainee.head.parameters())
    x = torch.randn(2, WIDTH)
    with torch.no_grad():
        expected = x.numpy() @ given[0] + given[1]
        assert trainee.head(x).numpy() == pytest.approx(expected, abs=1e-4)


def test_a_cut_that_is_not_there(weights: Path) -> None:
    with pytest.raises(TrainingError, match=f"{ARCHITECTURE} has 5 stages, cannot train 5"):
        pretrained(weights, boundary=5)
