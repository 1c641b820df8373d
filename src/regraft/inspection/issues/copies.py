"""Near duplicates: one picture twice, resized, recompressed, mirrored or a little cropped.

Neighbours in feature space are candidates; whether two photos are one picture is decided on their
signatures, laid over each other. Features alone cannot tell: two shirts on the same carpet are
closer in feature space than a photo and its crop. Alignment goes from coarse to fine, and few pairs
reach the end of it.

Where all photos look alike, such as parts on a production line, being alike proves nothing: a copy
also has to differ far less from its twin than from other photos of its kind, a ratio test as for
local features (Lowe 2004, IJCV 60:91).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft.inspection.issues.neighbours import Neighbours
from regraft.kinds import kind_named

# Correlation of what is fine in aligned signatures, from which they are one picture. Planted copies
# of room and clothing photos had 0.96 and more, other pairs of clothing photos 0.85 at the most.
ALIKE = 0.9
_NEAREST = 5  # neighbours that are looked at; copies were the very nearest
_CANDIDATE = 0.6  # cosine of features below which a pair is not looked at; copies had 0.76 and more
# Correlations below which a pair is not aligned any further; copies had 0.88 and 0.67 and more.
_COARSE, _MIDDLE = 0.8, 0.55
# How much less than from its kind a copy differs from its twin, at the end and after the coarse
# alignment. Planted copies: at most 0.05 (rooms) and 0.2 (clothing, of 33 all but two below 0.12);
# half of the solar cells' pairs that are alike have more than 0.6.
_OUTSTANDING, _STANDING_OUT = 0.12, 0.8
_KIN = (
    5  # of the farther half of a photo's neighbours, as its kind: a picture may be there 15 times
)
_HOPELESS = 0.6  # correlation after the first moves, below which no finer ones are tried
_SCALES = (1.0, 0.95, 0.9, 0.85, 0.8)  # share of a side that a crop leaves
_OFFSETS = (0.0, 0.5, 1.0)  # of what is cut away, how much at the top (left)
_COARSE_PX, _MIDDLE_PX, _FINE_PX = 12, 32, 48
_BLUR = 1 / 12  # of the side: what is smoother than that is left out of the comparison
_FINE_BLUR = 1 / 24
_STEPS = (0.03, 0.015, 0.0075)  # of a side, by which the edges of a window are moved
_SMALLEST = 0.6  # share of a side that a window must keep
_FLAT = 1.0  # grey levels; signatures that vary less are compared by their level
_SAME_LEVEL = 2.0
_PAIRS_AT_ONCE = 64

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Copy:
    """Rows `first` < `second` show one picture; `alike` is the correlation, up to 1."""

    first: int
    second: int
    alike: float
    mirrored: bool


class CopyFinder(NamedTuple):
    """How a kind of input tells near copies.

    Attributes:
        find: pairs among signatures (n, ...), given neighbours in feature space if they are known.
        needs_features: whether nothing can be told without them.
    """

    find: Callable[[Neighbours | None, NDArray[Any]], list[Copy]]
    needs_features: bool


def can_find_copies(modality: str, *, with_features: bool) -> bool:
    """Whether near copies are looked for among inputs of a kind."""
    finder = _finder_of(modality)
    return finder is not None and (with_features or not finder.needs_features)


def find_near_copies(
    modality: str, neighbours: Neighbours | None, signatures: NDArray[Any]
) -> list[Copy]:
    """Near copies among inputs of a kind, by their signatures (n, ...); [] if none can be told."""
    finder = _finder_of(modality)
    return [] if finder is None else finder.find(neighbours, signatures)


def _finder_of(modality: str) -> CopyFinder | None:
    part = kind_named(modality).copies
    return None if part is None else part()


def find_copies(
    neighbours: Neighbours | None, signatures: NDArray[np.uint8], *, alike: float = ALIKE
) -> list[Copy]:
    """Pairs among neighbours whose signatures (n, s, s) are alike, in the order of their rows.

    None where no neighbours are known.
    """
    if neighbours is None:
        return []
    pairs = _candidates(neighbours)
    coarse = _coarse(pairs, signatures)
    pairs, coarse = pairs[coarse >= _COARSE], coarse[coarse >= _COARSE]
    # The ratio test once more before the expensive alignment: on uniform parts nearly all pairs
    # are alike at this coarseness, and nearly none of them survives it.
    kind = _likeness_of_kind(np.unique(pairs), neighbours, signatures)[pairs].max(axis=1)
    stands_out = 1 - coarse <= _STANDING_OUT * (1 - kind)
    pairs, kind = pairs[stands_out], kind[stands_out]
    found: list[Copy] = []
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        wanted = np.maximum(alike, 1 - _OUTSTANDING * (1 - kind[part]))
        found.extend(_verified(pairs[part], signatures, wanted))
    return found


def similarity(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[float, bool]:
    """How alike two signatures are when laid over each other, up to 1, and whether mirrored."""
    aligned = _aligned(first[None], second[None], _MIDDLE_PX)
    return _refined(first, second, aligned, 0)


def _candidates(neighbours: Neighbours) -> NDArray[np.int64]:
    """Pairs (m, 2) of rows that are close in feature space, each once, smaller row first."""
    nearest, cosine = neighbours.indices[:, :_NEAREST], neighbours.cosine[:, :_NEAREST]
    first = np.repeat(np.arange(len(nearest)), nearest.shape[1])
    second = nearest.ravel()
    kept = (second >= 0) & (cosine.ravel() >= _CANDIDATE)
    pairs = np.sort(np.stack([first[kept], second[kept]], axis=1), axis=1)
    return np.unique(pairs, axis=0)


def _coarse(pairs: NDArray[np.int64], signatures: NDArray[np.uint8]) -> FloatArray:
    """The correlation of each pair (m, 2) in a coarse alignment, (m,)."""
    parts = [pairs[i : i + _PAIRS_AT_ONCE] for i in range(0, len(pairs), _PAIRS_AT_ONCE)]
    scores = [_aligned(*_both(part, signatures), _COARSE_PX).score for part in parts]
    return np.concatenate([np.zeros(0, dtype=np.float32), *scores])


def background_neighbours(neighbours: Neighbours, i: int) -> NDArray[np.int64]:
    """Some of the farther half of the neighbours of row `i`, as its kind; none of too few."""
    near: NDArray[np.int64] = neighbours.indices[i][neighbours.indices[i] >= 0]
    if len(near) < 2 * _KIN:  # other copies may be most
        return near[:0]
    # The nearer half may be further copies of the same picture, which say nothing of its kind.
    kin = near[len(near) // 2 :]
    return kin[:: len(kin) // _KIN][:_KIN]


def _likeness_of_kind(
    rows: NDArray[np.int64], neighbours: Neighbours, signatures: NDArray[np.uint8]
) -> FloatArray:
    """How alike other photos of its kind are to each of `rows`: (n,), 0 where that is not known."""
    found = np.zeros(len(signatures), dtype=np.float32)
    known: dict[int, NDArray[np.int64]] = {}
    for i in map(int, rows):
        kin = background_neighbours(neighbours, i)
        if len(kin):
            known[i] = kin
    if known:
        pairs = np.array([(i, k) for i, kin in known.items() for k in kin], dtype=np.int64)
        alike = np.median(_coarse(pairs, signatures).reshape(-1, _KIN), axis=1)
        found[list(known)] = np.maximum(0.0, alike)
    return found


def _verified(
    pairs: NDArray[np.int64], signatures: NDArray[np.uint8], wanted: FloatArray
) -> Iterator[Copy]:
    """Those of the pairs (m, 2) that are at least as alike as is wanted of each, (m,)."""
    if not len(pairs):
        return
    middle = _aligned(*_both(pairs, signatures), _MIDDLE_PX)
    for at in np.flatnonzero(middle.score >= _MIDDLE):
        first, second = map(int, pairs[at])
        score, mirrored = _refined(signatures[first], signatures[second], middle, int(at))
        if score >= wanted[at]:
            yield Copy(first, second, min(1.0, score), mirrored)


def _both(
    pairs: NDArray[np.int64], signatures: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return signatures[pairs[:, 0]], signatures[pairs[:, 1]]


class _Alignment(NamedTuple):
    """For each pair the highest correlation and where it is found.

    `window` numbers the window (see `_window_pairs`) of the first picture, or where `turned` of
    the second, that the other looks like; `mirrored` says whether one has to be.
    """

    score: FloatArray
    window: NDArray[np.int64]
    turned: NDArray[np.bool_]
    mirrored: NDArray[np.bool_]


def _aligned(a: NDArray[np.uint8], b: NDArray[np.uint8], side_px: int) -> _Alignment:
    """The best window of either picture for the other, in both orientations.

    Only detail is compared: what a blur leaves, a bright window or a vignette, is alike in
    photos that have nothing else in common.
    """
    whole = _detail(_reduced(np.stack([a, b]), side_px), _BLUR)
    m = len(a)
    score = np.full(m, -1.0, dtype=np.float32)
    window = np.zeros(m, dtype=np.int64)
    turned, mirrored = np.zeros(m, dtype=bool), np.zeros(m, dtype=bool)
    enough: NDArray[Any]
    for turn, (windows_of, other) in enumerate(((a, whole[1]), (b, whole[0]))):
        enough = windows_of  # twice the side is fine enough to be cut from
        if 2 * side_px < windows_of.shape[-1]:
            enough = _reduced(windows_of, 2 * side_px)
        windows = _detail(_windows(enough, side_px), _BLUR)  # (m, w, s*s)
        for flip in (False, True):
            scores = np.einsum("mws,ms->mw", windows, _mirrored(other) if flip else other)
            best = scores.max(axis=1)
            better = best > score + 1e-4  # ties stay with the whole picture, not mirrored
            score[better], window[better] = best[better], scores.argmax(axis=1)[better]
            turned[better], mirrored[better] = bool(turn), flip
    # A picture of one colour has no detail to correlate; two of them are alike by their level.
    flat = np.maximum(a.std(axis=(1, 2)), b.std(axis=(1, 2))) < _FLAT
    same = np.abs(a.mean(axis=(1, 2)) - b.mean(axis=(1, 2))) < _SAME_LEVEL
    score[flat] = np.where(same[flat], 1.0, -1.0)
    return _Alignment(score, window, turned, mirrored)


def _refined(
    first: NDArray[np.uint8], second: NDArray[np.uint8], found: _Alignment, at: int
) -> tuple[float, bool]:
    """The correlation of fine detail, the edges of the window moved to where it is highest."""
    mirrored = bool(found.mirrored[at])
    if max(first.std(), second.std()) < _FLAT:
        return float(found.score[at]), mirrored
    if found.turned[at]:
        first, second = second, first
    picture = first.astype(np.float32)
    wanted = _detail(_reduced(second, _FINE_PX), _FINE_BLUR)
    wanted = _mirrored(wanted) if mirrored else wanted
    cuts = _cuts()
    tall, wide = (cuts[i] for i in _window_pairs()[found.window[at]])
    edges = np.array([tall[0], sum(tall), wide[0], sum(wide)])  # top, bottom, left, right

    def cut(edges: NDArray[np.float64], axis: int) -> FloatArray:
        start, end = edges[2 * axis : 2 * axis + 2]
        return _rows(start, end - start, _FINE_PX, len(picture))

    def score(window: NDArray[Any]) -> float:
        return float(_detail(window.astype(np.float32), _FINE_BLUR) @ wanted)

    rows, columns = cut(edges, 0), cut(edges, 1)
    # Coordinate ascent: each of the four edges is moved out and in while that helps, then by half
    # of the step. A crop is a rectangle, so rows and columns of the picture can be cut apart.
    best = score(rows @ picture @ columns.T)
    for step in _STEPS:
        moved = True
        while moved:
            moved = False
            for axis in (0, 1):  # the other one stays, and with it half of the work
                half = picture @ columns.T if axis == 0 else rows @ picture
                for edge, by in product((2 * axis, 2 * axis + 1), (-step, step)):
                    tried = edges.copy()
                    tried[edge] = np.clip(tried[edge] + by, 0.0, 1.0)
                    if tried[2 * axis + 1] - tried[2 * axis] < _SMALLEST:
                        continue
                    part = cut(tried, axis)
                    value = score(part @ half if axis == 0 else half @ part.T)
                    if value > best + 1e-4:
                        best, edges, moved = value, tried, True
                        rows, columns = (part, columns) if axis == 0 else (rows, part)
        if best < _HOPELESS:
            break
    return best, mirrored


def _detail(pictures: FloatArray, blur: float) -> FloatArray:
    """Pictures (..., s, s) without what is smooth, as vectors (..., s*s) of mean 0 and length 1."""
    smoothing = _blur(pictures.shape[-1], blur)
    smooth = smoothing @ pictures @ smoothing.T
    detail = (pictures - smooth).reshape(*pictures.shape[:-2], -1)
    detail -= detail.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(detail, axis=-1, keepdims=True)
    found: FloatArray = (detail / np.maximum(length, 1e-6)).astype(np.float32)
    return found


def _mirrored(vectors: FloatArray) -> FloatArray:
    side = round(vectors.shape[-1] ** 0.5)
    pictures = vectors.reshape(*vectors.shape[:-1], side, side)
    return pictures[..., ::-1].reshape(vectors.shape)


def _reduced(signatures: NDArray[Any], side_px: int) -> FloatArray:
    rows = _window_rows(side_px, signatures.shape[-1])[0]
    found: FloatArray = rows @ signatures.astype(np.float32) @ rows.T
    return found


def _windows(signatures: NDArray[Any], side_px: int) -> FloatArray:
    """Every window of each signature, (m, w, s, s), stretched to the same size."""
    rows = _window_rows(side_px, signatures.shape[-1])
    pictures = signatures.astype(np.float32)
    tall = np.einsum("rij,mjk->mrik", rows, pictures, optimize=True)  # cut in height
    at = _window_pairs()
    found: FloatArray = np.einsum(
        "mwik,wlk->mwil", tall[:, at[:, 0]], rows[at[:, 1]], optimize=True
    )
    return found


@cache
def _cuts() -> tuple[tuple[float, float], ...]:
    """(start, length) of every cut of a side, the whole side first."""
    cuts = [(0.0, 1.0)]
    for scale in _SCALES[1:]:
        cuts += [(offset * (1 - scale), scale) for offset in _OFFSETS]
    return tuple(cuts)


@cache
def _window_pairs() -> NDArray[np.int64]:
    """Cuts of height and width that make the windows: both by the same share, or only one."""
    cuts = _cuts()
    return np.array(
        [
            (i, j)
            for i, (_, tall) in enumerate(cuts)
            for j, (_, wide) in enumerate(cuts)
            if tall == wide or 1.0 in (tall, wide)
        ]
    )


@cache
def _window_rows(side_px: int, full_px: int) -> FloatArray:
    """For every cut a matrix (s, full) that averages it down to s rows."""
    return np.stack([_rows(start, length, side_px, full_px) for start, length in _cuts()])


def _rows(start: float, length: float, side_px: int, full_px: int) -> FloatArray:
    """A matrix (s, full) that averages a part of `full` rows down to s; both as shares of it."""
    edges = np.arange(full_px + 1)
    borders = full_px * (start + length * np.arange(side_px + 1) / side_px)
    low, high = borders[:-1, None], borders[1:, None]
    overlap = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    found: FloatArray = (np.maximum(overlap, 0.0) / (high - low)).astype(np.float32)
    return found


@cache
def _blur(side_px: int, share: float) -> FloatArray:
    """A Gaussian of a share of the side, as a matrix (s, s) whose rows sum to 1."""
    at = np.arange(side_px)
    weight = np.exp(-0.5 * ((at[:, None] - at) / (side_px * share)) ** 2)
    found: FloatArray = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


OF_PHOTOS = CopyFinder(find_copies, needs_features=True)
