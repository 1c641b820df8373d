"""Names with markup, from the folder to the page: no script runs and no layout breaks."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from PIL import Image

from regraft.commands import app
from tests.browser.conftest import OpenPages
from tests.browser.test_pages import PHONE_PX, assert_quiet
from tests.commands import PROBE

pytestmark = pytest.mark.slow

IN_FOLDERS = (
    "<script>window.hit=1<script>",
    '"><img src=x onerror=window.hit=1>',
    "'; window.hit = 1; '&amp;",
    "{{ 7 * 7 }} & {% for x in y %}",
    "gnp\N{RIGHT-TO-LEFT OVERRIDE}exe",
    "📷🏡 名前",
    "no_place_to_break_" * 12,
)
IN_TABLES = (
    "</style><script>window.hit=1</script>",
    "</td></table></main><script src=//127.0.0.1/x.js></script>",
    "<svg/onload=window.hit=1>",
    "javascript:window.hit=1//",
    "two\nlines and\ttabs",
)


def write_photos(
    rooms: Path, folder: Path, name: str, count: int = 6, *, skip: int = 0
) -> list[Path]:
    """Some real photos, each file called after what `name` says."""
    folder.mkdir(parents=True)
    source = sorted((rooms / "train" / ("clean" if skip % 2 else "messy")).iterdir())
    written = []
    for i, path in enumerate(source[skip * count : (skip + 1) * count]):
        written.append(folder / f"{name[:60].replace('/', '∕')} {i}.jpg")
        with Image.open(path) as photo:
            photo.convert("RGB").resize((160, 120)).save(written[-1])
    return written


@pytest.fixture
def nasty_folder(graphs: Path, test_data: Path, tmp_path: Path) -> Path:
    root = tmp_path / "<b>photos & more"
    for i, name in enumerate(IN_FOLDERS):
        write_photos(test_data / "rooms", root / name, name, skip=i)
    (root / IN_FOLDERS[0] / f"{IN_FOLDERS[1]}.jpg").write_bytes(b"<script>window.hit=1</script>")
    return root


@pytest.fixture
def nasty_table(graphs: Path, test_data: Path, tmp_path: Path) -> Path:
    table = tmp_path / "labels.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label"])
        for i, name in enumerate(IN_TABLES):
            folder = tmp_path / "files" / str(i)
            for path in write_photos(test_data / "rooms", folder, name, skip=i):
                writer.writerow([str(path.relative_to(tmp_path / "files")), name])
    return table


def assert_harmless(open_page: OpenPages, path: Path, names: tuple[str, ...]) -> None:
    for dark, width in ((False, 1280), (True, PHONE_PX)):
        page = open_page(path, width=width, dark=dark)
        page.show_everything()
        assert page.page.evaluate("window.hit") is None
        assert page.probe("structure")["scripts"] <= 1, "the page has one of its own"
        assert page.probe("structure")["handlers"] == 0
        assert page.probe("structure")["nameless"] == []
        found = page.probe("width")
        assert found["page"] <= width
        assert found["too_wide"] == []
        assert page.probe("contrast")["poor"] == []
        text = " ".join(page.page.locator("main").text_content().split())
        for name in names:
            assert " ".join(name.split()) in text
        assert page.page.locator("main, footer").count() == 2, "the page goes on after the names"
        assert_quiet(page)


def test_names_of_folders_and_files(
    open_page: OpenPages, nasty_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("runs") / "<script>window.hit=1<script>"
    assert app.run(["fit", str(nasty_folder), *PROBE, "--out", str(run)]) == 0
    assert_harmless(open_page, run / "report.html", IN_FOLDERS)
    other = Path("runs") / ("another_" * 25)
    shutil.copytree(run, other)
    assert app.run(["report", str(run), str(other)]) == 0
    assert_harmless(open_page, Path("comparison.html"), (*IN_FOLDERS, run.name, other.name))


def test_labels_of_a_table(
    open_page: OpenPages, nasty_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["fit", str(nasty_table), "--image-dir", "files", *PROBE, "--out", "run"]
    assert app.run(command) == 0
    assert_harmless(open_page, Path("run") / "report.html", IN_TABLES)
