"""Strategies that turn a Dataset into a Model, one a file; `APPROACHES` lists them by name."""

from __future__ import annotations

from regraft.approaches.base import (
    FOLDS,
    NO_LIMITS,
    Approach,
    Cost,
    CrossValidation,
    Limits,
    TrainedApproach,
    TrainingLog,
    further_epochs,
    is_trained,
    prediction_cost,
    repeated_folds,
    scope_of,
    seconds_expected,
    seconds_to_export,
)
from regraft.approaches.fastai import FastaiFineTune
from regraft.approaches.fine_tune import FineTune
from regraft.approaches.knn import Knn
from regraft.approaches.linear_probe import LinearProbe
from regraft.approaches.scratch import Scratch, load_architecture
from regraft.approaches.tfidf import Tfidf
from regraft.approaches.trained import forget_speeds, merged
from regraft.approaches.word_vectors import WordVectors

APPROACHES: dict[
    str,
    type[Tfidf]
    | type[LinearProbe]
    | type[Knn]
    | type[FineTune]
    | type[WordVectors]
    | type[Scratch]
    | type[FastaiFineTune],
] = {
    "linear_probe": LinearProbe,
    "knn": Knn,
    "fine_tune": FineTune,
    "scratch": Scratch,
    "tfidf": Tfidf,
    "word_vectors": WordVectors,
    "fastai": FastaiFineTune,
}
ONLY_FOR: dict[str, str] = {"tfidf": "text", "word_vectors": "text", "fastai": "image"}
"""Approaches to one modality alone; the others are for all."""
ONLY_BY_NAME = ("fastai",)  # never tried unless asked for

__all__ = [
    "APPROACHES",
    "FOLDS",
    "NO_LIMITS",
    "ONLY_BY_NAME",
    "ONLY_FOR",
    "Approach",
    "Cost",
    "CrossValidation",
    "FastaiFineTune",
    "FineTune",
    "Knn",
    "Limits",
    "LinearProbe",
    "Scratch",
    "Tfidf",
    "TrainedApproach",
    "TrainingLog",
    "WordVectors",
    "forget_speeds",
    "further_epochs",
    "is_trained",
    "load_architecture",
    "merged",
    "prediction_cost",
    "repeated_folds",
    "scope_of",
    "seconds_expected",
    "seconds_to_export",
]
