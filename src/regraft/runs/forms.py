"""The form of the records in a run folder, checked before anything is made of them.

What is read stays plain JSON values; a record whose fields have other types or absurd numbers does
not get that far. Fields that are not named here pass, those of later versions among them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from regraft.saved import Count, Number

_Few = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
_Facts = dict[str, Any] | None


class EstimateForm(msgspec.Struct, kw_only=True):
    """A number with its interval; null where there is none."""

    value: Number | None
    low: Number | None
    high: Number | None
    method: str


class RunForm(msgspec.Struct, kw_only=True):
    """`run.json`."""

    kind: Literal["regraft run"]
    format: int
    status: str = ""
    regraft: str = ""
    started: str | None = None
    finished: str | None = None
    command: str = ""
    error: str = ""
    data: str = ""
    title: str = ""
    layout: str = ""
    modality: Literal["image", "text"] = "image"
    fingerprint: str = ""
    classes: list[str] = []
    notes: list[str] = []
    reading: list[str] = []
    warnings: list[str] = []
    counts: dict[str, Count] = {}
    seconds: dict[str, Number] = {}
    seconds_total: Number | None = None
    settings: dict[str, Any] = {}
    versions: dict[str, str] = {}
    machine: dict[str, str | int | None] = {}
    backbone: _Facts = None
    audit: _Facts = None
    decisions: _Facts = None
    promotion: _Facts = None


class CandidateForm(msgspec.Struct, kw_only=True):
    """An entry of `candidates` in `comparison.json`."""

    title: str
    approach: str = ""
    backbone: str = ""
    settings: dict[str, Any] = {}
    fold_scores: list[Number] = []
    accuracy: EstimateForm | None = None
    chosen_is_ahead_by: EstimateForm | None = None
    images_predicted: Count = 0
    folds_done: _Few = 0
    seconds: Number | None = None
    predicted_seconds: Number | None = None
    status: str = ""
    reason: str = ""


class ComparisonForm(msgspec.Struct, kw_only=True):
    """`comparison.json`."""

    candidates: list[CandidateForm]
    chosen: Count
    verdict: str
    folds: _Few = 0
    repeats: _Few = 0
    guide: _Facts = None
    transfer: _Facts = None
    learning_curve: _Facts = None
    selection: _Facts = None

    def __post_init__(self) -> None:
        """Raises ValueError: the candidate that was chosen is not there."""
        if self.chosen >= len(self.candidates):
            raise ValueError(f"candidate {self.chosen} was chosen of {len(self.candidates)}")


class ClassForm(msgspec.Struct, kw_only=True):
    """An entry of `per_class`."""

    n: Count
    recall: EstimateForm
    precision: Number
    f1: Number


class ConfusionForm(msgspec.Struct, kw_only=True):
    """True classes by row."""

    classes: list[str]
    counts: list[list[Number]]

    def __post_init__(self) -> None:
        """Raises ValueError: it is no square of the classes."""
        k = len(self.classes)
        if k == 0 or len(self.counts) != k or any(len(row) != k for row in self.counts):
            raise ValueError(f"the confusion matrix is not {k} x {k}")


class BinForm(msgspec.Struct, kw_only=True):
    """An entry of `reliability`."""

    low: Number
    high: Number
    n: Count
    confidence: Number
    accuracy: Number


class EvaluationForm(msgspec.Struct, kw_only=True):
    """An entry of `evaluation.json`; a version that did not measure something leaves it out."""

    on: str
    n: Count
    accuracy: EstimateForm
    balanced_accuracy: EstimateForm | msgspec.UnsetType = msgspec.UNSET
    macro_f1: EstimateForm | msgspec.UnsetType = msgspec.UNSET
    roc_auc: EstimateForm | msgspec.UnsetType = msgspec.UNSET
    log_loss: EstimateForm | msgspec.UnsetType = msgspec.UNSET
    ece: EstimateForm | msgspec.UnsetType = msgspec.UNSET
    per_class: dict[str, ClassForm]
    confusion: ConfusionForm
    reliability: list[BinForm]
    majority_share: Number
    accuracy_by_repeat: list[Number]

    def __post_init__(self) -> None:
        """Raises ValueError: other classes are scored than are in the matrix."""
        if set(self.per_class) != set(self.confusion.classes):
            raise ValueError("per_class and confusion are not of the same classes")


EvaluationsForm = Annotated[list[EvaluationForm], msgspec.Meta(min_length=1)]
"""`evaluation.json`."""
