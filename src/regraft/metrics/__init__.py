"""Arrays in, numbers with intervals out.

A metric is a function like those of `built_in`, and a row of `METRICS` with the words for it.
Evaluations and their files, pages, what commands print and what trackers get are made of the rows.

built_in     metrics of labels, probabilities and weights
rates        their intervals
differences  whether two accuracies differ significantly: one rule for the race, runs side by side
             and promotion
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from regraft.metrics import built_in
from regraft.metrics.rates import Estimate, FloatArray, IntArray


def _as_it_is(estimate: Estimate) -> Estimate:
    return estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number that says how good predictions are.

    Attributes:
        title: its name above a chart or in a card.
        label: its name in the tables of the terminal.
        meaning: what it says, in one sentence with {thing} and {things} for what is classified.
        statistic: takes labels (n,), probabilities (n, k) and weights (b, n), returns b values,
            NaN where it is not defined.
        chance: what guessing reaches, given the share of each class (k,); None where that says
            nothing.
        chance_words: a sentence on it.
        higher_is_better: whether it is.
        in_percent: whether people see it in percent.
        own_axis: whether it is drawn on an axis of its own, not on that which rates share.
        in_summary: whether the table at the end of a fit has it.
        lowest: the smallest value it can have.
        corrected: puts an interval right where those of the bootstrap are biased.
        grows_with_data: whether more training images are expected to make it better.
    """

    title: str
    label: str
    meaning: str
    statistic: Callable[[IntArray, FloatArray, FloatArray], FloatArray]
    chance: Callable[[FloatArray], float] | None = None
    chance_words: str = "A blind guess gives {}."
    higher_is_better: bool = True
    in_percent: bool = True
    own_axis: bool = False
    in_summary: bool = False
    lowest: float = 0.0
    corrected: Callable[[Estimate], Estimate] = _as_it_is
    grows_with_data: bool = True


# By their names in files, where each is a member of an evaluation.
METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        title="Accuracy",
        label="accuracy",
        meaning="The share of {things} it got right.",
        statistic=built_in.accuracy,
        chance=lambda shares: float(shares.max()),
        chance_words="Always the most frequent class: {}.",
    ),
    "balanced_accuracy": Metric(
        title="Balanced accuracy",
        label="balanced accuracy",
        meaning="What the accuracy would be if every class had the same number of {things}.",
        statistic=built_in.balanced_accuracy,
        chance=lambda shares: 1 / len(shares),
    ),
    "macro_f1": Metric(
        title="Macro F1",
        label="macro F1",
        meaning="High only if few {things} of any class are missed and few others are taken for "
        "it.",
        statistic=built_in.macro_f1,
        in_summary=True,
    ),
    "roc_auc": Metric(
        title="ROC AUC",
        label="ROC AUC",
        meaning="How often a {thing} of a class scores higher for it than a {thing} of another.",
        statistic=built_in.roc_auc,
        chance=lambda _shares: 0.5,
        in_percent=False,
    ),
    "log_loss": Metric(
        title="Log loss",
        label="log loss",
        meaning="The penalty for being sure and wrong; 0 is perfect.",
        statistic=built_in.log_loss,
        chance=lambda shares: math.log(len(shares)),
        chance_words="An even guess gives {}.",
        higher_is_better=False,
        in_percent=False,
        own_axis=True,
        in_summary=True,
    ),
    "ece": Metric(
        title="Calibration error",
        label="ECE",
        meaning="The average gap between how sure it says it is and how often it is right (ECE).",
        statistic=built_in.calibration_error,
        higher_is_better=False,
        own_axis=True,
        in_summary=True,
        corrected=built_in.mirrored,
        grows_with_data=False,  # a temperature is fitted anew each time
    ),
}
