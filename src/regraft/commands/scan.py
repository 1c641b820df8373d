"""`regraft scan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regraft.commands.options import Columns, Jobs, Output, Source, Test, same_data
from regraft.commands.printing import print_result, say, shown_progress

if TYPE_CHECKING:
    from regraft.dataset import Dataset

HeaderOnly = Annotated[
    bool, typer.Option("--header-only", help="Do not decode images: faster, finds less.")
]
ReportFile = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Also draw the photos as one HTML page."),
]


def scan(
    *,
    source: Source,
    test: Test = None,
    output: Output = "text",
    header_only: HeaderOnly = False,
    report_file: ReportFile = None,
    jobs: Jobs = None,
    columns: Columns,
) -> None:
    """List every file, its label, and why it cannot be used.

    Nothing is changed, and nothing is left out: whatever cannot be used is listed with why.

    Example: regraft scan photos/ --format csv > dataset.csv
    """
    from regraft import workflow

    with shown_progress() as progress:
        data = workflow.scan(
            source.data,
            labels=source.labels,
            image_dir=source.image_dir,
            test=test,
            verify=not header_only,
            jobs=jobs,
            progress=progress,
            **columns.named(),
        )
        if report_file is not None:
            audited = workflow.audit(data, jobs=jobs, progress=progress)
            data = audited.data
            workflow.report_data(audited, report_file)
    if report_file is not None:
        say(f"page     {report_file}")
    _print(output, data, source, columns, test)


def _print(
    output: Output, data: Dataset, source: Source, columns: Columns, test: Path | None
) -> None:
    from regraft.commands.drawing.scan import show_dataset

    print_result(
        output,
        text=lambda _, prose: show_dataset(
            prose,
            data,
            shown_as=str(source.data),
            every_file=same_data("scan", source, columns, test=test) + " --format csv",
            next_command=same_data("fit", source, columns, test=test),
        ),
        csv=data.to_csv,
        json=lambda: [{name: getattr(row, name) for name in row.__slots__} for row in data.rows],
    )
