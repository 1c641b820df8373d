"""Numbers in, positions out: the geometry of the charts, drawn by `templates/charts.html.jinja`.

Positions along an axis are percentages of its length, so that a chart fills whatever width it
is given without its lines and dots being stretched. Nothing here knows of markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from regraft.metrics import Estimate, FloatArray, ReliabilityBin, wilson_interval

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25)  # of the ticks of an axis of rates
_MOST_TICKS = 6
_SHADES = 4


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position, 0 to 100, on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`."""

    low: float
    high: float
    ticks: tuple[Tick, ...] = ()

    def at(self, value: float) -> float:
        """Position of `value` in percent of the length, kept on the axis."""
        share = (value - self.low) / (self.high - self.low)
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


def plain_scale(high: float, *, decimals: int = 2, factor: float = 1.0) -> Scale:
    """An axis from 0 to `high` with its two ends labelled, in units of 1 / factor."""
    ends = (Tick(0, "0"), Tick(100, f"{factor * high:.{decimals}f}"))
    return Scale(0.0, high, ends)


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
