"""What is cached, shown and cleared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import CommandLine


def test_the_cache_is_shown_and_cleared(
    regraft: CommandLine, run_folder: Path, own_cache: Path
) -> None:
    shown = regraft.done("cache", "show", "--format", "json").data
    assert shown["folder"] == str(own_cache)
    features = next(part for part in shown["parts"] if part["kind"] == "features")
    assert features["detail"] == "24 vectors"
    assert str(own_cache) in regraft.done("cache", "show").out
    assert regraft.done("cache", "clear", "--features").err.startswith("freed ")
    after = {p["kind"]: p for p in regraft.done("cache", "show", "--format", "json").data["parts"]}
    assert after["features"]["bytes"] == 0
    assert after["graphs"]["bytes"] > 0
    assert (run_folder / "model" / "model.onnx").exists()


def test_parts_of_the_cache_are_cleared_alone(regraft: CommandLine, own_cache: Path) -> None:
    files = [
        own_cache / "features" / "a.sqlite",
        own_cache / "graphs" / "b.onnx",
        own_cache / "activations" / "c.bin",
    ]

    def fill() -> None:
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(1_500_000))

    for option, left in (
        ("--features", [False, True, True]),
        ("--graphs", [True, False, True]),
        ("--activations", [True, True, False]),
    ):
        fill()
        assert regraft.done("cache", "clear", option).err.startswith("freed 1.5 MB\n")
        assert [path.exists() for path in files] == left
    fill()
    freed = regraft.done("cache", "clear", "--features", "--activations").err
    assert freed.startswith("freed 3.0 MB\n")
    assert [path.exists() for path in files] == [False, True, False]
    fill()
    assert regraft.done("cache", "clear").err.startswith("freed 4.5 MB\n")
    assert not any(path.exists() for path in files)
    assert regraft.done("cache", "clear").err.startswith("freed 0.0 MB\n")


def test_a_cache_limit_that_is_no_number(
    regraft: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGRAFT_CACHE_GB", "plenty")
    found = regraft("cache", "show")
    assert found.code == 2
    assert "REGRAFT_CACHE_GB is 'plenty', expected a number of gigabytes" in found.error
