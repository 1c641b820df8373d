"""Images: the bytes of a file go in, upright RGB uint8 (height, width, 3) comes out.

Everything later, from the resize to the normalisation, is `transform.py`.

How each pixel format becomes 8-bit RGB:

- The content decides the format, not the suffix. The first frame of an animation, the first
  page of a TIFF, the main picture of a HEIC and the largest of an icon are taken.
- The EXIF rotation is applied. Colour profiles (ICC) are ignored, as they were in the
  pretraining of the backbones.
- Transparency, from an alpha channel, a palette or a colour key, is composited over
  `BACKGROUND`.
- 16-bit grey is mapped linearly from 0..65535 to 0..255 and rounded to the nearest; 16-bit
  colour keeps its high byte, as Pillow reads it.
- 32-bit integers are taken as 16-bit values where all lie in 0..65535, and otherwise stretched
  linearly from their own minimum and maximum to 0..255, as floating-point images always are.
  There NaN counts as the minimum, an infinity as the end it points to, and an image of one
  value, which has no range, becomes `BACKGROUND`.
"""

from __future__ import annotations

import contextlib
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, JpegImagePlugin

from regraft.errors import TooLargeError, UnreadableInputError
from regraft.kinds.base import InputInfo, Reader
from regraft.kinds.images.bounds import BoundedReader, check_codec, check_structure, row_block

MAX_PIXELS = 100_000_000
"""Images with more are refused from their header: decoded, they take 3 to 16 bytes a pixel."""

_PNG_CHUNKS = 200_000  # that are looked through for the rotation

BACKGROUND = (128, 128, 128)
"""The neutral mid-grey that transparent pixels show."""

# Pillow's formats that hold a picture and can be told by their first bytes, the usual ones
# first. Left out on purpose: EPS and WMF (drawings; Pillow runs Ghostscript on the file),
# formats that Pillow only names (PDF, HDF5, GRIB, MPEG), and those it finds by guessing.
_COMMON_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM")
_OTHER_FORMATS = (
    *("WEBP", "TIFF", "AVIF", "JPEG2000", "ICO", "CUR", "ICNS", "PSD", "DDS", "QOI", "SGI"),
    *("PCX", "SUN", "XBM", "XPM", "DIB"),
)
_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)

_Opener = Callable[[IO[bytes], str | bytes], ImageFile.ImageFile]

_ROTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# ---- Decoding -----------------------------------------------------------------------------


def inspect(data: bytes, *, max_pixels: int = MAX_PIXELS) -> InputInfo:
    """Size as seen upright and Pillow mode of an image, from its header alone.

    Raises:
        UnreadableInputError: not an image, damaged, or more than `max_pixels`.
    """
    with _opened(data, max_pixels) as (picture, orientation):
        width, height = picture.size
        if orientation >= 5:
            width, height = height, width
        return InputInfo(width, height, picture.mode)


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """An image as upright RGB, uint8 (height, width, 3), C-contiguous and read-only.

    Safe to call from several threads at once; Pillow releases the interpreter lock.

    Raises:
        UnreadableInputError: not an image, truncated, damaged, or more than `max_pixels`
            (told from the header: such a file costs nothing).
    """
    with _opened(data, max_pixels) as (picture, orientation):
        picture.decodermaxblock = row_block(picture)
        picture.load()
        rgb = _to_rgb(picture)
        if orientation in _ROTATIONS:
            rgb = rgb.transpose(_ROTATIONS[orientation])
        return np.asarray(rgb)


def upright(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture that Pillow has opened, as `decode` returns a file of it.

    Raises:
        UnreadableInputError: it has no pixels or too many, or its file is truncated or damaged.
    """
    with _quiet_pillow():
        try:
            _check_size(picture.size, MAX_PIXELS)
            return np.asarray(_to_rgb(ImageOps.exif_transpose(picture)))
        except UnreadableInputError:
            raise
        except Exception as error:  # Pillow fails in many ways on damaged files
            raise UnreadableInputError(
                _damage(picture.format or "image", bytes(8), error)
            ) from error


@dataclass(frozen=True, slots=True)
class Container:
    """How a picture is kept, from its header alone.

    `tables` are the quantisation tables of a JPEG by their number, `camera` and `taken`
    ("2026:11:23 18:00:00") what EXIF says; all of them empty where there is no such thing.
    """

    format: str
    mode: str
    tables: Mapping[int, Sequence[int]]
    subsampling: str
    progressive: bool
    has_profile: bool
    camera: str
    taken: str


def inspect_container(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Container:
    """Format, compression and origin of an image, from its header alone.

    Raises:
        UnreadableInputError: not an image, damaged, or more than `max_pixels`.
    """
    with _opened(data, max_pixels) as (picture, _):
        info = picture.info
        exif = info.get("exif")
        tags = _tags(exif) if isinstance(exif, bytes) else {}
        is_jpeg = isinstance(picture, JpegImagePlugin.JpegImageFile)
        sampling = JpegImagePlugin.get_sampling(picture) if is_jpeg else -1
        camera = [str(tags.get(tag, "")).strip("\0 ") for tag in (_MAKE, _MODEL)]
        taken = str(tags.get(_TAKEN) or tags.get(_CHANGED) or "").strip("\0 ")
        return Container(
            format=picture.format or "",
            mode=picture.mode,
            tables=dict(getattr(picture, "quantization", {})) if is_jpeg else {},
            subsampling={0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}.get(sampling, ""),
            progressive=bool(info.get("progressive") or info.get("interlace")),
            has_profile=bool(info.get("icc_profile")),
            camera=" ".join(word for word in camera if word)[:80],
            taken=taken[:40],
        )


_MAKE, _MODEL, _CHANGED, _DIRECTORY, _TAKEN = 271, 272, 306, 0x8769, 36867  # EXIF's tags


def _tags(exif: bytes) -> Mapping[int, Any]:
    """Tags of the first EXIF directory and of the photo's own; none where damaged."""
    found = Image.Exif()
    with _quiet_pillow():
        try:
            found.load(exif)
            return dict(found) | dict(found.get_ifd(_DIRECTORY))
        except Exception:  # Pillow fails on damaged tags in many ways
            return {}


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG opened without reading the print resolution from EXIF, which costs time and can
    warn. Using the class instead of Pillow's factory also leaves multi-picture files (MPO) at
    what their first picture is: a plain JPEG.
    """

    def getexif(self) -> Image.Exif:
        return Image.Exif()


@contextlib.contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[tuple[ImageFile.ImageFile, int]]:
    """The opened, not yet decoded image and its EXIF orientation (1 to 8).

    Whatever a decoder raises, on opening or inside the `with` block, leaves as an
    `UnreadableInputError`: Pillow's decoders fail in some dozen different ways on damaged
    files. Only what is no `Exception` (Ctrl-C) passes.
    """
    quiet = contextlib.nullcontext() if _never_warns(data) else _quiet_pillow()
    kind = "image"
    try:
        with quiet, contextlib.closing(_open(data, max_pixels)) as picture:
            kind = picture.format or kind
            _check_size(picture.size, max_pixels)
            check_codec(picture)
            yield picture, _orientation(picture, data)
    except UnreadableInputError:
        raise
    except Image.DecompressionBombError as error:  # of WebP, or a picture inside the picture
        limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        raise TooLargeError(f"too many pixels, over the limit of {_megapixels(limit)}") from error
    except Exception as error:
        raise UnreadableInputError(_damage(kind, data, error)) from error


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """The header read by the first of Pillow's plugins that knows the content.

    What `PIL.Image.open` does, without its own pixel limit: that one warns, cannot be set for
    one call, and raises without saying the size.
    """
    if not data:
        raise UnreadableInputError("the file is empty")
    if data[:4] == b"\x89PNG" and data[12:16] == b"IHDR" and len(data) >= 24:
        _check_size(struct.unpack_from(">II", data, 16), max_pixels)  # though the rest be missing
    check_structure(data)
    failure: UnreadableInputError | None = None
    for name, opener in _candidates(data):
        try:
            return _header(opener, data)
        except (Image.DecompressionBombError, UnreadableInputError):
            raise
        except Exception as error:
            failure = failure or UnreadableInputError(_damage(name, data, error))
    # Targa has no signature. A valid header of one is also the start of an empty cursor file.
    if failure is None or data.startswith(b"\0\0\2\0"):
        with contextlib.suppress(Exception):
            return _header(Image.OPEN["TGA"][0], data)
    raise failure or UnreadableInputError(_what_it_is(data))


def _header(opener: _Opener, data: bytes) -> ImageFile.ImageFile:
    reader = BoundedReader(data)
    picture = opener(reader, "")
    reader.begin_decoding()
    return picture


def _candidates(data: bytes) -> Iterator[tuple[str, _Opener]]:
    """The plugins whose signature fits the first bytes; rare ones are imported only if needed."""
    if _is_heif(data):
        yield "HEIC", _heif_class()
        return
    for formats, load_plugins in ((_COMMON_FORMATS, Image.preinit), (_OTHER_FORMATS, Image.init)):
        load_plugins()
        for name in formats:
            opener, accept = Image.OPEN.get(name, (None, None))
            if opener is None or accept is None:  # a plugin that this Pillow lacks
                continue
            known: bool | str = False
            with contextlib.suppress(struct.error, IndexError):  # fewer bytes than a signature
                known = accept(data[:16])
            if isinstance(known, str):
                raise UnreadableInputError(
                    f"this build of Pillow has no {name}: save the image as PNG or JPEG"
                )
            if known:
                yield name, _Jpeg if name == "JPEG" else opener


def _is_heif(data: bytes) -> bool:
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIF_BRANDS:
        return False
    # The brands "mif1" and "msf1" say only "some HEIF"; the compatible ones tell AVIF apart.
    compatible = data[16 : min(int.from_bytes(data[:4], "big"), 4096)]
    return data[8:12] not in (b"mif1", b"msf1") or b"avi" not in compatible


def _heif_class() -> _Opener:
    """Pillow's plugin for HEIF, used directly and not registered: Pillow stays as it is."""
    try:
        import pillow_heif
    except ImportError as error:
        raise UnreadableInputError(
            'HEIC photos need an extra: pip install "regraft[heif]"'
        ) from error
    return cast("_Opener", pillow_heif.HeifImageFile)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise UnreadableInputError(f"the image has no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise TooLargeError(
            f"{width} x {height} pixels ({_megapixels(width * height)}), "
            f"over the limit of {_megapixels(max_pixels)}"
        )


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:.6g} megapixels"


def _orientation(picture: ImageFile.ImageFile, data: bytes) -> int:
    """The EXIF orientation still to be applied: 1 (none) to 8."""
    if picture.format == "TIFF":
        # Pillow turns these itself, by the TIFF tag. Without the XMP packet only by that.
        picture.info.pop("xmp", None)
        return 1
    exif = picture.info.get("exif")
    if exif is None and picture.format == "PNG":
        exif = _png_chunk(data, b"eXIf")  # often written behind the pixels
    return _exif_orientation(exif) if isinstance(exif, bytes) else 1


def _exif_orientation(exif: bytes) -> int:
    """The orientation tag (0x0112) of the first directory; 1 where absent or damaged.

    Read here, not by Pillow, whose parser reads every tag and warns of damaged ones.
    """
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    with contextlib.suppress(struct.error):
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, field_type = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == 0x0112:
                code = "I" if field_type == 4 else "H"
                (value,) = struct.unpack_from(order + code, exif, entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    return 1


def _png_chunk(data: bytes, name: bytes) -> bytes | None:
    """The content of the first chunk called `name` of a PNG."""
    position = 8
    for _ in range(_PNG_CHUNKS):
        if position + 8 > len(data):
            break
        length = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == name:
            return data[position + 8 : position + 8 + length]
        position += 12 + length
    return None


# ---- Pixel formats ------------------------------------------------------------------------


def _to_rgb(picture: Image.Image) -> Image.Image:
    """A decoded image of any mode as "RGB"; see the top of this module."""
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _grey_from_wide(picture).convert("RGB")
    transparent = picture.has_transparency_data
    colour_key = picture.info.get("transparency")
    if isinstance(colour_key, tuple) and max(colour_key) > 255:  # of 16-bit colour
        picture.info["transparency"] = tuple(part >> 8 for part in colour_key)
    if not transparent:
        picture.info.pop("transparency", None)  # of a mode that has none: Pillow would warn
        return picture.convert("RGB")
    if picture.mode == "La":
        picture = picture.convert("LA")
    rgba = picture.convert("RGBA")
    alpha = rgba.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return rgba.convert("RGB")
    canvas = Image.new("RGB", rgba.size, BACKGROUND)
    canvas.paste(rgba, mask=alpha)
    return canvas


def _grey_from_wide(picture: Image.Image) -> Image.Image:
    """An image of 16 or 32 bits a pixel, integer or float, as 8-bit grey."""
    values = np.asarray(picture)  # (h, w)
    low, high = 0.0, 65535.0
    if picture.mode == "F":
        finite = np.isfinite(values)
        low = float(np.min(values, where=finite, initial=np.inf))
        high = float(np.max(values, where=finite, initial=-np.inf))
    elif picture.mode == "I" and (values.min() < 0 or values.max() > 65535):
        low, high = float(values.min()), float(values.max())
    grey = np.full(values.shape, BACKGROUND[0], np.uint8)
    if low < high:
        rows = max(1, 2**20 // values.shape[1])  # in blocks, for the sake of memory
        for top in range(0, values.shape[0], rows):
            block = np.clip(values[top : top + rows].astype(np.float64), low, high)
            block[np.isnan(block)] = low
            grey[top : top + rows] = np.rint((block - low) * (255.0 / (high - low)))
    colour_key = picture.info.get("transparency")
    if isinstance(colour_key, int):
        grey[values == colour_key] = BACKGROUND[0]
    return Image.fromarray(grey)


# ---- Why something is not an image --------------------------------------------------------


def _damage(kind: str, data: bytes, error: Exception) -> str:
    """One short line for whatever a decoder raised."""
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode the image"
    text = " ".join(str(error).split()).rstrip(".")
    cut_webp = kind == "WEBP" and len(data) < int.from_bytes(data[4:8], "little") + 8
    # Pillow passes some of them on inside a SyntaxError.
    ends_early = any(
        isinstance(cause, EOFError | IndexError | struct.error)
        for cause in (error, error.__cause__)
    )
    if cut_webp or ends_early or re.search(r"truncat|not enough|end of file", text, re.IGNORECASE):
        return f"truncated: the {kind} file ends before its image does"
    if text == "not identified by this driver":
        text = "it has no pixels or an unknown pixel format"
    text = re.sub(r"<_io\.\w+ object at \w+>", "the file", text)[:120]
    return f"damaged {kind} file" + (f": {text}" if text else "")


_NOT_IMAGES = (
    (rb"\s*<(svg\b|[?!].*<svg\b)", "SVG is not supported: save the drawing as PNG"),
    (rb"\s*<(!doctype html|html|head|body)", "not an image but a web page (HTML)"),
    (rb"version https://git-lfs", "not an image but a Git LFS pointer: run git lfs pull"),
    (rb"%PDF", "PDF is not supported: save its pages as PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript is not supported: save the drawing as PNG"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL is not supported: save the image as PNG or JPEG"),
    (rb"\0\x05\x16\x07", "not an image but a macOS metadata file (AppleDouble)"),
    (rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b", "not an image but an archive: unpack it"),
    (rb"....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI ", "not an image but a video: save single frames"),
)


def _what_it_is(data: bytes) -> str:
    """A reason for content that no decoder knows."""
    text = data[:4096].removeprefix(b"\xef\xbb\xbf")
    for pattern, reason in _NOT_IMAGES:
        if re.match(pattern, text, re.IGNORECASE | re.DOTALL):
            return reason
    if not any(text):
        return "not an image: only zero bytes, as of an interrupted copy"
    with contextlib.suppress(UnicodeDecodeError):
        words = " ".join(
            text[:60].decode("utf-8", "strict" if len(text) <= 60 else "ignore").split()
        )
        if words.isprintable() and words:
            return f"not an image: starts with '{words[:20]}'"
    return f"not an image: starts with the bytes {data[:8].hex(' ')}"


# ---- Pillow's warnings --------------------------------------------------------------------

_quiet_lock = threading.Lock()
_quiet_threads = 0
_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


def _never_warns(data: bytes) -> bool:
    """Whether Pillow's plugin for this content has no call that warns."""
    if data.startswith(b"\x89PNG"):
        return data.find(b"acTL", 0, data.find(b"IDAT")) < 0  # not animated
    return data.startswith((b"\xff\xd8\xff", b"BM", b"RIFF")) or data[4:8] == b"ftyp"


@contextlib.contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Ignore the warnings of Pillow's own modules while any thread decodes a rarer format.

    Its TIFF reader, for one, warns of odd tags, and no option turns that off. Warning filters
    belong to the whole process and `warnings.catch_warnings` restores the wrong ones when
    threads overlap; so this adds one entry, for Pillow alone, and the last thread removes
    that entry. JPEG, PNG, WebP, BMP, AVIF and HEIC never come here.
    """
    global _quiet_threads
    with _quiet_lock:
        _quiet_threads += 1
        if _QUIET not in warnings.filters:
            warnings.filterwarnings("ignore", module=_QUIET[3].pattern)
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_threads -= 1
            if _quiet_threads == 0:
                with contextlib.suppress(ValueError):  # somebody replaced the filters meanwhile
                    cast("list[object]", warnings.filters).remove(_QUIET)


READER = Reader(inspect, decode)
