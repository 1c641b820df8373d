"""Random variants of a photo for training: the same content and number, the same variant.

A part of the picture is cut out, perhaps mirrored, and its brightness, contrast and saturation
are changed a little. Resizing is left to the transform graph, as for every other picture, and
the numbers come from a seed, so that nothing depends on which thread gets a photo first.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

AREA = (0.6, 1.0)
RATIO = (3 / 4, 4 / 3)
COLOUR = 0.2  # largest relative change of brightness, contrast and saturation
_ENOUGH = 2  # times the size wanted, beyond which a large photo is first made smaller


def augment(image: NDArray[np.uint8], seed: int, *, size_px: int) -> NDArray[np.uint8]:
    """A random crop of `image`, perhaps mirrored, its colours changed; uint8 (h, w, 3).

    The crop covers 60 to 100 % of the area with sides of 3:4 to 4:3 (Szegedy et al., CVPR 2015,
    milder than there: small sets have their evidence in details).

    Args:
        image: upright RGB, uint8 (height, width, 3).
        seed: the same seed gives the same variant.
        size_px: what it will be resized to; much larger photos are reduced first.
    """
    random = np.random.default_rng(seed)
    picture = Image.fromarray(image)
    factor = min(picture.size) // (_ENOUGH * size_px)
    if factor > 1:
        picture = picture.reduce(factor)
    picture = picture.crop(_box(picture.width, picture.height, random))
    if random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(1.0 + random.uniform(-COLOUR, COLOUR))
    return np.asarray(picture)


def _box(width: int, height: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, upper, right and lower edge; the largest such rectangle where none fits."""
    for _ in range(10):
        area = width * height * random.uniform(*AREA)
        ratio = math.exp(random.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int(random.integers(0, width - w + 1))
            upper = int(random.integers(0, height - h + 1))
            return left, upper, left + w, upper + h
    w = max(1, min(width, int(height * RATIO[1])))
    h = max(1, min(height, int(width / RATIO[0])))
    left = int(random.integers(0, width - w + 1))
    upper = int(random.integers(0, height - h + 1))
    return left, upper, left + w, upper + h
