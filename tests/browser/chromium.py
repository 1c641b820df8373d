"""Pages in headless Chromium: a file in; what the browser drew, said and asked for out.

Chromium is the one that is installed, driven by playwright, which never downloads one here. Used
by the browser tests, the pictures of the documentation and the benchmark of the report.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

VARIABLE = "REGRAFT_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TIMEOUT_MS = 60_000  # a machine that runs other tests beside this one is slow

_PROBES = Path(__file__).parent / "probes"


def find_chromium() -> str | None:
    """The program that the variable REGRAFT_CHROMIUM names, or one on the path; None if none."""
    named = os.environ.get(VARIABLE)
    names = (named,) if named else NAMES
    return next((path for name in names if (path := shutil.which(name))), None)


def why_not() -> str:
    """Why no page can be opened here, and what would help; "" where it can."""
    if find_spec("playwright") is None:
        return 'playwright is not installed; pip install -e ".[dev]"'
    if find_chromium() is None:
        return f"no Chromium or Chrome found; install one or name it in {VARIABLE}"
    return ""


@dataclass(frozen=True, slots=True)
class OpenPage:
    """A page in a window of its own, and what it has done since it was opened.

    `console` has every line written there, `errors` every exception, `requests` the address of
    everything it asked for beside itself and data URIs.
    """

    page: Page
    context: BrowserContext
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def probe(self, name: str) -> Any:
        """What `probes/<name>.js` finds on the page, as JSON values."""
        return self.page.evaluate((_PROBES / f"{name}.js").read_text(encoding="utf-8"))

    def show_everything(self) -> None:
        """Open what is folded and every tab, so that a probe meets all text there is."""
        self.page.add_style_tag(content=".tabs > .panel { display: block !important }")
        self.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")

    def close(self) -> None:
        """Close the window."""
        self.context.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser, ended at the end.

    Raises:
        RuntimeError: there is none; the text is that of `why_not`.
    """
    if reason := why_not():
        raise RuntimeError(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=find_chromium(), timeout=TIMEOUT_MS, args=["--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


def open_page(
    browser: Browser,
    path: str | Path,
    *,
    dark: bool = False,
    width: int = 1280,
    height: int = 900,
    media: Literal["screen", "print"] = "screen",
) -> OpenPage:
    """Open a file, or an address, in a window of `width` x `height` CSS pixels.

    The window has no network, unless an address is given, and moves nothing smoothly.
    """
    is_address = isinstance(path, str) and "://" in path
    address = str(path) if is_address else Path(path).resolve().as_uri()
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        offline=not is_address,
    )
    context.set_default_timeout(TIMEOUT_MS)
    opened = OpenPage(context.new_page(), context)
    page = opened.page
    page.on("console", lambda line: opened.console.append(f"{line.type}: {line.text}"))
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    page.on("request", lambda request: _note(opened.requests, request.url, itself=address))
    page.emulate_media(media=media)
    page.goto(address, wait_until="load")
    return opened


def _note(requests: list[str], url: str, *, itself: str) -> None:
    if url.partition("#")[0] != itself and not url.startswith("data:"):
        requests.append(url)
