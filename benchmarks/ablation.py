"""What each rule of the race is worth: the accuracy that its absence costs or brings.

Command   python -m benchmarks ablation
Data      those of `race`, with its budgets and held-out photos: simulated fabric, solar cells,
          clothing, rooms; seeds 0 to 2
Expected  no target: a rule whose absence costs less than the interval may be deleted

Nine rules on four sets with three seeds would be 108 fits, of 5 to 20 minutes each. Instead every
candidate is trained once for a set and a seed (`recordings.py`), and the race itself, with and
without each rule, runs on these recordings by a clock that moves on by their seconds: a replay
takes a second. Half of the replays are on a machine that is busy, where everything takes three
times as long. The time before and after the race is left out, and a final training is taken for
one of the usual length.

A recording takes about six times as long as the race, by the epochs it trains: half an hour for
rooms, two hours for clothing, on two cores (reckoned, not measured). It is kept in the folder that
the environment variable REGRAFT_RECORDINGS names, and made once; without one it is lost in the end.
One set, one rule:

    python -c "from benchmarks import ablation as a; print(*a.run(names=['rooms'], seeds=[0],
        rules=['a margin on predicted seconds']), sep=chr(10))"
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

import regraft as rg
from benchmarks.data import own_cache
from benchmarks.race import MINUTES, race_data
from benchmarks.recordings import Machine, Recording, Replay, read_recording, record
from benchmarks.rows import Row
from regraft.approaches.base import Approach
from regraft.clock import Clock
from regraft.metrics.differences import paired_difference
from regraft.metrics.rates import FloatArray
from regraft.racing import Policy, candidate_approaches
from regraft.racing.policy import DEFAULT_POLICY, WITHOUT
from regraft.sampling import stratified_sample

LOADS = {"quiet": 1.0, "busy": 3.0}
RESERVE_S = 20.0  # for what `fit` does after the final training


@dataclass(frozen=True)
class Run:
    """A race that was replayed: which held-out photos its model gets right, and its seconds."""

    right: FloatArray
    seconds: float


@dataclass(frozen=True)
class Stage:
    """A data set and a seed with all that was recorded of them."""

    data: rg.Dataset
    seed: int
    recordings: Sequence[tuple[Approach, Recording]]


def run(
    *,
    names: Sequence[str] = tuple(MINUTES),
    rules: Sequence[str] = tuple(WITHOUT),
    seeds: Sequence[int] = (0, 1, 2),
    photos: int | None = None,
    budgets: Sequence[float] = (1.0,),
) -> list[Row]:
    """Record what is not recorded yet, and replay every race with each rule switched off.

    Args:
        names: data sets.
        rules: of `WITHOUT`.
        seeds: of the data, the folds and the noise.
        photos: for training at the most, each class by its share; None for all.
        budgets: in shares of the usual one; every one is a race of its own.
    """
    with ExitStack() as stack:
        stack.enter_context(own_cache())
        beside = stack.enter_context(tempfile.TemporaryDirectory(prefix="regraft-bench-"))
        folder = Path(os.environ.get("REGRAFT_RECORDINGS") or beside)
        rows = []
        for name in names:
            stages = [_stage(name, folder, Path(beside), seed, photos) for seed in seeds]
            for share in budgets:
                budget_s = 60.0 * MINUTES[name] * share
                title = f"{name}, {budget_s:.0f} s"
                rows += ablation_rows(title, stages, rules=rules, budget_s=budget_s)
    return rows


def _stage(name: str, folder: Path, beside: Path, seed: int, photos: int | None) -> Stage:
    """The recordings of a set, made if need be."""
    root, labels = race_data(name, beside, seed)
    data = rg.find_groups(rg.scan(root, labels=labels))
    if photos is not None and photos < len(data.train):
        drawn = set(stratified_sample(data.labels(data.train), photos, seed=seed).tolist())
        spare = [row.path for i, row in enumerate(data.train) if i not in drawn]
        data = data.mark(dict.fromkeys(spare, ("excluded", "thinned for the ablation")))
    approaches = candidate_approaches((), ())
    recordings = folder / f"{name.replace(' ', '-')}-{seed}-{len(data.train)}"
    record(approaches, data, recordings, seed=seed)
    return Stage(
        data, seed, [(a, read_recording(a, data, recordings, seed=seed)) for a in approaches]
    )


def ablation_rows(
    name: str, stages: Sequence[Stage], *, rules: Sequence[str], budget_s: float
) -> list[Row]:
    """A row with all rules, and one for each rule that is off, of one data set."""

    def replayed(policy: Policy) -> Mapping[str, list[Run]]:
        return {
            load: [replay(stage, policy, budget_s=budget_s, load=factor) for stage in stages]
            for load, factor in LOADS.items()
        }

    with_all = replayed(DEFAULT_POLICY)
    each = ", ".join(
        f"{load} {np.mean(np.concatenate([r.right for r in runs])):.3f}, {_seconds(runs)}"
        for load, runs in with_all.items()
    )
    rows = [Row(f"{name}: all rules", each)]
    for rule in rules:
        without = replayed(WITHOUT[rule])
        changes = [_change(load, with_all[load], without[load]) for load in LOADS]
        rows.append(Row(f'{name}: without "{rule}"', "; ".join(changes)))
    return rows


def _change(load: str, before: Sequence[Run], after: Sequence[Run]) -> str:
    """For example "quiet +0.1 points [-0.4, +0.6], 571 s"; the photos of all seeds are one set."""
    first, second = (np.concatenate([run.right for run in runs])[None] for runs in (after, before))
    return f"{load} {paired_difference(first, second).points}, {_seconds(after)}"


def _seconds(runs: Sequence[Run]) -> str:
    return f"{np.mean([run.seconds for run in runs]):.0f} s"


def replay(stage: Stage, policy: Policy, *, budget_s: float, load: float) -> Run:
    """One race by the recordings, final training included."""
    machine = Machine(load, stage.seed)
    clock = Clock(budget_s, now=lambda: machine.now)
    clock.reserve("afterwards", RESERVE_S)
    entrants = [Replay(approach, recording, machine) for approach, recording in stage.recordings]
    comparison = rg.compare(
        [cast("Approach", entrant) for entrant in entrants],
        stage.data,
        clock=clock,
        policy=policy,
        seed=stage.seed,
    )
    best: Any = comparison.best
    if comparison.winner.training is not None:
        machine.now += comparison.winner.training.cost.fit
    return Run(best.take.right, clock.passed)
