"""A precision in one file and one row: every part of an export knows it without further change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from regraft.exporting.precisions import PRECISIONS, Precision, precisions_table
from tests.commands import CommandLine, help_of
from tests.toys import toy_module

FILE = '''
"""Weights with the eight bits of bfloat16 behind the point, as some chips compute."""

import numpy as np
import onnx
from onnx import numpy_helper


def convert(model, arrays):
    graph = onnx.load_from_string(model.graph)
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim == 4:
            cut = (values.view(np.uint32) & 0xFFFF0000).view(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(cut, tensor.name))
    return graph.SerializeToString()
'''
SUMMARY = "weights cut to bfloat16"


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the toy, and its row in the table."""
    with toy_module(tmp_path / "toy", "toy_bfloat", FILE) as module:
        row = Precision(summary=SUMMARY, convert=module.convert)
        monkeypatch.setitem(PRECISIONS, "bfloat", row)
        yield tmp_path / "toy"


def test_help_and_errors_name_it(toy: Path, made_once: Path, regraft: CommandLine) -> None:
    assert f"| `bfloat` | {SUMMARY} | at most 1 point of accuracy less" in precisions_table()
    unknown = regraft("export", made_once / "run", toy / "rooms.onnx", "--precision", "float")
    assert unknown.code == 2
    assert unknown.error.endswith("expected float32, half, int8, bfloat")
    shown = help_of(
        "export",
        toy,
        "import toy_bfloat; from regraft.exporting.precisions import PRECISIONS, Precision; "
        f"PRECISIONS['bfloat'] = Precision(summary={SUMMARY!r}, convert=toy_bfloat.convert)",
    )
    assert f"bfloat: {SUMMARY}" in " ".join(shown.split())


@pytest.mark.slow
def test_it_is_written_checked_and_described(
    made_once: Path, tmp_path: Path, regraft: CommandLine
) -> None:
    file = tmp_path / "rooms.onnx"
    asked = ("export", made_once / "run", file, "--precision", "bfloat")
    exported = regraft.done(*asked, "--format", "json").data
    assert exported["precision"] == "bfloat"
    assert exported["checked"]["inputs"] == 24
    assert exported["checked"]["largest_difference"] > 0
    weights = [numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer]
    weights = [values for values in weights if values.ndim == 4]
    assert len(weights) > 40
    assert not any((values.view(np.uint32) & 0xFFFF).any() for values in weights)
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    assert f"| Precision | bfloat: {SUMMARY} |" in card
    assert "Accepted is at most 1 point of accuracy less" in card
    assert "Accuracy changed by" in card
    shown = regraft.done(*asked, "--force").err
    assert "ms a photo (was" in shown
    photos = sorted((made_once / "photos").rglob("*.jpg"))
    script = [sys.executable, "-I", file.with_suffix(".py"), *photos]
    answers = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    said = [json.loads(answer)["predicted"] for answer in answers]
    predicted = regraft.done("predict", made_once / "run", *photos, "--format", "csv").rows
    assert len(said) == 24
    assert sum(a == row["predicted"] for a, row in zip(said, predicted, strict=True)) >= 23


def test_its_row_says_what_it_needs(
    made_once: Path, tmp_path: Path, regraft: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("export", made_once / "run" / "model", tmp_path / "rooms.onnx")
    row = PRECISIONS["bfloat"]
    for wish, expected in (
        ({"calibrated": True}, "--precision bfloat needs photos to be calibrated and checked on"),
        ({"shrinks": True}, "export it with --precision int8 or half or float32"),
        ({"extra": "chip"}, '--precision bfloat needs an extra: pip install "regraft[chip]"'),
    ):
        monkeypatch.setitem(PRECISIONS, "bfloat", replace(row, **wish))
        refused = regraft(*asked, "--precision", "bfloat")
        assert refused.code == 1
        assert expected in refused.err
    assert list(tmp_path.glob("rooms*")) == []
