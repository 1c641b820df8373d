"""Exported files predict what the model predicts, or are not written."""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image, ImageOps

import regraft as rg
from regraft.engines import precision as engine
from regraft.engines.onnx import OnnxEngine
from regraft.errors import ExportError, UsageError
from regraft.exporting import artifact, exporter
from regraft.exporting.exporter import Exported, export_model, facts_of, sample_of_run
from regraft.exporting.precisions import PRECISIONS, precisions_table
from regraft.kinds.images.decoding import decode
from tests.commands import CommandLine
from tests.odd_images import write_corpus
from tests.slow_images import jpeg, scan_bomb, spaced_scan_bomb


@pytest.fixture
def run(made_once: Path) -> rg.Run:
    return rg.read_run(made_once / "run")


@pytest.fixture
def model(made_once: Path) -> rg.Model:
    return rg.load(made_once / "run")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photos(run: rg.Run, count: int = 4) -> list[Path]:
    return [run.data.absolute(row) for row in run.data.train[:: len(run.data.train) // count]]


@pytest.fixture(scope="module")
def exported(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """`rooms.onnx`, with what lies beside it; not to be changed."""
    run = rg.read_run(made_once / "run")
    file = tmp_path_factory.mktemp("exported") / "rooms.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(file.with_name("cache")))
        return export_model(rg.load(run.folder), file, check=run.data, evaluations=run.evaluations)


def test_it_writes_a_file_a_script_and_a_card(run: rg.Run, exported: Exported) -> None:
    found, here = exported, exported.file.parent
    assert sorted(path.name for path in here.iterdir() if path.is_file()) == [
        "rooms.md",
        "rooms.onnx",
        "rooms.py",
    ]
    assert found.checked.inputs == len(run.data.train)
    assert found.odd.inputs == 7
    assert found.checked.largest_difference == 0
    assert found.checked.changed == found.checked.ties == ()
    assert found.checked.accuracy is not None
    assert found.bytes == (here / "rooms.onnx").stat().st_size < 20e6
    assert facts_of(found.to_dict()) == (
        "the same class on 24 of 24 photos; probabilities differ by 0.0000 at most"
    )


def test_the_graph_is_as_the_design_says(run: rg.Run, model: rg.Model, exported: Exported) -> None:
    session = onnxruntime.InferenceSession(exported.file)
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape[2]) == ("image", "tensor(uint8)", 3)
    assert [output.name for output in session.get_outputs()] == ["probabilities", "unfamiliarity"]
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == ["clean", "messy"]
    assert json.loads(facts["set_thresholds"]) == list(model.set_thresholds)
    assert float(facts["unfamiliar_from"]) == model.unfamiliar_from
    assert facts["data_fingerprint"] == run.data.fingerprint()
    assert facts["backbone_licence"] == "Apache-2.0"
    assert facts["resize"] == "crop"
    assert facts["regraft_version"] == rg.__version__
    graph = onnx.load(exported.file)
    onnx.checker.check_model(graph, full_check=True)
    assert {opset.domain for opset in graph.opset_import} == {""}
    assert len(graph.opset_import) == 1


def test_the_script_needs_nothing_of_regraft(
    run: rg.Run, model: rg.Model, exported: Exported, here: Path
) -> None:
    script = exported.file.with_suffix(".py")
    tree = ast.parse(script.read_text(encoding="utf-8"))
    imported = {
        name.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    } | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"io", "json", "os", "re", "sys", "pathlib", "numpy", "onnxruntime", "PIL"}
    assert len([line for line in ast.unparse(tree).splitlines() if line.strip()]) <= 52
    bad = here / "bad.jpg"
    bad.write_text("no photo")
    paths = [*map(str, photos(run)), str(bad)]
    printed = subprocess.run(
        [sys.executable, "-I", script, *paths], capture_output=True, text=True, check=True
    ).stdout
    said = [json.loads(line) for line in printed.splitlines()]
    assert "error" in said[-1]
    for answer, expected in zip(said, model.predict(paths[:-1]), strict=False):
        assert answer["path"] == expected.path
        assert answer["predicted"] == expected.predicted
        assert tuple(answer["set"]) == expected.set
        assert answer["flag"] == expected.flag
        assert answer["probabilities"].values() == pytest.approx(expected.probabilities)


# Files that the script's few lines of Pillow read otherwise than regraft does.
OTHERWISE = {
    *("grey_16_key.png", "integer_32_large.tif", "xmp_rotation.tif", "plain.heic", "exif.heif"),
    *("float_32.tif", "float_32_holes.tif", "float_32_constant.tif", "float.pfm"),
}


@pytest.mark.filterwarnings("ignore")
def test_the_script_decodes_as_regraft_does(model: rg.Model, tmp_path: Path) -> None:
    """Transparency, 16-bit grey, palettes, rotation: what the script makes of odd files."""
    source = artifact.standalone_source(model)
    start = source.index("        photo = ImageOps")
    lines = source[start : source.index("        found, distance")]
    body = "\n".join(line[8:] for line in lines.splitlines())
    opening = source[source.index("MARKER =") : source.index("session =")]
    checked, otherwise = 0, set()
    for one in write_corpus(tmp_path):
        if not one.readable:
            continue
        checked += 1
        names: dict[str, Any] = {"Image": Image, "ImageOps": ImageOps, "np": np, "path": one.path}
        names |= {"io": io, "re": re, "Path": Path}
        try:
            exec(opening, names)
            exec(body, names)
        except OSError:
            otherwise.add(one.name)
            continue
        theirs = np.asarray(names["photo"].convert("RGB")).astype(int)
        ours = decode(one.path.read_bytes()).astype(int)
        if theirs.shape != ours.shape or np.abs(theirs - ours).max() > 1:
            otherwise.add(one.name)
    assert otherwise <= OTHERWISE
    assert checked > 100


def test_the_script_refuses_a_photo_that_would_take_hours(model: rg.Model, tmp_path: Path) -> None:
    source = artifact.standalone_source(model)
    names: dict[str, Any] = {"Image": Image, "io": io, "re": re, "Path": Path}
    exec(source[source.index("MARKER =") : source.index("session =")], names)
    photo = tmp_path / "photo.jpg"
    for make, refused in ((scan_bomb, True), (spaced_scan_bomb, True), (jpeg, False)):
        photo.write_bytes(make())
        if refused:
            with pytest.raises(ValueError, match="expected at most 100 scans"):
                names["opened"](photo)
        else:
            assert names["opened"](photo).size == (16, 16)


def test_a_file_that_says_something_else_is_not_written(
    run: rg.Run, model: rg.Model, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(some: rg.Model, *, precision: str) -> bytes:
        return artifact.with_metadata(
            replace(some, graph=_with_another_temperature(some.graph)), precision=precision
        )

    monkeypatch.setattr(exporter, "with_metadata", spoilt)
    with pytest.raises(ExportError, match="probabilities differ by up to 0"):
        export_model(model, "rooms.onnx", check=photos(run))
    assert list(here.glob("rooms*")) == []


def _with_another_temperature(graph: bytes) -> bytes:
    from onnx import numpy_helper

    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        if tensor.name == "temperature":
            values = numpy_helper.to_array(tensor) * 3
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(values), tensor.name))
    return bytes(model.SerializeToString())


def test_a_file_that_does_not_run_is_not_written(
    run: rg.Run, model: rg.Model, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        exporter, "standalone_source", lambda _: "raise SystemExit('no such thing')"
    )
    with pytest.raises(ExportError, match="does not run: no such thing; nothing was exported"):
        export_model(model, "rooms.onnx", check=photos(run))
    assert list(here.glob("rooms*")) == []


@pytest.mark.slow
def test_files_that_are_there_are_kept(run: rg.Run, model: rg.Model, here: Path) -> None:
    (here / "rooms.md").write_text("mine")
    with pytest.raises(ExportError, match=r"rooms.md would be replaced; add --force"):
        export_model(model, "rooms.onnx", check=photos(run))
    export_model(model, "rooms.onnx", check=photos(run), force=True)
    assert (here / "rooms.md").read_text() != "mine"
    (here / "own.py").write_text("print('my own work')")
    with pytest.raises(ExportError, match=r"own.py is not a script of an export"):
        export_model(model, "own.onnx", check=photos(run), force=True)
    assert (here / "own.py").read_text() == "print('my own work')"


@pytest.mark.parametrize(
    ("file", "options", "expected"),
    [
        ("rooms.pt", {}, "expected a name ending in .onnx"),
        ("rooms.onnx", {"precision": "int4"}, "no precision 'int4'; expected float32, half, int8$"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(
    model: rg.Model, here: Path, file: str, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        export_model(model, file, **options)


def test_without_photos_odd_sizes_are_checked_and_that_is_said(model: rg.Model, here: Path) -> None:
    found = export_model(model, "rooms.onnx")
    assert (found.checked.inputs, found.odd.inputs) == (0, 7)
    assert "give --check FOLDER" in facts_of(found.to_dict())
    assert found.to_dict()["ms"] is None
    with pytest.raises(ExportError, match="--precision int8 needs photos to be calibrated"):
        export_model(model, "small.onnx", precision="int8")


@pytest.mark.slow
def test_photos_that_cannot_be_read_are_left_out(run: rg.Run, model: rg.Model, here: Path) -> None:
    bad = here / "bad.jpg"
    bad.write_bytes(b"")
    found = export_model(model, "rooms.onnx", check=[*photos(run), bad])
    assert found.checked.inputs == 4
    with pytest.raises(ExportError, match="none of the photos to check with can be read"):
        export_model(model, "other.onnx", check=[bad])


@pytest.mark.slow
def test_half_precision_is_half_the_size(run: rg.Run, model: rg.Model, here: Path) -> None:
    found = export_model(model, "half.onnx", check=photos(run), precision="half")
    assert found.bytes < 0.52 * found.bytes_before
    assert 0 < found.checked.largest_difference <= 0.01
    assert found.odd.largest_difference <= 0.01
    for image in np.zeros((2, 3, 5, 3), dtype=np.uint8):
        (half,) = (OnnxEngine((here / "half.onnx").read_bytes()).run(image),)
        assert [part.dtype for part in half] == [np.float32, np.float32]


def test_half_precision_leaves_the_head_alone(model: rg.Model) -> None:
    graph = onnx.load_from_string(engine.half_weights(model.graph))
    kinds = {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
    assert kinds["head.weights"] == kinds["familiarity.prototypes"] == onnx.TensorProto.FLOAT
    assert onnx.TensorProto.FLOAT16 in kinds.values()


def test_constants_that_half_precision_cannot_hold_stay(model: rg.Model) -> None:
    from onnx import numpy_helper

    graph = onnx.load_from_string(model.graph)
    big = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(big).copy()
    values.flat[0] = 1e6
    big.CopyFrom(numpy_helper.from_array(values, big.name))
    smaller = onnx.load_from_string(engine.half_weights(graph.SerializeToString()))
    kept = {tensor.name: tensor.data_type for tensor in smaller.graph.initializer}
    assert kept[big.name] == onnx.TensorProto.FLOAT
    assert onnx.TensorProto.FLOAT16 in kept.values()


@pytest.mark.slow
def test_integers_are_a_third_of_the_size_and_measured(
    run: rg.Run, model: rg.Model, here: Path
) -> None:
    found = export_model(model, "small.onnx", check=run.data, precision="int8")
    assert found.bytes < 6e6
    assert found.checked.accuracy is not None
    assert len(found.checked.changed) <= 1
    assert "Accuracy changed by" in (here / "small.md").read_text(encoding="utf-8")
    graph = onnx.load("small.onnx")
    operators = [node.op_type for node in graph.graph.node]
    assert operators.count("DequantizeLinear") > 40
    assert "Clip" not in operators  # part of the layers, whose numbers then have a smaller range
    assert "regraft-" not in str(graph)  # no path of this machine


@pytest.mark.slow
def test_integers_that_cost_too_much_are_not_written(
    run: rg.Run, model: rg.Model, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0)
    for name in ("half", "int8"):
        spoilt = replace(
            PRECISIONS[name],
            convert=lambda some, _: _with_another_head(some.graph, noise),
            shrinks=False,
        )
        monkeypatch.setitem(PRECISIONS, name, spoilt)
    with pytest.raises(ExportError, match="points of accuracy on 24 photos, more than is accepted"):
        export_model(model, "small.onnx", check=run.data, precision="int8")
    with pytest.raises(ExportError, match="would change the class of"):
        export_model(model, "small.onnx", check=photos(run, 12), precision="int8")
    with pytest.raises(ExportError, match=r"--precision half .* would cost .* --precision float32"):
        export_model(model, "small.onnx", check=run.data, precision="half")
    assert list(here.glob("small*")) == []


def _with_another_head(graph: bytes, random: np.random.Generator) -> bytes:
    from onnx import numpy_helper

    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        if tensor.name == "head.weights":
            values = -numpy_helper.to_array(tensor)
            values = values + random.normal(0, 0.01, values.shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return bytes(model.SerializeToString())


def test_a_graph_that_is_no_network_cannot_become_integers() -> None:
    with pytest.raises(ExportError, match="the network cannot be turned into 8-bit integers"):
        engine.integer_graph(onnx.ModelProto().SerializeToString(), [])


def test_a_precision_that_fails_names_those_that_cost_less(model: rg.Model) -> None:
    empty = replace(model, graph=onnx.ModelProto().SerializeToString())
    with pytest.raises(ExportError, match=r"; export it with --precision half or float32$"):
        artifact.with_precision(empty, "int8", [])


def test_the_docs_list_the_precisions() -> None:
    page = Path(__file__).parents[2] / "docs" / "frameworks.md"
    assert precisions_table() in page.read_text(encoding="utf-8")


def test_a_sample_of_a_run_takes_test_photos_first() -> None:
    from tests.fakes import many_rows

    data = many_rows(300)  # and a test photo
    some = sample_of_run(data, most=50)
    assert some.rows[0].split == "test"
    assert 40 <= len(some.rows) <= 50
    assert len(sample_of_run(data).rows) == len(data.rows)


# --- the command


@pytest.mark.slow
def test_the_command_takes_a_run(made_once: Path, here: Path, regraft: CommandLine) -> None:
    done = regraft.done("export", made_once / "run", "rooms.onnx")
    assert "the same class on 24 of 24 photos" in done.err
    assert "next     python rooms.py new_photo.jpg" in done.err
    card = (here / "rooms.md").read_text(encoding="utf-8")
    assert "with 95 % intervals" in card
    again = regraft("export", made_once / "run", "rooms.onnx")
    assert again.error.endswith("would be replaced; add --force or choose a name")
    forced = regraft.done("export", made_once / "run", "rooms.onnx", "--force", "--format", "json")
    assert forced.data["checked"]["inputs"] == 24
    table = regraft.done("export", made_once / "run", "rooms.onnx", "--force", "--format", "csv")
    assert table.rows[0]["changed"] == "0"


@pytest.mark.slow
def test_the_command_takes_a_model_folder_and_photos(
    made_once: Path, here: Path, regraft: CommandLine
) -> None:
    shutil.copytree(made_once / "run" / "model", here / "model")
    done = regraft.done("export", "model", "rooms.onnx")
    assert "not on photos: give --check FOLDER" in " ".join(done.err.split())
    one_class = made_once / "photos" / "clean"
    done = regraft.done("export", "model", "b.onnx", "--check", one_class, "--format", "json")
    assert done.data["checked"]["inputs"] == 12
    done = regraft.done(
        "export", "model", "c.onnx", "--check", made_once / "photos", "--format", "json"
    )
    assert done.data["checked"]["accuracy"]["value"] == 0
    assert "Not known here" in (here / "c.md").read_text(encoding="utf-8")
