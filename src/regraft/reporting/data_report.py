"""An audit in, the text of one HTML file on the data alone out; what its section draws."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from regraft._version import __version__
from regraft.demo import title_of
from regraft.inspection.auditing import Audit
from regraft.inspection.exploring import explore
from regraft.reporting import words
from regraft.reporting.exploration import changes, first_look, shortcuts
from regraft.reporting.findings import find_out
from regraft.reporting.gallery import choose_photos
from regraft.reporting.pages import Card, Header, data_cards, left_out_cards, render
from regraft.reporting.provenance import Command
from regraft.reporting.series import what_chance_makes
from regraft.reporting.words import speaking_of, thing, things
from regraft.runs import NOT_COMPARED, AuditRecord, ImagePrediction, Run, RunRecord
from regraft.storage.locations import shareable

SCRIPT = "explore.js"
"""What hovering over the map and filtering by class need."""


def build_data_report(audited: Audit, *, seed: int = 0) -> str:
    """What an audit and a first look at the photos show, as the text of one HTML file.

    Args:
        audited: what `audit_data` returned.
        seed: of the map.
    """
    with speaking_of(audited.data.modality):
        return _built(_as_run(audited, seed), audited)


def _built(run: Run, audited: Audit) -> str:
    data = shlex.quote(shareable(run.data.root, Path.cwd()))
    return render(
        "data_report.html.jinja",
        kind="regraft look at the data",
        header=_data_header(run, audited),
        commands=(
            Command(f"regraft fit {data}", "train on it"),
            Command(f"regraft audit {data} --format csv", "list every issue"),
        ),
        script=SCRIPT,
        **about_data(run),
        predictor="a linear probe",
        run_files=False,
    )


def about_data(run: Run) -> dict[str, Any]:
    """What the section on the data draws."""
    return {
        "gallery": choose_photos(run),
        "findings": find_out(run),
        "explored": first_look(run),
        "shortcuts": shortcuts(run),
        "changes": changes(run),
    }


def _as_run(audited: Audit, seed: int) -> Run:
    """An audit as a run without a model: predictions are those of its linear probe, out of fold."""
    data, found = audited.data, audited.findings
    predictions: tuple[ImagePrediction, ...] = ()
    if audited.probabilities is not None:
        predictions = tuple(
            ImagePrediction.out_of_fold(row, probabilities, data.classes, fold=0)
            for row, probabilities in zip(data.ok, audited.probabilities, strict=True)
            if np.isfinite(probabilities).all()
        )
    return Run(
        folder=Path(),
        about=RunRecord(
            audit=AuditRecord(
                shortcuts=found.shortcuts, effects=audited.effects, series=audited.by_order
            ),
        ),
        data=data,
        issues=found.issues,
        comparison=NOT_COMPARED,
        evaluations=(),
        predictions=predictions,
        exploration=explore(data, found, audited.features, audited.measures, seed=seed),
    )


def _data_header(run: Run, audited: Audit) -> Header:
    found = Counter(issue.issue for issue in run.issues)
    kinds = [words.issues_counted(n, kind) for kind, n in found.most_common()]
    photos = len({issue.path for issue in run.issues if issue.path != "."})
    context = [words.sentence(words.listed(kinds))] if kinds else []
    if audited.accuracy is not None:
        a = audited.accuracy
        context.append(
            f"A linear probe on a pretrained network is right on {words.percent(a.value)} "
            f"({words.estimate_range(a)}) of {things()} it had not seen."
        )
        context += filter(None, [what_chance_makes(audited.by_order)])
    data = run.data
    issues = Card("Issues", f"{len(run.issues):,}", words.counted(len(found), "kind"))
    verdict = "Nothing found that needs a look"
    if found:
        verdict = (
            words.counted(photos, thing()) + " to look at" if photos else "Something to look at"
        )
    return Header(
        title=title_of(data.root),
        verdict=verdict,
        verdict_range="",
        context=tuple(context),
        when="",
        version=__version__,
        cards=(*data_cards(data), issues, *left_out_cards(data)),
    )
