"""What a fit learned in, the files of its run folder out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regraft.dataset import Dataset
from regraft.demo import title_of
from regraft.evidence.entries import (
    Evidence,
    guide_entry,
    learning_curve_entry,
    range_csv,
    review_entry,
    selection_entry,
    training_csv,
    transfer_entry,
)
from regraft.evidence.explaining import Explanations, write_explanations
from regraft.inspection.exploring import Exploration
from regraft.kinds import kind_named
from regraft.model import Model
from regraft.racing import Comparison
from regraft.runs import (
    DecisionsRecord,
    Results,
    Workplace,
    place_data,
    read_run,
    write_results,
)
from regraft.storage.files import write_atomic
from regraft.workflow.assessing import Assessed
from regraft.workflow.comparing import Entrants
from regraft.workflow.inspecting import Inspected
from regraft.workflow.preparing import Named, Prepared, Tools


@dataclass(frozen=True, slots=True)
class Learned:
    """All that the stages of a fit hand to its run folder."""

    named: Named
    prepared: Prepared
    inspected: Inspected
    entrants: Entrants
    comparison: Comparison
    model: Model
    assessed: Assessed
    exploration: Exploration | None
    explanations: Explanations | None
    evidence: Evidence


def gather_evidence(
    comparison: Comparison, assessed: Assessed, entrants: Entrants, tools: Tools
) -> Evidence:
    """What is shown beside the candidates: guide, transfer, learning curve..."""
    with tools.phase("evidence"):
        return Evidence(
            guide=entrants.guidance and guide_entry(*entrants.guidance, comparison),
            transfer=transfer_entry(comparison),
            learning_curve=learning_curve_entry(
                assessed.dataset,
                comparison,
                seed=tools.seed,
                jobs=tools.jobs,
                progress=tools.progress,
            ),
            selection=selection_entry(comparison, assessed.evaluations),
        )


def record(learned: Learned, place: Workplace, *, home: Path, tools: Tools) -> None:
    """Write everything, the report last.

    Args:
        learned: what is written.
        place: the folder that it is written to, and what run.json says so far.
        home: the folder that it becomes.
        tools: as for every stage.
    """
    from regraft.reporting import build_report

    work, dataset, comparison = place.folder, learned.assessed.dataset, learned.comparison
    if learned.named.corrected is not None:
        dataset = learned.named.corrected.noted_in(dataset)
    place.results = Results(
        data=place_data(work, dataset, home=home),
        title=title_of(dataset.root),
        layout=dataset.layout,
        modality=dataset.modality,
        notes=dataset.notes,
        classes=dataset.classes,
        counts={"training": len(dataset.train), "test": len(dataset.test)},
        fingerprint=dataset.fingerprint(),
        backbone=learned.model.backbone,
        audit=learned.assessed.audit,
        decisions=_decisions(learned, dataset),
        reading=_how_to_read(learned, dataset),
    )
    with tools.phase("report"):
        write_results(
            work,
            data=dataset,
            issues=learned.assessed.issues,
            comparison=comparison.to_dict() | learned.evidence.entries(),
            evaluations=learned.assessed.evaluations,
            predictions=learned.assessed.predictions,
            training=training_csv(comparison),
            ranges=range_csv(comparison),
            exploration=learned.exploration,
        )
        if learned.explanations is not None:
            write_explanations(work, learned.explanations)
        place.seconds_total = round(tools.clock.passed, 3)
        place.write()
        run = read_run(work, unfinished=True, home=home)
        write_atomic(work / "report.html", build_report(run))


def _decisions(learned: Learned, dataset: Dataset) -> DecisionsRecord | None:
    """What was applied of a review, and the accuracy before beside that of now."""
    review, applied = learned.named.review, learned.prepared.applied
    if review is None or applied is None:
        return None
    before, evaluations = review.run, learned.assessed.evaluations
    compared = (
        []
        if before is None
        else review_entry(before.evaluations, before.data, evaluations, dataset)
    )
    return applied.record(compared)


def _how_to_read(learned: Learned, dataset: Dataset) -> tuple[str, ...]:
    """Sentences on what the numbers of the run are of."""
    noun, comparison = kind_named(dataset.modality).noun, learned.comparison
    sentences = [
        *_on_training(comparison, len(dataset.train), noun),
        *_on_final_model(learned.model),
        *_on_test(len(dataset.test), learned.inspected.test_was_given, noun),
    ]
    gain = comparison.winner.cross_validation
    if gain is not None and gain.accuracy_gain >= 0.0005:
        sentences.append(
            f"Models of the folds are trained on fewer {noun}s than the final one, which is "
            f"expected to be more accurate by {100 * gain.accuracy_gain:.1f} points: the upper "
            "end of the interval from cross-validation is higher by as much."
        )
    if learned.entrants.unguided:
        sentences.append(learned.entrants.unguided)
    return tuple(sentences)


def _on_training(comparison: Comparison, n: int, noun: str) -> list[str]:
    repeated = f" repeated {comparison.repeats} times" if comparison.repeats > 1 else ""
    sentences = [
        f"{n:,} training {noun}s: every choice was made on them, by {comparison.folds}-fold "
        f"cross-validation{repeated}."
    ]
    chosen = comparison.winner.cross_validation
    if chosen is not None and not chosen.covered.all():
        sentences.append(
            f"The chosen approach trains a network, and the time was enough for "
            f"{chosen.folds_done} of {comparison.folds} folds: its cross-validated accuracy and "
            f"predictions are of {int(chosen.covered.sum()):,} of the {n:,} training {noun}s."
        )
    return sentences


def _on_final_model(model: Model) -> list[str]:
    if model.settings.get("final_epochs") != 0:
        return []
    return [
        "The time was up before the network could be trained on all of them: the model is the "
        "network of one fold. A larger --budget trains it on the others as well."
    ]


def _on_test(n: int, was_given: bool, noun: str) -> list[str]:
    if n:
        origin = "given" if was_given else "set aside at random before anything was compared"
        return [f"{n:,} test {noun}s ({origin}): read once, after the choice was made."]
    return [
        "No test set: the accuracy is that of nested cross-validation, in which settings are "
        f"chosen without the {noun}s they are scored on. The final model uses all {noun}s."
    ]
