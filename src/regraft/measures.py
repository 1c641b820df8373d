"""A Dataset in, plain facts on every photo out: attributes, sketches, thumbnails, by content.

See `modality.attributes` for what they are. Each file is read and decoded once; a second run pays
only for what is new.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regraft.content_store import ContentStore
from regraft.dataset import Dataset, Row
from regraft.errors import UnreadableInputError
from regraft.modality.attributes import SKETCH_PX, Attributes, Measured, measure
from regraft.modality.base import read_input
from regraft.progress import Progress, silent
from regraft.storage import cache_dir, limit_from_environment
from regraft.workers import map_threads

KEY = "attributes-2"  # changes with the meaning of what is stored
CACHE_LIMIT_BYTES = 2 * 1024**3
_SKETCH_BYTES = SKETCH_PX * SKETCH_PX
_LENGTH_BYTES = 4  # of the thumbnail, before it


@dataclass(frozen=True, slots=True)
class Measures:
    """Facts on rows, in their order.

    `attributes` is None, the sketch all zero and the thumbnail empty where a file could not be
    read; `failures` says why, by path. `sketches` is uint8 (n, SKETCH_PX, SKETCH_PX), a thumbnail
    a small JPEG file.
    """

    attributes: tuple[Attributes | None, ...]
    sketches: NDArray[np.uint8]
    thumbnails: tuple[bytes, ...]
    failures: Mapping[str, str]
    warning: str = ""


def measure_rows(
    data: Dataset,
    rows: Sequence[Row],
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Measures:
    """Attributes, sketches and thumbnails of some rows of `data`.

    Args:
        data: where the rows come from.
        rows: those with a content hash are read.
        jobs: worker threads; None for one a core.
        progress: told how many photos are done.
    """
    store = ContentStore(cache_dir() / "measures", KEY, limit_bytes=_limit_bytes())
    found: dict[str, Measured] = {}
    failures: dict[str, str] = {}
    with contextlib.closing(store):
        wanted = {row.sha256: row for row in rows if row.sha256}
        for sha256, value in store.read(wanted):
            with contextlib.suppress(ValueError, TypeError, AttributeError):  # damaged
                found[sha256] = _unpacked(value)
        missing = [row for sha256, row in wanted.items() if sha256 not in found]
        done = len(wanted) - len(missing)
        reasons: dict[str, str] = {}
        for row, outcome in map_threads(lambda row: _measured(data, row), missing, jobs=jobs):
            done += 1
            progress("measuring photos", done, len(wanted))
            if isinstance(outcome, str):
                reasons[row.sha256] = outcome
                continue
            found[row.sha256] = outcome
            store.write(row.sha256, _packed(outcome))
    sketches = np.zeros((len(rows), SKETCH_PX, SKETCH_PX), dtype=np.uint8)
    attributes: list[Attributes | None] = []
    thumbnails: list[bytes] = []
    for i, row in enumerate(rows):
        if row.sha256 in found:
            one, sketches[i], thumbnail = found[row.sha256]
            attributes.append(one)
            thumbnails.append(thumbnail)
            continue
        attributes.append(None)
        thumbnails.append(b"")
        if row.sha256 in reasons:
            failures[row.path] = reasons[row.sha256]
    return Measures(tuple(attributes), sketches, tuple(thumbnails), failures, store.warning)


def _measured(data: Dataset, row: Row) -> tuple[Row, Measured | str]:
    try:
        return row, measure(read_input(os.path.normpath(f"{data.root}/{row.path}")))
    except UnreadableInputError as error:
        return row, str(error)
    except Exception as error:  # one image must not stop the others
        return row, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _packed(found: Measured) -> bytes:
    length = len(found.thumbnail).to_bytes(_LENGTH_BYTES, "big")
    text = found.attributes.to_json().encode()
    return found.sketch.tobytes() + length + found.thumbnail + text


def _unpacked(value: bytes) -> Measured:
    sketch, rest = value[:_SKETCH_BYTES], value[_SKETCH_BYTES:]
    end = _LENGTH_BYTES + int.from_bytes(rest[:_LENGTH_BYTES], "big")
    if len(rest) <= end:
        raise ValueError("no attributes behind the thumbnail")
    grey = np.frombuffer(sketch, dtype=np.uint8).reshape(SKETCH_PX, SKETCH_PX)
    return Measured(Attributes.from_json(rest[end:].decode()), grey, rest[_LENGTH_BYTES:end])


def _limit_bytes() -> int:
    return limit_from_environment("REGRAFT_CACHE_GB", CACHE_LIMIT_BYTES)


__all__ = ["Measures", "measure_rows"]
