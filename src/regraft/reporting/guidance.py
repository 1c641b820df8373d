"""A run in, out comes why these approaches: the rule of thumb, and what transfer bought."""

from __future__ import annotations

import math
from dataclasses import dataclass

from regraft.backbones.depths import depth_title
from regraft.kinds import kind_named
from regraft.metrics.rates import defined
from regraft.racing.guide import Size
from regraft.racing.similarity import SPLIT_WORDS, Similarity
from regraft.reporting import charts, words
from regraft.reporting.charts import IntervalMark, Scale
from regraft.reporting.words import thing, things
from regraft.runs import Run
from regraft.runs.records import CandidateRecord

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
    guide = run.comparison.guide
    if guide is None:
        return None
    here = tuple(guide.quadrant.split(" and "))
    corners = tuple(
        Corner(
            column=("different", "similar").index(corner[1]),
            row=("large", "small").index(corner[0]),
            lines=lines,
            here=corner == here,
        )
        for corner, lines in _CORNERS.items()
    )
    return Guidance(
        corners=corners,
        quadrant=guide.quadrant,
        label=f"The four corners of the rule of thumb; these {things()} are {guide.quadrant}",
        size=_size(guide.size),
        classes=_classes(guide.size),
        similarity=_similarity(run, guide.similarity),
        depths=_depths(guide.similarity),
        familiar=_familiar(guide.similarity),
        advice=words.sentence(guide.advice),
        reason=words.sentence(guide.reason),
        source=guide.source,
        held=words.sentence(guide.held),
    )


@dataclass(frozen=True, slots=True)
class ByDepth:
    """How much each depth of the network tells alone, and what that says of the data."""

    text: str
    bars: tuple[Amount, ...]


def what_depths_tell(run: Run) -> ByDepth | None:
    """The accuracy of each depth of the best `multilayer_probe`; None where none was measured."""
    measured = [c for c in run.comparison.candidates if c.accuracy and _by_depth(c)]
    if not measured:
        return None
    best = max(measured, key=lambda c: c.accuracy.value if c.accuracy else 0.0)
    accuracies = _by_depth(best)
    values, images = list(accuracies.values()), best.images_predicted or 1
    bars = tuple(
        Amount(depth_title(name).capitalize(), words.percent(v), round(100 * v, 2))
        for name, v in accuracies.items()
    )
    top = max(values)
    seen = kind_named(run.data.modality).depths
    if not seen:
        return ByDepth("", bars)
    # Two standard errors of a difference between accuracies on so many images.
    least = max(0.01, 2 * math.sqrt(2 * top * (1 - top) / images))
    if top - values[-1] <= least:
        text = f"The last layer tells the classes apart as well as any: they differ in {seen[2]}."
    else:
        third = min(2, 3 * values.index(top) // len(values))
        text = f"The classes differ in {seen[third]}"
        text += f" more than in {seen[2]}." if third < 2 else "."
    return ByDepth(text, bars)


def _by_depth(candidate: CandidateRecord) -> dict[str, float]:
    found = candidate.settings.get("accuracy_by_depth")
    if not isinstance(found, dict):
        return {}
    return {str(name): float(v) for name, v in found.items() if isinstance(v, int | float)}


def what_transfer_bought(run: Run) -> Transfer | None:
    """The pretrained network against one trained from scratch; None where none was."""
    transfer = run.comparison.transfer
    if transfer is None:
        return None
    gap = defined(transfer.difference)
    ends = [0.0, *(x for x in (gap.low, gap.value, gap.high) if not math.isnan(x))] if gap else []
    scale = charts.amount_scale(max(ends), low=min(ends), factor=100) if gap else None
    seconds = {"Pretrained": transfer.seconds_transfer, "From scratch": transfer.seconds_scratch}
    longest = max(seconds.values()) or 1.0
    return Transfer(
        text=words.sentence(transfer.text),
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
        ),
    )


def _size(size: Size) -> str:
    of = words.counted(size.classes, "class", "classes")
    return f"{size.word}: {words.counted(size.images, f'training {thing()}')} of {of}"


def _classes(size: Size) -> str:
    return (
        f"{words.number(size.smallest_class)} {things()} in the smallest, "
        f"{words.number(size.median_class)} in the median class"
    )


def _similarity(run: Run, similarity: Similarity) -> str:
    source = run.about.backbone.pretrained_on
    of = f" from the {things()} of {source}" if source else f" from its pretraining {things()}"
    if math.isnan(similarity.value):
        return f"{similarity.word}: no distance can be measured in this network"
    if similarity.measure == SPLIT_WORDS:
        share = words.percent(similarity.value)
        return f"{similarity.word}: {share} of the words are not known to the network as one"
    return f"{similarity.word}: {similarity.value:.2f} standard deviations{of}"


def _depths(similarity: Similarity) -> tuple[Depth, ...]:
    values = {
        "Early layers": similarity.early,
        "Middle layers": similarity.middle,
        "Late layers": similarity.late,
    }
    return tuple(
        Depth(title, f"{value:.2f}", round(100 * min(1.0, max(0.0, value / _FAR)), 2))
        for title, value in values.items()
        if not math.isnan(value)
    )


def _familiar(similarity: Similarity) -> str:
    sure = similarity.top_probability
    if math.isnan(sure):
        return ""
    return f"{words.percent(sure)} sure on average that it sees one of its old classes"
