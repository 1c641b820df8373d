"""A page read as a browser would: its elements, texts and everything that could misbehave."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser

_VOID = {"meta", "link", "img", "br", "input", "line", "rect", "path", "hr"}


@dataclass
class Element:
    """One opening tag with its attributes, and the text inside it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


class Page(HTMLParser):
    """All elements of a page; `unclosed` names tags that were not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.unclosed: list[str] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        self.unclosed += [element.tag for element in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1].tag != tag:
            self.unclosed.append(f"{tag} ends inside {self._open[-1].tag if self._open else ''}")
            return
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements with that tag and, for each attribute, that word in its value."""
        return [
            element
            for element in self.elements
            if element.tag == tag
            and all(
                word in element.attributes.get(name.rstrip("_"), "").split()
                for name, word in attributes.items()
            )
        ]

    @property
    def text(self) -> str:
        """The text of the page with each run of white space as one blank."""
        return squeezed(self.all("main")[0].text)


def squeezed(text: str) -> str:
    """Text with each run of white space, no-break ones included, as one blank."""
    return " ".join(text.split())
