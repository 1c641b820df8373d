"""Near duplicates: what somebody keeps a second time is found, what only looks alike is not."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from regraft.inspection.issues import find_copies, find_neighbours
from regraft.inspection.issues.copies import ALIKE, similarity
from regraft.kinds.images.attributes import SIGNATURE_PX, measure
from tests.planting import KINDS, vary

Sketch = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photos(test_data: Path) -> list[Path]:
    found = sorted((test_data / "rooms" / "train").glob("*/*.png"))[::12]
    assert len(found) == 16
    return found


def signature_of(path: Path) -> Sketch:
    return measure(path.read_bytes())[1]


def flat(level: int) -> Sketch:
    out = io.BytesIO()
    Image.new("RGB", (80, 60), (level, level, level)).save(out, "PNG")
    return measure(out.getvalue())[1]


def all_near(n: int) -> NDArray[np.float32]:
    """Features (n, d) that make every photo the candidate of its neighbours."""
    random = np.random.default_rng(0)
    return (1.0 + 0.1 * random.normal(size=(n, 8))).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_varied_copy_is_alike(kind: str, photos: list[Path]) -> None:
    random = np.random.default_rng(7)
    for path in photos[::2]:
        copy = measure(vary(path, kind, random))[1]
        alike, mirrored = similarity(signature_of(path), copy)
        assert ALIKE <= alike <= 1 + 1e-5, path
        assert mirrored == (kind == "mirrored"), path


@pytest.mark.parametrize("kind", KINDS)
def test_it_does_not_matter_which_of_the_two_is_the_copy(kind: str, photos: list[Path]) -> None:
    random = np.random.default_rng(8)
    for path in photos[:3]:
        copy = measure(vary(path, kind, random))[1]
        alike, mirrored = similarity(copy, signature_of(path))
        assert alike >= ALIKE
        assert mirrored == (kind == "mirrored")


def test_a_photo_is_wholly_like_itself(photos: list[Path]) -> None:
    signature = signature_of(photos[0])
    assert similarity(signature, signature) == (pytest.approx(1.0, abs=1e-4), False)


def test_a_brighter_copy_is_alike(photos: list[Path]) -> None:
    signature = signature_of(photos[1])
    brighter = np.clip(30 + 0.8 * signature.astype(float), 0, 255).astype(np.uint8)
    assert similarity(signature, brighter)[0] >= ALIKE


def test_different_photos_are_not_alike(photos: list[Path]) -> None:
    signatures = [signature_of(path) for path in photos]
    pairs = combinations(range(len(photos)), 2)
    assert max(similarity(signatures[i], signatures[j])[0] for i, j in pairs) < ALIKE


def test_noise_is_like_no_other_noise() -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (2, SIGNATURE_PX, SIGNATURE_PX), dtype=np.uint8)
    assert similarity(noise[0], noise[1])[0] < ALIKE


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_pictures_of_one_level_are_alike(level: int) -> None:
    assert similarity(flat(level), flat(level))[0] == 1.0


def test_flat_pictures_of_different_levels_are_not_alike() -> None:
    assert similarity(flat(40), flat(60))[0] < ALIKE


def test_a_flat_picture_is_like_no_photo(photos: list[Path]) -> None:
    photo = signature_of(photos[0])
    assert similarity(flat(int(photo.mean())), photo)[0] < ALIKE


def test_every_pair_is_told_once_and_in_order(photos: list[Path]) -> None:
    random = np.random.default_rng(9)
    signatures = [signature_of(path) for path in photos[:4]]
    signatures += [measure(vary(path, "mirrored", random))[1] for path in photos[:2]]
    signatures += [measure(vary(path, "resized", random))[1] for path in photos[:2]]
    signatures += [flat(90), flat(90)]
    found = find_copies(find_neighbours(all_near(10), 9), np.stack(signatures))
    pairs = [(copy.first, copy.second) for copy in found]
    assert all(first < second for first, second in pairs)
    assert len(set(pairs)) == len(pairs)
    assert pairs == sorted(pairs)
    truth = {(0, 4), (0, 6), (4, 6), (1, 5), (1, 7), (5, 7), (8, 9)}
    assert set(pairs) <= truth
    mirrored = {(c.first, c.second) for c in found if c.mirrored}
    assert mirrored == set(pairs) & {(0, 4), (4, 6), (1, 5), (5, 7)}
    assert all(ALIKE <= copy.alike <= 1 for copy in found)


def test_a_copy_among_photos_is_found_by_its_features(photos: list[Path]) -> None:
    random = np.random.default_rng(10)
    signatures = [signature_of(path) for path in photos[:6]]
    signatures.append(measure(vary(photos[2], "cropped", random))[1])
    features = random.normal(size=(7, 16)).astype(np.float32)
    features[6] = features[2] + 0.1
    (copy,) = find_copies(find_neighbours(features, 6), np.stack(signatures))
    assert (copy.first, copy.second, copy.mirrored) == (2, 6, False)


def parts_on_a_line(n: int) -> list[Sketch]:
    """Pictures of one kind of part: the same frame and bars, a few faint specks of their own."""
    random = np.random.default_rng(11)
    part = np.full((SIGNATURE_PX, SIGNATURE_PX), 190.0)
    part[:4], part[-4:], part[:, :4], part[:, -4:] = 40, 40, 40, 40
    part[16::16, 4:-4] = 70
    pictures = []
    for _ in range(n):
        picture = part + random.normal(0, 2, part.shape)
        for top, left in random.integers(6, SIGNATURE_PX - 8, (3, 2)):
            picture[top : top + 2, left : left + 2] -= 25
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    return pictures


def test_parts_of_one_kind_are_not_one_picture() -> None:
    signatures = parts_on_a_line(24)
    alike = [similarity(signatures[0], other)[0] for other in signatures[1:]]
    assert min(alike) >= ALIKE  # by that alone all of them were copies
    assert find_copies(find_neighbours(all_near(24), 23), np.stack(signatures)) == []


def test_a_copy_among_parts_of_one_kind_is_found() -> None:
    signatures = parts_on_a_line(24)
    random = np.random.default_rng(12)
    scratched = signatures[5].astype(float)
    scratched[8:50:3, 10:50] -= 90 * random.random((14, 40))
    again = scratched + random.normal(0, 1, scratched.shape)
    signatures[5] = np.clip(scratched, 0, 255).astype(np.uint8)
    signatures.append(np.clip(again, 0, 255).astype(np.uint8))
    features = all_near(25)
    features[24] = features[5] + 1e-3
    (copy,) = find_copies(find_neighbours(features, 24), np.stack(signatures))
    assert (copy.first, copy.second) == (5, 24)


def test_what_is_far_in_feature_space_is_not_compared(photos: list[Path]) -> None:
    signature = signature_of(photos[0])
    apart = np.eye(3, dtype=np.float32)
    assert find_copies(find_neighbours(apart, 2), np.stack([signature] * 3)) == []


@pytest.mark.parametrize("n", [1, 2])
def test_photos_without_neighbours_have_no_copies(n: int) -> None:
    features = np.full((n, 4), np.nan, dtype=np.float32)
    signatures = np.zeros((n, SIGNATURE_PX, SIGNATURE_PX), dtype=np.uint8)
    assert find_copies(find_neighbours(features, 3), signatures) == []
