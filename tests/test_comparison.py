"""The comparison: same folds for all, a fair verdict, and a budget that is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.approaches import CrossValidation
from regraft.comparison import compare
from regraft.dataset import Dataset, Row
from regraft.errors import BackboneError, DataError

BASE = regraft.get_backbone("efficientnet_lite0")


@dataclass
class Fake:
    """An approach that is right on a chosen share of images; keeps the folds it was given."""

    rate: float
    name: str = "fake"
    parameters: int = 1_000
    fails: str = ""
    takes_s: float = 0.0
    folds: list[np.ndarray] = field(default_factory=list)
    seed: int = 0

    @property
    def network(self) -> regraft.Backbone:
        return replace(BASE, name=f"{self.name}_net", parameters=self.parameters)

    @property
    def settings(self) -> dict[str, Any]:
        return {"views": 1}

    def cross_validate(self, data, folds, *, jobs=None, progress=None) -> CrossValidation:
        self.folds.append(folds)
        time.sleep(self.takes_s)
        if self.fails:
            raise BackboneError(self.fails)
        labels = data.labels(data.train)
        right = np.random.default_rng(self.seed).random((len(folds), len(labels))) < self.rate
        said = np.where(right, labels, 1 - labels)
        probabilities = np.full((*said.shape, 2), 0.1)
        np.put_along_axis(probabilities, said[..., None], 0.9, axis=2)
        return CrossValidation(folds, labels, probabilities, {}, 1.0)

    def fit(self, data, **options):
        raise AssertionError("a comparison fits no final model")


@pytest.fixture
def data() -> Dataset:
    rows = [
        Row(path=f"{i}.jpg", sha256=f"{i:064d}", label="ab"[i % 2], split="train")
        for i in range(300)
    ] + [Row(path="t.jpg", sha256="f" * 64, label="a", split="test")]
    return Dataset.from_rows(Path("/nowhere"), rows)


def test_all_candidates_get_the_same_folds_of_training_rows(data: Dataset) -> None:
    fakes = [Fake(0.9), Fake(0.8), Fake(0.7)]
    found = compare(fakes, data, seed=4)
    assert (found.folds, found.repeats) == (5, 3)
    for fake in fakes:
        (folds,) = fake.folds
        assert folds.shape == (3, 300)  # the test row is not among them
        assert np.array_equal(folds, fakes[0].folds[0])


def test_the_best_wins_and_the_verdict_says_by_how_much(data: Dataset) -> None:
    found = compare([Fake(0.7, "poor"), Fake(0.95, "good")], data)
    assert found.best.name == "good"
    assert found.chosen == 1
    gap = found.candidates[0].ahead
    assert gap is not None
    assert 0.15 < gap.value < 0.35
    assert gap.low > 0
    assert "Chosen: good on good_net" in found.verdict
    assert "It is ahead of poor on poor_net (+" in found.verdict
    assert found.winner.ahead is None


def test_what_cannot_be_told_apart_is_said_and_the_cheaper_one_taken(data: Dataset) -> None:
    dear, cheap = Fake(0.9, "dear", parameters=9_000), Fake(0.9, "cheap", parameters=10)
    found = compare([dear, cheap], data)  # the same seed: the same images right
    assert found.best.name == "cheap"
    assert "It cannot be told apart from dear on dear_net (+0.0" in found.verdict


def test_clearly_better_beats_cheaper(data: Dataset) -> None:
    dear, cheap = Fake(0.97, "dear", parameters=9_000), Fake(0.8, "cheap", parameters=10)
    assert compare([dear, cheap], data).best.name == "dear"


def test_a_candidate_that_fails_is_recorded_and_the_others_go_on(data: Dataset) -> None:
    found = compare([Fake(0.9, "broken", fails="no weights"), Fake(0.8, "fine")], data)
    assert found.best.name == "fine"
    assert (found.candidates[0].status, found.candidates[0].reason) == ("failed", "no weights")
    assert "Not finished: broken on broken_net (no weights)." in found.verdict
    entry = found.to_dict()["candidates"][0]
    assert entry["accuracy"] is None
    assert entry["fold_scores"] == []


def test_when_all_fail_the_reasons_are_given(data: Dataset) -> None:
    with pytest.raises(DataError, match=r"no candidate could be finished \(x on x_net: why\)"):
        compare([Fake(0.9, "x", fails="why")], data)
    with pytest.raises(DataError, match="nothing to compare"):
        compare([], data)


def test_a_used_up_budget_skips_what_is_left_but_never_the_first(data: Dataset) -> None:
    found = compare([Fake(0.8, "first", takes_s=0.05), Fake(0.9, "late")], data, budget_s=0.01)
    assert found.best.name == "first"
    assert found.candidates[1].status == "skipped"
    assert "the time budget was used up" in found.candidates[1].reason


def test_what_would_not_fit_is_not_begun(data: Dataset) -> None:
    from regraft.catalogue import remember_speed

    remember_speed(BASE, 1.0)  # one image a second: 300 images need 300 s
    slow = Fake(0.9, "slow", parameters=BASE.parameters)
    found = compare([Fake(0.8, "first"), slow], data, budget_s=60)
    assert slow.folds == []
    assert found.candidates[1].reason.startswith("would need about 300 s and ")


def test_json_holds_every_candidate(data: Dataset) -> None:
    entry = compare([Fake(0.9, "a"), Fake(0.8, "b")], data).to_dict()
    assert entry.keys() >= {"candidates", "chosen", "verdict"}
    for candidate in entry["candidates"]:
        assert candidate.keys() >= {
            "approach",
            "backbone",
            "settings",
            "fold_scores",
            "accuracy",
            "seconds",
            "status",
            "reason",
        }
        assert len(candidate["fold_scores"]) == 15
