"""`build_report`: a run read back from its folder in, the text of one HTML file out."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.demo import title_of
from regraft.evidence.evaluation import TEST, Evaluation
from regraft.reporting import words
from regraft.reporting.checks import trust_checks
from regraft.reporting.data_report import SCRIPT, about_data
from regraft.reporting.guidance import (
    what_depths_tell,
    what_transfer_bought,
    why_this_approach,
)
from regraft.reporting.more_photos import would_more_photos_help
from regraft.reporting.pages import Card, Header, data_cards, left_out_cards, render
from regraft.reporting.provenance import moment, what_was_run, what_was_tried
from regraft.reporting.reviewed import what_the_review_changed
from regraft.reporting.scores import details, headline_first, headline_of, hero, metrics
from regraft.reporting.series import what_chance_makes, why_splits_leak
from regraft.reporting.training import how_training_went
from regraft.reporting.words import speaking_of, thing, things
from regraft.runs import Run
from regraft.runs.pairing import predictions_on


def build_report(run: Run) -> str:
    """The report of a run as the text of one HTML file.

    It opens offline, asks for nothing from elsewhere, and the only script that may run is its
    own. Photos that are gone or unreadable by now are shown as such; that never fails.

    >>> from regraft.runs import read_run
    >>> html = build_report(read_run("runs/rooms"))  # doctest: +SKIP
    """
    with speaking_of(run.data.modality):
        return _built(run)


def _built(run: Run) -> str:
    evaluations = headline_first(run)
    return render(
        "report.html.jinja",
        header=_header(run),
        checks=trust_checks(run),
        hero=hero(evaluations),
        metrics=metrics(evaluations),
        methods=_methods(evaluations),
        details=[details(evaluation) for evaluation in evaluations],
        guidance=why_this_approach(run),
        tried=what_was_tried(run),
        by_depth=what_depths_tell(run),
        transfer=what_transfer_bought(run),
        trained=how_training_went(run),
        more_photos=would_more_photos_help(run),
        provenance=what_was_run(run),
        reviewed=what_the_review_changed(run),
        script=SCRIPT if run.exploration else "",
        predictor="the model",
        run_files=True,
        **about_data(run),
    )


def _header(run: Run) -> Header:
    about = run.about
    best = headline_of(run)
    return Header(
        title=about.title or title_of(run.data.root),
        verdict=_verdict(best),
        verdict_range=words.percent_between(best.accuracy.low, best.accuracy.high) if best else "",
        context=tuple(_context(run, best)),
        when=moment(about.finished or about.started),
        version=about.regraft,
        cards=_cards(run, best),
    )


def _verdict(best: Evaluation | None) -> str:
    if best is None:
        return "This run holds no evaluation."
    right = f"Right on {words.percent(best.accuracy.value)} of {things()}"
    if best.overlap.flattering:
        return f"{right}, {best.overlap.flattering:,} of them known to its backbone"
    return f"{right} it had not seen"


def _context(run: Run, best: Evaluation | None) -> list[str]:
    """What the verdict is to be held against: folds by chance, the other estimate, guessing."""
    if best is None:
        return []
    said = [f"Measured on {words.measured_on(best)}."]
    series = run.about.audit.series
    said += filter(None, [what_chance_makes(series), why_splits_leak(series)])
    for other in run.evaluations:
        if other is not best:
            a = other.accuracy
            where = words.measured_on(other)
            few = ", too few to settle it" if other.on == TEST else ""
            if other.on == TEST and not run.test_is_independent:
                few = ", of which training holds a part"
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
        cards.append(Card("Balanced accuracy", words.percent(b.value), words.estimate_range(b)))
        predicted = predictions_on(run, best.on).values()
        if predicted:
            wrong = sum(p.predicted != p.label for p in predicted)
            repeats = len(best.accuracy_by_repeat)
            first = f", in the first of {repeats} repeats" if repeats > 1 else ""
            of = f"of {words.counted(len(predicted), thing())}{first}"
            cards.append(Card("Wrong on", words.number(wrong), of))
    split = f"{len(data.train):,} training, {len(data.test):,} test"
    cards += data_cards(data, split=split if data.test else "all for training")
    cards += left_out_cards(data)
    if total := run.about.seconds_total:
        cards.append(Card("Time", words.seconds(total), "from folder to report"))
    return tuple(cards)


def _methods(evaluations: Sequence[Evaluation]) -> str:
    """How the intervals came about, for the caption of the metrics."""
    found = (
        {e.accuracy.method for e in evaluations},
        {e.balanced_accuracy.method for e in evaluations},
    )
    first, rest = (words.listed(sorted(group)) for group in found)
    return f"{first.replace('wilson', 'Wilson')} for the accuracy, {rest} for the rest"
