"""Every page in a real browser: quiet, offline, readable, narrow, reachable, in order."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.browser.chromium import OpenPage
from tests.browser.conftest import KINDS, OpenPages

pytestmark = pytest.mark.slow

PHONE_PX = 390
WITH_MAP = ("report", "full")
every_kind = pytest.mark.parametrize("kind", KINDS)


def assert_quiet(page: OpenPage) -> None:
    """Nothing was written to the console, nothing failed, nothing was asked for."""
    assert page.console == []
    assert page.errors == []
    assert page.requests == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@every_kind
def test_text_can_be_read(open_page: OpenPages, pages: Path, kind: str, dark: bool) -> None:
    page = open_page(pages / f"{kind}.html", dark=dark)
    page.show_everything()
    found = page.probe("contrast")
    assert found["checked"] > 100
    assert found["poor"] == []
    assert_quiet(page)


@every_kind
def test_text_can_be_read_on_paper(open_page: OpenPages, pages: Path, kind: str) -> None:
    page = open_page(pages / f"{kind}.html", dark=True, media="print")
    assert page.probe("contrast")["poor"] == []
    assert_quiet(page)


@pytest.mark.parametrize("width", [320, PHONE_PX, 768, 1280])
@every_kind
def test_nothing_sticks_out(open_page: OpenPages, pages: Path, kind: str, width: int) -> None:
    page = open_page(pages / f"{kind}.html", width=width)
    for _ in range(2):
        found = page.probe("width")
        assert found["window"] == width
        assert found["page"] <= width
        assert found["too_wide"] == []
        page.show_everything()
    assert_quiet(page)


@every_kind
def test_headings_pictures_and_links_are_in_order(
    open_page: OpenPages, pages: Path, kind: str
) -> None:
    page = open_page(pages / f"{kind}.html")
    page.show_everything()
    found = page.probe("structure")
    levels = [level for level, _ in found["headings"]]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), found["headings"]
    assert all(text for _, text in found["headings"])
    assert found["pictures"] > 0
    for fault in ("nameless", "broken", "doubled", "dangling"):
        assert found[fault] == [], fault
    assert found["scripts"] == (kind in WITH_MAP)
    assert found["handlers"] == 0
    assert found["language"] == "en"
    assert_quiet(page)


@pytest.mark.parametrize("width", [PHONE_PX, 1280])
@every_kind
def test_everything_is_reached_by_keyboard(
    open_page: OpenPages, pages: Path, kind: str, width: int
) -> None:
    page = open_page(pages / f"{kind}.html", width=width)
    expected = page.probe("reachable")
    assert len(expected) > (2 if kind == "timeline" else 10)
    stops = []
    for _ in range(len(expected) + 5):
        page.page.keyboard.press("Tab")
        stop = page.probe("focused")
        if stop is None or (stops and stop["number"] == stops[0]["number"]):
            break
        stops.append(stop)
    assert [stop["number"] for stop in stops] == expected
    assert [stop["what"] for stop in stops if not stop["visible"]] == []


def test_the_keyboard_skips_the_contents_changes_tabs_and_unfolds(
    open_page: OpenPages, pages: Path
) -> None:
    opened = open_page(pages / "both.html")
    page = opened.page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    panels = page.locator("#scores .panel")
    assert [panels.nth(i).is_visible() for i in range(panels.count())] == [True, False]
    page.locator("#scores-1").focus()
    page.keyboard.press("ArrowRight")
    assert [panels.nth(i).is_visible() for i in range(panels.count())] == [False, True]
    assert opened.probe("focused")["visible"]

    page = open_page(pages / "many.html").page
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert summary.locator("xpath=..").get_attribute("open") == ""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "timeline"])  # has no panels
def test_paper_shows_everything_but_the_navigation(
    open_page: OpenPages, pages: Path, kind: str
) -> None:
    opened = open_page(pages / f"{kind}.html", media="print")
    page = opened.page
    assert not page.locator("nav.contents").is_visible()
    assert not page.locator(".skip").is_visible()
    panels = page.locator(".panel")
    assert panels.count() >= 2
    assert all(panels.nth(i).is_visible() for i in range(panels.count()))
    folded = page.locator("details > :not(summary)")
    heights = [
        (folded.nth(i).bounding_box() or {"height": 0})["height"] for i in range(folded.count())
    ]
    assert all(height > 0 for height in heights)
    clipped = page.evaluate(
        "[...document.querySelectorAll('.scroll')]"
        ".filter((e) => e.scrollHeight > e.clientHeight + 1).length"
    )
    assert clipped == 0
    assert_quiet(opened)
