"""module:FILE.py:NAME and modules of one's own: found, checked, trained, explained; or refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import regraft
from regraft.approaches.base import Limits, repeated_folds
from regraft.approaches.fine_tune import FineTune
from regraft.approaches.linear_probe import LinearProbe
from regraft.backbones.graphs import boundary_graph, embedding_graph, stage_count
from regraft.backbones.sources import get_backbone
from regraft.dataset import scan
from regraft.engines.onnx import OnnxEngine
from regraft.errors import BackboneError, UsageError
from regraft.kinds.images.transform import NORMALISATIONS, Normalisation
from regraft.storage.locations import shareable_word
from tests.commands import CommandLine, process

SOURCE = """
import torch
from torch import nn

def make():
    torch.manual_seed(5)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 16, 3, stride=2), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )
    network.image_size_px, network.normalize = 32, "tf"
    return network

class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
    def forward(self, x):
        return self.stem(x).mean(dim=(2, 3))

class Flat(Bare):
    def forward(self, x):
        return self.stem(x)

class Asking(Bare):
    def __init__(self, n_classes):
        super().__init__()

class Empty(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))

class Fixed(Bare):
    def forward(self, x):
        assert x.shape[-1] == 48, "only 48"
        return super().forward(x)

class Infinite(Bare):
    def forward(self, x):
        return super().forward(x) / 0

class Two(Bare):
    def forward(self, x):
        found = super().forward(x)
        return found, found

def nothing():
    return None

number = 5
"""
IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def _network() -> Any:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_a_network_is_found_by_its_name(file: Path, own_cache: Path) -> None:
    found = get_backbone(f"module:{file}:make")
    assert (found.name, found.source) == ("make", shareable_word(f"module:{file}:make", Path.cwd()))
    assert (found.feature_width, found.transform.image_size_px) == (16, 32)
    assert found.transform.normalisation == NORMALISATIONS["tf"]
    assert found.parameters == 8 * 27 + 8 + 2 * 8 + 16 * 72 + 16
    assert found.licence == "your own"
    assert get_backbone(f"module:{file}:make").weights_sha256 == found.weights_sha256
    (features,) = OnnxEngine(embedding_graph(found)).run(IMAGE)
    from regraft.kinds.images.transform import transform_graph

    pixels = OnnxEngine(transform_graph(found.transform).SerializeToString()).run(IMAGE)[0]
    network = found.architecture.build().eval()
    with torch.no_grad():
        assert np.allclose(features, network(torch.from_numpy(pixels)).numpy()[0], atol=1e-5)


def test_layers_that_learn_are_the_stages_of_a_sequence(file: Path, own_cache: Path) -> None:
    found = get_backbone(f"module:{file}:make")
    assert stage_count(found) == 3
    (kept,) = OnnxEngine(boundary_graph(found, 2)).run(IMAGE)
    assert kept.shape == (8, 15, 15)
    bare = get_backbone(f"module:{file}:Bare", image_size_px=24, normalize="torch")
    assert stage_count(bare) == 0


def test_options_go_before_attributes(file: Path, own_cache: Path) -> None:
    found = get_backbone(f"module:{file}:make", image_size_px=48, normalize="caffe")
    assert found.transform.image_size_px == 48
    assert found.transform.normalisation == NORMALISATIONS["caffe"]


def test_a_module_itself_is_taken_and_left_as_it_is(photo_folder: Path, own_cache: Path) -> None:
    network = _network()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    own = Normalisation(mean=(0.1,) * 3, std=(0.2,) * 3, pixel_max=1.0, channel_order="rgb")
    backbone = regraft.module_backbone(network, image_size_px=32, normalize=own)
    assert backbone.name == "Sequential"
    assert backbone.transform.normalisation == own
    data = scan(photo_folder)
    folds = repeated_folds(data, folds=3, repeats=1)
    assert LinearProbe(backbone).cross_validate(data, folds).covered.all()
    tuned = FineTune(backbone, train="all", epochs=1, views=1)
    assert tuned.cross_validate(data, folds, limits=Limits(folds=(0,))).folds_done == 1
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    other = _network()
    with torch.no_grad():
        other[0].weight += 1
    second = regraft.module_backbone(other, image_size_px=32, normalize="torch")
    assert second.weights_sha256 != backbone.weights_sha256
    assert second.architecture != backbone.architecture


def test_another_use_of_the_same_weights_is_another_network(own_cache: Path) -> None:
    class Doubled(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = super().forward(x)
            return torch.cat([found, found], dim=1)

    first = regraft.module_backbone(_network(), image_size_px=32, normalize="torch")
    layers = _network()
    second = regraft.module_backbone(Doubled(*layers), image_size_px=32, normalize="torch")
    assert first.weights_sha256 != second.weights_sha256


@pytest.mark.slow
def test_a_run_explains_exports_and_goes_on_only_with_the_code_named(
    file: Path, photo_folder: Path, tmp_path: Path, regraft: CommandLine
) -> None:
    file = file.rename(tmp_path / "named_nowhere_else.py")  # code is allowed by its name
    run, name = tmp_path / "run", f"module:{file}:make"
    fitted = process(  # and for one process alone
        *("fit", photo_folder, "--backbone", name, "--out", run, "--budget", "15s"),
        *("--approach", "fine_tune", "--approach", "linear_probe"),  # what can be explained
    )
    assert fitted.returncode == 0, fitted.stderr
    assert "last_2_stages" in (run / "comparison.json").read_text(encoding="utf-8")
    regraft.done("export", run, tmp_path / "own.onnx")
    refused = regraft("explain", run)
    assert refused.code == 1
    where = shareable_word(f"{file}:make", Path.cwd())
    assert f"the model's network is your own ({where})" in refused.err.replace("\n", " ")
    with pytest.raises(BackboneError, match=f"runs no code by itself; add --arch module:{where}"):
        get_backbone(str(run))
    explained = regraft("explain", run, "--architecture", f"{file}:make")
    assert "Traceback" not in explained.err
    assert "your own" not in explained.err
    again = get_backbone(str(run), architecture=name)
    assert (again.feature_width, again.transform.image_size_px) == (16, 32)
    assert stage_count(again) == 3


@pytest.mark.parametrize(
    ("name", "error", "expected"),
    [
        ("make2", UsageError, "make2 cannot be imported .AttributeError: .*no attribute 'make2'"),
        ("number", UsageError, "net.py:number is int, expected something to call"),
        ("nothing", BackboneError, "returned NoneType, expected a torch.nn.Module with its weig"),
        ("Asking", BackboneError, "cannot be called without arguments .TypeError: .*n_classes"),
        ("Flat", BackboneError, r"returned \(2, 4, 30, 30\) for pixels of shape \(2, 3, 32, 32\)"),
        ("Two", BackboneError, r"returned tuple for pixels.*expected \(2, d\): features of each"),
        ("Fixed", BackboneError, r"cannot take pixels of shape \(2, 3, 32, 32\) \(only 48\)"),
        ("Infinite", BackboneError, "returned torch.float32, expected finite torch.float32"),
        ("Empty", BackboneError, "has no parameters, so there is nothing pretrained in it"),
    ],
)
def test_what_breaks_the_contract_is_told(
    file: Path, own_cache: Path, name: str, error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        get_backbone(f"module:{file}:{name}", image_size_px=32, normalize="torch")


def test_what_is_missing_is_told(file: Path, own_cache: Path) -> None:
    with pytest.raises(UsageError, match=r"the size of .*:Bare is None, .*add --size, or give the"):
        get_backbone(f"module:{file}:Bare", normalize="torch")
    with pytest.raises(
        UsageError, match=r"normalize of .*:Bare is None, expected torch, tf, caffe"
    ):
        get_backbone(f"module:{file}:Bare", image_size_px=32)
    with pytest.raises(UsageError, match=r"the backbone is 'net\.py', expected package\.module:"):
        get_backbone("module:net.py")
    with pytest.raises(UsageError, match=r"the backbone .*gone\.py:make cannot be imported"):
        get_backbone(f"module:{os.fspath(file.with_name('gone.py'))}:make")
