"""What an audit found, what it does to the accuracy, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from regraft.commands.drawing.figures import share
from regraft.commands.drawing.issues import show_doubts, show_issues, show_order
from regraft.commands.drawing.lines import escaped, print_line, show_next
from regraft.inspection.auditing import Audit, Effect
from regraft.inspection.issues import Shortcuts, doubts_of
from regraft.kinds import kind_named, thing, things
from regraft.kinds.examiner import CONTENT, INCIDENTAL


def show_audit(console: Console, audit: Audit, *, every_issue: str, next_command: str) -> None:
    """What an audit found; `every_issue` is the command that lists all of it."""
    data, findings = audit.data, audit.findings
    of = things(data.modality)
    console.print()
    count = f"{len(data.ok):,} {of if len(data.ok) != 1 else thing(data.modality)}"
    console.print(f"[bold]{count}[/bold] of {len(data.classes):,} classes looked at")
    if audit.accuracy is not None:
        console.print(f"a linear probe is right on {share(audit.accuracy)} of {of} it had not seen")
    show_order(console, audit.by_order, data.modality)
    left = show_issues(console, findings.issues)
    show_doubts(console, doubts_of(findings, data.classes), data)
    if not findings.issues:
        console.print("[green]nothing found that needs a look[/green]")
    if findings.shortcuts is not None:
        _show_shortcuts(console, findings.shortcuts, data.modality)
    if audit.effects:
        _show_effects(console, audit.effects, of)
    if left:
        print_line(console, f"[dim]all of them: {escaped(every_issue)}[/dim]")
    console.print()
    show_next(console, next_command)


def _show_shortcuts(console: Console, shortcuts: Shortcuts, modality: str) -> None:
    console.print("[bold]could a model cheat?[/bold]")
    clues = kind_named(modality).examiner().clues_of_kind
    for kind, estimate in ((INCIDENTAL, shortcuts.incidental), (CONTENT, shortcuts.content)):
        if estimate is not None:
            is_better = estimate.value > shortcuts.guess
            accuracy = share(estimate) if is_better else "no more than guessing"
            guess = f"(guessing: {100 * shortcuts.guess:.1f} %)"
            console.print(f"  {clues[kind]} together: {accuracy} {guess}")
    for culprit in shortcuts.culprits:
        is_alarm = culprit.name in shortcuts.alarms
        weight = "[yellow]alarm[/yellow]" if is_alarm else "[dim]for information[/dim]"
        console.print(f"  {escaped(culprit.name)} alone: {share(culprit.accuracy)} {weight}")


def _show_effects(console: Console, effects: Sequence[Effect], things: str) -> None:
    console.print("[bold]how much the accuracy depends on it[/bold]")
    for effect in effects:
        value, low, high = (
            100 * x for x in (effect.change.value, effect.change.low, effect.change.high)
        )
        name = effect.issue.replace("_", " ")
        console.print(
            f"  {name} ({effect.photos:,} {things}): {value:+.1f} points "
            f"[{low:+.1f}, {high:+.1f}] by {effect.how}",
            markup=False,
        )
