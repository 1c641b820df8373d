"""Strategies that turn a Dataset into a Model, one a file; `APPROACHES` lists them by name."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.approaches.base import (
    FOLDS,
    NO_LIMITS,
    Approach,
    ApproachType,
    Asked,
    Cost,
    CrossValidation,
    Limits,
    Profile,
    TrainedApproach,
    TrainingLog,
    Turn,
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

APPROACHES: dict[str, ApproachType] = {
    "linear_probe": LinearProbe,
    "knn": Knn,
    "fine_tune": FineTune,
    "scratch": Scratch,
    "tfidf": Tfidf,
    "word_vectors": WordVectors,
    "fastai": FastaiFineTune,
}
"""Each class says itself what it is for and which candidates it has; a new one is a row."""


def make_candidates(names: Sequence[str], asked: Asked) -> list[Approach]:
    """The candidates of some approaches, in the order in which they are tried.

    What takes seconds comes first (`Turn`), then what needs no other backbone, then what needs no
    further pass of all inputs; the measure of what pretraining is worth comes after its like.

    Args:
        names: of approaches that are for that kind of input.
        asked: what they are made of.
    """
    places = {backbone.name: place for place, backbone in enumerate(asked.backbones)}

    def turn(approach: Approach) -> tuple[int, int, int, bool]:
        when = approach.profile.turn
        if when != Turn.FROZEN:
            return when, 0, 0, bool(getattr(approach, "is_baseline", False))
        network = approach.network
        return when, places.get(network.name, 0), len(network.transform.views), False

    return sorted((c for name in names for c in APPROACHES[name].candidates(asked)), key=turn)


__all__ = [
    "APPROACHES",
    "FOLDS",
    "NO_LIMITS",
    "Approach",
    "Asked",
    "Cost",
    "CrossValidation",
    "FastaiFineTune",
    "FineTune",
    "Knn",
    "Limits",
    "LinearProbe",
    "Profile",
    "Scratch",
    "Tfidf",
    "TrainedApproach",
    "TrainingLog",
    "Turn",
    "WordVectors",
    "forget_speeds",
    "further_epochs",
    "is_trained",
    "load_architecture",
    "make_candidates",
    "merged",
    "prediction_cost",
    "repeated_folds",
    "scope_of",
    "seconds_expected",
    "seconds_to_export",
]
