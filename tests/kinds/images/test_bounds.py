"""Files that would keep a decoder busy are refused by their structure; ordinary ones are not."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from regraft.errors import TooLargeError, UnreadableInputError
from regraft.kinds.images.bounds import MAX_SCANS, BoundedReader, check_structure
from regraft.kinds.images.decoding import decode, inspect
from regraft.reporting.thumbnails import small_jpeg
from tests import slow_images
from tests.slow_images import SLOW, icon_with_large_png, scan_bomb


@pytest.mark.parametrize("name", list(SLOW))
def test_what_would_keep_a_decoder_busy_is_refused(name: str) -> None:
    data = SLOW[name]()
    with pytest.raises(UnreadableInputError) as refused:
        decode(data)
    assert len(str(refused.value)) < 200
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(set(SLOW) - {"trailing.png"}))
def test_a_scan_refuses_what_decoding_refuses(name: str) -> None:
    with pytest.raises(UnreadableInputError):
        inspect(SLOW[name]())


def test_a_thumbnail_is_no_way_around_it() -> None:
    with pytest.raises(UnreadableInputError, match="scans or more"):
        small_jpeg(scan_bomb(), 320)


def test_the_scans_of_a_jpeg_are_bounded_by_number_and_by_blocks() -> None:
    check_structure(scan_bomb(64, 64, MAX_SCANS))
    with pytest.raises(UnreadableInputError, match=f"has {MAX_SCANS + 1} scans or more"):
        check_structure(scan_bomb(64, 64, MAX_SCANS + 1))
    check_structure(scan_bomb(6000, 4000, 64))  # what some encoders write, of a camera's photo
    with pytest.raises(UnreadableInputError, match="scans or more"):
        check_structure(scan_bomb(6000, 4000, 200))


def test_arithmetic_coding_counts_for_more() -> None:
    usual = scan_bomb(6000, 4000, 64)
    frame = usual.index(b"\xff\xc2")
    with pytest.raises(UnreadableInputError, match="scans or more"):
        check_structure(usual[:frame] + b"\xff\xca" + usual[frame + 2 :])


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"progressive": True, "subsampling": 0}],
    ids=["baseline", "progressive", "progressive without subsampling"],
)
def test_a_jpeg_of_99_megapixels_is_read(options: dict[str, object]) -> None:
    out = io.BytesIO()
    Image.radial_gradient("L").resize((11_000, 9_000)).convert("RGB").save(out, "JPEG", **options)
    assert decode(out.getvalue()).shape == (9_000, 11_000, 3)


@pytest.mark.parametrize("progressive", [False, True])
def test_what_lies_behind_the_end_of_a_jpeg_does_not_count(progressive: bool) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (9, 99, 199)).save(out, "JPEG", progressive=progressive)
    film = out.getvalue() + scan_bomb()  # as a phone appends a film
    assert decode(film).shape == (30, 40, 3)


def test_thumbnails_inside_a_jpeg_do_not_count() -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "JPEG")
    inner = scan_bomb(700, 700, 400)[:60_000]
    within = b"\xff\xe1" + struct.pack(">H", len(inner) + 2) + inner
    data = out.getvalue()
    assert decode(data[:2] + within + data[2:]).shape == (30, 40, 3)


@pytest.mark.parametrize("form", ["BMP", "PPM", "TIFF", "PNG", "TGA"])
def test_a_picture_of_one_long_row_takes_no_longer_than_another(form: str) -> None:
    width = 60_000 if form == "TGA" else 3_000_000
    out = io.BytesIO()
    Image.new("RGB", (width, 1), (10, 20, 30)).save(out, form)
    array = decode(out.getvalue())
    assert array.shape == (1, width, 3)
    assert array[0, -1].tolist() == [10, 20, 30]


@pytest.mark.parametrize("make", [icon_with_large_png, slow_images.icon_with_large_bitmap])
def test_a_picture_inside_an_icon_is_measured_before_it_is_decoded(
    make: Callable[[], bytes],
) -> None:
    with pytest.raises(TooLargeError, match="inside the icon has 11000 x 9000 pixels"):
        decode(make())


def test_an_icon_cannot_hide_the_size_of_a_picture() -> None:
    honest = icon_with_large_png()
    start = honest.index(b"\x89PNG") + 8
    small = slow_images.png_header(16, 16)[8:33]
    with pytest.raises(UnreadableInputError, match="does not begin with its size"):
        decode(honest[:start] + small + honest[start:])


@pytest.mark.parametrize(("form", "side"), [("ICO", 256), ("ICNS", 1024)])
def test_ordinary_icons_are_read(form: str, side: int) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (256, 256), (10, 20, 30, 255)).save(out, form)
    assert decode(out.getvalue()).shape == (side, side, 3)


def test_a_tiff_of_many_rows_is_read() -> None:
    out = io.BytesIO()
    pixels = np.arange(40_000, dtype=np.uint8).reshape(20_000, 2)
    Image.fromarray(pixels).save(out, "TIFF", tiffinfo={278: 1})  # a strip a row
    assert decode(out.getvalue())[:, :, 0].tolist() == pixels.tolist()


def test_the_reader_gives_out_a_bounded_number_of_pieces() -> None:
    reader = BoundedReader(bytes(1_000_000))
    with pytest.raises(UnreadableInputError, match="more pieces than any image needs"):
        list(iter(lambda: reader.read(1), b""))
    reader.begin_decoding()
    assert reader.read(1) == b"\0"


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"\0\0\1\0", b"icns"]),
    st.binary(max_size=300),
)
def test_any_structure_is_passed_or_refused(start: bytes, rest: bytes) -> None:
    with contextlib.suppress(UnreadableInputError):
        check_structure(start + rest)
