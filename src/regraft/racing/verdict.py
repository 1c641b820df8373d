"""Measured candidates in, the chosen one and the verdict in words out.

"Cannot tell A from B" is a legal verdict; then the one that predicts at lower cost is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from regraft.approaches.base import prediction_cost
from regraft.metrics.differences import Standing, standing
from regraft.racing.candidate import Candidate, cut_short
from regraft.racing.outcomes import Measured
from regraft.racing.policy import Policy
from regraft.wording import listed


def expected_accuracies(results: Mapping[int, Measured]) -> dict[int, float]:
    """The accuracy expected on all images, also of candidates that were measured on some.

    A fold may be easier than the others. Such a candidate is therefore expected to be as far
    ahead of the one that was measured on most images as it is on the images of both.
    """
    if not results:
        return {}
    reference = max(results.values(), key=lambda result: result.images_predicted)
    return {
        i: (
            result.accuracy.value
            if result.images_predicted == reference.images_predicted
            else reference.accuracy.value + result.minus(reference).value
        )
        for i, result in results.items()
    }


def choose(candidates: Sequence[Candidate], left_s: float, policy: Policy) -> int:
    """The candidate to use: the highest expected accuracy; among equals the cheapest to predict.

    One whose final training no longer fits into `left_s` is left out, unless none does.

    Raises:
        ValueError: none of them has a result.
    """
    results = {i: c.result for i, c in enumerate(candidates) if c.result is not None}
    expected = expected_accuracies(results)
    scores = {i: x for i, x in expected.items() if results[i].fits(left_s)} or expected
    top = max(scores, key=lambda i: scores[i])
    alike = [
        i
        for i in scores
        if scores[top] - scores[i] <= policy.alike
        and (i == top or standing(results[top].minus(results[i])) != "ahead")
    ]
    return min(
        alike, key=lambda i: (prediction_cost(candidates[i].approach.network), -scores[i], i)
    )


def against_chosen(candidates: Sequence[Candidate], chosen: int) -> tuple[Candidate, ...]:
    """The candidates, each with how far the chosen one is ahead of it."""
    best = candidates[chosen].measured
    return tuple(
        replace(
            c, ahead=None if i == chosen or not best or not c.measured else best.minus(c.measured)
        )
        for i, c in enumerate(candidates)
    )


def verdict_text(candidates: Sequence[Candidate], chosen: int, left_s: float) -> str:
    """Who was chosen, and how the others stand to it."""
    sentences = [
        _on_the_chosen(candidates[chosen]),
        *_on_the_others(candidates, chosen, left_s),
        *(
            f"{c.title} is flattered: its backbone had been trained on "
            f"{c.measured.flattering:,} of the images before, labels included."
            for c in candidates
            if c.measured is not None and c.measured.flattering
        ),
    ]
    missing = [f"{c.title} ({c.reason})" for c in candidates if c.result is None]
    if missing:
        sentences.append(f"Not finished: {listed(missing)}.")
    return " ".join(sentences)


def _on_the_chosen(candidate: Candidate) -> str:
    accuracy, folds = candidate.accuracy, candidate.cross_validation
    if accuracy is None or folds is None:
        raise ValueError(f"{candidate!r} has no result to be chosen by")
    of_folds = ""
    if not folds.covered.all():
        of_folds = f" on {folds.folds_done} of {len(np.unique(folds.folds[0]))} folds"
    interval = f"[{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]"
    return (
        f"Chosen: {candidate.title}, cross-validated accuracy {100 * accuracy.value:.1f} % "
        f"{interval}{of_folds} after {candidate.seconds:.1f} s."
    )


def _on_the_others(candidates: Sequence[Candidate], chosen: int, left_s: float) -> Iterator[str]:
    by_standing: dict[Standing, list[str]] = {"ahead": [], "level": [], "behind": []}
    late: list[str] = []
    costs = [prediction_cost(c.approach.network) for c in candidates]
    higher: list[float] = []  # prediction costs of those that are more accurate
    for candidate, cost in zip(candidates, costs, strict=True):
        gap, result = candidate.ahead, candidate.result
        if gap is None or result is None:
            continue
        points = f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
        after = f", after {short}" if (short := cut_short(candidate)) else ""
        text = f"{candidate.title} ({points}{after})"
        if gap.value < 0 and not result.fits(left_s):
            late.append(text)
            continue
        by_standing[standing(gap)].append(text)
        if gap.value < 0:
            higher.append(cost)
    if by_standing["ahead"]:
        yield f"It is ahead of {listed(by_standing['ahead'])}, in points of accuracy."
    if by_standing["level"]:
        is_cheaper = higher and min(higher) > costs[chosen]
        why = "; it was preferred because it predicts at lower cost" if is_cheaper else ""
        yield f"It cannot be told apart from {listed(by_standing['level'])}{why}."
    if by_standing["behind"]:
        yield f"On what both predicted it is behind {listed(by_standing['behind'])}."
    if late:
        yield f"No time was left for the final training of {listed(late)}."
