"""Inputs of low quality: photos that are dark or blurred, texts that are cut off or nearly empty.

What may be wrong with one, and how it is told, is the kind of input's own, see `Examiner`. A
property that more than a tenth of the inputs have is one of the data, not a fault of single ones:
it is reported once, for the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from regraft.features.measures import Measures

COMMON = 0.1  # share of the inputs from which a property is one of the data


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one input: row, one of `Examiner.faults`, and how bad it is, 0 to 1."""

    row: int
    what: str
    score: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Faults of single inputs, and properties that many inputs have, with their share."""

    faults: tuple[Fault, ...]
    common: Mapping[str, float]


def find_faults(measures: Measures) -> Quality:
    """Inputs whose quality is low, and what is low in so many that it belongs to the data."""
    rows = [i for i, one in enumerate(measures.attributes) if one is not None]
    if not rows:
        return Quality((), {})
    examiner = measures.examiner
    found = examiner.find_faults([measures.attributes[i] for i in rows])
    faults: list[Fault] = []
    common: dict[str, float] = {}
    for what in examiner.faults:
        marked, scores = found[what]
        share = float(marked.mean())
        if share > COMMON and len(rows) >= 1 / COMMON:
            common[what] = share
            continue
        bad = 1.0 - scores
        faults += [
            Fault(rows[i], what, float(np.clip(bad[i], 0.0, 1.0))) for i in np.flatnonzero(marked)
        ]
    return Quality(tuple(faults), common)
