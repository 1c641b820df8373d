"""Photos that people corrected: kept, trained on, and a model that is only replaced if no worse."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regraft as rg
from regraft import promotion as promoting
from regraft.corrections import FOLDER, add_corrections, keep_correction, read_corrections
from regraft.dataset import Dataset, Row
from regraft.errors import DataError, RunError
from regraft.metrics import Estimate
from regraft.promotion import promote, roll_back
from regraft.reporting.pairing import Paired
from regraft.runs import Run, read_run
from regraft.switching import COMMITTED, LOCK
from tests.commands import QUICK, CommandLine, copy_photos
from tests.conftest import write_image


@pytest.fixture
def here(
    made_once: Path,
    warm_cache: Path,
    test_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A copy of them, and `new/` with three photos that the run has not seen."""
    for name in ("photos", "run"):
        shutil.copytree(made_once / name, tmp_path / name)
    copy_photos(test_data / "rooms" / "train" / "messy", tmp_path / "new", 3, skip=40)
    about = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    about["data"] = str(tmp_path / "photos")
    (tmp_path / "run" / "run.json").write_text(json.dumps(about), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photo(folder: Path, name: str = "a.png") -> bytes:
    return write_image(folder / name).read_bytes()


# --- keeping them


def test_a_correction_is_a_photo_and_a_line(tmp_path: Path) -> None:
    data = photo(tmp_path)
    kept = keep_correction(tmp_path, data, "messy", said="clean", source="page", name="x.PNG")
    assert kept.file.read_bytes() == data
    assert kept.file.suffix == ".png"
    (found,) = read_corrections(tmp_path)
    assert (found.label, found.said, found.source) == ("messy", "clean", "page")
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.file == kept.file


def test_the_last_word_counts(tmp_path: Path) -> None:
    data = photo(tmp_path)
    for label in ("messy", "clean"):
        keep_correction(tmp_path, data, label, said="clean", source="page")
    keep_correction(tmp_path, data, "broken", said="clean", source="command")
    (found,) = read_corrections(tmp_path)
    assert found.label == "broken"
    lines = (tmp_path / FOLDER / "corrections.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4  # nothing is removed


def test_what_is_no_photo_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x.jpg cannot be kept as a correction: not an image"):
        keep_correction(tmp_path, b"no photo", "messy", source="page", name="x.jpg")
    with pytest.raises(DataError, match="is empty"):
        keep_correction(tmp_path, photo(tmp_path), " ", source="page")
    with pytest.raises(DataError, match="the source is 'email'"):
        keep_correction(tmp_path, photo(tmp_path), "messy", source="email")
    assert read_corrections(tmp_path) == ()
    assert not (tmp_path / FOLDER).exists()


def _keep_many(folder: Path, first: int) -> None:
    for number in range(first, first + 10):
        data = (folder / f"{number}.png").read_bytes()
        keep_correction(folder, data, "messy", source="page")


@pytest.mark.slow
def test_several_may_correct_at_once(tmp_path: Path) -> None:
    for number in range(30):
        photo(tmp_path, f"{number}.png")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_keep_many, args=(tmp_path, n)) for n in (0, 10, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(read_corrections(tmp_path)) == 30


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_any_name_of_a_class_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, label: str, said: str
) -> None:
    folder = tmp_path_factory.mktemp("names")
    try:
        kept = keep_correction(folder, photo(folder), label, said=said, source="page")
    except DataError:
        return
    (found,) = read_corrections(folder)
    assert (found.label, found.said) == (kept.label, said)


# --- using them


def test_corrected_photos_join_the_training(tmp_path: Path) -> None:
    rows = [
        Row("0.png", sha256="a" * 64, label="clean", split="train"),
        Row("1.png", sha256="b" * 64, label="clean", split="train"),
        Row("2.png", sha256="c" * 64, label="messy", split="train"),
    ]
    for i, row in enumerate(rows):  # the second is corrected, the third a test photo of the run
        data = photo(tmp_path, row.path)
        rows[i] = Row(row.path, hashlib.sha256(data).hexdigest(), row.label, row.split)
    new = photo(tmp_path, "new.png")
    for data, label in (
        ((tmp_path / "1.png").read_bytes(), "messy"),
        ((tmp_path / "2.png").read_bytes(), "clean"),
        (new, "messy"),
    ):
        keep_correction(tmp_path, data, label, source="command")
    tested = {rows[2].sha256: "messy"}
    found = add_corrections(
        Dataset.from_rows(tmp_path, rows), read_corrections(tmp_path), tested=tested
    )
    assert [row.path for row in found.test] == ["2.png"]
    assert {(row.sha256, row.label) for row in found.train} == {
        (rows[0].sha256, "clean"),
        (rows[1].sha256, "messy"),
        (hashlib.sha256(new).hexdigest(), "messy"),
    }
    assert all(found.absolute(row).exists() for row in found.train)
    (left_out,) = [row for row in found.rows if row.status == "excluded"]
    assert (left_out.path, left_out.reason) == ("1.png", "corrected to messy")
    assert "2 corrected photos are among the training images." in found.notes
    assert any("(a test photo)" in note for note in found.notes)


def test_a_correction_that_has_gone_is_told(tmp_path: Path) -> None:
    keep_correction(tmp_path, photo(tmp_path), "messy", source="page").file.unlink()
    data = Dataset.from_rows(tmp_path, [Row("x.png", "d" * 64, "clean", "train")])
    found = add_corrections(data, read_corrections(tmp_path), tested={})
    assert len(found.train) == 1
    assert "1 corrections are not used" in found.notes[-1]


# --- a new model


def _paired(monkeypatch: pytest.MonkeyPatch, value: float | None) -> list[tuple[Path, Path, str]]:
    asked: list[tuple[Path, Path, str]] = []

    def pair(new: Run, old: Run, on: str) -> Paired:
        asked.append((new.folder, old.folder, on))
        gap = None if value is None else Estimate(value, value - 0.1, value + 0.1, "test")
        return Paired(20, 0, gap)

    monkeypatch.setattr(promoting, "paired_accuracy", pair)
    return asked


def _graph(run: Path) -> bytes:
    return (run / "model" / "model.json").read_bytes()


def test_a_model_that_is_no_worse_is_promoted_and_can_be_taken_back(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rg.fit("photos", approaches=["knn"], out="other")
    old = read_run("run")
    before, after = _graph(old.folder), _graph(other.folder)
    assert before != after
    _paired(monkeypatch, 0.0)
    found = promote(other, old)
    assert found.promoted
    assert found.reason == "promoted, it is no worse: +0.0 points [-10.0, +10.0] on 20 photos"
    assert _graph(old.folder) == after
    assert rg.load("run").approach == "knn"
    roll_back("run")
    assert _graph(old.folder) == before
    roll_back("run")  # and back again
    assert _graph(old.folder) == after
    assert sorted(path.name for path in (here / "run" / "models").iterdir()) == ["0001"]


def test_a_model_that_is_worse_is_not_promoted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = read_run("run")
    before = _graph(old.folder)
    _paired(monkeypatch, -0.01)
    found = promote(old, old)
    assert not found.promoted
    assert found.reason.startswith("not promoted, it is worse: -1.0 points")
    _paired(monkeypatch, None)
    assert promote(old, old).reason == "both runs have no photo in common to be compared on"
    assert _graph(old.folder) == before
    with pytest.raises(RunError, match="run keeps no earlier model; nothing was promoted over it"):
        roll_back("run")


@pytest.mark.slow
def test_the_next_one_is_compared_with_the_model_at_work(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rg.fit("photos", approaches=["knn"], out="other")
    asked = _paired(monkeypatch, 0.0)
    promote(other, read_run("run"))
    promote(read_run("run"), read_run("run"))
    assert [Path(old).resolve().name for _, old, _ in asked] == ["run", "other"]
    assert {on for _, _, on in asked} == {"cross-validation"}


def test_the_commands(here: Path, regraft: CommandLine) -> None:
    done = regraft.done("correct", "run", "new", "--label", "messy")
    assert done.err.startswith("3 photos kept as messy; the model had ")
    assert "next     regraft fit photos/ --with-corrections run" in done.err
    done = regraft.done("fit", "photos", *QUICK, "--with-corrections", "run", "--out", "better")
    better = read_run("better")
    assert len(better.data.train) == 27
    promotion = better.about["promotion"]
    assert promotion["photos"] == 24
    assert ("promoted, it is no worse" in done.err) == promotion["promoted"]
    if promotion["promoted"]:
        assert "back     regraft rollback run" in done.err
        assert regraft.done("rollback", "run").err.startswith("model    run/model")
    else:
        assert "keeps no earlier model" in regraft("rollback", "run").error
    regraft.done("predict", "run", "new")
    regraft.done("report", "better")


@pytest.mark.slow
def test_a_test_set_stays_as_it_was(
    here: Path, made_once: Path, test_data: Path, regraft: CommandLine
) -> None:
    for name in ("clean", "messy"):
        copy_photos(test_data / "rooms" / "train" / name, here / "test" / name, 5, skip=60)
    command = ("fit", "photos", "--test", "test", *QUICK)
    regraft.done(*command, "--out", "first")
    one = next((here / "test" / "clean").iterdir())
    regraft.done("correct", "first", one, "new", "--label", "messy")
    regraft.done(*command, "--with-corrections", "first", "--out", "second")
    first, second = read_run("first"), read_run("second")
    assert {row.sha256 for row in first.data.test} == {row.sha256 for row in second.data.test}
    assert second.about["promotion"]["photos"] == 10
    assert any("(a test photo)" in note for note in second.about["notes"])


def test_nothing_to_learn_from_is_said(here: Path, regraft: CommandLine) -> None:
    failed = regraft("fit", "photos", *QUICK, "--with-corrections", "run", "--out", "other")
    assert "run holds no corrections; make some with regraft correct" in failed.error
    assert not (here / "other").exists()
    bad = here / "bad.jpg"
    bad.write_text("no photo")
    assert (
        "cannot be kept as a correction" in regraft("correct", "run", bad, "--label", "messy").error
    )


# --- what earlier versions, or hands, left


def test_a_run_that_lost_its_model_takes_the_one_before(
    here: Path, regraft: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill within a rollback of an earlier version left it."""
    other = rg.fit("photos", approaches=["knn"], out="other")
    _paired(monkeypatch, 0.0)
    promote(other, read_run("run"))
    before = (here / "run" / "models" / "0001" / "model.json").read_bytes()
    (here / "run" / "model").rename(here / "run" / ".model.4711.part")
    message = regraft("predict", "run", "new").error
    assert message == (
        "the run in run has lost its model; to put the one that it had before to work, run: "
        "regraft rollback run"
    )
    regraft.done("rollback", "run")
    assert _graph(here / "run") == before
    assert list((here / "run" / "models").iterdir()) == []
    assert (here / "run" / ".model.4711.part" / "model.json").exists()
    shutil.rmtree(here / "run" / "model")
    message = regraft("predict", "run", "new").error
    assert message == "the run in run has lost its model; fit again with --force"


def test_a_promotion_that_a_kill_prevented_is_made_up_for(here: Path, regraft: CommandLine) -> None:
    regraft.done("correct", "run", "new", "--label", "messy")
    command = ("fit", "photos", *QUICK, "--with-corrections", "run", "--out", "better")
    regraft.done(*command)
    promotion = read_run("better").about["promotion"]
    assert promotion["promoted"]
    graph = _graph(here / "run")
    about = json.loads((here / "better" / "run.json").read_text(encoding="utf-8"))
    del about["promotion"]
    (here / "better" / "run.json").write_text(json.dumps(about), encoding="utf-8")
    regraft.done(*command)  # killed after the models were exchanged
    assert read_run("better").about["promotion"]["promoted"]
    assert _graph(here / "run") == graph
    assert [path.name for path in (here / "run" / "models").iterdir()] == ["0001"]
    (here / "better" / "run.json").write_text(json.dumps(about), encoding="utf-8")
    regraft.done("rollback", "run")
    regraft.done(*command)  # killed before
    assert read_run("better").about["promotion"] == promotion
    assert _graph(here / "run") == graph
    assert "holds a finished run" in regraft(*command).error


def test_the_run_that_was_corrected_is_not_replaced_by_the_one_that_learns_from_it(
    here: Path, regraft: CommandLine
) -> None:
    regraft.done("correct", "run", "new", "--label", "messy")
    command = ("fit", "photos", *QUICK, "--with-corrections", "run", "--out", "./run", "--force")
    assert regraft(*command).error.startswith(
        "--out is run, the run whose corrections are used; choose another folder: the new model "
        "takes the place of the one in run if it is no worse"
    )


def test_a_run_folder_that_cannot_be_written_is_read_where_it_is(
    here: Path, regraft: CommandLine
) -> None:
    """A kill within a promotion, and then a copy of the run on a medium that is read-only."""
    regraft.done("fit", "photos", "--approach", "knn", "--out", "other")
    staged = here / "run" / "staged"
    shutil.copytree(here / "other" / "model", staged / "model")
    (staged / ".plan.json").write_text('{"parts": ["model"], "remove": []}', encoding="utf-8")
    staged.rename(here / "run" / COMMITTED)
    (here / "run" / LOCK).mkdir()  # so that it cannot be had
    for folder in ("run", "run/model"):
        assert rg.load(folder).approach == "knn"
    assert read_run("run").evaluations
    regraft.done("predict", "run", "new")
    assert (here / "run" / COMMITTED).exists()
    (here / "run" / LOCK).rmdir()
    regraft.done("predict", "run", "new")
    assert sorted(p.name for p in (here / "run").iterdir() if p.name.startswith(".")) == []
    assert _graph(here / "run") == _graph(here / "other")
