"""Where a dataset is read from: the paths that a user named, found and checked.

Enters: paths as typed. Leaves: a `Source` of absolute ones.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from regraft.errors import DataError, UsageError
from regraft.tables.reading import SUFFIXES as TABLE_SUFFIXES


@dataclass(frozen=True, slots=True)
class Source:
    """Where to look, all paths absolute.

    Attributes:
        root: what row paths are relative to.
        images: the folder to list.
        table: with the labels, or None if folders give them.
    """

    root: Path
    images: Path
    table: Path | None


def find_source(
    path: str | Path, labels: str | Path | None, image_dir: str | Path | None
) -> Source:
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
    return Source(root, images, table)


def find_test(test: str | Path, source: Source) -> Path:
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
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise DataError(
            f"{path} is a file; expected a folder of images or texts, or a table "
            f"({', '.join(sorted(TABLE_SUFFIXES))}){instead_of(suffix)}"
        )


def instead_of(suffix: str) -> str:
    """What to do with a file of another form, as the end of a sentence; "" if nothing is known."""
    return next((f"; {what}" for kinds, what in _OTHER_FORMS if suffix in kinds), "")


_OTHER_FORMS = (
    (frozenset({".xlsx", ".xls", ".ods", ".numbers"}), "save the workbook as CSV"),
    (frozenset({".zip", ".gz", ".bz2", ".xz", ".tar", ".tgz", ".7z", ".rar"}), "unpack it first"),
    (
        frozenset({".arrow", ".feather", ".pkl", ".pickle", ".h5", ".db"}),
        "save it as Parquet or CSV",
    ),
)
