"""Tables and the folders of their files; tables that lie in a folder; what is no table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from regraft.dataset import Dataset, require_trainable, scan
from regraft.errors import DataError
from tests.conftest import MakeImageFolder

TEXTS = [
    (f"{('the train was late again', 'the soup was warm and good')[i % 2]}, table {i}", "ab"[i % 2])
    for i in range(20)
]


def write_table(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def of_texts(path: Path, texts: Sequence[tuple[str, str]], header: str = "text,label") -> Path:
    return write_table(path, header, *(f'"{text}",{label}' for text, label in texts))


def by_split(data: Dataset) -> dict[str, Counter[str]]:
    return {
        split: Counter(row.label for row in data.ok if row.split == split)
        for split in ("train", "test")
    }


@pytest.fixture
def two_folders(make_image_folder: MakeImageFolder) -> Path:
    """train.csv and test.csv, whose names are those of files in train_images and test_images."""
    root = make_image_folder({"train_images": 6, "test_images": 4})
    write_table(root / "train.csv", "id,label", *(f"{i},{'ab'[i % 2]}" for i in range(6)))
    write_table(root / "test.csv", "id,label", *(f"{i},{'ab'[i % 2]}" for i in range(4)))
    return root


@pytest.mark.parametrize("with_folder", [True, False])
def test_a_test_table_has_files_of_its_own(two_folders: Path, with_folder: bool) -> None:
    data = scan(
        two_folders / "train.csv",
        image_dir=two_folders / "train_images" if with_folder else None,
        test=two_folders / "test.csv",
    )
    assert by_split(data) == {"train": {"a": 3, "b": 3}, "test": {"a": 2, "b": 2}}
    tested = {data.absolute(row).parent.name for row in data.test}
    assert tested == {"test_images"}
    assert {data.absolute(row).parent.name for row in data.train} == {"train_images"}
    assert "The files of test.csv were found in test_images." in data.notes


@pytest.mark.parametrize("form", ["absolute", "with its folder", "without a suffix"])
def test_the_names_in_a_test_table_lead_to_its_own_files(two_folders: Path, form: str) -> None:
    names = {
        "absolute": [str(two_folders / "test_images" / f"{i}.png") for i in range(4)],
        "with its folder": [f"test_images/{i}.png" for i in range(4)],
        "without a suffix": [str(i) for i in range(4)],
    }[form]
    table = write_table(two_folders / "later.csv", "file,label", *(f"{n},a" for n in names))
    data = scan(two_folders / "train.csv", image_dir=two_folders / "train_images", test=table)
    assert {data.absolute(row).parent.name for row in data.test} == {"test_images"}
    assert len(data.test) == 4


def test_a_test_table_of_files_among_those_for_training(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"images": 8})
    write_table(root / "train.csv", "id,label", *(f"{i},{'ab'[i % 2]}" for i in range(6)))
    test = write_table(root / "test.csv", "id,label", "6,a", "7,b")
    data = scan(root / "train.csv", image_dir=root / "images", test=test)
    assert by_split(data) == {"train": {"a": 3, "b": 3}, "test": {"a": 1, "b": 1}}


def test_a_test_table_without_files_says_where_they_were_looked_for(two_folders: Path) -> None:
    table = write_table(two_folders / "later.csv", "file,label", "gone,a")
    with pytest.raises(DataError, match="looked for beside it and among those for tr"):
        scan(two_folders / "train.csv", image_dir=two_folders / "train_images", test=table)


def test_names_in_two_folders_are_those_of_the_folder_called_like_the_table(
    two_folders: Path,
) -> None:
    data = scan(two_folders / "train.csv")
    assert {data.absolute(row).parent.name for row in data.ok} == {"train_images"}
    assert "The files of train.csv were looked for in train_images alone." in data.notes
    other = write_table(two_folders / "labels.csv", "id,label", "0,a", "1,b")
    with pytest.raises(DataError, match="2 could mean several images"):
        scan(other)


def test_the_columns_of_a_table_stay_with_the_data(tmp_path: Path) -> None:
    data = scan(of_texts(tmp_path / "t.csv", TEXTS, "v2,v1"))
    assert data.columns == {"text": "v2", "label": "v1"}
    assert data.facts() == {"fingerprint": data.fingerprint(), "columns": data.columns}
    test = of_texts(tmp_path / "more.csv", TEXTS[:4], "v2,v1")
    assert len(scan(tmp_path / "t.csv", text_column="v2", test=test).test) == 4


def test_a_folder_with_one_table(tmp_path: Path) -> None:
    of_texts(tmp_path / "data" / "reviews.csv", TEXTS)
    (tmp_path / "data" / "LICENSE").write_text("free")
    data = scan(tmp_path / "data")
    assert (data.modality, len(data.train)) == ("text", 20)
    assert data.layout.startswith("1 table in a folder; the table reviews.csv: texts in")


def test_a_folder_with_a_table_for_each_split(tmp_path: Path) -> None:
    of_texts(tmp_path / "train.csv", TEXTS[:12])
    of_texts(tmp_path / "validation.csv", TEXTS[12:16])
    write_table(tmp_path / "test.csv", "text", *(f'"{text}"' for text, _ in TEXTS[16:]))
    data = scan(tmp_path)
    assert by_split(data) == {"train": {"a": 6, "b": 6}, "test": {"a": 2, "b": 2}}
    assert len(data.unlabelled) == 4
    assert (
        "By their names test.csv is test, train.csv is train, validation.csv is val." in data.notes
    )


def test_shards_of_one_table_and_of_images(
    tmp_path: Path, make_image_folder: MakeImageFolder
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    root = make_image_folder({"a": 8, "b": 8}, name="photos")
    files = [(path.read_bytes(), path.parent.name == "b") for path in sorted(root.rglob("*.png"))]
    names = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "b"]}}}}
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for shard, rows in (
        ("train-00000-of-00002", files[::4]),
        ("train-00001-of-00002", files[1::4]),
        ("test-00000-of-00001", files[2::4]),
    ):
        table = pyarrow.table(
            {
                "image": [{"bytes": data, "path": None} for data, _ in rows],
                "label": [int(label) for _, label in rows],
            },
            metadata={"huggingface": json.dumps(names)},
        )
        parquet.write_table(table, tmp_path / "hub" / "data" / f"{shard}.parquet", row_group_size=2)
    data = scan(tmp_path / "hub", verify=True)
    assert data.modality == "image"
    assert by_split(data) == {"train": {"a": 4, "b": 4}, "test": {"a": 2, "b": 2}}
    assert data.test[0].path == "data/test-00000-of-00001.parquet#cell=2,1"
    assert {(row.width, row.height) for row in data.ok} == {(12, 8)}
    assert len({row.sha256 for row in data.ok}) == 12


def test_tables_that_are_no_parts_of_one(tmp_path: Path) -> None:
    of_texts(tmp_path / "a.csv", TEXTS)
    of_texts(tmp_path / "b.csv", TEXTS, "body,label")
    with pytest.raises(DataError, match=r"tables that are not parts of one \(a.csv, b.csv\); give"):
        scan(tmp_path)


def test_a_table_of_names_in_a_folder_without_files_is_no_data(tmp_path: Path) -> None:
    write_table(tmp_path / "labels.csv", "file,label", "a.jpg,x", "b.jpg,y")
    with pytest.raises(DataError, match=r"no image in .*, 1 other file \(.csv\)"):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("x.xlsx", "save the workbook as CSV"),
        ("x.csv.gz", "unpack it first"),
        ("photos.zip", "unpack it first"),
        ("x.feather", "save it as Parquet or CSV"),
    ],
)
def test_what_to_do_with_other_forms(tmp_path: Path, name: str, instead: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=f"expected a folder of images or texts, or .*; {instead}"):
        scan(tmp_path / name)


def test_a_folder_of_other_forms_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(
        DataError, match=r"no image in .*, 1 other file \(.zip\); .*unpack it first"
    ):
        scan(tmp_path)


def test_the_table_for_training_is_the_one_that_is_pointed_at(
    make_image_folder: MakeImageFolder,
) -> None:
    root = make_image_folder({"images": 3})
    for name in ("test.csv", "train.csv"):
        (root / name).write_text("file,label\n")
    with pytest.raises(DataError, match=f"give --labels {root}/train.csv if it holds the labels"):
        require_trainable(scan(root))


def test_known_classes_say_which_folders_are_the_classes(
    make_image_folder: MakeImageFolder,
) -> None:
    root = make_image_folder({"new/messy/monday": 2, "new/messy/tuesday": 2})
    assert scan(root).classes == ("monday", "tuesday")
    assert scan(root, classes=("clean", "messy")).classes == ("messy",)


def test_sound_beside_texts_makes_no_table_of_images(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {
        "audio": [{"bytes": b"RIFF", "path": "a.wav"}] * len(TEXTS),
        "text": [text for text, _ in TEXTS],
        "label": [label for _, label in TEXTS],
    }
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    assert scan(path).columns == {"text": "text", "label": "label"}
    columns["image"] = columns.pop("audio")
    parquet.write_table(pyarrow.table(columns), path)
    assert scan(path).columns == {"file": "image", "label": "label"}
    assert scan(path, modality="text").columns == {"text": "text", "label": "label"}
