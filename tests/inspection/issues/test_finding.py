"""All kinds of issue in one table: what is given decides what is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from regraft.dataset import Dataset, Row
from regraft.features.measures import Measures
from regraft.inspection.issues import Issue, find_issues, in_dataset, in_order, look, with_suspects
from regraft.kinds.images.attributes import SIGNATURE_PX, Attributes

PLAIN = Attributes(
    width=300,
    height=200,
    file_bytes=30_000,
    format="JPEG",
    mode="RGB",
    jpeg_quality=90.0,
    subsampling="4:2:0",
    progressive=False,
    has_profile=False,
    camera="",
    taken=float("nan"),
    frame=0.0,
    frame_level=float("nan"),
    brightness=0.5,
    brightness_low=0.1,
    brightness_high=0.9,
    contrast=50.0,
    sharpness=60.0,
    grey_spread=20.0,
    entropy=7.0,
    red=120.0,
    green=120.0,
    blue=120.0,
    saturation=30.0,
)


def rows_of(labels: Sequence[str], *, tests: Sequence[int] = ()) -> list[Row]:
    return [
        Row(f"{label}/{i}.jpg", f"sha{i}", label, "test" if i in tests else "train")
        for i, label in enumerate(labels)
    ]


def dataset(rows: Sequence[Row]) -> Dataset:
    return Dataset.from_rows(Path("/x"), rows)


def noise(n: int, *, copies: dict[int, int] | None = None) -> NDArray[np.uint8]:
    """Sketches that have nothing in common but for `copies`, which are alike but not equal."""
    random = np.random.default_rng(0)
    coarse = random.integers(20, 236, (n, SIGNATURE_PX // 4, SIGNATURE_PX // 4))
    signatures = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2).astype(np.uint8)
    for copy, original in (copies or {}).items():
        signatures[copy] = signatures[original] + random.integers(0, 3, signatures.shape[1:])
    return signatures


def measures_of(
    attributes: Sequence[Attributes | None], signatures: NDArray[np.uint8] | None = None
) -> Measures:
    signatures = noise(len(attributes)) if signatures is None else signatures
    return Measures(tuple(attributes), signatures, (b"",) * len(attributes), {})


def close(n: int) -> NDArray[np.float32]:
    """Features in which everything is a little like everything else."""
    random = np.random.default_rng(0)
    return (1.0 + 0.2 * random.normal(size=(n, 16))).astype(np.float32)


def of_kind(issues: Sequence[Issue], kind: str) -> list[Issue]:
    return [issue for issue in issues if issue.issue == kind]


def with_copies(rows: Sequence[Row], copies: dict[int, int]) -> tuple[Issue, ...]:
    measures = measures_of([PLAIN] * len(rows), noise(len(rows), copies=copies))
    return find_issues(dataset(rows), features=close(len(rows)), measures=measures)


def test_a_near_duplicate_names_its_twin() -> None:
    (issue,) = of_kind(with_copies(rows_of(["a"] * 5), {4: 1}), "near_duplicate")
    assert (issue.path, issue.detail) == ("a/4.jpg", "a/1.jpg")
    assert 0.9 <= issue.score <= 1


def test_a_near_duplicate_between_training_and_test_leaks() -> None:
    issues = with_copies(rows_of(["a"] * 6, tests=[1]), {4: 1})
    (leak,) = of_kind(issues, "leakage")
    assert (leak.path, leak.detail) == ("a/1.jpg", "a/4.jpg (near duplicate)")
    assert [issue.path for issue in of_kind(issues, "near_duplicate")] == ["a/4.jpg"]


@pytest.mark.parametrize("tests", [[], [1, 4]])
def test_near_duplicates_on_one_side_do_not_leak(tests: list[int]) -> None:
    assert of_kind(with_copies(rows_of(["a"] * 6, tests=tests), {4: 1}), "leakage") == []


def test_a_test_photo_leaks_once_however_many_copies_there_are() -> None:
    issues = with_copies(rows_of(["a"] * 6, tests=[0]), {3: 0, 4: 0, 5: 0})
    assert [issue.path for issue in of_kind(issues, "leakage")] == ["a/0.jpg"]
    assert len(of_kind(issues, "near_duplicate")) == 3


def test_near_duplicates_of_two_classes_say_both() -> None:
    (issue,) = of_kind(with_copies(rows_of(["a", "a", "b"]), {2: 0}), "near_duplicate")
    assert issue.detail == "a/0.jpg, labelled a and b"


def test_an_exact_copy_is_no_near_duplicate() -> None:
    rows = rows_of(["a"] * 5)
    rows[4] = replace(rows[4], sha256=rows[1].sha256)
    issues = with_copies(rows, {4: 1})
    assert [issue.path for issue in of_kind(issues, "exact_duplicate")] == ["a/4.jpg"]
    assert of_kind(issues, "near_duplicate") == []


def test_copies_do_not_hide_a_stranger() -> None:
    features = close(110)
    features[60:] = -features[0]
    rows = rows_of(["a"] * 110)
    rows[60:] = [replace(row, sha256="the same") for row in rows[60:]]
    issues = find_issues(dataset(rows), features=features)
    listed = {issue.path for issue in of_kind(issues, "outlier")}
    assert "a/60.jpg" in listed
    copies = {f"a/{i}.jpg" for i in range(61, 110)}
    assert not listed & copies, "they are listed as copies of it"
    assert {issue.path for issue in of_kind(issues, "exact_duplicate")} == copies


def test_outliers_say_their_place() -> None:
    features = close(40)
    features[9] = -features[9]
    (first, *_) = of_kind(find_issues(dataset(rows_of(["a"] * 40)), features=features), "outlier")
    assert first.path == "a/9.jpg"
    assert first.detail == "unlike the others, rank 1 by its distance to them"


def balance(counts: dict[str, int]) -> list[tuple[str, str]]:
    rows = rows_of([name for name, count in counts.items() for _ in range(count)])
    issues = find_issues(dataset(rows), measures=measures_of([PLAIN] * len(rows)))
    return [(issue.path, issue.detail) for issue in of_kind(issues, "class_balance")]


def test_classes_of_like_size_are_balanced() -> None:
    assert balance({"a": 12, "b": 35}) == []


def test_a_class_with_few_photos_is_told() -> None:
    assert balance({"a": 12, "b": 4}) == [(".", "b has only 4 training photos")]


def test_a_class_with_far_fewer_photos_than_the_largest_is_told() -> None:
    assert balance({"a": 36, "b": 12}) == [(".", "b has 12 training photos, a has 36")]


def test_only_training_photos_count_for_the_balance() -> None:
    rows = rows_of(["a"] * 12 + ["b"] * 12, tests=range(14, 24))
    issues = find_issues(dataset(rows), measures=measures_of([PLAIN] * 24))
    (issue,) = of_kind(issues, "class_balance")
    assert issue.detail == "b has only 2 training photos"


def test_the_smaller_the_class_the_higher_its_score() -> None:
    rows = rows_of(["a"] * 40 + ["b"] * 2 + ["c"] * 8)
    issues = find_issues(dataset(rows), measures=measures_of([PLAIN] * 50))
    told = of_kind(issues, "class_balance")
    assert [issue.detail[0] for issue in told] == ["b", "c"]
    assert told[0].score > told[1].score > 0


def test_a_shortcut_is_of_the_whole() -> None:
    rows = rows_of(["a", "b"] * 20)
    attributes = [replace(PLAIN, jpeg_quality=90.0 - 30 * (i % 2)) for i in range(40)]
    issues = find_issues(dataset(rows), measures=measures_of(attributes))
    (issue,) = of_kind(issues, "shortcut")
    assert issue.path == "."
    assert issue.detail.startswith("JPEG quality alone tells the class of 100.0 % [")
    assert issue.detail.endswith("of photos, guessing that of 50.0 %")


def test_a_shortcut_is_looked_for_in_training_photos_only() -> None:
    rows = rows_of(["a", "b"] * 40, tests=range(40, 80))
    attributes = [replace(PLAIN, jpeg_quality=90.0 - 30 * (i % 2 * (i >= 40))) for i in range(80)]
    found = look(dataset(rows), measures=measures_of(attributes))
    assert found.shortcuts is not None
    assert found.shortcuts.images == 40
    assert found.shortcuts.alarms == ()


def test_what_most_photos_share_is_told_once_of_the_whole() -> None:
    attributes = [replace(PLAIN, brightness_high=0.1)] * 15 + [PLAIN] * 5
    issues = find_issues(dataset(rows_of(["a"] * 20)), measures=measures_of(attributes))
    (issue,) = of_kind(issues, "quality")
    assert (issue.path, issue.score) == (".", 0.75)
    assert issue.detail == "75.0 % of the photos are dark: a property of this data"


def test_a_single_dark_photo_is_told_of_itself() -> None:
    attributes = [PLAIN] * 19 + [replace(PLAIN, brightness_high=0.1)]
    issues = find_issues(dataset(rows_of(["a"] * 20)), measures=measures_of(attributes))
    (issue,) = of_kind(issues, "quality")
    assert (issue.path, issue.detail) == ("a/19.jpg", "dark")


def test_a_suspect_says_both_labels() -> None:
    rows = rows_of(["a", "b"] * 10)
    p = np.array([[0.9, 0.1], [0.1, 0.9]] * 10)
    p[4] = [0.05, 0.95]
    (issue,) = of_kind(find_issues(dataset(rows), probabilities=p), "label_suspect")
    assert (issue.path, issue.detail) == ("a/4.jpg", "labelled a, looks like b")


def test_suspects_are_added_to_what_was_found() -> None:
    data = dataset(rows_of(["a", "b"] * 10))
    p = np.array([[0.9, 0.1], [0.1, 0.9]] * 10)
    p[4] = [0.05, 0.95]
    first = look(data, features=close(20), measures=measures_of([PLAIN] * 20))
    second = with_suspects(data, first, p)
    assert second.suspects is not None
    assert set(first.issues) < set(second.issues)
    both = look(data, features=close(20), measures=measures_of([PLAIN] * 20), probabilities=p)
    assert both.issues == second.issues


def test_findings_follow_rows_that_move_to_another_split() -> None:
    data = dataset(rows_of(["a"] * 6))
    measures = measures_of([PLAIN] * 6, noise(6, copies={4: 1}))
    found = look(data, features=close(6), measures=measures)
    assert of_kind(found.issues, "leakage") == []
    moved = in_dataset(found, dataset(rows_of(["a"] * 6, tests=[1])))
    (leak,) = of_kind(moved.issues, "leakage")
    assert leak.path == "a/1.jpg"


def test_rows_alone_tell_nothing_of_the_photos() -> None:
    found = look(dataset(rows_of(["a", "a", "b"])))
    assert found.issues == ()
    looked_for = (found.neighbours, found.outliers, found.quality, found.shortcuts, found.suspects)
    assert looked_for == (None,) * 5
    assert found.copies == ()


def test_a_dataset_without_photos_in_use_has_no_issues() -> None:
    data = dataset([Row("a.jpg", status="unlabelled"), Row("notes.txt", status="ignored")])
    empty = measures_of([], noise(0))
    assert find_issues(data, features=np.zeros((0, 4)), measures=empty) == ()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_smallest_datasets_are_looked_at(n: int) -> None:
    issues = find_issues(
        dataset(rows_of(["a"] * n)), features=close(n), measures=measures_of([PLAIN] * n)
    )
    assert [issue.issue for issue in issues] == ["class_balance"]


def test_the_table_is_in_order() -> None:
    rows = rows_of(["a"] * 20 + ["b"] * 4, tests=[3])
    attributes = [PLAIN] * 22 + [replace(PLAIN, brightness_high=0.1, entropy=1.0)] * 2
    measures = measures_of(attributes, noise(24, copies={9: 3, 10: 8}))
    features = close(24)
    features[[9, 10]] = features[[3, 8]] + 0.01
    issues = find_issues(dataset(rows), features=features, measures=measures)
    assert {"near_duplicate", "leakage", "quality", "class_balance"} <= {i.issue for i in issues}
    assert issues == in_order(issues)
    keys = [(issue.issue, -issue.score) for issue in issues]
    assert keys == sorted(keys)
    assert all(0 <= issue.score <= 1 for issue in issues)
