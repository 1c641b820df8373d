"""Finished runs in, the text of one HTML file out that puts them side by side.

The page asks what the page of a single run asks, in the same order: can I trust it, how good is
it, where does it fail, what is wrong with the data, which approach and at what cost, what next,
what was run. Each run has one column or one line, in the order in which the runs were given.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regraft._version import __version__
from regraft.evidence.evaluation import CROSS_VALIDATION, TEST, Evaluation
from regraft.kinds import kind_named
from regraft.reporting import charts, words
from regraft.reporting.charts import IntervalMark, Scale
from regraft.reporting.columns import (
    NAMES_SHOWN,
    Fact,
    checks_of_all,
    run_names,
    settings_that_differ,
    shortened,
    what_is_common,
    what_was_chosen,
    what_was_in_the_data,
    where_and_when,
)
from regraft.reporting.disagreement import choose_disputed
from regraft.reporting.pages import Header, render
from regraft.reporting.provenance import Command
from regraft.reporting.scores import (
    MATRIX_CLASSES,
    Measured,
    MetricChart,
    headline_of,
    hero,
    metrics,
)
from regraft.reporting.words import speaking_of, thing, things
from regraft.runs import Run
from regraft.runs.pairing import Paired, opinions, paired_accuracy
from regraft.storage.locations import shareable

_CLASS_ROWS_SHOWN = 1000
_MOST_PHOTOS_TO_TELL = 100_000


@dataclass(frozen=True, slots=True)
class Difference:
    """The best run minus another one; `mark` is None where they share no photo."""

    name: str
    sentence: str
    mark: IntervalMark | None = None
    value: str = ""
    range: str = ""


@dataclass(frozen=True, slots=True)
class Differences:
    """All runs against the best one on one axis, in points."""

    best: str
    scale: Scale
    zero: float
    others: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One estimate of every run; `missing` names runs that do not have it."""

    on: str
    name: str
    metrics: tuple[MetricChart, ...]
    differences: Differences | None
    missing: str


@dataclass(frozen=True, slots=True)
class Classes:
    """Recall of each class, all on one axis: `drawn` of `n`, and in `rows` as text if many."""

    drawn: tuple[MetricChart, ...]
    rows: tuple[Fact, ...]
    n: int


def best_run(runs: Sequence[Run]) -> int:
    """The position of the run with the highest accuracy, the first of equals.

    Accuracies are those of the test set if every run leads with it, else of cross-validation; one
    that is flattered by what the backbone knew before counts only where all are.
    """
    found = _leading(runs, _led_by(runs))
    values = [
        (False, -math.inf) if e is None else (not e.overlap.flattering, e.accuracy.value)
        for e in found
    ]
    return max(range(len(runs)), key=lambda i: values[i])


def build_side_by_side(runs: Sequence[Run], *, left_out: Sequence[str] = ()) -> str:
    """Several runs as the text of one HTML file.

    It opens offline, asks for nothing from elsewhere and runs no script. Photos that are gone or
    unreadable by now are shown as such; that never fails.

    Args:
        runs: at least two, each another folder.
        left_out: sentences on runs that were asked for and are not shown.

    >>> from regraft.runs import read_run
    >>> runs = [read_run("runs/rooms"), read_run("runs/quick")]  # doctest: +SKIP
    >>> html = build_side_by_side(runs)  # doctest: +SKIP
    """
    with speaking_of(runs[0].data.modality):
        return _built(runs, left_out)


def _built(runs: Sequence[Run], left_out: Sequence[str]) -> str:
    names = run_names([run.folder for run in runs])
    on = _led_by(runs)
    best = best_run(runs)
    pairs = {one: _against(runs, best, one) for one in _estimates(runs, on)}
    said = opinions(runs, on)
    disputed = choose_disputed(runs, names, said, lambda one: one.differ)
    all_wrong = choose_disputed(runs, names, said, lambda one: one.all_wrong)
    measured, scale, guess = _accuracies(runs, names, on)
    leading = pairs.get(on, {})
    return render(
        "side_by_side.html.jinja",
        header=_header(runs, names, on, best, leading),
        names=names,
        left_out=left_out,
        measured=measured,
        scale=scale,
        guess=guess,
        common=what_is_common(runs, names),
        checks=checks_of_all(runs),
        panels=[_panel(runs, names, one, best, found) for one, found in pairs.items()],
        classes=_classes(_leading(runs, on), names),
        disputed=disputed,
        all_wrong=all_wrong,
        data=what_was_in_the_data(runs),
        approach=what_was_chosen(runs),
        commands=_commands(runs, names, best, leading),
        advice=_advice(names, best, leading),
        provenance=where_and_when(runs),
        settings=settings_that_differ(runs),
    )


def _led_by(runs: Sequence[Run]) -> str:
    """The estimate by which all runs are compared: the one that every run can be held to."""
    found = [headline_of(run) for run in runs]
    return TEST if all(e is not None and e.on == TEST for e in found) else CROSS_VALIDATION


def _estimates(runs: Sequence[Run], on: str) -> list[str]:
    """The estimates that any run has, the one that leads first."""
    there = dict.fromkeys(e.on for run in runs for e in run.evaluations)
    return sorted(there, key=lambda one: one != on)


def _evaluation(run: Run, on: str) -> Evaluation | None:
    return next((e for e in run.evaluations if e.on == on), None)


def _leading(runs: Sequence[Run], on: str) -> list[Evaluation | None]:
    return [_evaluation(run, on) or headline_of(run) for run in runs]


def _accuracies(
    runs: Sequence[Run], names: Sequence[str], on: str
) -> tuple[list[Measured], Scale, float | None]:
    """The line of each run at the top of the page, their axis, and what guessing reaches."""
    found = _leading(runs, on)
    there = [e for e in found if e is not None]
    drawn = hero(there)
    lines = iter(drawn.measured)
    measured = []
    for name, evaluation in zip(names, found, strict=True):
        if evaluation is None:
            measured.append(Measured("", name, "holds no evaluation", "", "", None))
            continue
        line = next(lines)
        measured.append(replace(line, name=name, photos=f"{line.name}, {line.photos}"))
    is_same = len({round(e.majority_share, 3) for e in there}) == 1
    return measured, drawn.scale, drawn.guess if is_same else None


def _header(
    runs: Sequence[Run], names: Sequence[str], on: str, best: int, pairs: Mapping[int, Paired]
) -> Header:
    leader = _leading(runs, on)[best]
    context = []
    if leader is not None:
        a = leader.accuracy
        between = words.percent_between(a.low, a.high)
        context.append(
            f"{words.quoted(names[best])} was right on {words.percent(a.value)} ({between}) of "
            f"{words.measured_on(leader)}."
        )
        context += [_told_apart(names[best], names[i], pair) for i, pair in pairs.items()]
    return Header(
        title=words.listed(shortened(names)),
        verdict=_verdict(names, best, pairs, is_measured=leader is not None),
        verdict_range="",
        context=tuple(context[: NAMES_SHOWN + 1]),
        when=words.counted(len(runs), "run") + " side by side",
        version=__version__,
    )


def _verdict(
    names: Sequence[str], best: int, pairs: Mapping[int, Paired], *, is_measured: bool
) -> str:
    if not is_measured:
        return "None of these runs holds an evaluation."
    name = words.quoted(names[best])
    by_standing: dict[str, list[str]] = {}
    for i, pair in pairs.items():
        by_standing.setdefault(pair.standing or "unknown", []).append(words.quoted(names[i]))
    level, ahead, behind = (
        words.listed(shortened(by_standing.get(standing, [])))
        for standing in ("level", "ahead", "behind")
    )
    if level and ahead:
        return f"{name} is ahead of {ahead}, and cannot be told apart from {level}"
    if len(by_standing.get("level", [])) > 1:
        return f"{name} has the highest accuracy, and cannot be told apart from {level}"
    if level:
        return f"{name} and {level} cannot be told apart"
    if ahead:
        return f"{name} is ahead of {ahead}"
    if behind:
        return (
            f"{name} has the highest accuracy, but {behind} is ahead on the {things()} they share"
        )
    known = [words.quoted(names[i]) for i, pair in pairs.items() if pair.flattered]
    if known:
        return (
            f"{name} and {words.listed(shortened(known))} cannot be compared: a backbone had been "
            f"trained on the {things()} before"
        )
    return f"{name} has the highest accuracy, on {things()} that no other run predicted"


def _told_apart(best: str, other: str, pair: Paired) -> str:
    """Whether two runs can be told apart, in one sentence."""
    first, second = words.quoted(best), words.quoted(other)
    gap = pair.difference
    if pair.flattered:
        return (
            f"{first} and {second} cannot be compared: the backbone of one of them had been "
            f"trained on {pair.flattered:,} of the {things()} before."
        )
    if gap is None:
        return f"{first} and {second} were tested on no {thing()} in common."
    both = f"on {words.counted(pair.photos, thing())} that both predicted"
    points = (
        f"{words.points(gap.value)} points, {words.points(gap.low)} to {words.points(gap.high)}"
    )
    if pair.standing == "level":
        return f"{first} and {second} cannot be told apart {both} ({points})."
    stands = "ahead of" if pair.standing == "ahead" else "behind"
    return f"{first} is {stands} {second} {both} ({points})."


def _against(runs: Sequence[Run], best: int, on: str) -> dict[int, Paired]:
    """The best run compared with each of the others, by the position of the other."""
    return {i: paired_accuracy(runs[best], run, on) for i, run in enumerate(runs) if i != best}


def _panel(
    runs: Sequence[Run], names: Sequence[str], on: str, best: int, pairs: Mapping[int, Paired]
) -> Panel:
    there = [
        (name, e) for name, run in zip(names, runs, strict=True) if (e := _evaluation(run, on))
    ]
    evaluations = [e for _, e in there]
    same_guess = len({(round(e.majority_share, 3), len(e.classes)) for e in evaluations}) == 1
    drawn = tuple(
        replace(
            metric if same_guess else replace(metric, guess=None, guess_text=""),
            measured=tuple(
                replace(m, name=name) for m, (name, _) in zip(metric.measured, there, strict=True)
            ),
        )
        for metric in metrics(evaluations)
    )
    missing = [words.quoted(name) for name in names if name not in dict(there)]
    lacking = f"{words.listed(missing)} {'has' if len(missing) == 1 else 'have'} none."
    is_comparable = names[best] in dict(there) and len(there) > 1
    return Panel(
        on=on,
        name=words.estimate_name(on),
        metrics=drawn,
        differences=_differences(names, best, pairs) if is_comparable else None,
        missing=lacking if missing else "",
    )


def _differences(names: Sequence[str], best: int, pairs: Mapping[int, Paired]) -> Differences:
    ends = [0.0]
    for pair in pairs.values():
        if pair.difference is not None:
            ends += [pair.difference.low, pair.difference.value, pair.difference.high]
    scale = charts.amount_scale(max(ends), low=min(ends), factor=100)
    others = []
    for i, pair in pairs.items():
        sentence = _told_apart(names[best], names[i], pair)
        if pair.relabelled:
            of = words.counted(pair.relabelled, f"{thing()} has", f"{things()} have")
            sentence += f" {of} another label in one of them and are left out."
        gap = pair.difference
        if gap is None:
            others.append(Difference(names[i], sentence))
            continue
        others.append(
            Difference(
                name=names[i],
                sentence=sentence,
                mark=charts.interval_mark(gap, scale),
                value=words.points(gap.value),
                range=f"{words.points(gap.low)} to {words.points(gap.high)}",
            )
        )
    return Differences(names[best], scale, scale.at(0.0), tuple(others))


def _classes(evaluations: Sequence[Evaluation | None], names: Sequence[str]) -> Classes:
    """Recall of each class in each run; of many classes those are drawn that differ most."""
    there = {name: e for name, e in zip(names, evaluations, strict=True) if e is not None}
    every = sorted({name for e in there.values() for name in e.classes})
    lows = [s.recall.low for e in there.values() for s in e.per_class.values() if s.n]
    scale = charts.rate_scale(lows)
    many = len(every) > MATRIX_CLASSES
    shown = sorted(every, key=lambda c: _spread(c, there.values())) if many else every
    rows = tuple(_class_row(c, evaluations) for c in every[:_CLASS_ROWS_SHOWN]) if many else ()
    return Classes(
        drawn=tuple(_class_recall(c, there, scale) for c in shown[:MATRIX_CLASSES]),
        rows=rows,
        n=len(every),
    )


def _recalls(name: str, evaluations: Iterable[Evaluation]) -> list[float]:
    scores = (e.per_class.get(name) for e in evaluations)
    return [score.recall.value for score in scores if score is not None and score.n]


def _spread(name: str, evaluations: Iterable[Evaluation]) -> tuple[float, float]:
    """Sorts classes on which runs differ most first, then the weakest."""
    found = _recalls(name, evaluations)
    return (min(found) - max(found), min(found)) if found else (0.0, 1.0)


def _class_recall(name: str, there: Mapping[str, Evaluation], scale: Scale) -> MetricChart:
    measured = []
    for run, e in there.items():
        score = e.per_class.get(name)
        if score is None or not score.n:
            why = "not among its classes" if score is None else f"no {thing()} of it"
            measured.append(Measured(e.on, run, "", "n/a", why, None))
            continue
        measured.append(
            Measured(
                on=e.on,
                name=run,
                photos=words.counted(score.n, thing()),
                value=words.percent(score.recall.value),
                range=words.estimate_range(score.recall),
                mark=charts.interval_mark(score.recall, scale),
            )
        )
    sizes = dict.fromkeys(m.photos for m in measured if m.photos)
    return MetricChart(
        title=name,
        meaning=" or ".join(sizes),
        higher_is_better=True,
        scale=scale,
        guess=None,
        guess_text="",
        measured=tuple(measured),
    )


def _class_row(name: str, evaluations: Sequence[Evaluation | None]) -> Fact:
    found = [[] if e is None else _recalls(name, [e]) for e in evaluations]
    return Fact(name, tuple(words.percent(r[0]) if r else "n/a" for r in found))


def _commands(
    runs: Sequence[Run], names: Sequence[str], best: int, pairs: Mapping[int, Paired]
) -> tuple[Command, ...]:
    folders = [shlex.quote(shareable(run.folder, Path.cwd())) for run in runs]
    rivals = [best, *(i for i, pair in pairs.items() if pair.standing != "ahead")]
    name = words.quoted(names[best])
    return (
        Command(
            f"regraft predict {folders[best]} {kind_named(runs[best].data.modality).example}",
            f"classify new {things()} with {name}",
        ),
        *(
            Command(
                f"regraft evaluate {folders[i]} more_{things()}/",
                f"score {words.quoted(names[i])} on labelled {things()} that none of them has seen",
            )
            for i in rivals[:NAMES_SHOWN]
        ),
        Command(f"regraft report {folders[best]}", f"see all of {name}"),
    )


def _advice(names: Sequence[str], best: int, pairs: Mapping[int, Paired]) -> tuple[str, ...]:
    """What would settle who is best."""
    said = []
    for i, pair in pairs.items():
        first, second = words.quoted(names[best]), words.quoted(names[i])
        needed = pair.photos_to_tell
        if needed is None:
            if pair.standing == "level":
                said.append(f"{first} and {second} were right equally often: take the cheaper one.")
            continue
        who = f"{first} from {second}"
        if needed > _MOST_PHOTOS_TO_TELL:
            said.append(
                f"To tell {who}, no number of {things()} is likely to do: take the cheaper one."
            )
            continue
        rounded = round(needed, 1 - len(str(needed))) if needed > 99 else needed
        said.append(
            f"To tell {who} takes about {max(rounded, pair.photos):,} {things()} that both are "
            f"tested "
            f"on, if the difference is as large as measured; there are {pair.photos:,}."
        )
    return tuple(said[:NAMES_SHOWN])
