"""From a folder or a table to the rows that it describes, and of which kind they are.

Enters: a `Source`, and the names of columns where the user gave some. Leaves: a `Draft` for
training, and one for the test set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from regraft.dataset.drafts import Draft, rebased
from regraft.dataset.labels import LabelTable, read_label_table
from regraft.dataset.layouts import rows_from_folders, rows_of_test_folder
from regraft.dataset.matching import count_found, file_finder, named_rows, rows_from_table
from regraft.dataset.sources import Source, instead_of
from regraft.dataset.split_names import split_within
from regraft.dataset.table import natural_key
from regraft.dataset.walking import Listing, walk
from regraft.errors import DataError
from regraft.kinds import IMAGE, KINDS, Kind, kind_named
from regraft.progress import Progress, silent
from regraft.wording import counted


@dataclass(frozen=True, slots=True)
class Described:
    """The rows that a source describes, their kind, and the columns that a table had by role."""

    draft: Draft
    kind: Kind
    columns: Mapping[str, str]
    listing: Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How folders are listed and tables understood; the fields are arguments of `scan`.

    `asked` are the names of columns, by the arguments of `read_label_table`.
    """

    asked: Mapping[str, str | None]
    modality: str | None = None
    remembered: Mapping[str, str] = field(default_factory=dict)
    classes: Collection[str] = ()
    progress: Progress = silent

    def read(self, source: Source, *, skip: Collection[Path] = ()) -> Described:
        """The rows for training, and of test splits that lie beside them.

        Args:
            source: a folder, or a table and the folder of its files.
            skip: folders not to enter.

        Raises:
            DataError: there is nothing of that kind, or the table is not clear.
            MissingExtraError: a table's form needs a package that is not installed.
        """
        kind = kind_named(self.modality or IMAGE)
        listing = self._list(source.images, kind, skip=skip)
        table = None if source.table is None else self._read_table(source.table, listing)
        if self.modality is None and (other := _other_kind(table, listing)) is not None:
            kind = other
            listing = self._list(source.images, kind, skip=skip)
        if table is not None:
            own, notes = _own_files(table, listing)
            draft = rows_from_table(table, listing, among=own)
            draft = replace(draft, notes=(*notes, *draft.notes))
        elif not listing.files and (tables := tables_of(listing)):
            return self._read_tables(tables, source, listing)
        else:
            _require_inputs(listing, kind)
            draft = rows_from_folders(listing, known=self.classes, noun=kind.noun)
        draft = rebased(draft, listing.folder, source.root)
        return Described(draft, kind, {} if table is None else table.columns, listing)

    def read_named(self, source: Source) -> Draft:
        """The rows that a table names or holds, whether labelled or not, and no other.

        Raises:
            DataError: it names and holds none, or is not clear.
            MissingExtraError: its form needs a package that is not installed.
        """
        assert source.table is not None
        listing = self._list(source.images, kind_named(self.modality or IMAGE))
        table = self._read_table(source.table, listing, is_test=True)
        own, notes = _own_files(table, listing)
        draft = rebased(named_rows(table, own), listing.folder, source.root)
        return replace(draft, notes=(*notes, *draft.notes))

    def read_test(self, path: Path, source: Source, training: Described) -> Draft:
        """The rows of a folder or table that is the test set.

        Raises:
            DataError: there is nothing of the kind of the training rows, or the table is not clear.
        """
        kind = training.kind
        if path.is_dir():
            listing = self._list(path, kind)
            _require_inputs(listing, kind)
            classes = {row.label for row in training.draft.rows if row.label}
            draft = rows_of_test_folder(listing, classes, noun=kind.noun)
            return rebased(draft, listing.folder, source.root)
        before = {**self.remembered, **training.columns}
        table = self._read_table(
            path, training.listing, is_test=True, modality=kind.name, remembered=before
        )
        listing = self._listing_of_test(table, training)
        draft = named_rows(table, listing, advice=_ADVICE_ON_TEST)
        if listing.folder not in (training.listing.folder, path.parent):
            where = f"The files of {path.name} were found in {listing.folder.name}."
            draft = replace(draft, notes=(where, *draft.notes))
        return rebased(draft, listing.folder, source.root)

    def _listing_of_test(self, table: LabelTable, training: Described) -> Listing:
        """The files among which those of a test table are looked for.

        A folder beside the table that is called after the test set comes first, since its files may
        have the names of others; then those for training, and last all that lie beside the table.
        """
        folder = table.path.parent
        if table.modality:
            return Listing(folder, (), (), ())
        beside: list[Path] = []
        with suppress(OSError):
            beside = [path for path in sorted(folder.iterdir()) if path.is_dir()]
        meant = {"test", split_within(table.path.stem)[0]} - {""}
        own = [path for path in beside if split_within(path.name)[0] in meant]
        places = [*(self._list(path, training.kind) for path in own), training.listing]
        best = max(places, key=lambda place: count_found(table, place))
        if count_found(table, best) < len({entry.name for entry in table.entries}):
            everything = self._list(folder, training.kind)
            best = max(best, everything, key=lambda place: count_found(table, place))
        return best

    def _list(self, folder: Path, kind: Kind, *, skip: Collection[Path] = ()) -> Listing:
        return walk(
            folder, suffixes=kind.suffixes, skip=skip, noun=kind.noun, progress=self.progress
        )

    def _read_table(
        self,
        path: Path,
        listing: Listing,
        *,
        is_test: bool = False,
        modality: str | None = None,
        remembered: Mapping[str, str] | None = None,
    ) -> LabelTable:
        """A table; one of test data needs no labels, and says nothing of splits."""
        kind = modality or self.modality
        asked = dict(self.asked)
        takes_files = kind is None or not kind_named(kind).in_cells
        if kind is not None and takes_files:
            asked["text_column"] = ""
        if is_test:
            asked["split_column"] = ""
        return read_label_table(
            path,
            **asked,
            remembered=self.remembered if remembered is None else remembered,
            image_suffixes=_suffixes_of_all() if kind is None else kind_named(kind).suffixes,
            leads_to_files=lambda cells: _leads_to_files(cells, listing),
            takes_files=takes_files,
            needs_label=not is_test,
        )

    def _read_tables(
        self, tables: Mapping[Path, str], source: Source, listing: Listing
    ) -> Described:
        """The rows of all tables in a folder, each of the split that its name says."""
        read = {
            path: self._read_table(path, listing, is_test=split == "test")
            for path, split in sorted(tables.items(), key=lambda pair: pair[1] == "test")
        }
        first = next(iter(read.values()))
        if not first.modality:
            _require_inputs(listing, kind_named(self.modality or IMAGE))
        inputs = {
            (t.modality, t.columns.get("text") or t.columns.get("file")) for t in read.values()
        }
        if len(inputs) > 1:
            raise DataError(
                f"{listing.folder} holds tables that are not parts of one "
                f"({', '.join(path.name for path in read)}); give the one to be read, and another "
                "as --test"
            )
        drafts = [named_rows(table, listing) for table in read.values()]
        rows = [
            replace(row, split=tables[path] or row.split)
            for path, draft in zip(read, drafts, strict=True)
            for row in draft.rows
        ]
        layout = f"{counted(len(read), 'table')} in a folder; {drafts[0].layout}"
        splits = [f"{path.name} is {split}" for path, split in tables.items() if split]
        notes = [f"By their names {', '.join(splits)}."] if len(read) > 1 and splits else []
        notes += dict.fromkeys(note for draft in drafts for note in draft.notes)
        draft = rebased(Draft(tuple(rows), layout, tuple(notes)), listing.folder, source.root)
        return Described(draft, kind_named(first.modality), first.columns, listing)


_ADVICE_ON_TEST = (
    "the files of a test table are looked for beside it and among those for training: write their "
    "paths into it, or name the column with --path-column"
)


def tables_of(listing: Listing) -> dict[Path, str]:
    """Tables in a folder without inputs of its own, all of one form, with the split of each."""
    paths = [PurePosixPath(row.path) for row in listing.left_out if row.status == "ignored"]
    for suffix in (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv", ".json"):
        tables = [path for path in paths if path.suffix.lower() == suffix]
        if tables:
            tables.sort(key=lambda path: natural_key(str(path)))
            return {listing.folder / path: split_within(path.stem)[0] for path in tables}
    return {}


def _own_files(table: LabelTable, listing: Listing) -> tuple[Listing, tuple[str, ...]]:
    """The files that the names may mean: without those of other splits, if only that tells.

    The names in train.csv may be those of files in `train_images` and in `test_images` as well.
    """
    split = split_within(table.path.stem)[0]
    if table.modality or not split:
        return listing, ()
    own = [f for f in listing.files if split in {split_within(p)[0] for p in f.split("/")[:-1]}]
    narrowed = replace(listing, files=tuple(own))
    if count_found(table, narrowed) <= count_found(table, listing):
        return listing, ()
    tops = ", ".join(dict.fromkeys(file.split("/")[0] for file in own))
    return narrowed, (f"The files of {table.path.name} were looked for in {tops} alone.",)


_LOOKED_UP = 50  # cells that are looked for among the files


def _leads_to_files(cells: Sequence[str], listing: Listing) -> bool:
    """Whether at least half of the first cells are each the name of one file."""
    sample = list(dict.fromkeys(cell for cell in cells if cell))[:_LOOKED_UP]
    find = file_finder(listing.files)
    return bool(sample) and sum(len(find(cell)) == 1 for cell in sample) >= len(sample) / 2


def _suffixes_of_all() -> frozenset[str]:
    return frozenset().union(*(kind.suffixes for kind in KINDS.values()))


def _other_kind(table: LabelTable | None, listing: Listing) -> Kind | None:
    """The kind of input of a table that holds it, or of a folder without images."""
    if table is not None and table.modality:
        return kind_named(table.modality)
    if listing.files:
        return None
    there = Counter(
        PurePosixPath(row.path).suffix.lower()
        for row in listing.left_out
        if table is not None or "/" in row.path  # notes beside no photo make no folder of texts
    )
    if table is not None:
        there[table.path.suffix.lower()] -= 1
    for kind in KINDS.values():
        if sum(there[suffix] for suffix in kind.suffixes) > 0:
            return kind
    return None


def _require_inputs(listing: Listing, kind: Kind) -> None:
    """Raise if nothing in the folder looks like an input of that kind."""
    if listing.files:
        return
    closed = [row for row in listing.left_out if row.status == "unreadable"]
    instead = ""
    if closed:
        there = f"{closed[0].path}: {closed[0].reason}"
    elif listing.left_out:
        suffixes = Counter(PurePosixPath(row.path).suffix.lower() for row in listing.left_out)
        common = [suffix or "no suffix" for suffix, _ in suffixes.most_common(3)]
        there = f"{counted(len(listing.left_out), 'other file')} ({', '.join(common)})"
        instead = next(filter(None, map(instead_of, common)), "")
    else:
        there = "no files at all"
    raise DataError(f"no {kind.noun} in {listing.folder}, {there}; expected {kind.usual}{instead}")
