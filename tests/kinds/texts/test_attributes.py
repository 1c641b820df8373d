"""Facts on texts: each on a text that was made to have it, and near copies told from others."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.errors import UnreadableInputError
from regraft.kinds.texts.attributes import (
    SIGNATURE_HASHES,
    TextAttributes,
    excerpt,
    guess_language,
    measure_text,
    shingle_signature,
    similarity,
)
from regraft.kinds.texts.decoding import decode

SPOKEN = {
    "en": [
        "The cat sat on the mat and looked at the dog.",
        "This is a short review of the film that I have seen with my friends.",
    ],
    "de": [
        "Der Hund ist nicht mit in den Garten gegangen und schläft.",
        "Ich habe das Buch auf dem Tisch gesehen und finde es sehr gut.",
    ],
    "fr": [
        "Le chat est sur la table et le chien dort dans le jardin.",
        "Nous avons vu une maison qui est très belle, mais elle est chère pour nous.",
    ],
    "es": [
        "El perro está en el jardín con los niños y las flores.",
        "La película fue muy buena, pero el final no me gustó como esperaba.",
    ],
    "it": [
        "Il gatto è sul tavolo e il cane dorme nel giardino della casa.",
        "Questo film è molto bello, anche se il finale non è come pensavo, ma va bene.",
    ],
    "pt": [
        "O cão está no jardim com os meninos e não quer sair para a rua.",
        "Este filme é muito bom, mas não foi o que eu esperava para um sábado.",
    ],
    "nl": [
        "De hond is niet in de tuin en het is koud voor een wandeling.",
        "Wij gaan met de trein naar het werk, maar de trein is te laat.",
    ],
    "": [
        "Hej, jag heter Anna och jag bor i Stockholm med min familj.",
        "Kot siedzi na macie i patrzy na psa.",
        "Сегодня мы пошли в магазин.",
        "GET /index.html 200 com com com a a o e o a",
        "The",
    ],
}


def facts(text: str) -> TextAttributes:
    return measure_text(text.encode()).attributes


def sentences(n: int, seed: int = 0, words: int = 400) -> str:
    rng = np.random.default_rng(seed)
    return " ".join(f"w{number}" for number in rng.integers(0, words, n))


# ---- Attributes ---------------------------------------------------------------------------


def test_counts_and_shares_are_those_one_can_count() -> None:
    data = "Zwei Übel: 12 Äpfel!\r\nwww.a.de ok\n".encode("cp1252")
    found = measure_text(data).attributes
    assert (found.characters, found.words, found.lines) == (33, 8, 2)
    assert (found.file_bytes, found.encoding) == (34, "cp1252")
    assert found.mean_word_length == pytest.approx((4 + 4 + 2 + 5 + 3 + 1 + 2 + 2) / 8)
    # Without spaces: 17 in the first line, 10 in the second.
    assert found.digits == pytest.approx(2 / 27)
    assert found.non_ascii == pytest.approx(2 / 27)
    assert found.punctuation == pytest.approx(4 / 27)
    assert found.capitals == pytest.approx(3 / 21)
    assert found.addresses == 1
    assert found.distinct_words == 1.0
    assert found.script == "Latin"


def test_what_does_not_apply_is_nan_and_survives_json() -> None:
    found = facts("!!! ...")
    assert math.isnan(found.mean_word_length)
    assert math.isnan(found.distinct_words)
    assert math.isnan(found.capitals)
    assert (found.words, found.script, found.language, found.punctuation) == (0, "", "", 1.0)
    again = TextAttributes.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert '"capitals": null' in found.to_json()
    assert math.isnan(again.capitals)
    with pytest.raises(TypeError):
        TextAttributes.from_json('{"words": 1}')


def test_repeated_words_are_told_among_the_first_thousand() -> None:
    assert facts("spam Spam SPAM eggs").distinct_words == 0.5
    many = " ".join(f"w{i}" for i in range(1000))
    assert facts(f"{many} {many}").distinct_words == 1.0


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Zürich naïve", "Latin"),
        ("Сегодня утром Windows", "Cyrillic"),
        ("Σήμερα το πρωί", "Greek"),
        ("今天早上我们去市场", "Han"),
        ("きょうのあさ", "kana"),
        ("오늘 아침에", "Hangul"),
        ("ذهبنا هذا الصباح", "Arabic"),
        ("הבוקר הלכנו", "Hebrew"),
        ("आज सुबह", "Devanagari"),
        ("เช้านี้", "Thai"),
        ("ጤና ይስጥልኝ", "other"),
        ("123 !?", ""),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, script: str) -> None:
    assert facts(text).script == script


@pytest.mark.parametrize(("language", "texts"), SPOKEN.items())
def test_languages_are_told_or_left_open(language: str, texts: list[str]) -> None:
    for text in texts:
        assert facts(text).language == language, text


def test_two_languages_in_equal_parts_are_no_language() -> None:
    mixed = " ".join([*SPOKEN["en"], *SPOKEN["de"]]).replace(".", "").split()
    assert guess_language(mixed) == ""
    assert guess_language([]) == ""


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("One sentence. Another one that goes on and", True),
        ("One sentence. Another one that goes on and\n", False),
        ("One sentence. And a second.", False),
        ("a headline without any sign at its end", False),
        ("Read more...", True),
        ("Read more […]\n", True),
        ('She said: "It ends. Here."', False),
        ("All is said. Regards, Ann", True),  # as far as one can tell
        ("All is said.\nAnn", False),
    ],
)
def test_texts_that_were_cut_are_told(text: str, cut: bool) -> None:
    assert facts(text).cut == cut


def test_what_is_no_text_has_no_attributes() -> None:
    with pytest.raises(UnreadableInputError, match="the text is empty"):
        measure_text(b" \n")


# ---- Excerpts -----------------------------------------------------------------------------


def test_excerpts_are_cut_between_words() -> None:
    assert excerpt("a  b\n\tc") == "a b c"
    assert excerpt("one two, three", limit=10) == "one two…"
    assert excerpt("x" * 50, limit=10) == "x" * 9 + "…"
    assert excerpt(" " * 5000 + "late", limit=10) == "late"
    assert measure_text(b"short").preview == b"short"


@given(st.text(max_size=400), st.integers(2, 60))
def test_excerpts_keep_to_their_limit(text: str, limit: int) -> None:
    shown = excerpt(text, limit)
    whole = " ".join(text.split())
    assert len(shown) <= limit
    assert shown == whole or (len(whole) > limit and shown.endswith("…"))
    assert whole.startswith(shown.removesuffix("…"))


# ---- Near copies --------------------------------------------------------------------------


def test_signatures_follow_their_formula() -> None:
    """The documented one, in whole numbers of Python."""
    modulus = 2**64

    def mix(number: int) -> int:
        number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % modulus
        number = (number ^ number >> 27) * 0x94D049BB133111EB % modulus
        return number ^ number >> 31

    words = [zlib.crc32(word.encode()) for word in ("one", "two", "three", "four")]
    runs = [
        mix((27 * x + 9 * y + 3 * z + x * y) % modulus)
        for x, y, z in zip(words, words[1:], words[2:], strict=False)
    ]
    expected = [
        min(((mix(2 * i - 1) | 1) * run + mix(2 * i)) % modulus for run in runs)
        for i in range(1, SIGNATURE_HASHES + 1)
    ]
    signature = shingle_signature("One two, three\nFOUR")
    assert signature.dtype == np.uint64
    assert signature.tolist() == expected


def test_writing_changes_no_signature_and_words_do() -> None:
    one = shingle_signature("The cat sat on the mat.")
    assert np.array_equal(one, shingle_signature("the CAT -- sat; on\nthe mat"))
    assert not np.array_equal(one, shingle_signature("the cat sat on a mat"))
    assert np.array_equal(one, measure_text(b"The cat sat on the mat.").signature)


def test_similarity_estimates_the_share_of_common_runs() -> None:
    beginning, end = sentences(300, 1), sentences(300, 2)
    texts = [beginning, f"{beginning} {end}", end, sentences(300, 3)]
    found = similarity(np.array([shingle_signature(text) for text in texts]))
    assert found.dtype == np.float32
    assert found.diagonal().tolist() == [1, 1, 1, 1]
    assert np.array_equal(found, found.T)
    assert found[0, 1] == pytest.approx(0.5, abs=0.2)  # three standard deviations
    assert found[0, 2] < 0.1
    assert found[1, 3] < 0.1


def test_near_copies_stay_alike_and_others_do_not() -> None:
    original = sentences(200)
    words = original.split()
    words[50] = "changed"
    copies = [" ".join(words), original + " and a line more", original[20:]]
    others = [sentences(200, seed) for seed in range(5, 9)]
    signature = shingle_signature(original)[None]
    alike = similarity(signature, np.array([shingle_signature(text) for text in copies]))
    unlike = similarity(signature, np.array([shingle_signature(text) for text in others]))
    assert alike.shape == (1, 3)
    assert alike.min() > 0.8
    assert unlike.max() < 0.1


def test_short_texts_and_signs_have_signatures_of_their_own() -> None:
    texts = ["yes", "no", "yes no", "!!!", "???", "yes no yes"]
    found = similarity(np.array([shingle_signature(text) for text in texts]))
    assert np.array_equal(found >= 1, np.eye(len(texts), dtype=bool))


@given(st.text(max_size=200))
def test_any_text_can_be_measured(text: str) -> None:
    data = text.encode()
    try:
        decode(data)
    except UnreadableInputError:
        return
    found = measure_text(data)
    shares = found.attributes
    for share in (shares.digits, shares.non_ascii, shares.punctuation):
        assert 0 <= share <= 1
    assert found.signature.shape == (SIGNATURE_HASHES,)
    assert TextAttributes.from_json(shares.to_json()).to_json() == shares.to_json()
