from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from pathlib import Path

from regraft.dataset import Dataset, Row, scan
from regraft.inspection.issues import Issue, find_issues, issues_csv
from tests.conftest import MakeImageFolder

ROWS = [
    Row("test/10.jpg", "aa", "cat", "test", "p1"),
    Row("test/2.jpg", "bb", "dog", "test", "p2"),
    Row("test/3.jpg", "cc", "dog", "test"),
    Row("train/1.jpg", "aa", "cat", "train", status="excluded"),
    Row("train/2.jpg", "dd", "dog", "train", "p2", status="excluded"),
    Row("train/3.jpg", "dd", "dog", "train"),
    Row("train/4.jpg", "ee", "cat", "train", status="conflict", reason="labelled 'dog' in x"),
    Row("train/5.jpg", "ee", "dog", "train", status="conflict", reason="labelled 'cat' in y"),
    Row("train/6.jpg", "", "dog", "train", status="unreadable", reason="the file is empty"),
    Row("train/7.jpg", "", "dog", "train", status="missing", reason="not found"),
    Row("notes.txt", status="ignored", reason="not an image"),
]


def test_issues_are_sorted_by_kind_and_path() -> None:
    assert find_issues(Dataset.from_rows(Path("/x"), ROWS)) == (
        Issue("train/1.jpg", "exact_duplicate", 1.0, "test/10.jpg", "test/10.jpg"),
        Issue("train/3.jpg", "exact_duplicate", 1.0, "train/2.jpg", "train/2.jpg"),
        Issue("train/4.jpg", "label_conflict", 1.0, "labelled 'dog' in x"),
        Issue("train/5.jpg", "label_conflict", 1.0, "labelled 'cat' in y"),
        Issue("test/2.jpg", "leakage", 1.0, "train/2.jpg (the same group 'p2')", "train/2.jpg"),
        Issue("test/10.jpg", "leakage", 1.0, "train/1.jpg", "train/1.jpg"),
        Issue("train/6.jpg", "unreadable", 1.0, "the file is empty"),
        Issue("train/7.jpg", "unreadable", 1.0, "not found"),
    )


def test_a_clean_dataset_has_no_issues() -> None:
    rows = [Row("a", "1", "cat", "train"), Row("b", "2", "cat", "test"), Row("c", "3", "dog")]
    assert find_issues(Dataset.from_rows(Path("/x"), rows)) == ()


def test_issues_of_a_scan(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"train/cat": 4, "train/dog": 4, "test/cat": 2, "test/dog": 2})
    shutil.copy(root / "train/cat/0.png", root / "train/cat/again.png")
    shutil.copy(root / "train/cat/1.png", root / "train/dog/wrong.png")
    shutil.copy(root / "train/dog/1.png", root / "test/dog/seen.png")
    (root / "test/dog/zero.png").write_bytes(b"")
    assert [(issue.issue, issue.path, issue.detail) for issue in find_issues(scan(root))] == [
        # Rows come in the order of their paths, so the test image is found first.
        ("exact_duplicate", "train/cat/again.png", "train/cat/0.png"),
        ("exact_duplicate", "train/dog/1.png", "test/dog/seen.png"),
        (
            "label_conflict",
            "train/cat/1.png",
            "the same image is labelled 'dog' in train/dog/wrong.png",
        ),
        (
            "label_conflict",
            "train/dog/wrong.png",
            "the same image is labelled 'cat' in train/cat/1.png",
        ),
        ("leakage", "test/dog/seen.png", "train/dog/1.png"),
        ("unreadable", "test/dog/zero.png", "the file is empty"),
    ]


def test_csv() -> None:
    issues = [
        Issue("a, b.jpg", "leakage", 1.0, 'say "hi"', other="b, c.jpg"),
        Issue("c", "outlier", 0.123456789, ""),
    ]
    text = issues_csv(issues)
    assert text.splitlines()[0] == "path,issue,score,detail,other"
    assert list(csv.reader(io.StringIO(text)))[1:] == [
        ["a, b.jpg", "leakage", "1", 'say "hi"', "b, c.jpg"],
        ["c", "outlier", "0.123457", "", ""],
    ]
    assert issues_csv([]) == "path,issue,score,detail,other\n"


def test_real_photos_with_planted_issues(test_data: Path, tmp_path: Path) -> None:
    for label in ("ants", "bees"):
        for split in ("train", "val"):
            (tmp_path / split / label).mkdir(parents=True)
            photos = sorted((test_data / "hymenoptera" / split / label).iterdir())[:6]
            for photo in photos:
                shutil.copyfile(photo, tmp_path / split / label / photo.name)
    assert find_issues(scan(tmp_path)) == ()
    one = sorted((tmp_path / "val/ants").iterdir())[0]
    shutil.copyfile(one, tmp_path / "train/ants/leaked.jpg")
    shutil.copyfile(sorted((tmp_path / "train/bees").iterdir())[0], tmp_path / "train/ants/bee.jpg")
    found = Counter(issue.issue for issue in find_issues(scan(tmp_path)))
    assert found == {"leakage": 1, "exact_duplicate": 1, "label_conflict": 2}
