"""From a text to what a network takes: UTF-8 uint8 (b,) in, token numbers int64 (t,) out.

The work is done by the `tokenizers` library, from one JSON file that a backbone brings. For
networks without one, `word_tokenizer` makes that file from the user's own texts, and
`tokenizer_of_words` from the words of a table of word vectors.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from regraft.errors import BackboneError, MissingExtraError, UsageError
from regraft.kinds.base import Transform
from regraft.kinds.texts.decoding import decode, text_of
from regraft.onnx_graphs import GraphBuilder, value

if TYPE_CHECKING:
    import onnx
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"
_MOST_TOKENS = 32_768
_CHARACTERS_A_TOKEN = 8  # of a text, looked at first; four times as many until it is enough
_CASED_FROM = 0.01  # share of words with capitals from which a vocabulary tells case apart


# ---- The transform ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTransform:
    """From a normalised text of any length to the token numbers that a backbone takes.

    Safe to use from several threads at once.

    Args:
        tokenizer_at: path of a `tokenizer.json` of the `tokenizers` library, or
            "package:NAME/PATH" for one in an installed package.
        tokenizer_sha256: SHA-256 of that file in hexadecimal digits.
        max_tokens: texts are cut to as many, special tokens included.

    Raises:
        UsageError: one or more values are outside their range; all are named.
    """

    modality: ClassVar[str] = "text"

    tokenizer_at: str
    tokenizer_sha256: str
    max_tokens: int

    def __post_init__(self) -> None:
        _raise_all(_problems({field.name: getattr(self, field.name) for field in fields(self)}))

    @property
    def views(self) -> tuple[str, ...]:
        """The variants of one text: there is no other than itself."""
        return ("plain",)

    def prepare(self, array: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Token numbers int64 (t,), 1 to `max_tokens`, of a text as `text.decode` returns it.

        Special tokens are added as the tokenizer's post-processor does. Where nothing is left
        of a text, there is the token for the unknown.

        Raises:
            BackboneError: the tokenizer is missing or altered, or its special tokens alone are
                more than `max_tokens`.
            MissingExtraError: the package `tokenizers` is missing.
        """
        tokenizer = _loaded(self.tokenizer_at, self.tokenizer_sha256, self.max_tokens)
        text = text_of(array)
        characters = _CHARACTERS_A_TOKEN * self.max_tokens
        encoding = tokenizer.encode(_beginning(text, characters))
        while characters < len(text) and not encoding.overflowing:
            characters *= 4
            encoding = tokenizer.encode(_beginning(text, characters))
        return np.array(encoding.ids or [_unknown(tokenizer)], dtype=np.int64)

    def count_split_words(self, data: bytes) -> tuple[int, int]:
        """How many words of a text fall apart into several tokens or are unknown, and of how many.

        Words are what the tokenizer takes for one and has a letter; the part that is read counts.

        Raises:
            UnreadableInputError: `data` is no text.
            BackboneError, MissingExtraError: see `prepare`.
        """
        tokenizer = _loaded(self.tokenizer_at, self.tokenizer_sha256, self.max_tokens)
        text = text_of(decode(data))
        found = tokenizer.encode(_beginning(text, _CHARACTERS_A_TOKEN * self.max_tokens))
        unknown = _unknown(tokenizer)
        words: dict[int, tuple[int, int, bool]] = {}  # from and to in the text, fallen apart
        for word, token, (start, end) in zip(found.word_ids, found.ids, found.offsets, strict=True):
            if word is None:
                continue
            first, _, _ = words.get(word, (start, 0, False))
            words[word] = (first, end, word in words or token == unknown)
        apart = [
            is_apart
            for start, end, is_apart in words.values()
            if any(character.isalpha() for character in text[start:end])
        ]
        return sum(apart), len(apart)

    @property
    def unknown_token(self) -> int:
        """The number that stands for a text of which nothing is left."""
        return _unknown(_loaded(self.tokenizer_at, self.tokenizer_sha256, self.max_tokens))

    @property
    def positions(self) -> int:
        """Tokens."""
        return self.max_tokens

    @property
    def is_batchable(self) -> bool:
        """Texts of one length are a batch: nothing lies between tokens and network."""
        return True

    def facts(self) -> dict[str, object]:
        """The length of the longest text, as its input size; nothing of pixels applies."""
        return {
            "input_size": [self.max_tokens],
            "mean": [],
            "std": [],
            "channel_order": "",
            "pixel_max": None,
            "interpolation": "",
            "crop_pct": None,
        }

    def files(self) -> Mapping[str, Path]:
        """The file of the tokenizer."""
        return {TOKENIZER: _located(self.tokenizer_at)}

    def plain(self, *, precropped: bool = False) -> TextTransform:  # noqa: ARG002 - of a protocol
        """The same: there are no other views."""
        return self

    def read(self, data: bytes, *, most: int | None = None) -> NDArray[np.int64]:
        """Token numbers int64 (t,) of the bytes of a text of at most `most` characters.

        See `text.decode` and `prepare`.
        """
        return self.prepare(decode(data, max_characters=most))

    def vary(self, data: bytes, seed: int) -> NDArray[np.int64]:  # noqa: ARG002 - of a protocol
        """As `read`: words that are left out or exchanged may turn what a text says around."""
        return self.read(data)

    def graph(self) -> onnx.ModelProto:
        """From `tokens` int64 (t,) to `batch` (1, t)."""
        return _in_front("batch", [1, None], "Unsqueeze")

    def stored_graph(self) -> onnx.ModelProto:
        """From `tokens` int64 (t,) to the same, called `stored`."""
        return _in_front("stored", [None], "Identity")

    def fit_shape(self, array: NDArray[Any]) -> NDArray[Any]:
        """Token numbers (t,) filled up with -1, vectors (t, h) with rows of zeros."""
        shape = (self.max_tokens, *array.shape[1:])
        full = np.full(shape, -1 if array.ndim == 1 else 0, dtype=array.dtype)
        full[: len(array)] = array
        return full

    def sample(self) -> bytes:
        """A text of about as many tokens as are read."""
        return b" ".join([b"the", b"room", b"of", b"toys"] * (self.max_tokens // 4 + 1))

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; `from_dict` reads them back, given the files."""
        values = {"modality": self.modality, **asdict(self)}
        del values["tokenizer_at"]  # means nothing on another machine
        return values

    @classmethod
    def from_dict(
        cls, values: Mapping[str, object], files: Mapping[str, Path] | None = None, /
    ) -> TextTransform:
        """The inverse of `to_dict`.

        Args:
            values: what `to_dict` returned.
            files: where the file of the tokenizer is.

        Raises:
            UsageError: something is missing, unknown or outside its range; all is named.
        """
        at = str((files or {}).get(TOKENIZER, ""))
        known = ["modality", *(field.name for field in fields(cls) if field.name != "tokenizer_at")]
        problems = [f"{name} is not known" for name in values if name not in known]
        problems += [f"{name} is missing" for name in known if name not in values]
        if values.get("modality", cls.modality) != cls.modality:
            problems.append(f"modality is {values['modality']!r}, expected {cls.modality!r}")
        _raise_all(problems + _problems({**values, "tokenizer_at": at}))
        arguments: dict[str, Any] = {name: values[name] for name in known[1:]}
        return cls(tokenizer_at=at, **arguments)


def as_of_texts(transform: Transform) -> TextTransform | None:
    """The transform, if it is one of texts."""
    return transform if isinstance(transform, TextTransform) else None


def _in_front(output: str, shape: list[int | None], operator: str) -> onnx.ModelProto:
    """A graph of one operator from `tokens` int64 (t,)."""
    graph = GraphBuilder("transform")
    axes = [graph.ints(0)] if operator == "Unsqueeze" else []
    graph(operator, "tokens", *axes, output=output)
    return graph.model([value("tokens", np.int64, ["t"])], [value(output, np.int64, shape)])


def _located(at: str) -> Path:
    """The file that `tokenizer_at` names; it need not be there."""
    scheme, _, rest = at.partition(":")
    if scheme != "package":
        return Path(at)
    package, _, inside = rest.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return Path(rest)
    return Path(spec.origin).parent / inside


def _problems(values: Mapping[str, object]) -> list[str]:
    """What is wrong with the values that are there; absent ones are not judged."""
    problems = []
    at = values.get("tokenizer_at", "x")
    if not (isinstance(at, str) and at):
        problems.append(f"tokenizer_at is {at!r}, expected the path of a tokenizer.json")
    digest = values.get("tokenizer_sha256", "0" * 64)
    if not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
        problems.append(f"tokenizer_sha256 is {digest!r}, expected 64 hexadecimal digits")
    most = values.get("max_tokens", 1)
    if not (isinstance(most, int) and most is not True and 1 <= most <= _MOST_TOKENS):
        problems.append(f"max_tokens is {most!r}, expected a whole number from 1 to {_MOST_TOKENS}")
    return problems


def _raise_all(problems: list[str]) -> None:
    if problems:
        raise UsageError("text transform: " + "; ".join(problems))


def _beginning(text: str, characters: int) -> str:
    """At most so many characters, cut between words where there are any.

    Tokenizers take time and memory for all of a text, of which only the first tokens are kept.
    """
    if len(text) <= characters:
        return text
    half = characters // 2
    cut = max(text.rfind(" ", half, characters), text.rfind("\n", half, characters))
    return text[: cut if cut > 0 else characters]


def _unknown(tokenizer: Tokenizer) -> int:
    name = getattr(tokenizer.model, "unk_token", None)
    number = tokenizer.token_to_id(name) if name else None
    return number or 0


@functools.lru_cache(maxsize=16)
def _loaded(at: str, sha256: str, max_tokens: int) -> Tokenizer:
    """The tokenizer of a file, cutting at `max_tokens` and padding nothing."""
    try:
        content = _located(at).read_bytes()
    except OSError as error:
        raise BackboneError(
            f"the tokenizer {at} cannot be read ({error.strerror}); put it back or name another"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise BackboneError(
            f"the tokenizer {at} was altered: its SHA-256 is {found[:12]}..., expected "
            f"{sha256[:12]}...; fetch it again"
        )
    tokenizer = tokenizer_from_json(content.decode("utf-8", "replace"))
    special = tokenizer.num_special_tokens_to_add(False)
    if max_tokens <= special:
        raise BackboneError(
            f"max_tokens is {max_tokens}, but the tokenizer {at} adds {special} special tokens "
            f"to every text; expected at least {special + 1}"
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


# ---- Making tokenizers --------------------------------------------------------------------


def tokenizer_from_json(text: str) -> Tokenizer:
    """The tokenizer that a `tokenizer.json` describes.

    Raises:
        BackboneError: it describes none.
        MissingExtraError: the package `tokenizers` is missing.
    """
    tokenizers = _library()
    try:
        tokenizer: Tokenizer = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises plain Exception
        reason = " ".join(str(error).split())[:120]
        raise BackboneError(
            f"not a tokenizer ({reason}); expected the tokenizer.json of the tokenizers library"
        ) from error
    return tokenizer


def in_small_letters(text: str) -> str:
    """The JSON of a tokenizer with small letters before all else; "" if it makes them itself.

    Some encoders of sentence-transformers make letters small and do not say so in the tokenizer.

    Raises:
        BackboneError: the text is no tokenizer.
        MissingExtraError: the package `tokenizers` is missing.
    """
    tokenizer = tokenizer_from_json(text)
    given = tokenizer.normalizer
    if given is not None and given.normalize_str("A") == "a":
        return ""
    lowercase = _library().normalizers.Lowercase()
    sequence = _library().normalizers.Sequence
    tokenizer.normalizer = lowercase if given is None else sequence([lowercase, given])
    return str(tokenizer.to_str())


def wordpiece_from_vocab(vocab: str | Path, *, lower_case: bool | None = None) -> str:
    """The JSON of BERT's tokenizer for a folder that has nothing but its `vocab.txt`.

    Args:
        vocab: a file with one word piece a line, [UNK], [CLS] and [SEP] among them; the number
            of a piece is that of its line, from 0.
        lower_case: whether capitals and accents are dropped, as in "uncased" networks; None does
            so unless more than one piece in a hundred has a capital.

    Raises:
        BackboneError: the file cannot be read, or lacks one of the special tokens.
        MissingExtraError: the package `tokenizers` is missing.
    """
    tokenizers = _library()
    try:
        lines = Path(vocab).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise BackboneError(f"the vocabulary {vocab} cannot be read: {error}") from error
    numbers = {piece.removesuffix("\r"): number for number, piece in enumerate(lines) if piece}
    if missing := [name for name in ("[UNK]", "[CLS]", "[SEP]") if name not in numbers]:
        raise BackboneError(
            f"{vocab} lacks {', '.join(missing)}; expected the vocab.txt of a BERT network"
        )
    if lower_case is None:
        words = [piece for piece in numbers if not re.fullmatch(r"\[.*\]", piece)]
        lower_case = not _has_capitals(words)
    model = tokenizers.models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100)  # noqa: S106
    tokenizer = tokenizers.Tokenizer(model)
    special = [name for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if name in numbers]
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lower_case)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(
        ("[SEP]", numbers["[SEP]"]), ("[CLS]", numbers["[CLS]"])
    )
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    return str(tokenizer.to_str())


def word_tokenizer(
    texts: Iterable[str], *, most: int = 30_000, at_least: int = 2, max_tokens: int
) -> str:
    """The JSON of a tokenizer by words, made from texts: 0 is what it does not know.

    The same texts give the same words, most frequent first, ties in the order of their
    characters. What a word is: see `tokenizer_of_words`; digits become "0" and capitals small.

    Args:
        texts: what the words are taken from.
        most: words at the most.
        at_least: times a word has to occur.
        max_tokens: only so many words from the start of each text are counted, and the
            tokenizer cuts texts to as many.

    Raises:
        MissingExtraError: the package `tokenizers` is missing.
    """
    reader = _by_words([])
    counts: Counter[str] = Counter()
    for text in texts:
        beginning = _beginning(text, 2 * _CHARACTERS_A_TOKEN * max_tokens)
        found = reader.pre_tokenizer.pre_tokenize_str(reader.normalizer.normalize_str(beginning))
        counts.update(word for word, _ in itertools.islice(found, max_tokens))
    frequent = sorted((-count, word) for word, count in counts.items() if count >= at_least)
    tokenizer = _by_words([word for _, word in frequent[:most]])
    tokenizer.enable_truncation(max_tokens)
    return str(tokenizer.to_str())


def tokenizer_of_words(words: Sequence[str]) -> str:
    """The JSON of a tokenizer for given words: `words[i]` is number i + 1, 0 is any other.

    A token is a word, also with apostrophes in it (isn't), a number, or a single sign; Chinese
    and Japanese are taken apart into characters. How words are written is told by the given ones:

    - Capitals become small unless more than one in a hundred has one.
    - Digits become "0" unless there are words with other digits; "#" where "##" is a word
      (Google's word2vec).
    - Where "n't" is a word, contractions are taken apart as in the Penn treebank: is n't (GloVe).

    Raises:
        MissingExtraError: the package `tokenizers` is missing.
    """
    return str(_by_words(words).to_str())


def _by_words(words: Sequence[str]) -> Any:
    tokenizers = _library()
    normalizers, regex = tokenizers.normalizers, tokenizers.Regex
    known = {word: number for number, word in reversed(list(enumerate(words, start=1)))}
    unknown = "[UNK]"
    while unknown in known:  # a word of that name is a word
        unknown = f"[{unknown}]"
    steps = [normalizers.Replace("’", "'")]
    if not _has_capitals(words):
        steps.append(normalizers.Lowercase())
    digit = "0"
    if "##" in known:
        digit = "#"
    elif any(re.search(r"[1-9]", word) for word in words):
        digit = ""
    if digit:
        steps.append(normalizers.Replace(regex(r"\p{Nd}"), digit))
    steps.append(normalizers.NFC())  # last, for small letters of some capitals have two parts
    pattern = _PENN_WORDS if "n't" in known else _WORDS
    pattern += rf"|{digit}+" if digit == "#" else r"|\p{N}+"
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({unknown: 0, **known}, unk_token=unknown)
    )
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(
        regex(pattern + r"|[^\s\p{C}]"), "removed", invert=True
    )
    return tokenizer


def _has_capitals(words: Sequence[str]) -> bool:
    return sum(word != word.lower() for word in words) > _CASED_FROM * len(words)


# Oniguruma's regular expressions: letters of scripts that put spaces between words.
_LETTER = r"[\p{L}\p{M}&&[^\p{Han}\p{Hiragana}\p{Katakana}]]"
_WORDS = rf"{_LETTER}+(?:'{_LETTER}+)*"
_PENN_WORDS = (
    rf"{_LETTER}+?(?=(?i:n't)(?!{_LETTER}))|(?i:n't)(?!{_LETTER})"
    rf"|'(?i:s|m|d|ll|re|ve)(?!{_LETTER})|{_LETTER}+"
)


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtraError("reading texts", "text") from error
    return tokenizers
