"""Chains: a cut anywhere changes nothing, and what cannot be cut is left whole."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from regraft.engines.stages import Chain, chain_of

SIZE = 64
CUT = {
    "tf_efficientnet_lite0": 7,
    "resnet18": 4,
    "convnext_atto": 4,
    "mobilenetv3_small_050": 6,
    "test_resnet": 5,  # its stem is a sequence
    "test_efficientnet": 5,
}
WHOLE = ("hrnet_w18_small",)


def network_of(architecture: str, **options: Any) -> Any:
    """Random weights and statistics: none of the layers is without effect."""
    torch.manual_seed(0)
    network: Any = timm.create_model(architecture, pretrained=False, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    network.reset_classifier(0)
    return network.eval()


def run(links: Any, x: torch.Tensor) -> torch.Tensor:
    for _, link in links:
        x = link(x)
    return x


@pytest.mark.parametrize("architecture", CUT)
def test_below_then_above_is_the_network_for_every_boundary(architecture: str) -> None:
    network = network_of(architecture)
    chain = chain_of(network, image_size_px=SIZE)
    assert chain.stages == CUT[architecture]
    pixels = torch.randn(2, 3, SIZE, SIZE)
    depths = []
    with torch.no_grad():
        expected = network(pixels)
        for boundary in range(chain.stages):
            below, above = chain.below(boundary), chain.above(boundary)
            assert [*below, *above] == list(chain.links)
            found = run(above, run(below, pixels))
            assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4)
            depths.append(len(below))
    assert depths[0] == 0
    assert depths == sorted(set(depths))


@pytest.mark.parametrize("architecture", CUT)
def test_every_parameter_belongs_to_one_stage(architecture: str) -> None:
    network = network_of(architecture)
    chain = chain_of(network, image_size_px=SIZE)
    links = [link for _, link in chain.links]
    held = [id(p) for link in links for p in link.parameters()]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in network.parameters()}
    stages = [chain.stage_of(i) for i in range(len(links))]
    assert stages == sorted(stages)
    assert set(stages) == set(range(chain.stages))
    for stage, start in enumerate(chain.starts):
        assert chain.stage_of(start) == stage
    assert stages[0] == 0  # the stem
    assert stages[-1] == chain.stages - 1  # what follows the last stage
    names = dict(network.named_modules())
    assert all(names[name] is link for name, link in chain.links)


@pytest.mark.parametrize("architecture", WHOLE)
def test_a_network_that_is_no_chain_of_its_children_is_one_link(architecture: str) -> None:
    options = {"img_size": SIZE} if "vit" in architecture else {}
    network = network_of(architecture, **options)
    chain = chain_of(network, image_size_px=SIZE)
    assert chain == Chain((("network", network),), ())
    assert chain.stages == 0
    assert chain.below(0) == ()
    assert chain.above(0) == chain.links
    assert chain.stage_of(0) == 0


def test_a_common_vision_transformer_is_whole_or_a_valid_chain() -> None:
    network = network_of("vit_tiny_patch16_224")
    chain = chain_of(network, image_size_px=224)
    pixels = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        for boundary in range(max(1, chain.stages)):
            found = run(chain.above(boundary), run(chain.below(boundary), pixels))
            assert torch.allclose(found, network(pixels), atol=1e-5)


def _stage(width: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU())


class _Parts(nn.Module):
    """Two stages, pooled; what happens between them is up to `how`."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first, self.second = _stage(), _stage()
        self.fc = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        if self.how == "scaled":
            x = 2 * x
        x = self.second(x)
        if self.how == "shape":
            return x.flatten(1)[:, :5]
        return x if self.how == "plain" else x.relu()


@pytest.mark.parametrize(
    ("how", "stages"), [("plain", 2), ("relu", 2), ("scaled", 0), ("shape", 0)]
)
def test_work_between_children_is_noticed(how: str, stages: int) -> None:
    torch.manual_seed(1)
    chain = chain_of(_Parts(how).eval(), image_size_px=8)
    assert chain.stages == stages
    assert [name for name, _ in chain.links] == (["first", "second"] if stages else ["network"])


def test_children_that_take_something_else_and_single_stages_are_whole() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = _stage(), _stage()
            self.mix = nn.Bilinear(3, 3, 3)

        def forward(self, x: torch.Tensor) -> Any:
            return self.mix(self.a(x).mean((2, 3)), self.b(x).mean((2, 3)))

    assert chain_of(Two().eval(), image_size_px=8).stages == 0
    one = nn.Sequential(_stage(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert chain_of(one, image_size_px=8).stages == 0


def test_containers_come_before_loose_sequences() -> None:
    torch.manual_seed(2)

    class Contained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = _stage()
            self.blocks = nn.Sequential(_stage(), _stage(), _stage())
            self.end = _stage()

        def forward(self, x: torch.Tensor) -> Any:
            return self.end(self.blocks(self.stem(x)))

    chain = chain_of(Contained().eval(), image_size_px=8)
    assert [name for name, _ in chain.links] == ["stem", "blocks.0", "blocks.1", "blocks.2", "end"]
    assert chain.starts == (1, 2, 3)
    assert [name for name, _ in chain.below(1)] == ["stem", "blocks.0"]
    assert [chain.stage_of(i) for i in range(5)] == [0, 0, 1, 2, 2]


def test_the_network_is_left_as_it_was_and_so_is_the_generator() -> None:
    network = network_of("test_resnet")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(3)
    chain_of(network, image_size_px=SIZE)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
    assert not network.training
