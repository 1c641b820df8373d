"""The rule of thumb and what transfer bought: told where a run has them, absent where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regraft.reporting.guidance import (
    what_depths_tell,
    what_transfer_bought,
    why_this_approach,
)
from regraft.runs import Run
from tests.reporting.page import squeezed
from tests.reporting.sample_runs import FULL_COMPARISON, GUIDE, make_run

TRANSFER = FULL_COMPARISON["transfer"]


def run_with(tmp_path: Path, **comparison: Any) -> Run:
    return make_run(tmp_path, comparison=comparison, write_images=False)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("similarity", ["similar", "different"])
def test_the_data_stands_in_one_corner(tmp_path: Path, size: str, similarity: str) -> None:
    guide = {**GUIDE, "quadrant": f"{size} and {similarity}"}
    found = why_this_approach(run_with(tmp_path, guide=guide))
    assert found is not None
    (here,) = (corner for corner in found.corners if corner.here)
    assert (here.column, here.row) == (similarity == "similar", size == "small")
    assert len({(c.column, c.row) for c in found.corners}) == 4


def test_size_and_similarity_in_words_and_numbers(tmp_path: Path) -> None:
    found = why_this_approach(run_with(tmp_path, guide=GUIDE))
    assert found is not None
    assert found.size == "small: 24 training photos of 2 classes"
    assert found.classes == "12 photos in the smallest, 12 in the median class"
    assert found.similarity == "similar: 0.22 standard deviations from the photos of ImageNet-1k"
    assert [(d.name, d.value) for d in found.depths] == [
        ("Early layers", "0.15"),
        ("Middle layers", "0.21"),
        ("Late layers", "0.31"),
    ]
    assert found.depths[0].share < found.depths[2].share < 100
    assert squeezed(found.familiar).startswith("42.0 % sure on average")
    assert found.held.startswith("The rule of thumb for small and similar data held")


def test_a_network_without_a_distance(tmp_path: Path) -> None:
    similarity = {"value": None, "early": None, "top_probability": 0.1}
    found = why_this_approach(run_with(tmp_path, guide={**GUIDE, "similarity": similarity}))
    assert found is not None
    assert found.similarity == "different: no distance can be measured in this network"
    assert found.depths == ()


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, ""),
        ("it was wrong", "It was wrong."),
    ],
)
def test_whether_the_rule_held(tmp_path: Path, held: object, said: str) -> None:
    found = why_this_approach(run_with(tmp_path, guide={**GUIDE, "held": held}))
    assert found is not None
    assert found.held == said


@pytest.mark.parametrize("comparison", [{}, {"guide": None, "transfer": None}])
def test_runs_without_them(tmp_path: Path, comparison: dict[str, Any]) -> None:
    run = run_with(tmp_path, **comparison)
    assert why_this_approach(run) is None
    assert what_transfer_bought(run) is None


def test_what_transfer_bought_is_drawn_beside_nothing(tmp_path: Path) -> None:
    found = what_transfer_bought(run_with(tmp_path, transfer=TRANSFER))
    assert found is not None
    assert found.mark is not None
    assert found.zero < found.mark.low < found.mark.value < found.mark.high
    assert (found.difference, found.difference_range) == ("+34.0 points", "+20.0 to +48.0")
    assert [(t.name, squeezed(t.text), t.share) for t in found.times] == [
        ("Pretrained", "3.2 s", 7.8),
        ("From scratch", "41 s", 100.0),
    ]


def test_transfer_that_did_harm(tmp_path: Path) -> None:
    gap = {"value": -0.05, "low": -0.12, "high": 0.02, "method": "t"}
    found = what_transfer_bought(run_with(tmp_path, transfer={**TRANSFER, "difference": gap}))
    assert found is not None
    assert found.scale is not None
    assert found.mark is not None
    assert found.mark.low < found.mark.value < found.zero < found.mark.high
    assert "0" in [tick.label for tick in found.scale.ticks]


def test_transfer_without_a_difference_is_told_in_words(tmp_path: Path) -> None:
    difference = {"value": None, "low": None, "high": None, "method": ""}
    transfer = {**TRANSFER, "text": "scratch was not finished", "difference": difference}
    found = what_transfer_bought(run_with(tmp_path, transfer=transfer))
    assert found is not None
    assert found.text == "Scratch was not finished."
    assert found.mark is None


def _with_depths(tmp_path: Path, accuracies: Any, images: int = 1_600) -> Run:
    candidate = {
        **FULL_COMPARISON["candidates"][0],
        "settings": {"views": 1, "accuracy_by_depth": accuracies},
        "images_predicted": images,
    }
    return run_with(tmp_path, candidates=[candidate], chosen=0)


@pytest.mark.parametrize(
    ("accuracies", "text"),
    [
        ((0.97, 0.89, 0.75, 0.79), "The classes differ in texture and fine detail more than in ob"),
        ((0.70, 0.80, 0.92, 0.79), "The classes differ in parts and patterns more than in objects"),
        ((0.70, 0.80, 0.92, 0.94), "The last layer tells the classes apart as well as any: they d"),
        ((0.70, 0.80, 0.945, 0.94), "The last layer tells the classes apart as well as any"),
    ],
)
def test_what_each_depth_tells(tmp_path: Path, accuracies: tuple[float, ...], text: str) -> None:
    names = ("stem", "boundary_1", "end", "features")
    found = what_depths_tell(_with_depths(tmp_path, dict(zip(names, accuracies, strict=True))))
    assert found is not None
    assert found.text.startswith(text)
    assert [bar.name for bar in found.bars] == [
        "First convolution",
        "Stage 1",
        "Last stage",
        "Last layer",
    ]
    assert [bar.share for bar in found.bars] == pytest.approx([100 * a for a in accuracies])


def test_few_photos_tell_little_of_depths(tmp_path: Path) -> None:
    accuracies = {"stem": 0.97, "features": 0.90}
    many, few = (_with_depths(tmp_path / str(n), accuracies, images=n) for n in (1_600, 40))
    assert "texture" in getattr(what_depths_tell(many), "text", "")
    assert "as well as any" in getattr(what_depths_tell(few), "text", "")


@pytest.mark.parametrize("accuracies", [None, {}, "0.9", {"stem": None}])
def test_nothing_is_told_of_depths_that_were_not_measured(tmp_path: Path, accuracies: Any) -> None:
    assert what_depths_tell(_with_depths(tmp_path, accuracies)) is None
