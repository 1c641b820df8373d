"""Random variants of a photo: the same from the same seed, mild, and never of the photo itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from regraft.kinds.images.augment import AREA, COLOUR, RATIO, augment

SIDES = st.integers(1, 300)


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_seed_decides() -> None:
    image = photo(60, 80)
    variants = [augment(image, seed, size_px=32) for seed in range(20)]
    again = [augment(image, seed, size_px=32) for seed in range(20)]
    assert all(np.array_equal(a, b) for a, b in zip(variants, again, strict=True))
    assert len({variant.tobytes() for variant in variants}) == 20
    assert not np.array_equal(variants[0], augment(photo(60, 80, seed=1), 0, size_px=32))


@settings(max_examples=200, deadline=None)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 2**63 - 1))
@example(height=1, width=1, seed=0)
@example(height=1, width=500, seed=0)
@example(height=500, width=1, seed=0)
@example(height=2, width=2, seed=0)
def test_a_crop_of_60_to_100_percent_near_a_square_where_that_fits(
    height: int, width: int, seed: int
) -> None:
    image = photo(height, width)
    before = image.copy()
    found = augment(image, seed, size_px=1_000)

    assert found.dtype == np.uint8
    assert found.ndim == 3
    h, w, channels = found.shape
    assert channels == 3
    assert 1 <= h <= height
    assert 1 <= w <= width
    assert np.array_equal(image, before)
    # Sides are rounded to whole pixels: half a pixel each way.
    assert (w - 0.5) / (h + 0.5) <= RATIO[1]
    assert (w + 0.5) / (h - 0.5) >= RATIO[0]
    most = min(height, width * RATIO[1]) * min(width, height * RATIO[1])
    if most >= 0.9 * height * width:  # long pictures hold no such crop of 60 %
        assert (w + 0.5) * (h + 0.5) >= AREA[0] * height * width
    else:
        assert (w + 1) * (h + 1) >= AREA[0] * min(height, width) ** 2


@pytest.mark.parametrize(("height", "width"), [(1, 500), (500, 1)])
def test_a_line_of_pixels_gives_the_largest_crop_there_is(height: int, width: int) -> None:
    assert augment(photo(height, width), 3, size_px=224).shape == (1, 1, 3)


def test_area_position_and_mirroring_all_vary() -> None:
    y, x = np.mgrid[:100, :120]
    image = np.stack([np.full_like(x, 128), x, y], axis=2).astype(np.uint8)
    found = [augment(image, seed, size_px=64) for seed in range(200)]
    shares = [one.shape[0] * one.shape[1] / image.shape[0] / image.shape[1] for one in found]
    assert min(shares) < 0.65
    assert max(shares) > 0.9
    green = [one[..., 1].astype(int) for one in found]
    mirrored = sum(int(one[:, 0].mean() > one[:, -1].mean()) for one in green)
    assert 70 < mirrored < 130
    assert len({one.min() for one in green}) > 10  # the left edge of the crop moves
    assert all(one[0, :, 2].mean() < one[-1, :, 2].mean() for one in found)  # never upside down


def test_colours_change_a_little() -> None:
    grey = np.full((40, 40, 3), 100, np.uint8)
    levels = [int(augment(grey, seed, size_px=32)[0, 0, 0]) for seed in range(200)]
    assert 100 * (1 - COLOUR) - 1 <= min(levels) < 90
    assert 110 < max(levels) <= 100 * (1 + COLOUR) + 1


@pytest.mark.parametrize(
    ("size_px", "factor"), [(300, 1), (200, 1), (150, 2), (100, 3), (50, 6), (1, 300)]
)
def test_photos_much_larger_than_wanted_are_reduced_first(size_px: int, factor: int) -> None:
    height, width = 600, 800
    found = [augment(photo(height, width), seed, size_px=size_px) for seed in range(5)]
    area = (height / factor) * (width / factor)
    for h, w, _ in (one.shape for one in found):
        assert AREA[0] * area - h - w <= h * w <= area + h + w
    if size_px >= 50:  # never below what will be asked for, a crop aside
        assert min(height, width) / factor >= 2 * size_px or factor == 1
    assert not np.array_equal(found[0], found[1])
