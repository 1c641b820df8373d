"""Paths of photos in, small JPEGs as data URIs out; a file that is gone leaves its reason.

Of a text it is the beginning.

The one place where a photo may be decoded at reduced size, for speed: what models see is
always decoded in full by `regraft.kinds`.
"""

from __future__ import annotations

import base64
import io
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from regraft.errors import UnreadableInputError
from regraft.kinds import IMAGE, kind_named
from regraft.kinds.base import read_input
from regraft.kinds.examiner import Examiner
from regraft.kinds.images.bounds import check_structure
from regraft.kinds.images.decoding import BACKGROUND, MAX_PIXELS, decode

Painter = Callable[[Image.Image], Image.Image]
"""Draws on a picture that has been made small, RGB to RGB."""

_QUALITY = 76
_MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture: `source` is its data URI, or "" and `problem` says why.

    Of a text `text` is its beginning, and there is no picture.
    """

    source: str
    width: int = 0
    height: int = 0
    problem: str = ""
    text: str = ""


def make_thumbnails(photos: Sequence[tuple[Path, int]], modality: str = IMAGE) -> list[Thumbnail]:
    """One thumbnail for each photo and the length in pixels of its longer side.

    Nothing of a photo's metadata (place, camera, comments) goes along. Of another kind of input
    it is what an `Examiner` shows of one.
    """
    kind = kind_named(modality)
    if not kind.is_picture:
        examiner = kind.examiner()
        return [_excerpt(path, examiner) for path, _ in photos]
    return paint_thumbnails([(path, side_px, lambda picture: picture) for path, side_px in photos])


def paint_thumbnails(photos: Sequence[tuple[Path, int, Painter]]) -> list[Thumbnail]:
    """Thumbnails as `make_thumbnails` makes them, each drawn on."""
    if not photos:
        return []
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    # Pillow warns of damaged metadata, which a thumbnail has no use for. The filters belong to
    # the process, so they are set here and not in the workers.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda photo: _thumbnail(*photo), photos))


def small_jpeg(data: bytes, side_px: int, *, quality: int = _QUALITY) -> bytes:
    """The bytes of a photo as a JPEG, upright, its longer side `side_px` at the most.

    Nothing of its metadata goes along. Pillow may warn of damaged metadata: see
    `make_thumbnails`.

    Raises:
        UnreadableInputError: it cannot be decoded.
    """
    return _jpeg(_small(data, side_px), quality)


def _excerpt(path: Path, examiner: Examiner) -> Thumbnail:
    try:
        found = examiner.shown(examiner.measure(read_input(path)).preview)
    except UnreadableInputError as error:
        return Thumbnail("", problem=str(error))
    return Thumbnail("", text=found.text)


def _thumbnail(path: Path, side_px: int, paint: Painter) -> Thumbnail:
    try:
        small = paint(_small(read_input(path), side_px))
    except UnreadableInputError as error:
        return Thumbnail("", problem=str(error))
    text = base64.b64encode(_jpeg(small, _QUALITY)).decode("ascii")
    return Thumbnail(f"data:image/jpeg;base64,{text}", *small.size)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.info.clear()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _small(data: bytes, side_px: int) -> Image.Image:
    if data.startswith(b"\xff\xd8"):
        check_structure(data)
        try:
            return _reduced_jpeg(data, side_px)
        except Exception:  # noqa: S110 - whatever the quick way trips over, the full one explains
            pass
    return _shrunk(Image.fromarray(decode(data)), side_px)


def _reduced_jpeg(data: bytes, side_px: int) -> Image.Image:
    """A JPEG decoded at the smallest of 1/1, 1/2, 1/4 and 1/8 that is large enough."""
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
        if picture.width * picture.height > MAX_PIXELS or picture.mode not in ("RGB", "L"):
            raise UnreadableInputError("left to the full decoder")
        picture.draft("RGB", (side_px, side_px))
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    return _shrunk(upright, side_px)


def _shrunk(picture: Image.Image, side_px: int) -> Image.Image:
    scale = side_px / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    small = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    if min(small.size) >= 4:
        return small
    # A sliver would be invisible: give it some room.
    return ImageOps.pad(small, (max(4, width), max(4, height)), color=BACKGROUND)
