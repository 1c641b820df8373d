"""Shortcuts: how a class was photographed is an alarm; chance and the subject itself are none."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from regraft.dataset import Row
from regraft.inspection.issues import Shortcuts, find_shortcuts, shortcuts
from regraft.inspection.issues.shortcuts import file_numbers
from regraft.kinds.images.attributes import Attributes, measure
from regraft.kinds.images.examiner import EXAMINER
from regraft.metrics.rates import IntArray
from regraft.storage.records import to_json

N = 60
LABELS: IntArray = np.arange(N) % 2
PATHS = [f"{'ab'[i % 2]}/{i * 7919 % 10_007}.jpg" for i in range(N)]


@dataclass(frozen=True)
class Made:
    """How one photo is taken and kept."""

    width: int = 96
    quality: int = 85
    border: int = 0
    camera: str = ""
    taken: str = ""
    kind: str = "JPEG"
    light: float = 1.0


@cache
def photo(number: int, made: Made) -> Attributes:
    random = np.random.default_rng(number)
    coarse = random.integers(0, 256, (6, 8, 3)) * made.light * random.uniform(0.7, 1.0)
    image = Image.fromarray(coarse.astype(np.uint8)).resize(
        (made.width, made.width * 3 // 4), Image.Resampling.BICUBIC
    )
    if made.border:
        image = ImageOps.expand(image, made.border, (255, 255, 255))
    exif = Image.Exif()
    if made.camera:
        exif[271], exif[272] = "Acme", made.camera
    if made.taken:
        exif.get_ifd(0x8769)[36867] = made.taken
    out = io.BytesIO()
    options = {"quality": made.quality} if made.kind == "JPEG" else {}
    image.save(out, made.kind, exif=exif, **options)
    return measure(out.getvalue())[0]


def rows_of(paths: list[str]) -> list[Row]:
    return [Row(path, f"{i}", "ab"[i % 2], "train") for i, path in enumerate(paths)]


def found_in(
    attributes: list[Attributes], labels: IntArray = LABELS, paths: list[str] = PATHS
) -> Shortcuts:
    found = shortcuts_in(rows_of(paths), attributes, labels)
    assert found is not None
    return found


def shortcuts_in(*given: Any, **more: Any) -> Shortcuts | None:
    return find_shortcuts(*given, examiner=EXAMINER, **more)


def alarms(attributes: list[Attributes], paths: list[str] = PATHS) -> list[str]:
    return list(found_in(attributes, paths=paths).alarms)


def by_class(a: Callable[[int], Made], b: Callable[[int], Made]) -> list[Attributes]:
    return [photo(i, (a, b)[i % 2](i)) for i in range(N)]


def a_day(month: int, i: int) -> str:
    return f"2026:{month:02d}:{1 + i % 28:02d} 12:{i:02d}:00"


PLAIN = [photo(i, Made()) for i in range(N)]


def test_photos_made_alike_raise_no_alarm() -> None:
    found = found_in(PLAIN)
    assert found.alarms == ()
    assert found.guess == 0.5
    assert found.images == N


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("JPEG quality", lambda i: Made(quality=60)),
        ("border", lambda i: Made(border=16)),
        ("image dimensions", lambda i: Made(width=120)),
        ("camera", lambda i: Made(camera="Two")),
        ("file format", lambda i: Made(kind="PNG")),
    ],
)
def test_a_class_that_was_made_differently_is_an_alarm(
    name: str, other: Callable[[int], Made]
) -> None:
    found = found_in(by_class(lambda i: Made(), other))
    (alarm,) = [culprit for culprit in found.alarming if culprit.name == name]
    assert alarm.accuracy.value > 0.95
    assert alarm.told > 0.9
    assert alarm.p < shortcuts.SIGNIFICANT
    assert found.incidental is not None
    assert found.incidental.low > found.guess


def test_two_cameras_with_a_class_each_are_an_alarm() -> None:
    cameras = by_class(lambda i: Made(camera="One"), lambda i: Made(camera="Two"))
    assert alarms(cameras) == ["camera"]


def test_two_cameras_that_share_the_classes_are_none() -> None:
    cameras = [photo(i, Made(camera="One" if i // 2 % 2 else "Two")) for i in range(N)]
    assert alarms(cameras) == []


def test_a_class_taken_in_another_month_is_an_alarm() -> None:
    dated = by_class(lambda i: Made(taken=a_day(5, i)), lambda i: Made(taken=a_day(6, i)))
    assert alarms(dated) == ["date taken"]


def test_a_class_numbered_apart_is_an_alarm() -> None:
    paths = [f"{'ab'[i % 2]}/IMG_{i % 2 * 500 + i:04d}.jpg" for i in range(N)]
    assert alarms(PLAIN, paths) == ["file number"]


def test_classes_numbered_by_turns_are_none() -> None:
    paths = [f"{'ab'[i % 2]}/IMG_{i:04d}.jpg" for i in range(N)]
    assert alarms(PLAIN, paths) == []


def test_a_prefix_for_each_class_is_no_shortcut() -> None:
    paths = [f"all/{('cat', 'dog')[i % 2]}.{i % 2 * 500 + i}.jpg" for i in range(N)]
    assert np.isnan(file_numbers(paths, LABELS)).all()
    assert alarms(PLAIN, paths) == []


def test_numbers_count_only_in_names_of_a_kind_that_classes_share() -> None:
    paths = ["a/IMG_7.jpg", "b/IMG_9.jpg", "a/cat.3.jpg", "b/dog.3.jpg", "a/none.jpg", "b/none.jpg"]
    found = file_numbers(paths, np.array([0, 1, 0, 1, 0, 1]))
    assert [None if math.isnan(number) else number for number in found] == [7, 9] + [None] * 4


def test_the_most_telling_comes_first() -> None:
    half = by_class(
        lambda i: Made(camera="One"), lambda i: Made(camera="Two", quality=60 if i % 4 == 1 else 85)
    )
    assert alarms(half) == ["camera", "JPEG quality"]


def test_brightness_that_goes_with_the_class_informs_and_is_no_alarm() -> None:
    found = found_in(by_class(lambda i: Made(), lambda i: Made(light=0.4)))
    kinds = {culprit.name: culprit.kind for culprit in found.culprits}
    assert kinds["brightness"] == "content"
    assert found.alarms == ()
    assert found.content is not None
    assert found.content.low > found.guess


def random_attributes(random: np.random.Generator) -> Attributes:
    """Facts as photos of many makers have them, none of which knows the class."""
    width, height = (int(side) for side in random.integers(300, 900, 2))
    return replace(
        PLAIN[0],
        width=width,
        height=height,
        file_bytes=int(random.integers(20_000, 90_000)),
        jpeg_quality=float(random.choice([75, 85, 90, 95])),
        subsampling=str(random.choice(["4:4:4", "4:2:0"])),
        camera=str(random.choice(["", "One", "Two", "Three"])),
        taken=float(random.choice([math.nan, *random.uniform(1e9, 2e9, 3)])),
        frame=float(max(0.0, random.normal(-0.1, 0.1))),
        brightness=float(random.uniform()),
        contrast=float(random.uniform(0, 90)),
        sharpness=float(random.uniform(0, 90)),
        red=float(random.uniform(0, 255)),
        saturation=float(random.uniform(0, 90)),
    )


@pytest.mark.parametrize(
    ("labellings", "most"), [(25, 3), pytest.param(200, 15, marks=pytest.mark.slow)]
)
def test_chance_hardly_ever_names_a_culprit(
    labellings: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcuts, "SHUFFLES", 100)
    random = np.random.default_rng(0)
    attributes = [random_attributes(random) for _ in range(N)]
    numbered = [f"{'ab'[i % 2]}/IMG_{i:04d}.jpg" for i in random.permutation(N)]
    named = 0
    for _ in range(labellings):
        labels = random.permutation(LABELS)
        found = shortcuts_in(rows_of(numbered), attributes, labels)
        assert found is not None
        named += bool(found.culprits)
    assert named <= most


def test_a_weak_but_sure_tendency_is_no_alarm() -> None:
    n = 2_000
    random = np.random.default_rng(1)
    labels = np.arange(n) % 2
    better = random.random(n) < 0.5 + 0.06 * (2 * labels - 1)
    attributes = [replace(PLAIN[0], jpeg_quality=95.0 if b else 80.0) for b in better]
    found = shortcuts_in([Row(f"{i}.jpg", f"{i}", "a") for i in range(n)], attributes, labels)
    assert found is not None
    (culprit,) = found.culprits
    assert culprit.name == "JPEG quality"
    assert culprit.told < shortcuts.MATTERS
    assert found.alarms == ()


def test_what_is_told_of_groups_is_less_sure_than_of_as_many_photos() -> None:
    attributes = by_class(lambda i: Made(), lambda i: Made(quality=60 if i % 4 == 1 else 85))
    groups: IntArray = np.arange(N) // 12 * 2 + LABELS
    apart = shortcuts_in(rows_of(PATHS), attributes, LABELS)
    together = shortcuts_in(rows_of(PATHS), attributes, LABELS, groups=groups)
    assert apart is not None
    assert together is not None
    (alone,) = [c.accuracy for c in apart.culprits if c.name == "JPEG quality"]
    grouped = [c.accuracy for c in together.culprits if c.name == "JPEG quality"]
    assert all(one.high - one.low >= alone.high - alone.low for one in grouped)


def test_photos_that_could_not_be_read_are_left_out() -> None:
    attributes: list[Attributes | None] = [*by_class(lambda i: Made(), lambda i: Made(quality=60))]
    attributes[3] = attributes[10] = None
    found = shortcuts_in(rows_of(PATHS), attributes, LABELS)
    assert found is not None
    assert found.images == N - 2
    assert list(found.alarms) == ["JPEG quality"]


@pytest.mark.parametrize("n", [0, 1, 19])
def test_too_few_photos_tell_nothing(n: int) -> None:
    assert shortcuts_in(rows_of(PATHS[:n]), PLAIN[:n], LABELS[:n]) is None


def test_one_class_has_no_shortcut() -> None:
    assert shortcuts_in(rows_of(PATHS), PLAIN, np.zeros(N, dtype=np.int64)) is None


def test_photos_without_any_attributes_tell_nothing() -> None:
    assert shortcuts_in(rows_of(PATHS), [None] * N, LABELS) is None


def test_the_same_photos_give_the_same_answer() -> None:
    attributes = by_class(lambda i: Made(), lambda i: Made(quality=60))
    assert repr(found_in(attributes)) == repr(found_in(attributes))


def test_what_was_found_can_be_written_as_json() -> None:
    found = found_in(by_class(lambda i: Made(), lambda i: Made(border=16)))
    told = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert told["images"] == N
    assert "border" in told["alarms"]
    assert {culprit["name"] for culprit in told["culprits"]} >= set(told["alarms"])


def test_a_class_of_one_photo_does_not_silence_the_others() -> None:
    attributes = [*by_class(lambda _: Made(), lambda _: Made(quality=60)), photo(99, Made())]
    labels = np.append(LABELS, 2)
    found = found_in(attributes, labels, [*PATHS, "c/1.jpg"])
    assert list(found.alarms) == ["JPEG quality"]
    assert found.images == N
