"""The pictures in README and docs: reports in, PNG files out.

    python -m docs.screenshots runs/demo/report.html comparison.html docs/images --model runs/demo

(`make pictures` makes the reports too.) Of each report, the top as seen on a desk, and on a phone
in the dark; and where it has one, the map of the photos with one of them pointed at. Of a model,
the page that serves it, with test photos of its run. Pictures have 256 colours, which a page of
text and charts does not miss.
"""

from __future__ import annotations

import argparse
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from regraft.model import load
from regraft.runs import read_run
from regraft.serving import Server
from tests.browser.chromium import chromium, open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WINDOWS = {"": (1280, 1000, False), "-phone": (390, 844, True)}
"""Ending of the picture's name: width and height in CSS pixels, and whether it is dark."""

COLOURS = 256


def main(arguments: Sequence[str] | None = None) -> None:
    """Take the pictures of every report that is named."""
    parser = argparse.ArgumentParser(prog="python -m docs.screenshots", description=__doc__)
    parser.add_argument("reports", nargs="+", type=Path, metavar="REPORT.html")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--model", type=Path, metavar="RUN")
    options = parser.parse_args(arguments)
    with chromium() as browser:
        if options.model is not None:
            print(take_served(browser, options.model, options.folder))
        for report in options.reports:
            for ending in WINDOWS:
                print(take_picture(browser, report, options.folder, ending))
            if taken := take_map(browser, report, options.folder):
                print(taken)


def take_picture(browser: Browser, report: Path, folder: Path, ending: str) -> Path:
    """What one of `WINDOWS` shows of a report, as `folder/<name of the report><ending>.png`."""
    width, height, dark = WINDOWS[ending]
    opened = open_page(browser, report, width=width, height=height, dark=dark)
    try:
        taken = opened.page.screenshot()
    finally:
        opened.close()
    return _save(taken, folder / f"{report.stem}{ending}.png")


def take_map(browser: Browser, report: Path, folder: Path) -> Path | None:
    """The map of a report with a wrongly predicted photo pointed at; None where it has no map."""
    opened = open_page(browser, report, width=1280, height=1000)
    try:
        explorer = opened.page.locator("#explorer")
        if not explorer.count():
            return None
        marks = opened.page.locator("#photo-map path.wrong")
        (marks if marks.count() else opened.page.locator("#photo-map path.p")).first.hover(
            force=True
        )
        taken = explorer.screenshot()
    finally:
        opened.close()
    return _save(taken, folder / f"{report.stem}-map.png")


def take_served(browser: Browser, run: Path, folder: Path, *, count: int = 6) -> Path:
    """The page that serves the model of a run, with photos spread over its test set."""
    data = read_run(run).data
    rows = data.test or data.train
    photos = [str(data.absolute(row)) for row in rows[:: max(1, len(rows) // count)][:count]]
    with Server(load(run), port=0) as server:
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        opened = open_page(browser, server.url, width=1280, height=830)
        try:
            opened.page.check("#heat")
            opened.page.set_input_files("#file", photos)
            opened.page.locator("canvas.heat-map").nth(len(photos) - 1).wait_for()
            taken = opened.page.screenshot()
        finally:
            opened.close()
            server.stop()
            thread.join()
    return _save(taken, folder / "serve.png")


def _save(taken: bytes, out: Path) -> Path:
    with Image.open(io.BytesIO(taken)) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    out.parent.mkdir(parents=True, exist_ok=True)
    few.save(out, optimize=True)
    return out


if __name__ == "__main__":
    main()
