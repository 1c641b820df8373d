"""Pictures of files, maps of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.commands import CommandLine, read_json


@pytest.mark.slow
def test_explain_writes_pictures_of_files(regraft: CommandLine, run_folder: Path) -> None:
    photos = sorted(Path("photos/clean").iterdir())[:2]
    Path("photos/broken.jpg").touch()
    twin = Path("photos/messy") / photos[0].name
    shutil.copy(photos[1], twin)
    Path("out").mkdir()
    theirs = Path("out") / f"{photos[1].stem}-explained.png"
    theirs.write_text("somebody's own file", encoding="utf-8")
    given = (*photos, twin, "photos/broken.jpg")
    found = regraft.done("explain", run_folder, *given, "--out", "out")
    rows = [line.split() for line in found.out.splitlines()[1:]]
    written = {row[-1]: Path(row[-2]).name for row in rows}
    assert written == {
        str(photos[0]): f"{photos[0].stem}-explained.png",
        str(photos[1]): f"{photos[1].stem}-explained-2.png",
        str(twin): f"{photos[0].stem}-explained-2.png",
    }
    assert theirs.read_text(encoding="utf-8") == "somebody's own file"
    for name in written.values():
        with Image.open(Path("out") / name) as picture:
            assert picture.size == (120, 90)
    assert "not explained: photos/broken.jpg: the file is empty" in found.err
    assert "With random weights in place of the learned ones the maps change" in found.err
    predicted = regraft.done("predict", run_folder, *photos, "--format", "json").data
    assert [row[0] for row in rows[:2]] == [p["predicted"] for p in predicted]

    before = sorted(Path("out").iterdir())
    again = regraft.done("explain", run_folder, *given, "--out", "out", "--format", "csv")
    assert sorted(Path("out").iterdir()) == before, "its own pictures are replaced"
    assert again.err == ""
    assert [row["reason"] for row in again.rows] == ["", "", "", "the file is empty"]
    assert {row["picture"] for row in again.rows[:3]} == {f"out/{n}" for n in written.values()}
    data = regraft.done("explain", run_folder / "model", *given, "--format", "json").data
    assert data["sanity_check"]["passed"] is True
    assert [p["picture"] for p in data["photos"]] == [
        f"explanations/{photos[0].stem}-explained.png",
        f"explanations/{photos[1].stem}-explained.png",
        f"explanations/{photos[0].stem}-explained-2.png",
    ]
    assert data["left_out"] == [{"path": "photos/broken.jpg", "reason": "the file is empty"}]


@pytest.mark.slow
def test_explain_makes_the_maps_of_a_run(regraft: CommandLine, run_folder: Path) -> None:
    assert "show-heat" not in (run_folder / "report.html").read_text(encoding="utf-8")
    kept = {name: (run_folder / name).read_bytes() for name in ("run.json", "predictions.csv")}
    found = regraft.done("explain", run_folder)
    assert found.out == ""
    assert "typical hits explained" in found.err
    assert f"report   {run_folder / 'report.html'}" in found.err
    page = (run_folder / "report.html").read_text(encoding="utf-8")
    assert 'id="show-heat"' in page
    data = read_json(run_folder / "explanations.json")
    assert data["sanity_check"]["passed"] is True
    assert page.count("heat map of what speaks for") == len(data["photos"])
    assert not Path("explanations").exists()
    for name, content in kept.items():
        assert (run_folder / name).read_bytes() == content
    rows = regraft.done("explain", run_folder, "--format", "csv").rows
    assert [row["path"] for row in rows if not row["reason"]] == [p["path"] for p in data["photos"]]


def test_explain_says_why_it_cannot(regraft: CommandLine, run_folder: Path) -> None:
    Path("empty.jpg").touch()
    found = regraft("explain", run_folder, "empty.jpg", "--out", "out")
    assert (found.code, found.out) == (1, "")
    assert "none of the 1 photos can be explained" in found.error
    assert not Path("out").exists()
    regraft.done("fit", "photos", "--approach", "knn", "--out", "runs/knn")
    found = regraft("explain", "runs/knn")
    assert found.code == 1
    assert "a knn model decides by its nearest training photos" in found.error
    assert not Path("runs/knn/explanations.json").exists()
