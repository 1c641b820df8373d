"""Row and Dataset: what was found, as a table.

Enters: rows. Leaves: the same rows by use (train, test), by status, as CSV and as a
fingerprint. Nothing here touches a file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from regraft.errors import DataError
from regraft.kinds import IMAGE
from regraft.storage.csv_table import csv_text, read_csv
from regraft.wording import counted

STATUSES: Mapping[str, str] = {
    "ok": "used for training or testing",
    "unlabelled": "readable but without a label: predicted, not scored",
    "unreadable": "cannot be decoded; the reason says why",
    "ignored": "hidden, not an image, or outside the class folders",
    "conflict": "one image with two labels",
    "excluded": "left out on purpose: a training copy of a test image, or by a review",
    "missing": "named by the label table, but not there",
}

_CLASSES_SHOWN = 6  # in a line

SortKey: TypeAlias = tuple[tuple[tuple[int, str], ...], str]


@dataclass(frozen=True, slots=True)
class Row:
    """One file that was found, or that a label table names.

    Attributes:
        path: with forward slashes, relative to the dataset's root (`../` for files elsewhere).
        sha256: of the file's bytes, 64 hexadecimal digits; "" where it was not read.
        label: class name; "" where there is none.
        split: "train", "test" or "".
        group: rows with the same group never part in a split; "" for none.
        width: in pixels, as seen upright; 0 where it was not read.
        height: in pixels, as seen upright; 0 where it was not read.
        mode: Pillow's name of the pixel format, such as "RGB" or "CMYK".
        status: one of `STATUSES`.
        reason: why the status is not "ok", in words.
    """

    path: str
    sha256: str = ""
    label: str = ""
    split: str = ""
    group: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    status: str = "ok"
    reason: str = ""


COLUMNS: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Row))


@dataclass(frozen=True)
class Dataset:
    """Every file found below `root`, in the natural order of their paths.

    Attributes:
        root: absolute folder that row paths are relative to.
        rows: one per file found or named.
        classes: sorted labels of the rows in use.
        layout: how the labels were found, one sentence.
        notes: what was decided on the way, one sentence each.
        modality: the kind of input, see `modality`.
        columns: names of the columns of a table by role, see `LabelTable`; {} without one.
        elsewhere: absolute folders far from `root`, by how the paths of their rows begin.
    """

    root: Path
    rows: tuple[Row, ...]
    classes: tuple[str, ...]
    layout: str = ""
    notes: tuple[str, ...] = ()
    modality: str = IMAGE
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    elsewhere: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        sizes = Counter(row.label for row in self.ok)
        some = ", ".join(f"{name} {sizes[name]:,}" for name in self.classes[:_CLASSES_SHOWN])
        more = ", ..." if len(self.classes) > _CLASSES_SHOWN else ""
        number = f"{len(self.classes):,} {'class' if len(self.classes) == 1 else 'classes'}"
        test = f"; {len(self.test):,} for testing" if self.test else ""
        left_out = len(self.rows) - len(self.ok)
        rest = f"; {left_out:,} not used" if left_out else ""
        return f"Dataset({counted(len(self.ok))} of {number}: {some}{more}{test}{rest})"

    def __len__(self) -> int:
        """How many rows there are, those not in use as well."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        """Every row, those not in use as well."""
        return iter(self.rows)

    @classmethod
    def from_rows(
        cls,
        root: Path,
        rows: Iterable[Row],
        *,
        layout: str = "",
        notes: Sequence[str] = (),
        modality: str = IMAGE,
        columns: Mapping[str, str] | None = None,
    ) -> Dataset:
        """The dataset of `rows`, with the classes that they contain."""
        kept = tuple(rows)
        return cls(root, kept, _classes_of(kept), layout, tuple(notes), modality, columns or {})

    def with_rows(self, rows: Iterable[Row], *, notes: Sequence[str] | None = None) -> Dataset:
        """The same dataset with other rows, and the classes that they contain."""
        kept = tuple(rows)
        said = self.notes if notes is None else tuple(notes)
        return dataclasses.replace(self, rows=kept, classes=_classes_of(kept), notes=said)

    @cached_property
    def ok(self) -> tuple[Row, ...]:
        """Rows in use: readable, labelled and not left out."""
        return self._with_status("ok")

    @cached_property
    def train(self) -> tuple[Row, ...]:
        """Rows in use outside the test set."""
        return tuple(row for row in self.ok if row.split != "test")

    @cached_property
    def test(self) -> tuple[Row, ...]:
        """Rows in use in the test set; empty where there is none."""
        return tuple(row for row in self.ok if row.split == "test")

    @cached_property
    def unlabelled(self) -> tuple[Row, ...]:
        """Readable rows without a label: they can be predicted, not scored."""
        return self._with_status("unlabelled")

    def _with_status(self, status: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == status)

    def labels(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        """The position in `classes` of the label of each of `rows`, int64 (n,).

        Raises:
            DataError: a row has a label that is not among the classes.
        """
        position = {name: index for index, name in enumerate(self.classes)}
        try:
            indices = [position[row.label] for row in rows]
        except KeyError as error:
            raise DataError(
                f"the label {error} is not one of the {len(self.classes)} classes; "
                "pass rows in use, such as those of Dataset.train"
            ) from None
        return np.array(indices, dtype=np.int64)

    def counts(self) -> dict[str, dict[str, int]]:
        """Rows by label, then by status; rows without a label come last, under ""."""
        tally = Counter((row.label, row.status) for row in self.rows)
        result: dict[str, dict[str, int]] = {}
        for label, status in sorted(tally, key=lambda pair: (pair[0] == "", pair)):
            result.setdefault(label, {})[status] = tally[label, status]
        return result

    def status_counts(self) -> dict[str, int]:
        """Rows by status, in the order of `STATUSES`, those that occur."""
        tally = Counter(row.status for row in self.rows)
        return {status: tally[status] for status in STATUSES if tally[status]}

    def fingerprint(self) -> str:
        """A sha256 over content, label, split and group of the rows in use, names left out.

        Moving or renaming files leaves it as it is; another label, split or image changes it.
        """
        used = sorted((row.sha256, row.label, row.split, row.group) for row in self.ok)
        return hashlib.sha256(json.dumps(used, ensure_ascii=True).encode("ascii")).hexdigest()

    def facts(self) -> dict[str, Any]:
        """What a model keeps of the data that it was trained on: JSON values."""
        columns = {"columns": dict(self.columns)} if self.columns else {}
        return {"fingerprint": self.fingerprint(), **columns}

    def absolute(self, row: Row) -> Path:
        """Where the file of `row` can be opened."""
        return self.locate(row.path)

    def locate(self, path: str) -> Path:
        """Where the file of a row's path can be opened."""
        for name, folder in self.elsewhere.items():
            if path.startswith(f"{name}/"):
                return Path(folder, path.removeprefix(f"{name}/"))
        return Path(os.path.normpath(self.root / path))

    def mark(self, reasons: Mapping[str, tuple[str, str]]) -> Dataset:
        """A new dataset in which some rows have another status.

        Args:
            reasons: status and reason by row path; other rows stay as they are.

        Raises:
            DataError: a path is not in the dataset, or a status is not one of `STATUSES`.
        """
        for status, _ in reasons.values():
            if status not in STATUSES:
                raise DataError(f"unknown status {status!r}; expected one of {', '.join(STATUSES)}")
        unknown = set(reasons).difference(row.path for row in self.rows)
        if unknown:
            raise DataError(
                f"{min(unknown)!r} is not a file of the dataset; paths are relative to {self.root}"
            )
        rows = [
            dataclasses.replace(row, status=reasons[row.path][0], reason=reasons[row.path][1])
            if row.path in reasons
            else row
            for row in self.rows
        ]
        return self.with_rows(rows)

    def with_groups(self, groups: Mapping[str, str]) -> Dataset:
        """A new dataset in which some rows, by path, belong to another group."""
        rows = [
            dataclasses.replace(row, group=groups[row.path]) if row.path in groups else row
            for row in self.rows
        ]
        return dataclasses.replace(self, rows=tuple(rows))

    def to_csv(self) -> str:
        """The table as CSV text, one line per row below a header of `COLUMNS`."""
        cells = ([getattr(row, name) for name in COLUMNS] for row in self.rows)
        return csv_text([COLUMNS, *cells])

    @classmethod
    def from_csv(
        cls,
        text: str,
        root: Path,
        *,
        modality: str = IMAGE,
        elsewhere: Mapping[str, str] | None = None,
    ) -> Dataset:
        """The dataset that `to_csv` wrote; layout, notes and the arguments are not in the table.

        Raises:
            DataError: the text is not such a table.
        """
        lines = read_csv(text)
        try:
            _, header = next(lines, (0, []))
            if tuple(header) != COLUMNS:
                raise DataError(
                    f"not a dataset table: its first line is {','.join(header)[:80]!r}, "
                    f"expected {','.join(COLUMNS)!r}"
                )
            rows = [_row_from_cells(cells, line=number) for number, cells in lines]
        except ValueError as error:
            raise DataError(f"the dataset table cannot be read: {error}") from None
        data = cls.from_rows(root, rows, modality=modality)
        return dataclasses.replace(data, elsewhere=elsewhere or {})


def _classes_of(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(sorted({row.label for row in rows if row.status == "ok"}))


def _row_from_cells(cells: list[str], *, line: int) -> Row:
    """The row that one line of a dataset table holds."""
    if len(cells) != len(COLUMNS):
        raise DataError(
            f"line {line} of the dataset table has {len(cells)} cells, expected {len(COLUMNS)}"
        )
    path, sha256, label, split, group, width, height, mode, status, reason = cells
    if status not in STATUSES:
        raise DataError(
            f"line {line} of the dataset table has the status {status!r}, "
            f"expected one of {', '.join(STATUSES)}"
        )
    if not all(side.isascii() and side.isdecimal() and len(side) < 10 for side in (width, height)):
        raise DataError(
            f"line {line} of the dataset table has the size {width!r} x {height!r}, "
            "expected whole numbers"
        )
    return Row(path, sha256, label, split, group, int(width), int(height), mode, status, reason)


_DIGITS = re.compile(r"([0-9]+)")


def natural_key(path: str) -> SortKey:
    """Sorts `img2.png` before `img10.png`, capitals beside small letters.

    Numbers compare by length, then digit by digit: the same order as by value, for any length.
    """
    parts = _DIGITS.split(path.casefold())
    numbered = tuple(
        (len(digits := part.lstrip("0")), digits) if index % 2 else (0, part)
        for index, part in enumerate(parts)
    )
    return numbered, path


def a_noun(noun: str) -> str:
    """ "an image", "a text"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
