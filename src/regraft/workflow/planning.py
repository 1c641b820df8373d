"""A request in, what `fit` would race on these data and what each candidate would take here out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from regraft.approaches.base import FOLDS, Approach, is_trained, seconds_expected
from regraft.backbones.backbone import Backbone, weights_path
from regraft.backbones.built_in import default_backbone
from regraft.clock import Clock
from regraft.dataset import Dataset
from regraft.errors import MissingExtraError, TrainingError
from regraft.features.embedding import measure_speed
from regraft.kinds import IMAGE
from regraft.progress import note
from regraft.racing import approach_title
from regraft.racing.guide import Advice, Size, measure_size
from regraft.racing.similarity import Similarity
from regraft.storage.records import to_json
from regraft.workflow.comparing import Entrants, Guidance, measure_guidance
from regraft.workflow.inspecting import inspect_data
from regraft.workflow.preparing import Tools, prepare, read_named
from regraft.workflow.reading import tell_notes
from regraft.workflow.request import PlanRequest, takes


@dataclass(frozen=True, slots=True)
class PlannedCandidate:
    """One candidate of a plan: predicted seconds on one fold, and of the final training."""

    title: str
    seconds: float | None
    fit_seconds: float | None
    epochs: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `plan` learned: size, similarity, advice, and what each candidate would cost.

    There is no similarity, and so no advice, where it takes PyTorch and that is not installed.
    """

    size: Size
    similarity: Similarity | None
    advice: Advice | None
    candidates: tuple[PlannedCandidate, ...]
    modality: str = IMAGE

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "modality": self.modality,
            "size": to_json(self.size),
            "similarity": to_json(self.similarity),
            "quadrant": self.advice and self.advice.quadrant,
            "advice": self.advice and self.advice.advice,
            "reason": self.advice and self.advice.reason,
            "source": self.advice and self.advice.source,
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }


@takes(PlanRequest)
def plan(request: PlanRequest) -> Plan:
    """Size, similarity, the rule of thumb, and what every candidate would take on this machine.

    The data go through the stages that `fit` begins with, so that these are the candidates that it
    races; nothing is trained but a few steps that are timed.

    Raises:
        DataError: the data cannot be trained on.
        UsageError: an option is outside its range.
        BackboneError: a backbone is unknown or not installed.
    """
    prepared = prepare(request, read_named(request))
    tell_notes(request.data, prepared.dataset, request.progress)
    if prepared.network is None:  # similarity is measured with the built-in one
        weights_path(default_backbone(prepared.dataset.modality))
    tools = Tools(Clock(request.budget_s), request.seed, request.jobs, request.progress)
    dataset = inspect_data(prepared, tools).dataset
    network = prepared.network or default_backbone(dataset.modality)
    guidance = _guidance(dataset, network, tools)
    for backbone in prepared.networks:
        if seconds_expected(backbone, 1) is None:
            note(tools.progress, f"timing {backbone.name}")
            measure_speed(backbone, progress=tools.progress)
    entrants = Entrants(request, dataset, prepared, tools, guidance)
    planned = tuple(_planned(approach, dataset, tools) for approach in entrants)
    if guidance is None:
        return Plan(measure_size(dataset), None, None, planned, dataset.modality)
    return Plan(*guidance, planned, dataset.modality)


def _guidance(dataset: Dataset, network: Backbone, tools: Tools) -> Guidance | None:
    """None where it takes PyTorch and that is not installed, which is told."""
    try:
        return measure_guidance(dataset, network, tools)
    except MissingExtraError as error:
        note(tools.progress, str(error))
        return None


def _planned(approach: Approach, dataset: Dataset, tools: Tools) -> PlannedCandidate:
    title = approach_title(approach)
    if not is_trained(approach):
        seconds = seconds_expected(approach.network, len(dataset.train))
        return PlannedCandidate(title, seconds, 0.0, None)
    note(tools.progress, f"timing {title}")
    try:
        cost = approach.cost(dataset, folds=FOLDS, jobs=tools.jobs)
    except TrainingError as error:
        return PlannedCandidate(title, None, None, None, str(error))
    return PlannedCandidate(title, cost.once + cost.fold, cost.fit, cost.epochs)
