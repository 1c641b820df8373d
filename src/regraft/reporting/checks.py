"""A run in, the answers to "can I trust it?" out: one line each, with its reason.

An answer is "yes", "careful" (true with a reservation, or not known) or "no". The thresholds
are rules of thumb; each line states the number it rests on, so that the reader can judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from regraft.evidence.evaluation import CROSS_VALIDATION, TEST, Evaluation
from regraft.evidence.explaining import tested
from regraft.inspection.issues import about_doubts, confident_doubts
from regraft.metrics.differences import standing, unpaired_difference
from regraft.metrics.rates import wilson_interval
from regraft.reporting import words
from regraft.reporting.answers import Answer, Check
from regraft.reporting.class_check import every_class
from regraft.reporting.findings import label_doubts
from regraft.reporting.scores import headline_of
from regraft.reporting.series import what_chance_makes, why_splits_leak
from regraft.reporting.shortcut_checks import no_plain_fact, no_shortcut
from regraft.reporting.words import thing, things
from regraft.runs import Run

_WIDE = 0.10  # of the accuracy's interval, and of that of a difference that is to tell something
_MISCALIBRATED = 0.05
_SURE, _SLIGHTLY = 0.9, 0.01  # confidence that the claim is about, and a gap that does not matter


def trust_checks(run: Run) -> tuple[Check, ...]:
    """The checks in the order in which a careful colleague would ask."""
    best = headline_of(run)
    if best is None:
        return (Check("no", "It has been measured", "No evaluation is stored in this run."),)
    return tuple(_checks(run, best))


def _checks(run: Run, best: Evaluation) -> Iterator[Check]:
    yield _measured_on_unseen(run, best)
    yield _unless_flattered(_better_than_guessing(best), best)
    yield _sharp(best)
    by_name = {evaluation.on: evaluation for evaluation in run.evaluations}
    if TEST in by_name and CROSS_VALIDATION in by_name:
        yield _agree(by_name[TEST], by_name[CROSS_VALIDATION])
    yield _unless_flattered(_no_leak(run), best)
    yield from no_shortcut(run)
    yield from no_plain_fact(run)
    yield _unless_flattered(every_class(run, best), best)
    yield from (_unless_flattered(check, best) for check in _labels(run))
    yield _unless_flattered(_calibrated(best), best)
    yield _complete(run)


def _unless_flattered(check: Check, best: Evaluation) -> Check:
    """The check without a tick where that rests on predictions of photos that the backbone knew."""
    if check.answer != "yes" or not best.overlap.flattering:
        return check
    return replace(check, answer="careful", reason=f"{check.reason} See above: it is flattered.")


def _measured_on_unseen(run: Run, best: Evaluation) -> Check:
    claim = f"Measured only on {things()} it had not been trained on"
    name = run.about.backbone.name or "the backbone"
    reading = " ".join(run.about.reading)
    reason = reading or f"Every number here comes from {things()} left out of the training."
    known = [e for e in run.evaluations if e.overlap.flattering]
    if known:
        which = words.listed(
            [f"{e.overlap.flattering:,} of the {words.number(e.n)}" for e in known]
        )
        flattered = (
            f"{name} had been trained on {which} {things()} of "
            f"{words.listed([words.estimate_name(e.on).lower() for e in known])} before, labels "
            "included, which flatters that estimate. "
        )
        return Check("no" if best in known else "careful", claim, flattered + reason)
    if not best.overlap.is_complete:
        return Check(
            "careful",
            claim,
            f"{reason} What {name} was trained on before is not recorded: if these {things()} were "
            "among it, the numbers are flattered.",
        )
    source = run.about.backbone.pretrained_on
    if source and source != "nothing":
        reason += f" Whether what {name} was pretrained on ({source}) holds any is not known."
    return Check("yes", claim, reason)


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
    claim = "Test set and cross-validation agree"
    a, b = test.accuracy, other.accuracy
    gap = unpaired_difference(a, b)
    reason = (
        f"{words.percent(a.value)} ({words.percent_range(a.low, a.high)}) on the test set, "
        f"{words.percent(b.value)} ({words.percent_range(b.low, b.high)}) in cross-validation."
    )
    if standing(gap) != "level":
        reason += (
            f" The {things()} of the test set may be of another kind than the training {things()}."
        )
        return Check("careful", claim, reason)
    if gap.high - gap.low > 2 * _WIDE:
        few = f" With {words.counted(test.n, thing())} in the test set, larger differences would"
        return Check("careful", claim, f"{reason}{few} not show.")
    return Check("yes", claim, reason)


def _no_leak(run: Run) -> Check:
    leaks = [issue for issue in run.issues if issue.issue == "leakage"]
    claim = f"No {thing()} it was tested on was known from training"
    if not leaks:
        return _kept_together(run, claim)
    trained_on = {row.path for row in run.data.train}
    told = [leak for leak in leaks if leak.other in trained_on]
    which = words.counted(len(told or leaks), f"test {thing()} has", f"test {things()} have")
    reason = f"{which} a copy, or a member of the same group or series, among the training "
    if told:
        return Check("careful", claim, f"{reason}{things()}: see the issues below.")
    check = _kept_together(run, claim)
    return replace(check, reason=f"{reason}files; those were left out. {check.reason}")


def _kept_together(run: Run, claim: str) -> Check:
    """Whether all that could leak was looked for, and stays on one side of every split."""
    audit = run.about.audit
    not_looked_for = []
    if not audit.near_copies:
        not_looked_for.append("near copies")
    if audit.series is None:
        not_looked_for.append(f"series of {things()} such as {words.series_example()}")
    if not_looked_for:
        reason = (
            "Exact copies and named groups stay on one side of every split; "
            f"{words.listed(not_looked_for)} were not looked for."
        )
        return Check("careful", claim, reason)
    if audit.series is not None and (leak := why_splits_leak(audit.series)):
        return Check("no" if audit.series.cut else "careful", claim, leak)
    kept = "Exact copies, near copies, series and named groups stay on one side of every split."
    return Check("yes", claim, f"{kept} {what_chance_makes(audit.series)}".strip())


def _labels(run: Run) -> Iterator[Check]:
    """Nothing for a run without predictions, whose labels were held against none."""
    if not tested(run.predictions):
        return
    claim = "No label is clearly contradicted by the model"
    doubts = label_doubts(run)
    about = about_doubts(doubts, things(), n_classes=len(run.data.classes))
    if confident_doubts(doubts):
        yield Check("careful", claim, about)
        return
    listed = words.counted(len(doubts), "doubtful label is", "doubtful labels are")
    reason = f"Of no {thing()} is it at least 90{words.THIN_SPACE}% sure that it is another class."
    yield Check("yes", claim, f"{reason} {listed} listed. {about}" if doubts else reason)


def _calibrated(best: Evaluation) -> Check:
    claim = "When it says 90\N{NARROW NO-BREAK SPACE}%, it means it"
    error = best.ece
    reason = (
        f"Its confidence is {words.percent(error.value)} off on average "
        f"({words.estimate_range(error)})."
    )
    top = next((b for b in best.reliability if b.low <= _SURE < b.high), None)
    if top is None:
        return Check("careful", claim, f"{reason} It was never so sure, so that is not known.")
    low, high = wilson_interval(top.accuracy, max(1.0, top.n / len(best.accuracy_by_repeat)))
    holds = low <= top.confidence <= high or abs(top.confidence - top.accuracy) <= _SLIGHTLY
    if not holds:
        reason += (
            f" Where it is at least 90\N{NARROW NO-BREAK SPACE}% sure, on average "
            f"{words.percent(top.confidence)}, it is right on {words.percent(top.accuracy)} "
            f"({words.percent_range(low, high)})."
        )
    is_calibrated = holds and error.value <= _MISCALIBRATED
    return Check("yes" if is_calibrated else "careful", claim, reason)


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
