"""Photos, looked at without a network: what may give a class away, what may be wrong with one.

What is measured is `attributes.py`. Scores and thresholds of faults are cleanvision's defaults, to
which tests hold them.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.kinds.examiner import (
    CONTENT,
    INCIDENTAL,
    Clue,
    FloatArray,
    Mask,
    Measured,
    Moment,
    Portraits,
    Shown,
    Trait,
    far_from_others,
    spread,
)
from regraft.kinds.images.attributes import SIGNATURE_PX, Attributes, measure

# Below which a photo is listed; the score of a good photo is 1.
THRESHOLDS: Mapping[str, float] = {
    "dark": 0.32,
    "light": 0.05,
    "low_information": 0.3,
    "blurry": 0.29,
    "odd_aspect_ratio": 0.35,
}
_GREY = 0.18  # a histogram as even as this says nothing on sharpness
_MEAN_CLASSES, _MEAN_PHOTOS, _MEAN_PX = 12, 200, 64


class ImageExaminer:
    """Photos as an `Examiner`."""

    key = "attributes-2"
    signature = ((SIGNATURE_PX, SIGNATURE_PX), np.dtype(np.uint8))
    faults: Mapping[str, str] = MappingProxyType(
        {
            "dark": "dark",
            "light": "pale",
            "low_information": "nearly empty",
            "blurry": "blurred",
            "odd_aspect_ratio": "of an odd shape",
            "odd_size": "of an odd size",
        }
    )
    clues: tuple[Clue, ...] = (
        Clue(
            "image dimensions",
            INCIDENTAL,
            (lambda a: a.width, lambda a: a.height, lambda a: math.log(a.width / a.height)),
        ),
        Clue(
            "file format",
            INCIDENTAL,
            word=lambda a: f"{a.format} {a.mode} {a.progressive} {a.has_profile}",
        ),
        Clue("JPEG quality", INCIDENTAL, (lambda a: a.jpeg_quality,)),
        Clue("colour subsampling", INCIDENTAL, word=lambda a: a.subsampling),
        Clue("border", INCIDENTAL, (lambda a: a.frame,)),
        Clue("camera", INCIDENTAL, word=lambda a: a.camera),
        Clue("date taken", INCIDENTAL, (lambda a: a.taken,)),
        Clue(
            "file size",
            CONTENT,
            (lambda a: math.log(a.file_bytes / max(1, a.width * a.height)),),
        ),
        Clue("brightness", CONTENT, (lambda a: a.brightness,)),
        Clue("contrast", CONTENT, (lambda a: a.contrast,)),
        Clue("sharpness", CONTENT, (lambda a: a.sharpness,)),
        Clue(
            "mean colour",
            CONTENT,
            (lambda a: a.red - a.green, lambda a: a.blue - a.green, lambda a: a.saturation),
        ),
    )
    clues_of_kind: Mapping[str, str] = MappingProxyType(
        {
            INCIDENTAL: "size, format, compression, border, camera, time and file number",
            CONTENT: "brightness, contrast, sharpness, colour and file size",
        }
    )
    series_example: str = "frames of a film"
    traits: tuple[Trait, ...] = (
        Trait("brightness", "%", False, lambda a: 100 * a.brightness),
        Trait("contrast", "grey levels", False, lambda a: a.contrast),
        Trait("sharpness", "strength of edges", False, lambda a: a.sharpness),
        Trait("colourfulness", "grey levels", False, lambda a: a.saturation),
        Trait("aspect ratio", "width / height", True, lambda a: a.width / a.height),
        Trait("shorter side", "pixels", True, lambda a: float(min(a.width, a.height))),
        Trait("file size", "kB", True, lambda a: a.file_bytes / 1000),
    )

    def measure(self, data: bytes) -> Measured:
        """See `attributes.measure`; the preview is a JPEG file."""
        return measure(data)

    def attributes_from_json(self, text: str) -> Attributes:
        """See `Attributes.from_json`."""
        return Attributes.from_json(text)

    def moment(self, attributes: Attributes | None) -> Moment:
        """By the clock of the camera."""
        return Moment() if attributes is None else Moment(attributes.taken, attributes.camera)

    def find_faults(
        self, attributes: Sequence[Attributes]
    ) -> Mapping[str, tuple[Mask, FloatArray]]:
        """By cleanvision's scores and thresholds; a size is odd beyond Tukey's fences."""
        scores = quality_scores(attributes)
        found = {what: (scores[what] < limit, scores[what]) for what, limit in THRESHOLDS.items()}
        return found | {"odd_size": (odd_sizes(attributes), np.full(len(attributes), 0.5))}

    def summary(
        self,
        attributes: Sequence[Attributes],  # noqa: ARG002 - of a protocol
        previews: Sequence[bytes],  # noqa: ARG002
    ) -> tuple[tuple[str, str], ...]:
        """Nothing that is not in the table of the dataset."""
        return ()

    def shown(self, preview: bytes) -> Shown:
        """A small picture."""
        return Shown(picture=preview)

    def portraits(
        self, classes: Sequence[str], labels: NDArray[np.int64], previews: Sequence[bytes]
    ) -> Portraits:
        """The mean of some photos of each class, evenly spaced, squeezed to a square."""
        from PIL import Image

        means = {}
        for number, name in list(enumerate(classes))[:_MEAN_CLASSES]:
            members = [int(i) for i in np.flatnonzero(labels == number) if previews[int(i)]]
            some = spread(members, _MEAN_PHOTOS)
            if not some:
                continue
            total = np.zeros((_MEAN_PX, _MEAN_PX, 3))
            for i in some:
                with Image.open(io.BytesIO(previews[i]), formats=("JPEG",)) as small:
                    squeezed = small.convert("RGB").resize(
                        (_MEAN_PX, _MEAN_PX), Image.Resampling.BILINEAR
                    )
                total += np.asarray(squeezed, dtype=np.float64)
            out = io.BytesIO()
            mean = np.rint(total / len(some)).astype(np.uint8)
            Image.fromarray(mean).save(out, "JPEG", quality=85)
            means[name] = out.getvalue()
        return Portraits(means=means)


def quality_scores(attributes: Sequence[Attributes]) -> dict[str, FloatArray]:
    """cleanvision's score of every photo for each kind of fault, 0 (bad) to 1, (n,)."""

    def column(name: str) -> FloatArray:
        return np.array([getattr(one, name) for one in attributes], dtype=np.float64)

    evenness = 1.0 - np.exp(-0.01 * column("grey_spread"))
    evenness[evenness <= _GREY] = 0.0
    width, height = column("width"), column("height")
    return {
        "dark": column("brightness_high"),
        "light": 1.0 - column("brightness_low"),
        "low_information": np.minimum(1.0, 0.1 * column("entropy")),
        "blurry": np.minimum(1.0, 1.0 - np.exp(-0.01 * column("sharpness")) + evenness),
        "odd_aspect_ratio": np.minimum(width / height, height / width),
    }


def odd_sizes(attributes: Sequence[Any]) -> Mask:
    """Which photos are far larger or smaller than the others, (n,) (Tukey's fences)."""
    side = np.sqrt([one.width * one.height for one in attributes])
    return far_from_others(side)


EXAMINER = ImageExaminer()

__all__ = ["EXAMINER", "THRESHOLDS", "ImageExaminer", "odd_sizes", "quality_scores"]
