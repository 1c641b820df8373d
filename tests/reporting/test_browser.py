"""The report in a real browser: nothing is fetched, nothing fails, nothing sticks out."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from docs.screenshots import find_chromium, main, page_facts
from regraft.dataset import Row
from regraft.issues import Issue
from regraft.reporting import build_report
from tests.reporting.sample_runs import make_full_run, make_run
from tests.reporting.test_report import NASTY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine"),
]

LONG = "a_very_long_name_without_any_place_to_break_it_" * 4


def write_report(folder: Path, kind: str) -> Path:
    rows = [Row(f"{LONG}/{i}.jpg", status="unreadable", reason=LONG) for i in range(3)]
    issues = [Issue(row.path, "unreadable", 1.0, LONG) for row in rows]
    runs = {
        "plain": lambda: make_run(folder / "plain", test=8),
        "full": lambda: make_full_run(folder / "full"),
        "many": lambda: make_run(folder / "many", classes=[f"c{i}" for i in range(40)], train=4),
        "nasty": lambda: make_run(
            folder / LONG[:120],
            classes=(*NASTY, LONG),
            test=3,
            more_rows=rows,
            issues=issues,
        ),
    }
    page = folder / f"{kind}.html"
    page.write_text(build_report(runs[kind]()), encoding="utf-8")
    return page


@pytest.mark.parametrize("width_px", [360, 768, 1280])
@pytest.mark.parametrize("kind", ["plain", "full", "many", "nasty"])
def test_the_page_behaves(tmp_path: Path, kind: str, width_px: int) -> None:
    facts = page_facts(write_report(tmp_path, kind), width_px=width_px)
    assert facts.viewport_px == width_px
    assert facts.scroll_width_px <= width_px
    assert facts.too_wide == ()
    assert facts.console == ()
    assert facts.requests == ()
    assert facts.images > 0
    assert facts.broken_images == 0


def test_the_probe_notices_a_page_that_misbehaves(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<!DOCTYPE html><body><div style="width:900px">wide</div><img src="gone.png">'
        "<script>console.error('broken'); throw new Error('x')</script>",
        encoding="utf-8",
    )
    facts = page_facts(page, width_px=360)
    assert facts.scroll_width_px == 908
    assert facts.too_wide == ("DIV.",)
    assert facts.broken_images == 1
    assert any("broken" in line for line in facts.console)


def test_the_screenshots_of_the_documentation(tmp_path: Path) -> None:
    main(write_report(tmp_path, "plain"), tmp_path / "shots")
    found = {path.name: Image.open(path) for path in sorted((tmp_path / "shots").iterdir())}
    assert {name: picture.size for name, picture in found.items()} == {
        "report-desk-dark.png": (1280, 1000),
        "report-desk-light.png": (1280, 1000),
        "report-phone-dark.png": (390, 844),
        "report-phone-light.png": (390, 844),
    }
    brightness = {name: sum(p.convert("L").resize((1, 1)).tobytes()) for name, p in found.items()}
    assert brightness["report-desk-light.png"] > 200
    assert brightness["report-desk-dark.png"] < 60
