"""A comparison in, the final model, its evaluations and every prediction behind them out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from regraft.approaches.base import CrossValidation, Limits
from regraft.approaches.scratch import load_architecture
from regraft.backbones.backbone import Backbone
from regraft.dataset import Dataset, Row, split_groups
from regraft.dataset.overlaps import overlap_with
from regraft.errors import RegraftError, TrainingError
from regraft.evidence.evaluation import (
    CROSS_VALIDATION,
    TEST,
    Evaluation,
    class_numbers,
    evaluate_probabilities,
)
from regraft.evidence.explaining import Explanations, explain_run
from regraft.inspection.auditing import ByOrder, Inspection, compare_folds, effects_on
from regraft.inspection.issues import Issue, find_issues, in_dataset, with_suspects
from regraft.inspection.issues.copies import can_find_copies
from regraft.kinds import kind_named
from regraft.model import Model, Prediction
from regraft.progress import note
from regraft.racing import Comparison, choose_again, with_time_left
from regraft.runs import ImagePrediction
from regraft.runs.records import AuditRecord
from regraft.storage.locations import without_places
from regraft.workflow.comparing import AFTERWARDS
from regraft.workflow.inspecting import Inspected
from regraft.workflow.preparing import Prepared, Tools, without_answered

_REPORT_S = 2.0


@dataclass(frozen=True, slots=True)
class Assessed:
    """How well the chosen candidate does, and what its errors say of the data.

    Attributes:
        dataset: with files marked that turned out unreadable when they were predicted.
        evaluations: on the test set, where there is one, and by cross-validation.
        predictions: of all rows, training rows out of fold.
        issues: with label suspects; what a review has answered is not among them.
        audit: what else was found in the data.
    """

    dataset: Dataset
    evaluations: list[Evaluation]
    predictions: list[ImagePrediction]
    issues: tuple[Issue, ...]
    audit: AuditRecord


def train_final_model(
    comparison: Comparison, dataset: Dataset, tools: Tools
) -> tuple[Comparison, Model]:
    """The winner trained on all training rows, or the best quick one where that fails.

    Raises:
        TrainingError: the winner fails, and there is no other.
    """
    clock = tools.clock
    clock.reserve(AFTERWARDS, clock.reserved / 2)
    winner = comparison.winner
    chosen = winner.cross_validation
    has_fallback = choose_again(comparison, "") or (chosen and chosen.network is not None)
    with tools.phase("final fit"):
        try:
            model = winner.approach.fit(
                dataset,
                cross_validation=with_time_left(winner, clock.left),
                limits=Limits(deadline=clock.deadline) if has_fallback else Limits(),
                seed=tools.seed,
                jobs=tools.jobs,
                progress=tools.progress,
            )
        except TrainingError as error:
            again = choose_again(comparison, f"its final training was not finished: {error}")
            if again is None:
                raise
            title = again.winner.title
            note(tools.progress, f"{winner.title}: {error}; using {title} instead")
            model = again.best.fit(
                dataset,
                cross_validation=again.winner.cross_validation,
                seed=tools.seed,
                jobs=tools.jobs,
                progress=tools.progress,
            )
            return again, model
    return comparison, model


def assess(
    model: Model,
    comparison: Comparison,
    prepared: Prepared,
    inspected: Inspected,
    tools: Tools,
) -> Assessed:
    """Read the test set, once, and score the winner on it and on the folds."""
    chosen = comparison.winner.cross_validation
    assert chosen is not None
    with tools.phase("evaluation"):
        dataset, others, answers = _predict_others(model, inspected.dataset, tools)
        evaluations = _evaluations(
            dataset,
            chosen,
            answers[: len(dataset.test)],
            backbone=comparison.best.network,
            seed=tools.seed,
        )
        predictions = _predictions(dataset, chosen, others, answers)
        issues, audit = _issues(dataset, inspected.inspection, predictions)
        if inspected.inspection is not None and inspected.inspection.findings.series is not None:
            by_order = _compared_by_order(inspected, dataset, prepared.network, tools)
            audit = replace(audit, series=by_order)
        if prepared.applied is not None:
            dataset, issues = without_answered(dataset, issues, prepared.applied)
    return Assessed(dataset, evaluations, predictions, issues, audit)


def explain_model(
    assessed: Assessed, prepared: Prepared, work: Path, architecture: str | None, tools: Tools
) -> Explanations | None:
    """The heat maps of a run; None where none are asked for.

    Where there are none otherwise they say why, which ends no fit. What takes seconds without
    PyTorch stays without it: there are none where nothing trains a network.
    """
    if not kind_named(assessed.dataset.modality).is_picture or not prepared.trains:
        return None
    tools.clock.reserve(AFTERWARDS, _REPORT_S)
    with tools.phase("explanations"):
        try:
            return explain_run(
                work / "model",
                assessed.dataset,
                assessed.predictions,
                make=load_architecture(architecture) if architecture is not None else None,
                deadline=tools.clock.deadline,
                jobs=tools.jobs,
                progress=tools.progress,
            )
        except RegraftError as error:
            note(tools.progress, f"no heat maps: {error}")
            return Explanations(reason=without_places(str(error)))


def _compared_by_order(
    inspected: Inspected, dataset: Dataset, network: Backbone | None, tools: Tools
) -> ByOrder:
    """What folds by chance make of the order of the photos."""
    by_order, pair = inspected.by_order, inspected.pair
    if pair is None or network is None:
        return by_order
    training = dataset.with_rows(dataset.train)
    return compare_folds(by_order, pair, training, network, seed=tools.seed, jobs=tools.jobs)


def _predict_others(
    model: Model, dataset: Dataset, tools: Tools
) -> tuple[Dataset, list[Row], list[Prediction]]:
    """The model on every image it was not trained on: test rows first, then unlabelled ones.

    This is where the test set is read, once. Images that turn out unreadable are marked.
    """
    rows = [*dataset.test, *dataset.unlabelled]
    answers = model.predict(
        [dataset.absolute(row) for row in rows], jobs=tools.jobs, progress=tools.progress
    )
    pairs = list(zip(rows, answers, strict=True))
    dataset = dataset.mark({r.path: ("unreadable", p.reason) for r, p in pairs if p.reason})
    readable = [(row, p) for row, p in pairs if not p.reason]
    return dataset, [row for row, _ in readable], [p for _, p in readable]


def _evaluations(
    dataset: Dataset,
    chosen: CrossValidation,
    tested: Sequence[Prediction],
    *,
    backbone: Backbone,
    seed: int,
) -> list[Evaluation]:
    evaluations: list[Evaluation] = []
    if tested:
        on_test = evaluate_probabilities(
            TEST,
            labels=class_numbers([row.label for row in dataset.test], dataset.classes),
            probabilities=np.array([p.probabilities for p in tested])[None],
            classes=dataset.classes,
            groups=split_groups(dataset.test),
            seed=seed,
        )
        overlap = overlap_with(dataset.test, backbone.contents)
        evaluations.append(replace(on_test, overlap=overlap))
    covered = chosen.covered
    on_folds = evaluate_probabilities(
        CROSS_VALIDATION,
        labels=chosen.labels[covered],
        probabilities=chosen.probabilities[:, covered],
        classes=dataset.classes,
        groups=split_groups(dataset.train)[covered],
        folds=chosen.folds_done if chosen.folds_done > 1 else None,
        fewer=chosen.fewer,
        seed=seed,
    )
    rows = [row for row, is_covered in zip(dataset.train, covered, strict=True) if is_covered]
    overlap = overlap_with(rows, backbone.contents)
    return [*evaluations, replace(on_folds, overlap=overlap)]


def _predictions(
    dataset: Dataset, chosen: CrossValidation, others: Sequence[Row], answers: Sequence[Prediction]
) -> list[ImagePrediction]:
    out_of_fold = [
        ImagePrediction.out_of_fold(row, probabilities, dataset.classes, fold=int(fold))
        for row, fold, probabilities in zip(
            dataset.train, chosen.folds[0], chosen.probabilities[0], strict=True
        )
        if not np.isnan(probabilities).any()  # else there was no time to predict its fold
    ]
    by_model = [
        ImagePrediction(
            row.path, row.label, p.predicted, p.confidence, row.split, -1, p.probabilities
        )
        for row, p in zip(others, answers, strict=True)
    ]
    return [*out_of_fold, *by_model]


def _issues(
    dataset: Dataset, inspection: Inspection | None, predictions: Sequence[ImagePrediction]
) -> tuple[tuple[Issue, ...], AuditRecord]:
    """The table of issues, and what the look at the data found beside it."""
    if inspection is None:
        return find_issues(dataset), AuditRecord()
    findings = in_dataset(inspection.findings, dataset)
    by_path = {p.path: p for p in predictions if len(p.probabilities)}
    nothing = (math.nan,) * len(dataset.classes)
    probabilities = np.array(
        [by_path[r.path].probabilities if r.path in by_path else nothing for r in findings.rows]
    )
    findings = with_suspects(dataset, findings, probabilities)
    is_right = np.array(
        [
            float(by_path[row.path].predicted == row.label) if row.path in by_path else math.nan
            for row in findings.rows
        ]
    )
    effects = effects_on(findings, is_right) if np.isfinite(is_right).any() else []
    compares = can_find_copies(dataset.modality, with_features=inspection.features is not None)
    return findings.issues, AuditRecord(
        shortcuts=findings.shortcuts,
        near_copies=inspection.measures is not None and compares,
        effects=tuple(effects),
    )
