"""What fit offers, where its run goes, and what it keeps of the command."""

from __future__ import annotations

import inspect
from pathlib import Path

from regraft import workflow
from regraft.commands.fit import fit
from regraft.commands.groups import grouped
from tests.commands import QUICK, CommandLine, read_json


def test_run_json_keeps_the_command_as_typed(regraft: CommandLine, run_folder: Path) -> None:
    regraft.done("fit", "photos", *QUICK, "--out", "runs/it's mine")
    assert read_json(Path("runs/it's mine/run.json"))["command"] == (
        "regraft fit photos --approach knn --out 'runs/it'\"'\"'s mine'"
    )


def test_runs_without_a_name_do_not_collide(regraft: CommandLine, run_folder: Path) -> None:
    before = (run_folder / "run.json").read_bytes()
    regraft.done("fit", "photos", *QUICK)
    assert sorted(path.name for path in Path("runs").iterdir()) == ["photos", "photos-2"]
    said = regraft.done("fit", "photos", *QUICK).err
    assert "runs/photos holds a finished run, so this one goes to runs/photos-3\n" in said
    assert (run_folder / "run.json").read_bytes() == before


def test_the_command_line_offers_what_the_verb_takes() -> None:
    options = set(inspect.signature(grouped(fit)).parameters)
    taken = set(inspect.signature(workflow.fit).parameters)
    spelled = {"backbone": "backbones", "approach": "approaches", "budget": "budget_s"}
    columns = {"path_column", "text_column", "label_column", "split_column", "group_column"}
    of_backbones = {"arch", "normalize", "size", "accept_licence"}
    assert of_backbones < options
    named = {spelled.get(name, name) for name in options - columns - of_backbones - {"context"}}
    assert named == taken - {"columns", "backbone_options", "command", "progress"}
