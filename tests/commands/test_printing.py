"""Where output goes, and what people copy of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import QUICK, CommandLine, assert_runnable, process
from tests.conftest import MakeImageFolder


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_output_that_cannot_be_written(make_image_folder: MakeImageFolder) -> None:
    folder = make_image_folder({"a": 2, "b": 2})
    scan = f'"{sys.executable}" -m regraft scan "{folder}" --format csv'
    for redirection, code in (("| head -1", 0), (">&-", 0), ("> /dev/full", 1)):
        script = f'{scan} {redirection}; exit "${{PIPESTATUS[0]}}"'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == code, redirection
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == code


@pytest.mark.parametrize("style", ["csv", "json"])
def test_machine_output_is_all_there_is_on_standard_output(
    regraft: CommandLine, run_folder: Path, style: str
) -> None:
    photos = sorted(Path("photos").rglob("*.jpg"))
    expected = {
        ("scan", "photos"): (24, "path"),
        ("predict", run_folder, *photos[:3]): (3, "path"),
        ("evaluate", run_folder, "more"): (6, "metric"),
        ("backbones",): (4, "name"),
        ("cache", "show"): (4, "kind"),
    }
    for command, (count, first) in expected.items():
        found = regraft.done(*command, "--format", style)
        assert found.err == "", command
        if style == "csv":
            assert len(found.rows) == count
            assert next(iter(found.rows[0])) == first
        elif command[0] == "evaluate":
            assert found.data["accuracy"].keys() == {"value", "low", "high", "method"}
        else:
            rows = found.data["parts"] if command[0] == "cache" else found.data
            assert len(rows) == count
            assert first in rows[0]


def test_prose_goes_to_standard_error(regraft: CommandLine, run_folder: Path) -> None:
    for command in (
        ("scan", "photos"),
        ("evaluate", run_folder, "more"),
        ("report", run_folder),
        ("fit", "photos", *QUICK),
        ("cache", "clear", "--features"),
    ):
        found = regraft.done(*command)
        assert found.out == "", command
        assert found.err.strip()


@pytest.mark.slow
def test_every_hint_can_be_run(regraft: CommandLine, run_folder: Path, planned_once: None) -> None:
    spaced = Path("two words").resolve()
    shutil.copytree("photos", spaced)
    hints = set()
    for command in (
        ("scan", spaced),
        ("scan", "photos", "--group-column", "patient no"),
        ("plan", "photos", *QUICK),
        ("fit", "photos", *QUICK),
        ("fit", spaced, *QUICK, "--out", "runs/it's"),
        ("predict", run_folder, "photos"),
        ("predict", run_folder, "photos/clean", "photos/messy"),
        ("evaluate", run_folder, "more"),
        ("report", run_folder),
        ("explain", run_folder),
        ("explain", run_folder, "photos/clean"),
        ("backbones",),
        ("cache", "show"),
        ("cache", "clear", "--features"),
    ):
        err = regraft.done(*command).err
        found = re.findall(r"^next     (.*)$", err, flags=re.MULTILINE)
        assert len(found) == 1, f"{command}: {err}"
        assert err.rstrip().endswith(found[0]), "the hint comes last"
        hints.add(found[0])
    assert len(hints) >= 10
    for hint in hints:
        assert_runnable(hint)
    assert f"regraft fit '{spaced}'" in hints
    assert "regraft fit photos --group-column 'patient no'" in hints


def test_nothing_that_is_copied_is_broken_on_a_narrow_terminal(
    regraft: CommandLine, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = Path("a folder whose name is longer than a terminal is wide, as happens") / "photos"
    long.parent.mkdir()
    shutil.copytree("photos", long)
    (long / "clean" / "empty file with quite a long name indeed.jpg").touch()
    fit = regraft.done("fit", long, *QUICK, "--out", long.parent / "run")
    scan = regraft.done("scan", long)
    predict = regraft.done("predict", run_folder, long)
    evaluate = regraft.done("evaluate", long.parent / "run", "more")
    report = long.parent / "run" / "report.html"
    assert f"report   {report}\n" in fit.err
    assert f"regraft predict '{long.parent / 'run'}' new_photo.jpg" in fit.err
    assert f"regraft fit '{long}'" in scan.err
    unreadable = "clean/empty file with quite a long name indeed.jpg: the file is empty"
    assert unreadable in scan.err
    assert unreadable in fit.err
    assert len(predict.out.splitlines()) == 1 + 25
    for line in predict.out.splitlines()[1:]:
        assert str(long) in line
    assert "95 % interval" in evaluate.err


def test_file_names_cannot_break_a_line(regraft: CommandLine, run_folder: Path) -> None:
    odd = Path("photos/clean/first\nsecond\x1b[31m.jpg")
    shutil.copy(next(Path("photos/clean").iterdir()), odd)
    (odd.parent / "third\nfourth.jpg").touch()
    lines = regraft.done("predict", run_folder, odd).out.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith(r"photos/clean/first\nsecond\x1b[31m.jpg")
    assert r"clean/third\nfourth.jpg: the file is empty" in regraft.done("scan", "photos").err
    rows = regraft.done("predict", run_folder, odd, "--format", "csv").rows
    assert rows[0]["path"] == str(odd)
    assert r"there is no no\nsuch" in regraft("fit", "no\nsuch").error


@pytest.mark.slow
def test_tables_are_utf8_whatever_the_locale(made_once: Path, tmp_path: Path) -> None:
    folder = tmp_path / "照片"
    shutil.copytree(made_once / "photos", folder)
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    run = made_once / "run"
    more = tmp_path / "更多"
    shutil.copytree(made_once / "more", more)
    for command in (["scan", folder], ["predict", run, folder], ["evaluate", run, more]):
        done = process(*command, env=environment, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        table = process(*command, "--format", "csv", env=environment, encoding="utf-8")
        assert table.returncode == 0, table.stderr
        if command[0] == "predict":
            assert "照片" in done.stdout
            assert "照片" in table.stdout
