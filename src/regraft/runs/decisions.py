"""What people decided on photos: a plain file that only grows, and what it comes to.

Enters: decisions, appended one at a time. Leaves: those in force, and a Dataset in which they are
applied. One line a decision, below a header:

    when      UTC, ISO 8601
    path      of the photo, as in dataset.csv
    action    one of `ACTIONS`
    label     the class the photo belongs to, for keep and relabel
    was       its label in the run that was looked at
    sha256    of the photo's bytes: a decision holds for this content only

A decision never spans two lines (a line feed in a name is written as `\\n`, a backslash doubled)
and ends with a hash of known length, so that a line which a killed process left half-written can
be told, ignored, and cut off before the next one is appended. Lines before it never change.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from regraft.dataset import Dataset, Row
from regraft.dataset.drafts import class_name
from regraft.errors import DataError, StorageError
from regraft.evidence.entries import BeforeAndNow
from regraft.inspection.issues import Issue
from regraft.runs.records import AppliedRecord, DecisionsRecord
from regraft.storage.csv_table import csv_line, read_csv
from regraft.storage.files import held, storage_errors
from regraft.storage.locations import shareable_word
from regraft.storage.saved import read_bytes
from regraft.wording import counted, listed

DECISIONS = "decisions.csv"
"""Name of the file in a run folder."""

ACTIONS: Mapping[str, str] = {
    "keep": "the label is right, and the photo is as it should be",
    "relabel": "the photo belongs to another class",
    "exclude": "the photo is to be left out",
    "undo": "takes back the last decision on the photo that is still in force",
}
COLUMNS = ("when", "path", "action", "label", "was", "sha256")
LONGEST_NAME = 200  # characters of a new class

_SETTLED = frozenset({"label_suspect", "outlier", "quality"})  # kinds a look at the photo answers
_IN_USE = frozenset({"ok", "unlabelled", "conflict"})
_LOCK_TIMEOUT_S = 20.0
_NAMES_SHOWN = 3

Key: TypeAlias = tuple[str, str]
"""Path and content hash: what a decision is about."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the file; see the top of this module."""

    when: str
    path: str
    action: str
    label: str
    was: str
    sha256: str

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.path, self.sha256


@dataclass(frozen=True, slots=True)
class DecisionLog:
    """A file of decisions as read.

    Attributes:
        file: where it is; it need not exist.
        entries: every decision, undone ones and undoings too, in the order of the file.
        sha256: of the file's bytes.
        note: on a line that was ignored; "" where there is none.
    """

    file: Path
    entries: tuple[Decision, ...]
    sha256: str
    note: str = ""

    def in_force(self) -> dict[Key, Decision]:
        """The last decision on each photo that was not taken back."""
        return decisions_in_force(self.entries)


def decisions_in_force(entries: Iterable[Decision]) -> dict[Key, Decision]:
    """What a log comes to: for each photo the last decision that was not taken back.

    An undoing takes back one decision on its photo, the last one still standing; where there is
    none it does nothing.
    """
    standing: dict[Key, list[Decision]] = defaultdict(list)
    for entry in entries:
        if entry.action != "undo":
            standing[entry.key].append(entry)
        elif standing[entry.key]:
            standing[entry.key].pop()
    return {key: made[-1] for key, made in standing.items() if made}


def new_decision(row: Row, action: str, label: str = "") -> Decision:
    """A decision on a photo, made now.

    Args:
        row: of the photo.
        action: one of `ACTIONS`; a relabelling to the photo's own label is a "keep".
        label: the other class, for "relabel" alone.

    Raises:
        DataError: the action is unknown, a label is missing, or the photo was never read.
    """
    if action == "relabel" and label == row.label:
        action = "keep"
    said = {"keep": row.label, "relabel": label}.get(action, "")
    decision = Decision(_now(), row.path, action, said, row.label, row.sha256)
    problem = _problem(decision)
    if problem:
        raise DataError(f"this cannot be decided on {row.path}: {problem}")
    return decision


def new_class_name(text: str) -> str:
    """What somebody typed as the name of a class: composed (NFC), without blanks around it.

    Raises:
        DataError: it is empty, too long, or holds characters that cannot be seen.
    """
    name = class_name(text).strip()
    if not name:
        raise DataError("the name of the new class is empty; type one")
    if len(name) > LONGEST_NAME:
        raise DataError(
            f"the name of the new class has {len(name):,} characters, expected {LONGEST_NAME} at "
            "the most; type a shorter one"
        )
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise DataError(f"the name {name!r} holds control characters; type it again")
    return name


def decisions_file(path: str | Path) -> Path:
    """The file that is meant by a run folder or by the file itself.

    Raises:
        DataError: there is no such file.
    """
    given = Path(path)
    file = given / DECISIONS if given.is_dir() else given
    if file.is_file():
        return file
    if given.is_dir():
        raise DataError(
            f"{given} holds no {DECISIONS}, nothing has been decided there; to go through its "
            f"photos, run: regraft review {given}"
        )
    raise DataError(f"there is no {given}; expected a run folder or its {DECISIONS}")


def read_decisions(file: Path, *, missing_ok: bool = False) -> DecisionLog:
    """Read a file of decisions.

    A last line that was left half-written is ignored, with a note.

    Args:
        file: see the top of this module.
        missing_ok: a file that is not there holds no decision.

    Raises:
        DataError: the file cannot be read, or a line of it not be understood.
    """
    return _read(file, missing_ok=missing_ok)[0]


class LogWriter:
    """A locked file of decisions; `log` is what it holds, including what was added."""

    def __init__(self, log: DecisionLog, whole: bytes, before: bytes) -> None:
        self.log = log
        self._whole = whole
        self._before = before

    def add(self, *decisions: Decision) -> None:
        """Append decisions; they are on the disk when this returns.

        Raises:
            StorageError: they could not be written.
        """
        lines = self._before + b"".join(_line(decision) for decision in decisions)
        file = self.log.file
        with storage_errors(f"write {file}"), file.open("ab") as out:
            out.truncate(len(self._whole))  # cuts off what a killed process left half-written
            out.write(lines)
            out.flush()
            os.fsync(out.fileno())
        self._whole, self._before = self._whole + lines, b""
        content = hashlib.sha256(self._whole).hexdigest()
        self.log = DecisionLog(file, (*self.log.entries, *decisions), content)


@contextlib.contextmanager
def open_log(file: Path) -> Iterator[LogWriter]:
    """Lock a file of decisions, read it, and append to it; no other process does meanwhile.

    Raises:
        DataError: what it holds cannot be understood; nothing is appended then.
        StorageError: it cannot be locked or written.
    """
    if not file.parent.is_dir():  # locking would make it
        raise StorageError(
            f"could not write {file}: its folder is gone; put it back, or review anew"
        )
    guard = file.with_name(f".{file.name}.lock")
    busy = StorageError(
        f"another process has kept {file} locked for {_LOCK_TIMEOUT_S:.0f} s; end it, then "
        "decide again"
    )
    with held(guard, busy, doing=f"write {file}", timeout_s=_LOCK_TIMEOUT_S):
        yield LogWriter(*_read(file, missing_ok=True))


def carry_over(log: DecisionLog, file: Path) -> None:
    """Append to another file the decisions that it lacks, so that the next review goes on there.

    Raises:
        DataError: what the other file holds cannot be understood.
        StorageError: it cannot be written.
    """
    if not log.entries or (file.exists() and file.samefile(log.file)):
        return
    with open_log(file) as writer:
        known = set(writer.log.entries)
        lacking = [entry for entry in log.entries if entry not in known]
        if lacking:
            writer.add(*lacking)


# ---- Applying -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Applied:
    """What decisions did to a dataset; all tuples are of row paths.

    Attributes:
        source: the file of decisions.
        relabelled: have another label now, exact copies of a photo that was decided on included.
        excluded: left out.
        kept: have the label that was confirmed.
        skipped: not decided on after all: the file is gone, or its content is another.
    """

    source: Path
    relabelled: tuple[str, ...]
    excluded: tuple[str, ...]
    kept: tuple[str, ...]
    skipped: tuple[str, ...]

    def record(self, compared: Sequence[BeforeAndNow]) -> DecisionsRecord:
        """How many of each, where they come from, and the accuracy before and now."""
        return DecisionsRecord(
            applied=AppliedRecord(
                relabelled=len(self.relabelled),
                excluded=len(self.excluded),
                kept=len(self.kept),
            ),
            skipped=len(self.skipped),
            source=_shown(self.source),
            compared=tuple(compared),
        )

    def silence(self, issues: Sequence[Issue]) -> tuple[Issue, ...]:
        """The issues without those that somebody has answered by looking at the photo."""
        settled, out = {*self.kept, *self.relabelled}, frozenset(self.excluded)
        return tuple(
            issue
            for issue in issues
            if not (
                issue.path in out
                or (issue.issue in _SETTLED and issue.path in settled)
                or (issue.issue == "exact_duplicate" and issue.other in out)
            )
        )


def apply_decisions(data: Dataset, log: DecisionLog) -> tuple[Dataset, Applied]:
    """A dataset in which what was decided on its photos holds, with notes on what changed.

    A decision holds for a path with the content it was made on. A label that was given or
    confirmed also holds for exact copies of the photo on which nothing was decided, for else they
    would contradict it.

    Args:
        data: rows as read, before contradictions among them are looked for: `scan(check=False)`.
        log: what was decided.
    """
    standing = log.in_force()
    here = {row.path: standing.get((row.path, row.sha256)) for row in data.rows}
    made = [decision for decision in here.values() if decision is not None]
    by_content = _labels_by_content(made)
    rows = []
    changes: dict[str, str] = {}
    excluded, kept = [], []
    for row in data.rows:
        decision = here[row.path]
        changed = _decided(row, decision, by_content)
        if decision is not None and decision.action == "exclude":
            excluded.append(row.path)
        elif changed != row:
            changes[row.path] = f"{row.path}: {row.label or 'no label'} to {changed.label}"
        elif decision is not None:
            kept.append(row.path)
        rows.append(changed)
    skipped = tuple(dict.fromkeys(path for path, _ in standing if here.get(path) is None))
    applied = Applied(log.file, tuple(changes), tuple(excluded), tuple(kept), skipped)
    old = {row.label for row in data.rows}
    new = {row.label for row in rows if row.path in changes and row.label not in old}
    notes = [
        *data.notes,
        *([log.note] if log.note else []),
        _note(applied, list(changes.values())),
        *_notes_on_new_classes(new),
        *_notes_on_skipped(applied, has_others=bool(made)),
    ]
    return data.with_rows(rows, notes=notes), applied


def _labels_by_content(decisions: Iterable[Decision]) -> dict[str, str]:
    """The label of each content that was given one label and not several."""
    labels: dict[str, set[str]] = defaultdict(set)
    for decision in decisions:
        if decision.action in ("keep", "relabel"):
            labels[decision.sha256].add(decision.label)
    return {content: min(found) for content, found in labels.items() if len(found) == 1}


def _decided(row: Row, decision: Decision | None, by_content: Mapping[str, str]) -> Row:
    """The row as a decision on it, or on an exact copy of it, would have it."""
    if decision is None:
        if row.status != "ok":
            return row
        return dataclasses.replace(row, label=by_content.get(row.sha256, row.label))
    if decision.action == "exclude":
        if row.status not in _IN_USE and row.status != "unreadable":
            return row  # out already, for a reason of its own
        reason = f"excluded in a review on {decision.when[:10]}"
        return dataclasses.replace(row, status="excluded", reason=reason)
    if row.status not in _IN_USE:
        return dataclasses.replace(row, label=decision.label)
    return dataclasses.replace(row, label=decision.label, status="ok", reason="")


def _shown(file: Path) -> str:
    """Where decisions come from, as a run may tell it."""
    return shareable_word(str(file), Path.cwd())


def _note(applied: Applied, changes: Sequence[str]) -> str:
    parts = []
    if changes:
        parts.append(f"{len(changes):,} relabelled ({listed(changes, shown=_NAMES_SHOWN)})")
    if applied.excluded:
        names = listed(applied.excluded, shown=_NAMES_SHOWN)
        parts.append(f"{len(applied.excluded):,} excluded ({names})")
    if applied.kept:
        parts.append(f"{len(applied.kept):,} kept as labelled")
    return f"Decided in a review ({_shown(applied.source)}): {'; '.join(parts) or 'nothing here'}."


def _notes_on_new_classes(names: Iterable[str]) -> list[str]:
    return [
        f"Class {name!r} is new: no photo had that label before the review."
        for name in sorted(names)
    ]


def _notes_on_skipped(applied: Applied, *, has_others: bool) -> list[str]:
    n = len(applied.skipped)
    if not n:
        return []
    which = counted(n, "decision was", "decisions were")
    names = listed(applied.skipped, shown=_NAMES_SHOWN)
    note = f"{which} not applied, the file is gone or has changed: {names}."
    if not has_others:
        note += " No decision fits this data: was the review one of other photos?"
    return [note]


# ---- The file -----------------------------------------------------------------------------

_HEADER = csv_line(COLUMNS).encode()
_HASH = re.compile(r"[0-9a-f]{64}")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_PLAIN = {escape: plain for plain, escape in _ESCAPES.items()}


def _read(file: Path, *, missing_ok: bool) -> tuple[DecisionLog, bytes, bytes]:
    """The log, the bytes of its whole lines, and what has to precede the next line."""
    try:
        data = read_bytes(file)
    except FileNotFoundError as error:
        if not missing_ok:
            raise DataError(f"there is no {file}; expected a file of review decisions") from error
        data = b""
    except (OSError, ValueError) as error:
        why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        raise DataError(f"{file} cannot be read: {why}; put that right and try again") from error
    *lines, last = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    whole, before, note = data, b"", ""
    if last:
        if _is_torn(last, is_header=not lines):
            whole = data[: -len(last)]
            note = f"The last line of {_shown(file)} is incomplete and was ignored."
        else:  # written by hand, without a line feed
            lines.append(last)
            before = b"\n"
    if not lines:
        before = _HEADER
    elif _cells(lines[0], file, 1) != list(COLUMNS):
        found = lines[0][:80].decode("utf-8", "replace").strip()
        raise DataError(
            f"{file} is no file of review decisions: its first line is {found!r}, expected "
            f"{','.join(COLUMNS)!r}"
        )
    entries = tuple(
        _decision(line, file, number)
        for number, line in enumerate(lines[1:], start=2)
        if line.strip()
    )
    return DecisionLog(file, entries, hashlib.sha256(data).hexdigest(), note), whole, before


def _is_torn(line: bytes, *, is_header: bool) -> bool:
    """Whether a line without a line feed is only the beginning of one."""
    if is_header:
        return _HEADER.startswith(line) and line != _HEADER.strip()
    try:
        _, cells = next(read_csv(line.decode("utf-8")))
    except (ValueError, StopIteration):
        return True
    return len(cells) < len(COLUMNS) or not _HASH.fullmatch(cells[-1])


def _cells(line: bytes, file: Path, number: int) -> list[str]:
    try:
        text = line.decode("utf-8").removesuffix("\r")
        return next(read_csv(text), (0, []))[1]
    except UnicodeDecodeError as error:
        raise DataError(f"line {number} of {file} is not UTF-8; save the file as such") from error
    except ValueError as error:
        raise DataError(
            f"line {number} of {file} cannot be understood: {error}; mend or delete it"
        ) from error


def _decision(line: bytes, file: Path, number: int) -> Decision:
    """The decision that a line holds.

    Raises:
        DataError: it holds none.
    """
    cells = _cells(line, file, number)
    if b"\\" in line:
        cells = [re.sub(r"\\[\\nr]", _unescaped, cell) for cell in cells]
    if len(cells) != len(COLUMNS):
        raise DataError(
            f"line {number} of {file} has {len(cells)} cells, expected {len(COLUMNS)}; mend or "
            "delete it"
        )
    when, path, action, label, was, sha256 = cells
    decision = Decision(when, path, action, class_name(label), was, sha256)
    problem = _problem(decision)
    if problem:
        raise DataError(f"line {number} of {file}: {problem}; mend or delete it")
    return decision


def _problem(decision: Decision) -> str:
    """What is wrong with a decision; "" where nothing is."""
    if decision.action not in ACTIONS:
        return f"the action is {decision.action!r}, expected one of {', '.join(ACTIONS)}"
    if not decision.path:
        return "it names no file"
    if not _HASH.fullmatch(decision.sha256):
        return f"the sha256 is {decision.sha256[:80]!r}, expected 64 hexadecimal digits"
    if decision.action in ("keep", "relabel") and not decision.label:
        return "it names no class"
    return ""


def _line(decision: Decision) -> bytes:
    cells = [re.sub(r"[\\\n\r]", _escaped, cell) for cell in dataclasses.astuple(decision)]
    return csv_line(cells).encode("utf-8")


def _escaped(found: re.Match[str]) -> str:
    return _ESCAPES[found[0]]


def _unescaped(found: re.Match[str]) -> str:
    return _PLAIN[found[0]]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
