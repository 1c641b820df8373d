"""Series: photos taken one after another that show almost the same, as frames of one film do.

Enters: what the rows look like (features), and the orders that names and times put them into.
Leaves: a number for each series. Folds by chance put neighbours on both sides of a split, and a
model is then asked for photos that it has all but seen.

An innocently numbered folder is no series, so the order is tried first. Photos of one class could
change places in it if it meant nothing; by how many pairs of neighbours are more alike than pairs
after such a shuffle, at whichever similarity tells most, an order that means something stands out
(Berk and Jones 1979, Zeitschrift fuer Wahrscheinlichkeitstheorie 47:47). Which neighbours belong
together is then told from pairs of one class that lie far apart in the order: neighbours are linked
from the similarity on that parts the two best (Youden 1950, Cancer 3:32). A class that is one long
film has hardly any pairs from different films; pairs at least half of the class apart are what it
has of them.

Similarity is the cosine of features from which the mean of the class is taken: what a class has in
common makes no series, and frames of a film that shows several classes stay alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.dataset import connected
from regraft.dataset.ordering import Order
from regraft.metrics.rates import FloatArray, IntArray

# The likelihood ratio, a thousand to one, from which an order is believed. Chance alone exceeds it
# in 0.5 to 2 of 100 shuffles, and finds series in 8 of 11,200 (parts of five sets), because what is
# linked has to be alike as well.
_BELIEVED = math.log(1_000)
# What is linked is a series if it is alike by its median similarity, or somewhat less alike but
# well told apart: so many more of the neighbours than of pairs far apart are linked. Frames that a
# camera takes of photos reach a median of 0.56 (it walks through the picture) to 0.9, neighbouring
# cells of solar modules 0.82, noisy frames of drawings 0.37 and more, with 0.68 more. Independent
# photos that were sorted by kinds reach 0.2 to 0.26 (garments), or 0.44 with 0.3 more (simulated
# faults).
_ALIKE = 0.5
_SOMEWHAT_ALIKE, _MORE = 0.35, 0.5
_FAR = 0.1  # of pairs far apart, those that may be as alike as what is linked, at the most
_RARE = 0.02  # the same of pairs of two classes: a film that shows both of them is the exception
_HALF = 0.5
_END = 4  # rows on either side
_LEAST = 0.3  # of that median, from which on a pair is linked
_PAIRS = 20_000  # that are drawn at the most to know what is not linked
_FEWEST_PAIRS = 4_000
_PAIRS_AT_ONCE = 4_096
_FEWEST = 8  # neighbours; of fewer nothing can be said


@dataclass(frozen=True)
class Series:
    """What was found in the orders of n rows.

    Attributes:
        numbers: int64 (n,), equal for rows of one series, -1 for a row in none.
        places: int64 (n,), where a row comes in its series; only to be compared within one.
        alike: float64 (s,), how alike neighbours in each series are, up to 1.
        sources: what orders the series, see `Order.source`; empty where there are none.
        order: rows in an order in which neighbours are more alike than chance would have it,
            int64 (m,), whether or not they are series; None where no order means anything.
    """

    numbers: IntArray
    places: IntArray
    alike: FloatArray
    sources: tuple[str, ...]
    order: IntArray | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self.alike)

    def holds(self, first: int, second: int) -> bool:
        """Whether two rows are of one series, of more than these two."""
        number = self.numbers[first]
        return bool(number >= 0 and number == self.numbers[second] and self.sizes[number] > 2)

    @cached_property
    def sizes(self) -> IntArray:
        """How many rows each has, int64 (s,)."""
        return np.bincount(self.numbers[self.numbers >= 0], minlength=len(self))

    def members(self, number: int) -> IntArray:
        """The rows of one series in their order."""
        rows = np.flatnonzero(self.numbers == number)
        return rows[np.argsort(self.places[rows], kind="stable")]


def find_series(
    features: NDArray[Any],
    labels: IntArray,
    orders: Sequence[Order],
    *,
    cells: IntArray | None = None,
    seed: int = 0,
) -> Series:
    """The series in all the orders together.

    Args:
        features: (n, d); rows with NaN are in no series.
        labels: class numbers (n,).
        orders: see `dataset.ordering`.
        cells: int64 (n,), equal for rows that could change places were there no order; None for
            those of one class.
        seed: of the pairs that are drawn.
    """
    n = len(labels)
    likeness = _Likeness(features, labels)
    random = np.random.default_rng(seed)
    places = np.full(n, -1, dtype=np.int64)
    meaningful: IntArray | None = None
    sources: list[str] = []
    pairs: list[IntArray] = []
    alike: list[FloatArray] = []
    for order in orders:
        slots = _Slots.of(order, likeness.known)
        if len(slots.at) < _FEWEST:
            continue
        near = likeness(slots.rows[slots.at], slots.rows[slots.at + 1])
        shuffled = likeness(*_shuffled(slots, labels if cells is None else cells, random))
        if berk_jones(near, shuffled) < _BELIEVED:
            continue
        if meaningful is None:
            meaningful = slots.rows
        linked = _linked(slots, near, labels, likeness, random)
        if not linked.any():
            continue
        linked = _as_named(slots, near, linked, likeness)
        if order.source not in sources:
            sources.append(order.source)
        at = slots.at[linked]
        pairs.append(np.stack([slots.rows[at], slots.rows[at + 1]], axis=1))
        alike.append(near[linked].astype(np.float64))
        unplaced = places[slots.rows] < 0
        places[slots.rows[unplaced]] = np.flatnonzero(unplaced) + places.max(initial=-1) + 1
    if not pairs:
        nothing = np.full(n, -1, dtype=np.int64)
        return Series(nothing, nothing, np.zeros(0), (), meaningful)
    links = np.concatenate(pairs)
    numbers, counts = _numbered(n, links)
    strength = np.bincount(
        numbers[links[:, 0]], weights=np.concatenate(alike), minlength=len(counts)
    )
    shown = strength / np.maximum(counts, 1)
    return Series(numbers, places, np.clip(shown, 0.0, 1.0), tuple(sources), meaningful)


def berk_jones(near: NDArray[Any], others: NDArray[Any]) -> float:
    """How surprising it is that so many of `near` (m,) exceed so few of `others` (p,).

    The log likelihood ratio of m trials at the value of `near` where it is highest; 0 if none of
    them is reached more often than by the others.
    """
    share, chance = _exceeding(near, others)
    m = len(near)
    rest = np.zeros_like(share)
    below = share < 1.0
    rest[below] = (1 - share[below]) * np.log((1 - share[below]) / (1 - chance[below]))
    ratio = share * np.log(share / chance) + rest
    return float(m * np.max(ratio, where=share > chance, initial=0.0))


def _exceeding(near: NDArray[Any], others: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """For every value of `near`, highest first, the share of either that is at least as high."""
    values = np.sort(near)[::-1]
    share = np.arange(1, len(values) + 1) / len(values)
    ranks = np.searchsorted(np.sort(others), values, side="left")
    chance = (len(others) - ranks + 1) / (len(others) + 2)
    return share, chance


@dataclass(frozen=True, slots=True)
class _Slots:
    """An order without the rows that cannot be compared.

    `at` int64 (s,) are the places in `rows` whose next row follows; `films` go with `rows`, see
    `Order`.
    """

    rows: IntArray
    at: IntArray
    films: IntArray

    @classmethod
    def of(cls, order: Order, known: NDArray[np.bool_]) -> _Slots:
        kept = known[order.rows]
        family = np.cumsum(~order.follows)[kept]
        at = np.flatnonzero(family[1:] == family[:-1])
        return cls(order.rows[kept], at, order.films[kept])


class _Likeness:
    """The cosine of rows without the means of their classes, computed for pairs when asked for.

    Features stay as they are: a copy of them would double the memory.
    """

    def __init__(self, features: NDArray[Any], labels: IntArray) -> None:
        n = len(labels)
        self._features, self._labels = features, labels
        self.known: NDArray[np.bool_] = np.zeros(n, dtype=bool)
        self._length = np.ones(n, dtype=np.float32)  # of a row
        self._rest = np.zeros(n, dtype=np.float32)  # 1 / what is left without the class mean
        sums = np.zeros((int(labels.max(initial=-1)) + 1, features.shape[1]))
        parts = [slice(i, i + _PAIRS_AT_ONCE) for i in range(0, n, _PAIRS_AT_ONCE)]
        for part in parts:
            self.known[part] = np.isfinite(features[part]).all(axis=1)
            rows = np.where(self.known[part, None], features[part], 0.0)
            self._length[part] = np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
            by_class = np.argsort(labels[part], kind="stable")
            classes, starts = np.unique(labels[part][by_class], return_index=True)
            unit = (rows / self._length[part, None])[by_class]
            sums[classes] += np.add.reduceat(unit, starts, axis=0)
        counts = np.bincount(labels[self.known], minlength=len(sums))
        self._means = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
        for part in parts:
            left = np.linalg.norm(self._centred(np.arange(n)[part]), axis=1)
            # Of photos that are all the same only rounding is left: they are alike in nothing.
            self._rest[part] = np.where(left > 1e-3, 1 / np.maximum(left, 1e-12), 0.0)

    def __call__(self, first: IntArray, second: IntArray) -> NDArray[np.float32]:
        found = np.empty(len(first), dtype=np.float32)
        for start in range(0, len(first), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            a, b = first[part], second[part]
            cosine = np.einsum("pd,pd->p", self._centred(a), self._centred(b))
            found[part] = cosine * self._rest[a] * self._rest[b]
        return found

    def _centred(self, rows: IntArray) -> NDArray[np.float32]:
        unit = self._features[rows] / self._length[rows, None]
        unit -= self._means[self._labels[rows]]
        return np.asarray(unit, dtype=np.float32)


def _drawn(slots: _Slots) -> int:
    return min(_PAIRS, max(_FEWEST_PAIRS, 20 * len(slots.at)))


def _shuffled(
    slots: _Slots, cells: IntArray, random: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Neighbours (p,), (p,) after rows of one cell have changed places, many times over."""
    rows, own = slots.rows, cells[slots.rows]
    by_cell = np.argsort(own, kind="stable")
    first, second = [], []
    for _ in range(max(1, _drawn(slots) // len(slots.at))):
        # Sorting by cell, then by chance, and putting that back gives a shuffle within cells.
        mixed = np.lexsort((random.random(len(rows)), own))
        moved = np.empty_like(rows)
        moved[by_cell] = rows[mixed]
        first.append(moved[slots.at])
        second.append(moved[slots.at + 1])
    return np.concatenate(first), np.concatenate(second)


def _far_apart(
    slots: _Slots, labels: IntArray, random: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Pairs of rows of the classes of neighbours, at least half of the second's class apart."""
    own = labels[slots.rows]
    drawn = slots.at[random.integers(0, len(slots.at), _drawn(slots))]
    first, second = [], []
    for label in np.unique(own[drawn + 1]):
        places = np.flatnonzero(own == label)
        # Of the rows of this class those that come at least `half` of it before or behind `at`.
        half = (len(places) + 1) // 2
        at = drawn[own[drawn + 1] == label]
        rank = np.searchsorted(places, at)  # where the first would come in the class of the second
        before = np.maximum(0, rank - half + 1)
        after = np.maximum(0, len(places) - rank - half)
        at, rank, before, after = (x[before + after > 0] for x in (at, rank, before, after))
        step = (random.random(len(at)) * (before + after)).astype(np.int64)
        chosen = np.where(step < before, step, rank + half + step - before)
        first.append(slots.rows[at])
        second.append(slots.rows[places[chosen]])
    return np.concatenate(first), np.concatenate(second)


def _linked(
    slots: _Slots,
    near: NDArray[Any],
    labels: IntArray,
    likeness: _Likeness,
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    """Which neighbours belong to one series, bool (s,)."""
    first, second = _far_apart(slots, labels, random)
    far = likeness(first, second)
    far_same = labels[first] == labels[second]
    same = labels[slots.rows[slots.at]] == labels[slots.rows[slots.at + 1]]
    linked = np.zeros(len(near), dtype=bool)
    if not same.any() or not far_same.any():
        return linked
    least = _parting(near[same], far[far_same])
    linked[same] = near[same] >= least
    more = float(np.mean(near[same] >= least) - np.mean(far[far_same] >= least))
    enough = _SOMEWHAT_ALIKE if more >= _MORE else _ALIKE
    if not linked.any() or np.median(near[linked]) < enough:
        return np.zeros(len(near), dtype=bool)
    if not far_same.all():
        rare = float(np.quantile(far[~far_same], 1 - _RARE))
        linked[~same] = near[~same] >= max(least, rare)
    return linked


def _as_named(
    slots: _Slots, near: NDArray[Any], linked: NDArray[np.bool_], likeness: _Likeness
) -> NDArray[np.bool_]:
    """The same links (s,), corrected where names say that a film begins or goes on.

    What rows show decides whether there are series. Where there are and names tell several films
    apart, one odd frame parts no film and joins no two: what counts there is how alike the frames
    before it are to those behind it in the median. Within a film as alike as anything that is
    linked is enough, and so is that half of it is linked in one stretch. From one film to the next
    it has to be half the median of what is linked, and that for half of all films: then the names
    count within something larger, such as copies of each frame.
    """
    film, following = slots.films[slots.at], slots.films[slots.at + 1]
    if len(np.unique(slots.films[slots.films >= 0])) < 2:
        return linked
    inside = (film == following) & (film >= 0)
    between = (film != following) & (film >= 0) & (following >= 0)
    doubtful = np.flatnonzero((inside & ~linked) | (between & linked))
    enough = np.where(between, _HALF * np.median(near[linked]), near[linked].min())
    found = linked.copy()
    found[doubtful] = _alike_around(slots, doubtful, likeness) >= enough[doubtful]
    if between.any() and found[between].mean() < _HALF:
        found[between] = False
    found[inside] |= _is_mostly_linked(slots.films, film, inside & found)[film[inside]]
    return found


def _is_mostly_linked(
    films: IntArray, of_slot: IntArray, linked: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """For each film whether half of its rows are one stretch of links, bool (f,)."""
    sizes = np.bincount(films[films >= 0])
    longest = np.zeros(len(sizes), dtype=np.int64)
    stretch = np.cumsum(~linked)[linked]  # equal from one break to the next
    films_and_stretches = np.stack([of_slot[linked], stretch], axis=1)
    pairs, links = np.unique(films_and_stretches, axis=0, return_counts=True)
    np.maximum.at(longest, pairs[:, 0], links + 1)
    return np.asarray(longest >= _HALF * sizes)


def _alike_around(slots: _Slots, which: IntArray, likeness: _Likeness) -> FloatArray:
    """How alike the last few rows of what ends at some slots are to the first of what follows."""
    at, last = slots.at[which], len(slots.rows) - 1
    found = np.full((_END * _END, len(which)), np.nan)
    for k, (back, on) in enumerate(product(range(_END), repeat=2)):
        first, second = np.maximum(at - back, 0), np.minimum(at + 1 + on, last)
        there = (at - back >= 0) & (at + 1 + on <= last)
        there &= slots.films[first] == slots.films[at]
        there &= slots.films[second] == slots.films[np.minimum(at + 1, last)]
        found[k, there] = likeness(slots.rows[first[there]], slots.rows[second[there]])
    return np.asarray(np.nanmedian(found, axis=0), dtype=np.float64)


def _parting(near: NDArray[Any], far: NDArray[Any]) -> float:
    """The similarity from which on pairs are linked; infinite where none is.

    Where most neighbours belong together a link that is missed counts as much as one too many. The
    fewer do, as among photos with a burst here and there, the more one too many counts: by the odds
    against a link.
    """
    share, chance = _exceeding(near, far)
    # Youden's index at every similarity that occurs; where too many pairs far apart are as alike,
    # the class looks the same all over and no similarity tells.
    allowed = chance <= _FAR
    if not allowed.any():
        return math.inf
    gain = np.where(allowed, share - chance, -1.0)
    best = int(gain.argmax())
    linked = max(1 / len(near), float(gain[best] / (1 - chance[best])))  # of all neighbours, about
    weight = max(1.0, 1 / linked - 1)
    # Once more, by the odds against a link that the first answer implies.
    best = int(np.where(allowed, share - weight * chance, -math.inf).argmax())
    values = np.sort(near)[::-1]
    return max(float(values[best]), _LEAST * float(np.median(values[: best + 1])))


def _numbered(n: int, links: IntArray) -> tuple[IntArray, IntArray]:
    """A series number for each row, -1 for those without a link, and the links of each series."""
    joined = connected(n, map(tuple, links.tolist()))
    has_link = np.zeros(n, dtype=bool)
    has_link[links] = True
    numbers = np.full(n, -1, dtype=np.int64)
    numbers[has_link] = np.unique(joined[has_link], return_inverse=True)[1]
    return numbers, np.bincount(numbers[links[:, 0]])
