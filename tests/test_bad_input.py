"""Whatever goes wrong: one clear line or a listed row, nothing half-written, no input changed."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import regraft as rg
from regraft.engines.onnx import OnnxEngine
from regraft.errors import ModelError, RunError
from regraft.features import embedding as features
from regraft.runs import WHERE
from regraft.workflow import comparing, inspecting, reading
from tests.commands import (
    FROZEN,
    PROBE,
    QUICK,
    CommandLine,
    Outcome,
    Started,
    read_json,
    read_table,
    snapshot,
)
from tests.conftest import MakeImageFolder
from tests.odd_images import png_header, write_corpus

RESULTS = ("evaluation.json", "predictions.csv", "dataset.csv", "issues.csv")


@pytest.fixture
def here(graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def _assert_not_taken_as_whole(run: Path) -> None:
    """A run folder that was not finished: nothing in it may pass for a result."""
    about = read_json(run / "run.json") if (run / "run.json").exists() else {}
    assert about.get("status") != "done"
    with pytest.raises(RunError):
        rg.read_run(run)
    if (run / "model").exists():
        assert rg.load(run).tensors  # whole, hashes checked
    else:
        with pytest.raises(ModelError):
            rg.load(run)


def _results(run: Path) -> dict[str, bytes]:
    assert read_json(run / "run.json")["status"] == "done"
    left = {p.name for p in run.iterdir()} - {"run.json", "comparison.json", *RESULTS}
    assert left == {"report.html", "model", "exploration.json", WHERE}
    return {name: (run / name).read_bytes() for name in RESULTS}


# --- data that cannot be trained on


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: shutil.rmtree(f), "there is no data"),
        (lambda f: None, "no files at all; expected photos in one folder per class"),
        (lambda f: (f.rmdir(), f.write_text("x")), "data is a file; expected a folder of images"),
        (lambda f: (f / "notes.txt").write_text("x"), "1 other file (.txt); expected photos"),
        (lambda f: _photos(f, a=6), "found 1 class, 'a' (6 images)"),
        (lambda f: _photos(f, a=1, b=1), "expected at least 2 classes with at least 2 images each"),
        (
            lambda f: _photos(f, a=3, b=1),
            "1 excluded (b/0.png: class 'b' has only 1 different image;",
        ),
        (lambda f: _photos(f, **{".": 5}), "5 images without labels"),
        (
            lambda f: _texts(f, a=3, b=3),
            "6 unreadable (such as a/0.jpg: not an image: starts with 'text 0'), see regraft scan",
        ),
        (lambda f: _copies(f, a=4, b=4), "expected at least 2 classes"),
        (lambda f: f.joinpath("loop").symlink_to("."), "no image in"),
        (lambda f: (f.rmdir(), f.symlink_to("data")), "too many levels of symbolic links"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "scan"])
def test_what_cannot_be_used_is_one_line(
    regraft: CommandLine,
    here: Path,
    make: Callable[[Path], object],
    message: str,
    command: str,
) -> None:
    data = here / "data"
    data.mkdir()
    make(data)
    found = regraft(command, "data")
    if command == "scan" and found.code == 0:  # there are images: they are listed
        assert "file" in found.err
        return
    assert found.code == 1
    assert message in found.error
    assert [path.name for path in here.iterdir()] in ([], ["data"]), "something was written"


def _photos(folder: Path, **counts: int) -> None:
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(exist_ok=True)
        for index in range(count):
            pixels = np.random.default_rng((number, index)).integers(0, 256, (9, 12, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")


def _texts(folder: Path, **counts: int) -> None:
    for name, count in counts.items():
        (folder / name).mkdir()
        for index in range(count):
            (folder / name / f"{index}.jpg").write_text(f"text {index}", encoding="utf-8")


def _copies(folder: Path, **counts: int) -> None:
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir()
        for index in range(count):
            Image.new("RGB", (9, 9), (90 * number, 9, 9)).save(folder / name / f"{index}.png")


@pytest.mark.parametrize(("a", "b"), [(2, 2), (3, 2), (9, 2)])
def test_fewer_images_than_folds_is_enough(
    regraft: CommandLine, here: Path, a: int, b: int
) -> None:
    (here / "data").mkdir()
    _photos(here / "data", a=a, b=b)
    regraft.done("fit", "data", *FROZEN)
    (evaluation,) = read_json(here / "runs" / "data" / "evaluation.json")
    assert evaluation["n"] == a + b
    assert evaluation["accuracy"]["high"] - evaluation["accuracy"]["low"] > 0.3


def test_a_class_with_one_image_is_left_out_and_said(regraft: CommandLine, here: Path) -> None:
    (here / "data").mkdir()
    _photos(here / "data", a=4, b=4, lonely=1)
    found = regraft.done("fit", "data", *QUICK)
    assert "Class 'lonely' left out" in " ".join(found.err.split())
    assert read_json(here / "runs/data/run.json")["classes"] == ["a", "b"]
    (row,) = (r for r in read_table(here / "runs/data/dataset.csv") if r["label"] == "lonely")
    assert row["status"] == "excluded"


def test_a_folder_without_permission_is_a_row(
    regraft: CommandLine, here: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(photo_folder / "messy", photo_folder / "closed")
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if Path(os.fsdecode(path)).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    regraft.done("fit", photo_folder, *QUICK, "--out", "run")
    (row,) = (r for r in read_table(here / "run/dataset.csv") if r["path"] == "closed")
    assert row["status"] == "unreadable"
    assert "permission denied" in row["reason"]
    monkeypatch.setattr(os, "scandir", lambda path=".": scandir("closed"))
    assert "cannot be opened: permission denied" in regraft("scan", photo_folder).error
    assert "cannot be opened: permission denied" in regraft("predict", "run", photo_folder).error


# --- files that cannot be read


@pytest.mark.slow
def test_the_odd_corpus_is_fitted_and_every_bad_file_listed(
    regraft: CommandLine, here: Path, photo_folder: Path
) -> None:
    corpus = write_corpus(photo_folder / "odd")
    before = snapshot(photo_folder)
    found = regraft.done("fit", photo_folder, *QUICK, "--out", "run")
    assert snapshot(photo_folder) == before
    rows = {r["path"]: r for r in read_table(here / "run" / "dataset.csv")}
    listed = {r["path"] for r in read_table(here / "run" / "issues.csv")}
    bad = 0
    for image in corpus:
        if image.name == "folder.jpg":  # an empty folder is no file
            continue
        row = rows[f"odd/{image.name}"]
        if image.readable and row["status"] != "ignored":
            assert row["status"] == "ok", row
            continue
        assert row["status"] in ("unreadable", "ignored"), row
        assert row["reason"], row
        if row["status"] == "unreadable":
            bad += 1
            assert row["path"] in listed
    assert len(corpus) >= 100
    assert bad >= 30
    about = read_json(here / "run" / "run.json")
    assert about["classes"] == ["clean", "messy", "odd"]
    assert f"{bad} unreadable" in found.err
    predicted = {r["path"] for r in read_table(here / "run" / "predictions.csv")}
    assert predicted == {path for path, row in rows.items() if row["status"] == "ok"}


@pytest.mark.slow
def test_each_odd_file_is_predicted_or_flagged(
    regraft: CommandLine, here: Path, photo_folder: Path, tmp_path: Path
) -> None:
    regraft.done("fit", photo_folder, *QUICK, "--out", "run")
    corpus = write_corpus(tmp_path / "odd")
    files = [image.path for image in corpus if image.name != "folder.jpg"]
    rows = regraft.done("predict", "run", *files, "--format", "csv").rows
    assert len(rows) == len(files)
    by_path = {row["path"]: row for row in rows}
    for image in corpus:
        if image.name == "folder.jpg":
            continue
        flagged = by_path[str(image.path)]["flag"] == "unreadable"
        assert flagged != image.readable, image.name
    assert len(regraft.done("predict", "run", tmp_path / "odd", "--format", "csv").rows) > 100


def test_a_huge_header_takes_no_memory(regraft: CommandLine, here: Path) -> None:
    (here / "data").mkdir()
    _photos(here / "data", a=3, b=3)
    (here / "data" / "a" / "huge.png").write_bytes(png_header(60_000, 60_000) + bytes(100))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = regraft.done("scan", "data", "--format", "json").data
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    (huge,) = (row for row in rows if row["path"] == "a/huge.png")
    assert huge["status"] == "unreadable"
    assert "60000 x 60000" in huge["reason"]


@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
def test_a_pipe_is_not_waited_for(regraft: CommandLine, here: Path, photo_folder: Path) -> None:
    regraft.done("fit", photo_folder, *QUICK, "--out", "run")
    os.mkfifo(here / "pipe.jpg")
    found = regraft("predict", "run", "pipe.jpg", "--format", "csv")
    assert found.code == 1
    assert found.rows[0]["flag"] == "unreadable"


@pytest.mark.slow
def test_a_name_that_is_not_unicode(here: Path, photo_folder: Path) -> None:
    name = os.fsencode(photo_folder / "clean") + b"/caf\xe9.jpg"
    try:
        shutil.copy(os.fsencode(next((photo_folder / "clean").iterdir())), name)
    except OSError:
        pytest.skip("this file system refuses names that are not Unicode")
    base = [sys.executable, "-m", "regraft"]
    for command in (
        [*base, "fit", str(photo_folder), *QUICK, "--out", "run"],
        [*base, "scan", str(photo_folder)],
        [*base, "predict", "run", str(photo_folder), "--format", "csv"],
        [*base, "predict", "run", name, "--format", "csv"],
        [*base, "predict", "run", name],
    ):
        done = subprocess.run(command, capture_output=True, check=False)  # type: ignore[arg-type]
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
    listed = [
        r for r in read_table(here / "run" / "dataset.csv") if "not valid Unicode" in r["reason"]
    ]
    assert len(listed) == 1


# --- data that changes while regraft works


def _after(
    monkeypatch: pytest.MonkeyPatch, stage: ModuleType, name: str, change: Callable[[], object]
) -> None:
    """Make `change` once, right after a stage of the fit has first called the function `name`."""
    real = getattr(stage, name)

    def call_then_change(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        change()
        monkeypatch.setattr(stage, name, real)
        return result

    monkeypatch.setattr(stage, name, call_then_change)


def test_photos_deleted_after_the_scan_become_rows(
    regraft: CommandLine, here: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = sorted((photo_folder / "messy").iterdir())[:3]
    _after(monkeypatch, reading, "scan", lambda: [path.unlink() for path in gone])
    regraft.done("fit", photo_folder, *QUICK, "--out", "run")
    rows = {r["path"]: r for r in read_table(here / "run/dataset.csv")}
    for path in gone:
        assert rows[f"messy/{path.name}"]["status"] == "unreadable"
    assert read_json(here / "run/run.json")["counts"]["training"] == 21
    assert len(read_table(here / "run/predictions.csv")) == 21


def test_a_photo_replaced_after_the_scan_is_not_mixed_in(
    regraft: CommandLine, here: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sorted((photo_folder / "messy").iterdir())[0]
    _after(
        monkeypatch,
        reading,
        "scan",
        lambda: shutil.copy(next((photo_folder / "clean").iterdir()), path),
    )
    regraft.done("fit", photo_folder, *QUICK, "--out", "run")
    rows = {r["path"]: r for r in read_table(here / "run/dataset.csv")}
    assert "changed while regraft was working" in rows[f"messy/{path.name}"]["reason"]


def test_a_whole_class_deleted_after_the_scan_is_one_line(
    regraft: CommandLine, here: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _after(monkeypatch, reading, "scan", lambda: shutil.rmtree(photo_folder / "messy"))
    message = regraft("fit", photo_folder, *QUICK, "--out", "run").error
    assert "expected at least 2 classes with at least 2 images each" in message
    _assert_not_taken_as_whole(here / "run")
    assert read_json(here / "run/run.json")["status"] == "failed"
    assert "expected at least 2 classes" in read_json(here / "run/run.json")["error"]


def test_test_photos_deleted_before_they_are_read_become_rows(
    regraft: CommandLine, here: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photo_folder / "train").mkdir()
    for name in ("clean", "messy"):
        (photo_folder / name).rename(photo_folder / "train" / name)
        (photo_folder / "val" / name).mkdir(parents=True)
        for path in sorted((photo_folder / "train" / name).iterdir())[:4]:
            path.rename(photo_folder / "val" / name / path.name)
    gone = sorted((photo_folder / "val" / "clean").iterdir())[0]
    _after(monkeypatch, comparing, "compare", gone.unlink)
    regraft.done("fit", photo_folder, *QUICK, "--out", "run")
    test, _ = read_json(here / "run/evaluation.json")
    assert test["n"] == 7
    rows = {r["path"]: r for r in read_table(here / "run/dataset.csv")}
    assert rows[f"val/clean/{gone.name}"]["status"] == "unreadable"


def test_a_candidate_that_fails_does_not_end_the_others(
    regraft: CommandLine, here: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = [rg.LinearProbe(), rg.Knn(), rg.LinearProbe(views=2)]
    monkeypatch.setattr(comparing, "candidate_approaches", lambda *_names, **_options: candidates)
    gone = sorted((photo_folder / "clean").iterdir())[0]
    # The second view is still to be computed.
    _after(monkeypatch, inspecting, "look_for_issues", gone.unlink)
    found = regraft.done("fit", photo_folder, *FROZEN, "--out", "run")
    comparison = read_json(here / "run/comparison.json")
    status = {c["title"]: c["status"] for c in comparison["candidates"]}
    assert status["linear_probe on efficientnet_lite0, 2 views"] == "failed"
    assert sorted(status.values()) == ["done", "done", "failed"]
    assert "Not finished: linear_probe on efficientnet_lite0, 2 views" in " ".join(
        found.err.split()
    )


# --- the run folder: finished, unfinished, foreign, busy


@pytest.fixture
def run(regraft: CommandLine, here: Path, photo_folder: Path) -> Path:
    """A finished run of `photo_folder` in the working folder."""
    regraft.done("fit", photo_folder, *QUICK, "--out", "run")
    return here / "run"


def test_a_finished_run_is_replaced_only_by_force(
    regraft: CommandLine, run: Path, photo_folder: Path
) -> None:
    before = snapshot(run)
    message = regraft("fit", photo_folder, *QUICK, "--out", "run").error
    assert "run holds a finished run; add --force to replace it or choose another" in message
    assert snapshot(run) == before
    regraft.done("fit", photo_folder, *PROBE, "--out", "run", "--force")
    assert rg.load(run).approach == "linear_probe"
    _results(run)


def _unfinished(run: Path, status: str = "interrupted") -> None:
    about = read_json(run / "run.json")
    (run / "run.json").write_text(json.dumps(about | {"status": status}), encoding="utf-8")


@pytest.mark.parametrize("status", ["interrupted", "running"])
def test_an_unfinished_run_goes_on_only_with_the_same_settings(
    regraft: CommandLine, run: Path, photo_folder: Path, status: str
) -> None:
    expected = _results(run)
    _unfinished(run, status)
    (run / "evaluation.json").unlink()
    (run / ".report.html.99-1.part").write_text("half", encoding="utf-8")
    (run / ".model.99.part").mkdir()
    before = snapshot(run)
    message = regraft("fit", photo_folder, *PROBE, "--out", "run").error
    assert "holds an unfinished run with other settings" in message
    assert f"(regraft fit {photo_folder} --approach knn --out run)" in message
    assert snapshot(run) == before
    _assert_not_taken_as_whole(run)
    regraft.done("fit", photo_folder, *QUICK, "--out", "run")
    assert _results(run) == expected


def test_a_failed_run_is_in_nobodys_way(
    regraft: CommandLine, run: Path, photo_folder: Path
) -> None:
    _unfinished(run, "failed")
    regraft.done("fit", photo_folder, *PROBE, "--out", "run")
    _results(run)


def test_an_unfinished_run_is_not_reported(regraft: CommandLine, run: Path) -> None:
    _unfinished(run)
    message = regraft("report", run).error
    assert "is not finished (interrupted); to finish it, run: regraft fit " in message


def test_a_foreign_folder_is_left_alone(
    regraft: CommandLine, here: Path, photo_folder: Path
) -> None:
    (here / "thesis").mkdir()
    (here / "thesis" / "chapter.tex").write_text("years", encoding="utf-8")
    (here / "a file").write_text("x", encoding="utf-8")
    before = snapshot(here)
    for force in ((), ("--force",)):
        message = regraft("fit", photo_folder, *QUICK, "--out", "thesis", *force).error
        assert "thesis holds other files (chapter.tex); choose a new folder as --out" in message
        assert "is a file" in regraft("fit", photo_folder, *QUICK, "--out", "a file", *force).error
        message = regraft("fit", photo_folder, *QUICK, "--out", photo_folder, *force).error
        assert "holds other files (clean)" in message
    assert snapshot(here) == before
    assert sorted(path.name for path in photo_folder.iterdir()) == ["clean", "messy"]


@pytest.mark.parametrize(
    ("out", "message"),
    [("/proc/regraft", "could not create the folder /proc/regraft"), ("a" * 300, "File name too")],
)
def test_a_run_folder_that_cannot_be_made(
    regraft: CommandLine, here: Path, photo_folder: Path, out: str, message: str
) -> None:
    assert message in regraft("fit", photo_folder, *QUICK, "--out", out).error


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{", "run.json is damaged (it is not valid JSON"),
        ("run.json", "[]", "does not describe a regraft run"),
        ("run.json", '{"kind": "regraft run", "format": 99}', "upgrade with pip install --upgrade"),
        ("evaluation.json", "[{}]", "evaluation.json is damaged (Object missing required field"),
        ("evaluation.json", "{", "evaluation.json is damaged (it is not valid JSON"),
        ("predictions.csv", "", "predictions.csv is damaged (its columns are"),
        ("predictions.csv", "path,label\nx,y\n", "predictions.csv is damaged (its columns"),
        ("dataset.csv", "a,b\n1,2\n", "dataset.csv is damaged (not a dataset table"),
        ("issues.csv", "path,issue,score,detail\na,b,high,d\n", "issues.csv is damaged (could not"),
        ("comparison.json", None, "comparison.json is missing; fit again with --force"),
    ],
)
def test_a_damaged_run_is_one_line(
    regraft: CommandLine, run: Path, name: str, content: str | None, message: str
) -> None:
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content, encoding="utf-8")
    assert message in regraft("report", run).error


def test_a_model_of_a_newer_format_is_one_line(
    regraft: CommandLine, run: Path, photo_folder: Path
) -> None:
    card = read_json(run / "model" / "model.json")
    (run / "model" / "model.json").write_text(json.dumps(card | {"format": 99}), encoding="utf-8")
    for command in (("predict", run, photo_folder), ("evaluate", run, photo_folder)):
        assert "upgrade with pip install --upgrade regraft" in regraft(*command).error


def test_data_a_model_cannot_score_is_one_line(
    regraft: CommandLine, run: Path, here: Path, photo_folder: Path
) -> None:
    (here / "others").mkdir()
    _photos(here / "others", cats=2, dogs=2)
    message = regraft("evaluate", run, "others").error
    assert "labels the model was not trained on: cats, dogs; it knows clean, messy" in message
    (here / "flat").mkdir()
    _photos(here / "flat", **{".": 2})
    assert "no labelled image" in regraft("evaluate", run, "flat").error


@pytest.mark.slow
def test_two_runs_on_one_folder_at_once(
    regraft: CommandLine, here: Path, many_images: Path, started: Started
) -> None:
    first = started("fit", many_images, *QUICK, "--out", "run")
    _wait_for(here / "run" / "run.json")
    first.send_signal(signal.SIGSTOP)  # so that it cannot end before the others are refused
    for _ in range(2):
        message = regraft("fit", many_images, *QUICK, "--out", "run").error
        assert message.startswith("another process is writing run; wait for it or choose")
    first.send_signal(signal.SIGCONT)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    regraft.done("fit", many_images, *QUICK, "--out", "run")
    _results(here / "run")


# --- the cache is lost, locked or damaged


def test_a_damaged_feature_cache_is_made_anew(
    regraft: CommandLine, run: Path, graphs: Path, photo_folder: Path
) -> None:
    expected = _results(run)
    (store,) = (graphs / "features").glob("*.sqlite")
    store.write_bytes(b"not a database" * 1000)
    regraft.done("fit", photo_folder, *QUICK, "--out", "again")
    assert _results(run.parent / "again") == expected


def test_without_a_place_for_the_cache(
    regraft: CommandLine, here: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "file").write_text("x", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "file"))
    found = regraft("fit", photo_folder, *QUICK, "--out", "run")
    assert found.code == 1
    assert "could not create the folder" in found.err.splitlines()[-1]


def test_features_that_cannot_be_kept_cost_only_time(
    regraft: CommandLine, here: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    regraft.done("fit", photo_folder, *QUICK, "--out", "first")
    monkeypatch.setattr(sqlite3, "connect", full)
    found = regraft.done("fit", photo_folder, *QUICK, "--out", "second")
    assert "the feature cache" in found.err
    assert "database or disk is full" in " ".join(found.err.split())
    assert _results(here / "first") == _results(here / "second")


def test_a_cache_cleared_while_a_run_uses_it_costs_only_time(
    regraft: CommandLine,
    here: Path,
    graphs: Path,
    photo_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = features.run_input
    calls = []

    def run_input(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 12:
            shutil.rmtree(graphs / "features")
        return real(*arguments, **options)

    monkeypatch.setattr(features, "run_input", run_input)
    found = regraft.done("fit", photo_folder, *QUICK, "--out", "run")
    assert "work goes on without it" in " ".join(found.err.split())
    _results(here / "run")


# --- a full disk


class Disk:
    """Counts the writes of this process, and fails them from a certain one on."""

    def __init__(self) -> None:
        self.writes = 0
        self.fails_at: int | None = None
        self.lasting = False

    def write(self) -> None:
        number, self.writes = self.writes, self.writes + 1
        if self.fails_at is None:
            return
        if number == self.fails_at or (self.lasting and number > self.fails_at):
            raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def _full_disk(disk: Disk) -> Iterator[None]:
    """Every way in which regraft writes goes through `disk`."""
    real_open, real_os_open = Path.open, os.open

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            disk.write()
            return real(*arguments, **options)

        return call

    def open_path(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if set(mode) & set("wax+"):
            disk.write()
        return real_open(self, mode, *arguments, **options)

    def os_open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            disk.write()
        return real_os_open(path, flags, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", open_path)
        patch.setattr(os, "open", os_open)
        for owner, name in (
            *((os, "fsync"), (os, "posix_fallocate"), (sqlite3, "connect")),
            *((Path, "replace"), (Path, "rename"), (Path, "mkdir")),
        ):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        yield


def _assert_explained(found: Outcome) -> None:
    lines = found.err.strip().splitlines()
    assert found.code == 1, found.err
    assert lines[-1].startswith("error: "), found.err
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert "No space left on device" in lines[-1]
    assert "defect" not in lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [True, False])
def test_a_disk_that_is_full_at_any_write(
    regraft: CommandLine, run: Path, here: Path, photo_folder: Path, lasting: bool
) -> None:
    expected = _results(run)
    inputs = snapshot(photo_folder)
    command = ("fit", photo_folder, *QUICK, "--out", "sweep")
    disk = Disk()
    with _full_disk(disk):
        regraft.done(*command)
    total = disk.writes
    assert total > 25
    assert _results(here / "sweep") == expected
    explained = absorbed = 0
    for number in range(total):
        shutil.rmtree(here / "sweep", ignore_errors=True)
        disk.writes, disk.fails_at, disk.lasting = 0, number, lasting
        with _full_disk(disk):
            found = regraft(*command)
        if found.code == 0:
            absorbed += 1  # the cache is a convenience: its loss ends nothing
            assert _results(here / "sweep") == expected, f"write {number} of {total}"
            continue
        explained += 1
        _assert_explained(found)
        if (here / "sweep").exists():
            _assert_not_taken_as_whole(here / "sweep")
        if not lasting:
            regraft.done(*command)
            assert _results(here / "sweep") == expected, f"write {number} of {total}"
    assert explained + absorbed == total
    assert explained >= 20
    assert snapshot(photo_folder) == inputs


@pytest.mark.slow
def test_a_disk_that_is_full_while_the_network_is_exported(
    regraft: CommandLine,
    here: Path,
    shared_graphs: Path,
    graphs: Path,
    photo_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from safetensors.numpy import load_file

    from regraft.engines.torch import Exported

    stages = next(shared_graphs.glob("tf_efficientnet_lite0*-depths.onnx"))
    network = stages.with_name(stages.name.replace("-depths", ""))
    exported = Exported(
        network.read_bytes(), stages.read_bytes(), load_file(network.with_suffix(".safetensors"))
    )
    monkeypatch.setattr("regraft.engines.torch.export_network", lambda *a, **o: exported)
    graphs.joinpath("graphs").unlink()
    command = ("fit", photo_folder, *QUICK, "--out", "run")
    disk = Disk()
    explained = 0
    for number in range(15):  # the first of them are those of the export
        disk.writes, disk.fails_at = 0, number
        with _full_disk(disk):
            found = regraft(*command)
        if found.code:  # some files are kept for later runs alone, and their loss ends nothing
            _assert_explained(found)
            explained += 1
        for path in graphs.joinpath("graphs").glob("*.onnx"):
            OnnxEngine(path)  # whole, whatever was written
        shutil.rmtree(graphs, ignore_errors=True)
        shutil.rmtree(here / "run", ignore_errors=True)
    assert explained > 5


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 1_000, 30_000, 1_000_000, 10_000_000])
def test_no_file_may_grow_beyond_a_limit(
    regraft: CommandLine, here: Path, graphs: Path, photo_folder: Path, limit: int
) -> None:
    """A real failure of the operating system, in SQLite and in mapped memory as well."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from regraft.__main__ import main\nmain()"
    )
    command = ["fit", str(photo_folder), *QUICK, "--out", "run"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert "File too large" in lines[-1]
    if (here / "run").exists():
        _assert_not_taken_as_whole(here / "run")
    regraft.done(*command)
    _results(here / "run")


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [64, 2_000, 25_000])
def test_a_small_disk(here: Path, photo_folder: Path, kilobytes: int) -> None:
    """A disk of its own for the run folder, seen by this process alone."""
    small = here / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs {small}"
    probe = ["unshare", "--mount", "sh", "-c", mount]
    if (
        shutil.which("unshare") is None
        or subprocess.run(probe, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting a file system needs a privilege that this process lacks")
    fit = f'"{sys.executable}" -m regraft fit "{photo_folder}" {" ".join(QUICK)} --out {small}/run'
    keep = f"cp -r {small}/run {here}/kept"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{mount} && {fit}; code=$?; {keep}; exit $code"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert [line for line in lines if line.startswith("error: ")] == [lines[-1]]
    assert "No space left on device" in lines[-1]
    assert "Traceback" not in done.stderr
    _assert_not_taken_as_whole(here / "kept")


# --- killed and interrupted


@pytest.fixture
def many_images(make_image_folder: MakeImageFolder) -> Path:
    """Enough different images that their features take seconds."""
    return make_image_folder({"a": 200, "b": 200}, name="many", suffix=".jpg", size=(300, 200))


def _wait_for(path: Path, *, until: Callable[[], bool] = lambda: True) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and until()):
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)


def _stored(cache: Path) -> int:
    """Vectors in the feature cache."""
    count = 0
    for store in (cache / "features").glob("*.sqlite"):
        with sqlite3.connect(store, timeout=5) as connection, suppress(sqlite3.OperationalError):
            count += connection.execute("SELECT count(*) FROM contents").fetchone()[0]
        connection.close()
    return count


@pytest.mark.slow
def test_control_c_stops_within_two_seconds_and_keeps_what_is_finished(
    regraft: CommandLine,
    here: Path,
    graphs: Path,
    many_images: Path,
    monkeypatch: pytest.MonkeyPatch,
    started: Started,
) -> None:
    command = ("fit", many_images, *QUICK, "--out", "run")
    process = started(*command)
    _wait_for(here / "run" / "run.json")
    _wait_for(graphs / "features", until=lambda: _stored(graphs) > 0)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    took = time.monotonic() - sent
    assert took < 2, f"stopped after {took:.1f} s"
    assert process.returncode == 130
    assert out == ""
    assert err == "interrupted: what was finished is kept; run the same command again to go on\n"
    assert read_json(here / "run" / "run.json")["status"] == "interrupted"
    left = {path.name for path in (here / "run").iterdir()}
    assert left == {"run.json", "where.json"}
    _assert_not_taken_as_whole(here / "run")

    kept = _stored(graphs)
    assert 0 < kept < 400
    computed = _count_computed(monkeypatch)
    regraft.done(*command)
    assert len(computed) == 400 - kept
    _results(here / "run")


def _count_computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that gets an entry for every image that goes through the network."""
    seen: list[str] = []
    real = features.run_input

    def run_input(engine: Any, transform: Any, path: Any, **options: Any) -> Any:
        seen.append(str(path))
        return real(engine, transform, path, **options)

    monkeypatch.setattr(features, "run_input", run_input)
    return seen


@pytest.mark.slow
def test_control_c_at_any_moment_is_one_line(
    regraft: CommandLine, here: Path, photo_folder: Path, started: Started
) -> None:
    command = ("fit", photo_folder, *QUICK, "--out", "run")
    seen = set()
    for delay in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0):
        process = started(*command, "--force")
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode in (0, 130, -signal.SIGINT)
        if process.returncode == -signal.SIGINT:  # Python itself had not started
            assert delay < 0.5
            continue
        assert "Traceback" not in err
        seen.add(process.returncode)
        if process.returncode == 130:
            *notes, last = err.splitlines()
            # "interrupted" alone: while it was still loading, there is nothing to go on with.
            assert last == "interrupted" or last.startswith("interrupted: ")
            steps = {"comparing photos with each other", "drawing the map of the photos"}
            assert set(notes) <= steps  # of the fit itself
            if (here / "run").exists():
                _assert_not_taken_as_whole(here / "run")
    assert 130 in seen
    regraft.done(*command, "--force")
    _results(here / "run")


@pytest.mark.slow
def test_a_second_control_c_while_stopping(here: Path, many_images: Path, started: Started) -> None:
    process = started("fit", many_images, *QUICK, "--out", "run")
    _wait_for(here / "run" / "run.json")
    time.sleep(0.7)
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.startswith("interrupted")
    assert read_json(here / "run" / "run.json")["status"] in ("interrupted", "running")


@pytest.mark.slow
def test_a_run_killed_at_any_file_it_writes_goes_on(
    regraft: CommandLine, run: Path, here: Path, photo_folder: Path
) -> None:
    expected = _results(run)
    code = (
        "import os, pathlib, signal, sys\n"
        "from regraft import storage\n"
        "left, real = int(sys.argv.pop(1)), pathlib.Path.replace\n"
        "def replace(self, target):\n"
        "    global left\n"
        "    left -= 1\n"
        "    if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(self, target)\n"
        "pathlib.Path.replace = replace\n"
        "from regraft.__main__ import main\nmain()"
    )
    command = ["fit", str(photo_folder), *QUICK, "--out", "killed"]
    for writes in range(30):
        done = subprocess.run(
            [sys.executable, "-c", code, str(writes), *command], capture_output=True, check=False
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        _assert_not_taken_as_whole(here / "killed")
        regraft.done(*command)
        assert _results(here / "killed") == expected
        shutil.rmtree(here / "killed")
    assert writes > 8
    assert _results(here / "killed") == expected


@pytest.mark.slow
def test_a_run_killed_among_its_features_goes_on_with_those_it_has(
    regraft: CommandLine,
    here: Path,
    graphs: Path,
    many_images: Path,
    monkeypatch: pytest.MonkeyPatch,
    started: Started,
) -> None:
    command = ("fit", many_images, *QUICK, "--out", "run")
    process = started(*command)
    _wait_for(here / "run" / "run.json")
    _wait_for(graphs / "features", until=lambda: _stored(graphs) > 0)
    process.kill()
    process.communicate(timeout=30)
    assert read_json(here / "run" / "run.json")["status"] == "running"
    _assert_not_taken_as_whole(here / "run")
    kept = _stored(graphs)
    assert kept > 0
    computed = _count_computed(monkeypatch)
    regraft.done(*command)
    assert len(computed) == 400 - kept
    _results(here / "run")


# --- inputs


def test_read_only_inputs_are_enough_and_stay_as_they_are(
    regraft: CommandLine, here: Path, photo_folder: Path
) -> None:
    for path in [*photo_folder.rglob("*"), photo_folder]:
        path.chmod(stat.S_IRUSR | (stat.S_IXUSR if path.is_dir() else 0))
    try:
        before = snapshot(photo_folder)
        regraft.done("scan", photo_folder)
        regraft.done("fit", photo_folder, *QUICK, "--out", "run")
        regraft.done("predict", "run", photo_folder)
        assert "trained on all 24 labelled photos" in regraft("evaluate", "run", photo_folder).error
        regraft.done("report", "run")
        assert snapshot(photo_folder) == before
        assert len(before) == 26
    finally:
        for path in [photo_folder, *photo_folder.rglob("*")]:
            path.chmod(stat.S_IRWXU)
