"""The first look at the photos on the page: the map and what it says of each photo."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from regraft.dataset import scan
from regraft.inspection.exploring import Separation
from regraft.metrics.rates import Estimate
from regraft.reporting import build_data_report, build_report
from regraft.reporting.exploration import changes, first_look, shortcuts
from regraft.runs import Run
from regraft.workflow import audit, report_data
from tests.reporting.page import Page
from tests.reporting.sample_runs import (
    ABOUT,
    AUDIT,
    about_of,
    make_exploration,
    make_full_run,
    make_run,
)
from tests.reporting.test_report import NASTY, check_page


def behind(page: Page) -> dict[str, Any]:
    (element,) = page.all("script", type_="application/json")
    found: dict[str, Any] = json.loads(element.text)
    return found


def test_every_photo_is_a_mark_with_what_was_said_of_it(tmp_path: Path) -> None:
    run = make_full_run(tmp_path)
    page = check_page(build_report(run))
    marks = page.all("path", class_="p")
    legend = len(run.data.classes)
    assert len(marks) == len(run.data.ok) + legend
    told = behind(page)["places"]
    said = {p.path: p for p in run.predictions}
    assert [one["path"] for one in told] == [row.path for row in run.data.ok]
    for one, mark in zip(told, marks, strict=False):
        prediction = said[one["path"]]
        assert (one["label"], one["said"]) == (prediction.label, prediction.predicted)
        kinds = mark.attributes["class"].split()
        assert ("wrong" in kinds) == (prediction.predicted != prediction.label)
        assert ("test" in kinds) == (one["split"] == "test")
        assert base64.b64decode(one["picture"]).startswith(b"\xff\xd8")
        assert one["nearest"]


def test_classes_differ_in_colour_or_shape(tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=[f"c{i}" for i in range(28)], train=2, write_images=False)
    run = dataclasses.replace(run, exploration=make_exploration(run))
    found = first_look(run)
    assert found is not None
    looks = {(s.colour, s.shape) for s in found.symbols}
    assert len(looks) == 28


def test_a_class_beyond_the_symbols_is_grey_and_still_there(tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=[f"c{i:02}" for i in range(40)], train=2, write_images=False)
    run = dataclasses.replace(run, exploration=make_exploration(run))
    page = check_page(build_report(run))
    assert len(page.all("path", class_="p")) == 80 + 28
    assert "and 12 more in grey" in page.text
    assert all(chart.many for chart in first_look(run).charts)  # type: ignore[union-attr]


def test_no_name_ends_the_data_or_the_script(tmp_path: Path) -> None:
    nasty = (*NASTY, "</script><script>alert(1)</script>", "<!-- --> ]]>")
    run = make_run(tmp_path, classes=nasty, train=3, test=2, write_images=False)
    run = dataclasses.replace(run, exploration=make_exploration(run))
    page = check_page(build_report(run))
    assert behind(page)["classes"] == list(run.data.classes)
    assert {o.text for o in page.all("option")} >= set(nasty)


def test_a_run_without_a_first_look_runs_no_script(tmp_path: Path) -> None:
    page = check_page(build_report(make_run(tmp_path)))
    assert page.all("script") == []
    assert "alike" not in page.text


def test_photos_that_left_the_dataset_stay_on_the_map(tmp_path: Path) -> None:
    run = make_full_run(tmp_path)
    fewer = run.data.mark({run.data.ok[0].path: ("excluded", "in review")})
    page = check_page(build_report(dataclasses.replace(run, data=fewer)))
    assert len(behind(page)["places"]) == len(run.data.ok)


def test_the_worst_mix_is_named(tmp_path: Path) -> None:
    run = make_full_run(tmp_path)
    assert run.exploration is not None
    mixed = (
        Separation("cat", 12, Estimate(0.5, 0.2, 0.8, "wilson"), "dog", 0.5),
        Separation("dog", 12, Estimate(1.0, 0.8, 1.0, "wilson"), "", 0.0),
    )
    run = dataclasses.replace(run, exploration=dataclasses.replace(run.exploration, classes=mixed))
    found = first_look(run)
    assert found is not None
    assert "of “cat” look like “dog”" in found.separable
    assert [row.name for row in found.apart] == ["cat", "dog"]


def test_shortcuts_stand_beside_the_model(tmp_path: Path) -> None:
    found = shortcuts(make_full_run(tmp_path))
    assert found is not None
    assert found.rows[0].name == "the model"
    assert [row.name for row in found.rows if row.alarm] == ["JPEG quality alone"]
    assert 0 <= found.guess <= 100
    page = check_page(build_report(make_full_run(tmp_path)))
    assert "Could a model cheat?" in page.text


def test_effects_are_told_in_points(tmp_path: Path) -> None:
    run = make_full_run(tmp_path)
    (change,) = changes(run)
    assert (change.issue, change.photos, change.value) == ("Outlier", 1, "+2.1")
    promised = {**AUDIT["effects"][0], "issue": "label_suspect"}  # by an earlier version
    about = about_of({**ABOUT, "audit": {**AUDIT, "effects": [promised]}})
    assert changes(dataclasses.replace(run, about=about)) == ()


def test_what_tells_no_more_than_guessing_has_no_number(tmp_path: Path) -> None:
    run = make_full_run(tmp_path)
    below = {**AUDIT["shortcuts"], "culprits": []}
    below["incidental"] = {"value": 0.349, "low": 0.278, "high": 0.427, "method": "wilson"}
    about = about_of({**ABOUT, "audit": {**AUDIT, "shortcuts": below}})
    page = check_page(build_report(dataclasses.replace(run, about=about)))
    assert "34.9" not in page.text
    assert "no more than guessing" in page.text
    found = shortcuts(run)
    assert found is not None
    assert not found.below
    assert "no number is shown" not in check_page(build_report(run)).text


def test_a_page_on_texts_does_not_speak_of_brightness(tmp_path: Path) -> None:
    run = make_full_run(tmp_path, write_images=False)
    data = dataclasses.replace(run.data, modality="text")
    text = check_page(build_report(dataclasses.replace(run, data=data, exploration=None))).text
    about_cheating = text[text.index("Could a model cheat?") : text.index("What they look like")]
    assert "length, capitals, punctuation" in about_cheating
    assert "brightness, contrast" not in text


def test_a_run_that_was_not_audited_says_nothing_of_it(tmp_path: Path) -> None:
    run: Run = make_run(tmp_path, about=ABOUT)
    assert shortcuts(run) is None
    assert changes(run) == ()


@pytest.mark.parametrize("write", [True, False])
def test_the_page_of_an_audit(photo_folder: Path, tmp_path: Path, write: bool) -> None:
    audited = audit(scan(photo_folder))
    if write:
        html = report_data(audited, tmp_path / "eda.html").read_text(encoding="utf-8")
    else:
        html = build_data_report(audited)
    page = check_page(html)
    assert len(behind(page)["places"]) == 24
    assert re.search(r"regraft fit \S", page.text)
    issues = audited.findings.issues
    photos = {issue.path for issue in issues if issue.path != "."}
    assert f"{len(photos)} photo" in page.all("p", class_="verdict")[0].text
    assert ".csv" not in page.text.partition("What next?")[0]
