"""What a name says of a split: of a folder, a file, a column or a cell.

Enters: a name. Leaves: "train", "val", "test", or "" where it says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

SPLIT_NAMES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names that say it by themselves, letter case aside."""

CELL_NAMES: Mapping[str, str] = {
    **SPLIT_NAMES,
    "dev": "val",
    "holdout": "test",
    "eval": "test",
    "evaluation": "test",
}
"""Those of cells in a column of splits."""

_WORD = re.compile(
    r"(?<![a-z])(training|train|validation|valid|val|testing|test)"
    r"(?=$|[^a-z]|(?:set|data|dataset|images?|imgs?|photos?|files?|split)(?![a-z]))",
    re.IGNORECASE,
)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def split_of_name(name: str) -> str:
    """The split that a name is called after, alone: "train", "Validation"."""
    return SPLIT_NAMES.get(name.strip().casefold(), "")


def split_of_cell(cell: str) -> str:
    """The split that a cell in a column of splits names: "dev", "Train", "test set"; or ""."""
    return CELL_NAMES.get(cell.casefold(), "") or split_within(cell)[0]


def split_within(name: str) -> tuple[str, str]:
    """The split that one word of a name says, and what is left of the name; ("", name) if none.

    >>> split_within("training_set")
    ('train', '_set')
    >>> split_within("TrainImages")
    ('train', ' Images')
    """
    plain = _HUMP.sub(" ", name)
    words = list(_WORD.finditer(plain))
    if len(words) != 1:
        return "", name
    word = words[0]
    return SPLIT_NAMES[word[1].casefold()], plain[: word.start()] + plain[word.end(1) :]


def splits_of_names(names: Iterable[str]) -> dict[str, str]:
    """The split of each of some names that stand side by side, such as those of folders.

    A name that is nothing but a split counts always. One with other words in it counts only beside
    another split with the same words, so that "train_set" and "test_set" are splits, and "test
    tubes" is none. Where several words stand beside splits, they are classes: "train_cats".
    """
    names = list(names)
    splits = {name: split_of_name(name) for name in names if split_of_name(name)}
    with_words = splits_by_word(name for name in names if name not in splits)
    if len(with_words) == 1:
        splits |= next(iter(with_words.values()))
    return splits


def splits_by_word(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Names of splits with other words in them, by these words: one of training beside others.

    >>> splits_by_word(["train_cats", "test_cats", "train station"])
    {'cats': {'train_cats': 'train', 'test_cats': 'test'}}
    """
    by_word: dict[str, dict[str, str]] = {}
    spelled: dict[str, str] = {}  # by the word in small letters
    for name in names:
        split, rest = split_within(name)
        if split and (word := re.sub(r"[\W_]+", " ", rest).strip()):
            by_word.setdefault(spelled.setdefault(word.casefold(), word), {})[name] = split
    return {
        word: alike
        for word, alike in by_word.items()
        if "train" in alike.values() and len(set(alike.values())) > 1
    }
