"""Records as JSON and back: what is missing, null, unknown, of another type."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.metrics.rates import FloatArray
from regraft.storage.records import digits, from_json, to_json, without_nulls
from regraft.storage.saved import Count, Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A record within another."""

    TOLD: ClassVar = ("is_large",)

    size: Number = math.nan
    share: Number = field(default=math.nan, metadata=digits(2))

    @property
    def is_large(self) -> bool:
        return self.size > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A record of all that records hold."""

    name: str
    count: Count = 0
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    by_name: Mapping[str, tuple[Count, ...]] = field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()
    picture: bytes = b""
    settings: Mapping[str, Any] = field(default_factory=dict)


NUMBERS = st.floats(-1e6, 1e6).map(lambda x: round(x, 2))
PARTS = st.builds(Part, size=NUMBERS, share=NUMBERS)


@given(
    st.builds(
        Whole,
        name=st.text(),
        count=st.integers(0, 10**12),
        part=st.none() | PARTS,
        parts=st.lists(PARTS).map(tuple),
        by_name=st.dictionaries(st.text(), st.lists(st.integers(0, 9)).map(tuple)),
        pairs=st.lists(st.tuples(st.text(), st.text())).map(tuple),
        picture=st.binary(),
        settings=st.dictionaries(st.text(), st.integers() | st.text() | st.booleans()),
    )
)
def test_what_is_written_is_read(record: Whole) -> None:
    assert from_json(json.loads(json.dumps(to_json(record), allow_nan=False)), Whole) == record


def test_numbers_are_rounded_as_their_field_says() -> None:
    assert to_json(Part(size=1.23456789, share=0.126)) == {
        "size": 1.234568,
        "share": 0.13,
        "is_large": True,
    }
    assert to_json({"rate": 3e-7, "share": np.float64(0.5)}) == {"rate": 3e-7, "share": 0.5}


def test_what_is_not_defined_is_null_and_null_is_as_good_as_missing() -> None:
    written = to_json(Whole(name="a", part=Part(size=2.0)))
    assert written["part"]["share"] is None
    read = from_json(written, Whole)
    assert read.part is not None
    assert read.part.size == 2.0
    assert math.isnan(read.part.share)
    assert from_json({"name": "a", "part": None, "parts": None}, Whole) == Whole(name="a")
    assert without_nulls({"a": None, "b": [{"c": None, "d": 0}]}) == {"b": [{"d": 0}]}


def test_members_of_later_versions_are_passed_over() -> None:
    later = {"name": "a", "colour": "red", "part": {"size": 1.0, "weight": 3}}
    assert from_json(later, Whole).name == "a"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": None}, "missing required field `name`"),
        ({"name": 3}, r"at `\$\.name`"),
        ({"count": -1}, r"at `\$\.count`"),
        ({"count": "many"}, r"at `\$\.count`"),
        ({"part": {"size": 1e300}}, r"at `\$\.part\.size`"),
        ({"parts": [{"size": True}]}, r"at `\$\.parts\[0\]\.size`"),
        ({"pairs": [["a"]]}, r"at `\$\.pairs\[0\]`"),
        ({"picture": "%%%"}, r"at `\$\.picture`"),
    ],
)
def test_what_is_of_another_form_is_named(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        from_json({"name": "a", **changes}, Whole)


@dataclass(frozen=True, slots=True)
class Table:
    """A record with an array."""

    counts: FloatArray


def test_arrays_of_numbers_are_read() -> None:
    assert from_json({"counts": [[1, 2], [3, 4]]}, Table).counts.tolist() == [
        [1.0, 2.0],
        [3.0, 4.0],
    ]
    for wrong in ([[1, 2], [3]], "x", [["a"]]):
        with pytest.raises(ValueError, match=r"at `\$\.counts`"):
            from_json({"counts": wrong}, Table)
