"""The memory of a race: what is kept is found again, and what is damaged is not believed."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

import regraft
from regraft.approaches.base import Approach, CrossValidation, TrainingLog, repeated_folds
from regraft.engines.training import Step
from regraft.metrics.rates import FewerImages
from regraft.racing.memory import Predicted, Race, race_key
from regraft.storage.seals import unsealed_json
from tests.fakes import Clock, Fake, FakeTrained, many_rows, raced


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _result(*, trained: bool = True) -> CrossValidation:
    """12 images of 3 classes; where a network was trained, only half of them are predicted."""
    random = np.random.default_rng(0)
    folds = np.arange(12)[None] % 2
    probabilities = random.dirichlet(np.ones(3), (1, 12))
    logits, log = None, ()
    if trained:
        probabilities[0, folds[0] == 1] = np.nan
        logits = np.where(folds[0][:, None] == 1, np.nan, random.normal(size=(12, 3)))
        steps = (Step(0, 0, 1e-3, 0.7, 0.5), Step(0, -1, 1e-3, 0.7, 0.5, 0.6, 0.75))
        log = (TrainingLog(0, steps, ((1e-5, 0.7), (1e-3, 0.6)), 1e-3),)
    return CrossValidation(
        folds=folds,
        labels=np.arange(12) % 3,
        probabilities=probabilities,
        chosen={"epochs": 3, "rate": 1e-3},
        temperature=1.25,
        logits=logits,
        log=log,
        network={"head.bias": np.arange(3.0), "step": np.array(7)} if trained else None,
        fewer=None if trained else FewerImages(random.dirichlet(np.ones(3), (2, 12)), 0.6),
    )


@pytest.mark.parametrize("trained", [True, False])
def test_what_is_kept_is_found_again(tmp_path: Path, trained: bool) -> None:
    kept = _result(trained=trained)
    Race(tmp_path / "race").keep("a", Predicted(kept, 12.5))
    known = Race(tmp_path / "race").recall("a")
    assert known is not None
    found, seconds = known
    assert seconds == 12.5
    for field in dataclasses.fields(CrossValidation):
        before, after = getattr(kept, field.name), getattr(found, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype
        elif field.name == "network" and trained:
            assert before.keys() == after.keys()
            for name in before:
                np.testing.assert_array_equal(before[name], after[name])
                assert before[name].dtype == after[name].dtype
        elif field.name == "fewer" and not trained:
            np.testing.assert_array_equal(before.probabilities, after.probabilities)
            assert before.share == after.share
        elif field.name != "log":
            assert before == after
    assert repr(found.log) == repr(kept.log)  # NaN does not equal itself
    assert found.fold_scores == kept.fold_scores
    assert found.accuracy_gain == kept.accuracy_gain
    assert Race(tmp_path / "race").recall("b") is None


def test_networks_wait_on_disk_and_without_them_nothing_is_recalled(tmp_path: Path) -> None:
    race = Race(tmp_path)
    kept, _ = race.keep("a", Predicted(_result(), 1.0))
    assert not isinstance(kept.network, dict)
    again, _ = race.keep("a", Predicted(kept, 2.0))
    assert again.network is kept.network, "not written again"
    (tmp_path / "a.network.safetensors").unlink()
    assert race.recall("a") is None


def test_a_later_result_replaces_an_earlier_one(tmp_path: Path) -> None:
    race = Race(tmp_path)
    race.keep("a", Predicted(_result(), 1.0))
    race.keep("a", Predicted(_result(trained=False), 2.0))
    known = race.recall("a")
    assert known is not None
    assert known[1] == 2.0
    assert known[0].covered.all()
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("name", ["a.json", "a.safetensors", "a.network.safetensors"])
def test_a_flipped_bit_is_noticed(tmp_path: Path, name: str) -> None:
    race = Race(tmp_path)
    race.keep("a", Predicted(_result(), 1.0))
    written = (tmp_path / name).read_bytes()
    chance = random.Random(name)
    noticed = 0
    for _ in range(60):
        bit = chance.randrange(8 * len(written))
        damaged = bytearray(written)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes(damaged)
        known = Race(tmp_path).recall("a")
        noticed += known is None
        if known is not None:  # a blank of the JSON
            assert name == "a.json"
            assert repr(known[0].log) == repr(_result().log)
            np.testing.assert_array_equal(known[0].probabilities, _result().probabilities)
    assert noticed > 30


def test_a_result_of_an_earlier_version_is_recalled(tmp_path: Path) -> None:
    """It has neither a seal nor the hashes of what lies beside it."""
    race = Race(tmp_path)
    race.keep("a", Predicted(_result(), 1.0))
    about = unsealed_json((tmp_path / "a.json").read_text(encoding="utf-8"))
    del about["sha256"]
    (tmp_path / "a.json").write_text(json.dumps(about), encoding="utf-8")
    assert race.recall("a") is not None


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: Mapping[str, Callable[[Path], object]] = {
    "json cut short": lambda f: _cut(f / "a.json"),
    "json empty": lambda f: (f / "a.json").write_bytes(b""),
    "json of another kind": lambda f: (f / "a.json").write_text("[1, 2]"),
    "json without seconds": lambda f: (f / "a.json").write_text('{"log": [], "chosen": {}}'),
    "json is not text": lambda f: (f / "a.json").write_bytes(b"\xff\xfe\x00"),
    "json of another log": lambda f: (f / "a.json").write_text(
        '{"log": [{"fold": 0, "steps": [[1]], "rates": [], "chosen_rate": 1}], "chosen": {}, '
        '"temperature": 1, "seconds": 1}'
    ),
    "json gone": lambda f: (f / "a.json").unlink(),
    "arrays cut short": lambda f: _cut(f / "a.safetensors"),
    "arrays empty": lambda f: (f / "a.safetensors").write_bytes(b""),
    "arrays are something else": lambda f: (f / "a.safetensors").write_bytes(b"x" * 500),
    "arrays gone": lambda f: (f / "a.safetensors").unlink(),
    "other arrays": lambda f: _save_other(f / "a.safetensors"),
}


def _save_other(path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"other": np.zeros(2)}, path)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_damaged_is_not_there(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    race = Race(tmp_path)
    race.keep("a", Predicted(_result(), 1.0))
    damage(tmp_path)
    assert Race(tmp_path).recall("a") is None
    race.keep("a", Predicted(_result(), 3.0))
    known = race.recall("a")
    assert known is not None
    assert known[1] == 3.0


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    race = Race()
    race.keep("a", Predicted(_result(), 1.0))
    assert race.recall("a") is None
    assert not any(tmp_path.iterdir())


# --- keys


def test_keys_tell_apart_what_may_give_another_result() -> None:
    data, other = many_rows(40), many_rows(42)
    folds = repeated_folds(data, folds=5, repeats=1, seed=0)
    tune = regraft.FineTune()
    base = (tune, data.fingerprint(), folds)
    variants: list[tuple[Approach, str, np.ndarray]] = [
        base,
        (regraft.FineTune(train="last_4_stages"), *base[1:]),
        (regraft.FineTune(learning_rate=1e-3), *base[1:]),
        (regraft.FineTune(epochs=3), *base[1:]),
        (regraft.FineTune(resize="pad"), *base[1:]),
        (regraft.FineTune("efficientnet_lite1"), *base[1:]),
        (regraft.LinearProbe(), *base[1:]),
        (regraft.LinearProbe(views=2), *base[1:]),
        (regraft.Knn(), *base[1:]),
        (regraft.Scratch(), *base[1:]),
        (regraft.Scratch("net.py:one"), *base[1:]),
        (regraft.Scratch(image_size_px=64), *base[1:]),
        (tune, other.fingerprint(), folds),
        (tune, data.fingerprint(), repeated_folds(data, folds=4, repeats=1, seed=0)),
        (tune, data.fingerprint(), repeated_folds(data, folds=5, repeats=1, seed=1)),
    ]
    keys = [race_key(*variant) for variant in variants]
    assert len(set(keys)) == len(keys) == 15
    assert race_key(regraft.FineTune(), data.fingerprint(), folds.copy()) == keys[0]
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in keys)


def test_epochs_that_the_budget_cut_do_not_change_the_key(tmp_path: Path, clock: Clock) -> None:
    data = many_rows()
    tuned = FakeTrained(0.9, clock)
    for budget_s in (12.0, 60.0):  # the first has room for 6 epochs
        found = raced([tuned], data, budget_s=budget_s, race=Race(tmp_path))
        assert found.best.settings["epochs"] == 6
    assert tuned.reported[0] == 6
    assert tuned.calls.count((0,)) == 1


# --- going on after an interruption


def test_finished_candidates_are_not_trained_again(tmp_path: Path, clock: Clock) -> None:
    data = many_rows()
    probe, tuned = Fake(0.7, "probe"), FakeTrained(0.9, clock)
    scratch = FakeTrained(0.6, clock, "scratch", "scratch")
    first = raced([probe, tuned, scratch], data, race=Race(tmp_path))
    spent = clock.now
    again = raced([probe, tuned, scratch], data, race=Race(tmp_path))
    assert clock.now == spent
    assert len(probe.folds) == 1
    assert tuned.calls == [(i,) for i in range(5)]
    assert scratch.calls == [(0,)]
    assert again.to_dict() == first.to_dict()


def test_what_an_earlier_version_left_of_a_race_is_ignored(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "journal.jsonl").write_text('{"op_code": 0}\n')
    (tmp_path / "curves.json").write_text('{"a": [true, [[0, 0.9], [1, 0.9], [2, 0.9]]]}')
    tuned = FakeTrained(0.6, clock)
    for _ in range(2):
        assert raced([tuned], many_rows(), race=Race(tmp_path)).winner.status == "done"
    assert tuned.calls == [(i,) for i in range(5)]


def test_what_was_not_finished_is_trained(tmp_path: Path, clock: Clock) -> None:
    data = many_rows()
    probe, done = Fake(0.7, "probe"), FakeTrained(0.9, clock, "done")
    killed = FakeTrained(0.9, clock, "killed", fails={0: KeyboardInterrupt()})  # type: ignore[dict-item]
    with pytest.raises(KeyboardInterrupt):
        raced([probe, done, killed], data, race=Race(tmp_path))
    killed.fails = {}
    raced([probe, done, killed], data, race=Race(tmp_path))
    assert len(probe.folds) == 1
    assert done.calls.count((0,)) == 1
    assert killed.calls[:2] == [(0,), (0,)]


def test_later_folds_go_on_where_they_were(tmp_path: Path, clock: Clock) -> None:
    data = many_rows()
    tuned = FakeTrained(0.9, clock, fails={2: KeyboardInterrupt()})  # type: ignore[dict-item]
    with pytest.raises(KeyboardInterrupt):
        raced([tuned], data, race=Race(tmp_path))
    tuned.fails = {}
    found = raced([tuned], data, race=Race(tmp_path))
    assert tuned.calls == [(0,), (1,), (2,), (2,), (3,), (4,)]
    result = found.winner.cross_validation
    assert result is not None
    assert [log.fold for log in result.log] == [0, 1, 2, 3, 4]
    straight = raced([FakeTrained(0.9, clock)], data).winner.cross_validation
    assert straight is not None
    np.testing.assert_array_equal(result.probabilities, straight.probabilities)


def test_what_is_known_needs_no_time(tmp_path: Path, clock: Clock) -> None:
    data = many_rows()
    candidates = [Fake(0.7, "probe"), Fake(0.7, "other", seed=1), FakeTrained(0.9, clock)]
    raced(candidates, data, race=Race(tmp_path))
    found = raced(candidates, data, race=Race(tmp_path), budget_s=-1)
    assert [c.status for c in found.candidates] == ["done"] * 3


def test_other_data_is_another_race(tmp_path: Path, clock: Clock) -> None:
    tuned = FakeTrained(0.9, clock)
    for data in (many_rows(300), many_rows(302)):
        raced([tuned], data, race=Race(tmp_path))
    assert tuned.calls.count((0,)) == 2
