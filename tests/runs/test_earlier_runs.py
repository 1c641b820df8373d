"""Runs that were written before: each is read, shown, compared and tracked as it was written.

`stripes` is a fit of photos with all its evidence, `reviewed` one with decisions, corrections and a
network trained from scratch, `reviews` one of texts, `old` one of the second day of the project.
"""

from __future__ import annotations

import io
import json
import random
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from regraft.commands.drawing.fit import show_run
from regraft.errors import RunError
from regraft.frameworks.tracking import (
    all_points,
    numbers_of,
    params_of,
    read_curves,
    to_tensorboard,
)
from regraft.reporting.report import build_report
from regraft.reporting.side_by_side import build_side_by_side
from regraft.runs import read_run
from tests.damage import PARTS

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


def test_a_candidate_that_was_stopped_early_is_shown(tmp_path: Path) -> None:
    """Earlier versions stopped what was clearly behind, and it has no accuracy."""
    folder = shutil.copytree(SAMPLES / "stripes", tmp_path / "stripes")
    comparison = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    number = (comparison["chosen"] + 1) % len(comparison["candidates"])
    reason = "stopped after 3 epochs: 30.0 % on the first fold, where another had 90.0 % by then"
    comparison["candidates"][number] |= {
        "status": "stopped",
        "reason": reason,
        "accuracy": None,
        "chosen_is_ahead_by": None,
    }
    (folder / "comparison.json").write_text(json.dumps(comparison), encoding="utf-8")
    run = read_run(folder)
    assert run.comparison.candidates[number].status == "stopped"
    page = build_report(run)
    assert reason in page
    assert "One that was clearly behind was stopped early" in page


def test_a_run_of_before_is_tracked(folder: Path, tmp_path: Path) -> None:
    run = read_run(folder)
    assert all(numbers_of(evaluation)["images"] for evaluation in run.evaluations)
    assert bool(read_curves(folder)) == (folder / "training.csv").exists()
    pytest.importorskip("tensorboard")
    assert list(to_tensorboard(run, tmp_path / "board").rglob("events*"))


def test_runs_of_before_are_compared() -> None:
    page = build_side_by_side([read_run(SAMPLES / name) for name in NAMES if name != "reviews"])
    assert all(name in page for name in ("stripes", "reviewed", "old"))


def use(folder: Path) -> None:
    """Everything that is made of a run's records."""
    run = read_run(folder)
    build_report(run).encode()
    build_side_by_side([run, read_run(SAMPLES / "old")]).encode()
    show_run(Console(file=io.StringIO()), run)
    assert list(all_points(run))
    assert params_of(run)


@pytest.mark.parametrize(
    "name",
    ["run.json", "comparison.json", "evaluation.json", "exploration.json", "issues.csv"],
)
def test_a_record_that_was_changed_is_told_in_one_line_or_does_no_harm(
    tmp_path: Path, name: str
) -> None:
    """What is read can be shown: nothing of another type gets into a Run."""
    messages = []
    for seed in range(30):
        folder = shutil.copytree(SAMPLES / "stripes", tmp_path / str(seed))
        try:
            PARTS[seed % len(PARTS)](folder / name, random.Random(seed))
        except (ValueError, TypeError, IndexError):  # such as a value of a file that has none
            continue
        try:
            use(folder)
        except RunError as error:
            messages.append(str(error))
        else:
            messages.append("")
    assert len(messages) > 20
    assert any(messages)
    assert not any("\n" in message for message in messages)
