"""Backbones that come with regraft."""

from __future__ import annotations

from regraft.backbones.backbone import Backbone
from regraft.backbones.built_in import built_in
from regraft.backbones.sources import Request


def find(name: str, _request: Request) -> Backbone:
    """The built-in backbone of that name."""
    return built_in()[name]
