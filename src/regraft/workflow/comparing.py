"""Inspected data in, candidates out in the order in which they are tried, and who wins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from regraft.approaches.base import Approach, is_trained, seconds_expected
from regraft.backbones.backbone import Backbone
from regraft.backbones.built_in import default_backbone
from regraft.dataset import Dataset
from regraft.engines import TRAIN
from regraft.errors import OutOfTimeError
from regraft.kinds import things
from regraft.progress import note
from regraft.racing import (
    Comparison,
    Race,
    candidate_approaches,
    compare,
    trains_networks,
    whole_px,
)
from regraft.racing.guide import RANKED_ON, Advice, Size, advise, measure_size, rank_backbones
from regraft.racing.similarity import Similarity, measure_similarity
from regraft.runs import RACE
from regraft.workflow.preparing import Prepared, Tools
from regraft.workflow.request import PlanRequest

_AFTERWARDS_S = 8.0  # evaluation, learning curve and report
_AFTERWARDS_IMAGE_S = 0.02  # predicting one more photo
_EXPLANATIONS_S = 6.0  # heat maps, where networks are trained
_MOST_AFTERWARDS = 0.2  # of the budget, for all of these
_SIMILARITY_SHARE = 0.15  # of the budget, for measuring similarity
_RANKING_SHARE = 0.05  # of the budget, for finding out which of several backbones to try first
AFTERWARDS = "evaluation and report"  # what time is reserved for
UNTRAINED = (
    "No network is fine-tuned or trained from scratch: that takes an extra, "
    f'pip install "regraft[{TRAIN}]".'
)


class Guidance(NamedTuple):
    """How many images there are, how similar to the pretraining data, and the rule of thumb."""

    size: Size
    similarity: Similarity
    advice: Advice


@dataclass(slots=True)
class Entrants:
    """The candidates in the order in which they are tried, each made when it is asked for.

    What is quick comes before what is measured for the rest: how similar the data are to the
    pretraining data, and which of several backbones suits them.

    Attributes:
        request: names approaches and backbones.
        dataset: to be trained on.
        prepared: has the backbones.
        tools: as for every stage; `tools.clock` says how long the measurements may take.
        guidance: what the order of those that train a network follows; None where it was not
            asked for or there was no time.
        unguided: why there is no guidance, a sentence for people; "" where none was asked for.
    """

    request: PlanRequest
    dataset: Dataset
    prepared: Prepared
    tools: Tools
    guidance: Guidance | None = None
    unguided: str = field(default="", init=False)

    def __iter__(self) -> Iterator[Approach]:
        others = self.prepared.networks[1:]
        make = partial(
            candidate_approaches,
            self.request.approaches,
            self.prepared.networks if self.request.backbones else (),
            modality=self.dataset.modality,
            resize=self.request.resize,
            whole_px=self._whole_px(),
            architecture=self.request.architecture,
        )
        quick = [a for a in make() if not is_trained(a) and a.network not in others]
        yield from quick
        ranked = self._ranked(others)
        yield from (a for a in make(ranked=ranked) if not is_trained(a) and a not in quick)
        if self.prepared.trains:
            if self.guidance is None:
                self._guide()
            advice = self.guidance and self.guidance.advice
            yield from filter(is_trained, make(advice=advice, ranked=ranked))
        elif trains_networks(self.request.approaches):
            self.unguided = UNTRAINED
            note(self.tools.progress, UNTRAINED)

    def _whole_px(self) -> int | None:
        network = self.prepared.network
        return None if network is None else whole_px(self.dataset, network)

    def _ranked(self, others: Sequence[Backbone]) -> Sequence[Backbone]:
        """The other backbones in the order to try them, as far as it takes little to know it."""
        tools = self.tools
        images = min(RANKED_ON, len(self.dataset.train))
        expected = [seconds_expected(backbone, images) for backbone in others]
        if not self.prepared.trains or len(others) < 2 or None in expected:
            return ()
        if sum(s for s in expected if s) > tools.clock.share(_RANKING_SHARE):
            return ()
        scored = rank_backbones(
            self.dataset, others, seed=tools.seed, jobs=tools.jobs, progress=tools.progress
        )
        return [backbone for backbone, _ in scored]

    def _guide(self) -> None:
        clock = self.tools.clock
        until = clock.within(clock.share(_SIMILARITY_SHARE))
        try:
            with self.tools.phase("guide"):
                self.guidance = measure_guidance(
                    self.dataset, self.prepared.networks[0], self.tools, deadline=until
                )
        except OutOfTimeError as error:
            self.unguided = (
                f"How similar the {things(self.dataset.modality)} are to the pretraining data was "
                f"not measured: {error}. A larger --budget, or regraft plan, does."
            )
            note(self.tools.progress, self.unguided)


def measure_guidance(
    dataset: Dataset, network: Backbone, tools: Tools, *, deadline: float = math.inf
) -> Guidance:
    """Size, similarity and advice for the training rows of a dataset.

    Raises:
        MissingExtraError: similarity is measured with PyTorch, which is not installed.
        OutOfTimeError: the similarity would not be known by the deadline, in seconds of the clock.
    """
    kind = dataset.modality
    note(tools.progress, f"measuring how similar the {things(kind)} are to the pretraining data")
    size = measure_size(dataset)
    if network.is_frozen:  # nothing is known of what it was trained on: the default stands in
        network = default_backbone(kind)
    similarity = measure_similarity(
        dataset, network, deadline=deadline, jobs=tools.jobs, progress=tools.progress
    )
    return Guidance(size, similarity, advise(size, similarity))


def run_comparison(entrants: Entrants, work: Path) -> Comparison:
    """Race the candidates, with time kept for what comes after.

    Args:
        entrants: of the training rows of a dataset.
        work: where the files of the run are written; finished candidates are found there again.

    Raises:
        DataError: no candidate could be finished.
    """
    tools, clock = entrants.tools, entrants.tools.clock
    later = len(entrants.dataset.test) + len(entrants.dataset.unlabelled)
    afterwards_s = _AFTERWARDS_S + _AFTERWARDS_IMAGE_S * later
    trains = entrants.prepared.trains
    afterwards_s += _EXPLANATIONS_S if trains else 0.0
    clock.reserve(AFTERWARDS, min(afterwards_s, clock.share(_MOST_AFTERWARDS)))
    with tools.phase("comparison"):
        comparison = compare(
            entrants,
            entrants.dataset,
            clock=clock,
            trains=trains,
            race=Race(work / RACE) if trains else None,
            seed=tools.seed,
            jobs=tools.jobs,
            progress=tools.progress,
        )
    guide_s = tools.seconds.get("guide", 0.0)
    tools.seconds["comparison"] = round(tools.seconds["comparison"] - guide_s, 3)
    return comparison
