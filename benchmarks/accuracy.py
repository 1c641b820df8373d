"""Accuracy on three sets of real photos, of the quickest path and of the default `fit`.

Command   python -m benchmarks accuracy
Data      rooms (192 training photos, 20 in `val`), clothing (3,409 training photos, those of
          `validation` among them, 372 in `test`), hymenoptera (245 and 153; a subset of what the
          backbones were pretrained on, so a smoke test); fingerprints in `data.py`
Expected  linear_probe on efficientnet_lite0: rooms 0.95 by cross-validation, clothing 0.89,
          hymenoptera 0.96. Results do not depend on the machine beyond a photo or two.

`linear_probe` is the probe on one backbone; the default `fit` compares all approaches on all
installed backbones by cross-validation on the training photos and reads the test photos once.
Its budget is lifted, so that a slow machine makes the same choice. Cross-validation on rooms is
5-fold, nested, over 5 assignments to folds; intervals treat images, not repeats, as independent.
The cross-validated accuracy of a chosen candidate is that of the best of several, and a little
too high for it; that of val and test is not.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import regraft as rg
from benchmarks.data import photo_data, photo_folder
from benchmarks.rows import Row, at_least, rate_text
from regraft.backbones.backbone import is_available
from regraft.runs import CandidateRecord

TARGETS = {"rooms": 0.95, "clothing": 0.885, "hymenoptera": 0.95}  # on val, test and val
CROSS_VALIDATION_TARGETS = {"rooms": 0.94}
NO_LIMIT_S = 24 * 3600.0


def run(*, names: tuple[str, ...] = tuple(TARGETS), fold_seeds: int = 5) -> list[Row]:
    """Two or four rows for each set of photos.

    Args:
        names: which sets.
        fold_seeds: assignments to folds that cross-validation is averaged over.
    """
    rows = []
    for name in names:
        data = photo_data(name)
        rows += _probe_rows(name, data, fold_seeds)
        rows += _default_rows(name, data, fold_seeds)
    return rows


def _probe_rows(name: str, data: rg.Dataset, fold_seeds: int) -> list[Row]:
    probe = rg.LinearProbe()
    title = f"{name}, {probe.name} on {probe.network.name}"
    found = rg.evaluate(probe.fit(data), data)
    return [*_cross_validation_row(name, title, probe, data, fold_seeds), _row(name, title, found)]


def _default_rows(name: str, data: rg.Dataset, fold_seeds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        run = rg.fit(
            photo_folder(name),
            out=Path(folder) / "run",
            approaches=("linear_probe", "knn"),
            backbones=[b.name for b in rg.list_backbones() if is_available(b)],
            budget_s=NO_LIMIT_S,
        )
    chosen = run.comparison.winner
    title = f"{name}, the best of both on Lite0 to Lite2 (chose {chosen.title})"
    (found,) = (evaluation for evaluation in run.evaluations if evaluation.on == "test")
    cross_validation = _cross_validation_row(name, title, _approach(chosen), data, fold_seeds)
    return [*cross_validation, _row(name, title, found)]


def _approach(candidate: CandidateRecord) -> rg.Approach:
    """The approach that a candidate in `comparison.json` stands for."""
    backbone, views = candidate.backbone, candidate.settings["views"]
    if candidate.approach == "knn":
        return rg.Knn(backbone, views=views)
    return rg.LinearProbe(backbone, views=views)


def _cross_validation_row(
    name: str, title: str, approach: rg.Approach, data: rg.Dataset, fold_seeds: int
) -> list[Row]:
    if name not in CROSS_VALIDATION_TARGETS:
        return []
    winner = rg.compare([approach], data, folds=5, repeats=fold_seeds).winner
    assert winner.accuracy is not None
    assert winner.cross_validation is not None
    by_seed = [f"{accuracy:.3f}" for accuracy in winner.cross_validation.correct.mean(axis=1)]
    return [
        at_least(
            f"{title}: cross-validation on {len(data.train)} photos",
            winner.accuracy.value,
            CROSS_VALIDATION_TARGETS[name],
            measured=f"{rate_text(winner.accuracy)}, by fold seed {' '.join(by_seed)}",
        )
    ]


def _row(name: str, title: str, found: rg.Evaluation) -> Row:
    right, limit = round(found.accuracy.value * found.n), TARGETS[name]
    return at_least(
        f"{title}: {found.n} held-out photos",
        found.accuracy.value,
        limit,
        measured=f"{right}/{found.n} = {rate_text(found.accuracy)}",
        target=f"at least {limit:g} ({math.ceil(limit * found.n)}/{found.n})",
    )
