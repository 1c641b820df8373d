"""A run in, the learning curve out: accuracy by number of training photos, and the forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regraft.evidence.learning_curve import CurvePoint, Forecast, PowerLaw
from regraft.metrics.rates import Estimate, defined
from regraft.reporting import charts, words
from regraft.reporting.charts import Plot, Scale
from regraft.reporting.words import things
from regraft.runs import Run

_LAW_STEPS = 40


@dataclass(frozen=True, slots=True)
class Size:
    """One number of training photos, in all and of each class, and how well that did."""

    images: str
    per_class: str
    accuracy: str
    accuracy_range: str


@dataclass(frozen=True, slots=True)
class MorePhotos:
    """The curve, its numbers and what follows from it; `plot` is None without two points."""

    text: str
    head: str
    plot: Plot | None
    sizes: tuple[Size, ...]


def would_more_photos_help(run: Run) -> MorePhotos | None:
    """The learning curve of a run; None where none was measured."""
    curve = run.comparison.learning_curve
    if curve is None:
        return None
    points = [point for point in curve.points if defined(point.accuracy)]
    return MorePhotos(
        text=words.sentence(curve.text),
        head=f"{curve.approach} on {curve.backbone}",
        plot=_plot(points, curve.forecast) if len(points) > 1 else None,
        sizes=tuple(
            Size(
                images=words.number(point.images),
                per_class=words.number(point.per_class),
                accuracy=words.percent(point.accuracy.value),
                accuracy_range=words.estimate_range(point.accuracy),
            )
            for point in points
        ),
    )


def _plot(points: Sequence[CurvePoint], forecast: Forecast | None) -> Plot:
    sizes = [point.images for point in points]
    estimates = [point.accuracy for point in points]
    every = [*estimates, forecast.accuracy] if forecast else estimates
    y = charts.rate_scale([e.low for e in every] + [e.value for e in every])
    x = charts.size_scale([*sizes, forecast.images] if forecast else sizes)
    measured = [(n, e.value) for n, e in zip(sizes, estimates, strict=True)]
    line = (
        charts.line(_law_points(forecast.law, x), x, y, "law")
        if forecast
        else charts.line(measured, x, y, "fold")
    )
    dots = [
        charts.dot(n, estimate, x, y, "fold", _hover(n, estimate))
        for n, estimate in zip(sizes, estimates, strict=True)
    ]
    key = [("dot-fold", "measured")]
    label = (
        f"Accuracy rises from {words.percent(estimates[0].value)} with {sizes[0]:,} training "
        f"{things()}"
        f" to {words.percent(estimates[-1].value)} with {sizes[-1]:,}"
        if estimates[-1].value > estimates[0].value
        else f"Accuracy is {words.percent(estimates[0].value)} with {sizes[0]:,} training "
        f"{things()} and {words.percent(estimates[-1].value)} with {sizes[-1]:,}"
    )
    if forecast:
        key.append(("law", "the power law through it"))
        text = f"forecast, {_hover(forecast.images, forecast.accuracy)}"
        dots.append(charts.dot(forecast.images, forecast.accuracy, x, y, "ahead", text))
        key.append(("dot-ahead", "forecast"))
        label += (
            f"; forecast with {forecast.images:,}: {words.percent(forecast.accuracy.value)}, "
            f"interval {words.estimate_range(forecast.accuracy)}"
        )
    return Plot(
        title="Accuracy",
        label=label,
        x=x,
        y=y,
        x_title=f"training {things()}, each step the same factor",
        lines=(line,),
        dots=tuple(dots),
        key=tuple(key),
        y_unit=f"{words.THIN_SPACE}%",
    )


def _hover(images: int, accuracy: Estimate) -> str:
    value, ends = words.estimate_value(accuracy), words.estimate_range(accuracy)
    return f"{images:,} training {things()}: {value}, 95 % interval {ends}"


def _law_points(law: PowerLaw, x: Scale) -> list[tuple[float, float]]:
    sizes = np.geomspace(x.low, x.high, _LAW_STEPS)
    return [(float(n), 1 - law.error(float(n))) for n in sizes]
