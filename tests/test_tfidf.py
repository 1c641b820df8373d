"""Counted words: scikit-learn's numbers, the graph's numbers, and nothing learned from a fold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from regraft.engines.onnx import OnnxEngine
from regraft.errors import TrainingError
from regraft.heads import (
    LinearHead,
    OutOfFold,
    TfidfSpace,
    cross_validate_tfidf,
    fit_logistic,
    fit_sparse_logistic,
    fit_tfidf,
    softmax,
)

Texts = list[np.ndarray]


def grams_of(tokens: np.ndarray) -> list[tuple[int, ...]]:
    """The grams of one text for scikit-learn; token 0 is in none."""
    words = tokens.tolist()
    single = [(a,) for a in words if a]
    return single + [(a, b) for a, b in itertools.pairwise(words) if a and b]


def vectorizer(**options: object) -> TfidfVectorizer:
    return TfidfVectorizer(analyzer=grams_of, min_df=2, sublinear_tf=True, **options)


def planted(n: int, *, seed: int = 0, words: int = 60) -> tuple[Texts, np.ndarray]:
    """Texts of two classes that prefer different words."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    lean = np.arange(words) % 2
    texts = []
    for label in labels:
        weight = 1.0 + 2.0 * (lean == label)
        weight[0] = 2.0  # unknown words
        texts.append(rng.choice(words, size=rng.integers(1, 40), p=weight / weight.sum()))
    return texts, labels


def lists(texts: list[list[int]]) -> Texts:
    return [np.array(text, dtype=np.int64) for text in texts]


TOKENS = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=12), min_size=2, max_size=8)


# ---- The space ----------------------------------------------------------------------------


def test_features_are_scikit_learns() -> None:
    texts, _ = planted(60)
    more, _ = planted(20, seed=1, words=80)  # with words that the space does not know
    space, theirs = fit_tfidf(texts), vectorizer()
    expected = theirs.fit_transform(texts).toarray()
    assert expected.shape[1] == len(space.codes) > 60
    assert np.allclose(space.transform(texts).toarray(), expected, atol=1e-12)
    assert np.allclose(space.transform(more).toarray(), theirs.transform(more).toarray())
    names = [(int(code >> 32) - 1, int(code & 0xFFFFFFFF) - 1) for code in space.codes]
    assert [(a,) if b < 0 else (a, b) for a, b in names] == list(theirs.get_feature_names_out())


@given(TOKENS)
def test_any_texts_have_scikit_learns_features(texts: list[list[int]]) -> None:
    sequences = lists(texts)
    try:
        space = fit_tfidf(sequences)
    except TrainingError:
        with pytest.raises(ValueError, match=r"no terms remain|empty vocabulary"):
            vectorizer().fit(sequences)
        return
    expected = vectorizer().fit_transform(sequences).toarray()
    assert np.allclose(space.transform(sequences).toarray(), expected)


def test_the_most_frequent_grams_are_kept() -> None:
    texts = lists([[1, 2, 3, 3], [3, 2, 1, 1], [1, 4], [4, 1]])
    # 1 occurs 5 times, 3 three times, 2 and 4 twice; of pairs only 2 and 1 occurs in two texts.
    assert (fit_tfidf(texts, most=2).codes >> 32).tolist() == [2, 4]
    assert (fit_tfidf(texts, most=3).codes >> 32).tolist() == [2, 3, 4]
    assert len(fit_tfidf(texts, most=99).codes) == 4


def test_large_numbers_and_neighbouring_texts_are_kept_apart() -> None:
    large = 2**31 - 2  # a code of it is just below 2^63
    texts = lists([[large, large - 1], [large, large - 1], [7], [8], [7], [8]])
    codes = fit_tfidf(texts).codes
    assert [((int(c) >> 32) - 1, (int(c) & 0xFFFFFFFF) - 1) for c in codes] == [
        *((7, -1), (8, -1), (large - 1, -1), (large, -1), (large, large - 1)),
    ]


def test_texts_without_anything_in_common_cannot_be_counted() -> None:
    with pytest.raises(TrainingError, match=r"no two of 2 texts have a word in common.*expected m"):
        fit_tfidf(lists([[1, 2], [3, 4, 3]]))
    with pytest.raises(TrainingError, match="no two of 3 texts"):
        fit_tfidf(lists([[0], [0, 0], [0]]))
    with pytest.raises(TrainingError, match="no two of 0 texts"):
        fit_tfidf([])


# ---- The graph ----------------------------------------------------------------------------


def assert_graph_agrees(space: TfidfSpace, texts: Texts) -> None:
    engine = OnnxEngine(space.graph())
    for text, expected in zip(texts, space.transform(texts).toarray(), strict=True):
        (found,) = engine.run(text)
        assert found.dtype == np.float32
        assert found.shape == (len(space.codes),)
        assert np.abs(found - expected).max() < 1e-5


def test_the_graph_computes_the_features() -> None:
    texts, _ = planted(40)
    more, _ = planted(40, seed=1, words=90)
    space = fit_tfidf(texts)
    assert_graph_agrees(space, more)
    theirs = vectorizer().fit(texts).transform(more).toarray()
    (found,) = OnnxEngine(space.graph()).run(more[3])
    assert np.abs(found - theirs[3]).max() < 1e-5


@pytest.mark.parametrize("texts", [[[1], [1]], [[1, 2], [1, 2]], [[5, 0, 6], [6, 0, 5], [9]]])
def test_small_spaces_have_graphs_and_unknown_texts_have_zeros(texts: list[list[int]]) -> None:
    space = fit_tfidf(lists(texts))
    assert_graph_agrees(space, lists([*texts, [0], [77], [77, 0, 1], [2, 1]]))
    assert not space.transform(lists([[77]])).toarray().any()


@settings(max_examples=40)
@given(TOKENS, TOKENS)
def test_any_graph_agrees(texts: list[list[int]], others: list[list[int]]) -> None:
    try:
        space = fit_tfidf(lists(texts))
    except TrainingError:
        return
    assert_graph_agrees(space, lists(others))


def test_tensors_are_what_the_space_is_made_of() -> None:
    space = fit_tfidf(planted(20)[0])
    tensors = space.tensors()
    assert tensors["tfidf.codes"].tolist() == space.codes.tolist()
    assert tensors["tfidf.idf"].dtype == np.float32
    assert np.allclose(tensors["tfidf.idf"], space.idf)


# ---- Heads and folds ----------------------------------------------------------------------


def test_sparse_and_dense_logistic_regression_say_the_same() -> None:
    texts, labels = planted(120)
    features = fit_tfidf(texts).transform(texts)
    centred = fit_logistic(features.toarray(), labels, 2, [4.0])[0]
    for head in fit_sparse_logistic(features, labels, 2, [4.0]):
        assert isinstance(head, LinearHead)
        found = softmax(head.logits(features))
        # The dense one scales centred rows, which are a little shorter, to length 1.
        assert np.abs(found - softmax(centred.logits(features.toarray()))).max() < 0.05
        assert np.allclose(head.logits(features), head.logits(features.toarray()))


def test_a_weaker_penalty_fits_the_training_texts_better() -> None:
    texts, labels = planted(80)
    features = fit_tfidf(texts).transform(texts)
    heads = fit_sparse_logistic(features, labels * 2, 3, [0.1, 100.0])
    sure = [softmax(h.logits(features))[np.arange(80), labels * 2].mean() for h in heads]
    assert sure[1] > sure[0] + 0.1
    assert softmax(heads[0].logits(features))[:, 1].max() < 1e-6  # a class without a text


def test_cross_validation_finds_what_was_planted() -> None:
    texts, labels = planted(200)
    folds = np.random.default_rng(0).permutation(np.arange(200) // 2 % 5)
    found = cross_validate_tfidf(texts, labels, folds, n_classes=2)
    assert isinstance(found, OutOfFold)
    assert np.allclose(found.probabilities.sum(axis=1), 1)
    assert (found.probabilities.argmax(axis=1) == labels).mean() > 0.8
    assert found.inner_logits.shape == (4, 200 * 4, 2)
    again = cross_validate_tfidf(texts, labels, folds, n_classes=2)
    assert np.array_equal(found.probabilities, again.probabilities)


def test_neither_labels_nor_words_of_a_fold_reach_its_own_predictions() -> None:
    texts, labels = planted(100)
    folds = np.arange(100) // 2 % 5
    first = cross_validate_tfidf(texts, labels, folds, n_classes=2)
    changed = np.where(folds == 3, 1 - labels, labels)
    at = int(np.flatnonzero(folds == 3)[0])
    # New words, twice in one text of the fold and once in another: frequent if it counted.
    others = [np.append(t, [500, 501, 500]) if folds[i] == 3 and i != at else t
              for i, t in enumerate(texts)]  # fmt: skip
    second = cross_validate_tfidf(others, changed, folds, n_classes=2)
    same = np.isclose(first.probabilities, second.probabilities, atol=1e-6).all(axis=1)
    assert same[folds == 3].all()
    assert not same[folds != 3].all()


def test_predictions_of_a_fold_are_those_of_a_space_fitted_without_it() -> None:
    texts, labels = planted(60)
    folds = np.arange(60) // 2 % 2  # two folds: nothing is chosen, the middle penalty is taken
    found = cross_validate_tfidf(texts, labels, folds, n_classes=2, penalties=[2.0], most=40)
    for fold in (0, 1):
        train = [texts[i] for i in np.flatnonzero(folds != fold)]
        test = [texts[i] for i in np.flatnonzero(folds == fold)]
        space = fit_tfidf(train, most=40)
        (head,) = fit_sparse_logistic(space.transform(train), labels[folds != fold], 2, [2.0])
        expected = softmax(head.logits(space.transform(test)))
        assert np.allclose(found.probabilities[folds == fold], expected, atol=1e-6)


def test_noise_is_told_at_chance() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(1, 200, size=20) for _ in range(200)]
    found = cross_validate_tfidf(texts, np.arange(200) % 2, np.arange(200) // 2 % 5, n_classes=2)
    assert 0.35 < (found.probabilities.argmax(axis=1) == np.arange(200) % 2).mean() < 0.65
