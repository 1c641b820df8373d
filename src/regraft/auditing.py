"""A Dataset in, what is wrong with it out: measured, ranked, and how much each kind matters.

Features of a pretrained network, plain facts on every photo, and out-of-fold predictions of a
linear probe are what the issues are found from. Nothing is trained but that probe, and no file is
changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from regraft.approaches import LinearProbe, repeated_folds, seconds_expected
from regraft.catalogue import Backbone, default_backbone, get_backbone
from regraft.dataset import Dataset, Row, connected, pairs_by, split_groups
from regraft.dataset.checking import COPY_GROUP
from regraft.differences import paired_difference
from regraft.errors import RegraftError
from regraft.features import FeatureArray, count_missing, embed_rows, measure_speed
from regraft.issues import Copy, Findings, confident_doubts, doubts_of, look, with_suspects
from regraft.measures import Measures, measure_rows
from regraft.metrics import Estimate, FloatArray, IntArray, accuracy_estimate
from regraft.modality import thing, things
from regraft.progress import Progress, note, silent
from regraft.workers import available_cores

_MOST_LEFT_OUT = 0.2  # of the training photos; a split that leaks more is not mended by leaving out
_SHARE = 0.15  # of the time there is, for looking at photos before anything is trained
_EMBEDDING_SHARE = 0.3  # the same, for features
_QUICKLY_EMBEDDED = 300  # rows; of fewer the time is not worth telling beforehand
_TIMING_S = 0.3
_PHOTO_S = 0.02  # to measure one photo and to compare it with others, on one core; measured


@dataclass(frozen=True, slots=True)
class Effect:
    """How much the accuracy of the probe depends on one kind of issue.

    `change` is the accuracy with the issue dealt with minus the accuracy as it is, and `how` says
    what was done; `photos` is how many it concerns.
    """

    issue: str
    photos: int
    change: Estimate
    how: str

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "issue": self.issue,
            "photos": self.photos,
            "change": self.change.to_dict(),
            "how": self.how,
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        data: with files that turned out unreadable marked.
        findings: the issues, and what they were found from; its arrays go with `data.ok`.
        features: float32 (n, d) of `data.ok`.
        measures: of `data.ok`.
        probabilities: out-of-fold, float64 (n, k) of `data.ok`; None where no probe was fitted.
        accuracy: of the probe on photos it had not seen, near duplicates kept together.
        effects: what each kind of issue does to that accuracy.
    """

    data: Dataset
    findings: Findings
    features: FeatureArray
    measures: Measures
    probabilities: FloatArray | None
    accuracy: Estimate | None
    effects: tuple[Effect, ...]

    def __repr__(self) -> str:
        return f"Audit({self.data!r}: {len(self.findings.issues):,} issues)"

    def to_dict(self) -> dict[str, Any]:
        """JSON values: the issues, the shortcut check and the effects."""
        found = self.findings
        return {
            "images": len(self.data.ok),
            "issues": [
                {"path": i.path, "issue": i.issue, "score": round(i.score, 6), "detail": i.detail}
                for i in found.issues
            ],
            "accuracy": self.accuracy and self.accuracy.to_dict(),
            "confident_label_suspects": confident_doubts(doubts_of(found, self.data.classes)),
            "shortcuts": found.shortcuts and found.shortcuts.to_dict(),
            "effects": [effect.to_dict() for effect in self.effects],
        }


@dataclass(frozen=True, slots=True)
class Looked:
    """What a fit looks at before it splits anything; all of it goes with `findings.rows`.

    `features` is None where there was no time for them.
    """

    findings: Findings
    features: FeatureArray | None
    measures: Measures


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


def audit_data(
    data: Dataset,
    *,
    backbone: str | Backbone | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Audit:
    """Look for everything that may be wrong with a dataset.

    Labelled photos of all splits are predicted out of fold by one linear probe, near duplicates
    and named groups kept together, so that a wrong label in a test set is found as well.

    Args:
        data: what `scan` returned.
        backbone: whose features are compared; None for the built-in one of that kind of input.
        seed: of folds and samples.
        jobs: worker threads.
        progress: told how far each step is.

    Raises:
        BackboneError: the backbone is unknown or its weights are missing.
    """
    network = backbone or default_backbone(data.modality)
    network = get_backbone(network) if isinstance(network, str) else network
    embedding = embed_rows(data, data.ok, network, jobs=jobs, progress=progress)
    if embedding.warning:
        note(progress, embedding.warning)
    readable = np.array([row.path not in embedding.failures for row in data.ok], dtype=bool)
    data = data.mark({p: ("unreadable", reason) for p, reason in embedding.failures.items()})
    features = embedding.features[readable] if not readable.all() else embedding.features
    measures = measure_rows(data, data.ok, jobs=jobs, progress=progress)
    if measures.warning:
        note(progress, measures.warning)
    note(progress, f"comparing {things(data.modality)} with each other")
    first = look(data, features=features, measures=measures, seed=seed)
    kept_together = data.with_groups(_grouped(data.ok, first.copies))
    note(progress, f"predicting every {thing(data.modality)} by a model that has not seen it")
    probabilities = _out_of_fold(kept_together, network, seed=seed, jobs=jobs)
    if probabilities is None:
        return Audit(data, first, features, measures, None, None, ())
    found = with_suspects(data, first, probabilities)
    right = _right(data, probabilities)
    known = np.isfinite(right)
    rows = kept_together.ok
    groups = split_groups(rows)[known]
    accuracy = accuracy_estimate(right[known], groups, folds=5, seed=seed)
    effects = effects_on(found, right)
    if first.copies:
        apart = _out_of_fold(data, network, seed=seed, jobs=jobs)
        if apart is not None:
            alone = _right(data, apart)
            effects = [_effect_of_copies(first.copies, right, alone, split_groups(rows)), *effects]
    return Audit(data, found, features, measures, probabilities, accuracy, tuple(effects))


def look_first(
    data: Dataset,
    network: Backbone | None,
    *,
    embeds: bool = True,
    budget_s: float = math.inf,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Looked | None:
    """What a fit looks at before it splits anything: copies, outliers, quality, shortcuts.

    None, and a note, where that would take more than a share of the time there is. Without
    features, where there is no network or it does not embed, no outliers are found, and only such
    copies as sketches tell.
    """
    expected = len(data.ok) * _PHOTO_S / min(jobs or available_cores(), available_cores())
    if expected > _SHARE * budget_s:
        note(
            progress,
            f"near duplicates and outliers were not looked for: it would take about {expected:.0f} "
            "s; run `regraft audit`",
        )
        return None
    features = None
    if embeds and network is not None:
        features = embed_rows(data, data.ok, network, jobs=jobs, progress=progress).features
    else:
        why = "no network for them is installed"
        if network is not None:
            why = f"with {network.name} that would take too much of the time there is"
        note(
            progress,
            f"the {things(data.modality)} were not compared by their features: {why}"
            f"{'' if network is None else '; regraft audit does'}",
        )
    measures = measure_rows(data, data.ok, jobs=jobs, progress=progress)
    if measures.warning:
        note(progress, measures.warning)
    return Looked(look(data, features=features, measures=measures), features, measures)


def keep_copies_together(data: Dataset, found: Findings) -> Dataset:
    """The dataset with a group for all photos of one picture, so that no split parts them.

    Training photos that show a picture of a test set that was given are left out of the training,
    unless they are a large part of it: then a note says that the two are not independent.
    """
    one, several = thing(data.modality), things(data.modality)
    groups = _grouped(data.ok, found.copies)
    together = data.with_groups(groups)
    tested: dict[str, str] = {}
    for row in together.test:
        tested.setdefault(row.group, row.path)
    left_out = {
        row.path: ("excluded", f"is a near copy of the test {one} {tested[row.group]}")
        for row in together.train
        if row.group and row.path in groups and row.group in tested
    }
    notes = []
    if groups:
        notes.append(
            f"{len(groups):,} {several} are copies or near copies of another; they stay on one "
            "side of every split."
        )
    if len(left_out) > _MOST_LEFT_OUT * len(together.train):
        notes.append(
            f"{len(left_out):,} of {len(together.train):,} training {several} are near duplicates "
            f"of test {several}, too many to be left out: the test set is not independent of the "
            "training."
        )
        left_out = {}
    if left_out:
        some = ", ".join(list(left_out)[:3])
        more = f" and {len(left_out) - 3:,} more" if len(left_out) > 3 else ""
        notes.append(
            f"{len(left_out):,} training {several} left out, near duplicates of test {several}: "
            f"{some}{more}."
        )
    return replace(together.mark(left_out), notes=(*together.notes, *notes))


def _grouped(rows: Sequence[Row], copies: Sequence[Copy]) -> dict[str, str]:
    """A group for every row that is one picture with another, by path; named groups are joined."""
    alike = [(copy.first, copy.second) for copy in copies]
    numbers = connected(len(rows), (*alike, *pairs_by(row.group for row in rows)))
    first = np.unique(numbers, return_index=True)[1]
    with_copies = {int(numbers[i]) for i, _ in alike}
    return {
        row.path: f"{COPY_GROUP} {rows[first[number]].path}"
        for row, number in zip(rows, map(int, numbers), strict=True)
        if number in with_copies
    }


def _out_of_fold(
    data: Dataset, network: Backbone, *, seed: int, jobs: int | None
) -> FloatArray | None:
    """Mean out-of-fold probabilities (n, k) of all rows in use; None where there are too few."""
    if len(data.classes) < 2:
        return None
    everything = data.with_rows([replace(row, split="train") for row in data.ok])
    try:
        folds = repeated_folds(everything, seed=seed)
        found = LinearProbe(network).cross_validate(everything, folds, jobs=jobs)
    except RegraftError:  # too few photos to split
        return None
    mean: FloatArray = found.probabilities.mean(axis=0)
    return mean


def _right(data: Dataset, probabilities: FloatArray) -> FloatArray:
    """1.0 where a photo is predicted as labelled, else 0.0; NaN where it was not predicted."""
    labels = data.labels(data.ok)
    right: FloatArray = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    right[np.isnan(probabilities).any(axis=1)] = np.nan
    return right


def effects_on(found: Findings, right: FloatArray) -> list[Effect]:
    """What leaving the photos of each kind of issue out does to an accuracy.

    Label suspects are not among them: they are photos that the model got wrong, so the accuracy
    rises without them whether their labels are right or not.

    Args:
        found: the issues, and the rows they are of.
        right: float64 (n,) for the same rows: 1 where a photo was predicted as labelled, 0 where
            not, NaN where it was not predicted.
    """
    place = {row.path: i for i, row in enumerate(found.rows)}
    effects = []
    for kind in ("outlier", "quality", "exact_duplicate"):
        rows = sorted({place[i.path] for i in found.issues if i.issue == kind and i.path in place})
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


def _effect_of_copies(
    copies: Sequence[Copy], together: FloatArray, apart: FloatArray, groups: IntArray
) -> Effect:
    both = np.isfinite(together) & np.isfinite(apart)
    change = paired_difference(
        together[both][None], apart[both][None], groups=groups[both], folds=5
    )
    photos = len({i for copy in copies for i in (copy.first, copy.second)})
    return Effect("near_duplicate", photos, change, "keeping copies on one side of every split")


__all__ = [
    "Audit",
    "Effect",
    "Looked",
    "audit_data",
    "effects_on",
    "has_time_to_embed",
    "keep_copies_together",
    "look_first",
]
