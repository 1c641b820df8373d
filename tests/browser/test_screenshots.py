"""The pictures of the documentation can be taken again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from docs.screenshots import WINDOWS, take_map, take_picture, take_served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


def test_pictures_show_the_page_in_light_and_dark(
    browser: Browser, pages: Path, tmp_path: Path
) -> None:
    taken = [take_picture(browser, pages / "report.html", tmp_path, name) for name in WINDOWS]
    assert [path.name for path in taken] == ["report.png", "report-phone.png"]
    pictures = [Image.open(path) for path in taken]
    assert [picture.size for picture in pictures] == [(1280, 1000), (390, 844)]
    brightness = [sum(p.convert("L").resize((1, 1)).tobytes()) for p in pictures]
    assert brightness[0] > 200
    assert brightness[1] < 80
    assert all(1_000 < path.stat().st_size < 400_000 for path in taken)


def test_the_map_is_taken_with_a_photo_pointed_at(
    browser: Browser, pages: Path, tmp_path: Path
) -> None:
    taken = take_map(browser, pages / "report.html", tmp_path)
    assert taken is not None
    assert taken.name == "report-map.png"
    with Image.open(taken) as picture:
        assert picture.width > 600
        colours = len(picture.convert("RGB").getcolors(maxcolors=1_000) or ())
    assert colours > 50, "no photo is shown beside the map"


def test_a_page_without_a_map_has_no_such_picture(
    browser: Browser, pages: Path, tmp_path: Path
) -> None:
    assert take_map(browser, pages / "both.html", tmp_path) is None


def test_the_page_of_a_model_is_taken_with_answers(
    browser: Browser, fitted: Path, tmp_path: Path
) -> None:
    taken = take_served(browser, fitted / "runs" / "rooms", tmp_path, count=3)
    with Image.open(taken) as picture:
        assert picture.size == (1280, 830)
        assert len(picture.convert("RGB").getcolors(maxcolors=1_000) or ()) > 100
