"""The map of the photos in a real browser: pointing, keys, colours, the filter, facts by class."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from regraft.reporting import build_report
from tests.browser.chromium import OpenPage
from tests.browser.conftest import OpenPages
from tests.browser.test_pages import PHONE_PX, assert_quiet
from tests.reporting.sample_runs import make_exploration, make_run

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(open_page: OpenPages, pages: Path) -> OpenPage:
    return open_page(pages / "full.html")


def places(opened: OpenPage) -> Any:
    script = "JSON.parse(document.getElementById('explorer-data').textContent).places"
    return opened.page.evaluate(script)


def mark(opened: OpenPage, number: int) -> Any:
    return opened.page.locator("#photo-map path.p").nth(number)


def shown_path(opened: OpenPage) -> str:
    return str(opened.page.locator("#photo-path").text_content())


def test_pointing_at_a_mark_shows_its_photo_and_the_most_similar(opened: OpenPage) -> None:
    known = places(opened)
    assert opened.page.locator("#hint").is_visible()
    mark(opened, 3).hover(force=True)
    path = shown_path(opened)
    place = next(one for one in known if one["path"] == path)
    assert opened.page.locator("#photo-frame img").get_attribute("alt").endswith(path)
    assert opened.page.evaluate("document.querySelector('#photo-frame img').naturalWidth") > 0
    near = opened.page.locator("#photo-nearest button")
    assert near.count() == len(place["nearest"])
    near.first.click()
    assert shown_path(opened) == known[place["nearest"][0]]["path"]
    assert not opened.page.locator("#hint").is_visible()
    assert_quiet(opened)


def test_a_wrong_prediction_is_told(opened: OpenPage) -> None:
    known = places(opened)
    wrong = next(i for i, one in enumerate(known) if one["said"] != one["label"])
    mark(opened, wrong).hover(force=True)
    place = next(one for one in known if one["path"] == shown_path(opened))
    said = str(opened.page.locator("#photo-said").text_content())
    expected = "predicted " + ("so" if place["said"] == place["label"] else place["said"])
    assert said.startswith(expected)


def test_the_arrow_keys_walk_over_the_map(opened: OpenPage) -> None:
    opened.page.locator("#photo-map").focus()
    walked = []
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowRight"):
        opened.page.keyboard.press(key)
        walked.append(shown_path(opened))
    assert len(set(walked)) >= 3
    opened.page.keyboard.press("Home")
    assert shown_path(opened) == places(opened)[0]["path"]
    assert_quiet(opened)


def test_the_filter_leaves_one_class_everywhere(opened: OpenPage) -> None:
    page = opened.page
    page.locator("#only-map").select_option(label="dog")
    assert page.locator("#only-facts").input_value() == page.locator("#only-map").input_value()
    labels = [one["label"] for one in places(opened)]
    dimmed = page.locator("#photo-map path.dim").count()
    assert dimmed == labels.count("cat") > 0
    assert page.locator(".class-samples:visible").count() == 1
    errors = page.locator("#failures li[data-label]")
    assert 0 < errors.locator("visible=true").count() < errors.count()
    assert page.locator(".step.chosen").count() == page.locator(".spread").count()
    mark(opened, labels.index("dog")).hover(force=True)
    assert "dog" in str(page.locator("#photo-label").text_content())
    page.locator("#only-map").select_option(value="")
    assert page.locator("#photo-map path.dim").count() == 0
    assert page.locator(".class-samples:visible").count() == 2
    assert_quiet(opened)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colours_follow_the_choice(open_page: OpenPages, pages: Path, dark: bool) -> None:
    opened = open_page(pages / "full.html", dark=dark)

    def colours(kind: str) -> set[str]:
        script = "(ps) => ps.map((p) => getComputedStyle(p).fill)"
        return set(opened.page.locator(f"#photo-map path.{kind}").evaluate_all(script))

    assert len(colours("p")) == 2  # two classes
    opened.page.get_by_label("right or wrong").check()
    assert colours("wrong") & colours("right") == set()
    assert opened.page.locator(".by-error").is_visible()
    assert not opened.page.locator(".by-class").is_visible()
    opened.page.locator("input[value=split]").check()
    assert colours("test") & colours("train") == set()
    assert opened.probe("contrast")["poor"] == []
    assert_quiet(opened)


def test_a_bin_of_a_fact_can_be_read(opened: OpenPage) -> None:
    chart = opened.page.locator(".spread svg").first
    chart.focus()
    readings = set()
    for _ in range(4):
        opened.page.keyboard.press("ArrowRight")
        readings.add(opened.page.locator(".spread .reading").first.text_content())
    assert len(readings) == 4
    assert all(" to " in str(reading) for reading in readings)
    chart.hover()
    assert "%" in str(opened.page.locator(".spread .reading").first.text_content())
    assert_quiet(opened)


def test_the_photo_fits_a_phone(open_page: OpenPages, pages: Path) -> None:
    opened = open_page(pages / "full.html", width=PHONE_PX)
    mark(opened, 5).click(force=True)
    assert opened.page.locator("#photo").is_visible()
    found = opened.probe("width")
    assert found["page"] <= PHONE_PX
    assert found["too_wide"] == []


def test_a_thousand_marks_are_drawn_and_answer(open_page: OpenPages, tmp_path: Path) -> None:
    run = make_run(
        tmp_path, classes=[f"class {i}" for i in range(30)], train=40, write_images=False
    )
    run = dataclasses.replace(run, exploration=make_exploration(run))
    page = tmp_path / "large.html"
    page.write_text(build_report(run), encoding="utf-8")
    opened = open_page(page)
    assert opened.page.locator("#photo-map path.p").count() == 1_200
    opened.page.locator("#photo-map").focus()
    opened.page.keyboard.press("Home")
    assert shown_path(opened) == run.data.ok[0].path
    assert_quiet(opened)
