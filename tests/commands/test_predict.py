"""What predict takes, and what it says of it."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from regraft.commands.drawing.predict import show_predictions
from regraft.model import Prediction
from tests.commands import CommandLine


def test_predictions_as_csv_and_json_agree(regraft: CommandLine, run_folder: Path) -> None:
    Path("photos/broken, file.jpg").write_bytes(b"")
    as_csv = regraft.done("predict", run_folder, "photos", "--format", "csv")
    header = "path,predicted,confidence,set,flag,p_clean,p_messy,reason"
    assert as_csv.out.splitlines()[0] == header
    as_json = regraft.done("predict", run_folder, "photos", "--format", "json").data
    assert len(as_json) == len(as_csv.rows) == 25
    for row, item in zip(as_csv.rows, as_json, strict=True):
        assert Path(row["path"]).exists()
        assert row["path"] == item["path"]
        assert row["flag"] == item["flag"]
        assert row["flag"] in ("", "unsure", "unfamiliar", "unreadable")
        if row["flag"] == "unreadable":
            assert [row["predicted"], row["confidence"], row["p_clean"]] == ["", "", ""]
            assert item["reason"] == row["reason"] == "the file is empty"
            continue
        assert float(row["confidence"]) == item["confidence"]
        assert row["set"].split("|") == item["set"] or item["set"] == []
        assert item["confidence"] == max(item["probabilities"].values())
        assert sum(item["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_predict_takes_files_folders_and_patterns(regraft: CommandLine, run_folder: Path) -> None:
    def paths(*inputs: str, flag: str = "") -> list[str]:
        rows = regraft.done("predict", run_folder, *inputs, "--format", "csv").rows
        return [row["path"] for row in rows if (row["flag"] == "ignored") is bool(flag)]

    everything = paths("photos")
    assert len(everything) == 24
    assert everything == paths("photos/*") == paths("photos/clean", "photos/messy/*.jpg")
    assert paths("photos/**/1*.jpg") == [p for p in everything if Path(p).name.startswith("1")]
    assert paths(everything[3], "photos/clean") == [
        everything[3],
        *(p for p in everything[:12] if p != everything[3]),
    ]
    Path("photos/.hidden").mkdir()
    shutil.copy(everything[0], "photos/.hidden/a.jpg")
    Path("photos/notes.txt").write_text("no photo", encoding="utf-8")
    assert paths("photos") == everything
    assert paths("photos", flag="ignored") == ["photos/.hidden/a.jpg", "photos/notes.txt"]


def test_what_predict_passes_over_is_told_and_listed(
    regraft: CommandLine, run_folder: Path
) -> None:
    Path("new").mkdir()
    shutil.copy(next(Path("photos/clean").iterdir()), "new/1.jpg")
    for name in ("IMG_1.NEF", "photo.jpg_large", "noext"):
        shutil.copy("new/1.jpg", f"new/{name}")
    shown = regraft.done("predict", run_folder, "new")
    assert len(shown.out.splitlines()) == 2
    assert "3 ignored: not looked at\n  new/IMG_1.NEF: not an image (.NEF)\n" in shown.err
    assert "1 file: 1 " in shown.err
    rows = regraft.done("predict", run_folder, "new", "--format", "csv").rows
    assert [(row["path"], row["flag"], row["reason"]) for row in rows[1:]] == [
        ("new/IMG_1.NEF", "ignored", "not an image (.NEF)"),
        ("new/noext", "ignored", "not an image (no suffix)"),
        ("new/photo.jpg_large", "ignored", "not an image (.jpg_large)"),
    ]
    items = regraft.done("predict", run_folder, "new", "--format", "json").data
    assert [item["reason"] for item in items] == [row["reason"] for row in rows]
    assert items[1]["probabilities"] == {}


def test_predict_takes_tables_of_photos(regraft: CommandLine, run_folder: Path) -> None:
    photos = sorted(Path("photos/messy").iterdir())[:3]
    lines = [f"messy/{path.stem},messy" for path in photos]
    Path("test.csv").write_text("\n".join(["image_id,label", *lines, "gone,clean"]) + "\n")
    rows = regraft.done("predict", run_folder, "test.csv", "--format", "csv").rows
    assert [row["path"] for row in rows] == [*map(str, photos), "gone"]
    assert rows[-1]["reason"] == "not found; named in line 5 of test.csv"
    Path("lists").mkdir()
    Path("test.csv").rename("lists/test.csv")
    error = regraft("predict", run_folder, "lists/test.csv").error
    assert "none of the 4 names in test.csv" in error
    assert "give the folder with --image-dir" in error
    options = ("--image-dir", "photos", "--path-column", "image_id", "--format", "csv")
    assert regraft.done("predict", run_folder, "lists/test.csv", *options).rows == rows
    unseen = [f"messy/{path.stem},messy" for path in sorted(Path("more/messy").iterdir())]
    Path("lists/more.csv").write_text("\n".join(["image_id,label", *unseen]) + "\n")
    scored = regraft.done("evaluate", run_folder, "lists/more.csv", "--image-dir", "more")
    assert "of 6 test photos" in scored.err


def test_nothing_to_predict_is_wrong_usage(regraft: CommandLine, run_folder: Path) -> None:
    found = regraft("predict", run_folder)
    assert found.code == 2
    assert found.error == "nothing to predict; give files, folders, patterns, a table or --text"
    found = regraft("predict", run_folder, "--text", "hello")
    assert found.error == "the model reads photos, and --text is for models of texts; give files"


def test_a_model_folder_does_as_well_as_its_run(regraft: CommandLine, run_folder: Path) -> None:
    of_run = regraft.done("predict", run_folder, "photos", "--format", "csv")
    of_model = regraft.done("predict", run_folder / "model", "photos", "--format", "csv")
    assert of_run.out == of_model.out


def test_when_nothing_can_be_read_predict_fails(regraft: CommandLine, run_folder: Path) -> None:
    Path("text.jpg").write_text("hello", encoding="utf-8")
    found = regraft("predict", run_folder, "text.jpg", "--format", "csv")
    assert found.code == 1
    assert found.rows[0]["flag"] == "unreadable"
    assert "none of the 1 files could be read; the first is text.jpg" in found.error


def test_columns_stay_aligned_whatever_names_hold() -> None:
    predictions = [
        _prediction("a.jpg", "照片", ("照片",)),
        _prediction("[red]b[/red].jpg", "[bold]x[/bold]", ("[bold]x[/bold]", "照片"), "unsure"),
        _prediction("c.jpg", "plain", (), "unfamiliar"),
        Prediction("d.jpg", "", float("nan"), (), (), float("nan"), "unreadable", "[dim] empty"),
    ]
    out, prose = io.StringIO(), io.StringIO()
    show_predictions(
        Console(file=out, width=40), Console(file=prose, width=80), predictions, next_command="x"
    )
    assert out.getvalue().splitlines() == [
        "predicted       confidence  flag        prediction set        file",
        "照片                 0.900              照片                  a.jpg",
        "[bold]x[/bold]       0.900  unsure      [bold]x[/bold], 照片  [red]b[/red].jpg",
        "plain                0.900  unfamiliar  none fits well        c.jpg",
        "                            unreadable                        d.jpg ([dim] empty)",
    ]
    text = prose.getvalue()
    assert "4 files: 1 照片, 1 [bold]x[/bold], 1 plain" in text
    for flag in ("unsure", "unfamiliar", "unreadable"):
        assert f"1 {flag}: " in text


def _prediction(path: str, predicted: str, kept: tuple[str, ...], flag: str = "") -> Prediction:
    return Prediction(path, predicted, 0.9, (0.9, 0.1), kept, 0.1, flag)
