"""Backbones by any name: hubs, ONNX files of others, checkpoints; and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from onnx import TensorProto, helper

import regraft
from regraft.backbones.architectures import Timm, Torchvision
from regraft.backbones.graphs import embedding_graph, stage_count
from regraft.backbones.sources import SOURCES, get_backbone, sources_table
from regraft.backbones.sources.timm import search_backbones
from regraft.engines import hubs, torchvision
from regraft.engines.classifiers import remove_classifier
from regraft.engines.onnx import OnnxEngine
from regraft.errors import BackboneError, RegraftError, UsageError
from tests.catalogue_hubs import into_hugging_face_cache, into_torch_cache, randomised
from tests.commands import CommandLine
from tests.foreign_networks import save_network, write_keras_like

TIMM = "test_resnet.r160_in1k"


@pytest.fixture
def hub_home(hub_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of both hubs, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(hub_home))
    return hub_home


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """URLs that torch's hub was asked for, each refused."""
    asked: list[str] = []

    def refuse(url: str, *_: Any) -> None:
        asked.append(url)
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    return asked


def _reference(network: Any, backbone: regraft.Backbone, image: np.ndarray) -> np.ndarray:
    """Features by the network itself, from the pixels that the transform makes."""
    from regraft.kinds.images.transform import transform_graph

    pixels = OnnxEngine(transform_graph(backbone.transform).SerializeToString()).run(image)[0]
    remove_classifier(network)
    with torch.no_grad():
        return network(torch.from_numpy(pixels)).numpy()[0]


IMAGE = np.random.default_rng(0).integers(0, 256, (200, 260, 3), dtype=np.uint8)


def test_weights_that_timm_has_fetched_are_found(hub_home: Path, own_cache: Path) -> None:
    network = randomised(timm.create_model(TIMM, pretrained=False))
    into_hugging_face_cache(hub_home, "timm/test_resnet.r160_in1k", network)
    found = get_backbone("timm:test_resnet")  # its default tag
    assert (found.name, found.source) == ("timm:test_resnet", "timm:test_resnet")
    assert found.architecture == Timm(TIMM)
    assert found.licence == "apache-2.0"
    assert found.pretrained_on == "ImageNet-1k"
    assert found.transform.image_size_px == 160
    assert found.transform.crop_pct == 0.95
    graph = embedding_graph(found)
    assert ":" not in graph.name
    (features,) = OnnxEngine(graph).run(IMAGE)
    assert features.shape == (found.feature_width,)
    assert np.allclose(features, _reference(network, found, IMAGE), atol=1e-4)
    assert stage_count(found) > 1


@pytest.mark.slow
def test_weights_of_torchvision_are_found(hub_home: Path, own_cache: Path) -> None:
    from torchvision import models

    weights = models.ShuffleNet_V2_X0_5_Weights.DEFAULT
    network = randomised(models.shufflenet_v2_x0_5())
    file = into_torch_cache(hub_home, weights.url, network)
    with pytest.raises(BackboneError, match=r"was altered or fetched only in part: its SHA-256"):
        get_backbone("torchvision:shufflenet_v2_x0_5")
    hashed = get_backbone(f"file:{file}", architecture="torchvision:shufflenet_v2_x0_5")
    assert hashed.architecture == Torchvision("shufflenet_v2_x0_5")
    assert hashed.transform.interpolation == "bilinear"
    assert (hashed.transform.image_size_px, hashed.transform.crop_pct) == (224, 0.875)
    (features,) = OnnxEngine(embedding_graph(hashed)).run(IMAGE)
    assert np.allclose(features, _reference(network, hashed, IMAGE), atol=1e-4)
    assert stage_count(hashed) == 5  # pooled in a function, which is bridged


def test_a_file_under_its_hash_is_used(
    hub_home: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import models

    monkeypatch.setattr(hubs, "hash_in_name", lambda _: "")
    network = randomised(models.shufflenet_v2_x0_5())
    into_torch_cache(hub_home, models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url, network)
    found = get_backbone("torchvision:shufflenet_v2_x0_5:IMAGENET1K_V1")
    assert found.pretrained_on == "ImageNet-1k"
    assert found.licence == "not stated"
    assert found.feature_width == 1024


@pytest.mark.parametrize(
    ("name", "size", "shorter", "mean"),
    [
        ("resnet18", 224, 256, 0.485),
        ("inception_v3", 299, 342, 0.485),
        ("vit_b_16", 224, 256, 0.485),
        ("convnext_tiny", 224, 236, 0.485),
        ("efficientnet_b3", 300, 320, 0.485),
    ],
)
def test_sizes_are_those_of_the_weights(name: str, size: int, shorter: int, mean: float) -> None:
    from regraft.kinds.images.transform import ImageTransform

    weights = torchvision.default_weights(name)
    found = ImageTransform.from_dict(torchvision.transform_of(weights))
    assert found.image_size_px == size
    assert int(size / found.crop_pct) == shorter
    assert found.normalisation.mean[0] == mean


def test_what_cannot_be_fetched_says_what_to_do(hub_home: Path, refused: list[str]) -> None:
    told: list[str] = []
    with pytest.raises(BackboneError) as caught:
        get_backbone(f"timm:{TIMM}", progress=lambda text, *_: told.append(text))
    text = str(caught.value)
    assert f"the weights of {TIMM} are not on this machine and cannot be fetched from timm/" in text
    assert text.endswith(f"use: --backbone file:WEIGHTS --arch {TIMM}")
    assert told == [
        f"fetching the weights of {TIMM} from timm/test_resnet.r160_in1k on the Hugging Face hub"
    ]
    with pytest.raises(BackboneError, match=r"no route to host.*--arch torchvision:resnet18"):
        get_backbone("torchvision:resnet18")
    assert len(refused) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timm:resnet19", "timm has no architecture 'resnet19'; did you mean resnet1"),
        ("timm:resnet18.never", r"timm has no weights 'resnet18\.never'; expected resnet18\."),
        ("torchvision:resnet19", "torchvision has no architecture 'resnet19'; did you mean resne"),
        ("torchvision:fasterrcnn_resnet50_fpn", "torchvision has no architecture"),
        ("torchvision:resnet50:V9", "torchvision has no weights 'V9' for resnet50; expected IMAG"),
        ("hub:resnet18", "module:FILE.py:NAME, onnx:FILE, vectors:FILE"),
        ("file:nowhere.pth", r"there is no nowhere\.pth"),
    ],
)
def test_names_that_mean_nothing_are_explained(name: str, expected: str) -> None:
    with pytest.raises(BackboneError, match=expected):
        get_backbone(name)


@pytest.mark.parametrize("scheme", [scheme for scheme in SOURCES if scheme])
def test_every_source_says_what_it_does_not_find(
    scheme: str, hub_home: Path, own_cache: Path
) -> None:
    with pytest.raises(RegraftError, match=r"nowhere|normalize"):
        get_backbone(f"{scheme}:nowhere")
    assert all(form.startswith(f"{scheme}:") for form in SOURCES[scheme].forms[:1])


def test_the_table_of_sources_stands_in_the_docs() -> None:
    page = Path(__file__).parents[1] / "docs" / "frameworks.md"
    assert sources_table() in page.read_text(encoding="utf-8")


def test_a_licence_that_does_not_allow_every_use_has_to_be_accepted(
    hub_home: Path, refused: list[str]
) -> None:
    name = next(row["name"] for row in search_backbones("*", licence="cc-by-nc"))
    with pytest.raises(BackboneError, match=r"have the licence cc-by-nc.*add --accept"):
        get_backbone(name)
    with pytest.raises(BackboneError, match="cannot be fetched"):
        get_backbone(name, accept_licence=True)


def test_the_whole_of_timm_is_searched(regraft: CommandLine) -> None:
    done = regraft.done("backbones", "--search", "resnet18", "--format", "json")
    names = [row["name"] for row in done.data]
    assert "timm:resnet18.a1_in1k" in names
    assert all("resnet18" in name for name in names)
    free = regraft.done(
        "backbones", "--search", "convnext*", "--licence", "apache", "--format", "csv"
    )
    assert free.rows
    assert {row["licence"] for row in free.rows} == {"apache-2.0"}
    shown = regraft.done("backbones", "--search", "resnet18")
    assert "next     regraft fit my_photos/ --backbone timm:" in shown.err
    assert regraft("backbones", "--search", "no_such_network").code == 2


# --- ONNX files of others


def test_a_network_exported_from_keras_loses_its_classifier(
    tmp_path: Path, own_cache: Path
) -> None:
    kernel = write_keras_like(tmp_path / "theirs.onnx")
    found = get_backbone(f"onnx:{tmp_path / 'theirs.onnx'}", normalize="caffe")
    assert (found.name, found.source) == ("theirs", "onnx theirs.onnx")
    assert (found.feature_width, found.transform.image_size_px) == (8, 64)
    assert found.transform.normalisation.channel_order == "bgr"
    assert found.is_frozen
    assert stage_count(found) == 0
    network = torch.nn.Conv2d(3, 8, 3, stride=2, bias=False)
    network.weight.data = torch.from_numpy(kernel)
    from regraft.kinds.images.transform import transform_graph

    pixels = OnnxEngine(transform_graph(found.transform).SerializeToString()).run(IMAGE)[0]
    with torch.no_grad():
        expected = torch.relu(network(torch.from_numpy(pixels))).mean(dim=(2, 3)).numpy()[0]
    (features,) = OnnxEngine(embedding_graph(found)).run(IMAGE)
    assert np.allclose(features, expected, rtol=1e-4, atol=1e-3)


def test_maps_and_any_size_are_taken(tmp_path: Path, own_cache: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["data", "k"], ["map"])]
    save_network(tmp_path / "map.onnx", nodes, {"k": kernel}, ["n", 3, "h", "w"], "data", "map")
    found = get_backbone(f"onnx:{tmp_path / 'map.onnx'}", normalize="torch", image_size_px=48)
    assert (found.feature_width, found.transform.image_size_px) == (4, 48)
    (features,) = OnnxEngine(embedding_graph(found)).run(IMAGE)
    assert features.shape == (4,)


@pytest.mark.slow
def test_a_probe_on_a_foreign_network_is_fitted_saved_and_exported(
    tmp_path: Path, own_cache: Path, photo_folder: Path, regraft: CommandLine
) -> None:
    write_keras_like(tmp_path / "theirs.onnx", batch=1)
    name = f"onnx:{tmp_path / 'theirs.onnx'}"
    run = tmp_path / "run"
    done = regraft.done(
        *("fit", photo_folder, "--backbone", name, "--normalize", "tf", "--out", run),
        *("--approach", "linear_probe", "--approach", "knn"),
    )
    assert "report" in done.err
    regraft.done("export", run, tmp_path / "own.onnx")
    explained = regraft("explain", run, next(photo_folder.rglob("*.jpg")))
    assert explained.code == 1
    assert "Traceback" not in explained.err


def test_what_is_wrong_with_an_onnx_file_is_said(tmp_path: Path) -> None:
    def refuse(name: str, expected: str, **options: Any) -> None:
        with pytest.raises(BackboneError, match=expected):
            get_backbone(f"onnx:{tmp_path / name}", **{"normalize": "tf", **options})

    refuse("gone.onnx", "there is no file")
    (tmp_path / "text.onnx").write_text("no network", encoding="utf-8")
    refuse("text.onnx", "cannot be read as ONNX|holds no network")
    write_keras_like(tmp_path / "fixed.onnx")
    refuse("fixed.onnx", "takes images of 64 px only, not of 224", image_size_px=224)
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    save_network(tmp_path / "flat.onnx", relu, {}, ["n", 10], "x", "y")
    refuse("flat.onnx", r"has the input x \(n, 10\), expected one image input, float32")
    save_network(tmp_path / "bytes.onnx", relu, {}, [1, 3, 8, 8], "x", "y", kind=TensorProto.INT32)
    refuse("bytes.onnx", "expected one image input, float32")
    save_network(tmp_path / "wide.onnx", relu, {}, [1, 3, 8, 9], "x", "y")
    refuse("wide.onnx", "takes images of 8 x 9 px, expected a square")
    with pytest.raises(UsageError, match="normalize is '', expected torch, tf, caffe"):
        get_backbone(f"onnx:{tmp_path / 'fixed.onnx'}")
    with pytest.raises(UsageError, match="size is 5, expected 16 to 4096"):
        get_backbone(f"onnx:{tmp_path / 'fixed.onnx'}", normalize="tf", image_size_px=5)
