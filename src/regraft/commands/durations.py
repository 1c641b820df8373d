"""Times as people write them. A leaf module."""

from __future__ import annotations

import re

from regraft.errors import UsageError


def parse_duration(text: str, what: str = "budget", *, zero: bool = False) -> float:
    """Seconds from "90s", "5m", "1.5h" or "1h30m"; "0" needs no unit where zero is allowed.

    Raises:
        UsageError: it is none of these, or zero where that is not allowed.
    """
    match = re.fullmatch(
        r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?|0",
        text.strip().lower(),
    )
    parts = match.groupdict(default="0") if match and match[0] else None
    seconds = -1.0
    if parts is not None:
        seconds = 3600 * float(parts["h"]) + 60 * float(parts["m"]) + float(parts["s"])
    if seconds < 0 or (seconds == 0 and not zero):
        raise UsageError(
            f"the {what} is {text!r}, expected a duration with its unit, such as 90s, 5m or 1h"
        )
    return seconds
