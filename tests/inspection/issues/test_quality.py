"""Quality: cleanvision's scores and verdicts, and what all photos share is said once."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from regraft.features.measures import Measures
from regraft.inspection.issues import find_faults
from regraft.inspection.issues.quality import COMMON
from regraft.kinds.images.attributes import SIGNATURE_PX, Attributes, measure
from regraft.kinds.images.examiner import EXAMINER, THRESHOLDS, odd_sizes, quality_scores


def attributes_of(image: Image.Image) -> Attributes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return measure(out.getvalue())[0]


def measures_of(attributes: Sequence[Attributes | None]) -> Measures:
    signatures = np.zeros((len(attributes), SIGNATURE_PX, SIGNATURE_PX), dtype=np.uint8)
    return Measures(tuple(attributes), signatures, (b"",) * len(attributes), {})


@pytest.fixture(scope="module")
def pictures(test_data: Path) -> dict[str, Image.Image]:
    """Good photos, and for every kind of fault one that has it."""
    found: dict[str, Image.Image] = {}
    for path in sorted((test_data / "rooms" / "train").glob("*/*.png"))[::8]:
        with Image.open(path) as opened:
            found[f"{path.parent.name}/{path.name}"] = opened.convert("RGB")
    photo = next(iter(found.values()))
    across = np.linspace(0, 1, 299)
    fading = 180 * (0.98 * across + 0.02 * across[:, None])  # an even histogram without edges
    return found | {
        "black": Image.new("RGB", (299, 299)),
        "white": Image.new("RGB", (299, 299), (255, 255, 255)),
        "flat": Image.new("RGB", (299, 299), (120, 90, 60)),
        "dark": photo.point(lambda value: value // 5),
        "pale": photo.point(lambda value: 245 + value // 30),
        "blurred": Image.fromarray(fading.astype(np.uint8)).convert("RGB"),
        "out of focus": photo.filter(ImageFilter.GaussianBlur(8)),
        "wide": photo.resize((900, 100)),
        "tall": photo.resize((60, 400)),
        "tiny": photo.resize((12, 12)),
        "huge": photo.resize((900, 900)),
    }


@pytest.fixture(scope="module")
def good(pictures: dict[str, Image.Image]) -> list[Attributes]:
    found = [attributes_of(image) for name, image in pictures.items() if name.endswith(".png")]
    assert len(found) == 24
    return found


def cleanvisions(pictures: Sequence[Image.Image]) -> dict[str, tuple[list[float], list[bool]]]:
    """Scores and verdicts of cleanvision for each kind of fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from cleanvision.issue_managers.image_property_issue_manager import (
            ImagePropertyIssueManager,
        )

        manager: Any = ImagePropertyIssueManager()
        raw = [
            {
                k: v
                for what in EXAMINER.faults
                for k, v in manager.image_properties[what].calculate(p).items()
            }
            for p in pictures
        ]
        table = pd.DataFrame(raw)
        found = {}
        for what in EXAMINER.faults:
            theirs, params = manager.image_properties[what], manager.params[what]
            scores = theirs.get_scores(table[theirs.score_columns], what, **params)
            marks = theirs.mark_issue(scores, what, params.get("threshold"))
            found[what] = (scores.iloc[:, 0].tolist(), marks.iloc[:, 0].tolist())
    return found


def test_scores_are_those_of_cleanvision(pictures: dict[str, Image.Image]) -> None:
    ours = quality_scores([attributes_of(image) for image in pictures.values()])
    theirs = cleanvisions(list(pictures.values()))
    small = np.array([max(image.size) <= 512 for image in pictures.values()])
    for what in THRESHOLDS:
        wanted = np.array(theirs[what][0])
        assert ours[what][small] == pytest.approx(wanted[small], abs=1e-4), what
        assert ours[what] == pytest.approx(wanted, abs=0.03), what  # the others are reduced first


def test_verdicts_are_those_of_cleanvision(pictures: dict[str, Image.Image]) -> None:
    attributes = [attributes_of(image) for image in pictures.values()]
    ours = quality_scores(attributes)
    theirs = cleanvisions(list(pictures.values()))
    for what, limit in THRESHOLDS.items():
        assert (ours[what] < limit).tolist() == theirs[what][1], what
        assert any(theirs[what][1]), what
    assert odd_sizes(attributes).tolist() == theirs["odd_size"][1]


def test_odd_sizes_are_those_of_cleanvision_where_sizes_vary() -> None:
    sizes = [(200 + 7 * i, 150 + 5 * i) for i in range(30)] + [(9, 9), (40, 50), (900, 700)]
    images = [Image.new("RGB", size) for size in sizes]
    found = odd_sizes([attributes_of(image) for image in images])
    assert found.tolist() == cleanvisions(images)["odd_size"][1]
    assert found.any()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("black", "dark"),
        ("dark", "dark"),
        ("white", "light"),
        ("pale", "light"),
        ("flat", "low_information"),
        ("blurred", "blurry"),
        ("wide", "odd_aspect_ratio"),
        ("tall", "odd_aspect_ratio"),
        ("tiny", "odd_size"),
        ("huge", "odd_size"),
    ],
)
def test_a_single_fault_is_told_of_its_photo(
    name: str, what: str, pictures: dict[str, Image.Image], good: list[Attributes]
) -> None:
    found = find_faults(measures_of([*good, attributes_of(pictures[name])]))
    assert what in {fault.what for fault in found.faults if fault.row == len(good)}
    assert all(0 <= fault.score <= 1 for fault in found.faults)


def test_the_worse_a_photo_the_higher_its_score(
    pictures: dict[str, Image.Image], good: list[Attributes]
) -> None:
    bad = [attributes_of(pictures[name]) for name in ("dark", "black")]
    dark = [f for f in find_faults(measures_of([*good, *bad])).faults if f.what == "dark"]
    score = {fault.row: fault.score for fault in dark}
    assert score[len(good)] < score[len(good) + 1]


def test_what_most_photos_have_is_said_once() -> None:
    random = np.random.default_rng(0)
    photo = Image.fromarray(random.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    dark = attributes_of(photo.point(lambda value: value // 5))
    found = find_faults(measures_of([dark] * 15 + [attributes_of(photo)] * 5))
    assert found.common["dark"] == 0.75
    assert "dark" not in {fault.what for fault in found.faults}


def test_a_tenth_of_the_photos_is_not_yet_a_property_of_the_data() -> None:
    random = np.random.default_rng(0)
    photo = Image.fromarray(random.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    good, dark = attributes_of(photo), attributes_of(photo.point(lambda value: value // 5))
    found = find_faults(measures_of([dark] * 2 + [good] * 18))
    assert [f.row for f in found.faults if f.what == "dark"] == [0, 1]
    assert "dark" not in found.common
    assert round(COMMON * 20) == 2


def test_few_photos_have_no_properties_in_common() -> None:
    black = attributes_of(Image.new("RGB", (40, 40)))
    found = find_faults(measures_of([black] * 3))
    assert found.common == {}
    assert [f.row for f in found.faults if f.what == "dark"] == [0, 1, 2]


def test_rows_that_could_not_be_read_are_passed_over() -> None:
    black = attributes_of(Image.new("RGB", (40, 40)))
    found = find_faults(measures_of([None, black, None]))
    assert {fault.row for fault in found.faults} == {1}


@pytest.mark.parametrize("attributes", [[], [None], [None, None]])
def test_without_a_photo_there_is_no_fault(attributes: list[None]) -> None:
    found = find_faults(measures_of(attributes))
    assert (found.faults, dict(found.common)) == ((), {})


def test_every_fault_has_words(pictures: dict[str, Image.Image]) -> None:
    one = attributes_of(pictures["wide"])
    scores = quality_scores([one, replace(one, grey_spread=0.0, sharpness=0.0)])
    assert set(scores) == set(THRESHOLDS) <= set(EXAMINER.faults)
    assert all(math.isfinite(score) for column in scores.values() for score in column)
