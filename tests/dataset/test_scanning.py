from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from regraft.dataset import Dataset, Row, require_trainable, scan
from regraft.errors import DataError, UsageError
from tests.conftest import MakeImageFolder, write_image
from tests.odd_images import write_corpus


def by_path(data: Dataset) -> dict[str, Row]:
    assert len({row.path for row in data.rows}) == len(data.rows)
    return {row.path: row for row in data.rows}


def sizes(data: Dataset) -> dict[str, Counter[str]]:
    """Rows in use by split, then by label."""
    return {
        split: Counter(row.label for row in data.ok if row.split == split)
        for split in sorted({row.split for row in data.ok})
    }


# --- Folders ---------------------------------------------------------------------------------


def test_a_folder_per_class(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cats": 3, "dogs": 2, "dogs/from the park/day 2": 1})
    data = scan(root)
    assert data.root == root
    assert data.layout == "one folder per class"
    assert data.classes == ("cats", "dogs")
    assert sizes(data) == {"train": {"cats": 3, "dogs": 3}}
    assert data.notes == ()
    row = by_path(data)["dogs/from the park/day 2/0.png"]
    assert row == Row(
        "dogs/from the park/day 2/0.png",
        sha256=hashlib.sha256((root / row.path).read_bytes()).hexdigest(),
        label="dogs",
        split="train",
        width=12,
        height=8,
        mode="RGB",
    )
    assert data.absolute(row).read_bytes()
    require_trainable(data)


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "VALID", "Testing"), ("TRAIN", "validation", "TEST")],
)
def test_val_joins_training_where_there_is_a_labelled_test_set(
    make_image_folder: MakeImageFolder, train: str, val: str, test: str
) -> None:
    counts = {f"{split}/{label}": 2 for split in (train, val, test) for label in ("cat", "dog")}
    data = scan(make_image_folder(counts))
    assert data.layout == f"split by folders ({train}, {val}, {test}), one folder per class"
    assert sizes(data) == {"train": {"cat": 4, "dog": 4}, "test": {"cat": 2, "dog": 2}}
    assert data.notes == (
        "The val images join the training images: the test images are the test set.",
    )


def test_val_is_the_test_set_where_there_is_no_labelled_one(
    make_image_folder: MakeImageFolder,
) -> None:
    counts = {"train/cat": 2, "train/dog": 2, "val/cat": 1, "val/dog": 1, "test": 3}
    data = scan(make_image_folder(counts))
    assert sizes(data) == {"train": {"cat": 2, "dog": 2}, "test": {"cat": 1, "dog": 1}}
    assert {(row.split, row.status) for row in data.unlabelled} == {("test", "unlabelled")}
    assert len(data.unlabelled) == 3
    assert data.notes == (
        "The val images are the test set: there is no labelled test split.",
        "3 test images without a label: predicted and shown, not scored.",
    )


@pytest.mark.parametrize("folder", ["unknown", "images"])
def test_a_test_folder_with_other_folders_is_unlabelled(
    make_image_folder: MakeImageFolder, folder: str
) -> None:
    data = scan(make_image_folder({"train/cat": 2, "train/dog": 2, f"test/{folder}": 2}))
    assert sizes(data) == {"train": {"cat": 2, "dog": 2}}
    assert len(data.unlabelled) == 2
    assert "The folders in test are none of the training classes" in data.notes[0]


def test_a_test_folder_beside_class_folders(make_image_folder: MakeImageFolder) -> None:
    data = scan(make_image_folder({"cat": 2, "dog": 2, "test/cat": 1, "val": 1}))
    assert data.layout == "one folder per class for training, val and test beside them"
    assert sizes(data) == {"train": {"cat": 2, "dog": 2}, "test": {"cat": 1}}
    assert by_path(data)["val/0.png"].status == "unlabelled"
    assert by_path(data)["val/0.png"].split == ""


def test_train_can_be_a_class(make_image_folder: MakeImageFolder) -> None:
    data = scan(make_image_folder({"train": 2, "bus": 2, "plane": 2}))
    assert data.classes == ("bus", "plane", "train")


def test_only_a_test_split(make_image_folder: MakeImageFolder) -> None:
    data = scan(make_image_folder({"test/cat": 1, "test/dog": 2}))
    assert sizes(data) == {"test": {"cat": 1, "dog": 2}}
    with pytest.raises(DataError, match="found 3 images for testing and none for training"):
        require_trainable(data)


def test_a_flat_folder_has_no_labels(make_image_folder: MakeImageFolder) -> None:
    data = scan(make_image_folder({"": 3}))
    assert data.layout == "a flat folder of images without labels"
    assert data.status_counts() == {"unlabelled": 3}
    assert all(row.sha256 and row.width == 12 for row in data.rows)
    with pytest.raises(DataError, match=r"found 3 images without labels .* or give --labels CSV"):
        require_trainable(data)


def test_whatever_is_not_used_is_listed(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 2, "dog": 2, "": 1, "dog/.ipynb_checkpoints": 1})
    (root / "cat" / "notes.txt").write_text("hello")
    (root / "Thumbs.db").write_text("")
    data = scan(root)
    ignored = {row.path: row.reason for row in data.rows if row.status == "ignored"}
    assert ignored == {
        "0.png": "outside the class folders",
        "cat/notes.txt": "not an image (.txt)",
        "dog/.ipynb_checkpoints/0.png": "in the hidden folder .ipynb_checkpoints",
        "Thumbs.db": "a system file",
    }
    assert len(data.rows) == 8


def test_folders_beside_splits_are_ignored(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"train/cat": 2, "train/dog": 2, "test/dog": 1, "old/cat": 1})
    write_image(root / "train/loose.png")
    data = scan(root)
    assert by_path(data)["old/cat/0.png"].reason == "outside the folders for train, val and test"
    assert by_path(data)["train/loose.png"].reason == "outside the class folders"
    assert data.status_counts() == {"ok": 5, "ignored": 2}


def test_class_names_are_kept_exactly(make_image_folder: MakeImageFolder) -> None:
    names = ("two words", "Ünïcode ☂", "trailing ", "cafe\u0301", 'it\'s, "quoted"')
    data = scan(make_image_folder(dict.fromkeys(names, 2), suffix=".JPG"))
    assert set(data.classes) == {*names, "caf\u00e9"} - {"cafe\u0301"}
    assert Dataset.from_csv(data.to_csv(), data.root).rows == data.rows


def test_folders_called_as_missing_labels_are_classes(make_image_folder: MakeImageFolder) -> None:
    data = scan(make_image_folder({"None": 2, "NA": 2, "nan": 2, "-": 2}))
    assert data.classes == ("-", "NA", "None", "nan")
    assert data.notes == ()


def test_two_spellings_of_one_accent_are_one_class(make_image_folder: MakeImageFolder) -> None:
    data = scan(make_image_folder({"caf\u00e9": 1, "cafe\u0301": 1, "tea": 2}))
    assert sizes(data) == {"train": {"caf\u00e9": 2, "tea": 2}}


def test_class_names_that_differ_in_case_are_pointed_out(
    make_image_folder: MakeImageFolder,
) -> None:
    counts = {"train/Cats": 2, "train/dogs": 2, "val/cats": 2, "val/dogs": 2, "test/dogs": 2}
    data = scan(make_image_folder(counts))
    assert data.classes == ("Cats", "cats", "dogs")
    assert data.notes[-1] == (
        "Classes 'Cats' and 'cats' differ only in letter case or spaces: if they are one class, "
        "give them one name."
    )


def test_a_test_class_that_differs_in_case_is_pointed_out_and_left_out(
    make_image_folder: MakeImageFolder,
) -> None:
    data = scan(make_image_folder({"train/Cats": 2, "train/dogs": 2, "test/cats": 2}))
    assert data.test == ()
    assert by_path(data)["test/cats/0.png"].reason == "no training image of class 'cats'"
    assert "'Cats' and 'cats' differ only in letter case" in data.notes[0]
    assert "2 images of class 'cats' in the test set left out" in data.notes[1]


def test_an_empty_class_is_noted(make_image_folder: MakeImageFolder) -> None:
    data = scan(make_image_folder({"cat": 2, "dog": 2, "unicorn": 0}))
    assert data.classes == ("cat", "dog")
    assert data.notes == ("The class folder unicorn has no images.",)
    data = scan(make_image_folder({"train/cat": 2, "train/dog": 0}, name="split"))
    assert data.notes == ("The class folder train/dog has no images.",)


def test_a_single_class_can_be_scanned_but_not_trained(make_image_folder: MakeImageFolder) -> None:
    data = scan(make_image_folder({"cat": 3}))
    assert data.classes == ("cat",)
    message = r"found 1 class, 'cat' \(3 images\), in .*; expected at least 2 classes with at least"
    with pytest.raises(DataError, match=message):
        require_trainable(data)


def test_a_folder_too_high_is_passed_over(make_image_folder: MakeImageFolder) -> None:
    data = scan(make_image_folder({"rooms/clean": 2, "rooms/messy": 2}))
    assert data.classes == ("clean", "messy")
    assert data.notes == ("Everything lies in rooms, so the folders in there count.",)
    require_trainable(data)
    loose = make_image_folder({"rooms": 1, "rooms/clean": 2, "rooms/messy": 2}, name="loose")
    with pytest.raises(DataError, match=f"if the classes are the folders in {loose}/rooms, give"):
        require_trainable(scan(loose))


def test_a_forgotten_label_table_is_pointed_at(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"images": 3})
    (root / "labels.csv").write_text("file,label\n")
    with pytest.raises(DataError, match=f"give --labels {root}/labels.csv if it holds the labels"):
        require_trainable(scan(root))


def test_a_class_with_one_image_is_left_out(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 2, "dog": 2, "emu": 1, "fox": 1})
    shutil.copy(root / "fox/0.png", root / "fox/copy.png")
    data = scan(root)
    assert data.classes == ("cat", "dog")
    left_out = {row.path: row.reason for row in data.rows if row.status == "excluded"}
    assert left_out == {
        "emu/0.png": "class 'emu' has only 1 different image; at least 2 are needed",
        "fox/0.png": "class 'fox' has only 1 different image; at least 2 are needed",
        "fox/copy.png": "class 'fox' has only 1 different image; at least 2 are needed",
    }
    assert "Class 'emu' left out: it has only 1 different image, 2 are needed." in data.notes
    assert scan(root, min_class_images=1).classes == ("cat", "dog", "emu", "fox")


def test_links_are_followed_and_circles_listed(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 2})
    elsewhere = make_image_folder({"dogs": 2}, name="elsewhere")
    (root / "dog").symlink_to(elsewhere / "dogs")
    (root / "cat" / "loop").symlink_to(root)
    write_image(elsewhere / "extra.png")
    (root / "cat" / "link.png").symlink_to(elsewhere / "extra.png")
    data = scan(root)
    assert sizes(data) == {"train": {"cat": 3, "dog": 2}}
    assert by_path(data)["cat/loop"].status == "ignored"
    assert scan(_linked(root)).fingerprint() == data.fingerprint()


def _linked(root: Path) -> Path:
    link = root.with_name("link")
    link.symlink_to(root)
    return link


# --- Files that cannot be read ---------------------------------------------------------------


def test_unreadable_files_are_rows_with_reasons(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 3, "dog": 3})
    (root / "cat/empty.jpg").write_bytes(b"")
    (root / "cat/fake.jpg").write_text("this is no photo")
    (root / "dog/cut.png").write_bytes((root / "dog/0.png").read_bytes()[:20])
    (root / "dog/gone.png").symlink_to("nowhere.png")
    data = scan(root)
    unreadable = {row.path: row.reason for row in data.rows if row.status == "unreadable"}
    assert set(unreadable) == {"cat/empty.jpg", "cat/fake.jpg", "dog/cut.png", "dog/gone.png"}
    assert unreadable["cat/empty.jpg"] == "the file is empty"
    assert unreadable["dog/gone.png"] == "a link to a file that is not there"
    assert all(unreadable.values())
    assert by_path(data)["cat/fake.jpg"].label == "cat"
    assert len(data.ok) == 6


def test_damage_behind_the_header_is_found_by_decoding(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 2, "dog": 2}, size=(64, 64))
    whole = (root / "cat/0.png").read_bytes()
    (root / "cat/0.png").write_bytes(whole[: len(whole) // 2])
    assert by_path(scan(root))["cat/0.png"].status == "ok"
    assert by_path(scan(root, verify=True))["cat/0.png"].status == "unreadable"


def test_a_class_of_unreadable_files_is_noted(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 2, "dog": 2, "eel": 0})
    (root / "eel/1.jpg").write_bytes(b"")
    data = scan(root)
    assert data.classes == ("cat", "dog")
    assert data.notes == ("No image of class 'eel' can be used.",)


def test_size_is_told_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "cat/a.jpg", exif=exif)
    (row,) = scan(tmp_path, min_class_images=1).rows
    assert (row.width, row.height) == (20, 30)


# --- One image twice -------------------------------------------------------------------------


def test_one_image_with_two_labels_is_a_conflict(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 3, "dog": 3})
    shutil.copy(root / "cat/1.png", root / "dog/copy.png")
    data = scan(root)
    rows = by_path(data)
    assert rows["cat/1.png"].status == rows["dog/copy.png"].status == "conflict"
    assert rows["cat/1.png"].reason == "the same image is labelled 'dog' in dog/copy.png"
    assert rows["dog/copy.png"].reason == "the same image is labelled 'cat' in cat/1.png"
    assert data.notes == ("2 images with two labels left out: cat/1.png and dog/copy.png.",)
    assert len(data.ok) == 5


def test_training_copies_of_test_images_are_left_out(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"train/cat": 3, "train/dog": 3, "test/cat": 2, "test/dog": 2})
    shutil.copy(root / "test/cat/1.png", root / "train/cat/copy.png")
    shutil.copy(root / "train/dog/1.png", root / "train/dog/copy.png")
    data = scan(root)
    excluded = {row.path: row.reason for row in data.rows if row.status == "excluded"}
    assert excluded == {"train/cat/copy.png": "the same image as test/cat/1.png in the test set"}
    assert sizes(data)["train"] == {"cat": 3, "dog": 4}
    assert data.notes == ("1 training image left out, copies of test images: train/cat/copy.png.",)


def test_a_class_emptied_by_that_is_said(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"train/cat": 2, "train/dog": 2, "test/cat": 0})
    for number in range(2):
        shutil.copy(root / f"train/cat/{number}.png", root / f"test/cat/{number}.png")
    data = scan(root)
    assert data.classes == ("dog",)
    assert (
        "2 images of class 'cat' in the test set left out: the class has no training"
        in (data.notes[-1])
    )


# --- Label tables ----------------------------------------------------------------------------


def write_table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_table_beside_a_flat_folder(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"images": 5})
    table = write_table(root / "labels.csv", "id,breed", "0,pug", "1,pug", "2,poodle", "3,poodle")
    for data in (
        scan(root, labels=table),
        scan(root, labels="labels.csv"),
        scan(table),
        scan(root, labels=table, image_dir="images"),
    ):
        assert data.root == root
        assert sizes(data) == {"train": {"pug": 2, "poodle": 2}}
        assert by_path(data)["images/4.png"].status == "unlabelled"
        assert data.layout == (
            "the label table labels.csv: files in the column 'id', labels in 'breed'"
        )
    assert by_path(scan(root, labels=table))["labels.csv"].reason == "the label table"
    assert scan(table, image_dir=root / "images").root == root / "images"


def test_images_elsewhere(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({}, name="tables")
    make_image_folder({"": 4}, name="photos")
    write_table(root / "labels.csv", "id,label", "0,a", "1,a", "2,b", "3,b")
    data = scan(root, labels="labels.csv", image_dir="../photos")
    assert [row.path for row in data.ok] == [f"../photos/{number}.png" for number in range(4)]
    assert all(data.absolute(row).is_file() for row in data.ok)


def test_splits_and_groups_of_a_table(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"": 10})
    table = write_table(
        root / "labels.tsv",
        "file\tlabel\tsplit\tpatient",
        *("0\tsick\ttrain\tp1", "1\twell\ttrain\tp2", "2\tsick\ttrain\tp3", "3\twell\ttrain\tp4"),
        *("4\tsick\tval\tp5", "5\twell\tval\tp6", "6\tsick\ttest\tp7", "7\twell\ttest\tp1"),
        *("8\t\ttest\tp8", "9\tsick\ttrain\t"),
    )
    data = scan(table)
    rows = by_path(data)
    assert rows["0.png"].status == "excluded"
    assert rows["0.png"].reason == "its group 'p1' is in the test set (7.png)"
    assert [rows[f"{number}.png"].split for number in (1, 4, 6, 8)] == [
        *("train", "train", "test", "test")
    ]
    assert rows["8.png"].status == "unlabelled"
    assert rows["6.png"].group == "p7"
    assert data.notes == (
        "Images with the same 'patient' are never parted by a split.",
        "The val images join the training images: the test images are the test set.",
        "1 test image without a label: predicted and shown, not scored.",
        "1 training image left out, of groups in the test set: 0.png.",
    )


def test_missing_and_repeated_names_are_reported_together(
    make_image_folder: MakeImageFolder,
) -> None:
    root = make_image_folder({"": 5})
    table = write_table(
        root / "t.csv", "id;label", "0;a", "1;a", "2;b", "3;b", "x;a", "0;a", "1;b", "y;b"
    )
    data = scan(table)
    rows = by_path(data)
    assert rows["x"] == Row(
        "x", label="a", status="missing", reason="not found; named in line 6 of t.csv"
    )
    assert rows["1.png"].status == "conflict"
    assert rows["1.png"].sha256
    assert data.notes[:3] == (
        "t.csv names files twice, with the same label, in lines 2 and 7.",
        "t.csv names files twice, with different labels, in lines 3 and 8; they are left out.",
        "t.csv names files that were not found, in lines 6 and 9.",
    )


def test_numeric_ids_with_leading_zeros(tmp_path: Path) -> None:
    for number in range(8, 12):
        write_image(tmp_path / f"{number:05}.png")
    table = write_table(tmp_path / "t.csv", "id,label", "8,a", "9,a", "10,b", "11,b")
    assert sizes(scan(table)) == {"train": {"a": 2, "b": 2}}


def test_a_table_can_name_files_without_a_suffix(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"": 4})
    (root / "3.png").rename(root / "three")
    (root / "notes.txt").write_text("hello")
    lines = ("file,label", "0.png,a", "1.png,a", "2.png,b", "three,b", "notes.txt,b")
    rows = by_path(scan(write_table(root / "t.csv", *lines)))
    assert rows["three"].status == "ok"
    assert rows["notes.txt"].status == "unreadable"
    assert rows["t.csv"].status == "ignored"


# --- A test set of its own -------------------------------------------------------------------


def test_another_folder_as_the_test_set(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 2, "dog": 2})
    make_image_folder({"cat": 1, "dog": 1}, name="held out")
    data = scan(root, test=root.parent / "held out")
    assert sizes(data) == {"train": {"cat": 2, "dog": 2}, "test": {"cat": 1, "dog": 1}}
    assert [row.path for row in data.test] == ["../held out/cat/0.png", "../held out/dog/0.png"]
    assert data.notes == ("The test set is held out.",)

    flat = make_image_folder({"": 2}, name="flat")
    data = scan(root, test=flat)
    assert data.test == ()
    assert {row.split for row in data.unlabelled} == {"test"}


def test_a_folder_inside_as_the_test_set(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 2, "dog": 2, "later/cat": 1, "later/dog": 1})
    data = scan(root, test="later")
    assert data.classes == ("cat", "dog")
    assert sizes(data)["test"] == {"cat": 1, "dog": 1}
    assert len(by_path(data)) == 6


def test_a_given_test_set_replaces_the_one_in_the_folder(
    make_image_folder: MakeImageFolder,
) -> None:
    splits = ("train", "val", "test")
    root = make_image_folder({f"{split}/{label}": 2 for split in splits for label in "ab"})
    make_image_folder({"a": 1, "b": 1}, name="new")
    data = scan(root, test=root.parent / "new")
    assert sizes(data) == {"train": {"a": 4, "b": 4}, "test": {"a": 1, "b": 1}}
    assert by_path(data)["test/a/0.png"].status == "excluded"
    assert "4 images of the folder's or table's own test set left out." in data.notes


def test_a_table_as_the_test_set(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"train": 6, "test": 2})
    for folder, number in (("train", 6), ("test", 2)):
        for index in range(number):
            (root / folder / f"{index}.png").rename(root / folder / f"{folder}{index}.png")
    write_table(root / "train.csv", "id,label", *(f"train{i},{'ab'[i % 2]}" for i in range(6)))
    labelled = write_table(root / "test.csv", "id,label", "test0,a", "test1,b", "train0,a")
    data = scan(root, labels="train.csv", test=labelled)
    assert sizes(data) == {"train": {"a": 2, "b": 3}, "test": {"a": 2, "b": 1}}
    assert "1 image in both parts: for testing, as test.csv says." in data.notes

    write_table(root / "test.csv", "id", "test0", "test1")
    data = scan(root, labels="train.csv", test="test.csv", label_column="label")
    assert sizes(data) == {"train": {"a": 3, "b": 3}}
    assert {row.path for row in data.unlabelled} == {"test/test0.png", "test/test1.png"}

    write_table(root / "test.csv", "id,label", "train0,b")
    data = scan(root, labels="train.csv", test="test.csv")
    assert (
        by_path(data)["train/train0.png"].reason == "labelled 'b' for testing and 'a' for training"
    )


# --- Refusals --------------------------------------------------------------------------------


def test_what_cannot_be_scanned(make_image_folder: MakeImageFolder, tmp_path: Path) -> None:
    root = make_image_folder({"cat": 2, "dog": 2}, name="photos")
    empty = make_image_folder({}, name="empty")
    papers = make_image_folder({"cat": 0}, name="papers")
    (papers / "cat/a.pdf").write_bytes(b"x")
    table = write_table(tmp_path / "t.csv", "id,label", "0,a")
    cases: list[tuple[type[Exception], str, dict[str, object]]] = [
        (DataError, f"there is no .*photo; did you mean {root}", {"path": tmp_path / "photo"}),
        (DataError, f"there is no .*xyz in {tmp_path}", {"path": tmp_path / "xyz"}),
        (DataError, "there is no .*; expected an existing", {"path": tmp_path / "x" / "y"}),
        (DataError, "cannot be opened: embedded null byte", {"path": "a\0b"}),
        (DataError, "cannot be opened: file name too long", {"path": "a" * 300}),
        (DataError, r"0.png is a file; expected a folder of images", {"path": root / "cat/0.png"}),
        (DataError, "no image in .*empty, no files at all; expected photos", {"path": empty}),
        (DataError, r"no image in .*papers, 1 other file \(.pdf\)", {"path": papers}),
        (DataError, "there is no x.csv", {"path": root, "labels": "x.csv"}),
        (DataError, "cat is a folder; expected a label table", {"path": root, "labels": "cat"}),
        (DataError, "there is no later", {"path": root, "test": "later"}),
        (DataError, "holds the training images as well", {"path": root, "test": root}),
        (DataError, "holds the training images as well", {"path": root, "test": tmp_path}),
        (DataError, "is not a folder; expected the folder of the images",
         {"path": root, "labels": table, "image_dir": table}),
        (UsageError, "t.csv is a file; with --labels", {"path": table, "labels": table}),
        (UsageError, "give --labels as well", {"path": root, "image_dir": root}),
        (UsageError, "the number of jobs is 0; expected at least 1", {"path": root, "jobs": 0}),
    ]  # fmt: skip
    for error, message, options in cases:
        with pytest.raises(error, match=message) as caught:
            scan(**options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


# --- The machine -----------------------------------------------------------------------------


def test_many_files_on_any_number_of_threads(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 1, "dog": 1}, suffix=".bmp", size=(2, 2))
    content = bytearray((root / "cat/0.bmp").read_bytes())
    for number in range(5_000):
        content[-4:] = number.to_bytes(4, "big")
        label = "cat" if number % 2 else "dog"
        (root / label / f"{number + 1}.bmp").write_bytes(content)
    seen: list[tuple[str, int, int]] = []
    data = scan(root, progress=lambda *step: seen.append(step))
    assert data.status_counts() == {"ok": 5_002}
    assert [row.path for row in data.rows[:3]] == ["cat/0.bmp", "cat/2.bmp", "cat/4.bmp"]
    assert scan(root, jobs=1).rows == data.rows
    assert seen[-1] == ("reading", 5_002, 5_002)
    assert {phase for phase, _, _ in seen} == {"listing", "reading"}


def test_an_interrupt_ends_the_scan(make_image_folder: MakeImageFolder) -> None:
    before = threading.active_count()  # of other libraries, from earlier tests
    root = make_image_folder({"cat": 100, "dog": 100})

    def interrupt(phase: str, done: int, total: int) -> None:
        if phase == "reading":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(root, progress=interrupt)
    assert threading.active_count() == before


def test_nothing_is_changed(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 2, "dog": 2})

    def state() -> list[tuple[str, int, int]]:
        found = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
        return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in found]

    before = state()
    scan(root, verify=True)
    assert state() == before


def test_a_corpus_of_odd_files_becomes_rows(tmp_path: Path) -> None:
    """Every odd file is in use or has a reason; none ends the scan."""
    corpus = write_corpus(tmp_path / "odd" / "things")
    data = scan(tmp_path / "odd", verify=True, min_class_images=1)
    rows = by_path(data)
    visited = readable = 0
    for odd in corpus:
        shown = os.fsencode(odd.path.relative_to(data.root).as_posix())
        row = rows.get(shown.decode("utf-8", "backslashreplace"))
        if row is None:  # a folder with the name of an image: what is inside it counts
            assert odd.path.is_dir(), odd.name
            continue
        visited += 1
        readable += row.status == "ok"
        if row.status == "ok":
            assert odd.readable, odd.name
            assert odd.size in (None, (row.width, row.height)), odd.name
        else:
            assert row.reason, odd.name
            assert "\n" not in row.reason
    assert visited >= 100
    assert readable >= 80
