"""What backbones of texts need beside weights: how a text is taken apart.

Tokenizers that are made here lie in the cache, by content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regraft.catalogue.speeds import graph_folder
from regraft.errors import BackboneError
from regraft.modality.tokens import (
    TOKENIZER,
    TextTransform,
    in_small_letters,
    wordpiece_from_vocab,
)
from regraft.storage import write_atomic

MOST_TOKENS = 512
"""Texts are cut to as many, also where a network would take more: time grows faster than they."""


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
    if not path.exists():
        write_atomic(path, content)
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
