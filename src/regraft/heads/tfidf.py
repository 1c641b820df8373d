"""Words counted: token sequences and labels in, weighted counts and linear heads on them out.

What a text classifier without any pretrained network does, and what a pretrained one has to
beat. Letters beside those of `base`: g word sequences (n-grams) counted, d of them used.

A gram is one word or two neighbouring ones, written as one number: the first word's plus 1,
times 2^32, plus the second word's plus 1, or 0 for a word alone. Words have numbers below
2^31 - 1; token 0, an unknown word, is part of no gram.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.errors import TrainingError
from regraft.heads.linear import PENALTIES, LinearHead, logistic_fits
from regraft.heads.nested import OutOfFold, cross_validate_head
from regraft.metrics.rates import FloatArray, IntArray
from regraft.onnx_graphs import GraphBuilder, value

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    Sparse = csr_array[np.float64, tuple[int, int]]

MOST_GRAMS = 30_000
_FEWEST_TEXTS = 2  # that a gram has to occur in
_SECOND = 32  # bits of the second word


@dataclass(frozen=True, slots=True)
class TfidfSpace:
    """Which grams count, and how much: `codes` int64 (d,), ascending, and `idf` float64 (d,).

    A text's feature for a gram that occurs c times in it is (1 + ln c) * idf, and its features
    have the length 1; a text without any of the grams has zeros. As scikit-learn's
    `TfidfVectorizer(sublinear_tf=True)`, whose order of features it is, too.
    """

    codes: IntArray
    idf: FloatArray

    def transform(self, sequences: Sequence[NDArray[np.int64]]) -> Sparse:
        """Features of token sequences, each int64 (t,): a sparse matrix float64 (n, d)."""
        rows, codes = _grams(sequences)
        columns = np.searchsorted(self.codes, codes).clip(max=len(self.codes) - 1)
        known = self.codes[columns] == codes
        counts = _counted(rows[known], columns[known], (len(sequences), len(self.codes)))
        return _weighted(counts, self.idf)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """`tfidf.codes` int64 (d,) and `tfidf.idf` float32 (d,)."""
        return {"tfidf.codes": self.codes, "tfidf.idf": self.idf.astype(np.float32)}

    def graph(self) -> bytes:
        """An ONNX file to which a head can be appended.

        From `tokens` int64 (t,) to `features` float32 (d,).
        """
        from onnx import checker

        first, second = (self.codes >> _SECOND) - 1, (self.codes & (2**_SECOND - 1)) - 1
        single = second < 0
        pool = np.concatenate(
            [first[single], np.stack([first[~single], second[~single]], axis=1).reshape(-1)]
        )
        columns = np.concatenate([np.flatnonzero(single), np.flatnonzero(~single)])
        grams = {
            "mode": "TF",
            "min_gram_length": 1,
            "max_gram_length": 2,
            "max_skip_count": 0,
            "ngram_counts": [0, int(single.sum())],  # where words and where pairs begin
            "ngram_indexes": columns.tolist(),
            "pool_int64s": pool.tolist(),
        }
        graph = GraphBuilder("tfidf")
        zero, one = graph.floats(0.0), graph.floats(1.0)
        idf = graph.tensor("tfidf.idf", self.idf.astype(np.float32))
        counts = graph("TfIdfVectorizer", "tokens", **grams)
        damped = graph("Add", graph("Log", graph("Max", counts, one)), one)
        frequency = graph("Where", graph("Greater", counts, zero), damped, zero)
        weighted = graph("Mul", frequency, idf)
        graph("LpNormalization", weighted, output="features", axis=0, p=2)
        width = len(self.codes)
        model = graph.model(
            [value("tokens", np.int64, ["tokens"])], [value("features", np.float32, [width])]
        )
        checker.check_model(model)
        return bytes(model.SerializeToString())


def fit_tfidf(sequences: Sequence[NDArray[np.int64]], *, most: int = MOST_GRAMS) -> TfidfSpace:
    """The grams of at least two texts, the `most` frequent of them, and their weights.

    The weight is ln((1 + n) / (1 + texts with it)) + 1, scikit-learn's smoothed idf. Of equally
    frequent grams those with the lower numbers are kept.

    Args:
        sequences: token numbers int64 (t,) of each text, 0 for an unknown word.
        most: grams at the most.

    Raises:
        TrainingError: no two texts have a word in common.
    """
    codes, counts = _count(sequences)
    columns, idf = _chosen(counts, most)
    return TfidfSpace(codes[columns], idf)


def fit_sparse_logistic(
    features: Sparse, labels: IntArray, n_classes: int, penalties: Sequence[float] = PENALTIES
) -> list[LinearHead]:
    """Logistic regression on sparse rows of length 1, one head for each penalty.

    As `fit_logistic`, but for the centring, which would fill the matrix.
    """
    fits = logistic_fits(features.astype(np.float32), labels, n_classes, penalties)
    return [LinearHead(weights, bias) for weights, bias in fits]


def cross_validate_tfidf(
    sequences: Sequence[NDArray[np.int64]],
    labels: IntArray,
    folds: IntArray,
    *,
    n_classes: int,
    penalties: Sequence[float] = PENALTIES,
    most: int = MOST_GRAMS,
) -> OutOfFold:
    """`cross_validate_head`, with grams and weights learned anew without each fold.

    Args:
        sequences: token numbers int64 (t,) of each of n texts.
        labels: int64 (n,).
        folds: int64 (n,), 0..f-1.
        n_classes: k.
        penalties: to choose from, inside each fold.
        most: grams at the most.

    Raises:
        TrainingError: the texts of some folds have no word in common.
    """

    def fit(
        counts: Any, labels: IntArray, n_classes: int, penalties: Sequence[float]
    ) -> list[_CountsHead]:
        columns, idf = _chosen(counts, most)
        features = _weighted(counts[:, columns], idf)
        heads = fit_sparse_logistic(features, labels, n_classes, penalties)
        return [_CountsHead(columns, idf, head) for head in heads]

    # What occurs in a single text occurs in no two texts of any fold.
    _, counts = _count(sequences)
    counts = counts[:, np.flatnonzero(_texts_with(counts) >= _FEWEST_TEXTS)]
    rows: Any = counts  # `cross_validate_head` takes rows of it and nothing else
    return cross_validate_head(fit, penalties, rows, labels, folds, n_classes=n_classes)


@dataclass(frozen=True, slots=True)
class _CountsHead:
    """A `Head` behind the grams that it knows: counts (n, g) of all grams in, logits out."""

    columns: IntArray
    idf: FloatArray
    head: LinearHead

    def logits(self, features: Any) -> FloatArray:
        rows: Any = _weighted(features[:, self.columns], self.idf)
        return self.head.logits(rows)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        return self.head.tensors()

    def add_to(self, graph: GraphBuilder) -> None:
        self.head.add_to(graph)


# ---- Counting -----------------------------------------------------------------------------


def _grams(sequences: Sequence[NDArray[np.int64]]) -> tuple[IntArray, IntArray]:
    """Row and code of every gram, once for each time that it occurs."""
    if not len(sequences):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    rows = np.repeat(np.arange(len(sequences)), [len(each) for each in sequences])
    tokens = np.concatenate(sequences).astype(np.int64)
    single = tokens > 0
    pairs = single[:-1] & single[1:] & (rows[:-1] == rows[1:])
    first = (tokens + 1) << _SECOND
    return (
        np.concatenate([rows[single], rows[:-1][pairs]]),
        np.concatenate([first[single], (first[:-1] + tokens[1:] + 1)[pairs]]),
    )


def _count(sequences: Sequence[NDArray[np.int64]]) -> tuple[IntArray, Sparse]:
    """All grams (g,), ascending, and how often each text has them (n, g)."""
    rows, codes = _grams(sequences)
    grams, columns = np.unique(codes, return_inverse=True)
    return grams, _counted(rows, columns, (len(sequences), len(grams)))


def _counted(rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> Sparse:
    from scipy.sparse import coo_array

    counts = coo_array((np.ones(len(rows)), (rows, columns)), shape=shape).tocsr()
    counts.sum_duplicates()
    return counts


def _texts_with(counts: Sparse) -> IntArray:
    return np.bincount(counts.indices, minlength=counts.shape[1]).astype(np.int64)


def _chosen(counts: Sparse, most: int) -> tuple[IntArray, FloatArray]:
    """The columns (d,), ascending, that become features, and their weights."""
    texts = _texts_with(counts)
    columns = np.flatnonzero(texts >= _FEWEST_TEXTS)
    if not len(columns):
        raise TrainingError(
            f"no two of {counts.shape[0]} texts have a word in common, so there is nothing to "
            "count; expected more or longer texts"
        )
    if len(columns) > most:
        times: FloatArray = np.asarray(counts.sum(axis=0))[columns]
        columns = np.sort(columns[np.argsort(-times, kind="stable")[:most]])
    return columns, np.log((1 + counts.shape[0]) / (1 + texts[columns])) + 1


def _weighted(counts: Sparse, idf: FloatArray) -> Sparse:
    from sklearn.preprocessing import normalize

    weighted = counts.copy()
    weighted.data = (1 + np.log(counts.data)) * idf[counts.indices]
    return normalize(weighted, copy=False)  # type: ignore[no-any-return]
