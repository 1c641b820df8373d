"""What was found of series in, sentences out: what folds by chance would have said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regraft.metrics import Estimate
from regraft.reporting import words
from regraft.reporting.words import things

_SOURCES = {
    "names": "their names",
    "time taken": "the time they were taken",
    "time of the file": "the time of their files",
}


def what_chance_hides(found: Mapping[str, Any] | None) -> str:
    """The accuracy on folds by series or blocks beside that on folds by chance; "" if they agree.

    Args:
        found: what `auditing.ByOrder.to_dict` returned; None where series were not looked for.
    """
    if not found or not found.get("differs"):
        return ""
    by_order, by_chance = (
        words.percent(Estimate.from_dict(found[name]).value) for name in ("accuracy", "by_chance")
    )
    if found["kept"] == "series":
        return (
            f"Folds by chance would have said {by_chance} where folds by series say {by_order} (a "
            f"linear probe): {things()} of one series, as frames of a film are, would have been on "
            "both sides."
        )
    return (
        f"A linear probe is right on {by_chance} in folds by chance and on {by_order} in folds by "
        f"blocks of order: {things()} that come near each other by {_sources(found)} help each "
        "other, so expect less of others."
    )


def what_chance_says(found: Mapping[str, Any] | None) -> str:
    """The same two accuracies where they cannot be told apart; "" where they can or are equal."""
    if not found or found.get("differs") or found.get("kept") != "series":
        return ""
    by_order, by_chance = (
        words.percent(Estimate.from_dict(found[name]).value) for name in ("accuracy", "by_chance")
    )
    if by_order == by_chance:
        return ""
    return (
        f"A linear probe is right on {by_order} in folds by series and on {by_chance} in folds by "
        "chance, which cannot be told apart here."
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
    return words.listed([_SOURCES.get(source, source) for source in found["sources"]])
