"""Tables of word vectors: a file of GloVe, word2vec or fastText in, words and a matrix out.

Read are, packed by gzip or not:

- GloVe's text: a line for each word, the word and its numbers.
- The text of word2vec and fastText (.vec): the same below a line with two numbers, how many
  words there are and how wide their vectors are.
- word2vec's binary format (.bin): that line, then each word, a space, and its numbers as float32.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from regraft.errors import DataError, UsageError
from regraft.wording import counted

_MAX_WIDTH = 10_000
_MAX_WRONG = 0.01  # share of lines of another width beyond which a file is not used
_HEAD_BYTES = 2**18  # from which the format is told; more than one line of the widest table
_HEAD_LINES = 50
_LINE_BYTES = 2**20  # longer lines are wrong ones
_WORD_BYTES = 4_096  # of a word in a binary file
_CHUNK_BYTES = 2**20
_EXPECTED = (
    "expected lines of a word and its numbers with spaces between (GloVe), or the text or binary "
    "format of word2vec"
)
_HEADER = re.compile(rb"\s*(\d{1,12})[ \t]+(\d{1,12})[ \t]*\r?\n")
_UNPRINTABLE = re.compile(rb"[\0-\x08\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class WordVectors:
    """`words` and their vectors, float32 (v, d), row by row; `notes` on what was left out."""

    words: tuple[str, ...]
    matrix: NDArray[np.float32]
    notes: tuple[str, ...] = ()


def read_vectors(
    path: str | Path, *, most: int = 400_000, most_numbers: int | None = None
) -> WordVectors:
    """The first words of a table of word vectors, which are usually the most frequent.

    These are `most` at the most, and no more than have `most_numbers` numbers together. The file is
    read once from start to end and no further than it takes; the memory is about that of the
    matrix. A word that comes again is left out, as is a line that has not as many numbers as the
    others, and bytes that are not UTF-8 become U+FFFD: notes count them.

    Raises:
        DataError: the file cannot be read, is no such table, ends within a word of the binary
            format, or more than one in a hundred of its lines has another width.
        UsageError: `most` or `most_numbers` is below 1.
    """
    path = Path(path)
    if most < 1:
        raise UsageError(f"most is {most}, expected a number of words from 1")
    if most_numbers is not None and most_numbers < 1:
        raise UsageError(f"most_numbers is {most_numbers}, expected at least 1")
    try:
        with _opened(path) as file:
            head = file.read(_HEAD_BYTES)
        start = _Start.of(path, head)
        with _opened(path) as file:
            file.read(start.header_bytes)
            table = _Table(start.width, _most_words(start, most, most_numbers))
            (_read_binary if start.is_binary else _read_text)(file, start, table)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} is damaged or ends early: it cannot be unpacked; fetch it again"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not table.words:
        raise DataError(f"{path} has no words; {_EXPECTED}")
    return table.finished()


def _most_words(start: _Start, most: int, most_numbers: int | None) -> int:
    if most_numbers is None:
        return most
    return max(1, min(most, most_numbers // start.width))


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...

    def readline(self, size: int = ..., /) -> bytes: ...


def _opened(path: Path) -> IO[bytes]:
    file = path.open("rb")
    try:
        is_packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
    except OSError:
        file.close()
        raise
    if not is_packed:
        return file
    file.close()
    return cast("IO[bytes]", gzip.open(path, "rb"))


# ---- Which format -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Start:
    """What the beginning of a file tells of the rest; `count` is None without a first line."""

    path: Path
    count: int | None
    width: int
    header_bytes: int
    is_binary: bool

    @classmethod
    def of(cls, path: Path, head: bytes) -> _Start:
        for signature, what in _KINDS:
            if head.startswith(signature):
                raise _no_table(path, what)
        header = _HEADER.match(head)
        if header is None:
            return cls(path, None, _width_of_lines(path, head), 0, False)
        count, width = int(header[1]), int(header[2])
        if not 1 <= width <= _MAX_WIDTH:
            raise DataError(
                f"{path} begins with {count} {width}: vectors of {width:,} numbers; expected 1 to "
                f"{_MAX_WIDTH:,}"
            )
        body = head[header.end() :]
        lines = _whole_lines(body, is_all=len(head) < _HEAD_BYTES)[:_HEAD_LINES]
        if any(_parsed(line, width) is not None for line in lines):
            is_binary = False
        else:
            is_binary = (
                path.name.endswith((".bin", ".bin.gz"))
                or not _is_printable(body[:4_096])
                or (len(head) < _HEAD_BYTES and _is_whole_binary(body, count, width))
            )
        return cls(path, count, width, header.end(), is_binary)


def _width_of_lines(path: Path, head: bytes) -> int:
    """How many numbers most of the first lines have.

    Raises:
        DataError: they are not words with numbers.
    """
    lines = [line for line in _whole_lines(head, is_all=len(head) < _HEAD_BYTES) if line.strip()]
    widths = Counter(len(line.split()) - 1 for line in lines[:_HEAD_LINES])
    width = widths.most_common(1)[0][0] if widths else 0
    right = sum(_parsed(line, width) is not None for line in lines[:_HEAD_LINES])
    if not 1 <= width <= _MAX_WIDTH or right < 0.5 * len(lines[:_HEAD_LINES]):
        raise _no_table(path, _what(head))
    return width


def _whole_lines(head: bytes, *, is_all: bool) -> list[bytes]:
    lines = head.split(b"\n")
    return lines if is_all else lines[:-1]


def _is_whole_binary(body: bytes, count: int, width: int) -> bool:
    """Whether a table as short as this, though its numbers happen to be letters, is binary."""
    at = 0
    for _ in range(count):
        end = body.find(b" ", at)
        at = end + 1 + 4 * width
        if end < 0 or at > len(body):
            return False
        at += body[at : at + 1] == b"\n"
    return at == len(body)


def _is_printable(sample: bytes) -> bool:
    try:
        sample[:-4].decode()  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return _UNPRINTABLE.search(sample) is None


_KINDS = (
    (b"PK\x03\x04", "it is a ZIP archive, unpack it"),
    (b"\xba\x16O/", "it is a fastText model, take its .vec file"),
    (b"\x93NUMPY", "it is an array of NumPy"),
    (b"\x80", "it is a file of Python objects, which is not opened; save the vectors as text"),
    (b"\x89HDF", "it is an HDF5 file"),
)


def _no_table(path: Path, what: str) -> DataError:
    return DataError(f"{path} is not a table of word vectors: {what}; {_EXPECTED}")


def _what(head: bytes) -> str:
    if not head:
        return "it is empty"
    line = head.lstrip().split(b"\n", 1)[0][:60].decode("utf-8", "replace")
    words = " ".join(line.split())
    if words.isprintable() and "\ufffd" not in words:
        return f"it begins with '{words[:40]}'"
    return f"it begins with the bytes {head[:8].hex(' ')}"


# ---- Reading ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Table:
    """Words and vectors as they come, and the count of what is odd about them."""

    width: int
    most: int
    words: dict[str, None] = field(default_factory=dict)
    matrix: NDArray[np.float32] = field(init=False)
    repeated: int = 0
    undecodable: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.matrix = np.empty((min(self.most, 1_024), self.width), dtype=np.float32)

    @property
    def is_full(self) -> bool:
        return len(self.words) >= self.most

    def add(self, name: bytes, vector: NDArray[np.float32]) -> None:
        try:
            word = name.decode()
        except UnicodeDecodeError:
            word = name.decode("utf-8", "replace")
            self.undecodable += 1
        if word in self.words:
            self.repeated += 1
            return
        rows = len(self.words)
        if rows == len(self.matrix):
            # In place, so that there are never two of them. Nothing else refers to it.
            self.matrix.resize((min(self.most, 2 * rows), self.width), refcheck=False)
        self.matrix[rows] = vector
        self.words[word] = None

    def finished(self) -> WordVectors:
        self.matrix.resize((len(self.words), self.width), refcheck=False)
        if self.undecodable:
            self.notes.append(f"{counted(self.undecodable, 'word')} not in UTF-8: U+FFFD instead")
        if self.repeated:
            self.notes.append(f"{counted(self.repeated, 'word')} again: the first vector is kept")
        return WordVectors(tuple(self.words), self.matrix, tuple(self.notes))


def _parsed(line: bytes, width: int) -> tuple[bytes, NDArray[np.float32]] | None:
    """The word of a line and its numbers (width,); None if it has not exactly as many.

    A word may have spaces in it, as some of GloVe's, but does not go on in numbers.
    """
    fields = line.rsplit(None, width)
    if len(fields) != width + 1:
        return None
    word = fields[0].strip()
    try:
        values = [float(each) for each in fields[1:]]
    except ValueError:
        return None
    if len(parts := word.split(None)) > 1 and all(map(_is_number, parts[1:])):
        return None
    with np.errstate(over="ignore"):
        vector = np.array(values, dtype=np.float32)
    return (word, vector) if np.isfinite(vector).all() else None


def _is_number(part: bytes) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True


def _read_text(file: _Readable, start: _Start, table: _Table) -> None:
    lines = wrong = 0
    first_wrong = (0, 0)  # line and number of fields
    at = 0 if start.count is None else 1
    for line in iter(lambda: file.readline(_LINE_BYTES), b""):
        at += 1
        if line.isspace():
            continue
        lines += 1
        parsed = _parsed(line, start.width)
        if parsed is None:
            wrong += 1
            first_wrong = first_wrong if wrong > 1 else (at, len(line.split()) - 1)
            continue
        table.add(*parsed)
        if table.is_full:
            break
    if wrong > _MAX_WRONG * lines:
        raise DataError(
            f"{start.path}, line {first_wrong[0]}: {counted(first_wrong[1], 'field')} behind the "
            f"word, expected {start.width} numbers; {wrong:,} of {lines:,} lines are wrong, at "
            "most 1 % may be: fetch the file again"
        )
    if wrong:
        table.notes.append(
            f"{counted(wrong, 'line')} without {start.width} numbers left out, "
            f"the first is line {first_wrong[0]}"
        )
    if start.count is not None and not table.is_full and lines < start.count:
        table.notes.append(f"{start.count:,} words announced, {lines:,} are there")


def _read_binary(file: _Readable, start: _Start, table: _Table) -> None:
    size = 4 * start.width
    buffer, at = b"", 0
    for number in range(1, (start.count or 0) + 1):
        while True:
            while buffer[at : at + 1] == b"\n":  # some writers end each vector with it
                at += 1
            space = buffer.find(b" ", at, at + _WORD_BYTES)
            if space >= 0 and len(buffer) >= space + 1 + size:
                break
            if space < 0 and len(buffer) - at >= _WORD_BYTES:
                raise _cut(start, number, "is damaged at")
            more = file.read(_CHUNK_BYTES)
            if not more:
                raise _cut(start, number, "ends within")
            buffer, at = buffer[at:] + more, 0
        vector = np.frombuffer(buffer, dtype="<f4", count=start.width, offset=space + 1)
        if not np.isfinite(vector).all():
            raise _cut(start, number, "is damaged at")
        table.add(buffer[at:space], vector)
        at = space + 1 + size
        if table.is_full:
            return


def _cut(start: _Start, number: int, what: str) -> DataError:
    return DataError(
        f"{start.path} {what} word {number:,} of {start.count:,} (vectors of {start.width} "
        "numbers in the binary format of word2vec); fetch it again"
    )
