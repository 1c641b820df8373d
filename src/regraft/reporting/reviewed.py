"""A run in, what a review changed out: decisions applied, the accuracy before it and now.

The two accuracies are shown side by side, not subtracted: a review changes which photos are
measured, and by which label, so that they are not measurements of one thing.
"""

from __future__ import annotations

from dataclasses import dataclass

from regraft.evidence import entries as evidence
from regraft.reporting import charts, words
from regraft.reporting.charts import IntervalMark, Scale
from regraft.reporting.words import thing, things
from regraft.runs import DecisionsRecord, Run


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
    decisions = run.about.decisions
    if decisions is None:
        return None
    scale = charts.rate_scale(
        [side.accuracy.low for pair in decisions.compared for side in (pair.before, pair.now)]
    )
    return Reviewed(
        summary=_summary(decisions),
        source=decisions.source,
        compared=tuple(_before_and_now(pair, scale) for pair in decisions.compared),
        scale=scale,
    )


def _summary(decisions: DecisionsRecord) -> str:
    applied = decisions.applied
    parts = [
        f"{words.counted(n, thing())} {what}"
        for n, what in (
            (applied.relabelled, "relabelled"),
            (applied.excluded, "excluded"),
            (applied.kept, "kept as labelled"),
        )
        if n
    ]
    summary = words.listed(parts) or "nothing changed"
    if decisions.skipped:
        were = words.counted(decisions.skipped, "decision was", "decisions were")
        summary += f"; {were} not applied, because the file is gone or has changed"
    return words.sentence(summary)


def _before_and_now(pair: evidence.BeforeAndNow, scale: Scale) -> BeforeAndNow:
    return BeforeAndNow(
        on=pair.on,
        name=words.estimate_name(pair.on),
        measured=(
            _measured("Before the review", pair.before, scale),
            _measured("Now", pair.now, scale),
        ),
        photos=_photos(pair),
    )


def _measured(name: str, side: evidence.AccuracyOf, scale: Scale) -> Measured:
    return Measured(
        name=name,
        n=words.number(side.n),
        photos=words.counted(side.n, thing()),
        value=words.estimate_value(side.accuracy),
        range=words.estimate_range(side.accuracy),
        mark=charts.interval_mark(side.accuracy, scale),
    )


def _photos(pair: evidence.BeforeAndNow) -> str:
    labels = "with the same labels"
    if pair.relabelled:
        labels = f"{pair.relabelled:,} of them with another label"
    if pair.shared == pair.before.photos == pair.now.photos:
        return f"The {things()} are the same, {labels}."
    return f"The {things()} differ: {pair.shared:,} are in both, {labels}."
