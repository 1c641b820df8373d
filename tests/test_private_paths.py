"""What people share says nothing of the machine: no absolute path, no name of a user."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from pathlib import Path

import httpx
import pytest

import regraft as rg
from regraft.runs import WHERE
from regraft.runs.decisions import DECISIONS, new_decision, open_log
from tests.commands import FROZEN, PROBE, QUICK, CommandLine, read_json, read_table
from tests.conftest import write_image

USER = "annakarenina"


class Home:
    """A user's home with a project, which is the working folder, and a disk far from it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = root / "home" / USER / "project"
        self.disk = root / "disk"
        for folder in (self.project, self.disk):
            folder.mkdir(parents=True)

    def photos(self, folder: Path, count: int = 12, first: int = 0) -> Path:
        """A folder of two classes."""
        for name in ("clean", "messy"):
            (folder / name).mkdir(parents=True)
            for number in range(first, first + count):
                write_image(folder / name / f"{number}.png", size=(40, 30))
        return folder

    def leaks(self, *places: Path, allowed: tuple[str, ...] = (WHERE,)) -> list[str]:
        """Files below some places that say where they are, with what they say."""
        files = [
            path
            for place in places
            for path in ([place] if place.is_file() else sorted(place.rglob("*")))
            if path.is_file() and path.name not in allowed
        ]
        assert files
        needles = [str(self.root).encode(), USER.encode()]
        found = []
        for path in files:
            content = path.read_bytes()
            for needle in needles:
                at = content.find(needle)
                if at >= 0:
                    found.append(f"{path.name}: {content[max(0, at - 60) : at + 90]!r}")
        return found


@pytest.fixture
def home(tmp_path: Path, graphs: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home(tmp_path / "machine")
    monkeypatch.setenv("HOME", str(made.project.parent))
    for name in ("LOGNAME", "USER"):
        monkeypatch.setenv(name, USER)
    monkeypatch.chdir(made.project)
    return made


@pytest.mark.slow
def test_all_that_a_run_leaves(home: Home, regraft: CommandLine) -> None:
    """Everything was typed as an absolute path."""
    photos, run = home.photos(home.project / "photos"), home.project / "runs" / "a"
    regraft.done("fit", photos, *FROZEN, "--out", run)
    regraft.done("scan", photos, "--report", home.project / "data.html")
    regraft.done("fit", photos, *PROBE, "--out", home.project / "runs" / "b")
    regraft.done("report", run, home.project / "runs" / "b", "--out", home.project / "both.html")
    regraft.done("export", run, home.project / "rooms.onnx")
    regraft.done("explain", home.project / "runs" / "b")
    regraft.done("track", run, "--tensorboard", home.project / "boards")
    assert home.leaks(home.project) == []
    about = read_json(run / "run.json")
    assert about["data"] == about["settings"]["data"] == "../../photos"
    assert about["command"].startswith("regraft fit photos --approach linear_probe --approach knn")
    assert "regraft review runs/a" in (run / "report.html").read_text(encoding="utf-8")
    if os.name == "posix":
        assert stat.S_IMODE((run / WHERE).stat().st_mode) == 0o600
    assert not list((run / "model").glob(f"*{WHERE}*"))


@pytest.mark.slow
def test_data_far_away(home: Home, regraft: CommandLine) -> None:
    """Photos, table and test set on another disk, with names that are absolute, and one gone."""
    photos = home.photos(home.disk / "photos")
    test = home.photos(home.root / "other" / USER / "test", 3, first=50)
    table = home.disk / "labels.csv"
    lines = [f"{path},{path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    gone = home.root / "home" / "old" / USER / "gone.png"
    table.write_text("\n".join(["file,label", *lines, f"{gone},clean"]), encoding="utf-8")
    regraft.done(
        *("fit", table, "--image-dir", photos, "--test", test, *PROBE),
        *("--out", "run", "--budget", "2m"),
    )
    run = home.project / "run"
    assert home.leaks(run) == []
    rows = {row["path"]: row for row in read_table(run / "dataset.csv")}
    assert rows[".../test/clean/50.png"]["split"] == "test"
    assert any(row["status"] == "missing" for row in rows.values())
    assert read_json(run / "run.json")["data"] == ".../photos"
    assert ".../photos" in (run / "report.html").read_text(encoding="utf-8")
    # And all of it is found again.
    found = rg.read_run(run)
    assert all(found.data.absolute(row).is_file() for row in found.data.ok)
    before = (run / "report.html").read_text(encoding="utf-8").count("data:image/jpeg")
    regraft.done("report", run)
    assert (run / "report.html").read_text(encoding="utf-8").count("data:image/jpeg") == before > 6
    regraft.done("export", run, "rooms.onnx")
    regraft.done("explain", run)
    assert home.leaks(run, home.project / "rooms.onnx", home.project / "rooms.md") == []


def test_corrections_and_decisions_go_on(home: Home, regraft: CommandLine) -> None:
    photos = home.photos(home.disk / "photos")
    regraft.done("fit", photos, *QUICK, "--out", "first")
    wrong = write_image(home.project / "wrong.png", size=(40, 30))
    regraft.done("correct", "first", wrong, "--label", "messy")
    done = regraft.done("fit", photos, *QUICK, "--with-corrections", "first", "--out", "second")
    assert "first: " in done.err
    assert home.leaks(home.project / "first", home.project / "second") == []
    with open_log(home.project / "first" / DECISIONS) as writer:
        writer.add(new_decision(rg.read_run("first").data.ok[0], "keep"))
    reviewed = ("--decisions", home.project / "first", "--out", home.project / "third")
    regraft.done("fit", photos, *QUICK, *reviewed)
    assert read_json(home.project / "third" / "run.json")["decisions"]["from"] == (
        "first/decisions.csv"
    )
    assert home.leaks(home.project / "third") == []
    command = rg.workflow.review_command(rg.read_run("first"))
    assert command == f"regraft fit {photos} --decisions first --approach knn"


def test_watching_and_serving(home: Home, regraft: CommandLine) -> None:
    """The history, its page, and what the server answers."""
    photos = home.photos(home.disk / "photos")
    cameras, history = home.disk / "cameras", home.project / "rooms.db"
    shutil.copytree(photos / "clean", cameras / "attic")
    regraft.done("fit", photos, *QUICK, "--out", home.project / "run")
    regraft.done(
        *("watch", home.project / "run", cameras, "--db", history, "--once", "--settle", "0"),
        *("--keep-photos", home.disk / "copies"),
    )
    regraft.done("timeline", history, "--out", home.project / "rooms.html")
    places = home.project / "rooms.db.where.json"
    assert home.leaks(home.project, allowed=(WHERE, places.name)) == []
    if os.name == "posix":
        assert stat.S_IMODE(places.stat().st_mode) == 0o600
    with rg.serve(home.project / "run", port=0, history=history) as server:
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        for path in ("", "model", "health", "metrics", "openapi.json", "timeline", "timeline.csv"):
            answer = httpx.get(server.url + path, timeout=60)
            assert answer.status_code == 200
            assert str(home.root) not in answer.text
            assert USER not in answer.text
        with (photos / "clean" / "0.png").open("rb") as file:
            answer = httpx.post(server.url + "predict", files={"files": file}, timeout=60)
        assert str(home.root) not in answer.text
        history.unlink()
        gone = httpx.get(server.url + "timeline", timeout=60)
        assert gone.status_code == 404
        assert gone.json()["detail"].startswith("there is no history rooms.db")
        server.stop()
        thread.join(timeout=30)


def test_an_error_says_nothing_of_the_machine(
    home: Home, regraft: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = home.photos(home.disk / "photos", 4)
    blocked = home.project / "run"
    (blocked / "model").mkdir(parents=True)
    (blocked / "run.json").write_text('{"kind": "regraft run", "status": "failed"}')
    monkeypatch.setattr(rg.Model, "save", _fails)
    failed = regraft("fit", photos, *QUICK, "--out", blocked)
    assert failed.code == 1
    assert str(home.disk) in failed.err  # on the terminal it is told in full
    assert read_json(blocked / "run.json")["status"] == "failed"
    assert home.leaks(blocked) == []


def _fails(self: rg.Model, folder: Path) -> Path:
    from regraft.errors import StorageError

    disk = next(p for p in Path(folder).parents if p.name == "machine") / "disk" / "photos"
    raise StorageError(f"could not write {folder}: it is full of {disk}/clean/1.png")


@pytest.mark.slow
def test_a_project_that_moves_takes_its_photos_along(home: Home, regraft: CommandLine) -> None:
    home.photos(home.project / "photos")
    regraft.done("fit", "photos", *PROBE, "--out", "runs/a")
    moved = home.project.rename(home.root / "moved")
    os.chdir(moved)
    run = rg.read_run("runs/a")
    assert run.data.root == moved / "photos"
    regraft.done("explain", "runs/a")
    assert "regraft fit photos --decisions runs/a" in rg.workflow.review_command(run)


def test_a_copied_project_and_a_copied_run(home: Home, regraft: CommandLine) -> None:
    photos = home.photos(home.project / "photos")
    regraft.done("fit", "photos", *QUICK, "--out", "runs/a")
    copied = shutil.copytree(home.project, home.root / "copied")
    assert rg.read_run(copied / "runs" / "a").data.root == copied / "photos"
    command = rg.workflow.review_command(rg.read_run(copied / "runs" / "a"))
    assert str(copied / "photos") in command
    # Beside others of the same name the photos are those that it was trained on.
    others = Home(home.root / "others")
    others.photos(others.project / "photos", first=100)
    alone = shutil.copytree(home.project / "runs" / "a", others.project / "runs" / "a")
    assert rg.read_run(alone).data.root == photos
    assert "fit photos --decisions" in rg.workflow.review_command(rg.read_run(alone))  # from here


@pytest.mark.slow
def test_a_run_that_moves_alone_says_what_it_lacks(home: Home, regraft: CommandLine) -> None:
    photos = home.photos(home.project / "photos")
    regraft.done("fit", "photos", *PROBE, "--out", "runs/a")
    moved = home.disk / "a"
    shutil.move(home.project / "runs" / "a", moved)
    regraft.done("explain", moved)  # where.json went along
    (moved / WHERE).unlink()
    for command in (("explain", moved), ("review", moved)):
        said = regraft(*command).error
        assert f"write where they are into {moved / WHERE}" in said
    (moved / WHERE).write_text(json.dumps({"data": str(photos)}), encoding="utf-8")
    regraft.done("explain", moved)
    assert regraft.done("predict", moved, photos / "clean", "--format", "csv").rows


def test_runs_of_earlier_versions_are_read_and_their_reports_say_less(
    home: Home, regraft: CommandLine
) -> None:
    photos = home.photos(home.disk / "photos")
    run = home.project / "run"
    regraft.done("fit", photos, *QUICK, "--out", run)
    about = read_json(run / "run.json")
    about["data"] = about["settings"]["data"] = str(photos)
    about["command"] = f"regraft fit {photos} --approach linear_probe --out {run}"
    (run / "run.json").write_text(json.dumps(about), encoding="utf-8")
    (run / WHERE).unlink()
    regraft.done("report", run)
    page = run / "report.html"
    assert home.leaks(page) == []
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") > 6
    assert rg.read_run(run).data.root == photos
    assert rg.workflow.review_command(rg.read_run(run)).startswith(f"regraft fit {photos}")


def test_an_interrupted_run_goes_on_only_with_the_same_settings(
    home: Home, regraft: CommandLine
) -> None:
    photos, others = home.photos(home.disk / "photos"), home.photos(home.root / "b" / "photos")
    regraft.done("fit", photos, *QUICK, "--out", "run")
    for earlier in (False, True):
        about = read_json(home.project / "run" / "run.json")
        about["status"] = "interrupted"
        if earlier:  # a run of an earlier version
            about["settings"]["data"] = str(photos)
            (home.project / "run" / WHERE).unlink()
        (home.project / "run" / "run.json").write_text(json.dumps(about), encoding="utf-8")
        error = regraft("fit", others, *QUICK, "--out", "run").error
        assert "holds an unfinished run with other settings" in error
        assert earlier or f"(regraft fit {photos} --approach" in error  # to be run as it stands
        regraft.done("fit", photos, *QUICK, "--out", "run")


@pytest.mark.slow
def test_backbones_and_networks_of_ones_own(home: Home, regraft: CommandLine) -> None:
    photos = home.photos(home.project / "photos")
    code = home.disk / "own_network.py"
    code.write_text(
        "from torch import nn\n\n"
        "def make(n_classes=0):\n"
        "    layers = [nn.Conv2d(3, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]\n"
        "    network = nn.Sequential(*layers, *([nn.Linear(16, n_classes)] if n_classes else []))\n"
        "    network.image_size_px, network.normalize = 32, 'torch'\n"
        "    return network\n",
        encoding="utf-8",
    )
    regraft.done("fit", photos, *QUICK, "--backbone", f"module:{code}:make", "--out", "module")
    regraft.done("fit", photos, *QUICK, "--backbone", home.project / "module", "--out", "on",
                 "--arch", f"module:{code}:make")  # fmt: skip
    regraft.done(
        *("fit", photos, "--approach", "scratch", "--architecture", f"{code}:make"),
        *("--out", "scratch", "--budget", "90s"),
    )
    regraft.done("explain", "scratch", "--architecture", f"{code}:make")
    regraft.done("export", "scratch", "scratch.onnx")
    regraft.done("export", "module", "module.onnx")
    assert home.leaks(home.project) == []
