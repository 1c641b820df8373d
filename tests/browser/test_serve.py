"""The page of a served model in a real browser: photos in by file, paste and drop, answers out."""

from __future__ import annotations

import base64
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from regraft import workflow
from regraft.model import load
from regraft.runs.corrections import read_corrections
from regraft.serving import Server
from tests.browser.chromium import OpenPage
from tests.browser.conftest import OpenPages
from tests.browser.test_pages import PHONE_PX

pytestmark = pytest.mark.slow

TOKEN = "the token of this test"


@pytest.fixture
def server(fitted: Path) -> Iterator[Server]:
    """A real model, served."""
    yield from _running(Server(load(fitted / "runs" / "rooms"), port=0))


@pytest.fixture
def guarded(fitted: Path) -> Iterator[Server]:
    """The same with a token."""
    yield from _running(Server(load(fitted / "runs" / "rooms"), port=0, token=TOKEN))


def _running(server: Server) -> Iterator[Server]:
    with server:
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        server.stop()
        thread.join(timeout=20)


@pytest.fixture
def photos(fitted: Path) -> list[Path]:
    return sorted((fitted / "photos" / "val").rglob("*.jpg"))


@pytest.fixture
def opened(open_page: OpenPages, server: Server) -> OpenPage:
    page = open_page(server.url)
    page.page.get_by_text("Is it clean or messy?").wait_for()
    return page


def test_chosen_photos_get_answers(opened: OpenPage, server: Server, photos: list[Path]) -> None:
    opened.page.set_input_files("#file", [str(path) for path in photos[:6]])
    cards = opened.page.locator("#results > li")
    opened.page.locator("#results > li h2").nth(5).wait_for()
    assert cards.count() == 6
    names = cards.locator(".path").all_text_contents()
    assert names == [path.name for path in photos[:6]]
    said = load_said(server, photos[:6])
    assert cards.locator("h2 bdi").all_text_contents() == said
    assert opened.page.locator("#results canvas").count() == 6
    hosts = {urlsplit(address).netloc for address in opened.requests}
    assert hosts <= {urlsplit(server.url).netloc}
    assert opened.console == []
    assert opened.errors == []


def load_said(server: Server, photos: list[Path]) -> list[str]:
    import httpx

    files = [("files", (path.name, path.read_bytes())) for path in photos]
    answer = httpx.post(f"{server.url}predict", files=files)
    return [result["predicted"] for result in answer.json()["results"]]


def test_heat_maps_are_laid_over_photos(opened: OpenPage, photos: list[Path]) -> None:
    opened.page.check("#heat")
    opened.page.set_input_files("#file", str(photos[0]))
    opened.page.locator("canvas.heat-map").wait_for()
    inside = """() => {
      const c = document.querySelector("canvas.heat-map");
      const at = (x, y) => c.getContext("2d").getImageData(x, y, 1, 1).data[3];
      return [at(c.width >> 1, c.height >> 1), at(0, c.height >> 1)];
    }"""
    middle, edge = opened.page.evaluate(inside)
    assert middle > 30
    assert edge == 0  # the network does not see the sides of a wide photo


def test_what_cannot_be_read_is_told_beside_the_others(
    opened: OpenPage, photos: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "<b>bad.jpg"
    bad.write_bytes(b"no photo")
    opened.page.set_input_files("#file", [str(bad), str(photos[0])])
    opened.page.get_by_text("Could not be read").wait_for()
    opened.page.locator("#results > li h2").first.wait_for()
    assert opened.page.locator("#results b").count() == 0
    assert "not an image" in str(opened.page.locator("#results > li").first.text_content())
    opened.page.set_input_files("#file", [str(bad)])  # alone it is refused
    opened.page.get_by_text("Could not be read").nth(1).wait_for()


@pytest.mark.parametrize("how", ["paste", "drop"])
def test_photos_come_in_by_paste_and_by_drop(
    opened: OpenPage, photos: list[Path], how: str
) -> None:
    data = base64.b64encode(photos[0].read_bytes()).decode()
    opened.page.evaluate(
        """([data, how]) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const carried = new DataTransfer();
          carried.items.add(new File([bytes], "mine.jpg", { type: "image/jpeg" }));
          const event = how === "paste"
            ? new ClipboardEvent("paste", { clipboardData: carried, bubbles: true })
            : new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
          document.body.dispatchEvent(event);
        }""",
        [data, how],
    )
    opened.page.locator("#results > li h2").wait_for()
    assert opened.page.locator("#results .path").text_content() == "mine.jpg"


def test_a_token_is_asked_for_and_used(
    open_page: OpenPages, guarded: Server, photos: list[Path]
) -> None:
    page = open_page(guarded.url).page
    page.locator("#access").wait_for()
    page.fill("#token", "wrong")
    page.press("#token", "Enter")
    page.get_by_text("That is not the token").wait_for()
    page.fill("#token", TOKEN)
    page.press("#token", "Enter")
    page.get_by_text("Is it clean or messy?").wait_for()
    page.set_input_files("#file", str(photos[0]))
    page.locator("#results > li h2").wait_for()
    assert not page.locator("#access").is_visible()


def test_no_camera_is_explained(opened: OpenPage) -> None:
    opened.page.click("#camera")
    opened.page.locator("#problem").wait_for()
    assert "The camera cannot be used" in str(opened.page.locator("#problem").text_content())


def test_a_server_that_has_ended_is_told(
    opened: OpenPage, server: Server, photos: list[Path]
) -> None:
    server.stop()
    opened.page.wait_for_timeout(1_500)
    opened.page.set_input_files("#file", str(photos[0]))
    opened.page.get_by_text("the server does not answer").wait_for()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE_PX, 1280])
def test_it_can_be_read_everywhere(
    open_page: OpenPages, server: Server, photos: list[Path], width: int, dark: bool
) -> None:
    page = open_page(server.url, width=width, dark=dark)
    page.page.set_input_files("#file", [str(path) for path in photos[:3]])
    page.page.locator("#results > li h2").nth(2).wait_for()
    assert page.probe("contrast")["poor"] == []
    found = page.probe("width")
    assert found["page"] <= width
    assert found["too_wide"] == []


def test_a_wrong_answer_is_corrected(
    fitted: Path, open_page: OpenPages, photos: list[Path], tmp_path: Path
) -> None:
    shutil.copytree(fitted / "runs" / "rooms", tmp_path / "run")
    running = _running(workflow.serve(tmp_path / "run", port=0, corrections=True))
    server = next(running)
    page = open_page(server.url).page
    page.get_by_text("Is it clean or messy?").wait_for()
    page.set_input_files("#file", str(photos[0]))
    page.locator(".correct select").select_option("messy")
    page.get_by_text("kept", exact=True).wait_for()
    (found,) = read_corrections(tmp_path / "run")
    assert (found.label, found.source) == ("messy", "page")
    assert found.file.read_bytes() == photos[0].read_bytes()
    next(running, None)
