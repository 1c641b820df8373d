"""A template and what it shows in, the text of one HTML file out; what heads every page."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.dataset import Dataset
from regraft.reporting import words
from regraft.reporting.words import things

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Card:
    """One key number at the top of a page."""

    title: str
    value: str
    detail: str = ""


def data_cards(data: Dataset, *, split: str = "") -> list[Card]:
    """How many photos and classes there are; `split` says how the photos are divided."""
    names = ", ".join(data.classes[:3])
    more = ", \N{HORIZONTAL ELLIPSIS}" if len(data.classes) > 3 else ""
    return [
        Card(things().capitalize(), f"{len(data.ok):,}", split),
        Card("Classes", f"{len(data.classes):,}", names + more),
    ]


def left_out_cards(data: Dataset) -> list[Card]:
    """How many files are not used; none where all are."""
    left_out = len(data.rows) - len(data.ok) - len(data.unlabelled)
    if not left_out:
        return []
    return [Card("Files not used", f"{left_out:,}", "listed with their reasons")]


@dataclass(frozen=True, slots=True)
class Header:
    """The top of a page: what it is about, the verdict in words, key numbers."""

    title: str
    verdict: str
    verdict_range: str
    context: tuple[str, ...]
    when: str
    version: str
    cards: tuple[Card, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """The one script of a page and its hash, by which the page allows it and no other."""

    text: str
    hash: str


def render(
    template: str,
    *,
    header: Header,
    kind: str = "regraft report",
    script: str = "",
    **shown: object,
) -> str:
    """A page of `templates/`, all of which extend `page.html.jinja`.

    Whatever is inserted is escaped. File names that are not valid Unicode reach Python as lone
    surrogates, which no file holds: they become question marks.

    Args:
        template: its file name.
        header: the top of the page.
        kind: what kind of page it is, in words.
        script: file name of the script that may run; "" for none.
        shown: what the template draws.
    """
    text = (
        _environment()
        .get_template(template)
        .render(header=header, kind=kind, script=_script(script) if script else None, **shown)
    )
    return text.encode("utf-8", "replace").decode("utf-8")


def stylesheet() -> bytes:
    """The style of every page, for those that are not a single file."""
    return (_TEMPLATES / "style.css").read_bytes()


@cache
def _script(name: str) -> Script:
    text = (_TEMPLATES / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Script(text, f"sha256-{digest}")


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = words.counted
    environment.filters["number"] = words.number
    environment.globals.update(thing=words.thing, things=words.things)
    return environment
