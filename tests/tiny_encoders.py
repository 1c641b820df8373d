"""Small text encoders that need no downloads: random weights in the format of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from regraft.backbones.architectures import SentenceEncoder, WeightsLayout
from regraft.engines.encoders import Encoder, describe_encoder

WIDTH = 32
LAYERS = 2
MAX_TOKENS = 40
PIECES = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *"abcdefghijklmnopqrstuvwxyz0123456789.,",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
    *("lovely", "delicious", "friendly", "warm", "perfect", "wonderful", "fresh", "kind"),
    *("generous", "happy", "cold", "rude", "stale", "slow", "dirty", "awful", "bland", "broken"),
    *("expensive", "noisy", "the", "meal", "table", "was", "served", "by", "our", "waiter", "town"),
    *("and", "so"),
)
VOCABULARY = len(PIECES)

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_TOKENS,
}
_BEHIND_PADDING = _COMMON | {"max_position_embeddings": MAX_TOKENS + 2, "pad_token_id": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    "albert": _COMMON | {"embedding_size": 16},
    "bert": _COMMON,
    "camembert": _BEHIND_PADDING,
    "deberta-v2": _COMMON
    | {
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "distilbert": {
        "vocab_size": VOCABULARY,
        "dim": WIDTH,
        "n_layers": LAYERS,
        "n_heads": 4,
        "hidden_dim": 64,
        "max_position_embeddings": MAX_TOKENS,
    },
    "electra": _COMMON | {"embedding_size": 16},
    "mpnet": _BEHIND_PADDING,
    "roberta": _BEHIND_PADDING,
    "xlm-roberta": _BEHIND_PADDING,
}


def write_encoder(
    folder: Path,
    family: str = "bert",
    *,
    pooling: str | None = None,
    normalised: bool = False,
    **settings: Any,
) -> Path:
    """A folder with random weights, always the same, and a vocabulary of a hundred word pieces.

    With `pooling` it is in the form of sentence-transformers.
    """
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(family, **(FAMILIES[family] | settings))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = AutoModel.from_config(config)
        for parameter in network.parameters():  # biases and scales begin at 0 and 1
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    network.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    if pooling is not None:
        modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
        modules += [("2_Normalize", "Normalize")] if normalised else []
        listed = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ]
        (folder / "modules.json").write_text(json.dumps(listed))
        (folder / "1_Pooling").mkdir(exist_ok=True)
        settings = {
            "word_embedding_dimension": WIDTH,
            **{
                f"pooling_mode_{mode}": mode.startswith(pooling)
                for mode in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
                if mode != "mean_sqrt_len_tokens" or pooling == "mean_sqrt"
            },
        }
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    return folder


def architecture_and_weights(folder: Path) -> tuple[SentenceEncoder, Path]:
    """What an encoder is loaded from; its file is in the library's form."""
    found = describe_encoder(folder)
    (weights,) = (
        found.network / name
        for name in ("model.safetensors", "pytorch_model.bin")
        if (found.network / name).is_file()
    )
    return SentenceEncoder(found.config, found.pooling, found.is_normalised), weights


def loaded(folder: Path) -> Encoder:
    """The encoder in a folder as it was published."""
    architecture, weights = architecture_and_weights(folder)
    return architecture.load(weights, WeightsLayout.PUBLISHED)


def original(folder: Path) -> Any:
    """The network as transformers runs it."""
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder, local_files_only=True).eval()
