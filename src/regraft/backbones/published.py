"""A backbone of weights that a hub publishes: their licence, the file, and whether it is whole."""

from __future__ import annotations

from regraft.backbones.architectures import Architecture, NetworkFacts, WeightsLayout
from regraft.backbones.backbone import Backbone, file_digest
from regraft.backbones.sources import Request
from regraft.engines import hubs
from regraft.errors import BackboneError
from regraft.kinds.base import Transform
from regraft.progress import note
from regraft.training_contents import NOTHING, TrainingContents

_NOT_FOR_ALL = ("-nc", "noncommercial", "non-commercial", "research", "other", "fair", "gated")


def published_backbone(
    published: hubs.Published,
    request: Request,
    *,
    architecture: Architecture,
    facts: NetworkFacts | None = None,
    transform: Transform | None = None,
    layout: WeightsLayout = WeightsLayout.PUBLISHED,
    folder: str = "",
    contents: TrainingContents = NOTHING,
) -> Backbone:
    """A backbone of published weights, which are fetched if they are not on this machine.

    Args:
        published: where the weights are.
        request: whether every licence is accepted, and who is told of what is fetched.
        architecture, layout, contents: see `Backbone`.
        facts: None for those that the architecture tells of the weights.
        transform: None for that of the facts.
        folder: the name of the folder that stands in for the hub; "" for the hub.

    Raises:
        BackboneError: the licence has to be accepted, or the weights cannot be had as a whole.
    """
    licence = published.licence or "not stated"
    if not request.accept_licence and any(part in licence.lower() for part in _NOT_FOR_ALL):
        raise BackboneError(
            f"the weights of {request.name} have the licence {licence}, which does not allow every "
            "use; add --accept-licence if yours is allowed"
        )
    weights = published.file(lambda text: note(request.progress, text))
    digest = file_digest(weights)
    named = hubs.hash_in_name(weights)
    if not digest.startswith(named):
        raise BackboneError(
            f"{weights} was altered or fetched only in part: its SHA-256 begins with "
            f"{digest[:8]}, its name says {named[:8]}; remove it, and it is fetched again"
        )
    facts = facts or architecture.describe(weights)
    transform = transform or facts.transform
    assert transform is not None, architecture.title
    return Backbone(
        name=folder or request.name,
        architecture=architecture,
        weights_at=str(weights.absolute()),
        weights_sha256=digest,
        origin=f"folder {folder}" if folder else request.name,
        task=facts.task,
        pretrained_on=published.pretrained_on,
        licence=licence,
        parameters=facts.parameters,
        feature_width=facts.feature_width,
        transform=transform,
        layout=layout,
        contents=contents,
    )
