"""Rates with their intervals, and times, as people read them."""

from __future__ import annotations

import math

from rich.markup import escape

from regraft.evidence.evaluation import CROSS_VALIDATION, Evaluation
from regraft.metrics.rates import Estimate

_TOO_SMALL = 0.0005  # "[0.000, 0.000]" would look like certainty


def rate(value: float) -> str:
    """ "0.932", and "-" where there is no value."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def share(estimate: Estimate) -> str:
    """For example "93.2 % [90.4, 95.3]"."""
    value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
    return f"{value:.1f} % {escape(f'[{low:.1f}, {high:.1f}]')}"


def interval(estimate: Estimate) -> str:
    """ "[0.904, 0.953]", dimmed; nothing where there is no value."""
    if math.isnan(estimate.value):
        return ""
    if 0 < estimate.high < _TOO_SMALL:
        return "[dim]below 0.001[/dim]"
    return f"[dim]\\[{estimate.low:.3f}, {estimate.high:.3f}][/dim]"


def headline(evaluation: Evaluation, things: str) -> str:
    """How often a model was right, of what, and how often guessing would be; no markup."""
    accuracy, known_before = evaluation.accuracy, evaluation.overlap.flattering
    measured_on = f"{evaluation.n:,} test {things}"
    if evaluation.on == CROSS_VALIDATION:
        measured_on = f"{evaluation.n:,} {things}, none of them seen before (cross-validation)"
    if known_before:
        measured_on = (
            f"{evaluation.n:,} {things}, {known_before:,} of which its backbone had been trained "
            "on before"
        )
    value, low, high = (100 * x for x in (accuracy.value, accuracy.low, accuracy.high))
    return (
        f"Right on {value:.1f} % [{low:.1f}, {high:.1f}] of {measured_on}; always "
        f"guessing the most frequent class: {100 * evaluation.majority_share:.1f} %."
    )


def clock_time(seconds: float) -> str:
    """ "12:34", "1:01:01"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float | None) -> str:
    """ "moments", "12 s", "3.4 min", and "?" where it is not known."""
    if seconds is None:
        return "?"
    if seconds < 1:
        return "moments"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
