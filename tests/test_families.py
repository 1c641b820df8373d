"""Architecture families with random weights: the graph says what the network says, cut or whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regraft.catalogue import Backbone, boundary_graph, embedding_graph, get_backbone, stage_count
from regraft.engines import architectures
from regraft.engines.networks import PixelScale, pretrained_trainee
from regraft.engines.onnx import OnnxEngine
from tests.catalogue_hubs import randomised

# Architecture, pixels (reduced where the network takes any size), whether it can be cut.
FAMILIES: dict[str, tuple[str, int, bool]] = {
    "VGG": ("torchvision:vgg11", 64, True),
    "ResNet": ("torchvision:resnet18", 64, True),
    "Inception v3": ("torchvision:inception_v3", 96, True),
    "Xception": ("legacy_xception", 71, True),
    "DenseNet": ("torchvision:densenet121", 64, True),
    "MobileNetV2": ("torchvision:mobilenet_v2", 64, True),
    "MobileNetV3": ("torchvision:mobilenet_v3_small", 64, True),
    "EfficientNet": ("torchvision:efficientnet_b0", 64, True),
    "EfficientNetV2": ("tf_efficientnetv2_b0", 64, True),
    "ConvNeXt": ("convnext_atto", 64, True),
    "ViT": ("test_vit", 160, True),
    "Swin": ("swin_tiny_patch4_window7_224", 224, True),
    "DeiT": ("deit_tiny_patch16_224", 224, True),
    "RegNet": ("torchvision:regnet_y_400mf", 64, True),
    "MobileViT": ("mobilevit_xxs", 64, True),
    "SqueezeNet": ("torchvision:squeezenet1_1", 64, True),
}
FAST = {"ResNet", "ViT", "SqueezeNet"}
IMAGE = np.random.default_rng(0).integers(0, 256, (120, 150, 3), dtype=np.uint8)


@pytest.fixture(
    params=[
        pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow], id=name)
        for name in FAMILIES
    ]
)
def family(
    request: pytest.FixtureRequest, tmp_path: Path, own_cache: Path
) -> tuple[Backbone, Any, bool]:
    """A backbone with its weights in a file, the network without classifier, and if it is cut."""
    architecture, size, is_cut = FAMILIES[request.param]
    network = randomised(architectures.create(architecture))
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    found = get_backbone(f"file:{tmp_path / 'weights.pth'}", architecture=architecture)
    found = replace(found, transform=replace(found.transform, image_size_px=size))
    architectures.remove_classifier(network)
    return found, network, is_cut


def test_the_matrix_has_the_families_of_the_field() -> None:
    assert len(FAMILIES) >= 14


def test_graph_and_network_agree_whole_and_cut(family: tuple[Backbone, Any, bool]) -> None:
    backbone, network, is_cut = family
    size = backbone.transform.image_size_px
    pixels = _pixels(backbone)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)).numpy()
    assert expected.shape == (1, backbone.feature_width)
    (features,) = OnnxEngine(embedding_graph(backbone)).run(IMAGE)
    scale = float(np.abs(expected).max())
    assert np.allclose(features, expected[0], atol=2e-3 * scale)

    stages = stage_count(backbone)
    assert (stages > 1) == is_cut
    boundary = max(0, stages - 1)
    trainee = pretrained_trainee(
        backbone.architecture,
        Path(backbone.weights_at),
        match=backbone.match,
        boundary=boundary,
        first_stages=None,
        n_classes=2,
        feature_width=backbone.feature_width,
        scale=PixelScale((0.0,) * 3, (1.0,) * 3, 1.0, "rgb"),
        image_size_px=size,
    )
    below = torch.from_numpy(pixels)
    if boundary:
        (kept,) = OnnxEngine(boundary_graph(backbone, boundary)).run(IMAGE)
        below = torch.from_numpy(kept[None].astype(np.float32))
    trainee.body.eval()
    logits = trainee.head(trainee.body(below))
    with torch.no_grad():
        above = trainee.body(below).numpy()
    assert np.allclose(above, expected, atol=2e-2 * scale)  # kept in half precision
    logits.sum().backward()
    learning = [p for _, group in trainee.learning for p in group]
    assert all(p.requires_grad for p in learning)
    assert sum(p.numel() for p in learning) > 2 * backbone.feature_width


def _pixels(backbone: Backbone) -> np.ndarray:
    from regraft.modality.transform import transform_graph

    return OnnxEngine(transform_graph(backbone.transform).SerializeToString()).run(IMAGE)[0]
