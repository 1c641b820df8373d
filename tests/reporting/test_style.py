"""The colours of the page can be told from their background, in light and in dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import regraft.reporting

STYLE = (Path(regraft.reporting.__file__).parent / "templates" / "style.css").read_text("utf-8")
_BLOCKS = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
LIGHT = dict(re.findall(r"--([\w-]+): ([^;]+);", _BLOCKS[0]))
DARK = LIGHT | dict(re.findall(r"--([\w-]+): ([^;]+);", _BLOCKS[1]))
PRINT = LIGHT | dict(re.findall(r"--([\w-]+): ([^;]+);", _BLOCKS[2]))

Colour = tuple[float, float, float]


def colour(text: str) -> Colour:
    if text.startswith("#"):
        return tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))  # type: ignore[return-value]
    red, green, blue = (float(part) for part in text.split())
    return red, green, blue


def mixed(above: Colour, below: Colour, share: float) -> Colour:
    red, green, blue = (a * share + b * (1 - share) for a, b in zip(above, below, strict=True))
    return red, green, blue


def contrast(first: Colour, second: Colour) -> float:
    """WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(rgb: Colour) -> float:
        parts = [c / 255 for c in rgb]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_text_can_be_read(theme: dict[str, str]) -> None:
    pairs = [
        (text, ground)
        for text in ("ink", "soft", "accent", "wrong", "no")
        for ground in ("paper", "surface", "sunken")
    ]
    pairs.append(("accent", "accent-faint"))
    poor = [pair for pair in pairs if contrast(*(colour(theme[name]) for name in pair)) < 4.5]
    assert len(pairs) == 16
    assert poor == []


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("share", [0.1, 0.16, 0.48, 0.54])
def test_numbers_in_shaded_cells_can_be_read(theme: dict[str, str], share: float) -> None:
    for name in ("accent-rgb", "wrong-rgb"):
        ground = mixed(colour(theme[name]), colour(theme["paper"]), share)
        assert contrast(colour(theme["ink"]), ground) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_marks_stand_out(theme: dict[str, str]) -> None:
    for name in ("accent", "accent-rgb", "wrong-rgb"):
        assert contrast(colour(theme[name]), colour(theme["surface"])) >= 3


def test_nothing_is_fetched() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "@font-face" not in STYLE
