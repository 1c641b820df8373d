"""A Dataset and what backbones were trained on before in, what they have in common out.

A backbone that was trained on a photo knows its label: a test set must not hold it, and
cross-validation on it flatters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from regraft.dataset import Dataset, Row, split_groups
from regraft.kinds import thing
from regraft.training_contents import Overlap, TrainingContents
from regraft.wording import counted

_TEST = "test"  # the split


def without_known_test_rows(
    data: Dataset, backbones: Iterable[TrainingContents], *, was_given: bool
) -> Dataset:
    """The dataset with a test set that none of the backbones was trained on, groups included.

    Rows of a test set that was given are left out; others go back to the training.
    """
    rows, contents = data.ok, tuple(backbones)
    groups = split_groups(rows)
    known = _known_to_any(rows, contents)
    known |= np.isin(groups, groups[known])
    tested = [row for row, is_known in zip(rows, known, strict=True) if is_known]
    tested = [row for row in tested if row.split == _TEST]
    if not tested:
        return data
    of = counted(len(tested), f"test {thing(data.modality)}")
    if was_given:
        reason = "a backbone had been trained on it, or on a copy of it"
        note = f"{of} left out: a backbone had been trained on the same content before."
        marked = data.mark({row.path: ("excluded", reason) for row in tested})
        return replace(marked, notes=(*data.notes, note))
    back = {row.path for row in tested}
    moved = tuple(replace(row, split="train") if row.path in back else row for row in data.rows)
    note = f"{of} back in the training: a backbone had been trained on the same content before."
    return replace(data, rows=moved, notes=(*data.notes, note))


def overlap_with(rows: Sequence[Row], backbone: TrainingContents) -> Overlap:
    """What a score on these rows has in common with what the backbone was trained on before."""
    known = _known_to_any(rows, (backbone,))
    return Overlap(flattering=int(known.sum()), is_complete=backbone.is_complete)


def _known_to_any(rows: Sequence[Row], backbones: Iterable[TrainingContents]) -> NDArray[np.bool_]:
    hashes = [row.sha256 for row in rows]
    known = np.zeros(len(rows), dtype=bool)
    for contents in backbones:
        known |= contents.known_to_backbone(hashes)
    return known
