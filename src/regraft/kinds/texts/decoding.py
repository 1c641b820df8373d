"""Texts: the bytes of a file go in, the same text as normalised UTF-8, uint8 (b,), comes out.

What "normalised" means:

- The encoding is told by `encodings`.
- Composed characters (Unicode NFC). Every kind of line end becomes "\\n" and tabs stay. Other
  control characters and the colours of terminals are removed: they show nothing, and
  tokenizers differ in what they make of them.

What becomes of the words is `tokens.py`.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

from regraft.errors import TooLargeError, UnreadableInputError
from regraft.kinds.base import InputInfo, Reader
from regraft.tables.encodings import MAX_CONTROLS, decoded

MAX_TEXT_BYTES = 16 * 2**20
"""Larger files are refused: a book of a thousand pages has 2 MB."""

_INVISIBLE = " \n\t\xa0\u200b\u200c\u200d\u2060\ufeff"

_LINE_END = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_COLOUR = re.compile("\x1b\\[[0-9;]*[A-Za-z]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")


# ---- Decoding -----------------------------------------------------------------------------


def decode(
    data: bytes, *, max_bytes: int = MAX_TEXT_BYTES, max_characters: int | None = None
) -> NDArray[np.uint8]:
    """A text as normalised UTF-8: uint8 (b,), read-only, at least one byte.

    Safe to call from several threads at once.

    Args:
        data: the bytes of a file.
        max_bytes: of these.
        max_characters: of the text; None for any number. What has four times as many bytes, more
            than any encoding needs, is refused before it is decoded.

    Raises:
        UnreadableInputError: not a text, or nothing to read in it.
        TooLargeError: more than `max_bytes` or `max_characters`.
    """
    if max_characters is not None:
        max_bytes = min(max_bytes, 4 * max_characters)
    text, _ = read_text(data, max_bytes=max_bytes)
    if max_characters is not None and len(text) > max_characters:
        raise TooLargeError(
            f"the text has {len(text):,} characters, over the limit of {max_characters:,}: split it"
        )
    return np.frombuffer(text.encode(), dtype=np.uint8)


def inspect(data: bytes, *, max_bytes: int = MAX_TEXT_BYTES) -> InputInfo:
    """Number of characters (`width`) and lines (`height`), and the encoding (`mode`).

    A text has no header, so this counts in the normalised text and fails where `decode` does.

    Raises:
        UnreadableInputError: as `decode`.
    """
    text, encoding = read_text(data, max_bytes=max_bytes)
    lines = text.count("\n") + (not text.endswith("\n"))
    return InputInfo(len(text), lines, encoding)


def text_of(array: NDArray[np.uint8]) -> str:
    """The text of what `decode` returned.

    >>> text_of(decode("naïve".encode("latin-1")))
    'naïve'
    """
    return array.tobytes().decode("utf-8", "replace")


def read_text(data: bytes, *, max_bytes: int = MAX_TEXT_BYTES) -> tuple[str, str]:
    """The normalised text itself, and the name of the encoding it was in.

    Raises:
        UnreadableInputError: as `decode`.
    """
    if not data:
        raise UnreadableInputError("the file is empty")
    if len(data) > max_bytes:
        raise TooLargeError(
            f"the text has {len(data):,} bytes, over the limit of {max_bytes:,}: split it"
        )
    _refuse_other_kinds(data)
    text, encoding = decoded(data)
    text = _COLOUR.sub("", _LINE_END.sub("\n", text))
    shown = _CONTROL.sub("", text)
    if len(text) - len(shown) > MAX_CONTROLS * len(text):
        raise UnreadableInputError(_what_it_is(data, (len(text) - len(shown)) / len(text)))
    if not shown.strip().strip(_INVISIBLE):
        raise UnreadableInputError("the text is empty")
    _refuse_other_kinds(shown[:64].encode())  # such as RTF behind a byte order mark
    return unicodedata.normalize("NFC", shown), encoding


# ---- Why something is not text ------------------------------------------------------------

_NOT_TEXTS = tuple(
    (re.compile(signature, re.DOTALL), what)
    for signature, what in (
        (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP", "it is an image"),
        (rb"PK\x03\x04", "it is a ZIP archive or an Office document: save it as plain text"),
        (rb"\xd0\xcf\x11\xe0", "it is an Office document: save it as plain text"),
        (rb"%PDF-", "it is a PDF: save it as plain text"),
        (rb"\{\\rtf", "it is an RTF document: save it as plain text"),
        (rb"Rar!\x1a|7z\xbc\xaf|\x1f\x8b|BZh\d1AY|\xfd7zXZ|\(\xb5/\xfd", "it is packed: unpack it"),
        (rb"\0\0\0.ftyp|\x1a\x45\xdf\xa3|RIFF....(AVI |WAVE)|OggS\0", "it is sound or video"),
        (rb"\x7fELF|SQLite format 3\0", "it is a program or a database"),
        (rb"\0\x05\x16\x07", "it is a macOS metadata file (AppleDouble)"),
        (rb"version https://git-lfs", "it is a Git LFS pointer: run git lfs pull"),
    )
)


def _refuse_other_kinds(data: bytes) -> None:
    for signature, what in _NOT_TEXTS:
        if signature.match(data):
            raise UnreadableInputError(f"is not text: {what}")


def _what_it_is(data: bytes, controls: float) -> str:
    """A reason for content that is full of control characters, as a share of all."""
    if not any(data):
        return "is not text: only zero bytes, as of an interrupted copy"
    return (
        f"is not text: {controls:.0%} of it are control characters; "
        f"it starts with the bytes {data[:8].hex(' ')}"
    )


READER = Reader(inspect, decode)
