"""Tests of the first look: the map, neighbours, how classes keep apart, facts and mean images."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from regraft.dataset import Dataset, scan
from regraft.features.measures import measure_rows
from regraft.inspection import exploring
from regraft.inspection.exploring import Exploration, explore, lay_out
from regraft.inspection.issues import Findings, look
from regraft.storage.records import from_json, to_json

CLASSES, EACH = 3, 12


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Three classes of plain pictures: reds, greens, blues, each a little different."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("red", "green", "blue")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(EACH):
            pixels = random.integers(0, 40, (24, 32, 3))
            pixels[..., number] += 60 + 10 * i
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(tmp_path / "photos" / name / f"{i:02}.png")
    return scan(tmp_path / "photos")


def features_of(data: Dataset, *, apart: float = 8.0) -> np.ndarray:
    """Clouds around one centre a class, `apart` times their spread from each other."""
    random = np.random.default_rng(1)
    centres = apart * np.eye(CLASSES, 16)
    cloud = centres[data.labels(data.ok)] + random.normal(size=(len(data.ok), 16)) / 4
    found: np.ndarray = cloud.astype(np.float32)
    return found


def explored(data: Dataset, features: np.ndarray) -> tuple[Exploration, Findings]:
    measures = measure_rows(data, data.ok)
    found = look(data, features=features, measures=measures)
    return explore(data, found, features, measures), found


def test_like_photos_lie_close_together_on_the_map(data: Dataset) -> None:
    features = features_of(data)
    exploration, _ = explored(data, features)
    labels = data.labels(data.ok)
    at = np.array([(p.x, p.y) for p in exploration.places])
    assert [p.path for p in exploration.places] == [row.path for row in data.ok]
    assert at.min() >= 0
    assert at.max() <= 1
    far = np.linalg.norm(at[:, None] - at[None], axis=2)
    np.fill_diagonal(far, np.inf)
    assert (labels[far.argmin(axis=1)] == labels).mean() > 0.9


def test_the_nearest_are_those_with_the_most_similar_features(data: Dataset) -> None:
    features = features_of(data)
    exploration, _ = explored(data, features)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for i, place in enumerate(exploration.places):
        near = (unit @ unit[i])[list(place.nearest)]
        assert i not in place.nearest
        assert len(place.nearest) == exploring.NEAREST
        assert (np.diff(near) <= 1e-6).all()
        others = np.delete(unit @ unit[i], [i, *place.nearest])
        assert near[-1] >= others.max() - 1e-6


def test_separable_classes_are_found_by_their_neighbours(data: Dataset) -> None:
    exploration, _ = explored(data, features_of(data))
    assert exploration.separable is not None
    assert exploration.separable.value == 1.0
    assert exploration.separable.low < 1.0
    assert {c.name for c in exploration.classes} == {"red", "green", "blue"}
    assert all(c.overlaps == "" for c in exploration.classes)


def test_overlapping_classes_are_told_with_the_one_they_are_taken_for(data: Dataset) -> None:
    features = features_of(data)
    labels = data.labels(data.ok)
    red, blue = data.classes.index("red"), data.classes.index("blue")
    features[labels == red] = features[labels == blue] + 1e-3  # red looks like blue
    exploration, found = explored(data, features)
    found = replace(found, copies=())
    by_name = {c.name: c for c in exploration.classes}
    assert by_name["green"].found.value == 1.0
    assert by_name["red"].found.value < 1.0
    assert by_name["red"].overlaps == "blue"
    assert exploration.classes[-1].name == "green"  # the least separable come first


def test_of_many_photos_a_sample_is_placed(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploring, "MAP_PHOTOS", 9)
    exploration, _ = explored(data, features_of(data))
    assert exploration.images == CLASSES * EACH
    assert len(exploration.places) == 9
    shown = {p.path.split("/")[0] for p in exploration.places}
    assert shown == {"red", "green", "blue"}
    assert all(max(p.nearest) < 9 for p in exploration.places)


def test_facts_are_counted_by_class(data: Dataset) -> None:
    exploration, _ = explored(data, features_of(data))
    spreads = {s.name: s for s in exploration.spreads}
    assert "aspect ratio" not in spreads  # all photos have the same
    brightness = spreads["brightness"]
    assert {name: sum(counts) for name, counts in brightness.counts.items()} == {
        "red": EACH,
        "green": EACH,
        "blue": EACH,
    }
    assert list(brightness.edges) == sorted(brightness.edges)


def test_the_mean_image_shows_the_class(data: Dataset) -> None:
    exploration, _ = explored(data, features_of(data))
    for channel, name in enumerate(("red", "green", "blue")):
        with Image.open(io.BytesIO(exploration.means[name])) as mean:
            colours = np.asarray(mean.convert("RGB")).mean(axis=(0, 1))
        assert int(colours.argmax()) == channel


def test_it_survives_being_written_and_read(data: Dataset) -> None:
    exploration, _ = explored(data, features_of(data))
    text = json.dumps(to_json(exploration), allow_nan=False)
    again = from_json(json.loads(text), Exploration)
    assert json.dumps(to_json(again)) == text
    assert again.places[0].thumbnail == exploration.places[0].thumbnail
    assert again.means == exploration.means


def test_photos_without_features_are_left_out_of_the_map(data: Dataset) -> None:
    features = features_of(data)
    features[3] = np.nan
    exploration, _ = explored(data, features)
    assert len(exploration.places) == CLASSES * EACH - 1
    assert data.ok[3].path not in {p.path for p in exploration.places}


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(0, 12),
    d=st.integers(1, 6),
    same=st.booleans(),
    seed=st.integers(0, 100),
)
def test_any_features_are_laid_out_within_the_map(n: int, d: int, same: bool, seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(n, d))
    if same and n:
        features[:] = features[0]
    at = lay_out(features.astype(np.float32))
    assert at.shape == (n, 2)
    assert np.isfinite(at).all()
    assert ((at >= 0) & (at <= 1)).all()


def test_the_map_does_not_depend_on_chance(data: Dataset) -> None:
    features = features_of(data)
    assert np.array_equal(lay_out(features), lay_out(features))
