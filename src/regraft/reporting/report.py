"""`build_report`: a run read back from its folder in, the text of one HTML file out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.evaluation import TEST, Evaluation
from regraft.reporting import words
from regraft.reporting.checks import trust_checks
from regraft.reporting.findings import find_out
from regraft.reporting.gallery import choose_photos
from regraft.reporting.guidance import what_transfer_bought, why_this_approach
from regraft.reporting.more_photos import would_more_photos_help
from regraft.reporting.provenance import moment, what_was_run, what_was_tried
from regraft.reporting.scores import details, headline, headline_first, hero, metrics
from regraft.reporting.training import how_training_went
from regraft.runs import Run

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Card:
    """One key number at the top of the page."""

    title: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """The top of the page: what it is about, the verdict in words, key numbers."""

    title: str
    verdict: str
    verdict_range: str
    context: tuple[str, ...]
    when: str
    version: str
    cards: tuple[Card, ...]


def build_report(run: Run) -> str:
    """The report of a run as the text of one HTML file.

    It opens offline, asks for nothing from elsewhere and runs no script. Photos that are gone
    or unreadable by now are shown as such; that never fails.

    >>> from regraft.runs import read_run
    >>> html = build_report(read_run("runs/rooms"))  # doctest: +SKIP
    """
    gallery = choose_photos(run)
    evaluations = headline_first(run.evaluations)
    text = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            header=_header(run),
            checks=trust_checks(run),
            hero=hero(evaluations),
            metrics=metrics(evaluations),
            methods=_methods(evaluations),
            details=[details(evaluation) for evaluation in evaluations],
            gallery=gallery,
            findings=find_out(run),
            guidance=why_this_approach(run),
            tried=what_was_tried(run),
            transfer=what_transfer_bought(run),
            trained=how_training_went(run),
            more_photos=would_more_photos_help(run),
            provenance=what_was_run(run),
        )
    )
    # File names that are not valid Unicode reach Python as lone surrogates, which no file holds.
    return text.encode("utf-8", "replace").decode("utf-8")


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = words.counted
    environment.filters["number"] = words.number
    return environment


def _header(run: Run) -> Header:
    about = run.about
    best = headline(run.evaluations)
    return Header(
        title=run.data.root.name or str(run.data.root),
        verdict=_verdict(best),
        verdict_range=words.percent_between(best.accuracy.low, best.accuracy.high) if best else "",
        context=tuple(_context(run.evaluations, best)),
        when=moment(about.get("finished") or about.get("started")),
        version=str(about.get("regraft") or ""),
        cards=_cards(run, best),
    )


def _verdict(best: Evaluation | None) -> str:
    if best is None:
        return "This run holds no evaluation."
    return f"Right on {words.percent(best.accuracy.value)} of photos it had not seen"


def _context(evaluations: Sequence[Evaluation], best: Evaluation | None) -> list[str]:
    """What the verdict is to be held against: the other estimate, and guessing."""
    if best is None:
        return []
    said = [f"Measured on {words.unseen_photos(best.on, best.n)}."]
    for other in evaluations:
        if other is not best:
            a = other.accuracy
            where = words.unseen_photos(other.on, other.n)
            few = ", too few to settle it" if other.on == TEST else ""
            said.append(
                f"On {where}{few}: {words.percent(a.value)} "
                f"({words.percent_between(a.low, a.high)})."
            )
    frequent = max(best.per_class, key=lambda name: best.per_class[name].n, default="")
    ahead = "" if best.accuracy.low > best.majority_share else ": not clearly less"
    said.append(
        f"Always answering {words.quoted(frequent)} would be right on "
        f"{words.percent(best.majority_share)}{ahead}."
    )
    return said


def _cards(run: Run, best: Evaluation | None) -> tuple[Card, ...]:
    data = run.data
    cards = []
    if best is not None:
        b = best.balanced_accuracy
        mean = ", on average" if len(best.accuracy_by_repeat) > 1 else ""
        wrong = round((1 - best.accuracy.value) * best.n)
        cards += [
            Card("Balanced accuracy", words.percent(b.value), words.estimate_range(b)),
            Card("Wrong on", words.number(wrong), f"of {words.counted(best.n, 'photo')}{mean}"),
        ]
    split = f"{len(data.train):,} training, {len(data.test):,} test"
    cards += [
        Card("Photos", f"{len(data.ok):,}", split if data.test else "all for training"),
        Card("Classes", f"{len(data.classes):,}", _class_names(data.classes)),
    ]
    left_out = len(data.rows) - len(data.ok) - len(data.unlabelled)
    if left_out:
        cards.append(Card("Files not used", f"{left_out:,}", "listed with their reasons"))
    total = run.about.get("seconds_total")
    if total:
        cards.append(Card("Time", words.seconds(float(total)), "from folder to report"))
    return tuple(cards)


def _class_names(classes: Sequence[str]) -> str:
    names = ", ".join(classes[:3])
    return f"{names}, \N{HORIZONTAL ELLIPSIS}" if len(classes) > 3 else names


def _methods(evaluations: Sequence[Evaluation]) -> str:
    """How the intervals came about, for the caption of the metrics."""
    found = (
        {e.accuracy.method for e in evaluations},
        {e.balanced_accuracy.method for e in evaluations},
    )
    first, rest = (words.listed(sorted(group)) for group in found)
    return f"{first.replace('wilson', 'Wilson')} for the accuracy, {rest} for the rest"
