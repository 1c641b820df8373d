"""`regraft export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regraft.commands.groups import argument, option
from regraft.commands.options import Jobs, ModelPath, Output
from regraft.commands.printing import csv_text, print_result, shown_progress
from regraft.exporting.precisions import DEFAULT_PRECISION, PRECISIONS, precisions_help


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The file to be written, and how it is checked."""

    file: Path = argument("FILE", "Its name, ending in .onnx.")
    check: Path | None = option("What to compare on; by default 500 of the run.", "DATA")
    precision: str = option(
        f"{precisions_help()} What it changes is measured.",
        "NAME",
        DEFAULT_PRECISION,
        autocompletion=lambda: list(PRECISIONS),
    )
    force: bool = option("Replace files that are there.", default=False)


def export(
    *, model: ModelPath, options: ExportOptions, output: Output = "text", jobs: Jobs = None
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
            options.file,
            check=options.check,
            precision=options.precision,
            force=options.force,
            jobs=jobs,
            progress=progress,
        )
    print_result(
        output,
        text=lambda _, prose: show_exported(prose, exported),
        csv=lambda: csv_text([exported.row]),
        json=exported.to_dict,
    )
