"""What cells mean: labels and missing ones, splits, columns of yes and no.

Enters: the cells of columns. Leaves: one label, split or class a row, or a `DataError` where they
are no class names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from regraft.dataset.split_names import split_of_cell
from regraft.errors import DataError
from regraft.tables.reading import Table

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "-", "--", "?"})
"""What stands for a label that is not there, letter case aside."""

_YES = frozenset({"1", "1.0", "true", "t", "yes", "y"})
_NO = frozenset({"0", "0.0", "false", "f", "no", "n"})
_MISSING_SHOWN = 3


def is_yes(cell: str) -> bool | None:
    """What a cell of yes or no says; None if it says neither."""
    plain = cell.casefold()
    return True if plain in _YES else False if plain in _NO else None


def are_yes_or_no(cells: Sequence[str]) -> bool:
    """Whether all cells that are not empty say yes or no, and some do."""
    answers = {is_yes(cell) for cell in cells if cell}
    return bool(answers) and None not in answers


# --- Labels ----------------------------------------------------------------------------------


def labels_of(table: Table, column: int, noun: str) -> tuple[list[str], list[str]]:
    """The label of each row, "" where it is missing, and notes on the missing ones.

    Raises:
        DataError: several labels a row, or numbers to be predicted.
    """
    cells = table.column(column)
    labels = ["" if cell.casefold() in MISSING else cell for cell in cells]
    name = table.header[column]
    _refuse_numbers(labels, table.name, name)
    _refuse_several_labels(labels, table.name, name, noun)
    return labels, _notes_on_missing(table, cells, labels, name)


def _notes_on_missing(
    table: Table, cells: Sequence[str], labels: Sequence[str], column: str
) -> list[str]:
    """A note where words were taken for a missing label: one of them may be a class after all."""
    words = Counter(cell for cell, label in zip(cells, labels, strict=True) if cell and not label)
    if not words:
        return []
    rows = [row.line for row, label in zip(table.rows, labels, strict=True) if not label]
    shown = ", ".join(repr(word) for word, _ in words.most_common(_MISSING_SHOWN))
    return [
        f"{table.name} has no label in {table.where(rows)}: {shown} in {column!r} "
        f"{'are' if len(words) > 1 else 'is'} taken as missing; if it is a class, give it another "
        "name."
    ]


_SEVERAL_SHARE = 0.05  # of labels with a separator from which the table is taken as multi-label
_MANY_NUMBERS = 20  # distinct whole numbers up to which they are taken as class codes


def _refuse_several_labels(labels: Sequence[str], name: str, column: str, noun: str) -> None:
    """Raise if a good part of the labels are lists, such as `cat|dog` or `['cat', 'dog']`.

    A comma may be part of a name ("living room, messy"): it counts only where the parts also
    occur apart from each other.
    """
    distinct = Counter(label for label in labels if label)
    for separator in "|;,":
        lists = {label for label in distinct if separator in label.strip("[](){}")}
        share = sum(distinct[label] for label in lists) / max(1, distinct.total())
        if share < _SEVERAL_SHARE:
            continue
        occurs_in: Counter[str] = Counter()
        for label in distinct:
            parts = re.split(re.escape(separator), label.strip("[](){}"))
            occurs_in.update({part.strip(" '\"") for part in parts})
        apart = sum(count > 1 for count in occurs_in.values())
        if separator != "," or apart >= len(occurs_in) / 2:
            raise DataError(
                f"{name} has labels such as {min(lists)!r} in column {column!r}: several labels "
                f"{_each(noun)} are not supported; keep one class name a line"
            )


def _each(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _refuse_numbers(labels: Sequence[str], name: str, column: str) -> None:
    """Raise if the labels are measurements; a few whole numbers are class codes."""
    distinct = Counter(label for label in labels if label)
    numbers = {label: number for label in distinct if (number := _number(label)) is not None}
    if sum(distinct[label] for label in numbers) < 0.95 * max(1, distinct.total()):
        return
    fractions = [label for label, number in numbers.items() if number != round(number)]
    many = len(numbers) > _MANY_NUMBERS and len(numbers) > 0.5 * distinct.total()
    if fractions or many:
        examples = ", ".join(sorted(fractions or numbers)[:3])
        raise DataError(
            f"{name} has numbers as labels in column {column!r} ({examples}): predicting a "
            "quantity is not supported; give class names, such as 'low' and 'high'"
        )


def _number(label: str) -> float | None:
    if re.fullmatch(r"[+-]?\d+,\d+", label):  # as much of Europe writes it
        label = label.replace(",", ".")
    try:
        number = float(label)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


# --- One column a class ----------------------------------------------------------------------


def indicator_columns(table: Table, taken: Sequence[int]) -> list[int]:
    """Columns of yes and no that have no role yet; fewer than two of them are no classes."""
    free = [index for index in range(len(table.header)) if index not in taken]
    columns = [
        index for index in free if table.header[index] and are_yes_or_no(table.column(index))
    ]
    return columns if len(columns) > 1 else []


def are_exclusive(table: Table, columns: Sequence[int]) -> bool:
    """Whether no row has a yes in several of these columns."""
    return all(len(columns) < 2 for columns in _chosen(table, columns))


def _chosen(table: Table, columns: Sequence[int]) -> list[list[int]]:
    """The columns with a yes, for each row."""
    answers = {column: table.column(column) for column in columns}
    return [
        [column for column in columns if is_yes(answers[column][row])]
        for row in range(len(table.rows))
    ]


def labels_of_indicators(
    table: Table, columns: Sequence[int], noun: str
) -> tuple[list[str], list[str]]:
    """The name of the one column that says yes in each row, "" where none does, and notes.

    Raises:
        DataError: several columns say yes in one row.
    """
    chosen = _chosen(table, columns)
    names = f"{table.described(columns[:4])}{', ...' if len(columns) > 4 else ''}"
    several = [row.line for row, yes in zip(table.rows, chosen, strict=True) if len(yes) > 1]
    if several:
        raise DataError(
            f"{table.name} has {len(columns)} columns of 0 and 1 ({names}), and several 1s in "
            f"{table.where(several)}: several labels {_each(noun)} are not supported; give one "
            "column with one class name a line, or name the one to predict with --label-column"
        )
    notes = [f"{table.name}: the class is the column with a 1, of {names}."]
    none = [row.line for row, yes in zip(table.rows, chosen, strict=True) if not yes]
    if none:
        notes.append(f"{table.name} has no 1 in {table.where(none)}: without a label.")
    return [table.header[yes[0]] if yes else "" for yes in chosen], notes


# --- Splits ----------------------------------------------------------------------------------

_MOST_HELD_OUT = 0.6  # of the rows: a column that says yes of more of them means something else


def splits_of(table: Table, column: int) -> list[str]:
    """The split of every row, as a column of splits says.

    Raises:
        DataError: a cell is none.
    """
    cells = table.column(column)
    unknown = [
        (row.line, cell)
        for row, cell in zip(table.rows, cells, strict=True)
        if cell and not split_of_cell(cell)
    ]
    if unknown:
        raise DataError(
            f"{table.name} has {unknown[0][1]!r} as split in "
            f"{table.where(line for line, _ in unknown)} (column {table.header[column]!r}); "
            "expected train, val or test, or --split-column '' if the column means something else"
        )
    return [split_of_cell(cell) if cell else "train" for cell in cells]


def holds_no_split(cells: Sequence[str]) -> bool:
    """Whether some cells say something, and none the name of a split."""
    return any(cells) and not any(map(split_of_cell, cells))


def splits_of_indicators(
    table: Table, columns: Mapping[int, str], *, is_sure: bool = False
) -> tuple[list[str], list[str], list[int]]:
    """The split of every row as columns of yes and no say, such as `is_valid`.

    Args:
        table: with the columns.
        columns: the split that a yes means, by position.
        is_sure: whether they are splits whatever they would hold out.

    Returns:
        The splits, "" for all where there is no such column; notes; and the columns that were used.
    """
    splits = [""] * len(table.rows)
    notes, used = [], []
    order = ("test", "val", "train")  # a row that is in two is a test row first
    for column, split in sorted(columns.items(), key=lambda pair: order.index(pair[1])):
        answers = [is_yes(cell) for cell in table.column(column)]
        name = table.header[column]
        share = sum(answer is True for answer in answers) / max(1, len(answers))
        held_out = 1 - share if split == "train" else share
        if held_out > _MOST_HELD_OUT and not is_sure:
            notes.append(
                f"{table.name}: {name!r} is not taken as a split, since it would hold out "
                f"{100 * held_out:.0f} % of the rows; name it with --split-column if it is one."
            )
            continue
        other = "test" if split == "train" else "train"
        for row, answer in enumerate(answers):
            if splits[row] in ("", "train"):
                splits[row] = split if answer else other
        used.append(column)
        meaning = f"a no in it is {other}" if split == "train" else f"a yes in it is {split}"
        notes.append(f"{table.name}: {name!r} is taken as the split, {meaning}.")
    return splits, notes, used
