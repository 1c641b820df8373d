"""A metric in one file and one row: every command knows it without further change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

import regraft as rg
from regraft.frameworks.tracking import all_points
from regraft.metrics import METRICS, Metric
from regraft.metrics.rates import NOT_MEASURED
from tests.commands import QUICK, CommandLine, read_json
from tests.toys import toy_module

FILE = '''
"""Matthews correlation of labels and predictions for any number of classes (Gorodkin 2004)."""

import numpy as np

from regraft.metrics.rates import weighted_confusion


def matthews(labels, probabilities, weights):
    predicted, k = probabilities.argmax(axis=1), probabilities.shape[1]
    confusion = weighted_confusion(labels, predicted, k, weights)
    rows, columns = confusion.sum(axis=2), confusion.sum(axis=1)
    hits, n = np.trace(confusion, axis1=1, axis2=2), weights.sum(axis=1)
    together = hits * n - (rows * columns).sum(axis=1)
    spread = (n**2 - (rows**2).sum(axis=1)) * (n**2 - (columns**2).sum(axis=1))
    return np.divide(together, np.sqrt(spread), out=np.full_like(n, np.nan), where=spread > 0)
'''
ROW: dict[str, Any] = {
    "title": "Matthews correlation",
    "label": "MCC",
    "meaning": "How closely the classes of {things} and those predicted agree.",
    "chance": lambda _shares: 0.0,
    "in_percent": False,
    "own_axis": True,
    "in_summary": True,
    "lowest": -1.0,
}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the toy, and its row in the table."""
    with toy_module(tmp_path / "toy", "toy_matthews", FILE) as module:
        monkeypatch.setitem(METRICS, "matthews", Metric(**ROW, statistic=module.matthews))
        yield tmp_path / "toy"


@pytest.fixture
def fitted(
    made_once: Path, warm_cache: Path, toy: Path, tmp_path: Path, regraft: CommandLine
) -> tuple[Path, str]:
    """The folder of a run that knows the toy, and what `fit` said of it."""
    run = tmp_path / "matthews"
    return run, regraft.done("fit", made_once / "photos", *QUICK, "--out", run).err


def test_it_is_measured_shown_saved_reported_and_tracked(
    fitted: tuple[Path, str], regraft: CommandLine, tmp_path: Path
) -> None:
    run, said = fitted
    (measured,) = (e["matthews"] for e in read_json(run / "evaluation.json"))
    assert -1 <= measured["low"] < measured["value"] <= measured["high"] <= 1
    assert measured["method"].startswith("bootstrap")
    value = f"{measured['value']:.3f}"
    assert re.search(rf"^measured on .* MCC .*\n.* {value} ", said, re.MULTILINE)
    regraft.done("report", run, "--out", tmp_path / "again.html")
    for page in (run / "report.html", tmp_path / "again.html"):
        text = page.read_text(encoding="utf-8")
        assert "How closely the classes of photos and those predicted agree. " in text
        assert "A blind guess gives 0.00." in text
        assert f"<b>{value}</b>" in text
    points = {point.name: point.value for point in all_points(rg.read_run(run))}
    for end in ("value", "low", "high"):
        name = "cross-validation/matthews" + ("" if end == "value" else f"_{end}")
        assert points[name] == measured[end]


@pytest.mark.usefixtures("toy")
def test_every_form_of_an_evaluation_has_it(made_once: Path, regraft: CommandLine) -> None:
    command = ("evaluate", made_once / "run", made_once / "more")
    found = regraft.done(*command, "--format", "json").data
    counts = np.array(found["confusion"]["counts"])
    label, predicted = (np.repeat(of.ravel(), counts.ravel()) for of in np.indices((2, 2)))
    expected = matthews_corrcoef(label, predicted)
    assert len(label) == 12
    assert found["matthews"]["value"] == pytest.approx(expected, abs=1e-6)
    rows = {row["metric"]: row for row in regraft.done(*command, "--format", "csv").rows}
    assert list(rows) == list(METRICS)
    assert float(rows["matthews"]["value"]) == found["matthews"]["value"]
    assert re.search(rf"^MCC +{expected:.3f} ", regraft.done(*command).err, re.MULTILINE)


def test_runs_with_and_without_it_are_read(
    fitted: tuple[Path, str],
    made_once: Path,
    regraft: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, before = fitted[0], made_once / "run"
    assert "matthews" not in read_json(before / "evaluation.json")[0]
    (older,) = rg.read_run(before).evaluations
    assert older.metrics["matthews"] == NOT_MEASURED
    regraft.done("report", run, before, "--out", tmp_path / "both.html")
    page = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert page.count("Matthews correlation</bdi>") == 1
    assert "Matthews correlation n/a, interval none" in page

    monkeypatch.delitem(METRICS, "matthews")
    (known,) = rg.read_run(run).evaluations
    assert list(known.metrics) == list(METRICS)
    regraft.done("report", run)
    assert "Matthews" not in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_card_of_an_exported_model_has_it(
    fitted: tuple[Path, str], regraft: CommandLine, tmp_path: Path
) -> None:
    (evaluation,) = rg.read_run(fitted[0]).evaluations
    regraft.done("export", fitted[0], tmp_path / "model.onnx")
    card = (tmp_path / "model.md").read_text(encoding="utf-8")
    assert f"| Matthews correlation | {evaluation.metrics['matthews'].value:.3f} " in card
