"""Ways in which a saved file may have been changed, by accident or not; a seed repeats them."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Damage = Callable[[Path, random.Random], None]

_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1,
        10**6,
        2**53,
        10**400,
        -0.5,
        1e308,
        "",
        "x",
        "\0",
        "=1",
        "../x",
        [],
        {},
    ),
    *([[]], {"a": 1}, ["a"], [1e308], [None]),
)
_RAW = (
    "NaN",
    "-Infinity",
    "1e999",
    "9" * 5000,
    "[" * 5000 + "]" * 5000,
    '"\\ud800"',
    '{"a":1,"a":2}',
)


def flip_bits(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 3, 30))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def cut_off(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data))])


def cut_out(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    start = chance.randrange(len(data))
    path.write_bytes(data[:start] + data[start + chance.randrange(1, 200) :])


def repeat(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    start = chance.randrange(len(data))
    path.write_bytes(data[:start] + data[start : start + 300] * 3 + data[start + 300 :])


def change_value(path: Path, chance: random.Random) -> None:
    """Another type or an absurd value at a place of a JSON file; a cell, of a table."""
    if path.suffix != ".json":
        _change_cell(path, chance)
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    places = list(_places(content))
    within, key = chance.choice(places)
    within[key] = chance.choice(_VALUES)
    path.write_text(json.dumps(content), encoding="utf-8")


def change_raw(path: Path, chance: random.Random) -> None:
    """Something that is no JSON, or hardly any, at a place of a JSON file."""
    if path.suffix != ".json":
        _change_cell(path, chance)
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    within, key = chance.choice(list(_places(content)))
    within[key] = "<here>"
    text = json.dumps(content).replace('"<here>"', chance.choice(_RAW))
    path.write_text(text, encoding="utf-8")


def drop_value(path: Path, chance: random.Random) -> None:
    """A key or an entry of a JSON file is gone; a line, of a table."""
    if path.suffix != ".json":
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        del lines[chance.randrange(len(lines))]
        path.write_text("".join(lines), encoding="utf-8")
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    within, key = chance.choice(list(_places(content)))
    del within[key]
    path.write_text(json.dumps(content), encoding="utf-8")


def _change_cell(path: Path, chance: random.Random) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = chance.randrange(len(lines))
    cells = lines[at].split(",")
    wrong = ("nan", "inf", "-1", "9" * 500, "1e999", '"', "\0", "x", "", "a,b", "'=1", "\ud7ff" * 9)
    cells[chance.randrange(len(cells))] = chance.choice(wrong)
    lines[at] = ",".join(cells)
    path.write_text("".join(lines), encoding="utf-8")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _replaced(make: Callable[[Path], object]) -> Damage:
    def damage(path: Path, chance: random.Random) -> None:
        path.unlink()
        make(path)

    return damage


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100_000_000)


WHOLE: Mapping[str, Damage] = {
    "gone": _replaced(lambda path: None),
    "empty": _replaced(Path.touch),
    "a folder": _replaced(Path.mkdir),
    "a pipe": _replaced(os.mkfifo),
    "a link to itself": _replaced(lambda path: path.symlink_to(path)),
    "a link to nothing": _replaced(lambda path: path.symlink_to("/nowhere/at/all")),
    "a device": _replaced(lambda path: path.symlink_to("/dev/zero")),
    "100 MB of zeros": _replaced(_sparse),
    "zeros": _replaced(lambda path: path.write_bytes(bytes(1000))),
    "null": _replaced(lambda path: path.write_text("null")),
    "an empty list": _replaced(lambda path: path.write_text("[]")),
    "an empty object": _replaced(lambda path: path.write_text("{}")),
    "deep lists": _replaced(lambda path: path.write_text("[" * 100_000 + "]" * 100_000)),
    "deep objects": _replaced(lambda path: path.write_text('{"a":' * 50_000 + "1" + "}" * 50_000)),
    "a long number": _replaced(lambda path: path.write_text("9" * 100_000)),
    "Latin-1": _replaced(lambda path: path.write_bytes(b'{"kind": "\xe9"}')),
    "UTF-16": _replaced(lambda path: path.write_text('{"kind": "regraft run"}', "utf-16")),
    "quotes": _replaced(lambda path: path.write_text('a,"b\n' * 100)),
    "a long cell": _replaced(lambda path: path.write_text("x" * 300_000)),
}
"""What a file may be replaced by, by name."""

PARTS: tuple[Damage, ...] = (
    *(flip_bits, cut_off, cut_out, repeat, change_value, change_value, change_value, change_raw),
    *(drop_value, drop_value),
)
"""What may be changed in a file, the likelier ones more than once."""
