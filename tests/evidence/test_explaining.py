"""Which photos are explained, what their maps mean, and when none may be shown."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import regraft as rg
from regraft.approaches.scratch import load_architecture
from regraft.engines import explanations as engine
from regraft.errors import ExplanationError, ModelError
from regraft.evidence.explaining import (
    FILE,
    MOST_ERRORS,
    MOST_PHOTOS,
    Explanations,
    HeatMap,
    Question,
    SanityCheck,
    confident_errors,
    explain_photos,
    explain_run,
    read_explanations,
    typical_hits,
    write_explanations,
)
from regraft.runs import ImagePrediction
from regraft.serving.heat import HeatMapper
from tests.fakes import Clock, install_clock


@pytest.fixture
def run(made_once: Path) -> rg.Run:
    return rg.read_run(made_once / "run")


@pytest.fixture(scope="module")
def explained(made_once: Path) -> Explanations:
    """The heat maps of that run."""
    run = rg.read_run(made_once / "run")
    return explain_run(run.folder / "model", run.data, run.predictions)


@pytest.fixture
def photos(made_once: Path) -> list[Path]:
    return sorted((made_once / "photos").rglob("*.jpg"))


def ask(photos: list[Path], **options: Any) -> list[Question]:
    return [Question(str(path), path, **options) for path in photos]


def said(
    path: str, label: str, predicted: str, confidence: float, *, split: str = "train", fold: int = 0
) -> ImagePrediction:
    return ImagePrediction(path, label, predicted, confidence, split, fold, (confidence,))


# --- The choice of photos


def test_errors_are_those_of_models_that_had_not_seen_the_photo() -> None:
    predictions = [
        said("unsure", "a", "b", 0.6),
        said("sure", "a", "b", 0.9),
        said("right", "a", "a", 0.99),
        said("test", "a", "b", 0.8, split="test", fold=-1),
        said("trained on", "a", "b", 0.95, fold=-1),
        said("no label", "", "b", 0.95, split="unlabelled", fold=-1),
        said("no number", "a", "b", math.nan),
        said("b, as sure", "a", "b", 0.9),
    ]
    found = [p.path for p in confident_errors(predictions)]
    assert found == ["b, as sure", "sure", "test", "unsure", "no number"]


def test_typical_hits_are_near_the_median_of_their_class() -> None:
    predictions = [
        *(said(f"a{c}", "a", "a", c / 100) for c in (51, 60, 70, 80, 99)),
        *(said(f"b{c}", "b", "b", c / 100) for c in (50, 75)),
        said("error", "b", "a", 0.9),
    ]
    found = [p.path for p in typical_hits(predictions, most=10, a_class=3)]
    assert found == ["a70", "a60", "a80", "b50", "b75"]
    assert [p.path for p in typical_hits(predictions, most=3)] == ["a70", "a60", "b50"]
    assert typical_hits(predictions, most=0) == []


def test_a_thousand_classes_are_not_all_shown() -> None:
    predictions = [said(f"{c:03}", f"class {c:03}", f"class {c:03}", 0.9) for c in range(300)]
    assert [p.path for p in typical_hits(predictions, most=4)] == ["000", "001", "002", "003"]


# --- A run


def test_a_run_is_explained(run: rg.Run, explained: Explanations) -> None:
    found = explained
    errors = confident_errors(run.predictions)[:MOST_ERRORS]
    assert (found.method, found.layer, found.reason) == ("Grad-CAM", "bn2", "")
    paths = [m.path for m in found.maps]
    asked = len(paths) + len(found.left_out)
    assert len(errors) + 2 <= asked <= MOST_PHOTOS
    assert [m.path for m in found.maps if m.role == "error"] == [
        p.path for p in errors if p.path in paths
    ]
    by_path = {p.path: p for p in run.predictions}
    now = rg.load(run.folder).predict([run.data.root / m.path for m in found.maps])
    for heat_map, prediction in zip(found.maps, now, strict=True):
        assert heat_map.role in ("error", "hit")
        assert heat_map.target == by_path[heat_map.path].predicted
        is_right = by_path[heat_map.path].label == heat_map.target
        assert is_right == (heat_map.role == "hit")
        assert heat_map.predicted == prediction.predicted
        assert heat_map.confidence == pytest.approx(prediction.confidence)
        assert heat_map.grid == (7, 7)
        values = np.array(heat_map.values)
        assert values.min() >= 0
        assert values.max() == 1
        # The photos are 120 x 90: a square of 7/8 of the height is seen, in the middle.
        across, down = 0.875 * 90 / 120, 0.875
        expected = (0.5 - across / 2, 0.5 - down / 2, 0.5 + across / 2, 0.5 + down / 2)
        assert heat_map.box == pytest.approx(expected, abs=0.005)
    assert {m.target for m in found.maps if m.role == "hit"} == {"clean", "messy"}


def test_a_server_draws_the_same_maps_from_the_graph(run: rg.Run, explained: Explanations) -> None:
    """Where features are averaged, Grad-CAM is the class activation map, and needs no gradient."""
    mapper = HeatMapper.of(run.model)
    assert mapper is not None
    compared = [m for m in explained.maps if m.target == m.predicted]
    assert len(compared) >= 4
    for heat_map in compared:
        photo = np.asarray(Image.open(run.data.root / heat_map.path).convert("RGB"))
        prediction, drawn = mapper.predict(photo)
        assert prediction.predicted == heat_map.target
        assert np.array(drawn["values"]) == pytest.approx(np.array(heat_map.values), abs=0.01)
        assert drawn["box"] == pytest.approx(heat_map.box, abs=1e-4)


def test_random_weights_change_the_maps_of_a_run(explained: Explanations) -> None:
    check = explained.check
    assert check is not None
    assert check.photos == len(explained.maps)
    assert check.networks >= 3
    assert check.n == check.photos * check.networks
    assert check.correlation < 0.5
    assert explained.shown == explained.maps
    assert "the maps change (median rank correlation 0." in check.text


def test_explanations_are_kept_as_data(explained: Explanations, tmp_path: Path) -> None:
    write_explanations(tmp_path, explained)
    data = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    assert data["sanity_check"]["passed"] is True
    assert data["sanity_check"]["n"] >= 24
    assert data["photos"][0].keys() == {
        *("path", "role", "target", "predicted", "confidence", "grid", "values", "box")
    }
    assert data["photos"][0]["grid"] == [7, 7]
    assert all(x == round(x, 3) for row in data["photos"][0]["values"] for x in row)
    again = read_explanations(tmp_path)
    assert again is not None
    assert again.to_dict() == explained.to_dict()


def test_names_that_are_no_unicode_are_kept(tmp_path: Path) -> None:
    heat_map = HeatMap("caf\udce9.jpg", "hit", "a", "a", 0.9, ((0.0, 1.0),), (0, 0, 1, 1))
    write_explanations(tmp_path, Explanations("m", "l", SanityCheck(0.1, 3, 1, 3), (heat_map,)))
    found = read_explanations(tmp_path)
    assert found is not None
    assert found.shown == (heat_map,)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: None,
        lambda data: [],
        lambda data: {},
        lambda data: data | {"photos": 3},
        lambda data: data | {"photos": [{}]},
        lambda data: data | {"photos": [data["photos"][0] | {"values": [[1], [1, 2]]}]},
        lambda data: data | {"photos": [data["photos"][0] | {"values": [["x"]]}]},
        lambda data: data | {"photos": [data["photos"][0] | {"box": [0, 0, 0, 1]}]},
        lambda data: data | {"sanity_check": {"n": 3}},
    ],
)
def test_a_damaged_file_counts_as_none(tmp_path: Path, spoil: Callable[[Any], Any]) -> None:
    heat_map = HeatMap("a.jpg", "hit", "a", "a", 0.9, ((0.0, 1.0),), (0, 0, 1, 1))
    write_explanations(tmp_path, Explanations("m", "l", SanityCheck(0.1, 3, 1, 3), (heat_map,)))
    assert read_explanations(tmp_path) is not None
    data = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    (tmp_path / FILE).write_text(json.dumps(spoil(data)), encoding="utf-8")
    assert read_explanations(tmp_path) is None
    (tmp_path / FILE).write_bytes(b"\xff{")
    assert read_explanations(tmp_path) is None
    (tmp_path / FILE).unlink()
    assert read_explanations(tmp_path) is None


# --- Maps that do not depend on what was learned


def test_maps_that_do_not_change_are_not_shown(
    made_once: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "randomised", lambda classifier, *, seed: classifier)
    found = explain_photos(made_once / "run", ask(photos[:2]))
    assert found.check is not None
    assert found.check.correlation == pytest.approx(1)
    assert not found.check.passed
    assert len(found.maps) == 2
    assert found.shown == ()
    assert "the maps hardly change" in found.check.text
    assert "cannot be trusted" in found.check.text


@pytest.mark.slow
def test_few_photos_are_compared_with_more_networks(made_once: Path, photos: list[Path]) -> None:
    check = explain_photos(made_once / "run", ask(photos[:1])).check
    assert check is not None
    assert (check.n, check.photos, check.networks) == (24, 1, 24)


# --- Photos that cannot be explained


@pytest.mark.slow
def test_photos_that_are_gone_or_changed_do_not_stop_the_others(
    made_once: Path, photos: list[Path], tmp_path: Path
) -> None:
    broken, empty = tmp_path / "broken.jpg", tmp_path / "empty.jpg"
    broken.write_bytes(photos[0].read_bytes()[:200])
    empty.touch()
    questions = [
        *ask([tmp_path / "gone.jpg", broken, photos[0], empty]),
        Question("changed", photos[1], sha256="0" * 64),
        Question("as it was", photos[1], sha256=hashlib.sha256(photos[1].read_bytes()).hexdigest()),
        Question("no such class", photos[1], target="garden"),
    ]
    found = explain_photos(made_once / "run" / "model", questions)
    assert [m.path for m in found.maps] == [str(photos[0]), "as it was"]
    reasons = dict(found.left_out)
    assert reasons[str(tmp_path / "gone.jpg")] == "the file is not there"
    assert reasons[str(empty)] == "the file is empty"
    assert reasons["changed"].startswith("the file changed")
    assert reasons["no such class"] == "the model knows no class garden"
    assert reasons[str(broken)]
    assert len(reasons) == 5


def test_where_no_photo_can_be_read_the_reason_is_told(made_once: Path, tmp_path: Path) -> None:
    with pytest.raises(ExplanationError, match=r"none of the 2 photos .*a\.jpg: the file is not"):
        explain_photos(made_once / "run", ask([tmp_path / "a.jpg", tmp_path / "b.jpg"]))


def test_nothing_predicted_is_nothing_to_explain(run: rg.Run) -> None:
    with pytest.raises(ExplanationError, match="there is no photo to explain"):
        explain_run(run.folder / "model", run.data, [])


def test_where_nothing_speaks_for_a_class_there_is_no_map(
    made_once: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engine.class_maps

    def first_is_empty(*given: Any) -> Any:
        found = real(*given)
        found[0] = 0
        return found

    monkeypatch.setattr(engine, "class_maps", first_is_empty)
    found = explain_photos(made_once / "run", ask(photos[:2], target="messy"))
    assert [m.path for m in found.maps] == [str(photos[1])]
    assert found.left_out == (
        (str(photos[0]), "nowhere in it does the network find evidence for messy"),
    )


# --- Time


class Slow:
    """Progress that takes ten seconds each time it is told of a phase."""

    def __init__(self, clock: Clock, phase: str) -> None:
        self.clock, self.phase = clock, phase

    def __call__(self, phase: str, done: int, total: int) -> None:
        if phase == self.phase:
            self.clock.now += 10


def test_when_the_time_is_up_before_the_first_photo(
    made_once: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = install_clock(monkeypatch)
    with pytest.raises(ExplanationError, match="the time was up before they were begun"):
        explain_photos(made_once / "run", ask(photos), deadline=clock.now - 1)


def test_when_the_time_is_up_what_is_done_is_kept(
    made_once: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = install_clock(monkeypatch)
    found = explain_photos(
        made_once / "run",
        ask(photos[:10]),
        deadline=clock.now + 45,
        progress=Slow(clock, "checking the heat maps"),
    )
    assert len(found.maps) + len(found.left_out) == 10
    assert found.check is not None
    assert 0 < found.check.n < 30
    assert found.shown


def test_maps_that_there_was_no_time_to_check_are_not_made(
    made_once: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = install_clock(monkeypatch)
    with pytest.raises(ExplanationError, match="before the heat maps could be checked"):
        explain_photos(
            made_once / "run",
            ask(photos[:2]),
            deadline=clock.now + 15,
            progress=Slow(clock, "heat maps"),
        )


# --- Models of every kind


def save(model: rg.Model, folder: Path) -> Path:
    return model.save(folder / "a.model")


def test_nearest_neighbours_have_no_gradient(photo_folder: Path, tmp_path: Path) -> None:
    folder = save(rg.Knn().fit(rg.scan(photo_folder)), tmp_path)
    with pytest.raises(
        ExplanationError, match="a knn model decides by its nearest training photos"
    ):
        explain_photos(folder, ask(sorted(photo_folder.rglob("*.jpg"))))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no model\.json"):
        explain_photos(tmp_path, [])


@pytest.mark.slow
def test_what_was_fine_tuned_is_explained(photo_folder: Path, tmp_path: Path) -> None:
    approach = rg.FineTune(train="last_1_stage", epochs=2, views=1)
    folder = save(approach.fit(rg.scan(photo_folder)), tmp_path)
    found = explain_photos(folder, ask(sorted(photo_folder.rglob("*.jpg"))[::8]))
    assert found.layer == "bn2"
    assert len(found.maps) + len(found.left_out) == 3


@pytest.mark.slow
def test_the_small_network_from_scratch_is_explained(photo_folder: Path, tmp_path: Path) -> None:
    approach = rg.Scratch(image_size_px=64, epochs=2)
    folder = save(approach.fit(rg.scan(photo_folder)), tmp_path)
    found = explain_photos(folder, ask(sorted(photo_folder.rglob("*.jpg"))[::4]))
    assert found.layer == "10"  # its last block
    assert {m.grid for m in found.maps} == {(4, 4)}


NET = """
import torch

def tiny(n_classes):
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=4), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, n_classes),
    )

def wider(n_classes):
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 9, 3, stride=4), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(9, n_classes),
    )
"""


def test_a_network_of_ones_own_runs_only_when_named(photo_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    where = f"{tmp_path / 'net.py'}:tiny"
    approach = rg.Scratch(where, image_size_px=32, epochs=2)
    folder = save(approach.fit(rg.scan(photo_folder)), tmp_path)
    questions = ask(sorted(photo_folder.rglob("*.jpg"))[:6])
    with pytest.raises(ExplanationError, match=r"runs no code by itself; add --architecture"):
        explain_photos(folder, questions)
    found = explain_photos(folder, questions, make=load_architecture(where))
    assert found.layer == "1"
    assert len(found.maps) + len(found.left_out) == 6
    other = load_architecture(f"{tmp_path / 'net.py'}:wider")
    with pytest.raises(ExplanationError, match=r"cannot be rebuilt: the weights .* are not of"):
        explain_photos(folder, questions, make=other)


def test_another_network_is_not_explained(made_once: Path, tmp_path: Path) -> None:
    """Weights that are not those of the graph: a head whose classes changed places."""
    folder = tmp_path / "a.model"
    shutil.copytree(made_once / "run" / "model", folder)
    tensors = load_file(folder / "weights.safetensors")
    tensors["head.weights"] = tensors["head.weights"][:, ::-1].copy()
    tensors["head.bias"] = tensors["head.bias"][::-1].copy()
    save_file(tensors, folder / "weights.safetensors")
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    card["files"]["weights.safetensors"] = digest
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    questions = ask(sorted((made_once / "photos").rglob("*.jpg"))[:3])
    with pytest.raises(ExplanationError, match="heat maps of another network would explain noth"):
        explain_photos(folder, questions)


@pytest.mark.parametrize(
    ("resize", "box"), [("pad", (0.0, -1 / 6, 1.0, 7 / 6)), ("squash", (0.0, 0.0, 1.0, 1.0))]
)
def test_the_box_follows_the_resize(
    photo_folder: Path, tmp_path: Path, resize: str, box: tuple[float, ...]
) -> None:
    approach = rg.LinearProbe(rg.get_backbone("efficientnet_lite0"), resize=resize)
    folder = save(approach.fit(rg.scan(photo_folder)), tmp_path)
    found = explain_photos(folder, ask(sorted(photo_folder.rglob("*.jpg"))[:2]))
    assert found.maps
    for heat_map in found.maps:
        assert heat_map.box == pytest.approx(box, abs=0.005)


@pytest.mark.slow
def test_with_two_views_a_mirrored_photo_has_the_mirrored_map(
    photo_folder: Path, tmp_path: Path
) -> None:
    folder = save(rg.LinearProbe(views=2).fit(rg.scan(photo_folder)), tmp_path)
    with Image.open(next(iter((photo_folder / "messy").iterdir()))) as photo:
        square = photo.resize((128, 128))  # of which the middle is the middle of its mirror image
    square.save(tmp_path / "plain.png")
    square.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirror.png")
    pair = ask([tmp_path / "plain.png", tmp_path / "mirror.png"])
    plain, mirror = (np.array(m.values) for m in explain_photos(folder, pair).maps)
    assert np.allclose(plain, mirror[:, ::-1], atol=0.01)
    assert not np.allclose(plain, mirror, atol=0.2)
