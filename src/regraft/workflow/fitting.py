"""A request in, a run folder with an honest, saved classifier out: the stages, one after the other.

prepare -> inspect -> compare -> train -> assess -> explain -> record. Each is handed values and
hands values on; the clock is the one that all share.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from regraft.clock import Clock
from regraft.dataset import Dataset
from regraft.errors import UsageError
from regraft.progress import note
from regraft.runs import (
    Run,
    check_folder,
    finished_run,
    free_folder,
    note_promotion,
    open_run,
    read_run,
)
from regraft.runs.decisions import DECISIONS, carry_over, read_decisions
from regraft.runs.promotion import promote
from regraft.storage.locations import shareable
from regraft.workflow.assessing import assess, explain_model, train_final_model
from regraft.workflow.comparing import Entrants, run_comparison
from regraft.workflow.inspecting import draw_map, inspect_data
from regraft.workflow.preparing import Corrected, Named, Prepared, Tools, prepare, read_named
from regraft.workflow.recording import Learned, gather_evidence, record
from regraft.workflow.request import FitRequest, command_of, takes


@takes(FitRequest)
def fit(request: FitRequest) -> Run:
    """From a folder of photos to an honest, saved classifier with its report.

    Returns:
        The run as read back from its folder.

    Raises:
        DataError: the data cannot be trained on, or the decisions not be read.
        RunError: the run folder is busy, finished or not one.
        UsageError: an option is outside its range.
        BackboneError: a backbone is unknown or not installed.
        StorageError: the run folder cannot be written.
    """
    named = read_named(request)
    folder = _folder_of(request)
    settings = request.settings(
        decisions=named.review and named.review.setting,
        corrections=named.corrected and named.corrected.setting,
    )
    clock = Clock(request.budget_s)
    tools = Tools(clock, request.seed, request.jobs, request.progress)
    if named.corrected is not None:
        _require_another(folder, named.corrected.run.folder)
        finished = None if request.force else finished_run(folder, settings)
        if finished is not None and finished.about.promotion is None:  # killed just before it
            return _promoted(finished, named.corrected)
    check_folder(folder, settings, force=request.force)
    _check_review(folder, named, tools)
    with tools.phase("scan"):
        prepared = prepare(request, named)  # until here nothing is written
    command = request.command
    if not isinstance(request.data, Dataset):
        command = command or command_of(settings, folder)
    with open_run(folder, settings, command=command, force=request.force) as place:
        place.seconds = tools.seconds
        learned = _learn(request, named, prepared, place.folder, tools)
        record(learned, place, home=folder, tools=tools)
        if named.review is not None:
            carry_over(named.review.log, folder / DECISIONS)
        place.seconds_total = round(clock.passed, 3)
    run = read_run(folder)
    return run if named.corrected is None else _promoted(run, named.corrected)


def _learn(
    request: FitRequest, named: Named, prepared: Prepared, work: Path, tools: Tools
) -> Learned:
    """The stages between the data as asked for and the run folder; the model is saved there."""
    inspected = inspect_data(prepared, tools)
    exploration = draw_map(inspected, tools)
    entrants = Entrants(request, inspected.dataset, prepared, tools)
    comparison = run_comparison(entrants, work)
    comparison, model = train_final_model(comparison, inspected.dataset, tools)
    model.save(work / "model")
    assessed = assess(model, comparison, prepared, inspected, tools)
    evidence = gather_evidence(comparison, assessed, entrants, tools)
    explanations = explain_model(assessed, prepared, work, request.architecture, tools)
    return Learned(
        named=named,
        prepared=prepared,
        inspected=inspected,
        entrants=entrants,
        comparison=comparison,
        model=model,
        assessed=assessed,
        exploration=exploration,
        explanations=explanations,
        evidence=evidence,
    )


def _folder_of(request: FitRequest) -> Path:
    """The run folder that is asked for, or one that is free, which is told."""
    if request.out is not None:
        return Path(request.out)
    usual = Path("runs") / run_name(request.source)
    folder = free_folder(usual)
    if folder != usual:
        note(request.progress, f"{usual} holds a finished run, so this one goes to {folder}")
    return folder


def run_name(source: Path) -> str:
    """What a run on `source` is called unless `out` says: the name of the folder or table."""
    path = Path(os.path.realpath(source))
    return (path.name if path.is_dir() else path.stem) or "data"


def _check_review(folder: Path, named: Named, tools: Tools) -> None:
    """Tell what a review does not say.

    Raises:
        DataError: the folder has decisions of its own, to which those of the review are added so
            that nobody's are lost, and they cannot be read.
    """
    if named.review is None:
        return
    read_decisions(folder / DECISIONS, missing_ok=True)
    for remark in named.review.remarks:
        note(tools.progress, remark)


def _require_another(folder: Path, corrected: Path) -> None:
    """Raises UsageError: a new run would replace the very run whose corrections it learns from."""
    if os.path.realpath(folder) == os.path.realpath(corrected):
        raise UsageError(
            f"--out is {folder}, the run whose corrections are used; choose another folder: the "
            f"new model takes the place of the one in {corrected} if it is no worse"
        )


def _promoted(run: Run, corrected: Corrected) -> Run:
    """The run, and what became of its model beside the one that was corrected at work."""
    promotion = promote(run, corrected.run)
    over = shareable(corrected.run.folder, Path.cwd())
    note_promotion(run.folder, replace(promotion, over=over))
    return read_run(run.folder)
