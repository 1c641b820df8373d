"""What differs between kinds of input when a model is exported: the `Form` of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regraft.engines.precision import integer_graph, integer_weights
from regraft.errors import UsageError
from regraft.kinds import IMAGE, TEXT, kind_named, thing, things
from regraft.kinds.texts.tokens import TOKENIZER
from regraft.model import Model

_ODD_SIZES = ((1, 1), (1, 400), (500, 3), (37, 1_200), (1_600, 90), (223, 225), (4_000, 3_000))
"""Width and height of pictures of noise."""

_ODD_TEXTS = (
    *("a", "?!...", "\n\n  one\r\ntwo\rthree\t \n", "x" * 5_000, "word " * 60_000),
    *("0 12 3.5 10,000 2026-11-25 +49 (0)30", "WHY so LOUD isn't it? Don’t!", "[UNK] [SEP] <s>"),
    *(
        "naïve caffe\u0301 Straße ŒUVRE İstanbul",
        "短い文章です。天気がいい。",
        "مرحبا بالعالم שלום",
    ),
    *(
        "👍🏽 👩‍👩‍👧 😀😀",
        "zero\u200bwidth soft\u00adhyphen non\xa0breaking",
        "\x1b[31mred\x1b[0m\x07" + " and so on" * 9,
    ),
)


@dataclass(frozen=True, slots=True)
class Form:
    """Models of one kind of input, as they are exported and described.

    Attributes:
        modality: the name of the kind.
        script: the source of the program that is shipped beside an exported file.
        script_reads: which files that can read.
        packages: that the script needs, as pip takes them.
        graph_input: what the graph takes, in half a sentence.
        odd: what the inputs of `write_odd` are, for people.
        facts: metadata that other kinds have not.
        write_odd: writes inputs into a folder that every export has to agree on; their paths.
        integers: the graph with 8-bit integers, given some arrays that it takes.
    """

    modality: str
    script: Callable[[], str]
    script_reads: str
    packages: str
    graph_input: Callable[[Model], str]
    odd: str
    facts: Callable[[Model], dict[str, str]]
    write_odd: Callable[[Path], list[str]]
    integers: Callable[[bytes, Sequence[NDArray[Any]]], bytes]

    @property
    def thing(self) -> str:
        """One input, for people: "photo"."""
        return thing(self.modality)

    @property
    def things(self) -> str:
        """Several: "photos"."""
        return things(self.modality)

    @property
    def others(self) -> str:
        """What models of this kind were not measured on."""
        return kind_named(self.modality).others


def form_of(model: Model) -> Form:
    """The form in which a model goes out.

    Raises:
        UsageError: models of that kind of input cannot be exported.
    """
    return form_named(model.transform.modality)


def form_named(name: str) -> Form:
    """That of models of a kind of input; see `form_of`."""
    kind = kind_named(name)
    if kind.form is None:
        raise UsageError(f"models of {kind.things} cannot be exported; use regraft predict")
    form: Form = kind.form()
    return form


def _of_this_package(script: str) -> Callable[[], str]:
    return lambda: files("regraft.exporting").joinpath(script).read_text(encoding="utf-8")


# ---- Photos -------------------------------------------------------------------------------


def _of_photos(model: Model) -> str:
    transform: Any = model.backbone["transform"]
    size = transform["image_size_px"]
    return (
        "`image`: upright RGB, uint8 `[height, width, 3]`, any size; the graph itself makes "
        f"{size} x {size} pixels of it ({transform['resize']})"
    )


def _photo_facts(model: Model) -> dict[str, str]:
    transform: Any = model.backbone["transform"]
    return {
        "resize": str(transform["resize"]),
        "image_size_px": str(transform["image_size_px"]),
        "trained_on_images": str(model.trained_on.get("images", "")),
    }


def _odd_pictures(folder: Path) -> list[str]:
    random = np.random.default_rng(0)
    paths = []
    for width, height in _ODD_SIZES:
        path = folder / f"{width}x{height}.png"
        noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, compress_level=1)
        paths.append(str(path))
    return paths


# ---- Texts --------------------------------------------------------------------------------


def _of_texts(model: Model) -> str:
    transform: Any = model.backbone["transform"]
    return (
        f"`tokens`: token numbers, int64 `[n_tokens]`, 1 to {transform['max_tokens']:,} of them, "
        "as the tokenizer in the metadata entry `tokenizer` makes them (JSON of the tokenizers "
        "library), with its special tokens"
    )


def _text_facts(model: Model) -> dict[str, str]:
    transform: Any = model.transform
    return {
        "tokenizer": model.files[TOKENIZER].read_text(encoding="utf-8"),
        "tokenizer_sha256": transform.tokenizer_sha256,
        "max_tokens": str(transform.max_tokens),
        "unknown_token": str(transform.unknown_token),
        "trained_on_texts": str(model.trained_on.get("images", "")),
    }


def _odd_texts(folder: Path) -> list[str]:
    paths = []
    for number, text in enumerate(_ODD_TEXTS):
        path = folder / f"odd{number}.txt"
        path.write_bytes(text.encode("utf-16" if number % 3 == 2 else "utf-8"))
        paths.append(str(path))
    return paths


OF_PHOTOS = Form(
    modality=IMAGE,
    script=_of_this_package("standalone_image.py"),
    script_reads="what Pillow's own decoders read",
    packages="onnxruntime numpy pillow",
    graph_input=_of_photos,
    odd="pictures of noise of odd sizes",
    facts=_photo_facts,
    write_odd=_odd_pictures,
    integers=integer_graph,
)
OF_TEXTS = Form(
    modality=TEXT,
    script=_of_this_package("standalone_text.py"),
    script_reads="UTF-8, and UTF-16 with its mark",
    packages="onnxruntime numpy tokenizers",
    graph_input=_of_texts,
    odd="odd texts",
    facts=_text_facts,
    write_odd=_odd_texts,
    integers=lambda graph, _: integer_weights(graph),
)
