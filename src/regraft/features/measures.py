"""A Dataset in, plain facts on every row out: attributes, signatures, previews, by content.

See `kinds.examiner` for what they are. Each file is read and decoded once; a second run pays
only for what is new.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.dataset import Dataset, Row
from regraft.errors import UnreadableInputError
from regraft.kinds import IMAGE, kind_named, things
from regraft.kinds.base import read_input
from regraft.kinds.examiner import Examiner, Measured
from regraft.progress import Progress, silent
from regraft.storage.cache import ContentStore
from regraft.workers import map_threads

CACHE_LIMIT_BYTES = 2 * 1024**3
_LENGTH_BYTES = 4  # of the preview, before it


@dataclass(frozen=True, slots=True)
class Measures:
    """Facts on rows, in their order.

    `attributes` is None, the signature all zero and the preview empty where a file could not be
    read; `failures` says why, by path. `signatures` is (n, ...), of photos uint8 (n, s, s);
    `modality` the kind of the rows.
    """

    attributes: tuple[Any, ...]
    signatures: NDArray[Any]
    previews: tuple[bytes, ...]
    failures: Mapping[str, str]
    warning: str = ""
    modality: str = IMAGE

    @property
    def examiner(self) -> Examiner:
        """What measured them."""
        return kind_named(self.modality).examiner()


def measure_rows(
    data: Dataset,
    rows: Sequence[Row],
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Measures:
    """Attributes, signatures and previews of some rows of `data`.

    Args:
        data: where the rows come from.
        rows: those with a content hash are read.
        jobs: worker threads; None for one a core.
        progress: told how many are done.
    """
    examiner = kind_named(data.modality).examiner()
    store = ContentStore("measures", examiner.key)
    measured: dict[str, Measured] = {}
    failures: dict[str, str] = {}
    with contextlib.closing(store):
        wanted = {row.sha256: row for row in rows if row.sha256}
        for sha256, value in store.read(wanted):
            with contextlib.suppress(ValueError, TypeError, AttributeError):  # damaged
                measured[sha256] = _unpacked(value, examiner)
        missing = [row for sha256, row in wanted.items() if sha256 not in measured]
        done = len(wanted) - len(missing)
        reasons: dict[str, str] = {}
        for row, outcome in map_threads(
            lambda row: _measured(data, row, examiner), missing, jobs=jobs
        ):
            done += 1
            progress(f"measuring {things(data.modality)}", done, len(wanted))
            if isinstance(outcome, str):
                reasons[row.sha256] = outcome
                continue
            measured[row.sha256] = outcome
            store.write(row.sha256, _packed(outcome))
    shape, kind = examiner.signature
    signatures = np.zeros((len(rows), *shape), dtype=kind)
    attributes: list[Any] = []
    previews: list[bytes] = []
    for i, row in enumerate(rows):
        if row.sha256 in measured:
            one, signatures[i], preview = measured[row.sha256]
            attributes.append(one)
            previews.append(preview)
            continue
        attributes.append(None)
        previews.append(b"")
        if row.sha256 in reasons:
            failures[row.path] = reasons[row.sha256]
    return Measures(
        tuple(attributes), signatures, tuple(previews), failures, store.warning, data.modality
    )


def _measured(data: Dataset, row: Row, examiner: Examiner) -> tuple[Row, Measured | str]:
    try:
        return row, examiner.measure(read_input(data.absolute(row)))
    except UnreadableInputError as error:
        return row, str(error)
    except Exception as error:  # one file must not stop the others
        return row, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _packed(measured: Measured) -> bytes:
    length = len(measured.preview).to_bytes(_LENGTH_BYTES, "big")
    text: bytes = measured.attributes.to_json().encode()
    return measured.signature.tobytes() + length + measured.preview + text


def _unpacked(value: bytes, examiner: Examiner) -> Measured:
    shape, kind = examiner.signature
    size = math.prod(shape) * kind.itemsize
    signature, rest = value[:size], value[size:]
    end = _LENGTH_BYTES + int.from_bytes(rest[:_LENGTH_BYTES], "big")
    if len(rest) <= end:
        raise ValueError("no attributes behind the preview")
    return Measured(
        examiner.attributes_from_json(rest[end:].decode()),
        np.frombuffer(signature, dtype=kind).reshape(shape),
        rest[_LENGTH_BYTES:end],
    )


__all__ = ["Measures", "measure_rows"]
