"""What people said of photos that the model met at work: kept as labelled images, used later.

Below a run folder:

    corrections/corrections.csv   a decision a line, as in a review: see `decisions.py`
    corrections/<source>/<hash>.<suffix>   the photo, as it was sent

The source says where a correction comes from ("page" or "command"). The last word on a photo
counts, and nothing is removed: a correction that is taken back leaves its photo and both lines.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.dataset import Dataset, Row
from regraft.errors import DataError, UnreadableInputError
from regraft.kinds.base import read_input
from regraft.kinds.images import SUFFIXES
from regraft.kinds.images.decoding import inspect
from regraft.runs.decisions import (
    Decision,
    DecisionLog,
    new_class_name,
    new_decision,
    open_log,
    read_decisions,
)
from regraft.storage.files import make_folder, write_atomic
from regraft.wording import counted, listed

FOLDER = "corrections"
_FILE = "corrections.csv"
SOURCES = ("page", "command")


@dataclass(frozen=True, slots=True)
class Correction:
    """One photo and its right label; `said` is what the model had said, "" if nothing."""

    file: Path
    sha256: str
    label: str
    said: str
    source: str


def keep_correction(
    run: str | Path, data: bytes, label: str, *, said: str = "", source: str, name: str = ""
) -> Correction:
    """Keep a photo under its right label; both are on the disk when this returns.

    Args:
        run: the run folder whose model was wrong, or unsure.
        data: the photo's file.
        label: its class, a new one too.
        said: what the model had said.
        source: one of `SOURCES`.
        name: of the file, for its suffix.

    Raises:
        DataError: it is no photo, or the label no name.
        StorageError: it cannot be written.
    """
    if source not in SOURCES:
        raise DataError(f"the source is {source!r}, expected {' or '.join(SOURCES)}")
    label = new_class_name(label)
    try:
        inspect(data)
    except UnreadableInputError as error:
        raise DataError(f"{name or 'the file'} cannot be kept as a correction: {error}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    suffix = Path(name).suffix.lower()
    folder = make_folder(Path(run) / FOLDER / source)
    path = f"{source}/{sha256[:20]}{suffix if suffix in SUFFIXES else '.jpg'}"
    file = folder.parent / path
    if not file.exists():
        write_atomic(file, data)
    seen = Row(path=path, sha256=sha256, label=said)
    with open_log(folder.parent / _FILE) as log:
        log.add(new_decision(seen, "relabel", label))
    return Correction(file, sha256, label, said, source)


def class_meant(label: str, classes: Collection[str], *, is_new: bool) -> str:
    """A label that was typed, as the name of a class.

    Args:
        label: as typed.
        classes: those that there are.
        is_new: whether it may be another one.

    Raises:
        DataError: it is no name, or none of the classes and not said to be new.
    """
    name = new_class_name(label)
    if name in classes or is_new:
        return name
    folded = {each.casefold(): each for each in classes}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    there = listed([repr(each) for each in sorted(classes)], shown=3)
    meant = f"; did you mean {folded[near[0]]!r}?" if near else f", only {there}."
    raise DataError(
        f"there is no class {name!r}{meant} If {name!r} is a new class, add --new-class"
    )


def read_corrections(run: str | Path) -> tuple[Correction, ...]:
    """The last word on every photo, in the order in which photos were first corrected.

    Raises:
        DataError: the file cannot be understood.
    """
    folder = Path(run) / FOLDER
    log = corrections_log(run)
    last: dict[str, Decision] = {}
    for decision in log.in_force().values():
        source, _, name = decision.path.partition("/")
        if source not in SOURCES or not name or Path(name).name != name:
            raise DataError(
                f"{folder / _FILE} names {decision.path!r}, expected a photo in one of the folders "
                f"{' and '.join(SOURCES)} beside it; mend or delete that line"
            )
        last[decision.sha256] = decision
    return tuple(
        Correction(
            file=folder / d.path,
            sha256=d.sha256,
            label=d.label,
            said=d.was,
            source=d.path.partition("/")[0],
        )
        for d in last.values()
    )


def corrections_log(run: str | Path) -> DecisionLog:
    """Every correction that was made below a run folder; empty where none was."""
    return read_decisions(Path(run) / FOLDER / _FILE, missing_ok=True)


def add_corrections(
    data: Dataset, corrections: tuple[Correction, ...], *, tested: Mapping[str, str]
) -> Dataset:
    """The dataset with corrected photos among its training rows, and a test set kept as it was.

    A photo of the data that was corrected is left out under its old label. A correction of a test
    photo is not used: the test set stays untouched. What became of the others is known only once
    all photos are read and small classes left out, see `with_note_on_corrections`.

    Args:
        data: as scanned.
        corrections: what people said.
        tested: label by content hash of the test photos of the run that was corrected.
    """
    used: list[Row] = []
    skipped: list[str] = []
    for one in corrections:
        if one.sha256 in tested:
            skipped.append(f"{one.file.name} (a test photo)")
            continue
        try:
            found = inspect(read_input(one.file))
        except UnreadableInputError as error:
            skipped.append(f"{one.file.name} ({error})")
            continue
        used.append(
            Row(
                path=Path(os.path.relpath(one.file, data.root)).as_posix(),
                sha256=one.sha256,
                label=one.label,
                split="train",
                width=found.width,
                height=found.height,
                mode=found.mode,
                status="ok",
            )
        )
    corrected = {row.sha256: row.label for row in used}
    rows = [_as_before(row, tested.get(row.sha256), corrected.get(row.sha256)) for row in data.rows]
    notes = list(data.notes)
    if skipped:
        are = counted(len(skipped), "correction is", "corrections are")
        more = ", ..." if len(skipped) > 3 else ""
        notes.append(f"{are} not used: {', '.join(skipped[:3])}{more}.")
    return data.with_rows([*rows, *used], notes=notes)


def with_note_on_corrections(
    data: Dataset, corrections: Sequence[Correction], run: str | Path
) -> Dataset:
    """The dataset with a note on how many corrected photos were trained on, and why others not.

    Args:
        data: as it was trained on.
        corrections: what people said.
        run: the run folder that keeps them.
    """
    files = {os.path.realpath(one.file) for one in corrections}
    rows = [row for row in data.rows if os.path.realpath(data.absolute(row)) in files]
    used = [row for row in rows if row.status == "ok"]
    left_out = [row for row in rows if row.status != "ok"]
    are = counted(len(used), "corrected photo is", "corrected photos are")
    notes = [f"{are} among the training photos."] if used else []
    if left_out:
        why = "; ".join(dict.fromkeys(row.reason for row in left_out))
        notes.append(
            f"{counted(len(left_out), 'corrected photo')} not trained on ({why}), kept in "
            f"{Path(run) / FOLDER} for the next fit."
        )
    return data.with_rows(data.rows, notes=[*data.notes, *notes])


def _as_before(row: Row, tested: str | None, corrected: str | None) -> Row:
    if row.status != "ok":
        return row
    if tested is not None:
        return dataclasses.replace(row, split="test")
    if corrected is None:
        return row
    same = corrected == row.label
    reason = "kept as a correction" if same else f"corrected to {corrected}"
    return dataclasses.replace(row, status="excluded", reason=reason)
