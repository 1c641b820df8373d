"""A finished run, and a plan that is made once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from regraft import workflow


@pytest.fixture
def run_folder(
    made_once: Path, warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The run folder of `photos`; with `more`, they are in the working folder, the cache warm."""
    for name in ("photos", "more"):
        shutil.copytree(made_once / name, tmp_path / name)
    shutil.copytree(made_once / "run", tmp_path / "runs" / "photos", copy_function=os.link)
    monkeypatch.chdir(tmp_path)
    return Path("runs/photos")


@pytest.fixture
def planned_once(graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`plan` answers the same arguments from memory, and knows how fast the backbone is."""
    from regraft.backbones.backbone import remember_speed
    from regraft.backbones.sources import get_backbone

    shared = (graphs / "graphs").resolve()  # where a speed would be seen by other tests
    (graphs / "graphs").unlink()
    shutil.copytree(shared, graphs / "graphs", copy_function=os.link)
    remember_speed(get_backbone("efficientnet_lite0"), 100.0)
    known: dict[str, Any] = {}
    real = workflow.plan

    def plan(*given: Any, **options: Any) -> workflow.Plan:
        key = repr((given, {name: v for name, v in options.items() if name != "progress"}))
        if key not in known:
            known[key] = real(*given, **options)
        return known[key]

    monkeypatch.setattr(workflow, "plan", plan)
