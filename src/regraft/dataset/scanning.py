"""`scan`: from a folder or a table to a Dataset, top to bottom.

Enters: a path and, where recognising does not do, what is what. Leaves: a `Dataset`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from regraft.dataset.checking import check_data
from regraft.dataset.drafts import (
    Draft,
    choose_test_rows,
    class_name,
    relative_path,
    with_test_set,
)
from regraft.dataset.elsewhere import without_absolute_paths
from regraft.dataset.reader import Reader
from regraft.dataset.reading import read_rows
from regraft.dataset.sources import find_source, find_test
from regraft.dataset.table import Dataset, Row, natural_key
from regraft.errors import DataError, UsageError
from regraft.kinds import IMAGE, kind_named
from regraft.progress import Progress, silent


def scan(
    path: str | Path,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    test: str | Path | None = None,
    modality: str | None = None,
    path_column: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    remembered: Mapping[str, str] | None = None,
    classes: Collection[str] = (),
    min_class_images: int = 2,
    verify: bool = False,
    check: bool = True,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Dataset:
    """List, hash and label every file of a dataset; nothing is changed and nothing dropped.

    Understood without options: a folder per class; the same below train, val and test folders, or
    below folders that hold nothing else (see `nesting`); a table (CSV, JSON or Parquet) with a
    column of files, ids or texts, a label column and optional split and group columns; a folder
    with one such table, or one a split. A labelled test split, or else a labelled val split, is the
    test set.

    Args:
        path: a folder, or the label table itself.
        labels: a table (CSV, JSON, Parquet...) that labels the images below `path`.
        image_dir: the folder with the table's images; None for `path` or the table's folder.
        test: a further folder or table that is the test set. Files that such a table names are
            looked for beside it and among the training images.
        modality: the kind of input, see `kinds.KINDS`; None for images, or texts where
            there are no images but texts, or a table that holds them.
        path_column: the column of file names in the tables; None to recognise it. "" says that
            there is no such column, for this and the four below.
        text_column: the column that holds the texts themselves.
        label_column: the column of class names.
        split_column: the column of train, val and test.
        group_column: the column of what must stay together, such as the patient.
        remembered: names of columns by role that count where a table has them and no other is
            named, such as those of the data that a model was trained on.
        classes: names of classes that are known, such as a model's: folders that are called so are
            the class folders, however deep they lie.
        min_class_images: classes with fewer different training images are left out.
        verify: decode every image, not only its header.
        check: look for contradictions, leaks and classes too small; else `check_data` is to do it,
            after what people decided on single photos is applied.
        jobs: number of threads; None for one a core.
        progress: called with the phases "listing" and "reading".

    Raises:
        DataError: no such path, nothing that looks like an image, or a table that is not clear.
        UsageError: options that contradict each other.
        MissingExtraError: a table's form needs a package that is not installed.

    >>> scan("rooms").layout  # doctest: +SKIP
    'split by folders (train, val), one folder per class'
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"the number of jobs is {jobs}; expected at least 1")
    source = find_source(path, labels, image_dir)
    test_path = None if test is None else find_test(test, source)
    reader = Reader(
        asked={
            "path_column": path_column,
            "text_column": text_column,
            "label_column": label_column,
            "split_column": split_column,
            "group_column": group_column,
        },
        modality=modality,
        remembered=remembered or {},
        classes=classes,
        progress=progress,
    )
    training = reader.read(source, skip=[] if test_path is None else [test_path])
    draft, kind = training.draft, training.kind
    if test_path is not None:
        test_draft = reader.read_test(test_path, source, training)
        draft = with_test_set(draft, test_draft, name=test_path.name, noun=kind.noun)
    draft = choose_test_rows(draft, kind.noun)
    in_order = sorted(draft.rows, key=lambda row: natural_key(row.path))
    rows = read_rows(in_order, source.root, kind, verify=verify, jobs=jobs, progress=progress)
    data = Dataset.from_rows(
        source.root,
        rows,
        layout=draft.layout,
        notes=draft.notes,
        modality=kind.name,
        columns=training.columns,
    )
    data = without_absolute_paths(data)
    return check_data(data, at_least=min_class_images) if check else data


def scan_files(
    paths: Sequence[str | Path],
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    root: Path | None = None,
    modality: str = IMAGE,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Dataset:
    """A Dataset of files that are named one by one.

    Args:
        paths: the files; a file may be named once.
        labels: their class names; "" for none.
        groups: what must stay together, one a file; None for no groups.
        splits: "train", "val" or "test", one a file; None for training images only.
        root: what row paths are relative to; None for the folder that holds all files.
        modality: the kind of input.
        jobs: number of threads; None for one a core.
        progress: called with the phase "reading".

    Raises:
        DataError: as many labels or groups as files are expected, or a file is named twice.
    """
    own = list(groups) if groups is not None else [""] * len(paths)
    parts = list(splits) if splits is not None else ["train"] * len(paths)
    if not len(paths) == len(labels) == len(own) == len(parts):
        raise DataError(
            f"{len(paths):,} files came with {len(labels):,} labels, {len(own):,} groups and "
            f"{len(parts):,} splits; expected one each"
        )
    absolute = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 - keeps links
    twice = [str(path) for path, count in Counter(absolute).items() if count > 1]
    if twice:
        raise DataError(f"{twice[0]} is named twice; name every file once")
    if root is None:
        folders = {path.parent for path in absolute}
        root = Path(os.path.commonpath(folders)) if folders else Path.cwd()
    drafts = [
        Row(relative_path(path, root), label=class_name(label), split=split, group=group)
        if label
        else Row(
            relative_path(path, root),
            split=split,
            group=group,
            status="unlabelled",
            reason="without a label",
        )
        for path, label, split, group in zip(absolute, labels, parts, own, strict=True)
    ]
    draft = choose_test_rows(Draft(tuple(drafts), "files named one by one"))
    rows = read_rows(draft.rows, root, kind_named(modality), jobs=jobs, progress=progress)
    data = Dataset.from_rows(root, rows, layout=draft.layout, notes=draft.notes, modality=modality)
    return check_data(data)
