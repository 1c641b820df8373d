"""Predictions, a line for each file, and what their flags mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console

from regraft.commands.drawing.lines import (
    MOST_ISSUES,
    escaped,
    first_few,
    print_columns,
    print_line,
    show_next,
)
from regraft.model import Prediction
from regraft.wording import counted

_FLAGS = {
    "unsure": "another class is possible too, or none fits well, so look at these yourself",
    "unfamiliar": "unlike what it was trained on, so do not rely on the class",
    "unreadable": "could not be predicted",
    "ignored": "not looked at",
}


def show_predictions(
    out: Console,
    prose: Console,
    predictions: Sequence[Prediction],
    *,
    texts: Mapping[str, str] | None = None,
    next_command: str,
) -> None:
    """A line for each file on `out`; what the flags mean and what to do next on `prose`.

    The file comes last, so that long paths leave the other columns aligned; of `texts`, by path,
    the beginning stands behind it. Files that are no inputs are told of on `prose`.
    """
    looked_at = [p for p in predictions if p.flag != "ignored"]
    _show_rows(out, looked_at, texts or {})
    counts = Counter(p.predicted for p in predictions if p.predicted)
    total = counted(len(looked_at), "text" if texts else "file")
    classes = first_few([f"{n:,} {name}" for name, n in counts.most_common()])
    prose.print()
    prose.print(escaped(f"{total}: {classes}" if classes else total))
    for flag, meaning in _FLAGS.items():
        flagged = sum(p.flag == flag for p in predictions)
        if flagged:
            prose.print(f"[yellow]{flagged:,} {flag}[/yellow]: {meaning}")
    ignored = [p for p in predictions if p.flag == "ignored"]
    for p in ignored[:MOST_ISSUES]:
        print_line(prose, f"  {escaped(p.path)}: {escaped(p.reason)}")
    if len(ignored) > MOST_ISSUES:
        prose.print(f"  [dim]and {len(ignored) - MOST_ISSUES:,} more, see --format csv[/dim]")
    show_next(prose, next_command)


def _show_rows(out: Console, predictions: Sequence[Prediction], texts: Mapping[str, str]) -> None:
    rows = [_cells(p, texts.get(p.path)) for p in predictions]
    header = ["predicted", "confidence", "flag", "prediction set", "file"]
    if not any(p.flag in ("unsure", "unfamiliar") for p in predictions):  # every set is one class
        header.remove("prediction set")
        rows = [cells[:3] + cells[4:] for cells in rows]
    print_columns(out, header, rows, right={"confidence"})


def _cells(prediction: Prediction, text: str | None) -> list[str]:
    file = escaped(prediction.path)
    if prediction.flag == "unreadable":
        reason = f"[dim]({escaped(prediction.reason)})[/dim]"
        return ["", "", "[red]unreadable[/red]", "", f"{file} {reason}"]
    possible = first_few(prediction.set) if prediction.set else "none fits well"
    flag = f"[yellow]{prediction.flag}[/yellow]" if prediction.flag else ""
    if text is not None:
        file += f"  [dim]{escaped(text)}[/dim]"
    confidence = f"{prediction.confidence:.3f}"
    return [escaped(prediction.predicted), confidence, flag, escaped(possible), file]
