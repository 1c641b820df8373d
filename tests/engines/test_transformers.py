"""Image models of transformers: from a configuration to features, and what a processor says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regraft.engines import transformers
from regraft.engines.classifiers import feature_width, remove_classifier
from regraft.engines.stages import chain_of
from regraft.errors import BackboneError, MissingExtraError
from regraft.kinds.images.transform import ImageTransform
from tests.catalogue_hubs import SQUEEZED, save_in_hub_form, transformers_model

# Kind of model, how many features, how many stages.
KINDS = {
    "ViT": (32, 3),
    "DeiT": (32, 3),
    "Beit": (32, 3),
    "Dinov2": (64, 3),  # the class token and the mean of the others
    "Swin": (32, 2),
    "ConvNext": (32, 4),
    "ResNet": (32, 4),
    "RegNet": (32, 4),
    "MobileViT": (32, 5),
    "CLIP": (32, 3),
}


def _pooled(network: Any, pixels: torch.Tensor) -> torch.Tensor:
    """What the library's own classifier takes, seen from outside."""
    taken: list[torch.Tensor] = []
    head = network.classifier
    head = head[-1] if isinstance(head, torch.nn.Sequential) else head
    handle = head.register_forward_pre_hook(lambda _, given: taken.append(given[0]))
    with torch.no_grad():
        network(pixel_values=pixels)
    handle.remove()
    return taken[0]


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_what_the_classifier_takes_and_stages_are_found(
    kind: str, tmp_path: Path
) -> None:
    width, stages = KINDS[kind]
    theirs = transformers_model(kind)
    folder = save_in_hub_form(tmp_path / kind, theirs)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    relevant = transformers.relevant(config)
    assert "id2label" not in relevant
    found = transformers.describe_network(relevant)
    assert found.feature_width == width
    network = transformers.load(relevant, folder / "model.safetensors")
    remove_classifier(network)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = network(pixels)
    assert torch.allclose(features, _pooled(theirs, pixels), atol=1e-5)
    chain = chain_of(network, image_size_px=64)
    assert chain.stages == stages
    used = {id(p) for _, link in chain.links for p in link.parameters()}
    assert used <= {id(p) for p in network.parameters()}


def test_a_base_model_gives_the_features_of_its_family(tmp_path: Path) -> None:
    whole = transformers_model("ViT")
    whole.vit.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["ViTModel"]
    relevant = transformers.relevant(config)
    network = transformers.load(relevant, tmp_path / "model.safetensors")
    remove_classifier(network)
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network(pixels), _pooled(whole, pixels), atol=1e-5)


def test_a_model_without_a_classifier_in_the_library_gives_its_pooled_output() -> None:
    config = {"model_type": "dinov3_convnext", "hidden_sizes": [8, 8, 8, 16], "depths": [1] * 4}
    relevant = transformers.relevant(config)
    network = transformers.create(relevant).eval()
    assert feature_width(network) == 16
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 16)


def test_pickled_weights_are_read_as_data(tmp_path: Path) -> None:
    network = transformers_model("ResNet")
    folder = save_in_hub_form(tmp_path, network)
    relevant = transformers.relevant(network.config.to_dict())
    (folder / "model.safetensors").unlink()
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    found = transformers.load(relevant, folder / "pytorch_model.bin")
    assert torch.equal(found.classifier[1].weight, network.classifier[1].weight)
    torch.save({"resnet": Path}, folder / "pytorch_model.bin")
    with pytest.raises(BackboneError, match=r"transformers cannot load .*pytorch_model\.bin"):
        transformers.load(relevant, folder / "pytorch_model.bin")


def test_weights_of_another_configuration_are_refused(tmp_path: Path) -> None:
    folder = save_in_hub_form(tmp_path, transformers_model("ViT"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    deeper = transformers.relevant(config | {"num_hidden_layers": 4})
    with pytest.raises(BackboneError, match=r"does not hold vit\.layers\.3.*another config\.json"):
        transformers.load(deeper, folder / "model.safetensors")
    wider = transformers.relevant(config | {"hidden_size": 64})
    with pytest.raises(BackboneError, match=r"transformers cannot load .*model\.safetensors"):
        transformers.load(wider, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "own"}, "no model type 'own'; a repository with code of its own is not"),
        ({"model_type": "bert"}, "bert is no image model of transformers; expected one such as"),
        ({"model_type": "vit", "patch_size": "big"}, "config.json is no configuration of vit"),
        (
            {"model_type": "vit", "hidden_act": "unheard of"},
            "transformers cannot build a network of this config",
        ),
    ],
)
def test_what_is_no_image_model_is_told(config: dict[str, Any], expected: str) -> None:
    with pytest.raises(BackboneError, match=expected):
        transformers.create(transformers.relevant(config))


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r'pip install "regraft\[huggingface\]"'):
        transformers.relevant({"model_type": "vit"})


CONVNEXT = {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3}
CLIP = {
    "size": {"shortest_edge": 256},
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "resample": 3,
}


@pytest.mark.parametrize(
    ("preprocessor", "size", "resize", "shorter", "interpolation"),
    [
        ({"size": {"height": 224, "width": 224}}, 224, "squash", 224, "bilinear"),
        ({"size": 224, "resample": 3}, 224, "squash", 224, "bicubic"),
        (CONVNEXT, 224, "crop", 256, "bicubic"),
        (CONVNEXT | {"size": {"shortest_edge": 384}}, 384, "squash", 384, "bicubic"),
        (CLIP, 224, "crop", 256, "bicubic"),
        (CLIP | {"size": 224, "crop_size": 224}, 224, "crop", 224, "bicubic"),
        (CLIP | {"size": {"height": 256, "width": 256}}, 224, "crop", 256, "bicubic"),
        (CLIP | {"size": {"shortest_edge": 235}}, 224, "crop", 235, "bicubic"),
        ({"size": {"shortest_edge": 256}}, 256, "crop", 256, "bilinear"),
        ({"do_resize": False}, 96, "crop", 96, "bilinear"),
    ],
)
def test_sizes_are_those_of_the_image_processor(
    preprocessor: dict[str, Any], size: int, resize: str, shorter: int, interpolation: str
) -> None:
    values, _ = transformers.transform_of(preprocessor, {"image_size": 96})
    found = ImageTransform.from_dict(values)
    assert (found.image_size_px, found.resize, found.interpolation) == (size, resize, interpolation)
    assert int(size / found.crop_pct) == shorter


def test_pixels_become_what_the_image_processor_makes_of_them() -> None:
    from PIL import Image
    from transformers import EfficientNetImageProcessor, MobileViTImageProcessor, ViTImageProcessor

    from regraft.engines.onnx import OnnxEngine
    from regraft.kinds.images.transform import transform_graph

    smooth = np.linspace(0, 255, 90 * 120 * 3).reshape(90, 120, 3).astype(np.uint8)
    square = {"height": 64, "width": 64}
    processors = [
        ViTImageProcessor(size=square, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4]),
        MobileViTImageProcessor(size={"shortest_edge": 72}, crop_size=square),
        EfficientNetImageProcessor(size=square, rescale_factor=1 / 127.5, rescale_offset=True),
    ]
    for processor in processors:
        values, _ = transformers.transform_of(processor.to_dict(), {})
        graph = transform_graph(ImageTransform.from_dict(values)).SerializeToString()
        expected = np.asarray(processor(Image.fromarray(smooth))["pixel_values"][0])
        found = OnnxEngine(graph).run(smooth)[0][0]
        grey_level = float(values["normalisation"]["pixel_max"]) / 255  # type: ignore[index]
        off = np.abs(found - expected) * np.array(
            values["normalisation"]["std"]  # type: ignore[index]
        ).reshape(3, 1, 1)
        assert off.max() <= 4 * grey_level, type(processor).__name__


def test_what_is_replaced_is_noted() -> None:
    _, notes = transformers.transform_of(SQUEEZED | {"resample": 0}, {})
    assert notes == ["nearest interpolation is replaced by bilinear"]
    _, notes = transformers.transform_of(SQUEEZED | {"resample": 1}, {})
    assert notes == ["lanczos interpolation is replaced by bicubic"]
    assert transformers.transform_of(SQUEEZED, {})[1] == []


@pytest.mark.parametrize(
    ("preprocessor", "expected"),
    [
        ({"size": {"height": 64, "width": 48}}, "asks for 64 x 48 px, expected a square"),
        ({"size": "large"}, "preprocessor_config.json cannot be understood"),
        ({"do_normalize": True}, r"cannot be understood \(KeyError: 'image_mean'\)"),
    ],
)
def test_a_processor_that_makes_no_squares_is_refused(
    preprocessor: dict[str, Any], expected: str
) -> None:
    with pytest.raises(BackboneError, match=expected):
        transformers.transform_of(preprocessor, {})
