"""What a fit would try: size, similarity, advice, and the candidates with their predicted times."""

from __future__ import annotations

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from regraft.commands.drawing.figures import duration
from regraft.commands.drawing.lines import escaped, show_next
from regraft.kinds import things
from regraft.racing.similarity import SPLIT_WORDS, Similarity
from regraft.workflow import Plan, PlannedCandidate


def show_plan(console: Console, plan: Plan, *, next_command: str) -> None:
    """Size, similarity, advice and the candidates with their predicted times."""
    console.print()
    if plan.advice is not None:
        console.print(f"[bold]{plan.advice.quadrant.capitalize()}[/bold]")
    console.print(
        f"{plan.size.images:,} training {things(plan.modality)} of {plan.size.classes} classes, "
        f"the smallest with {plan.size.smallest_class:,}: {plan.size.word}."
    )
    if plan.similarity is not None:
        _show_similarity(console, plan.similarity)
    if plan.advice is not None:
        console.print()
        console.print(f"{escape(plan.advice.advice)} {escape(plan.advice.reason)}")
        console.print(f"[dim]{escape(plan.advice.source)}[/dim]")
    console.print()
    console.print(_table(plan.candidates))
    for candidate in plan.candidates:
        if candidate.reason:
            console.print(f"{escaped(candidate.title)}: {escaped(candidate.reason)}")
    console.print(
        "Predicted for this machine from a few timed steps; fit takes fewer epochs where the "
        "budget asks for it.",
        style="dim",
    )
    show_next(console, next_command)


def _show_similarity(console: Console, similarity: Similarity) -> None:
    if similarity.measure == SPLIT_WORDS:
        console.print(
            f"{100 * similarity.value:.1f} % of the words are not known to the network as one: "
            f"{similarity.word}."
        )
    elif not math.isnan(similarity.value):
        console.print(
            f"Distance to the pretraining data {similarity.value:.2f} (early layers "
            f"{similarity.early:.2f}, middle {similarity.middle:.2f}, late "
            f"{similarity.late:.2f}): {similarity.word}."
        )


def _table(candidates: tuple[PlannedCandidate, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("candidate")
    table.add_column("one fold", justify="right")
    table.add_column("final fit", justify="right")
    for candidate in candidates:
        if candidate.reason:  # printed below the table
            table.add_row(escaped(candidate.title), "", "")
            continue
        epochs = f", {candidate.epochs} epochs" if candidate.epochs else ""
        times = duration(candidate.seconds), duration(candidate.fit_seconds)
        table.add_row(escaped(candidate.title + epochs), *times)
    return table
