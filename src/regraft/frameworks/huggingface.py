"""Hugging Face: datasets as Datasets and back, models as folders for timm and transformers.

`from_datasets` and `to_datasets` need the extra `huggingface`. Folders that
`datasets.load_dataset("imagefolder", ...)` reads are what `scan` reads as well.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from regraft.backbones.architectures import Timm
from regraft.dataset import Dataset, Row, scan_files
from regraft.errors import (
    DataError,
    ExportError,
    MissingExtraError,
    UnreadableInputError,
    UsageError,
)
from regraft.kinds import IMAGE, TEXT, kind_named, thing, things
from regraft.kinds.base import read_input
from regraft.kinds.images import SUFFIXES
from regraft.kinds.images.decoding import inspect_container
from regraft.kinds.images.transform import ImageTransform, as_of_images
from regraft.kinds.texts.decoding import decode, text_of
from regraft.model import CENTRE, Model, load, network_of
from regraft.progress import Progress, silent
from regraft.storage.files import make_folder, part_folder, storage_errors, write_atomic
from regraft.telemetry import opt_out

_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "val",
    "valid": "val",
    "val": "val",
    "test": "test",
    "unlabelled": "",
}
_LABELS = ("label", "labels", "class", "target", "fine_label", "category")
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp"}
_NOT_IN_NAMES = frozenset('/\\\0:*?"<>|')
_ROWS_SHOWN = 1_000  # between two tellings of the progress


def from_datasets(
    dataset: Any,
    *,
    folder: str | Path,
    image_column: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    split: str | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Photos or texts of a `datasets.Dataset` or `DatasetDict` as files, and the Dataset of them.

    Photos become `folder/SPLIT/CLASS/ROW-HASH.jpg`, which `scan(folder)` reads as well, with the
    bytes the dataset holds; arrays of grey levels become PNG, texts .txt in UTF-8. A validation
    split is the test set where there is no test split, as in `scan`. A row without a photo or text
    is a row with the status "missing", one that cannot be decoded "unreadable", one without a label
    "unlabelled".

    Args:
        dataset: rows with a photo or a text and a label; nothing of it is changed.
        folder: where the files go; empty or not there yet.
        image_column: None for the only column of images.
        text_column: None for the column "text", or the only one of strings that holds no labels,
            where there is no column of images.
        label_column: None for the only column of class labels, or one called "label"; "" for none.
        group_column: what no split may part, such as a person or a thread; None for none. Groups
            are in the Dataset alone: a later `scan` of the folder does not know them.
        split: of a DatasetDict, the only one to take; of a Dataset, what it is. None for all
            splits, or what the Dataset says of itself.
        progress: told how many rows are done.

    Raises:
        MissingExtraError: datasets is not installed.
        DataError: columns or splits are not clear, the folder is in use, or a class name cannot be
            the name of a folder.
    """
    _require("reading a dataset of Hugging Face")
    root = Path(folder).resolve()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(
            f"{root} is not an empty folder; choose another one, or read what is there: "
            f"regraft.scan({str(folder)!r})"
        )
    paths: list[Path] = []
    labels: list[str] = []
    splits: list[str] = []
    groups: list[str] = []
    missing: list[Row] = []
    understood = []  # all of it before the first file is written
    for name, part in _parts(dataset, split).items():
        inputs = _input_column(part, image_column, text_column, label_column)
        label_of = _labels_of(part, label_column, inputs.name)
        if group_column is not None and group_column not in part.features:
            raise DataError(
                f"there is no column {group_column!r}; expected {' or '.join(part.features)}"
            )
        understood.append((name, part, inputs, label_of))
    kind = understood[0][2].modality if understood else IMAGE
    one, several = thing(kind), things(kind)
    for name, part, inputs, label_of in understood:
        top = {"train": "train", "val": "validation", "test": "test"}.get(name, "unlabelled")
        written: Counter[Path] = Counter()
        for number, (photo, label, group) in enumerate(_rows(part, inputs, label_of, group_column)):
            place = root / top / label if label else root / "unlabelled"
            if isinstance(photo, str):
                path = f"{place.relative_to(root).as_posix()}/row {number}"
                missing.append(
                    Row(path, label=label, split=name, group=group, status="missing", reason=photo)
                )
                continue
            # The number keeps the order of the rows, which shows frames of one film for what they
            # are; where a photo is there twice, its hash says so to people.
            digest = hashlib.sha256(photo).hexdigest()[:16]
            stem = f"{number:06}-{digest}" if label else f"{top}-{number:06}-{digest}"
            written[place / stem] += 1
            if (times := written[place / stem]) > 1:
                stem += f"-{times}"  # the same photo again is a row of its own
            path_of = place / f"{stem}{inputs.suffix(photo)}"
            make_folder(place)
            write_atomic(path_of, photo)
            paths.append(path_of)
            labels.append(label)
            splits.append(name)
            groups.append(group)
            if number % _ROWS_SHOWN == 0:
                progress(f"writing {name or top} {several}", number, len(part))
    if not paths:
        raise DataError(f"the dataset holds no {one}; expected rows with one each")
    data = scan_files(
        paths, labels, groups=groups, splits=splits, root=root, modality=kind, progress=progress
    )
    return replace(data, rows=(*data.rows, *missing), layout="a dataset of Hugging Face")


def to_datasets(data: Dataset) -> Any:
    """A Dataset as a `datasets.DatasetDict`: columns `image` or `text`, and `label`.

    Splits are as they are; groups, if there are any, are a column `group`. Photos stay in their
    files, which are read when a row is asked for; texts are read at once. Readable rows without a
    label are the split "unlabelled"; other rows that are not in use are left out, see
    `Dataset.counts`.

    Raises:
        MissingExtraError: datasets is not installed.
        DataError: no row is in use.
    """
    _require("a DatasetDict")
    opt_out()
    import datasets

    if not data.classes:
        raise DataError(f"no {thing(data.modality)} is in use; see Dataset.status_counts() for why")
    kind = kind_named(data.modality)
    if not (kind.is_picture or kind.in_cells):
        raise DataError(
            f"the data are {kind.things}, and a DatasetDict is made of photos or texts; read the "
            "files that Dataset.rows names"
        )
    column = datasets.Image() if kind.is_picture else datasets.Value("string")
    labels_kind = datasets.ClassLabel(names=list(data.classes))
    features = datasets.Features({data.modality: column, "label": labels_kind})
    has_groups = any(row.group for row in data.rows)
    if has_groups:
        features["group"] = datasets.Value("string")

    def split(rows: tuple[Row, ...], labels: list[int | None]) -> Any:
        columns = {data.modality: [_content(data, row) for row in rows], "label": labels}
        if has_groups:
            columns["group"] = [row.group for row in rows]
        return datasets.Dataset.from_dict(columns, features=features)

    found = {"train": split(data.train, data.labels(data.train).tolist())}
    if data.test:
        found["test"] = split(data.test, data.labels(data.test).tolist())
    if data.unlabelled:
        found["unlabelled"] = split(data.unlabelled, [None] * len(data.unlabelled))
    return datasets.DatasetDict(found)


def save_timm(model: Model | str | Path, folder: str | Path) -> Path:
    """A Model as a folder that timm and transformers load: `config.json`, `model.safetensors`.

        timm.create_model("local-dir:FOLDER", pretrained=True)
        transformers.AutoModelForImageClassification.from_pretrained("FOLDER")

    Softmax of its logits are the calibrated probabilities of the Model; prediction sets and
    unfamiliarity stay behind. Photos have to be upright RGB.

    Args:
        model: a Model, or a model or run folder.
        folder: empty or not there yet.

    Raises:
        ExportError: the folder is in use, or the model is no network of timm with a linear head.
        ModelError: the model is not there or cannot be read.
    """
    found = model if isinstance(model, Model) else load(model)
    place = Path(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ExportError(f"{place} is not an empty folder; choose another name")
    architecture, transform = found.architecture, as_of_images(found.transform)
    what = ""
    if "head.weights" not in found.tensors:
        what = f"a {found.approach} model, which decides by its nearest training photos"
    elif CENTRE in found.tensors:
        what = f"a {found.approach} model, whose head looks at several depths"
    elif found.approach == "scratch" or transform is None:
        what = f"a {found.approach} model of {architecture.title}"
    elif not isinstance(architecture, Timm):
        what = f"a model on {architecture.title}"
    if what or transform is None or not isinstance(architecture, Timm):
        raise ExportError(
            f"this is {what}, expected a linear head on a network of timm; export it as ONNX: "
            "regraft export MODEL FILE.onnx"
        )
    if transform.views != ("plain",):
        raise ExportError(
            "the model averages each photo and its mirror image, which timm does not; fit it with "
            "views=1, or export it as ONNX: regraft export MODEL FILE.onnx"
        )
    from regraft.engines.publishing import save_for_timm

    network = network_of(found, calibrated=True)
    make_folder(place.parent)
    with storage_errors(f"write {place}"), part_folder(place) as staged:
        new = make_folder(staged / place.name)
        save_for_timm(
            network,
            new,
            architecture=architecture.name,
            classes=found.classes,
            preprocessing=_preprocessing(transform),
        )
        if place.exists():
            place.rmdir()
        new.rename(place)
    return place


def _preprocessing(transform: ImageTransform) -> dict[str, Any]:
    """The transform in timm's words."""
    crops = transform.resize == "crop"
    white = transform.normalisation.pixel_max
    return {
        "input_size": (3, transform.image_size_px, transform.image_size_px),
        "crop_pct": transform.crop_pct if crops else 1.0,
        "crop_mode": {"crop": "center", "squash": "squash", "pad": "border"}[transform.resize],
        "interpolation": transform.interpolation,
        "mean": tuple(value / white for value in transform.normalisation.mean),
        "std": tuple(value / white for value in transform.normalisation.std),
    }


def _require(purpose: str) -> None:
    if importlib.util.find_spec("datasets") is None:
        raise MissingExtraError(purpose, "huggingface")


def _parts(dataset: Any, split: str | None) -> dict[str, Any]:
    """The tables by what they are in regraft: "train", "val", "test" or "" for unlabelled."""
    opt_out()
    import datasets

    if isinstance(dataset, datasets.Dataset):
        own = str(dataset.split or "").partition("[")[0]
        dataset = {split or (own if own in _SPLITS else "train"): dataset}
    elif isinstance(dataset, datasets.DatasetDict):
        if split is not None and split not in dataset:
            raise DataError(f"there is no split {split!r}; expected {' or '.join(dataset)}")
        dataset = dict(dataset) if split is None else {"train": dataset[split]}
    else:
        raise UsageError(
            f"the dataset is {type(dataset).__name__}, expected datasets.Dataset or DatasetDict"
        )
    unknown = [name for name in dataset if name not in _SPLITS]
    if unknown:
        raise DataError(
            f"the split {unknown[0]!r} is none of train, validation and test; take one split "
            f"alone, as training photos: split={unknown[0]!r}"
        )
    return {_SPLITS[name]: part for name, part in dataset.items()}


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The column of photos or texts: its name, the bytes of a cell, the suffix of a file.

    `read` is given a cell and the number of its row, and says why where there are no bytes.
    """

    name: str
    modality: str
    read: Callable[[Any, int], bytes | str]
    suffix: Callable[[bytes], str]
    is_encoded: bool = False


def _input_column(
    part: Any, image_column: str | None, text_column: str | None, label_column: str | None
) -> _Inputs:
    """The column of photos, or of texts."""
    opt_out()
    import datasets

    kinds: Mapping[str, Any] = part.features
    encoded = [name for name, kind in kinds.items() if isinstance(kind, datasets.Image)]
    arrays = [
        name
        for name, kind in kinds.items()
        if isinstance(kind, datasets.Array2D | datasets.Array3D)
    ]
    if image_column is not None and text_column is not None:
        raise UsageError("image_column and text_column are both given; expected one of them")
    for asked in (image_column, text_column):
        if asked is not None and asked not in kinds:
            raise DataError(f"there is no column {asked!r}; expected {' or '.join(kinds)}")
    found = [image_column] if image_column is not None else encoded or arrays
    if text_column is None and len(found) == 1:
        name = found[0]
        is_encoded = name in encoded
        return _Inputs(name, IMAGE, _encoded if is_encoded else _as_png, _suffix, is_encoded)
    if text_column is None and not found:
        strings = [
            name
            for name, kind in kinds.items()
            if getattr(kind, "dtype", "") in ("string", "large_string")
            and name not in (label_column, *_LABELS)
        ]
        text_column = next((n for n in strings if n == "text" or len(strings) == 1), None)
    if text_column is not None:
        return _Inputs(text_column, TEXT, _as_utf8, lambda _: ".txt")
    what = f"{len(found)} columns of images ({', '.join(found)})" if found else "no image column"
    more = "" if found else ", or text_column=... for texts"
    raise DataError(
        f"the dataset has {what} among {', '.join(kinds)}; name it: image_column=...{more}"
    )


def _labels_of(part: Any, asked: str | None, photos: str) -> Callable[[Mapping[str, Any]], str]:
    """What gives the class name of a row, "" for none; the function's attribute is its column."""
    opt_out()
    import datasets

    kinds: Mapping[str, Any] = part.features
    if asked is None:
        named = [name for name, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)]
        found = named if len(named) == 1 else [name for name in _LABELS if name in kinds]
        if len(found) != 1:
            what = f"more than one ({', '.join(named or found)})" if named or found else "none"
            raise DataError(
                f"the column of labels is not clear: {what} among {', '.join(kinds)}; name it: "
                "label_column=..., or label_column='' for photos without labels"
            )
        asked = found[0]
    if not asked:
        return lambda _: ""
    if asked not in kinds or asked == photos:
        raise DataError(f"there is no column of labels {asked!r}; expected {' or '.join(kinds)}")
    kind, column = kinds[asked], asked
    names = list(kind.names) if isinstance(kind, datasets.ClassLabel) else None

    def name_of(value: Any) -> str:
        if value is None or (names is not None and value < 0):
            return ""
        return names[value] if names is not None else str(value).strip()

    for name in map(name_of, part.unique(column)):
        if name and (name != name.strip() or name[0] == "." or _NOT_IN_NAMES & set(name)):
            raise DataError(
                f"the class {name!r} cannot be the name of a folder on every system; rename it in "
                f"the column {column!r}"
            )
    return lambda row: name_of(row[column])


def _rows(
    part: Any,
    inputs: _Inputs,
    label_of: Callable[[Mapping[str, Any]], str],
    group_column: str | None,
) -> Iterator[tuple[bytes | str, str, str]]:
    """The bytes of each photo or text, or why there are none, its class name and its group."""
    opt_out()
    import datasets

    part = part.with_format(None)
    if inputs.is_encoded:
        part = part.cast_column(inputs.name, datasets.Image(decode=False))
    for number, row in enumerate(part):
        value, label = row[inputs.name], label_of(row)
        group = row[group_column] if group_column is not None else None
        own = "" if group is None else str(group)
        if value is None:
            yield f"row {number} of the dataset holds no {thing(inputs.modality)}", label, own
        else:
            yield inputs.read(value, number), label, own


def _as_utf8(value: Any, number: int) -> bytes | str:
    if not isinstance(value, str):
        return f"row {number} of the dataset holds {type(value).__name__}, expected a text"
    return value.encode("utf-8", "replace") or f"row {number} of the dataset holds no text"


def _encoded(value: Mapping[str, Any], number: int) -> bytes | str:
    if value["bytes"]:
        return bytes(value["bytes"])
    path = value["path"]
    try:
        return Path(path).read_bytes() or f"the file of row {number} is empty: {path}"
    except (OSError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it names no file"
        return f"row {number} of the dataset holds no photo: {path or ''} {reason}".strip()


def _as_png(value: Any, number: int) -> bytes | str:
    """Grey levels (h, w) or RGB (h, w, 3) without loss."""
    from PIL import Image

    levels = np.asarray(value)
    is_photo = levels.ndim == 2 or (levels.ndim == 3 and levels.shape[2] == 3)
    if not is_photo or levels.size == 0 or levels.min() < 0 or levels.max() > 255:
        shape = " x ".join(map(str, levels.shape))
        return f"row {number} of the dataset is {shape} numbers, expected grey levels 0 to 255"
    file = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _content(data: Dataset, row: Row) -> str:
    """What stands for a row: the path of a photo, the content of a text, as regraft reads it."""
    if kind_named(data.modality).is_picture:
        return str(data.absolute(row))
    return text_of(decode(read_input(data.absolute(row))))


def _suffix(photo: bytes) -> str:
    """The suffix of the format; that of a JPEG for what is none, and shows as unreadable."""
    try:
        kind = inspect_container(photo).format
    except UnreadableInputError:  # scanning will say why
        return ".jpg"
    suffix = _SUFFIXES.get(kind, f".{kind.lower()}")
    return suffix if suffix in SUFFIXES else ".jpg"


__all__ = ["from_datasets", "save_timm", "to_datasets"]
