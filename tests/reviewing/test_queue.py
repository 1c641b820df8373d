"""Which photos the review goes through, and why."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from regraft.dataset import Row
from regraft.inspection.issues import Issue
from regraft.reviewing import build_queue
from regraft.runs import ImagePrediction, Run
from tests.reporting.sample_runs import make_run


def run_with(*issues: Issue, rows: tuple[Row, ...] = (), **options: object) -> Run:
    return make_run(
        Path("/photos"),
        wrong=0.0,
        write_images=False,
        issues=issues,
        more_rows=rows,
        **options,  # type: ignore[arg-type]
    )


def test_each_photo_comes_once_worst_first_with_all_reasons() -> None:
    a, b, c = (f"train/0/{i}.jpg" for i in range(3))
    run = run_with(
        Issue(a, "quality", 0.5, "blurred"),
        Issue(b, "label_suspect", 0.7, "labelled cat, looks like dog"),
        Issue(a, "outlier", 0.9, "unlike the others, rank 1 by its distance to them"),
        Issue(c, "quality", 0.7, "dark"),
        Issue(".", "class_balance", 1.0, "cat has only 3 training photos"),
        Issue(".", "quality", 0.3, "30 % of the photos are dark: a property of this data"),
        Issue(a, "exact_duplicate", 1.0, b, b),
    )
    queue = build_queue(run)
    assert [run.data.rows[one.row].path for one in queue] == [a, b, c]
    assert [reason.kind for reason in queue[0].reasons] == ["outlier", "quality"]
    assert [one.score for one in queue] == [0.9, 0.7, 0.7]
    assert queue[0].prediction is not None
    assert queue[0].prediction.path == a


def test_only_errors_that_were_surely_wrong_and_unseen_are_in_it() -> None:
    run = run_with(test=2)
    kept = [p for p in run.predictions if p.label == "cat"][:5]
    wrong = [
        dataclasses.replace(p, predicted="dog", confidence=sure, fold=fold)
        for p, sure, fold in zip(
            kept, (0.9, 0.49, math.nan, 0.5, 0.8), (0, 0, 0, 0, -1), strict=True
        )
    ]
    unlabelled = ImagePrediction("train/1/1.jpg", "", "dog", 0.99, "", -1, (0.01, 0.99))
    queue = build_queue(dataclasses.replace(run, predictions=(*wrong, unlabelled)))
    assert [(run.data.rows[one.row].path, one.score) for one in queue] == [
        (kept[0].path, 0.9),
        (kept[3].path, 0.5),
    ]
    assert "predicted as dog" in queue[0].reasons[0].text
    in_test = dataclasses.replace(wrong[0], split="test", fold=-1)
    assert len(build_queue(dataclasses.replace(run, predictions=(in_test,)))) == 1


def test_near_copies_with_two_labels_are_both_there_each_beside_the_other() -> None:
    cat, dog, other = "train/0/1.jpg", "train/1/1.jpg", "train/0/2.jpg"
    run = run_with(
        Issue(dog, "near_duplicate", 0.97, f"{cat}, mirrored, labelled cat and dog", cat),
        Issue(other, "near_duplicate", 0.99, cat, cat),
    )
    queue = build_queue(run)
    paths = {run.data.rows[one.row].path: one for one in queue}
    assert set(paths) == {cat, dog}
    assert queue[0].score == queue[1].score == 0.97
    twin = paths[cat].reasons[0].twin
    assert twin is not None
    assert run.data.rows[twin].path == dog
    assert paths[cat].reasons[0].text.endswith(f"{dog}, which is labelled dog")


def test_contradictory_copies_are_shown_side_by_side() -> None:
    rows = tuple(
        Row(f"{label}/both.jpg", "f" * 64, label, status="conflict", reason="the same image is ...")
        for label in ("cat", "dog")
    )
    issues = [Issue(row.path, "label_conflict", 1.0, row.reason) for row in rows]
    run = run_with(*issues, rows=rows)
    queue = build_queue(run)
    assert len(queue) == 2
    for one in queue:
        twin = one.reasons[0].twin
        assert twin is not None
        assert run.data.rows[twin].label != run.data.rows[one.row].label
        assert one.prediction is None


def test_what_was_decided_is_there_even_without_a_reason() -> None:
    run = run_with(Issue("train/0/2.jpg", "quality", 0.2, "dark"))
    last = run.data.rows[-1]
    queue = build_queue(run, decided={(last.path, last.sha256), ("gone.jpg", "0" * 64)})
    assert [run.data.rows[one.row].path for one in queue] == ["train/0/2.jpg", last.path]
    assert queue[1].reasons[0].kind == "decided"


def test_files_that_were_never_read_are_not_in_it() -> None:
    missing = Row("gone.jpg", label="cat", status="missing")
    assert build_queue(run_with(Issue("gone.jpg", "quality", 1.0, "x"), rows=(missing,))) == ()
    assert build_queue(run_with()) == ()
