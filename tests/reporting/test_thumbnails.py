from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regraft.reporting.thumbnails import Thumbnail, make_thumbnails, paint_thumbnails
from tests.reporting.sample_runs import write_image


def picture_of(thumbnail: Thumbnail) -> Image.Image:
    kind, _, text = thumbnail.source.partition(",")
    assert kind == "data:image/jpeg;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(text)))
    picture.load()
    return picture


def test_thumbnails_keep_the_order_and_the_shape(tmp_path: Path) -> None:
    paths = []
    for i in range(12):
        path = tmp_path / f"{i}.jpg"
        Image.new("RGB", (400, 300), (20 * i, 0, 0)).save(path)
        paths.append(path)
    found = make_thumbnails([(path, 80) for path in paths])
    assert [(t.width, t.height) for t in found] == [(80, 60)] * 12
    reds = [picture_of(t).getpixel((40, 30))[0] for t in found]  # type: ignore[index]
    assert np.abs(np.array(reds) - 20 * np.arange(12)).max() < 4


def test_small_pictures_are_not_enlarged(tmp_path: Path) -> None:
    (found,) = make_thumbnails([(write_image(tmp_path / "a.png", colour=(9, 9, 9)), 224)])
    assert (found.width, found.height) == (40, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = Image.new("RGB", (64, 48), (0, 0, 0))
    upright.paste((255, 255, 255), (0, 0, 16, 12))  # the upper left corner
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what a camera would have stored
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    (found,) = make_thumbnails([(tmp_path / "a.jpg", 32)])
    small = np.asarray(picture_of(found).convert("L"))
    assert (found.width, found.height) == (32, 24)
    assert small[:4, :6].mean() > 200
    assert small[12:].mean() < 30


def test_nothing_but_the_picture_goes_along(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    path = write_image(
        tmp_path / "a.jpg", colour=(9, 90, 9), exif=exif, comment=b"secret", dpi=(72, 72)
    )
    assert b"secret" in path.read_bytes()
    (found,) = make_thumbnails([(path, 30)])
    data = base64.b64decode(found.source.partition(",")[2])
    assert b"secret" not in data
    assert b"home" not in data
    assert dict(picture_of(found).getexif()) == {}


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "LA", "I;16", "1"])
def test_odd_pixel_formats(tmp_path: Path, mode: str) -> None:
    suffix = ".jpg" if mode == "CMYK" else ".png"
    path = tmp_path / f"a{suffix}"
    Image.new("L", (50, 50), 128).convert("RGB" if mode == "P" else "L").convert(mode).save(path)
    (found,) = make_thumbnails([(path, 20)])
    assert found.problem == ""
    assert picture_of(found).size == (20, 20)


def test_a_sliver_stays_visible(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 3), (200, 0, 0)).save(tmp_path / "a.png")
    (found,) = make_thumbnails([(tmp_path / "a.png", 100)])
    assert (found.width, found.height) == (100, 4)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "the file is not there"),
        (b"", "the file is empty"),
        (b"hello", "not an image: starts with 'hello'"),
        (b"\xff\xd8\xff\xe0 cut", "damaged JPEG file"),
    ],
)
def test_what_cannot_be_shown_says_why(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    (found,) = make_thumbnails([(path, 20)])
    assert found.source == ""
    assert found.problem.startswith((problem, "truncated"))


def test_no_photos_no_thumbnails() -> None:
    assert make_thumbnails([]) == []


def test_thumbnails_may_be_drawn_on(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", colour=(9, 9, 9))
    sizes = []

    def in_red(picture: Image.Image) -> Image.Image:
        sizes.append(picture.size)
        return Image.new("RGB", picture.size, (250, 0, 0))

    drawn, gone = paint_thumbnails([(path, 20, in_red), (tmp_path / "b.png", 20, in_red)])
    assert sizes == [(20, 15)]
    assert np.asarray(picture_of(drawn))[..., 0].min() > 240
    assert gone.problem == "the file is not there"
