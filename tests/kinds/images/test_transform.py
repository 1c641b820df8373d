"""The transform graph against the same steps written with Pillow and numpy, and torchvision's."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from regraft.errors import UsageError
from regraft.kinds.images.transform import (
    NORMALISATIONS,
    ImageTransform,
    Interpolation,
    Normalisation,
    Resize,
    seen_box,
    transform_graph,
)

Pixels = NDArray[np.uint8]
RAW = Normalisation(mean=(0, 0, 0), std=(1, 1, 1), pixel_max=255.0, channel_order="rgb")
SHAPES = (
    *((1, 1), (1, 4000), (4000, 1), (3, 5), (2, 3), (97, 31), (333, 500), (640, 333), (480, 640)),
    *((224, 224), (256, 256), (299, 260), (1200, 900), (90, 361), (361, 90)),
)  # (height, width)


def photo(height: int, width: int) -> Pixels:
    """Smooth colours with some noise, as photos have."""
    y, x = np.mgrid[:height, :width]
    smooth = [np.sin(x / 23 + phase) * 70 + np.cos(y / 31 - phase) * 50 for phase in (0, 1, 2)]
    noise = np.random.default_rng(height * 10_007 + width).normal(0, 12, (height, width, 3))
    return np.clip(np.stack(smooth, axis=2) + 128 + noise, 0, 255).astype(np.uint8)


def run(transform: ImageTransform, pixels: Pixels) -> NDArray[np.float32]:
    (result,) = session(transform).run(None, {"image": pixels})
    return np.asarray(result, np.float32)


def session(transform: ImageTransform) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = transform_graph(transform).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def resized(pixels: Pixels, height: int, width: int, interpolation: str) -> Pixels:
    """Pillow's resize, first across and then down: newer Pillows choose the order by cost."""
    method = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    across = Image.fromarray(pixels).resize((width, pixels.shape[0]), method[interpolation])
    return np.asarray(across.resize((width, height), method[interpolation]))


def reference_crop(pixels: Pixels, transform: ImageTransform) -> Pixels:
    size = transform.image_size_px
    height, width = pixels.shape[:2]
    short = min(height, width)
    if height > 4 * short:
        top = (height - 4 * short) // 2
        pixels = pixels[top : top + 4 * short]
    if width > 4 * short:
        left = (width - 4 * short) // 2
        pixels = pixels[:, left : left + 4 * short]
    height, width = pixels.shape[:2]
    target = math.floor(size / transform.crop_pct)
    if height <= width:
        new_height, new_width = target, int(target * width / height)
    else:
        new_height, new_width = int(target * height / width), target
    whole = resized(np.ascontiguousarray(pixels), new_height, new_width, transform.interpolation)
    top, left = round((new_height - size) / 2.0), round((new_width - size) / 2.0)
    return whole[top : top + size, left : left + size]


def reference_pad(pixels: Pixels, transform: ImageTransform) -> NDArray[np.float64]:
    """NaN where there is padding."""
    size = transform.image_size_px
    height, width = pixels.shape[:2]
    long = max(height, width)
    new_height, new_width = max(1, size * height // long), max(1, size * width // long)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square = np.full((size, size, 3), np.nan)
    inner = resized(pixels, new_height, new_width, transform.interpolation)
    square[top : top + new_height, left : left + new_width] = inner
    return square


def reference_squash(pixels: Pixels, transform: ImageTransform) -> Pixels:
    size = transform.image_size_px
    return resized(pixels, size, size, transform.interpolation)


REFERENCES: dict[str, Callable[[Pixels, ImageTransform], NDArray[Any]]] = {
    "crop": reference_crop,
    "pad": reference_pad,
    "squash": reference_squash,
}


# The three conventions as their frameworks document them, levels (h, w, 3) RGB in 0..255.
def torch_convention(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return (levels / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)


def tf_convention(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return levels / 127.5 - 1


def caffe_convention(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return levels[:, :, ::-1] - (103.939, 116.779, 123.68)


CONVENTIONS = {"torch": torch_convention, "tf": tf_convention, "caffe": caffe_convention}
LEVELS_PER_UNIT = {
    "torch": 255 * np.array((0.229, 0.224, 0.225)),
    "tf": np.full(3, 127.5),
    "caffe": np.ones(3),
}


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
@pytest.mark.parametrize("resize", get_args(Resize))
@pytest.mark.parametrize("convention", NORMALISATIONS)
def test_the_graph_is_within_a_grey_level_of_pillow_and_numpy(
    convention: str, resize: Resize, interpolation: Interpolation
) -> None:
    sizes = {"torch": (224, 0.875), "tf": (299, 0.882), "caffe": (240, 1.0)}
    size, crop_pct = sizes[convention]
    transform = ImageTransform(
        image_size_px=size,
        resize=resize,
        crop_pct=crop_pct,
        interpolation=interpolation,
        normalisation=NORMALISATIONS[convention],
    )
    runner = session(transform)
    compared = 0
    for height, width in SHAPES:
        pixels = photo(height, width)
        (got,) = runner.run(None, {"image": pixels})[0]
        assert got.shape == (3, size, size)
        levels = REFERENCES[resize](pixels, transform).astype(np.float64)
        expected = CONVENTIONS[convention](levels)
        padding = np.isnan(expected)
        got = got.transpose(1, 2, 0)
        assert (got[padding] == 0).all()
        difference = np.abs(got - np.where(padding, 0, expected)) * LEVELS_PER_UNIT[convention]
        # Bilinear weights are often exact halves, which the two round in different directions,
        # once across and once down.
        most, mean = (1.1, 0.002) if interpolation == "bicubic" else (2.1, 0.1)
        assert difference.max() <= most, (height, width)
        assert difference.mean() <= mean, (height, width)
        compared += 1
    assert compared == len(SHAPES)


@pytest.mark.parametrize(
    ("size", "crop_pct"), [(224, 0.875), (240, 0.882), (260, 0.89), (299, 0.95)]
)
def test_sizes_and_offsets_of_the_crop_are_exact(size: int, crop_pct: float) -> None:
    """A ramp shows a shift of the crop by one pixel as a difference of several levels."""
    transform = ImageTransform(image_size_px=size, crop_pct=crop_pct, normalisation=RAW)
    for height, width in ((257, 300), (300, 257), (301, 401), (64, 255), (255, 64)):
        ramp = np.arange(height)[:, None] * 3 + np.arange(width)[None, :] * 5
        pixels = np.stack([ramp % 256] * 3, axis=2).astype(np.uint8)
        got = run(transform, pixels)[0].transpose(1, 2, 0)
        difference = np.abs(got - reference_crop(pixels, transform))
        assert difference.max() <= 2
        assert difference.mean() < 0.01


@pytest.mark.slow  # imports torch, the only test here that does
def test_crop_is_torchvisions_resize_and_centre_crop() -> None:
    functional = pytest.importorskip("torchvision.transforms.functional")
    center_crop, resize = functional.center_crop, functional.resize
    compared = 0
    for size, crop_pct in ((224, 0.875), (260, 0.89)):
        transform = ImageTransform(image_size_px=size, crop_pct=crop_pct, normalisation=RAW)
        for height, width in ((333, 500), (640, 427), (97, 131), (256, 256), (301, 801)):
            pixels = photo(height, width)
            whole = resize(Image.fromarray(pixels), math.floor(size / crop_pct), 3)
            expected = np.asarray(center_crop(whole, [size, size]))
            difference = np.abs(run(transform, pixels)[0].transpose(1, 2, 0) - expected)
            assert difference.max() <= 1.1
            assert difference.mean() < 0.002
            compared += 1
    assert compared == 10


@pytest.mark.parametrize("resize", get_args(Resize))
def test_the_mirror_is_the_flipped_plain_view(resize: Resize) -> None:
    plain = ImageTransform(image_size_px=33, resize=resize, normalisation=NORMALISATIONS["caffe"])
    both = run(replace(plain, views=("plain", "mirror")), photo(50, 71))
    assert both.shape == (2, 3, 33, 33)
    assert np.array_equal(both[1], both[0][:, :, ::-1])
    assert not np.array_equal(both[1], both[0])
    alone = run(replace(plain, views=("mirror",)), photo(50, 71))
    assert np.array_equal(alone[0], both[1])


@settings(deadline=None, max_examples=60)
@given(
    resize=st.sampled_from(get_args(Resize)),
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    size=st.sampled_from([1, 2, 31, 64]),
    crop_pct=st.sampled_from([0.5, 0.875, 1.0]),
)
def test_any_shape_gives_the_promised_shape_and_pixels(
    resize: Resize, height: int, width: int, size: int, crop_pct: float
) -> None:
    transform = ImageTransform(
        image_size_px=size, resize=resize, crop_pct=crop_pct, normalisation=RAW
    )
    pixels = photo(height, width)
    got = run(transform, pixels)
    assert got.shape == (1, 3, size, size)
    expected = np.nan_to_num(REFERENCES[resize](pixels, transform).astype(np.float64))
    assert np.abs(got[0].transpose(1, 2, 0) - expected).max() <= 1


def test_every_graph_is_valid_and_can_be_merged_with_others(
    capfd: pytest.CaptureFixture[str],
) -> None:
    checked = 0
    for resize, interpolation, views, name in itertools.product(
        get_args(Resize),
        get_args(Interpolation),
        (("plain",), ("mirror",), ("plain", "mirror")),
        NORMALISATIONS,
    ):
        transform = ImageTransform(
            image_size_px=48,
            resize=resize,
            interpolation=interpolation,
            views=views,
            normalisation=NORMALISATIONS[name],
        )
        model = transform_graph(transform)
        onnx.checker.check_model(model, full_check=True)
        assert model.ir_version == 10
        assert [(one.domain, one.version) for one in model.opset_import] == [("", 20)]
        graph = model.graph
        inner = {output for node in graph.node for output in node.output} - {"pixels"}
        names = {node.name for node in graph.node} | inner
        names |= {constant.name for constant in graph.initializer}
        assert all(one.startswith("transform/") for one in names)
        used = {one for node in graph.node for one in node.input}
        assert {constant.name for constant in graph.initializer} <= used
        assert inner <= used
        (entry,), (result,) = graph.input, graph.output
        assert (entry.name, result.name) == ("image", "pixels")
        shape = [one.dim_param or one.dim_value for one in entry.type.tensor_type.shape.dim]
        assert shape == ["height", "width", 3]
        assert [one.dim_value for one in result.type.tensor_type.shape.dim] == [
            len(views),
            3,
            48,
            48,
        ]
        session(transform)
        checked += 1
    assert checked == 54
    assert "W:onnxruntime" not in capfd.readouterr().err


def test_a_graph_is_the_same_bytes_every_time() -> None:
    transform = ImageTransform(image_size_px=224, normalisation=NORMALISATIONS["torch"])
    first = transform_graph(transform).SerializeToString(deterministic=True)
    assert first == transform_graph(transform).SerializeToString(deterministic=True)
    assert len(first) < 8_000


_finite = st.floats(-1e6, 1e6)
_positive = st.floats(1e-6, 1e6)
_normalisations = st.builds(
    Normalisation,
    mean=st.tuples(_finite, _finite, _finite),
    std=st.tuples(_positive, _positive, _positive),
    pixel_max=_positive,
    channel_order=st.sampled_from(["rgb", "bgr"]),
)
_transforms = st.builds(
    ImageTransform,
    image_size_px=st.integers(1, 4096),
    resize=st.sampled_from(get_args(Resize)),
    crop_pct=st.floats(0.25, 1.0),
    interpolation=st.sampled_from(get_args(Interpolation)),
    normalisation=_normalisations,
    views=st.sampled_from([("plain",), ("mirror",), ("plain", "mirror"), ("mirror", "plain")]),
)


class TestSettings:
    @given(transform=_transforms)
    def test_to_dict_and_back_through_json(self, transform: ImageTransform) -> None:
        assert ImageTransform.from_dict(json.loads(json.dumps(transform.to_dict()))) == transform

    def test_what_is_left_out_has_its_default(self) -> None:
        values = ImageTransform(image_size_px=240, normalisation=RAW).to_dict()
        for name in ("resize", "crop_pct", "interpolation", "views"):
            del values[name]
        expected = ImageTransform(image_size_px=240, normalisation=RAW)
        assert ImageTransform.from_dict(values) == expected

    def test_whole_numbers_become_floats(self) -> None:
        values = ImageTransform(image_size_px=240, normalisation=RAW).to_dict()
        values["crop_pct"] = 1
        transform = ImageTransform.from_dict(values)
        assert isinstance(transform.crop_pct, float)
        assert all(isinstance(part, float) for part in transform.normalisation.mean)

    def test_all_errors_are_reported_together(self) -> None:
        with pytest.raises(UsageError) as caught:
            ImageTransform.from_dict(
                {
                    "resize": "stretch",
                    "crop_pct": 1.5,
                    "views": ["plain", "plain"],
                    "colour": "sepia",
                    "normalisation": {"mean": [0, 0], "std": [1, 0, 1], "channel_order": "grb"},
                }
            )
        text = str(caught.value)
        for part in (
            "colour is not known",
            "image_size_px is missing",
            "normalisation.pixel_max is missing",
            "normalisation.mean is [0, 0], expected three numbers",
            "normalisation.std is [1, 0, 1], expected three numbers above 0",
            "normalisation.channel_order is 'grb', expected rgb or bgr",
            "resize is 'stretch', expected crop or pad or squash",
            "crop_pct is 1.5, expected a number, 0.25 to 1",
            "views is ['plain', 'plain'], expected a list without repetition of plain or mirror",
        ):
            assert part in text
        assert "\n" not in text

    @pytest.mark.parametrize(
        "wrong",
        [
            *({"image_size_px": 0}, {"image_size_px": True}, {"image_size_px": 224.0}),
            *({"crop_pct": 0}, {"crop_pct": float("nan")}, {"crop_pct": "1"}, {"views": ()}),
            *({"interpolation": "nearest"}, {"normalisation": None}, {"views": "plain"}),
            *(
                {"normalisation": {}},
                {"crop_pct": 0.2},
                {"views": ["upside down"]},
                {"resize": ["crop"]},
                {"image_size_px": 5000},
            ),
        ],
    )
    def test_wrong_values_are_refused_on_construction(self, wrong: dict[str, Any]) -> None:
        right: dict[str, Any] = {"image_size_px": 224, "normalisation": RAW}
        with pytest.raises(UsageError, match=next(iter(wrong))):
            ImageTransform(**{**right, **wrong})
        with pytest.raises(UsageError, match=next(iter(wrong))):
            ImageTransform.from_dict({**ImageTransform(**right).to_dict(), **wrong})

    @settings(max_examples=30)
    @given(values=st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=9)))
    def test_any_other_dictionary_is_refused_with_a_sentence(self, values: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match="image transform: "):
            ImageTransform.from_dict(values)


@pytest.mark.parametrize("shape", [(333, 500), (640, 333), (224, 224), (90, 1200), (1200, 90)])
@pytest.mark.parametrize("resize", get_args(Resize))
def test_the_seen_box_is_where_the_pixels_come_from(resize: Resize, shape: tuple[int, int]) -> None:
    """A photo that says in its colours where each point is: red across, green down."""
    height, width = shape
    size = 160
    transform = ImageTransform(
        image_size_px=size, resize=resize, interpolation="bilinear", normalisation=RAW
    )
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.round((np.arange(width) + 0.5) / width * 255)
    pixels[..., 1] = np.round((np.arange(height) + 0.5) / height * 255)[:, None]
    pixels[..., 2] = 255  # black is padding
    found = run(transform, pixels)[0]
    left, top, right, bottom = seen_box(transform, width, height)
    middles = (np.arange(size) + 0.5) / size
    x, y = left + middles * (right - left), top + middles * (bottom - top)
    inside = ((y > 0.02) & (y < 0.98))[:, None] & ((x > 0.02) & (x < 0.98))
    assert inside.mean() > 0.05
    assert (found[2][inside] > 250).all()
    expected = np.stack(np.broadcast_arrays(x * 255, (y * 255)[:, None]))
    assert np.abs(found[:2] - expected)[:, inside].max() < 3
    outside = ((y < -0.02) | (y > 1.02))[:, None] | ((x < -0.02) | (x > 1.02))
    assert (found[2][outside] < 5).all()
