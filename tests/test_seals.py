"""What is kept is read as it was written, or not at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.seals import sealed_json, unsealed_json

VALUES = st.dictionaries(
    st.text(max_size=5),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.floats(-1, 1)),
    max_size=4,
)


@given(VALUES)
def test_values_are_read_back(values: dict[str, object]) -> None:
    assert unsealed_json(sealed_json(values)) == values


@given(VALUES, st.data())
def test_one_other_character_is_noticed(values: dict[str, object], data: st.DataObject) -> None:
    written = sealed_json(values)
    at = data.draw(st.integers(0, len(written) - 1))
    other = data.draw(st.characters(codec="utf-8"))
    text = written[:at] + other + written[at + 1 :]
    try:
        found = unsealed_json(text)
    except ValueError:
        return
    assert json.dumps(found) == json.dumps(values)  # as where one blank is exchanged for another


@pytest.mark.parametrize(
    "text", ["", "[", "1", "null", "[]", "{}", '{"values": {}}', '{"sha256": 1, "values": []}']
)
def test_what_is_no_sealed_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"sealed|as it was|Expecting"):
        unsealed_json(text)
