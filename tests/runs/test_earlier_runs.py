"""Runs that were written before: each is read, shown, compared and tracked as it was written.

`stripes` is a fit of photos with all its evidence, `reviewed` one with decisions, corrections and a
network trained from scratch, `reviews` one of texts, `old` one of the second day of the project.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from regraft.frameworks.tracking import numbers_of, read_curves, to_tensorboard
from regraft.reporting.report import build_report
from regraft.reporting.side_by_side import build_side_by_side
from regraft.runs import read_run
from regraft.terminal import show_run

SAMPLES = Path(__file__).parents[1] / "data" / "runs"
NAMES = ("stripes", "reviewed", "reviews", "old")


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return shutil.copytree(SAMPLES / request.param, tmp_path / request.param)


def test_there_is_no_other_sample() -> None:
    assert {path.name for path in SAMPLES.iterdir()} == set(NAMES)


def test_a_run_of_before_is_read_and_shown(folder: Path) -> None:
    run = read_run(folder)
    assert run.evaluations
    assert run.predictions
    page = build_report(run)
    assert run.data.classes[0] in page
    console = Console(record=True, width=100)
    show_run(console, run)
    assert "regraft predict" in console.export_text()


def test_a_run_of_before_is_tracked(folder: Path, tmp_path: Path) -> None:
    run = read_run(folder)
    assert all(numbers_of(evaluation)["images"] for evaluation in run.evaluations)
    assert bool(read_curves(folder)) == (folder / "training.csv").exists()
    pytest.importorskip("tensorboard")
    assert list(to_tensorboard(run, tmp_path / "board").rglob("events*"))


def test_runs_of_before_are_compared() -> None:
    page = build_side_by_side([read_run(SAMPLES / name) for name in NAMES if name != "reviews"])
    assert all(name in page for name in ("stripes", "reviewed", "old"))
