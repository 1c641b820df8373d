"""Hugging Face: datasets become files and come back, model folders say what the Model says."""

from __future__ import annotations

import importlib.util
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import regraft as rg
from regraft.backbones.sources import get_backbone
from regraft.errors import DataError, ExportError, MissingExtraError, UsageError
from regraft.frameworks.huggingface import from_datasets, save_timm, to_datasets
from tests.conftest import MakeImageFolder
from tests.tiny_networks import ARCHITECTURE, write_weights

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # theirs, of Python and of torch
        warnings.simplefilter("ignore", ResourceWarning)  # photos that datasets leaves to Pillow
        yield
    datasets.enable_progress_bars()


def photo(level: int, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    random = np.random.default_rng(level)
    Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def table(photos: list[Any], labels: list[Any], kind: Any, **options: Any) -> Any:
    features = datasets.Features({"picture": datasets.Image(), "label": kind})
    cells = [one if one is None else {"bytes": one, "path": None} for one in photos]
    columns = {"picture": cells, "label": labels}
    return datasets.Dataset.from_dict(columns, features=features, **options)


CLASSES = datasets.ClassLabel(names=["ant", "bee"])
TEXT = datasets.Value("string")


def test_bytes_stay_and_every_row_is_listed(tmp_path: Path) -> None:
    photos = [photo(i, "JPEG" if i % 2 else "PNG") for i in range(6)]
    rows = [*photos, photos[0], b"no photo at all", None, photo(9)]
    train = table(rows, [0, 1, 0, 1, 0, 1, 0, 0, 1, -1], CLASSES)
    held = table([photo(20), photo(21)], [0, 1], CLASSES)
    theirs = datasets.DatasetDict({"train": train, "validation": held})
    data = from_datasets(theirs, folder=tmp_path / "files")
    assert data.classes == ("ant", "bee")
    assert data.status_counts() == {"ok": 9, "unlabelled": 1, "unreadable": 1, "missing": 1}
    kept = {data.absolute(row).read_bytes() for row in data.train}
    assert kept == set(photos)
    assert {row.path.rpartition(".")[2] for row in data.train} == {"jpg", "png"}
    assert [row.reason for row in data.rows if row.status == "missing"] == [
        "row 8 of the dataset holds no photo"
    ]
    assert sorted(row.label for row in data.test) == ["ant", "bee"]
    again = rg.scan(tmp_path / "files")
    assert again.fingerprint() == data.fingerprint()


@pytest.mark.parametrize(
    ("kind", "labels", "names"),
    [
        (TEXT, ["wet", "dry", "wet", "dry"], ("dry", "wet")),
        (datasets.Value("int64"), [7, 3, 7, 3], ("3", "7")),
    ],
)
def test_labels_may_be_names_or_numbers(
    tmp_path: Path, kind: Any, labels: list[Any], names: tuple[str, ...]
) -> None:
    theirs = table([photo(i) for i in range(4)], labels, kind)
    assert from_datasets(theirs, folder=tmp_path / "files").classes == names


def test_arrays_become_png_without_loss(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    features = datasets.Features({"pixels": datasets.Array3D((5, 6, 3), "uint8"), "label": CLASSES})
    theirs = datasets.Dataset.from_dict(
        {"pixels": list(levels), "label": [0, 1, 0, 1]}, features=features
    )
    data = from_datasets(theirs, folder=tmp_path / "files")
    found = {np.asarray(Image.open(data.absolute(row))).tobytes() for row in data.train}
    assert found == {one.tobytes() for one in levels}


def test_what_is_not_clear_is_explained(tmp_path: Path) -> None:
    photos = [photo(0), photo(1)]
    good = table(photos, [0, 1], CLASSES)
    folder = tmp_path / "files"
    with pytest.raises(DataError, match="the split 'extra' is none of train, validation and test"):
        from_datasets(datasets.DatasetDict({"extra": good}), folder=folder)
    with pytest.raises(DataError, match="no image column among label; name it: image_column="):
        from_datasets(good.remove_columns("picture"), folder=folder)
    with pytest.raises(DataError, match=r"column of labels is not clear: none among picture"):
        from_datasets(good.remove_columns("label"), folder=folder)
    with pytest.raises(DataError, match="the class 'a/b' cannot be the name of a folder"):
        from_datasets(table(photos, ["a/b", "c"], TEXT), folder=folder)
    assert not folder.exists()
    with pytest.raises(UsageError, match=r"the dataset is list, expected datasets\.Dataset"):
        from_datasets([1], folder=folder)
    (folder / "mine").mkdir(parents=True)
    with pytest.raises(DataError, match=r"is not an empty folder; choose another one"):
        from_datasets(good, folder=folder)


def test_there_and_back(make_image_folder: MakeImageFolder, tmp_path: Path) -> None:
    counts = {"train/ant": 4, "train/bee": 3, "test/ant": 2, "test/bee": 2}
    data = rg.scan(make_image_folder(counts))
    theirs = to_datasets(data)
    assert {name: len(part) for name, part in theirs.items()} == {"train": 7, "test": 4}
    assert theirs["train"].features["label"].names == ["ant", "bee"]
    assert theirs["train"][0]["image"].size == (12, 8)
    again = from_datasets(theirs, folder=tmp_path / "again")
    assert again.fingerprint() == data.fingerprint()


def reviews(column: str = "text", **more: Any) -> Any:
    texts = ["lovely soup", "naïve café\nwarm", "cold soup", None, "", "rude waiter", "fine"]
    columns = {column: texts, "label": [1, 1, 0, 0, 1, 0, -1], "by": list("aabbccd")}
    kinds = {column: TEXT, "label": datasets.ClassLabel(names=["bad", "good"]), "by": TEXT}
    return datasets.Dataset.from_dict(columns | more, features=datasets.Features(kinds))


def test_texts_become_files_and_come_back_with_their_groups(tmp_path: Path) -> None:
    data = from_datasets(reviews(), folder=tmp_path / "files", group_column="by")
    assert data.modality == "text"
    assert data.classes == ("bad", "good")
    assert data.status_counts() == {"ok": 4, "unlabelled": 1, "missing": 2}
    assert {row.group for row in data.train} == {"a", "b", "c"}
    reasons = {row.reason for row in data.rows if row.status == "missing"}
    assert reasons == {f"row {i} of the dataset holds no text" for i in (3, 4)}
    again = to_datasets(data)
    assert set(again) == {"train", "unlabelled"}
    rows = {(row["text"], row["label"], row["group"]) for row in again["train"]}
    assert ("naïve café\nwarm", 1, "a") in rows
    assert len(rows) == 4
    assert len(rg.scan(tmp_path / "files", check=False).train) == 4


@pytest.mark.parametrize(("column", "asked"), [("review", {"text_column": "review"}), ("text", {})])
def test_the_column_of_texts_is_found_or_named(
    tmp_path: Path, column: str, asked: dict[str, str]
) -> None:
    data = from_datasets(reviews(column), folder=tmp_path / "files", **asked)
    assert len(data.train) == 4
    assert not any(row.group for row in data.rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_column": "body"}, "there is no column 'body'; expected review or label or by"),
        (
            {"text_column": "review", "group_column": "author"},
            "there is no column 'author'; expected review or label or by",
        ),
        ({}, "no image column among review, label, by; name it: image_column=..., or text_column"),
    ],
)
def test_columns_of_texts_that_are_not_clear_are_explained(
    tmp_path: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        from_datasets(reviews("review"), folder=tmp_path / "files", **options)
    assert not (tmp_path / "files").exists()
    with pytest.raises(UsageError, match="both given"):
        from_datasets(reviews(), folder=tmp_path / "x", image_column="text", text_column="text")


def test_an_image_folder_is_read_alike(make_image_folder: MakeImageFolder, tmp_path: Path) -> None:
    folder = make_image_folder({"train/ant": 3, "train/bee": 2, "test/ant": 2, "test/bee": 2})
    theirs = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache")
    )
    data = rg.scan(folder)
    assert tuple(theirs["train"].features["label"].names) == data.classes
    assert {name: len(part) for name, part in theirs.items()} == {
        "train": len(data.train),
        "test": len(data.test),
    }


def test_without_datasets_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "regraft\[huggingface\]"'):
        from_datasets([], folder=tmp_path / "files")


# --- Model folders


@pytest.fixture
def data(make_image_folder: MakeImageFolder) -> rg.Dataset:
    return rg.scan(make_image_folder({"ant": 12, "bee": 12}, size=(200, 170)))


def probabilities(logits: torch.Tensor) -> Any:
    return torch.softmax(logits, dim=1).detach().numpy()


@pytest.mark.slow
def test_timm_and_transformers_say_what_the_model_says(data: rg.Dataset, tmp_path: Path) -> None:
    import timm
    import transformers

    weights = write_weights(tmp_path / "mine.pth")
    backbone = get_backbone(str(weights), architecture=ARCHITECTURE)
    model = rg.LinearProbe(backbone).fit(data)
    folder = save_timm(model, tmp_path / "for_timm")
    paths = [data.absolute(row) for row in data.rows[::4]]
    expected = np.array([one.probabilities for one in model.predict(paths)])
    pictures = [Image.open(path).convert("RGB") for path in paths]

    network: Any = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    config: Any = timm.data.resolve_model_data_config(network)  # type: ignore[attr-defined]
    transform: Any = timm.data.create_transform(**config)  # type: ignore[attr-defined]
    found = probabilities(network(torch.stack([transform(one) for one in pictures])))
    np.testing.assert_allclose(found, expected, atol=0.01)

    transformers.logging.disable_progress_bar()
    theirs: Any = transformers.AutoModelForImageClassification.from_pretrained(folder)
    assert theirs.config.id2label == {0: "ant", 1: "bee"}
    assert theirs.config.label2id == {"ant": 0, "bee": 1}
    processor: Any = transformers.AutoImageProcessor.from_pretrained(folder)
    found = probabilities(theirs.eval()(**processor(pictures)).logits)
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    with pytest.raises(ExportError, match="is not an empty folder; choose another name"):
        save_timm(model, folder)


@pytest.mark.slow
def test_a_squashed_photo_is_squashed_by_timm(data: rg.Dataset, tmp_path: Path) -> None:
    import timm

    weights = write_weights(tmp_path / "mine.pth")
    backbone = get_backbone(str(weights), architecture=ARCHITECTURE)
    model = rg.LinearProbe(backbone, resize="squash").fit(data)
    network: Any = timm.create_model(
        f"local-dir:{save_timm(model, tmp_path / 'squashed')}", pretrained=True
    ).eval()
    config: Any = timm.data.resolve_model_data_config(network)  # type: ignore[attr-defined]
    transform: Any = timm.data.create_transform(**config)  # type: ignore[attr-defined]
    path = data.absolute(data.rows[0])
    found = probabilities(network(transform(Image.open(path).convert("RGB"))[None]))
    np.testing.assert_allclose(found[0], model.predict([path])[0].probabilities, atol=0.01)


@pytest.mark.slow
def test_what_timm_cannot_load_goes_out_as_onnx(data: rg.Dataset, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "mine.pth")
    backbone = get_backbone(str(weights), architecture=ARCHITECTURE)
    folder = tmp_path / "folder"
    with pytest.raises(ExportError, match="averages each photo and its mirror image"):
        save_timm(rg.LinearProbe(backbone, views=2).fit(data), folder)
    with pytest.raises(ExportError, match=r"a knn model, .* export it as ONNX: regraft export"):
        save_timm(rg.Knn(backbone).fit(data), folder)
    with pytest.raises(ExportError, match="a multilayer_probe model, whose head looks at several"):
        save_timm(rg.MultilayerProbe(backbone).fit(data), folder)
    model = rg.LinearProbe(backbone).fit(data)
    for architecture, words in (
        ("torchvision:resnet18", "torchvision:resnet18"),
        ("onnx", "an ONNX file"),
    ):
        other = replace(model, backbone={**model.backbone, "architecture": architecture})
        with pytest.raises(ExportError, match=f"a model on {words}, expected a linear"):
            save_timm(other, folder)
    with pytest.raises(ExportError, match="this is a scratch model of test_resnet, expected"):
        save_timm(replace(model, approach="scratch"), folder)
    assert not folder.exists()
