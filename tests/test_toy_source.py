"""A source of backbones in one file and one row: every command knows it without further change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from regraft.backbones.sources import SOURCES, Source, backbone_forms, get_backbone, sources_table
from regraft.errors import BackboneError
from tests.commands import FROZEN, CommandLine, help_of
from tests.toys import toy_module

FILE = '''
"""Mean colours of the cells of a grid: "colours:4" makes 48 numbers of a photo, without weights."""

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper

from regraft.backbones.architectures import OnnxFile
from regraft.backbones.backbone import Backbone
from regraft.backbones.speeds import graph_folder
from regraft.kinds.images.transform import ImageTransform, normalisation_named

SIZE_PX = 32


def find(name, request):
    grid = int(name)
    side = SIZE_PX // grid
    cell = {"kernel_shape": [side, side], "strides": [side, side]}
    nodes = [
        helper.make_node("AveragePool", ["x"], ["map"], **cell),
        helper.make_node("Flatten", ["map"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIZE_PX, SIZE_PX])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3 * grid**2])],
    )
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()
    path = graph_folder() / f"colours-{grid}.onnx"
    path.write_bytes(model)
    return Backbone(
        name=request.name,
        architecture=OnnxFile(),
        weights_at=str(path),
        weights_sha256=hashlib.sha256(model).hexdigest(),
        origin="a grid of colours",
        task="colour",
        pretrained_on="no photos",
        licence="CC0-1.0",
        parameters=0,
        feature_width=3 * grid**2,
        transform=ImageTransform(image_size_px=SIZE_PX, normalisation=normalisation_named("torch")),
    )
'''
ROW = {"forms": ("colours:GRID",), "summary": "mean colours of the cells of a grid"}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the toy, and its row in the table."""
    with toy_module(tmp_path / "toy", "toy_colours", FILE) as module:
        monkeypatch.setitem(SOURCES, "colours", Source(**ROW, find=module.find))
        yield tmp_path / "toy"


def test_help_and_errors_name_it(toy: Path) -> None:
    assert "colours:GRID" in backbone_forms()
    assert "| `colours:GRID` | mean colours of the cells of a grid |" in sources_table()
    with pytest.raises(BackboneError, match="colours:GRID"):
        get_backbone("efficientnet_lite")
    shown = help_of(
        "fit",
        toy,
        "import toy_colours; from regraft.backbones.sources import SOURCES, Source; "
        f"SOURCES['colours'] = Source(**{ROW!r}, find=toy_colours.find)",
    )
    assert "colours:GRID" in shown


@pytest.mark.slow
def test_it_is_planned_fitted_reported_saved_and_exported(
    toy: Path, photo_folder: Path, tmp_path: Path, regraft: CommandLine
) -> None:
    run, name = tmp_path / "run", "colours:4"
    options = (photo_folder, "--backbone", name, *FROZEN)
    planned = regraft.done("plan", *options, "--format", "json").data["candidates"]
    assert [candidate["title"] for candidate in planned] == [
        f"linear_probe on {name}",
        f"knn on {name}",
    ]
    regraft.done("fit", *options, "--out", run)
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert about["settings"]["backbones"] == [name]
    saved = json.loads((run / "model" / "model.json").read_text(encoding="utf-8"))["backbone"]
    assert (saved["name"], saved["source"]) == (name, "a grid of colours")
    assert saved["architecture"] == {"family": "onnx"}
    assert name in (run / "report.html").read_text(encoding="utf-8")
    regraft.done("report", run, "--out", tmp_path / "again.html")
    assert "a grid of colours" in (tmp_path / "again.html").read_text(encoding="utf-8")
    photo = next(photo_folder.rglob("*.jpg"))
    predicted = regraft.done("predict", run, photo, "--format", "csv").rows[0]["predicted"]
    exported = tmp_path / "colours.onnx"
    regraft.done("export", run, exported)
    script = subprocess.run(
        [sys.executable, exported.with_suffix(".py"), photo],
        capture_output=True,
        text=True,
        check=True,
    )
    assert predicted in script.stdout
