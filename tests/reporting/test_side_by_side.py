"""Several runs on one page: complete, offline, in the order of the single report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from regraft.dataset import Dataset, Row
from regraft.evidence.evaluation import CROSS_VALIDATION
from regraft.inspection.issues import Issue
from regraft.reporting import best_run, build_side_by_side
from regraft.reporting.columns import run_names
from regraft.runs import Run
from tests.reporting.page import Page, squeezed
from tests.reporting.sample_runs import ABOUT, about_of, make_full_run, make_run, with_estimates
from tests.reporting.test_report import NASTY, check_page


def named(run: Run, name: str, **about: Any) -> Run:
    return dataclasses.replace(
        run, folder=Path("runs") / name, about=dataclasses.replace(run.about, **about)
    )


@pytest.fixture
def two(tmp_path: Path) -> list[Run]:
    """Two runs on the same photos, right on 90 % and on 60 % of them."""
    good = make_run(tmp_path, train=60, test=10, wrong=0.1)
    poor = make_run(tmp_path, train=60, test=10, wrong=0.4)
    return [named(poor, "poor"), named(good, "good")]


def rows_of(page: Page) -> dict[str, str]:
    """The text of each line of the tables, by its first cell."""
    heads = [squeezed(e.text) for e in page.all("th", scope="row")]
    lines = [squeezed(e.text) for e in page.all("tr")]
    return {head: line for head in heads for line in lines if line.startswith(head)}


def test_asks_the_same_questions_in_the_same_order(two: list[Run]) -> None:
    page = check_page(build_side_by_side(two))
    titles = [e.text for e in page.all("h2")]
    assert titles == [
        "Can I trust it?",
        "How good is it?",
        "Where does it fail?",
        "What is wrong with the data?",
        "Which approach, at what cost?",
        "What next?",
        "What was run?",
    ]
    contents = page.all("nav")[0].text
    assert [line for line in contents.splitlines() if line] == titles
    assert page.all("h1")[0].text == "poor and good"
    (policy,) = (e for e in page.all("meta") if "http-equiv" in e.attributes)
    assert policy.attributes["content"].startswith("default-src 'none'; img-src data:; style-src")


def test_says_who_is_ahead_and_by_how_much(two: list[Run]) -> None:
    page = check_page(build_side_by_side(two))
    assert page.all("p", class_="verdict")[0].text == "“good” is ahead of “poor”"
    context = squeezed(page.all("div", class_="context")[0].text)
    assert "“good” was right on 90.0 % (between " in context
    assert "“good” is ahead of “poor” on 120 photos that both predicted (+30.0 points, " in context
    assert best_run(two) == 1
    assert "regraft predict runs/good photo.jpg" in page.text
    assert "regraft evaluate runs/poor more_photos/" not in page.text, "there is nothing to settle"


def test_says_when_they_cannot_be_told_apart_and_what_would(tmp_path: Path) -> None:
    first = named(make_run(tmp_path, train=40, wrong=0.2), "first")
    second = named(make_run(tmp_path, train=40, wrong=0.25), "second")
    page = check_page(build_side_by_side([first, second]))
    assert page.all("p", class_="verdict")[0].text == "“first” and “second” cannot be told apart"
    assert "To tell “first” from “second” takes about " in page.text
    assert "there are 80." in page.text
    assert "regraft evaluate runs/first more_photos/" in page.text
    assert "regraft evaluate runs/second more_photos/" in page.text


def test_every_run_has_a_line_on_one_axis(two: list[Run]) -> None:
    page = check_page(build_side_by_side(two))
    assert [squeezed(e.text) for e in page.all("div", class_="who")] == [
        "poorCross-validation, 120 photos",
        "goodCross-validation, 120 photos",
    ]
    lines = [squeezed(e.text) for e in page.all("div", class_="measured")]
    assert sum(line.startswith("poor") for line in lines) == 2 * 6 + 2 + 2  # and as a difference
    assert sum(line.startswith("good") for line in lines) == 2 * 6 + 2
    assert [e.text.split()[0] for e in page.all("label")] == ["Cross-validation", "Test"]


def test_a_large_test_set_of_every_run_leads(tmp_path: Path) -> None:
    large = named(make_run(tmp_path, train=60, test=60, write_images=False), "large")
    small = named(make_run(tmp_path, train=60, test=10, write_images=False), "small")
    page = check_page(build_side_by_side([large, named(large, "again")]))
    assert squeezed(page.all("div", class_="who")[0].text) == "largeTest set, 120 photos"
    page = check_page(build_side_by_side([large, small]))
    assert "Test set" not in squeezed(page.all("figure", class_="hero")[0].text)


def test_runs_without_a_test_set_are_named(two: list[Run], tmp_path: Path) -> None:
    alone = named(make_run(tmp_path, train=60), "alone")
    page = check_page(build_side_by_side([*two, alone]))
    assert "Test set: “alone” has none." in page.text


def test_the_same_photos_are_said_to_be_the_same(two: list[Run]) -> None:
    page = check_page(build_side_by_side(two))
    assert (
        "All runs used the same photos, labels and test set: 120 for training, 20 in the test set."
        in page.text
    )
    assert "They did not keep the same photos together" not in page.text
    rows = [dataclasses.replace(row, group=row.path[:9]) for row in two[0].data.rows]
    grouped = dataclasses.replace(two[0], data=Dataset.from_rows(two[0].data.root, rows))
    page = check_page(build_side_by_side([named(grouped, "a", fingerprint="other"), two[1]]))
    assert "All runs used the same photos, labels and test set" in page.text
    assert "They did not keep the same photos together in a split" in page.text


def test_other_photos_labels_and_classes_are_told(two: list[Run], tmp_path: Path) -> None:
    rows = [
        dataclasses.replace(row, label="fox") if row.path.startswith("train/0/1") else row
        for row in two[0].data.rows[10:]
    ]
    data = Dataset.from_rows(tmp_path, [*rows, Row("z.jpg", "f" * 64, "emu", "test")])
    other = named(dataclasses.replace(two[0], data=data), "other", fingerprint="other")
    page = check_page(build_side_by_side([two[1], other]))
    assert "The runs did not all use the same photos, labels and test set." in page.text
    lines = rows_of(page)
    assert (
        lines["good"]
        == "good140 photos, 20 tested on130 photos, 20 tested on, 10 with another label"
    )
    assert lines["other"].endswith("131 photos, 21 tested on")
    assert "“good” does not know “emu” and “fox”." in page.text
    assert "“other” does not know" not in page.text


def test_runs_on_other_photos_are_not_compared(two: list[Run], tmp_path: Path) -> None:
    rows = [dataclasses.replace(row, sha256="f" + row.sha256[1:]) for row in two[0].data.rows]
    data = Dataset.from_rows(tmp_path, rows)
    other = named(dataclasses.replace(two[0], data=data), "other", fingerprint="other")
    page = check_page(build_side_by_side([two[1], other]))
    verdict = page.all("p", class_="verdict")[0].text
    assert verdict == "“good” has the highest accuracy, on photos that no other run predicted"
    assert "“good” and “other” were tested on no photo in common." in page.text
    assert "No photo was predicted by two of them." in page.text
    assert page.all("figure", class_="difference") == []


def test_a_run_that_is_behind_on_the_photos_they_share(two: list[Run]) -> None:
    poor, good = two
    better = tuple(dataclasses.replace(p, predicted=p.label) for p in poor.predictions)
    ahead = named(dataclasses.replace(poor, predictions=better), "ahead")
    page = check_page(
        build_side_by_side([dataclasses.replace(good, evaluations=_best(good)), ahead])
    )
    assert page.all("p", class_="verdict")[0].text == (
        "“good” has the highest accuracy, but “ahead” is ahead on the photos they share"
    )
    assert "“good” is behind “ahead” on 120 photos" in page.text


def _best(run: Run) -> tuple:  # type: ignore[type-arg]
    """Evaluations that promise more than the predictions hold."""
    return tuple(
        with_estimates(e, accuracy=dataclasses.replace(e.accuracy, value=0.99, high=1.0))
        for e in run.evaluations
    )


def test_photos_they_disagree_on_are_shown_with_what_each_said(two: list[Run]) -> None:
    page = check_page(build_side_by_side(two))
    assert "They disagree on 36 photos of 120 that at least two of them predicted" in page.text
    assert "the 12 on which both sides were surest are shown" in page.text
    shown = [squeezed(e.text) for e in page.all("figcaption") if "Labelled" in e.text]
    assert len(shown) == 24
    assert all("wrong" in text for text in shown)
    assert shown[0].count("wrong") == 1
    assert shown[-1].count("wrong") == 2
    assert "12 photos of 120 that at least two runs predicted" in page.text


def test_agreement_is_said_too(tmp_path: Path) -> None:
    run = make_run(tmp_path, wrong=0.0)
    page = check_page(build_side_by_side([named(run, "a"), named(run, "b")]))
    assert "“a” and “b” were right equally often: take the cheaper one." in page.text
    assert "Nowhere: they said the same of all 24 photos" in page.text
    assert "None of the 24 photos that at least two of them predicted." in page.text
    assert "None: settings and versions are the same." in page.text


def test_checks_stand_in_a_grid(two: list[Run]) -> None:
    page = check_page(build_side_by_side(two))
    lines = rows_of(page)
    guess = lines["Better than always naming the most frequent class"]
    assert guess.count("Yes") + guess.count("Careful") == 2
    assert guess.count("against 50.0 %.") == 2


def test_only_settings_that_differ_are_listed(two: list[Run]) -> None:
    settings = {**ABOUT["settings"], "seed": 7, "resize": "pad"}
    versions = {**ABOUT["versions"], "numpy": "3.0"}
    page = check_page(
        build_side_by_side([two[0], named(two[1], "good", settings=settings, versions=versions)])
    )
    (listed,) = (
        squeezed(e.text)
        for e in page.all("div", class_="scroll")
        if e.attributes["aria-label"] == "Settings that differ"
    )
    assert listed == "What poorgood resizenot givenpad seed07 version of numpy2.4.63.0".replace(
        "What ", "What"
    )


def test_what_each_run_found_and_cost(two: list[Run], tmp_path: Path) -> None:
    issues = [Issue("a.jpg", "outlier", 1.0, ""), Issue("b.jpg", "outlier", 0.9, "")]
    rows = [Row("broken.jpg", status="unreadable", reason="empty")]
    data = Dataset.from_rows(two[0].data.root, [*two[0].data.rows, *rows])
    found = dataclasses.replace(two[0], issues=tuple(issues), data=data)
    lines = rows_of(check_page(build_side_by_side([found, two[1]])))
    assert lines["Issue: outlier"] == "Issue: outlier20"
    assert lines["Unreadable"] == "Unreadable10"
    assert lines["Files found"] == "Files found141140"
    assert lines["Approach"] == "Approach" + 2 * "linear_probe on efficientnet_lite0"
    assert lines["Time, all in all"] == "Time, all in all6.4 s6.4 s"
    assert lines["Budget"] == "Budget5 min 0 s5 min 0 s"
    assert lines["Seed"] == "Seed00"
    assert "Model on disk" not in lines


def test_the_size_of_the_model_is_that_of_its_files(two: list[Run], tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "model.onnx").write_bytes(bytes(1_500_000))
    saved = dataclasses.replace(two[0], folder=tmp_path / "run")
    lines = rows_of(check_page(build_side_by_side([saved, two[1]])))
    assert lines["Model on disk"] == "Model on disk1.5 MB–"


def test_many_classes_show_those_that_differ_most(tmp_path: Path) -> None:
    classes = [f"class {i:02}" for i in range(30)]
    first = named(make_run(tmp_path, classes=classes, train=10, write_images=False), "first")
    names = {name: i for i, name in enumerate(classes)}
    (evaluation,) = first.evaluations
    worse = dict(evaluation.per_class)
    for name in ("class 07", "class 23"):
        recall = dataclasses.replace(worse[name].recall, value=0.1, low=0.0)
        worse[name] = dataclasses.replace(worse[name], recall=recall)
    second = named(
        dataclasses.replace(first, evaluations=(dataclasses.replace(evaluation, per_class=worse),)),
        "second",
    )
    page = check_page(build_side_by_side([first, second]))
    shown = [squeezed(e.text) for e in page.all("h4") if e.text in names]
    assert shown[:2] == ["class 07", "class 23"]
    assert len(shown) == 15
    assert "Of 30 classes, the 15 on which the runs differ most." in page.text
    assert rows_of(page)["class 07"] == "class 0780.0 %10.0 %"


def test_many_runs_are_shortened_at_the_top_only(tmp_path: Path) -> None:
    run = make_run(tmp_path, write_images=False)
    page = check_page(build_side_by_side([named(run, f"run{i}") for i in range(9)]))
    assert page.all("h1")[0].text == "run0, run1, run2, run3 and 5 more"
    assert page.all("p", class_="verdict")[0].text == (
        "“run0” has the highest accuracy, and cannot be told apart from “run1”, “run2”, “run3”, "
        "“run4” and 4 more"
    )
    assert len(page.all("div", class_="who")) == 9


def test_what_was_left_out_is_on_the_page(two: list[Run]) -> None:
    page = Page(build_side_by_side(two, left_out=["left out: <runs/x> is not finished"]))
    assert (
        squeezed(page.all("ul", class_="left-out")[0].text) == "left out: <runs/x> is not finished"
    )


def test_a_run_without_an_evaluation(two: list[Run]) -> None:
    nothing = dataclasses.replace(two[0], evaluations=(), predictions=(), about=about_of({}))
    page = check_page(build_side_by_side([named(nothing, "nothing"), two[1]]))
    assert squeezed(page.all("div", class_="who")[0].text) == "nothingholds no evaluation"
    assert best_run([nothing, two[1]]) == 1
    both = check_page(build_side_by_side([named(nothing, "a"), named(nothing, "b")]))
    assert "None of these runs holds an evaluation." in both.text
    assert both.all("p", class_="verdict")[0].text.startswith("None of these")


def test_a_photo_is_taken_from_where_it_still_is(two: list[Run], tmp_path: Path) -> None:
    moved = Dataset.from_rows(tmp_path / "gone", two[0].data.rows)
    html = build_side_by_side([dataclasses.replace(two[0], data=moved), two[1]])
    page = check_page(html)
    assert page.all("span", class_="gone") == []
    both = [dataclasses.replace(run, data=moved) for run in two]
    assert len(check_page(build_side_by_side(both)).all("span", class_="gone")) == 24


def test_nothing_in_a_name_becomes_markup(tmp_path: Path) -> None:
    rows = [Row(name, label=name, status="unreadable", reason=name) for name in NASTY]
    about = {
        "settings": {n: n for n in NASTY},
        "versions": {n: n for n in NASTY},
        "regraft": NASTY[0],
        "fingerprint": NASTY[0],
        "backbone": {"name": NASTY[0], "licence": NASTY[1]},
    }
    runs = [
        dataclasses.replace(
            make_run(
                tmp_path,
                classes=NASTY[: 7 + i],
                train=3,
                wrong=0.4 * i,
                more_rows=rows,
                issues=[Issue(name, name, 1.0, name) for name in NASTY],
                about={**about, "fingerprint": NASTY[i]},
                comparison={"candidates": [{"title": NASTY[0]}], "chosen": 0},
            ),
            folder=Path(NASTY[i].replace("/", "_")),
        )
        for i in range(3)
    ]
    page = check_page(build_side_by_side(runs, left_out=NASTY))
    for name in NASTY:
        assert squeezed(name) in page.text or squeezed(name) in page.all("body")[0].text
    assert not [e for e in page.all("img") if "onerror" in e.attributes]


def test_a_full_run_beside_a_plain_one(tmp_path: Path) -> None:
    full = named(make_full_run(tmp_path / "full"), "full")
    check_page(build_side_by_side([full, named(make_run(tmp_path / "plain"), "plain")]))


def test_the_same_runs_give_the_same_page(two: list[Run]) -> None:
    assert build_side_by_side(two) == build_side_by_side(two)


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["runs/a", "runs/b"], ["a", "b"]),
        (["old/a", "new/a"], ["old/a", "new/a"]),
        (["x/old/a", "y/old/a", "b"], ["x/old/a", "y/old/a", "b"]),
    ],
)
def test_names_are_the_shortest_that_differ(
    folders: list[str], names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_names([Path(folder) for folder in folders])
    assert found[:2] == names[:2]
    assert found[-1].endswith(names[-1])
    assert len(set(found)) == len(folders)


def test_estimates_are_of_cross_validation_unless_all_have_a_large_test_set(
    two: list[Run],
) -> None:
    assert {e.on for e in two[0].evaluations} == {"test", CROSS_VALIDATION}
    page = check_page(build_side_by_side(two))
    assert page.all("input", type="radio")[0].attributes["id"] == "scores-1"
    assert [e.text for e in page.all("label")] == ["Cross-validation", "Test set"]
