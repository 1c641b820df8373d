"""What was found of series in, sentences out: what folds by chance would have said."""

from __future__ import annotations

from regraft.dataset.ordering import SOURCES
from regraft.inspection.auditing import ByOrder
from regraft.reporting import words
from regraft.reporting.words import things


def what_chance_makes(order: ByOrder | None) -> str:
    """The accuracy in folds by series or blocks beside that in folds by chance.

    "" where they are shown as the same number, and for blocks where their difference is not
    significant: any two ways to split give somewhat different numbers.

    Args:
        order: None where series were not looked for.
    """
    if order is None or order.accuracy is None or order.by_chance is None:
        return ""
    by_order, by_chance = (words.percent(e.value) for e in (order.accuracy, order.by_chance))
    is_series = order.kept == "series"
    if not order.differs:
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
        f"blocks of order: {things()} that come near each other by {_sources(order)} help each "
        "other, so expect less of others."
    )


def why_splits_leak(order: ByOrder | None) -> str:
    """What of series is on both sides of a split all the same; "" if nothing."""
    if order is None:
        return ""
    if order.cut:
        names = words.listed([words.quoted(name) for name in order.cut])
        return (
            f"All training {things()} of {names} are of one series, of which blocks are on both "
            "sides of the folds: expect less of another series."
        )
    if order.parted:
        several = words.counted(order.parted, "series has", "series have")
        return f"{several} {things()} in several named groups, which folds may part."
    return ""


def _sources(order: ByOrder) -> str:
    return words.listed([SOURCES.get(source, source) for source in order.sources])
