"""One input or many, of every form: the same prediction, and one in is one out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import regraft as rg
from regraft.errors import DataError, ModelError, UsageError
from regraft.inputs import as_files, each, is_one, is_path
from regraft.kinds.base import read_input
from regraft.kinds.images.decoding import decode
from tests.commands import CommandLine


@pytest.fixture
def photo(made_once: Path) -> Path:
    return sorted((made_once / "photos" / "clean").iterdir())[0]


@pytest.fixture
def model(made_once: Path) -> rg.Model:
    return rg.load(made_once / "run")


FORMS: dict[str, Callable[[Path], Any]] = {
    "text": str,
    "path": Path,
    "picture": Image.open,
    "array": lambda path: decode(read_input(path)),
    "rgba": lambda path: np.asarray(Image.open(path).convert("RGBA")),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_in_is_one_out(form: str, photo: Path, model: rg.Model, made_once: Path) -> None:
    one = FORMS[form](photo)
    expected = model.predict([photo])[0]
    for found in (model.predict(one), rg.predict(made_once / "run", one), rg.predict(model, one)):
        assert isinstance(found, rg.Prediction)
        assert found.predicted == expected.predicted
        assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    several = model.predict([one, photo])
    assert [p.predicted for p in several] == [expected.predicted] * 2
    assert several[0].path == (str(photo) if form in ("text", "path") else "photo 1")
    assert rg.predict(model, [one])[0].probabilities == several[0].probabilities


def test_many_in_are_many_out(model: rg.Model, made_once: Path) -> None:
    folder = made_once / "photos" / "clean"
    assert len(rg.predict(model, folder)) == 12
    assert len(rg.predict(model, str(folder / "*.jpg"))) == 12
    assert len(model.predict(folder.glob("*.jpg"))) == 12
    assert len(model.predict(np.array([str(path) for path in folder.iterdir()]))) == 12
    arrays = np.stack([decode(read_input(path)) for path in sorted(folder.iterdir())[:3]])
    assert len(model.predict(arrays)) == 3
    assert model.predict([]) == []


def test_a_picture_is_turned_and_seen_as_its_file_is(
    photo: Path, tmp_path: Path, model: rg.Model
) -> None:
    for name, save in (
        ("turned.jpg", {"exif": _turned(6), "quality": 95}),
        ("grey.png", {}),
        ("deep.png", {}),
    ):
        picture = Image.open(photo)
        if name == "grey.png":
            picture = picture.convert("L")
        if name == "deep.png":
            picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
        path = tmp_path / name
        picture.save(path, **save)
        assert model.predict(Image.open(path)).probabilities == model.predict(path).probabilities


def _turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_a_damaged_picture_is_flagged(photo: Path, tmp_path: Path, model: rg.Model) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(photo.read_bytes()[:900])
    with Image.open(cut) as picture:
        found = model.predict(picture)
    assert (found.flag, found.path) == ("unreadable", "photo 1")
    assert found.reason.startswith("truncated")
    gone = model.predict("gone.jpg")
    assert (gone.flag, gone.reason) == ("unreadable", "the file is not there")
    with pytest.raises(KeyError, match="the classes are none: the file is not there"):
        gone["clean"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (5, "int came, expected a path, a PIL picture or uint8"),
        (b"bytes", "bytes came, expected"),
        ([b"bytes"], "bytes came among the inputs, expected"),
        ([["a.jpg"]], "list came among the inputs, expected"),
        ({"a.jpg": 1}, "dict came, expected"),
        (np.zeros((8, 8, 3)), r"an array came, float64 \(8, 8, 3\), expected"),
        (np.zeros((3, 8, 8), np.uint8), r"an array came, uint8 \(3, 8, 8\), expected"),
        (np.zeros((0, 8, 3), np.uint8), r"an array came, uint8 \(0, 8, 3\), expected"),
        (np.zeros((1, 1, 2, 2, 3), np.uint8), r"of the shape \(1, 1, 2, 2, 3\) came, expected"),
    ],
)
def test_what_is_no_input_is_told(wrong: Any, message: str, model: rg.Model) -> None:
    with pytest.raises(DataError, match=message) as caught:
        model.predict(wrong)
    assert "\n" not in str(caught.value)


def test_predict_tells_of_what_is_not_there(model: rg.Model, photo: Path) -> None:
    picture = Image.new("RGB", (8, 8))
    for inputs in ("gone.jpg", ["gone.jpg"], [photo, "gone.jpg"], [picture, "gone.jpg"]):
        with pytest.raises(DataError, match=r"there is no file, folder or match for gone\.jpg"):
            rg.predict(model, inputs)


def test_a_prediction_is_asked_by_class(model: rg.Model, photo: Path) -> None:
    found = model.predict(photo)
    assert found["clean"] == found.probabilities[0]
    assert found["messy"] == found.probabilities[1]
    with pytest.raises(KeyError, match="there is no class 'tidy'; the classes are clean, messy"):
        found["tidy"]
    assert "classes" not in repr(found)


def test_texts_and_their_files(texts_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(texts_once)
    model = rg.load("run")
    file = sorted(Path("texts/praise").iterdir())[0]
    text = file.read_text(encoding="utf-8")
    expected = model.predict(file)
    for found in (model.predict(text), rg.predict("run", text), rg.predict("run", str(file))):
        assert isinstance(found, rg.Prediction)
        assert found.probabilities == expected.probabilities
    assert model.predict(text).path == "text 1"
    several = rg.predict("run", [text, file])
    assert [p.path for p in several] == ["text 1", str(file)]
    assert len(rg.predict("run", "texts")) == 40
    with pytest.raises(DataError, match=r"there is no file, folder or match for gone\.txt"):
        rg.predict("run", "gone.txt")
    assert model.predict("gone.txt").reason == "the file is not there"
    assert model.predict(Path("gone")).reason == "the file is not there"
    assert model.predict("").flag == "unreadable"
    with pytest.raises(ModelError, match="the model reads texts, and a picture came"):
        model.predict(Image.new("RGB", (8, 8)))


@given(st.text(max_size=300))
def test_any_text_is_a_text_or_a_path(text: str) -> None:
    assert is_one(text)
    assert each(text) == [text]
    assert is_path(text)
    if is_path(text, "text"):
        assert Path(text[-255:]).suffix or os.path.lexists(text) or "#cell=" in text


def test_pictures_become_files_for_a_while(photo: Path) -> None:
    with as_files([photo, Image.open(photo), str(photo)]) as paths:
        assert (paths[0], paths[2]) == (str(photo), str(photo))
        made = Path(paths[1])
        assert made.name == "photo 2.png"
        assert (decode(read_input(made)) == decode(read_input(photo))).all()
    assert not made.exists()


# --- where else inputs are taken


@pytest.mark.slow
def test_explaining_and_correcting_a_picture(
    photo: Path, made_once: Path, warm_cache: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made_once / "run", run)
    for number, one in enumerate((str(photo), Image.open(photo), [photo])):
        found = rg.explain(run, one, out=tmp_path / f"maps{number}")
        assert len(found.pictures) == 1
        assert found.pictures[0][1].is_file()
    picture = Image.open(photo).rotate(90, expand=True)
    (kept,) = rg.correct(run, picture, "messy")
    assert kept.label == "messy"
    (kept,) = rg.correct(run, str(photo), "messy")
    assert kept.label == "messy"


@pytest.mark.slow
def test_fit_plan_and_audit_take_a_dataset(
    made_once: Path, warm_cache: Path, tmp_path: Path
) -> None:
    data = rg.scan(made_once / "photos")
    run = rg.fit(data, approaches="knn", out=tmp_path / "run")
    assert run.data.fingerprint() == data.fingerprint()
    assert run.about.command == ""
    assert rg.workflow.review_command(run).startswith("in Python: rg.fit(data, decisions=")
    assert run.model.predict(data.absolute(data.ok[0])).predicted in data.classes
    planned = rg.plan(data, approaches="knn")
    assert [candidate.title for candidate in planned.candidates] == ["knn on efficientnet_lite0"]
    assert rg.audit(data).data.fingerprint() == data.fingerprint()
    with pytest.raises(UsageError, match="labels is for a path, and a Dataset came"):
        rg.fit(data, labels="labels.csv", out=tmp_path / "other")


def test_compare_takes_names(made_once: Path, warm_cache: Path) -> None:
    data = rg.scan(made_once / "photos")
    one = rg.compare("knn", data)
    both = rg.compare(["knn", rg.LinearProbe()], data)
    assert [c.approach.name for c in one.candidates] == ["knn"]
    assert [c.approach.name for c in both.candidates] == ["knn", "linear_probe"]
    assert [c.approach.name for c in rg.compare(rg.Knn(), data).candidates] == ["knn"]
    with pytest.raises(UsageError, match="there is no approach 'k'; expected multilayer_probe"):
        rg.compare(["k"], data)
    with pytest.raises(DataError, match="nothing to compare"):
        rg.compare([], data)


def test_a_repr_is_one_short_line(
    made_once: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made_once)
    run, data = rg.read_run("run"), rg.scan("photos")
    comparison = rg.compare("knn", data)
    found = {
        repr(run),
        repr(data),
        repr(run.model),
        repr(run.evaluations[0]),
        repr(comparison),
        repr(comparison.winner),
        repr(comparison.winner.cross_validation),
        repr(rg.audit(data)),
        repr(run.exploration),
        repr(run.model.predict("photos/clean/gone.jpg")),
        repr(rg.RegraftClassifier()),
    }
    assert len(found) == 11
    for text in found:
        assert "\n" not in text
        assert len(text) < 300, text
    assert repr(data) == "Dataset(24 images of 2 classes: clean 12, messy 12)"
    assert repr(run).startswith("Run(run: cross-validation accuracy ")
    assert repr(run).endswith("linear_probe on efficientnet_lite0)")
    assert repr(run.model) == "Model(linear_probe on efficientnet_lite0: clean, messy)"
    assert "accuracy" in repr(comparison)


def test_a_dataset_is_its_rows(made_once: Path) -> None:
    data = rg.scan(made_once / "photos")
    assert len(data) == len(list(data)) == 24
    assert list(data) == list(data.rows)


def test_the_command_line_is_as_before(made_once: Path, photo: Path, regraft: CommandLine) -> None:
    done = regraft.done("predict", made_once / "run", photo, "--format", "csv")
    assert [row["path"] for row in done.rows] == [str(photo)]
    assert regraft("predict", made_once / "run", "gone.jpg").error.startswith("there is no file")
