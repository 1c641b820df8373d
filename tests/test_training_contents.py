"""What a model was trained on is known by its content, kept with it, and never scored as if new."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import regraft as rg
from regraft.dataset import Dataset, Row
from regraft.dataset.overlaps import overlap_with, without_known_test_rows
from regraft.errors import DataError, ModelError
from regraft.reporting import build_report, build_side_by_side
from regraft.runs import read_run
from regraft.runs.promotion import promote
from regraft.training_contents import (
    FILE,
    NOTHING,
    UNKNOWN,
    TrainingContents,
    read_training_contents,
)
from tests.commands import PROBE, CommandLine, copy_photos, read_json
from tests.reporting.test_report import check_page

HASHES = st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=20)


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@given(HASHES, HASHES, st.booleans())
def test_what_was_trained_on_is_known(before: list[str], new: list[str], trains: bool) -> None:
    backbone = NOTHING.after_training(before, trains_backbone=True)
    found = backbone.after_training(new, trains_backbone=trains)
    assert found.known_to_model([*before, *new]).all()
    assert found.known_to_backbone(before).all()
    assert found.known_to_backbone(new).tolist() == [trains or one in before for one in new]
    assert not found.known_to_model(["", "f" * 65]).any() or "f" * 64 in [*before, *new]


@given(HASHES, st.booleans())
def test_they_survive_a_file(contents: list[str], is_complete: bool) -> None:
    from tempfile import TemporaryDirectory

    first = (NOTHING if is_complete else UNKNOWN).after_training(contents, trains_backbone=False)
    with TemporaryDirectory() as folder:
        (Path(folder) / FILE).write_bytes(first.to_bytes())
        again = read_training_contents(Path(folder))
    assert np.array_equal(again.model, first.model)
    assert (len(again.backbone), again.is_complete) == (0, is_complete)


def test_a_photo_takes_eight_bytes() -> None:
    some = NOTHING.after_training(map(sha256_of, map(str, range(1_000))), trains_backbone=False)
    assert len(some.to_bytes()) < 8_300


# --- a model is not scored on what it was trained on


@pytest.fixture
def here(
    made_once: Path, warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working folder with `photos/`, `more/` and the run `run/` of the photos."""
    for name in ("photos", "more", "run"):
        shutil.copytree(made_once / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("model", ["run", "run/model", "lone"])
def test_photos_of_the_training_are_refused(here: Path, regraft: CommandLine, model: str) -> None:
    shutil.copytree("run/model", "lone")
    failed = regraft("evaluate", model, "photos")
    assert failed.code == 1
    assert "the model was trained on all 24 labelled photos in " in failed.error
    renamed = here / "renamed" / "clean"
    renamed.mkdir(parents=True)
    shutil.copy(next((here / "photos" / "clean").iterdir()), renamed / "other name.jpg")
    assert "trained on all 1 labelled photos" in regraft("evaluate", model, "renamed").error


def test_those_among_others_are_left_out_and_counted(here: Path, regraft: CommandLine) -> None:
    alone = regraft.done("evaluate", "run", "more", "--format", "json").data
    shutil.copytree("photos", "more", dirs_exist_ok=True)
    mixed = regraft.done("evaluate", "run", "more", "--format", "json")
    assert (alone["n"], mixed.data["n"], mixed.data["overlap"]["left_out"]) == (12, 12, 24)
    assert mixed.data["accuracy"] == alone["accuracy"]
    assert "note: 24 photos not scored" in mixed.err
    assert "of 12 test photos" in regraft.done("evaluate", "run", "more").err


def test_the_same_from_python(here: Path) -> None:
    data = rg.scan("photos")
    best = rg.compare([rg.Knn()], data).best
    model = best.fit(data)
    with pytest.raises(DataError, match="trained on all 24 labelled photos"):
        rg.evaluate(model, data)
    with pytest.raises(DataError, match="trained on all 24 labelled photos"):
        rg.evaluate(model.save("saved"), "photos")
    assert rg.evaluate(model, rg.scan("more")).n == 12


def test_rows_of_a_test_set_are_not_the_training(here: Path) -> None:
    for name in ("clean", "messy"):
        for split, source in (("train", "photos"), ("test", "more")):
            shutil.copytree(Path(source) / name, Path("split") / split / name)
    data = rg.scan("split")
    model = rg.Knn().fit(data)
    assert rg.evaluate(model, data).n == len(data.test) == 12


def test_a_model_of_an_earlier_version_is_told_by_its_run(here: Path, regraft: CommandLine) -> None:
    card = read_json(here / "run" / "model" / "model.json")
    del card["files"][FILE]
    (here / "run" / "model" / "model.json").write_text(json.dumps(card), encoding="utf-8")
    (here / "run" / "model" / FILE).unlink()
    assert "trained on all 24 labelled photos" in regraft("evaluate", "run", "photos").error
    assert rg.evaluate("run", "more").overlap.is_complete
    shutil.copytree("run/model", "lone")  # nothing tells any more
    found = regraft.done("evaluate", "lone", "photos")
    assert "not fully recorded what this model was trained on" in " ".join(found.err.split())
    assert not rg.evaluate("lone", "photos").overlap.is_complete


def test_a_damaged_file_is_one_line(here: Path, regraft: CommandLine) -> None:
    file = here / "run" / "model" / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    assert f"{FILE} was altered or damaged" in regraft("evaluate", "run", "more").error
    card = read_json(here / "run" / "model" / "model.json")
    card["files"][FILE] = hashlib.sha256(whole[:-3]).hexdigest()
    (here / "run" / "model" / "model.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelError, match=f"{FILE} is damaged"):
        rg.load("run")


def test_a_promoted_model_knows_what_it_was_trained_on(here: Path) -> None:
    copy_photos(here / "more" / "messy", here / "grown" / "messy", 6)
    for name in ("clean", "messy"):
        shutil.copytree(here / "photos" / name, here / "grown" / name, dirs_exist_ok=True)
    other = rg.fit("grown", approaches=["linear_probe"], out="other")
    assert promote(other, read_run("run")).promoted
    with pytest.raises(DataError, match="trained on all"):
        rg.evaluate("run", "grown")
    rg.workflow.rollback("run")
    assert rg.evaluate("run", "grown").overlap.left_out == 24


# --- a backbone that was trained on the photos before


def trained_on(folder: Path, contents: list[str]) -> Path:
    """A model folder whose backbone was trained on these, so far as its file says."""
    shutil.copytree("run/model", folder)
    hashes = NOTHING.after_training(contents, trains_backbone=True)
    (folder / FILE).write_bytes(hashes.to_bytes())
    card = read_json(folder / "model.json")
    card["files"][FILE] = hashlib.sha256(hashes.to_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_going_on_from_a_probe_flatters_nothing(here: Path, regraft: CommandLine) -> None:
    regraft.done("fit", "photos", *PROBE, "--backbone", "run", "--out", "on")
    on = read_run("on")
    assert on.evaluations[0].overlap.flattering == 0
    assert on.about.backbone.pretrained_on == "ImageNet-1k", "nothing was trained further"


@pytest.mark.slow
def test_going_on_from_a_network_that_knows_the_labels_is_told(
    here: Path, regraft: CommandLine
) -> None:
    known = [row.sha256 for row in rg.scan("photos").train]
    before = trained_on(here / "before", known[:20])
    done = regraft.done("fit", "photos", *PROBE, "--backbone", before, "--out", "on")
    text = " ".join(done.err.split())
    assert "of 24 photos, 20 of which its backbone had been trained on before" in text
    assert "none of them seen before" not in text
    assert "before had been trained on 20 of the 24 training photos, labels included" in text
    on = read_run("on")
    assert asdict(on.evaluations[0].overlap) == {
        "left_out": 0,
        "flattering": 20,
        "is_complete": True,
    }
    assert on.about.backbone.pretrained_on == "ImageNet-1k, then trained further"
    page = check_page(build_report(on))
    (verdict,) = page.all("p", class_="verdict")
    assert "of photos, 20 of them known to its backbone" in verdict.text
    assert "had been trained on 20 of the 24 photos of cross-validation before" in page.text
    # Its own models know all of it.
    assert rg.load("on").contents.known_to_model(known).all()
    assert rg.load("on").contents.known_to_backbone(known).sum() == 20


@pytest.mark.slow
def test_a_flattered_run_is_neither_the_best_nor_promoted(here: Path, regraft: CommandLine) -> None:
    data = rg.scan("photos")
    before = trained_on(here / "before", [row.sha256 for row in data.train])
    verdict = rg.compare([rg.Knn(), rg.LinearProbe(str(before))], data).verdict
    assert "linear_probe on before is flattered: its backbone had been trained on 24 of" in verdict
    assert "knn on efficientnet_lite0 is flattered" not in verdict
    regraft.done("fit", "photos", *PROBE, "--backbone", before, "--out", "on")
    honest, flattered = read_run("run"), read_run("on")
    found = promote(flattered, honest)
    assert (found.promoted, found.photos) == (False, 0)
    assert found.reason == (
        "not promoted: a backbone had been trained on 24 of the photos to compare on before"
    )
    page = check_page(build_side_by_side([flattered, honest]))
    assert "cannot be compared: the backbone of one of them had been trained on 24" in page.text
    (verdict,) = page.all("p", class_="verdict")
    assert verdict.text == (
        "“run” and “on” cannot be compared: a backbone had been trained on the photos before"
    )


def rows(*splits: str, group: str = "") -> list[Row]:
    return [
        Row(f"{i}.jpg", sha256_of(str(i)), "ab"[i % 2], split, group)
        for i, split in enumerate(splits)
    ]


def contents_of(*numbers: int) -> TrainingContents:
    return NOTHING.after_training([sha256_of(str(i)) for i in numbers], trains_backbone=True)


def test_a_test_set_holds_nothing_that_a_backbone_knows() -> None:
    data = Dataset.from_rows(Path("/nowhere"), rows("train", "test", "train", "test"))
    given_one = without_known_test_rows(data, [NOTHING, contents_of(2, 3)], was_given=True)
    assert [row.path for row in given_one.test] == ["1.jpg"]
    (left_out,) = [row for row in given_one.rows if row.status == "excluded"]
    assert left_out.path == "3.jpg"
    assert "1 test photo left out: a backbone had been trained on" in given_one.notes[-1]
    drawn = without_known_test_rows(data, [contents_of(3)], was_given=False)
    assert [row.path for row in drawn.test] == ["1.jpg"]
    assert [row.path for row in drawn.train] == ["0.jpg", "2.jpg", "3.jpg"]
    assert without_known_test_rows(data, [contents_of(0, 2)], was_given=True) is data


def test_a_copy_of_what_a_backbone_knows_is_known() -> None:
    together = Dataset.from_rows(Path("/nowhere"), rows("train", "test", "test", group="one room"))
    assert not without_known_test_rows(together, [contents_of(0)], was_given=True).test


def test_an_overlap_is_counted_for_the_backbone_alone() -> None:
    some = rows("train", "train", "train")
    assert overlap_with(some, contents_of(0, 2)).flattering == 2
    probe = NOTHING.after_training([row.sha256 for row in some], trains_backbone=False)
    assert overlap_with(some, probe).flattering == 0
    assert not overlap_with(some, UNKNOWN).is_complete
