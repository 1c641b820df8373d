"""Heat maps in, what the page shows of them out: colours laid over photos, and what they mean."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from regraft.evidence.explaining import Box, Explanations, HeatMap, read_explanations
from regraft.features.embedding import read_image
from regraft.reporting import words
from regraft.runs import Run

COLOURS = (
    *("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58"),
    *("#b5de2b", "#fde725"),
)
"""From no evidence to the most: viridis, which the colour-blind and a grey printer tell apart."""

_FAINTEST, _STRONGEST = 0.15, 0.75  # how much of the colour covers the photo
_UNSEEN = 0.45  # brightness of what the network did not see
_LONGEST_PX = 1600  # of a picture in a file of its own
_MARK = ("Software", "regraft explain")  # in that file


@dataclass(frozen=True, slots=True)
class Legend:
    """What is said beside the maps: `grid` as "7 × 7", and what has no map.

    `trusted` is whether the maps are shown, `sentence` why they are or are not; `is_cut` whether
    the network sees less than a whole photo.
    """

    trusted: bool
    sentence: str
    grid: str = ""
    is_cut: bool = False
    missing: tuple[str, ...] = ()


def explain_maps(run: Run) -> tuple[Legend | None, dict[str, HeatMap]]:
    """The legend, None where no maps were asked for; and the maps that may be shown, by path."""
    found = read_explanations(run.folder)
    if found is None:
        return None, {}
    maps = {m.path: m for m in found.shown}
    if not maps:
        reason = found.check.text if found.check and found.maps else found.reason
        said = reason or next(iter(_missing(found)), "no photo was explained")
        return Legend(False, words.sentence(said)), {}
    assert found.check is not None
    rows, columns = next(iter(maps.values())).grid
    return (
        Legend(
            trusted=True,
            sentence=found.check.text,
            grid=f"{rows} \N{MULTIPLICATION SIGN} {columns}",
            is_cut=any(min(m.box[2] - m.box[0], m.box[3] - m.box[1]) < 1 for m in maps.values()),
            missing=_missing(found),
        ),
        maps,
    )


def painted(picture: Image.Image, values: NDArray[np.float64], box: Box) -> Image.Image:
    """A photo in grey with the colours of a heat map on it; what was not seen is darkened.

    Args:
        picture: RGB of any size.
        values: (g, g), 0 to 1.
        box: the part of the photo that they cover, as in `HeatMap`.
    """
    heat = _spread(values, box, picture.size)  # (h, w), NaN where nothing was seen
    grey = np.asarray(picture.convert("L"), dtype=np.float32)[..., None]
    level = np.nan_to_num(heat)[..., None]
    share = _FAINTEST + (_STRONGEST - _FAINTEST) * level
    mixed = (1 - share) * grey + share * _colours(level[..., 0])
    mixed = np.where(np.isnan(heat)[..., None], _UNSEEN * grey, mixed)
    return Image.fromarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def painted_map(picture: Image.Image, heat_map: HeatMap) -> Image.Image:
    """`painted` with a heat map as it is stored."""
    return painted(picture, np.array(heat_map.values), heat_map.box)


def explained_picture(file: Path, heat_map: HeatMap) -> bytes:
    """A photo with its heat map as a PNG file, at most 1,600 pixels a side.

    Raises:
        UnreadableInputError: the photo cannot be decoded.
    """
    picture = Image.fromarray(read_image(file))
    picture.thumbnail((_LONGEST_PX, _LONGEST_PX))
    mark = PngImagePlugin.PngInfo()
    mark.add_text(*_MARK)
    out = io.BytesIO()
    painted_map(picture, heat_map).save(out, "PNG", pnginfo=mark)
    return out.getvalue()


def may_be_replaced(path: Path) -> bool:
    """Whether nothing is lost if a picture is written there: no file, or one of ours."""
    if not path.exists():
        return not path.is_symlink()
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            return bool(picture.info.get(_MARK[0]) == _MARK[1])
    except (OSError, ValueError, SyntaxError):
        return False


def _spread(values: NDArray[np.float64], box: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """The map as large as the picture, smoothly between the middles of its places."""
    width, height = size
    left, top, right, bottom = box
    x = (np.arange(width) + 0.5) / width
    y = (np.arange(height) + 0.5) / height
    columns = _positions((x - left) / (right - left), values.shape[1])
    rows = _positions((y - top) / (bottom - top), values.shape[0])
    across = _between(values, columns)  # (g, w)
    spread = _between(across.T, rows).T
    seen = ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))
    return np.where(seen, spread, np.nan).astype(np.float32)


def _positions(fractions: NDArray[np.float64], places: int) -> NDArray[np.float64]:
    """Fractions of a side as positions among its places, 0 being the middle of the first one."""
    return np.asarray(np.clip(fractions * places - 0.5, 0, places - 1))


def _between(values: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns of (m, g) at positions (k,) between them, by linear interpolation: (m, k)."""
    low = np.minimum(positions.astype(int), values.shape[1] - 1)
    high = np.minimum(low + 1, values.shape[1] - 1)
    part = positions - low
    return np.asarray(values[:, low] * (1 - part) + values[:, high] * part)


def _colours(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Levels (h, w), 0 to 1, as RGB (h, w, 3), 0 to 255."""
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS], np.float32)
    at = levels * (len(stops) - 1)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def _missing(found: Explanations) -> tuple[str, ...]:
    """Why photos have no map, one line a reason."""
    reasons = Counter(reason for _, reason in found.left_out)
    return tuple(
        words.sentence(f"{words.counted(n, 'photo has', 'photos have')} no map: {reason}")
        for reason, n in reasons.most_common()
    )
