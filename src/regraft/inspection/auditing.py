"""A Dataset in, what is wrong with it out: measured, ranked, and how much each kind matters.

Features of a pretrained network, plain facts on every photo, and out-of-fold predictions of a
linear probe are what the issues are found from. Nothing is trained but that probe, and no file is
changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from regraft.approaches.base import repeated_folds, seconds_expected
from regraft.approaches.linear_probe import LinearProbe
from regraft.backbones.backbone import Backbone
from regraft.backbones.built_in import default_backbone
from regraft.backbones.sources import get_backbone
from regraft.dataset import Dataset, split_groups
from regraft.errors import RegraftError
from regraft.features.embedding import (
    FeatureArray,
    count_missing,
    embed_depths,
    embed_rows,
    measure_speed,
)
from regraft.features.measures import Measures, measure_rows
from regraft.inspection.grouping import Grouped, blocks_of_order, keep_together
from regraft.inspection.issues import (
    Copy,
    Findings,
    Series,
    confident_doubts,
    doubts_of,
    look,
    look_for_series,
    with_suspects,
)
from regraft.kinds import thing, things
from regraft.metrics.differences import paired_difference, standing
from regraft.metrics.rates import Estimate, FloatArray, IntArray, accuracy_estimate
from regraft.progress import Progress, note, silent
from regraft.storage.records import to_json
from regraft.storage.saved import Count
from regraft.workers import available_cores

_SHARE = 0.15  # of the time there is, for looking at photos before anything is trained
_EMBEDDING_SHARE = 0.3  # the same, for features
_QUICKLY_EMBEDDED = 300  # rows; of fewer the time is not worth telling beforehand
_TIMING_S = 0.3
_BLOCKS = 20  # of the order within a class, where neighbours are alike without being series
_PHOTO_S = 0.02  # to measure one photo and to compare it with others, on one core; measured


@dataclass(frozen=True, slots=True)
class Effect:
    """How much the accuracy of the probe depends on one kind of issue.

    `change` is the accuracy with the issue dealt with minus the accuracy as it is, and `how` says
    what was done; `photos` is how many it concerns.
    """

    issue: str
    photos: Count
    change: Estimate
    how: str


@dataclass(frozen=True, slots=True)
class ByOrder:
    """What the order of the photos means, and what folds by chance make of it.

    Attributes:
        series: how many there are, of so many `photos`.
        sources: what orders them, see `dataset.ordering.Order`.
        cut, leaks, parted: see `grouping.Grouped`.
        kept: what was kept on one side of each fold: "series", or "blocks" of the order where
            neighbours are alike without being series; "" where folds were not compared.
        accuracy: of a linear probe on such folds; None where they were not compared.
        by_chance: of the same probe on folds that part series as they come, though not copies.
        difference: `by_chance` minus `accuracy`, paired by what was kept together.
    """

    TOLD: ClassVar = ("differs",)

    series: Count = 0
    photos: Count = 0
    sources: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    leaks: Count = 0
    parted: Count = 0
    kept: str = ""
    accuracy: Estimate | None = None
    by_chance: Estimate | None = None
    difference: Estimate | None = None

    @classmethod
    def of(cls, series: Series, grouped: Grouped) -> ByOrder:
        """What was found, before folds are compared."""
        return cls(
            series=len(series),
            photos=int((series.numbers >= 0).sum()),
            sources=series.sources,
            cut=grouped.cut,
            leaks=grouped.leaks,
            parted=grouped.parted,
        )

    @property
    def differs(self) -> bool:
        """Whether folds by chance flatter, beyond what chance explains."""
        return self.difference is not None and standing(self.difference) == "ahead"


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        data: with files that turned out unreadable marked.
        findings: the issues, and what they were found from; its arrays go with `data.ok`.
        features: float32 (n, d) of `data.ok`.
        measures: of `data.ok`.
        probabilities: out-of-fold, float64 (n, k) of `data.ok`; None where no probe was fitted.
        accuracy: of the probe on photos it had not seen, near duplicates and series kept together.
        effects: what each kind of issue does to that accuracy.
        by_order: what the order of the photos means for it.
    """

    data: Dataset
    findings: Findings
    features: FeatureArray
    measures: Measures
    probabilities: FloatArray | None
    accuracy: Estimate | None
    effects: tuple[Effect, ...]
    by_order: ByOrder = ByOrder()

    def __repr__(self) -> str:
        return f"Audit({self.data!r}: {len(self.findings.issues):,} issues)"

    def to_dict(self) -> dict[str, Any]:
        """JSON values: the issues, the shortcut check and the effects."""
        findings = self.findings
        parts = {
            "images": len(self.data.ok),
            "issues": findings.issues,
            "accuracy": self.accuracy,
            "confident_label_suspects": confident_doubts(doubts_of(findings, self.data.classes)),
            "shortcuts": findings.shortcuts,
            "effects": self.effects,
            "series": self.by_order,
        }
        values: dict[str, Any] = to_json(parts)
        return values


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is looked at before anything is split; all of it goes with `findings.rows`.

    `features` and `measures` are None where there was no time for them.
    """

    findings: Findings
    features: FeatureArray | None
    measures: Measures | None


def has_time_to_embed(data: Dataset, network: Backbone, *, budget_s: float) -> bool:
    """Whether the features of all rows in use take no more than a share of the time there is.

    What is in the cache costs nothing; a network that was never timed is timed for a moment.
    """
    if math.isinf(budget_s) or len(data.ok) <= _QUICKLY_EMBEDDED:
        return True
    missing = count_missing(data.ok, network)
    if missing <= _QUICKLY_EMBEDDED:
        return True
    if seconds_expected(network, missing) is None:
        measure_speed(network, seconds=_TIMING_S)
    expected = seconds_expected(network, missing)
    return expected is None or expected <= _EMBEDDING_SHARE * budget_s


def mark_unreadable(
    data: Dataset,
    network: Backbone | None,
    jobs: int | None,
    progress: Progress,
    *,
    every_depth: bool = False,
) -> Dataset:
    """The data with the files marked that cannot be decoded, found by decoding them all.

    What is made of them meanwhile goes to the cache: features by `network`, with statistics of
    `every_depth` or without, or measures for None.
    """
    embedded = embed_depths if every_depth else embed_rows
    decoded = (
        measure_rows(data, data.ok, jobs=jobs, progress=progress)
        if network is None
        else embedded(data, data.ok, network, jobs=jobs, progress=progress)
    )
    if decoded.warning:
        note(progress, decoded.warning)
    return data.mark({p: ("unreadable", reason) for p, reason in decoded.failures.items()})


def audit_data(
    data: Dataset,
    inspection: Inspection,
    network: Backbone,
    *,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Audit:
    """What the issues of a dataset cost, and which labels a model doubts that has not seen them.

    Labelled photos of all splits are predicted out of fold by one linear probe, near duplicates,
    series and named groups kept together, so that a wrong label in a test set is found as well.

    Args:
        data: what can be decoded is in use.
        inspection: what was seen on these rows, with features and measures.
        network: whose features they are.
        seed: of folds and samples.
        jobs: worker threads.
        progress: told how far each step is.
    """
    first, features, measures = inspection.findings, inspection.features, inspection.measures
    assert features is not None
    assert measures is not None
    everything = data.with_rows([replace(row, split="train") for row in data.ok])
    grouped = keep_together(everything, first)
    assert first.series is not None
    by_order = ByOrder.of(first.series, grouped)
    note(progress, f"predicting every {thing(data.modality)} by a model that has not seen it")
    together = _predicted(grouped.data, network, seed=seed, jobs=jobs)
    audited = Audit(data, first, features, measures, None, None, (), by_order)
    if together is None:
        return audited
    findings = with_suspects(data, first, together.probabilities)
    effects = effects_on(findings, together.right)
    if first.copies:
        parted = keep_together(everything, replace(first, copies=())).data
        apart = _predicted(parted, network, seed=seed, jobs=jobs)
        if apart is not None:
            effects = [_effect_of_copies(first.copies, together, apart), *effects]
    pair = pair_of_folds(everything, first, grouped)
    if pair is not None:
        by_order = compare_folds(
            by_order, pair, everything, network, known=together, seed=seed, jobs=jobs
        )
    return replace(
        audited,
        findings=findings,
        probabilities=together.probabilities,
        accuracy=together.accuracy,
        effects=tuple(effects),
        by_order=by_order,
    )


def inspect_issues(
    data: Dataset,
    network: Backbone | None,
    *,
    embeds: bool = True,
    budget_s: float = math.inf,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Inspection | None:
    """What is wrong, told without a model: copies, series, outliers, quality, shortcuts.

    A note, and series alone, where looking at the photos would take more than a share of the time
    there is. Without features, where there is no network or it does not embed, neither series nor
    outliers are found, and only such copies as signatures tell. None where there is time for
    neither.
    """
    expected = len(data.ok) * _PHOTO_S / min(jobs or available_cores(), available_cores())
    has_time = expected <= _SHARE * budget_s
    features = None
    if embeds and network is not None:
        features = embed_rows(data, data.ok, network, jobs=jobs, progress=progress).features
    if not has_time:
        note(progress, _no_time(expected, has_features=features is not None))
        if features is None:
            return None
        series = look_for_series(data, features)
        return Inspection(Findings(data.ok, series=series), features, None)
    if features is None:
        note(progress, _no_features(data, network))
    measures = measure_rows(data, data.ok, jobs=jobs, progress=progress)
    if measures.warning:
        note(progress, measures.warning)
    note(progress, f"comparing {things(data.modality)} with each other")
    findings = look(data, features=features, measures=measures, seed=seed)
    return Inspection(findings, features, measures)


def _no_time(seconds: float, *, has_features: bool) -> str:
    what = "near duplicates and" if has_features else "near duplicates, series and"
    return (
        f"{what} outliers were not looked for: it would take about {seconds:.0f} s; run "
        "`regraft audit`"
    )


def _no_features(data: Dataset, network: Backbone | None) -> str:
    several = things(data.modality)
    if network is None:
        return (
            f"the {several} were not compared by their features: no network for them is installed"
        )
    return (
        f"the {several} were not compared by their features: with {network.name} that would take "
        "too much of the time there is; regraft audit does"
    )


def find_groups(
    data: Dataset,
    *,
    backbone: str | Backbone | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Dataset:
    """The data with a group for all that belongs together, as `fit` looks for it before it splits.

    Near copies of one picture and series of photos taken one after another get a group; training
    rows that belong to a given test set are left out. Whatever makes folds keeps groups whole.

    Args:
        data: what `scan` returned.
        backbone: whose features are compared; None for the built-in one of that kind of input.
        jobs: worker threads.
        progress: told how far each step is.

    Raises:
        BackboneError: the backbone is unknown or its weights are missing.
    """
    if isinstance(backbone, str):
        backbone = get_backbone(backbone)
    network = backbone or default_backbone(data.modality)
    readable = mark_unreadable(data, network, jobs, progress)
    inspection = inspect_issues(readable, network, jobs=jobs, progress=progress)
    return readable if inspection is None else keep_together(readable, inspection.findings).data


class PairOfFolds(NamedTuple):
    """Groups by path for folds that keep series (or blocks of an order) whole, and for others.

    `kept` is "series" or "blocks".
    """

    kept: str
    together: dict[str, str]
    by_chance: dict[str, str]


def pair_of_folds(data: Dataset, findings: Findings, grouped: Grouped) -> PairOfFolds | None:
    """What to compare to learn what the order of the photos means; None where it means nothing.

    Args:
        data: with the rows that `findings` is of in use.
        findings: with its series.
        grouped: what `keep_together` made of both.
    """
    series = findings.series
    if series is None or series.order is None:
        return None
    by_chance = keep_together(data, replace(findings, series=None)).data
    if len(series):
        return PairOfFolds("series", _groups(grouped.data), _groups(by_chance))
    if any(row.group for row in data.ok):
        return None
    blocks = blocks_of_order(data, series.order, blocks=_BLOCKS)
    return PairOfFolds("blocks", _groups(blocks), _groups(by_chance))


def compare_folds(
    by_order: ByOrder,
    pair: PairOfFolds,
    data: Dataset,
    network: Backbone,
    *,
    known: Predicted | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> ByOrder:
    """What a linear probe reaches on either folds, beside what is known of the order already.

    The difference is paired, each series or block one trial (`differences.paired_difference`).

    Args:
        by_order: is returned as it is where there are too few photos for folds.
        pair: what `pair_of_folds` returned.
        data: all rows in use are training rows.
        network: whose features the probe sees; they should be in the cache.
        known: what it said of these rows on some folds already, of this seed.
        seed: of the folds.
        jobs: worker threads.
    """

    def predicted(groups: dict[str, str]) -> Predicted | None:
        grouped = data.with_groups(groups)
        if known is not None and np.array_equal(split_groups(grouped.ok), known.groups):
            return known
        return _predicted(grouped, network, seed=seed, jobs=jobs)

    together, apart = predicted(pair.together), predicted(pair.by_chance)
    if together is None or apart is None:
        return by_order
    scored = np.isfinite(together.right) & np.isfinite(apart.right)
    gap = paired_difference(
        apart.right[scored][None],
        together.right[scored][None],
        groups=together.groups[scored],
        folds=together.folds,
    )
    return replace(
        by_order,
        kept=pair.kept,
        accuracy=together.accuracy,
        by_chance=apart.accuracy,
        difference=gap,
    )


def _groups(data: Dataset) -> dict[str, str]:
    return {row.path: row.group for row in data.ok}


class Predicted(NamedTuple):
    """Out-of-fold predictions of all rows in use, n of them.

    `probabilities` float64 (n, k) is their mean over repeats; `right` float64 (n,) is the share of
    repeats in which a row is predicted as labelled, NaN where it was not predicted; `groups` int64
    (n,) were kept together.
    """

    probabilities: FloatArray
    right: FloatArray
    groups: IntArray
    folds: int
    accuracy: Estimate


def _predicted(
    data: Dataset, network: Backbone, *, seed: int, jobs: int | None
) -> Predicted | None:
    """What a linear probe says of the training rows it has not seen; None for too few to split."""
    if len(data.classes) < 2:
        return None
    try:
        folds = repeated_folds(data, seed=seed)
        validated = LinearProbe(network).cross_validate(data, folds, jobs=jobs)
    except RegraftError:  # too few photos to split
        return None
    probabilities: FloatArray = validated.probabilities.mean(axis=0)
    right = (validated.probabilities.argmax(axis=2) == data.labels(data.ok)).mean(axis=0)
    right[np.isnan(probabilities).any(axis=1)] = np.nan
    known = np.isfinite(right)
    groups = split_groups(data.ok)
    count = len(np.unique(folds[0]))
    accuracy = accuracy_estimate(right[known], groups[known], folds=count, seed=seed)
    return Predicted(probabilities, right, groups, count, accuracy)


def effects_on(findings: Findings, right: FloatArray) -> list[Effect]:
    """What leaving the photos of each kind of issue out does to an accuracy.

    Label suspects are not among them: they are photos that the model got wrong, so the accuracy
    rises without them whether their labels are right or not.

    Args:
        findings: the issues, and the rows they are of.
        right: float64 (n,) for the same rows: 1 where a photo was predicted as labelled, 0 where
            not, or the share of repeats in which it was; NaN where it was not predicted.
    """
    place = {row.path: i for i, row in enumerate(findings.rows)}
    effects = []
    for kind in ("outlier", "quality", "exact_duplicate"):
        rows = sorted(
            {place[i.path] for i in findings.issues if i.issue == kind and i.path in place}
        )
        kept = np.ones(len(right), dtype=bool)
        kept[rows] = False
        if np.isnan(right[rows]).all() or not kept[np.isfinite(right)].any():
            continue
        change = _change(right, kept)
        counted = int(np.isfinite(right[rows]).sum())
        effects.append(Effect(kind, counted, change, "leaving them out of the score"))
    return effects


def _change(right: FloatArray, kept: np.ndarray[Any, np.dtype[np.bool_]]) -> Estimate:
    """Accuracy on the photos kept minus accuracy on all, with a bootstrap interval."""
    known = np.isfinite(right)
    values, inside = right[known], kept[known]
    random = np.random.default_rng(0)
    changes = []
    for _ in range(1_000):
        drawn = random.integers(0, len(values), len(values))
        taken, kept_too = values[drawn], inside[drawn]
        changes.append(taken[kept_too].sum() / max(kept_too.sum(), 1) - taken.mean())
    spread = np.percentile(changes, [2.5, 97.5])
    value = float(values[inside].mean() - values.mean()) if inside.any() else 0.0
    low, high = min(value, float(spread[0])), max(value, float(spread[1]))
    return Estimate(value, low, high, "bootstrap")


def _effect_of_copies(copies: Sequence[Copy], together: Predicted, apart: Predicted) -> Effect:
    both = np.isfinite(together.right) & np.isfinite(apart.right)
    change = paired_difference(
        together.right[both][None],
        apart.right[both][None],
        groups=together.groups[both],
        folds=together.folds,
    )
    photos = len({i for copy in copies for i in (copy.first, copy.second)})
    return Effect("near_duplicate", photos, change, "keeping copies on one side of every split")


__all__ = [
    "Audit",
    "ByOrder",
    "Effect",
    "Inspection",
    "PairOfFolds",
    "audit_data",
    "compare_folds",
    "effects_on",
    "find_groups",
    "has_time_to_embed",
    "inspect_issues",
    "mark_unreadable",
    "pair_of_folds",
]
