"""`regraft predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.commands.groups import argument, option
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


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is to be predicted."""

    files: list[str] | None = argument(
        "FILES", "Files, folders, glob patterns or tables.", default=None
    )
    text: list[str] | None = option("A text itself, not a file; repeatable.", "TEXT")
    image_dir: ImageDir = None
    path_column: PathColumn = None
    text_column: TextColumn = None

    def columns(self) -> LabelColumns:
        """Those columns that were given."""
        return Columns(path_column=self.path_column, text_column=self.text_column).named()


def predict(
    *,
    model: ModelPath,
    inputs: Inputs,
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

    files, texts = inputs.files or (), inputs.text or ()
    if not (files or texts):
        raise UsageError("nothing to predict; give files, folders, patterns, a table or --text")
    loaded = load(model).flagging_from(unfamiliar_from)
    predictions = workflow.predict_texts(loaded, texts) if texts else []
    if files:
        with shown_progress() as progress:
            predictions += workflow.predict(
                loaded,
                files,
                image_dir=inputs.image_dir,
                columns=inputs.columns(),
                jobs=jobs,
                progress=progress,
            )
    again = _next_command(model, loaded.transform.modality, inputs)
    _print(output, loaded, predictions, texts=texts, next_command=again)
    _require_any_read(predictions)


def _next_command(model: Path, modality: str, inputs: Inputs) -> str:
    from regraft.kinds import things

    if inputs.files and len(inputs.files) == 1:
        columns = inputs.columns()
        again = hint("predict", model, *inputs.files, image_dir=inputs.image_dir, **columns)
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
