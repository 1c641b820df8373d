"""The loop that `embed_speed` compares with: photos to features with PyTorch and timm alone.

What one writes without regraft: a Dataset that opens files with Pillow, timm's own transform, a
DataLoader, the network in eager mode under `inference_mode`, default settings otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regraft.backbones.architectures import image_network
from regraft.backbones.backbone import Backbone, weights_path

if TYPE_CHECKING:
    import torch

BATCH = 32


@dataclass(frozen=True, slots=True)
class Photos:
    """A map-style dataset: pixels float32 (3, s, s) of each path."""

    paths: Sequence[Path]
    transform: Callable[[Image.Image], torch.Tensor]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        with Image.open(self.paths[i]) as picture:
            return self.transform(picture.convert("RGB"))


@dataclass(frozen=True, slots=True)
class PlainTorch:
    """A network without its classifier, and timm's transform for it."""

    network: Any
    transform: Callable[[Image.Image], torch.Tensor]

    @classmethod
    def load(cls, backbone: Backbone) -> PlainTorch:
        """The same weights as regraft's."""
        import timm.data

        architecture = image_network(backbone.architecture)
        network = architecture.load(weights_path(backbone), backbone.layout)
        network.reset_classifier(0)
        data: Any = timm.data  # half typed
        settings = data.resolve_model_data_config(network)
        return cls(network, data.create_transform(**settings, is_training=False))

    def features(self, paths: Sequence[Path], *, workers: int) -> NDArray[np.float32]:
        """Features (n, d) of photos, decoded by `workers` processes; 0 for this one."""
        import torch

        loader: Any = torch.utils.data.DataLoader(
            Photos(paths, self.transform),  # type: ignore[arg-type]
            batch_size=BATCH,
            num_workers=workers,
        )
        with torch.inference_mode():
            return np.concatenate([self.network(batch).numpy() for batch in loader])

    def forward(self, pixels: NDArray[np.float32]) -> None:
        """The network alone, on ready pixels (n, 3, s, s)."""
        import torch

        ready = torch.from_numpy(pixels)
        with torch.inference_mode():
            for start in range(0, len(ready), BATCH):
                self.network(ready[start : start + BATCH])
