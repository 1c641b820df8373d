"""The verbs people use, composed from the modules above: fit, evaluate, predict, report.

The command line calls these and prints what they return; a notebook can do the same. Nothing
here prints.
"""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regraft.approaches import (
    FOLDS,
    Approach,
    CrossValidation,
    Limits,
    is_trained,
    load_architecture,
    seconds_expected,
)
from regraft.auditing import (
    Audit,
    ByOrder,
    Looked,
    audit_data,
    compare_folds,
    effects_on,
    has_time_to_embed,
    look_first,
    pair_of_folds,
)
from regraft.candidates import (
    candidate_approaches,
    candidate_backbones,
    check_approaches,
    trains_networks,
)
from regraft.catalogue import Backbone, BackboneOptions, default_backbone, weights_path
from regraft.comparison import Candidate, Comparison, choose_again, compare, with_time_left
from regraft.corrections import (
    Correction,
    add_corrections,
    class_meant,
    corrections_log,
    keep_correction,
    read_corrections,
    with_note_on_corrections,
)
from regraft.csv_table import csv_text
from regraft.dataset import (
    Dataset,
    InputOptions,
    Inputs,
    Row,
    check_data,
    find_inputs,
    leave_out_small_classes,
    require_trainable,
    scan,
    set_aside,
    split_groups,
)
from regraft.dataset.elsewhere import without_absolute_paths
from regraft.decisions import (
    DECISIONS,
    Applied,
    DecisionLog,
    apply_decisions,
    carry_over,
    decisions_file,
    read_decisions,
)
from regraft.demo import title_of
from regraft.errors import (
    DataError,
    ExplanationError,
    ModelError,
    OutOfTimeError,
    RegraftError,
    RunError,
    StorageError,
    TrainingError,
    UnreadableInputError,
    UsageError,
)
from regraft.evaluation import (
    CROSS_VALIDATION,
    TEST,
    Evaluation,
    class_numbers,
    evaluate_model,
    evaluate_probabilities,
)
from regraft.evidence import (
    guide_entry,
    learning_curve_entry,
    range_csv,
    review_entry,
    selection_entry,
    training_csv,
    transfer_entry,
)
from regraft.explaining import (
    Explanations,
    HeatMap,
    Question,
    explain_photos,
    explain_run,
    write_explanations,
)
from regraft.exploring import explore
from regraft.features import embed_rows, measure_speed
from regraft.grouping import keep_together
from regraft.guide import RANKED_ON, Advice, Size, advise, measure_size, rank_backbones
from regraft.inputs import Input, as_files, each, is_one, is_path
from regraft.issues import Issue, find_issues, in_dataset, with_suspects
from regraft.locations import seen_from_here, shareable, without_places
from regraft.measures import measure_rows
from regraft.modality import IMAGE, MODALITIES, get_modality, things
from regraft.modality.base import read_input
from regraft.modality.text import read_text
from regraft.model import Model, Prediction, load
from regraft.overlaps import overlap_with, without_known_test_rows
from regraft.progress import Progress, note, silent
from regraft.promotion import deployed_run, promote, roll_back
from regraft.race import Race
from regraft.runs import (
    RACE,
    ImagePrediction,
    Run,
    check_folder,
    finished_run,
    free_folder,
    note_promotion,
    open_run,
    place_data,
    read_run,
    require_data,
    settings_of,
    shown_from,
    write_about,
    write_results,
)
from regraft.similarity import Similarity, measure_similarity
from regraft.storage import held, make_folder, write_atomic
from regraft.wording import counted

if TYPE_CHECKING:
    from regraft.exporting import Exported
    from regraft.reviewing import ReviewServer
    from regraft.serving import Server, ServerLimits
    from regraft.serving.app import ExtraPage, KeepCorrection
    from regraft.watching import Rules, Settings, Timeline, Watcher
    from regraft.watching.outputs import Output

DEFAULT_BUDGET_S = 300.0
_AFTERWARDS_S = 8.0  # evaluation, learning curve and report
_AFTERWARDS_IMAGE_S = 0.02  # predicting one more photo
_EXPLANATIONS_S = 6.0  # heat maps, where networks are trained
_REPORT_S = 2.0
_SIMILARITY_SHARE = 0.15  # of the budget, for measuring similarity
_RANKING_SHARE = 0.05  # of the budget, for finding out which of several backbones to try first
_BEGINNING = 40  # characters of a text that stand for it


class LabelColumns(TypedDict, total=False):
    """Names of columns of a label table; those left out are found by common names."""

    path_column: str
    text_column: str
    label_column: str
    split_column: str
    group_column: str


def fit(
    data: str | Path | Dataset,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    test: str | Path | None = None,
    columns: LabelColumns | None = None,
    budget_s: float = DEFAULT_BUDGET_S,
    backbones: str | Sequence[str] = (),
    approaches: str | Sequence[str] = (),
    resize: str | None = None,
    backbone_options: BackboneOptions | None = None,
    architecture: str | None = None,
    decisions: str | Path | None = None,
    with_corrections: str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
    seed: int = 0,
    jobs: int | None = None,
    command: str = "",
    progress: Progress = silent,
) -> Run:
    """From a folder of photos to an honest, saved classifier with its report.

    Args:
        data: a folder or a label table, see `scan` for the layouts; or a Dataset, for which the
            next four say nothing.
        labels: a label table for the files in `data`.
        image_dir: where the files named by a label table are.
        test: labelled data for the test set, kept out of every choice.
        columns: names of columns of the label table: `path_column`, `text_column`,
            `label_column`, `split_column`, `group_column`.
        budget_s: seconds for the whole run; candidates get fewer epochs, or are left out.
        backbones: name or names to try, or checkpoints to go on from; by default the built-in
            one, and the installed others too unless approaches are named.
        approaches: name or names to try; by default all.
        resize: "crop", "pad" or "squash"; by default the backbone's own.
        backbone_options: what the names of backbones do not say, see there.
        architecture: a network for `scratch`, "package.module:name" or "path/file.py:name".
        decisions: those of a review, to be applied to the data: a run folder or its decisions.csv.
            They go along to the new run folder, so that its review goes on from there.
        with_corrections: a run folder whose model was corrected at work: the corrected photos are
            trained on as well, its test set stays as it was, and the new model replaces the one
            at work there unless it is significantly worse.
        out: the run folder; by default `runs/<name of the data>`.
        force: replace a run that is there.
        seed: of splits and folds.
        jobs: worker threads; by default one a core.
        command: kept in run.json, to repeat the run.
        progress: told how far each step is.

    Returns:
        The run as read back from its folder.

    Raises:
        DataError: the data cannot be trained on, or the decisions not be read.
        RunError: the run folder is busy, finished or not one.
        UsageError: an option is outside its range.
        BackboneError: a backbone is unknown or not installed.
        StorageError: the run folder cannot be written.
    """
    if budget_s <= 0:
        raise UsageError(f"the budget is {budget_s:g} s, expected more than 0, such as 5m")
    approaches, backbones = names_in(approaches), names_in(backbones)
    named, networks_for = _backbones_to_try(
        approaches,
        backbones,
        architecture,
        resize=resize,
        options=backbone_options,
        progress=progress,
    )
    reviewed = None if decisions is None else _review_of(decisions)
    corrected = None if with_corrections is None else _corrections_of(with_corrections)
    source = data.root if isinstance(data, Dataset) else Path(data)
    usual = Path("runs") / _run_name(source)
    folder = Path(out) if out is not None else free_folder(usual)
    if out is None and folder != usual:
        note(progress, f"{usual} holds a finished run, so this one goes to {folder}")
    settings = {
        "data": os.path.realpath(source),
        "labels": os.path.realpath(labels) if labels else None,
        "image_dir": os.path.realpath(image_dir) if image_dir else None,
        "test": os.path.realpath(test) if test else None,
        "columns": dict(columns or {}),
        "budget_s": budget_s,
        "backbones": list(backbones),
        "approaches": list(approaches),
        "resize": resize,
        "backbone_options": dict(backbone_options or {}),
        "architecture": architecture,
        "decisions": reviewed and reviewed.setting,
        "corrections": corrected and corrected.setting,
        "seed": seed,
    }
    if isinstance(data, Dataset):  # no command line repeats it
        settings["dataset"] = data.fingerprint()
    else:
        command = command or _command(settings, folder)
    started = time.monotonic()
    if corrected is not None:
        _require_another(folder, corrected.run.folder)
        finished = None if force else finished_run(folder, settings)
        if finished is not None and finished.about.promotion is None:  # killed just before it
            return _promoted(finished, corrected)
    check_folder(folder, settings, force=force)
    if reviewed is not None:  # to be added to, so that nobody's decisions are lost
        read_decisions(folder / DECISIONS, missing_ok=True)
        for remark in reviewed.remarks:
            note(progress, remark)
    found = scanned(
        data,
        labels=labels,
        image_dir=image_dir,
        test=test,
        modality=named[0].modality if named else None,
        check=reviewed is None,
        jobs=jobs,
        progress=progress,
        columns=columns,
    )
    networks = networks_for(found.modality)
    network = networks[0] if networks else None
    applied = None
    if reviewed is not None:
        found, applied = apply_decisions(found, reviewed.log)
        found = check_data(found)
    if corrected is not None:
        found = corrected.applied_to(found)
    require_trainable(found)  # until here nothing is written
    found = without_absolute_paths(found)
    with open_run(folder, settings, command=command, force=force) as (work, about):
        phase = _stopwatch(about["seconds"])
        about["seconds"]["scan"] = round(time.monotonic() - started, 3)
        with phase("features"):
            left = budget_s - (time.monotonic() - started)
            embeds = network is not None and has_time_to_embed(found, network, budget_s=left)
            first = network if embeds else None
            found = _readable(found, first, jobs=jobs, progress=progress)
            require_trainable(found)
        had_test = bool(found.test)
        with phase("audit"):
            left = budget_s - (time.monotonic() - started)
            looked = look_first(
                found, network, embeds=embeds, budget_s=left, jobs=jobs, progress=progress
            )
            exploration = pair = None
            by_order = ByOrder()
            if looked is not None:
                if looked.features is not None and looked.measures is not None:
                    note(progress, f"drawing the map of the {things(found.modality)}")
                    exploration = explore(
                        found, looked.findings, looked.features, looked.measures, seed=seed
                    )
                grouped = keep_together(found, looked.findings)
                pair = pair_of_folds(found, looked.findings, grouped)
                if looked.findings.series is not None:
                    by_order = ByOrder.of(looked.findings.series, grouped)
                found = leave_out_small_classes(grouped.data)
                require_trainable(found)
        found, had_test = _with_test_set(found, networks, was_given=had_test, seed=seed)
        reserve = _AFTERWARDS_S + _AFTERWARDS_IMAGE_S * (len(found.test) + len(found.unlabelled))
        reserve += _EXPLANATIONS_S if trains_networks(approaches) else 0.0
        reserve = min(reserve, 0.2 * budget_s)
        entrants = _Entrants(
            partial(
                candidate_approaches,
                approaches,
                networks if backbones else (),
                modality=found.modality,
                resize=resize,
                architecture=architecture,
            ),
            found,
            networks,
            trains=trains_networks(approaches),
            budget_s=budget_s,
            deadline=started + budget_s - reserve,
            seed=seed,
            jobs=jobs,
            progress=progress,
        )
        with phase("comparison"):
            comparison = compare(
                entrants,
                found,
                budget_s=budget_s - (time.monotonic() - started),
                reserve_s=reserve,
                trains=entrants.trains,
                race=Race(work / RACE) if trains_networks(approaches) else None,
                seed=seed,
                jobs=jobs,
                progress=progress,
            )
        if entrants.guide_s:
            about["seconds"]["guide"] = entrants.guide_s
            about["seconds"]["comparison"] = round(
                about["seconds"]["comparison"] - entrants.guide_s, 3
            )
        with phase("final fit"):
            comparison, model = _final_fit(
                comparison,
                found,
                deadline=started + budget_s - reserve / 2,
                seed=seed,
                jobs=jobs,
                progress=progress,
            )
            model.save(work / "model")
        chosen = comparison.winner.cross_validation
        assert chosen is not None
        with phase("evaluation"):
            found, others, seen = _predict_the_rest(model, found, jobs=jobs, progress=progress)
            backbone = comparison.best.network
            evaluations = _evaluations(
                found, chosen, seen[: len(found.test)], backbone=backbone, seed=seed
            )
            predictions = _predictions(found, chosen, others, seen)
            if pair is not None and network is not None:
                by_order = compare_folds(
                    by_order, pair, found.with_rows(found.train), network, seed=seed, jobs=jobs
                )
            issues, audited = _issues(found, looked, predictions)
            if looked is not None and looked.findings.series is not None:
                audited["series"] = by_order.to_dict()
            if applied is not None:
                found, issues = _without_answered(found, issues, applied)
        with phase("evidence"):
            evidence = {
                "guide": entrants.guidance and guide_entry(*entrants.guidance, comparison),
                "transfer": transfer_entry(comparison),
                "learning_curve": learning_curve_entry(
                    found, comparison, seed=seed, jobs=jobs, progress=progress
                ),
                "selection": selection_entry(comparison, evaluations),
            }
        if corrected is not None:
            found = corrected.noted_in(found)
        explanations = None
        is_mapped = MODALITIES[found.modality].is_mapped
        # What takes seconds without PyTorch stays without it.
        if is_mapped and trains_networks(approaches):
            with phase("explanations"):
                explanations = _explanations(
                    work,
                    found,
                    predictions,
                    architecture=architecture,
                    deadline=started + budget_s - _REPORT_S,
                    jobs=jobs,
                    progress=progress,
                )
        about.update(
            data=place_data(work, found, home=folder),
            title=title_of(found.root),
            layout=found.layout,
            modality=found.modality,
            notes=list(found.notes),
            classes=list(found.classes),
            counts={"training": len(found.train), "test": len(found.test)},
            fingerprint=found.fingerprint(),
            backbone=dict(model.backbone),
            audit=audited,
            decisions=applied and reviewed and _decided(applied, reviewed, evaluations, found),
            reading=[
                *_reading(found, comparison, model, had_test=had_test),
                *filter(None, [entrants.unguided]),
            ],
        )
        with phase("report"):
            write_results(
                work,
                data=found,
                issues=issues,
                comparison=comparison.to_dict() | {k: v for k, v in evidence.items() if v},
                evaluations=evaluations,
                predictions=predictions,
                training=training_csv(comparison),
                ranges=range_csv(comparison),
                exploration=exploration,
            )
            if explanations is not None:
                write_explanations(work, explanations)
            about["seconds_total"] = round(time.monotonic() - started, 3)
            write_about(work, about)
            run = read_run(work, unfinished=True, home=folder)
            write_atomic(work / "report.html", _report(run))
        if reviewed is not None:
            carry_over(reviewed.log, folder / DECISIONS)
        about["seconds_total"] = round(time.monotonic() - started, 3)
    run = read_run(folder)
    return run if corrected is None else _promoted(run, corrected)


def names_in(given: str | Sequence[str]) -> list[str]:
    """One name or several, as a list."""
    return [given] if isinstance(given, str) else list(given)


def scanned(
    data: str | Path | Dataset,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    test: str | Path | None = None,
    modality: str | None = None,
    columns: LabelColumns | None = None,
    **options: Any,
) -> Dataset:
    """The Dataset of what was given; one that is a Dataset already stays as it is.

    Raises:
        UsageError: it is a Dataset, and options for reading one came with it, or it is of another
            kind than the backbones that were named.
        DataError: see `scan`.
    """
    if not isinstance(data, Dataset):
        return scan(
            data,
            labels=labels,
            image_dir=image_dir,
            test=test,
            modality=modality,
            **(columns or LabelColumns()),
            **options,
        )
    given = {"labels": labels, "image_dir": image_dir, "test": test, "columns": columns}
    unused = [name for name, value in given.items() if value]
    if unused:
        raise UsageError(f"{unused[0]} is for a path, and a Dataset came; give it to scan instead")
    if modality not in (None, data.modality):
        raise UsageError(f"the backbone is for {modality}s, and the data are {data.modality}s")
    return data


@dataclass(frozen=True, slots=True)
class PlannedCandidate:
    """One candidate of a plan: predicted seconds on one fold, and of the final training."""

    title: str
    seconds: float | None
    fit_seconds: float | None
    epochs: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `plan` found: size, similarity, advice, and what each candidate would cost."""

    size: Size
    similarity: Similarity
    advice: Advice
    candidates: tuple[PlannedCandidate, ...]
    modality: str = IMAGE

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "modality": self.modality,
            "size": self.size.to_dict(),
            "similarity": self.similarity.to_dict(),
            "quadrant": self.advice.quadrant,
            "advice": self.advice.advice,
            "reason": self.advice.reason,
            "source": self.advice.source,
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }


def plan(
    data: str | Path | Dataset,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    backbones: str | Sequence[str] = (),
    approaches: str | Sequence[str] = (),
    resize: str | None = None,
    backbone_options: BackboneOptions | None = None,
    architecture: str | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Plan:
    """Size, similarity, the rule of thumb, and what every candidate would take on this machine.

    Nothing is trained but a few steps that are timed. Arguments are those of `fit`.

    Raises:
        DataError: the data cannot be trained on.
        UsageError: an option is outside its range.
        BackboneError: a backbone is unknown or not installed.
    """
    approaches, backbones = names_in(approaches), names_in(backbones)
    named, networks_for = _backbones_to_try(
        approaches,
        backbones,
        architecture,
        resize=resize,
        options=backbone_options,
        progress=progress,
    )
    found = scanned(
        data,
        labels=labels,
        image_dir=image_dir,
        modality=named[0].modality if named else None,
        jobs=jobs,
        progress=progress,
        verify=True,
        columns=columns,
    )
    require_trainable(found)
    _tell(found, progress)
    networks = networks_for(found.modality)
    if not networks:  # similarity is measured with the built-in one
        weights_path(default_backbone(found.modality))
    found = set_aside(found, seed=seed)
    guidance = _guidance(found, networks[0], jobs=jobs, progress=progress)
    for backbone in networks:
        if seconds_expected(backbone, 1) is None:
            note(progress, f"timing {backbone.name}")
            measure_speed(backbone, progress=progress)
    planned = []
    for approach in candidate_approaches(
        approaches,
        networks if backbones else (),
        modality=found.modality,
        resize=resize,
        advice=guidance.advice,
        architecture=architecture,
    ):
        title = Candidate(approach, "skipped").title
        if not is_trained(approach):
            seconds = seconds_expected(approach.network, len(found.train))
            planned.append(PlannedCandidate(title, seconds, 0.0, None))
            continue
        note(progress, f"timing {title}")
        try:
            cost = approach.cost(found, folds=FOLDS, jobs=jobs)
        except TrainingError as error:
            planned.append(PlannedCandidate(title, None, None, None, str(error)))
            continue
        planned.append(PlannedCandidate(title, cost.once + cost.fold, cost.fit, cost.epochs))
    return Plan(*guidance, tuple(planned), found.modality)


def audit(
    data: str | Path | Dataset,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    test: str | Path | None = None,
    columns: LabelColumns | None = None,
    backbone: str | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Audit:
    """What is wrong with the data: copies, leakage, doubtful labels, outliers, faults, shortcuts.

    Nothing is trained but a linear probe, and no file is changed. Arguments are those of `fit`;
    `data` may be a Dataset as well.

    Raises:
        DataError: there is no labelled photo.
        BackboneError: the backbone is unknown or not installed.
    """
    is_dataset = isinstance(data, Dataset)
    data = scanned(
        data,
        labels=labels,
        image_dir=image_dir,
        test=test,
        min_class_images=1,
        jobs=jobs,
        progress=progress,
        columns=columns,
    )
    if data.ok and not is_dataset:
        _tell(data, progress)
    if not data.ok:
        require_trainable(data)
    return audit_data(data, backbone=backbone, seed=seed, jobs=jobs, progress=progress)


def report_data(audited: Audit, out: str | Path, *, seed: int = 0) -> Path:
    """Write what an audit and a first look at the photos show as one offline HTML file.

    Args:
        audited: what `audit` returned.
        out: the HTML file.
        seed: of the map.

    Raises:
        StorageError: `out` cannot be written.
    """
    from regraft.reporting import build_data_report

    write_atomic(Path(out), build_data_report(audited, seed=seed))
    return Path(out)


def evaluate(
    model: str | Path | Model,
    data: str | Path | Dataset,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Score a model on labelled images it has not seen: the test rows of `data`, or all.

    Args:
        model: a Model, or a model or run folder.
        data: a Dataset, a folder or a label table.
        labels, image_dir, columns: as for `fit`, where `data` is a path.
        jobs: worker threads.
        progress: told how many images are done.

    Raises:
        ModelError: the model cannot be read.
        DataError: no labelled image, or a label the model does not know.
    """
    loaded = model if isinstance(model, Model) else load(model)
    data = scanned(
        data,
        labels=labels,
        image_dir=image_dir,
        remembered=loaded.columns,
        classes=loaded.classes,
        min_class_images=1,
        jobs=jobs,
        progress=progress,
        columns=columns,
    )
    evaluation = evaluate_model(loaded, data, jobs=jobs, progress=progress)
    _tell(data, progress)
    return evaluation


def _tell(data: Dataset, progress: Progress) -> None:
    """Tell what was taken for what, where no result shows it."""
    for text in data.notes:
        note(progress, text)


@dataclass(frozen=True, slots=True)
class Explained:
    """What `explain` found and wrote.

    `pictures` are the PNG files with the path of the photo that each shows; `report` is the report
    that was written again. One of them is empty.
    """

    explanations: Explanations
    pictures: tuple[tuple[HeatMap, Path], ...] = ()
    report: Path | None = None

    def __repr__(self) -> str:
        where = self.report or f"{len(self.pictures):,} pictures"
        return f"Explained({self.explanations!r}, {where})"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One for each photo: path, class, confidence, picture, and why there is none."""
        files = {heat_map.path: str(path) for heat_map, path in self.pictures}
        found = [
            {
                "path": m.path,
                "target": m.target,
                "predicted": m.predicted,
                "confidence": round(m.confidence, 6),
                "picture": files.get(m.path, ""),
                "reason": "",
            }
            for m in self.explanations.maps
        ]
        nothing = {"target": "", "predicted": "", "confidence": "", "picture": ""}
        left = [{"path": p, **nothing, "reason": why} for p, why in self.explanations.left_out]
        return found + left

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        files = {heat_map.path: str(path) for heat_map, path in self.pictures}
        data = self.explanations.to_dict()
        for photo in data["photos"]:
            photo["picture"] = files.get(photo["path"], "")
        return data


def explain(
    model: str | Path,
    files: Input | Iterable[Input] = (),
    *,
    out: str | Path = "explanations",
    architecture: str | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Explained:
    """Heat maps of where a model finds evidence for a class.

    Without files those of a run's confident errors and typical hits are made again, and its report
    with them. With files each photo is explained for the class the model says, and written as a
    PNG with the heat map laid over it; what cannot be read is listed and the rest goes on.

    Args:
        model: a run folder; with files a model folder does as well.
        files: photos, folders or glob patterns, PIL pictures or uint8 (h, w, 3), one or many.
        out: the folder of the PNG files.
        architecture: where the network of a model trained from scratch on your own is, as for
            `fit`.
        jobs: worker threads.
        progress: told how many maps are done.

    Raises:
        RunError: without files, the folder holds no complete run.
        ModelError: the model cannot be read, or reads something else than photos.
        DataError: an input is not there, no image was found, or the run is not of photos.
        ExplanationError: the model has no gradient, no photo could be read, or the maps do not
            depend on what was learned.
        UsageError: the architecture cannot be imported.
        StorageError: a file cannot be written.
    """
    make = load_architecture(architecture) if architecture is not None else None
    instead = "predictions.csv of its run lists what it was wrong on"
    given = each(files)
    if not given:
        run = read_run(model)
        _require_photos(run.data, "explain", instead)
        require_data(run)
        found = explain_run(
            run.folder / "model",
            run.data,
            run.predictions,
            make=make,
            jobs=jobs,
            progress=progress,
        )
        write_explanations(run.folder, found)
        return Explained(found, report=report(run.folder, run.folder / "report.html"))
    _of_photos(load(model), "explain", instead)
    with as_files(given) as paths:
        questions = [Question(path, Path(path)) for path in expand_inputs(paths)]
        found = explain_photos(Path(model), questions, make=make, jobs=jobs, progress=progress)
        if not found.shown:
            raise ExplanationError(found.check.text if found.check and found.maps else found.reason)
        pictures, gone = _write_pictures(found.shown, Path(out))
    found = replace(found, left_out=(*found.left_out, *gone))
    return Explained(found, pictures=pictures)


def export(
    model: str | Path | Model,
    file: str | Path,
    *,
    check: str | Path | Dataset | None = None,
    precision: str = "float32",
    force: bool = False,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write a model as one ONNX file, with a script that runs it and a model card.

    Nothing is written unless the file predicts as the model does, see `exporting.export_model`.

    Args:
        model: a Model, or a model or run folder.
        file: its name, ending in .onnx.
        check: photos or texts to compare on: a Dataset, a folder, a file or a table, all of it.
            By default those of the run, 500 at the most, its test set first.
        precision: "float32", "half" or "int8".
        force: replace files that are there.
        jobs: worker threads.
        progress: told how far each step is.

    Raises:
        ModelError, RunError, DataError: what is given cannot be read.
        UsageError, ExportError, StorageError: see `exporting.export_model`.
    """
    from regraft.exporting import export_model, sample_of_run

    loaded = model if isinstance(model, Model) else load(model)
    run = None
    if not isinstance(model, Model) and (Path(model) / "run.json").exists():
        run = deployed_run(read_run(model))  # another one, after a promotion
    some: Dataset | Sequence[str | Path] = ()
    if isinstance(check, Dataset):
        some = check
    elif check is not None:
        some = _labelled_or_not(check, loaded, jobs=jobs, progress=progress)
    elif run is not None:
        some = sample_of_run(run.data)
    return export_model(
        loaded,
        file,
        check=some,
        precision=precision,
        evaluations=run.evaluations if run is not None else (),
        force=force,
        jobs=jobs,
        progress=progress,
    )


def serve(
    model: str | Path | Model,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: ServerLimits | None = None,
    token: str = "",
    history: str | Path | None = None,
    corrections: bool = False,
    unfamiliar_from: float | None = None,
    jobs: int | None = None,
) -> Server:
    """A server that listens; call its `serve` to answer until the process is told to stop.

    Args:
        model: a Model, or a model or run folder.
        host: address to listen on; by default only this machine can reach it.
        port: 0 for any that is free.
        limits: of requests; None for the usual ones.
        token: that requests have to carry as "Authorization: Bearer TOKEN"; "" for none.
        history: of a watched folder; its timeline is served as /timeline and /timeline.csv.
        corrections: whether the page may keep photos under their right label, in the run folder
            that `model` is then; not for texts.
        unfamiliar_from: distance from which a photo is unfamiliar; None for that of the model.
        jobs: worker threads.

    Raises:
        ModelError: the model cannot be read, or is not of photos where these alone will do.
        StorageError: the history is not there.
        RunError: corrections are to be kept, and the model is not that of a run.
        UsageError: the address or the port cannot be used.
    """
    from regraft.serving import Server

    loaded = model if isinstance(model, Model) else load(model)
    loaded = loaded.flagging_from(unfamiliar_from)
    if history is not None:
        _of_photos(loaded, "serve --history", "leave it out")
    keep: KeepCorrection | None = None
    if corrections:
        _of_photos(loaded, "serve --corrections", "leave it out")
        if isinstance(model, Model):
            raise UsageError("corrections are kept in a run folder; give that as the model")
        keep = partial(_keep_from_page, read_run(model).folder)
    return Server(
        loaded,
        host=host,
        port=port,
        limits=limits,
        token=token,
        pages={} if history is None else _timeline_pages(history),
        keep=keep,
        jobs=jobs,
    )


def _keep_from_page(run: Path, data: bytes, label: str, said: str, name: str) -> None:
    keep_correction(run, data, label, said=said, source="page", name=name)


def _timeline_pages(history: str | Path) -> dict[str, ExtraPage]:
    from regraft.serving.app import ExtraPage
    from regraft.watching.page import build_timeline_page

    def found() -> Timeline:
        try:
            return timeline(history)
        except StorageError as error:  # others may be told: without where it is
            text = str(error).replace(str(history), Path(history).name)
            raise StorageError(text) from error

    timeline(history)  # it is there, and can be read
    return {
        "/timeline": ExtraPage(
            "text/html",  # others may reach it: figures, without a look into the room
            lambda: build_timeline_page(found(), with_pictures=False),
        ),
        "/timeline.csv": ExtraPage("text/csv", lambda: found().to_csv()),
    }


def _of_photos(model: Model, verb: str, instead: str) -> Model:
    """The model, if it is one of photos.

    Raises:
        ModelError: it reads something else.
    """
    kind = model.transform.modality
    if kind != IMAGE:
        raise ModelError(f"the model reads {kind}s, and regraft {verb} is for photos; {instead}")
    return model


def _require_photos(data: Dataset, verb: str, instead: str) -> None:
    """Raises DataError: the data are something else."""
    if data.modality != IMAGE:
        raise DataError(
            f"the data are {data.modality}s, and regraft {verb} is for photos; {instead}"
        )


@contextmanager
def watch(
    model: str | Path | Model,
    folder: str | Path,
    db: str | Path,
    *,
    settings: Settings | None = None,
    outputs: Sequence[Output] = (),
    progress: Progress = silent,
) -> Iterator[Watcher]:
    """A watcher of the folder that cameras write into; call its `run`, or `once`.

    Args:
        model: a Model, or a model or run folder.
        folder: with a folder in it for each camera, or with photos.
        db: the history, an SQLite file, made if need be.
        settings: rules of states, and how files are read; None for the usual ones.
        outputs: who is told of events.
        progress: told how far a pass is.

    Raises:
        ModelError: the model cannot be read, or the history is of other classes.
        DataError: the folder is not there.
        StorageError: the history cannot be used, or another process writes it.
    """
    from regraft.watching import Store, Watcher, require_folder

    loaded = _of_photos(
        model if isinstance(model, Model) else load(model),
        "watch",
        "regraft serve answers for texts as they come, and regraft predict for a folder of them",
    )
    require_folder(folder)  # before there is a history of it
    loaded.check()
    with Store(db) as store:
        guard = store.file.with_name(f"{store.file.name}.lock")
        busy = StorageError(
            f"another process watches with {db}; stop that one, or choose another --db"
        )
        with held(guard, busy, doing=f"write beside {store.file}"):
            yield Watcher(
                loaded, folder, store, settings=settings, outputs=outputs, progress=progress
            )


def timeline(
    db: str | Path,
    out: str | Path | None = None,
    *,
    rules: Rules | None = None,
    since: float = 0.0,
    cameras: Sequence[str] = (),
) -> Timeline:
    """What a watched folder showed over time; with `out` also as an HTML page.

    Args:
        db: the history.
        out: where the page is written.
        rules: what makes a change; None for those of the watcher.
        since: photos taken before are left out, seconds since 1970.
        cameras: which; () for all.

    Raises:
        StorageError: the history cannot be read, or the page not written.
        DataError: there is no camera of a name.
    """
    from regraft.watching import Store, read_timeline
    from regraft.watching.page import build_timeline_page

    with Store(db, must_exist=True) as store:
        known = store.cameras()
        for name in cameras:
            if name not in known:
                raise DataError(f"there is no camera {name!r}; expected {', '.join(known)}")
        found = read_timeline(store, rules=rules, since=since, cameras=cameras)
    if out is not None:
        write_atomic(Path(out), build_timeline_page(found))
    return found


def _labelled_or_not(
    source: str | Path, model: Model, *, jobs: int | None, progress: Progress
) -> Dataset | Sequence[str | Path]:
    """The inputs of a data set with their labels, or plain files where there are none."""
    kind, before = model.transform.modality, model.columns
    try:
        return scan(
            source,
            modality=kind,
            remembered=before,
            classes=model.classes,
            min_class_images=1,
            jobs=jobs,
            progress=progress,
        )
    except DataError:
        options = InputOptions(remembered=before)
        return list(find_inputs([source], modality=kind, options=options).paths)


def review(run: str | Path, *, port: int = 0) -> ReviewServer:
    """A local page to go through the suspects and errors of a run; see `ReviewServer`.

    Every decision is appended at once to the file decisions.csv in the run folder, which
    `fit(decisions=...)` applies. Photos and label tables stay as they are.

    Args:
        run: the folder of a finished run.
        port: of this machine; 0 for any that is free.

    Raises:
        RunError: the folder holds no complete run.
        DataError: its decisions.csv cannot be understood.
        UsageError: the port is in use or not allowed.
    """
    from regraft.reviewing import ReviewServer

    found = read_run(run)
    _require_photos(found.data, "review", "issues.csv in the run folder lists what to look at")
    require_data(found)
    return ReviewServer(found, port=port)


def review_command(run: Run) -> str:
    """The command that fits the data of a run again with what was decided in its review."""
    settings = {**_UNSET, **settings_of(run), "decisions": {"path": str(run.folder)}}
    if "dataset" in settings:
        return f"in Python: rg.fit(data, decisions={str(run.folder)!r})"
    for name in ("data", "labels", "image_dir", "test"):
        if settings[name] is not None:
            settings[name] = seen_from_here(settings[name])
    return _command(settings)


def report(run: str | Path | Sequence[str | Path], out: str | Path) -> Path:
    """Write the report of a run folder, or of several side by side, as one offline HTML file.

    Raises:
        RunError: the folder holds no complete run, or fewer than two of several do.
        StorageError: `out` cannot be written.
    """
    if not isinstance(run, str | Path):
        return report_side_by_side(run, out, force=True).path
    found = read_run(run)
    with shown_from(found):
        page = _report(found)
    write_atomic(Path(out), page)
    return Path(out)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Where the page on several runs is, which of them did best, and what is not on it, and why."""

    path: Path
    best: Path
    left_out: tuple[str, ...]


def report_side_by_side(
    runs: Sequence[str | Path], out: str | Path, *, force: bool = False
) -> SideBySide:
    """Write one offline HTML file on several runs.

    A folder that holds no complete run is left out, and the page says so, as long as two remain.

    Args:
        runs: run folders; one that is given twice is shown once.
        out: the HTML file.
        force: replace a file that is there.

    Raises:
        RunError: fewer than two of them can be shown.
        StorageError: `out` is there already, or cannot be written.
    """
    from regraft.reporting import best_run, build_side_by_side

    target = Path(out)
    if os.path.lexists(target) and not force:
        raise StorageError(
            f"{target} is there already; add --force to replace it or choose another --out"
        )
    found: dict[str, Run] = {}
    left_out = []
    for folder in map(Path, runs):
        place = os.path.realpath(folder)
        if place in found:
            left_out.append(f"{folder} was given twice and is shown once")
            continue
        try:
            found[place] = read_run(folder)
        except RunError as error:
            left_out.append(f"left out: {error}")
    if len(found) < 2:
        why = f": {left_out[0]}" if left_out else ""
        raise RunError(
            f"{len(found)} of {len(runs)} runs can be shown, expected at least 2{why}; to see a "
            "single run, give it alone"
        )
    shown = list(found.values())
    with shown_from(*shown):
        page = build_side_by_side(shown, left_out=left_out)
        best = shown[best_run(shown)].folder
    write_atomic(target, page)
    return SideBySide(target, best, tuple(left_out))


@overload
def predict(  # type: ignore[overload-overlap]  # a str is a sequence of them
    model: str | Path | Model,
    inputs: str | os.PathLike[str],
    *,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Prediction | list[Prediction]: ...


@overload
def predict(  # type: ignore[overload-overlap]  # an array can be gone through
    model: str | Path | Model,
    inputs: Image.Image | NDArray[np.uint8],
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Prediction: ...


@overload
def predict(
    model: str | Path | Model,
    inputs: Iterable[Input],
    *,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[Prediction]: ...


def predict(
    model: str | Path | Model,
    inputs: Input | Iterable[Input],
    *,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Prediction | list[Prediction]:
    """Predict files, folders (with all inputs below them), glob patterns, tables, pictures, arrays.

    One file, picture or array gives one Prediction; several, a folder, a pattern or a table give a
    list. A table stands for the files that it names, or for the texts or images that it holds.
    Files that are no inputs come last, with the flag "ignored" and the reason. See `Model.predict`,
    which flags what is not there where this raises.

    Args:
        model: a Model, or a model or run folder.
        inputs: what to predict, one or many.
        image_dir: the folder of the files that a table names; by default that of the table.
        columns: `path_column` or `text_column` of the tables; by default what the model was trained
            on, else what they are recognised by.
        jobs: worker threads.
        progress: told how many are done, and what was taken for what.

    Raises:
        ModelError: the model cannot be read.
        DataError: an input is not there, or none was found.
    """
    loaded = model if isinstance(model, Model) else load(model)
    kind = loaded.transform.modality
    named = columns or LabelColumns()
    options = InputOptions(
        path_column=named.get("path_column"),
        text_column=named.get("text_column"),
        image_dir=image_dir,
        remembered=loaded.columns,
    )
    given = each(inputs)
    paths = [os.fspath(one) for one in given if is_path(one, kind)]  # type: ignore[arg-type]
    found = find_inputs(paths, modality=kind, options=options) if paths else Inputs()
    for text in found.notes:
        note(progress, text)
    expanded = list(found.paths) if len(paths) == len(given) else given
    predictions = loaded.predict(expanded, jobs=jobs, progress=progress)
    if is_one(inputs) and (expanded is given or expanded == [str(Path(paths[0]))]):
        return predictions[0]
    return [*predictions, *starmap(Prediction.ignored, found.left_out.items())]


def predict_texts(model: str | Path | Model, texts: Sequence[str]) -> list[Prediction]:
    """Predict texts as such; their paths are "text 1", "text 2"...

    Raises:
        ModelError: the model cannot be read, or is not one of texts.
    """
    loaded = model if isinstance(model, Model) else load(model)
    if loaded.transform.modality != "text":
        raise ModelError("the model reads photos, and --text is for models of texts; give files")
    predictions = []
    for number, text in enumerate(texts, start=1):
        name = f"text {number}"
        try:
            array = loaded.transform.read(text.encode("utf-8", "replace"))
            predictions.append(loaded.predict_array(array, name))
        except UnreadableInputError as error:
            predictions.append(Prediction.unreadable(name, error))
    return predictions


def beginnings(
    model: Model, predictions: Sequence[Prediction], texts: Sequence[str] = ()
) -> dict[str, str]:
    """The first characters of the texts that were predicted, by path; {} for other inputs.

    Args:
        model: that predicted them.
        predictions: of files or cells, and of `texts` (see `predict_texts`).
        texts: which lie in no file.
    """
    if model.transform.modality != "text":
        return {}
    found = {f"text {number}": text for number, text in enumerate(texts, start=1)}
    for p in predictions:
        if p.probabilities and p.path not in found:
            with suppress(UnreadableInputError):  # gone since it was predicted
                found[p.path] = read_text(read_input(p.path))[0]
    return {
        path: " ".join(text[: 4 * _BEGINNING].split())[:_BEGINNING] for path, text in found.items()
    }


def expand_inputs(inputs: Sequence[str | Path], *, modality: str = IMAGE) -> list[str]:
    """Files as given; folders, patterns and tables as the inputs they hold, sorted, each once.

    Raises:
        DataError: an input is not there, or none was found.
    """
    return list(find_inputs(inputs, modality=modality).paths)


def predictions_table(model: Model, predictions: Sequence[Prediction]) -> str:
    """CSV: path, predicted, confidence, set, flag, p_<class>..., reason; a set is joined by `|`."""
    header = ["path", "predicted", "confidence", "set", "flag"]
    rows = [[*header, *(f"p_{name}" for name in model.classes), "reason"]]
    for p in predictions:
        numbers = [f"{x:.6f}" for x in p.probabilities] or [""] * len(model.classes)
        confidence = f"{p.confidence:.6f}" if p.probabilities else ""
        rows.append([p.path, p.predicted, confidence, "|".join(p.set), p.flag, *numbers, p.reason])
    return csv_text(rows)


def correct(
    run: str | Path,
    files: Input | Iterable[Input],
    label: str,
    *,
    new_class: bool = False,
    source: str = "command",
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[Correction]:
    """Keep photos under their right label, to be trained on by `fit` with `with_corrections`.

    Args:
        run: the run folder whose model said something else.
        files: photos, folders or glob patterns, PIL pictures or uint8 (h, w, 3), one or many.
        label: the class of all of them.
        new_class: whether that may be a class that the run does not know.
        source: where the corrections come from, see `corrections.SOURCES`.
        jobs: worker threads.
        progress: told of files that are no photos.

    Raises:
        RunError: there is no such run.
        DataError: a file is not there or no photo, or the label no class.
        StorageError: they cannot be kept.
    """
    found = read_run(run)
    instead = "put texts into the folder of their class, or the table, and fit again"
    _require_photos(found.data, "correct", instead)
    folder = found.folder
    classes = {*found.data.classes, *(one.label for one in read_corrections(folder))}
    label = class_meant(label, classes, is_new=new_class)
    with as_files(files) as paths:
        said = {}
        for p in predict(folder, paths, jobs=jobs):
            if p.flag == "ignored":
                note(progress, f"{p.path} is not kept: {p.reason}")
            else:
                said[p.path] = p.predicted
        return [
            keep_correction(
                folder,
                read_input(path),
                label,
                said=predicted,
                source=source,
                name=Path(path).name,
            )
            for path, predicted in said.items()
        ]


def rollback(run: str | Path) -> Path:
    """Put the model that a promotion replaced to work again.

    Raises:
        RunError: the run keeps no earlier model.
        ModelError: it cannot be read.
        StorageError: the folder cannot be written.
    """
    return roll_back(run)


@dataclass(frozen=True, slots=True)
class _Corrected:
    """Corrections to be trained on, and the run they were made on."""

    run: Run
    found: tuple[Correction, ...]
    setting: dict[str, str]

    def applied_to(self, data: Dataset) -> Dataset:
        """The data with the corrected photos, and the test set of the run."""
        tested = {row.sha256: row.label for row in self.run.data.test}
        return add_corrections(data, self.found, tested=tested)

    def noted_in(self, data: Dataset) -> Dataset:
        """The data with a note on what became of the corrected photos."""
        return with_note_on_corrections(data, self.found, self.run.folder)


def _require_another(folder: Path, corrected: Path) -> None:
    """Raises UsageError: a new run would replace the very run whose corrections it learns from."""
    if os.path.realpath(folder) == os.path.realpath(corrected):
        raise UsageError(
            f"--out is {folder}, the run whose corrections are used; choose another folder: the "
            f"new model takes the place of the one in {corrected} if it is no worse"
        )


def _promoted(run: Run, corrected: _Corrected) -> Run:
    """The run, and what became of its model beside the one that was corrected at work."""
    promotion = promote(run, corrected.run)
    over = shareable(corrected.run.folder, Path.cwd())
    note_promotion(run.folder, replace(promotion, over=over))
    return read_run(run.folder)


def _corrections_of(path: str | Path) -> _Corrected:
    run = read_run(path)
    log = corrections_log(run.folder)
    found = read_corrections(run.folder)
    if not found:
        raise DataError(
            f"{path} holds no corrections; make some with regraft correct {path} photo.jpg "
            "--label NAME, or on the page of regraft serve --corrections"
        )
    return _Corrected(run, found, {"path": os.path.realpath(run.folder), "sha256": log.sha256})


@dataclass(frozen=True, slots=True)
class _Review:
    """Decisions to be applied, the run they were made on (None: not known), and remarks on them."""

    log: DecisionLog
    run: Run | None
    remarks: tuple[str, ...]

    @property
    def setting(self) -> dict[str, str]:
        """What run.json says of it: a file that has changed makes another run."""
        return {"path": os.path.realpath(self.log.file), "sha256": self.log.sha256}


def _review_of(path: str | Path) -> _Review:
    """The decisions in a file or run folder.

    Read before anything is written: the new run may replace the one they were made on.
    """
    file = decisions_file(path)
    log = read_decisions(file)
    if not Path(path).is_dir():
        return _Review(log, None, ())
    try:
        return _Review(log, read_run(path), ())
    except RunError as error:
        return _Review(log, None, (f"the accuracy before the review is not shown: {error}",))


def _without_answered(
    data: Dataset, issues: Sequence[Issue], applied: Applied
) -> tuple[Dataset, tuple[Issue, ...]]:
    """The issues that a review has not answered, and the dataset with a note on the others."""
    left = applied.silence(issues)
    answered = len(issues) - len(left)
    if not answered:
        return data, left
    are = counted(answered, "issue is", "issues are")
    remark = f"{are} not listed again: the review has answered them."
    return replace(data, notes=(*data.notes, remark)), left


def _decided(
    applied: Applied, reviewed: _Review, evaluations: Sequence[Evaluation], data: Dataset
) -> dict[str, Any]:
    """`decisions` in run.json: what was applied, and the accuracy before beside that of now."""
    before = reviewed.run
    compared = (
        [] if before is None else review_entry(before.evaluations, before.data, evaluations, data)
    )
    return applied.to_dict() | {"compared": compared}


def _backbones_to_try(
    approaches: Sequence[str],
    backbones: Sequence[str],
    architecture: str | None,
    *,
    resize: str | None,
    options: BackboneOptions | None,
    progress: Progress,
) -> tuple[list[Backbone], Callable[[str], list[Backbone]]]:
    """The named backbones, and those to try for a modality: the same, where any is named.

    A typo is told before any work.
    """
    check_approaches(approaches)
    choose = partial(
        candidate_backbones, approaches, resize=resize, options=options, progress=progress
    )
    named = choose(backbones) if backbones else []
    if architecture is not None:
        load_architecture(architecture)
    return named, lambda modality: named or choose((), modality=modality)


class _Guidance(NamedTuple):
    size: Size
    similarity: Similarity
    advice: Advice


def _guidance(
    data: Dataset,
    backbone: Backbone,
    *,
    deadline: float = math.inf,
    jobs: int | None,
    progress: Progress,
) -> _Guidance:
    of = things(data.modality)
    note(progress, f"measuring how similar the {of} are to the pretraining data")
    size = measure_size(data)
    if backbone.is_frozen:  # nothing is known of what it was trained on: the default stands in
        backbone = default_backbone(data.modality)
    similarity = measure_similarity(data, backbone, deadline=deadline, jobs=jobs, progress=progress)
    return _Guidance(size, similarity, advise(size, similarity))


@dataclass(slots=True)
class _Entrants:
    """What a fit compares, one after the other: what is quick comes before what is measured for
    the rest.

    Args:
        make: `candidate_approaches` with all but the order and the advice.
        data: to be trained on.
        networks: the backbones, the first one embedded already.
        trains: whether candidates that train a network are wanted.
        budget_s: of the whole fit.
        deadline: in seconds of `time.monotonic`, by which the comparison has to be over.
        seed, jobs, progress: as for `fit`.

    Attributes:
        guidance: size, similarity and advice; None where they were not asked for.
        guide_s: seconds that took.
        unguided: why there was no time for them, a sentence for people; "" otherwise.
    """

    make: Callable[..., list[Approach]]
    data: Dataset
    networks: Sequence[Backbone]
    trains: bool
    budget_s: float
    deadline: float
    seed: int
    jobs: int | None
    progress: Progress
    guidance: _Guidance | None = None
    guide_s: float = 0.0
    unguided: str = ""

    def __iter__(self) -> Iterator[Approach]:
        others = self.networks[1:]
        quick = [a for a in self.make() if not is_trained(a) and a.network not in others]
        yield from quick
        ranked = self._ranked(others)
        yield from (a for a in self.make(ranked=ranked) if not is_trained(a) and a not in quick)
        if self.trains:
            began = time.monotonic()
            self._guide()
            self.guide_s = round(time.monotonic() - began, 3)
            advice = self.guidance and self.guidance.advice
            yield from filter(is_trained, self.make(advice=advice, ranked=ranked))

    def _ranked(self, others: Sequence[Backbone]) -> Sequence[Backbone]:
        """The other backbones in the order to try them, as far as it takes little to know it."""
        images = min(RANKED_ON, len(self.data.train))
        expected = [seconds_expected(backbone, images) for backbone in others]
        if not self.trains or len(others) < 2 or None in expected:
            return ()
        if sum(s for s in expected if s) > _RANKING_SHARE * self.budget_s:
            return ()
        scored = rank_backbones(
            self.data, others, seed=self.seed, jobs=self.jobs, progress=self.progress
        )
        return [backbone for backbone, _ in scored]

    def _guide(self) -> None:
        of = things(self.data.modality)
        until = min(self.deadline, time.monotonic() + _SIMILARITY_SHARE * self.budget_s)
        try:
            self.guidance = _guidance(
                self.data, self.networks[0], deadline=until, jobs=self.jobs, progress=self.progress
            )
        except OutOfTimeError as error:
            self.unguided = (
                f"How similar the {of} are to the pretraining data was not measured: {error}. "
                "A larger --budget, or regraft plan, does."
            )
            note(self.progress, self.unguided)


def _final_fit(
    comparison: Comparison,
    data: Dataset,
    *,
    deadline: float,
    seed: int,
    jobs: int | None,
    progress: Progress,
) -> tuple[Comparison, Model]:
    """The winner trained on all training rows, or the best quick one where that fails."""
    chosen = comparison.winner.cross_validation
    has_fallback = choose_again(comparison, "") or (chosen and chosen.network is not None)
    try:
        model = comparison.best.fit(
            data,
            cross_validation=with_time_left(comparison.winner, deadline - time.monotonic()),
            limits=Limits(deadline=deadline) if has_fallback else Limits(),
            seed=seed,
            jobs=jobs,
            progress=progress,
        )
    except TrainingError as error:
        again = choose_again(comparison, f"its final training was not finished: {error}")
        if again is None:
            raise
        note(progress, f"{comparison.winner.title}: {error}; using {again.winner.title} instead")
        chosen = again.winner.cross_validation
        model = again.best.fit(
            data, cross_validation=chosen, seed=seed, jobs=jobs, progress=progress
        )
        return again, model
    return comparison, model


def _with_test_set(
    data: Dataset, networks: Sequence[Backbone], *, was_given: bool, seed: int
) -> tuple[Dataset, bool]:
    """The data with a test set that no backbone was trained on, and whether it was given."""
    contents = [network.contents for network in networks]
    if was_given:
        data = without_known_test_rows(data, contents, was_given=True)
    is_given = bool(data.test)
    data = set_aside(data, seed=seed)
    if not is_given:
        data = without_known_test_rows(data, contents, was_given=False)
    notes = [
        f"{network.name} had been trained on {overlap.flattering:,} of the {len(data.train):,} "
        f"training {things(data.modality)}, labels included: cross-validation flatters what is "
        "built on it."
        for network in networks
        if (overlap := overlap_with(data.train, network.contents)).flattering
    ]
    return replace(data, notes=(*data.notes, *notes)), is_given


def _readable(
    data: Dataset, first: Backbone | None, *, jobs: int | None, progress: Progress
) -> Dataset:
    """The dataset with the files that cannot be decoded marked, found by decoding them all.

    The features of `first`, or the measures where there is no time for features, go to the cache,
    where what comes later finds them.
    """
    rows = data.train
    found = (
        measure_rows(data, rows, jobs=jobs, progress=progress)
        if first is None
        else embed_rows(data, rows, first, jobs=jobs, progress=progress)
    )
    if found.warning:
        note(progress, found.warning)
    marked = data.mark({p: ("unreadable", reason) for p, reason in found.failures.items()})
    return leave_out_small_classes(marked)


def _predict_the_rest(
    model: Model, data: Dataset, *, jobs: int | None, progress: Progress
) -> tuple[Dataset, list[Row], list[Prediction]]:
    """The model on every image it was not trained on: test rows first, then unlabelled ones.

    This is where the test set is read, once. Images that turn out unreadable are marked.
    """
    rows = [*data.test, *data.unlabelled]
    seen = model.predict([data.absolute(row) for row in rows], jobs=jobs, progress=progress)
    pairs = list(zip(rows, seen, strict=True))
    data = data.mark({r.path: ("unreadable", p.reason) for r, p in pairs if p.reason})
    readable = [(row, p) for row, p in pairs if not p.reason]
    return data, [row for row, _ in readable], [p for _, p in readable]


def _evaluations(
    data: Dataset,
    chosen: CrossValidation,
    seen: Sequence[Prediction],
    *,
    backbone: Backbone,
    seed: int,
) -> list[Evaluation]:
    evaluations: list[Evaluation] = []
    if seen:
        evaluations.append(
            evaluate_probabilities(
                TEST,
                labels=class_numbers([row.label for row in data.test], data.classes),
                probabilities=np.array([p.probabilities for p in seen])[None],
                classes=data.classes,
                groups=split_groups(data.test),
                seed=seed,
            )
        )
    overlaps = [overlap_with(data.test, backbone.contents)] if seen else []
    covered = chosen.covered
    tested = [row for row, is_covered in zip(data.train, covered, strict=True) if is_covered]
    overlaps.append(overlap_with(tested, backbone.contents))
    evaluations.append(
        evaluate_probabilities(
            CROSS_VALIDATION,
            labels=chosen.labels[covered],
            probabilities=chosen.probabilities[:, covered],
            classes=data.classes,
            groups=split_groups(data.train)[covered],
            folds=chosen.folds_done if chosen.folds_done > 1 else None,
            fewer=chosen.fewer,
            seed=seed,
        )
    )
    return [replace(e, overlap=o) for e, o in zip(evaluations, overlaps, strict=True)]


def _predictions(
    data: Dataset, chosen: CrossValidation, others: Sequence[Row], seen: Sequence[Prediction]
) -> list[ImagePrediction]:
    rows = [
        ImagePrediction.out_of_fold(row, probabilities, data.classes, fold=int(fold))
        for row, fold, probabilities in zip(
            data.train, chosen.folds[0], chosen.probabilities[0], strict=True
        )
        if not np.isnan(probabilities).any()  # else its fold was not predicted: see `_reading`
    ]
    rows += [
        ImagePrediction(
            row.path, row.label, p.predicted, p.confidence, row.split, -1, p.probabilities
        )
        for row, p in zip(others, seen, strict=True)
    ]
    return rows


def _issues(
    data: Dataset, looked: Looked | None, predictions: Sequence[ImagePrediction]
) -> tuple[tuple[Issue, ...], dict[str, Any]]:
    """The table of issues, and what the look at the data found beside it."""
    if looked is None:
        return find_issues(data), {}
    found = in_dataset(looked.findings, data)
    said = {p.path: p for p in predictions if len(p.probabilities)}
    nothing = (math.nan,) * len(data.classes)
    probabilities = np.array(
        [said[row.path].probabilities if row.path in said else nothing for row in found.rows]
    )
    found = with_suspects(data, found, probabilities)
    right = np.array(
        [
            float(said[row.path].predicted == row.label) if row.path in said else math.nan
            for row in found.rows
        ]
    )
    effects = effects_on(found, right) if np.isfinite(right).any() else []
    return found.issues, {
        "shortcuts": found.shortcuts and found.shortcuts.to_dict(),
        # Those of photos are looked for among neighbours by features, those of texts without.
        "near_copies": looked.measures is not None
        and (looked.features is not None or data.modality != IMAGE),
        "effects": [effect.to_dict() for effect in effects],
    }


def _explanations(
    folder: Path,
    data: Dataset,
    predictions: Sequence[ImagePrediction],
    *,
    architecture: str | None,
    deadline: float,
    jobs: int | None,
    progress: Progress,
) -> Explanations:
    """The heat maps of a run; where there are none, the reason, which ends no fit."""
    try:
        return explain_run(
            folder / "model",
            data,
            predictions,
            make=load_architecture(architecture) if architecture is not None else None,
            deadline=deadline,
            jobs=jobs,
            progress=progress,
        )
    except RegraftError as error:
        note(progress, f"no heat maps: {error}")
        return Explanations(reason=without_places(str(error)))


def _write_pictures(
    maps: Sequence[HeatMap], out: Path
) -> tuple[tuple[tuple[HeatMap, Path], ...], list[tuple[str, str]]]:
    """A PNG for each map in the folder `out`, where no other file is replaced; and what is gone
    by now, with the reason."""
    from regraft.reporting.heat_maps import explained_picture, may_be_replaced

    make_folder(out)
    written: dict[Path, HeatMap] = {}
    gone = []
    for heat_map in maps:
        try:
            picture = explained_picture(Path(heat_map.path), heat_map)
        except UnreadableInputError as error:
            gone.append((heat_map.path, str(error)))
            continue
        name, number = f"{Path(heat_map.path).stem}-explained", 1
        path = out / f"{name}.png"
        while path in written or not may_be_replaced(path):
            number += 1
            path = out / f"{name}-{number}.png"
        write_atomic(path, picture)
        written[path] = heat_map
    return tuple((heat_map, path) for path, heat_map in written.items()), gone


def _reading(data: Dataset, comparison: Comparison, model: Model, *, had_test: bool) -> list[str]:
    n, noun = len(data.train), get_modality(data.modality).noun
    said = [
        f"{n:,} training {noun}s: every choice was made on them, by {comparison.folds}-fold "
        f"cross-validation"
        + (f" repeated {comparison.repeats} times." if comparison.repeats > 1 else ".")
    ]
    found = comparison.winner.cross_validation
    if found is not None and not found.covered.all():
        said.append(
            f"The chosen approach trains a network, and the time was enough for "
            f"{found.folds_done} of {comparison.folds} folds: its cross-validated accuracy and "
            f"predictions are of {int(found.covered.sum()):,} of the {n:,} training {noun}s."
        )
    if model.settings.get("final_epochs") == 0:
        said.append(
            "The time was up before the network could be trained on all of them: the model is the "
            "network of one fold. A larger --budget trains it on the others as well."
        )
    if data.test:
        origin = "given" if had_test else "set aside at random before anything was compared"
        said.append(
            f"{len(data.test):,} test {noun}s ({origin}): read once, after the choice was made."
        )
    else:
        said.append(
            "No test set: the accuracy is that of nested cross-validation, in which settings are "
            f"chosen without the {noun}s they are scored on. The final model uses all {noun}s."
        )
    if found is not None and found.accuracy_gain >= 0.0005:
        said.append(
            f"Models of the folds are trained on fewer {noun}s than the final one, which is "
            f"expected to be more accurate by {100 * found.accuracy_gain:.1f} points: the upper "
            "end of the interval from cross-validation is higher by as much."
        )
    return said


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = round(time.monotonic() - started, 3)


def _stopwatch(seconds: dict[str, float]) -> Any:
    return lambda name: _timed(seconds, name)


_UNSET: Mapping[str, Any] = {  # settings that a run written by an earlier version may lack
    "labels": None,
    "image_dir": None,
    "test": None,
    "resize": None,
    "backbone_options": {},
    "architecture": None,
    "decisions": None,
    "corrections": None,
    "columns": {},
    "backbones": (),
    "approaches": (),
    "budget_s": DEFAULT_BUDGET_S,
    "seed": 0,
}


_BACKBONE_FLAGS = {
    "architecture": "--arch",
    "normalize": "--normalize",
    "image_size_px": "--size",
    "accept_licence": "--accept-licence",
}


def _command(settings: Mapping[str, Any], folder: Path | None = None) -> str:
    """The command line that does what `fit` was asked to do, for another folder if None."""
    words = ["regraft", "fit", settings["data"]]
    if folder is not None:
        words += ["--out", str(folder)]
    for name in ("labels", "image_dir", "test", "resize", "architecture"):
        if settings[name] is not None:
            words += [f"--{name.replace('_', '-')}", settings[name]]
    options = settings["backbone_options"]
    for name, flag in _BACKBONE_FLAGS.items():
        if (value := options.get(name)) not in (None, False):
            words += [flag] if value is True else [flag, str(value)]
    if settings["decisions"]:
        words += ["--decisions", settings["decisions"]["path"]]
    if settings["corrections"]:
        words += ["--with-corrections", settings["corrections"]["path"]]
    for name, column in settings["columns"].items():
        words += [f"--{name.replace('_', '-')}", column]
    words += [word for name in settings["backbones"] for word in ("--backbone", name)]
    words += [word for name in settings["approaches"] for word in ("--approach", name)]
    if folder is not None or settings["budget_s"] != DEFAULT_BUDGET_S:
        words += ["--budget", f"{settings['budget_s']:f}".rstrip("0").rstrip(".") + "s"]
    if folder is not None or settings["seed"] != 0:
        words += ["--seed", str(settings["seed"])]
    return shlex.join(words)


def _run_name(source: Path) -> str:
    """What a run on `source` is called unless `out` says: the name of the folder or table."""
    path = Path(os.path.realpath(source))
    return (path.name if path.is_dir() else path.stem) or "data"


def _report(run: Run) -> str:
    from regraft.reporting import build_report

    return build_report(run)


__all__ = [
    "audit",
    "beginnings",
    "candidate_approaches",
    "correct",
    "evaluate",
    "expand_inputs",
    "explain",
    "export",
    "fit",
    "plan",
    "predict",
    "predict_texts",
    "predictions_table",
    "report",
    "report_data",
    "report_side_by_side",
    "review",
    "review_command",
    "rollback",
    "scan",
    "serve",
    "timeline",
    "watch",
]
