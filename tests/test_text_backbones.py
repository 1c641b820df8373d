"""Backbones of texts: encoders from folders and the hub, found, licensed, read and trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from regraft.catalogue import embedding_graph, get_backbone, stage_count, with_transform
from regraft.catalogue.texts import MOST_TOKENS
from regraft.engines.onnx import OnnxEngine
from regraft.errors import BackboneError, UsageError
from regraft.modality.tokens import wordpiece_from_vocab
from tests.catalogue_hubs import folder_into_hugging_face_cache
from tests.commands import CommandLine
from tests.tiny_encoders import MAX_TOKENS, PIECES, WIDTH, original, write_encoder

NAME = "someone/tiny-encoder"
TEXT = "The meal was lovely, the waiter rude."


@pytest.fixture
def hub_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    from huggingface_hub import constants

    home = tmp_path / "hubs"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return home


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT in the form of sentence-transformers."""
    folder = write_encoder(tmp_path / "tiny", pooling="cls", normalised=True)
    made = wordpiece_from_vocab(folder / "vocab.txt")
    (folder / "tokenizer.json").write_text(made, encoding="utf-8")
    card = "license: apache-2.0\ndatasets: [one, two, three, four]"
    (folder / "README.md").write_text(f"---\n{card}\n---\n# An encoder\n", encoding="utf-8")
    return folder


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder of 16 texts of each of two classes, whose words tell the class."""
    words = {"praise": "lovely delicious friendly warm", "blame": "cold rude stale slow"}
    for label, telling in words.items():
        (tmp_path / "texts" / label).mkdir(parents=True)
        random = np.random.default_rng(len(label))
        for number in range(16):
            text = f"the meal was {' '.join(random.choice(telling.split(), 3))} in town {number}."
            (tmp_path / "texts" / label / f"{number}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "texts"


def _features(backbone: Any, text: str = TEXT) -> np.ndarray:
    (features,) = OnnxEngine(embedding_graph(backbone)).run(backbone.transform.read(text.encode()))
    return features


def _expected(folder: Path, text: str = TEXT) -> np.ndarray:
    """By transformers, of the numbers that the pieces have in the vocabulary."""
    backbone = get_backbone(f"hf:{folder}")
    tokens = backbone.transform.read(text.encode())
    with torch.no_grad():
        found = original(folder)(torch.from_numpy(tokens[None])).last_hidden_state[0]
    return found.numpy()


def test_a_folder_of_sentence_transformers_is_a_backbone(folder: Path) -> None:
    found = get_backbone(f"hf:{folder}")
    assert (found.name, found.source, found.modality) == ("tiny", "folder tiny", "text")
    assert (found.licence, found.task) == ("apache-2.0", "text encoding")
    assert found.pretrained_on == "one, two and 2 other data sets"
    assert (found.feature_width, found.transform.positions) == (WIDTH, MAX_TOKENS)
    state = load_file(folder / "model.safetensors")
    assert found.parameters == sum(t.numel() for n, t in state.items() if "pooler" not in n)
    tokens = found.transform.read(TEXT.encode())
    assert [PIECES[number] for number in tokens[:5]] == ["[CLS]", "the", "meal", "was", "lovely"]
    first = _expected(folder)[0]
    assert _features(found) == pytest.approx(first / np.linalg.norm(first), abs=1e-5)
    assert stage_count(found) == 3


@pytest.mark.parametrize("family", ["distilbert", "roberta", "electra"])
def test_a_plain_folder_is_averaged(family: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / family, family)
    found = get_backbone(f"hf:{folder}")
    assert (found.licence, found.pretrained_on) == ("not stated", "unknown data")
    assert _features(found) == pytest.approx(_expected(folder).mean(axis=0), abs=1e-5)


def test_another_pooling_of_the_same_weights_is_another_backbone(folder: Path) -> None:
    first = _features(get_backbone(f"hf:{folder}"))
    (folder / "modules.json").unlink()
    second = _features(get_backbone(f"hf:{folder}"))
    assert np.abs(first - second).max() > 0.01


def test_a_vocabulary_stands_in_for_a_tokenizer(folder: Path) -> None:
    whole = get_backbone(f"hf:{folder}").transform.read(TEXT.encode())
    (folder / "tokenizer.json").unlink()
    found = get_backbone(f"hf:{folder}")
    assert found.transform.read(TEXT.encode()).tolist() == whole.tolist()
    assert found.transform == get_backbone(f"hf:{folder}").transform
    config = folder / "tokenizer_config.json"
    config.write_text('{"do_lower_case": false}', encoding="utf-8")
    cased = get_backbone(f"hf:{folder}").transform.read(b"The meal")
    assert [PIECES[number] for number in cased] == ["[CLS]", "[UNK]", "meal", "[SEP]"]


def test_small_letters_are_made_where_sentence_transformers_says_so(folder: Path) -> None:
    cased = wordpiece_from_vocab(folder / "vocab.txt", lower_case=False)
    (folder / "tokenizer.json").write_text(cased, encoding="utf-8")
    assert PIECES[get_backbone(f"hf:{folder}").transform.read(b"The")[1]] == "[UNK]"
    sentences = folder / "sentence_bert_config.json"
    sentences.write_text('{"do_lower_case": true}', encoding="utf-8")
    assert PIECES[get_backbone(f"hf:{folder}").transform.read(b"The")[1]] == "the"


def test_long_texts_are_cut_also_where_the_network_would_take_them(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "long", max_position_embeddings=2_000)
    found = get_backbone(f"hf:{folder}")
    assert len(found.transform.read(b"meal " * 1_000)) == MOST_TOKENS
    longer = with_transform(found, max_tokens=1_000)
    assert _features(longer, "meal " * 990).shape == (WIDTH,)


def test_weights_as_pytorch_saves_them_and_in_a_folder_below(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    network = write_encoder(folder / "0_Transformer")
    modules = [{"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"}]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (network / "vocab.txt").rename(folder / "vocab.txt")
    first = get_backbone(f"hf:{folder}")
    expected = _features(first)
    state = {f"bert.{n}": t for n, t in load_file(network / "model.safetensors").items()}
    (network / "model.safetensors").unlink()
    torch.save(state, network / "pytorch_model.bin")
    found = get_backbone(f"hf:{folder}")
    assert found.weights_at.endswith("0_Transformer/pytorch_model.bin")
    assert (found.parameters, found.name) == (first.parameters, "old")
    assert _features(found) == pytest.approx(expected, abs=1e-6)


def test_what_the_hub_s_client_has_fetched_is_found(folder: Path, hub_home: Path) -> None:
    below = folder / "1_Pooling"
    (folder / "1_Pooling_config.json").write_bytes((below / "config.json").read_bytes())
    shutil.rmtree(below)
    snapshot = folder_into_hugging_face_cache(hub_home, NAME, folder)
    told: list[str] = []
    with pytest.raises(BackboneError, match=r"1_Pooling/config\.json is not there, and modules\.j"):
        get_backbone(f"hf:{NAME}", progress=lambda text, *_: told.append(text))
    assert told == [f"asking the Hugging Face hub for the papers of {NAME}"]
    below = snapshot / "1_Pooling"
    below.mkdir()
    (below / "config.json").symlink_to((snapshot / "1_Pooling_config.json").resolve())
    found = get_backbone(f"hf:{NAME}", progress=lambda text, *_: told.append(text))
    assert len(told) == 1
    assert (found.name, found.modality) == (f"hf:{NAME}", "text")
    assert found.weights_at == str(snapshot / "model.safetensors")
    assert _features(found).shape == (WIDTH,)


def test_weights_that_cannot_be_fetched_say_which_files_to_bring(
    folder: Path, hub_home: Path
) -> None:
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_Pooling")
    (folder / "model.safetensors").unlink()
    folder_into_hugging_face_cache(hub_home, NAME, folder)
    with pytest.raises(BackboneError) as caught:
        get_backbone(f"hf:{NAME}")
    text = str(caught.value)
    assert text.startswith(
        "the weights of encoder: bert are not on this machine and cannot be fetched from "
        f"{NAME} on the Hugging Face hub ("
    )
    assert text.endswith(
        "put config.json, tokenizer.json, README.md, model.safetensors and, where there are, "
        f"modules.json and 1_Pooling/config.json of {NAME} into a folder and use: --backbone "
        "hf:FOLDER"
    )
    assert "\n" not in text


def test_what_is_wrong_with_a_folder_is_told(folder: Path) -> None:
    with pytest.raises(UsageError, match="size is of photos, and tiny reads texts; leave it out"):
        get_backbone(f"hf:{folder}", image_size_px=128)
    card = folder / "README.md"
    card.write_text("---\nlicense: cc-by-nc-4.0\n---\n", encoding="utf-8")
    with pytest.raises(BackboneError, match=r"have the licence cc-by-nc-4\.0.*--accept-licence"):
        get_backbone(f"hf:{folder}")
    card.unlink()
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:5_000])
    with pytest.raises(BackboneError, match="is damaged or was fetched only in part"):
        get_backbone(f"hf:{folder}")
    weights.unlink()
    with pytest.raises(BackboneError, match=r"holds no model\.safetensors or pytorch_model\.bin"):
        get_backbone(f"hf:{folder}")
    (folder / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BackboneError, match=r"holds its weights in several files .*max_shard_size"):
        get_backbone(f"hf:{folder}")
    weights.write_bytes(whole)
    (folder / "modules.json").unlink()
    config = folder / "config.json"
    config.write_text('{"model_type": "gpt2"}', encoding="utf-8")
    with pytest.raises(BackboneError, match=r"gpt2 is no image model .* or a text encoder such as"):
        get_backbone(f"hf:{folder}")


def test_a_backbone_of_photos_beside_one_of_texts_is_refused(
    folder: Path, regraft: CommandLine, texts: Path
) -> None:
    said = regraft("fit", texts, "--backbone", f"hf:{folder}", "--backbone", "efficientnet_lite0")
    assert said.code != 0
    assert "tiny reads texts and efficientnet_lite0 images; name backbones of one kind" in said.err


@pytest.mark.slow
def test_an_encoder_is_probed_trained_and_saved_whole(
    folder: Path, texts: Path, tmp_path: Path, regraft: CommandLine
) -> None:
    run = tmp_path / "run"
    approaches = ("linear_probe", "knn", "fine_tune", "word_vectors")
    options = [word for name in approaches for word in ("--approach", name)]
    backbone = f"hf:{folder}"
    regraft.done("fit", texts, "--backbone", backbone, *options, "--budget", "60s", "--out", run)
    shutil.rmtree(folder)
    moved = tmp_path / "elsewhere"
    (run / "model").rename(moved)
    shutil.rmtree(tmp_path / "cache")
    found = regraft.done("predict", moved, texts, "--format", "csv")
    assert len(found.rows) == 32
    right = [row["predicted"] == Path(row["path"]).parent.name for row in found.rows]
    assert np.mean(right) > 0.8
