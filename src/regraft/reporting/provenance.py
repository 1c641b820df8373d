"""A run in, where its numbers come from out: candidates, settings, time, machine, next steps."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.differences import Standing, standing
from regraft.explaining import read_explanations
from regraft.locations import shareable, shareable_command
from regraft.metrics import Estimate
from regraft.modality import MODALITIES
from regraft.reporting import charts, words
from regraft.reporting.charts import IntervalMark, Scale
from regraft.reporting.words import things
from regraft.runs import Run, shareable_settings


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
    whether one was given up before its last fold. `selection` is the winner's score in the
    comparison beside that on the test set, in words.
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
    entries = list(run.comparison.get("candidates") or ())
    found = [_estimate(entry.get("accuracy")) for entry in entries]
    scale = charts.rate_scale([estimate.low for estimate in found if estimate])
    chosen = run.comparison.get("chosen")
    rows = []
    for number, (entry, accuracy) in enumerate(zip(entries, found, strict=True)):
        gap = _estimate(entry.get("chosen_is_ahead_by"))
        rows.append(
            CandidateRow(
                title=candidate_title(entry),
                chosen=number == chosen,
                status=str(entry.get("status") or ""),
                reason=str(entry.get("reason") or ""),
                accuracy=words.percent(accuracy.value) if accuracy else "",
                accuracy_range=words.estimate_range(accuracy) if accuracy else "",
                mark=charts.interval_mark(accuracy, scale) if accuracy else None,
                difference=words.points(gap.value) if gap else "",
                difference_range=f"{words.points(gap.low)} to {words.points(gap.high)}"
                if gap
                else "",
                comparison=_compared(gap),
                seconds=words.seconds(float(entry.get("seconds") or 0.0)),
                predicted=duration(entry.get("predicted_seconds")),
                images=_count(entry.get("images_predicted")) if accuracy else "",
                folds=_folds_done(entry.get("folds_done"), run.comparison),
            )
        )
    folds, repeats = run.comparison.get("folds"), run.comparison.get("repeats")
    said = f"{folds}-fold cross-validation" if folds else "cross-validation"
    if repeats and repeats > 1:
        said += f", repeated {repeats} times"
    selection = run.comparison.get("selection") or {}
    return Tried(
        candidates=tuple(rows),
        scale=scale,
        verdict=str(run.comparison.get("verdict") or ""),
        folds=said,
        selection=words.sentence(str(selection.get("text") or "")),
        has_images=any(row.images for row in rows),
        has_predicted=any(row.predicted for row in rows),
        some_stopped=any(row.status == "stopped" for row in rows),
    )


def duration(value: object) -> str:
    """A duration; "" where there is none."""
    is_there = isinstance(value, int | float) and math.isfinite(value)
    return words.seconds(float(value)) if is_there else ""  # type: ignore[arg-type]


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _folds_done(done: object, comparison: Mapping[str, Any]) -> str:
    """ "2 of 5 folds"; the total only where it is known and not reached."""
    if not isinstance(done, int):
        return ""
    total = int(comparison.get("folds") or 0)
    if 0 < done < total:
        return f"{done} of {words.counted(total, 'fold')}"
    return words.counted(done, "fold")


def candidate_title(entry: Mapping[str, Any]) -> str:
    """What an entry of `candidates` in comparison.json is called."""
    return str(entry.get("title") or f"{entry.get('approach')} on {entry.get('backbone')}")


def _compared(gap: Estimate | None) -> str:
    if gap is None:
        return ""
    return _STANDINGS[standing(gap)]


_STANDINGS: Mapping[Standing, str] = {  # of the chosen one, told of the other
    "ahead": "behind the chosen one",
    "level": "cannot be told apart",
    "behind": "ahead of the chosen one",
}


def _estimate(data: Mapping[str, Any] | None) -> Estimate | None:
    """The estimate in a JSON object; None where there is none or it has no value."""
    if not data:
        return None
    estimate = Estimate.from_dict(dict(data))
    return None if math.isnan(estimate.value) else estimate


def what_was_run(run: Run) -> Provenance:
    """Settings, versions, machine, time and what to do next."""
    about = run.about
    spent = {str(name): float(s) for name, s in (about.get("seconds") or {}).items()}
    longest = max(spent.values(), default=0.0) or 1.0
    total = about.get("seconds_total") or sum(spent.values())
    return Provenance(
        phases=tuple(
            Phase(name, words.seconds(s), round(100 * s / longest, 2)) for name, s in spent.items()
        ),
        total=words.seconds(float(total)),
        facts=_facts(run),
        backbone=_backbone(about.get("backbone") or {}),
        settings=_flat(shareable_settings(about.get("settings") or {}, run.known_as)),
        versions=_flat(about.get("versions") or {}),
        reading=tuple(str(line) for line in about.get("reading") or ()),
        commands=_commands(run),
        repeat=shareable_command(str(about.get("command") or ""), Path.cwd()),
    )


def _facts(run: Run) -> tuple[tuple[str, str], ...]:
    about = run.about
    machine = about.get("machine") or {}
    cores = machine.get("cores")
    facts = {
        "Data": shareable(run.data.root, run.known_as),
        "Run folder": shareable(run.known_as, Path.cwd()),
        "Started": moment(about.get("started")),
        "Finished": moment(about.get("finished")),
        "Machine": ", ".join(
            str(part)
            for part in (
                machine.get("system"),
                machine.get("processor"),
                words.counted(int(cores), "core") if cores else None,
            )
            if part
        ),
        "Fingerprint of the data": str(about.get("fingerprint") or ""),
    }
    return tuple((name, text) for name, text in facts.items() if text)


_BACKBONE_WORDS = {
    "name": "Network",
    "licence": "Licence",
    "pretrained_on": "Pretrained on",
    "source": "Weights from",
    "weights_sha256": "Hash of the weights",
}


def _backbone(backbone: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    facts = [
        (title, str(backbone[key])) for key, title in _BACKBONE_WORDS.items() if backbone.get(key)
    ]
    transform = backbone.get("transform") or {}
    size = transform.get("image_size_px")
    if size:
        how = f", by {transform['resize']}" if transform.get("resize") else ""
        facts.insert(1, ("Looks at", f"{size} \N{MULTIPLICATION SIGN} {size} pixels{how}"))
    return tuple(facts)


def _commands(run: Run) -> tuple[Command, ...]:
    folder = shlex.quote(shareable(run.known_as, Path.cwd()))
    found = read_explanations(run.folder)
    unexplained = Command(
        f"regraft explain {folder}", f"see where in the {things()} it finds evidence"
    )
    kind = MODALITIES[run.data.modality]
    return (
        *((unexplained,) if found is None and kind.is_mapped else ()),
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


def moment(text: object) -> str:
    """ "2026-11-22T04:51:14+00:00" as "2026-11-22 04:51 UTC"."""
    said = str(text or "")
    is_utc = said.endswith(("+00:00", "Z"))
    return f"{said[:16].replace('T', ' ')} UTC" if is_utc else said


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
