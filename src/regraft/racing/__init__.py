"""Approaches and a Dataset in, a Comparison out: who wins, by how much, at what cost.

Who gets time is decided by pure functions on a state that can be written down; one module does what
they say.

    similarity  how far the data are from those of the pretraining
    guide       the rule of thumb, and what it advises
    entrants    which approaches `fit` compares, in which order
    policy      the shares, margins and limits, each with its reason
    state       how far each candidate is, and the moves there are
    rules       a state in, the next move out
    allotment   the time that is left, divided into epochs for what trains
    memory      what is finished, kept for a comparison that was interrupted
    outcomes    skipped, failed or measured
    candidate   an approach and its outcome
    verdict     the chosen candidate, and how the others stand to it
    course      what all candidates share; those on frozen features
    runner      those that train a network: does what `rules` say
    comparison  `compare`, which puts these together
"""

from __future__ import annotations

from regraft.racing.candidate import (
    Candidate,
    approach_title,
    candidate_difference,
    cut_short,
)
from regraft.racing.comparison import Comparison, choose_again, compare, with_time_left
from regraft.racing.entrants import (
    candidate_approaches,
    candidate_backbones,
    check_approaches,
    reads_every_depth,
    trains_networks,
    whole_px,
)
from regraft.racing.memory import Race
from regraft.racing.policy import Policy

__all__ = [
    "Candidate",
    "Comparison",
    "Policy",
    "Race",
    "approach_title",
    "candidate_approaches",
    "candidate_backbones",
    "candidate_difference",
    "check_approaches",
    "choose_again",
    "compare",
    "cut_short",
    "reads_every_depth",
    "trains_networks",
    "whole_px",
    "with_time_left",
]
