"""`regraft plan`."""

from __future__ import annotations

from regraft.commands.durations import parse_duration
from regraft.commands.options import (
    Budget,
    Candidates,
    Columns,
    Computing,
    Output,
    Source,
    Test,
    same_data,
)
from regraft.commands.printing import csv_text, print_result, shown_progress


def plan(
    *,
    source: Source,
    test: Test = None,
    budget: Budget = "5m",
    candidates: Candidates,
    output: Output = "text",
    computing: Computing,
    columns: Columns,
) -> None:
    """What to try, why, and how long it would take here.

    Measures how many photos there are and how similar they are to what the network was
    pretrained on, and times every candidate that regraft fit would race on a few of them.

    Example: regraft plan photos/
    """
    from regraft import workflow
    from regraft.commands.drawing.plan import show_plan

    with shown_progress() as progress:
        planned = workflow.plan(
            source.data,
            labels=source.labels,
            image_dir=source.image_dir,
            test=test,
            columns=columns.named(),
            budget_s=parse_duration(budget),
            **candidates.chosen(),
            seed=computing.seed,
            jobs=computing.jobs,
            progress=progress,
        )
    again = same_data("fit", source, columns, test=test)
    print_result(
        output,
        text=lambda _, prose: show_plan(prose, planned, next_command=again),
        csv=lambda: csv_text(planned.to_dict()["candidates"]),
        json=planned.to_dict,
    )
