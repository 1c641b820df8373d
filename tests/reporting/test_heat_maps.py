"""Colours over photos: in the right place, told apart by everyone, and nobody's file replaced."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from regraft.errors import UnreadableInputError
from regraft.evidence.explaining import Box, HeatMap
from regraft.reporting.heat_maps import (
    COLOURS,
    explained_picture,
    may_be_replaced,
    painted,
)
from tests.reporting.sample_runs import write_image
from tests.reporting.test_style import STYLE, colour, contrast

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
CORNER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])  # the upper left one


def grey(width: int = 90, height: int = 60, level: int = 128) -> Image.Image:
    return Image.new("RGB", (width, height), (level, level, level))


def warmth(picture: Image.Image) -> NDArray[np.float64]:
    """How yellow each point is."""
    pixels = np.asarray(picture).astype(float)
    return pixels[..., 0] + pixels[..., 1] - 2 * pixels[..., 2]


def test_colour_lies_where_the_evidence_is() -> None:
    warm = warmth(painted(grey(), CORNER, WHOLE))
    assert np.unravel_index(warm.argmax(), warm.shape) < (20, 30)
    assert warm[:10, :15].min() > 150
    assert warm[30:].max() < 0
    assert warm[:, 45:].max() < 0


@pytest.mark.parametrize("box", [(0.25, 0.0, 0.75, 1.0), (0.0, 0.25, 1.0, 0.75)])
def test_what_was_not_seen_is_darkened_without_colour(box: Box) -> None:
    pixels = np.asarray(painted(grey(80, 80), CORNER, box)).astype(int)
    x, y = round(80 * box[0]), round(80 * box[1])
    assert warmth(painted(grey(80, 80), CORNER, box))[y : y + 5, x : x + 5].min() > 150
    unseen = np.ones((80, 80), bool)
    unseen[y : round(80 * box[3]), x : round(80 * box[2])] = False
    assert unseen.mean() == 0.5
    assert (np.ptp(pixels, axis=2)[unseen] == 0).all()
    assert pixels[unseen].max() < 70
    assert (np.ptp(pixels, axis=2)[~unseen] > 0).all()


def test_of_padding_only_what_lies_on_the_photo_is_drawn() -> None:
    values = np.zeros((4, 4))
    values[0] = 1  # above the photo
    values[1, 0] = 1
    warm = warmth(painted(grey(80, 40), values, (0.0, -0.5, 1.0, 1.5)))
    assert warm.shape == (40, 80)
    assert warm[12, 5] > 150
    assert warm[12, 60] < 50
    assert warm[30:].max() < 0


def test_the_photo_stays_to_be_seen() -> None:
    photo = grey()
    photo.paste((255, 255, 255), (40, 20, 60, 40))
    light = np.asarray(painted(photo, CORNER, WHOLE).convert("L")).astype(int)
    assert light[30, 50] - light[50, 50] > 60


def test_a_sliver_and_a_single_place_are_painted() -> None:
    assert painted(grey(300, 1), CORNER, WHOLE).size == (300, 1)
    assert painted(grey(7, 5), np.ones((1, 1)), WHOLE).size == (7, 5)


def test_the_scale_rises_in_lightness_alone() -> None:
    """Who sees no hue, or prints in grey, can still tell more from less."""
    black = colour("#000000")
    lightness = [contrast(colour(stop), black) for stop in COLOURS]
    assert lightness == sorted(lightness)
    assert lightness[-1] > 5 * lightness[0]


def test_the_legend_of_the_page_has_the_same_colours() -> None:
    assert f"linear-gradient(to right, {', '.join(COLOURS)})" in STYLE


def test_a_picture_of_its_own(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg", colour=(90, 90, 90), comment=b"secret")
    heat_map = HeatMap(str(path), "given", "a", "a", 0.9, ((0.0, 1.0), (0.0, 0.0)), WHOLE)
    with Image.open(io.BytesIO(explained_picture(path, heat_map))) as picture:
        assert picture.size == (40, 30)
        assert picture.format == "PNG"
        assert picture.info == {"Software": "regraft explain"}
        warm = warmth(picture.convert("RGB"))
    assert warm[5, 35] > 100 > warm[5, 5]
    with pytest.raises(UnreadableInputError):
        explained_picture(tmp_path / "gone.jpg", heat_map)
    Image.new("RGB", (4000, 1000)).save(tmp_path / "large.png")
    with Image.open(io.BytesIO(explained_picture(tmp_path / "large.png", heat_map))) as picture:
        assert picture.size == (1600, 400)


def test_only_ones_own_pictures_are_replaced(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", colour=(90, 90, 90))
    heat_map = HeatMap(str(path), "given", "a", "a", 0.9, ((0.0, 1.0), (0.0, 0.0)), WHOLE)
    mine, text = tmp_path / "mine.png", tmp_path / "text.png"
    mine.write_bytes(explained_picture(path, heat_map))
    text.write_text("not a picture", encoding="utf-8")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    assert may_be_replaced(tmp_path / "new.png")
    assert may_be_replaced(mine)
    for other in (path, text, tmp_path / "folder.png", tmp_path / "link.png"):
        assert not may_be_replaced(other), other
