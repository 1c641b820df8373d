"""A measurement beside its target; rows in, a Markdown table out. A leaf module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regraft.metrics.rates import Estimate

HEADER = ("benchmark", "what", "measured", "target", "met")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `met` is None where there is no target."""

    name: str
    measured: str
    target: str = ""
    met: bool | None = None


class SkippedError(Exception):
    """A benchmark cannot run here; the text says why and what would help."""


def at_least(name: str, value: float, limit: float, *, measured: str, target: str = "") -> Row:
    """A row that is met from `limit` upwards; `target` is how the limit is written."""
    return Row(name, measured, target or f"at least {limit:g}", value >= limit)


def at_most(name: str, value: float, limit: float, *, measured: str, target: str = "") -> Row:
    """A row that is met up to `limit`; `target` is how the limit is written."""
    return Row(name, measured, target or f"at most {limit:g}", value <= limit)


def rate_text(rate: Estimate) -> str:
    """For example "0.950 [0.764, 0.991]"."""
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"


def spread_text(values: Sequence[float], *, digits: int, unit: str) -> str:
    """The median and the range of repeats, for example "118 (112 to 121) images/s"."""
    from statistics import median

    middle, low, high = (f"{v:,.{digits}f}" for v in (median(values), min(values), max(values)))
    return f"{middle} {unit}" if len(values) == 1 else f"{middle} ({low} to {high}) {unit}"


def markdown_table(results: Mapping[str, Sequence[Row]]) -> str:
    """Rows of several benchmarks as one aligned Markdown table."""
    lines = [list(HEADER)]
    for benchmark, rows in results.items():
        for row in rows:
            met = {True: "yes", False: "NO", None: ""}[row.met]
            lines.append([benchmark, row.name, row.measured, row.target, met])
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    ruler = ["-" * width for width in widths]
    return "".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |\n"
        for line in [cells[0], ruler, *cells[1:]]
    )
