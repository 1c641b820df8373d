"""Lines as fastText is trained on: `__label__food the soup was warm`, a text a line.

Enters: text. Leaves: records of a label and a text. Several labels are joined by `|`.
"""

from __future__ import annotations

import re

from regraft.tables.delimited import Record

HEADER = ["label", "text"]

_PREFIX = "__label__"
_LINE = re.compile(rf"((?:{_PREFIX}\S+\s+)+)(.*)", re.DOTALL)


def is_fasttext(text: str) -> bool:
    """Whether a text begins as such lines do."""
    return text.startswith(_PREFIX) and _LINE.match(text) is not None


def parse_fasttext(text: str) -> list[Record]:
    """A record of label and text for each line that is not blank; "" for a line without a label."""
    records = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if match := _LINE.match(line):
            labels = match[1].replace(_PREFIX, "").split()
            records.append(Record(number, ["|".join(labels), match[2].strip()]))
        elif line.strip():
            records.append(Record(number, ["", line.strip()]))
    return records
