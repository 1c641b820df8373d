"""Approaches and a Dataset in, a Comparison out: who wins, by how much, at what cost.

entrants    which approaches `fit` compares, in which order
allotment   the time that is left, divided into epochs for what trains
halving     which training is clearly behind
memory      what is finished, kept for a comparison that was interrupted
comparison  `compare`: the same folds for all, the deadline, paired differences, the verdict
"""

from __future__ import annotations

from regraft.racing.comparison import (
    Candidate,
    Comparison,
    candidate_difference,
    choose_again,
    compare,
    cut_short,
    with_time_left,
)
from regraft.racing.entrants import (
    candidate_approaches,
    candidate_backbones,
    check_approaches,
    trains_networks,
)
from regraft.racing.memory import Race

__all__ = [
    "Candidate",
    "Comparison",
    "Race",
    "candidate_approaches",
    "candidate_backbones",
    "candidate_difference",
    "check_approaches",
    "choose_again",
    "compare",
    "cut_short",
    "trains_networks",
    "with_time_left",
]
