"""Photos that are dark, pale, blurred, empty, or of an odd size or shape.

Scores and thresholds are cleanvision's defaults, to which tests hold them. A property that more
than a tenth of the photos have is one of the data, not a fault of single photos: it is reported
once, for the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from regraft.measures import Measures
from regraft.metrics import FloatArray
from regraft.modality.attributes import Attributes

COMMON = 0.1  # share of the photos from which a property is one of the data
WORDS: Mapping[str, str] = {
    "dark": "dark",
    "light": "pale",
    "low_information": "nearly empty",
    "blurry": "blurred",
    "odd_aspect_ratio": "of an odd shape",
    "odd_size": "of an odd size",
}
# Below which a photo is listed; the score of a good photo is 1.
THRESHOLDS: Mapping[str, float] = {
    "dark": 0.32,
    "light": 0.05,
    "low_information": 0.3,
    "blurry": 0.29,
    "odd_aspect_ratio": 0.35,
}
_SPREADS = 3.0  # interquartile ranges beyond the quartiles from which a size is odd
_GREY = 0.18  # a histogram as even as this says nothing on sharpness


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one photo: row, a key of `WORDS`, and how bad it is, 0 to 1."""

    row: int
    what: str
    score: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Faults of single photos, and properties that many photos have, with their share."""

    faults: tuple[Fault, ...]
    common: Mapping[str, float]


def find_faults(measures: Measures) -> Quality:
    """Photos whose quality is low, and what is low in so many that it belongs to the data."""
    rows = [i for i, one in enumerate(measures.attributes) if one is not None]
    if not rows:
        return Quality((), {})
    seen = [one for one in measures.attributes if one is not None]
    scores = quality_scores(seen)
    marked = {what: scores[what] < limit for what, limit in THRESHOLDS.items()}
    marked["odd_size"] = odd_sizes(seen)
    faults: list[Fault] = []
    common: dict[str, float] = {}
    for what in WORDS:
        share = float(marked[what].mean())
        if share > COMMON and len(rows) >= 1 / COMMON:
            common[what] = share
            continue
        bad = 1.0 - scores.get(what, np.full(len(rows), 0.5))
        faults += [
            Fault(rows[i], what, float(np.clip(bad[i], 0.0, 1.0)))
            for i in np.flatnonzero(marked[what])
        ]
    return Quality(tuple(faults), common)


def quality_scores(attributes: list[Attributes]) -> dict[str, FloatArray]:
    """cleanvision's score of every photo for each kind of fault, 0 (bad) to 1, (n,)."""

    def column(name: str) -> FloatArray:
        return np.array([getattr(one, name) for one in attributes], dtype=np.float64)

    evenness = 1.0 - np.exp(-0.01 * column("grey_spread"))
    evenness[evenness <= _GREY] = 0.0
    width, height = column("width"), column("height")
    return {
        "dark": column("brightness_high"),
        "light": 1.0 - column("brightness_low"),
        "low_information": np.minimum(1.0, 0.1 * column("entropy")),
        "blurry": np.minimum(1.0, 1.0 - np.exp(-0.01 * column("sharpness")) + evenness),
        "odd_aspect_ratio": np.minimum(width / height, height / width),
    }


def odd_sizes(attributes: list[Attributes]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which photos are far larger or smaller than the others, (n,) (Tukey's fences)."""
    side = np.sqrt([one.width * one.height for one in attributes])
    low, high = np.percentile(side, [25, 75])
    spread = _SPREADS * (high - low)
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (side < low - spread) | (
        side > high + spread
    )
    return found
