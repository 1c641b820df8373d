"""The learning curve on the page, with and without a forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regraft.evidence.learning_curve import learning_curve
from regraft.heads import fit_logistic
from regraft.reporting.more_photos import MorePhotos, would_more_photos_help
from regraft.storage.records import to_json
from tests.reporting.sample_runs import COMPARISON, LEARNING_CURVE, make_run


def shown(tmp_path: Path, curve: Any) -> MorePhotos | None:
    comparison = {**COMPARISON, "learning_curve": curve}
    run = make_run(tmp_path, comparison=comparison, write_images=False)
    return would_more_photos_help(run)


def test_points_intervals_and_the_forecast_are_drawn(tmp_path: Path) -> None:
    found = shown(tmp_path, LEARNING_CURVE)
    assert found is not None
    assert found.text == LEARNING_CURVE["text"]
    assert found.head == "linear_probe on efficientnet_lite0"
    plot = found.plot
    assert plot is not None
    assert [d.kind for d in plot.dots] == ["fold"] * 6 + ["ahead"]
    assert [d.x for d in plot.dots] == sorted(d.x for d in plot.dots)
    assert all(d.high <= d.y <= d.low for d in plot.dots)
    assert [line.kind for line in plot.lines] == ["law"]
    assert [tick.label for tick in plot.x.ticks][0::6] == ["10", "384"]
    assert "forecast with 384" in plot.label
    assert [size.images for size in found.sizes] == ["10", "17", "30", "51", "89", "154"]


def test_without_a_forecast(tmp_path: Path) -> None:
    found = shown(tmp_path, {**LEARNING_CURVE, "forecast": None, "text": "No forecast: x."})
    assert found is not None
    assert found.plot is not None
    assert [d.kind for d in found.plot.dots] == ["fold"] * 6
    assert [line.kind for line in found.plot.lines] == ["fold"]
    assert found.text == "No forecast: x."


@pytest.mark.parametrize("points", [[], LEARNING_CURVE["points"][:1]])
def test_a_single_point_is_no_curve(tmp_path: Path, points: list[Any]) -> None:
    found = shown(tmp_path, {**LEARNING_CURVE, "points": points, "forecast": None})
    assert found is not None
    assert found.plot is None


def test_a_run_without_a_curve(tmp_path: Path) -> None:
    assert shown(tmp_path, None) is None


def test_what_is_measured_can_be_shown(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(100) % 2
    features = random.normal(size=(100, 10)) + 0.7 * labels[:, None]
    folds = (np.arange(100) // 2 % 5)[None]
    curve = learning_curve(features, labels, folds, n_classes=2, fit=fit_logistic, setting=4.0)
    found = shown(tmp_path, to_json(curve))
    assert found is not None
    assert found.plot is not None
    assert len(found.sizes) == len(curve.points)
    assert found.text == curve.text
