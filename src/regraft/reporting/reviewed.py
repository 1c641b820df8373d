"""A run in, what a review changed out: decisions applied, the accuracy before it and now.

The two accuracies are shown side by side, not subtracted: a review changes which photos are
measured, and by which label, so that they are not measurements of one thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regraft.metrics import Estimate
from regraft.reporting import charts, words
from regraft.reporting.charts import IntervalMark, Scale
from regraft.reporting.words import thing, things
from regraft.runs import Run


@dataclass(frozen=True, slots=True)
class Measured:
    """One accuracy: of which run, on how many photos."""

    name: str
    n: str
    photos: str
    value: str
    range: str
    mark: IntervalMark | None


@dataclass(frozen=True, slots=True)
class BeforeAndNow:
    """One estimate before the review and now, and how far the photos are the same."""

    on: str
    name: str
    measured: tuple[Measured, Measured]
    photos: str

    @property
    def sentence(self) -> str:
        """Both in one sentence, and how far the photos are the same in another."""
        before, now = self.measured
        return (
            f"{self.name}: {before.value} ({before.range}) of {before.photos} before the review, "
            f"{now.value} ({now.range}) of {now.photos} now. {self.photos}"
        )


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review changed; `compared` is empty where the earlier accuracy is not known."""

    summary: str
    source: str
    compared: tuple[BeforeAndNow, ...]
    scale: Scale


def what_the_review_changed(run: Run) -> Reviewed | None:
    """What is known of the decisions that the run applied; None where it applied none."""
    entry = run.about.get("decisions")
    if not entry:
        return None
    compared = list(entry.get("compared") or ())
    lows = [_accuracy(one[when]).low for one in compared for when in ("before", "now")]
    scale = charts.rate_scale(lows)
    return Reviewed(
        summary=_summary(entry),
        source=str(entry.get("from") or ""),
        compared=tuple(_before_and_now(one, scale) for one in compared),
        scale=scale,
    )


def _summary(entry: Mapping[str, Any]) -> str:
    applied = entry.get("applied") or {}
    parts = [
        f"{words.counted(applied[name], thing())} {said}"
        for name, said in (
            ("relabelled", "relabelled"),
            ("excluded", "excluded"),
            ("kept", "kept as labelled"),
        )
        if applied.get(name)
    ]
    said = words.listed(parts) or "nothing changed"
    skipped = int(entry.get("skipped") or 0)
    if skipped:
        was = "decision was" if skipped == 1 else "decisions were"
        said += f"; {skipped:,} {was} not applied, because the file is gone or has changed"
    return words.sentence(said)


def _before_and_now(one: Mapping[str, Any], scale: Scale) -> BeforeAndNow:
    return BeforeAndNow(
        on=str(one["on"]),
        name=words.estimate_name(str(one["on"])),
        measured=(
            _measured("Before the review", one["before"], scale),
            _measured("Now", one["now"], scale),
        ),
        photos=_photos(one),
    )


def _measured(name: str, entry: Mapping[str, Any], scale: Scale) -> Measured:
    accuracy = _accuracy(entry)
    return Measured(
        name=name,
        n=words.number(int(entry["n"])),
        photos=words.counted(int(entry["n"]), thing()),
        value=words.estimate_value(accuracy),
        range=words.estimate_range(accuracy),
        mark=charts.interval_mark(accuracy, scale),
    )


def _accuracy(entry: Mapping[str, Any]) -> Estimate:
    return Estimate.from_dict(dict(entry["accuracy"]))


def _photos(one: Mapping[str, Any]) -> str:
    shared, relabelled = int(one["shared"]), int(one["relabelled"])
    labels = f"{relabelled:,} of them with another label" if relabelled else "with the same labels"
    if shared == one["before"]["photos"] == one["now"]["photos"]:
        return f"The {things()} are the same, {labels}."
    return f"The {things()} differ: {shared:,} are in both, {labels}."
