"""A plan announces what a fit races."""

from __future__ import annotations

from pathlib import Path

import pytest

import regraft as rg
from tests.commands import copy_photos


def _titles(run: rg.Run) -> list[str]:
    return [candidate.title for candidate in run.comparison.candidates]


def test_a_plan_has_the_candidates_of_the_fit(photo_folder: Path, tmp_path: Path) -> None:
    approaches = ("knn", "linear_probe")
    planned = rg.plan(photo_folder, approaches=approaches)
    run = rg.fit(photo_folder, approaches=approaches, out=tmp_path / "run")
    assert [candidate.title for candidate in planned.candidates] == _titles(run)


@pytest.mark.slow
def test_a_plan_has_all_candidates_of_the_fit(photo_folder: Path, tmp_path: Path) -> None:
    """Which of several other backbones comes first is another thing: that is for time to rank."""
    planned = rg.plan(photo_folder, budget_s=20)
    run = rg.fit(photo_folder, budget_s=20, out=tmp_path / "run")
    titles = [candidate.title for candidate in planned.candidates]
    assert sorted(titles) == sorted(_titles(run))
    assert len(titles) >= 6


def test_a_plan_counts_what_the_fit_trains_on(
    photo_folder: Path, test_data: Path, tmp_path: Path
) -> None:
    """Copies, damage and small classes count for both in the same way."""
    (photo_folder / "clean" / "damaged.jpg").write_bytes(b"no photo")
    cut = next((photo_folder / "messy").iterdir()).read_bytes()
    (photo_folder / "messy" / "cut.jpg").write_bytes(cut[: len(cut) // 2])
    copy_photos(test_data / "rooms" / "val" / "clean", photo_folder / "few", 1, size=64)
    planned = rg.plan(photo_folder, approaches="knn")
    run = rg.fit(photo_folder, approaches="knn", out=tmp_path / "run")
    assert planned.size.images == run.about.counts["training"]
    assert planned.size.classes == len(run.about.classes) == 2
