"""Folders around class folders, and splits in all places where people put them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from regraft.dataset.layouts import rows_from_folders, rows_of_test_folder
from regraft.dataset.nesting import in_plain_layout
from regraft.dataset.split_names import split_within, splits_by_word, splits_of_names
from regraft.dataset.walking import Listing


def listing(*files: str, empty: tuple[str, ...] = ()) -> Listing:
    """What a walk would have found."""
    folders = {
        "/".join(file.split("/")[:end]) for file in files for end in range(1, file.count("/") + 1)
    }
    return Listing(Path("/data"), tuple(sorted(files)), (), tuple(sorted(folders | set(empty))))


def below(prefix: str, *names: str, count: int = 2) -> list[str]:
    """Files in folders below a prefix."""
    return [f"{prefix}{name}/{number}.jpg" for name in names for number in range(count)]


def labels(found: Listing, known: tuple[str, ...] = ()) -> Mapping[str, tuple[str, str]]:
    """Split and label of each file in use, by its path."""
    draft = rows_from_folders(found, known=known)
    assert {row.path for row in draft.rows} == set(found.files)
    return {row.path: (row.split, row.label) for row in draft.rows if row.status == "ok"}


WRAPPED = {
    "training_set/training_set/": "train",
    "test_set/test_set/": "test",
}


def test_a_split_within_itself() -> None:
    files = [file for prefix in WRAPPED for file in below(prefix, "box", "ball")]
    found = labels(listing(*files))
    assert found == {
        file: (WRAPPED[file.rsplit("/", 2)[0] + "/"], file.split("/")[2]) for file in files
    }
    draft = rows_from_folders(listing(*files))
    assert draft.layout == "split by folders (training_set, test_set), one folder per class"
    assert draft.notes[0] == (
        "Everything in training_set lies in training_set/training_set, so the folders in there "
        "count."
    )


@pytest.mark.parametrize(
    "prefix", ["photos/", "dataset/dataset/", "a b (1)/2024/", "My Photos/x/y/z/"]
)
def test_folders_that_hold_nothing_but_one(prefix: str) -> None:
    found = labels(listing(*below(prefix, "clean", "messy")))
    assert {label for _, label in found.values()} == {"clean", "messy"}
    found = labels(listing(*below(prefix, "train/clean", "train/messy", "val/clean", "val/messy")))
    assert set(found.values()) == {(s, c) for s in ("train", "val") for c in ("clean", "messy")}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train_images", "test_images"),
        ("TrainData", "TestData"),
        ("images/train", "images/val"),
        ("trainset", "testset"),
        ("Training Set", "Validation Set"),
    ],
)
def test_splits_by_other_names(train: str, test: str) -> None:
    found = labels(listing(*below("", *(f"{s}/{c}" for s in (train, test) for c in "ab"))))
    sides = {path: split for path, (split, _) in found.items()}
    assert {split for path, split in sides.items() if path.startswith(train)} == {"train"}
    assert {split for path, split in sides.items() if path.startswith(test)} <= {"test", "val"}
    assert {label for _, label in found.values()} == {"a", "b"}


def test_a_split_within_each_class() -> None:
    files = below("", *(f"{c}/{s}" for c in ("cats", "dogs") for s in ("train", "test")))
    assert labels(listing(*files)) == {
        file: (file.split("/")[1], file.split("/")[0]) for file in files
    }
    draft = rows_from_folders(listing(*files, "cats/loose.jpg"))
    ignored = [row.path for row in draft.rows if row.status == "ignored"]
    assert ignored == ["cats/loose.jpg"]
    assert {row.split for row in draft.rows if row.status == "ok"} == {"train", "test"}


def test_a_split_within_the_name_of_each_class() -> None:
    files = below("", "train_Cats", "test_Cats", "train_dogs", "test_dogs")
    found = labels(listing(*files))
    assert found["train_Cats/0.jpg"] == ("train", "Cats")
    assert found["test_dogs/1.jpg"] == ("test", "dogs")
    assert labels(listing(*below("", "train station", "test tube", "dogs"))) == {
        **{f"train station/{i}.jpg": ("train", "train station") for i in range(2)},
        **{f"test tube/{i}.jpg": ("train", "test tube") for i in range(2)},
        **{f"dogs/{i}.jpg": ("train", "dogs") for i in range(2)},
    }


def test_folders_that_all_hold_the_same_are_no_classes_and_that_is_said() -> None:
    files = below("", *(f"{room}/{state}" for room in ("kitchen", "bath") for state in "xy"))
    draft = rows_from_folders(listing(*files))
    assert {row.path: row.label for row in draft.rows} == {f: f.split("/")[1] for f in files}
    assert draft.notes == (
        "bath and kitchen hold the same folders, so these (x and y) are taken as the classes; if "
        "bath and kitchen are the classes, name that of each image in a table (--labels CSV).",
    )
    deeper = [f"{site}/{file}" for site in ("north", "south") for file in files]
    assert {label for _, label in labels(listing(*deeper)).values()} == {"x", "y"}
    split = [f"{side}/{file}" for side in ("train", "test") for file in files]
    assert set(labels(listing(*split)).values()) == {
        (s, c) for s in ("train", "test") for c in "xy"
    }
    without_one = [file for file in files if not file.startswith("bath/y")] + below("hall/", "y")
    assert {label for _, label in labels(listing(*without_one)).values()} == {"x", "y"}


@pytest.mark.parametrize(
    "inner",
    [
        (("cats", ("persian", "siamese")), ("dogs", ("pug", "poodle"))),  # nothing in common
        (("cats", ("persian", "other")), ("dogs", ("pug", "other"))),  # not all of it
        (("cats", ("images",)), ("dogs", ("images",))),  # one folder each
        (("cats", ("day1", "day2")), ("dogs", ("day1", "day2"))),  # they only count
        (("cats", ("2024-01", "2024-02")), ("dogs", ("2024-01", "2024-02"))),
    ],
)
def test_folders_within_classes_that_are_no_classes(
    inner: tuple[tuple[str, tuple[str, ...]], ...],
) -> None:
    files = below("", *(f"{label}/{folder}" for label, folders in inner for folder in folders))
    draft = rows_from_folders(listing(*files))
    assert {row.label for row in draft.rows} == {"cats", "dogs"}
    assert draft.notes == ()


def test_people_who_each_made_signs() -> None:
    files = below("", *(f"user{n}/{digit}" for n in (1, 2, 3) for digit in (0, 1)))
    assert {label for _, label in labels(listing(*files)).values()} == {"0", "1"}


def test_files_beside_the_inner_folders_keep_the_outer_ones_classes() -> None:
    files = [*below("", "cats/x", "cats/y", "dogs/x", "dogs/y"), "cats/loose.jpg"]
    assert {label for _, label in labels(listing(*files)).values()} == {"cats", "dogs"}


def test_one_class_with_folders_is_one_class_where_its_name_is_known() -> None:
    files = below("messy/", "2024-05", "2024-06")
    assert {x for _, x in labels(listing(*files), known=("clean", "messy")).values()} == {"messy"}
    deep = below("cam1/", "messy", "clean") + below("cam2/", "messy")
    assert {x for _, x in labels(listing(*deep), known=("clean", "messy")).values()} == {
        "messy",
        "clean",
    }


def test_a_test_folder_is_unwrapped_down_to_the_training_classes() -> None:
    files = below("test_set/test_set/", "box", "ball", "unknown")
    draft = rows_of_test_folder(listing(*files), {"box", "ball"})
    assert {row.label for row in draft.rows} == {"box", "ball", "unknown"}
    one = rows_of_test_folder(listing(*below("box/", "a", "b")), {"box", "ball"})
    assert {row.label for row in one.rows} == {"box"}


def test_what_is_beside_the_splits_is_not_used() -> None:
    files = below("", "training_set/a", "training_set/b", "test_set/a", "single_prediction")
    draft = rows_from_folders(listing(*files))
    ignored = {row.path: row.reason for row in draft.rows if row.status == "ignored"}
    assert set(ignored) == {"single_prediction/0.jpg", "single_prediction/1.jpg"}
    assert set(ignored.values()) == {"outside the folders for train, val and test"}


def test_an_empty_folder_is_told_by_its_name() -> None:
    found = listing(*below("data/", "a", "b"), empty=("data/c", "docs"))
    assert rows_from_folders(found).notes[-1] == "The class folder c has no images."


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("training_set", "train"),
        ("seg_test", "test"),
        ("TrainImages", "train"),
        ("valid", "val"),
        ("train-00000-of-00002", "train"),
        ("testdata2", "test"),
        ("latest", ""),
        ("contest", ""),
        ("trainer", ""),
        ("train_or_test", ""),
        ("invalid", ""),
    ],
)
def test_the_split_that_a_name_holds(name: str, split: str) -> None:
    assert split_within(name)[0] == split


def test_names_that_count_as_splits_only_beside_others() -> None:
    assert splits_of_names(["train", "bus"]) == {"train": "train"}
    assert splits_of_names(["train_set", "bus"]) == {}
    assert splits_of_names(["test tube", "train station"]) == {}
    assert splits_by_word(["train_a", "test_a", "val_a", "train_b"]) == {
        "a": {"train_a": "train", "test_a": "test", "val_a": "val"}
    }


PART = st.sampled_from(["a", "b", "train", "test_set", "train_set", "val", "1", "2", "A"])
PATHS = st.lists(PART, max_size=4).map(lambda parts: "/".join([*parts, "f.jpg"]))


@given(st.sets(PATHS, min_size=1, max_size=12), st.sampled_from([(), ("a",), ("a", "b")]))
@example({"a/2/A/f.jpg", "b/1/a/f.jpg", "f.jpg"}, ("a",))
def test_every_file_keeps_its_own_place(files: set[str], known: tuple[str, ...]) -> None:
    found = listing(*files)
    plain = in_plain_layout(found, known=known)
    assert len(set(plain.listing.files)) == len(files)
    assert set(plain.origin.values()) == files
    for moved, file in plain.origin.items():
        assert set(moved.split("/")) <= set(file.replace("_", "/").split("/")) | set(
            file.split("/")
        )
    draft = rows_from_folders(found, known=known)
    assert sorted(row.path for row in draft.rows) == sorted(files)
    assert all(row.label for row in draft.rows if row.status == "ok")
