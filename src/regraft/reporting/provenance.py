"""A run in, where its numbers come from out: candidates, settings, time, machine, next steps."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.evidence.explaining import read_explanations
from regraft.kinds import kind_named
from regraft.metrics.differences import Standing, standing
from regraft.metrics.rates import Estimate, defined
from regraft.reporting import charts, words
from regraft.reporting.charts import IntervalMark, Scale
from regraft.reporting.words import things
from regraft.runs import (
    BackboneRecord,
    CandidateRecord,
    ComparisonRecord,
    Run,
    shareable_settings,
)
from regraft.storage.locations import shareable, shareable_command


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One approach that was tried; `difference` is chosen minus this one."""

    title: str
    chosen: bool
    status: str
    reason: str
    accuracy: str
    accuracy_range: str
    mark: IntervalMark | None
    difference: str
    difference_range: str
    comparison: str
    seconds: str
    predicted: str
    images: str
    folds: str


@dataclass(frozen=True, slots=True)
class Tried:
    """All candidates on one axis, and the verdict in words.

    `has_images` says whether any candidate tells how many photos it predicted, `some_stopped`
    whether one was stopped early, as in runs of earlier versions. `selection` is the winner's score
    in the comparison beside that on the test set, in words.
    """

    candidates: tuple[CandidateRow, ...]
    scale: Scale
    verdict: str
    folds: str
    selection: str
    has_images: bool
    has_predicted: bool
    some_stopped: bool


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of the run; `share` is the length of its bar in percent."""

    name: str
    seconds: str
    share: float


@dataclass(frozen=True, slots=True)
class Command:
    """Something to type next, and what it does."""

    text: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was run, on what, and how to go on."""

    phases: tuple[Phase, ...]
    total: str
    facts: tuple[tuple[str, str], ...]
    backbone: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    reading: tuple[str, ...]
    commands: tuple[Command, ...]
    repeat: str


def what_was_tried(run: Run) -> Tried:
    """The candidates in the order in which they were tried."""
    comparison = run.comparison
    accuracies = [defined(candidate.accuracy) for candidate in comparison.candidates]
    scale = charts.rate_scale([accuracy.low for accuracy in accuracies if accuracy])
    rows = [_candidate_row(candidate, comparison, scale) for candidate in comparison.candidates]
    folds = f"{comparison.folds}-fold cross-validation" if comparison.folds else "cross-validation"
    if comparison.repeats > 1:
        folds += f", repeated {comparison.repeats} times"
    return Tried(
        candidates=tuple(rows),
        scale=scale,
        verdict=comparison.verdict,
        folds=folds,
        selection=words.sentence(comparison.selection.text if comparison.selection else ""),
        has_images=any(row.images for row in rows),
        has_predicted=any(row.predicted for row in rows),
        some_stopped=any(row.status == "stopped" for row in rows),
    )


def _candidate_row(
    candidate: CandidateRecord, comparison: ComparisonRecord, scale: charts.Scale
) -> CandidateRow:
    accuracy, gap = defined(candidate.accuracy), defined(candidate.chosen_is_ahead_by)
    images = candidate.images_predicted
    return CandidateRow(
        title=candidate.title,
        chosen=candidate is comparison.winner,
        status=candidate.status,
        reason=candidate.reason,
        accuracy=words.percent(accuracy.value) if accuracy else "",
        accuracy_range=words.estimate_range(accuracy) if accuracy else "",
        mark=charts.interval_mark(accuracy, scale) if accuracy else None,
        difference=words.points(gap.value) if gap else "",
        difference_range=f"{words.points(gap.low)} to {words.points(gap.high)}" if gap else "",
        comparison=_compared(gap),
        seconds=words.seconds(candidate.seconds),
        predicted=duration(candidate.predicted_seconds),
        images=f"{images:,}" if accuracy and images is not None else "",
        folds=_folds_done(candidate.folds_done, of=comparison.folds),
    )


def duration(seconds: float | None) -> str:
    """A duration; "" where there is none."""
    return "" if seconds is None else words.seconds(seconds)


def _folds_done(done: int | None, *, of: int) -> str:
    """ "2 of 5 folds"; the total only where it is known and not reached."""
    if done is None:
        return ""
    if 0 < done < of:
        return f"{done} of {words.counted(of, 'fold')}"
    return words.counted(done, "fold")


def _compared(gap: Estimate | None) -> str:
    if gap is None:
        return ""
    return _STANDINGS[standing(gap)]


_STANDINGS: Mapping[Standing, str] = {  # of the chosen one, told of the other
    "ahead": "behind the chosen one",
    "level": "cannot be told apart",
    "behind": "ahead of the chosen one",
}


def what_was_run(run: Run) -> Provenance:
    """Settings, versions, machine, time and what to do next."""
    about = run.about
    longest = max(about.seconds.values(), default=0.0) or 1.0
    return Provenance(
        phases=tuple(
            Phase(name, words.seconds(s), round(100 * s / longest, 2))
            for name, s in about.seconds.items()
        ),
        total=words.seconds(about.seconds_total or sum(about.seconds.values())),
        facts=_facts(run),
        backbone=_backbone(about.backbone),
        settings=_flat(shareable_settings(about.settings, run.known_as)),
        versions=_flat(about.versions),
        reading=about.reading,
        commands=_commands(run),
        repeat=shareable_command(about.command, Path.cwd()),
    )


def _facts(run: Run) -> tuple[tuple[str, str], ...]:
    about, machine = run.about, run.about.machine
    cores = words.counted(machine.cores, "core") if machine.cores else ""
    facts = {
        "Data": shareable(run.data.root, run.known_as),
        "Run folder": shareable(run.known_as, Path.cwd()),
        "Started": moment(about.started),
        "Finished": moment(about.finished),
        "Machine": ", ".join(filter(None, (machine.system, machine.processor, cores))),
        "Fingerprint of the data": about.fingerprint,
    }
    return tuple((name, text) for name, text in facts.items() if text)


def _backbone(backbone: BackboneRecord) -> tuple[tuple[str, str], ...]:
    size, resize = backbone.transform.image_size_px, backbone.transform.resize
    pixels = f"{size} \N{MULTIPLICATION SIGN} {size} pixels" if size else ""
    facts = {
        "Network": backbone.name,
        "Looks at": f"{pixels}, by {resize}" if pixels and resize else pixels,
        "Licence": backbone.licence,
        "Pretrained on": backbone.pretrained_on,
        "Weights from": backbone.source,
        "Hash of the weights": backbone.weights_sha256,
    }
    return tuple((title, text) for title, text in facts.items() if text)


def _commands(run: Run) -> tuple[Command, ...]:
    folder = shlex.quote(shareable(run.known_as, Path.cwd()))
    found = read_explanations(run.folder)
    unexplained = Command(
        f"regraft explain {folder}", f"see where in the {things()} it finds evidence"
    )
    kind = kind_named(run.data.modality)
    return (
        *((unexplained,) if found is None and kind.is_picture else ()),
        Command(
            f"regraft predict {folder} {kind.example}", f"classify new {things()}, files or folders"
        ),
        Command(
            f"regraft review {folder}",
            "go through doubtful labels, errors and outliers with the keyboard",
        ),
        Command(
            f"regraft evaluate {folder} more_{things()}/",
            f"score it on labelled {things()} it has never seen",
        ),
    )


def moment(text: str) -> str:
    """ "2026-11-22T04:51:14+00:00" as "2026-11-22 04:51 UTC"."""
    is_utc = text.endswith(("+00:00", "Z"))
    return f"{text[:16].replace('T', ' ')} UTC" if is_utc else text


def _flat(values: Mapping[str, Any], above: str = "") -> tuple[tuple[str, str], ...]:
    """Nested settings as pairs of text; those that were not given are left out."""
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            pairs += [(name, ", ".join(str(part) for part in value))] if value else []
        elif value is not None and value != "":
            pairs.append((name, f"{value:g}" if isinstance(value, float) else str(value)))
    return tuple(pairs)
