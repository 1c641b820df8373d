"""Approaches and a Dataset in, a Comparison out: who wins, by how much, at what cost.

All candidates predict the same training rows on the same folds; the test set is not looked at.
Differences are paired, image by image. "Cannot tell A from B" is a legal verdict.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from regraft.approaches import (
    Approach,
    Cost,
    CrossValidation,
    Limits,
    TrainedApproach,
    forget_speeds,
    further_epochs,
    is_trained,
    merged,
    prediction_cost,
    repeated_folds,
    scope_of,
    seconds_expected,
    seconds_to_export,
)
from regraft.dataset import Dataset, split_groups
from regraft.differences import Standing, paired_difference, standing
from regraft.errors import DataError, OutOfTimeError, RegraftError
from regraft.locations import without_places
from regraft.metrics import Estimate, IntArray, accuracy_estimate
from regraft.modality import things
from regraft.overlaps import overlap_with
from regraft.progress import Progress, note, silent
from regraft.racing.allotment import MARGIN, Contender, Shortfall, allot, shortfall
from regraft.racing.entrants import candidate_approaches
from regraft.racing.memory import BehindError, Race, race_key
from regraft.wording import listed

ALIKE = 0.005  # accuracy; closer candidates that the test cannot part are told by their cost
_BASELINE = "scratch"
_SHARE_OF_BASELINE = 0.15  # of the budget, for training from scratch
_ONE_FOLD_FROM = (
    1_000  # training images; with a test set as well, more epochs are worth more than folds
)
_SHARE_OF_TIMING = 0.1  # of the budget, after which no further candidate is timed
_SHARE_OF_FROZEN = 0.4  # of the budget, after which no further frozen network is tried
_FRESH_S = 45.0  # after which a measured speed is measured again
_LONGER = 1.5  # times the epochs, for which a contender is trained once more
_CONTENDS = 0.02  # accuracy behind the leader from which a candidate gets no further fold


@dataclass(frozen=True, slots=True)
class Candidate:
    """One approach with its settings, and how it did.

    `status` is "done", "failed", "skipped" (no time) or "stopped" (clearly behind), and `reason`
    says why for all but the first. `ahead` is the paired difference in accuracy, chosen candidate
    minus this one (None for the chosen). `cost` is what it was predicted to take, where it trains
    a network; `key` names its result in the store. `wanted_epochs` is what it would have trained
    for with more time; `groups` (n,) has equal numbers for training images that belong together;
    `flattering` counts those of the images predicted that its backbone had been trained on before.
    """

    approach: Approach
    status: str
    reason: str = ""
    seconds: float = 0.0
    accuracy: Estimate | None = None
    cross_validation: CrossValidation | None = None
    ahead: Estimate | None = None
    cost: Cost | None = None
    key: str = ""
    wanted_epochs: int = 0
    groups: IntArray | None = None
    flattering: int = 0

    @property
    def title(self) -> str:
        """For people: "linear_probe on efficientnet_lite0, 2 views"."""
        return _title(self.approach)

    @property
    def predicted_seconds(self) -> float | None:
        """What its cross-validation was expected to take, before it was begun."""
        if self.cost is None or self.cross_validation is None or math.isinf(self.cost.fold):
            return None
        return self.cost.once + self.cost.fold * self.cross_validation.folds_done

    def __repr__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy.percent}"
        return f"Candidate({self.title}: {self.status}{accuracy})"

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
            "images_predicted": int(found.covered.sum()) if found else 0,
            "folds_done": found.folds_done if found else 0,
            "seconds": round(self.seconds, 3),
            "predicted_seconds": (
                None if self.predicted_seconds is None else round(self.predicted_seconds, 1)
            ),
            "status": self.status,
            "reason": without_places(self.reason),
            "flattering": self.flattering,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every candidate on the same folds, and the verdict in words."""

    candidates: tuple[Candidate, ...]
    chosen: int
    verdict: str
    folds: int
    repeats: int

    def __repr__(self) -> str:
        of = f"{len(self.candidates):,} candidate" + ("" if len(self.candidates) == 1 else "s")
        return f"Comparison({of}, chosen {self.winner!r})"

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
    approaches: str | Approach | Iterable[str | Approach],
    data: Dataset,
    *,
    folds: int = 5,
    repeats: int | None = None,
    budget_s: float | None = None,
    reserve_s: float = 0.0,
    trains: bool | None = None,
    race: Race | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Cross-validate every approach on the same folds and choose one.

    Approaches on frozen features come first; they take seconds. Each approach that trains a
    network is then measured on the first fold, with as many epochs as the budget has room for,
    and stopped early if it is clearly behind; the leaders go on to the other folds while there is
    time. Time for the final training of the best one is always kept back.

    Chosen is the highest expected accuracy; among candidates within half a point of it whose
    paired difference could be zero, the cheapest to predict with. A candidate that fails, or that
    the budget leaves no time for, is recorded with its reason and the others go on.

    Args:
        approaches: one or several, or their names, in the order in which they are tried. Those on
            frozen features are run as they are taken from it, so that what the others depend on
            may be found out after them.
        data: its training rows are used, and only those; groups stay whole, and `find_groups` makes
            some of near copies and series.
        folds: of each repeat.
        repeats: None for 3 below 1,000 images, else 1.
        budget_s: seconds for all candidates and the final training together; None for no limit.
        reserve_s: seconds of the budget to keep for what comes after the final training.
        trains: whether some of them train a network, so that time is kept for these; None where
            that is to be seen from a list.
        race: where finished results are kept, so that an interrupted comparison goes on.
        seed: of the folds.
        jobs: worker threads.
        progress: told how far each step is.

    Raises:
        DataError: the data cannot be trained on, or no candidate could be finished.
        UsageError: there is no approach of a name.
    """
    approaches = _named_approaches(approaches, data.modality)
    if trains is None:
        approaches = tuple(approaches)
        trains = any(is_trained(approach) for approach in approaches)
    assignment = repeated_folds(data, folds=folds, repeats=repeats, seed=seed)
    runner = _Runner(
        data=data,
        folds=assignment,
        groups=split_groups(data.train),
        deadline=math.inf if budget_s is None else time.monotonic() + budget_s - reserve_s,
        budget_s=math.inf if budget_s is None else budget_s,
        race=race or Race(),
        seed=seed,
        jobs=jobs,
        progress=progress,
        fingerprint=data.fingerprint(),
    )
    found: dict[int, Candidate] = {}
    waiting: dict[int, TrainedApproach] = {}
    started = time.monotonic()
    for i, approach in enumerate(approaches):
        if is_trained(approach):
            waiting[i] = approach
            continue
        kept = 0.0
        if trains and budget_s is not None:
            share = started + _SHARE_OF_FROZEN * budget_s - time.monotonic()
            kept = max(0.0, runner.left() - share)
        found[i] = runner.frozen(approach, first=not found, kept=kept)
    runner.trained(waiting, found)
    candidates = [found[i] for i in sorted(found)]
    if not candidates:
        raise DataError("nothing to compare; give at least one approach")
    if not any(candidate.status == "done" for candidate in candidates):
        reasons = "; ".join(f"{c.title}: {c.reason}" for c in candidates)
        raise DataError(f"no candidate could be finished ({reasons})")
    left = runner.left()
    chosen = _choose(candidates, left)
    against = tuple(_against(candidates[chosen], candidate) for candidate in candidates)
    return Comparison(
        candidates=against,
        chosen=chosen,
        verdict=_verdict(against, chosen, left),
        folds=len(np.unique(assignment[0])),
        repeats=len(assignment),
    )


def choose_again(comparison: Comparison, reason: str) -> Comparison | None:
    """The same comparison without its winner, whose final training failed; None if none is left.

    Only candidates on frozen features are considered: their final training takes moments.
    """
    failed = replace(comparison.winner, status="failed", reason=reason, accuracy=None)
    rest = [
        failed if i == comparison.chosen else replace(c, ahead=None)
        for i, c in enumerate(comparison.candidates)
    ]
    quick = [c if c.cost is None else replace(c, accuracy=None) for c in rest]
    if not any(c.accuracy is not None for c in quick):
        return None
    chosen = _choose(quick, math.inf)
    against = tuple(_against(rest[chosen], c) for c in rest)
    verdict = _verdict(against, chosen, 0.0)
    return replace(comparison, candidates=against, chosen=chosen, verdict=verdict)


@dataclass(slots=True)
class _Runner:
    """What all candidates of one comparison share."""

    data: Dataset
    folds: IntArray
    groups: IntArray
    deadline: float
    budget_s: float
    race: Race
    seed: int
    jobs: int | None
    progress: Progress
    fingerprint: str

    @property
    def n_folds(self) -> int:
        """Folds of each repeat."""
        return len(np.unique(self.folds[0]))

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def frozen(self, approach: Approach, *, first: bool, kept: float) -> Candidate:
        """An approach on frozen features: all folds and repeats at once.

        `kept` seconds of what is left are for those that train, unless it is the first of all.
        """
        key = race_key(approach, self.fingerprint, self.folds)
        if known := self.race.recall(key):
            return self._done(approach, *known)
        reason = "" if first else _too_late(approach, len(self.data.train), self.left(), kept)
        if reason:
            return Candidate(approach, "skipped", reason)
        started = time.monotonic()
        options: dict[str, Any] = {} if first else {"limits": Limits(deadline=self.deadline)}
        try:
            found = approach.cross_validate(
                self.data, self.folds, jobs=self.jobs, progress=self.progress, **options
            )
        except RegraftError as error:
            return _ended(approach, error, time.monotonic() - started)
        seconds = time.monotonic() - started
        self.race.keep(key, found, seconds)
        return self._done(approach, found, seconds)

    def trained(
        self, approaches: Mapping[int, TrainedApproach], found: dict[int, Candidate]
    ) -> None:
        """Approaches that train: the first fold of each, then more folds of the leaders."""
        timed = self._all_timed(approaches)
        for i, one in timed.items():
            later = [timed[j] for j in timed if j > i]
            found[i] = self._first_fold(one, found, later=later)
        while (leader := self._worth_another_fold(found)) is not None:
            found[leader] = self._next_fold(found[leader])
        longer: set[int] = set()
        while (again := self._worth_more_epochs(found, longer)) is not None:
            i, epochs = again
            longer.add(i)
            found[i] = self._trained_longer(found[i], epochs)

    def _all_timed(self, approaches: Mapping[int, TrainedApproach]) -> dict[int, _Timed]:
        """Each of them timed, in their order; the cheap ones first, as long as it is worth it."""
        timed: dict[int, _Timed] = {}
        started = time.monotonic()
        for i in sorted(approaches, key=lambda i: _dearness(approaches[i])):
            took = time.monotonic() - started
            known = self.race.recall(self._key(approaches[i]))
            most = max(0.0, _SHARE_OF_TIMING * self.budget_s)
            if took > most and self.left() > 0 and known is None:
                reason = (
                    f"timing the cheaper ones took {took:.1f} s, more than the {most:.1f} s that "
                    "are a tenth of the budget"
                )
                timed[i] = _Timed(approaches[i], Candidate(approaches[i], "skipped", reason))
            else:
                timed[i] = self._timed(approaches[i])
        return {i: timed[i] for i in approaches}

    def _timed(self, approach: TrainedApproach) -> _Timed:
        """What is known of an approach before its turn."""
        known = self.race.recall(self._key(approach))
        if self.left() <= 0 and not known:
            return _Timed(approach, Candidate(approach, "skipped", "the time budget was used up"))
        if known is None and (reason := self._hopeless(approach)):
            return _Timed(approach, Candidate(approach, "skipped", reason))
        started = time.monotonic()
        try:
            note(self.progress, f"timing {_title(approach)}")
            cost = self._cost(approach, late=known is not None)
        except RegraftError as error:
            return _Timed(approach, _ended(approach, error, time.monotonic() - started))
        if known is None:
            return _Timed(approach, cost=cost, at=time.monotonic())
        adapted = approach.with_epochs(int(known[0].chosen["epochs"]))
        done = self._done(
            adapted,
            *known,
            cost=cost.at(adapted.planned_epochs),
            key=self._key(approach),
            wanted=approach.planned_epochs,
        )
        return _Timed(approach, done, cost)

    def _hopeless(self, approach: TrainedApproach) -> str:
        """Why an approach need not even be timed; "" if it may be worth it.

        Whatever is trained of a heavy network, everything passes through it at least once, and what
        is trained of it again for the model.
        """
        if math.isinf(self.deadline) or not _is_heavy(approach):
            return ""
        passes = seconds_expected(approach.network, len(self.data.train))
        if passes is None or _FEWEST_PASSES * passes <= self.left():
            return ""
        return (
            f"one pass of all {things(self.data.modality)} through {approach.network.name} would "
            f"need about {math.ceil(passes)} s, and training it more than "
            f"{math.ceil(_FEWEST_PASSES * passes)} s; {math.floor(max(0.0, self.left()))} s of the "
            "budget were left"
        )

    def _cost(self, approach: TrainedApproach, *, late: bool = False) -> Cost:
        """What it costs, asked until the deadline; of what has its result, `late` as well."""
        limits = Limits() if late else Limits(deadline=self.deadline)
        return approach.cost(self.data, folds=self.n_folds, limits=limits, jobs=self.jobs)

    def _timed_again(self, timed: _Timed) -> _Timed:
        """With a fresh measurement where the machine may have been busy at the first one."""
        if math.isinf(self.deadline) or time.monotonic() - timed.at < _FRESH_S:
            return timed
        note(self.progress, f"timing {_title(timed.approach)} again")
        forget_speeds()
        try:
            cost = self._cost(timed.approach)
        except RegraftError:
            return timed
        return replace(timed, cost=cost, at=time.monotonic())

    def _key(self, approach: Approach) -> str:
        return race_key(approach, self.fingerprint, self.folds)

    def _first_fold(
        self, timed: _Timed, found: Mapping[int, Candidate], *, later: Sequence[_Timed]
    ) -> Candidate:
        approach = timed.approach
        if timed.ended is not None:
            return timed.ended
        assert timed.cost is not None
        if self.left() <= 0:
            return Candidate(approach, "skipped", "the time budget was used up", cost=timed.cost)
        timed = self._timed_again(timed)
        assert timed.cost is not None
        epochs, reason = self._affordable(timed, found, later=later)
        if reason:
            return Candidate(approach, "skipped", reason, cost=timed.cost)
        key = self._key(approach)
        adapted, cost = approach.with_epochs(epochs), timed.cost.at(epochs)
        started = time.monotonic()
        try:
            report = self.race.curve(key, competes=not timed.is_baseline)
            kept = max(cost.export, self._kept_for_the_model(found))
            limits = Limits(
                deadline=self.deadline,
                folds=(0,),
                stop_by=self.deadline - MARGIN * kept,
                on_epoch=lambda _fold, epoch, accuracy: report(epoch, accuracy),
            )
            result = adapted.cross_validate(
                self.data, self.folds, limits=limits, jobs=self.jobs, progress=self.progress
            )
        except RegraftError as error:
            return _ended(approach, error, time.monotonic() - started)
        seconds = time.monotonic() - started
        result = self.race.keep(key, result, seconds)
        return self._done(
            adapted, result, seconds, cost=cost, key=key, wanted=approach.planned_epochs
        )

    def _affordable(
        self, timed: _Timed, found: Mapping[int, Candidate], *, later: Sequence[_Timed]
    ) -> tuple[int, str]:
        """How many epochs the budget has room for, or why there is room for none."""
        left = self.left()
        refit = self._kept_for_the_model(found)
        waiting = (timed, *later)
        rivals = [c for t in waiting if not t.is_baseline and (c := t.contender) is not None]
        baseline = next((t.contender for t in waiting if t.is_baseline), None)
        given = allot(
            rivals,
            baseline,
            left,
            baseline_s=_SHARE_OF_BASELINE * self.budget_s,
            refit_s=refit,
        )
        epochs = given.baseline if timed.is_baseline else given.contenders[0]
        if epochs:
            return epochs, ""
        missing = shortfall(
            rivals,
            baseline,
            left,
            given=given,
            is_baseline=timed.is_baseline,
            baseline_s=_SHARE_OF_BASELINE * self.budget_s,
            refit_s=refit,
        )
        return 0, missing.text

    def _kept_for_the_model(self, found: Mapping[int, Candidate]) -> float:
        """Seconds of the longest final training of what was trained and may still be chosen."""
        best = max((c.accuracy.value for c in found.values() if c.accuracy), default=0.0)
        return max(
            (
                c.cost.fit
                for c in found.values()
                if c.cost and c.accuracy and c.accuracy.value >= best - _CONTENDS
            ),
            default=0.0,
        )

    def _worth_another_fold(self, found: Mapping[int, Candidate]) -> int | None:
        """The candidate whose next fold tells most and still fits; None if there is none."""
        if self.data.test and len(self.data.train) >= _ONE_FOLD_FROM:
            return None
        refit = max((c.cost.fit for c in found.values() if c.cost and c.accuracy), default=0.0)
        for i, cost, known in _contenders(found):
            fits = MARGIN * (cost.fold + refit) <= self.left()
            if fits and known.folds_done < self.n_folds:
                return i
        return None

    def _worth_more_epochs(
        self, found: Mapping[int, Candidate], longer: set[int]
    ) -> tuple[int, int] | None:
        """A contender that had few epochs, and how many it may have in the time nobody needs.

        The final training of the leader comes first, with all the epochs it could use; what it
        lacked on its fold it gets there.
        """
        expected = _expected_of(found)
        if math.isinf(self.deadline) or not expected:
            return None
        top = max(expected, key=lambda i: expected[i])
        for_leader = _longest_final(found[top])
        for i, cost, known in _contenders(found):
            ended_by_itself = known.chosen["epochs"] < cost.epochs
            if i == top or i in longer or known.folds_done != 1 or ended_by_itself:
                continue
            most = 0
            for epochs in range(cost.epochs + 1, found[i].wanted_epochs + 1):
                then = cost.at(epochs)
                needed = then.once - cost.once + then.fold + max(then.fit, for_leader)
                if MARGIN * needed <= self.left():
                    most = epochs
            if most >= _LONGER * cost.epochs:
                return i, most
        return None

    def _trained_longer(self, candidate: Candidate, epochs: int) -> Candidate:
        """The candidate with more epochs on its fold, if that is no worse."""
        assert is_trained(candidate.approach)
        assert candidate.cost is not None
        assert candidate.accuracy is not None
        approach, cost = candidate.approach.with_epochs(epochs), candidate.cost.at(epochs)
        cost = replace(cost, once=cost.once - candidate.cost.once)
        started = time.monotonic()
        limits = Limits(deadline=self.deadline, folds=(0,))
        try:
            result = approach.cross_validate(
                self.data, self.folds, limits=limits, jobs=self.jobs, progress=self.progress
            )
        except RegraftError:
            return candidate  # what was finished still counts
        seconds = time.monotonic() - started
        longer = self._done(
            approach, result, seconds, cost=cost, key=candidate.key, wanted=candidate.wanted_epochs
        )
        assert longer.accuracy is not None
        if longer.accuracy.value < candidate.accuracy.value:
            return candidate
        result = self.race.keep(candidate.key, result, seconds)
        return replace(longer, cross_validation=result)

    def _next_fold(self, candidate: Candidate) -> Candidate:
        known = candidate.cross_validation
        assert known is not None
        done = set(np.unique(known.folds[0][known.covered]))
        fold = min(set(np.unique(known.folds[0])) - done)
        started = time.monotonic()
        limits = Limits(deadline=self.deadline, folds=(int(fold),))
        try:
            result = candidate.approach.cross_validate(
                self.data, self.folds, limits=limits, jobs=self.jobs, progress=self.progress
            )
        except RegraftError as error:  # what was finished still counts
            assert candidate.cost is not None
            never = replace(candidate.cost, fold=math.inf)
            return replace(candidate, cost=never, reason=f"fold {fold + 1}: {error}")
        seconds = candidate.seconds + time.monotonic() - started
        both = self.race.keep(candidate.key, merged(known, result), seconds)
        return self._done(
            candidate.approach,
            both,
            seconds,
            cost=candidate.cost,
            key=candidate.key,
            wanted=candidate.wanted_epochs,
        )

    def _done(
        self,
        approach: Approach,
        found: CrossValidation,
        seconds: float,
        *,
        cost: Cost | None = None,
        key: str = "",
        wanted: int = 0,
    ) -> Candidate:
        covered = found.covered
        groups = self.groups[covered]
        independent = len(np.unique(groups)) == len(groups)
        folds = found.folds_done
        accuracy = accuracy_estimate(
            found.correct[:, covered].mean(axis=0),
            None if independent else groups,
            folds=folds if folds > 1 else None,
            seed=self.seed,
        ).reaching(found.accuracy_gain)
        return Candidate(
            approach,
            "done",
            seconds=seconds,
            accuracy=accuracy,
            cross_validation=found,
            cost=cost,
            key=key,
            wanted_epochs=wanted,
            groups=self.groups,
            flattering=overlap_with(
                [row for row, one in zip(self.data.train, covered, strict=True) if one],
                approach.network.contents,
            ).flattering,
        )


@dataclass(frozen=True, slots=True)
class _Timed:
    """An approach that trains, before its turn: what it will cost, or how it has ended."""

    approach: TrainedApproach
    ended: Candidate | None = None
    cost: Cost | None = None
    at: float = 0.0  # when it was timed

    @property
    def is_baseline(self) -> bool:
        return self.approach.name == _BASELINE

    @property
    def contender(self) -> Contender | None:
        """What it asks of the time that is left; None if it has its result."""
        if self.ended is not None or self.cost is None:
            return None
        return Contender(self.cost, self.approach.fewest_epochs, self.approach.planned_epochs)


def with_time_left(winner: Candidate, left: float) -> CrossValidation | None:
    """What the final training goes by: with time to spare, more epochs than on the folds.

    Only where the budget, and not the fold data, ended the training on the folds.
    """
    found, cost = winner.cross_validation, winner.cost
    if found is None or cost is None or found.chosen["epochs"] < cost.epochs:
        return found
    most = _most_final_epochs(winner)
    if winner.wanted_epochs <= cost.epochs or cost.fit_epoch <= 0:
        return found
    affordable = int((left / MARGIN - cost.export) / cost.fit_epoch) if left < math.inf else most
    epochs = min(most, max(further_epochs(cost.epochs), affordable))
    return replace(found, chosen={**found.chosen, "final_epochs": epochs})


def _most_final_epochs(candidate: Candidate) -> int:
    """Of the final training: half of what was planned, and what the folds lacked."""
    assert candidate.cost is not None
    short = max(0, candidate.wanted_epochs - candidate.cost.epochs)
    return further_epochs(max(candidate.wanted_epochs, candidate.cost.epochs)) + short


def _longest_final(candidate: Candidate) -> float:
    """Seconds of the longest final training that a candidate could use."""
    if candidate.cost is None:
        return 0.0
    return candidate.cost.export + _most_final_epochs(candidate) * candidate.cost.fit_epoch


_FEWEST_PASSES = 1.5  # through the whole network, in which a part of it can be trained
_TRAINING = "candidates that train a network"
_LIGHT = 1e9  # parameters x positions: word vectors have 3e7, a text encoder 6e9, photos 2e11


def _is_heavy(approach: TrainedApproach) -> bool:
    return prediction_cost(approach.network) >= _LIGHT


def _dearness(approach: TrainedApproach) -> tuple[bool, int]:
    """What comes first in timing: light networks, few last stages, scratch, what has it all."""
    stages = re.fullmatch(r"last_(\d+)_stages?", scope_of(approach))
    scope = int(stages[1]) if stages else 100 if approach.name == _BASELINE else 101
    return _is_heavy(approach), scope


def _ended(approach: Approach, error: RegraftError, seconds: float) -> Candidate:
    status = "failed"
    if isinstance(error, OutOfTimeError):
        status = "skipped"
    elif isinstance(error, BehindError):
        status = "stopped"
    return Candidate(approach, status, str(error), seconds)


def _too_late(approach: Approach, images: int, left: float, kept: float) -> str:
    if math.isinf(left):
        return ""
    if left <= 0:
        return "the time budget was used up"
    if left <= kept:
        return f"the {math.floor(left)} s that were left are reserved for {_TRAINING}"
    expected = seconds_expected(approach.network, images)
    if expected is None:
        expected = seconds_to_export(approach.network)
    if expected > left - kept:
        reserved = ((kept, _TRAINING),)
        return Shortfall(expected, f"for features of {approach.network.name}", left, reserved).text
    return ""


def candidate_difference(first: Candidate, second: Candidate) -> Estimate:
    """Accuracy of first minus second, on the images and in the repeats that both predicted.

    Images of one group count as one trial.
    """
    a, b = first.cross_validation, second.cross_validation
    assert a is not None
    assert b is not None
    both = a.covered & b.covered
    repeats = min(len(a.folds), len(b.folds))
    return paired_difference(
        a.correct[:repeats, both],
        b.correct[:repeats, both],
        groups=None if first.groups is None else first.groups[both],
        folds=len(np.unique(a.folds[0][both])),
    )


def _expected(candidate: Candidate, done: Sequence[Candidate]) -> float:
    """The accuracy expected on all images, also of a candidate that was measured on some.

    A fold may be easier than the others. Such a candidate is therefore expected to be as far
    ahead of the one that was measured on most images as it is on the images of both.
    """
    assert candidate.accuracy is not None
    reference = max(done, key=_images_predicted)
    if _images_predicted(candidate) == _images_predicted(reference):
        return candidate.accuracy.value
    assert reference.accuracy is not None
    return reference.accuracy.value + candidate_difference(candidate, reference).value


def _expected_of(found: Mapping[int, Candidate]) -> dict[int, float]:
    """The expected accuracy of every candidate that has a result."""
    done = [c for c in found.values() if c.accuracy is not None]
    return {i: _expected(c, done) for i, c in found.items() if c.accuracy is not None}


def _contenders(found: Mapping[int, Candidate]) -> Iterator[tuple[int, Cost, CrossValidation]]:
    """Those that train a network and are close to the leader, the best first."""
    expected = _expected_of(found)
    for i in sorted(expected, key=lambda i: (-expected[i], i)):
        one = found[i]
        if one.cost is None or one.cross_validation is None or one.approach.name == _BASELINE:
            continue
        has_failed = math.isinf(one.cost.fold)
        if not has_failed and expected[i] >= max(expected.values()) - _CONTENDS:
            yield i, one.cost, one.cross_validation


def _images_predicted(candidate: Candidate) -> int:
    found = candidate.cross_validation
    return 0 if found is None else int(found.covered.sum())


def _choose(candidates: Sequence[Candidate], left: float) -> int:
    """The candidate to use: see `compare`. One whose final training no longer fits is left out."""
    scores = _expected_of(dict(enumerate(candidates)))
    scores = {i: x for i, x in scores.items() if _can_be_fitted(candidates[i], left)} or scores
    top = max(scores, key=lambda i: scores[i])
    alike = [
        i
        for i in scores
        if scores[top] - scores[i] <= ALIKE
        and (i == top or not _is_ahead(candidates[top], candidates[i]))
    ]
    return min(
        alike, key=lambda i: (prediction_cost(candidates[i].approach.network), -scores[i], i)
    )


def _is_ahead(first: Candidate, second: Candidate) -> bool:
    return standing(candidate_difference(first, second)) == "ahead"


def _can_be_fitted(candidate: Candidate, left: float) -> bool:
    return candidate.cost is None or candidate.cost.export <= left


def _against(chosen: Candidate, other: Candidate) -> Candidate:
    if other is chosen or other.cross_validation is None:
        return other
    return replace(other, ahead=candidate_difference(chosen, other))


def _verdict(candidates: Sequence[Candidate], chosen: int, left: float) -> str:
    winner = candidates[chosen]
    assert winner.accuracy is not None
    a = winner.accuracy
    parts = [
        f"Chosen: {winner.title}, cross-validated accuracy {_percent(a.value)} % "
        f"[{_percent(a.low)}, {_percent(a.high)}]{_on_folds(winner)} after {winner.seconds:.1f} s."
    ]
    by_standing: dict[Standing, list[str]] = {"ahead": [], "level": [], "behind": []}
    late: list[str] = []
    higher: list[Candidate] = []
    for candidate in candidates:
        gap = candidate.ahead
        if gap is None or candidate.status != "done":
            continue
        points = f"{_points(gap.value)} [{_points(gap.low)}, {_points(gap.high)}]"
        short = cut_short(candidate)
        text = f"{candidate.title} ({points}{f', after {short}' if short else ''})"
        if gap.value < 0 and not _can_be_fitted(candidate, left):
            late.append(text)
            continue
        by_standing[standing(gap)].append(text)
        if gap.value < 0:
            higher.append(candidate)
    if by_standing["ahead"]:
        parts.append(f"It is ahead of {listed(by_standing['ahead'])}, in points of accuracy.")
    if by_standing["level"]:
        cost = prediction_cost(winner.approach.network)
        cheaper = higher and all(prediction_cost(c.approach.network) > cost for c in higher)
        why = "; it was preferred because it predicts at lower cost" if cheaper else ""
        parts.append(f"It cannot be told apart from {listed(by_standing['level'])}{why}.")
    if by_standing["behind"]:
        parts.append(f"On what both predicted it is behind {listed(by_standing['behind'])}.")
    if late:
        parts.append(f"No time was left for the final training of {listed(late)}.")
    parts += [
        f"{c.title} is flattered: its backbone had been trained on {c.flattering:,} of the images "
        "before, labels included."
        for c in candidates
        if c.flattering
    ]
    missing = [c for c in candidates if c.status != "done"]
    if missing:
        parts.append(f"Not finished: {listed([f'{c.title} ({c.reason})' for c in missing])}.")
    return " ".join(parts)


def cut_short(candidate: Candidate) -> str:
    """How a candidate had fewer epochs than planned, so that more of it is possible; "" if not."""
    cost = candidate.cost
    if cost is None or candidate.accuracy is None or cost.epochs >= candidate.wanted_epochs:
        return ""
    return f"{cost.epochs} of {candidate.wanted_epochs} epochs for want of time"


def _on_folds(candidate: Candidate) -> str:
    found = candidate.cross_validation
    if found is None or found.covered.all():
        return ""
    number = found.folds_done
    return f" on {number} of {len(np.unique(found.folds[0]))} folds"


def _named_approaches(
    given: str | Approach | Iterable[str | Approach], modality: str
) -> Iterator[Approach]:
    """The approaches, those given by name as `fit` tries them first for that kind of input."""
    for one in given if isinstance(given, Iterable) and not isinstance(given, str) else [given]:
        yield (
            candidate_approaches([one], (), modality=modality)[0] if isinstance(one, str) else one
        )


def _title(approach: Approach) -> str:
    settings = approach.settings
    suffix = f", {settings['views']} views" if settings.get("views", 1) != 1 else ""
    train = scope_of(approach)
    if train not in ("head", "scratch"):
        suffix += f", {train.replace('_', ' ')}"
    return f"{approach.name} on {approach.network.name}{suffix}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"
