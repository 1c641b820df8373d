"""`regraft predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regraft.commands.options import (
    Columns,
    ImageDir,
    Jobs,
    ModelPath,
    Output,
    PathColumn,
    TextColumn,
    UnfamiliarFrom,
)
from regraft.commands.printing import Format, hint, print_result, shown_progress
from regraft.errors import RegraftError, UsageError

if TYPE_CHECKING:
    from regraft.model import Model, Prediction
    from regraft.workflow import LabelColumns

Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILES", help="Files, folders, glob patterns or tables."),
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="TEXT", help="A text itself, not a file; repeatable."),
]


@dataclass(frozen=True, slots=True)
class Tables:
    """What is to be known of tables of inputs."""

    image_dir: ImageDir = None
    path_column: PathColumn = None
    text_column: TextColumn = None

    def columns(self) -> LabelColumns:
        """Those columns that were given."""
        return Columns(path_column=self.path_column, text_column=self.text_column).named()


def predict(
    *,
    model: ModelPath,
    inputs: Inputs = None,
    text: Texts = None,
    tables: Tables,
    unfamiliar_from: UnfamiliarFrom = None,
    output: Output = "text",
    jobs: Jobs = None,
) -> None:
    """Predict files, folders or tables: class, confidence and flags.

    Flags: unsure (another class is possible too, or none fits well), unfamiliar (unlike the
    training photos), unreadable, ignored (not an input). In CSV and JSON also the probability of
    each class, and the reason of the last two.

    Example: regraft predict runs/photos new/*.jpg --format csv > new.csv
    """
    from regraft import workflow
    from regraft.model import load

    if not (inputs or text):
        raise UsageError("nothing to predict; give files, folders, patterns, a table or --text")
    loaded = load(model).flagging_from(unfamiliar_from)
    predictions = workflow.predict_texts(loaded, text) if text else []
    if inputs:
        with shown_progress() as progress:
            predictions += workflow.predict(
                loaded,
                inputs,
                image_dir=tables.image_dir,
                columns=tables.columns(),
                jobs=jobs,
                progress=progress,
            )
    again = _next_command(model, loaded.transform.modality, inputs or (), tables)
    _print(output, loaded, predictions, texts=text or (), next_command=again)
    _require_any_read(predictions)


def _next_command(model: Path, modality: str, inputs: Sequence[str], tables: Tables) -> str:
    from regraft.modality import things

    if len(inputs) == 1:
        again = hint("predict", model, *inputs, **asdict(tables))
        return again + " --format csv > predictions.csv"
    return hint("evaluate", model, f"labelled_{things(modality)}/")


def _print(
    output: Format,
    model: Model,
    predictions: Sequence[Prediction],
    *,
    texts: Sequence[str],
    next_command: str,
) -> None:
    from regraft import workflow
    from regraft.commands.drawing.predict import show_predictions

    print_result(
        output,
        text=lambda out, prose: show_predictions(
            out,
            prose,
            predictions,
            texts=workflow.beginnings(model, predictions, texts),
            next_command=next_command,
        ),
        csv=lambda: workflow.predictions_table(model, predictions),
        json=lambda: [_json_values(model.classes, p) for p in predictions],
    )


def _json_values(classes: Sequence[str], prediction: Prediction) -> dict[str, object]:
    unreadable = not prediction.probabilities
    return {
        "path": prediction.path,
        "predicted": prediction.predicted,
        "confidence": None if unreadable else round(prediction.confidence, 6),
        "set": list(prediction.set),
        "flag": prediction.flag,
        "reason": prediction.reason,
        "unfamiliarity": None if unreadable else round(prediction.unfamiliarity, 6),
        "probabilities": {
            name: round(p, 6)
            for name, p in zip(classes, prediction.probabilities, strict=not unreadable)
        },
    }


def _require_any_read(predictions: Sequence[Prediction]) -> None:
    if not any(p.probabilities for p in predictions):
        first = predictions[0]
        raise RegraftError(
            f"none of the {len(predictions)} files could be read; the first is {first.path}: "
            f"{first.reason}"
        )
