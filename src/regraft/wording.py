"""Numbers and names in, words of a sentence out: the one way to count and to list. A leaf."""

from __future__ import annotations

from collections.abc import Iterable


def counted(count: int, noun: str = "image", plural: str = "") -> str:
    """ "1 image", "2,000 images", "2 classes"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(items: Iterable[str], *, shown: int | None = None, last: str = "and") -> str:
    """ "a", "a and b", "a, b or c"; of more than `shown` "a, b, c and 30 more"."""
    names = list(items)
    first = names[:shown]
    more = len(names) - len(first)
    end = f"{more:,} more" if more else "".join(first[-1:])
    return f" {last} ".join(filter(None, (", ".join(first if more else first[:-1]), end)))


__all__ = ["counted", "listed"]
