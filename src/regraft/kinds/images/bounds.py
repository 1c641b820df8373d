"""What decoding an image would cost, bounded from its structure before a decoder runs.

Size in bytes and pixels says little of time: a progressive JPEG of 320 kB goes through all of its
blocks once for each of 3,000 scans, a megabyte of fill bytes is read by Pillow one byte at a time,
and an icon of 32 pixels may hold a PNG of 99 megapixels. All bounds count work, none asks a clock,
so that a file is accepted or refused whatever else the machine does.

- `check_structure` reads the markers of a JPEG, the first directory of a TIFF and the pictures
  inside an icon.
- `BoundedReader` is the file that Pillow's plugins read from, in a bounded number of pieces.
- `check_codec` knows which decoders are slow a pixel.
"""

from __future__ import annotations

import io
import re
import struct

from PIL import Image, ImageFile

from regraft.errors import TooLargeError, UnreadableInputError

MAX_SCANS = 500  # of a JPEG; what libjpeg-turbo's own tools are bounded by (djpeg -maxscans)
MAX_BLOCK_VISITS = 40_000_000  # blocks of a JPEG, once for each scan they are in: 90 ns each
_ARITHMETIC = 16  # times the cost of a block coded by Huffman: up to 63 decisions without data
_MAX_SEGMENTS = 100_000  # of a JPEG
_MAX_STRIPS = 100_000  # or tiles of a TIFF: Pillow makes a Python object of each
_OPEN_READS = 200_000  # pieces of a header: a microsecond each
_LOAD_READS = 2_000_000  # pieces of all the rest: runs of a compressed bitmap are read singly
_SLOW_PIXELS = {"jpeg2k": 30_000_000}  # 380 ns a pixel
_ICON_PIXELS = 2048 * 2048  # of a picture inside an icon, four times the largest usual one
_PYTHON_PIXELS = 12_000_000  # decoders that are written in Python: 300 to 1,000 ns a pixel

_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")  # no stuffed byte, fill byte or restart
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PNG = b"\x89PNG\r\n\x1a\n"
_STRIP_OFFSETS, _TILE_OFFSETS = 273, 324  # tags of TIFF


def check_structure(data: bytes) -> None:
    """Refuse what would take a decoder far longer than its size in bytes and pixels suggests.

    Args:
        data: the whole file, of any format.

    Raises:
        UnreadableInputError: there are too many scans, strips or segments.
        TooLargeError: a picture inside an icon is larger than icons are.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            _check_jpeg(data)
        elif data.startswith((b"II", b"MM")):
            _check_tiff(data)
        elif data.startswith((b"\0\0\1\0", b"\0\0\2\0")):
            _check_icon(data)
        elif data.startswith(b"icns"):
            _check_mac_icon(data)
    except (struct.error, IndexError, OverflowError):  # it ends early: the decoder says where
        return


class BoundedReader(io.BytesIO):
    """The bytes of a file, given out in a bounded number of pieces.

    Pillow's plugins walk through headers, and some of its decoders through pixels, in Python, a
    read a step: what they can be made to do is bounded by how often they read.
    """

    _left = _OPEN_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Like `io.BytesIO`; raises UnreadableInputError where it was asked too often."""
        self._left -= 1
        if self._left < 0:
            raise UnreadableInputError(
                "damaged image file: it is cut into more pieces than any image needs"
            )
        return super().read(size)

    def begin_decoding(self) -> None:
        """The header is read; what comes now may take more pieces."""
        self._left = _LOAD_READS


def check_codec(picture: ImageFile.ImageFile) -> None:
    """Refuse pictures that the decoder of their format would take too long for.

    Raises:
        TooLargeError: it has more pixels than that decoder manages in some ten seconds.
    """
    width, height = picture.size
    for codec in {tile[0] for tile in picture.tile}:
        limit = _PYTHON_PIXELS if codec in Image.DECODERS else _SLOW_PIXELS.get(codec, 0)
        if limit and width * height > limit:
            raise TooLargeError(
                f"{width} x {height} pixels, over the limit of {limit / 1e6:g} megapixels for "
                f"{picture.format} files, which take long to decode: save it as PNG or JPEG"
            )


def row_block(picture: ImageFile.ImageFile) -> int:
    """How many bytes to hand to a decoder at once: with less than a row it would wait for more.

    Pillow joins what was not used to the next block, so that rows of many blocks cost the square
    of their length.
    """
    return max(ImageFile.MAXBLOCK, 16 * picture.size[0])


# ---- JPEG ---------------------------------------------------------------------------------


def _check_jpeg(data: bytes) -> None:
    """Bound how often all blocks are gone through, as libjpeg will read the markers.

    See "Two Issues with the JPEG Standard" of the libjpeg-turbo project, on progressive images with
    thousands of scans without data.
    """
    blocks: dict[int, int] = {}  # of each component
    scans = visits = 0
    position = 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            return
        marker, position = data[found.end() - 1], found.end()
        if marker == _EOI:
            return
        if marker == _SOI:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if marker in _FRAMES:
            blocks = _blocks_by_component(data, position, cost=_ARITHMETIC if marker > 0xC8 else 1)
        elif marker == _SOS:
            names = data[position + 3 : position + 3 + 2 * data[position + 2] : 2]
            scans += 1
            visits += sum(blocks.get(name, 0) for name in names)
            if scans > MAX_SCANS or (scans > 1 and visits > MAX_BLOCK_VISITS):
                raise UnreadableInputError(
                    f"the JPEG has {scans:,} scans or more, each over many blocks, and would take "
                    "long to decode: save it as a JPEG with fewer scans"
                )
        position += length
    raise UnreadableInputError(f"damaged JPEG file: more than {_MAX_SEGMENTS:,} segments")


def _blocks_by_component(data: bytes, position: int, *, cost: int) -> dict[int, int]:
    """Blocks of 8 x 8 samples of each component that a frame header names, times `cost`."""
    height, width, count = struct.unpack_from(">HHB", data, position + 3)
    parts = [
        (data[at], data[at + 1] >> 4, data[at + 1] & 15)
        for at in range(position + 8, position + 8 + 3 * count, 3)
    ]
    most_x = max((x for _, x, _ in parts), default=1) or 1
    most_y = max((y for _, _, y in parts), default=1) or 1
    return {
        name: cost * -(-width * x // (8 * most_x)) * -(-height * y // (8 * most_y))
        for name, x, y in parts
    }


# ---- TIFF ---------------------------------------------------------------------------------


def _check_tiff(data: bytes) -> None:
    """Bound the strips or tiles of the first picture."""
    order = "<" if data.startswith(b"II") else ">"
    if struct.unpack_from(order + "H", data, 2)[0] == 43:  # BigTIFF
        (directory,) = struct.unpack_from(order + "Q", data, 8)
        (entries,) = struct.unpack_from(order + "Q", data, directory)
        first, size, count = directory + 8, 20, "Q"
    else:
        (directory,) = struct.unpack_from(order + "I", data, 4)
        (entries,) = struct.unpack_from(order + "H", data, directory)
        first, size, count = directory + 2, 12, "I"
    for at in range(first, first + size * min(entries, 65_536), size):
        tag, _, values = struct.unpack_from(f"{order}HH{count}", data, at)
        if tag in (_STRIP_OFFSETS, _TILE_OFFSETS) and values > _MAX_STRIPS:
            raise UnreadableInputError(
                f"the TIFF is cut into {values:,} strips, over the limit of {_MAX_STRIPS:,}: save "
                "it with larger ones"
            )


# ---- Icons --------------------------------------------------------------------------------


def _check_icon(data: bytes) -> None:
    """Bound the pictures inside a Windows icon or cursor, whatever its directory says of them."""
    (count,) = struct.unpack_from("<H", data, 4)
    for entry in range(6, 6 + 16 * count, 16):
        (at,) = struct.unpack_from("<I", data, entry + 12)
        if data.startswith(_PNG, at):
            _check_png(data, at)
        elif at + 12 <= len(data):  # another one may be whole
            width, height = struct.unpack_from("<ii", data, at + 4)  # of picture and mask
            _check_inner(abs(width), abs(height) // 2)


def _check_mac_icon(data: bytes) -> None:
    """Bound the PNG and JPEG 2000 pictures inside an Apple icon."""
    for found in re.finditer(re.escape(_PNG), data):
        _check_png(data, found.start())
    for found in re.finditer(rb"\xff\x4f\xff\x51", data):  # a JPEG 2000 codestream
        right, bottom, left, top = struct.unpack_from(">IIII", data, found.start() + 8)
        _check_inner(right - left, bottom - top)


def _check_png(data: bytes, at: int) -> None:
    if data[at + 12 : at + 16] != b"IHDR" or data.count(b"IHDR", at, data.find(b"IDAT", at)) > 1:
        raise UnreadableInputError("damaged icon file: a PNG in it does not begin with its size")
    _check_inner(*struct.unpack_from(">II", data, at + 16))


def _check_inner(width: int, height: int) -> None:
    if width * height > _ICON_PIXELS:
        raise TooLargeError(
            f"a picture inside the icon has {width} x {height} pixels, over the limit of "
            f"{_ICON_PIXELS / 1e6:.2g} megapixels for icons"
        )
