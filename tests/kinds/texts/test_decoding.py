"""Texts: every file becomes the same text in UTF-8 or its reason, whatever the bytes."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from regraft.errors import TooLargeError, UnreadableInputError
from regraft.kinds.base import InputInfo
from regraft.kinds.texts import KIND
from regraft.kinds.texts.decoding import (
    MAX_TEXT_BYTES,
    decode,
    inspect,
    text_of,
)

SENTENCES = {
    "de": "Der Übergang über die Straße war für größere Lastwagen gesperrt.",
    "fr": "Le garçon a été très déçu par la soirée à l'hôtel où il était allé près de la forêt.",
    "es": "El niño comió una manzana mañana por la tarde; ¿cómo está la situación del país?",
    "pl": "Zażółć gęślą jaźń. Wczoraj byłem w mieście i kupiłem świeże bułki na śniadanie.",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy. Dnes večer půjdeme do města na večeři.",
    "hu": "Árvíztűrő tükörfúrógép. A gyerekek az iskolában tanulnak és később hazamennek.",
    "ru": "Сегодня утром мы пошли в магазин и купили хлеб, молоко и сыр для завтрака.",
    "el": "Σήμερα το πρωί πήγαμε στην αγορά και αγοράσαμε ψωμί και γάλα.",
    "tr": "Bugün sabah çarşıya gittik ve ekmek, süt ile peynir aldık. Şimdi eve dönüyoruz.",
    "he": "הבוקר הלכנו לשוק וקנינו לחם וחלב לארוחת הבוקר.",
    "ja": "今日の朝、私たちは市場に行ってパンと牛乳を買いました。とても楽しかったです。",
    "zh": "今天早上我们去市场买了面包和牛奶作为早餐, 天气非常好。",
    "tw": "今天早上我們去市場買了麵包和牛奶作為早餐, 天氣非常好。",
    "ko": "오늘 아침에 우리는 시장에 가서 빵과 우유를 샀습니다. 날씨가 매우 좋았습니다.",
}
EIGHT_BITS = [
    *(("de", "cp1252"), ("fr", "cp1252"), ("es", "cp1252"), ("pl", "cp1250"), ("cs", "cp1250")),
    *(("hu", "cp1250"), ("pl", "iso8859_2"), ("ru", "cp1251"), ("ru", "koi8_r"), ("el", "cp1253")),
    *(("tr", "cp1254"), ("he", "cp1255"), ("ja", "cp932"), ("ja", "euc_jp"), ("zh", "gb18030")),
    *(("de", "cp850"), ("fr", "mac_roman"), ("ru", "cp866"), ("tw", "big5")),
    *(("ko", "cp949"), ("ja", "iso2022_jp_2")),
]


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableInputError) as caught:
        decode(data)
    assert str(caught.value).count("\n") == 0
    return str(caught.value)


@pytest.mark.parametrize(("language", "encoding"), EIGHT_BITS)
@pytest.mark.parametrize("lines", [1, 8])
def test_encodings_are_told_without_a_mark(language: str, encoding: str, lines: int) -> None:
    original = (SENTENCES[language] + "\n") * lines
    data = original.encode(encoding)
    assert text_of(decode(data)) == original
    assert inspect(data) == InputInfo(len(original), lines, encoding)


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        *(("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-32", "utf-32")),
        *(("utf-16-le", "utf-16"), ("utf-16-be", "utf-16")),
    ],
)
def test_unicode_is_read_with_and_without_its_mark(language: str, encoding: str, name: str) -> None:
    original = SENTENCES[language] + "\n"
    data = original.encode(encoding)
    assert text_of(decode(data)) == original
    assert inspect(data).mode == name


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        *(("windows-1251", "cp1251"), ("KOI8-R", "koi8_u"), ("iso-8859-5", "iso8859_5")),
        *(("ISO-8859-1", "cp1252"), ("gb2312", "gb18030"), ("ks_c_5601-1987", "cp949")),
        *(("latin1", "cp1252"), ("Shift_JIS", "cp932"), ("windows-1257", "cp1257")),
    ],
)
def test_what_a_header_declares_is_believed_if_it_decodes(declared: str, encoding: str) -> None:
    # Two bytes say nothing by themselves; every one of these encodings knows them.
    header = f'Content-Type: text/plain; charset="{declared}"\n\nabc '
    data = header.encode() + b"\xb5\xc4"
    assert inspect(data).mode == encoding
    assert text_of(decode(data)) == header + b"\xb5\xc4".decode(encoding)


@pytest.mark.parametrize("declared", ["utf-7", "rot13", "idna", "unicode_escape", "x"])
def test_a_declaration_that_is_wrong_or_no_encoding_of_texts_is_not_followed(declared: str) -> None:
    data = f"charset={declared}\n".encode() + SENTENCES["de"].encode("cp1252")
    assert inspect(data).mode == "cp1252"
    assert text_of(decode(data)).endswith(SENTENCES["de"])


def test_a_few_bad_bytes_do_not_make_another_encoding() -> None:
    good = SENTENCES["ru"].encode()
    data = good[:15] + b"\xff" + good[15:]
    assert inspect(data).mode == "utf-8"
    assert text_of(decode(data)).replace("\ufffd", "") == SENTENCES["ru"]
    cut = "Straße und größ".encode() + b"e" + "ü".encode()[:1]
    assert text_of(decode(cut)) == "Straße und größe\ufffd"


@pytest.mark.parametrize(
    "original", ["café", "Robbie Williams signs £80m deal", "Ärger", "naïve", "20 °C", "“so”"]
)
def test_windows_western_european_is_the_last_resort(original: str) -> None:
    data = original.encode("cp1252")
    assert text_of(decode(data)) == original
    assert inspect(data).mode == "cp1252"
    # 0x81 is no character of it; all the others are kept.
    assert text_of(decode((data + b" ") * 9 + b"\x81")) == f"{original} " * 9 + "\ufffd"


def test_line_ends_controls_and_composition_are_normalised() -> None:
    data = "one\r\ntwo\rthree\u2028four\vfive\x85".encode() + "e\u0301\ttab".encode()
    assert text_of(decode(data)) == "one\ntwo\nthree\nfour\nfive\né\ttab"
    stray = b"a long line with a few stray control characters in it\0" + b" and more" * 20 + b"\x7f"
    shown = text_of(decode(stray))
    assert shown == stray.replace(b"\0", b"").replace(b"\x7f", b"").decode()
    assert text_of(decode(b"\x1b[31mred\x1b[0m plain")) == "red plain"


def test_counts_are_those_of_the_normalised_text() -> None:
    assert inspect("für\r\nuns".encode()) == InputInfo(7, 2, "utf-8")
    assert inspect(b"one\n") == InputInfo(4, 1, "utf-8")
    assert inspect(b"one\n\n") == InputInfo(5, 2, "utf-8")


@pytest.mark.parametrize(
    "data",
    [
        b" \r\n\t ",
        b"\xef\xbb\xbf",
        "\ufeff\n\u200b \u200b".encode(),
        b"\xff\xfe",
        "\u3000".encode(),
    ],
)
def test_nothing_to_read_is_no_text(data: bytes) -> None:
    assert reason(data) == "the text is empty"


def _png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (3, 3)).save(out, "PNG")
    return out.getvalue()


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "text")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "the file is empty"),
        (_png(), "is not text: it is an image"),
        (_zip(), "is not text: it is a ZIP archive or an Office document: save it as plain text"),
        (b"%PDF-1.7\n", "is not text: it is a PDF: save it as plain text"),
        (b"{\\rtf1 Hello", "is not text: it is an RTF document: save it as plain text"),
        ("{\\rtf1 Hello".encode("utf-16"), "is not text: it is an RTF document"),
        (b"\xef\xbb\xbf%PDF-1.7", "is not text: it is a PDF"),
        (b"\x1f\x8b\x08\0", "is not text: it is packed: unpack it"),
        (b"\0" * 40, "is not text: only zero bytes, as of an interrupted copy"),
        (b"\x01\x02abcdef", "is not text: 25% of it are control characters"),
        (b"\xff\xfe\x00\xd8" * 9, "is not text: it begins as utf-16 does, but 9 of 17 characters"),
        (np.random.default_rng(0).bytes(4000), "are control characters; it starts with the bytes"),
        (np.arange(500, dtype=np.int32).tobytes(), "are control characters"),
        (np.random.default_rng(0).normal(size=500).tobytes(), "are control characters"),
    ],
)
def test_what_is_no_text_says_why(data: bytes, why: str) -> None:
    assert why in reason(data)
    with pytest.raises(UnreadableInputError) as caught:
        inspect(data)
    assert str(caught.value) == reason(data)


def test_too_large_texts_are_refused() -> None:
    with pytest.raises(TooLargeError, match="16,777,217 bytes, over the limit of 16,777,216: spl"):
        decode(b"a" * (MAX_TEXT_BYTES + 1))
    assert text_of(decode(b"abc", max_bytes=3)) == "abc"
    with pytest.raises(TooLargeError, match="has 4 bytes, over the limit of 3"):
        inspect(b"abcd", max_bytes=3)


def test_the_kind_has_its_name_and_suffixes() -> None:
    assert KIND.name == "text"
    assert KIND.suffixes == {".txt", ".text", ".md", ".eml", ".log"}
    array = decode("Ä".encode("cp1252") + b"rger")
    assert array.dtype == np.uint8
    assert array.ndim == 1
    assert inspect(b"abc") == InputInfo(3, 1, "utf-8")


def test_threads_do_not_disturb_each_other() -> None:
    files = [SENTENCES[language].encode(encoding) for language, encoding in EIGHT_BITS] * 5
    alone = [text_of(decode(data)) for data in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda data: text_of(decode(data)), files)) == alone


# ---- Anything at all ----------------------------------------------------------------------

NASTY = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=200).map(lambda each: each.encode("utf-16-le", "surrogatepass")),
    st.text(max_size=200).map(lambda each: each.encode("utf-8", "surrogatepass")),
    st.builds(
        lambda head, body: head + body,
        st.sampled_from([b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\xef\xbb\xbf", b"\x1b$B"]),
        st.binary(max_size=100),
    ),
    st.builds(
        lambda name, body: b"charset=" + name.encode("utf-8") + b"\n" + body,
        st.sampled_from(["utf-7", "hex", "latin1", "big5", "sjis", "ä", ".", "cp1254"]),
        st.binary(max_size=100),
    ),
)


@given(NASTY)
def test_any_bytes_become_clean_text_or_a_reason(data: bytes) -> None:
    try:
        shown = text_of(decode(data))
    except UnreadableInputError as error:
        assert 0 < len(str(error)) == len(str(error).replace("\n", ""))  # noqa: PT017
        with pytest.raises(UnreadableInputError):
            inspect(data)
        return
    assert shown.strip()
    assert unicodedata.is_normalized("NFC", shown)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in shown)
    info = inspect(data)
    assert (info.width, info.height) == (len(shown), len(shown.removesuffix("\n").split("\n")))


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=300))
def test_text_comes_back_from_every_unicode_encoding(original: str) -> None:
    expected = unicodedata.normalize("NFC", original)
    expected = expected.replace("\u2028", "\n").replace("\u2029", "\n")
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        data = original.encode(encoding)
        try:
            shown = text_of(decode(data))
        except UnreadableInputError as error:
            assert str(error) == "the text is empty"  # noqa: PT017 - most are not
            assert not expected.strip().strip("\u200b\u200c\u200d\u2060\ufeff \n")
            continue
        if original.startswith("\ufeff") and encoding == "utf-8":
            assert shown == expected.removeprefix("\ufeff")  # taken for a mark, as it should be
        else:
            assert shown == expected


@given(NASTY)
def test_normalising_twice_changes_nothing(data: bytes) -> None:
    try:
        once = decode(data)
    except UnreadableInputError:
        return
    assert text_of(decode(once.tobytes())) == text_of(once).removeprefix("\ufeff")
