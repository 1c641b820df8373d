"""`regraft report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regraft.commands.printing import say, say_next

RunFolders = Annotated[
    list[Path], typer.Argument(metavar="RUNS", help="The run folder of a fit, or several.")
]
Page = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="HTML file; by default report.html in the run folder, or comparison.html.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the FILE that shows several runs.")]


def report(*, run_folders: RunFolders, out: Page = None, force: Force = False) -> None:
    """Write the report of a run again, or of several runs.

    One HTML file. Several runs are put side by side: the same questions, a column for each run,
    and whether they can be told apart on the photos that both predicted.

    Example: regraft report runs/photos runs/quick --out both.html
    """
    from regraft import workflow
    from regraft.commands.drawing.lines import new_input
    from regraft.runs import read_run

    if len(run_folders) == 1:
        best = run_folders[0]
        page = workflow.report(best, out or best / "report.html")
    else:
        side_by_side = workflow.report_side_by_side(
            run_folders, out or Path("comparison.html"), force=force
        )
        for line in side_by_side.left_out:
            say(f"note     {line}")
        best, page = side_by_side.best, side_by_side.path
    say(f"report   {page}")
    say_next("predict", best, new_input(read_run(best).data.modality))
