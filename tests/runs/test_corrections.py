"""Corrected photos: kept, trained on, and a model that is replaced unless the new one is worse."""

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
from regraft.dataset import Dataset, Row, leave_out_small_classes
from regraft.errors import DataError, RunError
from regraft.metrics.rates import Estimate
from regraft.runs import Run, read_run
from regraft.runs import promotion as promoting
from regraft.runs.corrections import (
    FOLDER,
    add_corrections,
    class_meant,
    keep_correction,
    read_corrections,
    with_note_on_corrections,
)
from regraft.runs.pairing import Paired
from regraft.runs.promotion import deployed_run, promote, roll_back
from regraft.storage.switching import COMMITTED, LOCK
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
    assert any("(a test photo)" in note for note in found.notes)
    noted = with_note_on_corrections(found, read_corrections(tmp_path), tmp_path)
    assert "2 corrected photos are among the training photos." in noted.notes


def test_a_correction_that_has_gone_is_told(tmp_path: Path) -> None:
    keep_correction(tmp_path, photo(tmp_path), "messy", source="page").file.unlink()
    data = Dataset.from_rows(tmp_path, [Row("x.png", "d" * 64, "clean", "train")])
    found = add_corrections(data, read_corrections(tmp_path), tested={})
    assert len(found.train) == 1
    assert found.notes[-1].startswith("1 correction is not used: ")
    assert found.notes[-1].endswith(".jpg (the file is not there).")


def test_a_label_that_is_no_class_is_asked_about() -> None:
    classes = ("box", "ball")
    assert class_meant(" box ", classes, is_new=False) == "box"
    assert class_meant("Box", classes, is_new=True) == "Box"
    for typed, meant in (("Box", "box"), ("bxo", "box"), ("BALL", "ball")):
        with pytest.raises(DataError) as refused:
            class_meant(typed, classes, is_new=False)
        assert str(refused.value) == (
            f"there is no class {typed!r}; did you mean {meant!r}? If {typed!r} is a new class, "
            "add --new-class"
        )
    with pytest.raises(
        DataError, match=r"no class 'vase', only 'ball' and 'box'\. If 'vase' is a new"
    ):
        class_meant("vase", classes, is_new=False)
    with pytest.raises(DataError, match=r"'0', '1', '2' and 4 more\. If"):
        class_meant("vase", list(map(str, range(7))), is_new=False)


def test_what_was_trained_on_is_counted_truly(tmp_path: Path) -> None:
    """A new class of one photo is left out, and the note says so and where the photo is."""
    rows = []
    for i in range(4):
        sha256 = hashlib.sha256(photo(tmp_path, f"{i}.png")).hexdigest()
        rows.append(Row(f"{i}.png", sha256, "ab"[i % 2], "train"))
    data = Dataset.from_rows(tmp_path, rows)
    keep_correction(tmp_path, photo(tmp_path, "new.png"), "c", source="command")
    found = read_corrections(tmp_path)
    changed = leave_out_small_classes(add_corrections(data, found, tested={}))
    noted = with_note_on_corrections(changed, found, tmp_path)
    assert noted.notes[-1] == (
        "1 corrected photo not trained on (class 'c' has only 1 different image; at least 2 are "
        f"needed), kept in {tmp_path / FOLDER} for the next fit."
    )
    assert not any("among the training" in note for note in noted.notes)
    keep_correction(tmp_path, photo(tmp_path, "another.png"), "a", source="command")
    found = read_corrections(tmp_path)
    changed = leave_out_small_classes(add_corrections(data, found, tested={}))
    noted = with_note_on_corrections(changed, found, tmp_path)
    assert "1 corrected photo is among the training photos." in noted.notes
    assert noted.notes[-1].startswith("1 corrected photo not trained on (class 'c' has")


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
    assert found.reason == (
        "promoted, the two cannot be told apart: +0.0 points [-10.0, +10.0] on 20 photos"
    )
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
    _paired(monkeypatch, -0.11)
    found = promote(old, old)
    assert not found.promoted
    assert found.reason == "not promoted, it is worse: -11.0 points [-21.0, -1.0] on 20 photos"
    _paired(monkeypatch, None)
    assert promote(old, old).reason == (
        "not promoted: both runs have no photo in common to be compared on"
    )
    assert _graph(old.folder) == before
    with pytest.raises(RunError, match="run keeps no earlier model; nothing was promoted over it"):
        roll_back("run")


@pytest.mark.parametrize(
    ("difference", "why"),
    [(-0.01, "the two cannot be told apart: -1.0 points"), (0.11, "it is better: +11.0 points")],
)
def test_what_is_not_significantly_worse_is_promoted(
    here: Path, monkeypatch: pytest.MonkeyPatch, difference: float, why: str
) -> None:
    _paired(monkeypatch, difference)
    found = promote(read_run("run"), read_run("run"))
    assert found.promoted
    assert found.reason.startswith(f"promoted, {why}")


def test_a_run_that_was_fitted_again_since_is_compared_with_nothing(here: Path) -> None:
    other = rg.fit("photos", approaches=["knn"], out="other")
    assert promote(other, read_run("run")).promoted
    assert deployed_run(read_run("run")) is not None
    rg.fit("photos", approaches=["knn"], seed=1, resize="pad", out="other", force=True)
    assert deployed_run(read_run("run")) is None
    found = promote(read_run("other"), read_run("run"))
    assert not found.promoted
    assert "is gone, or has another model by now" in found.reason
    assert rg.load("run").approach == "knn", "the promoted model is still at work"


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
    (here / "new" / "notes.txt").write_text("no photo")
    done = regraft.done("correct", "run", "new", "--label", "messy")
    told, kept, *_ = done.err.splitlines()
    assert told == "new/notes.txt is not kept: not an image (.txt)"
    assert kept.startswith("3 photos kept as messy; the model had got ")
    assert "next     regraft fit photos/ --with-corrections run" in done.err
    done = regraft.done("fit", "photos", *QUICK, "--with-corrections", "run", "--out", "better")
    better = read_run("better")
    assert len(better.data.train) == 27
    promotion = better.about.promotion
    assert promotion.photos == 24
    assert ("promoted, " in done.err.replace("not promoted, ", "")) == promotion.promoted
    if promotion.promoted:
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
    assert second.about.promotion.photos == 10
    assert any("(a test photo)" in note for note in second.about.notes)


def test_a_correction_of_an_unknown_class_is_not_taken_in_silence(
    here: Path, regraft: CommandLine
) -> None:
    one, two, *_ = sorted((here / "photos" / "clean").iterdir())
    error = regraft("correct", "run", one, "--label", "Messy").error
    assert error.startswith("there is no class 'Messy'; did you mean 'messy'?")
    assert not (here / "run" / FOLDER).exists()
    kept = regraft.done("correct", "run", one, "--label", "Attic", "--new-class")
    assert kept.err.startswith("1 photo kept as Attic; the model had got it wrong\n")
    done = regraft.done("fit", "photos", *QUICK, "--with-corrections", "run", "--out", "better")
    said = " ".join(done.err.split())
    assert "1 corrected photo not trained on (class 'Attic' has only 1 different image" in said
    assert "kept in run/corrections for the next fit" in said
    assert "among the training photos" not in said
    regraft.done("correct", "run", two, "--label", "Attic")  # known by now
    regraft.done("fit", "photos", *QUICK, "--with-corrections", "run", "--out", "third")
    third = read_run("third")
    assert third.data.classes == ("Attic", "clean", "messy")
    assert "2 corrected photos are among the training photos." in third.about.notes


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
    promotion = read_run("better").about.promotion
    assert promotion.promoted
    graph = _graph(here / "run")
    about = json.loads((here / "better" / "run.json").read_text(encoding="utf-8"))
    del about["promotion"]
    (here / "better" / "run.json").write_text(json.dumps(about), encoding="utf-8")
    regraft.done(*command)  # killed after the models were exchanged
    assert read_run("better").about.promotion.promoted
    assert _graph(here / "run") == graph
    assert [path.name for path in (here / "run" / "models").iterdir()] == ["0001"]
    (here / "better" / "run.json").write_text(json.dumps(about), encoding="utf-8")
    regraft.done("rollback", "run")
    regraft.done(*command)  # killed before
    assert read_run("better").about.promotion == promotion
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
