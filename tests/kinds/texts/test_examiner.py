"""Texts looked at without a network: each fault on a text that has it, words that tell classes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from regraft.errors import UsageError
from regraft.kinds import kind_named, thing, things
from regraft.kinds.texts.attributes import EXCERPT_CHARACTERS, PREVIEW_CHARACTERS
from regraft.kinds.texts.examiner import EXAMINER

PROSE = (
    "We went to the station in the morning and waited for the train to the coast.",
    "She has not read the letter yet, but she will answer it before the weekend.",
    "The garden was full of roses and it smelled of rain and of cut grass.",
    "Nobody knew why the lights had gone out, so they lit a candle in the hall.",
    "He sold his old car to a neighbour and bought a bicycle for the summer.",
)
PLAIN = [f"{PROSE[i % 5]} That was on day {i}, as far as I can tell." for i in range(24)]


def faults_in(*texts: str) -> list[str]:
    """The faults of the last text among ordinary ones."""
    attributes = [EXAMINER.measure(text.encode()).attributes for text in (*PLAIN, *texts)]
    found = EXAMINER.find_faults(attributes)
    assert set(found) == set(EXAMINER.faults)
    for marked, scores in found.values():
        assert marked.shape == scores.shape == (len(attributes),)
        assert np.isfinite(scores).all()
    return [what for what, (marked, _) in found.items() if marked[-1]]


def test_ordinary_texts_have_no_fault() -> None:
    assert faults_in() == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Yes.", "short"),
        ("=-=-=- 12 !!! ??? 99 ### $$$ %%% 12 12 --- *** (((( )))) 77", "signs"),
        ("very very very " * 40, "repetitive"),
        ("Сегодня мы пошли в магазин и купили хлеб, молоко и яблоки.", "odd_script"),
        (
            "Der Hund ist nicht mit in den Garten gegangen und schläft auch nicht im Haus.",
            "odd_language",
        ),
        (" ".join(PROSE) * 40, "odd_length"),
        (f"{PROSE[0]} And then they all went down to the...", "cut"),
    ],
)
def test_each_fault_is_found_in_a_text_that_has_it(text: str, fault: str) -> None:
    assert fault in faults_in(text)


def test_where_texts_are_in_many_languages_none_is_odd() -> None:
    german = "Der Hund ist nicht mit in den Garten gegangen und schläft auch nicht im Haus."
    assert "odd_language" not in faults_in(*[german] * 20)


def test_the_words_that_tell_classes_apart_are_named_most_telling_first() -> None:
    ham = [f"meeting at the office about the budget, item {i}" for i in range(30)]
    spam = [f"buy cheap pills at the shop now, offer {i}" for i in range(20)]
    spam += [f"the budget of the shop, offer {i}" for i in range(10)]
    previews = [EXAMINER.measure(text.encode()).preview for text in (*ham, *spam)]
    labels = np.repeat([0, 1], 30)
    words = EXAMINER.portraits(("ham", "spam"), labels, previews).words
    assert {"meeting", "office", "about", "item"} <= {w.text for w in words["ham"]}
    assert words["spam"][0].text in ("shop", "offer")
    assert words["spam"][0].inside == 1.0
    assert words["spam"][0].outside == 0.0
    for found in words.values():
        assert "the" not in {w.text for w in found}, "as often in both"
        assert "at" not in {w.text for w in found if w.outside > w.inside}


def test_classes_that_use_the_same_words_have_no_typical_ones() -> None:
    previews = [EXAMINER.measure(text.encode()).preview for text in PLAIN[:20] * 2]
    assert EXAMINER.portraits(("a", "b"), np.repeat([0, 1], 20), previews).words == {}


@pytest.mark.parametrize("previews", [[], [b"", b""], [b"1 2 3", b"4 5"], [b"one", b"two"]])
def test_without_common_words_there_are_none(previews: list[bytes]) -> None:
    labels = np.arange(len(previews), dtype=np.int64) % 2
    assert EXAMINER.portraits(("a", "b"), labels, previews).words == {}


def test_what_is_shown_is_the_beginning_on_one_line() -> None:
    found = EXAMINER.measure(("word\n" * 3_000).encode())
    assert len(found.preview) == PREVIEW_CHARACTERS
    shown = EXAMINER.shown(found.preview)
    assert shown.picture == b""
    assert shown.text.startswith("word word")
    assert shown.text.endswith("…")
    assert len(shown.text) <= EXCERPT_CHARACTERS + 1


@pytest.mark.parametrize("kind", ["image", "text"])
def test_every_kind_says_what_it_looks_at(kind: str) -> None:
    examiner = kind_named(kind).examiner()
    assert {clue.kind for clue in examiner.clues} == set(examiner.clues_of_kind)
    assert all(bool(clue.numbers) != (clue.word is not None) for clue in examiner.clues)
    assert things(kind) == thing(kind) + "s"


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="no modality 'sound'"):
        kind_named("sound")


def test_all_texts_together_are_told_in_a_few_words() -> None:
    texts = [
        *PLAIN[:18],
        "Der Hund ist nicht mit in den Garten gegangen und schläft auch.",
        "12 34",
    ]
    found = [EXAMINER.measure(text.encode()) for text in texts]
    said = dict(EXAMINER.summary([m.attributes for m in found], [m.preview for m in found]))
    assert said["Language"] == "English 90.0 %, German 5.0 %, not told 5.0 %"
    assert said["Script"] == "Latin 95.0 %, no letters 5.0 %"
    assert re.fullmatch(
        r"\d+ different words at their .*, \d+ % .*one text only", said["Vocabulary"]
    )
    assert EXAMINER.summary([], []) == ()
