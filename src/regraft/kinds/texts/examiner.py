"""Texts, looked at without a network: what may give a class away, what may be wrong with one.

What is measured is `text_attributes.py`. The preview of a text is its beginning, about as much as
networks read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from regraft.kinds.examiner import (
    CONTENT,
    INCIDENTAL,
    Clue,
    FloatArray,
    Mask,
    Measured,
    Moment,
    Portraits,
    Shown,
    Trait,
    Word,
    far_from_others,
)
from regraft.kinds.texts.attributes import (
    SIGNATURE_HASHES,
    TextAttributes,
    excerpt,
    measure_text,
    words_of,
)

_FEW_WORDS = 3
_REPEATING = 0.1  # different words among the first thousand; ordinary prose has 0.4 and more
_REPEATING_FROM = 50  # words; fewer say nothing on it
_SIGNS = 0.6  # share of digits and punctuation; tables and addresses have 0.3
_MOST_ARE = 0.8  # share of the texts in one script or language from which another one is odd
_LANGUAGES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
}
_CLASSES, _WORDS = 12, 8
_TEXTS = 2_000  # of a class, from which its words are told
_FEWEST_TEXTS = 3  # that have a word
_CERTAIN = 1.5  # standard deviations of the log odds; 6 of 20 texts against none reach 1.6


class TextExaminer:
    """Texts as an `Examiner`."""

    key = "texts-1"
    signature = ((SIGNATURE_HASHES,), np.dtype(np.uint64))
    faults: Mapping[str, str] = MappingProxyType(
        {
            "short": "nearly empty",
            "signs": "more signs than words",
            "repetitive": "the same few words over and over",
            "odd_script": "in another script",
            "odd_language": "in another language",
            "odd_length": "of an odd length",
            "cut": "cut off",
        }
    )
    clues: tuple[Clue, ...] = (
        Clue("encoding", INCIDENTAL, word=lambda a: a.encoding),
        Clue("cut-off ending", INCIDENTAL, (lambda a: float(a.cut),)),
        Clue("length", CONTENT, (lambda a: math.log(a.characters),)),
        Clue("line length", CONTENT, (lambda a: a.characters / max(1, a.lines),)),
        Clue("capitals", CONTENT, (lambda a: a.capitals,)),
        Clue("punctuation", CONTENT, (lambda a: a.punctuation,)),
        Clue("digits", CONTENT, (lambda a: a.digits,)),
        Clue("addresses of pages", CONTENT, (lambda a: a.addresses,)),
        Clue("language", CONTENT, word=lambda a: f"{a.script} {a.language}"),
        Clue(
            "choice of words",
            CONTENT,
            (lambda a: a.mean_word_length, lambda a: a.distinct_words),
        ),
    )
    clues_of_kind: Mapping[str, str] = MappingProxyType(
        {
            INCIDENTAL: "encoding, a cut-off ending and the number of the file or row",
            CONTENT: "length, capitals, punctuation, digits, addresses, language and word length",
        }
    )
    series_example: str = "parts of a document"
    traits: tuple[Trait, ...] = (
        Trait("length", "words", True, lambda a: max(1.0, a.words)),
        Trait("line length", "characters", True, lambda a: a.characters / max(1, a.lines)),
        Trait("word length", "characters", False, lambda a: a.mean_word_length),
        Trait(
            "different words", "% of the first thousand", False, lambda a: 100 * a.distinct_words
        ),
        Trait("capitals", "% of letters", False, lambda a: 100 * a.capitals),
        Trait("digits", "% of characters", False, lambda a: 100 * a.digits),
        Trait("punctuation", "% of characters", False, lambda a: 100 * a.punctuation),
    )

    def measure(self, data: bytes) -> Measured:
        """See `text_attributes.measure_text`; the preview is UTF-8."""
        return measure_text(data)

    def attributes_from_json(self, text: str) -> TextAttributes:
        """See `TextAttributes.from_json`."""
        return TextAttributes.from_json(text)

    def moment(self, attributes: TextAttributes | None) -> Moment:  # noqa: ARG002 - of a protocol
        """Texts do not say it in any one way."""
        return Moment()

    def find_faults(
        self, attributes: Sequence[TextAttributes]
    ) -> Mapping[str, tuple[Mask, FloatArray]]:
        """Texts that say little or are unlike most others in how they are written."""
        words = _column(attributes, "words")
        signs = _column(attributes, "digits") + _column(attributes, "punctuation")
        distinct = np.nan_to_num(_column(attributes, "distinct_words"), nan=1.0)
        half = np.full(len(attributes), 0.5)
        return {
            "short": (words < _FEW_WORDS, words / (2 * _FEW_WORDS)),
            "signs": (signs > _SIGNS, 1.0 - signs),
            "repetitive": ((distinct < _REPEATING) & (words >= _REPEATING_FROM), distinct),
            "odd_script": (_unusual([one.script for one in attributes]), half),
            "odd_language": (_unusual([one.language for one in attributes]), half),
            "odd_length": (far_from_others(np.log(_column(attributes, "characters"))), half),
            "cut": (_column(attributes, "cut") > 0, half),
        }

    def summary(
        self, attributes: Sequence[TextAttributes], previews: Sequence[bytes]
    ) -> tuple[tuple[str, str], ...]:
        """Languages, scripts, and how many different words there are."""
        if not attributes:
            return ()
        languages = Counter(_LANGUAGES.get(one.language, "") for one in attributes)
        scripts = Counter(one.script for one in attributes)
        texts_with = Counter[str]()
        for preview in previews:
            texts_with.update(set(words_of(preview.decode("utf-8", "replace"))))
        once = sum(1 for count in texts_with.values() if count == 1)
        said = [
            ("Language", _shares(languages, "not told")),
            ("Script", _shares(scripts, "no letters")),
        ]
        if texts_with:
            said.append(
                (
                    "Vocabulary",
                    f"{len(texts_with):,} different words at their beginnings, "
                    f"{100 * once / len(texts_with):.0f} % of them in one text only",
                )
            )
        return tuple(said)

    def shown(self, preview: bytes) -> Shown:
        """The beginning of a text on one line."""
        return Shown(text=excerpt(preview.decode("utf-8", "replace")))

    def portraits(
        self, classes: Sequence[str], labels: NDArray[np.int64], previews: Sequence[bytes]
    ) -> Portraits:
        """The words at the beginning of texts that set each class apart from the others.

        By the z-score of their log odds with an informative Dirichlet prior (Monroe, Colaresi and
        Quinn 2008, Political Analysis 16:372), each word counted once a text.
        """
        if len(classes) < 2:
            return Portraits()
        having = [Counter[str]() for _ in classes]
        sizes = np.zeros(len(classes))
        for number, preview in zip(labels.tolist(), previews, strict=True):
            if number < 0 or not preview or sizes[number] >= _TEXTS:
                continue
            sizes[number] += 1
            found = words_of(preview.decode("utf-8", "replace"))
            having[number].update({word for word in found if len(word) > 1 and word.isalpha()})
        together = Counter[str]()
        for one in having:
            together.update(one)
        common = sorted(word for word, count in together.items() if count >= _FEWEST_TEXTS)
        if not common:
            return Portraits()
        counts = np.array([[one[word] for word in common] for one in having], dtype=np.float64)
        shown = {
            name: _telling(counts, sizes, number, common)
            for number, name in list(enumerate(classes))[:_CLASSES]
        }
        return Portraits(words={name: words for name, words in shown.items() if words})


def _telling(
    counts: FloatArray, sizes: FloatArray, number: int, words: Sequence[str]
) -> tuple[Word, ...]:
    """The words that class `number` has more than others: counts (k, w), texts (k,)."""
    inside, everywhere = counts[number], counts.sum(axis=0)
    outside = everywhere - inside
    n_inside, n_all = inside.sum(), everywhere.sum()
    if not n_inside or n_inside == n_all:
        return ()
    prior = everywhere * min(1.0, n_inside / n_all)  # as strong as the class itself
    total = prior.sum()
    log_odds = np.log((inside + prior) / (n_inside + total - inside - prior)) - np.log(
        (outside + prior) / (n_all - n_inside + total - outside - prior)
    )
    z = log_odds / np.sqrt(1 / (inside + prior) + 1 / (outside + prior))
    order = np.argsort(-z, kind="stable")[:_WORDS]
    others = max(1.0, float(sizes.sum() - sizes[number]))
    return tuple(
        Word(words[i], float(inside[i] / max(1.0, sizes[number])), float(outside[i] / others))
        for i in map(int, order)
        if z[i] > _CERTAIN
    )


def _shares(counts: Counter[str], none: str) -> str:
    total = counts.total()
    shown = [f"{name or none} {100 * count / total:.1f} %" for name, count in counts.most_common(4)]
    if len(counts) == 1:
        return f"all {next(iter(counts)) or none}"
    return ", ".join(shown) + (", others" if len(counts) > 4 else "")


def _column(attributes: Sequence[TextAttributes], name: str) -> FloatArray:
    return np.array([getattr(one, name) for one in attributes], dtype=np.float64)


def _unusual(names: Sequence[str]) -> Mask:
    """Which have a name other than the one that nearly all have; "" is no name."""
    counts = Counter(name for name in names if name)
    if not counts:
        return np.zeros(len(names), dtype=bool)
    most, count = counts.most_common(1)[0]
    if count < _MOST_ARE * counts.total():
        return np.zeros(len(names), dtype=bool)
    return np.array([name not in ("", most) for name in names], dtype=bool)


EXAMINER = TextExaminer()

__all__ = ["EXAMINER", "TextExaminer"]
