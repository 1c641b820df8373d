"""`scan`: from a folder or a table to a Dataset, top to bottom.

Enters: a path and, where recognising does not do, what is what. Leaves: a `Dataset`.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from regraft.dataset.checking import check_data
from regraft.dataset.drafts import (
    Draft,
    choose_test_rows,
    class_name,
    rebased,
    relative_path,
    with_test_set,
)
from regraft.dataset.elsewhere import without_absolute_paths
from regraft.dataset.labels import TABLE_SUFFIXES, LabelTable, read_label_table
from regraft.dataset.layouts import rows_from_folders, rows_of_test_folder
from regraft.dataset.matching import named_rows, rows_from_table
from regraft.dataset.reading import read_rows
from regraft.dataset.table import Dataset, Row, counted, natural_key
from regraft.dataset.walking import Listing, walk
from regraft.errors import DataError, UsageError
from regraft.modality import IMAGE, MODALITIES, get_modality
from regraft.modality.base import Modality
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
    min_class_images: int = 2,
    verify: bool = False,
    check: bool = True,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Dataset:
    """List, hash and label every file of a dataset; nothing is changed and nothing dropped.

    Understood without options: a folder per class; the same below train, val and test folders;
    a table with a file or id column, a label column and optional split and group columns. A
    labelled test split, or else a labelled val split, is the test set.

    Args:
        path: a folder, or the label table itself.
        labels: a table (CSV, TSV...) that labels the images below `path`.
        image_dir: the folder with the table's images; None for `path` or the table's folder.
        test: a further folder or table that is the test set.
        modality: the kind of input, see `modality.MODALITIES`; None for images, or texts where
            there are no images but texts, or a table that holds them.
        path_column: the column of file names in the tables; None to recognise it. "" says that
            there is no such column, for this and the four below.
        text_column: the column that holds the texts themselves.
        label_column: the column of class names.
        split_column: the column of train, val and test.
        group_column: the column of what must stay together, such as the patient.
        min_class_images: classes with fewer different training images are left out.
        verify: decode every image, not only its header.
        check: look for contradictions, leaks and classes too small; else `check_data` is to do it,
            after what people decided on single photos is applied.
        jobs: number of threads; None for one a core.
        progress: called with the phases "listing" and "reading".

    Raises:
        DataError: no such path, nothing that looks like an image, or a table that is not clear.
        UsageError: options that contradict each other.

    >>> scan("rooms").layout  # doctest: +SKIP
    'split by folders (train, val), one folder per class'
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"the number of jobs is {jobs}; expected at least 1")
    source = _find_source(path, labels, image_dir)
    test_path = None if test is None else _find_test(test, source)
    kind = get_modality(modality or IMAGE)
    takes_texts = kind.name != IMAGE or modality is None

    def list_files(folder: Path, *, skip: Collection[Path] = ()) -> Listing:
        return walk(folder, suffixes=kind.suffixes, skip=skip, noun=kind.noun, progress=progress)

    def read_table(table: Path, *, is_test: bool) -> LabelTable:
        return read_label_table(
            table,
            path_column=path_column,
            text_column=text_column if takes_texts else "",
            label_column=label_column,
            split_column="" if is_test else split_column,
            group_column=group_column,
            image_suffixes=kind.suffixes if modality else _suffixes_of_all(),
            needs_label=not is_test,
        )

    skipped = [] if test_path is None else [test_path]
    table = None if source.table is None else read_table(source.table, is_test=False)
    listing = list_files(source.images, skip=skipped)
    if modality is None and (other := _other_kind(table, listing)) is not None:
        kind = other
        listing = list_files(source.images, skip=skipped)
    if table is None:
        _require_inputs(listing, kind)
        draft = rows_from_folders(listing)
    else:
        draft = rows_from_table(table, listing)
    draft = rebased(draft, listing.folder, source.root)

    if test_path is not None:
        if test_path.is_dir():
            test_listing = list_files(test_path)
            _require_inputs(test_listing, kind)
            classes = {row.label for row in draft.rows if row.label}
            test_draft = rows_of_test_folder(test_listing, classes)
        else:
            is_inside = image_dir is not None or test_path.is_relative_to(source.images)
            test_listing = listing if is_inside else list_files(test_path.parent)
            test_draft = named_rows(read_table(test_path, is_test=True), test_listing)
        test_draft = rebased(test_draft, test_listing.folder, source.root)
        draft = with_test_set(draft, test_draft, name=test_path.name)

    draft = choose_test_rows(draft)
    in_order = sorted(draft.rows, key=lambda row: natural_key(row.path))
    rows = read_rows(in_order, source.root, kind, verify=verify, jobs=jobs, progress=progress)
    data = Dataset.from_rows(
        source.root, rows, layout=draft.layout, notes=draft.notes, modality=kind.name
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
    rows = read_rows(draft.rows, root, get_modality(modality), jobs=jobs, progress=progress)
    data = Dataset.from_rows(root, rows, layout=draft.layout, notes=draft.notes, modality=modality)
    return check_data(data)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where to look, all paths absolute.

    Attributes:
        root: what row paths are relative to.
        images: the folder to list.
        table: with the labels, or None if folders give them.
    """

    root: Path
    images: Path
    table: Path | None


def _find_source(
    path: str | Path, labels: str | Path | None, image_dir: str | Path | None
) -> _Source:
    """What `scan` was pointed at."""
    path = _existing(path)
    if path.is_dir():
        table = None if labels is None else _existing(labels, or_below=path)
        if table is None and image_dir is not None:
            raise UsageError("--image-dir is the folder of a table's images; give --labels as well")
        images = path if image_dir is None else _existing(image_dir, or_below=path)
        root = path
    elif labels is not None:
        raise UsageError(f"{path} is a file; with --labels, expected the folder of the images")
    else:
        table = path
        images = path.parent if image_dir is None else _existing(image_dir, or_below=path.parent)
        root = images
    if table is not None:
        _require_table(table)
    if not images.is_dir():
        raise DataError(f"{images} is not a folder; expected the folder of the images")
    return _Source(root, images, table)


def _find_test(test: str | Path, source: _Source) -> Path:
    """The folder or table that is the test set."""
    path = _existing(test, or_below=source.root)
    if not path.is_dir():
        _require_table(path)
    elif source.images.is_relative_to(path):
        raise DataError(
            f"the test folder {path} holds the training images as well; "
            "expected a folder of its own"
        )
    return path


def _existing(path: str | Path, *, or_below: Path | None = None) -> Path:
    """`path` as an absolute path, links in it kept; also looked for in the folder `or_below`."""
    places = [Path(path)] if or_below is None else [Path(path), or_below / path]
    places = [Path(os.path.abspath(place)) for place in places]  # noqa: PTH100 - keeps links
    for place in places:
        try:
            place.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise DataError(f"{path} cannot be opened: {str(why).lower()}") from None
        return place
    raise DataError(f"there is no {path}{_similar_name(places[-1])}")


def _similar_name(path: Path) -> str:
    """What may have been meant by a path that does not exist, as the end of a sentence."""
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 - only names are needed
    except OSError:
        return "; expected an existing folder or label table"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.parent / near[0]}?" if near else f" in {path.parent}"


def _require_table(path: Path) -> None:
    """Raise unless `path` can be a label table."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a label table, such as labels.csv")
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(
            f"{path} is a file; expected a folder of images or a label table "
            f"({', '.join(sorted(TABLE_SUFFIXES))})"
        )


def _suffixes_of_all() -> frozenset[str]:
    return frozenset().union(*(get_modality(name).suffixes for name in MODALITIES))


def _other_kind(table: LabelTable | None, listing: Listing) -> Modality | None:
    """The kind of input of a table that holds it, or of a folder without images."""
    if table is not None and "text" in table.columns:
        return get_modality("text")
    if listing.files:
        return None
    there = Counter(
        PurePosixPath(row.path).suffix.lower()
        for row in listing.left_out
        if table is not None or "/" in row.path  # notes beside no photo make no folder of texts
    )
    if table is not None:
        there[table.path.suffix.lower()] -= 1
    for name in MODALITIES:
        kind = get_modality(name)
        if sum(there[suffix] for suffix in kind.suffixes) > 0:
            return kind
    return None


def _require_inputs(listing: Listing, kind: Modality) -> None:
    """Raise if nothing in the folder looks like an input of that kind."""
    if listing.files:
        return
    closed = [row for row in listing.left_out if row.status == "unreadable"]
    if closed:
        found = f"{closed[0].path}: {closed[0].reason}"
    elif listing.left_out:
        kinds = Counter(PurePosixPath(row.path).suffix.lower() for row in listing.left_out)
        common = ", ".join(kind or "no suffix" for kind, _ in kinds.most_common(3))
        found = f"{counted(len(listing.left_out), 'other file')} ({common})"
    else:
        found = "no files at all"
    raise DataError(f"no {kind.noun} in {listing.folder}, {found}; expected {kind.usual}")
