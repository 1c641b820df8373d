"""What a fit came to, in a screenful, ending with what to do next."""

from __future__ import annotations

import shlex

from rich.console import Console

from regraft.commands.drawing.figures import headline, interval, rate
from regraft.commands.drawing.issues import show_doubts, show_order, show_problems
from regraft.commands.drawing.lines import escaped, new_input, print_columns, print_line, show_next
from regraft.kinds import things
from regraft.metrics import METRICS
from regraft.reporting.findings import label_doubts
from regraft.reporting.reviewed import what_the_review_changed
from regraft.reporting.scores import headline_of
from regraft.reporting.words import THIN_SPACE
from regraft.runs import Run, settings_of
from regraft.storage.locations import seen_from_here


def show_run(console: Console, run: Run) -> None:
    """How good the model is and why it was chosen, what is wrong with the data, where all is."""
    console.print()
    _show_measured(console, run)
    console.print()
    _show_verdict(console, run)
    show_problems(console, run.data, run.issues, all_in=str(run.folder / "issues.csv"))
    show_doubts(console, label_doubts(run), run.data)
    console.print()
    print_line(console, f"report   {escaped(str(run.folder / 'report.html'))}")
    print_line(console, f"model    {escaped(str(run.folder / 'model'))}")
    console.print(f"[dim]{run.about.seconds_total:.1f} s in all[/dim]")
    promotion = run.about.promotion
    if promotion and promotion.promoted:
        replaced = seen_from_here(settings_of(run)["corrections"]["path"])
        print_line(console, f"back     regraft rollback {escaped(shlex.quote(replaced))}")
    new = new_input(run.data.modality)
    show_next(console, f"regraft predict {shlex.quote(str(run.folder))} {new}")


def _show_measured(console: Console, run: Run) -> None:
    of = things(run.data.modality)
    best_measured = headline_of(run)
    if best_measured is not None:
        console.print(f"[bold]{headline(best_measured, of)}[/bold]")
        show_order(console, run.about.audit.series, run.data.modality)
    others = {name: metric.label for name, metric in METRICS.items() if metric.in_summary}
    rows = [
        (
            evaluation.on,
            f"[bold]{rate(evaluation.accuracy.value)}[/bold] {interval(evaluation.accuracy)}",
            *(rate(evaluation.metrics[name].value) for name in others),
            f"{evaluation.n:,}",
        )
        for evaluation in run.evaluations
    ]
    right = (*others.values(), of)
    header = ("measured on", "accuracy [95 % interval]", *right)
    print_columns(console, header, rows, right=set(right))


def _show_verdict(console: Console, run: Run) -> None:
    console.print(escaped(run.comparison.verdict))
    reviewed = what_the_review_changed(run)
    for comparison in reviewed.compared if reviewed else ():
        console.print(escaped(comparison.sentence.replace(THIN_SPACE, " ")))
    for note in run.about.notes:
        console.print(f"[yellow]note:[/yellow] {escaped(note)}")
    promotion = run.about.promotion
    if promotion:
        console.print(f"[bold]{escaped(promotion.over)}: {escaped(promotion.reason)}[/bold]")
