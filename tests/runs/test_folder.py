"""The run folder: what is in it stays until something complete takes its place."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import regraft as rg
from regraft.errors import DataError, RunError
from regraft.progress import Progress
from regraft.runs import (
    NEXT,
    RACE,
    WHERE,
    finished_run,
    open_run,
    read_run,
    settings_of,
    write_results,
)
from regraft.storage.switching import COMMITTED, LOCK
from tests.commands import QUICK, CommandLine, read_json, snapshot
from tests.reporting.sample_runs import COMPARISON, results_of
from tests.reporting.sample_runs import make_run as sample_run

OURS = (NEXT, LOCK, COMMITTED)


@pytest.fixture
def here(
    made_once: Path, warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the photos and of a run of them, with what people gave to it."""
    for name in ("photos", "run"):
        shutil.copytree(made_once / name, tmp_path / name)
    given = {
        "decisions.csv": "when,path,action,label,was,sha256\n",
        "corrections/page/a.jpg": "a photo",
        "corrections/corrections.csv": "when,path,action,label,was,sha256\n",
        "models/0001/model.json": "{}",
        "notes.txt": "mine",
    }
    for name, text in given.items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def old(run: Path) -> dict[str, Any]:
    """All there is in a run folder, but for what a command that is not done has of its own."""
    return {name: about for name, about in snapshot(run).items() if not name.startswith(OURS)}


def works(run: Path, photos: Path, regraft: CommandLine) -> None:
    """Everything that can be done with a run."""
    regraft.done("predict", run, photos)
    regraft.done("report", run, "--out", photos.parent / "again.html")
    assert rg.load(run).tensors
    assert rg.load(run / "model").classes == ("clean", "messy")


# --- a fit that takes the place of another


def test_a_forced_fit_that_fails_leaves_the_run_as_it_was(here: Path, regraft: CommandLine) -> None:
    copies = here / "copies"
    for name in ("a", "b"):
        (copies / name).mkdir(parents=True)
        for number in range(6):
            source = next((here / "photos" / "clean").iterdir())
            shutil.copy(source, copies / name / f"{number}.jpg")
    before = old(here / "run")
    found = regraft("fit", copies, *QUICK, "--out", "run", "--force")
    assert found.code == 1
    assert old(here / "run") == before
    works(here / "run", here / "photos", regraft)
    assert "add --force to replace it" in regraft("fit", "photos", *QUICK, "--out", "run").error


def stop_at(phase: str) -> Progress:
    """Ctrl-C at the first word on a phase."""

    def progress(text: str, _done: int, _total: int) -> None:
        if text == phase:
            raise KeyboardInterrupt

    return progress


def test_a_forced_fit_that_is_stopped_leaves_the_run_and_goes_on_later(
    here: Path, regraft: CommandLine
) -> None:
    """At each thing that a fit says it does."""
    heard: dict[str, None] = {}
    rg.fit(
        "photos",
        approaches=["knn"],
        out="undisturbed",
        progress=lambda text, _done, _total: heard.setdefault(text),
    )
    before = old(here / "run")
    stopped = []
    for phase in heard:
        try:
            rg.fit("photos", approaches=["knn"], out="run", force=True, progress=stop_at(phase))
        except KeyboardInterrupt:
            stopped.append(phase)
        else:  # of what the first one had kept nothing is said again
            shutil.rmtree("run")
            shutil.copytree("undisturbed", "run")
            before = old(here / "run")
        assert old(here / "run") == before
    assert len(stopped) >= 4, heard
    works(here / "run", here / "photos", regraft)
    rg.fit("photos", approaches=["knn"], out="run", force=True)
    for name in ("predictions.csv", "evaluation.json", "dataset.csv", "issues.csv"):
        assert (here / "run" / name).read_bytes() == (here / "undisturbed" / name).read_bytes()


@pytest.mark.slow
def test_a_forced_fit_with_too_little_time_leaves_the_run_as_it_was(
    here: Path, regraft: CommandLine
) -> None:
    before = old(here / "run")
    options = ("--approach", "fine_tune", "--budget", "2s", "--out", "run", "--force")
    assert regraft("fit", "photos", *options).code == 1
    assert old(here / "run") == before
    works(here / "run", here / "photos", regraft)


def test_a_forced_fit_keeps_what_people_gave(here: Path, regraft: CommandLine) -> None:
    (here / "run" / "training.csv").write_text("of the old run", encoding="utf-8")
    before = old(here / "run")
    regraft.done("fit", "photos", "--approach", "knn", "--out", "run", "--force")
    after = old(here / "run")
    given = [n for n in before if n.startswith(("decisions", "corrections", "models/", "notes"))]
    assert len(given) >= 7
    assert {name: after[name] for name in given} == {name: before[name] for name in given}
    assert "training.csv" not in after
    assert not [path.name for path in (here / "run").iterdir() if path.name.startswith(".")]
    assert rg.load("run").approach == "knn"
    page = (here / "run" / "report.html").read_text(encoding="utf-8")
    assert "regraft predict run photo.jpg" in page
    assert NEXT not in page


# --- without a model: what is where, at any moment


SETTINGS = {"data": "photos", "seed": 0}


def fill(work: Path, sample: Any, name: str) -> None:
    """What a fit writes, small."""
    write_results(
        work,
        data=sample.data,
        issues=(),
        comparison={**COMPARISON, "verdict": name},
        evaluations=sample.evaluations,
        predictions=sample.predictions,
    )
    (work / "model").mkdir()
    (work / "model" / "model.json").write_text(name, encoding="utf-8")
    (work / "report.html").write_text(name, encoding="utf-8")


def make(folder: Path, sample: Any, name: str, **options: Any) -> None:
    with open_run(folder, options.pop("settings", SETTINGS), **options) as place:
        place.results = replace(results_of(sample.about), data=str(sample.data.root))
        fill(place.folder, sample, name)


@pytest.fixture
def sample(tmp_path: Path) -> Any:
    return sample_run(tmp_path / "sample")


def verdict(folder: Path) -> str:
    return read_run(folder).comparison.verdict


def test_a_new_run_is_written_where_it_belongs(tmp_path: Path, sample: Any) -> None:
    with open_run(tmp_path / "run", SETTINGS) as place:
        assert place.folder == tmp_path / "run"
        assert read_json(place.folder / "run.json")["status"] == "running"
    assert read_json(tmp_path / "run" / "run.json")["status"] == "done"


def broken_off(
    folder: Path,
    begin: Callable[[Path], None],
    *,
    error: type[BaseException] = KeyboardInterrupt,
    settings: Mapping[str, Any] = SETTINGS,
    force: bool = False,
) -> Path:
    """Where a run was being written when it was broken off."""
    places = []
    with contextlib.suppress(error), open_run(folder, settings, force=force) as place:
        places.append(place.folder)
        begin(place.folder)
        raise error
    return places[0]


def compared(run: Path) -> list[str]:
    return sorted(path.name for path in (run / RACE).iterdir())


def compare_one(work: Path) -> None:
    """Finish one more candidate."""
    (work / RACE).mkdir(exist_ok=True)
    (work / RACE / f"{len(compared(work))}.json").touch()


def test_an_unfinished_run_goes_on_with_what_it_had_compared(tmp_path: Path, sample: Any) -> None:
    run, other = tmp_path / "run", {"seed": 1}
    assert broken_off(run, compare_one) == run
    assert broken_off(run, compare_one) == run
    assert compared(run) == ["0.json", "1.json"]
    with pytest.raises(RunError, match="holds an unfinished run with other settings"):
        broken_off(run, compare_one, settings=other)
    assert broken_off(run, compare_one, settings=other, force=True) == run
    assert compared(run) == ["0.json"]  # of another race
    make(run, sample, "first", settings=other)
    assert not (run / RACE).exists()
    assert broken_off(run, compare_one, force=True) == run / NEXT
    assert broken_off(run, compare_one, force=True) == run / NEXT
    assert compared(run / NEXT) == ["0.json", "1.json"]
    assert broken_off(run, compare_one, settings=other, force=True) == run / NEXT
    assert compared(run / NEXT) == ["0.json"]
    assert verdict(run) == "first"
    make(run, sample, "second", settings=other, force=True)
    assert verdict(run) == "second"
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]


def test_a_model_of_an_unfinished_run_stays_until_there_is_another(
    tmp_path: Path, sample: Any
) -> None:
    """A fit that was killed while it wrote its report can predict; the next must not end that."""
    run = tmp_path / "run"

    def nearly_all(work: Path) -> None:
        compare_one(work)
        fill(work, sample, "first")

    def nothing(work: Path) -> None:
        assert compared(work) == ["0.json"]  # and nothing is compared again
        assert sorted(path.name for path in work.iterdir()) == [RACE, "run.json", WHERE]

    assert broken_off(run, nearly_all) == run
    assert broken_off(run, nothing, error=DataError) == run / NEXT
    assert broken_off(run, nothing) == run / NEXT
    assert (run / "model" / "model.json").read_text(encoding="utf-8") == "first"
    with pytest.raises(RunError, match="is not finished"):
        read_run(run)
    make(run, sample, "second")
    assert verdict(run) == "second"
    assert (run / "model" / "model.json").read_text(encoding="utf-8") == "second"
    assert not (run / RACE).exists()


def test_private_places_change_with_the_run_they_are_of(tmp_path: Path, sample: Any) -> None:
    """Settings in `where.json` are those of the run.json beside it, whenever a process ends."""
    run, other = tmp_path / "run", SETTINGS | {"seed": 1}
    make(run, sample, "first")
    broken_off(run, compare_one, settings=other, force=True)
    assert settings_of(read_run(run)) == {**SETTINGS, "backbones": []}
    make(run, sample, "second", settings=other, force=True)
    assert settings_of(read_run(run)) == {**other, "backbones": []}
    assert (run / WHERE).stat().st_mode & 0o077 == 0

    again = tmp_path / "again"
    broken_off(again, compare_one)
    (again / WHERE).unlink()  # as after a kill between the two
    assert broken_off(again, compare_one) == again
    assert compared(again) == ["0.json", "1.json"]


def test_what_an_earlier_version_left_is_taken_up(tmp_path: Path, sample: Any) -> None:
    run = tmp_path / "run"
    make(run, sample, "first")
    (run / ".lock").touch()
    (run / ".report.html.12-34.part").touch()
    (run / ".model.12.part").mkdir()
    make(run, sample, "second", force=True)
    assert verdict(run) == "second"
    assert sorted(p.name for p in run.iterdir() if p.name.startswith(".")) == [".lock"]


def test_a_finished_run_is_known_by_its_settings(tmp_path: Path, sample: Any) -> None:
    run = tmp_path / "run"
    assert finished_run(run, SETTINGS) is None
    make(run, sample, "first")
    found = finished_run(run, SETTINGS)
    assert found is not None
    assert found.comparison.verdict == "first"
    assert finished_run(run, {"seed": 1}) is None
