"""What was explained, whether it can be trusted, and where it was written."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from regraft.commands.drawing.lines import escaped, print_columns, print_line, show_next
from regraft.workflow import Explained


def show_explained(
    out: Console, prose: Console, explained: Explained, *, next_command: str
) -> None:
    """The pictures on `out`; what could not be explained, and the check, on `prose`."""
    explanations = explained.explanations
    if explained.pictures:
        cells = [
            (
                escaped(heat_map.predicted),
                f"{100 * heat_map.confidence:.1f} %",
                escaped(str(picture)),
                escaped(heat_map.path),
            )
            for heat_map, picture in explained.pictures
        ]
        print_columns(out, ("class", "confidence", "picture", "of"), cells, right={"confidence"})
    else:
        roles = Counter(heat_map.role for heat_map in explanations.maps)
        prose.print(f"{roles['error']:,} errors and {roles['hit']:,} typical hits explained")
    for path, reason in explanations.left_out:
        print_line(prose, f"[yellow]not explained:[/yellow] {escaped(path)}: {escaped(reason)}")
    prose.print()
    prose.print(escaped(explanations.check.text if explanations.check else explanations.reason))
    if explained.report is not None:
        print_line(prose, f"report   {escaped(str(explained.report))}")
    show_next(prose, next_command)
