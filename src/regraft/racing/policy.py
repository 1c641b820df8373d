"""The numbers that decide who gets time: every share, margin and limit of the race.

Beside each stands why it is there. `WITHOUT` switches the rules off one by one, so that what each
is worth can be measured, see `benchmarks/ablation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Policy:
    """Shares are of the seconds that the comparison and the final training have together."""

    # Of the budget, after which no other frozen network than the first is tried while some wait to
    # be trained: on a busy machine the features of several backbones could take all of it.
    frozen_share: float = 0.4

    # Of the budget, after which no further candidate is timed: probes take long on a busy machine,
    # and the dear candidates, which are timed last, hardly get a turn on it.
    timing_share: float = 0.1

    # Of the budget, for training from scratch while others wait: it shows what transfer is worth,
    # and that is worth a share, but not the turn of what may win.
    baseline_share: float = 0.15

    # Predicted seconds are multiplied by it before they are relied on: they are off by tens of per
    # cent (docs/benchmarks.md), and a training that is cut off has no result.
    margin: float = 1.15

    # Work of a prediction (`prediction_cost`) from which a network is expensive: it is timed after
    # the others, and perhaps not at all. Word vectors take 3e7, a text encoder 6e9, photos 2e11.
    expensive_work: float = 1e9

    # Passes of all inputs through an expensive network without which no part of it can be trained;
    # where these do not fit, the second or two that timing takes are saved.
    fewest_passes: float = 1.5

    # Training images from which, with a test set as well, one fold is enough: it has 200 images to
    # choose by, and the time is worth more in the epochs of the final training.
    one_fold_from: float = 1_000

    # Accuracy behind the leader up to which a candidate gets further folds and time for a final
    # training: one that is further behind is seldom chosen after all.
    contender_gap: float = 0.02

    # Accuracy within which candidates that the test cannot part are told by their cost.
    alike: float = 0.005


DEFAULT_POLICY = Policy()

WITHOUT: Mapping[str, Policy] = {
    "at most 40 % for frozen networks": replace(DEFAULT_POLICY, frozen_share=math.inf),
    "at most 10 % for timing": replace(DEFAULT_POLICY, timing_share=math.inf),
    "at most 15 % for training from scratch": replace(DEFAULT_POLICY, baseline_share=math.inf),
    "a margin on predicted seconds": replace(DEFAULT_POLICY, margin=1.0),
    "expensive networks are timed last": replace(DEFAULT_POLICY, expensive_work=math.inf),
    "what one pass rules out is not timed": replace(DEFAULT_POLICY, fewest_passes=0.0),
    "one fold is enough from 1,000 images": replace(DEFAULT_POLICY, one_fold_from=math.inf),
    "only contenders get further time": replace(DEFAULT_POLICY, contender_gap=math.inf),
    "among equals the cheapest is chosen": replace(DEFAULT_POLICY, alike=0.0),
}
"""Each rule in a few words, and the policy in which it is off."""
