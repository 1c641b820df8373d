"""Where the photos are, and cache folders apart from the user's own.

Real photos lie in the folder that the environment variable REGRAFT_TEST_DATA names, by default
`../shared/data` beside the project. A benchmark whose data are absent is skipped, saying so.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import regraft as rg
from benchmarks.rows import SkippedError

# Of the rows in use: content, label, split and group (`Dataset.fingerprint`, its first digits).
FINGERPRINTS = {
    "rooms": "3e7306c32fbf",
    "hymenoptera": "e5af9e0ab285",
    "clothing": "32af979008c2",
}


def photo_folder(name: str) -> Path:
    """The folder of a set of real photos.

    Raises:
        SkippedError: it is not on this machine.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("REGRAFT_TEST_DATA", beside)) / name
    if not folder.is_dir():
        raise SkippedError(
            f"there is no {folder}; set REGRAFT_TEST_DATA to the folder that has {name}"
        )
    return folder.resolve()


def photo_data(name: str) -> rg.Dataset:
    """A set of real photos, every one decoded once; says so where it is not the expected set.

    Raises:
        SkippedError: it is not on this machine.
    """
    data = rg.scan(photo_folder(name), verify=True)
    found = data.fingerprint()[:12]
    if found != FINGERPRINTS[name]:
        sys.stderr.write(
            f"note: {name} has the fingerprint {found}, expected {FINGERPRINTS[name]}: figures "
            "cannot be compared with those in docs/benchmarks.md\n"
        )
    return data


def textile_folder() -> Path:
    """The folder of the 2,000 simulated fabric images of the demo.

    Raises:
        SkippedError: the extra `demo` is not installed.
    """
    from regraft.demo import demo_folder

    try:
        return demo_folder()
    except rg.RegraftError as error:
        raise SkippedError(str(error)) from error


def environment_with_cache(folder: Path) -> dict[str, str]:
    """The environment of a process whose caches lie in `folder`."""
    return os.environ | {"XDG_CACHE_HOME": str(folder)}


@contextmanager
def own_cache() -> Iterator[None]:
    """An empty cache for this process, removed at the end; the user's own is not touched.

    Raises:
        SkippedError: the cache folder cannot be moved on this platform.
    """
    from regraft.storage.files import cache_dir

    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            if not cache_dir().is_relative_to(folder):
                raise SkippedError("XDG_CACHE_HOME does not move regraft's cache on this platform")
            yield
        finally:
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before
