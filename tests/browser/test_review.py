"""The review page in a real browser: its keys, what they write, how it looks."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from regraft.reviewing import ReviewServer
from regraft.runs import read_run
from regraft.runs.decisions import DECISIONS, read_decisions
from tests.browser.chromium import OpenPage
from tests.browser.conftest import OpenPages
from tests.browser.test_pages import PHONE_PX

pytestmark = pytest.mark.slow


@pytest.fixture
def server(fitted: Path, tmp_path: Path) -> Iterator[ReviewServer]:
    """The review of a real run, in a copy of its own."""
    shutil.copytree(fitted / "runs" / "rooms", tmp_path / "run")
    with ReviewServer(read_run(tmp_path / "run")) as running:
        thread = threading.Thread(target=running.serve, daemon=True)
        thread.start()
        yield running
        running.stop()
        thread.join(timeout=20)


@pytest.fixture
def opened(open_page: OpenPages, server: ReviewServer) -> OpenPage:
    page = open_page(server.url)
    page.page.locator("#main").wait_for()
    return page


def decided(server: ReviewServer) -> list[tuple[str, str, str]]:
    log = read_decisions(server.session.run.folder / DECISIONS, missing_ok=True)
    return [(entry.path, entry.action, entry.label) for entry in log.entries]


def press(opened: OpenPage, key: str) -> None:
    """Press a key and wait until the page has heard from the server."""
    with opened.page.expect_response(lambda answer: answer.request.method == "POST"):
        opened.page.keyboard.press(key)


def shown(opened: OpenPage) -> str:
    return str(opened.page.locator("#photo .path").text_content())


def path_of(opened: OpenPage) -> Any:
    """The path of the photo, to be expected to become something."""
    from playwright.sync_api import expect

    return expect(opened.page.locator("#photo .path"))


def test_keys_decide(opened: OpenPage, server: ReviewServer) -> None:
    first = shown(opened)
    label = str(opened.page.locator("#label").text_content())
    press(opened, "k")
    path_of(opened).not_to_have_text(first)
    second = shown(opened)
    press(opened, "x")
    path_of(opened).not_to_have_text(second)
    third = shown(opened)
    other = opened.page.locator("#numbered button").filter(has_not_text=label).first
    key = str(other.locator("kbd").text_content())
    was = str(opened.page.locator("#label").text_content())
    press(opened, key)
    made = decided(server)
    assert made[:2] == [(first, "keep", label), (second, "exclude", "")]
    assert made[2][0] == third
    assert made[2][1] == ("keep" if made[2][2] == was else "relabel")
    assert opened.errors == []


def test_a_decision_can_be_taken_back(opened: OpenPage, server: ReviewServer) -> None:
    first = shown(opened)
    press(opened, "x")
    path_of(opened).not_to_have_text(first)
    opened.page.keyboard.press("ArrowLeft")
    path_of(opened).to_have_text(first)
    press(opened, "u")
    assert [(path, action) for path, action, _ in decided(server)] == [
        (first, "exclude"),
        (first, "undo"),
    ]


def test_it_asks_its_own_server_and_no_other(opened: OpenPage, server: ReviewServer) -> None:
    photo = opened.page.locator("#photo img")
    photo.evaluate("image => image.decode()")  # done when the photo has arrived
    hosts = {urlsplit(address).netloc for address in opened.requests}
    assert hosts <= {urlsplit(server.url).netloc}
    assert opened.console == []
    assert opened.errors == []
    assert photo.evaluate("image => image.naturalWidth") > 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE_PX, 1280])
def test_it_can_be_read_everywhere(
    open_page: OpenPages, server: ReviewServer, width: int, dark: bool
) -> None:
    page = open_page(server.url, width=width, dark=dark)
    page.page.locator("#main").wait_for()
    assert page.probe("contrast")["poor"] == []
    found = page.probe("width")
    assert found["page"] <= width
    assert found["too_wide"] == []


def test_a_second_window_shows_what_the_first_decided(
    opened: OpenPage, open_page: OpenPages, server: ReviewServer
) -> None:
    other = open_page(server.url)
    other.page.locator("#main").wait_for()
    first = shown(opened)
    assert shown(other) == first
    press(opened, "x")
    other.page.reload()
    other.page.locator("#main").wait_for()
    assert "1 excluded" in str(other.page.locator("#progress").text_content())
    assert decided(server) == [(first, "exclude", "")]
