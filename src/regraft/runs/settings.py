"""What a run was asked for, and where its data are: in words that can be shared, and as paths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regraft.dataset import Dataset
from regraft.runs.records import RunRecord
from regraft.storage.locations import recall, remember, shareable, shareable_word
from regraft.storage.records import without_nulls
from regraft.storage.switching import current

WHERE = "where.json"
PATHS = ("data", "labels", "image_dir", "test")  # settings that are paths
_SOURCES = ("decisions", "corrections")  # settings with a path in them


def place_data(folder: Path, data: Dataset, *, home: Path) -> str:
    """What run.json says of where the data are; where that is goes into `where.json`.

    Raises:
        StorageError: it cannot be written.
    """
    known = recall(folder / WHERE) | {"data": str(data.root)}
    remember(folder / WHERE, known | {"elsewhere": json.dumps(dict(data.elsewhere))})
    return shareable(data.root, home)


def shareable_settings(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings without absolute paths: those of files as they are seen from the run folder."""
    here, found = Path.cwd(), dict(settings)
    for name in PATHS:
        if found.get(name):
            found[name] = _unless_relative(found[name], folder)
    for name in _SOURCES:
        if found.get(name):
            found[name] = {**found[name], "path": _unless_relative(found[name]["path"], folder)}
    found["backbones"] = [shareable_word(name, here) for name in found.get("backbones", ())]
    if found.get("architecture"):
        found["architecture"] = shareable_word(found["architecture"], here)
    options = dict(found.get("backbone_options") or {})
    if options.get("architecture"):
        found["backbone_options"] = options | {
            "architecture": shareable_word(options["architecture"], here)
        }
    return found


def _unless_relative(path: str, folder: Path) -> str:
    return shareable(path, folder) if Path(path).is_absolute() else path


def are_settings_of(
    folder: Path, about: RunRecord, settings: Mapping[str, Any], *, home: Path
) -> bool:
    """Whether the run in a folder is of these settings; `home` is the folder it has for people."""
    wanted = json.loads(json.dumps(settings))
    private = recall(current(folder, WHERE)).get("settings")
    if private is not None:
        return bool(json.loads(private) == wanted)
    return about.settings in map(without_nulls, (wanted, shareable_settings(wanted, home)))


def command_of(folder: Path, about: RunRecord) -> str:
    """What repeats a run on this machine."""
    return recall(current(folder, WHERE)).get("command") or about.command
