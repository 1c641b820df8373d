"""The guide: how large, how similar, what the rule of thumb says, and whether it held."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.catalogue import get_backbone, with_transform
from regraft.dataset import Dataset, Row, scan
from regraft.errors import DataError, UsageError
from regraft.guide import (
    FAMILIAR_FROM,
    H_SCORE_ROWS,
    RULE,
    SCOPES,
    SIMILAR_BELOW,
    Rival,
    Similarity,
    Size,
    advise,
    h_score,
    held,
    measure_similarity,
    measure_size,
    spread_rows,
)
from regraft.metrics import Estimate

BACKBONE = get_backbone("efficientnet_lite0")


def _similarity(value: float, top_probability: float = 0.5) -> Similarity:
    return Similarity(value, value, value, value, top_probability, images=96)


def _size(images: int = 200, median: float = 100) -> Size:
    return Size(images=images, classes=2, smallest_class=5, median_class=median)


# ---- Similarity ---------------------------------------------------------------------------


def test_similarity_of_photos(photo_folder: Path) -> None:
    data = scan(photo_folder)
    told: list[tuple[str, int, int]] = []
    found = measure_similarity(data, BACKBONE, progress=lambda *step: told.append(step))
    assert (found.images, found.unreadable) == (24, 0)
    assert 0.1 < found.value < 1
    assert min(found.early, found.middle, found.late) < found.value
    assert max(found.early, found.middle, found.late) > found.value
    assert told[0] == ("similarity to ImageNet-1k", 0, 24)
    assert told[-1] == ("similarity to ImageNet-1k", 24, 24)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)

    both_views = with_transform(BACKBONE, views=["plain", "mirror"])
    assert measure_similarity(data, both_views, jobs=1) == found
    read = json.loads(json.dumps(found.to_dict()))
    assert read["value"] == pytest.approx(found.value, abs=1e-4)
    assert read["word"] == found.word


def test_the_seed_decides_which_images_are_drawn(photo_folder: Path) -> None:
    data = scan(photo_folder)
    first, again, other = (
        measure_similarity(data, BACKBONE, images=6, seed=seed) for seed in (1, 1, 2)
    )
    assert first.images == 6
    assert first == again != other


def test_images_that_cannot_be_decoded_are_counted(photo_folder: Path) -> None:
    photos = sorted(photo_folder.glob("*/*.jpg"))

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    cut(photos[3])
    found = measure_similarity(scan(photo_folder), BACKBONE)
    assert (found.images, found.unreadable) == (23, 1)
    for path in photos:
        cut(path)
    reason = r"none of 24 training photos drawn from .* can be decoded \(clean/.*truncated.*audit"
    with pytest.raises(DataError, match=reason):
        measure_similarity(scan(photo_folder), BACKBONE)


def test_without_batch_normalisation_the_classifier_decides() -> None:
    nan = math.nan
    for top, word in ((FAMILIAR_FROM, "similar"), (FAMILIAR_FROM - 0.01, "different")):
        found = Similarity(nan, nan, nan, nan, top, images=96)
        assert found.word == word
        assert found.to_dict()["value"] is None
    assert _similarity(SIMILAR_BELOW - 0.01, top_probability=0.01).word == "similar"
    assert _similarity(SIMILAR_BELOW, top_probability=0.99).word == "different"


@pytest.mark.parametrize("measure", [measure_size, lambda data: measure_similarity(data, BACKBONE)])
def test_nothing_to_train_on_is_refused(measure: Callable[[Dataset], object]) -> None:
    row = Row("a/1.jpg", sha256="1", label="a", split="test")
    with pytest.raises(DataError, match="found 1 image for testing and none for training"):
        measure(Dataset.from_rows(Path("/x"), [row]))
    with pytest.raises(DataError, match="found no usable image in /x; expected at least 2 classes"):
        measure(Dataset.from_rows(Path("/x"), []))


def test_no_images_are_no_sample(photo_folder: Path) -> None:
    with pytest.raises(UsageError, match="images is 0, expected at least 1"):
        measure_similarity(scan(photo_folder), BACKBONE, images=0)


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    size=st.integers(1, 200),
    seed=st.integers(0, 99),
)
def test_each_class_keeps_its_share(counts: list[int], size: int, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    rows = spread_rows(labels, size, seed=seed)
    assert len(rows) == min(size, len(labels))
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, spread_rows(labels, size, seed=seed))
    drawn = np.bincount(labels[rows], minlength=len(counts))
    # Shares agree up to one image a class: what all classes have in common is a level t.
    low, high = ((drawn - 1) / counts).max(), ((drawn + 1) / counts).min()
    assert low <= high


def _solar_cells(folder: Path) -> Dataset:
    """The solar cells, defective where their defect probability is above a half."""
    package = pytest.importorskip("elpv_dataset", reason="the extra `bench` has the solar cells")
    root = Path(package.__file__).parent / "data"
    table = folder / "solar.csv"
    lines = (root / "labels.csv").read_text(encoding="utf-8").splitlines()
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        for path, probability, *_ in map(str.split, filter(None, lines)):
            writer.writerow([path, "defective" if float(probability) > 0.5 else "sound"])
    return scan(root, labels=table)


def _textile() -> Dataset:
    pytest.importorskip("conformal_clip_data", reason="the extra `demo` has the textile photos")
    from regraft.demo import demo_folder

    return scan(demo_folder())


@pytest.mark.slow
def test_five_real_sets_rank_as_one_would(test_data: Path, tmp_path: Path) -> None:
    sets = {name: scan(test_data / name) for name in ("hymenoptera", "clothing", "rooms")}
    sets |= {"solar cells": _solar_cells(tmp_path), "textile": _textile()}
    found = {name: measure_similarity(data, BACKBONE) for name, data in sets.items()}

    values = [similarity.value for similarity in found.values()]
    assert values == pytest.approx([0.16, 0.20, 0.22, 0.54, 0.65], abs=0.02)
    assert values == sorted(values)
    confidences = [similarity.top_probability for similarity in found.values()]
    assert confidences == sorted(confidences, reverse=True)
    assert [similarity.is_similar for similarity in found.values()] == [True] * 3 + [False] * 2
    assert [top >= FAMILIAR_FROM for top in confidences] == [True] * 3 + [False] * 2
    quadrants = {name: advise(measure_size(sets[name]), found[name]).quadrant for name in sets}
    assert quadrants == {
        "hymenoptera": "small and similar",
        "clothing": "large and similar",
        "rooms": "small and similar",
        "solar cells": "large and different",
        "textile": "large and different",
    }


# ---- Size ---------------------------------------------------------------------------------


def test_size_counts_training_images() -> None:
    labels = "aaaabbc"
    rows = [Row(f"{i}.jpg", sha256=str(i), label=label) for i, label in enumerate(labels)]
    rows.append(Row("t.jpg", sha256="t", label="a", split="test"))
    rows.append(Row("u.jpg", sha256="u", status="unlabelled"))
    size = measure_size(Dataset.from_rows(Path("/x"), rows))
    assert size == Size(images=7, classes=3, smallest_class=1, median_class=2.0)
    assert json.loads(json.dumps(size.to_dict())) == {
        "images": 7,
        "classes": 3,
        "smallest_class": 1,
        "median_class": 2.0,
        "is_large": False,
        "word": "small",
    }


@pytest.mark.parametrize(
    ("images", "median", "word"),
    [(1_000, 100, "large"), (999, 400, "small"), (5_000, 99.5, "small"), (50, 25, "small")],
)
def test_large_takes_many_images_in_all_and_a_class(images: int, median: float, word: str) -> None:
    assert _size(images, median).word == word


# ---- Advice -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "value", "quadrant", "says", "trains"),
    [
        (200, 0.1, "small and similar", "last layers", ("head", "last_2_stages")),
        (200, 0.6, "small and different", "initial layers", ("head", "first_2_stages")),
        (
            2_000,
            0.1,
            "large and similar",
            "last layers, or every",
            ("head", "last_2_stages", "all"),
        ),
        (2_000, 0.6, "large and different", "from the checkpoint", ("head", "all")),
    ],
)
def test_every_quadrant(
    images: int, value: float, quadrant: str, says: str, trains: tuple[str, ...]
) -> None:
    advice = advise(_size(images, images / 2), _similarity(value))
    assert advice.quadrant == quadrant
    assert says in advice.advice
    assert advice.trains[: len(trains)] == trains


def test_the_rule_is_whole() -> None:
    assert len(RULE) == 4
    for advice in RULE.values():
        assert advice.trains[0] == "head"
        assert len(set(advice.trains)) == len(advice.trains)
        assert set(advice.trains) | advice.expected <= set(SCOPES)
        assert advice.expected & set(advice.trains)
        assert advice.advice.endswith(".")
        assert advice.reason.endswith(".")
        assert advice.source


AHEAD, LEVEL = (Estimate(x, x - 0.05, x + 0.05, "") for x in (0.1, 0.01))


def _rivals(*scopes: str, behind: Estimate | None = AHEAD, reason: str = "") -> list[Rival]:
    return [Rival(f"tune {scope}", scope, behind, reason) for scope in scopes]


def test_held_says_whether_the_rule_was_right() -> None:
    right = 0
    for advice in RULE.values():
        for scope, text in SCOPES.items():
            sentence = held(advice, scope, _rivals(*(s for s in SCOPES if s != scope)))
            right += "data held:" in sentence
            assert ("data held:" in sentence) == (scope in advice.expected)
            assert ("wrong here" in sentence) == (scope not in advice.expected)
            assert text in sentence
            assert sentence.endswith(".")
    assert right == 8
    assert held(RULE["small and similar"], "head", _rivals("all")) == (
        "The rule of thumb for small and similar data held: training only a new head was measured "
        "to be best."
    )
    assert held(RULE["small and similar"], "all", _rivals("head", "last_2_stages")) == (
        "The rule of thumb for small and similar data was wrong here: it expects training only a "
        "new head or the last two stages to be best, and training every layer from the "
        "pretrained weights was measured to be best."
    )
    with pytest.raises(UsageError, match="winner_train is 'last_3', expected one of head, last_2"):
        held(RULE["small and similar"], "last_3", [])


def test_a_rule_is_not_wrong_as_long_as_what_it_names_is_open() -> None:
    rule, skipped = RULE["large and similar"], _rivals("all", behind=None, reason="no time left")
    named = _rivals("head", "last_2_stages", "last_4_stages")
    assert held(rule, "scratch", [*named, *skipped]).endswith(
        "is not settled here: it expects training only a new head, the last two stages, the last "
        "four stages or every layer from the pretrained weights to be best; training every layer "
        "from random weights was measured to be best, but tune all was not finished (no time left)."
    )
    assert held(RULE["large and different"], "head", [*_rivals("scratch"), *skipped]) == (
        "The rule of thumb for large and different data was not tested: it expects training every "
        "layer from the pretrained weights to be best, and tune all was not finished (no time "
        "left)."
    )
    short = _rivals("all", reason="1 of 12 epochs for want of time")
    assert "is not settled here" in held(RULE["large and different"], "head", short)
    assert held(RULE["large and different"], "head", _rivals("all", behind=LEVEL)).endswith(
        "training only a new head was measured to be best, but it cannot be told apart from tune "
        "all."
    )


def test_a_rule_has_not_held_against_nothing() -> None:
    rule = RULE["small and similar"]
    assert held(rule, "head", _rivals("last_2_stages")).endswith(
        "was not tested: nothing else was compared."
    )
    skipped = _rivals("all", behind=None, reason="no time left")
    assert held(rule, "head", skipped).endswith(
        "was not tested: tune all was not finished (no time left)."
    )
    assert held(rule, "head", _rivals("all", behind=LEVEL)) == (
        "The rule of thumb for small and similar data was not refuted: training only a new head "
        "was measured to be best, but it cannot be told apart from tune all."
    )


# ---- H-score ------------------------------------------------------------------------------


def _features(n: int, d: int, *, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features whose directions differ in spread, as real ones do, and labels of 3 classes."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(n) % 3)
    centres = random.normal(size=(3, d)) * apart
    scales = 1 / np.sqrt(1 + np.arange(d))
    return ((random.normal(size=(n, d)) + centres[labels]) * scales).astype(np.float32), labels


@settings(max_examples=20, deadline=None)
@given(n=st.integers(9, 60), d=st.integers(2, 40), seed=st.integers(0, 1_000))
def test_h_score_is_its_formula(n: int, d: int, seed: int) -> None:
    from sklearn.covariance import LedoitWolf

    features, labels = _features(n, d, apart=1, seed=seed)
    x = features.astype(np.float64)
    fitted = LedoitWolf().fit(x)
    means = np.stack([x[labels == label].mean(axis=0) for label in labels])
    between = np.cov(means.T, ddof=0)
    expected = (1 - fitted.shrinkage_) * np.trace(np.linalg.inv(fitted.covariance_) @ between)
    assert h_score(features, labels) == pytest.approx(expected, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(60, 200), (300, 50)])
def test_h_score_ranks_separable_features_above_noise(n: int, d: int) -> None:
    scores = [h_score(*_features(n, d, apart=apart)) for apart in (0, 0.3, 1, 3)]
    assert scores == sorted(scores)
    assert scores[0] < 0.9 * scores[-1]
    assert scores[-1] <= 2  # at most k - 1


def test_h_score_of_odd_features() -> None:
    features, labels = _features(40, 6, apart=1)
    assert h_score(features, np.zeros(40, dtype=np.int64)) == 0
    assert h_score(np.ones((40, 6)), labels) == 0
    assert h_score(features[:1], labels[:1]) == 0
    twice = h_score(np.repeat(features, 2, axis=1), labels)
    assert 0 < twice <= 2
    assert h_score(features * 1000, labels * 5 + 7) == pytest.approx(h_score(features, labels))


@pytest.mark.slow
def test_h_score_is_quick() -> None:
    features, labels = _features(2 * H_SCORE_ROWS, 1280, apart=1)
    h_score(features[:50], labels[:50])  # imports are not its time
    started = time.process_time()
    h_score(features, labels)
    assert time.process_time() - started < 8  # 1 s on an idle core; machines differ
