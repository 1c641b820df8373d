"""How long a report takes to open in Chromium, and how large it is.

Command   python -m benchmarks report_speed
Data      rooms (212 photos), and 20,000 parts of clothing photos, each another one
Expected  open below 2 s; below 6 MB for 200 photos and below 15 MB for 20,000

Opened in a new window each time, from the disk, until everything is laid out and every photo is
decoded: that is more than the load event waits for. Starting the browser is not counted.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.audit_speed import make_parts
from benchmarks.data import environment_with_cache, photo_folder
from benchmarks.rows import Row, SkippedError, at_most, spread_text
from benchmarks.timing import run_process, seconds_of
from tests.browser import chromium

OPEN_S = 2.0
SMALL_MB, LARGE_MB = 6.0, 15.0
_DECODED = "Promise.all([...document.images].map((image) => image.decode())).then(() => 1)"


def run(*, photos: int = 20_000, repeats: int = 5) -> list[Row]:
    """Seconds to open and megabytes of each page.

    Args:
        photos: of the large run; 0 for none.
        repeats: times that each page is opened.

    Raises:
        SkippedError: no browser, or no photos.
    """
    if reason := chromium.why_not():
        raise SkippedError(reason)
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as name:
        folder = Path(name)
        rooms, clothing = photo_folder("rooms"), photo_folder("clothing") if photos else None
        first = _fit(rooms, folder / "rooms", folder)
        second = _fit(rooms, folder / "again", folder, "--seed", "1")
        both = folder / "both.html"
        _regraft(["report", str(first), str(second), "--out", str(both)], folder)
        pages = {
            "report of a run on 212 photos": (first / "report.html", SMALL_MB),
            "two such runs side by side": (both, SMALL_MB),
        }
        if clothing is not None:
            make_parts(clothing, folder / "parts", photos)
            large = _fit(folder / "parts", folder / "large", folder)
            pages[f"report of a run on {photos:,} photos"] = (large / "report.html", LARGE_MB)
        return [row for title, page in pages.items() for row in _rows(title, *page, repeats)]


def _fit(data: Path, out: Path, folder: Path, *options: str) -> Path:
    quick = ["--approach", "linear_probe", "--budget", "30m", "--out", str(out)]
    _regraft(["fit", str(data), *quick, *options], folder)
    return out


def _regraft(arguments: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "regraft", *arguments]
    run_process(command, environment=environment_with_cache(folder / "cache"))


def _rows(title: str, page: Path, limit_mb: float, repeats: int) -> list[Row]:
    with chromium.chromium() as browser:

        def opened() -> None:
            window = chromium.open_page(browser, page)
            window.page.evaluate(_DECODED)
            window.close()

        seconds = _repeated(opened, repeats)
    megabytes = page.stat().st_size / 1e6
    return [
        at_most(
            f"{title}: opens in Chromium",
            median(seconds),
            OPEN_S,
            measured=spread_text(seconds, digits=2, unit="s"),
            target=f"below {OPEN_S:g} s",
        ),
        at_most(
            f"{title}: size",
            megabytes,
            limit_mb,
            measured=f"{megabytes:.2f} MB",
            target=f"below {limit_mb:g} MB",
        ),
    ]


def _repeated(function: Callable[[], None], repeats: int) -> list[float]:
    """Seconds of each call but a first one, in which the browser itself wakes up."""
    function()
    return [seconds_of(function) for _ in range(repeats)]
