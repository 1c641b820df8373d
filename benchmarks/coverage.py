"""How often the interval that `fit` reports contains the truth, and prediction sets the class.

Command   python -m benchmarks coverage
Data      rooms, hymenoptera, clothing, simulated fabric (extra `demo`), solar cells (extra
          `bench`), scikit-learn's digits, 8,000 of Fashion-MNIST (Debian's dataset-fashion-mnist);
          training sets of 50 to 2,000 drawn at random, at most half of a set
Expected  of no set and size is it clear that fewer than 95 % of the intervals contain the accuracy
          on the other photos; prediction sets hold the true class of 88 to 93 % of them

Each training set goes through what `fit` runs where nothing is set aside: nested 5-fold
cross-validation (over 3 assignments to folds below 1,000 photos), its accuracy with interval,
and the final head on all of it, whose accuracy on the other photos is the truth. `race` is the
best of four near equals, as a race reports its winner: nearest neighbours and three probes, each
on another third of the features. Logistic regressions of all folds are solved together, see
`batched`; above 256 photos on 128 principal components, which takes a tenth of the time.

The other photos are a sample, too: of N, for n training photos, their accuracy scatters by
sqrt(n / N) of what the interval allows for, so it is compared with the interval widened by
sqrt(1 + n / N). Draws from small sets overlap, and their hits are not independent.

No number in the interval is fitted to data, though its form was chosen with sight of these sets,
see docs/benchmarks.md. What could be fitted is the share of the rise between 3/5 and 4/5 of the
photos that the last fifth brings: 0.6 by the theory. The last row fits it on all sets but one, and
counts the hits on the one that was left out.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

import regraft as rg
from benchmarks.batched import BatchedLogistic
from benchmarks.pools import POOLS, Pool, load_pool
from benchmarks.rows import Row, SkippedError
from regraft.approaches.base import NO_LIMITS, CrossValidation, repeated_folds
from regraft.approaches.frozen import cross_validate_repeats, one_of, set_thresholds
from regraft.dataset import leave_out_small_classes
from regraft.heads import (
    COVERAGE,
    NEIGHBOURS,
    PENALTIES,
    Head,
    cross_validate_head,
    fit_knn,
    fitting,
    softmax,
)
from regraft.metrics.rates import Estimate, FloatArray, IntArray, accuracy_estimate, wilson_interval
from regraft.progress import silent
from regraft.workers import available_cores

PROMISED = 0.95
SETS = (0.88, 0.93)
DRAWS: Mapping[int, int] = {50: 200, 100: 200, 200: 200, 600: 100, 2_000: 40}
APPROACHES = ("linear_probe", "knn", "race")
_WIDE = 128  # principal components that a probe on many photos is fitted on


@dataclass(frozen=True, slots=True)
class Draw:
    """What was reported from one training set of n photos, and what was true of N others.

    `gain` is what the interval reaches further up for the final model, `rise` how much more
    accurate models of the folds are than those of fewer photos. `set_coverage` is the share of
    other photos whose prediction set holds the true class, `set_size` the mean number of classes
    in it, `empty_sets` the share of sets without any.
    """

    n: int
    others: int
    reported: Estimate
    gain: float
    rise: float
    true_accuracy: float
    set_coverage: float
    set_size: float
    empty_sets: float

    @property
    def is_hit(self) -> bool:
        """Whether the reported interval contains the truth, of which the others are a sample."""
        return self._contains(self.reported)

    def is_hit_with(self, share: float) -> bool:
        """The same if that share of the rise were expected once more."""
        plain = replace(self.reported, high=self.reported.high - self.gain)
        return self._contains(plain.reaching(max(0.0, share * self.rise)))

    def _contains(self, interval: Estimate) -> bool:
        wide = interval.widened(sqrt(1 + self.n / self.others))
        return wide.low <= self.true_accuracy <= wide.high


def run(
    *,
    names: Sequence[str] = tuple(POOLS),
    approaches: Sequence[str] = APPROACHES,
    draws: Mapping[int, int] = DRAWS,
    processes: int | None = None,
) -> list[Row]:
    """Intervals and prediction sets of every set, size and approach.

    Args:
        names: of `POOLS`; those that are not on this machine are skipped.
        approaches: of `APPROACHES`.
        draws: how many training sets of each size.
        processes: None for one a core.
    """
    rows: list[Row] = []
    found: dict[str, list[Sequence[Draw]]] = {}
    for name in names:
        try:
            pool = load_pool(name)
        except SkippedError as reason:
            rows.append(Row(f"{name}: skipped", str(reason)))
            continue
        for approach in approaches:
            cells = {
                n: all_draws(pool, approach, n, count, processes or available_cores())
                for n, count in draws.items()
                if 2 * n <= len(pool.data.rows)
            }
            found.setdefault(name, []).extend(cells.values() if approach != "race" else [])
            rows += _rows(f"{name}, {approach}", cells)
    return [*rows, *_left_out(found)]


def all_draws(pool: Pool, approach: str, n: int, count: int, processes: int) -> list[Draw]:
    """The draws, spread over processes."""
    measure = partial(measure_draws, pool, approach, n)
    if processes == 1:
        return measure(range(count))
    shares = [range(start, count, processes) for start in range(processes)]
    context = multiprocessing.get_context("spawn")  # threads of this process would not survive
    with ProcessPoolExecutor(processes, mp_context=context) as executor:
        return [draw for some in executor.map(measure, shares) for draw in some]


def measure_draws(pool: Pool, approach: str, n: int, seeds: Iterable[int]) -> list[Draw]:
    """`measure_draw` for each seed, on one core: the matrices are small."""
    with fitting():
        return [measure_draw(pool, approach, n, seed) for seed in seeds]


def measure_draw(pool: Pool, approach: str, n: int, seed: int) -> Draw:
    """Train on `n` random rows of the pool and compare what is reported with the rest.

    Args:
        pool: where they are drawn from.
        approach: of `APPROACHES`.
        n: rows in the training set; fewer where a class has too few of them to be learned.
        seed: draws them and assigns them to folds.
    """
    order = np.random.default_rng(seed).permutation(len(pool.data.rows))
    drawn = [pool.data.rows[i] for i in order[:n]]
    data = leave_out_small_classes(rg.Dataset.from_rows(pool.data.root, drawn))
    number = {row.path: i for i, row in enumerate(pool.data.rows)}
    inside = np.array([number[row.path] for row in data.train])
    others = np.array([i for i in order[n:] if pool.data.rows[i].label in data.classes])
    folds = repeated_folds(data, seed=seed)
    labels = data.labels(data.train)
    candidates = [
        _candidate(kind, pool.features[:, columns], inside, others, labels, folds)
        for kind, columns in _CANDIDATES[approach]
    ]
    accuracies = [float(found.correct.mean()) for found, _ in candidates]
    found, logits = candidates[int(np.argmax(accuracies))]
    accuracy = accuracy_estimate(found.correct.mean(axis=0), folds=found.folds_done)
    assert found.fewer is not None
    true_labels = data.labels([pool.data.rows[i] for i in others])
    probabilities = softmax(logits / found.temperature)
    sets = probabilities >= set_thresholds(found)
    return Draw(
        n=len(inside),
        others=len(others),
        reported=accuracy.reaching(found.accuracy_gain),
        gain=found.accuracy_gain,
        rise=float(found.correct.mean())
        - float((found.fewer.probabilities.argmax(axis=2) == labels).mean()),
        true_accuracy=float((probabilities.argmax(axis=1) == true_labels).mean()),
        set_coverage=float(sets[np.arange(len(others)), true_labels].mean()),
        set_size=float(sets.sum(axis=1).mean()),
        empty_sets=float((~sets.any(axis=1)).mean()),
    )


_CANDIDATES: Mapping[str, Sequence[tuple[str, slice]]] = {
    "linear_probe": [("linear_probe", slice(None))],
    "knn": [("knn", slice(None))],
    "race": [
        ("knn", slice(None)),
        *(("linear_probe", slice(start, None, 3)) for start in range(3)),
    ],
}


def _candidate(
    kind: str,
    features: NDArray[np.float32],
    inside: IntArray,
    others: IntArray,
    labels: IntArray,
    folds: IntArray,
) -> tuple[CrossValidation, FloatArray]:
    """Its cross-validation, and the logits of its final head for the others."""
    n_classes = int(labels.max()) + 1
    own, theirs = features[inside], features[others]
    if kind == "linear_probe":
        own, theirs = _narrowed(own, theirs)
        batched = BatchedLogistic(own, labels, folds, n_classes=n_classes)
        fit: Any = batched.fit
        values: Sequence[Any] = PENALTIES
        inputs: NDArray[Any] = batched.rows
    else:
        fit, values, inputs = fit_knn, NEIGHBOURS, own
    found = cross_validate_repeats(
        lambda fold: cross_validate_head(fit, values, inputs, labels, fold, n_classes=n_classes),
        labels,
        folds,
        conclude=one_of("setting", values),
        phase="",
        limits=NO_LIMITS,
        progress=silent,
    )
    (head,) = fit(inputs, labels, n_classes, [found.chosen["setting"]])
    final: Head = head.head if kind == "linear_probe" else head
    return found, final.logits(theirs)


def _narrowed(
    own: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both in the space that the training photos span, or its first principal components."""
    centre = own.mean(axis=0)
    directions = np.linalg.svd(own - centre, full_matrices=False)[2]
    most = _WIDE if len(own) > 2 * _WIDE else len(own)
    axes = directions[:most].T
    return (own - centre) @ axes, (others - centre) @ axes


def _rows(title: str, cells: Mapping[int, Sequence[Draw]]) -> list[Row]:
    hits = {n: [d.is_hit for d in draws] for n, draws in cells.items()}
    holds = all(wilson_interval(float(np.mean(h)), len(h))[1] >= PROMISED for h in hits.values())
    sets = {n: _mean(draws, "set_coverage") for n, draws in cells.items()}
    width = {
        n: float(np.mean([d.reported.high - d.reported.low for d in draws]))
        for n, draws in cells.items()
    }
    return [
        Row(
            f"{title}: 95 % intervals that contain the truth, by training photos",
            ", ".join(f"{n:,}: {np.mean(h):.3f}" for n, h in hits.items()),
            target=f"not clearly below {PROMISED:g}",
            met=holds,
        ),
        Row(
            f"{title}: points reported too little, gain expected, width",
            ", ".join(
                f"{n:,}: {100 * _missing(draws):+.1f}, {100 * _mean(draws, 'gain'):.1f}, "
                f"{100 * width[n]:.0f}"
                for n, draws in cells.items()
            ),
        ),
        Row(
            f"{title}: sets that hold the true class; classes a set; empty",
            ", ".join(
                f"{n:,}: {sets[n]:.3f}; {_mean(draws, 'set_size'):.1f}; "
                f"{100 * _mean(draws, 'empty_sets'):.0f} %"
                for n, draws in cells.items()
            ),
            target=f"{SETS[0]} to {SETS[1]} (promised {COVERAGE:g})",
            met=all(SETS[0] <= value <= SETS[1] for value in sets.values()),
        ),
    ]


def _mean(draws: Sequence[Draw], name: str) -> float:
    return float(np.mean([getattr(draw, name) for draw in draws]))


def _left_out(found: Mapping[str, Sequence[Sequence[Draw]]]) -> list[Row]:
    """The share of the rise that all sets but one favour, and how it does on that one.

    Fitted to means over the draws of a cell: within a cell both hang on what was reported.
    """
    texts = []
    for name, own in found.items():
        others = [cell for other, cells in found.items() if other != name for cell in cells]
        if not others:
            continue
        missing = np.array([_missing(cell) for cell in others])
        rise = np.array([_mean(cell, "rise") for cell in others])
        share = float((missing * rise).sum() / np.square(rise).sum())
        with_it = np.mean([draw.is_hit_with(share) for cell in own for draw in cell])
        without = np.mean([draw.is_hit for cell in own for draw in cell])
        texts.append(f"{name} {share:.2f}: {with_it:.3f} instead of {without:.3f}")
    what = "share of the rise that the other sets favour, and hits with it instead of 0.6"
    return [Row(what, "; ".join(texts))] if texts else []


def _missing(draws: Sequence[Draw]) -> float:
    """By how much too little accuracy was reported, in the mean."""
    return float(np.mean([draw.true_accuracy - draw.reported.value for draw in draws]))
