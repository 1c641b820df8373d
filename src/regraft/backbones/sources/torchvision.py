"""What torchvision publishes: "resnet50", or "resnet50:IMAGENET1K_V1" for certain weights."""

from __future__ import annotations

from regraft.backbones.architectures import Torchvision, WeightsLayout, image_facts
from regraft.backbones.backbone import Backbone
from regraft.backbones.published import published_backbone
from regraft.backbones.sources import Request
from regraft.engines import torchvision


def find(name: str, request: Request) -> Backbone:
    """The backbone of what torchvision publishes under a name."""
    network, described, published = torchvision.published(name)
    return published_backbone(
        published,
        request,
        architecture=Torchvision(network),
        facts=image_facts(described),
        layout=WeightsLayout.NAMES,
    )
