"""Text encoders: what is said of a folder, and that what is read is what transformers runs."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from regraft.backbones.backbone import weights_path
from regraft.backbones.sources import get_backbone
from regraft.engines.encoders import (
    DescribedEncoder,
    Encoder,
    describe_encoder,
    load_encoder,
    parameters_in,
)
from regraft.errors import BackboneError, MissingExtraError
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


def encoder_in(folder: Path) -> Encoder:
    return loaded(folder)


def features_of(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    encoder = encoder_in(folder)
    with torch.no_grad():
        *_, last = encoder.run(encoder.embed(tokens, None), None)
        return encoder.pool(last, None)


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, family)
    network = original(folder)
    found = describe_encoder(folder)
    counted = sum(p.numel() for n, p in network.named_parameters() if not n.startswith("pooler."))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert found.config.items() <= config.items()
    assert "transformers_version" not in found.config
    assert found == DescribedEncoder(
        config=found.config,
        pooling="mean",
        is_normalised=False,
        network=folder,
        feature_width=WIDTH,
        max_tokens=MAX_TOKENS,
        tokenizer=folder / "vocab.txt",
        lowercase=None,
    )
    assert parameters_in(folder / "model.safetensors") == counted
    encoder = encoder_in(folder)
    assert encoder.stages == (0 if family == "albert" else LAYERS + 1)
    assert (encoder.pooling, encoder.is_normalised) == ("mean", False)
    for length in (1, MAX_TOKENS):
        tokens = torch.randint(5, VOCABULARY, (2, length))
        with torch.no_grad():
            expected = network(tokens).last_hidden_state.mean(dim=1)
        assert torch.allclose(features_of(folder, tokens), expected, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_padded_text_is_read_as_it_is_alone(family: str, tmp_path: Path) -> None:
    encoder = encoder_in(write_encoder(tmp_path, family))
    tokens = torch.randint(5, VOCABULARY, (3, 9))
    lengths = (9, 1, 4)
    mask = torch.arange(9)[None] < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        *_, last = encoder.run(encoder.embed(tokens, mask), mask)
        together = encoder.pool(last, mask)
        for i, length in enumerate(lengths):
            alone = features_of(tmp_path, tokens[i : i + 1, :length])
            assert torch.allclose(together[i], alone[0], atol=1e-5), (family, length)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalised", [False, True])
def test_pooling(pooling: str, normalised: bool, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, pooling=pooling, normalised=normalised)
    encoder = encoder_in(folder)
    assert (encoder.pooling, encoder.is_normalised) == (pooling, normalised)
    tokens = torch.randint(5, VOCABULARY, (2, 6))
    with torch.no_grad():
        last = original(folder)(tokens).last_hidden_state
    pooled = {"mean": last.mean(1), "cls": last[:, 0], "max": last.amax(1)}[pooling]
    if normalised:
        pooled = pooled / pooled.norm(dim=1, keepdim=True)
    assert torch.allclose(features_of(folder, tokens), pooled, atol=1e-5)

    mask = torch.tensor([[True] * 6 + [False] * 2] * 2)
    padded = torch.cat([last, torch.full((2, 2, WIDTH), 99.0)], dim=1)
    assert torch.allclose(encoder.pool(padded, mask), pooled, atol=1e-5)


def test_pooling_as_newer_versions_write_it(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, pooling="mean")
    settings = folder / "1_Pooling" / "config.json"
    settings.write_text(json.dumps({"embedding_dimension": WIDTH, "pooling_mode": "cls"}))
    assert encoder_in(folder).pooling == "cls"


def test_a_network_in_a_folder_below(tmp_path: Path) -> None:
    network = write_encoder(tmp_path / "0_Transformer")
    (network / "vocab.txt").rename(tmp_path / "vocab.txt")
    module = {"idx": 0, "name": "0", "path": "0_Transformer", "type": "models.Transformer"}
    (tmp_path / "modules.json").write_text(json.dumps([module]))
    found = describe_encoder(tmp_path)
    assert (found.feature_width, found.network) == (WIDTH, network)
    assert found.tokenizer == tmp_path / "vocab.txt"
    assert features_of(tmp_path, torch.ones(1, 3, dtype=torch.long)).shape == (1, WIDTH)


def test_what_files_beside_the_network_say(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path)
    assert (describe_encoder(folder).max_tokens, describe_encoder(folder).lowercase) == (40, None)
    tokenizer: dict[str, Any] = {"model_max_length": int(1e30), "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    found = describe_encoder(folder)
    assert (found.max_tokens, found.lowercase) == (40, True)

    steps = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "StripAccents"}]}
    (folder / "tokenizer.json").write_text(json.dumps({"normalizer": steps}))
    assert describe_encoder(folder).lowercase is False
    assert describe_encoder(folder).tokenizer == folder / "tokenizer.json"
    steps["normalizers"] = [{"type": "NFC"}, {"type": "Lowercase"}]
    (folder / "tokenizer.json").write_text(json.dumps({"normalizer": steps}))
    assert describe_encoder(folder).lowercase
    (folder / "tokenizer.json").write_text(json.dumps({"normalizer": None}))
    sentence = {"max_seq_length": 12, "do_lower_case": True}
    (folder / "sentence_bert_config.json").write_text(json.dumps(sentence))
    found = describe_encoder(folder)
    assert (found.max_tokens, found.lowercase) == (12, True)


def test_weights_of_a_network_with_a_task(tmp_path: Path) -> None:
    """Its parameters have a prefix and a head behind them."""
    folder = write_encoder(tmp_path)
    expected = parameters_in(folder / "model.safetensors")
    tokens = torch.randint(5, VOCABULARY, (2, 6))
    features = features_of(folder, tokens)
    state = {f"bert.{n}": t for n, t in load_file(folder / "model.safetensors").items()}
    state["cls.predictions.bias"] = torch.zeros(VOCABULARY)
    state = {n: t.contiguous() for n, t in state.items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    assert parameters_in(folder / "model.safetensors") == expected
    assert torch.equal(features_of(folder, tokens), features)

    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert parameters_in(folder / "pytorch_model.bin") == expected
    assert torch.equal(features_of(folder, tokens), features)


def test_weights_trained_further(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "encoder")
    state = {n: t + 0.01 for n, t in encoder_in(folder).network.state_dict().items()}
    save_file(state, tmp_path / "trained.safetensors")
    config = describe_encoder(folder).config
    found = load_encoder(config, tmp_path / "trained.safetensors").network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())

    name = "encoder.layer.1.output.dense.weight"
    del state[name]
    save_file(state, tmp_path / "trained.safetensors")
    with pytest.raises(BackboneError) as caught:
        load_encoder(config, tmp_path / "trained.safetensors")
    assert str(caught.value) == (
        f"the weights in {tmp_path / 'trained.safetensors'} do not fit encoder: bert: {name} is "
        "missing or has another shape; the file belongs to another config.json"
    )


def test_half_precision_weights_are_read_as_float32(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path)
    state = {n: t.half() for n, t in load_file(folder / "model.safetensors").items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    assert {p.dtype for p in encoder_in(folder).network.parameters()} == {torch.float32}


def _drop(name: str) -> Any:
    def change(folder: Path) -> None:
        (folder / name).unlink()

    return change


def _set(name: str, **values: Any) -> Any:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def _write(name: str, text: str) -> Any:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


def _without_a_layer(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state = {n: t for n, t in state.items() if "layer.1.output" not in n}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(
            lambda folder: [_drop(n)(folder) for n in ("config.json", "modules.json")],
            "{0} has no config.json, expected a folder of a text encoder as Hugging Face or "
            "sentence-transformers save it",
            id="no config",
        ),
        pytest.param(
            _set("config.json", model_type="gpt2"),
            "{0} holds a network of the family gpt2, expected one of albert, bert, camembert, "
            "deberta-v2, distilbert, electra, mpnet, roberta, xlm-roberta",
            id="family",
        ),
        pytest.param(
            _set("config.json", model_type="deberta-v2", conv_kernel_size=3),
            "{0} holds a DeBERTa network with a convolution between its layers, expected one "
            "without; take a version 3 of DeBERTa",
            id="convolution",
        ),
        pytest.param(
            _set("config.json", hidden_size="wide"),
            "{0} is not of a text encoder (",
            id="damaged config",
        ),
        pytest.param(
            _drop("1_Pooling/config.json"),
            "{0}/1_Pooling/config.json is not there, and modules.json asks for it; put it there",
            id="no pooling",
        ),
        pytest.param(
            _drop("vocab.txt"),
            "{0} has no tokenizer.json or vocab.txt; put tokenizer.json there: transformers.Auto",
            id="no tokenizer",
        ),
        pytest.param(
            _write("modules.json", "[{"), "{0}/modules.json cannot be read as JSON (", id="JSON"
        ),
        pytest.param(
            _write("modules.json", '[{"type": "models.Dense", "path": "2_Dense"}]'),
            "{0} has a module Dense in its modules.json, expected Transformer, Pooling and "
            "Normalize",
            id="dense",
        ),
        pytest.param(
            _set("1_Pooling/config.json", pooling_mode_cls_token=True),
            "{0}/1_Pooling/config.json asks for the pooling cls and mean, expected one of mean, "
            "cls, max",
            id="two poolings",
        ),
        pytest.param(
            _set("1_Pooling/config.json", pooling_mode="lasttoken"),
            "{0}/1_Pooling/config.json asks for the pooling lasttoken, expected one of mean, cls, "
            "max",
            id="pooling",
        ),
    ],
)
def test_a_folder_that_cannot_be_used(change: Any, text: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, pooling="mean")
    change(folder)
    with pytest.raises(BackboneError) as caught:
        describe_encoder(folder)
    assert str(caught.value).startswith(text.format(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(
            _without_a_layer,
            "the weights in {0}/model.safetensors do not fit encoder: bert: "
            "encoder.layer.1.output.LayerNorm.bias is missing or has another shape",
            id="missing",
        ),
        pytest.param(
            _write("model.safetensors", "nothing"),
            "{0}/model.safetensors cannot be loaded as encoder: bert (",
            id="damaged",
        ),
        pytest.param(
            _set("config.json", intermediate_size=48),
            "{0}/model.safetensors cannot be loaded as encoder: bert (",
            id="shapes",
        ),
    ],
)
def test_weights_that_cannot_be_loaded(change: Any, text: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path)
    change(folder)
    with pytest.raises(BackboneError) as caught:
        encoder_in(folder)
    assert str(caught.value).startswith(text.format(folder))
    assert "\n" not in str(caught.value)


def test_without_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_encoder(tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError) as caught:
        describe_encoder(folder)
    assert str(caught.value) == 'text encoders needs an extra: pip install "regraft[text]"'


def test_loading_is_silent_and_changes_no_logging(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging as spoken

    folder = write_encoder(tmp_path)
    before = (logging.getLogger("transformers").level, spoken.is_progress_bar_enabled())
    capfd.readouterr()
    encoder_in(folder)
    assert capfd.readouterr() == ("", "")
    assert (logging.getLogger("transformers").level, spoken.is_progress_bar_enabled()) == before


def test_the_parts_are_all_parameters(tmp_path: Path) -> None:
    encoder = encoder_in(write_encoder(tmp_path / "bert"))
    names = {id(p): n for n, p in encoder.network.named_parameters()}
    below, *layers = ([names[id(p)] for p in part] for part in encoder.parts())
    assert all(name.startswith("embeddings.") for name in below)
    for i, layer in enumerate(layers):
        assert all(name.startswith(f"encoder.layer.{i}.") for name in layer)
    assert len(below) + sum(map(len, layers)) == len(names)
    assert len(layers) == LAYERS
    (one,) = encoder_in(write_encoder(tmp_path / "albert", "albert")).parts()
    counted = parameters_in(tmp_path / "albert" / "model.safetensors")
    assert np.sum([p.numel() for p in one]) == counted


def test_the_built_in_encoder_is_described_as_its_folder_is() -> None:
    built_in = get_backbone("all_minilm_l6_v2")
    weights = weights_path(built_in)
    found = describe_encoder(weights.parent)
    architecture, _ = architecture_and_weights(weights.parent)
    assert architecture == built_in.architecture
    assert found.feature_width == built_in.feature_width
    assert found.max_tokens == built_in.transform.positions
    assert parameters_in(weights) == built_in.parameters


@pytest.mark.parametrize(
    "given", [{}, {"model_type": "vit"}, {"model_type": "bert", "hidden_size": "x"}]
)
def test_what_is_no_architecture(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="this configuration is not of a text encoder"):
        load_encoder(given, tmp_path / "weights.safetensors")
