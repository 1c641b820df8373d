"""The demo's images are simulated, and what is made of them says so."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from regraft.demo import TITLE, demo_folder, title_of
from regraft.reporting import build_report
from tests.reporting.sample_runs import ABOUT, about_of, make_run
from tests.reporting.test_report import check_page

ROOT = Path(__file__).resolve().parents[1]
LIKE_IT = Path("/x/conformal_clip_data/data/textile_images/simulated")


def test_the_folder_of_the_demo_has_the_title_of_the_demo() -> None:
    pytest.importorskip("conformal_clip_data", reason="the extra `demo` has the images")
    assert title_of(demo_folder()) == TITLE
    assert sorted(path.name for path in demo_folder().iterdir() if path.is_dir()) == [
        *("global", "local", "nominal")
    ]


@pytest.mark.parametrize(
    ("folder", "title"),
    [
        (LIKE_IT, "Fabric defects (simulated)"),
        (Path("/home/me/simulated"), "simulated"),
        (Path("/photos/rooms"), "rooms"),
        (Path("/"), "data"),
    ],
)
def test_other_data_is_called_by_its_folder(folder: Path, title: str) -> None:
    assert title_of(folder) == title


def test_the_report_says_that_the_demo_is_simulated(tmp_path: Path) -> None:
    run = make_run(tmp_path, write_images=False)
    moved = dataclasses.replace(run, data=dataclasses.replace(run.data, root=LIKE_IT))
    assert check_page(build_report(moved)).all("h1")[0].text == TITLE
    kept = dataclasses.replace(run, about=about_of({**ABOUT, "title": TITLE}))
    assert check_page(build_report(kept)).all("h1")[0].text == TITLE


def test_no_page_of_the_project_calls_them_photos() -> None:
    pages = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"textile photos|2,000 photos", text), page.name
    readme = pages[0].read_text(encoding="utf-8")
    assert readme.count("simulated") >= 3
