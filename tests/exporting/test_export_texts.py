"""Models of texts in one file: graph, tokenizer and facts; or nothing is written."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tokenizers import Tokenizer

import regraft as rg
from regraft.engines.precision import integer_weights
from regraft.errors import ExportError, UsageError
from regraft.exporting import artifact, exporter
from regraft.exporting.exporter import export_model, facts_of
from regraft.exporting.forms import form_named
from regraft.kinds import KINDS
from regraft.kinds.texts.decoding import decode
from tests.commands import CommandLine
from tests.text_runs import make_text_run


@pytest.fixture
def run(texts_once: Path) -> rg.Run:
    return rg.read_run(texts_once / "run")


@pytest.fixture
def model(texts_once: Path) -> rg.Model:
    return rg.load(texts_once / "run")


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory, shared_text_graphs: Path) -> Path:
    """The same texts with a head on the built-in encoder."""
    folder = tmp_path_factory.mktemp("encoded")
    return make_text_run(folder, "linear_probe", graphs=shared_text_graphs)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(script: str, *paths: str, given: bytes = b"") -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-I", script, *paths], input=given, capture_output=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_one_file_is_enough(run: rg.Run, model: rg.Model, here: Path) -> None:
    found = export_model(model, "mails.onnx", check=run.data, evaluations=run.evaluations)
    assert sorted(path.name for path in here.iterdir() if path.is_file()) == [
        *("mails.md", "mails.onnx", "mails.py"),
    ]
    assert found.checked.inputs == len(run.data.train)
    assert found.checked.largest_difference == 0
    assert found.checked.changed == found.checked.ties == ()
    assert found.odd.inputs == 14
    assert found.odd.largest_difference == 0
    assert found.odd.unread == {}
    assert facts_of(found.to_dict()) == (
        "the same class on 40 of 40 texts; probabilities differ by 0.0000 at most"
    )
    session = onnxruntime.InferenceSession("mails.onnx")
    (tokens,) = session.get_inputs()
    assert (tokens.name, tokens.type, len(tokens.shape)) == ("tokens", "tensor(int64)", 1)
    assert [output.name for output in session.get_outputs()] == ["probabilities", "unfamiliarity"]
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["modality"] == "text"
    assert json.loads(facts["classes"]) == ["blame", "praise"]
    assert json.loads(facts["set_thresholds"]) == list(model.set_thresholds)
    assert float(facts["unfamiliar_from"]) == model.unfamiliar_from
    assert facts["data_fingerprint"] == run.data.fingerprint()
    assert facts["trained_on_texts"] == "40"
    assert facts["max_tokens"] == "4096"
    assert facts["regraft_version"] == rg.__version__
    assert str(here) not in str(facts)
    tokenizer = Tokenizer.from_str(facts["tokenizer"])
    text = "The meal was lovely, and so on."
    assert tokenizer.encode(text).ids == model.transform.read(text.encode()).tolist()
    onnx.checker.check_model(onnx.load("mails.onnx"), full_check=True)


def test_the_script_needs_nothing_of_regraft(run: rg.Run, model: rg.Model, here: Path) -> None:
    export_model(model, "mails.onnx")
    tree = ast.parse((here / "mails.py").read_text(encoding="utf-8"))
    imported = {
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
        if name.name not in sys.stdlib_module_names
    } | {
        str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module not in sys.stdlib_module_names
    }
    assert imported == {"numpy", "onnxruntime", "tokenizers"}
    (here / "bad.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (here / "empty.txt").write_text(" \n")
    (here / "latin.txt").write_bytes("naïve".encode("latin-1"))
    paths = [str(run.data.absolute(row)) for row in run.data.train[::10]]
    said = ran("mails.py", *paths, "bad.txt", "empty.txt", "latin.txt", "gone.txt")
    for answer, expected in zip(said[:4], model.predict(paths), strict=True):
        assert answer["path"] == expected.path
        assert answer["predicted"] == expected.predicted
        assert answer["set"] == list(expected.set)
        assert answer["flag"] == expected.flag
        probabilities = answer["probabilities"]
        assert isinstance(probabilities, dict)
        assert list(probabilities.values()) == pytest.approx(expected.probabilities)
    reasons = [str(answer["error"]) for answer in said[4:]]
    assert len(reasons) == 4
    assert "utf-8" in reasons[0]
    assert reasons[1] == "the text is empty"
    assert "utf-8" in reasons[2]
    assert "No such file" in reasons[3]


def test_the_script_reads_standard_input(model: rg.Model, here: Path) -> None:
    export_model(model, "mails.onnx")
    text = b"A lovely, warm and friendly place."
    (here / "same.txt").write_bytes(text)
    (piped,) = ran("mails.py", given=text)
    (read,) = ran("mails.py", "same.txt")
    assert (piped["path"], piped["predicted"]) == ("-", "praise")
    assert piped["probabilities"] == read["probabilities"]


@pytest.mark.parametrize(
    "data",
    [
        "überaus köstlich".encode("utf-8-sig"),
        "überaus köstlich".encode("utf-16"),
        b"one\r\ntwo\rthree\x0bfour",
        "caffe\u0301 \u2028 Straße\u0085".encode(),
        b"\x1b[31mred\x1b[0m and nothing else but a few words of it",
        b"one \x07 bell among so many words that it is one in a hundred characters of them",
    ],
)
def test_the_script_decodes_as_regraft_does(data: bytes, model: rg.Model, tmp_path: Path) -> None:
    source = artifact.standalone_source(model)
    start = source.index("        wide = ")
    lines = source[start : source.index("        numbers = tok")]
    body = "\n".join(line[8:] for line in lines.splitlines())
    names: dict[str, object] = {"data": data}
    exec("import codecs, re, unicodedata\n" + body, names)
    import unicodedata

    theirs = unicodedata.normalize("NFC", str(names["shown"]))
    assert theirs == decode(data).tobytes().decode()


def test_cells_of_a_table_are_replayed(texts_once: Path, model: rg.Model, here: Path) -> None:
    data = rg.scan(texts_once / "texts.csv")
    found = export_model(model, "mails.onnx", check=data)
    assert (found.checked.inputs, found.checked.largest_difference) == (40, 0)
    assert found.checked.accuracy is not None


def test_without_texts_odd_ones_are_checked_and_that_is_said(model: rg.Model, here: Path) -> None:
    found = export_model(model, "mails.onnx")
    assert facts_of(found.to_dict()) == (
        "checked on 14 odd texts only, not on texts: give --check FOLDER"
    )
    with pytest.raises(ExportError, match="--precision int8 needs texts to be calibrated"):
        export_model(model, "small.onnx", precision="int8")


def test_texts_that_the_script_cannot_read_are_told(
    run: rg.Run, model: rg.Model, here: Path
) -> None:
    (here / "old.txt").write_bytes("naïve and lovely".encode("latin-1"))
    (here / "new.txt").write_text("naïve and lovely", encoding="utf-8")
    found = export_model(model, "mails.onnx", check=["old.txt", "new.txt"])
    assert found.checked.inputs == 1
    assert list(found.checked.unread) == ["old.txt"]
    (here / "bad.txt").write_bytes(b"")
    with pytest.raises(ExportError, match="none of the texts to check with can be read"):
        export_model(model, "other.onnx", check=["bad.txt"])


def test_a_file_that_says_something_else_is_not_written(
    run: rg.Run, model: rg.Model, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(some: rg.Model, *, precision: str) -> bytes:
        graph = onnx.load_from_string(artifact.with_metadata(some, precision=precision))
        for entry in graph.metadata_props:
            if entry.key == "max_tokens":
                entry.value = "2"
        return bytes(graph.SerializeToString())

    monkeypatch.setattr(exporter, "with_metadata", spoilt)
    with pytest.raises(ExportError, match=r"of 40 texts get another class|differ by up to 0\."):
        export_model(model, "mails.onnx", check=run.data)
    assert list(here.glob("mails*")) == []


def test_the_card_speaks_of_texts(run: rg.Run, model: rg.Model, here: Path) -> None:
    export_model(model, "mails.onnx", check=run.data, evaluations=run.evaluations)
    card = (here / "mails.md").read_text(encoding="utf-8")
    assert "A classifier of texts: blame, praise" in card
    assert "pip install onnxruntime numpy tokenizers\npython mails.py text.txt" in card
    assert "Input `tokens`: token numbers, int64 `[n_tokens]`, 1 to 4,096" in card
    assert "40 texts of the user" in card
    assert "other writers, topics or languages" in card
    assert "run on 40 texts and on 14 odd texts" in card
    for word in ("photo", "image", "picture", "pixel", "camera"):
        assert word not in card


@pytest.mark.parametrize("precision", ["half", "int8"])
def test_counted_words_get_no_smaller(
    run: rg.Run, model: rg.Model, here: Path, precision: str
) -> None:
    with pytest.raises(ExportError, match=r"(no network whose|hardly any of its) numbers.*float32"):
        export_model(model, "mails.onnx", check=run.data, precision=precision)
    assert list(here.glob("mails*")) == []


def test_a_kind_without_a_form_cannot_be_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "text", replace(KINDS["text"], form=None))
    with pytest.raises(UsageError, match="models of texts cannot be exported; use regraft predict"):
        form_named("text")


@pytest.mark.slow
def test_an_encoder_goes_with_its_tokenizer(encoded: Path, here: Path) -> None:
    run, model = rg.read_run(encoded / "run"), rg.load(encoded / "run")
    found = export_model(model, "mails.onnx", check=run.data)
    assert (found.checked.inputs, found.odd.inputs) == (40, 14)
    assert found.checked.largest_difference == 0
    assert found.odd.largest_difference < 1e-4
    facts = onnxruntime.InferenceSession("mails.onnx").get_modelmeta().custom_metadata_map
    assert facts["backbone"] == "all_minilm_l6_v2"
    assert facts["backbone_licence"] == "Apache-2.0"
    assert facts["max_tokens"] == "256"
    assert "Licence of the backbone | Apache-2.0" in (here / "mails.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_encoder_in_other_precisions(encoded: Path, here: Path) -> None:
    run, model = rg.read_run(encoded / "run"), rg.load(encoded / "run")
    half = export_model(model, "half.onnx", check=run.data, precision="half")
    assert half.bytes < 0.52 * half.bytes_before
    assert half.checked.accuracy is not None
    small = export_model(model, "small.onnx", check=run.data, precision="int8")
    assert small.bytes < 0.3 * small.bytes_before
    assert small.checked.accuracy is not None
    assert len(small.checked.changed) <= 2
    graph = onnx.load("small.onnx")
    kinds = {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
    assert kinds["head.weights"] == kinds["familiarity.prototypes"] == onnx.TensorProto.FLOAT
    assert onnx.TensorProto.INT8 in kinds.values()
    assert "regraft-" not in str(graph.graph.name)  # no path of this machine
    says = "Accuracy changed by"
    assert says in (here / "small.md").read_text(encoding="utf-8")


def test_a_graph_that_is_no_network_cannot_become_integers(model: rg.Model) -> None:
    with pytest.raises(ExportError, match="no network whose numbers could become 8-bit integers"):
        integer_weights(model.graph)
    weights = replace(model, graph=model.graph).tensors
    assert np.isfinite(weights["head.weights"]).all()


# --- the command


def test_the_command_takes_a_run_of_texts(
    texts_once: Path, here: Path, regraft: CommandLine
) -> None:
    done = regraft.done("export", texts_once / "run", "mails.onnx")
    assert "the same class on 40 of 40 texts" in done.err
    assert "next     python mails.py new_text.txt" in done.err
    table = regraft.done(
        *("export", texts_once / "run", "again.onnx", "--check", texts_once / "texts.csv"),
        *("--format", "json"),
    )
    assert table.data["modality"] == "text"
    assert table.data["checked"]["inputs"] == 40
    assert table.data["checked"]["accuracy"]["value"] == 0
    plain = regraft.done(
        *("export", texts_once / "run" / "model", "third.onnx", "--format", "csv"),
        *("--check", texts_once / "texts" / "praise"),
    )
    assert plain.rows[0]["inputs"] == "20"
