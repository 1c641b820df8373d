"""The list of pretrained networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from regraft.backbones.sources import get_backbone
from tests.commands import CommandLine


def test_backbones(regraft: CommandLine, graphs: Path) -> None:
    for item in regraft.done("backbones", "--format", "json").data:
        assert item["input_size"][0] == (256 if item["task"] == "sentence similarity" else 3)
        assert item.keys() >= {
            *("name", "source", "task", "pretrained_on", "input_size", "mean", "std"),
            *("interpolation", "crop_pct", "licence", "parameters", "feature_width"),
            "available_offline",
        }
    text = regraft.done("backbones")
    assert "efficientnet_lite0" in text.out
    assert max(map(len, text.out.splitlines())) <= 80
    assert "regraft backbones --measure" in text.err


@pytest.mark.slow
def test_backbones_are_measured_here(
    regraft: CommandLine, graphs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = get_backbone("efficientnet_lite0")
    monkeypatch.setattr("regraft.backbones.built_in.list_backbones", lambda: (only,))
    found = regraft.done("backbones", "--measure", "--format", "json").data
    assert found[0]["images_per_second"] > 1
    assert regraft.done("backbones", "--format", "json").data == found
