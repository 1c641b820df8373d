"""How good a model is on data that it has not seen: every metric, and every class."""

from __future__ import annotations

import math

from rich.console import Console

from regraft.commands.drawing.figures import headline, interval, rate
from regraft.commands.drawing.lines import MOST_CLASSES, escaped, print_columns, show_next
from regraft.evidence.evaluation import Evaluation
from regraft.kinds import thing, things
from regraft.metrics import METRICS
from regraft.training_contents import Overlap


def show_evaluation(
    console: Console, evaluation: Evaluation, *, modality: str, next_command: str
) -> None:
    """Every metric with its interval, and the classes."""
    of = things(modality)
    console.print()
    console.print(f"[bold]{headline(evaluation, of)}[/bold]")
    _show_metrics(console, evaluation)
    console.print()
    _show_classes(console, evaluation, of)
    console.print()
    show_next(console, next_command)


def _show_metrics(console: Console, evaluation: Evaluation) -> None:
    rows = []
    for name, estimate in evaluation.metrics.items():
        method = estimate.method
        if math.isnan(estimate.value):  # such as ROC AUC where all photos are of one class
            method = "cannot be told from these"
        rows.append((METRICS[name].label, rate(estimate.value), interval(estimate), method))
    print_columns(console, ("metric", "value", "95 % interval", "method"), rows)


def _show_classes(console: Console, evaluation: Evaluation, things: str) -> None:
    classes = list(evaluation.per_class.items())
    rows = [
        (
            escaped(name),
            f"{score.n:,}",
            *((rate(score.recall.value), interval(score.recall)) if score.n else ("-", "")),
            rate(score.precision) if score.n else "-",
            rate(score.f1) if score.n else "-",
        )
        for name, score in classes[:MOST_CLASSES]
    ]
    header = ("class", things, "recall", "95 % interval", "precision", "F1")
    print_columns(console, header, rows, right={things, "precision"})
    if len(classes) > MOST_CLASSES:
        console.print(f"[dim]and {len(classes) - MOST_CLASSES} more, see --format json[/dim]")


def show_overlap(prose: Console, overlap: Overlap, *, modality: str) -> None:
    """What was left out of a score because the model knew it, and what may flatter it."""
    if overlap.left_out:
        of = thing(modality) if overlap.left_out == 1 else things(modality)
        prose.print(
            f"[yellow]note:[/yellow] {overlap.left_out:,} {of} not scored: the model was trained "
            "on the same content, or chosen by it"
        )
    if not overlap.is_complete:
        prose.print(
            "[yellow]note:[/yellow] it is not fully recorded what this model was trained on (it is "
            "of an earlier version, or its backbone is from elsewhere): what is scored here and "
            "was among it flatters it"
        )
