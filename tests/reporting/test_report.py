"""The page as a whole: complete, offline, unable to run what a file name contains."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from regraft.dataset import Dataset, Row
from regraft.evidence.evaluation import CROSS_VALIDATION, TEST, ClassScore, Evaluation
from regraft.evidence.explaining import Explanations, write_explanations
from regraft.inspection.issues import Issue
from regraft.metrics import METRICS
from regraft.metrics.rates import Estimate
from regraft.reporting import build_report
from regraft.runs import ImagePrediction, Run
from regraft.storage.locations import shareable
from tests.reporting.page import Page, squeezed
from tests.reporting.sample_runs import (
    FULL_COMPARISON,
    GUIDE,
    LEARNING_CURVE,
    evaluate,
    explain_run,
    make_full_run,
    make_run,
    with_estimates,
)

NASTY = (
    '<script>alert("x")</script>',
    '"><img src=x onerror=alert(1)>',
    "'; alert(1); '",
    "{{ 7 * 7 }}{% for x in y %}",
    "</style><style>body{display:none}",
    "javascript:alert(1)",
    "&lt;b&gt; & co",
    "日本語 ☃ émigré",
    "a\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
)


def check_scripts(page: Page) -> None:
    """At most one script runs: the one whose hash the page itself names."""
    scripts = page.all("script")
    data = [e for e in scripts if e.attributes.get("type") == "application/json"]
    for element in data:
        json.loads(element.text)
    running = [e for e in scripts if e not in data]
    (policy,) = (
        e.attributes["content"]
        for e in page.all("meta")
        if e.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    digests = re.findall(r"script-src '([^']*)'", policy)
    assert len(running) == len(digests) <= 1
    for element, digest in zip(running, digests, strict=True):
        hashed = hashlib.sha256(element.text.encode()).digest()
        assert digest == f"sha256-{base64.b64encode(hashed).decode()}"
        assert not element.attributes


def check_page(html: str) -> Page:
    """What must hold for every report; returns the page for more."""
    page = Page(html)
    assert page.unclosed == []
    check_scripts(page)
    for element in page.elements:
        assert not [name for name in element.attributes if name.startswith("on")], element
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            value = element.attributes.get(name, "")
            assert not value or value.startswith(("data:", "#")), element
    assert not re.search(r"@import|url\(", page.all("style")[0].text)
    assert len(page.all("style")) == 1
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    targets = [e.attributes["href"][1:] for e in page.all("a")]
    assert targets
    assert set(targets) <= set(ids)
    images = page.all("img")
    for image in images:
        assert image.attributes["src"].startswith("data:image/jpeg;base64,")
        assert image.attributes["alt"]
    for drawing in page.all("svg"):
        is_named = drawing.attributes.get("role") == "img" and drawing.attributes["aria-label"]
        assert is_named or drawing.attributes.get("aria-hidden") == "true"
    assert len(page.all("h1")) == 1
    levels = [int(e.tag[1]) for e in page.elements if re.fullmatch(r"h[1-6]", e.tag)]
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), levels
    assert page.all("html")[0].attributes["lang"] == "en"
    assert page.all("title")[0].text.strip()
    return page


def test_answers_the_questions_in_their_order(tmp_path: Path) -> None:
    page = check_page(build_report(make_run(tmp_path / "pets", test=10)))
    titles = [e.text for e in page.all("h2")]
    assert titles == [
        "Can I trust it?",
        "How good is it?",
        "Where does it fail?",
        "What is in my data?",
        "What else was tried?",
        "What next?",
        "What was run?",
    ]
    assert page.all("h1")[0].text == "pets"
    text = page.text
    assert "Test set" in text
    assert "Cross-validation" in text
    assert "cannot be told apart" in text
    assert "skipped: the time budget was used up" in text
    assert "regraft predict runs/photos photo.jpg" in text
    assert "Apache-2.0" in text
    assert "One folder per class." in text
    assert "The val images are the test set." in text
    assert "24 training images: every choice was made on them." in text


def test_a_full_run_answers_more_questions(tmp_path: Path) -> None:
    page = check_page(build_report(make_full_run(tmp_path)))
    titles = [e.text for e in page.all("h2")]
    assert titles[4:9] == [
        "Which approach, and why?",
        "What else was tried?",
        "What did transfer buy?",
        "How did training go?",
        "Would more photos help?",
    ]
    contents = page.all("nav")[0].text
    assert [line for line in contents.splitlines() if line] == titles
    text = page.text
    assert "That is the rule of thumb for data that is small and similar." in text
    assert "similar: 0.22 standard deviations from the photos of ImageNet-1k" in text
    assert "data held: training only a new head was measured to be best." in text
    assert "The winner scored 95.0 % when it was chosen" in text
    assert "Starting from pretrained weights gave +34.0 points" in text
    assert "It overfits: after epoch 5" in text
    assert "would give +1.2 points [+0.1, +3.0]." in text
    assert len(page.all("svg", class_="lines")) == 5 + 2  # two are of facts by class
    assert len(page.all("svg", class_="quadrant")) == 1


def test_tells_of_times_photos_and_what_was_stopped(tmp_path: Path) -> None:
    page = check_page(build_report(make_full_run(tmp_path, write_images=False)))
    rows = [squeezed(e.text) for e in page.all("tr")]
    (first,) = (row for row in rows if row.startswith("linear_probe"))
    assert first.endswith("1925 folds3.2 s(4.1 s)")
    (stopped,) = (row for row in rows if row.startswith("scratch"))
    assert "stopped clearly behind after 1 fold" in stopped
    assert stopped.endswith("381 of 5 folds41 s(2 min 10 s)")
    (skipped,) = (row for row in rows if row.startswith("fine_tune on efficientnet_lite0, all"))
    assert "skipped: would need about 210 s" in skipped
    assert skipped.endswith("(3 min 30 s)")
    assert "was stopped early and has been tested on fewer photos" in page.text


@pytest.mark.parametrize(
    ("missing", "title"),
    [
        ("guide", "Which approach, and why?"),
        ("transfer", "What did transfer buy?"),
        ("learning_curve", "Would more photos help?"),
    ],
)
def test_of_what_a_run_does_not_hold_nothing_is_shown(
    tmp_path: Path, missing: str, title: str
) -> None:
    comparison = {**FULL_COMPARISON, missing: None, "selection": None}
    run = make_full_run(tmp_path, comparison=comparison, write_images=False)
    html = build_report(run)
    assert title not in html
    assert len(check_page(html).all("h2")) == 10
    assert "The winner scored" not in html


def test_a_run_without_training_files_has_no_such_section(tmp_path: Path) -> None:
    run = make_full_run(tmp_path, write_images=False)
    (run.folder / "training.csv").unlink()
    (run.folder / "lr_range.csv").unlink()
    html = build_report(run)
    assert "How did training go?" not in html
    check_page(html)


def test_says_the_verdict_in_plain_words(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=50)
    page = check_page(build_report(run))
    verdict = squeezed(page.all("p", class_="verdict")[0].text)
    low, high = (
        100 * x for x in (run.evaluations[0].accuracy.low, run.evaluations[0].accuracy.high)
    )
    assert verdict == (
        f"Right on 80.0 % of photos it had not seen, between {low:.1f} and {high:.1f} %"
    )
    context = squeezed(page.all("div", class_="context")[0].text)
    assert "Always answering “cat” would be right on 50.0 %." in context


def test_a_small_test_set_does_not_lead(tmp_path: Path) -> None:
    page = check_page(build_report(make_run(tmp_path, train=40, test=5)))
    assert squeezed(page.all("div", class_="who")[0].text) == "Cross-validation80 photos"
    assert "10 photos of the test set, too few to settle it" in squeezed(
        page.all("div", class_="context")[0].text
    )


def test_a_large_test_set_leads(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=100, test=50, write_images=False)
    page = check_page(build_report(run))
    assert squeezed(page.all("div", class_="who")[0].text) == "Test set100 photos"


def test_nothing_in_a_name_becomes_markup(tmp_path: Path) -> None:
    rows = [Row(name, label=name, status="unreadable", reason=f"reason {name}") for name in NASTY]
    issues = [Issue(name, name, 1.0, name) for name in NASTY]
    about = {"notes": list(NASTY), "reading": list(NASTY)}
    about |= {"settings": {n: n for n in NASTY}, "command": NASTY[0], "layout": NASTY[1]}
    about |= {"backbone": {"name": NASTY[0], "licence": NASTY[1]}, "regraft": NASTY[0]}
    comparison = {
        "candidates": [{"title": NASTY[0], "status": "failed", "reason": NASTY[1], "seconds": 1}],
        "verdict": NASTY[0],
        "guide": {
            **GUIDE,
            **dict.fromkeys(("quadrant", "advice", "reason", "source", "held"), NASTY[0]),
        },
        "transfer": {**FULL_COMPARISON["transfer"], "text": NASTY[1]},
        "learning_curve": {**LEARNING_CURVE, "text": NASTY[4], "approach": NASTY[0]},
        "selection": {"text": NASTY[1]},
    }
    run = make_run(
        tmp_path / NASTY[1].replace("/", ""),
        classes=NASTY,
        train=2,
        test=2,
        wrong=0.5,
        more_rows=rows,
        issues=issues,
        about=about,
        comparison=comparison,
    )
    with (tmp_path / "training.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["candidate", "fold", "epoch", "step", "train_loss", "fold_loss"])
        writer.writerows([name, name, i, "", 1 / i, 1 / i] for name in NASTY for i in (1, 2, 3))
    run = dataclasses.replace(run, folder=tmp_path)
    page = check_page(build_report(run))
    for name in NASTY:
        assert squeezed(name) in page.text
    assert page.all("h1")[0].text == run.data.root.name
    assert not [e for e in page.all("img") if "onerror" in e.attributes]


def test_works_without_a_test_set(tmp_path: Path) -> None:
    page = check_page(build_report(make_run(tmp_path)))
    assert page.all("input") == []  # no tabs: there is one estimate
    assert "Test set" not in page.text


def test_many_classes_get_pairs_and_a_compact_matrix(tmp_path: Path) -> None:
    classes = [f"class {i:02}" for i in range(40)]
    run = make_run(tmp_path, classes=classes, train=4, wrong=0.25)
    page = check_page(build_report(run))
    assert "The 20 most frequent of 40 kinds of confusion." in page.text
    assert "The 15 weakest of 40 classes" in page.text
    assert "12 of 40 classes, evenly spaced in alphabetical order." in page.text
    assert len(page.all("svg", class_="matrix")) == 1
    assert page.all("table", class_="confusion") == []
    assert len(page.all("img")) == 24 + 12 * 4


def test_few_classes_get_a_matrix_with_numbers(tmp_path: Path) -> None:
    page = check_page(build_report(make_run(tmp_path, train=10, wrong=0.2)))
    cells = [squeezed(e.text) for e in page.all("td") if "--share" in e.attributes.get("style", "")]
    assert cells == ["880.0 %", "220.0 %", "220.0 %", "880.0 %"]  # count, share of the row


def test_says_which_repeat_the_errors_are_of(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    twice = tuple(dataclasses.replace(e, accuracy_by_repeat=(0.8, 0.8)) for e in run.evaluations)
    page = check_page(build_report(dataclasses.replace(run, evaluations=twice)))
    assert "predictions of the first of 2 repeats of cross-validation" in page.text
    wrong = sum(p.predicted != p.label for p in run.predictions)
    which = "in cross-validation (the first of 2 repeats)"
    assert f"Wrong were {wrong} of the 24 photos {which}." in page.text
    cards = squeezed(page.all("dl", class_="cards")[0].text)
    assert f"Wrong on{wrong}of 24 photos, in the first of 2 repeats" in cards.replace(" on ", " on")
    assert "first of 2" not in check_page(build_report(run)).text


def test_says_so_when_there_is_no_error(tmp_path: Path) -> None:
    page = check_page(build_report(make_run(tmp_path, wrong=0.0)))
    assert "None: all 24 photos that it was tested on were predicted as labelled." in page.text


def test_shows_the_most_confident_errors_first_and_says_how_many(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=40, wrong=0.5, test=4)
    page = check_page(build_report(run))
    shown = [squeezed(e.text) for e in page.all("figcaption") if "Labelled" in e.text]
    assert len(shown) == 24
    assert "The 24 it was surest of." in page.text
    assert "Wrong were 4 of the 8 photos of the test set and 40 of the 80 photos in " in page.text
    sure = [float(found[1]) for text in shown if (found := re.search(r"([\d.]+) %", text))]
    assert sure == sorted(sure, reverse=True)
    assert len(sure) == 24


def test_lists_what_could_not_be_used(tmp_path: Path) -> None:
    rows = [Row(f"{i}.jpg", status="unreadable", reason="the file is empty") for i in range(30)]
    rows.append(Row("x/readme.txt", status="ignored", reason="not an image"))
    issues = [Issue(row.path, "unreadable", 1.0, row.reason) for row in rows[:30]]
    page = check_page(build_report(make_run(tmp_path, more_rows=rows, issues=issues)))
    assert "Unreadable 30" in page.text
    assert "… and 18 more" in page.text
    assert "x/readme.txt not an image" in page.text
    assert "Left out: 30 unreadable." in page.text
    assert "55 files found" in page.text


def test_photos_that_are_gone_leave_their_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (tmp_path / "train/0/0.jpg").unlink()
    (tmp_path / "train/1/0.jpg").write_bytes(b"no image any more")
    page = check_page(build_report(run))
    gone = [squeezed(e.text) for e in page.all("span", class_="gone")]
    assert "no picturethe file is not there" in gone
    assert any(text.startswith("no picturenot an image") for text in gone)


def test_no_photo_at_all_is_left(tmp_path: Path) -> None:
    page = check_page(build_report(make_run(tmp_path, write_images=False)))
    assert page.all("img") == []
    assert len(page.all("span", class_="gone")) >= 16


def test_unlabelled_photos_are_shown_and_not_scored(tmp_path: Path) -> None:
    row = Row("new/a.jpg", f"{9:064x}", status="unlabelled", width=9, height=9, mode="RGB")
    run = make_run(tmp_path, more_rows=[row])
    new = ImagePrediction("new/a.jpg", "", "cat", 0.7, "", -1, (0.7, 0.3))
    page = check_page(build_report(dataclasses.replace(run, predictions=(*run.predictions, new))))
    assert "1 photo was predicted and not scored" in page.text
    assert "of the 24 photos in cross-validation." in page.text


def test_a_number_that_does_not_exist_is_said_to(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    nothing = Estimate(math.nan, math.nan, math.nan, "bootstrap")
    evaluations = tuple(with_estimates(e, roc_auc=nothing) for e in run.evaluations)
    html = build_report(dataclasses.replace(run, evaluations=evaluations))
    page = check_page(html)
    assert "n/a" in page.text
    assert (
        "nan" not in html.replace("data:image", "").lower().split("</style>")[1].split("<main")[0]
    )
    assert not re.search(r'="[^"]*\bnan\b', html)


def test_a_run_from_before_a_metric_existed_is_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    older = []
    for evaluation in run.evaluations:
        written = evaluation.to_dict()
        for name in METRICS:
            if name != "accuracy":
                del written[name]
        older.append(Evaluation.from_dict(written))
    page = check_page(build_report(dataclasses.replace(run, evaluations=tuple(older))))
    assert page.text.count("n/a") >= len(METRICS) - 1


def test_a_class_without_a_photo_to_test_on(tmp_path: Path) -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]])
    evaluation = evaluate(TEST, labels, probabilities, ("a", "b", "c"))
    run = make_run(tmp_path, classes=("a", "b", "c"), evaluations=[evaluation])
    page = check_page(build_report(run))
    assert "no photo of it" in page.text
    assert "never said" in page.text


def test_a_run_that_says_little_about_itself(tmp_path: Path) -> None:
    page = check_page(build_report(make_run(tmp_path, about={}, evaluations=[])))
    assert "This run holds no evaluation." in page.text


def test_a_run_without_rows(tmp_path: Path) -> None:
    run = make_run(tmp_path, evaluations=[])
    empty = Dataset.from_rows(tmp_path, [])
    check_page(build_report(dataclasses.replace(run, data=empty, predictions=())))


def test_names_that_are_not_valid_unicode_can_be_written(tmp_path: Path) -> None:
    row = Row("caf\udce9.jpg", status="unreadable", reason="the file is empty")
    html = build_report(make_run(tmp_path, more_rows=[row]))
    assert "caf?.jpg" in html
    html.encode("utf-8")


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    run = make_run(tmp_path, test=3)
    assert build_report(run) == build_report(run)


def test_forbids_requests_and_scripts(tmp_path: Path) -> None:
    page = check_page(build_report(make_run(tmp_path)))
    (policy,) = (
        e.attributes["content"]
        for e in page.all("meta")
        if e.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert "script-src" not in policy


@pytest.mark.slow
def test_a_thousand_classes_stay_under_six_megabytes(tmp_path: Path) -> None:
    classes = [f"species number {i}" for i in range(1000)]
    run = make_run(
        tmp_path,
        classes=classes,
        train=19,
        test=1,
        wrong=0.3,
        evaluations=[_large(TEST, classes), _large(CROSS_VALIDATION, classes)],
        write_images=False,
    )
    _write_noise(run)
    html = build_report(run)
    page = check_page(html)
    assert len(page.all("img")) == 24 + 12 * 8
    assert len(html.encode()) < 6e6
    assert "970 classes of a size in between, not shown" in page.text


@pytest.mark.slow
def test_two_hundred_photos_stay_under_one_and_a_half_megabytes(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=90, test=10, wrong=0.3, write_images=False)
    _write_noise(run)
    html = build_report(run)
    assert len(check_page(html).all("img")) == 24 + 2 * 8
    assert len(html.encode()) < 1.5e6


def _write_noise(run: Run) -> None:
    """Photos of noise, which compress worse than any photo of something."""
    from PIL import Image

    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    picture = noise.resize((640, 480))
    first = run.data.root / run.data.rows[0].path
    first.parent.mkdir(parents=True, exist_ok=True)
    picture.save(first)
    for row in run.data.rows[1:]:
        path = run.data.root / row.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(first)


def _large(on: str, classes: list[str]) -> Evaluation:
    """Metrics of a thousand classes without their slow resampling."""
    k = len(classes)
    random = np.random.default_rng(1)
    confusion = np.diag(np.full(k, 13.0))
    np.add.at(confusion, (random.integers(k, size=6000), random.integers(k, size=6000)), 1.0)
    some = Estimate(0.7, 0.68, 0.72, "bootstrap")
    small = evaluate(on, np.array([0, 1]), np.array([[0.9, 0.1], [0.4, 0.6]]), classes[:2])
    scores = {name: ClassScore(20, Estimate(0.7, 0.5, 0.9, "wilson"), 0.7, 0.7) for name in classes}
    return dataclasses.replace(
        with_estimates(small, accuracy=some, balanced_accuracy=some, macro_f1=some),
        n=20_000,
        classes=tuple(classes),
        per_class=scores,
        confusion=confusion,
        majority_share=0.001,
    )


# --- Heat maps


def test_heat_maps_are_shown_beside_what_they_explain(tmp_path: Path) -> None:
    run = explain_run(make_run(tmp_path / "pets", train=20), tmp_path / "run")
    page = check_page(build_report(run))
    errors = [p for p in run.predictions if p.predicted != p.label]
    heat = [e for e in page.all("img") if "heat map of what speaks for" in e.attributes["alt"]]
    assert len(heat) == len(errors) + 4
    assert len(page.all("div", class_="heated")) == len(heat)
    (switch,) = page.all("input", class_="switch")
    assert switch.attributes["type"] == "checkbox"
    assert "checked" in switch.attributes
    (label,) = page.all("label", for_="show-heat")
    assert switch.attributes["id"] == "show-heat"
    assert label.text == "Show heat maps"
    assert "Typical hits" in [e.text for e in page.all("h3")]
    text = page.text
    assert "finds evidence for the class that was said, on 3 × 3 places" in text
    assert "neither what was recognised there nor whether that is a good reason" in text
    assert "darkened at the edges was cut off" in text
    assert "the maps change (median rank correlation 0.12" in text
    assert "1 photo has no map: the file is not there." in text
    assert text.count("; the final model now says") == len(errors)


def test_maps_that_do_not_depend_on_what_was_learned_are_not_shown(tmp_path: Path) -> None:
    run = explain_run(make_run(tmp_path / "pets"), tmp_path / "run", correlation=0.71)
    html = build_report(run)
    page = check_page(html)
    assert page.all("div", class_="heated") == []
    assert "heat map of" not in html
    assert "Typical hits" not in html
    assert page.all("input", class_="switch") == []
    assert "No heat maps are shown. With random weights" in page.text
    assert "hardly change (median rank correlation 0.71" in page.text


def test_why_there_are_no_heat_maps(tmp_path: Path) -> None:
    run = dataclasses.replace(make_run(tmp_path / "pets"), folder=tmp_path)
    without = build_report(run)
    assert "heat maps" not in check_page(without).text
    assert f"regraft explain {shareable(tmp_path, Path.cwd())}" in without
    write_explanations(tmp_path, Explanations(reason="a knn model has <b>no</b> gradient"))
    page = check_page(build_report(run))
    assert "No heat maps are shown. A knn model has <b>no</b> gradient." in page.text
    assert "regraft explain" not in page.text


def test_heat_maps_of_photos_that_are_gone_or_unknown(tmp_path: Path) -> None:
    run = explain_run(make_run(tmp_path / "pets"), tmp_path / "run")
    errors = [p for p in run.predictions if p.predicted != p.label]
    (tmp_path / "pets" / errors[0].path).unlink()
    page = check_page(build_report(run))
    assert len(page.all("div", class_="heated")) == len(errors) - 1 + 4
    others = dataclasses.replace(run, predictions=run.predictions[-1:])
    assert "Typical hits" not in build_report(others)


def test_names_in_heat_maps_are_text(tmp_path: Path) -> None:
    run = explain_run(make_run(tmp_path / "pets", classes=NASTY), tmp_path / "run", hits=9)
    page = check_page(build_report(run))
    alts = [e.attributes["alt"] for e in page.all("img")]
    for name in NASTY:
        assert any(f"heat map of what speaks for {name}" in alt for alt in alts)
