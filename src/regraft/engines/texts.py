"""Networks that read texts: as ONNX graphs, and as networks that can be trained.

Texts arrive as token numbers. In a graph every token is real. In a training batch texts differ in
length: numbers are padded at the end with -1, vectors with rows of zeros.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regraft.engines.encoders import DescribedEncoder, Encoder, describe_encoder, load_encoder
from regraft.engines.torch import Exported, export_graph

if TYPE_CHECKING:
    import torch


def export_encoder(folder: Path) -> Exported:
    """A text encoder, ready for ONNX Runtime: `tokens` int64 (n, t) in, `features` (n, d) out.

    All tokens are real: texts of one batch have the same length, 1 to its most tokens. The
    boundaries of the stages graph are float32 (n, t, h): `boundary_1` is the input of the first
    layer, `boundary_2` that of the second.

    Raises:
        BackboneError: the folder holds no encoder, one that is not supported, or weights that do
            not fit.
        MissingExtraError: transformers is not installed.
    """
    import onnx

    encoder = load_encoder(folder)
    outputs = ["features", *(f"boundary_{i}" for i in range(1, encoder.stages))]
    stages = _export(encoder, outputs)
    extractor = onnx.utils.Extractor(onnx.load_from_string(stages))
    features = extractor.extract_model(["tokens"], ["features"])
    return Exported(
        features.SerializeToString(),
        stages if encoder.stages else b"",
        {name: t.detach().numpy() for name, t in encoder.network.state_dict().items()},
    )


def _export(encoder: Encoder, outputs: list[str]) -> bytes:
    """The graph from `tokens` to features and, where more outputs are named, boundaries."""
    import torch

    class Tapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = encoder.network

        def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
            taps = [encoder.embed(tokens, None)]
            taps += encoder.run(taps[0], None)
            features = encoder.pool(taps.pop(), None)
            return (features, *taps[: len(outputs) - 1])

    length = min(8, encoder.max_tokens)
    sizes = {
        0: torch.export.Dim("n", min=1),
        1: torch.export.Dim("t", min=1, max=encoder.max_tokens),
    }
    tokens = torch.ones(2, length, dtype=torch.long)
    return export_graph(Tapped(), {"tokens": tokens}, outputs, sizes)


__all__ = ["DescribedEncoder", "describe_encoder", "export_encoder"]
