"""Tables that regraft writes: what a spreadsheet makes of a cell, and what comes back of it."""

from __future__ import annotations

import csv
import doctest
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from regraft.dataset import Dataset, Row, scan
from regraft.inspection.issues import Issue, issues_csv
from regraft.runs import ImagePrediction, predictions_csv
from regraft.runs.decisions import new_decision, open_log, read_decisions
from regraft.storage import csv_table
from regraft.storage.csv_table import csv_line, csv_text, guarded, read_csv, read_records, unguarded
from tests.commands import CommandLine

FORMULAS = (
    "=cmd(calc)!A0",
    "@x.jpg",
    "-1.jpg",
    "+1",
    "\t=1",
    "\r=1",
    "'=1",
    "''+a",
    "＝1+1",
    "-1+1",
)
HARMLESS = (
    "a",
    "",
    "'",
    "'a",
    "-1",
    "-0.5",
    "-1e-05",
    "'-1",
    "1",
    "1=2",
    " =1",
    "it's",
    "'s-Bosch",
)


def test_the_examples_of_its_docstrings() -> None:
    assert doctest.testmod(csv_table).attempted >= 2
    assert doctest.testmod(csv_table).failed == 0


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_would_be_a_formula_is_none(text: str) -> None:
    assert guarded(text) == "'" + text
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_and_numbers_stay(text: str) -> None:
    assert guarded(text) == text
    assert unguarded(text) == text


TEXTS = st.one_of(
    st.text(max_size=20), st.text(st.sampled_from("'=+-@\t\r\n 19.e,\"＝a"), max_size=8)
)


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=4), max_size=5))
@example([["=1", "\n"], ["", ""]])
def test_every_text_comes_back(rows: list[list[str]]) -> None:
    text = csv_text(rows)
    assert [cells for _, cells in read_csv(text)] == rows
    for cells in csv.reader(io.StringIO(text, newline="")):
        assert not any(cell[:1] in "=+@\t\r\n＝＋－＠" for cell in cells if cell)


@given(st.lists(TEXTS.filter(lambda text: text == guarded(text) == unguarded(text)), min_size=2))
def test_tables_of_older_versions_read_as_before(cells: list[str]) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(cells)
    assert next(read_csv(out.getvalue()))[1] == cells


def test_quotes_only_where_needed_and_numbers_as_numbers() -> None:
    assert csv_line(["a b", 'say "hi"', "x,y", "one\rtwo"]) == 'a b,"say ""hi""","x,y","one\rtwo"\n'
    assert csv_line([-1, -0.5, None, True]) == "-1,-0.5,,True\n"


def test_records_and_what_is_wrong_with_them() -> None:
    assert list(read_records("a,b\n'=1,2\n3\n")) == [{"a": "=1", "b": "2"}, {"a": "3", "b": ""}]
    with pytest.raises(ValueError, match="line 2 has 3 cells, expected 2"):
        list(read_records("a,b\n1,2,3\n"))
    with pytest.raises(ValueError, match="line 2: "):
        list(read_csv('a\n"b'))
    with pytest.raises(ValueError, match="field larger than field limit"):
        list(read_csv("a" * 200_000))


@pytest.mark.parametrize("name", FORMULAS)
def test_names_come_back_from_every_table_of_a_run(name: str, tmp_path: Path) -> None:
    row = Row(f"{name}/{name}", "d" * 64, name, group=name, reason=name)
    data = Dataset.from_rows(tmp_path, [row])
    issue = Issue(row.path, "label_suspect", 0.5, name)
    prediction = ImagePrediction(row.path, name, name, 0.9, "train", 0, (0.9, 0.1))
    tables = (
        data.to_csv(),
        issues_csv([issue]),
        predictions_csv([prediction], [name, "other"]),
    )
    for table in tables:
        for cells in csv.reader(io.StringIO(table, newline="")):
            assert not any(cell[:1] in "=+@\t\r＝" for cell in cells if cell)
    assert Dataset.from_csv(tables[0], tmp_path) == data
    assert next(read_records(tables[1]))["detail"] == name
    assert next(read_records(tables[2]))["predicted"] == name
    file = tmp_path / "decisions.csv"
    with open_log(file) as log:
        log.add(new_decision(row, "keep"))
    (decision,) = read_decisions(file).entries
    assert (decision.path, decision.label) == (row.path, name)


def test_a_table_of_a_scan_is_a_label_table(tmp_path: Path) -> None:
    for name in ("=a", "@b"):
        for number in range(3):
            photo = tmp_path / "photos" / name / f"-{number}.jpg"
            photo.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (40 * number, 9, ord(name[0]))).save(photo)
    found = scan(tmp_path / "photos", min_class_images=1)
    table = tmp_path / "photos" / "dataset.csv"
    table.write_text(found.to_csv(), encoding="utf-8")
    again = scan(table, min_class_images=1)
    assert {(r.path, r.label, r.status) for r in again.rows if r.label} == {
        (r.path, r.label, r.status) for r in found.rows
    }
    table.write_text("path,label\n=a/-0.jpg,'=a\n@b/-0.jpg,'s\n", encoding="utf-8")
    others = scan(table, min_class_images=1).rows  # of somebody else
    assert {r.label for r in others if r.label} == {"'=a", "'s"}


@pytest.mark.slow
def test_a_class_that_looks_like_a_formula_is_fitted_and_predicted(
    regraft: CommandLine, made_once: Path, tmp_path: Path
) -> None:
    photos, formula = tmp_path / "photos", "=cmd(calc)!A0"
    for source, name in (("clean", formula), ("messy", "@messy")):
        (photos / name).mkdir(parents=True)
        for number, photo in enumerate(sorted((made_once / "photos" / source).iterdir())):
            (photos / name / f"-{number}.jpg").write_bytes(photo.read_bytes())
    run = tmp_path / "run"
    done = regraft("fit", photos, "--approach", "knn", "--out", run)
    assert done.code == 0, done.err
    tables = [path.read_text() for path in run.glob("*.csv")]
    assert len(tables) >= 3
    predicted = regraft("predict", run, photos / formula, "--format", "csv").out
    scanned = regraft("scan", photos, "--format", "csv").out
    cells = [
        cell
        for text in (*tables, predicted, scanned)
        for cells in csv.reader(io.StringIO(text))
        for cell in cells
    ]
    assert len(cells) > 100
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@")]
    assert f"'{formula}" in cells
    said = regraft("predict", run, photos / formula, "--format", "json").data
    assert set(said[0]["probabilities"]) == {formula, "@messy"}
    assert regraft("report", run, "--out", tmp_path / "r.html").code == 0
