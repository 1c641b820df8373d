"""What can be told of a photo without a network: the bytes of a file in, plain facts out.

Three kinds. *Incidental* facts come from how a photo was made and kept: its size, format,
compression, frame, camera and time. A model that can be told the answer by them will not hold on
photos that were made otherwise. *Content-driven* facts, such as brightness, depend on what is
shown, so they may rightly say something about the class. The *signature* is a small grey picture by
which copies are recognised, the *thumbnail* a small one in colour for people.

Brightness, sharpness and entropy are those of cleanvision, measured on at most `_SIDE_PX` pixels a
side.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from regraft.kinds.base import facts_from_json, facts_to_json
from regraft.kinds.examiner import Measured
from regraft.kinds.images.decoding import decode, inspect_container

SIGNATURE_PX = 64  # a side of the signature
THUMBNAIL_PX = 112  # the longer side of the thumbnail
_THUMBNAIL_QUALITY = 62
_PERCEIVED = np.array([0.241, 0.691, 0.068], dtype=np.float32)
_SHARPNESS_PX = 64
_SIDE_PX = 512  # photos are reduced to it before their content is measured
_FRAME_PX = 256  # and to this to look for a frame
_UNIFORM = 2.5  # grey levels; rows of a frame vary less, those of a photo hardly ever
_WIDEST_FRAME = 0.25  # of a side; what is uniform further in is a picture of something uniform


@dataclass(frozen=True, slots=True)
class Attributes:
    """Facts on one photo; a number that does not apply is NaN, a text is "".

    Attributes:
        width, height: in pixels, as seen upright.
        file_bytes: size of the file.
        format: "JPEG", "PNG"...
        mode: Pillow's name of the pixel format.
        jpeg_quality: 1 to 100 as the Independent JPEG Group counts, from a JPEG's tables.
        subsampling: of a JPEG's colours: "4:4:4", "4:2:0"...
        progressive: whether a JPEG or PNG is stored in passes.
        has_profile: whether there is a colour profile.
        camera: make and model in EXIF.
        taken: when, in seconds since 1970 by the camera's clock.
        frame: width of a uniform border as a share of the side, 0 to `_WIDEST_FRAME`.
        frame_level: mean grey level of that border, 0 to 255.
        brightness: mean, 0 to 1 (cleanvision).
        brightness_low, brightness_high: 5th and 99th percentile, 0 to 1 (cleanvision).
        contrast: standard deviation of grey levels, 0 to 127.5.
        sharpness: standard deviation of edges in grey levels (cleanvision's blurriness).
        grey_spread: cleanvision's `blurriness_grayscale_std`, which goes with it.
        entropy: bits of the histogram (cleanvision).
        red, green, blue: mean grey level, 0 to 255.
        saturation: mean distance of the channels, 0 to 255.
    """

    width: int
    height: int
    file_bytes: int
    format: str
    mode: str
    jpeg_quality: float
    subsampling: str
    progressive: bool
    has_profile: bool
    camera: str
    taken: float
    frame: float
    frame_level: float
    brightness: float
    brightness_low: float
    brightness_high: float
    contrast: float
    sharpness: float
    grey_spread: float
    entropy: float
    red: float
    green: float
    blue: float
    saturation: float

    def to_json(self) -> str:
        """As JSON; NaN becomes null."""
        return facts_to_json(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Attributes:
        """Read what `to_json` wrote.

        Raises:
            ValueError, TypeError: it is something else.
        """
        return cls(**facts_from_json(text))


Sketch = NDArray[np.uint8]


def measure(data: bytes) -> Measured:
    """The attributes of one photo, its signature and its thumbnail.

    The signature is uint8 (SIGNATURE_PX, SIGNATURE_PX) of grey levels; the preview a JPEG file of
    at most THUMBNAIL_PX a side, without the photo's metadata.

    Safe to call from several threads at once.

    Raises:
        UnreadableInputError: it cannot be decoded.
    """
    pixels = decode(data)
    container = inspect_container(data)
    height, width = pixels.shape[:2]
    picture = Image.fromarray(pixels)
    reduced = _at_most(picture, _SIDE_PX)
    frame, frame_level = _frame(_at_most(reduced, _FRAME_PX))
    grey = np.asarray(reduced.convert("L"), dtype=np.float32)
    colours = np.asarray(reduced, dtype=np.float32)
    red, green, blue = (float(colours[:, :, c].mean()) for c in range(3))
    attributes = Attributes(
        width=width,
        height=height,
        file_bytes=len(data),
        format=container.format,
        mode=container.mode,
        jpeg_quality=_jpeg_quality(container.tables),
        subsampling=container.subsampling,
        progressive=container.progressive,
        has_profile=container.has_profile,
        camera=container.camera,
        taken=_seconds(container.taken),
        frame=frame,
        frame_level=frame_level,
        contrast=float(grey.std()),
        red=red,
        green=green,
        blue=blue,
        saturation=float((colours.max(axis=2) - colours.min(axis=2)).mean()),
        **_content(reduced),
    )
    signature = picture.convert("L").resize((SIGNATURE_PX, SIGNATURE_PX), Image.Resampling.BOX)
    return Measured(attributes, np.asarray(signature), _thumbnail(reduced))


def _thumbnail(picture: Image.Image) -> bytes:
    small = _at_most(picture, THUMBNAIL_PX)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=_THUMBNAIL_QUALITY)
    return out.getvalue()


def _at_most(picture: Image.Image, side_px: int) -> Image.Image:
    longest = max(picture.size)
    if longest <= side_px:
        return picture
    width, height = (max(1, round(side * side_px / longest)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX, reducing_gap=2.0)


def _content(picture: Image.Image) -> dict[str, Any]:
    """Brightness, sharpness and entropy as cleanvision defines them (`image_property.py`).

    Its own functions are not called because importing them loads matplotlib, which takes longer
    than a whole fit; tests hold these to them.
    """
    colours = np.asarray(picture, dtype=np.float32)
    # Perceived brightness (Finley 2006, http://alienryderflex.com/hsp.html).
    seen = np.sqrt(colours**2 @ _PERCEIVED) / 255
    low, high = np.percentile(seen, [5, 99])
    mean = np.sqrt((colours.mean(axis=(0, 1), dtype=np.float64) ** 2) @ _PERCEIVED) / 255
    ratio = max(1.0, max(picture.size) / _SHARPNESS_PX)
    width, height = (max(1, int(side // ratio)) for side in picture.size)
    small = picture.resize((width, height)).convert("L")
    edges = np.asarray(small.filter(ImageFilter.FIND_EDGES), dtype=np.float64)
    return {
        "brightness": float(mean),
        "brightness_low": float(low),
        "brightness_high": float(high),
        "sharpness": float(edges.std()),
        "grey_spread": float(np.std(small.histogram())),
        "entropy": float(picture.entropy()),
    }


def _frame(picture: Image.Image) -> tuple[float, float]:
    """Width of the uniform border on the side that has least of it, or on two opposite sides.

    Letterboxes have a border above and below only, so the wider of the two pairs counts, and of
    each pair the narrower side: a white wall at the top of a room is no border.
    """
    pixels = np.asarray(picture, dtype=np.float32)
    widest, level = 0.0, math.nan
    for turned in (pixels, pixels.transpose(1, 0, 2)):
        edges = [_uniform_rows(turned), _uniform_rows(turned[::-1])]
        rows = min(count for count, _ in edges)
        if rows and abs(edges[0][1] - edges[1][1]) < 2 * _UNIFORM and rows / len(turned) > widest:
            widest, level = rows / len(turned), edges[0][1]
    return widest, level


def _uniform_rows(pixels: NDArray[np.float32]) -> tuple[int, float]:
    """How many rows (h, w, 3) from the top are of one colour, and its grey level."""
    most = int(_WIDEST_FRAME * len(pixels))
    if most < 1:
        return 0, math.nan
    first = np.median(pixels[0], axis=0)
    # The outermost pixels of a JPEG's block may shine through: a few may differ.
    off = np.abs(pixels[:most] - first).max(axis=2) > 4 * _UNIFORM
    even = (off.mean(axis=1) < 0.02) & (pixels[:most].std(axis=1).max(axis=1) < 2 * _UNIFORM)
    count = int(np.argmin(even)) if not even.all() else most
    return count, float(first.mean())


def _jpeg_quality(tables: Mapping[int, Sequence[int]]) -> float:
    """The quality at which the Independent JPEG Group's encoder makes such a luminance table.

    That encoder scales a base table by 5000 / q below 50 and by 200 - 2 q above (jcparam.c), up
    to 255, so the lowest entries tell q. Other encoders' tables get the nearest equivalent.
    """
    if 0 not in tables:
        return math.nan
    if max(tables[0]) == 1:
        return 100.0
    lowest = np.sort(tables[0])[: len(_BASE_LOWEST)]
    scale = 100.0 * float(lowest.sum()) / sum(_BASE_LOWEST)
    quality = 5000.0 / scale if scale > 100 else (200.0 - scale) / 2
    return float(np.clip(round(quality), 1, 100))


# The lowest entries of the standard luminance table (ITU T.81, annex K).
_BASE_LOWEST = (10, 11, 12, 12, 13, 14, 14, 14, 16, 16, 16, 17, 18, 19, 22, 22)


def _seconds(taken: str) -> float:
    with contextlib.suppress(ValueError, OverflowError):
        # The camera's clock knows no zone; only differences matter.
        return datetime.strptime(taken, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    return math.nan


__all__ = ["SIGNATURE_PX", "THUMBNAIL_PX", "Attributes", "Measured", "Sketch", "measure"]
