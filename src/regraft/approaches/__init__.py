"""Strategies that turn a Dataset into a Model, one a file; `APPROACHES` lists them by name."""

from __future__ import annotations

from regraft.approaches.base import (
    Approach,
    CrossValidation,
    prediction_cost,
    repeated_folds,
    seconds_expected,
)
from regraft.approaches.knn import Knn
from regraft.approaches.linear_probe import LinearProbe

APPROACHES: dict[str, type[LinearProbe] | type[Knn]] = {"linear_probe": LinearProbe, "knn": Knn}

__all__ = [
    "APPROACHES",
    "Approach",
    "CrossValidation",
    "Knn",
    "LinearProbe",
    "prediction_cost",
    "repeated_folds",
    "seconds_expected",
]
