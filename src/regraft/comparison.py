"""Approaches and a Dataset in, a Comparison out: who wins, by how much, at what cost.

All candidates predict the same training rows on the same folds; the test set is not looked at.
Differences are paired, image by image. "Cannot tell A from B" is a legal verdict.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from regraft.approaches import (
    Approach,
    CrossValidation,
    prediction_cost,
    repeated_folds,
    seconds_expected,
)
from regraft.dataset import Dataset, split_groups
from regraft.errors import DataError, RegraftError
from regraft.metrics import Estimate, accuracy_estimate, paired_difference
from regraft.progress import Progress, silent

ALIKE = 0.005  # accuracy; closer candidates that the test cannot part are told by their cost


@dataclass(frozen=True, slots=True)
class Candidate:
    """One approach with its settings, and how it did.

    `status` is "done", "failed" or "skipped", and `reason` says why for the last two. `ahead` is
    the paired difference in accuracy, chosen candidate minus this one (None for the chosen).
    """

    approach: Approach
    status: str
    reason: str = ""
    seconds: float = 0.0
    accuracy: Estimate | None = None
    cross_validation: CrossValidation | None = None
    ahead: Estimate | None = None

    @property
    def title(self) -> str:
        """For people: "linear_probe on efficientnet_lite0, 2 views"."""
        views = self.approach.settings.get("views", 1)
        suffix = f", {views} views" if views != 1 else ""
        return f"{self.approach.name} on {self.approach.network.name}{suffix}"

    def to_dict(self) -> dict[str, Any]:
        """An entry of `candidates` in `comparison.json`."""
        found = self.cross_validation
        return {
            "approach": self.approach.name,
            "backbone": self.approach.network.name,
            "settings": dict(self.approach.settings) | (dict(found.chosen) if found else {}),
            "title": self.title,
            "fold_scores": [round(s, 6) for s in found.fold_scores] if found else [],
            "accuracy": self.accuracy.to_dict() if self.accuracy else None,
            "chosen_is_ahead_by": self.ahead.to_dict() if self.ahead else None,
            "seconds": round(self.seconds, 3),
            "status": self.status,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every candidate on the same folds, and the verdict in words."""

    candidates: tuple[Candidate, ...]
    chosen: int
    verdict: str
    folds: int
    repeats: int

    @property
    def winner(self) -> Candidate:
        """The chosen candidate."""
        return self.candidates[self.chosen]

    @property
    def best(self) -> Approach:
        """The chosen approach; `comparison.best.fit(data)` trains it on all training rows."""
        return self.winner.approach

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, `comparison.json`."""
        return {
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "chosen": self.chosen,
            "verdict": self.verdict,
            "folds": self.folds,
            "repeats": self.repeats,
        }


def compare(
    approaches: Sequence[Approach],
    data: Dataset,
    *,
    folds: int = 5,
    repeats: int | None = None,
    budget_s: float | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Cross-validate every approach on the same folds and choose one.

    Chosen is the highest accuracy; among candidates within half a point of it whose paired
    difference could be zero, the cheapest to predict with. A candidate that fails, or that the
    budget leaves no time for, is recorded with its reason and the others go on.

    Args:
        approaches: in the order in which they are tried.
        data: its training rows are used, and only those.
        folds: of each repeat.
        repeats: None for 3 below 1,000 images, else 1.
        budget_s: seconds for all candidates together; None for no limit.
        seed: of the folds.
        jobs: worker threads.
        progress: told how far each step is.

    Raises:
        DataError: the data cannot be trained on, or no candidate could be finished.
    """
    if not approaches:
        raise DataError("nothing to compare; give at least one approach")
    assignment = repeated_folds(data, folds=folds, repeats=repeats, seed=seed)
    groups = split_groups(data.train)
    independent = len(np.unique(groups)) == len(groups)
    deadline = None if budget_s is None else time.monotonic() + budget_s
    candidates: list[Candidate] = []
    for approach in approaches:
        started = time.monotonic()
        reason = _too_late(approach, len(data.train), deadline) if candidates else ""
        if reason:
            candidates.append(Candidate(approach, "skipped", reason))
            continue
        try:
            found = approach.cross_validate(data, assignment, jobs=jobs, progress=progress)
        except RegraftError as error:
            seconds = time.monotonic() - started
            candidates.append(Candidate(approach, "failed", str(error), seconds))
            continue
        candidates.append(
            Candidate(
                approach,
                "done",
                seconds=time.monotonic() - started,
                accuracy=accuracy_estimate(
                    found.correct.mean(axis=0),
                    None if independent else groups,
                    folds=len(np.unique(assignment[0])),
                    seed=seed,
                ),
                cross_validation=found,
            )
        )
    if not any(candidate.status == "done" for candidate in candidates):
        reasons = "; ".join(f"{c.title}: {c.reason}" for c in candidates)
        raise DataError(f"no candidate could be finished ({reasons})")
    chosen = _choose(candidates)
    against = tuple(_against(candidates[chosen], candidate) for candidate in candidates)
    return Comparison(
        candidates=against,
        chosen=chosen,
        verdict=_verdict(against, chosen),
        folds=len(np.unique(assignment[0])),
        repeats=len(assignment),
    )


def _too_late(approach: Approach, images: int, deadline: float | None) -> str:
    if deadline is None:
        return ""
    left = deadline - time.monotonic()
    if left <= 0:
        return "the time budget was used up"
    expected = seconds_expected(approach.network, images)
    if expected is not None and expected > left:
        return f"would need about {expected:.0f} s and {left:.0f} s of the budget were left"
    return ""


def _difference(first: Candidate, second: Candidate) -> Estimate:
    assert first.cross_validation is not None
    assert second.cross_validation is not None
    return paired_difference(
        first.cross_validation.correct,
        second.cross_validation.correct,
        first.cross_validation.folds,
    )


def _choose(candidates: Sequence[Candidate]) -> int:
    scores = {
        i: candidate.accuracy.value
        for i, candidate in enumerate(candidates)
        if candidate.accuracy is not None
    }
    top = max(scores, key=lambda i: scores[i])
    alike = [
        i
        for i in scores
        if scores[top] - scores[i] <= ALIKE
        and (i == top or _difference(candidates[top], candidates[i]).low <= 0)
    ]
    return min(
        alike, key=lambda i: (prediction_cost(candidates[i].approach.network), -scores[i], i)
    )


def _against(chosen: Candidate, other: Candidate) -> Candidate:
    if other is chosen or other.cross_validation is None:
        return other
    return replace(other, ahead=_difference(chosen, other))


def _verdict(candidates: Sequence[Candidate], chosen: int) -> str:
    winner = candidates[chosen]
    assert winner.accuracy is not None
    a = winner.accuracy
    parts = [
        f"Chosen: {winner.title}, cross-validated accuracy {_percent(a.value)} % "
        f"[{_percent(a.low)}, {_percent(a.high)}] after {winner.seconds:.1f} s."
    ]
    beaten: list[str] = []
    level: list[str] = []
    for candidate in candidates:
        gap = candidate.ahead
        if gap is None:
            continue
        text = f"{candidate.title} ({_points(gap.value)} [{_points(gap.low)}, {_points(gap.high)}])"
        (beaten if gap.low > 0 else level).append(text)
    if beaten:
        parts.append(f"It is ahead of {_listed(beaten)}, in points of accuracy.")
    if level:
        higher = [c for c in candidates if c.ahead is not None and c.ahead.value < 0]
        why = "; it was preferred because it predicts at lower cost" if higher else ""
        parts.append(f"It cannot be told apart from {_listed(level)}{why}.")
    missing = [c for c in candidates if c.status != "done"]
    if missing:
        parts.append(f"Not finished: {_listed([f'{c.title} ({c.reason})' for c in missing])}.")
    return " ".join(parts)


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
