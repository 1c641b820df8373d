"""Architectures as data: written and read, in the old form too, and what they build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regraft.backbones.architectures import (
    Architecture,
    FromScratch,
    OnnxFile,
    OwnModule,
    SentenceEncoder,
    Timm,
    Torchvision,
    Transformers,
    WordTable,
    architecture_json,
    image_network,
    read_architecture,
)
from regraft.backbones.built_in import list_backbones
from regraft.errors import BackboneError

BERT = {"model_type": "bert", "hidden_size": 32}
OLD_FORMS: dict[str, Architecture] = {
    "tf_efficientnet_lite0": Timm("tf_efficientnet_lite0"),
    "resnet18.a1_in1k": Timm("resnet18.a1_in1k"),
    "torchvision:resnet50": Torchvision("resnet50"),
    'transformers:{"model_type":"vit","num_labels":3}': Transformers(
        {"model_type": "vit", "num_labels": 3}
    ),
    'encoder:{"config":{"hidden_size":32},"is_normalised":true,"model_type":"bert",'
    '"pooling":"cls"}': SentenceEncoder(BERT, "cls", is_normalised=True),
    "module:net.py:make": OwnModule("net.py:make"),
    "module:Sequential#0123456789ab": OwnModule("Sequential", "0123456789ab"),
    "vectors": WordTable(),
    "onnx": OnnxFile(),
    "small_resnet": FromScratch("small_resnet"),
    "small_gru": FromScratch("small_gru"),
    "tfidf": FromScratch("tfidf"),
    "networks/own.py:make": FromScratch("networks/own.py:make"),
}
"""What earlier versions wrote into models, and what it is."""


@pytest.mark.parametrize("saved", OLD_FORMS)
def test_every_family_is_read_from_its_json_and_from_the_string_of_earlier_versions(
    saved: str,
) -> None:
    expected = OLD_FORMS[saved]
    assert read_architecture(saved) == expected
    written = json.loads(json.dumps(architecture_json(expected)))
    assert read_architecture(written) == expected
    assert written["family"]
    assert expected.title


def test_the_table_above_has_every_family() -> None:
    families = {architecture_json(architecture)["family"] for architecture in OLD_FORMS.values()}
    assert len(families) == 8
    built_in = [backbone.architecture for backbone in list_backbones()]
    assert [read_architecture(architecture_json(a)) for a in built_in] == built_in


@pytest.mark.parametrize(
    "saved", [None, 7, [], {}, {"family": "magic"}, {"family": "timm"}, {"family": []}]
)
def test_what_is_no_architecture_is_refused(saved: object) -> None:
    with pytest.raises(BackboneError, match="is no architecture"):
        read_architecture(saved)


@pytest.mark.parametrize("architecture", [OnnxFile(), WordTable(), FromScratch("tfidf")])
def test_what_torch_cannot_build_is_refused(architecture: Architecture, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=f"{architecture.title} is no image network"):
        image_network(architecture)
    assert image_network(Timm("resnet18")) == Timm("resnet18")


def test_a_network_from_scratch_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="is of the network small_cnn, which cannot be gone on"):
        FromScratch("small_cnn").describe(tmp_path / "weights.safetensors")
