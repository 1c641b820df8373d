"""What the review page shows and does, without HTTP: JSON values and bytes in and out.

The file of decisions is read again for every answer, so that any number of windows and processes
may review one run: none overwrites what another decided without having seen it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from regraft.dataset import Row
from regraft.errors import DataError, UnreadableInputError
from regraft.kinds.base import read_input
from regraft.reporting.thumbnails import small_jpeg
from regraft.reviewing.queue import KINDS, Queued, build_queue
from regraft.runs import Run
from regraft.runs.decisions import (
    DECISIONS,
    Decision,
    DecisionLog,
    new_class_name,
    new_decision,
    open_log,
    read_decisions,
)
from regraft.storage.locations import plain_name

NUMBERED = 9
"""Classes that have a key of their own, 1 to 9."""

_PHOTO_PX = 1280  # longer side
_QUALITY = 85


class DecidedMeanwhileError(Exception):
    """Somebody else has decided on the photo; `changes` is what the page has not seen yet."""

    def __init__(self, changes: dict[str, Any]) -> None:
        super().__init__("somebody has decided on this photo meanwhile")
        self.changes = changes


class Session:
    """One run under review.

    Attributes:
        run: the finished run.
        queue: the photos to go through.
        classes: names of all classes that its photos have.
        file: of the decisions.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.file = run.folder / DECISIONS
        log = read_decisions(self.file, missing_ok=True)
        self.queue = build_queue(run, decided=log.in_force().keys())
        self.note = log.note
        self.classes = tuple(sorted({row.label for row in run.data.rows if row.label}))
        self._ids = {self._key(one): one.row for one in self.queue}
        twins = {r.twin for one in self.queue for r in one.reasons if r.twin is not None}
        self._shown = twins.union(self._ids.values())
        self._writing = threading.Lock()

    def start(self) -> dict[str, Any]:
        """Everything the page begins with."""
        log = read_decisions(self.file, missing_ok=True)
        return {
            "name": plain_name(self.run.data.root),
            "run": str(self.run.folder),
            "kinds": {kind: KINDS[kind] for kind in KINDS if self._has(kind)},
            "classes": list(self.classes),
            "photos": [self._photo(one) for one in self.queue],
            **self._changes(log, 0),
        }

    def changes(self, seen: int) -> dict[str, Any]:
        """What was decided since the page had seen `seen` entries of the file.

        `decisions` maps numbers of photos to the decision in force, or to null where it was taken
        back; `seen` is to be given the next time.
        """
        return self._changes(read_decisions(self.file, missing_ok=True), seen)

    def decide(
        self, number: int, action: str, *, label: str = "", after: str | None, seen: int
    ) -> dict[str, Any]:
        """Append a decision; returns the changes, this one included.

        Args:
            number: of a photo in the queue.
            action: one of `ACTIONS` in `decisions.py`.
            label: for "relabel" the class, which may be a new one.
            after: when the decision was made that the page shows for the photo; None for none.
            seen: as for `changes`.

        Raises:
            DataError: there is no such photo or action, or the label is no name of a class.
            DecidedMeanwhileError: another decision is in force than the page shows.
            StorageError: the decision could not be written.
        """
        row = self._row(number)
        if action == "relabel" and label not in self.classes:
            label = new_class_name(label)
        decision = new_decision(row, action, label)
        with self._writing, open_log(self.file) as writer:
            standing = writer.log.in_force().get(decision.key)
            if (standing.when if standing else None) != after:
                raise DecidedMeanwhileError(self._changes(writer.log, seen))
            if standing is None and action == "undo":
                raise DataError(f"there is no decision on {row.path} to take back")
            writer.add(decision)
            return self._changes(writer.log, seen)

    def photo(self, number: int) -> bytes:
        """A photo of the queue, or the twin of one, as a JPEG: upright, at most 1280 pixels long.

        Raises:
            DataError: no such photo is shown.
            UnreadableInputError: the file is gone or cannot be decoded, or holds something else
                than when the run read it. The text says so.
        """
        if number not in self._shown:
            raise DataError(f"there is no photo {number} in this review")
        row = self.run.data.rows[number]
        data = read_input(self.run.data.absolute(row))
        if hashlib.sha256(data).hexdigest() != row.sha256:
            raise UnreadableInputError(
                "the file has changed since the run, so no decision on it will be applied"
            )
        return small_jpeg(data, _PHOTO_PX, quality=_QUALITY)

    def decided(self) -> Mapping[str, int]:
        """How many decisions of each kind are in force; waits for one that is being written."""
        with self._writing:
            standing = read_decisions(self.file, missing_ok=True).in_force()
        return Counter(decision.action for decision in standing.values())

    def _changes(self, log: DecisionLog, seen: int) -> dict[str, Any]:
        new = log.entries[seen:] if 0 <= seen <= len(log.entries) else log.entries
        standing = log.in_force()
        return {
            "seen": len(log.entries),
            "decisions": {
                str(self._ids[key]): _shown_decision(standing.get(key))
                for key in dict.fromkeys(entry.key for entry in new)
                if key in self._ids
            },
        }

    def _key(self, one: Queued) -> tuple[str, str]:
        row = self.run.data.rows[one.row]
        return row.path, row.sha256

    def _row(self, number: int) -> Row:
        if number not in self._ids.values():
            raise DataError(f"there is no photo {number} in this review")
        return self.run.data.rows[number]

    def _has(self, kind: str) -> bool:
        return any(reason.kind == kind for one in self.queue for reason in one.reasons)

    def _photo(self, one: Queued) -> dict[str, Any]:
        row, p = self.run.data.rows[one.row], one.prediction
        return {
            "id": one.row,
            "path": row.path,
            "label": row.label,
            "split": row.split,
            "predicted": p.predicted if p else "",
            "confidence": round(p.confidence, 4) if p and p.probabilities else None,
            "reasons": [
                {
                    "kind": reason.kind,
                    "text": reason.text,
                    "twin": None if reason.twin is None else self._twin(reason.twin),
                }
                for reason in one.reasons
            ],
            "likely": self._likely(one),
        }

    def _twin(self, number: int) -> dict[str, Any]:
        row = self.run.data.rows[number]
        return {"id": number, "path": row.path, "label": row.label}

    def _likely(self, one: Queued) -> list[str]:
        """The classes that have keys on the page: all, or of many the likeliest ones."""
        if len(self.classes) <= NUMBERED:
            return list(self.classes)
        names = self.run.data.classes
        probabilities = one.prediction.probabilities if one.prediction else ()
        if len(probabilities) == len(names):
            order = sorted(range(len(names)), key=lambda i: -probabilities[i])
            return [names[i] for i in order[:NUMBERED]]
        twins = [reason.twin for reason in one.reasons if reason.twin is not None]
        labels = (self.run.data.rows[i].label for i in (one.row, *twins))
        return list(dict.fromkeys(label for label in labels if label))


def _shown_decision(decision: Decision | None) -> dict[str, str] | None:
    if decision is None:
        return None
    return {"action": decision.action, "label": decision.label, "when": decision.when}
