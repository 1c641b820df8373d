"""An approach in one file and one row: every command knows it without further change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import regraft as rg
from regraft.approaches import APPROACHES
from regraft.errors import UsageError
from tests.commands import CommandLine, help_of
from tests.toys import toy_module

FILE = '''
"""Nearest class mean: logits are minus the squared distances to the shrunken class means."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from regraft.approaches.base import Profile, Turn
from regraft.approaches.base import NO_LIMITS
from regraft.approaches.frozen import (
    HeadRecipe,
    cross_validate_frozen,
    fit_frozen,
    frozen_backbone,
)
from regraft.heads.linear import LinearHead


def fit_means(features, labels, n_classes, shrinkages):
    overall = features.mean(axis=0)
    own = np.array([features[labels == c].mean(axis=0) for c in range(n_classes)], np.float64)
    all_means = [(1 - shrinkage) * own + shrinkage * overall for shrinkage in shrinkages]
    return [LinearHead(2 * means.T, -(means**2).sum(axis=1)) for means in all_means]


@dataclass(frozen=True)
class NearestMean:
    name: ClassVar[str] = "nearest_mean"
    profile: ClassVar[Profile] = Profile(turn=Turn.FROZEN)

    backbone: object = "efficientnet_lite0"

    @classmethod
    def candidates(cls, asked):
        return [cls(backbone) for backbone in asked.backbones[:1]]

    @property
    def network(self):
        return frozen_backbone(self.backbone, views=1, resize=None)

    @property
    def settings(self):
        return {"views": 1}

    @property
    def _recipe(self):
        return HeadRecipe(self.name, "shrinkage", (0.0, 0.5, 0.9), fit_means)

    def cross_validate(self, data, folds, *, limits=NO_LIMITS, **options):
        return cross_validate_frozen(
            self._recipe, data, self.network, folds, limits=limits, **options
        )

    def fit(self, data, **options):
        options = {"cross_validation": None, "limits": NO_LIMITS, "seed": 0, **options}
        return fit_frozen(self._recipe, data, self.network, settings=self.settings, **options)
'''


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the toy, and its row in the registry."""
    with toy_module(tmp_path / "toy", "toy_means", FILE) as module:
        monkeypatch.setitem(APPROACHES, "nearest_mean", module.NearestMean)
        yield tmp_path / "toy"


def test_help_and_errors_name_it(toy: Path, photo_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no approach 'magic'; expected .*nearest_mean"):
        rg.fit(photo_folder, approaches="magic")
    shown = help_of(
        "fit",
        toy,
        "import toy_means; from regraft.approaches import APPROACHES; "
        "APPROACHES['nearest_mean'] = toy_means.NearestMean",
    )
    assert "nearest_mean" in shown


def test_it_is_planned_raced_reported_saved_and_exported(
    photo_folder: Path, tmp_path: Path, regraft: CommandLine
) -> None:
    run = tmp_path / "run"
    named = (photo_folder, "--approach", "nearest_mean", "--approach", "knn")
    planned = regraft.done("plan", *named, "--format", "json").data["candidates"]
    titles = ["nearest_mean on efficientnet_lite0", "knn on efficientnet_lite0"]
    assert sorted(candidate["title"] for candidate in planned) == sorted(titles)
    regraft.done("fit", *named, "--out", run)
    comparison = json.loads((run / "comparison.json").read_text(encoding="utf-8"))
    raced = {c["title"]: c for c in comparison["candidates"]}
    assert set(raced) == set(titles)
    assert raced[titles[0]]["status"] == "done"
    assert raced[titles[0]]["settings"]["shrinkage"] in (0.0, 0.5, 0.9)
    assert raced[titles[0]]["accuracy"]["value"] > 0.7
    assert "nearest_mean" in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_model_predicts_and_is_exported(
    photo_folder: Path, tmp_path: Path, regraft: CommandLine
) -> None:
    run = tmp_path / "run"
    regraft.done("fit", photo_folder, "--approach", "nearest_mean", "--out", run)
    predicted = regraft.done("predict", run, photo_folder, "--format", "csv").rows
    right = [row["path"].split("/")[-2] == row["predicted"] for row in predicted]
    assert len(right) == 24
    assert sum(right) > 18
    regraft.done("export", run, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size > 1_000_000


@pytest.mark.slow
def test_by_default_it_is_raced_as_well(photo_folder: Path) -> None:
    planned = rg.plan(photo_folder, approaches=())
    assert any(c.title.startswith("nearest_mean on") for c in planned.candidates)
