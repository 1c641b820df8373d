"""The artifact: saved whole, read back the same, refused when it is not what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import regraft
from regraft.dataset import scan
from regraft.errors import ModelError, StorageError, UsageError
from regraft.kinds.base import read_input
from regraft.kinds.images.decoding import decode
from regraft.model import load


@pytest.fixture
def model(photo_folder: Path) -> regraft.Model:
    return regraft.LinearProbe().fit(scan(photo_folder))


@pytest.fixture
def photos(photo_folder: Path) -> list[Path]:
    return sorted(photo_folder.rglob("*.jpg"))


def test_a_loaded_model_predicts_the_same(
    model: regraft.Model, photos: list[Path], tmp_path: Path
) -> None:
    before = model.predict(photos)
    folder = model.save(tmp_path / "a.model")
    assert sorted(p.name for p in folder.iterdir()) == [
        "model.json",
        "model.onnx",
        "training_contents.safetensors",
        "weights.safetensors",
    ]
    shutil.move(folder, tmp_path / "moved.model")
    loaded = load(tmp_path / "moved.model")
    assert loaded.predict(photos) == before
    assert loaded.classes == ("clean", "messy")
    assert loaded.tensors.keys() == model.tensors.keys()


def test_a_model_of_the_first_format_is_read_and_gone_on_from(
    model: regraft.Model, photos: list[Path], tmp_path: Path
) -> None:
    folder = model.save(tmp_path / "a.model")
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert (record["format"], record["backbone"]["architecture"]["family"]) == (2, "timm")
    record["format"] = 1
    record["backbone"]["architecture"] = record["backbone"]["architecture"]["name"]
    (folder / "model.json").write_text(json.dumps(record), encoding="utf-8")
    loaded = load(folder)
    assert loaded.architecture == model.architecture
    assert loaded.predict(photos) == model.predict(photos)
    onwards = regraft.get_backbone(str(folder))
    assert onwards.architecture == model.architecture
    assert onwards.feature_width == 1280


def test_weights_are_saved_whatever_their_order_in_memory(
    model: regraft.Model, tmp_path: Path
) -> None:
    weights = dict(model.tensors)
    name = next(name for name, one in weights.items() if one.ndim == 4 and min(one.shape[1:3]) > 1)
    channels_last = weights[name].transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    other = replace(model, weights={**weights, name: channels_last})
    assert not channels_last.flags.c_contiguous
    loaded = load(other.save(tmp_path / "a.model"))
    assert loaded.tensors.keys() == weights.keys()
    for key, tensor in weights.items():
        np.testing.assert_array_equal(loaded.tensors[key], tensor)


def test_another_process_without_torch_predicts_the_same(
    model: regraft.Model, photos: list[Path], tmp_path: Path
) -> None:
    folder = model.save(tmp_path / "a.model")
    code = (
        "import sys, json, regraft\n"
        "found = regraft.load(sys.argv[1]).predict(sys.argv[2:], jobs=1)\n"
        "assert not {'torch', 'onnx', 'sklearn'} & set(sys.modules)\n"
        "print(json.dumps([p.probabilities for p in found]))"
    )
    command = [sys.executable, "-c", code, str(folder), *map(str, photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    here = [p.probabilities for p in model.predict(photos)]
    assert np.abs(np.array(json.loads(done.stdout)) - np.array(here)).max() <= 1e-4


def test_the_graph_alone_is_the_whole_model(
    model: regraft.Model, photos: list[Path], tmp_path: Path
) -> None:
    folder = model.save(tmp_path / "a.model")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (image,) = session.get_inputs()
    assert (image.name, image.type) == ("image", "tensor(uint8)")
    assert [o.name for o in session.get_outputs()] == ["probabilities", "unfamiliarity"]
    for path, prediction in zip(photos[:4], model.predict(photos[:4]), strict=True):
        probabilities, unfamiliarity = session.run(None, {"image": decode(read_input(path))})
        assert probabilities.shape == (2,)
        assert unfamiliarity.shape == ()
        assert np.allclose(probabilities, prediction.probabilities, atol=1e-5)
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 5), (2000, 1500), (224, 224)])
def test_any_size_is_predicted(model: regraft.Model, tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (200, 30, 30)).save(tmp_path / "odd.png")
    (found,) = model.predict([tmp_path / "odd.png"])
    assert found.predicted in model.classes
    assert sum(found.probabilities) == pytest.approx(1.0, abs=1e-5)


def test_unreadable_files_are_flagged_not_raised(model: regraft.Model, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello", encoding="utf-8")
    first, second = model.predict([tmp_path / "text.jpg", tmp_path / "nothing.jpg"])
    assert first.flag == second.flag == "unreadable"
    assert first.reason
    assert second.reason
    assert first.probabilities == ()


def test_sets_and_flags_follow_the_thresholds(model: regraft.Model) -> None:
    def judged(probabilities: list[float], unfamiliarity: float = 0.0) -> tuple[object, str]:
        found = model.judge("a.jpg", np.array(probabilities), np.array(unfamiliarity))
        return found.set, found.flag

    low = max(model.set_thresholds) + 1e-6
    assert judged([1 - low / 2, low / 2])[1] in {"", "unsure"}
    object.__setattr__(model, "set_thresholds", (0.4, 0.3))
    assert judged([0.9, 0.1]) == (("clean",), "")
    assert judged([0.6, 0.4]) == (("clean", "messy"), "unsure")
    object.__setattr__(model, "set_thresholds", (0.95, 0.01))  # another class than the likeliest
    assert judged([0.9, 0.1]) == (("messy",), "unsure")
    object.__setattr__(model, "set_thresholds", (0.7, 0.7))
    assert judged([0.6, 0.4]) == ((), "unsure")
    assert judged([0.9, 0.1], model.unfamiliar_from + 0.01) == (("clean",), "unfamiliar")


def test_noise_is_unfamiliar(model: regraft.Model, photos: list[Path], tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (foreign,) = model.predict([tmp_path / "noise.png"])
    assert foreign.flag == "unfamiliar"
    own = model.predict(photos)
    assert foreign.unfamiliarity > max(p.unfamiliarity for p in own)


def test_a_model_is_replaced_whole(model: regraft.Model, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "a.model")
    (folder / "stale.txt").write_text("old", encoding="utf-8")
    model.save(folder)
    assert not (folder / "stale.txt").exists()
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


def test_a_foreign_folder_is_not_overwritten(model: regraft.Model, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ModelError, match="exists and is not a model folder"):
        model.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize("fails_at", range(3))
def test_a_full_disk_leaves_the_earlier_model(
    model: regraft.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    folder = model.save(tmp_path / "a.model")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    calls = 0

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > fails_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(StorageError, match="No space left"):
        model.save(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "model.onnx").unlink(), r"lacks model\.onnx; copy the whole"),
        (lambda f: (f / "weights.safetensors").unlink(), "lacks weights"),
        (lambda f: (f / "model.json").unlink(), r"holds no model\.json; give a model folder"),
        (lambda f: (f / "model.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "model.json").write_text('{"kind": "x"}'), "does not describe"),
        (lambda f: _edit(f, format=99), "format 99, made with regraft .*upgrade with pip"),
        (
            lambda f: _edit(f, classes=None),
            r"model\.json is damaged \(Expected `array`, got `null`",
        ),
        (lambda f: _flip(f / "model.onnx"), r"model\.onnx was altered or damaged"),
        (lambda f: _flip(f / "weights.safetensors"), "was altered or damaged"),
        (shutil.rmtree, "there is no folder"),
    ],
)
def test_what_is_wrong_with_a_model_is_one_line(
    model: regraft.Model, tmp_path: Path, change, message: str
) -> None:
    folder = model.save(tmp_path / "a.model")
    change(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def _edit(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (folder / "model.json").write_text(json.dumps(card | changes), encoding="utf-8")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_the_distance_of_the_unfamiliar_can_be_changed(
    model: regraft.Model, photos: list[Path]
) -> None:
    assert model.flagging_from(None) is model
    strict = model.flagging_from(0.0)
    assert {p.flag for p in strict.predict(photos[:3])} == {"unfamiliar"}
    assert "unfamiliar" not in {p.flag for p in model.flagging_from(4.0).predict(photos[:3])}
    with pytest.raises(UsageError, match="expected a number from 0 to 4"):
        model.flagging_from(4.5)
