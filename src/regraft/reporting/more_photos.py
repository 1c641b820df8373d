"""A run in, the learning curve out: accuracy by number of training photos, and the forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from regraft.metrics import Estimate
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
    curve = run.comparison.get("learning_curve")
    if not isinstance(curve, Mapping) or not curve:
        return None
    points = [(_point(entry), entry) for entry in curve.get("points") or ()]
    found = [(estimate, entry) for estimate, entry in points if estimate is not None]
    names = [str(curve.get(key) or "") for key in ("approach", "backbone")]
    return MorePhotos(
        text=words.sentence(str(curve.get("text") or "")),
        head=" on ".join(name for name in names if name),
        plot=_plot(found, curve.get("forecast")) if len(found) > 1 else None,
        sizes=tuple(
            Size(
                images=words.number(float(entry["images"])),
                per_class=words.number(float(entry.get("per_class") or 0)),
                accuracy=words.percent(estimate.value),
                accuracy_range=words.estimate_range(estimate),
            )
            for estimate, entry in found
        ),
    )


def _point(entry: Mapping[str, Any]) -> Estimate | None:
    data = entry.get("accuracy")
    if not data or data.get("value") is None or not entry.get("images"):
        return None
    return Estimate.from_dict(dict(data))


def _plot(found: list[tuple[Estimate, Mapping[str, Any]]], forecast: Any) -> Plot:
    sizes = [int(entry["images"]) for _, entry in found]
    estimates = [estimate for estimate, _ in found]
    ahead = _forecast_point(estimates[-1], forecast) if forecast else None
    every = [*estimates, ahead] if ahead else estimates
    y = charts.rate_scale([e.low for e in every] + [e.value for e in every])
    x = charts.size_scale([*sizes, int(forecast["images"])] if ahead else sizes)
    law = forecast.get("law") if forecast else None
    lines = [
        charts.line([(n, e.value) for n, e in zip(sizes, estimates, strict=True)], x, y, "fold")
    ]
    if law:
        lines = [charts.line(_law_points(law, x), x, y, "law")]
    elif ahead:
        lines.append(
            charts.line(
                [(sizes[-1], estimates[-1].value), (forecast["images"], ahead.value)], x, y, "law"
            )
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
    if law:
        key.append(("law", "the power law through it"))
    if ahead:
        text = f"forecast, {_hover(int(forecast['images']), ahead)}"
        dots.append(charts.dot(forecast["images"], ahead, x, y, "ahead", text))
        key.append(("dot-ahead", "forecast"))
        label += (
            f"; forecast with {int(forecast['images']):,}: {words.percent(ahead.value)}, "
            f"interval {words.estimate_range(ahead)}"
        )
    return Plot(
        title="Accuracy",
        label=label,
        x=x,
        y=y,
        x_title=f"training {things()}, each step the same factor",
        lines=tuple(lines),
        dots=tuple(dots),
        key=tuple(key),
        y_unit=f"{words.THIN_SPACE}%",
    )


def _forecast_point(last: Estimate, forecast: Mapping[str, Any]) -> Estimate | None:
    """Where the forecast stands: as stored, else the last point and the gain on top."""
    stored = forecast.get("accuracy")
    if stored and stored.get("value") is not None:
        return Estimate.from_dict(dict(stored))
    gain = forecast.get("gain")
    if not gain or gain.get("value") is None:
        return None
    risen = Estimate.from_dict(dict(gain))
    value, low, high = (min(1.0, last.value + x) for x in (risen.value, risen.low, risen.high))
    return Estimate(value, low, high, risen.method)


def _hover(images: int, accuracy: Estimate) -> str:
    value, ends = words.estimate_value(accuracy), words.estimate_range(accuracy)
    return f"{images:,} training {things()}: {value}, 95 % interval {ends}"


def _law_points(law: Mapping[str, Any], x: Scale) -> list[tuple[float, float]]:
    floor, scale, exponent = (float(law[name]) for name in ("floor", "scale", "exponent"))
    at = np.geomspace(x.low, x.high, _LAW_STEPS)
    return [(float(n), float(1 - min(1.0, floor + scale * n**-exponent))) for n in at]
