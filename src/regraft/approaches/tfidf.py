"""`tfidf`: words counted and weighted, a linear head on them: what pretraining has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from regraft.approaches.base import (
    NO_LIMITS,
    Asked,
    CrossValidation,
    Limits,
    Profile,
    Turn,
    repeated_folds,
)
from regraft.approaches.frozen import cross_validate_repeats, frozen_model, one_of
from regraft.backbones.architectures import FromScratch
from regraft.backbones.backbone import Backbone
from regraft.backbones.built_in import default_backbone
from regraft.backbones.tokenizers import kept_tokenizer
from regraft.dataset import Dataset, Row
from regraft.errors import DataError, UnreadableInputError
from regraft.features.embedding import read_checked
from regraft.heads import OutOfFold, fitting
from regraft.heads.linear import PENALTIES
from regraft.heads.tfidf import cross_validate_tfidf, fit_sparse_logistic, fit_tfidf
from regraft.kinds import TEXT
from regraft.kinds.texts.decoding import decode, text_of
from regraft.kinds.texts.tokens import TextTransform, as_of_texts, word_tokenizer
from regraft.metrics.rates import IntArray
from regraft.model import Model, TrainedNetwork
from regraft.progress import Progress, silent
from regraft.workers import map_threads

_MOST_TOKENS = 4_096  # of a text; longer ones are cut
_MOST_GRAMS = 10_000  # words and pairs of words that count


@dataclass(frozen=True, slots=True)
class Tfidf:
    """Logistic regression on TF-IDF weights of words and pairs of words.

    No pretrained network has a part in it. The vocabulary is that of all training texts; which
    words and pairs count, and how much, is learned anew without each fold. See `heads.tfidf`.
    """

    name: ClassVar[str] = "tfidf"
    profile: ClassVar[Profile] = Profile(turn=Turn.COUNTED, kind=TEXT, needs_backbone=False)

    @property
    def network(self) -> Backbone:
        """Facts on it, in the form of a backbone that was pretrained on nothing."""
        like = default_backbone(TEXT)
        transform = as_of_texts(like.transform)
        assert transform is not None
        return Backbone(
            name="words",
            architecture=FromScratch("tfidf"),
            weights_sha256="",
            task="text classification",
            pretrained_on="nothing",
            licence=like.licence,
            parameters=_MOST_GRAMS,
            feature_width=_MOST_GRAMS,
            transform=replace(transform, max_tokens=_MOST_TOKENS),
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """How many words and pairs count at the most."""
        return {"grams": _MOST_GRAMS}

    @classmethod
    def candidates(cls, _asked: Asked) -> list[Tfidf]:
        """The only one there is."""
        return [cls()]

    def cross_validate(
        self,
        data: Dataset,
        folds: IntArray,
        *,
        limits: Limits = NO_LIMITS,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> CrossValidation:
        """Predict every training row out of fold; see `Approach`."""
        _, sequences = _read(data, jobs=jobs, progress=progress)
        labels = data.labels(data.train)

        def predict(fold: IntArray) -> OutOfFold:
            return cross_validate_tfidf(
                sequences, labels, fold, n_classes=len(data.classes), most=_MOST_GRAMS
            )

        return cross_validate_repeats(
            predict,
            labels,
            folds,
            conclude=one_of("penalty", PENALTIES),
            phase="cross-validating tfidf",
            limits=limits,
            progress=progress,
        )

    def fit(
        self,
        data: Dataset,
        *,
        cross_validation: CrossValidation | None = None,
        limits: Limits = NO_LIMITS,
        seed: int = 0,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> Model:
        """Train on all training rows; see `Approach`."""
        if cross_validation is None:
            folds = repeated_folds(data, seed=seed)
            cross_validation = self.cross_validate(
                data, folds, limits=limits, jobs=jobs, progress=progress
            )
        transform, sequences = _read(data, jobs=jobs, progress=progress)
        labels = data.labels(data.train)
        penalty = cross_validation.chosen["penalty"]
        with fitting():
            space = fit_tfidf(sequences, most=_MOST_GRAMS)
            features = space.transform(sequences)
            (head,) = fit_sparse_logistic(features, labels, len(data.classes), [penalty])
        return frozen_model(
            data,
            cross_validation,
            backbone=replace(self.network, transform=transform),
            head=head,
            features=features.toarray().astype(np.float32),
            approach=self.name,
            settings=self.settings,
            network=TrainedNetwork(space.graph(), space.tensors()),
        )


def _read(
    data: Dataset, *, jobs: int | None, progress: Progress
) -> tuple[TextTransform, list[NDArray[np.int64]]]:
    """A tokenizer by the words of the training texts, and what it makes of each.

    Raises:
        DataError: a text cannot be read (any more).
    """
    texts = _texts(data, data.train, jobs=jobs, progress=progress)
    made = word_tokenizer(map(text_of, texts), max_tokens=_MOST_TOKENS)
    transform = kept_tokenizer(made, max_tokens=_MOST_TOKENS)
    return transform, list(map_threads(transform.prepare, texts, jobs=jobs))


def _texts(
    data: Dataset, rows: Sequence[Row], *, jobs: int | None, progress: Progress
) -> list[NDArray[np.uint8]]:
    def read(row: Row) -> NDArray[np.uint8]:
        try:
            return decode(read_checked(data.absolute(row), sha256=row.sha256))
        except UnreadableInputError as error:
            raise DataError(f"{row.path} cannot be read for training: {error}") from error

    found = []
    for text in map_threads(read, rows, jobs=jobs):
        found.append(text)
        progress("reading texts", len(found), len(rows))
    return found
