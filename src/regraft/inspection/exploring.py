"""Features and measures in, what a first look at the photos, or texts, shows out.

A map on which like photos lie close together, the nearest neighbours of each photo, how well the
classes keep apart, how plain facts spread over the classes, and the mean image of each class, or
its typical words. All of it is kept as data (`exploration.json`), so that a page can be drawn again
without the photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.dataset import Dataset
from regraft.features.embedding import FeatureArray
from regraft.features.measures import Measures
from regraft.inspection.issues import Findings
from regraft.kinds.examiner import Word, spread
from regraft.metrics.rates import Estimate, FloatArray, IntArray, accuracy_estimate
from regraft.storage.records import digits
from regraft.storage.saved import Count, Number

MAP_PHOTOS = 1_200  # more would neither be told apart nor leave the page small
NEAREST = 6
_VOTERS = 10
_PERPLEXITY = 30.0
_COMPONENTS = 50
_STEPS = 500
_FEWEST_FOR_TSNE = 8
_BINS = 24
_CLASSES = 40  # of which facts are counted one by one


@dataclass(frozen=True, slots=True)
class Place:
    """One photo on the map.

    `x` and `y` are 0 to 1; `nearest` are the numbers of the places of the most similar photos, the
    most similar first; `thumbnail` is a small JPEG file, empty where there is none, `excerpt` the
    beginning of a text.
    """

    path: str
    x: Number = field(metadata=digits(4))
    y: Number = field(metadata=digits(4))
    nearest: tuple[Count, ...]
    thumbnail: bytes
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Separation:
    """How well one class keeps apart from the others.

    `found` is the share of its photos that most of their nearest neighbours would put in it;
    `overlaps` is the class that otherwise gets most of them ("" if none) and `share` how many.
    """

    name: str
    images: Count
    found: Estimate
    overlaps: str
    share: Number = field(metadata=digits(4))


@dataclass(frozen=True, slots=True)
class Spread:
    """How one fact spreads over the photos, by class.

    `edges` are those of the bins, in `unit`; `total` the photos in each, the first and last bin
    with all beyond, and `counts` the same by class, of the largest classes. `logarithmic` says how
    the bins are spaced.
    """

    name: str
    unit: str
    logarithmic: bool
    edges: tuple[Number, ...]
    total: tuple[Count, ...]
    counts: Mapping[str, tuple[Count, ...]]


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a first look shows.

    Attributes:
        images: how many photos were looked at.
        places: the map; a sample where there are more than MAP_PHOTOS.
        separable: share of photos whose class their nearest neighbours tell; None where that
            cannot be said.
        classes: the same by class, the least separable first.
        spreads: of facts that vary.
        means: the mean image of some classes, as JPEG files.
        summary: what is to be said of all, pairs of a term and a text.
        words: the words that set some classes of texts apart, the most telling first.
    """

    images: Count
    places: tuple[Place, ...]
    separable: Estimate | None = None
    classes: tuple[Separation, ...] = ()
    spreads: tuple[Spread, ...] = ()
    means: Mapping[str, bytes] = field(default_factory=dict)
    words: Mapping[str, tuple[Word, ...]] = field(default_factory=dict, metadata=digits(4))
    summary: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError: a place names neighbours that are not there."""
        if any(i >= len(self.places) for place in self.places for i in place.nearest):
            raise ValueError("a place on the map names a neighbour that is not there")

    def __repr__(self) -> str:
        return f"Exploration({self.images:,} images, {len(self.places):,} on the map)"


def explore(
    data: Dataset, found: Findings, features: FeatureArray, measures: Measures, *, seed: int = 0
) -> Exploration:
    """A first look at the labelled photos of a dataset.

    Args:
        data: their dataset.
        found: what was found on them; `found.rows` are the photos.
        features: float32 (n, d) of the same.
        measures: of the same.
        seed: of the map; any whole number.
    """
    labels = data.labels(found.rows)
    separable, classes = _separation(data.classes, labels, found)
    portraits = measures.examiner.portraits(data.classes, labels, measures.previews)
    return Exploration(
        images=len(found.rows),
        places=_places(found, features, measures, seed),
        separable=separable,
        classes=classes,
        spreads=_spreads(data.classes, labels, measures),
        means=portraits.means,
        words=portraits.words,
        summary=measures.examiner.summary(
            [one for one in measures.attributes if one is not None], measures.previews
        ),
    )


def lay_out(features: NDArray[Any], *, seed: int = 0) -> FloatArray:
    """Positions (n, 2) from 0 to 1 at which photos with like features lie close together.

    t-SNE (van der Maaten and Hinton 2008, JMLR 9:2579) of the first principal components of the
    features (n, d), by cosine; of very few photos those components themselves. Distances between
    far groups mean little on such a map.
    """
    from sklearn.decomposition import PCA

    n, seed = len(features), seed % 2**32
    if n < 2:
        return np.full((n, 2), 0.5)
    known = np.asarray(features, dtype=np.float32)
    known = known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-12)
    if float(np.ptp(known, axis=0).max()) < 1e-6:  # all alike
        return np.full((n, 2), 0.5)
    small = min(_COMPONENTS, n, known.shape[1])
    at = PCA(small, svd_solver="randomized", random_state=seed).fit_transform(known)
    if n >= _FEWEST_FOR_TSNE and at.shape[1] > 1:
        from sklearn.manifold import TSNE

        perplexity = min(_PERPLEXITY, (n - 1) / 3)
        at = TSNE(
            2, perplexity=perplexity, init="pca", max_iter=_STEPS, random_state=seed
        ).fit_transform(at)
    at = np.pad(at[:, :2], ((0, 0), (0, 2 - min(2, at.shape[1])))).astype(np.float64)
    low, high = at.min(axis=0), at.max(axis=0)
    placed: FloatArray = np.where(high - low > 1e-9, (at - low) / np.maximum(high - low, 1e-9), 0.5)
    return placed


def _places(
    found: Findings, features: FeatureArray, measures: Measures, seed: int
) -> tuple[Place, ...]:
    finite = np.flatnonzero(np.isfinite(features).all(axis=1))
    finite = np.array(spread(finite.tolist(), MAP_PHOTOS), dtype=np.int64)
    if not len(finite):
        return ()
    known = np.asarray(features[finite], dtype=np.float32)
    at = lay_out(known, seed=seed)
    unit = known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, : min(NEAREST, len(finite) - 1)]
    shown = [measures.examiner.shown(measures.previews[row]) for row in finite]
    return tuple(
        Place(
            found.rows[row].path,
            float(at[i, 0]),
            float(at[i, 1]),
            tuple(map(int, nearest[i])),
            shown[i].picture,
            shown[i].text,
        )
        for i, row in enumerate(finite)
    )


def _separation(
    classes: Sequence[str], labels: IntArray, found: Findings
) -> tuple[Estimate | None, tuple[Separation, ...]]:
    """The class that the nearest neighbours of each photo vote for, held against its label.

    Near duplicates and photos of the same series have no vote: they would say the same of a class
    that nobody could tell.
    """
    if found.neighbours is None or len(classes) < 2:
        return None, ()
    near = found.neighbours.indices.copy()
    copies = {(c.first, c.second) for c in found.copies}
    for first, second in copies:
        near[first][near[first] == second] = -1
        near[second][near[second] == first] = -1
    if found.series is not None:
        own, others = found.series.numbers[:, None], found.series.numbers[np.maximum(near, 0)]
        near[(own >= 0) & (own == others)] = -1
    votes = np.zeros((len(near), len(classes)))
    given = np.zeros(len(near), dtype=np.int64)
    rows = np.arange(len(near))
    for rank in range(near.shape[1]):
        other = near[:, rank]
        takes = (other >= 0) & (given < _VOTERS)
        # A tie goes to the class of the nearer ones.
        votes[rows[takes], labels[other[takes]]] += 1.0 - 1e-4 * rank
        given += takes
    known = given > 0
    if not known.any():
        return None, ()
    said = votes.argmax(axis=1)
    right = (said == labels).astype(np.float64)
    by_class = []
    for number, name in enumerate(classes):
        members = known & (labels == number)
        if not members.any():
            continue
        others = np.bincount(said[members & (said != number)], minlength=len(classes))
        most = int(others.argmax())
        by_class.append(
            Separation(
                name,
                int(members.sum()),
                accuracy_estimate(right[members]),
                classes[most] if others[most] else "",
                float(others[most] / members.sum()),
            )
        )
    by_class.sort(key=lambda c: (c.found.value, c.name))
    return accuracy_estimate(right[known]), tuple(by_class)


def _spreads(classes: Sequence[str], labels: IntArray, measures: Measures) -> tuple[Spread, ...]:
    attributes = measures.attributes
    known = [i for i, one in enumerate(attributes) if one is not None]
    counted = np.bincount(labels[known], minlength=len(classes)) if known else np.zeros(0)
    shown = sorted(sorted(range(len(classes)), key=lambda c: -counted[c])[:_CLASSES])
    spreads = []
    for trait in measures.examiner.traits if known else ():
        values = np.array([trait.value(attributes[i]) for i in known])
        applies = np.isfinite(values)
        if not applies.any():
            continue
        values, with_it = values[applies], np.array(known)[applies]
        low, high = np.quantile(values, [0.005, 0.995])
        if not high > low * (1 + 1e-6) or (trait.logarithmic and low <= 0):
            continue  # the same for all
        if trait.logarithmic:
            edges = np.geomspace(low, high, _BINS + 1)
        else:
            edges = np.linspace(low, high, _BINS + 1)
        bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, _BINS - 1)
        counts = {
            classes[c]: tuple(
                int(n) for n in np.bincount(bins[labels[with_it] == c], minlength=_BINS)
            )
            for c in shown
        }
        total = tuple(int(n) for n in np.bincount(bins, minlength=_BINS))
        spreads.append(
            Spread(
                trait.name,
                trait.unit,
                trait.logarithmic,
                tuple(float(f"{edge:.5g}") for edge in edges),
                total,
                counts,
            )
        )
    return tuple(spreads)


__all__ = [
    "MAP_PHOTOS",
    "Exploration",
    "Place",
    "Separation",
    "Spread",
    "explore",
    "lay_out",
    "spread",
]
