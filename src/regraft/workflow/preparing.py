"""A request in, the data to be trained on out: read, as people decided, and nothing written yet.

What a request names, backbones, a review and corrections, is read first: a name that is mistyped
is told before any work.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from regraft.approaches.scratch import load_architecture
from regraft.backbones.backbone import Backbone
from regraft.backbones.built_in import default_backbone
from regraft.backbones.sources import get_backbone
from regraft.clock import Clock
from regraft.dataset import Dataset, check_data, require_trainable
from regraft.dataset.elsewhere import without_absolute_paths
from regraft.engines import can_train
from regraft.errors import DataError, RunError
from regraft.inspection.issues import Issue
from regraft.progress import Progress
from regraft.racing import (
    candidate_backbones,
    check_approaches,
    reads_every_depth,
    trains_networks,
)
from regraft.runs import Run, read_run
from regraft.runs.corrections import (
    Correction,
    add_corrections,
    corrections_log,
    read_corrections,
    with_note_on_corrections,
)
from regraft.runs.decisions import (
    Applied,
    DecisionLog,
    apply_decisions,
    decisions_file,
    read_decisions,
)
from regraft.wording import counted
from regraft.workflow.reading import scanned
from regraft.workflow.request import AuditRequest, DataRequest, PlanRequest


@dataclass(frozen=True, slots=True)
class Tools:
    """What every stage is handed beside its values.

    `seconds` is what each phase took; a stage adds its own.
    """

    clock: Clock
    seed: int
    jobs: int | None
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Measures what is done within it."""
        return self.clock.measured(self.seconds, name)


@dataclass(frozen=True, slots=True)
class Corrected:
    """Corrections to be trained on, and the run they were made on."""

    run: Run
    corrections: tuple[Correction, ...]
    setting: dict[str, str]

    def applied_to(self, dataset: Dataset) -> Dataset:
        """The dataset with the corrected photos, and the test set of the run."""
        tested = {row.sha256: row.label for row in self.run.data.test}
        return add_corrections(dataset, self.corrections, tested=tested)

    def noted_in(self, dataset: Dataset) -> Dataset:
        """The dataset with a note on what became of the corrected photos."""
        return with_note_on_corrections(dataset, self.corrections, self.run.folder)


@dataclass(frozen=True, slots=True)
class Review:
    """Decisions to be applied, the run they were made on (None: not known), and remarks on them."""

    log: DecisionLog
    run: Run | None
    remarks: tuple[str, ...]

    @property
    def setting(self) -> dict[str, str]:
        """What run.json says of it: a file that has changed makes another run."""
        return {"path": os.path.realpath(self.log.file), "sha256": self.log.sha256}


@dataclass(frozen=True, slots=True)
class Named:
    """What a request names.

    `backbones` is () where none is named: those to try are known once the kind of input is.
    """

    backbones: tuple[Backbone, ...]
    review: Review | None
    corrected: Corrected | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The data as asked for, and the backbones to try on them, the first one for features.

    Attributes:
        dataset: as `prepare` and `prepare_audit` say.
        networks: none where the approaches need none and none is installed.
        trains: whether a network may be trained, which takes PyTorch.
        every_depth: whether an approach looks at every depth of the first of them.
        applied: what became of the decisions of a review; None for none.
    """

    dataset: Dataset
    networks: tuple[Backbone, ...]
    trains: bool
    every_depth: bool
    applied: Applied | None

    @property
    def network(self) -> Backbone | None:
        """The backbone whose features tell what belongs together."""
        return self.networks[0] if self.networks else None


def read_named(request: PlanRequest) -> Named:
    """Read what the request names.

    Raises:
        UsageError: there is no approach of a name, or the architecture cannot be imported.
        BackboneError: a backbone is unknown or not installed.
        DataError: the decisions cannot be read, or there are no corrections.
        RunError: the run with corrections cannot be read.
    """
    check_approaches(request.approaches)
    backbones = _backbones(request, request.backbones) if request.backbones else []
    if request.architecture is not None:
        load_architecture(request.architecture)
    return Named(
        backbones=tuple(backbones),
        review=None if request.decisions is None else _review_of(request.decisions),
        corrected=(
            None if request.with_corrections is None else _corrections_of(request.with_corrections)
        ),
    )


def prepare(request: PlanRequest, named: Named) -> Prepared:
    """Scan the data and apply what people decided; no file is written.

    At least two classes of the dataset can be trained on.

    Raises:
        DataError: the data cannot be trained on.
        BackboneError: there is no backbone for them.
    """
    modality = named.backbones[0].modality if named.backbones else None
    dataset = _scanned(request, modality=modality, check=named.review is None)
    networks = named.backbones or _backbones(request, (), modality=dataset.modality)
    applied = None
    if named.review is not None:
        dataset, applied = apply_decisions(dataset, named.review.log)
        dataset = check_data(dataset)
    if named.corrected is not None:
        dataset = named.corrected.applied_to(dataset)
    require_trainable(dataset)
    return Prepared(
        dataset=without_absolute_paths(dataset),
        networks=tuple(networks),
        trains=trains_networks(request.approaches) and can_train(),
        every_depth=reads_every_depth(request.approaches, dataset.modality),
        applied=applied,
    )


def prepare_audit(request: AuditRequest) -> Prepared:
    """Scan the data, with classes of a single photo left in; no file is written.

    Raises:
        DataError: nothing in them is labelled.
        BackboneError: the backbone is unknown or not installed.
    """
    dataset = _scanned(request, min_class_images=1)
    if not dataset.ok:
        require_trainable(dataset)
    network = default_backbone(dataset.modality)
    if request.backbone is not None:
        network = get_backbone(request.backbone)
    return Prepared(dataset, (network,), trains=False, every_depth=False, applied=None)


def without_answered(
    dataset: Dataset, issues: Sequence[Issue], applied: Applied
) -> tuple[Dataset, tuple[Issue, ...]]:
    """The issues that a review has not answered, and the dataset with a note on the others."""
    left = applied.silence(issues)
    answered = len(issues) - len(left)
    if not answered:
        return dataset, left
    are = counted(answered, "issue is", "issues are")
    remark = f"{are} not listed again: the review has answered them."
    return replace(dataset, notes=(*dataset.notes, remark)), left


def _scanned(request: DataRequest, **options: Any) -> Dataset:
    return scanned(
        request.data,
        labels=request.labels,
        image_dir=request.image_dir,
        test=request.test,
        jobs=request.jobs,
        progress=request.progress,
        columns=request.columns,
        **options,
    )


def _backbones(request: PlanRequest, names: Sequence[str], **kind: str) -> list[Backbone]:
    return candidate_backbones(
        request.approaches,
        names,
        resize=request.resize,
        options=request.backbone_options,
        progress=request.progress,
        **kind,
    )


def _corrections_of(path: str | Path) -> Corrected:
    run = read_run(path)
    log = corrections_log(run.folder)
    corrections = read_corrections(run.folder)
    if not corrections:
        raise DataError(
            f"{path} holds no corrections; make some with regraft correct {path} photo.jpg "
            "--label NAME, or on the page of regraft serve --corrections"
        )
    setting = {"path": os.path.realpath(run.folder), "sha256": log.sha256}
    return Corrected(run, corrections, setting)


def _review_of(path: str | Path) -> Review:
    """The decisions in a file or run folder.

    Read before anything is written: the new run may replace the one they were made on.
    """
    log = read_decisions(decisions_file(path))
    if not Path(path).is_dir():
        return Review(log, None, ())
    try:
        return Review(log, read_run(path), ())
    except RunError as error:
        return Review(log, None, (f"the accuracy before the review is not shown: {error}",))
