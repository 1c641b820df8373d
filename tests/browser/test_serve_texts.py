"""The page of a served model of texts in a real browser: texts in, answers out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from regraft.model import load
from regraft.serving import Server, ServerLimits
from tests.browser.chromium import OpenPage
from tests.browser.conftest import OpenPages
from tests.browser.test_pages import PHONE_PX

pytestmark = pytest.mark.slow

TEXT = "The meal was lovely, warm and wonderful, and the waiter friendly."


@pytest.fixture
def server(texts_once: Path) -> Iterator[Server]:
    limits = ServerLimits(characters=5_000)
    with Server(load(texts_once / "run"), port=0, limits=limits) as running:
        thread = threading.Thread(target=running.serve, daemon=True)
        thread.start()
        yield running
        running.stop()
        thread.join(timeout=20)


@pytest.fixture
def opened(open_page: OpenPages, server: Server) -> OpenPage:
    page = open_page(server.url)
    page.page.get_by_text("Is it blame or praise?").wait_for()
    return page


@pytest.mark.parametrize("how", ["click", "keys"])
def test_a_written_text_gets_an_answer(
    opened: OpenPage, server: Server, texts_once: Path, how: str, tmp_path: Path
) -> None:
    page = opened.page
    page.fill("#text", TEXT)
    if how == "click":
        page.click("#predict")
    else:
        page.press("#text", "Control+Enter")
    page.locator("#results > li h2").wait_for()
    (tmp_path / "same.txt").write_text(TEXT, encoding="utf-8")
    (expected,) = load(texts_once / "run").predict([tmp_path / "same.txt"])
    shown = str(page.locator("#results h2").text_content())
    assert shown == f"{expected.predicted} {100 * expected.confidence:.1f} %"
    assert page.locator("#results .bars li").count() == 2
    assert page.locator("#results .excerpt").text_content() == TEXT
    assert page.input_value("#text") == TEXT
    hosts = {urlsplit(address).netloc for address in opened.requests}
    assert hosts <= {urlsplit(server.url).netloc}
    assert opened.console == []
    assert opened.errors == []


def test_there_is_nothing_of_photos(opened: OpenPage) -> None:
    for part in ("#heat", "#camera", "video", "canvas", ".correct"):
        assert opened.page.locator(part).count() == 0
    text = str(opened.page.locator("body").inner_text()).lower()
    assert "photo" not in text
    assert "evidence" not in text


def test_files_are_chosen_and_flags_shown(opened: OpenPage, tmp_path: Path) -> None:
    page = opened.page
    (tmp_path / "wide.txt").write_bytes(TEXT.encode("utf-16"))
    (tmp_path / "odd.txt").write_text("<b>Quantum</b> chromodynamics 量子", encoding="utf-8")
    (tmp_path / "bad.txt").write_bytes(b"%PDF-1.7 and so on")
    names = ["wide.txt", "odd.txt", "bad.txt"]
    page.set_input_files("#file", [str(tmp_path / name) for name in names])
    page.get_by_text("Could not be read").wait_for()
    page.locator("#results > li h2").nth(1).wait_for()
    assert page.locator("#results .path").all_text_contents() == names
    wide, odd, bad = (page.locator("#results > li").nth(i) for i in range(3))
    assert wide.locator(".excerpt").text_content() == TEXT
    assert page.locator("#results b").count() == 0
    assert "Unfamiliar: unlike the training texts" in str(odd.locator(".flag").text_content())
    assert "it is a PDF" in str(bad.text_content())
    assert opened.errors == []


def test_a_file_is_dropped_and_a_long_one_is_refused(opened: OpenPage) -> None:
    dropped = """([text, name, place]) => {
      const carried = new DataTransfer();
      carried.items.add(new File([text], name, { type: "text/plain" }));
      const options = { dataTransfer: carried, bubbles: true, cancelable: true };
      const event = new DragEvent("drop", options);
      document.querySelector(place).dispatchEvent(event);
    }"""
    page = opened.page
    page.evaluate(dropped, [TEXT, "mine.txt", "#text"])
    page.locator("#results > li h2").wait_for()
    assert page.locator("#results .path").text_content() == "mine.txt"
    page.evaluate(dropped, ["word " * 2_000, "long.txt", "body"])
    page.get_by_text("the text has 10,000 characters, over the limit of 5,000").wait_for()
    excerpt = str(page.locator("#results .excerpt").first.text_content())
    assert len(excerpt) == 602
    assert excerpt.endswith(" …")


def test_no_text_is_said(opened: OpenPage) -> None:
    opened.page.fill("#text", "  \n ")
    opened.page.click("#predict")
    assert opened.page.locator("#problem").text_content() == "There is no text yet."
    assert opened.page.locator("#results > li").count() == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE_PX, 1280])
def test_it_can_be_read_everywhere(
    open_page: OpenPages, server: Server, width: int, dark: bool
) -> None:
    page = open_page(server.url, width=width, dark=dark)
    page.page.fill("#text", f"{TEXT} {'x' * 300}")
    page.page.click("#predict")
    page.page.fill("#text", "Quantum chromodynamics")
    page.page.click("#predict")
    page.page.locator("#results > li h2").nth(1).wait_for()
    assert page.probe("contrast")["poor"] == []
    found = page.probe("width")
    assert found["page"] <= width
    assert found["too_wide"] == []
