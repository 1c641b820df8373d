"""Features: aligned with rows, cached by content, bounded, and safe when things go wrong."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import regraft
from regraft.backbones.backbone import image_transform, measured_speed, with_transform
from regraft.backbones.sources import get_backbone
from regraft.dataset import scan
from regraft.errors import StorageError
from regraft.features import embedding as features
from regraft.features.embedding import (
    FeatureStore,
    count_missing,
    embed,
    embed_rows,
)
from regraft.storage.cache import cache_use, clear_cache, contents
from regraft.workers import available_cores
from tests.conftest import MakeImageFolder

BACKBONE = "efficientnet_lite0"


def test_features_are_aligned_with_rows(photo_folder: Path) -> None:
    data = scan(photo_folder)
    found = embed(data, BACKBONE)
    assert found.shape == (24, 1280)
    assert found.dtype == np.float32
    assert isinstance(found, np.memmap)
    alone = embed_rows(data, [data.rows[7]], BACKBONE)
    assert alone.cached == 1
    assert np.array_equal(alone.features[0], found[7])


def test_the_same_photo_elsewhere_is_a_hit_and_another_transform_is_not(
    photo_folder: Path, tmp_path: Path
) -> None:
    data = scan(photo_folder)
    first = embed_rows(data, data.rows, BACKBONE)
    assert first.cached == 0
    shutil.copytree(photo_folder, tmp_path / "elsewhere")
    moved = scan(tmp_path / "elsewhere")
    again = embed_rows(moved, moved.rows, BACKBONE)
    assert again.cached == 24
    assert np.array_equal(first.features, again.features)
    padded = with_transform(get_backbone(BACKBONE), resize="pad")
    assert embed_rows(moved, moved.rows, padded).cached == 0


def test_copies_are_computed_once(photo_folder: Path) -> None:
    source = photo_folder / "clean" / "0.jpg"
    for i in range(5):
        shutil.copy(source, photo_folder / "clean" / f"copy{i}.jpg")
    data = scan(photo_folder)
    found = embed(data, BACKBONE)
    rows = [i for i, row in enumerate(data.rows) if row.sha256 == data.rows[0].sha256]
    assert len(rows) == 6
    assert (found[rows] == found[rows[0]]).all()
    (use,) = [part for part in cache_use() if part.kind == "features"]
    assert use.detail == "24 vectors"


def test_unreadable_rows_are_nan_and_have_a_reason(photo_folder: Path) -> None:
    whole = (photo_folder / "clean" / "0.jpg").read_bytes()
    (photo_folder / "clean" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    data = scan(photo_folder)  # headers only: the damage shows when it is decoded
    found = embed_rows(data, data.rows, BACKBONE)
    (path,) = found.failures
    assert path == "clean/cut.jpg"
    assert "truncated" in found.failures[path]
    bad = [row.path for row, x in zip(data.rows, found.features, strict=True) if np.isnan(x).any()]
    assert bad == ["clean/cut.jpg"]


def test_a_file_that_changes_after_the_scan_is_not_used(photo_folder: Path) -> None:
    data = scan(photo_folder)
    shutil.copy(photo_folder / "messy" / "0.jpg", photo_folder / "clean" / "0.jpg")
    found = embed_rows(data, data.rows, BACKBONE)
    assert list(found.failures) == ["clean/0.jpg"]
    assert "changed while regraft was working" in found.failures["clean/0.jpg"]


def test_a_file_that_disappears_is_a_row_with_a_reason(photo_folder: Path) -> None:
    data = scan(photo_folder)
    next((photo_folder / "messy").iterdir()).unlink()
    (path,) = embed_rows(data, data.rows, BACKBONE).failures
    assert path.startswith("messy/")


def test_a_damaged_store_is_made_anew(photo_folder: Path, own_cache: Path) -> None:
    data = scan(photo_folder)
    embed(data, BACKBONE)
    (store,) = (own_cache / "features").glob("*.sqlite")
    store.write_bytes(b"this is no database" * 100)
    again = embed_rows(data, data.rows, BACKBONE)
    assert again.cached == 0
    assert again.warning.endswith("was damaged and has been removed; its features are made again")
    sound = embed_rows(data, data.rows, BACKBONE)
    assert (sound.cached, sound.warning) == (24, "")


def test_a_vector_of_the_wrong_length_is_a_miss(own_cache: Path) -> None:
    store = FeatureStore("key", 4)
    store.write("a", np.ones(4, dtype=np.float32))
    store.write("b", np.ones(3, dtype=np.float32))
    store.close()
    assert [key for key, _ in FeatureStore("key", 4).read(["a", "b", "c"])] == ["a"]


@pytest.mark.parametrize("error", ["database or disk is full", "disk I/O error"])
def test_a_full_disk_stops_the_cache_not_the_work(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    class Full(sqlite3.Connection):
        def executemany(self, *args: object) -> sqlite3.Cursor:  # type: ignore[override]
            raise sqlite3.OperationalError(error)

    real = sqlite3.connect
    monkeypatch.setattr(
        contents.sqlite3,
        "connect",
        lambda path, **options: real(path, factory=Full, **options),
    )
    data = scan(photo_folder)
    found = embed_rows(data, data.rows, BACKBONE)
    assert not np.isnan(found.features).any()
    assert error in found.warning
    assert "work goes on without it" in found.warning


def test_without_room_for_the_result_it_lives_in_memory(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(features.os, "posix_fallocate", full)
    found = embed(scan(photo_folder), BACKBONE)
    assert not isinstance(found, np.memmap)
    assert not np.isnan(found).any()


def test_clearing_frees_what_was_shown(photo_folder: Path) -> None:
    embed(scan(photo_folder), BACKBONE)
    held = {use.kind: use.bytes for use in cache_use()}
    assert held["features"] > 24 * 1280 * 4
    assert clear_cache(["features"]) == held["features"]
    assert {use.kind: use.files for use in cache_use()}["features"] == 0
    assert {use.kind: use.files for use in cache_use()}["graphs"] > 0


def test_a_cache_that_cannot_be_cleared_says_so(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(scan(photo_folder), BACKBONE)

    def refuse(self: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageError, match=r"could not clear .*features: Permission denied"):
        clear_cache(["features"])


EMBED = "import sys, regraft; regraft.embed(regraft.scan(sys.argv[1]), 'efficientnet_lite0')"


def test_two_processes_share_the_cache(photo_folder: Path) -> None:
    command = [sys.executable, "-c", EMBED, str(photo_folder)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    data = scan(photo_folder)
    assert embed_rows(data, data.rows, BACKBONE).cached == 24


@pytest.mark.slow
def test_a_killed_process_leaves_the_features_that_it_had_committed(
    graphs: Path, make_image_folder: MakeImageFolder
) -> None:
    """It is killed once some are on disk, and again once there are more."""
    root = make_image_folder({"a": 300, "b": 300})
    data = scan(root)
    counts = [0]
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", EMBED, str(root)], stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 100
        while process.poll() is None and count_missing(data.rows, get_backbone(BACKBONE)) >= (
            len(data.rows) - counts[-1]
        ):
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts.append(len(data.rows) - count_missing(data.rows, get_backbone(BACKBONE)))
    assert set(counts) - {0, len(data.rows)}, counts  # killed in the midst of it
    kept = embed_rows(data, data.rows, BACKBONE)
    assert (kept.cached, kept.warning) == (counts[-1], "")
    clear_cache(["features"])
    fresh = embed_rows(data, data.rows, BACKBONE)
    assert fresh.cached == 0
    assert np.array_equal(kept.features, fresh.features)


def test_features_that_somebody_made_nan_are_computed_again(
    photo_folder: Path, own_cache: Path
) -> None:
    data = scan(photo_folder)
    first = embed(data, BACKBONE)
    (store,) = (own_cache / "features").glob("*.sqlite")
    with sqlite3.connect(store) as connection:
        nothing = np.full(1280, np.nan, np.float32).tobytes()
        connection.execute("UPDATE contents SET value = ?", (nothing,))
    connection.close()
    again = embed_rows(data, data.rows, BACKBONE)
    assert again.cached == 0
    assert again.warning.startswith("24 of the features in ")
    assert np.array_equal(again.features, first)
    assert embed_rows(data, data.rows, BACKBONE).warning == ""


def test_numbers_that_are_not_finite_are_the_fault_of_that_photo(photo_folder: Path) -> None:
    """Of a network that overflows; nothing of it is kept."""
    plain = get_backbone(BACKBONE)
    transform = image_transform(plain)
    tiny = replace(transform.normalisation, std=(1e-38, 1e-38, 1e-38))
    extreme = replace(plain, transform=replace(transform, normalisation=tiny))
    data = scan(photo_folder)
    found = embed_rows(data, data.rows, extreme)
    assert set(found.failures) == {row.path for row in data.rows}
    assert set(found.failures.values()) == {f"{BACKBONE} makes no finite numbers of it"}
    assert count_missing(data.rows, extreme) == 24


def test_a_speed_is_remembered_of_all_cores_at_work(
    graphs: Path, make_image_folder: MakeImageFolder
) -> None:
    """In a cache of its own, since speeds are kept beside the graphs, which tests share."""
    shared = (graphs / "graphs").resolve()
    (graphs / "graphs").unlink()
    shutil.copytree(shared, graphs / "graphs")
    backbone = get_backbone(BACKBONE)
    (graphs / "graphs" / "speed.json").unlink(missing_ok=True)
    data = scan(make_image_folder({"a": 35, "b": 35}))
    embed_rows(data, data.rows, BACKBONE, jobs=available_cores() + 1)
    assert measured_speed(backbone) is None
    clear_cache(["features"])
    embed_rows(data, data.rows, BACKBONE)
    assert measured_speed(backbone) is not None


def test_progress_ends_at_the_total(photo_folder: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    embed(scan(photo_folder), BACKBONE, progress=lambda *call: calls.append(call))
    assert calls[0] == (f"features of {BACKBONE}", 0, 24)
    assert calls[-1] == (f"features of {BACKBONE}", 24, 24)


def test_embedding_imports_no_torch(photo_folder: Path) -> None:
    code = f"{EMBED}; assert 'torch' not in sys.modules and 'timm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(photo_folder)], check=True)


def test_public_embed_is_this_one() -> None:
    assert regraft.embed is embed
