"""An audit finds what was planted, changes nothing, and ends well on whatever it is given."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regraft.backbones.sources import get_backbone
from regraft.dataset import scan
from regraft.inspection import auditing
from regraft.inspection.auditing import Audit, inspect_issues
from regraft.workflow import audit
from tests.conftest import MakeImageFolder
from tests.fakes import many_rows
from tests.planting import Planted, plant, score


@dataclass(frozen=True)
class Spoiled:
    """A copy of the rooms with faults in it, and what an audit says of it."""

    planted: Planted
    found: Audit
    before: dict[str, tuple[int, str]]


def state_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Time of the last change and content of every file, by path."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def spoiled(
    test_data: Path, shared_graphs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Spoiled:
    folder = tmp_path_factory.mktemp("spoiled")
    (folder / "cache" / "regraft").mkdir(parents=True)
    (folder / "cache" / "regraft" / "graphs").symlink_to(shared_graphs)
    planted = plant(
        test_data / "rooms",
        folder / "rooms",
        seed=0,
        foreign=sorted((test_data / "hymenoptera" / "train").glob("*/*.jpg"))[:10],
        flipped=0.05,
        corrupt=4,
        leaks=8,
        test="val",
    )
    before = state_of(planted.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return Spoiled(planted, audit(planted.root), before)


@pytest.mark.slow
def test_planted_faults_are_found(spoiled: Spoiled) -> None:
    found = score(spoiled.planted, spoiled.found.findings.issues, photos=len(spoiled.found.data.ok))
    assert (found.exact, found.leaks, found.corrupt) == (1.0, 1.0, 1.0)
    assert found.near >= 0.9
    assert found.near_precision >= 0.9
    assert found.flipped >= 0.8
    assert found.foreign >= 0.9


@pytest.mark.slow
def test_no_file_is_changed(spoiled: Spoiled) -> None:
    assert state_of(spoiled.planted.root) == spoiled.before


@pytest.mark.slow
def test_what_an_audit_measured_goes_with_its_rows(spoiled: Spoiled) -> None:
    found, n = spoiled.found, len(spoiled.found.data.ok)
    assert found.findings.rows == found.data.ok
    assert found.features.shape == (n, 1280)
    assert np.isfinite(found.features).all()
    assert len(found.measures.attributes) == n
    assert None not in found.measures.attributes
    assert found.probabilities is not None
    assert found.probabilities.shape == (n, 2)
    paths = {row.path for row in found.data.ok}
    assert not paths & set(spoiled.planted.corrupt)


@pytest.mark.slow
def test_effects_lie_within_their_intervals(spoiled: Spoiled) -> None:
    effects = {effect.issue: effect for effect in spoiled.found.effects}
    assert {"near_duplicate", "outlier", "exact_duplicate"} <= set(effects)
    assert "label_suspect" not in effects, "it rises without them whatever their labels are"
    for effect in effects.values():
        assert effect.change.low <= effect.change.value <= effect.change.high
        assert effect.photos > 0
    accuracy = spoiled.found.accuracy
    assert accuracy is not None
    assert accuracy.low <= accuracy.value <= accuracy.high


@pytest.mark.slow
def test_an_audit_can_be_written_as_json(spoiled: Spoiled) -> None:
    told = json.loads(json.dumps(spoiled.found.to_dict(), allow_nan=False))
    assert told["images"] == len(spoiled.found.data.ok)
    assert len(told["issues"]) == len(spoiled.found.findings.issues)
    assert len(told["effects"]) == len(spoiled.found.effects)
    assert 0 < told["confident_label_suspects"] < 50


@pytest.mark.slow
def test_the_picture_of_no_ant_is_among_the_first_outliers(graphs: Path, test_data: Path) -> None:
    found = audit(test_data / "hymenoptera").findings.issues
    outliers = [issue.path for issue in found if issue.issue == "outlier"]
    assert "train/ants/imageNotFound.gif" in outliers[:3]


def kinds(found: Audit) -> set[str]:
    return {issue.issue for issue in found.findings.issues}


def test_a_folder_of_real_photos(photo_folder: Path) -> None:
    before = state_of(photo_folder)
    found = audit(photo_folder)
    assert found.accuracy is not None
    assert found.accuracy.value > 0.6
    assert len(found.data.ok) == 24
    assert state_of(photo_folder) == before


def test_the_same_photos_give_the_same_issues(photo_folder: Path) -> None:
    first, second = audit(photo_folder), audit(photo_folder)
    assert first.findings.issues == second.findings.issues
    assert first.to_dict() == second.to_dict()


def test_one_class_has_copies_but_no_suspects(photo_folder: Path) -> None:
    shutil.rmtree(photo_folder / "messy")
    with Image.open(photo_folder / "clean" / "0.jpg") as photo:
        photo.resize((90, 68)).save(photo_folder / "clean" / "small.jpg")
    found = audit(photo_folder)
    assert "near_duplicate" in kinds(found)
    assert not {"label_suspect", "shortcut"} & kinds(found)
    assert (found.accuracy, found.effects) == (None, ())


def test_three_photos_are_audited(photo_folder: Path) -> None:
    for path in [
        *sorted(photo_folder.glob("clean/*"))[2:],
        *sorted(photo_folder.glob("messy/*"))[1:],
    ]:
        path.unlink()
    found = audit(photo_folder)
    assert len(found.data.ok) == 3
    assert "class_balance" in kinds(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_one_photo_is_audited(photo_folder: Path) -> None:
    shutil.rmtree(photo_folder / "messy")
    for path in sorted(photo_folder.glob("clean/*"))[1:]:
        path.unlink()
    assert len(audit(photo_folder).data.ok) == 1


def test_the_names_of_classes_do_not_matter(photo_folder: Path) -> None:
    plain = audit(photo_folder)
    (photo_folder / "clean").rename(photo_folder / "<script>")
    (photo_folder / "messy").rename(photo_folder / "{{ 7 }} & 'so'")
    odd = audit(photo_folder)
    assert odd.data.classes == ("<script>", "{{ 7 }} & 'so'")
    assert odd.accuracy == plain.accuracy
    assert [i.issue for i in odd.findings.issues] == [i.issue for i in plain.findings.issues]


def test_a_file_that_cannot_be_decoded_is_listed_and_left_out(photo_folder: Path) -> None:
    whole = (photo_folder / "clean" / "0.jpg").read_bytes()
    (photo_folder / "clean" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    found = audit(photo_folder)
    (issue,) = [issue for issue in found.findings.issues if issue.issue == "unreadable"]
    assert issue.path == "clean/cut.jpg"
    assert "truncated" in issue.detail
    assert len(found.features) == len(found.data.ok) == 24


def test_a_photo_in_two_classes_is_a_conflict(photo_folder: Path) -> None:
    shutil.copy(photo_folder / "clean" / "0.jpg", photo_folder / "messy" / "again.jpg")
    found = audit(photo_folder)
    told = {issue.path for issue in found.findings.issues if issue.issue == "label_conflict"}
    assert told == {"clean/0.jpg", "messy/again.jpg"}


def test_a_near_duplicate_of_another_class_says_so(photo_folder: Path) -> None:
    with Image.open(photo_folder / "clean" / "0.jpg") as photo:
        photo.save(photo_folder / "messy" / "again.jpg", quality=40)
    found = audit(photo_folder)
    (issue,) = [issue for issue in found.findings.issues if issue.issue == "near_duplicate"]
    assert {issue.path, issue.detail.split(", ")[0]} == {"clean/0.jpg", "messy/again.jpg"}
    assert issue.detail.endswith("labelled clean and messy")


@pytest.mark.parametrize(
    ("missing", "seconds", "budget_s", "expected"),
    [
        (10_000, 100.0, math.inf, True),
        (10_000, 100.0, 400.0, True),
        (10_000, 100.0, 300.0, False),
        (200, 100.0, 300.0, True),  # too few to be worth timing
        (0, 0.0, 1.0, True),  # all in the cache
    ],
)
def test_features_take_no_more_than_their_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
    missing: int,
    seconds: float,
    budget_s: float,
    expected: bool,
) -> None:
    monkeypatch.setattr(auditing, "count_missing", lambda _rows, _network: missing)
    monkeypatch.setattr(auditing, "seconds_expected", lambda _network, _n: seconds)
    data = many_rows(400)
    network = get_backbone("efficientnet_lite0")
    assert auditing.has_time_to_embed(data, network, budget_s=budget_s) is expected


def test_a_backbone_that_was_never_timed_is_timed_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed: list[float] = []
    monkeypatch.setattr(auditing, "count_missing", lambda _rows, _network: 10_000)
    monkeypatch.setattr(
        auditing, "seconds_expected", lambda _network, _n: 1_000.0 if timed else None
    )
    monkeypatch.setattr(auditing, "measure_speed", lambda _network, seconds: timed.append(seconds))
    data = many_rows(400)
    network = get_backbone("efficientnet_lite0")
    assert not auditing.has_time_to_embed(data, network, budget_s=600.0)
    assert len(timed) == 1
    assert timed[0] < 1.0


def test_without_time_for_features_a_look_still_finds_copies_faults_and_damage(
    make_image_folder: MakeImageFolder,
) -> None:
    root = make_image_folder({"cat": 12, "dog": 12})
    shutil.copy(root / "cat" / "0.png", root / "cat" / "copy.png")
    data = scan(root)
    said: list[str] = []
    inspection = inspect_issues(
        data,
        get_backbone("efficientnet_lite0"),
        embeds=False,
        progress=lambda what, *_: said.append(what),
    )
    assert inspection is not None
    assert inspection.features is None
    assert inspection.findings.outliers is None
    assert {issue.issue for issue in inspection.findings.issues} >= {"exact_duplicate"}
    assert any("were not compared by their features" in text for text in said)
