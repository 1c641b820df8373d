"""Networks that read texts: as ONNX graphs, and as networks that can be trained.

They are text encoders, see `encoders`, or a table of word vectors, whose mean over a text are its
features.

Texts arrive as token numbers. In a graph every token is real. In a training batch texts differ in
length: numbers are padded at the end with -1, vectors with rows of zeros, and a text gives the
same features there as alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.engines.encoders import Encoder
from regraft.engines.networks import Trainee, zero_head
from regraft.engines.torch import Exported, export_graph
from regraft.errors import BackboneError, TrainingError, UsageError
from regraft.onnx_graphs import GraphBuilder, value

if TYPE_CHECKING:
    import torch

TABLE = "words.weight"  # of word vectors, in a file of weights: row 0 is the unknown word
KINDS = ("cnn", "gru")  # of networks on word vectors
_LONGEST = 512  # words that a graph on word vectors takes
_WIDTHS = (2, 3, 4, 5)  # words that a filter sees
_FILTERS = 100  # of each width
_UNITS = 96  # of a GRU in each direction
_DROPOUT = 0.5


def export_mean(table: NDArray[np.float32]) -> Exported:
    """The mean vector of the words of a text: `tokens` int64 (n, t) in, `features` (n, w) out.

    Words that are not known, number 0, have no part in it; a text of nothing else has zeros. The
    network cannot be cut.

    Args:
        table: word vectors (v, w), row 0 all zeros.
    """
    from onnx import TensorProto

    graph = GraphBuilder("mean")
    along = graph.ints(1)
    vectors = graph("Gather", graph.tensor(TABLE, table), "tokens")
    total = graph("ReduceSum", vectors, along, keepdims=0)
    is_known = graph("Greater", "tokens", graph.ints(0))
    known = graph("ReduceSum", graph("Cast", is_known, to=TensorProto.FLOAT), along)
    graph("Div", total, graph("Max", known, graph.floats(1.0)), output="features")
    width = table.shape[1]
    model = graph.model(
        [value("tokens", np.int64, ["n", "t"])], [value("features", np.float32, ["n", width])]
    )
    return Exported(model.SerializeToString(), b"", {TABLE: table})


def export_encoder(encoder: Encoder) -> Exported:
    """A text encoder, ready for ONNX Runtime: `tokens` int64 (n, t) in, `features` (n, d) out.

    All tokens are real: texts of one batch have the same length, 1 to its most tokens. The
    boundaries of the stages graph are float32 (n, t, h): `boundary_1` is the input of the first
    layer, `boundary_2` that of the second, `end` what the last one gives.
    """
    import onnx

    outputs = ["features", *(f"boundary_{i}" for i in range(1, encoder.stages))]
    outputs += ["end"] if encoder.stages else []
    stages = _graph(_reader_type()(encoder, taps=len(outputs) - 1), outputs, encoder.max_tokens)
    extractor = onnx.utils.Extractor(onnx.load_from_string(stages))
    features = extractor.extract_model(["tokens"], ["features"])
    return Exported(
        features.SerializeToString(),
        stages if encoder.stages else b"",
        {name: t.detach().numpy() for name, t in encoder.network.state_dict().items()},
    )


def token_table(encoder: Encoder) -> NDArray[np.float32]:
    """The vectors (v, h) of the tokens that an encoder begins with.

    They can serve as frozen word vectors, see `vectors_trainee`, with the tokenizer of the network.
    """
    network: Any = encoder.network
    table = network.get_input_embeddings().weight.detach().numpy()
    return np.array(table, dtype=np.float32)


def read_table(weights: Path) -> NDArray[np.float32]:
    """The table of word vectors (v, w) in a file of weights.

    Raises:
        BackboneError: there is none in it.
    """
    with _opened_table(weights) as (file, name):
        return np.asarray(file.get_tensor(name), np.float32)


def table_shape(weights: Path) -> tuple[int, int]:
    """(v, w) of the table of word vectors in a file of weights; see `read_table`."""
    with _opened_table(weights) as (file, name):
        rows, width = file.get_slice(name).get_shape()
    return rows, width


@contextmanager
def _opened_table(weights: Path) -> Iterator[tuple[Any, str]]:
    """The table of word vectors in a file of weights, its own or that of a model folder."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="numpy") as file:
            names = [name for name in file.keys() if name.removeprefix("backbone.") == TABLE]  # noqa: SIM118
            if not names:
                raise BackboneError(f"{weights} holds no table of word vectors ({TABLE})")
            yield file, names[0]
    except (OSError, SafetensorError) as error:
        raise BackboneError(f"{weights} cannot be read as word vectors ({error})") from error


@dataclass(frozen=True, slots=True)
class Tokens:
    """An Intake of texts: token numbers (b, t), or the activations (b, t, h) of a stage."""

    vocabulary: int
    max_tokens: int

    def tensor(self, batch: NDArray[Any]) -> torch.Tensor:
        """Token numbers as int64, activations as float32."""
        import torch

        kind = np.int64 if np.issubdtype(batch.dtype, np.integer) else np.float32
        return torch.from_numpy(np.array(batch, dtype=kind))

    def dummies(self, shape: Sequence[int], dtype: np.dtype[Any], n: int) -> NDArray[Any]:
        """Texts without padding, of random tokens or activations."""
        random = np.random.default_rng(0)
        if np.issubdtype(dtype, np.integer):
            return random.integers(0, self.vocabulary, (n, *shape)).astype(dtype)
        return random.normal(size=(n, *shape)).astype(dtype)

    def graph(self, whole: torch.nn.Module) -> bytes:
        """From `tokens` int64 (n, t), all of them real, to `features` float32 (n, d)."""
        return _graph(whole, ["features"], self.max_tokens)


def text_trainee(
    encoder: Encoder,
    *,
    title: str,
    boundary: int,
    first_stages: int | None,
    n_classes: int,
    feature_width: int,
) -> Trainee:
    """A text encoder of which the stages from `boundary` on learn.

    Args:
        encoder: see `load_encoder`.
        title: what it is, for people.
        boundary: stages below, whose outputs are what `body` takes; 0 for token numbers.
        first_stages: with boundary 0, that only so many of the first stages learn; None for all.
        n_classes: k, of the head, which begins at zero.
        feature_width: d.

    Raises:
        TrainingError: the encoder has no such stage.
    """
    if boundary >= max(1, encoder.stages):
        raise TrainingError(f"{title} has {encoder.stages} stages, cannot train {boundary}")
    learning: dict[int, list[Any]] = {}
    for stage, parameters in enumerate(encoder.parts()):
        learns = stage >= boundary and (first_stages is None or stage < first_stages)
        for parameter in parameters:
            parameter.requires_grad_(learns)
        if learns:
            learning[max(1, encoder.stages) - stage] = parameters
    head = zero_head(feature_width, n_classes)
    learning[0] = list(head.parameters())
    return Trainee(
        body=_padded_type()(encoder, boundary),
        head=head,
        whole=_reader_type()(encoder),
        learning=sorted(learning.items()),
        state=encoder.network.state_dict,
        intake=Tokens(encoder.vocabulary, encoder.max_tokens),
        statistics_learn=False,
    )


def vectors_trainee(
    matrix: NDArray[np.float32] | None,
    *,
    vocabulary: int,
    width: int,
    n_classes: int,
    kind: str,
) -> Trainee:
    """A small network on word vectors, from random weights.

    "cnn" takes the maximum over the text of filters that see 2 to 5 words (Kim 2014, EMNLP); "gru"
    that of a recurrent network in both directions (Cho et al. 2014, EMNLP). Word 0 is the unknown
    one. Texts have at least one word and, in the graph, at most 512.

    Args:
        matrix: word vectors (v, w), which stay as they are but for one factor, so that their root
            mean square is one; None for vectors that are learned.
        vocabulary: v.
        width: w.
        n_classes: k.
        kind: "cnn" or "gru".

    Raises:
        UsageError: another kind, or a matrix of another shape.
    """
    import torch

    if kind not in KINDS:
        raise UsageError(f"kind is {kind!r}, expected {' or '.join(KINDS)}")
    if matrix is not None and matrix.shape != (vocabulary, width):
        raise UsageError(
            f"the word vectors have the shape {matrix.shape}, expected {(vocabulary, width)}: one "
            "row for each word"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same random weights in every run
        network = _vectors_type()(vocabulary, width, kind)
        head = torch.nn.Linear(network.feature_width, n_classes)
    if matrix is not None:
        scale = float(np.sqrt(np.mean(np.square(matrix, dtype=np.float64)))) or 1.0
        network.words.weight.data.copy_(torch.from_numpy(np.asarray(matrix / scale, np.float32)))
        network.words.requires_grad_(False)
    learning = [p for p in (*network.parameters(), *head.parameters()) if p.requires_grad]
    return Trainee(
        body=network,
        head=head,
        whole=network.unpadded(),
        learning=[(0, learning)],
        state=network.state_dict,
        intake=Tokens(vocabulary, _LONGEST),
        statistics_learn=False,
    )


def _graph(module: torch.nn.Module, outputs: Sequence[str], max_tokens: int) -> bytes:
    """A module from `tokens` int64 (n, t), 1 to `max_tokens` of them, as ONNX."""
    import torch

    sizes = {0: torch.export.Dim("n", min=1), 1: torch.export.Dim("t", min=1, max=max_tokens)}
    tokens = torch.ones(2, min(8, max_tokens), dtype=torch.long)
    return export_graph(module, {"tokens": tokens}, outputs, sizes)


@cache
def _reader_type() -> Any:
    import torch

    class Reader(torch.nn.Module):
        """Token numbers (n, t), all real, to features, and to the inputs of the first layers."""

        def __init__(self, encoder: Encoder, *, taps: int = 0) -> None:
            super().__init__()
            self.network = encoder.network
            self._encoder, self._taps = encoder, taps

        def forward(self, tokens: torch.Tensor) -> Any:
            between = [self._encoder.embed(tokens, None)]
            between += self._encoder.run(between[0], None)
            features = self._encoder.pool(between[-1], None)
            return (features, *between[: self._taps]) if self._taps else features

    return Reader


@cache
def _padded_type() -> Any:
    import torch

    class Padded(torch.nn.Module):
        """What is stored of a batch, padded at the end, to features: the stages from one on."""

        def __init__(self, encoder: Encoder, boundary: int) -> None:
            super().__init__()
            self.network = encoder.network
            self._encoder, self._boundary = encoder, boundary

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mask = x >= 0 if x.ndim == 2 else (x != 0).any(dim=2)
            x, mask = _trimmed(x, mask)
            if not self._boundary:
                x = self._encoder.embed(x.clamp(min=0), mask)
            for last in self._encoder.run(x, mask, first_layer=max(0, self._boundary - 1)):
                x = last
            return self._encoder.pool(x, mask)

    return Padded


def _trimmed(x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Without the places that are padding in the whole batch."""
    longest = max(1, int(mask.sum(dim=1).max()))
    return x[:, :longest], mask[:, :longest]


@cache
def _vectors_type() -> Any:
    import torch
    from torch import nn

    class Vectors(nn.Module):
        """Word numbers (n, t), padded with -1, to features (n, d)."""

        def __init__(self, vocabulary: int, width: int, kind: str) -> None:
            super().__init__()
            self.words = nn.Embedding(vocabulary, width)
            self.dropout = nn.Dropout(_DROPOUT)
            if kind == "cnn":
                # Behind each text there is a place where a filter sees padding alone, so that
                # more padding changes no maximum; and texts may be shorter than filters.
                self.filters = nn.ModuleList(
                    nn.Conv1d(width, _FILTERS, seen, padding=seen) for seen in _WIDTHS
                )
            else:
                self.gru = nn.GRU(width, _UNITS, batch_first=True, bidirectional=True)
            self.feature_width = _FILTERS * len(_WIDTHS) if kind == "cnn" else 2 * _UNITS
            self._read = self._filtered if kind == "cnn" else self._recurrent

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            tokens, mask = _trimmed(tokens, tokens >= 0)
            x = self.words(tokens.clamp(min=0)) * mask[..., None]
            return self.dropout(self._read(self.dropout(x), mask))  # type: ignore[no-any-return]

        def unpadded(self) -> nn.Module:
            """The same for texts without padding."""
            return _Unpadded(self)

        def _filtered(self, x: torch.Tensor, _mask: torch.Tensor | None) -> torch.Tensor:
            x = x.transpose(1, 2)  # (n, w, t)
            return torch.cat([f(x).amax(dim=2) for f in self.filters], dim=1).relu()

        def _recurrent(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
            if mask is None:
                return self.gru(x)[0].amax(dim=1)  # type: ignore[no-any-return]
            lengths = mask.sum(dim=1).clamp(min=1).cpu()
            packed = nn.utils.rnn.pack_padded_sequence(
                x, lengths, batch_first=True, enforce_sorted=False
            )
            found, _ = nn.utils.rnn.pad_packed_sequence(
                self.gru(packed)[0], batch_first=True, padding_value=-torch.inf
            )
            return found.amax(dim=1)

    class _Unpadded(nn.Module):
        def __init__(self, network: Vectors) -> None:
            super().__init__()
            self.network = network

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.network._read(self.network.words(tokens), None)  # noqa: SLF001

    return Vectors
