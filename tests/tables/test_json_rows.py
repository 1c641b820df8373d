"""Tables in JSON: lines, arrays, what pandas writes, and what is none of these."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.errors import DataError
from regraft.tables.json_rows import parse_json

ROWS = [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}]


@pytest.mark.parametrize(
    "text",
    [
        '{"text": "one", "label": "a"}\n{"text": "two", "label": "b"}\n',
        '{"text": "one", "label": "a"}\r\n\r\n{"text": "two", "label": "b"}',
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        json.dumps({"version": 1, "data": ROWS}),
        json.dumps({"text": {"0": "one", "1": "two"}, "label": {"0": "a", "1": "b"}}),
        json.dumps({"0": ROWS[0], "1": ROWS[1]}),
        json.dumps(
            {"columns": ["text", "label"], "index": [0, 1], "data": [["one", "a"], ["two", "b"]]}
        ),
        json.dumps({"text": ["one", "two"], "label": ["a", "b"]}),
    ],
    ids=["lines", "crlf", "array", "indented", "within", "columns", "index", "split", "lists"],
)
def test_every_form_gives_the_same_rows(text: str) -> None:
    found = parse_json(text, name="t.json")
    assert found.header == ["text", "label"]
    assert [record.cells for record in found.records] == [["one", "a"], ["two", "b"]]
    assert found.broken == ()


def test_keys_within_objects_become_columns_and_values_texts() -> None:
    text = (
        '{"id": 7, "meta": {"label": null, "who": {"name": "x"}}, "ok": true, "p": 0.5, '
        '"l": ["a", 1], "m": ["b"]}'
    )
    found = parse_json(text, name="t.jsonl")
    assert dict(zip(found.header, found.records[0].cells, strict=True)) == {
        "id": "7",
        "ok": "true",
        "p": "0.5",
        "l": '["a", 1]',
        "m": "b",
        "meta.label": "",
        "meta.who.name": "x",
    }


def test_objects_may_have_different_keys() -> None:
    found = parse_json('{"a": 1}\n{"b": 2, "a": 3}\n', name="t.jsonl")
    assert found.header == ["a", "b"]
    assert [record.cells for record in found.records] == [["1", ""], ["3", "2"]]


def test_a_few_lines_that_are_no_objects_are_left_out_and_told() -> None:
    lines = [json.dumps({"text": str(i)}) for i in range(40)]
    lines[3], lines[17] = '{"text": "cut o', "[1, 2]"
    found = parse_json("\n".join(lines), name="t.jsonl")
    assert len(found.records) == 38
    assert found.broken == (4, 18)
    assert found.records[3].line == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "t.json, line 1: not an object in JSON; expected an object a line"),
        ("[1, 2]", "t.json holds no objects"),
        ('{\n "a": {"b": 1}\n}', "t.json holds no objects"),
        (
            '{"images": [{"a": 1}], "annotations": [{"b": 1}]}',
            "several arrays of objects .'images'",
        ),
        ("[" * 100_000, "t.json, line 1: not an object"),
        ('{"a": ' + "9" * 5_000 + "}", "t.json, line 1: not an object"),
    ],
)
def test_what_is_no_table(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_json(text, name="t.json")


def test_half_a_character_can_be_written_again() -> None:
    found = parse_json('{"text": "a\\ud800b", "k\\udfff": 1}', name="t.jsonl")
    assert found.records[0].cells[0] == "a?b"
    assert "".join(found.header).encode("utf-8")


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.lists(st.dictionaries(st.text(), VALUES, min_size=1), min_size=1, max_size=8))
def test_lines_and_an_array_say_the_same(rows: list[dict[str, object]]) -> None:
    lines = parse_json("\n".join(map(json.dumps, rows)), name="t")
    array = parse_json(json.dumps(rows), name="t")
    assert lines.header == array.header
    assert [r.cells for r in lines.records] == [r.cells for r in array.records]
    assert len(lines.records) == len(rows)
    assert all(len(r.cells) == len(lines.header) for r in lines.records)


@given(st.text(max_size=60))
def test_any_text_is_a_table_or_refused(text: str) -> None:
    with contextlib.suppress(DataError):
        found = parse_json(text, name="t")
        assert all(len(record.cells) == len(found.header) for record in found.records)
