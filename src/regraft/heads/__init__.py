"""Features and labels in, a head out: what turns features into class logits.

base         the Protocol, samples and unit vectors
linear       logistic regression
knn          the vote of the nearest training images
tfidf        words counted and weighted, for texts without a pretrained network
depths       one linear head on several depths of a network
nested       cross-validation that chooses a head's setting without seeing the fold it scores
calibration  temperature scaling, conformal prediction sets
familiarity  the distance that tells an unfamiliar image
"""

from __future__ import annotations

from regraft.heads.base import Head, HeadFitter, fitting, unit_rows
from regraft.heads.calibration import (
    COVERAGE,
    conformal_thresholds,
    fit_temperature,
    softmax,
)
from regraft.heads.familiarity import FAMILIAR, Familiarity, doubt, fit_familiarity
from regraft.heads.knn import NEIGHBOURS, KnnHead, fit_knn
from regraft.heads.linear import PENALTIES, LinearHead, fit_logistic
from regraft.heads.nested import (
    OutOfFold,
    choose_setting,
    cross_validate_head,
    span_coordinates,
)
from regraft.heads.tfidf import (
    TfidfSpace,
    cross_validate_tfidf,
    fit_sparse_logistic,
    fit_tfidf,
)

__all__ = [
    "COVERAGE",
    "FAMILIAR",
    "NEIGHBOURS",
    "PENALTIES",
    "Familiarity",
    "Head",
    "HeadFitter",
    "KnnHead",
    "LinearHead",
    "OutOfFold",
    "TfidfSpace",
    "choose_setting",
    "conformal_thresholds",
    "cross_validate_head",
    "cross_validate_tfidf",
    "doubt",
    "fit_familiarity",
    "fit_knn",
    "fit_logistic",
    "fit_sparse_logistic",
    "fit_temperature",
    "fit_tfidf",
    "fitting",
    "softmax",
    "span_coordinates",
    "unit_rows",
]
