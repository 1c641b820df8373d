"""What backbones of texts need beside weights: how a text is taken apart.

Tokenizers that are made here lie in the cache, by content.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from regraft.backbones.speeds import graph_folder
from regraft.errors import BackboneError
from regraft.kinds.texts.tokens import (
    TOKENIZER,
    TextTransform,
    in_small_letters,
    wordpiece_from_vocab,
)
from regraft.storage.seals import is_whole, write_sealed

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
    if not is_whole(path):
        write_sealed(path, content)
    return TextTransform(tokenizer_at=str(path), tokenizer_sha256=digest, max_tokens=max_tokens)


def encoder_transform(
    tokenizer: Path, *, max_tokens: int, lower_case: bool | None
) -> TextTransform:
    """The transform of a text encoder that was published.

    Args:
        tokenizer: its `tokenizer.json`, used where it is, or its `vocab.txt`.
        max_tokens: the longest text it takes.
        lower_case: whether capitals are made small before it; None if nothing says so.

    Raises:
        BackboneError: the file cannot be read, or is no tokenizer.
        MissingExtraError: the package `tokenizers` is missing.
        StorageError: the cache cannot be written.
    """
    most = min(max_tokens, MOST_TOKENS)
    if tokenizer.name != TOKENIZER:
        made = wordpiece_from_vocab(tokenizer, lower_case=lower_case)
        return kept_tokenizer(made, max_tokens=most)
    try:
        content = tokenizer.read_bytes()
    except OSError as error:
        raise BackboneError(
            f"the tokenizer {tokenizer} cannot be read: {error.strerror}"
        ) from error
    if lower_case and (small := in_small_letters(content.decode("utf-8", "replace"))):
        return kept_tokenizer(small, max_tokens=most)
    return TextTransform(
        tokenizer_at=str(tokenizer.absolute()),
        tokenizer_sha256=hashlib.sha256(content).hexdigest(),
        max_tokens=most,
    )
