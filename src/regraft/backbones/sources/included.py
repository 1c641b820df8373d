"""Backbones that come with regraft."""

from __future__ import annotations

from regraft.backbones.backbone import Backbone
from regraft.backbones.built_in import BACKBONES
from regraft.backbones.sources import Request


def find(name: str, _request: Request) -> Backbone:
    """The built-in backbone of that name."""
    return BACKBONES[name]
