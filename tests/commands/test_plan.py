"""A plan as text, CSV and JSON."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands import CommandLine


@pytest.mark.slow
def test_plan_as_csv_json_and_text(
    regraft: CommandLine, run_folder: Path, planned_once: None
) -> None:
    options = ("--approach", "linear_probe", "--approach", "scratch")
    plan = regraft.done("plan", "photos", *options, "--format", "json").data
    assert plan.keys() == {
        *("modality", "size", "similarity", "quadrant", "advice", "reason", "source"),
        "candidates",
    }
    assert (plan["size"]["images"], plan["size"]["word"]) == (24, "small")
    assert 0 < plan["similarity"]["value"] < 1
    assert plan["quadrant"] == f"small and {plan['similarity']['word']}"
    titles = ["linear_probe on efficientnet_lite0", "scratch on small_resnet"]
    assert [one["title"] for one in plan["candidates"]] == titles
    probe, scratch = plan["candidates"]
    assert (probe["epochs"], probe["seconds"], probe["fit_seconds"]) == (None, 0.24, 0)
    assert (scratch["epochs"], scratch["reason"]) == (40, "")
    assert scratch["seconds"] > 0
    assert scratch["fit_seconds"] > 0

    as_csv = regraft.done("plan", "photos", *options, "--format", "csv")
    assert as_csv.out.splitlines()[0] == "title,seconds,fit_seconds,epochs,reason"
    assert [row["title"] for row in as_csv.rows] == titles
    assert [float(row["seconds"]) for row in as_csv.rows] == [
        one["seconds"] for one in plan["candidates"]
    ]

    text = regraft.done("plan", "photos", *options)
    assert text.out == ""
    prose = " ".join(text.err.split())
    assert plan["quadrant"].capitalize() in prose
    assert plan["advice"] in prose
    assert "24 training photos of 2 classes, the smallest with 12: small." in prose
    assert re.search(r"^linear_probe on efficientnet_lite0 +moments +moments", text.err, re.M)
    assert re.search(r"^scratch on small_resnet, 40 epochs +\d[\d.]* (s|min)", text.err, re.M)
    assert text.err.rstrip().endswith("next     regraft fit photos")
    assert [path.name for path in Path("runs").iterdir()] == ["photos"], "plan writes no run"


def test_a_plan_says_what_cannot_be_trained(
    regraft: CommandLine, run_folder: Path, planned_once: None
) -> None:
    Path("net.py").write_text("def wrong(classes):\n    return classes\n", encoding="utf-8")
    options = ("--approach", "scratch", "--architecture", "net.py:wrong")
    (one,) = regraft.done("plan", "photos", *options, "--format", "json").data["candidates"]
    assert one["seconds"] is None
    assert one["reason"] == "the architecture returned int, expected a torch.nn.Module"
    assert one["reason"] in " ".join(regraft.done("plan", "photos", *options).err.split())
    (row,) = regraft.done("plan", "photos", *options, "--format", "csv").rows
    assert (row["seconds"], row["reason"]) == ("", one["reason"])
