"""`regraft audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from regraft.commands.options import Columns, Computing, Output, Source, Test, same_data
from regraft.commands.printing import print_result, shown_progress


def audit(
    *,
    source: Source,
    test: Test = None,
    output: Output = "text",
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Pretrained network whose features are compared."),
    ] = None,
    computing: Computing,
    columns: Columns,
) -> None:
    """Find copies, leaks, doubtful labels, outliers, shortcuts.

    Nothing is trained but a linear probe, and no file is changed. Photos come ranked, worst first.

    Example: regraft audit photos/ --format csv > issues.csv
    """
    from regraft import workflow
    from regraft.commands.drawing.audit import show_audit
    from regraft.inspection.issues import issues_csv

    with shown_progress() as progress:
        audited = workflow.audit(
            source.data,
            labels=source.labels,
            image_dir=source.image_dir,
            test=test,
            backbone=backbone,
            seed=computing.seed,
            jobs=computing.jobs,
            progress=progress,
            columns=columns.named(),
        )
    every_issue = same_data("audit", source, columns, test=test) + " --format csv"
    fit = same_data("fit", source, columns, test=test)
    print_result(
        output,
        text=lambda _, prose: show_audit(prose, audited, every_issue=every_issue, next_command=fit),
        csv=lambda: issues_csv(audited.findings.issues),
        json=audited.to_dict,
    )
