"""How far data are from those of the pretraining: measured, remembered, within its time."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
import time
from pathlib import Path

import pytest

from regraft.backbones.backbone import with_transform
from regraft.backbones.sources import get_backbone
from regraft.dataset import Dataset, Row, scan
from regraft.errors import DataError, OutOfTimeError, UsageError
from regraft.racing.guide import advise, measure_size
from regraft.racing.similarity import (
    FAMILIAR_FROM,
    SIMILAR_BELOW,
    Similarity,
    measure_similarity,
)
from regraft.storage.records import to_json

BACKBONE = get_backbone("efficientnet_lite0")


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
    read = json.loads(json.dumps(to_json(found)))
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


def _similar(value: float, top_probability: float) -> Similarity:
    return Similarity(value, value, value, value, top_probability, images=96)


def test_without_batch_normalisation_the_classifier_decides() -> None:
    nan = math.nan
    for top, word in ((FAMILIAR_FROM, "similar"), (FAMILIAR_FROM - 0.01, "different")):
        found = Similarity(nan, nan, nan, nan, top, images=96)
        assert found.word == word
        assert to_json(found)["value"] is None
    assert _similar(SIMILAR_BELOW - 0.01, 0.01).word == "similar"
    assert _similar(SIMILAR_BELOW, 0.99).word == "different"


def test_nothing_to_train_on_is_refused() -> None:
    row = Row("a/1.jpg", sha256="1", label="a", split="test")
    with pytest.raises(DataError, match="found 1 image for testing and none for training"):
        measure_similarity(Dataset.from_rows(Path("/x"), [row]), BACKBONE)
    with pytest.raises(DataError, match="found no usable image in /x; expected at least 2 classes"):
        measure_similarity(Dataset.from_rows(Path("/x"), []), BACKBONE)


def test_no_images_are_no_sample(photo_folder: Path) -> None:
    with pytest.raises(UsageError, match="images is 0, expected at least 1"):
        measure_similarity(scan(photo_folder), BACKBONE, images=0)


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


@pytest.mark.slow
def test_what_was_measured_is_remembered_by_content_and_backbone(
    photo_folder: Path, own_cache: Path
) -> None:
    data = scan(photo_folder)
    measured = measure_similarity(data, BACKBONE)
    past = time.monotonic() - 1
    told: list[tuple[str, int, int]] = []
    again = measure_similarity(
        data, BACKBONE, deadline=past, progress=lambda *step: told.append(step)
    )
    assert again == measured
    assert not told, "nothing is read again"
    with pytest.raises(OutOfTimeError, match="it takes about 8 s and there was time for 0 s"):
        measure_similarity(data, with_transform(BACKBONE, resize="pad"), deadline=past)
    (photo_folder / "clean" / "new.jpg").write_bytes(
        (photo_folder / "clean" / "0.jpg").read_bytes()
    )
    with pytest.raises(OutOfTimeError):
        measure_similarity(scan(photo_folder), BACKBONE, deadline=past)

    for store in own_cache.rglob("similarity-*.sqlite"):
        with sqlite3.connect(store) as connection:
            connection.execute("UPDATE contents SET value = ?", (b"{",))
        connection.close()
    assert measure_similarity(data, BACKBONE) == measured, "damaged: measured again"


def test_the_deadline_ends_the_measuring(tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    lines = [f"{word} {i},{word}" for word in ("please", "thanks") for i in range(12)]
    table.write_text("text,label\n" + "\n".join(lines), encoding="utf-8")
    deadline = time.monotonic() + 2

    def past_the_deadline(_phase: str, done: int, _total: int) -> None:
        if done == 5:
            time.sleep(max(0.0, deadline - time.monotonic()) + 0.01)

    data, backbone = scan(table), get_backbone("all_minilm_l6_v2")
    with pytest.raises(OutOfTimeError, match=r"the time for it was up after \d+ of 24"):
        measure_similarity(data, backbone, deadline=deadline, progress=past_the_deadline)
