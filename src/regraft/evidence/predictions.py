"""`predictions.csv`: a row per image, predicted by a model that had not seen it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.dataset import Row
from regraft.metrics.rates import FloatArray
from regraft.storage.csv_table import csv_text, read_csv
from regraft.storage.saved import read_text

_COLUMNS = ["path", "label", "predicted", "confidence", "split", "fold"]


@dataclass(frozen=True, slots=True)
class ImagePrediction:
    """One row of `predictions.csv`.

    `fold` is the cross-validation fold (of the first repeat) in which a training image was
    predicted, -1 for others; `probabilities` are in class order, empty if there are none.
    """

    path: str
    label: str
    predicted: str
    confidence: float
    split: str
    fold: int
    probabilities: tuple[float, ...]

    @classmethod
    def out_of_fold(
        cls, row: Row, probabilities: FloatArray, classes: Sequence[str], *, fold: int
    ) -> ImagePrediction:
        """Of a row that was predicted in a cross-validation fold; `probabilities` are (k,)."""
        best = int(probabilities.argmax())
        return cls(
            path=row.path,
            label=row.label,
            predicted=classes[best],
            confidence=float(probabilities[best]),
            split=row.split,
            fold=fold,
            probabilities=tuple(map(float, probabilities)),
        )


def predictions_csv(predictions: Sequence[ImagePrediction], classes: Sequence[str]) -> str:
    """The text of `predictions.csv`: path, label, predicted, confidence, split, fold, p_<class>."""
    names = [f"p_{name}" for name in classes]
    rows = [[*_COLUMNS, *names]]
    for p in predictions:
        numbers = [f"{x:.6f}" for x in p.probabilities] or [""] * len(classes)
        confidence = f"{p.confidence:.6f}" if p.probabilities else ""
        fold = str(p.fold) if p.fold >= 0 else ""
        rows.append([p.path, p.label, p.predicted, confidence, p.split, fold, *numbers])
    return csv_text(rows)


def read_predictions(path: Path) -> tuple[ImagePrediction, ...]:
    lines = read_csv(read_text(path))
    _, header = next(lines, (0, []))
    if header[:6] != _COLUMNS:
        raise ValueError(f"its columns are {', '.join(header)[:80]!r}")
    predictions = []
    for number, row in lines:
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} cells, expected {len(header)}")
        numbers = tuple(finite(x) for x in row[6:] if x)
        if numbers and len(numbers) != len(header) - 6:
            raise ValueError(f"line {number} lacks the probability of a class")
        predictions.append(
            ImagePrediction(
                path=row[0],
                label=row[1],
                predicted=row[2],
                confidence=finite(row[3]) if row[3] else math.nan,
                split=row[4],
                fold=int(row[5][:9] or -1),
                probabilities=numbers,
            )
        )
    return tuple(predictions)


def finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is no number")
    return number
