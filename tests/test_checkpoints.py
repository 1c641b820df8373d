"""Backbones from what was trained before: model folders, weights files, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from regraft import FineTune, load, scan
from regraft.backbones.architectures import Timm
from regraft.backbones.backbone import is_available
from regraft.backbones.sources import get_backbone
from regraft.errors import BackboneError
from tests.tiny_networks import ARCHITECTURE, WIDTH, write_weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "mine.pth")


def test_a_weights_file_with_its_architecture_is_a_backbone(weights: Path) -> None:
    found = get_backbone(str(weights), architecture=ARCHITECTURE)
    assert (found.name, found.source) == ("mine", "file mine.pth")
    assert found.feature_width == WIDTH
    assert found.licence == "unknown"
    assert is_available(found)
    assert found.transform.image_size_px == 160  # what timm says of it
    weights.unlink()
    assert not is_available(found)


def test_safetensors_and_state_dicts_load_alike(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    save_file(state, tmp_path / "same.safetensors")
    torch.save({"state_dict": state}, tmp_path / "nested.pt")
    expected = Timm(ARCHITECTURE).load(weights).state_dict()
    for name in ("same.safetensors", "nested.pt"):
        found = Timm(ARCHITECTURE).load(tmp_path / name).state_dict()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_another_or_no_classifier_is_no_obstacle(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    body = {name: t for name, t in state.items() if not name.startswith("fc.")}
    torch.save(body, tmp_path / "body.pt")
    torch.save(body | {"fc.weight": torch.zeros(3, WIDTH)}, tmp_path / "other.pt")
    for name in ("body.pt", "other.pt"):
        found = Timm(ARCHITECTURE).load(tmp_path / name).state_dict()
        assert all(torch.equal(found[key], body[key]) for key in body)


def test_what_does_not_fit_names_the_first_tensor(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    first = next(iter(state))
    state[first] = torch.zeros(1, 2, 3)
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(BackboneError, match=rf"{first} is \(1, 2, 3\), expected \("):
        Timm(ARCHITECTURE).load(tmp_path / "bad.pt")
    with pytest.raises(BackboneError, match=r"do not fit resnet18: .* expected"):
        Timm("resnet18").load(weights)


def test_what_is_no_checkpoint_is_explained(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="add --arch with timm's name"):
        get_backbone(str(weights))
    with pytest.raises(BackboneError, match="timm has no architecture 'resnet999'"):
        get_backbone(str(weights), architecture="resnet999")
    with pytest.raises(BackboneError, match=r"there is no .*/nowhere\.pth"):
        get_backbone(str(tmp_path / "nowhere.pth"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackboneError, match="is no model folder of regraft"):
        get_backbone(str(tmp_path / "empty"))
    (tmp_path / "text.pth").write_text("no weights", encoding="utf-8")
    with pytest.raises(BackboneError, match=r"text\.pth cannot be read as weights"):
        Timm(ARCHITECTURE).load(tmp_path / "text.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BackboneError, match=r"list\.pth holds no state dict"):
        Timm(ARCHITECTURE).load(tmp_path / "list.pth")


@pytest.mark.slow
def test_training_goes_on_from_a_model_folder(
    weights: Path, photo_folder: Path, tmp_path: Path
) -> None:
    data = scan(photo_folder)
    first = get_backbone(str(weights), architecture=ARCHITECTURE)
    options = {"train": "last_2_stages", "epochs": 1, "views": 1}
    model = FineTune(first, **options).fit(data)
    folder = model.save(tmp_path / "model")

    onwards = get_backbone(str(folder))
    known = [row.sha256 for row in data.train]
    assert onwards.contents.known_to_backbone(known).all(), "fine-tuned on them, labels included"
    assert not onwards.contents.is_complete, "nobody has said what the file was trained on"
    assert onwards.architecture == Timm(ARCHITECTURE)
    assert onwards.transform == first.transform
    assert onwards.licence == "unknown"
    network = onwards.architecture.load(folder / "weights.safetensors").state_dict()
    changed = [
        name
        for name, tensor in torch.load(weights, weights_only=True).items()
        if name in network and not name.startswith("fc.") and not torch.equal(tensor, network[name])
    ]
    assert any(name.startswith("layer4") for name in changed)  # what was trained is what is loaded
    assert not any(name.startswith("layer1") for name in changed)
    again = FineTune(onwards, **options).fit(data.with_rows(data.rows[2:]))
    assert again.contents.known_to_model(known).all(), "those of its ancestor, too"
    assert len(load(again.save(tmp_path / "again")).predict([data.absolute(data.train[0])])) == 1


def test_a_network_inside_a_larger_module_is_found(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    nested = {f"net.encoder.{name}": tensor for name, tensor in state.items()}
    beside = {"criterion.weight": torch.ones(3), "net.head.0.weight": torch.zeros(3, WIDTH)}
    torch.save({"state_dict": nested | beside, "epoch": 3}, tmp_path / "last.ckpt")
    found = Timm(ARCHITECTURE).load(tmp_path / "last.ckpt").state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    teacher = {f"teacher.{name}": tensor for name, tensor in state.items()}
    torch.save(nested | teacher, tmp_path / "two.ckpt")
    with pytest.raises(BackboneError, match=r"several networks .*\(net\.encoder\., teacher\.\)"):
        Timm(ARCHITECTURE).load(tmp_path / "two.ckpt")


def test_objects_beside_the_weights_are_not_read(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    settings = {"state_dict": state, "hyper_parameters": {"folder": tmp_path}}
    torch.save(settings, tmp_path / "last.ckpt")
    with pytest.raises(BackboneError) as raised:
        Timm(ARCHITECTURE).load(tmp_path / "last.ckpt")
    assert str(raised.value) == (
        "last.ckpt holds an object (pathlib.PosixPath) beside its weights, and reading it would "
        "run code; save the weights alone: torch.save(module.state_dict(), 'weights.pth')"
    )
