"""What can be told of a text without a network: the bytes of a file in, plain facts out.

As `attributes` does for photos. *Incidental* facts come from how a text was kept: its encoding,
whether it was cut. *Content-driven* facts, such as its length, depend on what is said. The
*signature* is a set of 64 numbers by which near copies are recognised, the *excerpt* its beginning
for people.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from regraft.kinds.base import facts_from_json, facts_to_json
from regraft.kinds.examiner import Measured
from regraft.kinds.texts.decoding import read_text

SIGNATURE_HASHES = 64
EXCERPT_CHARACTERS = 280
PREVIEW_CHARACTERS = 2_000  # about 400 words
_SHINGLE = 3  # words in a row
_DISTINCT_AMONG = 1_000  # words from the start; the longer a text, the more of its words repeat
_LANGUAGE_AMONG = 2_000
_SENTENCE_WORDS = 4

Sketch = NDArray[np.uint64]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ADDRESS = re.compile(r"\b(?:https?|ftp)://|\bwww\.", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?…。！？؟।][\s\"'”’»)\]]|[。！？]")
_CLOSED = tuple(".!?。！？؟।\"'”’»)]}>:;*-_=~")
_ELLIPSIS = ("...", "…", "[...]", "[…]", "(...)", "(…)")


@dataclass(frozen=True, slots=True)
class TextAttributes:
    """Facts on one text; a number that does not apply is NaN, a text is "".

    Attributes:
        characters, words, lines: how many; a word is letters and digits in a row.
        file_bytes: size of the file.
        encoding: of the file: "utf-8", "cp1252"...
        mean_word_length: in characters.
        digits, non_ascii, punctuation: share of all characters but spaces, 0 to 1.
        capitals: share of the letters that have a capital form, 0 to 1.
        addresses: how many addresses of web pages.
        distinct_words: different words as a share of the first 1,000, 0 to 1.
        script: in which most letters are: "Latin", "Cyrillic", "Han"...; "other" for rarer ones.
        language: a coarse guess by frequent words, see `guess_language`; "" if not sure.
        cut: whether the text ends in an ellipsis, or within a line of several words that has no
            sign at its end, though other sentences have.
    """

    characters: int
    words: int
    lines: int
    file_bytes: int
    encoding: str
    mean_word_length: float
    digits: float
    non_ascii: float
    punctuation: float
    capitals: float
    addresses: int
    distinct_words: float
    script: str
    language: str
    cut: bool

    def to_json(self) -> str:
        """As JSON; NaN becomes null."""
        return facts_to_json(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TextAttributes:
        """Read what `to_json` wrote.

        Raises:
            ValueError, TypeError: it is something else.
        """
        return cls(**facts_from_json(text))


def measure_text(data: bytes) -> Measured:
    """The attributes of one text, its signature and its beginning.

    The signature is uint64 (SIGNATURE_HASHES,), see `shingle_signature`; the preview the first
    PREVIEW_CHARACTERS as UTF-8.

    Safe to call from several threads at once.

    Raises:
        UnreadableInputError: it is no text.
    """
    text, encoding = read_text(data)
    words = _WORD.findall(text)
    counts = Counter(text)
    shown = {c: count for c, count in counts.items() if not c.isspace()}
    total = sum(shown.values())
    letters = sum(n for c, n in shown.items() if c.isalpha())
    cased = sum(n for c, n in shown.items() if c.lower() != c.upper())
    beginning = [word.casefold() for word in words[:_DISTINCT_AMONG]]
    attributes = TextAttributes(
        characters=len(text),
        words=len(words),
        lines=counts["\n"] + (not text.endswith("\n")),
        file_bytes=len(data),
        encoding=encoding,
        mean_word_length=sum(map(len, words)) / len(words) if words else math.nan,
        digits=sum(n for c, n in shown.items() if c.isdigit()) / total,
        non_ascii=sum(n for c, n in shown.items() if not c.isascii()) / total,
        punctuation=sum(n for c, n in shown.items() if not c.isalnum()) / total,
        capitals=sum(n for c, n in shown.items() if c.isupper()) / cased if cased else math.nan,
        addresses=len(_ADDRESS.findall(text)),
        distinct_words=len(set(beginning)) / len(beginning) if words else math.nan,
        script=_script(shown) if letters else "",
        language=guess_language(words),
        cut=_is_cut(text),
    )
    return Measured(attributes, _signature(words, text), text[:PREVIEW_CHARACTERS].encode())


def excerpt(text: str, limit: int = EXCERPT_CHARACTERS) -> str:
    """The beginning of a text on one line, at most `limit` characters, cut between words.

    >>> excerpt("The cat  sat\\non the mat.", limit=12)
    'The cat sat…'
    """
    # Enough for `limit` characters unless nearly all is space; then a second look takes it all.
    shown = " ".join(text[: 8 * limit].split())
    if len(shown) <= limit and len(text) > 8 * limit:
        shown = " ".join(text.split())
    if len(shown) <= limit:
        return shown
    cut = shown[:limit].rfind(" ")
    return shown[: cut if cut > limit // 2 else limit - 1].rstrip(" ,;:–-") + "…"


def words_of(text: str) -> list[str]:
    """The words of a text in their order, without regard to capitals.

    >>> words_of("The cat's 2 mats.")
    ['the', "cat's", '2', 'mats']
    """
    return [word.casefold() for word in _WORD.findall(text)]


# ---- Near copies --------------------------------------------------------------------------


def shingle_signature(text: str) -> Sketch:
    """By what near copies of a text are recognised: uint64 (SIGNATURE_HASHES,).

    MinHash (Broder 1997, "On the resemblance and containment of documents"): the share of equal
    numbers in two signatures estimates how many of the runs of three words that either text has
    both have, with a standard deviation of at most 1 / 16. Capitals, punctuation and spacing do
    not matter. A text of fewer words is one run.

    A run is hashed to h = mix(27 x + 9 y + 3 z + x y) over the CRC-32 x, y, z of its words in
    UTF-8, modulo 2^64; number i, from 1, is the least (a h + b) modulo 2^64 over the runs, with
    a = mix(2 i - 1) | 1 and b = mix(2 i); mix is the finaliser of SplitMix64 (Steele et al. 2014).
    """
    return _signature(_WORD.findall(text), text)


def similarity(signatures: Sketch, others: Sketch | None = None) -> NDArray[np.float32]:
    """Share of equal numbers, float32 (n, m), 0 to 1, of signatures (n, h) and others (m, h).

    Without others the signatures are compared with each other.
    """
    others = signatures if others is None else others
    equal = np.zeros((len(signatures), len(others)), dtype=np.float32)
    for left, right in zip(signatures.T, others.T, strict=True):
        equal += left[:, None] == right[None, :]
    equal /= signatures.shape[1]
    return equal


def _signature(words: list[str], text: str) -> Sketch:
    # Signs alone are compared as one word.
    known: dict[str, int] = {}
    for word in (words := [w.casefold() for w in words] or [" ".join(text.split())]):
        if word not in known:
            known[word] = zlib.crc32(word.encode())
    numbers = np.array([known[word] for word in words], dtype=np.uint64)
    if len(numbers) < _SHINGLE:
        numbers = np.concatenate([np.zeros(_SHINGLE - len(numbers), dtype=np.uint64), numbers])
    x, y, z = numbers[:-2], numbers[1:-1], numbers[2:]
    runs = np.unique(_mix(x * np.uint64(27) + y * np.uint64(9) + z * np.uint64(3) + x * y))
    return np.array([(a * runs + b).min() for a, b in _PERMUTATIONS], dtype=np.uint64)


def _mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


_DRAWN = _mix(np.arange(1, 2 * SIGNATURE_HASHES + 1, dtype=np.uint64)).reshape(-1, 2)
_PERMUTATIONS = _DRAWN | np.array([1, 0], dtype=np.uint64)  # odd factors permute all numbers


# ---- Script, language, ending -------------------------------------------------------------

_SCRIPTS = tuple(
    (name, re.compile(f"[{letters}]"))
    for name, letters in (
        ("Latin", "A-Za-zª-ʯḀ-ỿＡ-ｚ"),
        ("Greek", "Ͱ-Ͽἀ-῾"),
        ("Cyrillic", "Ѐ-ԯ"),
        ("Hebrew", "א-ת"),
        ("Arabic", "ؠ-ۿݐ-ݿ"),
        ("Devanagari", "ऀ-ॿ"),
        ("Thai", "ก-๎"),
        ("Hangul", "가-힣ᄀ-ᇿ"),
        ("kana", "ぁ-ヿ"),
        ("Han", "㐀-鿿"),
    )
)


def _script(counts: dict[str, int]) -> str:
    found: Counter[str] = Counter()
    for character, count in counts.items():
        if character.isalpha():
            names = (name for name, letters in _SCRIPTS if letters.match(character))
            found[next(names, "other")] += count
    return max(found, key=lambda name: (found[name], name))


# Words that are frequent in any text of a language. Left out are those that English or the
# addresses of web pages also have (die, as, com), single letters, and most that two languages have.
_FREQUENT = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the and of to is that for it you was with are this be have not from at by they will",
        "de": "der das und ist nicht zu den mit von ein eine auf für im dem sich auch wir ich sie",
        "fr": "le les et des est une dans pour que qui pas sur du au avec ce elle nous vous sont",
        "es": "el los las que en una con para del se lo su al como más pero fue esta muy también",
        "it": "il di che una sono del della si gli dei alla anche più nel questo ha lo come ma",
        "pt": "os que em um uma para não foi das dos ao mais ele ela seu também isso muito são",
        "nl": "het een van dat niet te zijn voor met aan er ook maar om bij als wij naar deze",
    }.items()
}


def guess_language(words: list[str]) -> str:
    """The language of words in a row, of seven, "" for others, short texts and doubt.

    The one whose frequent words are the most among the first 2,000, if they are one in twenty and
    half as many again as those of any other language, and there are three different ones.
    """
    beginning = Counter(word.lower() for word in words[:_LANGUAGE_AMONG])
    found = {
        language: sum(beginning[word] for word in frequent)
        for language, frequent in _FREQUENT.items()
    }
    best, second = sorted(found, key=lambda language: -found[language])[:2]
    different = len(_FREQUENT[best] & beginning.keys())
    least = max(beginning.total() / 20, 1.5 * found[second])
    return best if different >= 3 and found[best] >= least else ""


def _is_cut(text: str) -> bool:
    if text.rstrip().endswith(_ELLIPSIS):
        return True
    last = text.rsplit("\n", 1)[-1].rstrip()  # empty where the last line is ended
    within = len(last.split()) >= _SENTENCE_WORDS and not last.endswith(_CLOSED)
    return within and bool(_SENTENCE_END.search(text))


__all__ = [
    "EXCERPT_CHARACTERS",
    "PREVIEW_CHARACTERS",
    "SIGNATURE_HASHES",
    "Sketch",
    "TextAttributes",
    "excerpt",
    "guess_language",
    "measure_text",
    "shingle_signature",
    "similarity",
    "words_of",
]
