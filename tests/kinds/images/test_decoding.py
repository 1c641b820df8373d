"""Decoding: every odd file gets its picture or its reason, in any thread, without a warning."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from regraft.errors import UnreadableInputError
from regraft.kinds.base import InputInfo, read_input
from regraft.kinds.images import KIND, SUFFIXES
from regraft.kinds.images.decoding import (
    BACKGROUND,
    MAX_PIXELS,
    decode,
    inspect,
)
from tests.odd_images import (
    HEIGHT,
    WIDTH,
    OddImage,
    encode,
    exif_orientation,
    picture,
    png_chunk,
    png_header,
    write_corpus,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[OddImage]:
    return write_corpus(tmp_path_factory.mktemp("odd"))


def outcome(path: Path) -> NDArray[np.uint8] | str:
    """The array of a file, or the reason why there is none."""
    try:
        return decode(read_input(path))
    except UnreadableInputError as error:
        return str(error)


def test_every_odd_image_becomes_its_picture_or_its_reason(corpus: list[OddImage]) -> None:
    readable = 0
    for odd in corpus:
        result = outcome(odd.path)
        if isinstance(result, str):
            assert not odd.readable, f"{odd.name}: {result}"
            assert odd.reason_contains in result, odd.name
            assert "\n" not in result, odd.name
            assert len(result) < 170, odd.name
            assert str(odd.path) not in result, odd.name
            continue
        readable += 1
        assert odd.readable, odd.name
        assert result.dtype == np.uint8, odd.name
        assert result.flags.c_contiguous, odd.name
        height, width, channels = result.shape
        assert channels == 3, odd.name
        info = inspect(odd.path.read_bytes())
        assert (info.width, info.height) == (width, height), odd.name
        if odd.size is not None:
            assert (width, height) == odd.size, odd.name
        assert odd.quadrants is not None
        centres = [
            (y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)
        ]
        for centre, expected in zip(centres, odd.quadrants, strict=True):
            difference = np.abs(result[centre].astype(int) - expected).max()
            assert difference <= odd.tolerance, f"{odd.name}: {result[centre]}, not {expected}"
    assert readable >= 100
    assert len(corpus) - readable >= 35


def test_inspect_gives_the_same_reason_as_decode_where_the_header_is_wrong(
    corpus: list[OddImage],
) -> None:
    same = refused = 0
    for odd in corpus:
        reason = outcome(odd.path)
        try:
            inspect(read_input(odd.path))
        except UnreadableInputError as error:
            refused += 1
            same += str(error) == reason
    assert same == refused >= 25


def test_threads_do_not_disturb_each_other(corpus: list[OddImage]) -> None:
    filters = list(warnings.filters)
    alone = {odd.name: outcome(odd.path) for odd in corpus}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda odd: outcome(odd.path), corpus * 4))
    assert len(together) == 4 * len(corpus)
    for odd, result in zip(corpus * 4, together, strict=True):
        assert np.array_equal(result, alone[odd.name]), odd.name
    assert list(warnings.filters) == filters


def test_pillow_warns_of_files_that_are_decoded_in_silence(corpus: list[OddImage]) -> None:
    noisy = {"odd_tag.tif", "animated_badly.png", "exif_no_jfif.jpg"}
    for odd in corpus:
        if odd.name not in noisy:
            continue
        noisy.remove(odd.name)
        with pytest.warns(UserWarning, match="."), Image.open(odd.path) as opened:
            opened.getexif()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            decode(odd.path.read_bytes())
            inspect(odd.path.read_bytes())
            warnings.warn("still heard", UserWarning, stacklevel=1)
        assert [str(one.message) for one in heard] == ["still heard"], odd.name
    assert not noisy


def test_an_ordinary_photo_decodes_exactly_as_pillow_decodes_it() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    for file_format in ("JPEG", "PNG", "BMP", "WEBP"):
        data = encode(Image.fromarray(noise), file_format)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.array_equal(decode(data), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_pillows(orientation: int) -> None:
    from PIL import ImageOps

    noise = np.random.default_rng(1).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), "PNG", exif=exif_orientation(orientation))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(decode(data), expected)
    height, width = expected.shape[:2]
    assert inspect(data) == InputInfo(width, height, "RGB")


def test_16_bit_grey_is_rounded_to_the_nearest_of_the_full_range() -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.floor(levels / 257 + 0.5).astype(np.uint8)
    for file_format in ("PNG", "TIFF"):
        decoded = decode(encode(Image.fromarray(levels), file_format))
        assert np.array_equal(decoded, np.stack([expected] * 3, axis=2))


def test_alpha_is_composited_over_the_background() -> None:
    rgba = np.zeros((1, 256, 4), np.uint8)
    rgba[0, :, 0], rgba[0, :, 3] = 255, np.arange(256)
    decoded = decode(encode(Image.fromarray(rgba), "PNG")).astype(int)
    alpha = np.arange(256) / 255
    for channel, colour in enumerate((255, 0, 0)):
        exact = colour * alpha + BACKGROUND[channel] * (1 - alpha)
        assert np.abs(decoded[0, :, channel] - exact).max() <= 0.51


class TestPixelLimit:
    def test_a_huge_header_costs_nothing(self) -> None:
        data = png_header(60_000, 60_000)
        before = Image.MAX_IMAGE_PIXELS
        decode(encode(picture(), "PNG"))  # plugins imported
        tracemalloc.start()
        with pytest.raises(UnreadableInputError) as caught:
            decode(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert str(caught.value) == (
            "60000 x 60000 pixels (3600 megapixels), over the limit of 100 megapixels"
        )
        assert peak < 100_000
        assert before == Image.MAX_IMAGE_PIXELS

    def test_the_limit_is_ours_and_not_pillows_lower_one(self) -> None:
        assert Image.MAX_IMAGE_PIXELS is not None
        size = (9_500, 9_600)
        assert Image.MAX_IMAGE_PIXELS < size[0] * size[1] <= MAX_PIXELS
        for file_format in ("PNG", "TIFF", "BMP"):
            data = encode(Image.new("1", size), file_format)[:5_000_000]
            assert inspect(data) == InputInfo(*size, "1")

    def test_it_can_be_lowered(self) -> None:
        data = encode(picture(), "JPEG")
        assert decode(data, max_pixels=WIDTH * HEIGHT).shape == (HEIGHT, WIDTH, 3)
        with pytest.raises(UnreadableInputError, match=r"over the limit of 0\.001535 megapixels"):
            decode(data, max_pixels=WIDTH * HEIGHT - 1)

    @pytest.mark.parametrize("size", [(60_000, 60_000), (9_700, 10_400)])
    def test_every_format_is_held_to_it(self, size: tuple[int, int]) -> None:
        width, height = size
        small, large = struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", height, width)
        small_32, large_32 = struct.pack(">II", HEIGHT, WIDTH), struct.pack(">II", height, width)
        tiff = b"".join(
            struct.pack("<HHII", tag, 4, 1, value)
            for tag, value in ((256, width), (257, height), (258, 8), (262, 1), (273, 8), (279, 9))
        )
        headers = {
            "PNG": png_header(*size),
            "PPM": b"P6 %d %d 255\n" % size,
            "GIF": b"GIF89a" + struct.pack("<HH", *size) + encode(picture(), "GIF")[10:],
            "JPEG": encode(picture(), "JPEG").replace(small, large),
            "JPEG2000": encode(picture(), "JPEG2000").replace(small_32, large_32),
            "QOI": b"qoif" + struct.pack(">II", width, height) + b"\3\0",
            "TIFF": b"II*\0\x08\0\0\0\x06\0" + tiff + b"\0\0\0\0",
            "TGA": b"\0\0\2" + bytes(9) + struct.pack("<HH", *size) + b"\x18\0",
        }
        refused = []
        for name, data in headers.items():
            with pytest.raises(UnreadableInputError, match=r"pixels.*over the limit of 100 mega"):
                decode(data)
            refused.append(name)
        assert len(refused) == 8

    def test_pictures_inside_icons_are_held_to_a_limit_of_their_own(self) -> None:
        entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, 45, 22)
        icon = b"\0\0\1\0\1\0" + entry + png_header(60_000, 60_000)
        icon += png_chunk(b"IDAT", b"")
        with pytest.raises(UnreadableInputError, match=r"over the limit of 4\.2 megapixels"):
            decode(icon)


@pytest.mark.parametrize(
    "error",
    [
        *(OSError("x"), SyntaxError("x"), ValueError("x"), struct.error("x"), EOFError()),
        *(IndexError("x"), MemoryError(), KeyError("x"), TypeError(), ZeroDivisionError("x")),
        *(RuntimeError("x\n  y"), AssertionError(), RecursionError(), OverflowError("x" * 999)),
        *(
            AttributeError("x"),
            Image.DecompressionBombError("x"),
            UnicodeDecodeError("a", b"", 0, 0, ""),
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_decoder_raises_is_one_short_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: object) -> None:
        raise error

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", load)
    with pytest.raises(UnreadableInputError) as caught:
        decode(encode(picture(), "JPEG"))
    assert 0 < len(str(caught.value)) < 160
    assert "\n" not in str(caught.value)


def test_an_interruption_is_not_an_unreadable_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", load)
    with pytest.raises(KeyboardInterrupt):
        decode(encode(picture(), "JPEG"))


def test_heic_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableInputError, match=r'pip install "regraft\[heif\]"'):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))


def test_a_pillow_built_without_a_format_names_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(picture(), "AVIF")
    monkeypatch.setitem(Image.OPEN, "AVIF", (Image.OPEN["AVIF"][0], lambda prefix: "not built in"))
    with pytest.raises(UnreadableInputError, match="this build of Pillow has no AVIF"):
        decode(data)


def test_heic_support_leaves_pillow_as_it_was(corpus: list[OddImage]) -> None:
    assert any(odd.name == "plain.heic" for odd in corpus)
    for odd in corpus:
        if odd.name == "plain.heic":
            outcome(odd.path)
    assert "HEIF" not in Image.OPEN


def test_the_kind_is_about_images() -> None:
    assert (KIND.name, KIND.suffixes) == ("image", SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".heic", ".avif", ".jfif", ".jpe", ".tif"} <= SUFFIXES
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in SUFFIXES)


class TestReadInput:
    def test_gives_the_content(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        assert read_input(tmp_path / "a") == b"abc"
        assert read_input(str(tmp_path / "a")) == b"abc"

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableInputError, match="the file is not there"):
            read_input(tmp_path / "a")

    def test_a_file_where_a_folder_is_meant(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        with pytest.raises(UnreadableInputError, match="could not be read: Not a directory"):
            read_input(tmp_path / "a" / "b")

    def test_a_null_character_in_the_name(self) -> None:
        with pytest.raises(UnreadableInputError, match="could not be read: embedded null byte"):
            read_input("a\0b")

    def test_a_file_over_the_limit_is_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "a").open("wb") as file:
            file.truncate(3 * 2**30)  # sparse: takes no disk
        with pytest.raises(UnreadableInputError, match="has 3 GB, over the limit of 512 MB"):
            read_input(tmp_path / "a")
        with pytest.raises(UnreadableInputError, match="has 3 GB, over the limit of 10 bytes"):
            read_input(tmp_path / "a", max_bytes=10)


def _is_array_or_reason(data: bytes) -> None:
    try:
        decoded = decode(data, max_pixels=1_000_000)
    except UnreadableInputError:
        return
    height, width, channels = decoded.shape
    assert decoded.dtype == np.uint8
    assert channels == 3
    assert 0 < height * width <= 1_000_000


_SIGNATURES = (
    *(b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0\x08\0\0\0", b"MM\0*"),
    *(b"RIFF\0\1\0\0WEBPVP8 ", b"P6 ", b"\0\0\0\x18ftypheic", b"\0\0\0\x18ftypavif", b"8BPS"),
    *(b"\0\0\1\0\1\0", b"\0\0\2\0", b"DDS ", b"qoif", b"\x0a\5\1\x08", b"icns", b"\x01\xda"),
    *(b"/* XPM */", b"#define a_width 9\n", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    b"\x59\xa6\x6a\x95",
)


@settings(deadline=None, max_examples=300)
@given(start=st.sampled_from(_SIGNATURES), rest=st.binary(max_size=400))
def test_arbitrary_bytes_are_decoded_or_refused(start: bytes, rest: bytes) -> None:
    _is_array_or_reason(start + rest)


_REAL = {
    file_format: encode(picture(), file_format)
    for file_format in (
        "JPEG",
        "PNG",
        "GIF",
        "WEBP",
        "TIFF",
        "BMP",
        "PPM",
        "TGA",
        "ICO",
        "JPEG2000",
    )
}


@pytest.mark.parametrize("file_format", _REAL)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_files_are_decoded_or_refused(file_format: str, data: st.DataObject) -> None:
    content = bytearray(_REAL[file_format])
    for _ in range(data.draw(st.integers(1, 6), label="flips")):
        # Headers are where it matters.
        end = data.draw(st.sampled_from((40, 200, len(content))))
        position = data.draw(st.integers(0, min(end, len(content)) - 1), label="position")
        content[position] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    _is_array_or_reason(bytes(content))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_every_truncation_is_refused_or_shows_the_whole_picture(file_format: str) -> None:
    whole = _REAL[file_format]
    expected = decode(whole)
    refused = 0
    for length in range(len(whole)):
        try:
            decoded = decode(whole[:length])
        except UnreadableInputError:
            refused += 1
        else:
            assert np.array_equal(decoded, expected), length
    assert refused > 0.9 * len(whole) - 40
