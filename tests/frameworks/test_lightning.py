"""Lightning: photos as a data module, networks as modules, and back; real Trainer runs."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import regraft as rg
from regraft.approaches.fine_tune import FineTune
from regraft.backbones.architectures import Timm
from regraft.backbones.backbone import Backbone
from regraft.backbones.sources import get_backbone
from regraft.dataset import Dataset, make_folds
from regraft.engines.onnx import OnnxEngine
from regraft.errors import DataError, MissingExtraError, ModelError, UsageError
from regraft.features.embedding import read_image
from regraft.frameworks.lightning import (
    model_from_module,
    module_from_model,
    to_datamodule,
    to_module,
)
from regraft.kinds.images.transform import transform_graph
from tests.conftest import MakeImageFolder
from tests.tiny_networks import ARCHITECTURE, SIZE, WIDTH, tiny_backbone


@pytest.fixture(autouse=True)
def quiet_lightning() -> Iterator[None]:
    """Lightning warns of its own use of torch, and that one process decodes tiny pictures."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*LeafSpec.*")
        warnings.filterwarnings("ignore", ".*does not have many workers")
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the tiny backbone and its graphs, which are exported once."""
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def tiny(exported: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    monkeypatch.syspath_prepend(exported)
    own_cache.mkdir(parents=True)
    (exported / "graphs").mkdir(exist_ok=True)
    (own_cache / "graphs").symlink_to(exported / "graphs")
    return tiny_backbone(exported)


@pytest.fixture
def data(make_image_folder: MakeImageFolder) -> Dataset:
    counts = {"train/red": 15, "train/green": 15, "test/red": 3, "test/green": 2}
    folder = make_image_folder(counts, size=(48, 40))
    (folder / "train" / "red" / "odd.png").write_bytes(
        (folder / "train" / "red" / "0.png").read_bytes()[:900]
    )
    return rg.scan(folder)


def trainer(folder: Path, **options: Any) -> Any:
    import pytorch_lightning as pl

    return pl.Trainer(
        **{"max_epochs": 1, **options},
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


# --- Photos


def test_loaders_hold_the_fold_and_its_complement(data: Dataset, tiny: Backbone) -> None:
    photos = to_datamodule(data, backbone=tiny, fold=2, batch_size=8)
    assert list(photos.left_out) == ["train/red/odd.png"]
    assert "truncated" in photos.left_out["train/red/odd.png"]
    readable = [row for row in data.train if row.path not in photos.left_out]
    fold = make_folds(readable, folds=5)
    held = [row for row, number in zip(readable, fold, strict=True) if number == 2]
    assert [row.path for row in photos.validation.rows] == [row.path for row in held]
    assert len(photos.training) == len(readable) - len(held)
    assert sum(len(labels) for _, labels in photos.test_dataloader()) == 5
    assert sum(len(pixels) for pixels in photos.predict_dataloader()) == len(readable) + 5


def test_pixels_are_those_of_the_transform(data: Dataset, tiny: Backbone) -> None:
    photos = to_datamodule(data, backbone=tiny)
    pixels, labels = next(iter(photos.val_dataloader()))
    engine = OnnxEngine(transform_graph(tiny.transform).SerializeToString())
    rows = photos.validation.rows
    expected = np.concatenate([engine.run(read_image(data.absolute(row)))[0] for row in rows])
    assert pixels.dtype == torch.float32
    np.testing.assert_array_equal(pixels.numpy(), expected)
    assert [data.classes[i] for i in labels] == [row.label for row in rows]


def test_training_varies_and_workers_give_the_same(data: Dataset, tiny: Backbone) -> None:
    plain = to_datamodule(data, backbone=tiny, augment=False).training
    varied = to_datamodule(data, backbone=tiny).training
    torch.manual_seed(0)
    first, second = varied[0][0], varied[0][0]
    assert first.shape == plain[0][0].shape == (3, SIZE, SIZE)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(plain[0][0], plain[0][0])
    here = to_datamodule(data, backbone=tiny, augment=False)
    there = to_datamodule(data, backbone=tiny, augment=False, workers=1)
    for mine, other in zip(here.val_dataloader(), there.val_dataloader(), strict=True):
        assert torch.equal(mine[0], other[0])


def test_a_last_photo_alone_is_left_out(data: Dataset, tiny: Backbone) -> None:
    photos = to_datamodule(data, backbone=tiny, batch_size=23)
    assert len(photos.training) == 24
    assert [len(labels) for _, labels in photos.train_dataloader()] == [23]


def test_what_is_wrong_with_the_photos_is_said(
    make_image_folder: MakeImageFolder, data: Dataset, tiny: Backbone
) -> None:
    with pytest.raises(UsageError, match="fold is 5, expected 0 to 4"):
        to_datamodule(data, backbone=tiny, fold=5)
    with pytest.raises(UsageError, match="batch_size is 0, expected at least 1"):
        to_datamodule(data, backbone=tiny, batch_size=0)
    untested = rg.scan(make_image_folder({"a": 5, "b": 5}, name="untested"))
    with pytest.raises(DataError, match=r"no test set; measure on the fold: trainer\.validate"):
        to_datamodule(untested, backbone=tiny).test_dataloader()


# --- Training


@pytest.mark.slow
def test_what_learns_changes_and_the_checkpoint_is_a_backbone(
    data: Dataset, tiny: Backbone, tmp_path: Path
) -> None:
    photos = to_datamodule(data, backbone=tiny, batch_size=8)
    module = to_module(photos, backbone=tiny)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    norms = [m for m in module.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {True, False}
    fitting = trainer(tmp_path)
    fitting.fit(module, photos)
    after = module.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith(("backbone.conv1", "backbone.layer1")) for name in changed)
    assert {"head.weight", "backbone.layer4.0.bn1.running_mean"} <= changed
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy"} <= set(
        fitting.callback_metrics
    )
    rates = {round(group["initial_lr"], 9) for group in fitting.optimizers[0].param_groups}
    assert len(rates) == 3  # the head and two stages
    assert fitting.lr_scheduler_configs[0].scheduler.total_steps == 4

    fitting.save_checkpoint(tmp_path / "last.ckpt")
    found = get_backbone(f"file:{tmp_path / 'last.ckpt'}", architecture=ARCHITECTURE)
    assert found.feature_width == WIDTH
    state = Timm(ARCHITECTURE).load(tmp_path / "last.ckpt").state_dict()
    trained = module.backbone.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in trained.items())


@pytest.mark.slow
def test_the_head_begins_as_a_probe_of_the_training_photos_alone(
    data: Dataset, tiny: Backbone
) -> None:
    photos = to_datamodule(data, backbone=tiny)
    probed = to_module(photos, backbone=tiny)
    assert torch.count_nonzero(probed.head.weight) > 0
    named = to_module(["green", "red"], backbone=tiny)
    assert torch.count_nonzero(named.head.weight) == 0
    other = to_module(to_datamodule(data, backbone=tiny, fold=1), backbone=tiny)
    assert not torch.equal(probed.head.weight, other.head.weight)
    assert torch.equal(to_module(data, backbone=tiny).head.weight, probed.head.weight)


def test_settings_out_of_range_are_explained(data: Dataset, tiny: Backbone, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the classes are 'red', expected two or more different"):
        to_module("red", backbone=tiny)
    photos = to_datamodule(data)
    with pytest.raises(UsageError, match="prepared for another network than tiny"):
        to_module(photos, backbone=tiny)
    module = to_module(["green", "red"], backbone=tiny)
    endless = trainer(tmp_path, max_epochs=-1)
    with pytest.raises(UsageError, match=r"the Trainer has no end.*Trainer\(max_epochs=12\)"):
        endless.fit(module, to_datamodule(data, backbone=tiny))


def test_without_lightning_the_extra_is_named(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "regraft\[lightning\]"'):
        to_datamodule(data)


# --- Models


@pytest.mark.slow
def test_a_trained_module_becomes_a_model_and_a_module_again(
    data: Dataset, tiny: Backbone, tmp_path: Path
) -> None:
    photos = to_datamodule(data, backbone=tiny, batch_size=8)
    module = to_module(photos, backbone=tiny)
    fitting = trainer(tmp_path)
    fitting.fit(module, photos)
    model = rg.load(model_from_module(module, photos).save(tmp_path / "a.model"))
    assert model.approach == "fine_tune"
    assert model.settings["trained_by"] == "pytorch_lightning"
    assert model.trained_on["images"] == len(photos.training)
    rows = [row for row in data.rows if row.path not in photos.left_out]
    said = model.predict([data.absolute(row) for row in rows])
    logits = torch.cat([module(pixels) for pixels in photos.predict_dataloader()])
    softened = torch.softmax(logits / model.temperature, dim=1).detach().numpy()
    expected = np.array([one.probabilities for one in said])
    np.testing.assert_allclose(softened, expected, atol=0.01)
    assert all(one.unfamiliarity >= 0 for one in said)

    again = module_from_model(tmp_path / "a.model")
    assert not any(parameter.requires_grad for parameter in again.parameters())
    found = torch.cat(fitting.predict(again, to_datamodule(data, backbone=model)))
    np.testing.assert_allclose(found.numpy(), expected, atol=0.01)


def test_mirrored_views_are_averaged(data: Dataset, tiny: Backbone, tmp_path: Path) -> None:
    model = rg.LinearProbe(tiny, views=2).fit(rg.scan(data.root, verify=True))
    rows = model.predict([data.absolute(row) for row in data.test])
    photos = to_datamodule(data, backbone=model)
    module = module_from_model(model)
    found = torch.cat([module.predict_step(batch) for batch in photos.test_dataloader()])
    np.testing.assert_allclose(
        found.detach().numpy(), [one.probabilities for one in rows], atol=0.01
    )


def test_what_is_no_torch_module_is_explained(data: Dataset, tiny: Backbone) -> None:
    with pytest.raises(ModelError, match=r"a knn model decides by its nearest.*regraft export"):
        module_from_model(rg.Knn(tiny).fit(rg.scan(data.root, verify=True)))
    with pytest.raises(UsageError, match="the module is Linear, expected what to_module returned"):
        model_from_module(nn.Linear(2, 2), data)  # type: ignore[arg-type]
    module = to_module(["clean", "messy"], backbone=tiny)
    with pytest.raises(UsageError, match="knows the classes clean, messy, the data has green, red"):
        model_from_module(module, data)


@pytest.mark.slow
def test_an_epoch_on_photos(photo_folder: Path, tmp_path: Path) -> None:
    data = rg.scan(photo_folder)
    module = to_module(data)
    fitting = trainer(tmp_path)
    fitting.fit(module, to_datamodule(data))
    model = model_from_module(module, data)
    paths = [data.absolute(row) for row in data.rows]
    found = torch.cat(fitting.predict(module_from_model(model), to_datamodule(data)))
    expected = [one.probabilities for one in model.predict(paths)]
    np.testing.assert_allclose(found.numpy(), expected, atol=0.01)
    assert FineTune().settings["train"] == model.settings["train"]
