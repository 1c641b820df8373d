"""What run.json and comparison.json say, as types; and how those of earlier versions are read.

A member without a default is one that every version has written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from regraft.evidence.entries import BeforeAndNow, GuideRecord, SelectionRecord, TransferRecord
from regraft.evidence.learning_curve import LearningCurve
from regraft.inspection.auditing import ByOrder, Effect
from regraft.inspection.issues.shortcuts import Shortcuts
from regraft.kinds import IMAGE, KINDS
from regraft.metrics.rates import Estimate
from regraft.storage.records import from_json, to_json
from regraft.storage.saved import Count, Number

KIND, FORMAT = "regraft run", 1

# ---- run.json -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """A file of decisions, or a run with corrections, that a fit was given."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionsRecord:
    """Of `backbone_options` what may be a file."""

    architecture: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRecord:
    """Those settings of `fit` that are looked into when a run is shown; others are listed only."""

    data: str = ""
    labels: str = ""
    image_dir: str = ""
    test: str = ""
    budget_s: Number = 0.0
    backbones: tuple[str, ...] = ()
    backbone_options: OptionsRecord = OptionsRecord()
    architecture: str = ""
    decisions: SourceRecord | None = None
    corrections: SourceRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRecord:
    """Where the run was made."""

    system: str = ""
    processor: str = ""
    cores: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformRecord:
    """What the network looks at; a transform of texts has neither."""

    image_size_px: Count = 0
    resize: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneRecord:
    """The pretrained network of the model; `pretrained_on` is "nothing" where it is none."""

    name: str = ""
    source: str = ""
    licence: str = ""
    pretrained_on: str = ""
    weights_sha256: str = ""
    transform: TransformRecord = TransformRecord()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """What a look at the data found beside the issues.

    `shortcuts` and `series` are None where they were not looked for, `near_copies` says whether
    those were.
    """

    shortcuts: Shortcuts | None = None
    near_copies: bool = False
    effects: tuple[Effect, ...] = ()
    series: ByOrder | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedRecord:
    """How many decisions of each kind were applied."""

    relabelled: Count = 0
    excluded: Count = 0
    kept: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionsRecord:
    """The review that a run applied; `compared` is empty where the accuracy before is not known."""

    applied: AppliedRecord = AppliedRecord()
    skipped: Count = 0
    source: str = ""
    compared: tuple[BeforeAndNow, ...] = ()


@dataclass(frozen=True, slots=True)
class Promotion:
    """What became of a new model: accuracy on photos that both runs predicted, unseen in training.

    `difference` is the new model minus the old one, None where there is no such photo; `reason`
    says why it was promoted or not; `over` is the run whose model was at work.
    """

    promoted: bool
    photos: Count = 0
    difference: Estimate | None = None
    reason: str = ""
    over: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a run says when it begins. Members are those of `RunRecord`; none has a default, so that
    the type checker tells when nobody writes one."""

    regraft: str
    started: str
    command: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    machine: MachineRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What the stages of a fit add, see `Start`; `backbone` holds what sources added as well."""

    data: str
    title: str
    layout: str
    modality: str
    notes: tuple[str, ...]
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    fingerprint: str
    backbone: Mapping[str, Any]
    audit: AuditRecord
    decisions: DecisionsRecord | None
    reading: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """`run.json`: what was asked for, where, with what and for how long; and what is no table.

    `seconds` are of each phase, `seconds_total` of all; `settings` are those of `fit`.
    """

    format: int = FORMAT
    status: str = ""
    regraft: str = ""
    started: str = ""
    finished: str = ""
    command: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: MachineRecord = MachineRecord()
    seconds: Mapping[str, Number] = field(default_factory=dict)
    seconds_total: Number = 0.0
    data: str = ""
    title: str = ""
    layout: str = ""
    modality: str = IMAGE
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    counts: Mapping[str, Count] = field(default_factory=dict)
    fingerprint: str = ""
    backbone: BackboneRecord = BackboneRecord()
    audit: AuditRecord = AuditRecord()
    decisions: DecisionsRecord | None = None
    promotion: Promotion | None = None
    reading: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError: settings of another type, or inputs of no kind that is known here."""
        from_json(self.settings, SettingsRecord)
        if self.modality not in KINDS:
            raise ValueError(f"its modality is {self.modality!r:.40}")


# ---- comparison.json ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRecord:
    """One candidate, as `Candidate.to_dict` describes it."""

    title: str
    approach: str = ""
    backbone: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    fold_scores: tuple[Number, ...] = ()
    accuracy: Estimate | None = None
    chosen_is_ahead_by: Estimate | None = None
    images_predicted: Count | None = None
    folds_done: Count | None = None
    seconds: Number = 0.0
    predicted_seconds: Number | None = None
    status: str = ""
    reason: str = ""
    flattering: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRecord:
    """`comparison.json`: the candidates, which was chosen and why, and what that shows."""

    candidates: tuple[CandidateRecord, ...]
    chosen: Count
    verdict: str
    folds: Count = 0
    repeats: Count = 0
    guide: GuideRecord | None = None
    transfer: TransferRecord | None = None
    learning_curve: LearningCurve | None = None
    selection: SelectionRecord | None = None

    def __post_init__(self) -> None:
        """Raises ValueError: the candidate that was chosen is not there."""
        if self.candidates and self.chosen >= len(self.candidates):
            raise ValueError(f"candidate {self.chosen} was chosen of {len(self.candidates)}")

    @property
    def winner(self) -> CandidateRecord:
        """The chosen candidate."""
        return self.candidates[self.chosen]


NOT_COMPARED = ComparisonRecord(candidates=(), chosen=0, verdict="")
"""Of an audit, which chooses nothing."""


# ---- Writing and reading ------------------------------------------------------------------


def members_of(part: Start | Results) -> dict[str, Any]:
    """The members of a part under their names in run.json; what `migrate` undoes."""
    members = {f.name: getattr(part, f.name) for f in fields(part)}
    if isinstance(part, Results) and part.decisions is not None:
        decisions = to_json(part.decisions)
        members["decisions"] = {"from": decisions.pop("source"), **decisions}
    return members


def run_record(values: Mapping[str, Any]) -> RunRecord:
    """`run.json` of this version or an earlier one.

    Raises:
        ValueError: a member is of another type, or out of its range.
    """
    return from_json(migrate(values), RunRecord)


def migrate(values: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a run.json of any version under the names and in the form of `RunRecord`."""
    if isinstance(number := values.get("format"), int) and number > FORMAT:
        return {name: values.get(name) for name in ("format", "status", "regraft")}
    members = dict(values)
    audit, decisions = members.get("audit"), members.get("decisions")
    if isinstance(audit, Mapping) and audit:
        effects = audit.get("effects")
        if isinstance(effects, list):  # of doubtful labels it promised what it could not hold
            effects = [e for e in effects if not _is_of_suspects(e)]
        # Earlier versions looked for everything or for nothing.
        members["audit"] = {"near_copies": True, **audit, "effects": effects}
    if isinstance(decisions, Mapping):
        members["decisions"] = {"source": decisions.get("from"), **decisions}  # no name in Python
    return members


def other_file(detail: str, files: Collection[str]) -> str:
    """The file that the detail of an issue begins with: earlier versions named it nowhere else."""
    ends = [len(detail), *(m.start() for m in re.finditer(r", | \(", detail))]
    return next((detail[:end] for end in ends if detail[:end] in files), "")


def _is_of_suspects(effect: Any) -> bool:
    return isinstance(effect, Mapping) and effect.get("issue") == "label_suspect"
