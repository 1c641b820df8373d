"""The report of one run, and of several side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from regraft import workflow
from tests.commands import CommandLine, read_json, snapshot


@pytest.fixture
def second_run(run_folder: Path) -> Path:
    """A copy of the run that was made with another seed."""
    shutil.copytree(run_folder, "runs/second")
    about = read_json(Path("runs/second/run.json"))
    about["settings"]["seed"] = 5
    Path("runs/second/run.json").write_text(json.dumps(about), encoding="utf-8")
    return Path("runs/second")


def test_the_report_can_be_written_elsewhere(regraft: CommandLine, run_folder: Path) -> None:
    (run_folder / "report.html").unlink()
    regraft.done("report", run_folder, "--out", "shared.html")
    assert "<html" in Path("shared.html").read_text(encoding="utf-8")
    assert not (run_folder / "report.html").exists()
    regraft.done("report", run_folder)
    assert (run_folder / "report.html").exists()
    found = regraft("report", run_folder, "--out", "no/such/folder/a.html")
    assert "could not write no/such/folder/a.html" in found.error


def test_runs_are_put_side_by_side(
    regraft: CommandLine, run_folder: Path, second_run: Path
) -> None:
    before = {path: snapshot(path) for path in (run_folder, second_run)}
    found = regraft.done("report", run_folder, second_run)
    assert found.out == ""
    assert found.err == (
        "report   comparison.html\nnext     regraft predict runs/photos new_photo.jpg\n"
    )
    text = Path("comparison.html").read_text(encoding="utf-8")
    assert "photos and second" in text
    assert {path: snapshot(path) for path in before} == before


def test_a_page_that_is_there_is_kept(
    regraft: CommandLine, run_folder: Path, second_run: Path
) -> None:
    mine = Path("comparison.html")
    mine.write_text("years of work", encoding="utf-8")
    for out in ((), ("--out", mine)):
        message = regraft("report", run_folder, second_run, *out).error
        assert "comparison.html is there already; add --force to replace it or choose" in message
    assert mine.read_text(encoding="utf-8") == "years of work"
    regraft.done("report", run_folder, second_run, "--out", "other.html")
    assert mine.read_text(encoding="utf-8") == "years of work"
    regraft.done("report", run_folder, second_run, "--force")
    assert "<html" in mine.read_text(encoding="utf-8")


def test_what_cannot_be_shown_is_said_and_the_rest_goes_on(
    regraft: CommandLine, run_folder: Path, second_run: Path
) -> None:
    shutil.copytree(run_folder, "runs/third")
    about = read_json(Path("runs/third/run.json"))
    Path("runs/third/run.json").write_text(json.dumps({**about, "status": "interrupted"}))
    again = second_run / ".." / "second"
    found = regraft.done("report", run_folder, "runs/third", "missing", second_run, again)
    notes = [line for line in found.err.splitlines() if line.startswith("note     ")]
    assert len(notes) == 3
    assert "left out: the run in runs/third is not finished (interrupted)" in notes[0]
    assert "left out: missing is not a run folder" in notes[1]
    assert notes[2] == f"note     {again} was given twice and is shown once"
    text = Path("comparison.html").read_text(encoding="utf-8")
    assert "is not finished (interrupted)" in text
    assert "was given twice and is shown once" in text


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["runs/photos"], "1 of 2 runs can be shown, expected at least 2: runs/photos was given"),
        (["missing"], "1 of 2 runs can be shown, expected at least 2: left out: missing is not a"),
        (["photos"], "expected at least 2: left out: photos is not a run folder: it has no run"),
    ],
)
def test_fewer_than_two_runs_are_one_line(
    regraft: CommandLine, run_folder: Path, others: list[str], message: str
) -> None:
    found = regraft("report", run_folder, *others)
    assert found.code == 1
    assert message in found.error
    assert not Path("comparison.html").exists()


def test_several_runs_from_python(run_folder: Path, second_run: Path) -> None:
    path = workflow.report([run_folder, second_run], "both.html")
    assert path == Path("both.html")
    assert workflow.report((run_folder, second_run), "both.html") == path, "replaced as asked"
