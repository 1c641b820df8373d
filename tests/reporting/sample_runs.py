"""Runs made on the spot, for the tests of the report: tiny images, real metrics."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from regraft.dataset import Dataset, Row
from regraft.evidence.evaluation import CROSS_VALIDATION, TEST, Evaluation, evaluate_probabilities
from regraft.evidence.explaining import (
    Explanations,
    HeatMap,
    SanityCheck,
    confident_errors,
    typical_hits,
    write_explanations,
)
from regraft.inspection.auditing import ByOrder
from regraft.inspection.exploring import Exploration, Place, Separation, Spread
from regraft.inspection.issues import Issue
from regraft.metrics.rates import Estimate, FloatArray, IntArray
from regraft.runs import ComparisonRecord, ImagePrediction, Results, Run, RunRecord
from regraft.runs.records import run_record
from regraft.storage.records import from_json, to_json

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
    "audit": {"near_copies": True, "series": to_json(ByOrder())},
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

GUIDE: Mapping[str, Any] = {
    "size": {
        "images": 24,
        "classes": 2,
        "smallest_class": 12,
        "median_class": 12.0,
        "is_large": False,
        "word": "small",
    },
    "similarity": {
        "value": 0.22,
        "early": 0.15,
        "middle": 0.21,
        "late": 0.31,
        "top_probability": 0.42,
        "word": "similar",
    },
    "quadrant": "small and similar",
    "advice": "Train the last layers and leave the rest as it is.",
    "reason": "The pretrained features already suit such photos.",
    "source": "CS231n notes on transfer learning; Kumar et al. 2022 (LP-FT)",
    "held": "The rule of thumb for small and similar data held: training only a new head was "
    "measured to be best.",
}

LEARNING_CURVE: Mapping[str, Any] = {
    "approach": "linear_probe",
    "backbone": "efficientnet_lite0",
    "points": [
        {
            "images": images,
            "per_class": images / 2,
            "accuracy": {"value": value, "low": low, "high": high, "method": "wilson"},
        }
        for images, value, low, high in [
            (10, 0.88, 0.82, 0.92),
            (17, 0.90, 0.85, 0.93),
            (30, 0.92, 0.87, 0.95),
            (51, 0.93, 0.89, 0.96),
            (89, 0.945, 0.90, 0.97),
            (154, 0.95, 0.91, 0.97),
        ]
    ],
    "forecast": {
        "images": 384,
        "per_class_more": 96,
        "gain": {"value": 0.012, "low": 0.001, "high": 0.03, "method": "power law, bootstrap"},
        "accuracy": {"value": 0.966, "low": 0.93, "high": 0.985, "method": "power law"},
        "law": {"floor": 0.0, "scale": 0.27, "exponent": 0.35},
    },
    "text": "About 96 more of each class (twice as many) would give +1.2 points [+0.1, +3.0].",
}

AUDIT: Mapping[str, Any] = {
    **ABOUT["audit"],
    "shortcuts": {
        "guess": 0.5,
        "incidental": {"value": 0.93, "low": 0.85, "high": 0.97, "method": "wilson"},
        "content": {"value": 0.7, "low": 0.6, "high": 0.79, "method": "wilson"},
        "culprits": [
            {
                "name": "JPEG quality",
                "kind": "incidental",
                "accuracy": {"value": 0.92, "low": 0.84, "high": 0.96, "method": "wilson"},
                "p": 0.0025,
                "told": 0.84,
            },
            {
                "name": "brightness",
                "kind": "content",
                "accuracy": {"value": 0.7, "low": 0.6, "high": 0.79, "method": "wilson"},
                "p": 0.0025,
                "told": 0.4,
            },
        ],
        "alarms": ["JPEG quality"],
        "images": 24,
    },
    "effects": [
        {
            "issue": "outlier",
            "photos": 1,
            "change": {"value": 0.021, "low": 0.0, "high": 0.06, "method": "bootstrap"},
            "how": "leaving them out of the score",
        }
    ],
}

FULL_COMPARISON: Mapping[str, Any] = {
    **COMPARISON,
    "candidates": [
        {
            **COMPARISON["candidates"][0],
            "predicted_seconds": 4.1,
            "images_predicted": 192,
            "folds_done": 5,
        },
        {
            **COMPARISON["candidates"][1],
            "predicted_seconds": 0.9,
            "images_predicted": 192,
            "folds_done": 5,
        },
        {
            "title": "fine_tune on efficientnet_lite0, last 2 stages",
            "accuracy": {"value": 0.95, "low": 0.89, "high": 0.98, "method": "wilson"},
            "chosen_is_ahead_by": {"value": 0.0, "low": -0.03, "high": 0.03, "method": "t"},
            "seconds": 61.0,
            "predicted_seconds": 48.0,
            "images_predicted": 115,
            "folds_done": 3,
            "status": "done",
            "reason": "",
        },
        {
            "title": "scratch on efficientnet_lite0",
            "accuracy": {"value": 0.61, "low": 0.45, "high": 0.75, "method": "wilson"},
            "chosen_is_ahead_by": {"value": 0.34, "low": 0.2, "high": 0.48, "method": "t"},
            "seconds": 41.0,
            "predicted_seconds": 130.0,
            "images_predicted": 38,
            "folds_done": 1,
            "status": "stopped",
            "reason": "clearly behind after 1 fold",
        },
        {
            **COMPARISON["candidates"][2],
            "title": "fine_tune on efficientnet_lite0, all",
            "predicted_seconds": 210.0,
            "images_predicted": 0,
            "folds_done": 0,
            "reason": "would need about 210 s and 60 s of the budget were left",
        },
    ],
    "guide": GUIDE,
    "transfer": {
        "text": "Starting from pretrained weights gave +34.0 points [+20.0, +48.0] and took 3 s "
        "instead of 41 s.",
        "difference": {"value": 0.34, "low": 0.2, "high": 0.48, "method": "corrected resampled t"},
        "seconds_transfer": 3.2,
        "seconds_scratch": 41.0,
    },
    "learning_curve": LEARNING_CURVE,
    "selection": {
        "text": "The winner scored 95.0 % when it was chosen and 94.0 % on the test set, which "
        "played no part in the choice."
    },
}


def with_estimates(evaluation: Evaluation, **estimates: Estimate) -> Evaluation:
    """The evaluation with other values of these metrics."""
    return dataclasses.replace(evaluation, metrics=evaluation.metrics | estimates)


def write_training(
    folder: Path, *, folds: int = 3, epochs: int = 10, overfits: bool = True
) -> None:
    """`training.csv` and `lr_range.csv` of one fine-tuned candidate, as training leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "fine_tune on efficientnet_lite0, last 2 stages"
    head = (
        "candidate,fold,epoch,step,learning_rate,train_loss,train_accuracy,fold_loss,fold_accuracy"
    )
    lines, steps = [head], 12 * epochs
    for fold in range(folds):
        for epoch in range(1, epochs + 1):
            for i in range(12):
                step = 12 * (epoch - 1) + i + 1
                rate = 2e-4 * min(step / 10, 0.5 + 0.5 * float(np.cos(np.pi * step / steps)))
                lines.append(f'"{name}",{fold},{epoch - 1},{step - 1},{rate:.8f},0.5,0.8,,')
            train = 0.68 * 0.75**epoch + 0.01 * fold
            rise = 0.03 * max(0, epoch - 5) if overfits else 0.0
            unseen = 0.2 + 0.45 * 0.7**epoch + rise + 0.02 * fold
            right = 1 - 0.3 * 0.7**epoch
            lines.append(
                f'"{name}",{fold},{epoch - 1},,0.0001,{train:.4f},{right:.4f},{unseen:.4f},'
                f"{0.95 - 0.25 * 0.6**epoch - 0.005 * fold:.4f}"
            )
    (folder / "training.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rates = np.geomspace(1e-6, 1e-1, 40)
    losses = 0.7 - 0.35 / (1 + np.exp(-3 * (np.log10(rates) + 4))) + (rates / 0.02) ** 2
    chosen = int(np.argmin(np.abs(rates - 2e-4)))
    rows = [
        f'"{name}",{rate:.3e},{loss:.4f},{int(i == chosen)}'
        for i, (rate, loss) in enumerate(zip(rates, losses, strict=True))
    ]
    text = "\n".join(["candidate,learning_rate,loss,chosen", *rows])
    (folder / "lr_range.csv").write_text(text + "\n", encoding="utf-8")


def make_full_run(root: Path, **options: Any) -> Run:
    """A run with all that a run can hold: guide, transfer, training, learning curve."""
    folder = root / "run"
    write_training(folder)
    about = {**ABOUT, "audit": AUDIT}
    run = make_run(
        root / "photos", **{"test": 10, "comparison": FULL_COMPARISON, "about": about, **options}
    )
    return dataclasses.replace(run, folder=folder, exploration=make_exploration(run))


def make_exploration(run: Run) -> Exploration:
    """A first look at the photos of a run: classes beside each other, a thumbnail for each."""
    out = io.BytesIO()
    Image.new("RGB", (32, 24), (60, 90, 120)).save(out, "JPEG")
    picture = out.getvalue()
    rows, classes = run.data.ok, run.data.classes
    random = np.random.default_rng(0)
    near = min(6, len(rows) - 1)
    counts = {name: tuple(map(int, random.integers(0, 5, 24))) for name in classes}
    total = tuple(map(sum, zip(*counts.values(), strict=True)))
    return Exploration(
        images=len(rows),
        places=tuple(
            Place(
                row.path,
                (classes.index(row.label) + float(random.uniform(0.1, 0.9))) / len(classes),
                float(random.uniform()),
                tuple((i + 1 + j) % len(rows) for j in range(near)),
                picture,
            )
            for i, row in enumerate(rows)
        ),
        separable=Estimate(0.9, 0.82, 0.95, "wilson"),
        classes=tuple(
            Separation(name, 12, Estimate(0.8, 0.5, 0.94, "wilson"), classes[i - 1], 0.2)
            for i, name in enumerate(classes)
        ),
        spreads=(
            Spread("brightness", "%", False, tuple(np.linspace(10.0, 90.0, 25)), total, counts),
            Spread("file size", "kB", True, tuple(np.geomspace(3.0, 900.0, 25)), total, counts),
        ),
        means=dict.fromkeys(classes[:12], picture),
    )


def explain_run(run: Run, folder: Path, *, correlation: float = 0.12, hits: int = 4) -> Run:
    """The run with `explanations.json` of its errors and some hits; `folder` becomes its own."""
    folder.mkdir(parents=True, exist_ok=True)
    errors = confident_errors(run.predictions)
    chosen = [(p, "error") for p in errors] + [
        (p, "hit") for p in typical_hits(run.predictions, most=hits)
    ]
    maps = tuple(
        HeatMap(
            path=p.path,
            role=role,  # type: ignore[arg-type]
            target=p.predicted,
            predicted=p.label,  # the final model knows better
            confidence=0.8,
            values=((1.0, 0.2, 0.0), (0.1, 0.0, 0.0), (0.0, 0.0, 0.0)),
            box=(0.17, 0.06, 0.83, 0.94),
        )
        for p, role in chosen
    )
    check = SanityCheck(correlation, 3 * len(maps), len(maps), 3)
    left_out = (("gone.jpg", "the file is not there"),)
    write_explanations(folder, Explanations("Grad-CAM", "bn2", check, maps, left_out))
    return dataclasses.replace(run, folder=folder)


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
        about=about_of(ABOUT if about is None else about),
        data=data,
        issues=tuple(issues),
        comparison=comparison_of(COMPARISON if comparison is None else comparison),
        evaluations=tuple(evaluations),
        predictions=tuple(predictions),
    )


def about_of(members: Mapping[str, Any]) -> RunRecord:
    """What a run.json with these members says."""
    return run_record(members)


def results_of(about: RunRecord) -> Results:
    """What the stages of the fit said that was read back."""
    return Results(**{f.name: getattr(about, f.name) for f in dataclasses.fields(Results)})


def comparison_of(members: Mapping[str, Any]) -> ComparisonRecord:
    """What a comparison.json with these members says; without any, of an audit."""
    return from_json({"candidates": [], "chosen": 0, "verdict": "", **members}, ComparisonRecord)


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
