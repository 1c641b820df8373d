"""What is wrong with a dataset: rows, and what was measured on them, enter; a ranked table leaves.

`find_issues` is the whole (in `finding`), `base` is Issue; each file below has one kind of it:

    rows        unreadable files, exact copies, leakage of copies and groups, conflicting labels
    copies      near duplicates: one picture resized, recompressed, mirrored, a little cropped
    text_copies one text twice, with words changed, added or cut away
    series      photos taken one after another that show almost the same
    labels      photos a model takes for another class
    outliers    photos unlike all others
    quality     dark, pale, blurred, empty photos, odd sizes and shapes
    shortcuts   facts that have nothing to do with the subject and still tell the class
    neighbours  what is near what in feature space, for copies and outliers
"""

from regraft.inspection.issues.base import Issue, in_order, issues_csv
from regraft.inspection.issues.copies import Copy, find_copies
from regraft.inspection.issues.finding import (
    Findings,
    doubts_of,
    find_issues,
    in_dataset,
    look,
    look_for_series,
    with_suspects,
)
from regraft.inspection.issues.labels import (
    Doubt,
    Suspects,
    about_doubts,
    confident_doubts,
    suspect_labels,
)
from regraft.inspection.issues.neighbours import Neighbours, find_neighbours
from regraft.inspection.issues.outliers import Outliers, find_outliers
from regraft.inspection.issues.quality import Quality, find_faults
from regraft.inspection.issues.series import Series, find_series
from regraft.inspection.issues.shortcuts import Culprit, Shortcuts, find_shortcuts

__all__ = [
    "Copy",
    "Culprit",
    "Doubt",
    "Findings",
    "Issue",
    "Neighbours",
    "Outliers",
    "Quality",
    "Series",
    "Shortcuts",
    "Suspects",
    "about_doubts",
    "confident_doubts",
    "doubts_of",
    "find_copies",
    "find_faults",
    "find_issues",
    "find_neighbours",
    "find_outliers",
    "find_series",
    "find_shortcuts",
    "in_dataset",
    "in_order",
    "issues_csv",
    "look",
    "look_for_series",
    "suspect_labels",
    "with_suspects",
]
