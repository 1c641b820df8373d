"""Activations: right, computed once, and right as well where nothing can be kept."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import regraft
from regraft.backbones.backbone import Backbone, with_transform
from regraft.backbones.graphs import boundary_graph, stage_count
from regraft.backbones.sources import get_backbone
from regraft.dataset import Dataset, scan
from regraft.engines.onnx import OnnxEngine
from regraft.errors import DataError
from regraft.features import activations
from regraft.features.activations import Activations, variant_seed
from regraft.kinds.images.augment import augment
from regraft.kinds.images.decoding import decode
from regraft.kinds.images.transform import ImageTransform, transform_graph
from tests.conftest import MakeImageFolder

LITE0 = get_backbone("efficientnet_lite0")


class Noting(ImageTransform):
    """Notes content and view of every photo that it makes an input of."""

    made: ClassVar[list[tuple[str, int]]] = []

    def read(self, data: bytes, *, most: int | None = None) -> NDArray[np.uint8]:
        if data != self.sample():
            self.made.append((hashlib.sha256(data).hexdigest(), 0))
        return super().read(data, most=most)

    def vary(self, data: bytes, seed: int) -> NDArray[np.uint8]:
        content = hashlib.sha256(data).hexdigest()
        self.made.append((content, (seed - variant_seed(content, 0)) % 7_919))
        return augment(decode(data), seed, size_px=self.image_size_px)


# Boundary 0 needs the transform alone.
PIXELS = with_transform(LITE0, image_size_px=16).transform
SMALL = replace(
    LITE0, transform=Noting(**{f.name: getattr(PIXELS, f.name) for f in fields(PIXELS)})
)


@pytest.fixture
def data(make_image_folder: MakeImageFolder) -> Dataset:
    return scan(make_image_folder({"a": 5, "b": 4}, size=(40, 30)))


@pytest.fixture
def computed() -> list[tuple[str, int]]:
    """Content and view of everything that is computed."""
    Noting.made.clear()
    return Noting.made


def opened(data: Dataset, *, views: int = 2, seed: int = 0, rows: Any = None) -> Activations:
    found = Activations(data, data.train if rows is None else rows, SMALL, 0, seed=seed)
    found.prepare(views)
    return found


def everything(found: Activations, n: int, views: int = 2) -> NDArray[np.generic]:
    """All rows in all views, (views, n, ...)."""
    return np.stack([found.take(np.arange(n), np.full(n, view)) for view in range(views)])


def files(cache: Path, suffix: str) -> list[Path]:
    return sorted((cache / "activations").glob(f"*{suffix}"))


def by_hand(data: Dataset, engine: OnnxEngine, rows: Sequence[Any]) -> NDArray[np.generic]:
    return np.stack([engine.run(decode(data.absolute(row).read_bytes()))[0] for row in rows])


def test_boundary_0_is_the_picture_that_the_transform_makes(data: Dataset) -> None:
    found = opened(data)
    assert found.shape == (3, 16, 16)
    assert found.dtype == np.uint8
    plain = found.take(np.arange(9), np.zeros(9, np.int64))
    assert plain.dtype == np.uint8

    # The transform of the backbone, taken back to grey levels.
    normalisation = SMALL.transform.normalisation
    engine = OnnxEngine(transform_graph(SMALL.transform).SerializeToString())
    pixels = np.concatenate(by_hand(data, engine, data.train))
    mean, std = (np.array(part)[:, None, None] for part in (normalisation.mean, normalisation.std))
    levels = (pixels * std + mean) * 255 / normalisation.pixel_max
    assert np.abs(plain - levels).max() < 0.51


@pytest.mark.parametrize("boundary", [1, 5])
def test_view_0_is_the_lower_part_of_the_network_run_by_hand(
    photo_folder: Path, boundary: int
) -> None:
    assert stage_count(LITE0) == 7
    data = scan(photo_folder)
    rows = data.train[:3]
    found = Activations(data, rows, LITE0, boundary)
    found.prepare(2)
    assert found.dtype == np.float16
    expected = by_hand(data, OnnxEngine(boundary_graph(LITE0, boundary)), rows)
    assert expected.shape == (3, *found.shape)
    both = everything(found, 3)
    assert np.array_equal(both[0], expected)
    assert np.isfinite(both).all()
    assert not np.array_equal(both[0], both[1])


def test_later_views_are_augmented_by_content_view_and_seed(data: Dataset) -> None:
    found = everything(opened(data, views=3), 9, 3)
    assert len({one.tobytes() for view in found for one in view}) == 27
    row = data.train[4]
    image = decode(data.absolute(row).read_bytes())
    seed = int(row.sha256[:12], 16) * 1_000 + 2
    squashed = OnnxEngine(boundary_graph(SMALL, 0, precropped=True))
    expected = squashed.run(augment(image, seed, size_px=16))[0]
    assert np.array_equal(found[2, 4], expected)

    other = everything(opened(data, views=3, seed=1), 9, 3)
    assert np.array_equal(other[0], found[0])
    assert not any(np.array_equal(a, b) for a, b in zip(other[1], found[1], strict=True))


def test_views_of_the_transform_do_not_matter(data: Dataset) -> None:
    mirrored = replace(SMALL, transform=replace(SMALL.transform, views=("plain", "mirror")))
    found = Activations(data, data.train, mirrored, 0)
    found.prepare(1)
    assert np.array_equal(everything(found, 9, 1), everything(opened(data, views=1), 9, 1))


def test_what_is_on_disk_is_not_computed_again(
    data: Dataset, computed: list[tuple[str, int]], own_cache: Path
) -> None:
    first = Activations(data, data.train, SMALL, 0)
    assert first.missing(2) == 18
    told: list[tuple[str, int, int]] = []
    first.prepare(2, progress=lambda phase, done, total: told.append((phase, done, total)))
    assert sorted(computed) == sorted((row.sha256, view) for row in data.train for view in (0, 1))
    assert told[0] == ("activations, view 1 of 2", 0, 9)
    assert told[-1] == ("activations, view 2 of 2", 9, 9)
    assert first.seconds > 0
    assert first.missing(2) == 0
    assert first.missing(3) == 9
    expected = everything(first, 9)

    computed.clear()
    first.prepare(2)
    again = opened(data)
    assert again.missing(2) == 0
    assert np.array_equal(everything(again, 9), expected)
    assert computed == []
    assert again.warning == ""
    assert [path.stat().st_size for path in files(own_cache, ".bin")] == [9 * 768] * 2


def test_a_grown_set_computes_only_what_is_new(
    make_image_folder: MakeImageFolder, computed: list[tuple[str, int]]
) -> None:
    folder = make_image_folder({"a": 3, "b": 3})
    small = scan(folder)
    few = opened(small, views=1)
    before = {
        row.sha256: few.take(np.array([i]), np.array([0]))[0] for i, row in enumerate(small.train)
    }
    computed.clear()
    grown = scan(make_image_folder({"a": 5, "b": 4}))
    (folder / "a" / "0.png").unlink()  # its numbers stay in the file and are not asked for
    rows = [row for row in grown.train if row.path != "a/0.png"]
    more = opened(grown, views=1, rows=rows)
    paths = {row.sha256: row.path for row in rows}
    assert sorted(paths[content] for content, _ in computed) == ["a/3.png", "a/4.png", "b/3.png"]
    values = everything(more, len(rows), 1)[0]
    for row, found in zip(rows, values, strict=True):
        if row.sha256 in before:
            assert np.array_equal(found, before[row.sha256])
    expected = by_hand(grown, OnnxEngine(boundary_graph(SMALL, 0)), rows)
    assert np.array_equal(values, expected)


def test_copies_of_one_photo_share_a_slot(
    make_image_folder: MakeImageFolder, computed: list[tuple[str, int]], own_cache: Path
) -> None:
    folder = make_image_folder({"a": 3, "b": 2})
    shutil.copy(folder / "a" / "0.png", folder / "a" / "again.png")
    data = scan(folder)
    found = opened(data)
    assert len(data.train) == 6
    assert len(computed) == 10
    assert [path.stat().st_size for path in files(own_cache, ".bin")] == [5 * 768] * 2
    at = [i for i, row in enumerate(data.train) if row.path in ("a/0.png", "a/again.png")]
    for view in everything(found, 6):
        assert np.array_equal(view[at[0]], view[at[1]])
    assert found.missing(2) == 0


def test_without_a_budget_the_same_numbers_are_computed_when_needed(
    data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    computed: list[tuple[str, int]],
    own_cache: Path,
) -> None:
    expected = everything(opened(data), 9)
    shutil.rmtree(own_cache / "activations")
    computed.clear()

    monkeypatch.setenv("REGRAFT_CACHE_GB", "0")
    found = opened(data)
    assert computed == []
    assert "room for the activations of 0 more of 9 photos" in found.warning
    assert "REGRAFT_CACHE_GB" in found.warning
    assert "\n" not in found.warning
    assert np.array_equal(everything(found, 9), expected)
    assert len(computed) == 18
    assert sum(path.stat().st_size for path in files(own_cache, ".bin")) == 0


def test_a_budget_for_some_of_the_photos(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, computed: list[tuple[str, int]]
) -> None:
    expected = everything(opened(data, seed=7), 9)
    shutil.rmtree(activations.cache_dir() / "activations")
    monkeypatch.setenv("REGRAFT_CACHE_GB", str((12 * 768 + 5) / 1024**3))
    computed.clear()
    found = opened(data, seed=7)
    assert len(computed) == 12  # view 0 whole, three photos of view 1
    assert "of 3 more of 9 photos" in found.warning
    assert found.missing(2) == 6
    mixed = found.take(np.array([0, 8, 3, 8]), np.array([1, 1, 0, 1]))
    assert np.array_equal(mixed, expected[[1, 1, 0, 1], [0, 8, 3, 8]])
    assert np.array_equal(everything(found, 9), expected)


def _age(paths: Sequence[Path]) -> None:
    for number, path in enumerate(paths):
        os.utime(path, (1e9 + number, 1e9 + number))


def test_what_was_used_least_recently_makes_room(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    opened(data, seed=1)
    _age(files(own_cache, ".bin"))
    opened(data, seed=2, views=1)  # used a moment ago
    monkeypatch.setenv("REGRAFT_CACHE_GB", str(28 * 768 / 1024**3))
    assert opened(data, seed=3, views=1).warning == ""
    left = [path.stem[-4:] for path in files(own_cache, ".bin")]
    assert left == ["-1-1", "-2-0", "-3-0"]  # no more than had to go
    assert left == [path.stem[-4:] for path in files(own_cache, ".json")]


def test_nothing_is_deleted_where_there_is_room_and_never_what_is_at_work(
    data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    computed: list[tuple[str, int]],
    own_cache: Path,
) -> None:
    opened(data, views=3)
    _age(files(own_cache, ".bin"))
    computed.clear()
    monkeypatch.setenv("REGRAFT_CACHE_GB", str(28 * 768 / 1024**3))
    assert opened(data, views=3).warning == ""
    assert computed == []
    _age(files(own_cache, ".bin"))
    assert "of 1 more of 9 photos" in opened(data, views=4).warning
    assert len(computed) == 1


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 3 * 768 + 100])


def _flip(*places: int) -> Any:
    """One bit at each place."""

    def write(path: Path) -> None:
        damaged = bytearray(path.read_bytes())
        for place in places:
            damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)

    return write


def _index(change: Any) -> Any:
    def write(path: Path) -> None:
        index = path.with_suffix(".json")
        index.write_text(json.dumps(change(json.loads(index.read_text()))))

    return write


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        pytest.param(_shorten, 6, id="cut short"),
        pytest.param(lambda path: path.write_bytes(b""), 9, id="emptied"),
        pytest.param(lambda path: path.unlink(), 9, id="values gone"),
        pytest.param(lambda path: path.with_suffix(".json").unlink(), 9, id="index gone"),
        pytest.param(lambda path: path.with_suffix(".json").write_bytes(b"\xff["), 9, id="no text"),
        pytest.param(lambda path: path.with_suffix(".json").write_text("[1, "), 9, id="no json"),
        pytest.param(_index(lambda index: {"a": index}), 9, id="no list"),
        pytest.param(_index(lambda index: index[:4]), 5, id="killed before it was noted"),
        pytest.param(_index(lambda index: [7, None, *index[2:]]), 2, id="no hashes"),
        pytest.param(_index(lambda index: index * 2), 0, id="longer than the values"),
        pytest.param(_index(lambda index: index[::-1]), 8, id="in another order"),
        pytest.param(_index(lambda index: [e[:64] for e in index]), 9, id="no checksums"),
        pytest.param(lambda path: path.write_bytes(bytes(9 * 768)), 9, id="zeros"),
        pytest.param(_flip(3 * 768 + 5, 4 * 768), 2, id="two bits"),
    ],
)
def test_what_is_damaged_is_computed_again(
    data: Dataset, computed: list[tuple[str, int]], own_cache: Path, damage: Any, again: int
) -> None:
    expected = everything(opened(data), 9)
    (path,) = [path for path in files(own_cache, ".bin") if path.stem.endswith("-1")]
    damage(path)
    computed.clear()
    found = opened(data)
    assert len(computed) == again
    assert {view for _, view in computed} <= {1}
    assert found.warning == ""
    assert np.array_equal(everything(found, 9), expected)
    computed.clear()
    assert np.array_equal(everything(opened(data), 9), expected)
    assert computed == []


@pytest.mark.parametrize("gone", [False, True])
def test_a_file_that_changed_after_the_scan_is_named(data: Dataset, gone: bool) -> None:
    path = data.root / "a" / "2.png"
    if gone:
        path.unlink()
    else:
        shutil.copy(data.root / "b" / "0.png", path)
    with pytest.raises(DataError) as caught:
        opened(data)
    text = str(caught.value)
    assert text.startswith("a/2.png cannot be read for training: ")
    assert ("not there" if gone else "changed while regraft was working") in text
    assert "\n" not in text
    with pytest.raises(DataError, match=r"a/2\.png"):
        Activations(data, data.train, SMALL, 0).take(np.arange(9), np.zeros(9, np.int64))


def test_another_process_at_work_on_the_same_view_is_not_waited_for(
    data: Dataset, computed: list[tuple[str, int]], own_cache: Path
) -> None:
    expected = everything(opened(data), 9)
    shutil.rmtree(own_cache / "activations")
    stem = Activations(data, data.train, SMALL, 0)._key
    lock = own_cache / "activations" / f"{stem}-0-1.lock"
    lock.parent.mkdir()
    hold = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hold, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        computed.clear()
        found = opened(data)
        assert len(computed) == 18
        assert np.array_equal(everything(found, 9), expected)
        assert len(computed) == 18
        assert found.warning == ""
        assert [path.stem[-4:] for path in files(own_cache, ".bin")] == ["-0-0"]
        process.stdin.close()
    assert process.returncode == 0
    assert not list((own_cache / "activations").glob(".*.part"))
    assert np.array_equal(everything(opened(data), 9), expected)
    assert len(files(own_cache, ".bin")) == 2


class _Full:
    """A file on a disk that is full."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, _: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_full_disk_stops_the_keeping_not_the_work(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = everything(opened(data, seed=5), 9)
    shutil.rmtree(activations.cache_dir() / "activations")
    real = Path.open

    def full(self: Path, *args: Any, **options: Any) -> Any:
        file = real(self, *args, **options)
        return _Full(file) if self.suffix == ".bin" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        found = opened(data, seed=5)
        assert "No space left on device" in found.warning
        assert "computed again whenever they are needed" in found.warning
        assert "\n" not in found.warning
        assert np.array_equal(everything(found, 9), expected)
    assert np.array_equal(everything(opened(data, seed=5), 9), expected)


def test_a_full_disk_for_the_index_alone(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _: bytes | str) -> None:
        raise regraft.errors.StorageError(f"could not write {path}: No space left on device")

    expected = everything(opened(data, seed=6), 9)
    shutil.rmtree(activations.cache_dir() / "activations")
    with monkeypatch.context() as patch:
        patch.setattr(activations, "write_atomic", full)
        found = opened(data, seed=6)
    assert "No space left" in found.warning
    assert np.array_equal(everything(found, 9), expected)
    later = opened(data, seed=6)
    assert later.warning == ""
    assert np.array_equal(everything(later, 9), expected)


def test_a_cache_that_cannot_be_made(data: Dataset, own_cache: Path) -> None:
    own_cache.parent.mkdir(exist_ok=True)
    own_cache.write_text("a file where the folder should be")
    found = opened(data)
    assert "cannot be kept" in found.warning
    assert everything(found, 9).shape == (2, 9, 3, 16, 16)


def test_work_is_noted_while_it_goes_on(data: Dataset) -> None:
    def stop(_phase: str, done: int, _total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    found = Activations(data, data.train, SMALL, 0)
    with pytest.raises(KeyboardInterrupt):
        found.prepare(1, progress=stop, commit_every_s=0)
    assert found.missing(1) == 9 - 5
    assert np.array_equal(
        everything(opened(data, views=1), 9, 1)[0],
        by_hand(data, OnnxEngine(boundary_graph(SMALL, 0)), data.train),
    )


def test_time_for_a_photo_is_measured(data: Dataset, computed: list[tuple[str, int]]) -> None:
    found = Activations(data, data.train, SMALL, 0)
    assert 0 < found.seconds_per_image(4) < 1
    expected = sorted((row.sha256, view) for row in data.train[:4] for view in (0, 1))
    assert sorted(computed) == expected
    assert found.missing(1) == 9


def test_what_depends_on_what(data: Dataset) -> None:
    def key(backbone: Backbone, boundary: int) -> str:
        return Activations(data, data.train[:1], backbone, boundary)._key

    same_pixels = replace(SMALL, weights_sha256="0" * 64, name="other")
    assert key(SMALL, 0) == key(same_pixels, 0)
    assert key(SMALL, 0) != key(with_transform(SMALL, resize="squash"), 0)
    assert key(SMALL, 0) != key(with_transform(SMALL, image_size_px=17), 0)
