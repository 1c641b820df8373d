"""The one transform of images: a description goes in, an ONNX graph that computes it comes out.

From upright RGB uint8 (height, width, 3) to the pixels a backbone was trained on. Features,
training, prediction and export share this graph, so that they cannot drift apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from regraft.errors import UsageError
from regraft.kinds.base import Transform
from regraft.onnx_graphs import GraphBuilder, value

if TYPE_CHECKING:
    import onnx

Resize = Literal["crop", "pad", "squash"]
Interpolation = Literal["bicubic", "bilinear"]
ChannelOrder = Literal["rgb", "bgr"]
_VIEWS = ("plain", "mirror")
_MAX_ELONGATION = 4


def _values_of(settings: Any) -> dict[str, object]:
    return {field.name: getattr(settings, field.name) for field in fields(settings)}


def _key_problems(values: Mapping[str, object], settings: type[Any], prefix: str = "") -> list[str]:
    known = {field.name: field.default is MISSING for field in fields(settings)}
    unknown = [f"{prefix}{name} is not known" for name in values if name not in known]
    missing = [f"{prefix}{name} is missing" for name in known if known[name] and name not in values]
    return unknown + missing


def _transform_problems(values: Mapping[str, object]) -> list[str]:
    """What is wrong with the values that are there; absent ones are not judged."""
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "image_size_px": (
            lambda size: isinstance(size, int) and size is not True and 1 <= size <= 4096,
            "a whole number from 1 to 4096",
        ),
        "resize": (lambda name: name in get_args(Resize), _one_of(get_args(Resize))),
        "crop_pct": (lambda part: _is_number(part) and 0.25 <= part <= 1, "a number, 0.25 to 1"),
        "interpolation": (
            lambda name: name in get_args(Interpolation),
            _one_of(get_args(Interpolation)),
        ),
        "normalisation": (lambda inner: isinstance(inner, Normalisation), "a normalisation"),
        "views": (
            lambda names: (
                isinstance(names, list | tuple)
                and 1 <= len(names) == len(set(map(str, names)))
                and all(name in _VIEWS for name in names)
            ),
            f"a list without repetition of {_one_of(_VIEWS)}",
        ),
    }
    return _failed(values, checks, "")


def _normalisation_problems(values: Mapping[str, object], prefix: str = "") -> list[str]:
    def three(numbers: object) -> bool:
        return (
            isinstance(numbers, list | tuple)
            and len(numbers) == 3
            and all(_is_number(number) for number in numbers)
        )

    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "mean": (three, "three numbers"),
        "std": (lambda std: three(std) and min(std) > 0, "three numbers above 0"),
        "pixel_max": (lambda white: _is_number(white) and white > 0, "a number above 0"),
        "channel_order": (
            lambda order: order in get_args(ChannelOrder),
            _one_of(get_args(ChannelOrder)),
        ),
    }
    return _failed(values, checks, prefix)


def _failed(
    values: Mapping[str, object],
    checks: Mapping[str, tuple[Callable[[Any], bool], str]],
    prefix: str,
) -> list[str]:
    return [
        f"{prefix}{name} is {values[name]!r}, expected {expected}"
        for name, (is_right, expected) in checks.items()
        if name in values and not is_right(values[name])
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _one_of(names: tuple[str, ...]) -> str:
    return " or ".join(names)


def _raise_all(problems: list[str]) -> None:
    if problems:
        raise UsageError("image transform: " + "; ".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """What a backbone was trained to see: `(x * pixel_max / 255 - mean) / std` for grey level x.

    `mean` and `std` are in the order of `channel_order`, which is that of the output.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pixel_max: float
    """What white (255) is scaled to before the mean is subtracted: 1 or 255."""
    channel_order: ChannelOrder

    def __post_init__(self) -> None:
        _raise_all(_normalisation_problems(_values_of(self)))


NORMALISATIONS = {
    "torch": Normalisation(
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), pixel_max=1.0, channel_order="rgb"
    ),
    "tf": Normalisation(mean=(0.5,) * 3, std=(0.5,) * 3, pixel_max=1.0, channel_order="rgb"),
    "caffe": Normalisation(
        mean=(103.939, 116.779, 123.68), std=(1.0,) * 3, pixel_max=255.0, channel_order="bgr"
    ),
}
"""The three conventions of pretrained networks. Source: keras.applications.imagenet_utils."""


def normalisation_named(name: str) -> Normalisation:
    """One of the three conventions.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in NORMALISATIONS:
        raise UsageError(
            f"normalize is {name!r}, expected {', '.join(NORMALISATIONS)}: what the network was "
            "trained on; add --normalize"
        )
    return NORMALISATIONS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTransform:
    """From an upright RGB image of any size to what a backbone takes.

    `resize` says how the image becomes a square of `image_size_px`:

    - "crop": the shorter side is resized to `floor(image_size_px / crop_pct)`, the longer one
      in proportion (rounded down), and the centre is cut out, both as torchvision's `Resize`
      and `CenterCrop` do. An image longer than 4:1 first loses its ends, down to the central
      4:1, which changes nothing that is seen but bounds the memory.
    - "pad": the longer side is resized to `image_size_px`, the shorter one in proportion
      (rounded down, at least 1), centred on a square of the normalisation's mean colour.
    - "squash": both sides are resized, whatever becomes of the proportions.

    `views` are the variants of one image, each a row of the output: "plain", or "mirror" (left
    and right exchanged).

    Raises:
        UsageError: one or more values are outside their range; all are named.
    """

    modality: ClassVar[str] = "image"

    image_size_px: int
    resize: Resize = "crop"
    crop_pct: float = 0.875
    interpolation: Interpolation = "bicubic"
    normalisation: Normalisation
    views: tuple[str, ...] = ("plain",)

    def __post_init__(self) -> None:
        _raise_all(_transform_problems(_values_of(self)))

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; `from_dict` reads them back."""
        values = asdict(self)
        values["views"] = list(self.views)
        values["normalisation"]["mean"] = list(self.normalisation.mean)
        values["normalisation"]["std"] = list(self.normalisation.std)
        return values

    @classmethod
    def from_dict(
        cls, values: Mapping[str, object], _files: Mapping[str, Path] | None = None, /
    ) -> ImageTransform:
        """The inverse of `to_dict`; there are no files.

        Raises:
            UsageError: something is missing, unknown or outside its range; all is named.
        """
        problems = _key_problems(values, cls)
        outer = dict(values)
        if isinstance(inner := values.get("normalisation"), Mapping):
            del outer["normalisation"]
            problems += _key_problems(inner, Normalisation, "normalisation.")
            problems += _normalisation_problems(inner, "normalisation.")
        _raise_all(problems + _transform_problems(outer))
        arguments: dict[str, Any] = {**values}
        inner_arguments: dict[str, Any] = {**arguments["normalisation"]}
        for name in ("mean", "std"):
            inner_arguments[name] = tuple(float(part) for part in inner_arguments[name])
        inner_arguments["pixel_max"] = float(inner_arguments["pixel_max"])
        arguments["normalisation"] = Normalisation(**inner_arguments)
        if "crop_pct" in arguments:
            arguments["crop_pct"] = float(arguments["crop_pct"])
        if "views" in arguments:
            arguments["views"] = tuple(arguments["views"])
        return cls(**arguments)

    @property
    def is_batchable(self) -> bool:
        """Photos are brought to one size in the graph, one by one."""
        return False

    @property
    def positions(self) -> int:
        """Pixels."""
        return self.image_size_px**2

    def facts(self) -> dict[str, object]:
        """Input size, normalisation and interpolation."""
        size, normalisation = self.image_size_px, self.normalisation
        return {
            "input_size": [3, size, size],
            "mean": list(normalisation.mean),
            "std": list(normalisation.std),
            "channel_order": normalisation.channel_order,
            "pixel_max": normalisation.pixel_max,
            "interpolation": self.interpolation,
            "crop_pct": self.crop_pct,
        }

    def files(self) -> Mapping[str, Path]:
        """None: the description says all."""
        return {}

    def plain(self, *, precropped: bool = False) -> ImageTransform:
        """The photo as it is; one that was cropped before is squeezed into the square."""
        return replace(self, views=("plain",), resize="squash" if precropped else self.resize)

    def read(self, data: bytes, *, most: int | None = None) -> NDArray[np.uint8]:
        """Upright RGB, uint8 (height, width, 3), of at most `most` pixels; see `image.decode`."""
        from regraft.kinds.images.decoding import MAX_PIXELS, decode

        return decode(data, max_pixels=MAX_PIXELS if most is None else most)

    def vary(self, data: bytes, seed: int) -> NDArray[np.uint8]:
        """See `augment.augment`."""
        from regraft.kinds.images.augment import augment

        return augment(self.read(data), seed, size_px=self.image_size_px)

    def graph(self) -> onnx.ModelProto:
        """See `transform_graph`."""
        return transform_graph(self)

    def stored_graph(self) -> onnx.ModelProto:
        """Grey levels, uint8 [3, size, size]: resized and cropped, not normalised."""
        from onnx import TensorProto

        model = transform_graph(replace(self, normalisation=_UNCHANGED))
        levels = GraphBuilder("stored")
        batch = levels("Cast", "pixels", to=TensorProto.UINT8)
        levels("Squeeze", batch, levels.ints(0), output="stored")
        levels.add_to(model.graph)
        del model.graph.output[:]
        size = self.image_size_px
        model.graph.output.append(value("stored", np.uint8, [3, size, size]))
        return model

    def fit_shape(self, array: NDArray[Any]) -> NDArray[Any]:
        """As it is: all images have one shape behind the resize."""
        return array

    def sample(self) -> bytes:
        """A JPEG of 640 x 480."""
        import io

        from PIL import Image

        noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        photo = io.BytesIO()
        Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC).save(photo, "JPEG")
        return photo.getvalue()


_UNCHANGED = Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3, pixel_max=255.0, channel_order="rgb")


def seen_box(
    transform: ImageTransform, width: int, height: int
) -> tuple[float, float, float, float]:
    """Which part of an image the network sees: left, top, right, bottom.

    In fractions of its width and height, from the upper left corner; "pad" sees more than there
    is, so they may be below 0 and above 1. The steps and roundings are those of
    `transform_graph`.

    >>> squashed = ImageTransform(
    ...     image_size_px=224, resize="squash", normalisation=NORMALISATIONS["torch"]
    ... )
    >>> seen_box(squashed, 640, 480)
    (0.0, 0.0, 1.0, 1.0)
    """
    size = transform.image_size_px
    left, right = _seen_along(transform, size, width, height)
    top, bottom = _seen_along(transform, size, height, width)
    return left, top, right, bottom


def _seen_along(transform: ImageTransform, size: int, side: int, other: int) -> tuple[float, float]:
    if transform.resize == "squash":
        return 0.0, 1.0
    if transform.resize == "pad":
        new = max(1, side * size // max(side, other))
        before = (size - new) // 2
        return -before / new, (size - before) / new
    shorter = min(side, other)
    window = min(side, _MAX_ELONGATION * shorter)
    start = (side - window) // 2
    new = window * math.floor(size / transform.crop_pct) // shorter
    cut = round((new - size) / 2)
    return (
        (start + window * cut / new) / side,
        (start + window * (cut + size) / new) / side,
    )


# ---- The transform as a graph -------------------------------------------------------------


def as_of_images(transform: Transform) -> ImageTransform | None:
    """The transform, if it is one of images."""
    return transform if isinstance(transform, ImageTransform) else None


def transform_graph(transform: ImageTransform) -> onnx.ModelProto:
    """The transform as an ONNX model, the only definition of it.

    Input `image`: uint8 [height, width, 3], upright RGB of any size. Output `pixels`: float32
    [views, 3, size, size]. Plain operators of opset 20; every node, constant and inner value
    is called `transform/...`, so that the graph can be merged in front of a backbone's.

    The resize works on the bytes themselves, which rounds to whole grey levels as Pillow does:
    ONNX Runtime stays within one level of Pillow. Its uint8 resize needs four dimensions, the
    outer two unscaled, and `sizes` given outright. At the border only pixels inside the image
    count (`exclude_outside`), as in Pillow; without it the border differs by up to 20 levels.
    """
    from onnx import TensorProto

    graph = GraphBuilder("transform")
    size = transform.image_size_px
    image = "image"
    # `new`: the (height, width) to resize to.
    if transform.resize == "crop":
        height_width = graph("Shape", image, end=2)
        # Central window of at most 4:1: each side at most 4 times the shorter one.
        shorter = graph("ReduceMin", height_width, keepdims=1)
        window = graph("Min", height_width, graph("Mul", shorter, graph.ints(_MAX_ELONGATION)))
        start = graph("Div", graph("Sub", height_width, window), graph.ints(2))
        image = graph("Slice", image, start, graph("Add", start, window), graph.ints(0, 1))
        # The shorter side: resized * shorter // shorter, exactly `resized`.
        resized = math.floor(size / transform.crop_pct)
        new = graph("Div", graph("Mul", window, graph.ints(resized)), shorter)
    elif transform.resize == "pad":
        height_width = graph("Shape", image, end=2)
        longer = graph("ReduceMax", height_width, keepdims=1)
        new = graph("Div", graph("Mul", height_width, graph.ints(size)), longer)
        new = graph("Max", new, graph.ints(1))
    else:
        new = graph.ints(size, size)

    x = graph("Unsqueeze", graph("Transpose", image, perm=[2, 0, 1]), graph.ints(0))
    x = graph(
        "Resize",
        *(x, "", "", graph("Concat", graph.ints(1, 3), new, axis=0)),
        mode="cubic" if transform.interpolation == "bicubic" else "linear",
        antialias=1,
        cubic_coeff_a=-0.5,
        exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
    )  # uint8 (1, 3, *new)
    if transform.resize == "crop":
        # torchvision's int(round((n - size) / 2)): halves go to the even number.
        spare = graph("Cast", graph("Sub", new, graph.ints(size)), to=TensorProto.FLOAT)
        start = graph("Round", graph("Mul", spare, graph.floats(0.5)))
        start = graph("Cast", start, to=TensorProto.INT64)
        end = graph("Add", start, graph.ints(size))
        x = graph("Slice", x, start, end, graph.ints(2, 3))

    x = graph("Cast", x, to=TensorProto.FLOAT)
    normalisation = transform.normalisation
    if normalisation.channel_order == "bgr":
        x = graph("Gather", x, graph.ints(2, 1, 0), axis=1)
    mean, std = np.array(normalisation.mean), np.array(normalisation.std)
    scale = normalisation.pixel_max / 255.0 / std
    x = graph("Mul", x, graph.floats(scale.reshape(1, 3, 1, 1)))
    x = graph("Add", x, graph.floats((-mean / std).reshape(1, 3, 1, 1)))
    if transform.resize == "pad":
        spare = graph("Sub", graph.ints(size), new)
        before = graph("Div", spare, graph.ints(2))
        after = graph("Sub", spare, before)
        zero = graph.ints(0, 0)
        x = graph("Pad", x, graph("Concat", zero, before, zero, after, axis=0), graph.floats(0.0))

    views = []
    for view in transform.views:
        if view == "mirror":
            ends = graph.ints(np.iinfo(np.int64).min)
            views.append(graph("Slice", x, graph.ints(-1), ends, graph.ints(3), graph.ints(-1)))
        else:
            views.append(x)
    graph("Concat", *views, axis=0, output="pixels")
    return graph.model(
        [value("image", np.uint8, ["height", "width", 3])],
        [value("pixels", np.float32, [len(views), 3, size, size])],
    )
