"""Runs in, tables with a column for each of them out: checks, data, approach, settings."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from regraft.reporting import words
from regraft.reporting.answers import Check
from regraft.reporting.checks import trust_checks
from regraft.reporting.provenance import duration, what_was_run
from regraft.reporting.words import thing, things
from regraft.runs import Run

NAMES_SHOWN = 5
"""Of more names than these, the first and the number of the others are said."""

_WORST_FIRST = ("no", "careful", "yes")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a table with a column for each run; "" where a run does not say."""

    title: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check with the answer of each run; None where a run does not ask."""

    claim: str
    answers: tuple[Check | None, ...]


@dataclass(frozen=True, slots=True)
class Common:
    """Whether the runs saw the same: in words, and photos in common where they did not."""

    sentences: tuple[str, ...]
    photos: tuple[Fact, ...]


def run_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell all folders apart: "rooms", or "old/rooms"."""
    parts = [Path(os.path.abspath(folder)).parts for folder in folders]  # noqa: PTH100 - keeps links
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def shortened(names: Sequence[str]) -> list[str]:
    """The names, or the first of many and how many more there are."""
    if len(names) <= NAMES_SHOWN:
        return list(names)
    return [*names[: NAMES_SHOWN - 1], f"{len(names) - NAMES_SHOWN + 1:,} more"]


def what_is_common(runs: Sequence[Run], names: Sequence[str]) -> Common:
    """What is the same for all runs: photos, labels, test set, classes."""
    prints = {run.about.fingerprint or run.data.fingerprint() for run in runs}
    used = [{row.sha256: row.label for row in run.data.ok} for run in runs]
    tested = [{row.sha256 for row in run.data.test} for run in runs]
    if any(one != used[0] for one in used) or any(one != tested[0] for one in tested):
        said = [f"The runs did not all use the same {things()}, labels and test set."]
        tables = _photos_in_common(used, tested, names)
        return Common((*said, *_other_classes(runs, names)), tables)
    data = runs[0].data
    split = f"{len(data.train):,} for training"
    split += f", {len(data.test):,} in the test set" if data.test else ", no test set"
    said = [f"All runs used the same {things()}, labels and test set: {split}."]
    if len(prints) > 1:
        said.append(
            f"They did not keep the same {things()} together in a split: named groups differ, "
            f"or one "
            "had no time to look for near copies."
        )
    return Common(tuple(said), ())


def _photos_in_common(
    used: Sequence[Mapping[str, str]], tested: Sequence[AbstractSet[str]], names: Sequence[str]
) -> tuple[Fact, ...]:
    """A table of runs by runs: photos used in both, by content, and in the test set of both."""

    def cell(i: int, j: int) -> str:
        shared = used[i].keys() & used[j].keys()
        text = f"{words.counted(len(shared), thing())}, {len(tested[i] & tested[j]):,} tested on"
        other = sum(used[i][photo] != used[j][photo] for photo in shared)
        return f"{text}, {other:,} with another label" if other else text

    return tuple(
        Fact(name, tuple(cell(i, j) for j in range(len(names)))) for i, name in enumerate(names)
    )


def _other_classes(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """A sentence for each run that lacks classes of the others; none if all have the same."""
    every = sorted({name for run in runs for name in run.data.classes})
    said = []
    for name, run in zip(names, runs, strict=True):
        known = set(run.data.classes)
        missing = [words.quoted(other) for other in every if other not in known]
        if missing:
            said.append(f"{words.quoted(name)} does not know {words.listed(shortened(missing))}.")
    if said:
        said.insert(0, "The runs do not all tell the same classes apart; fewer are easier.")
    return said


def checks_of_all(runs: Sequence[Run]) -> tuple[CheckLine, ...]:
    """Every check that any run answers, in the order in which one run asks."""
    found = [_by_claim(trust_checks(run)) for run in runs]
    claims = _in_order([list(answers) for answers in found])
    return tuple(CheckLine(claim, tuple(one.get(claim) for one in found)) for claim in claims)


def _by_claim(checks: Iterable[Check]) -> dict[str, Check]:
    """One check for each claim: the worst answer, and all reasons."""
    found: dict[str, Check] = {}
    for check in checks:
        if (first := found.get(check.claim)) is not None:
            worst = min(first.answer, check.answer, key=_WORST_FIRST.index)
            check = Check(worst, check.claim, f"{first.reason} {check.reason}")
        found[check.claim] = check
    return found


def _in_order(lists: Sequence[Sequence[T]]) -> list[T]:
    """All items once: each behind the one that it follows where it first occurs."""
    merged: list[T] = []
    for items in lists:
        at = 0
        for item in items:
            if item in merged:
                at = merged.index(item) + 1
            else:
                merged.insert(at, item)
                at += 1
    return merged


def what_was_in_the_data(runs: Sequence[Run]) -> tuple[Fact, ...]:
    """What each run found in its data: photos used, files left out, issues of each kind."""
    statuses = [run.data.status_counts() for run in runs]
    kinds = [Counter(issue.issue for issue in run.issues) for run in runs]
    rows = [
        _fact("Files found", [f"{len(run.data.rows):,}" for run in runs]),
        _fact(f"{things().capitalize()} to train on", [f"{len(run.data.train):,}" for run in runs]),
        _fact(f"{things().capitalize()} to test on", [f"{len(run.data.test):,}" for run in runs]),
        _fact("Classes", [f"{len(run.data.classes):,}" for run in runs]),
    ]
    others = _in_order([[status for status in found if status != "ok"] for found in statuses])
    rows += [_fact(s.capitalize(), [f"{one.get(s, 0):,}" for one in statuses]) for s in others]
    found = _in_order([list(one) for one in kinds])
    rows += [
        _fact(f"Issue: {_issue_name(kind)}", [f"{one[kind]:,}" for one in kinds]) for kind in found
    ]
    return tuple(rows)


def _issue_name(kind: str) -> str:
    return words.issue_words(kind)[0].lower()


def what_was_chosen(runs: Sequence[Run]) -> tuple[Fact, ...]:
    """What each run chose, and what it cost."""
    networks = [dict(what_was_run(run).backbone) for run in runs]
    settings = [run.about.settings for run in runs]
    phases = [run.about.seconds for run in runs]
    rows = [
        _fact("Approach", [run.comparison.winner.title for run in runs]),
        *(
            _fact(title, [network.get(title, "") for network in networks])
            for title in ("Network", "Looks at", "Pretrained on", "Licence")
        ),
        _fact("Model on disk", [_size(run.folder / "model") for run in runs]),
        _fact("Time, all in all", [duration(run.about.seconds_total or None) for run in runs]),
        _fact("Comparison", [duration(one.get("comparison")) for one in phases]),
        _fact("Final fit", [duration(one.get("final fit")) for one in phases]),
        _fact("Budget", [duration(one.get("budget_s")) for one in settings]),
        _fact("Candidates", [f"{len(run.comparison.candidates):,}" for run in runs]),
        _fact("Seed", [str(one.get("seed", "")) for one in settings]),
    ]
    return tuple(row for row in rows if any(row.cells))


def _size(folder: Path) -> str:
    """The size of all files of a model; "" where there is none."""
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{total / 1e6:,.1f}{words.THIN_SPACE}MB" if total else ""


def where_and_when(runs: Sequence[Run]) -> tuple[Fact, ...]:
    """Where and when each run was made."""
    facts = [dict(what_was_run(run).facts) for run in runs]
    titles = _in_order([list(one) for one in facts])
    rows = [_fact(title, [one.get(title, "") for one in facts]) for title in titles]
    versions = [run.about.regraft for run in runs]
    return (*rows, _fact("Made by regraft", versions))


def settings_that_differ(runs: Sequence[Run]) -> tuple[Fact, ...]:
    """Settings and versions in which the runs differ."""
    found = []
    for run in runs:
        said = what_was_run(run)
        folds, repeats = run.comparison.folds, run.comparison.repeats
        found.append(
            dict(said.settings)
            | {f"version of {name}": text for name, text in said.versions}
            | {name: str(n) for name, n in (("folds", folds), ("repeats", repeats)) if n}
        )
    rows = [
        _fact(title, [one.get(title, "not given") for one in found])
        for title in _in_order([list(one) for one in found])
    ]
    return tuple(row for row in rows if len(set(row.cells)) > 1)


def _fact(title: str, cells: Iterable[str]) -> Fact:
    return Fact(title, tuple(cells))
