"""Small networks that need no downloads: random weights of timm's test architectures."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from regraft.backbones.architectures import Timm
from regraft.backbones.backbone import Backbone
from regraft.kinds.images.transform import NORMALISATIONS, ImageTransform

ARCHITECTURE = "test_resnet"
STAGES = 5  # its stem counts as one
WIDTH = 96
SIZE = 32


def write_weights(path: Path, architecture: str = ARCHITECTURE) -> Path:
    """A state-dict file with random weights and statistics, always the same."""
    import timm

    with torch.random.fork_rng():
        torch.manual_seed(7)
        network: Any = timm.create_model(architecture, pretrained=False)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    torch.save(network.state_dict(), path)
    return path


def tiny_backbone(folder: Path) -> Backbone:
    """A backbone whose package is written into `folder`, which has to be on `sys.path`."""
    package = folder / "regraft_tiny_backbone"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    weights = write_weights(package / "weights.pth")
    return Backbone(
        name="tiny",
        architecture=Timm(ARCHITECTURE),
        package=package.name,
        weights_file=weights.name,
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        task="image classification",
        pretrained_on="nothing",
        licence="Apache-2.0",
        parameters=469_688,
        feature_width=WIDTH,
        transform=ImageTransform(image_size_px=SIZE, normalisation=NORMALISATIONS["torch"]),
    )
