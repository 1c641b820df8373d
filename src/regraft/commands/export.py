"""`regraft export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from regraft.commands.options import Jobs, ModelPath, Output
from regraft.commands.printing import csv_text, print_result, shown_progress

File = Annotated[Path, typer.Argument(metavar="FILE", help="Its name, ending in .onnx.")]
Check = Annotated[
    Path | None,
    typer.Option(metavar="DATA", help="What to compare on; by default 500 of the run."),
]
Precision = Annotated[
    Literal["float32", "half", "int8"],
    typer.Option(help="half and int8 make the file smaller; the change is measured."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]


def export(
    *,
    model: ModelPath,
    file: File,
    check: Check = None,
    precision: Precision = "float32",
    force: Force = False,
    output: Output = "text",
    jobs: Jobs = None,
) -> None:
    """One ONNX file that predicts what the model predicts.

    It takes photos of any size; resize and normalisation are inside. Of texts it takes token
    numbers; the tokenizer is inside. Beside it: a script that needs only onnxruntime, numpy and
    Pillow (tokenizers for texts), and a model card. Before anything is written, that script has to
    say the same as the model of your photos or texts.

    Example: regraft export runs/photos photos.onnx
    """
    from regraft import workflow
    from regraft.commands.drawing.export import show_exported

    with shown_progress() as progress:
        exported = workflow.export(
            model,
            file,
            check=check,
            precision=precision,
            force=force,
            jobs=jobs,
            progress=progress,
        )
    print_result(
        output,
        text=lambda _, prose: show_exported(prose, exported),
        csv=lambda: csv_text([exported.row]),
        json=exported.to_dict,
    )
