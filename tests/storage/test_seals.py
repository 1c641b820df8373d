"""What is kept is read as it was written, or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.storage.seals import checksum, is_whole, sealed_json, unsealed_json, write_sealed

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


def test_a_file_and_its_seal(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    assert not is_whole(path)
    write_sealed(path, b"a graph")
    assert is_whole(path)
    digest = hashlib.sha256(b"a graph").hexdigest()
    assert (tmp_path / "a.onnx.sha256").read_text(encoding="utf-8") == f"{digest}  a.onnx\n"
    (tmp_path / "a.onnx").rename(tmp_path / "b.onnx")
    (tmp_path / "a.onnx.sha256").rename(tmp_path / "b.onnx.sha256")
    assert not is_whole(tmp_path / "b.onnx")  # another file is another content
    for seal in (b"", b"\xff\xfe", digest.encode()):
        (tmp_path / "b.onnx.sha256").write_bytes(seal)
        assert not is_whole(tmp_path / "b.onnx")


@given(st.binary(min_size=1, max_size=200), st.text(max_size=5), st.data())
def test_one_or_two_bits_that_differ_change_a_checksum(
    value: bytes, key: str, data: st.DataObject
) -> None:
    other = bytearray(value)
    for bit in data.draw(
        st.lists(st.integers(0, 8 * len(value) - 1), min_size=1, max_size=2, unique=True)
    ):
        other[bit // 8] ^= 1 << bit % 8
    assert checksum(bytes(other), key) != checksum(value, key)
    assert checksum(value, key) != checksum(value, key + "x")
