"""A run in, whether any class is left behind out.

The weakest class is held against the others by the interval of the difference, as the smallest of
all classes is chosen on sight; and against a share of the balanced accuracy, whatever the interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from regraft.evidence.evaluation import ClassScore, Evaluation
from regraft.metrics.differences import standing, unpaired_difference, weighted_mean
from regraft.metrics.rates import Estimate, FloatArray, wilson_interval
from regraft.reporting import words
from regraft.reporting.answers import Answer, Check
from regraft.reporting.words import thing, things
from regraft.runs import Run

_LOW_RECALL = 0.5
_SMALL_CLASS = 20
# Of the balanced accuracy: a class that is recognised less often than this share of what classes
# are on average is behind the others, however few photos it has.
_BEHIND = 0.9


def every_class(run: Run, best: Evaluation) -> Check:
    claim = "No class is left behind"
    scores = {name: score for name, score in best.per_class.items() if score.n}
    if not scores:
        return Check("careful", claim, f"No class has a {thing()} to judge by.")
    weakest = min(scores, key=lambda name: (scores[name].recall.value, scores[name].recall.low))
    recall, others = scores[weakest].recall, _recall_of_others(scores, weakest)
    target = _BEHIND * best.balanced_accuracy.value
    gap = None if others is None else unpaired_difference(recall, others, comparisons=len(scores))
    is_behind = recall.value < target or (gap is not None and standing(gap) == "behind")
    rest = "the other" if len(scores) == 2 else "the others"
    against = f", against {words.percent(others.value)} of {rest}" if others else ""
    said = [
        f"The weakest is {words.quoted(weakest)}: {words.percent(recall.value)} of its {things()} "
        f"are recognised ({words.percent_range(recall.low, recall.high)}){against}"
        f"{_taken_for(best, weakest) if is_behind else ''}."
    ]
    doubtful = [name for name in best.classes if _is_named_wrongly(best, name, target)]
    if doubtful:
        worst = min(doubtful, key=lambda name: best.per_class[name].precision)
        precision = words.percent(best.per_class[worst].precision)
        said.append(f"When it says {words.quoted(worst)}, it is right on {precision} only.")
    hardly_judged = _hardly_judged(run, best)
    answer: Answer = "careful" if is_behind or doubtful or hardly_judged else "yes"
    said += hardly_judged
    return Check("no" if recall.value < _LOW_RECALL else answer, claim, " ".join(said))


def _hardly_judged(run: Run, best: Evaluation) -> list[str]:
    """Classes of which little or nothing is known, in a sentence for each reason."""
    counts = {name: score.n for name, score in best.per_class.items() if score.n}
    excluded = {r.label for r in run.data.rows if r.status == "excluded" and r.label}
    small = [name for name, n in counts.items() if n < _SMALL_CLASS]
    unjudged = [name for name in best.classes if name not in counts]
    dropped = sorted(excluded - set(run.data.classes))
    return [
        f"{start}: {words.listed(_first_few(names))}."
        for start, names in (
            (f"Judged by fewer than {_SMALL_CLASS} {things()}", small),
            (f"Not judged, for want of a {thing()} to test on", unjudged),
            (f"Not known to the model, because its {things()} were left out", dropped),
        )
        if names
    ]


def _is_named_wrongly(best: Evaluation, name: str, target: float) -> bool:
    """Whether a class is clearly less often right when it is named than classes are recognised."""
    named = float(best.confusion[:, best.classes.index(name)].sum())
    precision = best.per_class[name].precision
    if not named or precision >= target:
        return False
    confidence = 1 - 0.05 / len(best.classes)  # any of them may be lower by chance
    _, high = wilson_interval(precision, named, confidence=confidence)
    return high < best.balanced_accuracy.value


def _recall_of_others(scores: Mapping[str, ClassScore], weakest: str) -> Estimate | None:
    """The recall of all other classes together; None where there is no other."""
    others = [score for name, score in scores.items() if name != weakest]
    if not others:
        return None
    return weighted_mean([score.recall for score in others], [score.n for score in others])


def _taken_for(best: Evaluation, name: str) -> str:
    """What a class is most often taken for: "; 42 of 100 are taken for “nominal”"."""
    row = np.array(best.confusion[best.classes.index(name)])
    total = row.sum()
    row[best.classes.index(name)] = 0
    if not row.any() or not _is_whole(row):
        return ""
    taken = f"{row.max():,.0f} of {total:,.0f} are taken for "
    return f"; {taken}{words.quoted(best.classes[int(row.argmax())])}"


def _is_whole(counts: FloatArray) -> bool:
    """Whether these are counts; earlier versions kept means over repeats."""
    return bool((counts == np.round(counts)).all())


def _first_few(names: Sequence[str], most: int = 3) -> list[str]:
    shown = [words.quoted(name) for name in names[:most]]
    return [*shown, f"{len(names) - most:,} more"] if len(names) > most else shown
