"""Word vectors: what was written is read back, in every format, and the rest has its reason."""

from __future__ import annotations

import gzip
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regraft.errors import DataError, UsageError
from regraft.kinds.texts.vectors import WordVectors, read_vectors

WORDS = ("the", "cat", "größe", "n't", "<unk>")
MATRIX = np.arange(15, dtype=np.float32).reshape(5, 3) / 7 - 1


def text_of(words: list[str] | tuple[str, ...], matrix: np.ndarray, *, header: bool) -> bytes:
    lines = [f"{len(matrix)} {matrix.shape[1]}"] if header else []
    for word, vector in zip(words, matrix, strict=True):
        lines.append(" ".join([word, *(repr(float(each)) for each in vector)]))
    return ("\n".join(lines) + "\n").encode()


def binary_of(words: list[str] | tuple[str, ...], matrix: np.ndarray, end: bytes = b"\n") -> bytes:
    rows = zip(words, matrix, strict=True)
    body = b"".join(word.encode() + b" " + v.astype("<f4").tobytes() + end for word, v in rows)
    return f"{len(matrix)} {matrix.shape[1]}\n".encode() + body


def read(folder: Path, data: bytes, name: str = "vectors.txt", **options: int) -> WordVectors:
    path = folder / name
    path.write_bytes(data)
    return read_vectors(path, **options)


def reason(folder: Path, data: bytes, name: str = "vectors.txt") -> str:
    with pytest.raises(DataError) as caught:
        read(folder, data, name)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder), "")


FORMATS = {
    "glove.txt": text_of(WORDS, MATRIX, header=False),
    "fast.vec": text_of(WORDS, MATRIX, header=True),
    "word2vec.bin": binary_of(WORDS, MATRIX),
    "no_line_ends.bin": binary_of(WORDS, MATRIX, b""),
    "windows.txt": text_of(WORDS, MATRIX, header=True).replace(b"\n", b"\r\n"),
    "tabs.txt": text_of(WORDS, MATRIX, header=False).replace(b" ", b"\t"),
    "trailing.vec": text_of(WORDS, MATRIX, header=True).replace(b"\n", b" \n"),
    "no_end.txt": text_of(WORDS, MATRIX, header=False).rstrip(b"\n"),
    "binary_without_suffix": binary_of(WORDS, MATRIX),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_is_read(tmp_path: Path, name: str, packed: bool) -> None:
    data = gzip.compress(FORMATS[name]) if packed else FORMATS[name]
    found = read(tmp_path, data, f"{name}.gz" if packed else name)
    assert found.words == WORDS
    assert found.matrix.dtype == np.float32
    assert np.array_equal(found.matrix, MATRIX)
    assert found.notes == ()


@pytest.mark.parametrize("name", ["glove.txt", "fast.vec", "word2vec.bin"])
def test_no_more_words_than_asked_for_are_read(tmp_path: Path, name: str) -> None:
    # What comes behind them is not even looked at.
    data = FORMATS[name] + b"\xff\xff rubbish \n" * 3
    found = read(tmp_path, data, name, most=2)
    assert found.words == WORDS[:2]
    assert np.array_equal(found.matrix, MATRIX[:2])
    assert found.notes == ()
    with pytest.raises(UsageError, match="most is 0, expected a number of words from 1"):
        read_vectors(tmp_path / name, most=0)
    for numbers, words in ((3 * 3 - 1, 2), (3 * 3, 3), (1, 1), (99, len(WORDS))):
        written = read(tmp_path, FORMATS[name], name, most_numbers=numbers)
        assert written.words == WORDS[:words]
    with pytest.raises(UsageError, match="most_numbers is 0, expected at least 1"):
        read_vectors(tmp_path / name, most_numbers=0)


def test_words_may_have_spaces_and_come_twice(tmp_path: Path) -> None:
    lines = ["the 1 2", ". . . 3 4", "the 5 6", "at name@x.com 7 8", "cat 9 10", "cat 1 1"]
    found = read(tmp_path, "\n".join(lines).encode())
    assert found.words == ("the", ". . .", "at name@x.com", "cat")
    assert found.matrix.tolist() == [[1, 2], [3, 4], [7, 8], [9, 10]]
    assert found.notes == ("2 words again: the first vector is kept",)


def test_words_in_other_encodings_are_kept_and_counted(tmp_path: Path) -> None:
    found = read(tmp_path, b"caf\xe9 1 2\nthe 3 4\n")
    assert found.words == ("caf\ufffd", "the")
    assert found.notes == ("1 word not in UTF-8: U+FFFD instead",)


def test_few_wrong_lines_are_left_out_and_many_are_an_error(tmp_path: Path) -> None:
    good = [f"w{i} {i} {i + 1}" for i in range(300)]
    for odd in ("short 1", "long 1 2 3", "word one two", "w nan 1", "w 1e99 1", "alone"):
        few = "\n".join([*good[:70], odd, "", *good[70:]])
        found = read(tmp_path, few.encode())
        assert len(found.words) == 300
        assert found.notes == ("1 line without 2 numbers left out, the first is line 71",)
        many = "\n".join([*good[:70], odd, odd, odd, odd, *good[70:]])
        told = reason(tmp_path, many.encode())
        assert told.startswith("/vectors.txt, line 71: ")
        fields = len(odd.split()) - 1
        assert f"{fields} field{'s' * (fields != 1)} behind the word, expected 2 numbers" in told
        assert "4 of 304 lines are wrong, at most 1 % may be: fetch the file again" in told


def test_the_beginning_of_a_text_table_is_one_too(tmp_path: Path) -> None:
    beginning = b"\n".join(FORMATS["fast.vec"].split(b"\n")[:3])
    found = read(tmp_path, beginning, "fast.vec")
    assert found.words == WORDS[:2]
    assert found.notes == ("5 words announced, 2 are there",)


def test_truncated_binary_files_are_an_error(tmp_path: Path) -> None:
    data = FORMATS["no_line_ends.bin"]
    cuts = range(data.index(b"\n") + 1, len(data))
    for cut in cuts:
        told = reason(tmp_path, data[:cut], "cut.bin")
        assert "ends within word" in told
        assert "of 5 (vectors of 3 numbers in the binary format of word2vec); fetch it" in told
    assert len(cuts) > 70


def test_damaged_files_are_told(tmp_path: Path) -> None:
    packed = gzip.compress(FORMATS["glove.txt"] * 50)
    damaged = "is damaged or ends early: it cannot be unpacked; fetch it again"
    assert damaged in reason(tmp_path, packed[:-20], "cut.gz")
    assert damaged in reason(tmp_path, packed[:40] + b"\0\0\0\0" + packed[44:], "bad.gz")
    nan = binary_of(WORDS, np.where(MATRIX[2, 1] == MATRIX, np.nan, MATRIX))
    assert "is damaged at word 3 of 5" in reason(tmp_path, nan, "nan.bin")
    endless = b"9 3\n" + b"\xff" * 9000
    assert "is damaged at word 1 of 9" in reason(tmp_path, endless, "endless.bin")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty; expected lines of a word and its numbers"),
        (b"Dear all,\nthis is a letter.\n", "it begins with 'Dear all,'; expected lines of a word"),
        (b"path,label\na.png,cat\n", "it begins with 'path,label'"),
        (b'{"the": [1, 2]}', "it begins with '{\"the\": [1, 2]}'"),
        (b"\x89PNG\r\n\x1a\n\0", "it begins with the bytes 89 50 4e 47 0d 0a 1a 0a"),
        (b"\x93NUMPY\x01", "it is an array of NumPy"),
        (b"\x80\x04\x95", "it is a file of Python objects, which is not opened; save the vectors"),
        (b"\xba\x16O/\x0c\0", "it is a fastText model, take its .vec file"),
        (b"\n\n", "it begins with ''"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, data: bytes, why: str) -> None:
    told = reason(tmp_path, data)
    assert told.startswith("/vectors.txt is not a table of word vectors: ")
    assert why in told


def test_archives_and_odd_headers_are_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "glove.zip", "w") as archive:
        archive.writestr("glove.txt", FORMATS["glove.txt"])
    told = reason(tmp_path, (tmp_path / "glove.zip").read_bytes(), "glove.zip")
    assert "it is a ZIP archive, unpack it" in told
    wide = reason(tmp_path, b"5 999999999\nthe 1 2\n")
    assert "begins with 5 999999999: vectors of 999,999,999 numbers; expected 1 to 10,000" in wide
    assert "has no words; expected lines of" in reason(tmp_path, b"0 3\n")
    narrow = reason(tmp_path, b"2 3\nthe 1 2\ncat 3 4\n", "narrow.vec")
    assert "line 2: 2 fields behind the word, expected 3 numbers; 2 of 2 lines" in narrow


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.txt cannot be read: No such file"):
        read_vectors(tmp_path / "gone.txt")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_vectors(tmp_path)


def test_memory_is_that_of_the_matrix(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(6_000)]
    matrix = np.random.default_rng(0).normal(size=(6_000, 100)).astype(np.float32)
    path = tmp_path / "big.bin"
    path.write_bytes(binary_of(words, matrix))
    tracemalloc.start()
    found = read_vectors(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found.matrix, matrix)
    # The matrix has 2.4 MB and grows by doubling; words and one chunk of the file are the rest.
    assert peak < 2 * matrix.nbytes + 5 * 2**20


# ---- Anything -----------------------------------------------------------------------------

NUMBERS = st.floats(-1e6, 1e6, width=32)
LETTERS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=9)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], np.ndarray]:
    words = draw(
        st.lists(LETTERS.map(lambda word: f"x{word}"), min_size=1, max_size=8, unique=True)
    )
    width = draw(st.integers(2, 6))
    rows = [draw(st.lists(NUMBERS, min_size=width, max_size=width)) for _ in words]
    return words, np.array(rows, dtype=np.float32)


def test_a_short_binary_table_of_letters_is_no_text(tmp_path: Path) -> None:
    matrix = np.frombuffer(b"abcdefgh ijklmn\n", dtype="<f4").reshape(2, 2)
    data = binary_of(["one", "two"], matrix, b"\n")
    found = read(tmp_path, data, "table")
    assert found.words == ("one", "two")
    assert np.array_equal(found.matrix, matrix)


QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(tables(), st.sampled_from(["glove", "vec", "bin", "bin without line ends"]), st.booleans())
def test_tables_come_back(
    tmp_path: Path, table: tuple[list[str], np.ndarray], kind: str, packed: bool
) -> None:
    words, matrix = table
    if kind in ("glove", "vec"):
        data = text_of(words, matrix, header=kind == "vec")
    else:
        data = binary_of(words, matrix, b"\n" if kind == "bin" else b"")
    found = read(tmp_path, gzip.compress(data) if packed else data, "table.bin"[: 9 - 4 * packed])
    assert found.words == tuple(words)
    assert np.array_equal(found.matrix, matrix)


@QUICK
@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(lambda v, d, body: b"%d %d\n" % (v, d) + body, st.integers(0, 9),
                  st.integers(0, 5), st.binary(max_size=100)),
        st.text("a1. \n-e", max_size=100).map(str.encode),
        st.binary(max_size=60).map(lambda body: b"\x1f\x8b" + body),
    )
)  # fmt: skip
def test_any_bytes_are_a_table_or_have_a_reason(tmp_path: Path, data: bytes) -> None:
    try:
        found = read(tmp_path, data)
    except DataError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - not all of them raise
        return
    assert found.matrix.shape == (len(found.words), found.matrix.shape[1])
    assert len(set(found.words)) == len(found.words) >= 1
    assert np.isfinite(found.matrix).all()
