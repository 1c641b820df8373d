"""Label suspects: photos that a model, which has not seen them, takes for another class.

Ranked by how much more likely the other class is (cleanlab's normalised margin: Northcutt, Jiang
and Chuang 2021, JAIR 70:1373). How many of the first are likely wrong is estimated by confident
learning; on a weak model that estimate is too high, so it is a place to stop, not a verdict.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regraft.metrics import FloatArray, IntArray
from regraft.telemetry import opt_out

LISTED = 0.1  # of the photos at the most, unless confident learning suspects more


@dataclass(frozen=True, slots=True)
class Suspects:
    """`scores` float64 (n,) 0 to 1, higher is more suspect; `order` the suspects, worst first.

    `likely_wrong` is how many labels confident learning holds for wrong; `said` int64 (n,) is the
    class the model would give.
    """

    scores: FloatArray
    order: IntArray
    likely_wrong: int
    said: IntArray


def suspect_labels(labels: IntArray, probabilities: FloatArray) -> Suspects:
    """Rank photos by how little their label fits out-of-fold probabilities (n, k).

    Args:
        labels: class numbers, (n,).
        probabilities: of predictions by models that have not seen the photo; rows of NaN, which
            were not predicted, are no suspects.
    """
    scores = np.zeros(len(labels))
    said = labels.copy()
    known = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
    if not len(known) or probabilities.shape[1] < 2:
        return Suspects(scores, np.empty(0, dtype=np.int64), 0, said)
    p, y = probabilities[known], labels[known]
    with _quietly():
        opt_out()
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores

        quality: NDArray[np.float64] = get_label_quality_scores(y, p, method="normalized_margin")
        wrong = 0
        if len(np.unique(y)) == p.shape[1]:
            wrong = int(find_label_issues(y, p, filter_by="confident_learning", n_jobs=1).sum())
    scores[known] = 1.0 - quality
    said[known] = p.argmax(axis=1)
    order = known[np.lexsort((known, quality))]
    most = max(wrong, int(np.ceil(LISTED * len(known))))
    order = np.array([i for i in order[:most] if said[i] != labels[i]], dtype=np.int64)
    return Suspects(scores, order, min(wrong, len(order)), said)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what cleanlab and its imports have to say."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        level = logging.getLogger("cleanlab").level
        logging.getLogger("cleanlab").setLevel(logging.ERROR)
        try:
            yield
        finally:
            logging.getLogger("cleanlab").setLevel(level)
