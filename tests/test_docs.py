"""Every command and example in README and docs runs as written."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest
import torch

import regraft as rg
from regraft.engines import torchvision
from regraft.runs.decisions import DECISIONS, new_decision, open_log
from tests.catalogue_hubs import (
    SQUEEZED,
    randomised,
    save_in_hub_form,
    transformers_model,
)
from tests.commands import CommandLine, copy_photos
from tests.foreign_networks import write_keras_like
from tests.tiny_encoders import write_encoder

ROOT = Path(__file__).resolve().parents[1]
OWN_NETWORK = """
from torch import nn

def make():
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.image_size_px, network.normalize = 32, "torch"
    return network
"""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def _commands() -> list[str]:
    lines = [
        line for page in PAGES for block in _blocks(page, "bash") for line in block.split("\n")
    ]
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


@pytest.fixture
def working_folder(photo_folder: Path, test_data: Path) -> Path:
    """What the examples assume: photos/, more_photos/, cameras/, new.jpg, new_photos/, tables.

    And new.txt, and networks of others: weights.pth, theirs.onnx, tiny_vit/, own_network.py,
    tiny_bert/, and word vectors in glove.txt.
    """
    folder = photo_folder.parent
    for name in ("clean", "messy"):
        (folder / "more_photos" / name).mkdir(parents=True)
        copy_photos(test_data / "rooms" / "train" / name, folder / "more_photos" / name, 4, skip=12)
    shutil.copytree(photo_folder / "messy", folder / "cameras" / "nursery")
    (folder / "new_photos").mkdir()
    some = sorted(photo_folder.rglob("*.jpg"))
    shutil.copy(some[0], folder / "new.jpg")
    shutil.copy(some[-1], folder / "new_photos")
    rows = [f"{path.relative_to(photo_folder)},{path.parent.name}" for path in some]
    (folder / "labels.csv").write_text("file,label\n" + "\n".join(rows), encoding="utf-8")
    network = randomised(torchvision.create("resnet18"))
    torch.save(network.state_dict(), folder / "weights.pth")
    write_keras_like(folder / "theirs.onnx")
    (folder / "reviews.csv").write_text(_reviews(), encoding="utf-8")
    (folder / "new.txt").write_text("the soup was lovely and warm", encoding="utf-8")
    save_in_hub_form(folder / "tiny_vit", transformers_model("ViT"), SQUEEZED, "license: mit")
    write_encoder(folder / "tiny_bert", pooling="mean")
    words = {"warm": "1 0 1", "fresh": "1 0 0", "rude": "0 1 0", "stale": "0 1 1", "soup": "0 0 1"}
    lines = [f"{word} {vector}" for word, vector in words.items()]
    (folder / "glove.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "own_network.py").write_text(OWN_NETWORK, encoding="utf-8")
    return folder


def _reviews() -> str:
    """A table of 24 short texts of two classes."""
    said = {"good": ("lovely", "warm", "fresh"), "bad": ("rude", "stale", "cold")}
    lines = [
        f"the {thing} was {word} and so was the waiter number {number},{label}"
        for label, words in said.items()
        for number, (thing, word) in enumerate(itertools.product(("soup", "bread"), words * 2))
    ]
    return "\n".join(["text,label", *lines]) + "\n"


def _in_little_time(words: list[str]) -> list[str]:
    """A fit that trains networks has 20 s, whatever it says."""
    if words[1:2] != ["fit"]:
        return words
    if "--budget" not in words:
        return [*words, "--budget", "20s"]
    at = words.index("--budget") + 1
    return [*words[:at], "20s", *words[at + 1 :]]


@pytest.mark.slow
def test_every_command_runs(
    working_folder: Path, regraft: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of regraft run in this process, but for those that need a shell or go on for ever."""
    monkeypatch.chdir(working_folder)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    }
    ran = []
    for command in _commands():
        where = working_folder
        if command.startswith("make "):  # their recipes are this very run: only check they exist
            command, where = command.replace("make ", "make -n ", 1), ROOT
        elif command.startswith("python -m benchmarks"):
            command, where = f"{command.partition('#')[0].split('--write')[0]} --help", ROOT
        elif command.startswith("regraft review "):
            _review(command, where, environment)
            ran.append(command)
            continue
        elif command.startswith(("regraft serve ", "regraft watch ")):
            _until_ready(command, where, environment)
            ran.append(command)
            continue
        elif command.startswith("regraft ") and " > " not in command:
            _, *words = _in_little_time(shlex.split(command, comments=True))
            regraft.done(*words)
            ran.append(command)
            continue
        done = subprocess.run(
            command, shell=True, cwd=where, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        ran.append(command)
    assert sum(command.startswith("regraft ") for command in ran) >= 12
    assert (working_folder / "runs" / "photos" / "report.html").exists()
    assert (working_folder / "predictions.csv").read_text(encoding="utf-8").startswith("path,")


def _review(command: str, folder: Path, environment: dict[str, str]) -> None:
    """Run a command that waits for people, decide something, and end it as they would."""
    words = shlex.split(command, comments=True)
    process = subprocess.Popen(
        words, cwd=folder, env=environment | {"DISPLAY": ""}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    run = rg.read_run(folder / words[2])
    with open_log(run.folder / DECISIONS) as writer:
        writer.add(new_decision(run.data.ok[0], "keep"))
    if "nothing to review" not in said:
        process.send_signal(signal.SIGINT)
    _, more = process.communicate(timeout=60)
    assert process.returncode == 0, said + more
    assert "next" in more


def _until_ready(command: str, folder: Path, environment: dict[str, str]) -> None:
    """Run a command that goes on for ever, and end it once it does what it says."""
    words = shlex.split(command, comments=True)
    process = subprocess.Popen(
        words, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if ("new photos" if words[1] == "watch" else "try ") in line:
                break
        if words[1] == "serve":
            _wait_until_healthy(said[0].split()[1])
        process.send_signal(signal.SIGINT)
        _, more = process.communicate(timeout=60)
        assert process.returncode == 0, "".join(said) + more
    finally:
        process.kill()
        process.communicate()


def _wait_until_healthy(url: str) -> None:
    ends = time.monotonic() + 30
    while True:
        try:
            assert httpx.get(f"{url}health").status_code == 200
            return
        except httpx.TransportError:
            assert time.monotonic() < ends, "the server did not start"
            time.sleep(0.05)


@pytest.mark.slow
def test_every_python_example_runs(working_folder: Path) -> None:
    blocks = [block for page in PAGES for block in _blocks(page, "python")]
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=working_folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_every_link_leads_somewhere() -> None:
    links = 0
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            links += 1
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    assert links > 5


def test_every_test_that_is_named_is_there() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = 0
    for page in (ROOT / "docs" / "trust.md", ROOT / "docs" / "safety.md"):
        for name in re.findall(r"`(tests/[^`]*|test_[a-z0-9_]+)`", page.read_text("utf-8")):
            named += 1
            is_there = (ROOT / name).exists() if "/" in name else f"def {name}(" in tests
            assert is_there, f"{page.name} names {name}"
    assert named > 30


def test_every_module_is_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "regraft"
    for path in sorted(package.iterdir()):
        if path.name.startswith("__") or path.name in {"py.typed", "_version.py"}:
            continue
        name = f"`{path.name}/`" if path.is_dir() else f"`{path.name}`"
        assert name in text, f"{name} is missing in docs/architecture.md"


@pytest.mark.slow
def test_the_example_of_the_package_runs(working_folder: Path) -> None:
    lines = (rg.__doc__ or "").splitlines()
    example = "\n".join(line for line in lines if line.startswith("    "))
    assert "rg.evaluate(model" in example
    (working_folder / "photos").rename(working_folder / "rooms")
    (working_folder / "more_photos").rename(working_folder / "more_rooms")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(example)],
        cwd=working_folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Estimate(value=" in done.stdout
