"""A run in, out comes why these approaches: the rule of thumb, and what transfer bought."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regraft.metrics import Estimate
from regraft.reporting import charts, words
from regraft.reporting.charts import IntervalMark, Scale
from regraft.reporting.words import thing, things
from regraft.runs import Run
from regraft.similarity import SPLIT_WORDS

# The four corners of the rule of thumb in a few words each, as `guide.py` has them in sentences.
_CORNERS = {
    ("large", "different"): ("Train everything,", "from the checkpoint"),
    ("large", "similar"): ("Train the last layers", "or everything"),
    ("small", "different"): ("Train the first layers", "and a new head"),
    ("small", "similar"): ("Train the last layers", "only"),
}
_FAR = 0.7  # distance that fills a bar: textiles under a lamp lie there


@dataclass(frozen=True, slots=True)
class Corner:
    """One cell of the drawing: its column and row, what to do there, whether the data is there."""

    column: int
    row: int
    lines: tuple[str, str]
    here: bool


@dataclass(frozen=True, slots=True)
class Depth:
    """How far the data is from the pretraining data in a third of the network."""

    name: str
    value: str
    share: float


@dataclass(frozen=True, slots=True)
class Guidance:
    """Where the data lies, what the rule of thumb says there, and whether it held."""

    corners: tuple[Corner, ...]
    quadrant: str
    label: str
    size: str
    classes: str
    similarity: str
    depths: tuple[Depth, ...]
    familiar: str
    advice: str
    reason: str
    source: str
    held: str


@dataclass(frozen=True, slots=True)
class Amount:
    """Seconds as text and as the length of a bar in percent."""

    name: str
    text: str
    share: float


@dataclass(frozen=True, slots=True)
class Transfer:
    """Pretrained weights against random ones; `mark` is drawn on `scale`, `zero` lies on it."""

    text: str
    scale: Scale | None
    mark: IntervalMark | None
    zero: float
    difference: str
    difference_range: str
    times: tuple[Amount, ...]


def why_this_approach(run: Run) -> Guidance | None:
    """What the guide said of the data; None for runs without one."""
    guide = run.comparison.get("guide")
    if not isinstance(guide, Mapping) or not guide:
        return None
    size, similarity = _mapping(guide.get("size")), _mapping(guide.get("similarity"))
    quadrant = str(guide.get("quadrant") or "")
    here = (_word(size, quadrant, 0), _word(similarity, quadrant, -1))
    corners = tuple(
        Corner(
            column=("different", "similar").index(corner[1]),
            row=("large", "small").index(corner[0]),
            lines=lines,
            here=corner == here,
        )
        for corner, lines in _CORNERS.items()
    )
    place = quadrant or " and ".join(word for word in here if word)
    return Guidance(
        corners=corners,
        quadrant=place,
        label=f"The four corners of the rule of thumb; these {things()} are {place or 'nowhere'}",
        size=_size(size),
        classes=_classes(size),
        similarity=_similarity(run, similarity),
        depths=_depths(similarity),
        familiar=_familiar(similarity),
        advice=words.sentence(str(guide.get("advice") or "")),
        reason=words.sentence(str(guide.get("reason") or "")),
        source=str(guide.get("source") or ""),
        held=words.sentence(str(guide.get("held") or "")),
    )


def what_transfer_bought(run: Run) -> Transfer | None:
    """The pretrained network against one trained from scratch; None where none was."""
    found = run.comparison.get("transfer")
    if not isinstance(found, Mapping) or not found:
        return None
    gap = Estimate.from_dict(dict(found["difference"])) if found.get("difference") else None
    if gap is not None and math.isnan(gap.value):
        gap = None
    ends = [0.0, *(x for x in (gap.low, gap.value, gap.high) if not math.isnan(x))] if gap else []
    scale = charts.amount_scale(max(ends), low=min(ends), factor=100) if gap else None
    seconds = {
        "Pretrained": _number(found.get("seconds_transfer")),
        "From scratch": _number(found.get("seconds_scratch")),
    }
    longest = max((s for s in seconds.values() if s is not None), default=0.0) or 1.0
    return Transfer(
        text=words.sentence(str(found.get("text") or "")),
        scale=scale,
        mark=charts.interval_mark(gap, scale) if gap and scale else None,
        zero=scale.at(0.0) if scale else 0.0,
        difference=f"{words.points(gap.value)} points" if gap else "",
        difference_range=f"{words.points(gap.low)} to {words.points(gap.high)}"
        if gap and not math.isnan(gap.low + gap.high)
        else "",
        times=tuple(
            Amount(name, words.seconds(s), round(100 * s / longest, 2))
            for name, s in seconds.items()
            if s is not None
        ),
    )


def _word(measured: Mapping[str, Any], quadrant: str, at: int) -> str:
    """ "small", "similar"...: as measured, else from the name of the quadrant."""
    parts = quadrant.split()
    return str(measured.get("word") or (parts[at] if parts else ""))


def _size(size: Mapping[str, Any]) -> str:
    images, classes = _number(size.get("images")), _number(size.get("classes"))
    if images is None:
        return "not measured"
    of = f" of {words.counted(int(classes), 'class', 'classes')}" if classes else ""
    word = f"{size['word']}: " if size.get("word") else ""
    return f"{word}{words.counted(int(images), f'training {thing()}')}{of}"


def _classes(size: Mapping[str, Any]) -> str:
    smallest, median = _number(size.get("smallest_class")), _number(size.get("median_class"))
    said = []
    if smallest is not None:
        said.append(f"{words.number(smallest)} {things()} in the smallest")
    if median is not None:
        said.append(f"{words.number(median)} in the median class")
    return ", ".join(said)


def _similarity(run: Run, similarity: Mapping[str, Any]) -> str:
    value = _number(similarity.get("value"))
    source = _mapping(run.about.get("backbone")).get("pretrained_on")
    of = f" from the {things()} of {source}" if source else f" from its pretraining {things()}"
    word = f"{similarity['word']}: " if similarity.get("word") else ""
    if value is None:
        return f"{word}no distance can be measured in this network" if word else "not measured"
    if similarity.get("measure") == SPLIT_WORDS:
        return f"{word}{words.percent(value)} of the words are not known to the network as one"
    return f"{word}{value:.2f} standard deviations{of}"


def _depths(similarity: Mapping[str, Any]) -> tuple[Depth, ...]:
    names = {"early": "Early layers", "middle": "Middle layers", "late": "Late layers"}
    values = {name: _number(similarity.get(name)) for name in names}
    return tuple(
        Depth(title, f"{value:.2f}", round(100 * min(1.0, max(0.0, value / _FAR)), 2))
        for name, title in names.items()
        if (value := values[name]) is not None
    )


def _familiar(similarity: Mapping[str, Any]) -> str:
    sure = _number(similarity.get("top_probability"))
    if sure is None:
        return ""
    return f"{words.percent(sure)} sure on average that it sees one of its old classes"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]
