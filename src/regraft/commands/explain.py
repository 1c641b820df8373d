"""`regraft explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regraft.commands.options import Architecture, Jobs, ModelPath, Output
from regraft.commands.printing import csv_text, hint, print_result, shown_progress

Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILES", help="Photos to explain; by default those of the run."),
]
Folder = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Where the pictures of FILES are written.")
]


def explain(
    *,
    model: ModelPath,
    files: Files = None,
    out: Folder = Path("explanations"),
    architecture: Architecture = None,
    output: Output = "text",
    jobs: Jobs = None,
) -> None:
    """Show where in a photo the model finds its evidence.

    With FILES each is written as a picture with a heat map laid over it. Without, those of the
    run's confident errors and typical hits are made, and its report with them. They are checked:
    with random weights the maps have to change.

    Example: regraft explain runs/photos new/*.jpg --out explanations
    """
    from regraft import workflow
    from regraft.commands.drawing.explain import show_explained

    with shown_progress() as progress:
        explained = workflow.explain(
            model, files or (), out=out, architecture=architecture, jobs=jobs, progress=progress
        )
    if files:
        again = hint("predict", model, *files)
    else:
        again = hint("explain", model, "new_photo.jpg", architecture=architecture)
    print_result(
        output,
        text=lambda stdout, prose: show_explained(stdout, prose, explained, next_command=again),
        csv=lambda: csv_text(explained.rows),
        json=explained.to_dict,
    )
