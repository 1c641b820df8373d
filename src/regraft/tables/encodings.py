"""The bytes of a text or of a table of texts in, the text and its encoding out.

The encoding is told by a byte order mark; else the text is UTF-16 if its zero bytes lie where that
puts them; else UTF-8 if it decodes as such; else what the file declares itself (`charset=...`), if
that decodes; else it is guessed from the lines that are not ASCII; else it is Windows Western
European. A few damaged bytes become U+FFFD, much damage is no text.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from regraft.errors import UnreadableInputError

MAX_CONTROLS = 0.02  # share of control characters beyond which a file is no text
_MAX_DAMAGED = 0.1  # of the characters beyond ASCII; with more of them it is another encoding
_SAMPLE_BYTES = 16_000  # from which an encoding is guessed
_HEADER_BYTES = 8_192  # in which it may be declared
_HIRAGANA = 0.15  # of the characters beyond ASCII; Japanese has more, other languages have none
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
_NOT_IN_TEXTS = frozenset(("Cc", "Cn", "Co"))  # controls, unassigned, private

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


def decoded(data: bytes) -> tuple[str, str]:
    """The text, without its byte order mark, and the name of its encoding.

    Raises:
        UnreadableInputError: it begins as Unicode does, and much of it is damaged.
    """
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
    if damaged > 1 + MAX_CONTROLS * len(text):
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
    if zeros < MAX_CONTROLS * len(data) and _strictly(data, "utf-8") is not None:
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
        if odd <= 1 + MAX_CONTROLS * len(sample) and plain > most:
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
