"""Architecture families with random weights go all the way: features, heads, training, heat maps.

The graph says what the network says, cut or whole; every approach runs on it; its maps are drawn
and its exported file predicts what the model predicts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regraft.approaches import APPROACHES
from regraft.approaches.base import Limits, repeated_folds
from regraft.approaches.fine_tune import FineTune
from regraft.backbones.architectures import architecture_named
from regraft.backbones.backbone import Backbone
from regraft.backbones.graphs import boundary_graph, embedding_graph, stage_count
from regraft.backbones.sources import get_backbone
from regraft.dataset import scan
from regraft.engines.classifiers import remove_classifier
from regraft.engines.networks import PixelScale, pretrained_trainee
from regraft.engines.onnx import OnnxEngine
from regraft.engines.training import Speed
from regraft.evidence.explaining import Question, explain_photos
from regraft.exporting.artifact import standalone_source, with_metadata
from regraft.exporting.replay import predictions_of_model, replay
from tests.catalogue_hubs import randomised
from tests.conftest import MakeImageFolder

_TOKENS = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 64,
    "patch_size": 16,
}


def _of_transformers(kind: str, **fields: Any) -> str:
    return f"transformers:{json.dumps({'model_type': kind, **fields})}"


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
    "ConvNeXt": ("convnext_atto", 96, True),
    "ViT": ("test_vit", 160, True),
    "Swin": ("swin_tiny_patch4_window7_224", 224, True),
    "DeiT": ("deit_tiny_patch16_224", 224, True),
    "RegNet": ("torchvision:regnet_y_400mf", 64, True),
    "MobileViT": ("mobilevit_xxs", 96, True),
    "SqueezeNet": ("torchvision:squeezenet1_1", 64, True),
    "ViT of transformers": (_of_transformers("vit", **_TOKENS), 64, True),
    "ConvNeXt of transformers": (
        _of_transformers("convnext", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]),
        96,
        True,
    ),
}
FAST = {"ResNet", "ViT"}
IMAGE = np.random.default_rng(0).integers(0, 256, (120, 150, 3), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Family:
    """A backbone with its weights in a file, the network without classifier, if it is cut."""

    backbone: Backbone
    network: Any
    is_cut: bool
    cache: Path


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow], id=name)
        for name in FAMILIES
    ],
)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Family]:
    """A family and a cache of its own: its graph is exported once for all tests."""
    architecture, size, is_cut = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp("family")
    network = _awake(randomised(architecture_named(architecture).build()), size)
    torch.save(network.state_dict(), folder / "weights.pth")
    found = get_backbone(f"file:{folder / 'weights.pth'}", architecture=architecture)
    found = replace(found, transform=replace(found.transform, image_size_px=size))
    remove_classifier(network)
    yield Family(found, network, is_cut, folder / "cache")
    (folder / "weights.pth").unlink()


def _awake(network: Any, size: int) -> Any:
    """The network with statistics of what it computes: without, deep ones forget their pixels."""
    normalising = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for layer in normalising:
        layer.reset_running_stats()
        layer.momentum = None  # the plain average
        layer.train()
    if normalising:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            network(torch.randn(8, 3, size, size, generator=generator))
    return network.eval()


@pytest.fixture
def family(made: Family, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(made.cache))
    return made


def test_the_matrix_has_the_families_of_the_field() -> None:
    assert len(FAMILIES) == 18


def test_graph_and_network_agree_whole_and_cut(family: Family) -> None:
    backbone, network, is_cut = family.backbone, family.network, family.is_cut
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
        backbone.architecture.load(Path(backbone.weights_at), backbone.layout),
        title=backbone.name,
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


def test_every_approach_the_heat_maps_and_the_exported_file(
    family: Family,
    make_image_folder: MakeImageFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speed = Speed("32-true", 1e-3, 1e-3)  # timing a network is not what is looked at here
    monkeypatch.setattr("regraft.engines.training.measure_speed", lambda *_, **__: speed)
    data = scan(make_image_folder({"blue": 6, "red": 6}, size=(60, 48)))
    folds = repeated_folds(data, folds=3, repeats=1)
    # The first stages learn through all others: where that takes long, "all" stands for them.
    first = ("first_1_stage",) if family.backbone.parameters < 4_000_000 else ()
    scopes = ("last_1_stage", *first, "all") if family.is_cut else ("all",)
    tried = []
    for scope in scopes:
        tuned = FineTune(family.backbone, train=scope, epochs=1, views=1)
        # The learning-rate range test, two dozen steps more, belongs to fold 0.
        found = tuned.cross_validate(data, folds, limits=Limits(folds=(1,)))
        assert (found.folds_done, found.covered.sum()) == (1, (folds[0] == 1).sum())
        assert np.isfinite(found.probabilities[:, found.covered]).all()
        tried.append(tuned.name)
    models = {}
    for name in ("knn", "linear_probe", "multilayer_probe"):
        approach = APPROACHES[name](family.backbone)
        found = approach.cross_validate(data, folds)
        assert found.covered.all()
        models[name] = approach.fit(data, cross_validation=found)
        tried.append(name)
    of_images = {name for name in APPROACHES if APPROACHES[name].profile.is_for("image")}
    assert set(tried) == of_images - {"scratch", "fastai"}

    paths = [data.absolute(row) for row in data.rows]
    for name in ("linear_probe", "multilayer_probe"):
        folder, model = tmp_path / name, models[name]
        model.save(folder / "model")
        explained = explain_photos(folder / "model", [Question(str(p), p) for p in paths[::2]])
        assert explained.layer
        assert explained.check is not None
        assert len(explained.maps) + len(explained.left_out) == 6
        assert explained.maps

        (folder / "own.onnx").write_bytes(with_metadata(model, precision="float32"))
        (folder / "own.py").write_text(standalone_source(model), encoding="utf-8")
        replayed = replay(folder / "own.py", predictions_of_model(model, [str(p) for p in paths]))
        assert replayed.inputs == 12
        assert replayed.largest_difference < 1e-4
        assert replayed.changed == ()


def _pixels(backbone: Backbone) -> np.ndarray:
    from regraft.kinds.images.transform import transform_graph

    return OnnxEngine(transform_graph(backbone.transform).SerializeToString()).run(IMAGE)[0]
