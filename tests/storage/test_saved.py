"""Files that regraft wrote and somebody changed: what is wrong with which, in one line, at once."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import regraft as rg
from regraft import workflow
from regraft.errors import DataError, ModelError, RegraftError, RunError, StorageError
from regraft.reviewing import Session
from regraft.runs.corrections import keep_correction, read_corrections
from regraft.runs.decisions import new_decision, open_log, read_decisions
from regraft.storage.saved import naming, parse_json, read_bytes, read_json
from regraft.watching import Store
from regraft.watching.store import FileSeen, Photo
from tests.commands import CommandLine
from tests.damage import PARTS, WHOLE, Damage
from tests.damaged_graphs import DAMAGED, saying
from tests.slow_images import jpeg

RECORDS = (
    *("run.json", "comparison.json", "evaluation.json", "exploration.json"),
    *("dataset.csv", "issues.csv", "predictions.csv"),
)
OPTIONAL = {"exploration.json"}  # a run without it is whole


def tried(use: Callable[[], object], file: Path) -> str:
    """What reading something said: "" where it works, else one line that names the file."""
    said = ""
    try:
        use()
    except RegraftError as error:
        said = str(error)
    assert not said or file.name in said or str(file.parent) in said
    assert "\n" not in said
    assert len(said) < 1_000
    return said


def copied(source: Path, target: Path, name: str) -> Path:
    """A copy of a folder that shares all but one of its files with it."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in source.iterdir():
        if path.name == name:
            shutil.copy(path, target / name)
        else:
            (target / path.name).symlink_to(path)
    return target


def damaged(damage: Damage, file: Path, seed: int) -> bool:
    """Do it; whether there was something to be done."""
    try:
        damage(file, random.Random(seed))
    except (ValueError, TypeError, IndexError):  # such as a value of a file that has none
        return False
    return True


# --- the reader


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not valid JSON"),
        ("NaN", "not valid JSON"),
        ("[Infinity]", "not valid JSON"),
        ("1e999", "out of range"),
        ("[" * 70 + "]" * 70, "nested deeper"),
        ("[" * 100_000 + "]" * 100_000, "nested deeper"),
        ("[" + "9" * 310 + "]", "beyond all bounds"),
        ("'x'", "not valid JSON"),
        ("", "not valid JSON"),
    ],
)
def test_what_is_no_record_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_json(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé\0", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
)


@given(VALUES)
def test_what_json_holds_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value


def read_named(file: Path) -> None:
    with naming(file, RunError, "do this"):
        read_json(file, dict[str, int], most=10_000_000)


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    seen = []
    for damage in WHOLE.values():
        file.unlink(missing_ok=True) if not file.is_dir() else file.rmdir()
        file.write_text("{}")
        damage(file, random.Random(0))
        seen.append(tried(lambda: read_named(file), file))
    assert len(seen) == len(WHOLE)
    assert all("a.json" in line and line.endswith("; do this") for line in seen if line)
    assert seen.count("") == 1  # an empty object


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(bytes(11))
    with pytest.raises(ValueError, match="has 11 bytes, more than 10"):
        read_bytes(file, most=10)


# --- a model


@pytest.fixture
def photo(made_once: Path) -> Path:
    return next((made_once / "photos" / "clean").iterdir())


def use_model(folder: Path, photo: Path) -> None:
    model = rg.load(folder)
    assert model.tensors
    (said,) = model.predict([photo])
    assert said.predicted in model.classes
    json.dumps(said.probabilities, allow_nan=False)


@pytest.mark.parametrize("name", ["model.json", "model.onnx", "weights.safetensors"])
def test_a_file_of_a_model_that_is_something_else(
    made_once: Path, tmp_path: Path, photo: Path, name: str
) -> None:
    for damage in WHOLE.values():
        folder = copied(made_once / "run" / "model", tmp_path / "model", name)
        damage(folder / name, random.Random(0))
        assert tried(lambda: use_model(folder, photo), folder / name)  # noqa: B023


@pytest.mark.parametrize("seed", range(4))
def test_a_record_of_a_model_that_was_changed(
    made_once: Path, tmp_path: Path, photo: Path, seed: int
) -> None:
    said = []
    for number in range(50 * seed, 50 * seed + 50):
        folder = copied(made_once / "run" / "model", tmp_path / "model", "model.json")
        if damaged(PARTS[number % len(PARTS)], folder / "model.json", number):
            said.append(tried(lambda: use_model(folder, photo), folder / "model.json"))  # noqa: B023
    assert len(said) > 40
    assert sum(map(bool, said)) > 25


def with_graph(source: Path, folder: Path, graph: bytes) -> Path:
    """A model folder with another graph, whose hash is right."""
    copied(source, folder, "model.json")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes(graph)
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    record["files"]["model.onnx"] = hashlib.sha256(graph).hexdigest()
    (folder / "model.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", list(DAMAGED))
def test_a_graph_that_is_no_classifier_of_the_classes(
    made_once: Path, tmp_path: Path, photo: Path, name: str
) -> None:
    folder = with_graph(made_once / "run" / "model", tmp_path / "model", DAMAGED[name]())
    with pytest.raises(ModelError, match=r"model/model\.onnx"):
        rg.load(folder).predict([photo])
    with pytest.raises(ModelError, match=r"model/model\.onnx"):
        rg.load(folder).check()
    with pytest.raises(ModelError, match=r"model/model\.onnx"):
        workflow.serve(folder, port=0)


def test_a_graph_of_another_kind_that_fits_is_used(
    made_once: Path, tmp_path: Path, photo: Path
) -> None:
    folder = with_graph(made_once / "run" / "model", tmp_path / "model", saying([0.25, 0.75]))
    (said,) = rg.load(folder).predict([photo])
    assert said.probabilities == (0.25, 0.75)


def test_predictions_as_json_are_json_whatever_a_graph_says(
    regraft: CommandLine, made_once: Path, tmp_path: Path, photo: Path
) -> None:
    source = made_once / "run" / "model"
    folder = with_graph(source, tmp_path / "model", saying([float("nan"), 0.5]))
    assert "model.onnx gives numbers that are not finite" in (
        regraft("predict", folder, photo, "--format", "json").error
    )
    folder = with_graph(source, tmp_path / "model", saying([0.0, 1.0], 1e30))
    (said,) = json.loads(
        regraft("predict", folder, photo, "--format", "json").out, parse_constant=pytest.fail
    )
    assert said["flag"] == "unfamiliar"


# --- a run


def use_run(folder: Path, out: Path) -> None:
    workflow.report(folder, out / "report.html")
    session = Session(rg.read_run(folder))
    assert session.start()["classes"]


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_a_run_that_is_something_else(
    made_once: Path, tmp_path: Path, name: str
) -> None:
    for kind, damage in WHOLE.items():
        folder = copied(made_once / "run", tmp_path / "run", name)
        damage(folder / name, random.Random(0))
        said = tried(lambda: use_run(folder, tmp_path), folder / name)  # noqa: B023
        assert said or (kind == "gone" and name in OPTIONAL), kind


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_a_run_that_was_changed(made_once: Path, tmp_path: Path, name: str) -> None:
    said = []
    for seed in range(60):
        folder = copied(made_once / "run", tmp_path / "run", name)
        if damaged(PARTS[seed % len(PARTS)], folder / name, seed):
            said.append(tried(lambda: use_run(folder, tmp_path), folder / name))  # noqa: B023
    assert len(said) > 40
    assert sum(map(bool, said)) > 5


@pytest.mark.slow
def test_runs_that_were_changed_side_by_side_and_tracked(made_once: Path, tmp_path: Path) -> None:
    from regraft.frameworks.tracking import to_tensorboard

    whole, count = made_once / "run", 0
    for seed in range(40):
        name = RECORDS[seed % len(RECORDS)]
        folder = copied(whole, tmp_path / "run", name)
        if not damaged(PARTS[seed % len(PARTS)], folder / name, seed):
            continue
        count += 1
        page = tmp_path / "page.html"
        tried(lambda: workflow.report_side_by_side([folder, whole], page, force=True), folder)  # noqa: B023
        tried(lambda: to_tensorboard(folder, tmp_path / "board"), folder / name)  # noqa: B023
    assert count > 30


# --- a history


@pytest.fixture
def history(tmp_path: Path) -> Path:
    file = tmp_path / "rooms.db"
    with Store(file) as store:
        store.set_about(classes=["clean", "messy"], model="m", folder="/f", familiar=0.98)
        photos = [
            Photo("hall", f"{i:064d}", f"hall/{i}.jpg", 1e9 + 600 * i, "name", 1e9, "clean", 0.9,
                  (0.9, 0.1), "", "", 0.2, 90.0, "m")
            for i in range(20)
        ]  # fmt: skip
        store.add(photos, [FileSeen("hall/0.jpg", 1, 1)])
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    return file


def use_history(file: Path) -> None:
    found = workflow.timeline(file, file.with_suffix(".html"))
    assert found.to_csv()
    json.dumps(found.to_dict())


def test_a_history_that_is_something_else(history: Path) -> None:
    whole, refused = history.read_bytes(), 0
    for damage in WHOLE.values():
        damage(history, random.Random(0))
        refused += bool(tried(lambda: use_history(history), history))
        history.rmdir() if history.is_dir() else history.unlink(missing_ok=True)
        history.write_bytes(whole)
    assert refused >= len(WHOLE) - 1  # an empty file is an empty history


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE about SET value = 'x' WHERE name = 'format'",
        "UPDATE about SET value = '\"1\"' WHERE name = 'format'",
        "UPDATE about SET value = '[' WHERE name = 'classes'",
        "UPDATE about SET value = '7' WHERE name = 'classes'",
        "UPDATE about SET value = '[\"a\"]' WHERE name = 'classes'",
        "UPDATE about SET value = 'NaN' WHERE name = 'familiar'",
        "INSERT INTO about VALUES ('rules', '{\"evidence\": -1}')",
        "INSERT INTO about VALUES ('rules', '{\"other\": 1}')",
        "UPDATE about SET value = x'ff' WHERE name = 'folder'",
        "UPDATE photos SET probabilities = 'x'",
        "UPDATE photos SET probabilities = '[1]'",
        "UPDATE photos SET probabilities = '[NaN, 1]'",
        'UPDATE photos SET probabilities = \'["a", "b"]\'',
        "UPDATE photos SET probabilities = x'00'",
        "UPDATE photos SET taken = 'yesterday'",
        "UPDATE photos SET taken = 1e300",
        "UPDATE photos SET taken = 9e999",
        "UPDATE photos SET confidence = 'sure'",
        "UPDATE photos SET unfamiliarity = 9e999",
        "UPDATE photos SET path = 7",
        "UPDATE photos SET path = x'ff'",
        "UPDATE photos SET camera = x'ff'",
        "DROP TABLE photos",
        "ALTER TABLE photos RENAME COLUMN flag TO flags",
        "ALTER TABLE photos DROP COLUMN reason",
        "DROP TABLE photos; CREATE VIEW photos AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n",
        "CREATE TRIGGER t AFTER DELETE ON photos BEGIN DELETE FROM about; END",
    ],
)
def test_a_history_that_was_changed(history: Path, change: str) -> None:
    with sqlite3.connect(history) as connection:
        connection.executescript(change)
    tried(lambda: use_history(history), history)


def test_bits_of_a_history_that_flipped(history: Path) -> None:
    whole, refused = history.read_bytes(), 0
    for seed in range(60):
        history.write_bytes(whole)
        damaged(PARTS[seed % 4], history, seed)
        refused += bool(tried(lambda: use_history(history), history))
    assert refused > 5


# --- decisions and corrections


def test_a_file_of_decisions_that_is_something_else(tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    rows = [rg.Row(f"{i}.jpg", f"{i:064x}", "cat") for i in range(9)]
    with open_log(file) as log:
        log.add(*(new_decision(row, "keep") for row in rows))
    whole, said = file.read_bytes(), []
    for damage in WHOLE.values():
        damage(file, random.Random(0))
        said.append(tried(lambda: read_decisions(file), file))
        file.rmdir() if file.is_dir() else file.unlink(missing_ok=True)
        file.write_bytes(whole)
    assert sum(map(bool, said)) >= len(WHOLE) - 1  # an empty file holds none
    for seed in range(60):
        file.write_bytes(whole)
        damaged(PARTS[seed % len(PARTS)], file, seed)
        tried(lambda: read_decisions(file), file)


@pytest.mark.parametrize(
    "path", ["../photo.jpg", "/etc/passwd", "page/../../x.jpg", "other/a.jpg", "page/"]
)
def test_corrections_name_only_their_own_photos(tmp_path: Path, path: str) -> None:
    keep_correction(tmp_path, jpeg(), "cat", source="page", name="a.jpg")
    file = tmp_path / "corrections" / "corrections.csv"
    (kept,) = read_corrections(tmp_path)
    file.write_text(file.read_text().replace(f"page/{kept.file.name}", path))
    with pytest.raises(DataError, match=r"corrections\.csv names .* mend or delete that line"):
        read_corrections(tmp_path)


def test_errors_of_a_kind_pass_and_others_are_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^as it is$"), naming(tmp_path, StorageError, "do"):
        raise StorageError("as it is")
    damaged_for = pytest.raises(StorageError, match=r"is damaged \(a reason\); do")
    with damaged_for, naming(tmp_path, StorageError, "do"):
        raise DataError("a reason")
    with pytest.raises(MemoryError), naming(tmp_path, StorageError, "do"):
        raise MemoryError
