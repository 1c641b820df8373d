"""Word vectors of GloVe, word2vec or fastText, whose mean over a text are its features."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regraft.backbones.architectures import WordTable
from regraft.backbones.backbone import Backbone, file_digest
from regraft.backbones.sources import Request
from regraft.backbones.speeds import graph_folder
from regraft.backbones.tokenizers import MOST_TOKENS
from regraft.engines.texts import TABLE
from regraft.errors import BackboneError, DataError
from regraft.kinds.texts.tokens import TextTransform, tokenizer_of_words
from regraft.kinds.texts.vectors import read_vectors
from regraft.progress import Progress, note, silent
from regraft.storage.seals import is_whole, write_sealed

MOST_NUMBERS = 30_000_000  # of a table of word vectors: 120 MB, which every model of it holds
_TABLE_FORMAT = 1  # raise when kept tables change meaning


def find(name: str, request: Request) -> Backbone:
    """A backbone of a file of word vectors, whose features are the mean vector of a text's words.

    The file is read once on this machine; its words and vectors are kept in the cache. Of a large
    one the first words are taken, usually the most frequent: as many as have 30 million numbers,
    400,000 at the most.

    Args:
        name: a file of GloVe, word2vec or fastText, see `kinds.texts.vectors`.
        request: who is told of what takes time and of what is left out.

    Raises:
        BackboneError: the file is not there, or is no table of word vectors.
        MissingExtraError: the package `tokenizers` is missing.
        StorageError: the cache cannot be written.
    """
    path, progress = Path(name), request.progress
    if not path.is_file():
        raise BackboneError(
            f"there is no file {path}; give word vectors of GloVe, word2vec or fastText"
        )
    stem = f"vectors-{file_digest(path)[:16]}-v{_TABLE_FORMAT}"
    table, words = (graph_folder() / f"{stem}.{suffix}" for suffix in ("safetensors", "json"))
    if not (is_whole(table) and is_whole(words)):
        note(progress, f"reading the word vectors in {path.name}, once on this machine")
        keep_vectors(path, table, words, progress=progress)
    facts = WordTable().describe(table)
    return Backbone(
        name=path.name.split(".gz")[0].rpartition(".")[0] or path.name,
        architecture=WordTable(),
        weights_at=str(table),
        weights_sha256=file_digest(table),
        origin=f"vectors {path.name}",
        task=facts.task,
        pretrained_on="unknown data",
        licence="unknown",
        parameters=facts.parameters,
        feature_width=facts.feature_width,
        transform=TextTransform(
            tokenizer_at=str(words), tokenizer_sha256=file_digest(words), max_tokens=MOST_TOKENS
        ),
    )


def keep_vectors(
    path: Path,
    table: Path,
    words: Path,
    *,
    most_numbers: int = MOST_NUMBERS,
    progress: Progress = silent,
) -> None:
    """Read a file of word vectors and write its vectors, zeros before them, and its tokenizer.

    Args:
        path: a file of GloVe, word2vec or fastText.
        table: where the vectors go.
        words: where the tokenizer goes.
        most_numbers: that are kept; the first words have them.
        progress: told of what is left out.

    Raises:
        BackboneError: the file is no table of word vectors.
        StorageError: the files cannot be written.
    """
    from safetensors.numpy import save

    try:
        vectors = read_vectors(path, most_numbers=most_numbers)
    except DataError as error:
        raise BackboneError(str(error)) from error
    width = vectors.matrix.shape[1]
    for text in vectors.notes:
        note(progress, f"{path.name}: {text}")
    if (len(vectors.words) + 1) * width > most_numbers:
        note(progress, f"{path.name}: the first {len(vectors.words):,} words are used")
    write_sealed(words, tokenizer_of_words(vectors.words))
    unknown = np.zeros((1, width), np.float32)
    write_sealed(table, save({TABLE: np.concatenate([unknown, vectors.matrix])}))
