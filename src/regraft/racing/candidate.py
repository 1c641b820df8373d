"""One approach with its settings, and how it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regraft.approaches.base import Approach, CrossValidation, scope_of
from regraft.metrics.rates import Estimate
from regraft.racing.outcomes import Failed, Measured, Outcome, Skipped, Training
from regraft.storage.locations import without_places

_STATUS: dict[type[Outcome], str] = {
    Measured: "done",
    Failed: "failed",
    Skipped: "skipped",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One approach with its settings, and how it did.

    `ahead` is the paired difference in accuracy, chosen candidate minus this one (None for the
    chosen).
    """

    approach: Approach
    outcome: Outcome
    ahead: Estimate | None = None

    @property
    def title(self) -> str:
        """For people: "linear_probe on efficientnet_lite0, 2 views"."""
        return approach_title(self.approach)

    @property
    def status(self) -> str:
        """One of "done", "failed" and "skipped" (no time)."""
        return _STATUS[type(self.outcome)]

    @property
    def reason(self) -> str:
        """Why it is not done, or not on all folds; "" where there is nothing to say."""
        if isinstance(self.outcome, Measured):
            return self.outcome.training.broken if self.outcome.training else ""
        return self.outcome.reason

    @property
    def seconds(self) -> float:
        """What it took."""
        return self.outcome.seconds

    @property
    def result(self) -> Measured | None:
        """What was measured, if it may be chosen by that."""
        return self.outcome if isinstance(self.outcome, Measured) else None

    @property
    def measured(self) -> Measured | None:
        """What was measured, also of a candidate whose final training failed."""
        return self.outcome.measured if isinstance(self.outcome, Failed) else self.result

    @property
    def training(self) -> Training | None:
        """What it was trained for, if it has a result and trains a network."""
        return None if self.result is None else self.result.training

    @property
    def accuracy(self) -> Estimate | None:
        """Cross-validated, of a candidate that is done."""
        return None if self.result is None else self.result.accuracy

    @property
    def cross_validation(self) -> CrossValidation | None:
        """The predictions on the folds; None if there are none."""
        return None if self.measured is None else self.measured.cross_validation

    def __repr__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy.percent}"
        return f"Candidate({self.title}: {self.status}{accuracy})"

    def to_dict(self) -> dict[str, Any]:
        """An entry of `candidates` in `comparison.json`."""
        measured, folds = self.measured, self.cross_validation
        predicted = None if measured is None else measured.predicted_seconds
        return {
            "approach": self.approach.name,
            "backbone": self.approach.network.name,
            "settings": dict(self.approach.settings) | (dict(folds.chosen) if folds else {}),
            "title": self.title,
            "fold_scores": [round(s, 6) for s in folds.fold_scores] if folds else [],
            "accuracy": self.accuracy.to_dict() if self.accuracy else None,
            "chosen_is_ahead_by": self.ahead.to_dict() if self.ahead else None,
            "images_predicted": measured.images_predicted if measured else 0,
            "folds_done": folds.folds_done if folds else 0,
            "seconds": round(self.seconds, 3),
            "predicted_seconds": None if predicted is None else round(predicted, 1),
            "status": self.status,
            "reason": without_places(self.reason),
            "flattering": measured.flattering if measured else 0,
        }


def approach_title(approach: Approach) -> str:
    """For people: "fine_tune on efficientnet_lite0, last 2 stages"."""
    settings = approach.settings
    suffix = f", {settings['views']} views" if settings.get("views", 1) != 1 else ""
    if size_px := settings.get("image_size_px"):
        how = {"squash": "whole at ", "pad": "padded to "}.get(str(settings.get("resize")), "")
        suffix += f", {how}{size_px} px"
    train = scope_of(approach)
    if train not in ("head", "scratch"):
        suffix += f", {train.replace('_', ' ')}"
    return f"{approach.name} on {approach.network.name}{suffix}"


def candidate_difference(first: Candidate, second: Candidate) -> Estimate:
    """Accuracy of first minus second, on the images and in the repeats that both predicted.

    Images of one group count as one trial.

    Raises:
        ValueError: one of them has predicted nothing.
    """
    if first.measured is None or second.measured is None:
        raise ValueError(f"{first!r} or {second!r} has no predictions")
    return first.measured.minus(second.measured)


def cut_short(candidate: Candidate) -> str:
    """How a candidate had fewer epochs than planned, so that more of it is possible; "" if not."""
    training = candidate.training
    if training is None or not training.is_cut_short:
        return ""
    return f"{training.cost.epochs} of {training.wanted_epochs} epochs for want of time"
