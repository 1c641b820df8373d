"""`regraft explain`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regraft.commands.groups import argument, option
from regraft.commands.options import Architecture, Jobs, ModelPath, Output
from regraft.commands.printing import csv_text, hint, print_result, shown_progress


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """What is explained, and where its pictures go."""

    files: list[str] | None = argument(
        "FILES", "Photos to explain; by default those of the run.", default=None
    )
    out: Path = option("Where the pictures of FILES are written.", "FOLDER", Path("explanations"))
    architecture: Architecture = None


def explain(
    *, model: ModelPath, options: ExplainOptions, output: Output = "text", jobs: Jobs = None
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
            model,
            options.files or (),
            out=options.out,
            architecture=options.architecture,
            jobs=jobs,
            progress=progress,
        )
    if options.files:
        again = hint("predict", model, *options.files)
    else:
        again = hint("explain", model, "new_photo.jpg", architecture=options.architecture)
    print_result(
        output,
        text=lambda out, prose: show_explained(out, prose, explained, next_command=again),
        csv=lambda: csv_text(explained.rows),
        json=explained.to_dict,
    )
