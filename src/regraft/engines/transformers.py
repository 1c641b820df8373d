"""Image models of Hugging Face transformers: a configuration in, a torch network out.

A configuration without the names of classes is all that is needed to build a network again; it
travels with a saved model, and nothing of it is code. Of each kind of model the library's own image
classifier is built, so that features are what that takes, pooled as it pools; of a kind that has
none, its base model's pooled output.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regraft.engines.classifiers import Described, classifier_names, describe, pixel_transform
from regraft.errors import BackboneError, MissingExtraError
from regraft.telemetry import opt_out

LEFT_OUT = (  # names of classes, and what says how a file was made rather than what is in it
    *("id2label", "label2id", "_name_or_path", "transformers_version", "torch_dtype", "dtype"),
    *("auto_map", "problem_type", "_commit_hash", "finetuning_task", "return_dict"),
)
_INTERPOLATIONS = {0: "bilinear", 1: "bicubic", 2: "bilinear", 3: "bicubic"}
_FILTERS = {0: "nearest", 1: "lanczos", 4: "box", 5: "hamming"}  # of Pillow, that stand in
_CONVNEXT_SQUASHES_FROM = 384  # px, see ConvNextImageProcessor


def relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a repository's `config.json` is needed to build its network.

    Raises:
        BackboneError: transformers has no image model of that kind, or runs code of the repository.
        MissingExtraError: transformers is not installed.
    """
    kept = {name: value for name, value in config.items() if name not in LEFT_OUT}
    if "id2label" in config:
        kept["num_labels"] = len(config["id2label"])
    _class_and_config(kept)
    return kept


def create(config: Mapping[str, Any]) -> Any:
    """The network with random weights: float32 (n, 3, s, s) to logits (n, k), or to features.

    It has an attribute `headless_width` if it makes features (n, d).

    Raises:
        BackboneError: transformers has no image model of that kind.
        MissingExtraError: transformers is not installed.
    """
    plain, settings, is_classifier = _class_and_config(config)
    output = "logits" if is_classifier else "pooler_output"

    class Network(plain):  # type: ignore[misc, valid-type]
        def forward(self, pixels: Any) -> Any:
            return getattr(super().forward(pixels), output).flatten(1)

    with quiet():
        settings._attn_implementation = "eager"  # noqa: SLF001 - the only one that always exports
        try:
            network: Any = Network(settings).float()
        except Exception as error:  # each configuration checks its values in its own way
            raise BackboneError(
                f"transformers cannot build a network of this config.json ({_line(error)})"
            ) from error
    if not is_classifier:
        network.headless_width = _width(settings)
    return network


def describe_network(config: Mapping[str, Any]) -> Described:
    """Facts on a network; the transform is a guess, which `transform_of` replaces."""
    network = create(config)
    size = image_size_px(network.config.to_dict()) or 224
    half = [0.5] * 3
    return describe(
        network, pixel_transform(size, 1.0, interpolation="bilinear", mean=half, std=half)
    )


def load(config: Mapping[str, Any], weights: Path) -> Any:
    """The network in evaluation mode, its weights read as transformers reads what it publishes.

    Args:
        config: see `relevant`.
        weights: `model.safetensors` or `pytorch_model.bin`, with `config.json` beside it.

    Raises:
        BackboneError: the file is damaged, or does not hold all that makes features.
    """
    plain, settings, is_classifier = _class_and_config(config)
    network = create(config)
    with quiet():
        try:
            loaded, found = plain.from_pretrained(
                weights.parent,
                config=settings,
                local_files_only=True,
                use_safetensors=weights.suffix == ".safetensors",
                weights_only=True,
                output_loading_info=True,
            )
        except Exception as error:  # a damaged file raises whatever its format raises
            raise BackboneError(
                f"transformers cannot load {weights} ({_line(error)}); if it was fetched only in "
                "part, remove it and fetch it again"
            ) from error
    heads = tuple(f"{name}." for name in classifier_names(network)) if is_classifier else ()
    missing = sorted(name for name in found["missing_keys"] if not name.startswith(heads or "\0"))
    if missing:
        raise BackboneError(
            f"{weights} does not hold {missing[0]}, which transformers: "
            f"{config['model_type']} needs ({len(missing)} are missing in all); the file belongs "
            "to another config.json"
        )
    network.load_state_dict(loaded.float().state_dict(), assign=True)
    return network.eval()


def image_size_px(config: Mapping[str, Any]) -> int:
    """The size that a configuration names; 0 where it names none."""
    inner = config.get("vision_config")
    size = config.get("image_size") or (inner or {}).get("image_size") or 0
    return max(size) if isinstance(size, list | tuple) else int(size)


def transform_of(
    preprocessor: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The transform that a repository's `preprocessor_config.json` describes, and what to note.

    The rules are those of the library's image processors: a size of one number is a square where
    nothing is cut out, else the shorter side; ConvNeXt squeezes from 384 pixels on.

    Raises:
        BackboneError: it makes no squares, or is damaged.
    """
    try:
        return _transform_of(preprocessor, config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BackboneError(
            f"preprocessor_config.json cannot be understood ({type(error).__name__}: {error}); "
            "expected what an image processor of transformers saves"
        ) from error


def _transform_of(
    preprocessor: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Values of an ImageTransform, and what it does otherwise than the preprocessor."""
    size, share, resize, notes = _geometry(preprocessor, config)
    resample = int(preprocessor.get("resample", 2))
    used = _INTERPOLATIONS.get(resample, "bilinear")
    if resample in _FILTERS:
        notes.append(f"{_FILTERS[resample]} interpolation is replaced by {used}")
    return {
        "image_size_px": size,
        "resize": resize,
        "crop_pct": min(1.0, share),
        "interpolation": used,
        "normalisation": _normalisation(preprocessor),
    }, notes


def _geometry(
    preprocessor: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[int, float, str, list[str]]:
    """Side in pixels, share of it that a crop leaves, how it is resized, and notes."""
    share = preprocessor.get("crop_pct")
    cuts = bool(preprocessor.get("do_center_crop")) and preprocessor.get("crop_size") is not None
    given = preprocessor.get("size") if preprocessor.get("do_resize", True) else None
    given = given or {"shortest_edge": image_size_px(config) or 224}
    shorter = _side(given, "shortest_edge") if isinstance(given, Mapping) else 0
    square = (0 if shorter else _square(given)) if isinstance(given, Mapping) else int(given)
    if cuts:
        size, resized = _square(preprocessor["crop_size"]), shorter or square
        size = min(size, resized)
        share = size / resized
        if int(size / share) != resized:  # the rounding of the division, not of the crop
            share = size / (resized + 0.5)
        squeezes = square > size and isinstance(given, Mapping)
        note = "photos are cropped, not squeezed before, as the network was trained"
        return size, share, "crop", [note] if squeezes else []
    if share is None:
        return square or shorter, 1.0, "squash" if square else "crop", []
    size = shorter or square
    if size >= _CONVNEXT_SQUASHES_FROM:
        return size, 1.0, "squash", []
    return size, float(share), "crop", []


def _normalisation(preprocessor: Mapping[str, Any]) -> dict[str, Any]:
    scale = float(preprocessor.get("rescale_factor", 1 / 255))
    white = 255 * scale if preprocessor.get("do_rescale", True) else 255.0
    white = float(round(white)) if math.isclose(white, round(white), rel_tol=1e-6) else white
    mean, std = [0.0] * 3, [1.0] * 3
    flips = bool(preprocessor.get("do_flip_channel_order"))
    if preprocessor.get("do_normalize", not flips and "image_mean" in preprocessor):
        mean = [float(value) for value in preprocessor["image_mean"]]
        std = [float(value) for value in preprocessor["image_std"]]
    if preprocessor.get("rescale_offset"):  # -1 to 1, see EfficientNetImageProcessor
        mean = [value + 1.0 for value in mean]
    if preprocessor.get("include_top"):  # the same one divides twice
        std = [value * value for value in std]
    channel_order = "bgr" if flips else "rgb"
    return {"mean": mean, "std": std, "pixel_max": white, "channel_order": channel_order}


def _side(size: Mapping[str, Any], name: str) -> int:
    return int(size.get(name) or 0)


def _square(size: Any) -> int:
    """The side of a square, given as a number or as height and width."""
    if not isinstance(size, Mapping):
        return int(size)
    height = _side(size, "height") or _side(size, "shortest_edge")
    width = _side(size, "width") or height
    if height != width or not height:
        raise BackboneError(
            f"preprocessor_config.json asks for {height} x {width} px, expected a square"
        )
    return height


def _class_and_config(given: Mapping[str, Any]) -> tuple[Any, Any, bool]:
    """The library's class, its configuration, and whether it is a classifier."""
    fields = dict(given)
    kind = str(fields.pop("model_type", ""))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opt_out()
            from transformers import CONFIG_MAPPING, MODEL_MAPPING
            from transformers.models.auto.modeling_auto import (
                MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
            )
    except ImportError as error:
        raise MissingExtraError("an image model of Hugging Face transformers", "huggingface") from (
            error
        )
    if kind not in CONFIG_MAPPING:
        raise BackboneError(
            f"transformers has no model type {kind!r}; a repository with code of its own is not "
            "run: export its network as ONNX and use onnx:FILE"
        )
    with quiet():
        try:
            config = CONFIG_MAPPING[kind](**fields)
        except Exception as error:  # each configuration checks its values in its own way
            raise BackboneError(
                f"config.json is no configuration of {kind} ({_line(error)})"
            ) from error
    found: Any = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING.get(type(config), None)
    is_classifier = found is not None
    found = MODEL_MAPPING.get(type(config), None) if found is None else found
    several = found if isinstance(found, tuple) else (found,)
    named = [one for one in several if one and one.__name__ in (fields.get("architectures") or ())]
    plain = (named or several)[0]
    if plain is None or "pixel_values" not in str(plain.main_input_name):
        raise BackboneError(
            f"{kind} is no image model of transformers; expected one such as vit, swin, convnext, "
            "resnet or dinov2, or a text encoder such as bert, mpnet or roberta"
        )
    return plain, config, is_classifier


def _width(config: Any) -> int:
    """Numbers in the pooled output of a base model."""
    widths = getattr(config, "hidden_sizes", None)
    return int(widths[-1] if widths else config.hidden_size)


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what the library prints while it loads; errors still raise."""
    opt_out()
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
