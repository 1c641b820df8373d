"""Screenshots of a report in headless Chromium: a report and a folder in, PNG files out.

    python docs/screenshots.py runs/rooms/report.html docs/images

writes the page as seen on a desk and on a phone, light and dark. `page_facts` opens a page the
same way and returns what a test wants to know: its width and what the console said.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--hide-scrollbars"),
)
_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page did in the browser; widths in CSS pixels.

    `too_wide` are the elements that stick out of the page, `console` the lines the browser
    logged, `requests` the addresses of everything it tried to load.
    """

    viewport_px: int
    scroll_width_px: int
    height_px: int
    too_wide: tuple[str, ...]
    broken_images: int
    images: int
    console: tuple[str, ...]
    requests: tuple[str, ...]


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome, None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def screenshot(
    page: Path, out: Path, *, width_px: int, height_px: int, dark: bool = False, top_px: int = 0
) -> Path:
    """Save what a window of that size shows of `page`, from `top_px` downwards.

    The page is put in a frame, because headless windows have a smallest width.
    """
    with tempfile.TemporaryDirectory() as folder:
        wrapper = Path(folder) / "wrapper.html"
        wrapper.write_text(
            '<!DOCTYPE html><meta charset="utf-8"><style>body{margin:0;overflow:hidden}'
            f"iframe{{border:0;display:block;margin-top:-{top_px}px}}</style>"
            f'<iframe width="{width_px}" height="{height_px + top_px}" '
            f'srcdoc="{html.escape(page.read_text(encoding="utf-8"))}"></iframe>',
            encoding="utf-8",
        )
        shot = Path(folder) / "shot.png"
        _chromium(
            wrapper,
            f"--window-size={max(width_px, 500)},{height_px}",
            f"--screenshot={shot}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        if width_px < 500:
            from PIL import Image

            with Image.open(shot) as picture:
                picture.crop((0, 0, width_px, height_px)).save(out)
        else:
            shutil.copyfile(shot, out)
    return out


_PROBE = """
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => setTimeout(() => {
  const page = frame.contentDocument, root = page.documentElement;
  const inside = (e) => e.closest(".scroll") || e.closest(".visually-hidden, .skip");
  const wide = [...page.querySelectorAll("body *")].filter(
    (e) => !inside(e) && e.getBoundingClientRect().right > root.clientWidth + 0.5);
  const images = [...page.images];
  const out = document.createElement("pre");
  out.id = "facts";
  out.textContent = JSON.stringify({
    viewport_px: root.clientWidth,
    scroll_width_px: Math.max(root.scrollWidth, page.body.scrollWidth),
    height_px: root.scrollHeight,
    too_wide: wide.slice(0, 10).map((e) => e.tagName + "." + (e.className.baseVal ?? e.className)),
    images: images.length,
    broken_images: images.filter((i) => !i.complete || !i.naturalWidth).length,
    requests: frame.contentWindow.performance.getEntriesByType("resource").map((r) => r.name)
      .filter((name) => !name.startsWith("data:")),
  });
  document.body.replaceChildren(out);
}, 50));
"""


def page_facts(page: Path, *, width_px: int) -> PageFacts:
    """Open `page` in a frame of that width and measure it.

    Raises:
        RuntimeError: the browser did not come back with an answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        wrapper = Path(folder) / "wrapper.html"
        wrapper.write_text(
            f'<!DOCTYPE html><meta charset="utf-8"><body><iframe width="{width_px}" height="800" '
            f'srcdoc="{html.escape(page.read_text(encoding="utf-8"))}"></iframe>'
            f"<script>{_PROBE}</script>",
            encoding="utf-8",
        )
        done = _chromium(
            wrapper, "--dump-dom", "--enable-logging=stderr", "--virtual-time-budget=20000"
        )
    found = re.search(r'<pre id="facts">(.*?)</pre>', done.stdout, re.DOTALL)
    if not found:
        raise RuntimeError(f"no answer from the browser; it said: {done.stderr[-500:]}")
    facts: dict[str, Any] = json.loads(html.unescape(found[1]))
    facts["console"] = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    for name in ("too_wide", "requests", "console"):
        facts[name] = tuple(facts[name])
    return PageFacts(**facts)


def _chromium(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = find_chromium()
    if program is None:
        raise RuntimeError("no Chromium found; install it, for example apt install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        return subprocess.run(
            [program, *_FLAGS, f"--user-data-dir={profile}", *options, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )


def main(report: Path, folder: Path) -> None:
    """The screenshots that README and docs show."""
    for name, width, height in (("desk", 1280, 1000), ("phone", 390, 844)):
        for dark in (False, True):
            out = folder / f"report-{name}-{'dark' if dark else 'light'}.png"
            print(screenshot(report, out, width_px=width, height_px=height, dark=dark))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/screenshots.py REPORT.html FOLDER")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
