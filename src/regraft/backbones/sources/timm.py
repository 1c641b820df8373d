"""What timm publishes: "resnet18.a1_in1k", or "resnet18" for the weights that it prefers."""

from __future__ import annotations

from typing import Any

from regraft.backbones.architectures import Timm
from regraft.backbones.backbone import Backbone
from regraft.backbones.published import published_backbone
from regraft.backbones.sources import Request
from regraft.engines import timm


def find(name: str, request: Request) -> Backbone:
    """The backbone of what timm publishes under a name."""
    network, published = timm.published(name)
    return published_backbone(published, request, architecture=Timm(network))


def search_backbones(text: str, *, licence: str = "") -> list[dict[str, Any]]:
    """Rows of what timm publishes: `name`, `licence`, `input_size`, `architecture`.

    Nothing is fetched; the list comes with timm.

    Args:
        text: a part of the name, or a pattern with * and ?.
        licence: a part of the licence; "" for all.
    """
    return [
        {
            "name": f"timm:{name}",
            "licence": stated,
            "input_size": [3, size, size],
            "architecture": name.partition(".")[0],
        }
        for name, stated, size in timm.search(text)
        if licence.lower() in stated.lower()
    ]
