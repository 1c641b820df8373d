"""Numbers in, positions out: the geometry of the charts, drawn by `templates/charts.html.jinja`.

Positions along an axis are percentages of its length, so that a chart fills whatever width it
is given without its lines and dots being stretched. Nothing here knows of markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from regraft.metrics.rates import Estimate, FloatArray, ReliabilityBin, wilson_interval

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25)  # of the ticks of an axis of rates
_MOST_TICKS = 6
_SHADES = 4
_TICK_ROOM = 12  # percent of an axis that a label takes


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position, 0 to 100, on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, which are above 0 on a logarithmic one."""

    low: float
    high: float
    ticks: tuple[Tick, ...] = ()
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Position of `value` in percent of the length, kept on the axis."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        share = (value - low) / (high - low)
        return round(100 * min(1.0, max(0.0, share)), 2)


@dataclass(frozen=True, slots=True)
class IntervalMark:
    """An estimate on an axis; all positions in percent."""

    low: float
    value: float
    high: float

    @property
    def width(self) -> float:
        """Length of the interval in percent of the axis."""
        return round(self.high - self.low, 2)


def interval_mark(estimate: Estimate, scale: Scale) -> IntervalMark | None:
    """Where to draw an estimate; None if its value does not exist (NaN)."""
    if math.isnan(estimate.value):
        return None
    low = estimate.value if math.isnan(estimate.low) else estimate.low
    high = estimate.value if math.isnan(estimate.high) else estimate.high
    return IntervalMark(scale.at(low), scale.at(estimate.value), scale.at(high))


def rate_scale(values: Iterable[float], *, percentage: bool = True) -> Scale:
    """An axis up to 1 that starts at a round number at or below the smallest value.

    Its ticks are labelled as percentages or as they are.
    """
    smallest = min((v for v in values if not math.isnan(v)), default=0.0)
    smallest = min(0.9, max(0.0, smallest))
    for step in _STEPS:
        low = math.floor(smallest / step + 1e-9) * step
        count = round((1.0 - low) / step)
        if count < _MOST_TICKS and abs(low + count * step - 1.0) < 1e-9:
            break
    else:
        low, step, count = 0.0, 0.25, 4
    scale = Scale(low, 1.0)
    ticks = [low + i * step for i in range(count + 1)]
    labelled = tuple(
        Tick(scale.at(t), f"{100 * t:.0f}" if percentage else f"{t:.2f}".rstrip("0").rstrip("."))
        for t in ticks
    )
    return Scale(low, 1.0, labelled)


def plain_scale(high: float, *, low: float = 0.0, decimals: int = 2, factor: float = 1.0) -> Scale:
    """An axis from `low` to `high` with its two ends labelled, in units of 1 / factor."""
    first, last = (f"{factor * end:.{decimals}f}" if end else "0" for end in (low, high))
    return Scale(low, high, (Tick(0, first.replace("-", "\N{MINUS SIGN}")), Tick(100, last)))


def amount_scale(high: float, *, low: float = 0.0, factor: float = 1.0, most: int = 5) -> Scale:
    """An axis from at most `low` to at least `high` with round ticks, in units of 1 / factor.

    Where `low` is below 0, the ticks have signs and 0 is one of them.
    """
    low, high = low * factor, high * factor
    step = _round_step((high - low) / most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    scale = Scale(first * step / factor, last * step / factor)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    sign = "+" if low < 0 else ""
    ticks = []
    for i in range(first, last + 1):
        text = f"{i * step:{sign if i else ''}.{decimals}f}".replace("-", "\N{MINUS SIGN}")
        ticks.append(Tick(scale.at(i * step / factor), text))
    return Scale(scale.low, scale.high, tuple(ticks))


def count_scale(last: int, *, first: int = 1, most: int = 6) -> Scale:
    """An axis of whole numbers from `first` to `last`, both labelled."""
    step = max(1, round(_round_step((last - first) / most)))
    scale = Scale(float(first), float(max(last, first + 1)))
    even = range(first - first % step, last, step)
    inner = [i for i in even if i - first > step / 2 and last - i > step / 2]
    numbers = sorted({first, *inner, last})
    return Scale(scale.low, scale.high, tuple(Tick(scale.at(i), f"{i:,}") for i in numbers))


def size_scale(sizes: Sequence[int]) -> Scale:
    """A logarithmic axis of numbers of photos, labelled at those of `sizes` that have room."""
    low, high = min(sizes), max(*sizes, min(sizes) + 1)
    scale = Scale(float(low), float(high), logarithmic=True)
    ticks: list[Tick] = []
    for size in sorted(set(sizes), reverse=True):  # the last one is the one to keep
        if not ticks or ticks[-1].at - scale.at(size) >= _TICK_ROOM:
            ticks.append(Tick(scale.at(size), f"{size:,}"))
    return Scale(scale.low, scale.high, tuple(reversed(ticks)), logarithmic=True)


def rate_of_learning_scale(rates: Sequence[float]) -> Scale:
    """A logarithmic axis with ticks at powers of ten, or at its ends if none lies on it."""
    low, high = min(rates), max(rates)
    if high <= low:
        low, high = low / 2, high * 2
    scale = Scale(low, high, logarithmic=True)
    powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    every = max(1, math.ceil(len(powers) / _MOST_TICKS))
    ticks = tuple(Tick(scale.at(10.0**p), f"1e{p}") for p in powers[::every])
    if len(ticks) < 2:
        ticks = tuple(Tick(at, short_number(value)) for at, value in ((0, low), (100, high)))
    return Scale(low, high, ticks, logarithmic=True)


def short_number(value: float) -> str:
    """A small number in few characters: 0.0003 as "3e-4", 0.02 as "0.02", 0 as "0"."""
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, as an SVG path in a 100 x 100 view box; `kind` is its class."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with its interval, positions 0 to 100, y downwards as SVG has it.

    `text` is shown where the pointer rests on it.
    """

    x: float
    y: float
    low: float
    high: float
    kind: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines and dots over two axes; `label` says in words what they show.

    `upright` are positions of vertical lines, `key` pairs of a class and what it stands for.
    """

    title: str
    label: str
    x: Scale
    y: Scale
    x_title: str
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    upright: tuple[float, ...] = ()
    key: tuple[tuple[str, str], ...] = ()
    y_unit: str = ""


def line(points: Iterable[tuple[float, float]], x: Scale, y: Scale, kind: str) -> Line:
    """A line through (x, y) values."""
    path = "L".join(f"{x.at(a):g} {100 - y.at(b):g}" for a, b in points)
    return Line(f"M{path}" if path else "", kind)


def dot(at: float, estimate: Estimate, x: Scale, y: Scale, kind: str, text: str = "") -> Dot:
    """An estimate over a value of x."""
    low, high = (
        estimate.value if math.isnan(end) else end for end in (estimate.low, estimate.high)
    )
    value, low, high = (round(100 - y.at(v), 2) for v in (estimate.value, low, high))
    return Dot(x.at(at), value, low, high, kind, text)


def _round_step(step: float) -> float:
    """The smallest of 1, 2, 5, 10, 20... and 0.5, 0.2, 0.1... that is at least `step`."""
    if step <= 0:
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(step) + 1e-9)
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= step * (1 - 1e-9))


@dataclass(frozen=True, slots=True)
class ReliabilityPoint:
    """One bin of the reliability diagram; positions 0 to 100, y upwards; `radius` by count."""

    x: float
    y: float
    low: float
    high: float
    radius: float
    n: int
    bin: ReliabilityBin


def reliability_points(
    bins: Sequence[ReliabilityBin], *, repeats: int = 1
) -> tuple[ReliabilityPoint, ...]:
    """Where to draw the bins; rows of the same photo in several repeats count once."""
    points = []
    largest = max((b.n for b in bins), default=1)
    for b in bins:
        n = max(1, round(b.n / repeats))
        low, high = wilson_interval(b.accuracy, n)
        points.append(
            ReliabilityPoint(
                x=round(100 * b.confidence, 2),
                y=round(100 * b.accuracy, 2),
                low=round(100 * low, 2),
                high=round(100 * high, 2),
                radius=round(1.3 + 2.2 * math.sqrt(b.n / largest), 2),
                n=n,
                bin=b,
            )
        )
    return tuple(points)


@dataclass(frozen=True, slots=True)
class Shade:
    """Cells of a matrix drawn with one colour: an SVG path and its opacity, 0 to 1."""

    path: str
    opacity: float
    right: bool


def matrix_shades(confusion: FloatArray) -> tuple[Shade, ...]:
    """A k x k matrix as a few paths in a k x k view box: shares of each row, by opacity.

    Right answers (the diagonal) and confusions are apart, for they have different colours. The
    size grows with the number of cells that are not empty.
    """
    level = np.ceil(row_shares(confusion) * _SHADES).astype(int)  # 0 for empty cells
    shades = []
    for right in (True, False):
        for number in range(1, _SHADES + 1):
            rows, columns = np.nonzero(level == number)
            inside = (rows == columns) == right
            cells = zip(columns[inside], rows[inside], strict=True)
            path = "".join(f"M{x} {y}h1v1h-1z" for x, y in cells)
            if path:
                shades.append(Shade(path, number / _SHADES, right))
    return tuple(shades)


def row_shares(confusion: FloatArray) -> FloatArray:
    """Each count of a confusion matrix (k, k) as a share of its row; empty rows stay 0."""
    totals = confusion.sum(axis=1, keepdims=True)
    shares: FloatArray = np.divide(
        confusion, totals, out=np.zeros_like(confusion), where=totals > 0
    )
    return shares
