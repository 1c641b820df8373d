"""Facts on photos: they are what the file says, and cleanvision agrees."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regraft.errors import UnreadableInputError
from regraft.kinds.images.attributes import SIGNATURE_PX, THUMBNAIL_PX, Attributes, measure


def picture(width: int = 90, height: int = 60, *, seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("quality", [5, 20, 49, 50, 51, 75, 90, 95, 100])
def test_the_quality_of_a_jpeg_is_read_from_its_tables(quality: int) -> None:
    found = measure(saved(picture(), quality=quality)).attributes
    assert found.jpeg_quality == pytest.approx(quality, abs=1)


@pytest.mark.parametrize(("code", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_how_a_file_is_kept(code: int, name: str) -> None:
    found = measure(saved(picture(), subsampling=code, progressive=True)).attributes
    assert (found.format, found.mode, found.subsampling) == ("JPEG", "RGB", name)
    assert found.progressive
    assert (found.width, found.height) == (90, 60)
    png = measure(saved(picture().convert("P"), "PNG")).attributes
    assert (png.format, png.mode, png.subsampling, png.progressive) == ("PNG", "P", "", False)
    assert math.isnan(png.jpeg_quality)


def test_camera_and_time_come_from_exif() -> None:
    exif = Image.Exif()
    exif[271], exif[272] = "Acme", "One\0"
    exif.get_ifd(0x8769)[36867] = "2026:11:23 18:00:00"
    found = measure(saved(picture(), exif=exif)).attributes
    assert found.camera == "Acme One"
    later = Image.Exif()
    later.get_ifd(0x8769)[36867] = "2026:11:23 18:01:30"
    assert measure(saved(picture(), exif=later))[0].taken - found.taken == 90
    without = measure(saved(picture())).attributes
    assert (without.camera, math.isnan(without.taken)) == ("", True)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense"])
def test_damaged_exif_is_no_exif(exif: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure(saved(picture(), exif=exif)).attributes
    assert (found.camera, math.isnan(found.taken)) == ("", True)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_border_is_seen_and_a_wall_is_none(kind: str) -> None:
    photo = picture(200, 150, seed=3)
    framed = Image.new("RGB", (240, 190), (250, 250, 250))
    framed.paste(photo, (20, 20))
    found = measure(saved(framed, kind)).attributes
    assert found.frame == pytest.approx(0.1, abs=0.03)  # a JPEG rings at the edge
    assert found.frame_level == pytest.approx(250, abs=2)
    letterbox = Image.new("RGB", (200, 190))
    letterbox.paste(photo, (0, 20))
    assert 0.07 < measure(saved(letterbox, kind))[0].frame < 0.12
    assert measure(saved(photo, kind))[0].frame == 0
    wall = photo.copy()
    wall.paste((250, 250, 250), (0, 0, 200, 40))  # at the top only
    assert measure(saved(wall, kind))[0].frame == 0


def test_content_is_measured_as_cleanvision_does(test_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cleanvision.issue_managers.image_property import (
            BlurrinessProperty,
            BrightnessProperty,
            EntropyProperty,
        )
    photos = sorted((test_data / "rooms" / "train").glob("*/*.png"))[::16]
    assert len(photos) == 12
    for path in photos:
        found = measure(path.read_bytes()).attributes
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        theirs = BrightnessProperty("dark").calculate(image)
        assert found.brightness == pytest.approx(theirs["brightness"], abs=1e-4)
        assert found.brightness_low == pytest.approx(theirs["brightness_perc_5"], abs=1e-4)
        assert found.brightness_high == pytest.approx(theirs["brightness_perc_99"], abs=1e-4)
        theirs = BlurrinessProperty().calculate(image)
        assert found.sharpness == pytest.approx(theirs["blurriness"], rel=1e-3)
        assert found.grey_spread == pytest.approx(theirs["blurriness_grayscale_std"], rel=1e-6)
        assert found.entropy == pytest.approx(EntropyProperty().calculate(image)["entropy"])


def test_they_survive_being_written_and_read() -> None:
    found, signature, thumbnail = measure(saved(picture(), "PNG"))
    again = Attributes.from_json(found.to_json())
    assert repr(again) == repr(found)  # NaN does not equal itself
    assert "NaN" not in found.to_json()
    assert signature.shape == (SIGNATURE_PX, SIGNATURE_PX)
    assert signature.dtype == np.uint8
    with Image.open(io.BytesIO(thumbnail)) as small:
        assert max(small.size) <= THUMBNAIL_PX


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2), (700, 40)])
def test_odd_sizes_are_measured(size: tuple[int, int]) -> None:
    found, signature, thumbnail = measure(saved(picture(*size), "PNG"))
    assert (found.width, found.height) == size
    assert np.isfinite(signature).all()
    with Image.open(io.BytesIO(thumbnail)) as small:
        assert 1 <= max(small.size) <= THUMBNAIL_PX
    numbers = [found.contrast, found.sharpness, found.entropy, found.saturation]
    assert np.isfinite(numbers).all()


def test_rotated_photos_are_measured_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = measure(saved(picture(90, 60), exif=exif)).attributes
    assert (found.width, found.height) == (60, 90)


def test_what_is_no_picture_says_so() -> None:
    with pytest.raises(UnreadableInputError, match="not an image"):
        measure(b"hello")
