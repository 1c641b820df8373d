"""Texts: the bytes of a file go in, the same text as normalised UTF-8, uint8 (b,), comes out.

What "normalised" means:

- The encoding is told by a byte order mark; else the text is UTF-16 if its zero bytes lie where
  that puts them; else UTF-8 if it decodes as such; else what the file declares itself
  (`charset=...`), if that decodes; else it is guessed from the lines that are not ASCII; else
  it is Windows Western European. A few damaged bytes become U+FFFD, much damage is no text.
- Composed characters (Unicode NFC). Every kind of line end becomes "\\n" and tabs stay. Other
  control characters and the colours of terminals are removed: they show nothing, and
  tokenizers differ in what they make of them.

What becomes of the words is `tokens.py`.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regraft.errors import TooLargeError, UnreadableInputError
from regraft.modality.base import InputInfo, Modality

MAX_TEXT_BYTES = 16 * 2**20
"""Larger files are refused: a book of a thousand pages has 2 MB."""

SUFFIXES = frozenset((".txt", ".text", ".md", ".eml", ".log"))

_MAX_CONTROLS = 0.02  # share of control characters beyond which a file is no text
_MAX_DAMAGED = 0.1  # of the characters beyond ASCII; with more of them it is another encoding
_SAMPLE_BYTES = 16_000  # from which an encoding is guessed
_HEADER_BYTES = 8_192  # in which it may be declared
_HIRAGANA = 0.15  # of the characters beyond ASCII; Japanese has more, other languages have none
_INVISIBLE = " \n\t\xa0\u200b\u200c\u200d\u2060\ufeff"

_LINE_END = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_COLOUR = re.compile("\x1b\\[[0-9;]*[A-Za-z]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
_NOT_IN_TEXTS = frozenset(("Cc", "Cn", "Co"))  # controls, unassigned, private


# ---- Decoding -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModality:
    """Texts as a `Modality`; `max_bytes` is the one thing a server may want lower."""

    max_bytes: int = MAX_TEXT_BYTES

    @property
    def name(self) -> str:
        return "text"

    @property
    def noun(self) -> str:
        return "text"

    @property
    def usual(self) -> str:
        return "texts in one folder per class (.txt, .md, .eml...), or a table with a text column"

    @property
    def suffixes(self) -> frozenset[str]:
        return SUFFIXES

    def inspect(self, data: bytes) -> InputInfo:
        return inspect(data, max_bytes=self.max_bytes)

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        return decode(data, max_bytes=self.max_bytes)


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
    text, encoding = _decoded(data)
    text = _COLOUR.sub("", _LINE_END.sub("\n", text))
    shown = _CONTROL.sub("", text)
    if len(text) - len(shown) > _MAX_CONTROLS * len(text):
        raise UnreadableInputError(_what_it_is(data, (len(text) - len(shown)) / len(text)))
    if not shown.strip().strip(_INVISIBLE):
        raise UnreadableInputError("the text is empty")
    _refuse_other_kinds(shown[:64].encode())  # such as RTF behind a byte order mark
    return unicodedata.normalize("NFC", shown), encoding


# ---- Encodings ----------------------------------------------------------------------------

_BYTE_ORDER_MARKS = (  # that of UTF-32 begins with that of UTF-16, so the order matters
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# What may be declared or guessed: encodings whose decoders give characters and nothing else.
_EAST_ASIAN = ("cp932", "euc_jp", "gb18030", "big5", "cp949")
_GUESSES = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("koi8_r", "cp866", "cp850", "mac_roman", "iso8859_2", *_EAST_ASIAN),
)
_DECLARED = {  # letters and digits of a declared name: what is meant by it (WHATWG)
    **{f"iso8859{n}": f"iso8859_{n}" for n in (2, 4, 5, 6, 7, 10, 13, 14, 15, 16)},
    **{f"{maker}125{n}": f"cp125{n}" for n in range(8) for maker in ("windows", "cp")},
    **dict.fromkeys(("iso88591", "latin1"), "cp1252"),
    **dict.fromkeys(("iso88599", "latin5"), "cp1254"),
    **dict.fromkeys(("gb2312", "gbk", "gb18030", "xgbk"), "gb18030"),
    **dict.fromkeys(("euckr", "ksc56011987", "cp949", "windows949"), "cp949"),
    **dict.fromkeys(("shiftjis", "sjis", "xsjis", "windows31j", "cp932"), "cp932"),
    **{name: name for name in ("big5", "cp850", "cp866")},
    **dict.fromkeys(("koi8r", "koi8u"), "koi8_u"),  # the latter has four letters more
    **dict.fromkeys(("eucjp", "xeucjp"), "euc_jp"),
}
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9][\w.:-]{1,20})""", re.I)
# What Western European text does not have, but other text that is read as such: signs or
# capitals within words, runs of letters beyond ASCII, š or ž, ø beside ì or ù, õ beside û.
_NOT_WESTERN = re.compile(
    "[a-z][‚ƒ„†‡ˆ‰‹”•˜™›¡-¿×÷ŠŒŽŸÀ-ÖØ-Þ][a-z]|[^\\W\\d_a-zA-Z]{3}|[šžŠŽ]"
    "|ø.*[ìèù]|[ìèù].*ø|õ.*û|û.*õ",
    re.DOTALL,
)
_LATIN_2 = re.compile(r"[^\W\d_][±¶]|[±¶][^\W\d_]")  # ISO 8859-2 read as Windows-1250
_CJK = re.compile("[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


def _decoded(data: bytes) -> tuple[str, str]:
    """The text, without its byte order mark, and the name of its encoding."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            text = data[len(mark) :].decode(encoding, "replace")
            name = encoding[:6].rstrip("-")
            return _undamaged(text, name), name
    if wide := _wide_encoding(data):
        return _undamaged(data.decode(wide, "replace"), "utf-16"), "utf-16"
    if b"\x1b$" in data:  # ASCII to any other decoder
        for encoding in ("iso2022_jp_2", "iso2022_kr"):
            if (found := _strictly(data, encoding)) is not None:
                return found, encoding
    if (found := _strictly(data, "utf-8")) is not None:
        return found, "utf-8"
    return _of_eight_bits(data)


def _strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _undamaged(text: str, encoding: str) -> str:
    damaged = text.count("\ufffd")
    if damaged > 1 + _MAX_CONTROLS * len(text):
        raise UnreadableInputError(
            f"is not text: it begins as {encoding} does, but {damaged:,} of {len(text):,} "
            "characters are damaged; save it as UTF-8"
        )
    return text


def _wide_encoding(data: bytes) -> str:
    """The kind of UTF-16 without a mark; "" for what is something else.

    Texts in it have zero bytes, the upper halves of ASCII characters such as spaces, and read
    the right way next to nothing that no text has. A text of single bytes with a few stray zeros
    is not taken for it.
    """
    zeros = data.count(0)
    if zeros == 0:
        return ""
    if zeros < _MAX_CONTROLS * len(data) and _strictly(data, "utf-8") is not None:
        return ""
    best, most = "", 0
    for encoding in ("utf-16-le", "utf-16-be"):
        sample = data[:_SAMPLE_BYTES].decode(encoding, "replace")
        odd = sum(
            c == "\ufffd" or (unicodedata.category(c) in _NOT_IN_TEXTS and c not in "\t\n\r\f")
            for c in sample
        )
        plain = sum(" " <= c <= "~" or c == "\n" for c in sample)
        # One: half a character at the end of the sample or of the file.
        if odd <= 1 + _MAX_CONTROLS * len(sample) and plain > most:
            best, most = encoding, plain
    return best


def _of_eight_bits(data: bytes) -> tuple[str, str]:
    """Text in an encoding of single bytes, or of one and two, that is no valid UTF-8."""
    damaged = data.decode("utf-8", "replace")
    rest = damaged.rstrip("\ufffd")  # cut off within a character
    beyond = len(_BEYOND_ASCII.findall(damaged))
    if damaged.count("\ufffd") <= _MAX_DAMAGED * beyond or (
        len(damaged) - len(rest) == 1 and "\ufffd" not in rest and beyond > 1
    ):
        return damaged, "utf-8"
    for declared in _CHARSET.findall(data[:_HEADER_BYTES]):
        encoding = _DECLARED.get(re.sub("[^a-z0-9]", "", declared.decode().lower()), "")
        if encoding and (text := _strictly(data, encoding)) is not None:
            return text, encoding
    encoding = _guess(_telling_lines(data))
    text = data.decode(encoding, "replace")
    if text.count("\ufffd") > _MAX_DAMAGED * len(_BEYOND_ASCII.findall(text)):
        encoding = "cp1252"
        text = data.decode(encoding, "replace")
    return text, encoding


def _telling_lines(data: bytes) -> bytes:
    """The first lines that are not ASCII: the rest says nothing on the encoding."""
    if len(data) <= _SAMPLE_BYTES and b"\n" not in data:
        return data
    lines, size = [], 0
    for line in re.split(rb"[\r\n]+", data):
        if not line.isascii():
            lines.append(line[: _SAMPLE_BYTES - size])
            size += len(lines[-1]) + 1
        if size >= _SAMPLE_BYTES:
            break
    return b"\n".join(lines)


def _guess(sample: bytes) -> str:
    """The likeliest encoding; Windows Western European if in doubt."""
    from charset_normalizer import from_bytes

    for encoding in ("cp932", "euc_jp"):
        text = sample.decode(encoding, "replace")
        hiragana = sum("\u3041" <= character <= "\u3096" for character in text)
        if hiragana >= _HIRAGANA * max(1, len(_BEYOND_ASCII.findall(text))):
            return encoding
    best = from_bytes(sample, cp_isolation=list(_GUESSES), preemptive_behaviour=False).best()
    guess = best.encoding if best and best.encoding in _GUESSES else "cp1252"
    if guess in _EAST_ASIAN:
        return guess if len(_CJK.findall(sample.decode(guess, "replace"))) > 1 else "cp1252"
    if guess != "cp1254" and not _NOT_WESTERN.search(sample.decode("cp1252", "replace")):
        return "cp1252"
    if guess == "cp1250" and _LATIN_2.search(sample.decode(guess, "replace")):
        return "iso8859_2"
    return guess


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


text: Modality = TextModality()
"""The modality the rest of regraft uses for texts."""
