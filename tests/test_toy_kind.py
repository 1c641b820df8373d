"""A kind of input in one file and one row: every command knows it without further change."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

import regraft as rg
from regraft.errors import UsageError
from regraft.kinds import KINDS
from regraft.serving.app import create_app
from tests.commands import FROZEN, QUICK, CommandLine
from tests.toys import toy_module

FILE = Path(__file__).with_name("toy_numbers.py")


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file of the toy, and its row in the table."""
    monkeypatch.chdir(tmp_path)
    with toy_module(tmp_path / "toy", "toy_readings", FILE.read_text(encoding="utf-8")) as module:
        monkeypatch.setitem(KINDS, "readings", module.KIND)
        yield


def _words_of(page: Path) -> str:
    """What a page says to people."""
    text = re.sub(r"(?s)<(style|script)\b.*?</\1>", "", page.read_text(encoding="utf-8"))
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    """Two classes of 30 files each, and one that is no array."""
    random = np.random.default_rng(0)
    times = np.arange(48)
    root = tmp_path / "readings"
    for name, swing in (("beating", 1.0), ("steady", 0.0)):
        (root / name).mkdir(parents=True)
        for number in range(30):
            noise = random.normal(size=48)
            wave = swing * np.sin(times / 3)
            np.save(root / name / f"{random.integers(1 << 40):x}-{number}.npy", noise + wave)
    (root / "steady" / "notes.npy").write_text("out of order", encoding="utf-8")
    return root


def test_it_is_scanned_and_audited(readings: Path, regraft: CommandLine) -> None:
    data = rg.scan(readings)
    assert (data.modality, len(data.ok), data.classes) == ("readings", 60, ("beating", "steady"))
    (row,) = [row for row in data.rows if row.status == "unreadable"]
    assert row.reason == "is no .npy file of numbers"
    shown = regraft.done("scan", readings).err
    assert "sizes: all 48x1 readings" in shown
    audited = regraft.done("audit", readings)
    assert "recording" in audited.out + audited.err
    regraft.done("scan", readings, "--report", "data.html")
    assert "volts" in Path("data.html").read_text(encoding="utf-8")


def test_it_is_planned_fitted_reported_predicted_exported_and_served(
    readings: Path, regraft: CommandLine
) -> None:
    planned = regraft.done("plan", readings, *FROZEN, "--format", "json").data["candidates"]
    assert [c["title"] for c in planned] == ["linear_probe on squares", "knn on squares"]
    regraft.done("fit", readings, *FROZEN, "--out", "run")
    about = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert about["modality"] == "readings"
    seen = _words_of(Path("run/report.html"))
    assert "recordings" in seen
    assert not re.findall(r".{30}\b(?:photo|image|picture)s?\b.{30}", seen)
    run = rg.read_run("run")
    assert run.evaluations[0].accuracy.value > 0.85

    predicted = regraft.done("predict", "run", readings, "--format", "csv").rows
    right = [Path(r["path"]).parent.name == r["predicted"] for r in predicted]
    assert len(right) == 61
    assert sum(right) > 55
    evaluated = regraft("evaluate", "run", readings)
    assert "was trained on all 60 labelled recordings" in evaluated.error

    regraft.done("export", "run", "model.onnx")
    file = next((readings / "steady").glob("*-1.npy"))
    script = subprocess.run(
        [sys.executable, "model.py", file], capture_output=True, text=True, check=True
    )
    (own,) = regraft.done("predict", "run", file, "--format", "csv").rows
    assert json.loads(script.stdout)["predicted"] == own["predicted"]
    assert "other sensors" in Path("model.md").read_text(encoding="utf-8")

    with TestClient(create_app(rg.load("run"))) as client:
        answer = client.post("/predict", files={"files": file.read_bytes()})
        assert answer.json()["results"][0]["predicted"] == own["predicted"]
        assert "Drop files of recordings here" in client.get("/").text
        assert 'limit: "files"' in client.get("/intake.js").text


@pytest.mark.slow
def test_by_default_what_can_be_done_with_it_is_raced(readings: Path, regraft: CommandLine) -> None:
    planned = regraft.done("plan", readings, "--format", "json").data["candidates"]
    assert {c["title"] for c in planned} == {"linear_probe on squares", "knn on squares"}
    regraft.done("fit", readings, "--out", "run", "--budget", "2m")
    assert {c.title for c in rg.read_run("run").comparison.candidates} == {
        "linear_probe on squares",
        "knn on squares",
    }


def test_what_it_does_not_bring_is_refused_in_one_line(
    readings: Path, regraft: CommandLine
) -> None:
    with pytest.raises(UsageError, match="squares is used as it is"):
        rg.fit(readings, approaches="fine_tune")
    regraft.done("fit", readings, *QUICK, "--out", "run")
    assert "for photos" in regraft("explain", "run").error
    assert "for photos" in regraft("review", "run").error
