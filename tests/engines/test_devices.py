"""A further device is one row: every command runs on it, and nothing is taken for its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

import regraft as rg
from regraft.engines.devices import DEVICES, Device, current_device, load_graph
from regraft.engines.onnx import OnnxEngine
from regraft.errors import UsageError
from tests.commands import QUICK, CommandLine


class Counting:
    """An engine that counts its calls."""

    identity = "counting/float32"
    calls = 0

    def __init__(self, graph: Path | bytes, *, threads: int = 1, name: str = "") -> None:
        self._engine = OnnxEngine(graph, threads=threads, name=name)

    def run(self, array: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        Counting.calls += 1
        return self._engine.run(array)

    def check(self, taken: tuple[str, str, int], given: tuple[str, ...]) -> None:
        self._engine.check(taken, given)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _as_json(regraft: CommandLine, run: str, photos: Path) -> Any:
    return regraft.done("predict", run, photos, "--format", "json").data


@pytest.mark.slow
def test_every_command_runs_on_a_further_device(
    regraft: CommandLine, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = len(rg.scan(photo_folder).ok)
    regraft.done("fit", photo_folder, *QUICK, "--out", "plain")
    expected = _as_json(regraft, "plain", photo_folder)
    monkeypatch.setattr(Counting, "calls", 0)
    monkeypatch.setitem(DEVICES, "counting", Device(Counting.identity, Counting, "cpu"))
    monkeypatch.setenv("REGRAFT_DEVICE", "counting")

    regraft.done("fit", photo_folder, *QUICK, "--out", "counted")
    assert Counting.calls >= images, "features of another device are not taken for its own"
    calls = Counting.calls
    assert _as_json(regraft, "counted", photo_folder) == expected
    assert Counting.calls == calls + images
    regraft.done("export", "counted", "model.onnx")
    assert Path("model.onnx").exists()
    assert Counting.calls >= calls + 2 * images, "it was compared on all of them"


def test_a_device_that_is_unknown_is_refused(
    regraft: CommandLine, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGRAFT_DEVICE", "abacus")
    with pytest.raises(UsageError, match="REGRAFT_DEVICE is 'abacus', expected auto"):
        current_device()
    with pytest.raises(UsageError, match="abacus"):
        load_graph(b"")
    message = regraft("fit", photo_folder, *QUICK, "--out", "run").error
    assert message.startswith("REGRAFT_DEVICE is 'abacus', expected auto")


def test_the_usual_device_is_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGRAFT_DEVICE", raising=False)
    assert current_device().load is OnnxEngine
    assert current_device().identity == OnnxEngine.identity
