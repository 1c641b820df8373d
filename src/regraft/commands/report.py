"""`regraft report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regraft.commands.groups import argument, option
from regraft.commands.printing import say, say_next


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Which runs are shown, and where."""

    run_folders: list[Path] = argument("RUNS", "The run folder of a fit, or several.")
    out: Path | None = option(
        "HTML file; by default report.html in the run folder, or comparison.html.", "FILE"
    )
    force: bool = option("Replace the FILE that shows several runs.", default=False)


def report(*, options: ReportOptions) -> None:
    """Write the report of a run again, or of several runs.

    One HTML file. Several runs are put side by side: the same questions, a column for each run,
    and whether they can be told apart on the photos that both predicted.

    Example: regraft report runs/photos runs/quick --out both.html
    """
    from regraft import workflow
    from regraft.commands.drawing.lines import new_input
    from regraft.runs import read_run

    if len(options.run_folders) == 1:
        best = options.run_folders[0]
        page = workflow.report(best, options.out or best / "report.html")
    else:
        side_by_side = workflow.report_side_by_side(
            options.run_folders, options.out or Path("comparison.html"), force=options.force
        )
        for line in side_by_side.left_out:
            say(f"note     {line}")
        best, page = side_by_side.best, side_by_side.path
    say(f"report   {page}")
    say_next("predict", best, new_input(read_run(best).data.modality))
