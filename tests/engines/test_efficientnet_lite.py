"""The graph that is made of weights alone says what timm's network says, at every depth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from regraft.backbones.architectures import Timm, WeightsLayout
from regraft.backbones.backbone import is_available, weights_path
from regraft.backbones.sources import get_backbone
from regraft.engines.efficientnet_lite import export_efficientnet_lite
from regraft.engines.onnx import OnnxEngine, pooled_map
from regraft.engines.stages import chain_of
from regraft.errors import BackboneError

SIZES_PX = {
    "efficientnet_lite0": (224, 33),
    "efficientnet_lite1": (240,),
    "efficientnet_lite2": (260,),
}


def made(backbone: Any, size: int) -> Any:
    weights = weights_path(backbone)
    return export_efficientnet_lite(backbone.architecture.title, weights, image_size_px=size)


@pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name, sizes in SIZES_PX.items() for size in sizes]
)
def test_features_boundaries_and_tensors_are_those_of_timm(name: str, size: int) -> None:
    backbone = get_backbone(name)
    if not is_available(backbone):
        pytest.skip(f"{name} is not installed")
    graphs = made(backbone, size)
    network: Any = backbone.architecture.load(weights_path(backbone), WeightsLayout.ORDER)
    network.reset_classifier(0)
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    assert list(graphs.tensors) == list(tensors)
    for tensor, values in tensors.items():
        np.testing.assert_array_equal(graphs.tensors[tensor], values, strict=True)

    pixels = np.random.default_rng(0).standard_normal((2, 3, size, size)).astype(np.float32)
    (features,) = OnnxEngine(graphs.features).run(pixels)
    outputs = OnnxEngine(graphs.stages).run(pixels)
    described = onnx.load_from_string(graphs.stages).graph.output
    between = [f"boundary_{i}" for i in range(1, 7)]
    assert [o.name for o in described] == ["features", "stem", *between, "end"]
    for output, description in zip(outputs, described, strict=True):
        dims = description.type.tensor_type.shape.dim
        assert [d.dim_param or d.dim_value for d in dims] == ["n", *output.shape[1:]]

    chain = chain_of(network, image_size_px=size)
    assert chain.stages == 7
    with torch.no_grad():
        expected = [network(torch.from_numpy(pixels))]
        x = torch.from_numpy(pixels)
        for i, (_, link) in enumerate(chain.links):
            expected += [x] if i in chain.starts else []
            x = link(x)
            expected += [x] if i == chain.starts[-1] else []
    for output, other in zip((features, *outputs), (expected[0], *expected), strict=True):
        np.testing.assert_allclose(output, other.numpy(), atol=1e-4)


def test_the_graph_is_checked_and_shows_where_features_come_from() -> None:
    graphs = made(get_backbone("efficientnet_lite0"), 64)
    for graph in (graphs.features, graphs.stages):
        onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
        assert pooled_map(graph) is not None
    assert sum(array.size for array in graphs.tensors.values()) > 3_000_000
    assert not any(name.startswith("classifier") for name in graphs.tensors)


def test_weights_of_another_network_name_the_first_tensor_that_differs() -> None:
    backbone = get_backbone("efficientnet_lite0")
    other = replace(backbone, architecture=Timm("tf_efficientnet_lite2"))
    with pytest.raises(BackboneError, match=r"do not fit tf_efficientnet_lite2: \S+ is \(\d+"):
        made(other, 64)


def test_weights_that_end_early_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "few.pth"
    torch.save({"stem": torch.zeros(32, 3, 3, 3)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(BackboneError, match=r"few\.pth do not fit .*: bn1\.weight is missing"):
        export_efficientnet_lite("tf_efficientnet_lite0", path, image_size_px=64)
