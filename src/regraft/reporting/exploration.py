"""A run in, the first look at its photos out: the map, how classes keep apart, facts by class.

What the page shows on hover travels as JSON beside the drawings; `templates/explore.js` reads it.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regraft.evidence.explaining import tested
from regraft.inspection.exploring import Exploration, Place, Spread
from regraft.kinds import kind_named
from regraft.kinds.examiner import CONTENT, INCIDENTAL
from regraft.reporting import words
from regraft.reporting.charts import IntervalMark, Scale, Tick, interval_mark, rate_scale
from regraft.reporting.scores import headline
from regraft.reporting.thumbnails import Thumbnail
from regraft.reporting.words import thing, things
from regraft.runs import Run

COLOURS, SHAPES = 7, 4  # each class has a pair of its own up to 28 classes; see style.css
_SYMBOLS = 28
_TABLE = 15
_LINES = 7  # classes drawn at once over a fact; of more, only the one that is chosen
_MARGIN = 2.5  # percent of the map, so that no symbol is cut


@dataclass(frozen=True, slots=True)
class Symbol:
    """How a class is drawn: numbers of its colour and shape; -1 where it has none of its own."""

    name: str
    colour: int
    shape: int


@dataclass(frozen=True, slots=True)
class Point:
    """A photo on the map; positions 0 to 100, `kinds` are classes of the style sheet."""

    x: float
    y: float
    shape: int
    kinds: str


@dataclass(frozen=True, slots=True)
class Apart:
    """How well one class keeps apart: a row of the table."""

    name: str
    images: int
    value: str
    range: str
    mark: IntervalMark | None
    overlaps: str


@dataclass(frozen=True, slots=True)
class FactChart:
    """A fact by class: paths in a 100 x 100 view box, with the class each stands for.

    Of `many` classes only the chosen one is drawn over the total.
    """

    title: str
    unit: str
    label: str
    x: Scale
    total: str
    lines: tuple[tuple[Symbol, str], ...]
    many: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What one fact alone tells of the class: a row of the shortcut table."""

    name: str
    kind: str
    value: str
    range: str
    mark: IntervalMark | None
    alarm: bool


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """Facts beside the model; `guess` is a position on the scale in percent.

    `content` names the facts that come from the content; `below` says whether any facts tell no
    more than guessing, which is said in place of their number.
    """

    rows: tuple[Told, ...]
    scale: Scale
    guess: float
    guess_text: str
    content: str
    below: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What one kind of issue does to the accuracy: points, with their interval."""

    issue: str
    photos: int
    value: str
    range: str
    how: str


@dataclass(frozen=True, slots=True)
class TypicalWord:
    """A word, how many texts of a class have it, and how many of the others."""

    text: str
    inside: str
    outside: str


@dataclass(frozen=True, slots=True)
class Explored:
    """The first look, as the templates draw it."""

    points: tuple[Point, ...]
    symbols: tuple[Symbol, ...]
    has_test: bool
    has_errors: bool
    n_images: int
    separable: str
    apart: tuple[Apart, ...]
    apart_scale: Scale
    n_classes: int
    charts: tuple[FactChart, ...]
    means: tuple[tuple[str, Thumbnail], ...]
    typical: tuple[tuple[str, tuple[TypicalWord, ...]], ...]
    json: str


def first_look(run: Run) -> Explored | None:
    """None where the run holds no exploration."""
    found = run.exploration
    if found is None or not found.images:
        return None
    names = list(run.data.classes)
    symbols = {name: _symbol(name, i) for i, name in enumerate(names)}
    apart, apart_scale = _apart(found)
    about = _about_places(run, found)
    return Explored(
        points=tuple(
            _point(place, symbols, one) for place, one in zip(found.places, about, strict=True)
        ),
        symbols=tuple(symbols.values()),
        has_test=any(one["split"] == "test" for one in about),
        has_errors=any(one["said"] for one in about),
        n_images=found.images,
        separable=_separable(found),
        apart=apart,
        apart_scale=apart_scale,
        n_classes=len(found.classes),
        charts=tuple(_chart(spread, symbols) for spread in found.spreads),
        means=tuple((name, _picture(mean)) for name, mean in found.means.items()),
        typical=tuple(
            (
                name,
                tuple(
                    TypicalWord(w.text, words.percent(w.inside), words.percent(w.outside))
                    for w in found.words[name]
                ),
            )
            for name in names
            if found.words.get(name)
        ),
        json=_json(
            {
                "thing": thing(),
                "things": things(),
                "places": about,
                "classes": names,
                "facts": [
                    {
                        "edges": [_short(e) for e in s.edges],
                        "unit": s.unit,
                        "counts": dict(s.counts),
                    }
                    for s in found.spreads
                ],
            }
        ),
    )


def shortcuts(run: Run) -> Shortcuts | None:
    """What facts alone tell of the class, beside the model; None where it was not looked for."""
    found = run.about.audit.shortcuts
    if found is None:
        return None
    best = headline(run.evaluations)
    rows = [("the model", f"sees the {thing()}", best.accuracy, False)] if best else []
    for kind, clues in kind_named(run.data.modality).examiner().clues_of_kind.items():
        if estimate := {INCIDENTAL: found.incidental, CONTENT: found.content}[kind]:
            rows.append((f"{clues} together", _KINDS[kind], estimate, False))
    for culprit in found.culprits:
        alarm = culprit.name in found.alarms
        rows.append((f"{culprit.name} alone", _KINDS[culprit.kind], culprit.accuracy, alarm))
    guess = found.guess
    above = [e for _, _, e, _ in rows if e.value > guess]
    scale = rate_scale([guess, *(e.low for e in above)])
    return Shortcuts(
        rows=tuple(
            Told(
                name,
                kind,
                words.estimate_value(e),
                words.estimate_range(e),
                interval_mark(e, scale),
                alarm,
            )
            if e.value > guess
            else Told(name, kind, "no more than guessing", "", None, alarm=False)
            for name, kind, e, alarm in rows
        ),
        scale=scale,
        guess=scale.at(guess),
        guess_text=words.percent(guess),
        content=kind_named(run.data.modality).examiner().clues_of_kind[CONTENT],
        below=len(above) < len(rows),
    )


def changes(run: Run) -> tuple[Change, ...]:
    """How much the accuracy depends on each kind of issue."""
    return tuple(
        Change(
            words.issue_words(effect.issue)[0],
            effect.photos,
            words.points(effect.change.value),
            f"{words.points(effect.change.low)} to {words.points(effect.change.high)}",
            effect.how,
        )
        for effect in run.about.audit.effects
    )


_KINDS = {"incidental": "how it was made and kept", "content": "its content"}


def _symbol(name: str, number: int) -> Symbol:
    if number >= _SYMBOLS:
        return Symbol(name, -1, 0)
    return Symbol(name, number % COLOURS, number % SHAPES)


def _about_places(run: Run, found: Exploration) -> list[dict[str, Any]]:
    """What is known of each photo on the map, in the order of the places."""
    rows = {row.path: row for row in run.data.rows}
    said = {p.path: p for p in tested(run.predictions)}
    about = []
    for place in found.places:
        row, prediction = rows.get(place.path), said.get(place.path)
        sure = words.percent(prediction.confidence) if prediction else ""
        about.append(
            {
                "path": place.path,
                "label": row.label if row else "",
                "split": row.split if row else "",
                "said": prediction.predicted if prediction else "",
                "sure": sure,
                "nearest": list(place.nearest),
                "picture": base64.b64encode(place.thumbnail).decode("ascii"),
                "excerpt": place.excerpt,
            }
        )
    return about


def _point(place: Place, symbols: Mapping[str, Symbol], about: Mapping[str, Any]) -> Point:
    symbol = symbols.get(about["label"]) or Symbol("", -1, 0)
    kinds = [f"k{symbol.colour}" if symbol.colour >= 0 else "other"]
    kinds.append("test" if about["split"] == "test" else "train")
    if about["said"]:
        kinds.append("right" if about["said"] == about["label"] else "wrong")
    else:
        kinds.append("unseen")
    inside = 100 - 2 * _MARGIN
    return Point(
        round(_MARGIN + inside * place.x, 2),
        round(100 - _MARGIN - inside * place.y, 2),
        symbol.shape,
        " ".join(kinds),
    )


def _separable(found: Exploration) -> str:
    """In words, how separable the classes are."""
    if found.separable is None:
        return ""
    said = (
        f"The ten most similar other {things()} would put {words.percent(found.separable.value)} "
        f"({words.estimate_range(found.separable)}) of the {things()} in their own class, with no "
        "training at all."
    )
    worst = max(found.classes, key=lambda c: c.share, default=None)
    if worst is not None and worst.overlaps and worst.share >= 0.05:
        said += (
            f" Most mixed: {words.percent(worst.share)} of {words.quoted(worst.name)} look like "
            f"{words.quoted(worst.overlaps)}."
        )
    return said


def _apart(found: Exploration) -> tuple[tuple[Apart, ...], Scale]:
    shown = found.classes[:_TABLE]
    scale = rate_scale([c.found.low for c in shown])
    rows = tuple(
        Apart(
            c.name,
            c.images,
            words.estimate_value(c.found),
            words.estimate_range(c.found),
            interval_mark(c.found, scale),
            f"{c.overlaps} ({words.percent(c.share)})" if c.overlaps else "",
        )
        for c in shown
    )
    return rows, scale


def _chart(spread: Spread, symbols: Mapping[str, Symbol]) -> FactChart:
    """Each class as its share of photos in each bin, all classes together behind them.

    Of many classes a few photos may all lie in one bin, so all together have a height of their own.
    """
    shares = {name: _shares(counts) for name, counts in spread.counts.items()}
    together = _shares(spread.total)
    many = len(shares) > _LINES
    top = max([0.0 if many else max(together), *(s for share in shares.values() for s in share)])
    lines = tuple(
        (symbols.get(name) or Symbol(name, -1, 0), _steps(share, top))
        for name, share in shares.items()
    )
    low, high = _short(spread.edges[0]), _short(spread.edges[-1])
    return FactChart(
        title=spread.name,
        unit=spread.unit,
        label=f"{spread.name} by class, from {low} to {high} {spread.unit}",
        x=_fact_scale(spread),
        total=_steps(together, max(together) if many else top) + "L100 100L0 100Z",
        lines=lines,
        many=many,
    )


def _shares(counts: Sequence[int]) -> list[float]:
    n = sum(counts)
    return [count / n if n else 0.0 for count in counts]


def _steps(shares: Sequence[float], top: float) -> str:
    """A staircase over the bins as an SVG path."""
    width = 100 / len(shares)
    parts = []
    for i, share in enumerate(shares):
        y = 100 - 96 * share / (top or 1.0)
        parts.append(f"{i * width:.4g} {y:.4g}L{(i + 1) * width:.4g} {y:.4g}")
    return "M" + "L".join(parts)


def _fact_scale(spread: Spread) -> Scale:
    scale = Scale(spread.edges[0], spread.edges[-1], logarithmic=spread.logarithmic)
    low, high = spread.edges[0], spread.edges[-1]
    marks = [low, math.sqrt(low * high) if spread.logarithmic else (low + high) / 2, high]
    return Scale(
        low,
        high,
        tuple(Tick(scale.at(mark), _short(mark)) for mark in marks),
        logarithmic=spread.logarithmic,
    )


def _short(value: float) -> str:
    """A number in three digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _picture(jpeg: bytes) -> Thumbnail:
    text = base64.b64encode(jpeg).decode("ascii")
    return Thumbnail(f"data:image/jpeg;base64,{text}", 64, 64)


def _json(data: Any) -> str:
    """JSON that cannot end the element it stands in, whatever a file is called."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


__all__ = [
    "Change",
    "Explored",
    "Shortcuts",
    "changes",
    "first_look",
    "shortcuts",
]
