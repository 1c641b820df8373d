"""The benchmark of intervals: its batched regressions are those of a probe, its draws are whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import regraft as rg
from benchmarks import coverage
from benchmarks.batched import BatchedLogistic
from benchmarks.pools import Pool
from regraft.heads import PENALTIES, cross_validate_head, fit_logistic, fitting, softmax
from regraft.metrics.rates import Estimate


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with fitting():
        yield


@pytest.mark.parametrize("counts", [(30, 30, 30), (60, 20, 10)])
def test_batched_regressions_are_those_of_the_probe(counts: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), counts)
    features = (random.normal(size=(90, 20)) + 0.8 * random.normal(size=(3, 20))[labels]) * 3 + 5
    features = features.astype(np.float32)
    folds = np.stack([np.arange(90) % 5, np.arange(90) // 2 % 5])
    batched = BatchedLogistic(features, labels, folds, n_classes=3)
    compared = 0
    for rows in (folds[0] != 1, (folds[1] != 0) & (folds[1] != 4), np.ones(90, dtype=bool)):
        alone = fit_logistic(features[rows], labels[rows], 3)
        together = batched.fit(batched.rows[rows], labels[rows], 3, PENALTIES)
        for penalty, a, b in zip(PENALTIES, alone, together, strict=True):
            p, q = softmax(a.logits(features)), softmax(b.logits(batched.rows))
            # Both stop at the same gradient, early along directions that a weak penalty leaves.
            assert np.abs(p - q).mean() < 0.01, penalty
            assert (p.argmax(axis=1) == q.argmax(axis=1)).mean() > 0.95
            compared += 1
    assert compared == 12
    for fold in folds:
        slow, fast = (
            cross_validate_head(fit, PENALTIES, rows, labels, fold, n_classes=3)
            for fit, rows in ((fit_logistic, features), (batched.fit, batched.rows))
        )
        right = [(f.probabilities.argmax(axis=1) == labels).mean() for f in (slow, fast)]
        assert right[0] == pytest.approx(right[1], abs=0.03)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    folder: Path = tmp_path_factory.mktemp("pool")
    random = np.random.default_rng(0)
    for i in range(300):
        place = folder / f"class{i % 3}" / f"{i}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place)
    data = rg.scan(folder)
    labels = np.array([int(row.label[-1]) for row in data.ok])
    features = random.normal(size=(len(labels), 30)) + random.normal(size=(3, 30))[labels]
    return Pool("noise", data, features.astype(np.float32))


@pytest.mark.parametrize("approach", coverage.APPROACHES)
def test_a_draw_reports_what_was_true_of_the_others(pool: Pool, approach: str) -> None:
    draw = coverage.measure_draw(pool, approach, 60, seed=0)
    assert (draw.n, draw.others) == (60, 240)
    assert draw.reported.low <= draw.reported.value <= draw.reported.high
    assert draw.reported.value == pytest.approx(draw.true_accuracy, abs=0.2)
    assert draw.gain == pytest.approx(max(0.0, 0.6 * draw.rise))
    assert draw.is_hit_with(0.6) == draw.is_hit
    assert 0.7 < draw.set_coverage <= 1
    assert coverage.measure_draw(pool, approach, 60, seed=0) == draw


def test_the_table_tells_cells_that_fail() -> None:
    def draws(truth: float, held: float) -> list[coverage.Draw]:
        reported = Estimate(0.8, 0.7, 0.9, "wilson")
        return [coverage.Draw(100, 10**6, reported, 0.01, 0.02, truth, held, 1.5, 0.0)] * 50

    good = coverage._rows("good", {50: draws(0.75, 0.9)})
    bad = coverage._rows("bad", {50: draws(0.75, 0.9), 100: draws(0.6, 0.95)})
    assert [row.met for row in good] == [True, None, True]
    assert [row.met for row in bad] == [False, None, False]
    assert "100: 0.000" in bad[0].measured
    assert "+20.0" not in bad[1].measured
    assert "-20.0, 1.0, 20" in bad[1].measured
