"""A run in, the answers to "can I trust it?" out: one line each, with its reason.

An answer is "yes", "careful" (true with a reservation, or not known) or "no". The thresholds
are rules of thumb; each line states the number it rests on, so that the reader can judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from regraft.evaluation import CROSS_VALIDATION, TEST, Evaluation
from regraft.issues import named_file
from regraft.modality import get_examiner
from regraft.modality.examiner import INCIDENTAL
from regraft.reporting import words
from regraft.reporting.scores import headline_of
from regraft.reporting.series import what_chance_makes, why_splits_leak
from regraft.reporting.words import thing, things
from regraft.runs import Run

Answer = Literal["yes", "careful", "no"]

_WIDE = 0.10  # of the accuracy's interval
_MISCALIBRATED = 0.05
_LOW_RECALL = 0.5
_SMALL_CLASS = 20


@dataclass(frozen=True, slots=True)
class Check:
    """One question that decides whether the numbers can be relied on."""

    answer: Answer
    claim: str
    reason: str


def trust_checks(run: Run) -> tuple[Check, ...]:
    """The checks in the order in which a careful colleague would ask."""
    best = headline_of(run)
    if best is None:
        return (Check("no", "It has been measured", "No evaluation is stored in this run."),)
    return tuple(_checks(run, best))


def _checks(run: Run, best: Evaluation) -> Iterator[Check]:
    yield _measured_on_unseen(run)
    yield _better_than_guessing(best)
    yield _sharp(best)
    by_name = {evaluation.on: evaluation for evaluation in run.evaluations}
    if TEST in by_name and CROSS_VALIDATION in by_name:
        yield _agree(by_name[TEST], by_name[CROSS_VALIDATION])
    yield _no_leak(run)
    yield from _no_shortcut(run)
    yield _every_class(best)
    yield _calibrated(best)
    yield _complete(run)
    for warning in run.about.get("warnings") or ():
        yield Check("careful", "A warning from the run", str(warning))


def _measured_on_unseen(run: Run) -> Check:
    reading = " ".join(str(line) for line in run.about.get("reading") or ())
    return Check(
        "yes",
        f"Measured only on {things()} it had not been trained on",
        reading or f"Every number on this page comes from {things()} left out of the training.",
    )


def _better_than_guessing(best: Evaluation) -> Check:
    accuracy, guess = best.accuracy, best.majority_share
    answer: Answer = (
        "yes" if accuracy.low > guess else "careful" if accuracy.value > guess else "no"
    )
    return Check(
        answer,
        "Better than always naming the most frequent class",
        f"{words.percent(accuracy.value)} ({words.percent_range(accuracy.low, accuracy.high)}) "
        f"against {words.percent(guess)}.",
    )


def _sharp(best: Evaluation) -> Check:
    width = best.accuracy.high - best.accuracy.low
    n = words.counted(best.n, thing())
    size = f"The 95{words.THIN_SPACE}% interval is {100 * width:.1f} points wide on {n}"
    if width <= _WIDE:
        return Check("yes", f"Enough {things()} to know the accuracy well", f"{size}.")
    return Check(
        "careful",
        f"Enough {things()} to know the accuracy well",
        f"{size}. Four times as many {things()} would halve it.",
    )


def _agree(test: Evaluation, other: Evaluation) -> Check:
    a, b = test.accuracy, other.accuracy
    overlap = a.low <= b.high and b.low <= a.high
    reason = (
        f"{words.percent(a.value)} ({words.percent_range(a.low, a.high)}) on the test set, "
        f"{words.percent(b.value)} ({words.percent_range(b.low, b.high)}) in cross-validation."
    )
    if not overlap:
        reason += (
            f" The {things()} of the test set may be of another kind than the training {things()}."
        )
    return Check("yes" if overlap else "careful", "Test set and cross-validation agree", reason)


def _no_leak(run: Run) -> Check:
    leaks = [issue for issue in run.issues if issue.issue == "leakage"]
    claim = f"No {thing()} it was tested on was known from training"
    if not leaks:
        return _kept_together(run, claim)
    trained_on = {row.path for row in run.data.train}
    told = [leak for leak in leaks if named_file(leak.detail, trained_on)]
    which = words.counted(len(told or leaks), f"test {thing()} has", f"test {things()} have")
    reason = f"{which} a copy, or a member of the same group or series, among the training "
    if told:
        return Check("careful", claim, f"{reason}{things()}: see the issues below.")
    check = _kept_together(run, claim)
    return replace(check, reason=f"{reason}files; those were left out. {check.reason}")


def _kept_together(run: Run, claim: str) -> Check:
    """Whether all that could leak was looked for, and stays on one side of every split."""
    audit = run.about.get("audit") or {}
    series: Mapping[str, Any] = audit.get("series") or {}
    not_looked_for = []
    if not audit.get("copies", bool(audit)):  # earlier versions looked for all or nothing
        not_looked_for.append("near copies")
    if not series:
        not_looked_for.append(f"series of {things()} such as frames of a film")
    if not_looked_for:
        reason = (
            "Exact copies and named groups stay on one side of every split; "
            f"{words.listed(not_looked_for)} were not looked for."
        )
        return Check("careful", claim, reason)
    if leak := why_splits_leak(series):
        return Check("no" if series.get("cut") else "careful", claim, leak)
    kept = "Exact copies, near copies, series and named groups stay on one side of every split."
    return Check("yes", claim, f"{kept} {what_chance_makes(series)}".strip())


def _no_shortcut(run: Run) -> Iterator[Check]:
    """Nothing where the run did not look for any."""
    found = (run.about.get("audit") or {}).get("shortcuts")
    if not found:
        return
    alarms = [culprit for culprit in found["culprits"] if culprit["name"] in found["alarms"]]
    claim = "Nothing but the content gives the class away"
    guess = words.percent(found["guess"])
    if alarms:
        told = words.listed(
            [f"{c['name']} alone {words.percent(c['accuracy']['value'])}" for c in alarms]
        )
        reason = f"{told} of {things()}; guessing is right on {guess}. A model may rely on that."
        yield Check("no", claim, words.sentence(reason))
        return
    clues = get_examiner(run.data.modality).clues_of_kind[INCIDENTAL]
    facts = clues[0].upper() + clues[1:]
    value = (found.get("incidental") or {}).get("value")
    told = (
        f"are the same for all {things()}" if value is None else "tell no more than guessing does"
    )
    if value is not None and any(c["kind"] == "incidental" for c in found["culprits"]):
        told = f"tell the class of {words.percent(value)} of {things()}, little more than guessing"
    yield Check("yes", claim, f"{facts} {told} ({guess}).")


def _every_class(best: Evaluation) -> Check:
    claim = "No class is left behind"
    scores = {name: score for name, score in best.per_class.items() if score.n}
    if not scores:
        return Check("careful", claim, f"No class has a {thing()} to judge by.")
    weakest = min(scores, key=lambda name: (scores[name].recall.value, scores[name].recall.low))
    recall = scores[weakest].recall
    small = [name for name, score in scores.items() if score.n < _SMALL_CLASS]
    reason = (
        f"The weakest is {words.quoted(weakest)}: {words.percent(recall.value)} of its "
        f"{things()} are "
        f"recognised ({words.percent_range(recall.low, recall.high)})."
    )
    if small:
        which = words.listed([words.quoted(name) for name in small[:3]])
        more = f" and {len(small) - 3:,} more" if len(small) > 3 else ""
        reason += f" Judged by fewer than {_SMALL_CLASS} {things()}: {which}{more}."
    is_weak = recall.value < _LOW_RECALL
    return Check("no" if is_weak else "careful" if small else "yes", claim, reason)


def _calibrated(best: Evaluation) -> Check:
    error = best.ece
    return Check(
        "yes" if error.value <= _MISCALIBRATED else "careful",
        "When it says 90\N{NARROW NO-BREAK SPACE}%, it means it",
        f"Its confidence is {words.percent(error.value)} off on average "
        f"({words.estimate_range(error)}).",
    )


def _complete(run: Run) -> Check:
    counts = run.data.status_counts()
    lost = {
        name: counts[name] for name in ("unreadable", "missing", "conflict") if counts.get(name)
    }
    claim = f"Every {thing()} could be used"
    if not lost:
        return Check("yes", claim, "No unreadable, missing or contradictory file.")
    parts = words.listed([f"{n:,} {name}" for name, n in lost.items()])
    return Check("careful", claim, f"Left out: {parts}. The reasons are listed below.")
