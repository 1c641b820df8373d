"""From a folder or a label table to a Dataset: one row per file found, nothing dropped.

Enters: a folder of photos, or a table that names them. Leaves: a `Dataset`, a table of rows
with content hash, label, group, split, size, status and reason.

    walking    the files below a folder, and why some are not read
    layouts    labels and splits from the names of folders; `nesting` finds the level they are on,
               `split_names` knows what a name says of a split
    labels     a label table: `columns` which column is what, `values` what its cells mean
    matching   the files that the names in a label table mean
    sources    the paths that a user named
    reader     a folder or a table and of which kind it is: calls the above
    inputs     files, folders, patterns and tables whose inputs are to be predicted
    drafts     rows before their files are read
    reading    content hash and size of every file
    checking   what only shows once all is read: conflicts, leaks, classes too small
    scanning   `scan`, which calls the above from top to bottom
    ordering   rows in order by names and times
    splitting  groups, a test set held out, cross-validation folds
    table      Row and Dataset, and their CSV form
    elsewhere  rows of far folders, named without the way to them
    overlaps   what a Dataset has in common with what backbones were trained on before
"""

from __future__ import annotations

from regraft.dataset.checking import check_data, leave_out_small_classes, require_trainable
from regraft.dataset.inputs import InputOptions, Inputs, find_inputs
from regraft.dataset.scanning import scan, scan_files
from regraft.dataset.splitting import connected, make_folds, pairs_by, set_aside, split_groups
from regraft.dataset.table import COLUMNS, STATUSES, Dataset, Row, natural_key

__all__ = [
    "COLUMNS",
    "STATUSES",
    "Dataset",
    "InputOptions",
    "Inputs",
    "Row",
    "check_data",
    "connected",
    "find_inputs",
    "leave_out_small_classes",
    "make_folds",
    "natural_key",
    "pairs_by",
    "require_trainable",
    "scan",
    "scan_files",
    "set_aside",
    "split_groups",
]
