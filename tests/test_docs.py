"""Every command and example in README and docs runs as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
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
def working_folder(photo_folder: Path) -> Path:
    """What the examples assume: photos/, new.jpg, new_photos/, more_photos/ and labels.csv."""
    folder = photo_folder.parent
    for name in ("clean", "messy"):
        (folder / "more_photos" / name).mkdir(parents=True)
        for path in sorted((photo_folder / name).iterdir())[:4]:
            shutil.copy(path, folder / "more_photos" / name)
    (folder / "new_photos").mkdir()
    some = sorted(photo_folder.rglob("*.jpg"))
    shutil.copy(some[0], folder / "new.jpg")
    shutil.copy(some[-1], folder / "new_photos")
    rows = [f"{path.relative_to(photo_folder)},{path.parent.name}" for path in some]
    (folder / "labels.csv").write_text("file,label\n" + "\n".join(rows), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_every_command_runs(working_folder: Path) -> None:
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
        done = subprocess.run(
            command, shell=True, cwd=where, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        ran.append(command)
    assert sum(command.startswith("regraft ") for command in ran) >= 12
    assert (working_folder / "runs" / "photos" / "report.html").exists()
    assert (working_folder / "predictions.csv").read_text(encoding="utf-8").startswith("path,")


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


def test_every_module_is_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "regraft"
    for path in sorted(package.iterdir()):
        if path.name.startswith("__") or path.name in {"py.typed", "_version.py"}:
            continue
        name = f"`{path.name}/`" if path.is_dir() else f"`{path.name}`"
        assert name in text, f"{name} is missing in docs/architecture.md"
