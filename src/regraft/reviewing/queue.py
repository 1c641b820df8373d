"""Which photos of a run deserve a look, worst first, each once with every reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from regraft.dataset import natural_key
from regraft.evidence.explaining import tested
from regraft.inspection.issues import Issue
from regraft.reporting import words
from regraft.runs import ImagePrediction, Run
from regraft.runs.decisions import Key

CONFIDENT = 0.5
"""An error counts as confident if it was held for likelier than all other classes together."""

KINDS: Mapping[str, str] = {
    "error": "Confident error",
    **{
        kind: words.ISSUE_WORDS[kind][0]
        for kind in ("label_suspect", "label_conflict", "near_duplicate", "outlier", "quality")
    },
    "decided": "Decided before",
}
"""Kinds of reason and their titles, in the order in which the page lists them."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why to look at a photo.

    Attributes:
        kind: one of `KINDS`.
        score: 0 to 1, higher is worse.
        text: in words.
        twin: number of the row in the dataset that it is to be compared with, if any.
    """

    kind: str
    score: float
    text: str
    twin: int | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """A photo to look at: the number of its row, the reasons worst first, its prediction."""

    row: int
    reasons: tuple[Reason, ...]
    prediction: ImagePrediction | None

    @property
    def score(self) -> float:
        """Of the worst reason, 0 to 1."""
        return self.reasons[0].score


def build_queue(run: Run, *, decided: Collection[Key] = ()) -> tuple[Queued, ...]:
    """The photos to look at by falling score.

    Args:
        run: a finished run.
        decided: photos that have a decision; they are in the queue whatever else is known of
            them, so that it can be seen and taken back.
    """
    number = {row.path: i for i, row in enumerate(run.data.rows)}
    predictions = {prediction.path: prediction for prediction in run.predictions}
    reasons: dict[int, list[Reason]] = defaultdict(list)
    for i, reason in (*_errors(run, number), *_issues(run, number)):
        reasons[i].append(reason)
    for i, row in enumerate(run.data.rows):
        if (row.path, row.sha256) in decided and i not in reasons:
            reasons[i].append(Reason("decided", 0.0, "decided on in an earlier review"))
    queue = [
        Queued(
            i,
            tuple(sorted(found, key=lambda reason: -reason.score)),
            predictions.get(run.data.rows[i].path),
        )
        for i, found in reasons.items()
        if run.data.rows[i].sha256  # without content there is nothing to decide on
    ]
    return tuple(
        sorted(queue, key=lambda one: (-one.score, natural_key(run.data.rows[one.row].path)))
    )


def _errors(run: Run, number: Mapping[str, int]) -> Iterator[tuple[int, Reason]]:
    """Photos that a model which had not seen them surely took for another class."""
    for p in tested(run.predictions):
        if p.path in number and p.predicted != p.label and p.confidence >= CONFIDENT:
            text = f"predicted as {p.predicted} with {words.percent(p.confidence)} confidence"
            yield number[p.path], Reason("error", p.confidence, text)


def _issues(run: Run, number: Mapping[str, int]) -> Iterator[tuple[int, Reason]]:
    rows = run.data.rows
    by_content: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        by_content[row.sha256].append(i)
    for issue in run.issues:
        if issue.path not in number or issue.issue not in KINDS:
            continue
        i = number[issue.path]
        if issue.issue == "near_duplicate":
            yield from _differing_copies(run, issue, number)
        elif issue.issue == "label_conflict":
            copies = (k for k in by_content[rows[i].sha256] if rows[k].label)
            twin = next((k for k in copies if rows[k].label != rows[i].label), None)
            yield i, Reason(issue.issue, issue.score, issue.detail, twin)
        else:
            yield i, Reason(issue.issue, issue.score, issue.detail)


def _differing_copies(
    run: Run, issue: Issue, number: Mapping[str, int]
) -> Iterator[tuple[int, Reason]]:
    """Both photos of one picture that has two labels: either may be the wrong one."""
    twin = number.get(issue.other)
    if twin is None or run.data.rows[twin].label == run.data.rows[number[issue.path]].label:
        return
    for one, other in ((number[issue.path], twin), (twin, number[issue.path])):
        row = run.data.rows[other]
        text = f"almost the same photo as {row.path}, which is labelled {row.label}"
        yield one, Reason(issue.issue, issue.score, text, other)
