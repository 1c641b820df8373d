"""Where things lie on this machine, kept out of files that people share.

A file that may be shared (run.json, a report, a history) names another file by its path from
there, where both lie in one project, and by its last name alone elsewhere: that a run was made
in /home/anna tells nobody but Anna anything. The absolute path goes to a file of its own that
only its owner can read, and that nothing of regraft copies, shows or exports.
"""

from __future__ import annotations

import getpass
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regraft.storage.files import write_atomic
from regraft.storage.saved import read_json

_ELSEWHERE = ".../"
_MOST_STEPS_UP = 3
_README = (
    "Private: where the data of this run lie on the machine that made it. Nothing else needs it; "
    "leave it out when you share the folder."
)


def shareable(path: str | Path, start: str | Path) -> str:
    """How a file in the folder `start` may name `path`: a relative path, or ".../" and its name.

    It is relative where the way from `start` stays within the user's home, or within a folder that
    does not hold it, and goes up three steps at the most.

    >>> shareable("/srv/project/photos", "/srv/project/runs/photos")
    '../../photos'
    >>> shareable("/mnt/disk/photos", "/srv/project/runs/photos")
    '.../photos'
    """
    there, here = Path(os.path.abspath(path)), Path(os.path.abspath(start))  # noqa: PTH100
    try:
        shared = Path(os.path.commonpath([there, here]))
    except ValueError:  # drives of Windows
        return far_name(there)
    relative = Path(os.path.relpath(there, here))
    is_near = (
        shared != Path(shared.anchor)
        and shared not in Path.home().parents
        and relative.parts.count("..") <= _MOST_STEPS_UP
        and _user() not in relative.parts
    )
    return relative.as_posix() if is_near else far_name(there)


def far_name(path: str | Path) -> str:
    """How a folder or file far away is named: ".../photos"."""
    return _ELSEWHERE + plain_name(path)


def plain_name(path: str | Path) -> str:
    """The last name of a path, unless it is that of the user or there is none."""
    name = Path(path).name
    return name if name and name != _user() else "data"


def is_far(shared: str) -> bool:
    """Whether `shareable` said the last name alone."""
    return shared.startswith(_ELSEWHERE)


def shareable_word(word: str, start: str | Path) -> str:
    """A word of a command, or the name of a backbone, with absolute paths in it as `shareable`.

    Relative ones stay as they were typed, unless they lead up.

    >>> shareable_word("module:/srv/project/own.py:make", "/srv/project")
    'module:own.py:make'
    """
    name, equals, value = word.partition("=")
    if word.startswith("--") and equals:
        return f"{name}={shareable_word(value, start)}"
    if "://" in word:
        return word
    if Path(word).is_absolute() or ".." in Path(word).parts:
        return shareable(Path(start) / word, start)
    scheme, colon, rest = word.partition(":")
    return f"{scheme}:{shareable_word(rest, start)}" if colon else word


def shareable_command(command: str, start: str | Path) -> str:
    """A command line without absolute paths; it may need them where files lie far away."""
    try:
        return shlex.join(shareable_word(word, start) for word in shlex.split(command))
    except ValueError:  # quotes that do not close: not one of ours
        return ""


def without_places(text: str, *places: str | Path) -> str:
    """A message without the absolute paths of some places, the working folder and the home."""
    here = Path.cwd()
    known = {os.path.abspath(place) for place in (here, *places)}  # noqa: PTH100 - keeps links
    for place in sorted(known, key=len, reverse=True):
        text = text.replace(place, shareable(place, here))
    return text.replace(str(Path.home()), "~")


def find(shared: str, start: str | Path, private: str | None) -> list[Path]:
    """Absolute paths of what a file in `start` may mean by `shared`, see `shareable`: one or two.

    What lies beside it comes first, for a project may have been moved or copied as a whole; then
    what was remembered, for a folder of the same name may lie beside a file that was copied alone.
    What is not there is left out, unless that leaves nothing.
    """
    here = Path(os.path.abspath(start))  # noqa: PTH100 - keeps links
    beside = Path(os.path.normpath(here / shared.removeprefix(_ELSEWHERE)))
    places = [beside] if private is None else [beside, Path(private)]
    if is_far(shared) and private is not None:
        places = places[1:]
    found = [place for place in dict.fromkeys(places) if os.path.lexists(place)]
    return found or places[-1:]


def seen_from_here(path: str) -> str:
    """A path below the working folder as one would type it, any other as it is."""
    here = Path.cwd()
    return os.path.relpath(path, here) if Path(path).is_relative_to(here) else path


def remember(file: Path, places: Mapping[str, str]) -> None:
    """Write absolute paths by name into a file that only its owner can read.

    Raises:
        StorageError: it cannot be written.
    """
    text = json.dumps({"about": _README, **places}, indent=1, ensure_ascii=False)
    write_atomic(file, text + "\n", private=True)


def recall(file: Path) -> dict[str, str]:
    """What was remembered; nothing where the file is gone or damaged, as in a shared folder."""
    try:
        places: dict[str, Any] = read_json(file, dict[str, Any])
    except (OSError, ValueError):
        return {}
    return {name: place for name, place in places.items() if isinstance(place, str)}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # nobody known
        return ""
