"""`regraft fit`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import typer

from regraft.commands.durations import parse_duration
from regraft.commands.groups import option
from regraft.commands.options import Budget, Candidates, Columns, Computing, Source, Test
from regraft.commands.printing import console, shown_progress


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Which judgements of people a run takes into account, and where it goes."""

    decisions: Path | None = option("Apply what was decided in the review of a run.", "RUN")
    with_corrections: Path | None = option(
        "Train on what was corrected; promote it unless it is worse.", "RUN"
    )
    out: Path | None = option("Run folder; by default runs/NAME_OF_DATA.", "FOLDER")
    force: bool = option("Replace the run in --out.", default=False)


def fit(
    *,
    context: typer.Context,
    source: Source,
    test: Test = None,
    budget: Budget = "5m",
    candidates: Candidates,
    run: RunOptions,
    computing: Computing,
    columns: Columns,
) -> None:
    """From photos to a model: compare, choose, measure, report.

    The run folder gets the model, the report and every number as a file. The path that takes
    seconds is --approach linear_probe. Run the same command again after an interruption: what was
    finished is not repeated.

    Example: regraft fit photos/ --budget 5m --out runs/photos
    """
    from regraft import workflow
    from regraft.commands.drawing.fit import show_run

    with shown_progress() as progress:
        finished = workflow.fit(
            source.data,
            labels=source.labels,
            image_dir=source.image_dir,
            test=test,
            columns=columns.named(),
            budget_s=parse_duration(budget),
            **candidates.chosen(),
            decisions=run.decisions,
            with_corrections=run.with_corrections,
            out=run.out,
            force=run.force,
            seed=computing.seed,
            jobs=computing.jobs,
            command=shlex.join(["regraft", *context.obj]),
            progress=progress,
        )
    show_run(console(stderr=True), finished)
