"""The probes notice a page that misbehaves; without this the other tests could not fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.conftest import OpenPages

pytestmark = pytest.mark.slow

BAD = """<!DOCTYPE html><html><body style="margin: 0; background: #fff; color: #000">
<h1>One</h1><h3>Three</h3>
<p style="color: #777">4.48, too little</p>
<p style="color: #767676">4.54, enough</p>
<p style="color: #949494; font-size: 24px">3.03, large: enough</p>
<div style="background: #000"><p style="opacity: 0.2; color: #fff">faint</p></div>
<svg width="90" height="30"><rect width="90" height="30" fill="#000"/>
<text x="5" y="20" fill="#222">drawn</text></svg>
<div class="w" style="width: 900px; height: 5px"></div>
<img src="gone.png"><a id="a" href="#nowhere">link</a><b id="a"></b>
<button style="outline: none">bare</button><span tabindex="0">plain</span>
<script>console.error("broken"); fetch("http://127.0.0.1:9/x").catch(() => 0);
throw Error("x")</script>
</body></html>"""


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    page = tmp_path / "bad.html"
    page.write_text(BAD, encoding="utf-8")
    return page


def test_noise_failures_and_requests_are_noticed(open_page: OpenPages, bad: Path) -> None:
    page = open_page(bad)
    assert any("broken" in line for line in page.console)
    assert page.errors == ["x"]
    asked = sorted(page.requests)
    assert asked[-1] == "http://127.0.0.1:9/x"
    assert asked[0].endswith("gone.png")


def test_poor_contrast_is_noticed(open_page: OpenPages, bad: Path) -> None:
    found = open_page(bad).probe("contrast")
    poor = {text["text"]: text["ratio"] for text in found["poor"]}
    assert list(poor) == ["4.48, too little", "faint", "drawn"]
    assert poor["4.48, too little"] == 4.48
    assert found["checked"] == 10


def test_what_sticks_out_is_noticed(open_page: OpenPages, bad: Path) -> None:
    found = open_page(bad, width=390).probe("width")
    assert found == {"window": 390, "page": 900, "too_wide": ["DIV.w"]}


def test_a_poor_structure_is_noticed(open_page: OpenPages, bad: Path) -> None:
    found = open_page(bad).probe("structure")
    assert [level for level, _ in found["headings"]] == [1, 3]
    assert [text.partition(" ")[0] for text in found["nameless"]] == ["<img", "<svg"]
    assert len(found["broken"]) == 1
    assert found["doubled"] == ["a"]
    assert found["dangling"] == ["nowhere"]
    assert found["scripts"] == 1
    assert found["language"] == ""


def test_a_focus_that_cannot_be_seen_is_noticed(open_page: OpenPages, bad: Path) -> None:
    page = open_page(bad)
    assert len(page.probe("reachable")) == 3
    seen = {}
    for _ in range(3):
        page.page.keyboard.press("Tab")
        stop = page.probe("focused")
        seen[stop["what"]] = stop["visible"]
    assert seen["BUTTON bare"] is False


def test_no_browser_is_a_reason_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(chromium.VARIABLE, "no-such-browser")
    assert chromium.find_chromium() is None
    assert "name it in REGRAFT_CHROMIUM" in chromium.why_not()
    with pytest.raises(RuntimeError, match="no Chromium or Chrome found"), chromium.chromium():
        pass
