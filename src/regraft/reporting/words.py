"""Numbers and names in, text for people out: percentages, durations, plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from regraft.evidence.evaluation import TEST, Evaluation
from regraft.kinds import IMAGE, Kind, kind_named
from regraft.metrics.rates import Estimate
from regraft.wording import counted as counted
from regraft.wording import listed as listed

THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
_DASH = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"

ESTIMATES: Mapping[str, str] = {"test": "Test set", "cross-validation": "Cross-validation"}


ISSUE_WORDS: Mapping[str, tuple[str, str]] = {
    "unreadable": ("Unreadable", "cannot be decoded, or is not where the label table says"),
    "exact_duplicate": ("Exact copy", "the same file, byte for byte, is there twice"),
    "near_duplicate": ("Near copy", "almost the same {thing} is there twice"),
    "series": ("Series", "{things} one after another that are almost the same"),
    "leakage": ("Leakage", "a training {thing} gives this test {thing} away"),
    "label_suspect": ("Doubtful label", "the model says another class than the label"),
    "label_conflict": ("Two labels", "one and the same {thing} has two different labels"),
    "outlier": ("Outlier", "far from all others: it may not belong here"),
    "quality": ("Quality", "dark, blurred, blank or of an odd size"),
    "shortcut": ("Shortcut", "something other than the content gives the label away"),
    "class_balance": ("Class size", "few {things}, or far fewer than of another class"),
}

ISSUES_COUNTED: Mapping[str, tuple[str, str]] = {
    "unreadable": ("unreadable file", "unreadable files"),
    "exact_duplicate": ("exact copy", "exact copies"),
    "near_duplicate": ("near copy", "near copies"),
    "series": ("series", "series"),
    "leakage": ("leak into the test set", "leaks into the test set"),
    "label_suspect": ("doubtful label", "doubtful labels"),
    "label_conflict": ("{thing} with two labels", "{things} with two labels"),
    "outlier": ("outlier", "outliers"),
    "quality": ("{thing} of poor quality", "{things} of poor quality"),
    "shortcut": ("shortcut", "shortcuts"),
    "class_balance": ("small class", "small classes"),
}
"""Names of issues as they follow a number: one, several."""


_kind: ContextVar[str] = ContextVar("kind", default=IMAGE)


@contextmanager
def speaking_of(kind: str) -> Iterator[None]:
    """Within it, sentences and pages are about that kind of input, otherwise about photos."""
    token = _kind.set(kind)
    try:
        yield
    finally:
        _kind.reset(token)


def current_kind() -> Kind:
    """The kind of input that the page is about."""
    return kind_named(_kind.get())


def thing() -> str:
    """What one input is called: "photo"."""
    return current_kind().thing


def things() -> str:
    """What several are called: "photos"."""
    return current_kind().things


def series_example() -> str:
    """What is a series, "frames of a film" or "parts of a document"."""
    return current_kind().examiner().series_example


def issue_words(kind: str) -> tuple[str, str]:
    """Title and meaning of a kind of issue; of one that is unknown the kind itself and ""."""
    title, meaning = ISSUE_WORDS.get(kind, ("", ""))
    return title or kind, about_it(meaning)


def issues_counted(n: int, kind: str) -> str:
    """ "2 near copies"."""
    one, several = ISSUES_COUNTED.get(kind, ("", ""))
    return counted(n, about_it(one) or kind, about_it(several) or kind)


def about_it(template: str) -> str:
    """Text of the tables above, with what the page speaks of in the place of {thing}."""
    return template.format(thing=thing(), things=things())


def percent(share: float, *, sign: bool = False) -> str:
    """0.948 as "94.8 %"; "n/a" where there is no number."""
    if math.isnan(share):
        return "n/a"
    return f"{_signed(100 * share, 1, sign=sign)}{THIN_SPACE}%"


def percent_range(low: float, high: float) -> str:
    """0.907 and 0.971 as "90.7–97.1 %"."""
    if math.isnan(low) or math.isnan(high):
        return "n/a"
    if 0 < high < 0.0005:  # "0.0–0.0 %" would look like certainty
        return f"below 0.1{THIN_SPACE}%"
    return f"{100 * low:.1f}{_DASH}{100 * high:.1f}{THIN_SPACE}%"


def percent_between(low: float, high: float) -> str:
    """0.907 and 0.971 as "between 90.7 and 97.1 %"."""
    return f"between {100 * low:.1f} and {100 * high:.1f}{THIN_SPACE}%"


def points(difference: float) -> str:
    """A difference of shares in points: 0.012 as "+1.2", -0.004 as "−0.4"."""
    return _signed(100 * difference, 1, sign=True)


def estimate_value(estimate: Estimate, *, percentage: bool = True) -> str:
    """The value alone: "94.8 %" or "0.987"."""
    if percentage:
        return percent(estimate.value)
    return "n/a" if math.isnan(estimate.value) else f"{estimate.value:.3f}"


def estimate_range(estimate: Estimate, *, percentage: bool = True) -> str:
    """The interval alone: "90.7–97.1 %" or "0.961–0.995"; "" where there is none."""
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return ""
    if estimate.low == estimate.high:  # resampling a few photos that are all alike shows nothing
        return "no interval"
    if percentage:
        return percent_range(estimate.low, estimate.high)
    if 0 < estimate.high < 0.0005:
        return "below 0.001"
    return f"{estimate.low:.3f}{_DASH}{estimate.high:.3f}"


def estimate_name(on: str) -> str:
    """ "test" as "Test set"."""
    return ESTIMATES.get(on, on)


def measured_on(evaluation: Evaluation) -> str:
    """What an estimate was measured on: "the 20 photos of the test set"."""
    n, known = evaluation.n, evaluation.overlap.flattering
    of = f"the {counted(n, thing())} of the test set"
    if evaluation.on != TEST:
        of = counted(n, f"training {thing()}")
    if known:
        return f"{of}, {known:,} of which its backbone had been trained on before"
    return of if evaluation.on == TEST else f"{of}, each predicted by a model that had not seen it"


def seconds(duration_s: float) -> str:
    """A duration: "0.4 s", "12 s", "3 min 5 s", "1 h 12 min"."""
    if duration_s < 0.05:
        return f"under 0.1{THIN_SPACE}s"
    if duration_s < 9.95:
        return f"{duration_s:.1f}{THIN_SPACE}s"
    whole = round(duration_s)
    if whole < 60:
        return f"{whole}{THIN_SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{THIN_SPACE}min {whole % 60}{THIN_SPACE}s"
    return f"{whole // 3600}{THIN_SPACE}h {whole % 3600 // 60}{THIN_SPACE}min"


def number(count: float) -> str:
    """A count with thousands separated; one decimal where it is the mean over repeats."""
    if abs(count - round(count)) < 0.05:
        return f"{round(count):,}"
    return f"{count:,.1f}"


def sentence(text: str) -> str:
    """A text as a sentence: a capital in front, a full stop behind."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def quoted(name: str) -> str:
    """A class name in typographic quotes."""
    return f"\N{LEFT DOUBLE QUOTATION MARK}{name}\N{RIGHT DOUBLE QUOTATION MARK}"


def _signed(value: float, decimals: int, *, sign: bool) -> str:
    text = f"{abs(value):.{decimals}f}"
    is_zero = not any(digit in "123456789" for digit in text)
    if is_zero:
        return text
    if value < 0:
        return _MINUS + text
    return f"+{text}" if sign else text
