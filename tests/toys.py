"""One file of a user, written and imported: what tests of growth add to a table."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def toy_module(folder: Path, name: str, text: str) -> Iterator[ModuleType]:
    """The module of that name, written into a new folder; forgotten afterwards."""
    folder.mkdir()
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(name, None)
