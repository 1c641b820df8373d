"""`regraft scan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.commands.groups import option
from regraft.commands.options import Columns, Jobs, Output, Source, Test, same_data
from regraft.commands.printing import print_result, say, shown_progress

if TYPE_CHECKING:
    from regraft.dataset import Dataset


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How closely files are looked at, and what is drawn of them."""

    header_only: bool = option("Do not decode images: faster, finds less.", default=False)
    report: Path | None = option("Also draw the photos as one HTML page.", "FILE")


def scan(
    *,
    source: Source,
    test: Test = None,
    output: Output = "text",
    options: ScanOptions,
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
            verify=not options.header_only,
            jobs=jobs,
            progress=progress,
            **columns.named(),
        )
        if options.report is not None:
            audited = workflow.audit(data, jobs=jobs, progress=progress)
            data = audited.data
            workflow.report_data(audited, options.report)
    if options.report is not None:
        say(f"page     {options.report}")
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
