"""Weights in the form in which the hubs' own caches hold them, made here: nothing is fetched."""

from __future__ import annotations

import hashlib
import json
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


def transformers_model(kind: str, **settings: Any) -> Any:
    """A tiny image classifier of transformers with random weights, five classes, for 64 pixels."""
    import transformers

    tokens = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": 64,
        "patch_size": 16,
    }
    maps = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
    sizes: dict[str, dict[str, Any]] = {
        "ViT": tokens,
        "DeiT": tokens,
        "Beit": tokens | {"use_mean_pooling": True, "vocab_size": 16},
        "Dinov2": {name: tokens[name] for name in tokens if name != "intermediate_size"},
        "Swin": {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
        "ConvNext": maps,
        "ResNet": maps | {"embedding_size": 8, "layer_type": "basic"},
        "RegNet": maps | {"embedding_size": 8, "groups_width": 8},
        "MobileViT": {
            "hidden_sizes": [16, 24, 32],
            "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 32],
            "num_attention_heads": 2,
            "image_size": 64,
        },
        "CLIP": {"vision_config": tokens, "text_config": text},
    }
    given = sizes[kind] | ({"image_size": 64} if kind == "Swin" else {}) | settings
    config = getattr(transformers, f"{kind}Config")(num_labels=5, **given)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return getattr(transformers, f"{kind}ForImageClassification")(config).eval()


SQUEEZED = {
    "do_resize": True,
    "size": {"height": 64, "width": 64},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
}


def save_in_hub_form(
    folder: Path, network: Any, preprocessor: dict[str, Any] | None = None, card: str = ""
) -> Path:
    """What a repository of the Hugging Face hub holds of an image model, as a folder."""
    network.save_pretrained(folder)
    if preprocessor is not None:
        text = json.dumps(preprocessor)
        (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    if card:
        (folder / "README.md").write_text(f"---\n{card}\n---\n# A model\n", encoding="utf-8")
    return folder


def folder_into_hugging_face_cache(home: Path, repository: str, folder: Path) -> Path:
    """The files of a folder as a snapshot below HF_HOME, as the client lays them down."""
    place = home / "hub" / f"models--{repository.replace('/', '--')}"
    revision = "0" * 40
    snapshot = place / "snapshots" / revision
    for made in (place / "blobs", place / "refs", snapshot):
        made.mkdir(parents=True)
    for file in folder.iterdir():
        blob = place / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(blob)
    (place / "refs" / "main").write_text(revision, encoding="utf-8")
    return snapshot


def into_torch_cache(home: Path, url: str, network: Any) -> Path:
    """A state dict below TORCH_HOME, under the name that the URL ends in."""
    file = home / "hub" / "checkpoints" / url.rpartition("/")[2]
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), file)
    return file
