"""What the report says of a review: what was decided, and the accuracy before it and now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regraft.reporting import build_report
from regraft.reporting.reviewed import what_the_review_changed
from tests.reporting.page import Page, squeezed
from tests.reporting.sample_runs import ABOUT, make_run


def measured(value: float, n: int, photos: int) -> dict[str, Any]:
    accuracy = {"value": value, "low": value - 0.05, "high": value + 0.04, "method": "wilson"}
    return {"n": n, "photos": photos, "accuracy": accuracy}


def about(**changes: Any) -> dict[str, Any]:
    entry = {
        "applied": {"relabelled": 2, "excluded": 1, "kept": 0},
        "skipped": 0,
        "from": "runs/a <b>name</b>/decisions.csv",
        "compared": [
            {
                "on": "cross-validation",
                "before": measured(0.9, 24, 24),
                "now": measured(0.95, 23, 23),
                "shared": 23,
                "relabelled": 2,
            }
        ],
    }
    return {**ABOUT, "decisions": {**entry, **changes}}


def section(folder: Path, **changes: Any) -> str:
    html = build_report(make_run(folder, about=about(**changes), write_images=False))
    page = Page(html)
    assert page.unclosed == []
    assert "<b>name</b>" not in html
    (found,) = page.all("section", id="review")
    return squeezed(found.text)


def test_both_accuracies_stand_side_by_side(tmp_path: Path) -> None:
    text = section(tmp_path)
    assert "2 photos relabelled and 1 photo excluded." in text
    assert "runs/a <b>name</b>/decisions.csv" in text
    assert "Before the review2490.0 %" in text  # cells of one row
    assert "85.0–94.0 %" in text
    assert "Now2395.0 %" in text
    assert "The photos differ: 23 are in both, 2 of them with another label." in text


def test_the_same_photos_are_called_so(tmp_path: Path) -> None:
    same = {
        "on": "test",
        "before": measured(0.9, 20, 20),
        "now": measured(0.9, 20, 20),
        "shared": 20,
        "relabelled": 0,
    }
    assert "The photos are the same, with the same labels." in section(tmp_path, compared=[same])


def test_what_was_not_applied_is_said(tmp_path: Path) -> None:
    nothing = {"relabelled": 0, "excluded": 0, "kept": 0}
    text = section(tmp_path, applied=nothing, skipped=3, compared=[])
    assert "Nothing changed; 3 decisions were not applied" in text
    assert "Before the review" not in text


def test_a_run_without_decisions_says_nothing_of_them(tmp_path: Path) -> None:
    run = make_run(tmp_path, write_images=False)
    assert what_the_review_changed(run) is None
    assert not Page(build_report(run)).all("section", id="review")
