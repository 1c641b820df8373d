"""Where evaluate finds labels."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.commands import CommandLine


def test_an_evaluation_finds_the_classes_below_other_folders(
    regraft: CommandLine, run_folder: Path
) -> None:
    for i, path in enumerate(sorted(Path("more/messy").iterdir())[:4]):
        place = Path(f"later/cam1/messy/day{i % 2}")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    found = regraft.done("evaluate", run_folder, "later", "--format", "json").data
    assert found["n"] == 4
    assert found["per_class"]["messy"]["n"] == 4


def test_evaluate_takes_a_label_table(regraft: CommandLine, run_folder: Path) -> None:
    lines = [f"{path.name},{path.parent.name}" for path in sorted(Path("more").rglob("*.jpg"))]
    Path("flat").mkdir()
    for path in Path("more/clean").iterdir():
        shutil.copy(path, "flat")
    table = "bild,art\n" + "\n".join(line for line in lines if line.endswith("clean"))
    Path("labels.csv").write_text(table, encoding="utf-8")
    columns = ("--path-column", "bild", "--label-column", "art", "--format", "json")
    of_table = regraft.done("evaluate", run_folder, "labels.csv", "--image-dir", "flat", *columns)
    of_folder = regraft.done("evaluate", run_folder, "flat", "--labels", "labels.csv", *columns)
    assert of_table.data == of_folder.data
    assert of_table.data["n"] == len(table.splitlines()) - 1
