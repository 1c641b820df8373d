"""Weights in the form in which the hubs' own caches hold them, made here: nothing is fetched."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file


def randomised(network: Any, seed: int = 7) -> Any:
    """The network with random weights and statistics, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in network.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def into_hugging_face_cache(home: Path, repository: str, network: Any) -> Path:
    """`model.safetensors` of a repository below HF_HOME, as the client lays it down."""
    folder = home / "hub" / f"models--{repository.replace('/', '--')}"
    staged = folder / "staged"
    staged.parent.mkdir(parents=True)
    tensors = {name: t.contiguous().clone() for name, t in network.state_dict().items()}
    save_file(tensors, staged)
    digest = hashlib.sha256(staged.read_bytes()).hexdigest()
    revision = "0" * 40
    blob, snapshot = folder / "blobs" / digest, folder / "snapshots" / revision
    blob.parent.mkdir()
    snapshot.mkdir(parents=True)
    staged.rename(blob)
    (snapshot / "model.safetensors").symlink_to(blob)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(revision, encoding="utf-8")
    return blob


def into_torch_cache(home: Path, url: str, network: Any) -> Path:
    """A state dict below TORCH_HOME, under the name that the URL ends in."""
    file = home / "hub" / "checkpoints" / url.rpartition("/")[2]
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), file)
    return file
