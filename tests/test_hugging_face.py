"""hf:NAME and hf:FOLDER: found, licensed, read, trained; and what is wrong with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

import regraft
from regraft.backbones.architectures import Timm
from regraft.backbones.graphs import embedding_graph, stage_count
from regraft.backbones.sources import get_backbone
from regraft.engines.onnx import OnnxEngine
from regraft.errors import BackboneError, UsageError
from regraft.kinds.images.transform import transform_graph
from tests.catalogue_hubs import (
    SQUEEZED,
    folder_into_hugging_face_cache,
    randomised,
    save_in_hub_form,
    transformers_model,
)
from tests.commands import CommandLine

IMAGE = np.random.default_rng(0).integers(0, 256, (80, 110, 3), dtype=np.uint8)
CARD = "license: apache-2.0\ndatasets:\n- imagenet-1k\n- imagenet-21k"
NAME = "someone/tiny-vit"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny vision transformer in the hub's form."""
    return save_in_hub_form(tmp_path / "tiny", transformers_model("ViT"), SQUEEZED, CARD)


def _features(network: Any, backbone: regraft.Backbone) -> np.ndarray:
    """By the library's own classifier without its last layer."""
    pixels = OnnxEngine(transform_graph(backbone.transform).SerializeToString()).run(IMAGE)[0]
    network.classifier = torch.nn.Identity()
    with torch.no_grad():
        return network(torch.from_numpy(pixels)).logits.numpy()[0]


def test_a_folder_in_the_form_of_the_hub_is_a_backbone(folder: Path, own_cache: Path) -> None:
    found = get_backbone(f"hf:{folder}")
    assert (found.name, found.source) == ("tiny", "folder tiny")
    assert found.licence == "apache-2.0"
    assert found.pretrained_on == "ImageNet-21k, then ImageNet-1k"
    assert (found.feature_width, found.transform.image_size_px) == (32, 64)
    assert found.transform.resize == "squash"
    graph = embedding_graph(found)
    assert len(graph.name) < 100
    (features,) = OnnxEngine(graph).run(IMAGE)
    assert np.allclose(features, _features(transformers_model("ViT"), found), atol=1e-5)
    assert stage_count(found) == 3


@pytest.mark.slow
def test_what_the_hub_s_client_has_fetched_is_found(
    folder: Path, hub_home: Path, own_cache: Path
) -> None:
    snapshot = folder_into_hugging_face_cache(hub_home, NAME, folder)
    told: list[str] = []
    found = get_backbone(f"hf:{NAME}", progress=lambda text, *_: told.append(text))
    assert (found.name, found.source) == (f"hf:{NAME}", f"hf:{NAME}")
    assert found.weights_at == str(snapshot / "model.safetensors")
    assert told == []
    assert get_backbone(f"hf:{NAME}@main").weights_sha256 == found.weights_sha256
    with pytest.raises(BackboneError, match="someone/tiny-vit is not on this machine"):
        get_backbone(f"hf:{NAME}@another")
    (features,) = OnnxEngine(embedding_graph(found)).run(IMAGE)
    assert features.shape == (32,)


@pytest.mark.slow
def test_a_run_trains_explains_exports_and_goes_on(
    folder: Path, photo_folder: Path, tmp_path: Path, regraft: CommandLine
) -> None:
    run = tmp_path / "run"
    regraft.done(
        *("fit", photo_folder, "--backbone", f"hf:{folder}", "--out", run, "--budget", "15s"),
        *("--approach", "fine_tune", "--approach", "linear_probe"),
    )
    shutil.rmtree(folder)  # what was saved is enough
    model = json.loads((run / "model" / "model.json").read_text(encoding="utf-8"))
    assert model["backbone"]["architecture"]["family"] == "transformers"
    regraft.done("export", run, tmp_path / "own.onnx")
    explained = regraft("explain", run)
    assert "Traceback" not in explained.err
    assert json.loads((run / "explanations.json").read_text(encoding="utf-8"))["layer"]
    again = get_backbone(str(run))
    assert again.feature_width == 32
    assert stage_count(again) == 3


def test_a_model_of_timm_on_the_hub_is_read_as_one(tmp_path: Path, own_cache: Path) -> None:
    network = randomised(timm.create_model("test_resnet", num_classes=3))
    folder = tmp_path / "theirs"
    folder.mkdir()
    save_file(dict(network.state_dict()), folder / "model.safetensors")
    published = {"input_size": [3, 96, 96], "crop_pct": 1.0, "interpolation": "bilinear"}
    config = {"architecture": "test_resnet", "num_classes": 3, "pretrained_cfg": published}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    found = get_backbone(f"hf:{folder}")
    assert found.architecture == Timm("test_resnet")
    assert found.licence == "not stated"
    assert (found.transform.image_size_px, found.transform.crop_pct) == (96, 1.0)
    assert found.transform.interpolation == "bilinear"
    (features,) = OnnxEngine(embedding_graph(found)).run(IMAGE)
    pixels = OnnxEngine(transform_graph(found.transform).SerializeToString()).run(IMAGE)[0]
    network.reset_classifier(0)
    with torch.no_grad():
        assert np.allclose(features, network(torch.from_numpy(pixels)).numpy()[0], atol=1e-4)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("license: cc-by-nc-4.0", "cc-by-nc-4.0"),
        ("license: other\nlicense_name: their-own", r"other \(their-own\)"),
        ("license: mit\nextra_gated_prompt: accept this", "mit, gated"),
    ],
)
def test_a_licence_that_does_not_allow_every_use_has_to_be_accepted(
    folder: Path, card: str, licence: str
) -> None:
    (folder / "README.md").write_text(f"---\n{card}\n---\n", encoding="utf-8")
    with pytest.raises(BackboneError, match=f"have the licence {licence}, which.*add --accept"):
        get_backbone(f"hf:{folder}")
    assert get_backbone(f"hf:{folder}", accept_licence=True).licence.startswith(card[9:12])


@pytest.mark.parametrize("card", ["", "---\nlicense: [\n---\n", "no front matter"])
def test_a_card_that_states_no_licence_is_said_to(folder: Path, card: str) -> None:
    (folder / "README.md").write_text(card, encoding="utf-8")
    found = get_backbone(f"hf:{folder}")
    assert (found.licence, found.pretrained_on) == ("not stated", "unknown data")


# --- what is wrong


def test_what_cannot_be_fetched_says_which_files_to_bring(hub_home: Path) -> None:
    told: list[str] = []
    with pytest.raises(BackboneError) as caught:
        get_backbone(f"hf:{NAME}", progress=lambda text, *_: told.append(text))
    text = str(caught.value)
    assert text.startswith(f"{NAME} is not on this machine and cannot be fetched from the Hugging")
    assert text.endswith(
        "put config.json, README.md, model.safetensors, and preprocessor_config.json of an image "
        "model, or tokenizer.json, modules.json and 1_Pooling/config.json of a text encoder, of "
        f"{NAME} into a folder and use: --backbone hf:FOLDER"
    )
    assert "\n" not in text
    assert told == [f"asking the Hugging Face hub for the metadata of {NAME}"]


def test_a_gated_repository_says_how_to_get_in(
    hub_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    answer = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co"))

    def refuse(kind: type[Exception]) -> None:
        def download(*_: Any, **__: Any) -> None:
            raise kind("403 Client Error.\n\nCannot access", response=answer)  # type: ignore

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)

    refuse(GatedRepoError)
    with pytest.raises(BackboneError, match=r"is gated: accept its terms on the hub, then run hf"):
        get_backbone(f"hf:{NAME}")
    refuse(RepositoryNotFoundError)
    with pytest.raises(BackboneError, match="there is no such repository, or it is private"):
        get_backbone(f"hf:{NAME}")


def test_weights_that_are_not_in_the_cache_are_asked_for(folder: Path, hub_home: Path) -> None:
    (folder / "model.safetensors").unlink()
    folder_into_hugging_face_cache(hub_home, NAME, folder)
    with pytest.raises(BackboneError) as caught:
        get_backbone(f"hf:{NAME}")
    assert str(caught.value).startswith(
        "the weights of transformers: vit are not on this machine and cannot be fetched from "
        f"{NAME} on the Hugging Face hub ("
    )


def test_without_a_card_the_cache_does_and_the_licence_is_not_stated(
    folder: Path, hub_home: Path
) -> None:
    (folder / "README.md").unlink()
    folder_into_hugging_face_cache(hub_home, NAME, folder)
    assert get_backbone(f"hf:{NAME}").licence == "not stated"


def test_weights_that_are_there_only_in_part_are_told(
    folder: Path, hub_home: Path, own_cache: Path
) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    snapshot = folder_into_hugging_face_cache(hub_home, NAME, folder)
    (snapshot / "model.safetensors").resolve().write_bytes(whole[:-100])
    for name in (f"hf:{NAME}", f"hf:{folder}"):
        weights.write_bytes(whole[:5_000])
        with pytest.raises(BackboneError, match="is damaged or was fetched only in part"):
            get_backbone(name)
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(BackboneError, match=r"only points to the weights; .* git lfs pull"):
        get_backbone(f"hf:{folder}")
    weights.unlink()
    with pytest.raises(BackboneError, match=r"holds no model\.safetensors or .*put the file there"):
        get_backbone(f"hf:{folder}")
    begun = folder / ".cache" / "huggingface" / "download" / "x.incomplete"
    begun.parent.mkdir(parents=True)
    begun.touch()
    with pytest.raises(BackboneError, match=r"only a download that was broken off \(x\.incomp"):
        get_backbone(f"hf:{folder}")
    (folder / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BackboneError, match="holds its weights in several files"):
        get_backbone(f"hf:{folder}")


def test_truncated_state_dicts_are_told(folder: Path, own_cache: Path) -> None:
    network = transformers_model("ViT")
    (folder / "model.safetensors").unlink()
    weights = folder / "pytorch_model.bin"
    torch.save(network.state_dict(), weights)
    weights.write_bytes(weights.read_bytes()[:9_000])
    with pytest.raises(BackboneError, match=r"cannot load .*fetched only in part"):
        embedding_graph(get_backbone(f"hf:{folder}"))
    with pytest.raises(BackboneError, match=r"cannot be read as weights.*fetched as a whole"):
        embedding_graph(get_backbone(f"file:{weights}", architecture="test_resnet"))


def test_damaged_papers_are_told(folder: Path) -> None:
    preprocessor = folder / "preprocessor_config.json"
    preprocessor.unlink()
    with pytest.raises(BackboneError, match="nothing says how its pixels were normalised; put th"):
        get_backbone(f"hf:{folder}")
    found = get_backbone(f"hf:{folder}", normalize="tf")
    assert found.transform.normalisation.mean == (0.5, 0.5, 0.5)
    assert found.transform.image_size_px == 64
    with pytest.raises(UsageError, match="normalize is 'own', expected torch, tf, caffe"):
        get_backbone(f"hf:{folder}", normalize="own")
    config = folder / "config.json"
    for text, expected in (
        ("{", r"config\.json is no JSON"),
        ("[]", "holds list, expected an object"),
        ("{}", "names no model type; expected that of an image model"),
    ):
        config.write_text(text, encoding="utf-8")
        with pytest.raises(BackboneError, match=expected):
            get_backbone(f"hf:{folder}")
    config.unlink()
    with pytest.raises(BackboneError, match=r"cannot be read .*a folder for hf: holds config"):
        get_backbone(f"hf:{folder}")
    with pytest.raises(BackboneError, match="there is no folder a/b/c, and no repository"):
        get_backbone("hf:a/b/c")


@pytest.mark.parametrize(
    ("architecture", "size", "expected"),
    [
        (
            "deit_tiny_patch16_224",
            96,
            r"deit_tiny_patch16_224 cannot take images of 96 px \(.*224.*\); leave --size out, or",
        ),
        ("torchvision:alexnet", 20, r"torchvision:alexnet cannot take images of 20 px \("),
    ],
)
def test_a_size_that_a_network_refuses_is_told_before_its_weights_are_read(
    architecture: str, size: int, expected: str, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.pth"
    torch.save({"weights": torch.zeros(3)}, weights)
    with pytest.raises(BackboneError, match=expected):
        get_backbone(f"file:{weights}", architecture=architecture, image_size_px=size)


def test_sizes_of_the_hub_s_networks_can_be_changed_where_they_are_taken(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match=r"transformers: vit cannot take images of 96 px"):
        get_backbone(f"hf:{folder}", image_size_px=96)
    free = save_in_hub_form(tmp_path / "free", transformers_model("ResNet"), SQUEEZED)
    assert get_backbone(f"hf:{free}", image_size_px=96).transform.image_size_px == 96
    assert get_backbone("efficientnet_lite0", image_size_px=128).transform.image_size_px == 128
    with pytest.raises(UsageError, match="size is 9, expected 16 to 4096 px"):
        get_backbone("efficientnet_lite0", image_size_px=9)


def test_a_transform_of_another_size_is_told(folder: Path, own_cache: Path) -> None:
    from regraft.backbones.backbone import with_transform

    found = with_transform(get_backbone(f"hf:{folder}"), image_size_px=80)
    with pytest.raises(BackboneError, match=r"transformers: vit cannot take images of 80 px \(.*"):
        embedding_graph(found)
