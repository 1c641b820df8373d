"""Heads: fitting, calibration, sets and familiarity, and that their graphs say the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from regraft.heads import (
    PENALTIES,
    LinearHead,
    choose_setting,
    conformal_thresholds,
    cross_validate_head,
    fit_familiarity,
    fit_knn,
    fit_logistic,
    fit_temperature,
    softmax,
    span_coordinates,
    unit_rows,
)
from regraft.heads.depths import DepthInputs, fit_scaling, pool_depths, sum_of_heads
from regraft.metrics.rates import log_losses
from regraft.onnx_graphs import GraphBuilder, value


def _blobs(n: int, d: int, k: int, *, seed: int = 0, apart: float = 1.5):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d)) * apart / np.sqrt(d) * 3
    labels = np.arange(n) % k
    return (rng.normal(size=(n, d)) + centres[labels]).astype(np.float32), labels


def _run(graph: GraphBuilder, features: np.ndarray, output: str, shape=(None,)):
    model = graph.model(
        [value("features", np.float32, [features.shape[1]])], [value(output, np.float32, shape)]
    )
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.stack([session.run(None, {"features": row})[0] for row in features])


def test_logistic_head_is_scikit_learns_on_scaled_features() -> None:
    features, labels = _blobs(90, 8, 3)
    (head,) = fit_logistic(features, labels, 3, [4.0], balanced=False)
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    centred /= np.sqrt(np.square(centred).sum(axis=1).mean())
    reference = LogisticRegression(C=4.0, tol=1e-3, max_iter=300).fit(centred, labels)
    assert np.allclose(softmax(head.logits(features)), reference.predict_proba(centred), atol=1e-6)


def test_two_classes_give_two_logits_of_opposite_sign() -> None:
    features, labels = _blobs(40, 5, 2)
    (head,) = fit_logistic(features, labels, 2, [4.0])
    logits = head.logits(features)
    assert logits.shape == (40, 2)
    assert np.allclose(logits[:, 0], -logits[:, 1])
    assert (logits.argmax(axis=1) == labels).mean() > 0.9


def test_a_class_without_images_is_never_predicted() -> None:
    features, labels = _blobs(60, 6, 2)
    for head in [*fit_logistic(features, labels * 2, 3), *fit_knn(features, labels * 2, 3)]:
        probabilities = softmax(head.logits(features))
        assert probabilities.shape == (60, 3)
        assert probabilities[:, 1].max() < 0.1


@pytest.mark.parametrize("fit", [fit_logistic, fit_knn])
def test_a_single_class_is_all_there_is_to_say(fit) -> None:
    features, _ = _blobs(20, 6, 2)
    for head in fit(features, np.ones(20, dtype=np.int64), 2):
        assert (head.logits(features).argmax(axis=1) == 1).all()


def test_weights_help_the_rare_class() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 190 + [1] * 10)
    features = rng.normal(size=(200, 4)) + labels[:, None] * 0.9
    plain = fit_logistic(features, labels, 2, [4.0], balanced=False)[0]
    weighed = fit_logistic(features, labels, 2, [4.0])[0]  # from the imbalance
    rare = labels == 1
    hit = [(h.logits(features).argmax(axis=1)[rare] == 1).mean() for h in (plain, weighed)]
    assert hit[1] > hit[0] + 0.3


@pytest.mark.parametrize("fit", [fit_logistic, fit_knn])
def test_graphs_compute_what_heads_compute(fit) -> None:
    features, labels = _blobs(50, 16, 3)
    for head in fit(features, labels, 3):
        graph = GraphBuilder("head")
        head.add_to(graph)
        found = _run(graph, features[:10], "logits")
        assert np.allclose(found, head.logits(features[:10]), atol=1e-4)


def test_knn_votes_by_hand() -> None:
    features = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    (head,) = fit_knn(features, np.array([0, 0, 1, 1]), 2, [1])
    assert head.logits(np.array([[2.0, 0.05], [0.0, 5.0]])).argmax(axis=1).tolist() == [0, 1]
    # More neighbours asked for than there are images: all of them vote.
    (all_vote,) = fit_knn(features, np.array([0, 0, 1, 1]), 2, [50])
    assert all_vote.neighbours == 4


def test_span_coordinates_keep_inner_products() -> None:
    features = np.random.default_rng(0).normal(size=(20, 100))
    coordinates = span_coordinates(features)
    assert coordinates.shape == (20, 20)
    assert np.allclose(coordinates @ coordinates.T, features @ features.T)
    assert span_coordinates(features.T) is not None
    assert span_coordinates(features.T).shape == (100, 20)


def test_working_on_coordinates_changes_no_probability() -> None:
    features, labels = _blobs(40, 200, 2)
    folds = np.arange(40) // 2 % 5
    direct = cross_validate_head(fit_logistic, PENALTIES, features, labels, folds, n_classes=2)
    short = cross_validate_head(
        fit_logistic, PENALTIES, span_coordinates(features), labels, folds, n_classes=2
    )
    # The solver stops at a tolerance, so the last digits differ.
    assert np.allclose(direct.probabilities, short.probabilities, atol=5e-3)


def test_cross_validation_never_trains_on_the_fold_it_scores() -> None:
    seen: list[tuple[set[int], set[int]]] = []

    class Remember:
        def __init__(self, rows: set[int]) -> None:
            self.rows = rows

        def logits(self, features: np.ndarray) -> np.ndarray:
            seen.append((self.rows, set(features[:, 0].astype(int))))
            return np.zeros((len(features), 2))

    def fit(features: np.ndarray, labels: np.ndarray, n_classes: int, settings: list[int]):
        return [Remember(set(features[:, 0].astype(int))) for _ in settings]

    numbers = np.arange(50, dtype=float)[:, None]
    folds = np.arange(50) % 5
    cross_validate_head(fit, [0], numbers, np.arange(50) // 5 % 2, folds, n_classes=2)
    assert len(seen) == 10 + 5  # every pair of folds once, and every fold
    for trained, scored in seen:
        assert not trained & scored
        assert trained | scored <= set(range(50))


def test_labels_of_a_fold_do_not_reach_its_own_predictions() -> None:
    features, labels = _blobs(60, 6, 2, apart=0.5)
    folds = np.arange(60) // 2 % 5
    first = cross_validate_head(fit_logistic, PENALTIES, features, labels, folds, n_classes=2)
    changed = labels.copy()
    changed[folds == 3] = 1 - changed[folds == 3]
    second = cross_validate_head(fit_logistic, PENALTIES, features, changed, folds, n_classes=2)
    same = np.isclose(first.probabilities, second.probabilities).all(axis=1)
    assert same[folds == 3].all()
    assert not same[folds != 3].all()


@pytest.mark.parametrize(("n", "times"), [(50, 4), (1_010, 1)])
def test_heads_of_fewer_images_saw_neither_the_fold_nor_another(n: int, times: int) -> None:
    class Remember:
        def __init__(self, rows: np.ndarray) -> None:
            self.rows = rows

        def logits(self, features: np.ndarray) -> np.ndarray:
            # The first class has the share of images before the middle that the head has seen.
            share = (self.rows < n / 2).mean()
            return np.log(np.tile([share, 1 - share], (len(features), 1)))

    def fit(features: np.ndarray, labels: np.ndarray, n_classes: int, settings: list[int]):
        return [Remember(features[:, 0]) for _ in settings]

    numbers = np.arange(n, dtype=float)[:, None]
    folds = np.arange(n) * 5 // n  # blocks, so that what is left out shows in the share
    labels = (np.arange(n) % 2).astype(np.int64)
    found = cross_validate_head(fit, [0], numbers, labels, folds, n_classes=2)
    assert found.fewer.shape == (times, n, 2)
    assert found.fewer_images == pytest.approx(0.6 * n, abs=1)
    np.testing.assert_allclose(found.fewer.sum(axis=2), 1.0)
    # The temperature is that of a useless head, whose probabilities are evened out.
    assert np.abs(found.fewer - 0.5).max() < 0.2


def test_two_folds_have_no_heads_of_fewer_images() -> None:
    features, labels = _blobs(40, 4, 2, apart=1.0)
    folds = np.arange(40) // 2 % 2
    found = cross_validate_head(fit_logistic, PENALTIES, features, labels, folds, n_classes=2)
    assert found.fewer.shape == (0, 40, 2)
    assert found.inner_logits.shape == (len(PENALTIES), 0, 2)


def test_fewer_images_are_predicted_with_less_success() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    features = rng.normal(size=(200, 60)) + 0.2 * rng.normal(size=(4, 60))[labels]
    folds = np.arange(200) // 4 % 5
    found = cross_validate_head(fit_logistic, PENALTIES, features, labels, folds, n_classes=4)
    right = (found.probabilities.argmax(axis=1) == labels).mean()
    fewer = (found.fewer.argmax(axis=2) == labels).mean()
    assert 0.4 < fewer < right - 0.01  # a fifth of the images is worth something


def test_pure_noise_is_estimated_at_chance() -> None:
    scores = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        features, labels = rng.normal(size=(80, 300)), np.arange(80) % 2
        folds = rng.permutation(np.arange(80) // 2 % 5)
        found = cross_validate_head(
            fit_logistic, PENALTIES, span_coordinates(features), labels, folds, n_classes=2
        )
        scores.append((found.probabilities.argmax(axis=1) == labels).mean())
    # Balanced folds of pure noise lean a little below chance; what matters is: never above.
    assert 0.35 < np.mean(scores) < 0.55


@pytest.mark.parametrize("true_temperature", [0.3, 1.0, 4.0])
def test_temperature_is_recovered(true_temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    chances = softmax(logits)
    labels = (rng.random((20_000, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(max=2)
    assert fit_temperature(logits * true_temperature, labels) == pytest.approx(
        true_temperature, rel=0.05
    )


def test_the_setting_with_the_least_loss_is_chosen() -> None:
    features, labels = _blobs(200, 4, 2, apart=0.7)
    good = fit_logistic(features, labels, 2, [4.0])[0].logits(features)
    noise = np.random.default_rng(0).normal(size=good.shape)
    best, temperature = choose_setting(np.stack([noise, good]), labels)
    assert best == 1
    assert (
        log_losses(labels, softmax(good / temperature)).mean()
        <= log_losses(labels, softmax(good)).mean() + 1e-6
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.8, 0.9, 0.95]), st.integers(2, 12))
def test_a_threshold_lies_between_that_of_the_class_and_that_of_all(
    seed: int, coverage: float, n_classes: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=300)
    probabilities = softmax(rng.normal(size=(300, n_classes)) + 1.5 * np.eye(n_classes)[labels])
    thresholds = conformal_thresholds(probabilities, labels, coverage=coverage)
    true = probabilities[np.arange(300), labels]
    everything = np.quantile(true, 1 - coverage, method="weibull")
    for c in range(n_classes):
        own = np.quantile(true[labels == c], 1 - coverage, method="weibull")
        low, high = sorted((own, everything))
        assert low - 1e-12 <= thresholds[c] <= high + 1e-12


@pytest.mark.parametrize("per_class", [5, 9, 15, 18, 19, 60])
@pytest.mark.parametrize("apart", [1.5, 3.0])
def test_conformal_sets_cover_new_images(per_class: int, apart: float) -> None:
    rng = np.random.default_rng(per_class)
    held = []
    for _ in range(150):
        labels = np.concatenate([np.repeat(np.arange(4), per_class), rng.integers(4, size=400)])
        probabilities = softmax(rng.normal(size=(len(labels), 4)) + apart * np.eye(4)[labels])
        n = 4 * per_class
        thresholds = conformal_thresholds(probabilities[:n], labels[:n])
        own = probabilities[n:][np.arange(400), labels[n:]]
        held.append((own >= thresholds[labels[n:]]).mean())
    # Safe order statistics of each class alone hold 0.95 at 18 a class.
    assert 0.885 < np.mean(held) < 0.925


def test_a_class_of_its_own_kind_keeps_its_own_threshold() -> None:
    random = np.random.default_rng(0)
    weak, strong = random.uniform(0.2, 0.6, 300), random.uniform(0.8, 1.0, 300)
    probabilities = np.stack([np.r_[weak, 1 - strong], np.r_[1 - weak, strong]], axis=1)
    labels = np.repeat([0, 1], 300)
    thresholds = conformal_thresholds(probabilities, labels)
    hits = probabilities[np.arange(600), labels] >= thresholds[labels]
    assert hits[:300].mean() > 0.88  # the threshold of all alone would hold 0.8 of them
    assert hits[300:].mean() > 0.88


def test_a_class_too_small_for_a_promise_of_its_own_shares_that_of_all() -> None:
    probabilities = np.array([[0.6, 0.4]] * 5 + [[0.1, 0.9]] * 54)
    thresholds = conformal_thresholds(probabilities, np.array([0] * 5 + [1] * 54))
    assert thresholds.tolist() == pytest.approx([0.9, 0.9])  # of all 59, six may lie below
    few = conformal_thresholds(probabilities[:5], np.zeros(5, dtype=np.int64))
    assert few.tolist() == [0.0, 0.0]


def test_a_threshold_by_hand() -> None:
    # 14 images of one class: 1.5 of them may lie below, half way between 0.1 and 0.2.
    own = np.r_[0.1, 0.2, np.full(12, 0.9)]
    one = np.stack([own, 1 - own], axis=1)
    labels = np.zeros(14, dtype=np.int64)
    assert conformal_thresholds(one, labels)[0] == pytest.approx(0.15)
    # With 15 more of another class, all at 0.5: of 29 3.0 may lie below, at 0.5; 14 images of its
    # own say 0.15, 10 are those of all.
    other = np.full((15, 2), 0.5)
    both = conformal_thresholds(np.r_[one, other], np.r_[labels, np.ones(15, dtype=np.int64)])
    assert both == pytest.approx([(14 * 0.15 + 10 * 0.5) / 24, 0.5])


def test_foreign_features_are_unfamiliar_and_own_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    centre = rng.normal(size=64) * 4
    own = rng.normal(size=(600, 64)) + centre
    foreign = rng.normal(size=(200, 64)) - centre
    sure, unsure = np.array([[0.9, 0.1]]), np.array([[0.6, 0.4]])
    doubts = np.full(300, 0.1)
    found = fit_familiarity(own[:300], np.arange(300) % 2, np.arange(300), doubts)
    assert (found.unfamiliarity(own[300:], sure) > found.threshold).mean() < 0.06
    assert (found.unfamiliarity(foreign, sure) > found.threshold).all()
    assert np.allclose(found.unfamiliarity(own, sure), 1.1 * found.distances(own))
    assert np.allclose(found.unfamiliarity(own, unsure), 1.4 * found.distances(own))


def test_the_graph_says_how_unfamiliar_as_numpy_does() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 64))
    head = LinearHead(rng.normal(size=(64, 3)), rng.normal(size=3))
    found = fit_familiarity(features, np.arange(300) % 2, np.arange(300), np.zeros(300))
    graph = GraphBuilder("head")
    head.add_to(graph)
    graph("Softmax", "logits", output="probabilities", axis=-1)
    found.add_to(graph)
    some = rng.normal(size=(10, 64)).astype(np.float32)
    assert np.allclose(
        _run(graph, some, "unfamiliarity", ()),
        found.unfamiliarity(some, softmax(head.logits(some))),
        atol=1e-5,
    )


def test_images_without_a_prediction_have_no_part_in_the_threshold() -> None:
    features = np.random.default_rng(0).normal(size=(100, 16))
    doubts = np.where(np.arange(100) < 50, 0.0, np.nan)
    labels, groups = np.arange(100) % 2, np.arange(100)
    found = fit_familiarity(features, labels, groups, doubts, familiar=1.0)
    more = fit_familiarity(features, labels, groups, 0.5 * (np.arange(100) < 50), familiar=1.0)
    assert 0 < found.threshold < more.threshold < np.inf
    unknown = fit_familiarity(features, labels, groups, np.full(100, np.nan))
    assert unknown.threshold == 4.0


def test_an_image_is_no_evidence_of_its_own_familiarity() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 16))
    alone = fit_familiarity(features, np.arange(40) % 2, np.arange(40), np.zeros(40))
    # Ten copies of each image, grouped: the threshold must not shrink to the copies' distance 0.
    copies = fit_familiarity(
        np.repeat(features, 10, axis=0),
        np.arange(400) // 10 % 2,
        np.arange(400) // 10,
        np.zeros(400),
    )
    assert copies.threshold > 0.5 * alone.threshold


def test_many_images_choose_on_one_inner_fold_and_agree() -> None:
    features, labels = _blobs(300, 10, 3, apart=0.8)
    folds = np.arange(300) // 3 % 5
    all_pairs, one_pair = (
        cross_validate_head(
            fit_logistic, PENALTIES, features, labels, folds, n_classes=3, all_pairs_rows=rows
        )
        for rows in (300, 299)
    )
    assert [len(p.inner_labels) for p in (all_pairs, one_pair)] == [4 * 300, 300]
    both = [(p.probabilities.argmax(axis=1) == labels).mean() for p in (all_pairs, one_pair)]
    assert abs(both[0] - both[1]) < 0.03


def test_unit_rows_leave_zero_alone() -> None:
    found = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert found.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]


# ---- Several depths -----------------------------------------------------------------------


def _two_depths(n: int = 120) -> tuple[list[np.ndarray], np.ndarray]:
    """A depth of noise, and one behind it that tells two of three classes from the third."""
    random = np.random.default_rng(3)
    labels = np.arange(n) % 3
    noise = random.normal(size=(n, 40)).astype(np.float16) * 100
    telling = random.normal(size=(n, 6)) + 2.5 * (labels == 1)[:, None]
    return [noise, telling.astype(np.float16)], labels


def test_scaled_columns_have_mean_0_and_a_depth_norm_1() -> None:
    features = np.random.default_rng(0).normal(7.0, 3.0, size=(50, 12)).astype(np.float16)
    features[:, 4] = 9.0
    scaling = fit_scaling(features, by_column=True)
    scaled = scaling.apply(features)
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-3)
    assert np.isclose(np.square(scaled).sum(axis=1).mean(), 1.0, atol=1e-2)
    assert not scaled[:, 4].any(), "what never changes tells nothing"
    assert not scaling.apply(features + 5)[:, 4].any()
    alike = fit_scaling(features, by_column=False)
    assert len(np.unique(np.delete(alike.gain, 4))) == 1
    assert np.isclose(np.square(alike.apply(features)).sum(axis=1).mean(), 1.0, atol=1e-2)
    assert np.isfinite(fit_scaling(features[:, 4:5], by_column=False).gain).all()


def test_inputs_of_all_depths_keep_every_inner_product() -> None:
    depths, _ = _two_depths(20)
    inputs = DepthInputs.of(depths)
    assert inputs.columns == (slice(0, 20), slice(20, 26)), "at most as many as there are rows"
    for number, (depth, columns) in enumerate(zip(depths, inputs.columns, strict=True)):
        scaled = fit_scaling(depth, by_column=number == 0).apply(depth)
        part = inputs.features[:, columns]
        assert np.allclose(part @ part.T, scaled @ scaled.T, atol=1e-3)
    assert inputs.settings == [(0, 8.0), (0, 128.0), (1, 8.0), (1, 128.0)]


def test_a_depth_of_noise_has_no_part() -> None:
    depths, labels = _two_depths()
    inputs = DepthInputs.of(depths)
    folds = np.arange(120) // 3 % 5
    found = cross_validate_head(
        inputs.fit,
        inputs.settings,
        inputs.features,
        labels,
        folds,
        n_classes=3,
        choose=pool_depths,
    )
    weights = pool_depths(found.inner_logits, found.inner_labels, 120)
    assert weights[:2].sum() < 0.1 < weights[2:].max()
    alone = cross_validate_head(
        fit_logistic, PENALTIES, depths[1].astype(float), labels, folds, n_classes=3
    )
    loss, loss_alone = (log_losses(labels, one.probabilities).mean() for one in (found, alone))
    assert loss < loss_alone + 0.03


def test_what_lies_beyond_the_depth_that_tells_all_is_left_out() -> None:
    labels = np.arange(90) % 3
    first = np.eye(3)[labels] + np.random.default_rng(0).normal(scale=0.8, size=(90, 3))
    same = pool_depths(np.stack([first, first, first, first]), labels, 90)
    assert same[:2].any()
    assert not same[2:].any(), "the second depth says what the first one said"
    better = first + np.eye(3)[labels]
    both = pool_depths(np.stack([first, first, better, better]), labels, 90)
    assert both[2:].any()


def test_a_wrong_depth_is_not_counted_against_itself() -> None:
    """Logits that say the opposite get no negative weight: that would be noise, fitted."""
    labels = np.arange(60) % 2
    right = np.stack([1.0 - labels, labels], axis=1)[None] * 3 + np.random.default_rng(1).normal(
        size=(1, 60, 2)
    )
    logits = np.concatenate([-right, -right, right, right])
    weights = pool_depths(logits, labels, 60)
    assert (weights >= 0).all()
    assert weights[:2].sum() < 0.05
    assert weights[2:].sum() > 0


def test_where_no_depth_tells_anything_the_last_one_says_so() -> None:
    labels = np.arange(60) % 2
    wrong = np.stack([labels, 1.0 - labels], axis=1) * 5
    logits = np.repeat(wrong[None], 4, axis=0)
    weights = pool_depths(logits, labels, 60)
    assert np.flatnonzero(weights).tolist() in ([2], [3])
    assert weights.max() <= 1 / 19, "of the highest temperature, so that all is unsure"


def test_without_images_the_last_depth_stands_alone() -> None:
    weights = pool_depths(np.zeros((6, 0, 3)), np.empty(0, dtype=np.int64), 0)
    assert weights.tolist() == [0, 0, 0, 0, 1, 0]


@given(seed=st.integers(0, 1_000), k=st.integers(2, 5))
@settings(max_examples=20, deadline=None)
def test_proportions_lose_no_more_than_any_depth_alone(seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.arange(80) % k
    logits = random.normal(size=(6, 80, k)) + np.eye(k)[labels] * random.uniform(0, 3, (6, 1, 1))
    weights = pool_depths(logits, labels, 80)
    assert (weights >= 0).all()
    pooled = log_losses(labels, softmax(np.tensordot(weights, logits, 1)))
    best = min(
        (log_losses(labels, softmax(z / fit_temperature(z, labels))) for z in logits),
        key=lambda losses: losses.mean(),
    )
    gap = pooled - best
    assert gap.mean() <= 2 * gap.std() / np.sqrt(len(labels)) + 0.05


def test_a_sum_of_heads_is_a_head() -> None:
    depths, labels = _two_depths()
    parts = [depth.astype(np.float64) for depth in depths]
    heads = [fit_logistic(part, labels, 3, [8.0])[0] for part in parts]
    joint = sum_of_heads(heads, [0.25, 2.0])
    expected = 0.25 * heads[0].logits(parts[0]) + 2.0 * heads[1].logits(parts[1])
    assert np.allclose(joint.logits(np.concatenate(parts, axis=1)), expected)
