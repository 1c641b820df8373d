"""A finished comparison in, what it shows out: what transfer bought, whether more photos would
help, whether the rule of thumb held, and how training went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from regraft.approaches.base import TrainingLog, is_trained, scope_of
from regraft.approaches.frozen import training_arrays
from regraft.approaches.linear_probe import LinearProbe
from regraft.dataset import Dataset, split_groups
from regraft.evidence.evaluation import TEST, Evaluation
from regraft.evidence.learning_curve import LearningCurve, learning_curve
from regraft.evidence.training_table import RangeRow, TrainingRow, table_of
from regraft.heads import fit_logistic
from regraft.metrics.differences import standing
from regraft.metrics.rates import Estimate
from regraft.progress import Progress
from regraft.racing import Candidate, Comparison, candidate_difference, cut_short
from regraft.racing.guide import SCOPES, Advice, Rival, Size, held
from regraft.racing.similarity import Similarity
from regraft.storage.records import digits
from regraft.storage.saved import Count, Number


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideRecord:
    """What was measured of the data, what the rule of thumb advised, and whether it held."""

    size: Size
    similarity: Similarity
    quadrant: str
    advice: str
    reason: str
    source: str
    held: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRecord:
    """The best pretrained candidate against the best one trained from random weights."""

    text: str
    difference: Estimate
    seconds_transfer: Number = field(metadata=digits(1))
    seconds_scratch: Number = field(metadata=digits(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRecord:
    """What choosing the best of several may have flattered, in words."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyOf:
    """An accuracy of `n` images, which are `photos` different contents."""

    n: Count
    photos: Count
    accuracy: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeAndNow:
    """One accuracy before a review and after it.

    `shared` counts contents measured both times, `relabelled` those of them with another label.
    """

    on: str
    before: AccuracyOf
    now: AccuracyOf
    shared: Count
    relabelled: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What comparison.json says beside the candidates; None where there is nothing to say."""

    guide: GuideRecord | None
    transfer: TransferRecord | None
    learning_curve: LearningCurve | None
    selection: SelectionRecord

    def entries(self) -> dict[str, object]:
        """By name, without those that say nothing."""
        entries = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: entry for name, entry in entries.items() if entry is not None}


def guide_entry(
    size: Size, similarity: Similarity, advice: Advice, comparison: Comparison
) -> GuideRecord:
    """`guide` in comparison.json: what was measured, advised, and whether it held."""
    train = scope_of(comparison.winner.approach)
    rivals = [
        Rival(c.title, scope_of(c.approach), c.ahead, c.reason or cut_short(c))
        for c in comparison.candidates
        if c is not comparison.winner
    ]
    verdict = held(advice, train, rivals) if rivals and train in SCOPES else ""
    return GuideRecord(
        size=size,
        similarity=similarity,
        quadrant=advice.quadrant,
        advice=advice.advice,
        reason=advice.reason,
        source=advice.source,
        held=verdict,
    )


def transfer_entry(comparison: Comparison) -> TransferRecord | None:
    """`transfer`: the best pretrained candidate against the best one from scratch; None without."""
    finished = [c for c in comparison.candidates if c.accuracy is not None]
    scratch = [c for c in finished if _is_baseline(c)]
    others = [c for c in finished if not _is_baseline(c)]
    if not scratch or not others:
        return None
    base = max(scratch, key=_value)
    winner = comparison.winner
    best = max(others, key=_value) if _is_baseline(winner) else winner
    gap = candidate_difference(best, base)
    points = f"{gap.points}, on the same data"
    trained = f"{base.title}, trained from random weights for {base.seconds:.0f} s"
    text = {
        "ahead": f"{best.title} is ahead of {trained}: {points}.",
        "behind": f"{best.title} is behind {trained}: {points}.",
        "level": f"{best.title} cannot be told apart from {trained}: {points}. That the pretrained "
        "weights bring nothing cannot be ruled out.",
    }[standing(gap)]
    if short := cut_short(base):
        text += f" That network had time for {short}: with more it may come closer."
    return TransferRecord(
        text=text,
        difference=gap,
        seconds_transfer=best.seconds,
        seconds_scratch=base.seconds,
    )


def learning_curve_entry(
    data: Dataset, comparison: Comparison, *, seed: int, jobs: int | None, progress: Progress
) -> LearningCurve | None:
    """`learning_curve` of the best linear probe; None where none was run.

    A curve of a fine-tuned network would take as long as the race; its text says whose it is.
    """
    probes = [
        c
        for c in comparison.candidates
        if isinstance(c.approach, LinearProbe) and c.accuracy is not None
    ]
    if not probes:
        return None
    best = max(probes, key=_value)
    folds = best.cross_validation
    assert folds is not None
    features, labels = training_arrays(data, best.approach.network, jobs=jobs, progress=progress)
    curve = learning_curve(
        features,
        labels,
        folds.folds,
        n_classes=len(data.classes),
        fit=fit_logistic,
        setting=folds.chosen["penalty"],
        groups=split_groups(data.train),
        seed=seed,
        approach=best.approach.name,
        backbone=best.approach.network.name,
    )
    if best is comparison.winner:
        return curve
    of = (
        f"This is the curve of {best.title}, which is quick to measure, not of the chosen approach."
    )
    return replace(curve, text=f"{curve.text} {of}")


def selection_entry(comparison: Comparison, evaluations: list[Evaluation]) -> SelectionRecord:
    """`selection`: what choosing the best of several may have flattered."""
    winner = comparison.winner.accuracy
    assert winner is not None
    tried = sum(c.accuracy is not None for c in comparison.candidates)
    test = next((e.accuracy for e in evaluations if e.on == TEST), None)
    text = (
        f"The best of {tried} candidates had {_shown(winner)} in cross-validation"
        if tried > 1
        else f"The only candidate had {_shown(winner)} in cross-validation"
    )
    if test is None:
        text += (
            "; there is no test set, so what choosing it may have flattered is not measured."
            if tried > 1
            else "."
        )
    else:
        text += f" and {_shown(test)} on the test set, which no choice has seen."
    return SelectionRecord(text=text)


def review_entry(
    earlier: Sequence[Evaluation],
    earlier_data: Dataset,
    evaluations: Sequence[Evaluation],
    data: Dataset,
) -> list[BeforeAndNow]:
    """`decisions.compared` in run.json: each accuracy before a review and now."""
    before = {evaluation.on: evaluation for evaluation in earlier}
    compared = []
    for now in evaluations:
        if now.on not in before:
            continue
        then_labels, labels = (
            {row.sha256: row.label for row in (d.test if now.on == TEST else d.train)}
            for d in (earlier_data, data)
        )
        shared = then_labels.keys() & labels.keys()
        then = before[now.on]
        compared.append(
            BeforeAndNow(
                on=now.on,
                before=AccuracyOf(n=then.n, photos=len(then_labels), accuracy=then.accuracy),
                now=AccuracyOf(n=now.n, photos=len(labels), accuracy=now.accuracy),
                shared=len(shared),
                relabelled=sum(then_labels[sha256] != labels[sha256] for sha256 in shared),
            )
        )
    return compared


def training_csv(comparison: Comparison) -> str:
    """`training.csv`: every step and epoch of every network that was trained; "" without any."""
    return table_of(
        [
            TrainingRow(
                candidate=title,
                fold=log.fold,
                epoch=step.epoch,
                step=None if step.step < 0 else step.step,
                learning_rate=step.learning_rate,
                train_loss=step.train_loss,
                train_accuracy=step.train_accuracy,
                fold_loss=step.fold_loss,
                fold_accuracy=step.fold_accuracy,
            )
            for title, log in _logs(comparison)
            for step in log.steps
        ]
    )


def range_csv(comparison: Comparison) -> str:
    """`lr_range.csv`: the learning-rate range tests; "" without any."""
    rows = []
    for title, log in _logs(comparison):
        distances = [abs(math.log(rate / log.chosen_rate)) for rate, _ in log.rates]
        rows += [
            RangeRow(
                candidate=title, learning_rate=rate, loss=loss, chosen=distance == min(distances)
            )
            for (rate, loss), distance in zip(log.rates, distances, strict=True)
        ]
    return table_of(rows)


def _logs(comparison: Comparison) -> list[tuple[str, TrainingLog]]:
    return [
        (c.title, log)
        for c in comparison.candidates
        if c.cross_validation is not None
        for log in c.cross_validation.log
    ]


def _shown(rate: Estimate) -> str:
    return f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def _value(candidate: Candidate) -> float:
    return candidate.accuracy.value if candidate.accuracy is not None else -np.inf


def _is_baseline(candidate: Candidate) -> bool:
    return is_trained(candidate.approach) and candidate.approach.is_baseline
