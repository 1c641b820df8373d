"""A folder of odd image files, written on demand: a folder goes in, files and a list of what
each should become come out. Used by the tests of decoding and of whole scans.

Most files show one picture, `WIDTH` x `HEIGHT`, whose four quadrants are plain red, green,
blue and yellow, so that a wrong rotation, channel order or palette shows at once.
"""

from __future__ import annotations

import importlib.util
import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

Colour = tuple[int, int, int]

WIDTH, HEIGHT = 48, 32
RED, GREEN, BLUE, YELLOW = (220, 40, 40), (40, 180, 60), (50, 60, 210), (230, 220, 50)
QUADRANTS = (RED, GREEN, BLUE, YELLOW)
GREY = (128, 128, 128)  # what transparent pixels show
EXACT, LOSSY = 0, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class OddImage:
    """One file and what reading it should give."""

    name: str
    path: Path
    readable: bool
    size: tuple[int, int] | None = None
    """(width, height) upright, where readable."""
    reason_contains: str = ""
    """A part of the reason, where not readable."""
    quadrants: tuple[Colour, Colour, Colour, Colour] | None = None
    """Colours at the centres: top left, top right, bottom left, bottom right."""
    tolerance: int = 0
    """Allowed difference of each channel, for lossy formats."""


def write_corpus(folder: Path) -> list[OddImage]:
    """Write more than a hundred odd files into `folder` (created if missing) and describe them."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = _Corpus(folder)
    for write in (
        *(_write_jpegs, _write_pngs, _write_gifs_and_webps, _write_tiffs, _write_phone_formats),
        *(_write_rarer_formats, _write_names_and_links, _write_unreadable, _write_not_images),
    ):
        write(corpus)
    return corpus.images


def picture() -> Image.Image:
    """The picture with four quadrants, RGB."""
    return _four_quadrants("RGB", QUADRANTS)


def _four_quadrants(mode: str, values: Sequence[int | Colour]) -> Image.Image:
    image = Image.new(mode, (WIDTH, HEIGHT))
    corners = ((0, 0), (WIDTH // 2, 0), (0, HEIGHT // 2), (WIDTH // 2, HEIGHT // 2))
    for value, (left, top) in zip(values, corners, strict=True):
        image.paste(value, (left, top, left + WIDTH // 2, top + HEIGHT // 2))
    return image


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """The bytes of `image` in one of Pillow's formats."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int, *, bits: int = 8, colour_type: int = 2) -> bytes:
    """A PNG that ends after its header."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)


def png_chunk(name: bytes, content: bytes) -> bytes:
    """One chunk of a PNG with its length and checksum."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def exif_orientation(value: int) -> bytes:
    """An EXIF block of one tag, the orientation."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


def luma(colour: Colour) -> Colour:
    """A colour as Pillow turns it to grey (ITU-R 601)."""
    grey = Image.new("RGB", (1, 1), colour).convert("L").tobytes()[0]
    return (grey, grey, grey)


class _Corpus:
    """The list under construction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: list[OddImage] = []

    def add(
        self,
        name: str,
        content: bytes | Callable[[Path], None],
        *,
        size: tuple[int, int] | None = (WIDTH, HEIGHT),
        quadrants: tuple[Colour, Colour, Colour, Colour] | None = QUADRANTS,
        tolerance: int = EXACT,
        reason: str = "",
    ) -> None:
        """Write one file, or have `content` make what is not a plain file; `reason`: unreadable."""
        path = self.folder / name
        assert not os.path.lexists(path), name
        if callable(content):
            content(path)
        else:
            path.write_bytes(content)
        self.images.append(
            OddImage(
                name=name,
                path=path,
                readable=not reason,
                size=None if reason else size,
                reason_contains=reason,
                quadrants=None if reason else quadrants,
                tolerance=tolerance,
            )
        )


_UNDO = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def as_stored(orientation: int) -> Image.Image:
    """The picture as a camera stores it with this EXIF orientation."""
    undo = _UNDO[orientation]
    return picture() if undo is None else picture().transpose(undo)


def _greys() -> tuple[Colour, Colour, Colour, Colour]:
    first, second, third, fourth = (luma(colour) for colour in QUADRANTS)
    return first, second, third, fourth


def _through(image: Image.Image) -> tuple[Colour, Colour, Colour, Colour]:
    """What the quadrants of `image` are in RGB, by Pillow, for formats that change colours."""
    rgb = np.asarray(image.convert("RGB"))
    xs, ys = (WIDTH // 4, 3 * WIDTH // 4), (HEIGHT // 4, 3 * HEIGHT // 4)
    first, second, third, fourth = (
        (int(red), int(green), int(blue))
        for red, green, blue in (rgb[y, x] for y in ys for x in xs)
    )
    return first, second, third, fourth


def _clear_first_quadrant() -> Image.Image:
    """The picture as RGBA, its red quadrant wholly transparent."""
    rgba = picture().convert("RGBA")
    rgba.paste((*RED, 0), (0, 0, WIDTH // 2, HEIGHT // 2))
    return rgba


_CLEARED = (GREY, GREEN, BLUE, YELLOW)


def _jpeg(image: Image.Image | None = None, **options: Any) -> bytes:
    return encode(image or picture(), "JPEG", quality=95, subsampling=0, **options)


def _write_jpegs(corpus: _Corpus) -> None:
    corpus.add("plain.jpg", _jpeg(), tolerance=LOSSY)
    corpus.add("progressive.jpg", _jpeg(progressive=True), tolerance=LOSSY)
    corpus.add("subsampled.jpeg", encode(picture(), "JPEG", quality=60), tolerance=2 * LOSSY)
    corpus.add("grey.jpg", _jpeg(picture().convert("L")), quadrants=_greys(), tolerance=LOSSY)
    cmyk = picture().convert("CMYK")
    corpus.add("cmyk.jpg", _jpeg(cmyk), quadrants=_through(cmyk), tolerance=2 * LOSSY)
    for orientation in range(1, 9):
        content = _jpeg(as_stored(orientation), exif=exif_orientation(orientation))
        corpus.add(f"exif_{orientation}.jpg", content, tolerance=LOSSY)
    big_endian = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHHI", 0x112, 3, 1, 6, 0, 0)
    corpus.add("exif_big_endian.jpg", _jpeg(as_stored(6), exif=big_endian), tolerance=LOSSY)
    corpus.add("exif_damaged.jpg", _jpeg(exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), tolerance=LOSSY)
    out_of_range = exif_orientation(6).replace(b"\x06\0", b"\x2a\0")
    corpus.add("exif_out_of_range.jpg", _jpeg(exif=out_of_range), tolerance=LOSSY)
    no_density = _jpeg(exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\x1a\x01\x05\0" + b"\xff" * 40)
    corpus.add("exif_no_jfif.jpg", _without_segment(no_density, 0xE0), tolerance=LOSSY)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    corpus.add("colour_profile.jpg", _jpeg(icc_profile=profile), tolerance=LOSSY)
    corpus.add("trailing_garbage.jpg", _jpeg() + b"garbage" * 999, tolerance=LOSSY)
    multi = encode(picture(), "MPO", save_all=True, append_images=[picture().rotate(180)])
    corpus.add("two_pictures.mpo", multi, tolerance=2 * LOSSY)


def _without_segment(jpeg: bytes, marker: int) -> bytes:
    start = jpeg.index(bytes((0xFF, marker)))
    length = int.from_bytes(jpeg[start + 2 : start + 4], "big")
    return jpeg[:start] + jpeg[start + 2 + length :]


def _write_pngs(corpus: _Corpus) -> None:
    rgb, grey = picture(), picture().convert("L")
    plain = encode(rgb, "PNG")
    corpus.add("plain.png", plain)
    corpus.add("exif.png", encode(as_stored(6), "PNG", exif=exif_orientation(6)))
    late = png_chunk(b"eXIf", exif_orientation(8).removeprefix(b"Exif\0\0"))
    end = png_chunk(b"IEND", b"")
    corpus.add("exif_late.png", encode(as_stored(8), "PNG").removesuffix(end) + late + end)
    corpus.add("no_end.png", plain.removesuffix(end))
    corpus.add("trailing_garbage.png", plain + b"\0" * 1000)
    corpus.add("palette.png", encode(rgb.quantize(16), "PNG"), tolerance=4)
    indexed = _four_quadrants("P", range(4))
    indexed.putpalette([part for colour in QUADRANTS for part in colour])
    corpus.add("palette_clear.png", encode(indexed, "PNG", transparency=0), quadrants=_CLEARED)
    half = encode(indexed, "PNG", transparency=bytes((128, 255, 255, 255)))
    mixed = _blend(RED, 128)
    corpus.add("palette_half.png", half, quadrants=(mixed, GREEN, BLUE, YELLOW), tolerance=1)
    one_bit = grey.point(lambda level: 255 * (level > 100)).convert("1")
    corpus.add("one_bit.png", encode(one_bit, "PNG"), quadrants=_through(one_bit))
    corpus.add("grey.png", encode(grey, "PNG"), quadrants=_greys())
    keyed = encode(grey, "PNG", transparency=luma(RED)[0])
    corpus.add("grey_key.png", keyed, quadrants=(GREY, *_greys()[1:]))
    grey_alpha = _clear_first_quadrant().convert("LA")
    corpus.add("grey_alpha.png", encode(grey_alpha, "PNG"), quadrants=(GREY, *_greys()[1:]))
    corpus.add("alpha.png", encode(_clear_first_quadrant(), "PNG"), quadrants=_CLEARED)
    corpus.add("alpha_opaque.png", encode(rgb.convert("RGBA"), "PNG"))
    corpus.add("colour_key.png", encode(rgb, "PNG", transparency=RED), quadrants=_CLEARED)
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    corpus.add("grey_16.png", encode(wide, "PNG"), quadrants=_greys())
    keyed = encode(wide, "PNG", transparency=luma(RED)[0] * 257)
    corpus.add("grey_16_key.png", keyed, quadrants=(GREY, *_greys()[1:]))
    corpus.add("rgb_16.png", _png_16(np.asarray(rgb)))
    colour_key = png_chunk(b"tRNS", struct.pack(">3H", *(part * 257 for part in RED)))
    keyed = _png_16(np.asarray(rgb), colour_key)
    corpus.add("rgb_16_key.png", keyed, quadrants=_CLEARED)
    frames = [rgb.rotate(180), rgb.rotate(180)]
    corpus.add("animated.png", encode(rgb, "PNG", save_all=True, append_images=frames))
    frame_count = png_chunk(b"acTL", b"\xff\xff\xff\xff\0\0\0\0")
    corpus.add("animated_badly.png", plain[:33] + frame_count + plain[33:])
    corpus.add("interlaced.png", encode(rgb, "PNG", compress_level=0))
    corpus.add("one_pixel.png", encode(Image.new("RGB", (1, 1), RED), "PNG"), **_plain(RED, (1, 1)))
    for width, height in ((4000, 1), (1, 4000)):
        long = encode(Image.new("RGB", (width, height), BLUE), "PNG")
        corpus.add(f"{width}x{height}.png", long, **_plain(BLUE, (width, height)))


def _png_16(rgb: np.ndarray[Any, Any], before_pixels: bytes = b"") -> bytes:
    wide = (rgb.astype(">u2") * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    pixels = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return png_header(rgb.shape[1], rgb.shape[0], bits=16) + before_pixels + pixels


def _plain(colour: Colour, size: tuple[int, int]) -> dict[str, Any]:
    return {"size": size, "quadrants": (colour,) * 4}


def _blend(colour: Colour, alpha: int) -> Colour:
    red, green, blue = (round((part * alpha + 128 * (255 - alpha)) / 255) for part in colour)
    return red, green, blue


def _write_gifs_and_webps(corpus: _Corpus) -> None:
    rgb, turned = picture(), picture().rotate(180)
    corpus.add("plain.gif", encode(rgb, "GIF"))
    frames = {"save_all": True, "append_images": [turned], "duration": 100}
    corpus.add("animated.gif", encode(rgb, "GIF", **frames))
    corpus.add("clear.gif", encode(_clear_first_quadrant(), "GIF"), quadrants=_CLEARED, tolerance=2)
    corpus.add(
        "one_pixel.gif", encode(Image.new("RGB", (1, 1), BLUE), "GIF"), **_plain(BLUE, (1, 1))
    )
    corpus.add("lossy.webp", encode(rgb, "WEBP", quality=95), tolerance=2 * LOSSY)
    corpus.add("lossless.webp", encode(rgb, "WEBP", lossless=True))
    clear = encode(_clear_first_quadrant(), "WEBP", lossless=True)
    corpus.add("clear.webp", clear, quadrants=_CLEARED)
    corpus.add("animated.webp", encode(rgb, "WEBP", lossless=True, **frames))
    turned_by_exif = encode(as_stored(6), "WEBP", lossless=True, exif=exif_orientation(6))
    corpus.add("exif.webp", turned_by_exif)


def _write_tiffs(corpus: _Corpus) -> None:
    rgb, grey = picture(), picture().convert("L")
    levels = np.asarray(grey)
    corpus.add("plain.tif", encode(rgb, "TIFF"))
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        corpus.add(f"{compression}.tiff", encode(rgb, "TIFF", compression=compression))
    corpus.add("jpeg_inside.tif", encode(rgb, "TIFF", compression="jpeg"), tolerance=2 * LOSSY)
    one_bit = grey.point(lambda level: 255 * (level > 100)).convert("1")
    fax = encode(one_bit, "TIFF", compression="group4")
    corpus.add("fax.tif", fax, quadrants=_through(one_bit))
    greys = _greys()
    wide = Image.fromarray(levels.astype(np.uint16) * 257)
    corpus.add("grey_16.tif", encode(wide, "TIFF"), quadrants=greys)
    big_endian = Image.frombytes("I;16B", wide.size, (levels.astype(">u2") * 257).tobytes())
    corpus.add("grey_16_big_endian.tif", encode(big_endian, "TIFF"), quadrants=greys)
    whole = Image.fromarray(levels.astype(np.int32) * 257)
    corpus.add("integer_32.tif", encode(whole, "TIFF"), quadrants=greys)
    # Stretched from their own extremes to 0..255: the darkest quadrant becomes black.
    least, most = int(levels.min()), int(levels.max())
    stretched = [round((luma(c)[0] - least) * 255 / (most - least)) for c in QUADRANTS]
    first, second, third, fourth = ((level,) * 3 for level in stretched)
    ends = (first, second, third, fourth)
    large = Image.fromarray(levels.astype(np.int32) * 1_000_000 - 70_000_000)
    corpus.add("integer_32_large.tif", encode(large, "TIFF"), quadrants=ends)
    real = Image.fromarray((levels / 255).astype(np.float32))
    corpus.add("float_32.tif", encode(real, "TIFF"), quadrants=ends)
    holes = (levels / 255).astype(np.float32)
    holes[0, :3] = (np.nan, np.inf, -np.inf)
    corpus.add("float_32_holes.tif", encode(Image.fromarray(holes), "TIFF"), quadrants=ends)
    constant = Image.new("F", (WIDTH, HEIGHT), 0.25)
    corpus.add("float_32_constant.tif", encode(constant, "TIFF"), **_plain(GREY, constant.size))
    cmyk = rgb.convert("CMYK")
    corpus.add("cmyk.tif", encode(cmyk, "TIFF"), quadrants=_through(cmyk))
    corpus.add("lab.tif", encode(rgb.convert("LAB"), "TIFF"), tolerance=6)
    corpus.add("ycbcr.tif", encode(rgb.convert("YCbCr"), "TIFF"), tolerance=6)
    corpus.add("palette.tif", encode(rgb.quantize(16), "TIFF"), tolerance=4)
    corpus.add("alpha.tif", encode(_clear_first_quadrant(), "TIFF"), quadrants=_CLEARED)
    grey_alpha = _clear_first_quadrant().convert("LA")
    corpus.add("grey_alpha.tif", encode(grey_alpha, "TIFF"), quadrants=(GREY, *greys[1:]))
    palette_alpha = _clear_first_quadrant().convert("PA")
    content = encode(palette_alpha, "TIFF")
    corpus.add("palette_alpha.tif", content, quadrants=_through_grey(palette_alpha))
    pages = encode(rgb, "TIFF", save_all=True, append_images=[rgb.rotate(180)])
    corpus.add("two_pages.tif", pages)
    corpus.add("exif.tif", encode(as_stored(6), "TIFF", exif=exif_orientation(6)))
    packet = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    corpus.add("xmp_rotation.tif", encode(rgb, "TIFF", tiffinfo={700: packet}))  # EXIF only
    corpus.add("odd_tag.tif", _tiff_with_odd_tag(), quadrants=greys)


def _through_grey(image: Image.Image) -> tuple[Colour, Colour, Colour, Colour]:
    canvas = Image.new("RGBA", image.size, (*GREY, 255))
    return _through(Image.alpha_composite(canvas, image.convert("RGBA")))


def _tiff_with_odd_tag() -> bytes:
    """A readable TIFF of which Pillow warns: two values where the tag takes one."""
    tags: list[tuple[int, int, int, bytes]] = [
        (256, 3, 1, struct.pack("<HH", WIDTH, 0)),
        (257, 3, 1, struct.pack("<HH", HEIGHT, 0)),
        (258, 3, 1, struct.pack("<HH", 8, 0)),
        (259, 3, 1, struct.pack("<HH", 1, 0)),
        (262, 3, 1, struct.pack("<HH", 1, 0)),
        (273, 4, 1, struct.pack("<I", 200)),
        (277, 3, 1, struct.pack("<HH", 1, 0)),
        (278, 3, 1, struct.pack("<HH", HEIGHT, 0)),
        (279, 4, 1, struct.pack("<I", WIDTH * HEIGHT)),
        (296, 3, 2, struct.pack("<HH", 2, 2)),  # resolution unit
    ]
    directory = struct.pack("<H", len(tags))
    for tag, field_type, count, value in tags:
        directory += struct.pack("<HHI", tag, field_type, count) + value
    start = (b"II*\0\x08\0\0\0" + directory + b"\0\0\0\0").ljust(200, b"\0")
    return start + picture().convert("L").tobytes()


def _write_phone_formats(corpus: _Corpus) -> None:
    corpus.add("plain.avif", encode(picture(), "AVIF", quality=95), tolerance=2 * LOSSY)
    turned = encode(as_stored(6), "AVIF", quality=95, exif=exif_orientation(6))
    corpus.add("exif.avif", turned, tolerance=2 * LOSSY)
    if importlib.util.find_spec("pillow_heif") is None:
        corpus.add("plain.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", reason="regraft[heif]")
        return
    import pillow_heif

    for name, orientation in (("plain.heic", 1), ("exif.heif", 6)):
        heif = pillow_heif.from_pillow(as_stored(orientation))
        heif.info["exif"] = exif_orientation(orientation)
        buffer = io.BytesIO()
        heif.save(buffer, quality=95)
        corpus.add(name, buffer.getvalue(), tolerance=2 * LOSSY)
    corpus.add("truncated.heic", buffer.getvalue()[:-200], reason="truncated")


def _write_rarer_formats(corpus: _Corpus) -> None:
    rgb, grey = picture(), picture().convert("L")
    levels = np.asarray(grey)
    for name, file_format in (
        *(("plain.bmp", "BMP"), ("plain.ppm", "PPM"), ("plain.pcx", "PCX"), ("plain.tga", "TGA")),
        *(("plain.dds", "DDS"), ("plain.sgi", "SGI"), ("plain.dib", "DIB"), ("plain.qoi", "QOI")),
        ("plain.j2k", "JPEG2000"),
    ):
        corpus.add(name, encode(rgb, file_format))
    corpus.add("plain.jp2", encode(rgb, "JPEG2000"))
    corpus.add(
        "lossy.jpx", encode(rgb, "JPEG2000", irreversible=True, quality_layers=[10]), tolerance=40
    )
    one_bit = grey.point(lambda level: 255 * (level > 100)).convert("1")
    corpus.add("one_bit.bmp", encode(one_bit, "BMP"), quadrants=_through(one_bit))
    corpus.add("one_bit.pbm", encode(one_bit, "PPM"), quadrants=_through(one_bit))
    corpus.add("one_bit.xbm", encode(one_bit, "XBM"), quadrants=_through(one_bit))
    corpus.add("palette.bmp", encode(rgb.quantize(16), "BMP"), tolerance=4)
    corpus.add("grey.pgm", encode(grey, "PPM"), quadrants=_greys())
    wide = b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + (levels.astype(">u2") * 257).tobytes()
    corpus.add("grey_16.pgm", wide, quadrants=_greys())
    ascii_levels = " ".join(str(part) for part in np.asarray(rgb).ravel())
    corpus.add("ascii.ppm", f"P3 {WIDTH} {HEIGHT} 255\n{ascii_levels}\n".encode())
    real = encode(Image.fromarray((levels / 255).astype(np.float32)), "PPM")
    least, most = int(levels.min()), int(levels.max())
    first, second, third, fourth = (
        (round((luma(c)[0] - least) * 255 / (most - least)),) * 3 for c in QUADRANTS
    )
    corpus.add("float.pfm", real, quadrants=(first, second, third, fourth))
    corpus.add("packed.tga", encode(rgb, "TGA", compression="tga_rle"))
    corpus.add("alpha.tga", encode(_clear_first_quadrant(), "TGA"), quadrants=_CLEARED)
    corpus.add("alpha.dds", encode(_clear_first_quadrant(), "DDS"), quadrants=_CLEARED)
    icon = encode(rgb, "ICO", sizes=[(WIDTH, HEIGHT)])
    corpus.add("plain.ico", icon)
    icon = encode(_clear_first_quadrant(), "ICO", sizes=[(WIDTH, HEIGHT)], bitmap_format="bmp")
    corpus.add("bitmap.ico", icon, quadrants=_CLEARED)
    clear_square = Image.new("RGBA", (128, 128), (*RED, 0))
    corpus.add("clear.icns", encode(clear_square, "ICNS"), size=None, quadrants=(GREY,) * 4)
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, HEIGHT, WIDTH, 8, 3)
    planes = b"".join(band.tobytes() for band in rgb.split())
    corpus.add("flat.psd", header + bytes(12) + b"\0\0" + planes)


def _write_names_and_links(corpus: _Corpus) -> None:
    png = encode(picture(), "PNG")
    for name in (
        *("png_named.jpg", "UPPER.PNG", "no_suffix", "with space.png", "ünïcödé 照片.png"),
        *("emoji 🐜.png", "\ufeffbyte_order_mark.png", "a" * 200 + ".png", "two.dots.png"),
        *("-dash.png", "quote'\".png", "percent%20.png", "comma,semicolon;.png"),
    ):
        corpus.add(name, png)
    corpus.add("link.png", lambda path: path.symlink_to("plain.png"))
    corpus.add("jpeg_named.heic", _jpeg(), tolerance=LOSSY)


def _write_unreadable(corpus: _Corpus) -> None:
    jpeg, png, rgb = _jpeg(), encode(picture(), "PNG"), picture()
    webp, gif = encode(rgb, "WEBP", lossless=True), encode(rgb, "GIF")
    corpus.add("zero_bytes.jpg", b"", reason="empty")
    corpus.add("truncated.jpg", jpeg[: len(jpeg) * 2 // 3], reason="truncated")
    corpus.add("header_only.jpg", jpeg[:100], reason="truncated")
    corpus.add("truncated.png", png[: len(png) // 2], reason="truncated")
    corpus.add("signature_only.png", png[:8], reason="truncated")
    corpus.add("wrong_checksum.png", png[:40] + b"\xff" + png[41:], reason="PNG file")
    corpus.add("truncated.webp", webp[:-20], reason="truncated")
    corpus.add("truncated.gif", gif[: len(gif) // 2], reason="truncated")
    corpus.add("truncated.bmp", encode(rgb, "BMP")[:-500], reason="truncated")
    corpus.add("truncated.tif", encode(rgb, "TIFF")[:-500], reason="truncated")
    corpus.add("truncated.ppm", encode(rgb, "PPM")[:-500], reason="truncated")
    corpus.add("truncated.avif", encode(rgb, "AVIF")[:-50], reason="truncated")
    corpus.add("huge.png", png_header(60_000, 60_000) + bytes(100), reason="60000 x 60000")
    corpus.add(
        "huge.gif", b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + gif[10:], reason="limit"
    )
    corpus.add("large.png", png_header(9_700, 10_400) + bytes(100), reason="9700 x 10400")
    corpus.add("no_pixels.png", png_header(0, 0) + bytes(100), reason="no pixels")
    corpus.add("no_height.bmp", _bmp_without_rows(), reason="no pixels")
    corpus.add("folder.jpg", lambda path: path.mkdir(), reason="folder")
    corpus.add("broken_link.jpg", lambda path: path.symlink_to("nowhere.jpg"), reason="not there")
    corpus.add("circle.jpg", lambda path: path.symlink_to("circle.jpg"), reason="back to itself")
    corpus.add("pipe.jpg", os.mkfifo, reason="not a regular file")
    forbidden = "" if os.geteuid() == 0 else "permission denied"  # root reads everything

    def write_forbidden(path: Path) -> None:
        path.write_bytes(png)
        path.chmod(0)

    corpus.add("forbidden.png", write_forbidden, reason=forbidden)


def _bmp_without_rows() -> bytes:
    bmp = bytearray(encode(picture(), "BMP"))
    bmp[22:26] = bytes(4)
    return bytes(bmp)


def _write_not_images(corpus: _Corpus) -> None:
    svg = b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>'
    for name, content, reason in (
        ("text.jpg", b"Hello, this is not an image.\n", "starts with 'Hello"),
        ("utf8_text.jpg", "Grüße aus Köln".encode(), "starts with 'Grüße"),
        ("one_byte.jpg", b"x", "starts with 'x'"),
        ("page.png", b"<!DOCTYPE html>\n<html><body>404</body></html>", "web page"),
        ("drawing.svg", svg, "SVG"),
        ("drawing.png", b"<svg/>", "SVG"),
        ("document.jpg", b"%PDF-1.7\n", "PDF"),
        ("drawing.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        ("archive.jpg", b"PK\x03\x04" + bytes(40), "archive"),
        ("film.jpg", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video"),
        ("zeros.jpg", bytes(5000), "zero bytes"),
        ("pointer.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs"),
        ("next_jpeg.jpg", b"\xff\x0a" + bytes(30), "JPEG XL"),
        ("._resource.jpg", b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(60), "AppleDouble"),
        ("noise.jpg", bytes(range(255, 0, -1)) * 9, "starts with the bytes ff fe fd"),
        ("bitmap_in_name.bmp", b"BMW is a car maker, not a bitmap", "BMP file"),
    ):
        corpus.add(name, content, reason=reason)
