"""fastai's loaders and learners from regraft's data and models, and weights back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import regraft
from regraft.approaches import APPROACHES
from regraft.approaches.base import repeated_folds
from regraft.approaches.fastai import FastaiFineTune
from regraft.approaches.fine_tune import FineTune
from regraft.approaches.linear_probe import LinearProbe
from regraft.backbones.architectures import OnnxFile, Timm
from regraft.backbones.backbone import Backbone, with_transform
from regraft.backbones.sources import get_backbone
from regraft.dataset import Dataset, scan
from regraft.engines.fastai import library
from regraft.errors import BackboneError, DataError, MissingExtraError, ModelError, UsageError
from regraft.frameworks.fastai import save_learner_weights, to_dataloaders, to_learner
from regraft.kinds.images.decoding import decode
from regraft.kinds.images.transform import NORMALISATIONS
from tests.catalogue_hubs import randomised
from tests.conftest import MakeImageFolder
from tests.tiny_networks import ARCHITECTURE, SIZE, tiny_backbone

COUNTS = {"clean": 8, "messy": 8}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of all tests here, so that the tiny network is exported once."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def tiny(tmp_path: Path, own_cache: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept))
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return replace(tiny_backbone(folder), pretrained_on="a few photos")


@pytest.fixture
def data(make_image_folder: MakeImageFolder) -> Dataset:
    return scan(make_image_folder(COUNTS, size=(60, 40)))


def files(part: Any) -> set[str]:
    return {f"{Path(item).parent.name}/{Path(item).name}" for item in part.items}


# --- loaders


def test_the_parts_are_the_folds_of_a_fit(data: Dataset, tiny: Backbone) -> None:
    folds = repeated_folds(data, repeats=1, seed=4)[0]
    for fold in (None, 0, 3):
        dls = to_dataloaders(data, backbone=tiny, fold=fold, seed=4)
        held = {row.path for row, f in zip(data.train, folds, strict=True) if f == (fold or 0)}
        assert files(dls.valid_ds) == held
        assert files(dls.train_ds) == {row.path for row in data.train} - held
    with pytest.raises(UsageError, match="fold is 5, expected 0 to 4"):
        to_dataloaders(data, backbone=tiny, fold=5)
    with pytest.raises(UsageError, match="batch_size is 0, expected at least 1"):
        to_dataloaders(data, backbone=tiny, batch_size=0)


def test_the_test_rows_are_the_validation_part(
    make_image_folder: MakeImageFolder, tiny: Backbone
) -> None:
    counts = {f"{split}/{name}": 6 for split in ("train", "test") for name in COUNTS}
    data = scan(make_image_folder(counts))
    dls = to_dataloaders(data, backbone=tiny)
    assert {Path(p).parent.parent.name for p in dls.valid_ds.items} == {"test"}
    assert {Path(p).parent.parent.name for p in dls.train_ds.items} == {"train"}
    with_fold = to_dataloaders(data, backbone=tiny, fold=1)
    assert {Path(p).parent.parent.name for p in with_fold.valid_ds.items} == {"train"}


def test_labels_and_pixels_are_those_of_regraft(data: Dataset, tiny: Backbone) -> None:
    dls = to_dataloaders(data, backbone=tiny, batch_size=64)
    assert list(dls.vocab) == list(data.classes)
    x, y = dls.valid.one_batch()
    paths = [Path(p) for p in dls.valid_ds.items]
    assert [data.classes[i] for i in y] == [path.parent.name for path in paths]
    assert x.shape == (len(paths), 3, SIZE, SIZE)
    from regraft.engines.onnx import OnnxEngine
    from regraft.kinds.images.transform import transform_graph

    engine = OnnxEngine(transform_graph(tiny.transform).SerializeToString())
    for pixels, path in zip(np.asarray(x), paths, strict=True):
        expected = engine.run(decode(path.read_bytes()))[0][0]
        assert np.abs(pixels - expected).max() < 0.02  # half a grey level


def test_photos_are_upright_rgb_and_unreadable_ones_left_out(
    make_image_folder: MakeImageFolder, tiny: Backbone
) -> None:
    root = make_image_folder(COUNTS)
    half = Image.new("CMYK", (40, 40), (0, 255, 255, 0))  # red
    half.paste((255, 255, 0, 0), (20, 0, 40, 40))  # blue, on the right
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    half.save(root / "clean" / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(root / "clean" / "deep.png")
    photo = (root / "clean" / "0.png").read_bytes()
    (root / "messy" / "cut.png").write_bytes(photo[: len(photo) - 60])
    told: list[str] = []
    plain = with_transform(tiny, resize="squash")
    dls = to_dataloaders(
        scan(root), backbone=plain, progress=lambda text, *_: told.append(text), batch_size=99
    )
    assert len(dls.train_ds) + len(dls.valid_ds) == sum(COUNTS.values()) + 2
    assert any(text.startswith("messy/cut.png is left out: ") for text in told)
    pictures = {
        Path(p).name: np.asarray(ds[i][0])
        for ds in (dls.train_ds, dls.valid_ds)
        for i, p in enumerate(ds.items)
    }
    turned, deep = pictures["turned.jpg"].astype(int), pictures["deep.png"]
    assert turned[16, 4, 2] > turned[16, 4, 0] + 50  # blue has come to the left
    assert turned[16, -4, 0] > turned[16, -4, 2] + 50
    assert 100 < deep.mean() < 220


def test_a_part_without_a_photo_is_explained(
    make_image_folder: MakeImageFolder, tiny: Backbone
) -> None:
    data = scan(make_image_folder(COUNTS))
    for row in data.train:
        data.absolute(row).write_bytes(b"no photo")
    with pytest.raises(DataError, match="no photo of the training part can be read"):
        to_dataloaders(data, backbone=tiny)


def test_bgr_and_grey_levels_are_normalised_as_asked(data: Dataset, tiny: Backbone) -> None:
    caffe = replace(tiny, transform=replace(tiny.transform, normalisation=NORMALISATIONS["caffe"]))
    x, _ = to_dataloaders(data, backbone=caffe).valid.one_batch()
    rgb, _ = to_dataloaders(data, backbone=tiny).valid.one_batch()
    mean, std = (
        np.array(v).reshape(3, 1, 1)
        for v in (tiny.transform.normalisation.mean, tiny.transform.normalisation.std)
    )
    grey = (np.asarray(rgb) * std + mean) * 255
    expected = grey[:, ::-1] - np.array(NORMALISATIONS["caffe"].mean).reshape(3, 1, 1)
    assert np.allclose(np.asarray(x), expected, atol=0.05)


# --- learners


SETTINGS: dict[str, dict[str, Any]] = {
    "linear_probe": {},
    "fine_tune": {"train": "last_1_stage", "epochs": 1, "views": 1},
    "scratch": {"image_size_px": 32, "epochs": 1},
    "fastai": {"epochs": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("linear_probe", "fastai"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("fine_tune", "scratch")),
    ],
)
def test_a_learner_says_what_the_model_says(
    data: Dataset, tiny: Backbone, tmp_path: Path, name: str
) -> None:
    backbone = {} if name == "scratch" else {"backbone": tiny}
    model = APPROACHES[name](**backbone, **SETTINGS[name]).fit(data)
    folder = model.save(tmp_path / "model")
    _assert_alike(model, to_learner(folder), data)
    _assert_alike(model, to_learner(model), data)


def _assert_alike(model: regraft.Model, learner: Any, data: Dataset) -> None:
    rows = data.train[::4]
    for row, said in zip(rows, model.predict([data.absolute(r) for r in rows]), strict=True):
        for item in (data.absolute(row), str(data.absolute(row))):
            with learner.no_bar():
                label, number, probabilities = learner.predict(item)
            assert label == said.predicted
            assert model.classes[int(number)] == label
            assert np.abs(np.asarray(probabilities) - said.probabilities).max() < 0.01


@pytest.mark.slow
def test_two_views_are_averaged(data: Dataset, tiny: Backbone) -> None:
    model = LinearProbe(tiny, views=2).fit(data)
    learner = to_learner(model)
    _assert_alike(model, learner, data)


def test_a_learner_goes_on_training_on_loaders(data: Dataset, tiny: Backbone) -> None:
    model = LinearProbe(tiny).fit(data)
    dls = to_dataloaders(data, backbone=tiny, batch_size=4)
    learner = to_learner(model, dls)
    before = learner.model[0].conv1[0].weight.detach().clone()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(1)
        loss, accuracy = learner.validate()
    assert np.isfinite(loss)
    assert 0 <= accuracy <= 1
    assert not torch.equal(learner.model[0].conv1[0].weight, before)
    others = to_dataloaders(scan_renamed(data), backbone=tiny)
    with pytest.raises(UsageError, match="the classes of dls are messy, other, expected those of"):
        to_learner(model, others)


def scan_renamed(data: Dataset) -> Dataset:
    """The same photos with another name for a class."""
    root = data.root.with_name("renamed")
    shutil.copytree(data.root, root)
    (root / "clean").rename(root / "other")
    return scan(root)


def test_what_is_no_network_is_explained(data: Dataset, tiny: Backbone) -> None:
    knn = APPROACHES["knn"](tiny).fit(data)
    with pytest.raises(ModelError, match="a knn model decides by its nearest training photos"):
        to_learner(knn)
    probe = LinearProbe(tiny).fit(data)
    foreign = replace(probe, backbone={**probe.backbone, "architecture": "onnx"})
    with pytest.raises(ModelError, match="the model's backbone is an ONNX file"):
        to_learner(foreign)
    own = replace(probe, settings={"architecture": "net.py:small"})
    with pytest.raises(ModelError, match=r"your own \(net.py:small\), and a saved model runs no"):
        to_learner(own)


# --- weights back


def vision_learner(data: Dataset, arch: str, tiny: Backbone) -> Any:
    """As fastai makes it of its own names, with random weights."""
    from torchvision import models

    fastai = library()
    dls = to_dataloaders(data, backbone=tiny)
    given = arch if arch.startswith("test_") else getattr(models, arch, None)
    given = given or getattr(fastai, arch)
    learner = fastai.vision_learner(dls, given, pretrained=False)
    randomised(learner.model)
    return learner


@pytest.mark.parametrize(
    ("arch", "name"),
    [(ARCHITECTURE, ARCHITECTURE), ("resnet18", "torchvision:resnet18")],
)
def test_the_body_of_a_learner_is_a_backbone(
    data: Dataset, tiny: Backbone, tmp_path: Path, arch: str, name: str
) -> None:
    learner = vision_learner(data, arch, tiny)
    file = tmp_path / "body.safetensors"
    assert save_learner_weights(learner, file) == name
    backbone = get_backbone(f"file:{file}", architecture=name)
    network: Any = backbone.architecture.load(file)
    body = learner.model[0].eval()
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        maps = body(pixels)
        expected = maps.mean(dim=(2, 3))
        if arch == "resnet18":
            network.fc = torch.nn.Identity()
        else:
            network.reset_classifier(0)
        assert torch.allclose(network(pixels), expected, atol=1e-5)


@pytest.mark.slow
def test_the_weights_of_a_learner_of_regraft_come_back(
    data: Dataset, tiny: Backbone, tmp_path: Path
) -> None:
    model = FineTune(tiny, **SETTINGS["fine_tune"]).fit(data)
    for views, learner in (
        (1, to_learner(model)),
        (2, to_learner(LinearProbe(tiny, views=2).fit(data))),
    ):
        file = tmp_path / f"{views}.safetensors"
        assert save_learner_weights(learner, file) == ARCHITECTURE
        own = Timm(ARCHITECTURE).load(file).state_dict()
        if views == 1:
            assert np.allclose(own["conv1.0.weight"], model.tensors["backbone.conv1.0.weight"])


def test_bodies_of_other_names_are_explained(data: Dataset, tiny: Backbone, tmp_path: Path) -> None:
    file = tmp_path / "body.safetensors"
    foreign = vision_learner(data, "xresnet18", tiny)
    with pytest.raises(BackboneError, match="the body of the learner is xresnet18, of which it is"):
        save_learner_weights(foreign, file)
    with pytest.raises(BackboneError, match=r"what test_resnet needs .*conv1.0.weight is \(32"):
        save_learner_weights(foreign, file, architecture=ARCHITECTURE)
    with pytest.raises(BackboneError, match="timm has no architecture 'nothing'"):
        save_learner_weights(foreign, file, architecture="nothing")
    with pytest.raises(UsageError, match=r"body\.pth, expected a name that ends in \.safetensors"):
        save_learner_weights(foreign, tmp_path / "body.pth")
    assert not file.exists()


@pytest.mark.parametrize("architecture", [None, ARCHITECTURE])
def test_an_export_of_fastai_is_never_opened(tmp_path: Path, architecture: str | None) -> None:
    path = tmp_path / "export.pkl"
    torch.save(Timm(ARCHITECTURE).build(), path)  # as an export does, objects and all
    with pytest.raises(BackboneError) as caught:
        get_backbone(str(path), architecture=architecture).architecture.load(path)
    assert str(caught.value).startswith("export.pkl is a pickle, which runs code when it ")
    assert "save_learner_weights(learner" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_called_pkl_are_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    torch.save(Timm(ARCHITECTURE).build().state_dict(), path)
    assert get_backbone(str(path), architecture=ARCHITECTURE).name == "weights"


def test_without_fastai_the_command_to_install_it_is_told(
    data: Dataset, tiny: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for call in (lambda: to_dataloaders(data, backbone=tiny), lambda: to_learner("nowhere")):
        with pytest.raises(MissingExtraError, match=r'needs an extra: pip install "regraft\[fast'):
            call()


def test_an_onnx_file_cannot_be_trained(tiny: Backbone, data: Dataset) -> None:
    approach = FastaiFineTune(replace(tiny, architecture=OnnxFile()))
    with pytest.raises(regraft.RegraftError, match="tiny is an ONNX file, which stays frozen"):
        approach.cost(data, folds=5)
