"""A run in, what was in the data out: class balance, files left out, issues, sizes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from regraft.dataset import STATUSES, Row
from regraft.inspection.issues import Doubt, Issue, about_doubts
from regraft.kinds import kind_named
from regraft.reporting import words
from regraft.reporting.sizes import sizes_of
from regraft.reporting.thumbnails import Thumbnail, make_thumbnails
from regraft.reporting.words import things
from regraft.runs import Run

_BARS_SHOWN = 40
_LARGEST_SHOWN, _SMALLEST_SHOWN = 20, 10
_EXAMPLES_SHOWN = 12
_WITH_PHOTOS = frozenset(
    ("near_duplicate", "series", "leakage", "label_suspect", "label_conflict", "outlier", "quality")
)
_PICTURED = 8  # of each of these kinds
_PHOTO_PX = 168  # longer side


@dataclass(frozen=True, slots=True)
class ClassBar:
    """Photos of one class; `_share` are the lengths of the bar's parts in percent."""

    name: str
    train: int
    test: int
    train_share: float
    test_share: float


@dataclass(frozen=True, slots=True)
class Example:
    """One file and what is to be said of it."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Pictured:
    """What one issue looks like: its photo and that of its twin, if any, with their paths."""

    photos: tuple[tuple[Thumbnail, str], ...]
    detail: str


@dataclass(frozen=True, slots=True)
class Listed:
    """Files of one status, or issues of one kind; `examples` are the first few.

    `about` is what can be said of all of them together.
    """

    title: str
    meaning: str
    n: int
    examples: tuple[Example, ...]
    pictures: tuple[Pictured, ...] = ()
    about: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was in the data."""

    bars: tuple[ClassBar, ...]
    n_left_out: int
    has_test: bool
    balance: str
    statuses: tuple[Listed, ...]
    issues: tuple[Listed, ...]
    n_files: int
    sizes: tuple[tuple[str, str], ...]
    layout: str
    notes: tuple[str, ...]


def find_out(run: Run) -> Findings:
    """Everything the page says about the data."""
    bars, left_out = _bars(run)
    return Findings(
        bars=bars,
        n_left_out=left_out,
        has_test=bool(run.data.test),
        balance=_balance(run),
        statuses=_statuses(run),
        issues=_issues(run),
        n_files=len(run.data.rows),
        sizes=_sizes(run),
        layout=words.sentence(run.data.layout or run.about.layout),
        notes=run.data.notes or run.about.notes,
    )


def _bars(run: Run) -> tuple[tuple[ClassBar, ...], int]:
    """The bars by falling length, and how many classes in the middle are not shown."""
    train = Counter(row.label for row in run.data.train)
    test = Counter(row.label for row in run.data.test)
    total = {name: train[name] + test[name] for name in run.data.classes}
    longest = max(total.values(), default=1)
    order = sorted(total, key=lambda name: (-total[name], name))
    shown = order
    if len(order) > _BARS_SHOWN:
        shown = order[:_LARGEST_SHOWN] + order[-_SMALLEST_SHOWN:]
    bars = tuple(
        ClassBar(
            name=name,
            train=train[name],
            test=test[name],
            train_share=round(100 * train[name] / longest, 2),
            test_share=round(100 * test[name] / longest, 2),
        )
        for name in shown
    )
    return bars, len(order) - len(shown)


def _balance(run: Run) -> str:
    total = Counter(row.label for row in run.data.ok)
    if len(total) < 2:
        return ""
    (most, n_most), (least, n_least) = total.most_common()[0], total.most_common()[-1]
    if n_most == n_least:
        which = "Both" if len(total) == 2 else f"All {len(total):,}"
        return f"{which} classes have the same number of {things()}, {n_most:,}."
    ratio = n_most / n_least
    times = f"{ratio:.1f}".removesuffix(".0")
    if ratio < 1.5:
        return (
            f"The classes are of similar size: {n_least:,} {things()} of {words.quoted(least)} to "
            f"{n_most:,} of {words.quoted(most)}."
        )
    return (
        f"The classes are uneven: {words.quoted(most)} has {n_most:,} {things()}, "
        f"{times} times as many as {words.quoted(least)} with {n_least:,}."
    )


def _statuses(run: Run) -> tuple[Listed, ...]:
    by_status: dict[str, list[Row]] = defaultdict(list)
    for row in run.data.rows:
        by_status[row.status].append(row)
    return tuple(
        Listed(
            title=status,
            meaning=meaning,
            n=len(by_status[status]),
            examples=tuple(
                Example(row.path, row.reason) for row in by_status[status][:_EXAMPLES_SHOWN]
            )
            if status != "ok"
            else (),
        )
        for status, meaning in STATUSES.items()
        if by_status[status]
    )


def _issues(run: Run) -> tuple[Listed, ...]:
    by_kind: dict[str, list[Issue]] = defaultdict(list)
    for issue in run.issues:
        by_kind[issue.issue].append(issue)
    pictured = {
        kind: issues[:_PICTURED] for kind, issues in by_kind.items() if kind in _WITH_PHOTOS
    }
    pictures = _pictures(run, [issue for issues in pictured.values() for issue in issues])
    listed = []
    for kind, issues in by_kind.items():
        title, meaning = words.issue_words(kind)
        if kind == "quality":
            faults = list(kind_named(run.data.modality).examiner().faults.values())
            meaning = f"{', '.join(faults[:-1])} or {faults[-1]}"
        examples = tuple(
            Example("" if i.path == "." else i.path, i.detail) for i in issues[:_EXAMPLES_SHOWN]
        )
        photos = tuple(pictures[issue] for issue in pictured.get(kind, ()))
        about = ""
        if kind == "label_suspect":
            n_classes = len(run.data.classes)
            about = about_doubts(label_doubts(run), things(), n_classes=n_classes)
        listed.append(Listed(title, meaning, len(issues), examples, photos, about))
    return tuple(listed)


def label_doubts(run: Run) -> list[Doubt]:
    """The label suspects of a run, worst first, with what the model says of them."""
    said = {p.path: p for p in run.predictions}
    found = [said[i.path] for i in run.issues if i.issue == "label_suspect" and i.path in said]
    return [Doubt(p.label, p.predicted, p.confidence) for p in found]


def _pictures(run: Run, issues: Sequence[Issue]) -> dict[Issue, Pictured]:
    """The photo of each issue, with the other one where there is one."""
    files = {row.path for row in run.data.rows}
    paths = list(dict.fromkeys(p for i in issues for p in (i.path, i.other) if p in files))
    photos = make_thumbnails(
        [(run.data.locate(path), _PHOTO_PX) for path in paths], run.data.modality
    )
    made = dict(zip(paths, photos, strict=True))
    return {
        issue: Pictured(
            tuple((made[p], p) for p in (issue.path, issue.other) if p in made), issue.detail
        )
        for issue in issues
    }


def _sizes(run: Run) -> tuple[tuple[str, str], ...]:
    """Pairs of a term and what is said of it; () if no size is known."""
    rows = [row for row in (*run.data.ok, *run.data.unlabelled) if row.width and row.height]
    more = run.exploration.summary if run.exploration else ()
    return (*sizes_of(run, rows), *more) if rows else ()
