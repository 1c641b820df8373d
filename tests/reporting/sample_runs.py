"""Runs made on the spot, for the tests of the report: tiny images, real metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from regraft.dataset import Dataset, Row
from regraft.evaluation import CROSS_VALIDATION, TEST, Evaluation, evaluate_probabilities
from regraft.issues import Issue
from regraft.metrics import FloatArray, IntArray
from regraft.runs import ImagePrediction, Run

ABOUT: Mapping[str, Any] = {
    "status": "done",
    "regraft": "0.1.0",
    "started": "2026-05-04T10:00:00+00:00",
    "finished": "2026-05-04T10:00:07+00:00",
    "settings": {"budget_s": 300.0, "columns": {}, "resize": None, "seed": 0},
    "versions": {"python": "3.11.7", "numpy": "2.4.6"},
    "machine": {"system": "Linux", "processor": "x86_64", "cores": 2},
    "seconds": {"scan": 0.3, "features": 3.1, "comparison": 2.0},
    "seconds_total": 6.4,
    "fingerprint": "3e7306c32fbf36a0",
    "layout": "one folder per class",
    "notes": ["The val images are the test set."],
    "reading": ["24 training images: every choice was made on them."],
    "backbone": {
        "name": "efficientnet_lite0",
        "licence": "Apache-2.0",
        "pretrained_on": "ImageNet-1k",
        "transform": {"image_size_px": 224, "resize": "crop"},
    },
    "command": "regraft fit photos --out runs/photos",
}

COMPARISON: Mapping[str, Any] = {
    "candidates": [
        {
            "title": "linear_probe on efficientnet_lite0",
            "accuracy": {"value": 0.95, "low": 0.91, "high": 0.97, "method": "wilson"},
            "chosen_is_ahead_by": None,
            "seconds": 3.2,
            "status": "done",
            "reason": "",
        },
        {
            "title": "knn on efficientnet_lite0",
            "accuracy": {"value": 0.94, "low": 0.9, "high": 0.96, "method": "wilson"},
            "chosen_is_ahead_by": {"value": 0.01, "low": -0.02, "high": 0.04, "method": "t"},
            "seconds": 1.1,
            "status": "done",
            "reason": "",
        },
        {
            "title": "fine_tune on efficientnet_lite0",
            "accuracy": None,
            "chosen_is_ahead_by": None,
            "seconds": 0.0,
            "status": "skipped",
            "reason": "the time budget was used up",
        },
    ],
    "chosen": 0,
    "verdict": "Chosen: linear_probe on efficientnet_lite0.",
    "folds": 5,
    "repeats": 3,
}


def make_run(
    root: Path,
    *,
    classes: Sequence[str] = ("cat", "dog"),
    train: int = 12,
    test: int = 0,
    wrong: float = 0.2,
    more_rows: Sequence[Row] = (),
    issues: Sequence[Issue] = (),
    about: Mapping[str, Any] | None = None,
    comparison: Mapping[str, Any] | None = None,
    evaluations: Sequence[Evaluation] | None = None,
    write_images: bool = True,
) -> Run:
    """A run on `train` and `test` images a class, a share `wrong` of them predicted wrong."""
    random = np.random.default_rng(0)
    rows, predictions = [], []
    labels: dict[str, list[int]] = {"train": [], "test": []}
    probabilities: dict[str, list[FloatArray]] = {"train": [], "test": []}
    for split, count in (("train", train), ("test", test)):
        for number, name in enumerate(classes):
            for i in range(count):
                path = f"{split}/{number}/{i}.jpg"
                rows.append(
                    Row(path, f"{len(rows):064x}", name, split, width=40, height=30, mode="RGB")
                )
                if write_images:
                    write_image(root / path, colour=(50 + number * 150 % 200, 90, 40 + i))
                row_of = _probabilities(random, number, len(classes), is_wrong=i < wrong * count)
                labels[split].append(number)
                probabilities[split].append(row_of)
                best = int(row_of.argmax())
                fold = i % 5 if split == "train" else -1
                predictions.append(
                    ImagePrediction(
                        path, name, classes[best], float(row_of[best]), split, fold, tuple(row_of)
                    )
                )
    data = Dataset.from_rows(root, [*rows, *more_rows])
    if evaluations is None:
        found = {TEST: "test", CROSS_VALIDATION: "train"}
        evaluations = [
            evaluate(on, np.array(labels[split]), np.array(probabilities[split]), classes)
            for on, split in found.items()
            if labels[split]
        ]
    return Run(
        folder=Path("runs/photos"),
        about=ABOUT if about is None else about,
        data=data,
        issues=tuple(issues),
        comparison=COMPARISON if comparison is None else comparison,
        evaluations=tuple(evaluations),
        predictions=tuple(predictions),
    )


def evaluate(
    on: str, labels: IntArray, probabilities: FloatArray, classes: Sequence[str]
) -> Evaluation:
    """An Evaluation of independent images, predicted once."""
    return evaluate_probabilities(
        on,
        labels=labels,
        probabilities=probabilities[None],
        classes=tuple(classes),
        groups=np.arange(len(labels)),
    )


def write_image(path: Path, *, colour: tuple[int, int, int], **options: Any) -> Path:
    """A 40 x 30 JPEG (or what the suffix says) of one colour with a white corner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (40, 30), colour)
    picture.paste((255, 255, 255), (0, 0, 10, 10))
    picture.save(path, **options)
    return path


def _probabilities(
    random: np.random.Generator, number: int, k: int, *, is_wrong: bool
) -> FloatArray:
    said = (number + 1) % k if is_wrong else number
    sure = random.uniform(0.55, 0.95)
    found = np.full(k, (1 - sure) / (k - 1))
    found[said] = sure
    return found
