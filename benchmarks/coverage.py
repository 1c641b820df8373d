"""How often the interval that `fit` reports contains the truth, by resampling real photos.

Command   python -m benchmarks coverage
Data      clothing, all 3,781 photos pooled (10 classes, imbalanced)
Expected  the 95 % interval contains the accuracy in 93 to 97 % of draws

200 times, 200 photos are drawn at random as a training set. On it runs what
`fit --approach linear_probe` runs where nothing can be set aside: nested 5-fold cross-validation
over 3 assignments to folds, its accuracy with interval, and the final head on all 200. That
head's accuracy on the 3,581 other photos is the truth the interval should contain; its
prediction sets, which promise the true class 9 times out of 10 for every class, are counted on
the same photos. Features come from the cache.

Draws overlap (each takes 5 % of the pool), so their hits are not quite independent, and the
interval of the share itself is a little too narrow.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

import regraft as rg
from benchmarks.data import photo_data
from benchmarks.rows import Row, at_least, rate_text
from regraft.catalogue import DEFAULT_BACKBONE
from regraft.dataset import leave_out_small_classes
from regraft.features import FeatureArray
from regraft.heads import COVERAGE, softmax
from regraft.metrics import wilson_interval
from regraft.workers import available_cores

TARGET = 0.93


@dataclass(frozen=True, slots=True)
class Draw:
    """What was reported from one training set, and what was true of the other photos.

    `set_coverage` is the share of other photos whose prediction set holds the true class,
    `set_size` the mean number of classes in it.
    """

    reported: rg.Estimate
    true_accuracy: float
    set_coverage: float
    set_size: float

    @property
    def is_hit(self) -> bool:
        """Whether the reported interval contains the truth."""
        return self.reported.low <= self.true_accuracy <= self.reported.high


def run(*, draws: int = 200, images: int = 200, processes: int | None = None) -> list[Row]:
    """The share of intervals that contain the truth, and how good the prediction sets are.

    Args:
        draws: training sets.
        images: in each of them.
        processes: None for one a core.
    """
    data = photo_data("clothing")
    distinct = {row.sha256: replace(row, split="") for row in data.ok}
    pool = rg.Dataset.from_rows(data.root, distinct.values())
    features = np.array(rg.embed(pool, DEFAULT_BACKBONE))
    return _rows(_all_draws(pool, features, images, draws, processes or available_cores()))


def _all_draws(
    pool: rg.Dataset, features: FeatureArray, images: int, draws: int, processes: int
) -> list[Draw]:
    """The draws, spread over processes."""
    measure = partial(measure_draws, pool, features, images)
    if processes == 1:
        return measure(range(draws))
    shares = [range(start, draws, processes) for start in range(processes)]
    context = multiprocessing.get_context("spawn")  # threads of this process would not survive
    with ProcessPoolExecutor(processes, mp_context=context) as executor:
        return [draw for some in executor.map(measure, shares) for draw in some]


def measure_draws(
    pool: rg.Dataset, features: FeatureArray, images: int, seeds: Iterable[int]
) -> list[Draw]:
    """`measure_draw` for each seed, on one core: the matrices are small."""
    import sklearn.linear_model  # noqa: F401 - only libraries that are loaded can be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return [measure_draw(pool, features, images, seed) for seed in seeds]


def measure_draw(pool: rg.Dataset, features: FeatureArray, images: int, seed: int) -> Draw:
    """Train on `images` random rows of `pool` and compare what is reported with the rest.

    Args:
        pool: labelled rows, each content once.
        features: of those rows, (n, d).
        images: rows in the training set.
        seed: draws them and assigns them to folds.
    """
    order = np.random.default_rng(seed).permutation(len(pool.rows))
    drawn = [pool.rows[i] for i in order[:images]]
    data = leave_out_small_classes(rg.Dataset.from_rows(pool.root, drawn))
    comparison = rg.compare([rg.LinearProbe()], data, seed=seed)
    winner = comparison.winner
    assert winner.accuracy is not None
    model = comparison.best.fit(data, cross_validation=winner.cross_validation)

    known = [i for i in order[images:] if pool.rows[i].label in data.classes]
    labels = data.labels([pool.rows[i] for i in known])
    tensors = model.tensors
    logits = features[known] @ tensors["head.weights"] + tensors["head.bias"]
    probabilities = softmax(logits.astype(np.float64) / model.temperature)  # (n, k)
    sets = probabilities >= np.array(model.set_thresholds)
    return Draw(
        reported=winner.accuracy,
        true_accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
        set_coverage=float(sets[np.arange(len(labels)), labels].mean()),
        set_size=float(sets.sum(axis=1).mean()),
    )


def _rows(draws: Sequence[Draw]) -> list[Row]:
    hits = float(np.mean([draw.is_hit for draw in draws]))
    share = rg.Estimate(hits, *wilson_interval(hits, len(draws)), "wilson")
    errors = [draw.reported.value - draw.true_accuracy for draw in draws]
    width = float(np.mean([draw.reported.high - draw.reported.low for draw in draws]))
    sets = [draw.set_coverage for draw in draws]
    size = float(np.mean([draw.set_size for draw in draws]))
    return [
        at_least(
            f"95 % interval of accuracy contains the truth, {len(draws)} draws",
            hits,
            TARGET,
            measured=rate_text(share),
        ),
        Row(
            "reported accuracy minus the truth, mean and standard deviation",
            f"{np.mean(errors):+.3f}, {np.std(errors):.3f}; mean width of the interval {width:.3f}",
        ),
        Row(
            "prediction sets hold the true class, mean over draws",
            f"{np.mean(sets):.3f} ({min(sets):.3f} to {max(sets):.3f}), {size:.1f} classes a set",
            f"promised {COVERAGE:g}",
        ),
    ]
