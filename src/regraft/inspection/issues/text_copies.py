"""Near duplicates among texts: one text twice, with words changed, added or cut away.

Whether two texts are one is decided on their signatures, which estimate the share of runs of three
words that they have in common. Candidates are neighbours in feature space, and texts with equal
parts of a signature (locality-sensitive hashing, Indyk and Motwani 1998, STOC): an encoder reads
the beginning only, copies may differ there.

Where texts are made from one form, such as newsletters, having most of it in common proves
nothing: a copy also has to differ far less from its twin than from other texts of its kind, as
for photos, see `copies`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.inspection.issues.copies import Copy, CopyFinder, background_neighbours
from regraft.inspection.issues.neighbours import Neighbours

# Share of equal runs of three words from which texts are one. Of 90 planted copies among e-mails
# (tests/inspection/issues/test_text_copies.py) the least had 0.75, of pairs drawn at random one in
# 10,000 0.5.
ALIKE = 0.7
_NEAREST = 5
_BANDS = 16  # of 4 numbers each: texts that share 0.7 of their runs meet with probability 0.99
_CROWD = 50  # texts with an equal band beyond which they are a form, and only neighbours count
_OUTSTANDING = 0.5  # how much less than from its kind a copy differs from its twin


def find_text_copies(
    neighbours: Neighbours | None, signatures: NDArray[np.uint64], *, alike: float = ALIKE
) -> list[Copy]:
    """Pairs of texts whose signatures (n, h) are alike, in the order of their rows.

    Where no neighbours are known, nothing is known of a text's kind either.
    """
    near = () if neighbours is None else _near(neighbours)
    pairs = np.array(sorted({*near, *_meeting(signatures)}), dtype=np.int64)
    if not len(pairs):
        return []
    shares = _shares(pairs, signatures)
    kept = shares >= alike
    pairs, shares = pairs[kept], shares[kept]
    kind = {int(i): _likeness_of_kind(int(i), neighbours, signatures) for i in np.unique(pairs)}
    return [
        Copy(int(first), int(second), float(share), mirrored=False)
        for (first, second), share in zip(pairs, shares, strict=True)
        if 1 - share <= _OUTSTANDING * (1 - max(kind[int(first)], kind[int(second)]))
    ]


def _near(neighbours: Neighbours) -> Iterator[tuple[int, int]]:
    nearest = neighbours.indices[:, :_NEAREST]
    for i, j in zip(*np.nonzero(nearest >= 0), strict=True):
        first, second = sorted((int(i), int(nearest[i, j])))
        yield first, second


def _meeting(signatures: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Pairs with an equal band."""
    known = np.flatnonzero(signatures.any(axis=1)).tolist()
    for band in np.array_split(signatures, _BANDS, axis=1):
        having: defaultdict[bytes, list[int]] = defaultdict(list)
        for i in known:
            having[band[i].tobytes()].append(i)
        for rows in having.values():
            if 1 < len(rows) <= _CROWD:
                yield from combinations(rows, 2)


def _shares(pairs: NDArray[np.int64], signatures: NDArray[Any]) -> NDArray[np.float64]:
    """Of each pair (m, 2) the share of equal numbers, (m,)."""
    found = np.zeros(len(pairs))
    for start in range(0, len(pairs), 100_000):
        part = pairs[start : start + 100_000]
        equal = signatures[part[:, 0]] == signatures[part[:, 1]]
        found[start : start + len(part)] = equal.mean(axis=1)
    known: NDArray[np.bool_] = np.any(signatures, axis=1)
    return np.where(known[pairs].all(axis=1), found, 0.0)


def _likeness_of_kind(i: int, neighbours: Neighbours | None, signatures: NDArray[Any]) -> float:
    """How alike other texts of its kind are to one: the median, 0 where that is not known."""
    kin = () if neighbours is None else background_neighbours(neighbours, i)
    if not len(kin):
        return 0.0
    return float(np.median([np.mean(signatures[i] == signatures[k]) for k in kin]))


__all__ = ["ALIKE", "find_text_copies"]


OF_TEXTS = CopyFinder(find_text_copies, needs_features=False)
