"""Strategies that turn a Dataset into a Model, one a file; `APPROACHES` lists them by name.

base     what an approach is, what it is for (`Profile`), what training it may cost
frozen   what those on frozen backbones share
plans    what trains a network: a TrainingPlan, and a Job with its inputs
costs    what a training costs on this machine, from a short probe
trained  what those that train a network share

Every other file is one strategy.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regraft.approaches.base import Approach, ApproachType, Asked


class Registry(MutableMapping[str, "ApproachType"]):
    """Classes of approaches by name; one that stands there as "file:Class" is imported in use.

    So the names, which every help text shows, are there without what takes time to import.
    """

    def __init__(self, **rows: ApproachType | str) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> ApproachType:
        row = self._rows[name]
        if isinstance(row, str):
            file, _, kind = row.partition(":")
            found: Any = getattr(importlib.import_module(f"regraft.approaches.{file}"), kind)
            row = self._rows[name] = found
        return row

    def __setitem__(self, name: str, kind: ApproachType) -> None:
        self._rows[name] = kind

    def __delitem__(self, name: str) -> None:
        del self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


APPROACHES = Registry(
    multilayer_probe="multilayer_probe:MultilayerProbe",  # its pass pays for the next two
    linear_probe="linear_probe:LinearProbe",
    knn="knn:Knn",
    fine_tune="fine_tune:FineTune",
    scratch="scratch:Scratch",
    tfidf="tfidf:Tfidf",
    word_vectors="word_vectors:WordVectors",
    fastai="fastai:FastaiFineTune",
)
"""Each class says itself what it is for and which candidates it has; a new one is a row."""


def make_candidates(names: Collection[str], asked: Asked) -> list[Approach]:
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
        if when != when.FROZEN:
            return when, 0, 0, bool(getattr(approach, "is_baseline", False))
        network = approach.network
        return when, places.get(network.name, 0), len(network.transform.views), False

    kinds = [kind for name, kind in APPROACHES.items() if name in names]
    return sorted((c for kind in kinds for c in kind.candidates(asked)), key=turn)


__all__ = ["APPROACHES", "Registry", "make_candidates"]
