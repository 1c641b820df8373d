"""Times as people write them."""

from __future__ import annotations

import pytest

from regraft.commands.durations import parse_duration
from regraft.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1.5h", 5400), ("1h30m", 5400), (" 2M ", 120)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "5", "1h30", "-5", "5 minutes", "m", "1m1h", "nan", "inf", "1e3"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="expected a duration with its unit, such as 90s, 5m or"):
        parse_duration(text)


def test_nothing_needs_no_unit_where_it_is_allowed() -> None:
    assert parse_duration("0", "hold", zero=True) == 0
    with pytest.raises(UsageError, match="the hold is '3', expected a duration with its unit"):
        parse_duration("3", "hold", zero=True)
