"""From a review to the next run: the commands `review` and `fit --decisions`."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

import regraft as rg
from regraft.commands import app
from regraft.runs import WHERE
from regraft.runs.decisions import DECISIONS, new_decision, open_log, read_decisions
from regraft.storage.locations import recall
from regraft.workflow import review_command
from tests.commands import (
    QUICK,
    CommandLine,
    Started,
    make_run,
    read_json,
    read_table,
    snapshot,
)
from tests.reporting.page import Page, squeezed

RENAMED = "<b>tidy</b> & co"


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, shared_graphs: Path, test_data: Path
) -> Path:
    """A folder with `photos/`, their finished `run/` and the `cache/`; to be copied."""
    folder = tmp_path_factory.mktemp("reviewed")
    return make_run(folder, graphs=shared_graphs, rooms=test_data / "rooms")


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `finished` as the working folder."""
    folder = tmp_path / "here"
    shutil.copytree(finished, folder, symlinks=True)
    about = read_json(folder / "run" / "run.json")
    text = json.dumps(about).replace(str(finished), str(folder))
    (folder / "run" / "run.json").write_text(text, encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)
    return folder


def decide(run: str | Path, *decided: tuple[str, str, str]) -> None:
    """Append decisions, each a path, an action and a label, to those of a run."""
    rows = {row.path: row for row in rg.read_run(run).data.rows}
    with open_log(Path(run) / DECISIONS) as writer:
        writer.add(*(new_decision(rows[path], action, label) for path, action, label in decided))


def some(here: Path) -> list[str]:
    """Paths of the photos as the dataset has them, those of "clean" first."""
    return [row["path"] for row in read_table(here / "run" / "dataset.csv")]


# --- fit --decisions


def test_the_next_fit_applies_what_was_decided_and_says_so(
    regraft: CommandLine, here: Path
) -> None:
    before = snapshot(here / "photos")
    first, second, third, fourth = some(here)[:4]
    decide("run", (first, "relabel", "messy"), (second, "exclude", ""), (third, "keep", ""))
    decide("run", (fourth, "exclude", ""), (fourth, "undo", ""))
    shown = regraft.done("fit", "photos", *QUICK, "--decisions", "run", "--out", "next")
    rows = {row["path"]: row for row in read_table(here / "next" / "dataset.csv")}
    assert rows[first]["label"] == "messy"
    assert rows[second]["status"] == "excluded"
    assert rows[second]["reason"].startswith("excluded in a review on ")
    assert (rows[third]["label"], rows[fourth]["status"]) == ("clean", "ok")
    about = read_json(here / "next" / "run.json")
    decided = about["decisions"]
    assert decided["applied"] == {"relabelled": 1, "excluded": 1, "kept": 1}
    assert (decided["skipped"], decided["from"]) == (0, "run/decisions.csv")
    assert about["settings"]["decisions"]["path"] == f"../run/{DECISIONS}"
    assert about["counts"]["training"] == 23
    (compared,) = decided["compared"]
    earlier = read_json(here / "run" / "evaluation.json")[0]
    now = read_json(here / "next" / "evaluation.json")[0]
    assert compared["before"]["accuracy"] == earlier["accuracy"]
    assert compared["now"]["accuracy"] == now["accuracy"]
    assert (compared["before"]["n"], compared["now"]["n"]) == (24, 23)
    assert (compared["shared"], compared["relabelled"]) == (23, 1)
    said = squeezed(shown.err)
    assert f"1 relabelled ({first}: clean to messy); 1 excluded ({second}); 1 kept" in said
    assert "of 24 photos before the review" in said
    assert "of 23 photos now. The photos differ: 23 are in both, 1 of them with" in said
    page = Page((here / "next" / "report.html").read_text(encoding="utf-8"))
    assert page.unclosed == []
    (section,) = page.all("section", id="review")
    text = squeezed(section.text)
    assert "1 photo relabelled, 1 photo excluded and 1 photo kept as labelled." in text
    assert "The photos differ: 23 are in both, 1 of them with another label." in text
    assert snapshot(here / "photos") == before


def test_decisions_go_along_to_the_next_run(regraft: CommandLine, here: Path) -> None:
    first, second = some(here)[:2]
    decide("run", (first, "relabel", "messy"))
    regraft.done("fit", "photos", *QUICK, "--decisions", "run", "--out", "next")
    decide("next", (second, "exclude", ""), (first, "keep", ""))
    regraft.done("fit", "photos", *QUICK, "--decisions", "next", "--out", "third")
    rows = {row["path"]: row for row in read_table(here / "third" / "dataset.csv")}
    assert rows[first]["label"] == "messy"
    assert rows[second]["status"] == "excluded"
    assert len(read_decisions(here / "third" / DECISIONS).entries) == 3
    assert len(read_decisions(here / "run" / DECISIONS).entries) == 1


def test_no_fit_loses_the_decisions_in_its_folder(regraft: CommandLine, here: Path) -> None:
    decide("run", (some(here)[0], "exclude", ""))
    kept = (here / "run" / DECISIONS).read_bytes()
    regraft.done("fit", "photos", *QUICK, "--out", "run", "--force")
    assert (here / "run" / DECISIONS).read_bytes() == kept
    assert read_json(here / "run" / "run.json")["decisions"] is None
    about = read_json(here / "run" / "run.json") | {"status": "interrupted"}
    (here / "run" / "run.json").write_text(json.dumps(about), encoding="utf-8")
    regraft.done("fit", "photos", *QUICK, "--out", "run")  # resumed
    assert (here / "run" / DECISIONS).read_bytes() == kept
    regraft.done("fit", "photos", *QUICK, "--decisions", "run", "--out", "run", "--force")
    assert (here / "run" / DECISIONS).read_bytes() == kept
    decided = read_json(here / "run" / "run.json")["decisions"]
    assert decided["applied"]["excluded"] == 1
    assert decided["compared"][0]["before"]["n"] == 24  # of the run that was replaced


def test_more_decisions_make_another_run(regraft: CommandLine, here: Path) -> None:
    first, second = some(here)[:2]
    decide("run", (first, "exclude", ""))
    command = ("fit", "photos", *QUICK, "--decisions", "run/decisions.csv", "--out", "next")
    regraft.done(*command)
    about = read_json(here / "next" / "run.json")
    assert about["decisions"]["compared"] == []
    (here / "next" / "run.json").write_text(
        json.dumps(about | {"status": "interrupted"}), encoding="utf-8"
    )
    decide("run", (second, "exclude", ""))
    assert "holds an unfinished run with other settings" in regraft(*command).error
    (here / "run" / DECISIONS).write_bytes((here / "next" / DECISIONS).read_bytes())
    regraft.done(*command)


def test_the_command_of_a_fit_can_be_repeated(here: Path) -> None:
    decide("run", (some(here)[0], "exclude", ""))
    found = rg.fit("photos", approaches=["linear_probe"], decisions="run", out="next")
    assert f"--decisions run/{DECISIONS}" in found.about.command
    assert f"--decisions {here / 'run' / DECISIONS}" in recall(found.folder / WHERE)["command"]


def test_decisions_on_files_that_are_gone_are_told(regraft: CommandLine, here: Path) -> None:
    first, second, third = some(here)[:3]
    decide("run", *((path, "exclude", "") for path in (first, second, third)))
    (here / "photos" / first).unlink()
    with Image.open(here / "photos" / second) as photo:
        photo.rotate(180).save(here / "photos" / second)
    shown = regraft.done("fit", "photos", *QUICK, "--decisions", "run", "--out", "next")
    said = squeezed(shown.err)
    assert "2 decisions were not applied, the file is gone or has changed" in said
    assert read_json(here / "next" / "run.json")["decisions"]["skipped"] == 2
    rows = {row["path"]: row["status"] for row in read_table(here / "next" / "dataset.csv")}
    assert (rows[second], rows[third]) == ("ok", "excluded")


def test_a_new_class_is_legal_and_told(regraft: CommandLine, here: Path) -> None:
    decide("run", *((path, "relabel", RENAMED) for path in some(here)[:4]))
    shown = regraft.done("fit", "photos", *QUICK, "--decisions", "run", "--out", "next")
    assert f"Class '{RENAMED}' is new" in squeezed(shown.err)
    assert read_json(here / "next" / "run.json")["classes"] == [RENAMED, "clean", "messy"]
    html = (here / "next" / "report.html").read_text(encoding="utf-8")
    assert RENAMED not in html
    assert "&lt;b&gt;tidy&lt;/b&gt;" in html


def test_excluding_too_much_is_one_line(regraft: CommandLine, here: Path) -> None:
    decide("run", *((path, "exclude", "") for path in some(here)[:12]))
    message = regraft("fit", "photos", *QUICK, "--decisions", "run", "--out", "next").error
    assert "12 excluded" in message
    assert not (here / "next").exists()


def test_a_half_written_decision_is_ignored_with_a_note(regraft: CommandLine, here: Path) -> None:
    decide("run", (some(here)[0], "exclude", ""))
    with (here / "run" / DECISIONS).open("ab") as file:
        file.write(b'2026-05-04T10:00:00+00:00,"clean/')
    shown = regraft.done("fit", "photos", *QUICK, "--decisions", "run", "--out", "next")
    assert "The last line of run/decisions.csv is incomplete and was ignored." in squeezed(
        shown.err
    )
    assert len(read_decisions(here / "next" / DECISIONS).entries) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("when,path,action,label,was,sha256\nnow,a,burn,,,x\n", "line 2 of run/decisions.csv"),
        ("file,label\n", "run/decisions.csv is no file of review decisions"),
        (None, "run holds no decisions.csv, nothing has been decided there"),
    ],
)
def test_decisions_that_cannot_be_used_are_one_line_and_nothing_is_written(
    regraft: CommandLine, here: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (here / "run" / DECISIONS).write_text(text, encoding="utf-8")
    command = ("fit", "photos", *QUICK, "--decisions", "run", "--out", "next")
    assert said in regraft(*command).error
    assert not (here / "next").exists()


def test_a_damaged_file_in_the_new_folder_stops_before_anything_is_removed(
    regraft: CommandLine, here: Path
) -> None:
    shutil.copytree(here / "run", here / "other")
    (here / "other" / DECISIONS).write_text("not what it should be\n", encoding="utf-8")
    decide("run", (some(here)[0], "exclude", ""))
    before = snapshot(here / "other")
    command = ("fit", "photos", *QUICK, "--decisions", "run", "--out", "other", "--force")
    assert "other/decisions.csv is no file of review decisions" in regraft(*command).error
    assert snapshot(here / "other") == before


def test_a_run_of_another_format_gives_its_decisions_all_the_same(
    regraft: CommandLine, here: Path
) -> None:
    decide("run", (some(here)[0], "exclude", ""))
    about = read_json(here / "run" / "run.json") | {"format": 99}
    (here / "run" / "run.json").write_text(json.dumps(about), encoding="utf-8")
    assert "upgrade" in regraft("review", "run", "--no-browser").error
    shown = regraft.done("fit", "photos", *QUICK, "--decisions", "run", "--out", "next")
    assert "the accuracy before the review is not shown" in squeezed(shown.err)
    assert read_json(here / "next" / "run.json")["decisions"]["compared"] == []


# --- review


class Reviewing:
    """A `regraft review` in a process of its own, with the address it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self.process = process
        self.url = ""
        for line in process.stderr:
            if found := re.match(r"review +(http\S+)", line):
                self.url = found[1]
                return
        raise AssertionError("no address was printed")

    def ask(self, place: str, asked: object = None) -> Any:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            if asked is None:
                connection.request("GET", address.path + place)
            else:
                header = {"Content-Type": "application/json"}
                connection.request("POST", address.path + place, json.dumps(asked), header)
            answer = connection.getresponse()
            assert answer.status == 200
            return json.loads(answer.read())
        finally:
            connection.close()

    def decide(self, number: int, action: str, label: str = "") -> None:
        asked = {"number": number, "action": action, "label": label, "after": None, "seen": 0}
        self.ask("decide", asked)

    def end(self, how: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def suspects(here: Path) -> list[str]:
    """Two photos that the issues of the run name."""
    first, second = some(here)[:2]
    table = "path,issue,score,detail\n" + "".join(
        f'{path},label_suspect,0.{n},"labelled clean, looks like messy"\n'
        for n, path in ((9, first), (8, second))
    )
    (here / "run" / "issues.csv").write_text(table, encoding="utf-8")
    return [first, second]


def test_a_review_ends_with_what_was_decided_and_what_to_do_next(
    regraft: CommandLine, started: Started, here: Path, suspects: list[str]
) -> None:
    reviewing = Reviewing(started("review", "run", "--no-browser"))
    photos = {photo["path"]: photo["id"] for photo in reviewing.ask("start")["photos"]}
    reviewing.decide(photos[suspects[0]], "relabel", "messy")
    reviewing.decide(photos[suspects[1]], "exclude")
    code, said = reviewing.end(signal.SIGINT)
    assert code == 0
    assert "2 decisions in run/decisions.csv: 1 relabelled, 1 excluded" in said
    command = re.search(r"next +regraft (.*)", said)
    assert command is not None
    assert command[1] == "fit photos --decisions run --approach linear_probe"
    assert "Traceback" not in said
    regraft.done(*command[1].split())
    rows = {row["path"]: row for row in read_table(here / "runs" / "photos" / "dataset.csv")}
    assert rows[suspects[0]]["label"] == "messy"
    assert rows[suspects[1]]["status"] == "excluded"


def test_a_killed_review_has_lost_nothing(
    started: Started, here: Path, suspects: list[str]
) -> None:
    reviewing = Reviewing(started("review", "run", "--no-browser"))
    photos = {photo["path"]: photo["id"] for photo in reviewing.ask("start")["photos"]}
    reviewing.decide(photos[suspects[0]], "exclude")
    reviewing.end(signal.SIGKILL)
    again = Reviewing(started("review", "run", "--no-browser"))
    assert list(again.ask("start")["decisions"]) == [str(photos[suspects[0]])]
    again.decide(photos[suspects[1]], "keep")
    code, said = again.end(signal.SIGINT)
    assert code == 0
    assert "2 decisions in run/decisions.csv: 1 excluded, 1 kept" in said


def test_a_port_in_use_is_one_line(
    regraft: CommandLine, started: Started, here: Path, suspects: list[str]
) -> None:
    reviewing = Reviewing(started("review", "run", "--no-browser"))
    port = urlsplit(reviewing.url).port
    message = regraft("review", "run", "--no-browser", "--port", port).error
    assert message == f"port {port} is in use; give another --port, or 0 for one that is free"


def test_nothing_to_review_is_said(regraft: CommandLine, here: Path) -> None:
    (here / "run" / "issues.csv").write_text("path,issue,score,detail\n", encoding="utf-8")
    lines = (here / "run" / "predictions.csv").read_text(encoding="utf-8").splitlines()
    (here / "run" / "predictions.csv").write_text(lines[0] + "\n", encoding="utf-8")
    said = regraft.done("review", "run", "--no-browser").err
    assert "nothing to review" in said
    assert "next     regraft predict run new_photo.jpg" in said


def test_only_a_finished_run_can_be_reviewed(regraft: CommandLine, here: Path) -> None:
    about = read_json(here / "run" / "run.json") | {"status": "running"}
    (here / "run" / "run.json").write_text(json.dumps(about), encoding="utf-8")
    assert "is not finished (running)" in regraft("review", "run", "--no-browser").error
    assert "photos is not a run folder" in regraft("review", "photos", "--no-browser").error


def test_the_next_command_names_all_that_the_data_needs(
    regraft: CommandLine, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{path},{Path(path).parent.name}" for path in some(here)]
    (here / "my labels.csv").write_text("name,kind\n" + "\n".join(rows), encoding="utf-8")
    options = ("--image-dir", "photos", "--label-column", "kind", *QUICK, "--seed", 3)
    regraft.done("fit", "my labels.csv", *options, "--out", "table")
    command = review_command(rg.read_run("table"))
    assert command == (
        "regraft fit 'my labels.csv' --image-dir photos --decisions table --label-column kind "
        "--approach knn --seed 3"
    )
    monkeypatch.chdir(here / "photos")
    assert str(here / "my labels.csv") in review_command(rg.read_run(here / "table"))
    assert app.run(["review", "--help"]) == 0
