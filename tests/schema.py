"""Requests made from a server's own description, valid and not, by schemathesis."""

from __future__ import annotations

from collections import Counter
from typing import Any


def ask_all(url: str, *, examples: int) -> Counter[int]:
    """Ask every operation that `url`openapi.json describes, so many times each; the statuses.

    Raises:
        FailureGroup: an answer said that the server had failed (500 and above).
    """
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error

    schema = schemathesis.openapi.from_url(f"{url}openapi.json")
    statuses: Counter[int] = Counter()
    found: Any
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        def ask(case: Any) -> None:
            statuses[case.call_and_validate(checks=[not_a_server_error]).status_code] += 1

        ask()
    return statuses
