"""Backbones of texts: encoders, word vectors and models of texts, found, read and trained."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

import regraft as rg
from regraft.approaches.base import prediction_cost
from regraft.approaches.linear_probe import LinearProbe
from regraft.approaches.tfidf import Tfidf
from regraft.approaches.word_vectors import WordVectors
from regraft.backbones.architectures import WordTable
from regraft.backbones.backbone import with_transform
from regraft.backbones.graphs import embedding_graph, network_tensors, stage_count, word_table
from regraft.backbones.sources import get_backbone
from regraft.backbones.sources.vectors import keep_vectors
from regraft.backbones.tokenizers import MOST_TOKENS
from regraft.engines.onnx import OnnxEngine
from regraft.engines.texts import read_table
from regraft.errors import BackboneError, UsageError
from regraft.kinds.texts.tokens import wordpiece_from_vocab
from regraft.model import load, network_of
from tests.catalogue_hubs import folder_into_hugging_face_cache
from tests.commands import PROBE, CommandLine
from tests.tiny_encoders import MAX_TOKENS, PIECES, WIDTH, original, write_encoder

NAME = "someone/tiny-encoder"
TEXT = "The meal was lovely, the waiter rude."


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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("family", ["distilbert", "roberta", "electra"])
def test_a_plain_folder_is_averaged(family: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / family, family)
    found = get_backbone(f"hf:{folder}")
    assert (found.licence, found.pretrained_on) == ("not stated", "unknown data")
    assert _features(found) == pytest.approx(_expected(folder).mean(axis=0), abs=1e-5)


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert told == [f"asking the Hugging Face hub for the metadata of {NAME}"]
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
    assert "tiny reads texts and efficientnet_lite0 photos; name backbones of one kind" in said.err


@pytest.mark.slow
def test_a_model_on_an_encoder_is_saved_whole(
    folder: Path, texts: Path, tmp_path: Path, regraft: CommandLine
) -> None:
    run = tmp_path / "run"
    regraft.done("fit", texts, "--backbone", f"hf:{folder}", *PROBE, "--out", run)
    shutil.rmtree(folder)
    moved = tmp_path / "elsewhere"
    (run / "model").rename(moved)
    shutil.rmtree(tmp_path / "cache")
    found = regraft.done("predict", moved, texts, "--format", "csv")
    assert len(found.rows) == 32
    right = [row["predicted"] == Path(row["path"]).parent.name for row in found.rows]
    assert np.mean(right) > 0.8
    with pytest.raises(BackboneError, match="is no image network that can be trained or changed"):
        network_of(load(moved))


# --- word vectors


VECTORS = {
    "the": (0.1, 0.0, 0.0, 0.2),
    "meal": (0.0, 0.1, 0.0, 0.2),
    "was": (0.0, 0.0, 0.1, 0.2),
    "lovely": (1.0, 0.0, 0.1, 0.0),
    "delicious": (0.9, 0.1, 0.0, 0.0),
    "warm": (0.8, 0.0, 0.0, 0.1),
    "cold": (-1.0, 0.0, 0.1, 0.0),
    "rude": (-0.9, 0.1, 0.0, 0.0),
    "slow": (-0.8, 0.0, 0.0, 0.1),
}


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    """Word vectors in GloVe's format."""
    path = tmp_path / "glove.9.4d.txt"
    lines = [f"{word} {' '.join(map(str, vector))}" for word, vector in VECTORS.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _mean(*words: str) -> np.ndarray:
    return np.mean([VECTORS[word] for word in words], axis=0)


def test_the_mean_of_the_known_words_are_the_features(glove: Path) -> None:
    told: list[str] = []
    found = get_backbone(f"vectors:{glove}", progress=lambda text, *_: told.append(text))
    assert told == ["reading the word vectors in glove.9.4d.txt, once on this machine"]
    assert (found.name, found.source) == ("glove.9.4d", "vectors glove.9.4d.txt")
    assert (found.modality, found.is_frozen, found.licence) == ("text", True, "unknown")
    assert (found.parameters, found.feature_width) == ((len(VECTORS) + 1) * 4, 4)
    assert stage_count(found) == 0
    assert prediction_cost(found) < prediction_cost(get_backbone("all_minilm_l6_v2")) / 1_000
    expected = _mean("the", "meal", "was", "lovely")
    assert _features(found, "The meal was lovely") == pytest.approx(expected, abs=1e-6)
    assert _features(found, "The meal was so lovely!") == pytest.approx(expected, abs=1e-6)
    assert not _features(found, "Überaus köstlich!").any()
    again = get_backbone(f"vectors:{glove}", progress=lambda text, *_: told.append(text))
    assert (again, len(told)) == (found, 1)


def test_the_same_vectors_in_every_format_are_one_backbone(glove: Path, tmp_path: Path) -> None:
    width = len(next(iter(VECTORS.values())))
    header = f"{len(VECTORS)} {width}\n"
    text = tmp_path / "fast.vec"
    text.write_text(header + glove.read_text(encoding="utf-8"), encoding="utf-8")
    packed = tmp_path / "packed.txt.gz"
    packed.write_bytes(gzip.compress(glove.read_bytes()))
    binary = tmp_path / "word2vec.bin"
    rows = [f"{w} ".encode() + np.array(v, "<f4").tobytes() for w, v in VECTORS.items()]
    binary.write_bytes(header.encode() + b"".join(rows))
    found = [get_backbone(f"vectors:{path}") for path in (glove, text, packed, binary)]
    assert len({one.weights_sha256 for one in found}) == 1
    assert [one.name for one in found] == ["glove.9.4d", "fast", "packed", "word2vec"]
    assert np.array_equal(*(word_table(one) for one in (found[0], found[3])))


def test_large_tables_are_cut(glove: Path, tmp_path: Path) -> None:
    told: list[str] = []
    table, words = tmp_path / "table.safetensors", tmp_path / "words.json"
    keep_vectors(glove, table, words, most_numbers=13, progress=lambda text, *_: told.append(text))
    assert told == ["glove.9.4d.txt: the first 3 words are used"]
    assert read_table(table).shape == (4, 4)
    assert set(list(VECTORS)[:3]) <= json.loads(words.read_bytes())["model"]["vocab"].keys()
    assert list(VECTORS)[3] not in json.loads(words.read_bytes())["model"]["vocab"]


def test_what_is_wrong_with_word_vectors_is_told(glove: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"there is no file .*gone\.txt; give word vectors of"):
        get_backbone(f"vectors:{tmp_path / 'gone.txt'}")
    glove.write_text("Dear all,\nthis is a letter.\n", encoding="utf-8")
    with pytest.raises(BackboneError, match="is not a table of word vectors: it begins with 'Dear"):
        get_backbone(f"vectors:{glove}")
    glove.write_text("the 1 2\nmeal 3 4\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"size is of photos, and glove\.9\.4d reads texts"):
        get_backbone(f"vectors:{glove}", image_size_px=64)


@pytest.mark.slow
def test_word_vectors_are_probed_read_by_a_network_and_saved_whole(
    glove: Path, texts: Path, tmp_path: Path, regraft: CommandLine
) -> None:
    run = tmp_path / "run"
    backbone = f"vectors:{glove}"
    options = ("--budget", "90s", "--out", run)
    regraft.done("fit", texts, "--backbone", backbone, *options)
    comparison = rg.read_run(run).comparison.candidates
    tried = {candidate.title: candidate.status for candidate in comparison}
    assert tried["linear_probe on glove.9.4d"] == tried["knn on glove.9.4d"] == "done"
    assert any(title.startswith("word_vectors") for title in tried)
    assert not any(title.startswith("fine_tune") for title in tried)
    data = rg.scan(texts)
    for approach in (LinearProbe(backbone), WordVectors(backbone, epochs=4)):
        folder = tmp_path / approach.name
        approach.fit(data).save(folder)
        moved = folder.rename(tmp_path / f"moved_{approach.name}")
        shutil.rmtree(tmp_path / "cache")
        model = rg.load(moved)
        said = model.predict([data.absolute(row) for row in data.ok])
        right = [one.predicted == row.label for one, row in zip(said, data.ok, strict=True)]
        assert np.mean(right) > 0.9, approach.name
        unknown = tmp_path / "unknown.txt"
        unknown.write_text("überaus köstlich", encoding="utf-8")
        assert np.isfinite(model.predict([unknown])[0].unfamiliarity)
    with pytest.raises(rg.RegraftError, match="trained on all 32 labelled texts"):
        rg.evaluate(tmp_path / "moved_linear_probe", texts)
    glove.unlink()
    again = get_backbone(str(tmp_path / "moved_linear_probe"))
    assert (again.architecture, again.feature_width) == (WordTable(), 4)
    assert _features(again, "the meal") == pytest.approx(_mean("the", "meal"), abs=1e-6)


# --- what was trained before


@pytest.mark.slow
def test_training_goes_on_from_a_model_of_texts(folder: Path, texts: Path, tmp_path: Path) -> None:
    data = rg.scan(texts)
    options = {"train": "last_1_stage", "epochs": 2}
    before = get_backbone(f"hf:{folder}")
    pretrained = load_file(folder / "model.safetensors")
    model = rg.FineTune(before, **options).fit(data)
    saved = model.save(tmp_path / "model").rename(tmp_path / "moved")
    shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "cache")

    onwards = get_backbone(str(saved))
    assert (onwards.name, onwards.source, onwards.modality) == ("moved", "file moved", "text")
    assert onwards.licence == "apache-2.0"
    assert (onwards.parameters, onwards.feature_width) == (before.parameters, WIDTH)
    assert stage_count(onwards) == 3
    trained = network_tensors(onwards)
    changed = {n for n, t in trained.items() if not np.array_equal(t, pretrained[n].numpy())}
    assert changed
    assert all(name.startswith("encoder.layer.1.") for name in changed)
    (whole,) = (onnx.load_from_string(model.graph),)
    whole.graph.output.append(onnx.helper.make_tensor_value_info("features", 1, [WIDTH]))
    *_, features = OnnxEngine(whole.SerializeToString()).run(onwards.transform.read(TEXT.encode()))
    assert _features(onwards) == pytest.approx(features, abs=1e-5)

    again = rg.FineTune(onwards, **options).fit(data).save(tmp_path / "again")
    probe = rg.LinearProbe(str(again)).fit(data)
    assert probe.architecture == before.architecture
    assert len(probe.predict([data.absolute(data.train[0])])) == 1


def test_what_cannot_be_gone_on_from_is_told(texts: Path, tmp_path: Path) -> None:
    saved = Tfidf().fit(rg.scan(texts)).save(tmp_path / "counted")
    with pytest.raises(BackboneError) as caught:
        get_backbone(str(saved))
    what = (
        f"{saved / 'weights.safetensors'} is of the network tfidf, which cannot be gone on from; "
    )
    assert str(caught.value).startswith(f"{what}expected a model of linear_probe, knn or fine_tune")
