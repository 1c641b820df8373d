"""What backbones of texts need beside weights: how a text is taken apart; and word vectors as such.

Tokenizers that are made here lie in the cache, by content, and tables of word vectors beside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from regraft.backbones.backbone import Backbone, file_digest
from regraft.backbones.built_in import BACKBONES, DEFAULT_BACKBONE
from regraft.backbones.speeds import graph_folder
from regraft.engines.texts import TABLE, VECTORS, describe
from regraft.errors import BackboneError, DataError
from regraft.modality.tokens import (
    TOKENIZER,
    TextTransform,
    in_small_letters,
    tokenizer_of_words,
    wordpiece_from_vocab,
)
from regraft.modality.vectors import read_vectors
from regraft.progress import Progress, note, silent
from regraft.seals import is_whole, write_sealed

MOST_TOKENS = 512
"""Texts are cut to as many, also where a network would take more: time grows faster than they."""
_MOST_NUMBERS = 30_000_000  # of a table of word vectors: 120 MB, which every model of it holds
_TABLE_FORMAT = 1  # raise when kept tables change meaning


def kept_tokenizer(made: str, *, max_tokens: int) -> TextTransform:
    """The transform of a tokenizer that was made, which is kept in the cache.

    Args:
        made: the JSON of the tokenizer.
        max_tokens: see `TextTransform`.

    Raises:
        StorageError: the cache cannot be written.
    """
    content = made.encode()
    digest = hashlib.sha256(content).hexdigest()
    path = graph_folder() / f"tokenizer-{digest[:16]}.json"
    if not is_whole(path):
        write_sealed(path, content)
    return TextTransform(tokenizer_at=str(path), tokenizer_sha256=digest, max_tokens=max_tokens)


def encoder_transform(described: Mapping[str, Any], files: Mapping[str, Path]) -> TextTransform:
    """The transform of a text encoder that was published.

    Args:
        described: `max_tokens`, the longest text it takes, and `lower_case`, whether capitals are
            made small before it; None if nothing says so.
        files: its `tokenizer.json`, used where it is, or its `vocab.txt`, by name.

    Raises:
        BackboneError: the file cannot be read, or is no tokenizer.
        MissingExtraError: the package `tokenizers` is missing.
        StorageError: the cache cannot be written.
    """
    most = min(int(described["max_tokens"]), MOST_TOKENS)
    lower_case = described["lower_case"]
    path = files.get(TOKENIZER)
    if path is None:
        (vocabulary,) = files.values()
        return kept_tokenizer(
            wordpiece_from_vocab(vocabulary, lower_case=lower_case), max_tokens=most
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BackboneError(f"the tokenizer {path} cannot be read: {error.strerror}") from error
    if lower_case and (small := in_small_letters(content.decode("utf-8", "replace"))):
        return kept_tokenizer(small, max_tokens=most)
    return TextTransform(
        tokenizer_at=str(path.absolute()),
        tokenizer_sha256=hashlib.sha256(content).hexdigest(),
        max_tokens=most,
    )


def vectors_backbone(path: Path, *, progress: Progress = silent) -> Backbone:
    """A backbone of a file of word vectors, whose features are the mean vector of a text's words.

    The file is read once on this machine; its words and vectors are kept in the cache. Of a large
    one the first words are taken, usually the most frequent: as many as have 30 million numbers,
    400,000 at the most.

    Args:
        path: a file of GloVe, word2vec or fastText, see `modality.vectors`.
        progress: told of what takes time and of what is left out.

    Raises:
        BackboneError: the file is not there, or is no table of word vectors.
        MissingExtraError: the package `tokenizers` is missing.
        StorageError: the cache cannot be written.
    """
    if not path.is_file():
        raise BackboneError(
            f"there is no file {path}; give word vectors of GloVe, word2vec or fastText"
        )
    stem = f"vectors-{file_digest(path)[:16]}-v{_TABLE_FORMAT}"
    table, words = (graph_folder() / f"{stem}.{suffix}" for suffix in ("safetensors", "json"))
    if not (is_whole(table) and is_whole(words)):
        note(progress, f"reading the word vectors in {path.name}, once on this machine")
        _keep_vectors(path, table, words, progress)
    parameters, width = describe(VECTORS, table)
    return replace(
        BACKBONES[DEFAULT_BACKBONE],
        name=path.name.split(".gz")[0].rpartition(".")[0] or path.name,
        architecture=VECTORS,
        package="",
        weights_file="",
        weights_at=str(table),
        weights_sha256=file_digest(table),
        origin=f"vectors {path.name}",
        extra="",
        task="word vectors",
        pretrained_on="unknown data",
        licence="unknown",
        parameters=parameters,
        feature_width=width,
        transform=TextTransform(
            tokenizer_at=str(words), tokenizer_sha256=file_digest(words), max_tokens=MOST_TOKENS
        ),
        match="name",
    )


def _keep_vectors(path: Path, table: Path, words: Path, progress: Progress) -> None:
    """Read a file of word vectors and write its vectors, zeros before them, and its tokenizer."""
    from safetensors.numpy import save

    try:
        found = read_vectors(path, most_numbers=_MOST_NUMBERS)
    except DataError as error:
        raise BackboneError(str(error)) from error
    width = found.matrix.shape[1]
    for text in found.notes:
        note(progress, f"{path.name}: {text}")
    if (len(found.words) + 1) * width > _MOST_NUMBERS:
        note(progress, f"{path.name}: the first {len(found.words):,} words are used")
    write_sealed(words, tokenizer_of_words(found.words))
    unknown = np.zeros((1, width), np.float32)
    write_sealed(table, save({TABLE: np.concatenate([unknown, found.matrix])}))
