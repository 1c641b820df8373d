"""Statistics of every depth: what they are, in a graph, in the store and in a torch network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from regraft.backbones.depths import Depth, depth_title, depths_network, depths_of
from regraft.backbones.graphs import boundary_graph, network_graph, stage_count
from regraft.backbones.sources import get_backbone
from regraft.dataset import scan
from regraft.engines.classifiers import remove_classifier
from regraft.engines.depths import depths_module
from regraft.engines.onnx import OnnxEngine
from regraft.errors import BackboneError
from regraft.features.embedding import count_missing, embed_depths, embed_rows
from regraft.inspection.auditing import mark_unreadable
from regraft.kinds.images.transform import transform_graph
from regraft.progress import silent
from tests.tiny_encoders import write_encoder
from tests.tiny_networks import tiny_backbone

BACKBONE = "efficientnet_lite0"
PIXELS = np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)


def test_depths_go_from_the_first_convolution_to_the_last_layer(graphs: Path) -> None:
    depths = depths_of(get_backbone(BASE := BACKBONE))
    assert [depth_title(depth.output) for depth in depths] == [
        "first convolution",
        *(f"stage {number}" for number in range(1, 7)),
        "last stage",
        "last layer",
    ]
    channels = (32, 16, 24, 40, 80, 112, 192, 320)
    assert [depth.width for depth in depths] == [*(3 * c for c in channels), 1280]
    starts = np.cumsum([0, *(depth.width for depth in depths)])
    assert [depth.columns for depth in depths] == [
        slice(a, b) for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]
    assert stage_count(get_backbone(BASE)) == 7, "what is looked at changes nothing that is cut"


def test_each_depth_has_mean_maximum_and_deviation_of_its_maps(graphs: Path) -> None:
    backbone = get_backbone(BACKBONE)
    depths = depths_of(backbone)
    found = OnnxEngine(depths_network(backbone, depths).SerializeToString()).run(PIXELS)[0]
    image = np.random.default_rng(1).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    pixels = OnnxEngine(transform_graph(backbone.transform).SerializeToString()).run(image)[0]
    of_image = OnnxEngine(depths_network(backbone, depths).SerializeToString()).run(pixels)[0][0]
    maps = OnnxEngine(boundary_graph(backbone, 2)).run(image)[0].astype(np.float64)
    expected = np.concatenate([reduce(maps, axis=(1, 2)) for reduce in (np.mean, np.max, np.std)])
    assert np.allclose(of_image[depths[2].columns], expected, atol=2e-2)
    features = OnnxEngine(network_graph(backbone)).run(PIXELS)[0]
    assert np.allclose(found[:, depths[-1].columns], features, atol=1e-5)
    assert found.shape == (2, sum(depth.width for depth in depths))


def test_a_graph_ends_where_its_depths_do(graphs: Path) -> None:
    backbone = get_backbone(BACKBONE)
    depths = depths_of(backbone)
    whole = depths_network(backbone, depths)
    first = depths_network(backbone, depths[:2])
    assert len(first.SerializeToString()) < len(whole.SerializeToString()) / 500
    every = OnnxEngine(whole.SerializeToString()).run(PIXELS)[0]
    scaled = depths_network(
        backbone,
        [depths[1], depths[0]],
        scaling=(np.full(144, 2.0, np.float32), np.arange(144, dtype=np.float32)),
    )
    found = OnnxEngine(scaled.SerializeToString()).run(PIXELS)[0]
    statistics = np.concatenate([every[:, d.columns] for d in (depths[1], depths[0])], axis=1)
    assert np.allclose(found, (statistics - 2.0) * np.arange(144), rtol=1e-4, atol=1e-3)


def test_one_pass_pays_for_the_last_layer_too(photo_folder: Path) -> None:
    data, backbone = scan(photo_folder), get_backbone(BACKBONE)
    depths = depths_of(backbone)
    every = embed_depths(data, data.rows, backbone)
    assert (every.features.shape, every.features.dtype) == ((24, 3728), np.float16)
    assert every.cached == 0
    last = embed_rows(data, data.rows, backbone)
    assert last.cached == 24
    assert last.features.dtype == np.float32
    assert np.allclose(last.features, every.features[:, depths[-1].columns], atol=2e-3)
    again = embed_depths(data, data.rows, backbone)
    assert again.cached == 24
    assert np.array_equal(again.features, every.features)


def test_the_look_at_the_data_computes_what_every_depth_takes(photo_folder: Path) -> None:
    data, backbone = scan(photo_folder), get_backbone(BACKBONE)
    mark_unreadable(data, backbone, None, silent, every_depth=True)
    assert count_missing(data.rows, backbone, every_depth=True) == 0
    assert count_missing(data.rows, backbone) == 0


def test_what_only_the_last_layer_was_computed_of_is_computed_again(photo_folder: Path) -> None:
    data, backbone = scan(photo_folder), get_backbone(BACKBONE)
    last = embed_rows(data, data.rows, backbone)
    assert count_missing(data.rows, backbone, every_depth=True) == 24
    every = embed_depths(data, data.rows[:5], backbone)
    assert every.cached == 0
    assert np.allclose(
        every.features[:, depths_of(backbone)[-1].columns], last.features[:5], atol=2e-3
    )


def test_a_torch_network_says_the_same(graphs: Path) -> None:
    backbone = get_backbone(BACKBONE)
    depths = [depths_of(backbone)[i] for i in (0, 3, 7, 8)]
    width = sum(depth.width for depth in depths)
    scaling = (np.linspace(-1, 1, width, dtype=np.float32), np.linspace(1, 2, width).astype("f4"))
    graph = depths_network(backbone, depths, scaling=scaling)
    expected = OnnxEngine(graph.SerializeToString()).run(PIXELS)[0]
    from regraft.backbones.backbone import weights_path

    network = backbone.architecture.load(weights_path(backbone), backbone.layout)
    remove_classifier(network)
    names = [depth.output for depth in depths]
    module = depths_module(network, names, scaling, image_size_px=224)
    with torch.no_grad():
        found = module(torch.from_numpy(PIXELS)).numpy()
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(BackboneError, match="the network has no depth boundary_9"):
        depths_module(network, ["boundary_9"], scaling, image_size_px=224)


def test_a_torch_network_stops_at_its_deepest_depth(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    backbone = tiny_backbone(tmp_path)
    first, *_, last = depths_of(backbone)
    assert isinstance(first, Depth)
    assert last.output == "features"
    assert first.width % 3 == 0
    graph = depths_network(backbone, [first])
    assert len(graph.SerializeToString()) < len(
        onnx.load(network_graph(backbone)).SerializeToString()
    )


def test_texts_have_the_states_of_their_tokens_at_each_layer(
    tmp_path: Path, own_cache: Path
) -> None:
    write_encoder(tmp_path / "encoder", pooling="mean")
    backbone = get_backbone(f"hf:{tmp_path / 'encoder'}")
    depths = depths_of(backbone)
    assert len(depths) == stage_count(backbone) + 1
    tokens = np.array([[2, 5, 7, 3], [2, 9, 4, 3]], dtype=np.int64)
    found = OnnxEngine(depths_network(backbone, depths).SerializeToString()).run(tokens)[0]
    assert found.shape == (2, sum(depth.width for depth in depths))
    whole = onnx.load(network_graph(backbone))
    features = OnnxEngine(whole.SerializeToString()).run(tokens)[0]
    assert np.allclose(found[:, depths[-1].columns], features, atol=1e-5)
    assert np.isfinite(found).all()
