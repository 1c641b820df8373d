"""What was found of series in, sentences out: what folds by chance would have said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regraft.dataset.ordering import SOURCES
from regraft.metrics import Estimate
from regraft.reporting import words
from regraft.reporting.words import things


def what_chance_makes(found: Mapping[str, Any] | None) -> str:
    """The accuracy in folds by series or blocks beside that in folds by chance.

    "" where they are shown as the same number, and for blocks where their difference is not
    significant: any two ways to split give somewhat different numbers.

    Args:
        found: what `auditing.ByOrder.to_dict` returned; None where series were not looked for.
    """
    if not found or not found.get("kept"):
        return ""
    by_order, by_chance = (
        words.percent(Estimate.from_dict(found[name]).value) for name in ("accuracy", "by_chance")
    )
    is_series = found["kept"] == "series"
    if not found["differs"]:
        if by_order == by_chance or not is_series:
            return ""
        return (
            f"A linear probe is right on {by_order} in folds by series and on {by_chance} in folds "
            "by chance; with this many series that may be chance."
        )
    if is_series:
        return (
            f"Folds by chance would have said {by_chance} where folds by series say {by_order} (a "
            f"linear probe): {things()} of one series, such as {words.series_example()}, would "
            "have been on both sides."
        )
    return (
        f"A linear probe is right on {by_chance} in folds by chance and on {by_order} in folds by "
        f"blocks of order: {things()} that come near each other by {_sources(found)} help each "
        "other, so expect less of others."
    )


def why_splits_leak(found: Mapping[str, Any] | None) -> str:
    """What of series is on both sides of a split all the same; "" if nothing."""
    if not found:
        return ""
    if found.get("cut"):
        names = words.listed([words.quoted(name) for name in found["cut"]])
        return (
            f"All training {things()} of {names} are of one series, of which blocks are on both "
            "sides of the folds: expect less of another series."
        )
    if found.get("parted"):
        several = words.counted(int(found["parted"]), "series has", "series have")
        return f"{several} {things()} in several named groups, which folds may part."
    return ""


def _sources(found: Mapping[str, Any]) -> str:
    return words.listed([SOURCES.get(source, source) for source in found["sources"]])
