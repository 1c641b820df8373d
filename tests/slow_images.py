"""Small image files that would keep a decoder busy far longer than their size suggests."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping

from PIL import Image


def scan_bomb(width: int = 7000, height: int = 7000, scans: int = 3000) -> bytes:
    """A progressive JPEG whose scans refine nothing: each goes through all blocks without data."""
    ends = _ends_of_blocks(width, height)
    data = _progressive_head(width, height)
    data += _scan(1, 63, 0x0D, ends)
    for low in range(13, 0, -1):
        data += _scan(1, 63, (low << 4) | (low - 1), ends)
    return data + _scan(1, 63, 0x10, ends) * max(0, scans - 15) + b"\xff\xd9"


def spaced_scan_bomb() -> bytes:
    """The same with tables, comments, restart markers and fill bytes between the scans."""
    between = b"\xff\xfe\x00\x04ab" + b"\xff\xd0" + b"\xff" * 9 + _table(1, 0xE0)
    data = scan_bomb(scans=15).removesuffix(b"\xff\xd9")
    return data + (between + _scan(1, 63, 0x10, _ends_of_blocks(7000, 7000))) * 600


def sequential_scan_bomb() -> bytes:
    """A baseline JPEG that repeats the scan of its one component."""
    width = height = 7000
    frame = struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])
    data = b"\xff\xd8" + _segment(0xDB, b"\0" + bytes([1] * 64)) + _segment(0xC0, frame)
    return data + _table(0, 0) + _table(1, 0) + _scan(0, 63, 0, b"\0") * 600 + b"\xff\xd9"


def filled_jpeg(count: int = 30_000_000) -> bytes:
    """Fill bytes behind the start of a JPEG."""
    return b"\xff\xd8" + b"\xff" * count + jpeg()[2:]


def marked_jpeg(count: int = 5_000_000) -> bytes:
    """Empty comments before the image of a JPEG."""
    return b"\xff\xd8" + b"\xff\xfe\x00\x02" * count + jpeg()[2:]


def marked_within_jpeg(count: int = 2_000_000) -> bytes:
    """Empty comments between two scans of a JPEG."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG", progressive=True)
    head, mark, rest = out.getvalue().rpartition(b"\xff\xda")
    return head + b"\xff\xfe\x00\x02" * count + mark + rest


def chunked_png(count: int = 2_000_000) -> bytes:
    """Empty chunks before the pixels of a PNG."""
    whole = png(8, 8)
    empty = _chunk(b"tIME", b"")
    return whole[:33] + empty * count + whole[33:]


def trailing_png(count: int = 2_000_000) -> bytes:
    """Empty chunks behind the pixels of a PNG."""
    return png(8, 8).removesuffix(_chunk(b"IEND", b"")) + _chunk(b"tEXT", b"") * count


def texts_png() -> bytes:
    """Compressed texts that would be gigabytes."""
    whole = png(8, 8)
    text = _chunk(b"zTXt", b"a\0\0" + zlib.compress(b" " * 1_000_000, 9))
    return whole[:33] + text * 3_000 + whole[33:]


def striped_tiff() -> bytes:
    """A TIFF of a million strips of one byte."""
    count = 1_000_000
    tags = [
        *((256, 4, 1, 1), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, count, 200), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, count, 200)),
    ]
    return _tiff(tags) + b"\0\0\0\0" * count


def tagged_tiff() -> bytes:
    """A TIFF whose 65,000 tags all hold the whole file."""
    tags = [(1000 + i, 7, 700_000, 8) for i in range(60_000)]
    return _tiff(tags)


def wide_bitmap() -> bytes:
    """A grey picture of one row, much longer than a block that is read."""
    width = 90_000_000
    return b"P5 %d 1 255\n" % width + bytes(width)


def large_qoi() -> bytes:
    """Runs of one colour in a format that Pillow decodes in Python."""
    runs = b"\xfd" * (5000 * 5000 // 62 + 1)
    return b"qoif" + struct.pack(">IIBB", 5000, 5000, 3, 0) + runs + b"\0" * 7 + b"\1"


def plain_ppm() -> bytes:
    """Numbers as text, which Pillow decodes in Python."""
    return b"P2 5000 5000 255\n" + b"0 " * 25_000_000


def icon_with_large_png(kind: str = "ICO") -> bytes:
    """An icon of 32 pixels, by its directory, with a PNG of 99 megapixels inside."""
    inner = png_header(11_000, 9_000)
    if kind == "ICNS":
        return b"icns" + struct.pack(">I4sI", 16 + len(inner), b"ic07", 8 + len(inner)) + inner
    entry = struct.pack("<BBBBHHII", 32, 32, 0, 0, 1, 32, len(inner), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + inner


def icon_with_large_bitmap() -> bytes:
    """An icon of 32 pixels, by its directory, with a bitmap of 99 megapixels inside."""
    inner = struct.pack("<IiiHHIIiiII", 40, 11_000, 18_000, 1, 32, 0, 0, 0, 0, 0, 0) + bytes(1000)
    entry = struct.pack("<BBBBHHII", 32, 32, 0, 0, 1, 32, len(inner), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + inner


SLOW: Mapping[str, Callable[[], bytes]] = {
    "scans.jpg": scan_bomb,
    "spaced.jpg": spaced_scan_bomb,
    "sequential.jpg": sequential_scan_bomb,
    "filled.jpg": filled_jpeg,
    "marked.jpg": marked_jpeg,
    "marked_within.jpg": marked_within_jpeg,
    "chunked.png": chunked_png,
    "trailing.png": trailing_png,
    "texts.png": texts_png,
    "striped.tif": striped_tiff,
    "qoi.qoi": large_qoi,
    "plain.ppm": plain_ppm,
    "icon.ico": icon_with_large_png,
    "bitmap.ico": icon_with_large_bitmap,
    "icon.icns": lambda: icon_with_large_png("ICNS"),
}
"""Files that have to be refused, by name."""


def jpeg(size: tuple[int, int] = (16, 16)) -> bytes:
    """An ordinary one."""
    out = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(out, "JPEG")
    return out.getvalue()


def png(width: int, height: int) -> bytes:
    """An ordinary one."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(out, "PNG")
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG whose pixels are too few for its size."""
    pixels = zlib.compress(bytes(1000))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _tiff(tags: list[tuple[int, int, int, int]]) -> bytes:
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(100)


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _table(kind: int, symbol: int) -> bytes:
    return _segment(0xC4, bytes([kind << 4]) + bytes([1] + [0] * 15) + bytes([symbol]))


def _scan(first: int, last: int, bits: int, data: bytes) -> bytes:
    return _segment(0xDA, bytes([1, 1, 0x00, first, last, bits])) + data


def _progressive_head(width: int, height: int) -> bytes:
    blocks = -(-width // 8) * -(-height // 8)
    frame = struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])
    head = b"\xff\xd8" + _segment(0xDB, b"\0" + bytes([1] * 64)) + _segment(0xC2, frame)
    return head + _table(0, 0) + _table(1, 0xE0) + _scan(0, 0, 0, _packed("0" * blocks))


def _ends_of_blocks(width: int, height: int) -> bytes:
    runs, left = "", -(-width // 8) * -(-height // 8)
    while left >= 16384:
        run = min(left, 32767)
        runs, left = runs + "0" + format(run - 16384, "014b"), left - run
    return _packed(runs + ("0" + format(0, "014b") if left else ""))


def _packed(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    whole = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return whole.replace(b"\xff", b"\xff\0")
