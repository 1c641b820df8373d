"""The whole job: from folders and tables to a run folder whose files agree with each other."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shlex
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import regraft as rg
from regraft.approaches.base import Cost
from regraft.commands import app
from regraft.dataset import COLUMNS
from regraft.errors import ExplanationError, OutOfTimeError, UsageError
from regraft.racing import candidate_approaches
from regraft.runs import WHERE, ComparisonRecord
from regraft.runs.records import run_record
from regraft.storage.locations import recall, shareable_word
from regraft.storage.records import from_json, without_nulls
from regraft.workflow import comparing
from regraft.workflow.fitting import run_name
from tests.commands import (
    FROZEN,
    QUICK,
    CommandLine,
    Started,
    copy_photos,
    process,
    read_json,
    read_table,
    snapshot,
)
from tests.tiny_networks import ARCHITECTURE, write_weights

RUN_FILES = {
    "exploration.json",
    *("run.json", "dataset.csv", "issues.csv", "comparison.json", "evaluation.json"),
    *("predictions.csv", "report.html", "model", WHERE),
}
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "ece")


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, shared_graphs: Path, test_data: Path
) -> Path:
    """A folder with `data/` (train, val and flawed files), its `run/`, and `before.json`.

    The run compares approaches on frozen features; what trains networks has its own tests.
    """
    folder = tmp_path_factory.mktemp("finished")
    rooms = test_data / "rooms"
    for name in ("clean", "messy"):
        copy_photos(rooms / "train" / name, folder / "data" / "train" / name, 15)
        copy_photos(rooms / "val" / name, folder / "data" / "val" / name, 5)
    train, val = folder / "data" / "train", folder / "data" / "val"
    (train / "messy" / "broken, really.jpg").write_bytes(b"not a photo")
    (train / "messy" / "empty.jpg").write_bytes(b"")
    shutil.copy(next(iter(sorted((val / "clean").iterdir()))), train / "clean" / "seen before.jpg")
    first = sorted((train / "messy").glob("[0-9]*.jpg"))[0]
    shutil.copy(first, train / "messy" / "copy.jpg")
    both = sorted((train / "clean").glob("[0-9]*.jpg"))[1]
    shutil.copy(both, train / "messy" / "both labels.jpg")
    (folder / "data" / "notes.txt").write_text("by hand", encoding="utf-8")
    before = snapshot(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        (folder / "cache" / "regraft").mkdir(parents=True)
        (folder / "cache" / "regraft" / "graphs").symlink_to(shared_graphs)
        arguments = ["fit", folder / "data", "--backbone", "efficientnet_lite0", *FROZEN]
        assert app.run([*map(str, arguments), "--out", str(folder / "run")]) == 0
    (folder / "before.json").write_text(json.dumps(before), encoding="utf-8")
    return folder


@pytest.fixture
def run(finished: Path) -> Path:
    return finished / "run"


# --- the run folder, file by file


def test_the_run_folder_is_complete_and_holds_nothing_else(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == RUN_FILES
    assert {path.name for path in (run / "model").iterdir()} == {
        *("model.json", "model.onnx", "weights.safetensors"),
        "training_contents.safetensors",
    }


def test_run_json(finished: Path, run: Path) -> None:
    about = read_json(run / "run.json")
    assert (about["kind"], about["format"], about["status"]) == ("regraft run", 1, "done")
    assert about["data"] == about["settings"]["data"] == "../data"
    assert recall(run / WHERE)["data"] == str(finished / "data")
    assert about["settings"]["seed"] == 0
    assert about["settings"]["backbones"] == ["efficientnet_lite0"]
    assert about["versions"].keys() >= {"python", "regraft", "numpy", "onnxruntime", "pillow"}
    assert about["machine"].keys() == {"system", "processor", "cores"}
    phases = {
        "scan",
        "features",
        "audit",
        "comparison",
        "final fit",
        "evaluation",
        "evidence",
        "report",
    }
    assert about["seconds"].keys() == phases
    assert all(seconds >= 0 for seconds in about["seconds"].values())
    assert sum(about["seconds"].values()) <= about["seconds_total"] + 0.01
    assert about["started"] <= about["finished"]
    assert about["classes"] == ["clean", "messy"]
    assert len(about["fingerprint"]) == 64
    assert about["command"].startswith("regraft fit ")
    assert "read once" in about["reading"][1]


def test_dataset_csv_has_a_row_for_every_file(finished: Path, run: Path) -> None:
    header, *_ = (run / "dataset.csv").read_text(encoding="utf-8").splitlines()
    assert header == "path,sha256,label,split,group,width,height,mode,status,reason"
    assert tuple(header.split(",")) == COLUMNS
    rows = read_table(run / "dataset.csv")
    files = {
        path.relative_to(finished / "data").as_posix()
        for path in (finished / "data").rglob("*")
        if path.is_file()
    }
    assert len(rows) == len(files) == 46
    assert {row["path"] for row in rows} == files
    status = {Path(row["path"]).name: row["status"] for row in rows if row["status"] != "ok"}
    assert status == {
        "broken, really.jpg": "unreadable",
        "empty.jpg": "unreadable",
        "seen before.jpg": "excluded",
        "both labels.jpg": "conflict",
        sorted((finished / "data/train/clean").glob("[0-9]*.jpg"))[1].name: "conflict",
        "notes.txt": "ignored",
    }
    assert all(bool(row["reason"]) == (row["status"] != "ok") for row in rows)
    counts = Counter((row["split"], row["label"]) for row in rows if row["status"] == "ok")
    assert counts == {
        ("train", "clean"): 14,
        ("train", "messy"): 16,
        ("test", "clean"): 5,
        ("test", "messy"): 5,
    }
    assert read_json(run / "run.json")["counts"] == {"training": 30, "test": 10}


def test_issues_csv_is_sorted_and_names_what_is_wrong(run: Path) -> None:
    rows = read_table(run / "issues.csv")
    assert list(rows[0]) == ["path", "issue", "score", "detail", "other"]
    keys = [(row["issue"], -float(row["score"])) for row in rows]
    assert keys == sorted(keys)
    assert all(0 <= float(row["score"]) <= 1 for row in rows)
    found = defaultdict(set)
    for row in rows:
        found[row["issue"]].add(row["path"])
    assert found["unreadable"] == {"train/messy/broken, really.jpg", "train/messy/empty.jpg"}
    (leak,) = (row for row in rows if row["issue"] == "leakage")
    assert leak["path"].startswith("val/clean/")
    assert leak["detail"] == leak["other"] == "train/clean/seen before.jpg"
    assert found["exact_duplicate"] & {"train/messy/copy.jpg", "train/messy/0.jpg"}
    assert len(found["label_conflict"]) == 2


def test_comparison_json(run: Path) -> None:
    comparison = read_json(run / "comparison.json")
    chosen = comparison["candidates"][comparison["chosen"]]
    assert comparison["verdict"].startswith(f"Chosen: {chosen['title']}")
    names = {(c["approach"], c["settings"].get("views")) for c in comparison["candidates"]}
    assert names == {("linear_probe", 1), ("knn", 1)}
    assert comparison["selection"]["text"].startswith("The best of 2 candidates had ")
    assert comparison["learning_curve"]["approach"] == "linear_probe"
    assert not {"guide", "transfer"} & comparison.keys(), "no network was trained"
    for candidate in comparison["candidates"]:
        assert candidate.keys() >= {
            *("approach", "backbone", "settings", "fold_scores", "accuracy", "seconds"),
            *("status", "reason"),
        }
        assert candidate["status"] == "done"
        assert candidate["backbone"] == "efficientnet_lite0"
        assert len(candidate["fold_scores"]) == comparison["folds"] * comparison["repeats"] == 15
        assert all(0 <= score <= 1 for score in candidate["fold_scores"])
        accuracy = candidate["accuracy"]
        assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert chosen["accuracy"]["value"] >= max(
        c["accuracy"]["value"] - 0.005 for c in comparison["candidates"]
    )


def test_evaluation_json(run: Path) -> None:
    test, training = read_json(run / "evaluation.json")
    assert (test["on"], test["n"]) == ("test", 10)
    assert (training["on"], training["n"]) == ("cross-validation", 30)
    for evaluation in (test, training):
        for name in METRICS:
            assert evaluation[name].keys() == {"value", "low", "high", "method"}
            assert evaluation[name]["low"] <= evaluation[name]["value"] <= evaluation[name]["high"]
        assert evaluation["per_class"].keys() == {"clean", "messy"}
        counts = np.array(evaluation["confusion"]["counts"])
        assert counts.dtype == np.int64
        assert counts.sum() == evaluation["n"]
        assert np.trace(counts) / counts.sum() == pytest.approx(
            evaluation["accuracy_by_repeat"][0], abs=1e-4
        )
        split = {"test": "test", "cross-validation": "train"}[evaluation["on"]]
        predicted = [row for row in read_table(run / "predictions.csv") if row["split"] == split]
        wrong = sum(row["label"] != row["predicted"] for row in predicted if row["label"])
        assert counts.sum() - np.trace(counts) == wrong, "one number of errors"
        for name, row in zip(("clean", "messy"), counts, strict=True):
            assert evaluation["per_class"][name]["n"] == round(row.sum())
    assert test["accuracy"]["method"] == "wilson"


def test_predictions_csv(run: Path) -> None:
    header, *_ = (run / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert header == "path,label,predicted,confidence,split,fold,p_clean,p_messy"
    rows = read_table(run / "predictions.csv")
    in_use = [row for row in read_table(run / "dataset.csv") if row["status"] == "ok"]
    assert {(r["path"], r["label"], r["split"]) for r in rows} == {
        (r["path"], r["label"], r["split"]) for r in in_use
    }
    assert len(rows) == len(in_use) == 40
    for row in rows:
        probabilities = {name: float(row[f"p_{name}"]) for name in ("clean", "messy")}
        assert sum(probabilities.values()) == pytest.approx(1, abs=2e-6)
        assert float(row["confidence"]) == max(probabilities.values())
        assert probabilities[row["predicted"]] == max(probabilities.values())
        assert (row["fold"] in "01234" and row["fold"] != "") == (row["split"] == "train")
    by_content = {row["path"]: row["sha256"] for row in in_use}
    folds = defaultdict(set)
    for row in rows:
        if row["split"] == "train":
            folds[by_content[row["path"]]].add(row["fold"])
    assert all(len(found) == 1 for found in folds.values()), "a copy straddles two folds"


def test_the_numbers_agree_across_files(run: Path) -> None:
    rows = read_table(run / "predictions.csv")
    right = {
        split: [row["label"] == row["predicted"] for row in rows if row["split"] == split]
        for split in ("train", "test")
    }
    test, training = read_json(run / "evaluation.json")
    comparison = read_json(run / "comparison.json")
    chosen = comparison["candidates"][comparison["chosen"]]
    # The table holds the first repeat; the estimate is over all of them.
    assert training["accuracy_by_repeat"][0] == pytest.approx(np.mean(right["train"]), abs=1e-6)
    assert len(training["accuracy_by_repeat"]) == comparison["repeats"]
    assert training["accuracy"] == chosen["accuracy"]
    assert training["accuracy"]["value"] == pytest.approx(
        np.mean(training["accuracy_by_repeat"]), abs=1e-6
    )
    assert test["accuracy"]["value"] == pytest.approx(np.mean(right["test"]), abs=1e-6)
    for evaluation, split in ((test, "test"), (training, "train")):
        for name, score in evaluation["per_class"].items():
            assert score["n"] == sum(r["label"] == name and r["split"] == split for r in rows)
    a = training["accuracy"]
    assert f"{100 * a['value']:.1f} %" in comparison["verdict"]
    by_fold = defaultdict(list)
    for row in rows:
        if row["split"] == "train":
            by_fold[row["fold"]].append(row["label"] == row["predicted"])
    first_repeat = [float(np.mean(by_fold[fold])) for fold in sorted(by_fold)]
    assert chosen["fold_scores"][:5] == pytest.approx(first_repeat, abs=1e-6)


def test_the_report_says_the_same_and_needs_no_network(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    test, training = read_json(run / "evaluation.json")
    for evaluation in (test, training):
        value = f"{100 * evaluation['accuracy']['value']:.1f}"
        assert value.removesuffix(".0") in text
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    assert len(re.findall("<script>", text)) == 1, "the page's own"
    assert "script-src 'sha256-" in text


def test_inputs_are_left_as_they_were(finished: Path) -> None:
    before = {name: tuple(about) for name, about in read_json(finished / "before.json").items()}
    assert snapshot(finished / "data") == before
    assert len(before) > 46


def test_a_run_is_read_back_as_it_was_written(run: Path) -> None:
    found = rg.read_run(run)
    assert found.about == run_record(read_json(run / "run.json"))
    assert found.comparison == from_json(read_json(run / "comparison.json"), ComparisonRecord)
    assert [e.to_dict() for e in found.evaluations] == read_json(run / "evaluation.json")
    assert found.data.to_csv() == (run / "dataset.csv").read_text(encoding="utf-8")
    assert len(found.issues) == len(read_table(run / "issues.csv"))
    assert len(found.predictions) == 40
    assert found.data.fingerprint() == found.about.fingerprint


# --- the model predicts what the run says


def test_predict_gives_what_the_run_folder_says_of_the_test_set(
    regraft: CommandLine, run: Path, finished: Path, graphs: Path
) -> None:
    said = {r["path"]: r for r in read_table(run / "predictions.csv") if r["split"] == "test"}
    files = [finished / "data" / path for path in said]
    found = regraft.done("predict", run, *files, "--format", "csv").rows
    assert len(found) == 10
    for row, (path, expected) in zip(found, said.items(), strict=True):
        assert row["path"].endswith(path)
        assert row["predicted"] == expected["predicted"]
        for name in ("confidence", "p_clean", "p_messy"):
            assert float(row[name]) == pytest.approx(float(expected[name]), abs=1e-6)


def test_a_model_copied_elsewhere_predicts_bit_for_bit_the_same(
    run: Path, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(run / "model", tmp_path / "elsewhere")
    photos = sorted((finished / "data" / "val").rglob("*.jpg"))
    here, there = rg.load(run).predict(photos), rg.load(tmp_path / "elsewhere").predict(photos)
    assert here == there
    assert len(here) == 10


def test_another_process_predicts_the_same(run: Path, finished: Path) -> None:
    done = process("predict", run, finished / "data" / "val", "--format", "json", "--jobs", "1")
    here = rg.load(run).predict(sorted((finished / "data" / "val").rglob("*.jpg")))
    by_path = {p.path: p for p in here}
    assert len(json.loads(done.stdout)) == 10
    for item in json.loads(done.stdout):
        found = by_path[item["path"]]
        assert [*item["probabilities"].values()] == pytest.approx(found.probabilities, abs=1e-4)


def test_evaluate_scores_the_test_rows_as_the_run_did(
    regraft: CommandLine, run: Path, finished: Path, graphs: Path
) -> None:
    found = regraft.done("evaluate", run, finished / "data", "--format", "json").data
    test, _ = read_json(run / "evaluation.json")
    assert found["n"] == 10
    assert found["accuracy"] == test["accuracy"]
    assert found["confusion"] == test["confusion"]
    assert found["log_loss"]["value"] == pytest.approx(test["log_loss"]["value"], abs=1e-5)
    table = regraft.done("evaluate", run, finished / "data", "--format", "csv").rows
    assert [row["metric"] for row in table] == list(METRICS)
    assert float(table[0]["value"]) == pytest.approx(test["accuracy"]["value"])


# --- networks that are trained


@pytest.fixture
def fit(regraft: CommandLine, graphs: Path, tmp_path: Path) -> Any:
    """Runs `regraft fit`, by default with one candidate, and returns the run folder."""

    def run_it(*arguments: object, options: Iterable[object] = QUICK) -> Path:
        number = len(list(tmp_path.glob("run-*")))
        out = tmp_path / f"run-{number}"
        regraft.done("fit", *arguments, *options, "--out", out)
        assert read_json(out / "run.json")["status"] == "done"
        return out

    return run_it


TRAINING = {"training.csv", "lr_range.csv", "explanations.json"}
NETWORKS = ("--approach", "linear_probe", "--approach", "fine_tune")


@pytest.fixture
def quick_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fine-tuning, one candidate; two epochs and one variant of each photo for all."""

    def quick(*given: Any, **options: Any) -> list[Any]:
        found: list[Any] = []
        for approach in candidate_approaches(*given, **options):
            if isinstance(approach, rg.Scratch):
                found.append(dataclasses.replace(approach, epochs=2, image_size_px=32))
            elif not isinstance(approach, rg.FineTune):
                found.append(approach)
            elif approach.train == "last_2_stages":
                found.append(dataclasses.replace(approach, epochs=2, views=1))
        return found

    monkeypatch.setattr(comparing, "candidate_approaches", quick)


@pytest.fixture
def tiny_network(tmp_path: Path) -> tuple[str, ...]:
    """Options that take a network with random weights, which is trained in no time."""
    weights = write_weights(tmp_path / "tiny.pth")
    return ("--backbone", f"file:{weights}", "--arch", ARCHITECTURE)


@pytest.mark.slow
def test_fine_tuning_makes_a_complete_run(
    fit: Any, regraft: CommandLine, photo_folder: Path, quick_networks: None
) -> None:
    run = fit(photo_folder, options=("--approach", "fine_tune"))
    assert {path.name for path in run.iterdir()} == RUN_FILES | TRAINING
    comparison = read_json(run / "comparison.json")
    assert {c["approach"] for c in comparison["candidates"]} == {"fine_tune"}
    chosen = comparison["candidates"][comparison["chosen"]]
    assert chosen["settings"]["train"].endswith("_stages")
    assert chosen["settings"]["epochs"] >= 1
    assert chosen["predicted_seconds"] > 0
    assert f"on {chosen['folds_done']} of 5 folds" in comparison["verdict"] or (
        chosen["folds_done"] == 5
    )

    guide = comparison["guide"]
    assert guide.keys() >= {"size", "similarity", "quadrant", "advice", "reason", "source", "held"}
    assert guide["quadrant"] == f"{guide['size']['word']} and {guide['similarity']['word']}"
    assert "transfer" not in comparison, "nothing was trained from scratch"
    assert "learning_curve" not in comparison, "there is no linear probe"
    assert comparison["selection"]["text"]

    rows = read_table(run / "training.csv")
    titles = {c["title"] for c in comparison["candidates"] if c["folds_done"]}
    assert {row["candidate"] for row in rows} == titles
    folds = {row["fold"] for row in rows if row["candidate"] == chosen["title"]}
    assert len(folds) == chosen["folds_done"]
    assert {row["candidate"] for row in read_table(run / "lr_range.csv")} == titles
    predictions = [r for r in read_table(run / "predictions.csv") if r["split"] == "train"]
    assert len(predictions) == chosen["images_predicted"]
    assert {r["fold"] for r in predictions} == folds
    (evaluation,) = read_json(run / "evaluation.json")
    assert evaluation["n"] == chosen["images_predicted"]
    assert evaluation["accuracy"] == chosen["accuracy"]

    explanations = read_json(run / "explanations.json")
    assert explanations["reason"] == ""
    assert explanations["photos"]
    assert explanations["sanity_check"]["n"] > 0
    assert {p["path"] for p in explanations["photos"]} <= {r["path"] for r in predictions}

    about = read_json(run / "run.json")
    assert {"guide", "explanations"} <= about["seconds"].keys()
    text = (run / "report.html").read_text(encoding="utf-8")
    for section in ("approach", "training", "tried"):
        assert f'id="{section}"' in text
    assert rg.load(run).approach == "fine_tune"
    found = regraft.done("predict", run, photo_folder, "--format", "csv").rows
    assert len(found) == 24
    assert regraft.done("report", run)


@pytest.mark.slow
def test_fastai_makes_a_complete_run(
    fit: Any, photo_folder: Path, tiny_network: tuple[str, ...]
) -> None:
    run = fit(photo_folder, options=("--approach", "fastai", *tiny_network))
    assert {path.name for path in run.iterdir()} == RUN_FILES | TRAINING - {"lr_range.csv"}
    comparison = read_json(run / "comparison.json")
    (chosen,) = comparison["candidates"]
    assert chosen["title"] == "fastai on tiny, all"
    assert chosen["status"] == "done"
    assert chosen["predicted_seconds"] > 0
    assert chosen["settings"].items() >= {"train": "all", "epochs": 5, "rate": 0.002}.items()
    assert comparison["verdict"].startswith("Chosen: fastai on tiny, all, cross-validated accuracy")
    rows = read_table(run / "training.csv")
    ends = [row for row in rows if not row["step"]]
    assert len(ends) == 5 * chosen["folds_done"]
    assert all(row["fold_accuracy"] for row in ends)
    (evaluation,) = read_json(run / "evaluation.json")
    assert evaluation["accuracy"] == chosen["accuracy"]
    assert read_json(run / "explanations.json")["photos"]
    model = rg.load(run)
    assert (model.approach, model.settings["final_epochs"]) == ("fastai", 3)
    assert 'id="training"' in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_probe_against_a_network_from_scratch_shows_what_transfer_bought(
    fit: Any, photo_folder: Path, quick_networks: None, tiny_network: tuple[str, ...]
) -> None:
    options = ("--approach", "linear_probe", "--approach", "scratch", "--budget", "60s")
    run = fit(photo_folder, options=(*options, *tiny_network))
    assert {path.name for path in run.iterdir()} == RUN_FILES | TRAINING
    comparison = read_json(run / "comparison.json")
    assert [c["approach"] for c in comparison["candidates"]] == ["linear_probe", "scratch"]
    scratch = comparison["candidates"][1]
    assert (scratch["status"], scratch["folds_done"]) == ("done", 1)
    assert comparison["transfer"]["text"].startswith("linear_probe on tiny ")
    assert "scratch on small_resnet, trained from random weights" in comparison["transfer"]["text"]
    assert comparison["transfer"]["seconds_scratch"] == pytest.approx(scratch["seconds"], abs=0.1)
    assert comparison["learning_curve"]["approach"] == "linear_probe"
    assert comparison["guide"]["held"]
    assert {row["candidate"] for row in read_table(run / "training.csv")} == {scratch["title"]}
    text = (run / "report.html").read_text(encoding="utf-8")
    for section in ("approach", "training", "transfer", "more"):
        assert f'id="{section}"' in text


@pytest.mark.slow
def test_heat_maps_that_fail_end_no_fit(
    fit: Any,
    photo_folder: Path,
    quick_networks: None,
    tiny_network: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from regraft.engines import explanations

    def fails(*_given: Any) -> None:
        raise ExplanationError("no layer")

    monkeypatch.setattr(explanations, "find_layer", fails)
    run = fit(photo_folder, options=(*NETWORKS, *tiny_network))
    found = read_json(run / "explanations.json")
    assert (found["reason"], found["photos"], found["sanity_check"]) == ("no layer", [], None)
    assert "No heat maps are shown. No layer." in (run / "report.html").read_text(encoding="utf-8")


def test_a_budget_of_a_second_still_returns_the_probe(fit: Any, photo_folder: Path) -> None:
    options = ("--budget", "1s", "--backbone", "efficientnet_lite0")
    run = fit(photo_folder, options=options)
    comparison = read_json(run / "comparison.json")
    assert comparison["candidates"][comparison["chosen"]]["approach"] == "multilayer_probe"
    left_out = [c for c in comparison["candidates"] if c["approach"] in ("fine_tune", "scratch")]
    assert len(left_out) >= 3
    for candidate in left_out:
        assert candidate["status"] == "skipped"
        reasons = r"would need about \d+ s|the time budget was used up|timing the cheaper ones took"
        assert re.search(reasons, candidate["reason"])
        assert candidate["title"] in comparison["verdict"]
    assert {path.name for path in run.iterdir()} - {"explanations.json"} == RUN_FILES - {
        "exploration.json"
    }


def test_a_budget_that_is_too_short_says_what_is_needed(
    fit: Any, photo_folder: Path, tiny_network: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = Cost(12, once=10.0, fold=240.0, fit=300.0, fold_epoch=20.0, fit_epoch=25.0)
    monkeypatch.setattr(rg.FineTune, "cost", lambda *_given, **_options: cost)
    run = fit(photo_folder, options=(*NETWORKS, *tiny_network, "--budget", "60s"))
    comparison = read_json(run / "comparison.json")
    reasons = [c["reason"] for c in comparison["candidates"] if c["status"] == "skipped"]
    assert len(reasons) == len(comparison["candidates"]) - 1 >= 2
    for reason in reasons:
        assert re.fullmatch(
            r"would need about \d+ s \(1 epoch on one fold\); \d+ s of the budget were left",
            reason,
        )


@pytest.mark.slow
def test_a_final_training_that_fails_falls_back_to_the_probe(
    fit: Any,
    photo_folder: Path,
    quick_networks: None,
    tiny_network: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("regraft.racing.comparison.choose", _choose_what_trains)

    def no_time(*_given: object, **_options: object) -> None:
        raise OutOfTimeError("the time budget ended before it was finished")

    monkeypatch.setattr(rg.Scratch, "fit", no_time)
    options = ("--approach", "linear_probe", "--approach", "scratch", *tiny_network)
    run = fit(photo_folder, options=options)
    comparison = read_json(run / "comparison.json")
    assert rg.load(run).approach == "linear_probe"
    assert comparison["candidates"][comparison["chosen"]]["approach"] == "linear_probe"
    failed = comparison["candidates"][1]
    assert (failed["status"], failed["accuracy"]) == ("failed", None)
    assert failed["reason"] == (
        "its final training was not finished: the time budget ended before it was finished"
    )
    assert "told apart" not in comparison["verdict"]
    assert "transfer" not in comparison


def _choose_what_trains(candidates: Any, *_given: object) -> int:
    trained = [i for i, c in enumerate(candidates) if c.training]
    return trained[0] if trained else 0


NET = """
import torch


def tiny(classes):
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, 4),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, classes),
    )


def wrong(classes):
    return torch.nn.Sequential(tiny(classes), torch.nn.Linear(classes, classes + 3))
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A file with a network of one's own, and a wrong one."""
    (tmp_path / "my net.py").write_text(NET, encoding="utf-8")
    return tmp_path / "my net.py"


def test_a_network_of_ones_own(
    fit: Any, regraft: CommandLine, photo_folder: Path, net: Path, quick_networks: None
) -> None:
    options = ("--approach", "scratch", "--architecture", f"{net}:tiny", "--budget", "40s")
    run = fit(photo_folder, options=options)
    (candidate,) = read_json(run / "comparison.json")["candidates"]
    named = shareable_word(f"{net}:tiny", Path.cwd())
    assert candidate["settings"]["architecture"] == named
    assert read_json(run / "run.json")["settings"]["architecture"] == named
    net.unlink()  # the model is whole without it
    found = regraft.done("predict", run, photo_folder, "--format", "csv").rows
    assert len(found) == 24
    assert {row["predicted"] for row in found} <= {"clean", "messy"}


def test_a_network_of_the_wrong_shape_is_one_line(
    regraft: CommandLine, graphs: Path, photo_folder: Path, net: Path, tmp_path: Path
) -> None:
    options = ("--approach", "scratch", "--architecture", f"{net}:wrong")
    found = regraft("fit", photo_folder, *options, "--out", tmp_path / "run")
    assert found.code == 1
    said = [line for line in found.err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert "the architecture returned (2, 5) for 2 images, expected (2, 2): one logit" in said[0]
    assert read_json(tmp_path / "run" / "run.json")["status"] == "failed"


def test_a_network_of_the_wrong_shape_does_not_end_the_others(
    fit: Any, photo_folder: Path, net: Path
) -> None:
    options = (*QUICK, "--approach", "scratch", "--architecture", f"{net}:wrong")
    run = fit(photo_folder, options=options)
    candidates = read_json(run / "comparison.json")["candidates"]
    assert [c["status"] for c in candidates] == ["done", "failed"]
    assert "expected (2, 2)" in candidates[1]["reason"]


@pytest.mark.slow
def test_a_killed_race_does_not_train_again_what_was_finished(
    regraft: CommandLine,
    photo_folder: Path,
    tiny_network: tuple[str, ...],
    tmp_path: Path,
    started: Started,
) -> None:
    run = tmp_path / "run"
    options = ("--approach", "fine_tune", *tiny_network, "--budget", "3m")
    command = ("fit", photo_folder, *options, "--out", run)
    before: dict[str, int] = {}
    for number in (1, 2):  # killed when the first candidate is done, and again at the second
        process = started(*command)
        try:
            _wait_until(lambda: len(_kept(run)) >= number)  # noqa: B023
        finally:
            process.kill()
            process.communicate(timeout=60)
        assert read_json(run / "run.json")["status"] == "running"
        kept = _kept(run)
        assert {name: kept[name] for name in before} == before, "it was trained again"
        before = kept
    assert len(before) >= 2
    done = regraft.done(*command)
    assert "Traceback" not in done.err
    assert read_json(run / "run.json")["status"] == "done"
    assert not (run / "race").exists()
    comparison = read_json(run / "comparison.json")
    assert sum(c["folds_done"] > 0 for c in comparison["candidates"]) >= 2
    titles = {row["candidate"] for row in read_table(run / "training.csv")}
    assert len(titles) >= 2


def _kept(run: Path) -> dict[str, int]:
    """When the results of finished candidates were written, by name."""
    return {
        path.name: path.with_suffix(".safetensors").stat().st_mtime_ns
        for path in run.glob("race/*.json")
    }


def _wait_until(is_so: Callable[[], bool], *, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.mark.slow
def test_the_default_compares_everything(
    fit: Any, photo_folder: Path, tiny_network: tuple[str, ...]
) -> None:
    run = fit(photo_folder, options=(*tiny_network, "--budget", "3m"))
    comparison = read_json(run / "comparison.json")
    names = [c["approach"] for c in comparison["candidates"]]
    assert names[:4] == ["multilayer_probe", "multilayer_probe", "linear_probe", "knn"]
    assert names[4:] == ["fine_tune"] * (len(names) - 5) + ["scratch"]
    assert all(c["status"] == "done" for c in comparison["candidates"])
    assert comparison.keys() >= {"guide", "transfer", "learning_curve", "selection"}
    assert read_json(run / "run.json")["seconds_total"] < 200


# --- layouts


def test_class_folders_only(fit: Any, photo_folder: Path) -> None:
    run = fit(photo_folder)
    (evaluation,) = read_json(run / "evaluation.json")
    assert (evaluation["on"], evaluation["n"]) == ("cross-validation", 24)
    rows = read_table(run / "predictions.csv")
    assert {row["split"] for row in rows} == {"train"}
    assert sorted({row["fold"] for row in rows}) == ["0", "1", "2", "3", "4"]
    about = read_json(run / "run.json")
    assert about["counts"] == {"training": 24, "test": 0}
    assert any(note.startswith("No test set") for note in about["notes"])
    assert "The final model uses all images" in about["reading"][1]


def test_train_val_and_test_folders(fit: Any, test_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for split, source, skip in (
        ("training", "train", 0),
        ("valid", "train", 12),
        ("test", "val", 0),
    ):
        for name in ("clean", "messy"):
            copy_photos(
                test_data / "rooms" / source / name,
                data / split / name,
                4 if skip else 8,
                skip=skip,
            )
    run = fit(data)
    test, training = read_json(run / "evaluation.json")
    assert (test["n"], training["n"]) == (16, 24)
    assert {
        r["path"].split("/")[0]
        for r in read_table(run / "predictions.csv")
        if r["split"] == "train"
    } == {"training", "valid"}


def _write_table(path: Path, rows: Iterable[Iterable[object]], *, delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


@pytest.mark.parametrize("way", ["table", "labels"])
def test_a_label_table_with_its_image_folder(
    fit: Any, photo_folder: Path, tmp_path: Path, way: str
) -> None:
    photos = sorted(photo_folder.rglob("*.jpg"))
    images = tmp_path / "images"
    images.mkdir()
    for number, photo in enumerate(photos):
        shutil.copy(photo, images / f"{number:04}.jpg")
    rows = [
        (number, "ordnung" if p.parent.name == "clean" else "viel Unordnung")
        for number, p in enumerate(photos)
    ]
    table = _write_table(tmp_path / "labels.csv", [("id", "zustand"), *rows], delimiter=";")
    label = ("--label-column", "zustand")
    if way == "table":
        run = fit(table, "--image-dir", images, *label)
    else:
        run = fit(images, "--labels", table, *label)
    about = read_json(run / "run.json")
    assert about["classes"] == ["ordnung", "viel Unordnung"]
    assert about["counts"]["training"] == 24
    header = (run / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith("p_ordnung,p_viel Unordnung")


def test_a_test_set_elsewhere(
    fit: Any, photo_folder: Path, test_data: Path, tmp_path: Path
) -> None:
    for name in ("clean", "messy"):
        copy_photos(test_data / "rooms" / "val" / name, tmp_path / "held out" / name, 4)
    run = fit(photo_folder, "--test", tmp_path / "held out")
    test, training = read_json(run / "evaluation.json")
    assert (test["n"], training["n"]) == (8, 24)
    rows = [r for r in read_table(run / "dataset.csv") if r["split"] == "test"]
    assert {r["path"].split("/")[:2][1] for r in rows} == {"held out"}
    rg.read_run(run)


def test_groups_stay_together_and_the_intervals_say_so(
    fit: Any, photo_folder: Path, tmp_path: Path
) -> None:
    photos = sorted(photo_folder.rglob("*.jpg"))
    rows = [
        (p.relative_to(photo_folder), p.parent.name, f"{p.parent.name} {number // 2 % 6}")
        for number, p in enumerate(photos)
    ]
    table = _write_table(tmp_path / "labels.csv", [("file", "label", "room"), *rows])
    run = fit(photo_folder, "--labels", table, "--group-column", "room")
    (evaluation,) = read_json(run / "evaluation.json")
    assert "group" in evaluation["accuracy"]["method"]
    group = {r["path"]: r["group"] for r in read_table(run / "dataset.csv") if r["group"]}
    folds = defaultdict(set)
    for row in read_table(run / "predictions.csv"):
        folds[group[row["path"]]].add(row["fold"])
    assert len(folds) == 12
    assert all(len(found) == 1 for found in folds.values())


def test_an_unlabelled_test_folder_is_predicted_and_not_scored(
    fit: Any, photo_folder: Path, test_data: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(photo_folder, data / "train")
    copy_photos(test_data / "rooms" / "val" / "messy", data / "test", 3)
    run = fit(data)
    (evaluation,) = read_json(run / "evaluation.json")
    assert evaluation["on"] == "cross-validation"
    rows = [r for r in read_table(run / "predictions.csv") if r["path"].startswith("test/")]
    assert len(rows) == 3
    for row in rows:
        assert (row["label"], row["fold"]) == ("", "")
        assert row["predicted"] in ("clean", "messy")
        assert 0.5 <= float(row["confidence"]) <= 1
    assert {
        r["status"] for r in read_table(run / "dataset.csv") if r["path"].startswith("test/")
    } == {"unlabelled"}


def test_imbalanced_classes(fit: Any, test_data: Path, tmp_path: Path) -> None:
    rooms = test_data / "rooms" / "train"
    copy_photos(rooms / "clean", tmp_path / "data" / "clean", 30)
    copy_photos(rooms / "messy", tmp_path / "data" / "messy", 4)
    run = fit(tmp_path / "data", options=FROZEN)
    (evaluation,) = read_json(run / "evaluation.json")
    assert evaluation["majority_share"] == pytest.approx(30 / 34, abs=1e-6)
    assert evaluation["per_class"]["messy"]["n"] == 4
    recalls = [score["recall"]["value"] for score in evaluation["per_class"].values()]
    assert evaluation["balanced_accuracy"]["value"] == pytest.approx(np.mean(recalls), abs=1e-5)


NAMES = ("rote Ämter", "照片 ✓", '[bold]comma, quote"|')


def test_class_names_may_hold_anything(
    fit: Any, regraft: CommandLine, test_data: Path, tmp_path: Path
) -> None:
    data = tmp_path / "Fotos für uns"
    sources = ("rooms/train/clean", "hymenoptera/train/ants", "hymenoptera/train/bees")
    for name, source in zip(NAMES, sources, strict=True):
        copy_photos(test_data / source, data / name, 6)
    run = fit(data)
    classes = read_json(run / "run.json")["classes"]
    assert set(classes) == set(NAMES)
    assert classes == sorted(classes)
    rows = read_table(run / "predictions.csv")
    assert {f"p_{name}" for name in NAMES} <= set(rows[0])
    assert {row["label"] for row in rows} == set(NAMES)
    (evaluation,) = read_json(run / "evaluation.json")
    assert set(evaluation["per_class"]) == set(NAMES)
    assert evaluation["confusion"]["classes"] == classes
    text = regraft.done("predict", run, data / NAMES[1])
    for line in text.out.splitlines()[1:]:
        assert NAMES[1] in line
    found = regraft.done("predict", run, data, "--format", "csv").rows
    assert {row["predicted"] for row in found} <= set(NAMES)
    assert "[bold]comma" in regraft.done("scan", data).err
    assert "照片 ✓" in (run / "report.html").read_text(encoding="utf-8")
    for name, source in zip(NAMES, sources, strict=True):
        copy_photos(test_data / source, tmp_path / "more" / name, 2, skip=6)
    found = regraft.done("evaluate", run, tmp_path / "more", "--format", "json").data
    assert set(found["per_class"]) == set(NAMES)


def test_a_class_missing_from_the_test_set(
    fit: Any, regraft: CommandLine, test_data: Path, tmp_path: Path
) -> None:
    for name, source in (
        ("a", "hymenoptera/train/ants"),
        ("b", "hymenoptera/train/bees"),
        ("c", "rooms/train/clean"),
    ):
        copy_photos(test_data / source, tmp_path / "data" / name, 6)
    copy_photos(test_data / "hymenoptera/val/ants", tmp_path / "test" / "a", 3)
    run = fit(tmp_path / "data", "--test", tmp_path / "test")
    test, _ = read_json(run / "evaluation.json")
    assert test["n"] == 3
    assert test["per_class"]["c"]["n"] == 0
    text = regraft.done("evaluate", run, tmp_path / "test").err
    assert "nan" not in text
    assert re.search(r"^ROC AUC +- +cannot be told from these$", text, flags=re.MULTILINE)
    assert re.search(r"^c +0  -", text, flags=re.MULTILINE)
    regraft.done("report", run)


def test_copies_in_train_and_val_are_left_out_and_reported(
    fit: Any, regraft: CommandLine, photo_folder: Path, test_data: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(photo_folder, data / "train")
    for name in ("clean", "messy"):
        copy_photos(test_data / "rooms" / "val" / name, data / "val" / name, 3)
    leaked = sorted((data / "val" / "messy").iterdir())[:2]
    for number, path in enumerate(leaked):
        shutil.copy(path, data / "train" / "messy" / f"again {number}.jpg")
    run = fit(data)
    status = {r["path"]: r for r in read_table(run / "dataset.csv")}
    for number in range(2):
        row = status[f"train/messy/again {number}.jpg"]
        assert row["status"] == "excluded"
        assert "in the test set" in row["reason"]
    leaks = [r for r in read_table(run / "issues.csv") if r["issue"] == "leakage"]
    assert {r["path"] for r in leaks} == {p.relative_to(data).as_posix() for p in leaked}
    assert {r["detail"] for r in leaks} == {f"train/messy/again {n}.jpg" for n in range(2)}
    test, training = read_json(run / "evaluation.json")
    assert (test["n"], training["n"]) == (6, 24)


# --- options


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_resize_reaches_the_model(fit: Any, photo_folder: Path, resize: str) -> None:
    run = fit(photo_folder, "--resize", resize)
    assert read_json(run / "model" / "model.json")["backbone"]["transform"]["resize"] == resize
    assert read_json(run / "run.json")["backbone"]["transform"]["resize"] == resize


def test_the_ways_to_resize_differ(fit: Any, photo_folder: Path) -> None:
    seen = set()
    for resize in ("crop", "pad", "squash"):
        run = fit(photo_folder, "--resize", resize)
        seen.add((run / "predictions.csv").read_text(encoding="utf-8"))
    assert len(seen) == 3


def test_naming_approaches_compares_just_those(fit: Any, photo_folder: Path) -> None:
    options = ("--approach", "knn", "--approach", "linear_probe", "--approach", "knn")
    run = fit(photo_folder, options=options)
    comparison = read_json(run / "comparison.json")
    assert [c["approach"] for c in comparison["candidates"]] == ["linear_probe", "knn"]


def test_a_budget_that_is_used_up_leaves_later_candidates_out(fit: Any, photo_folder: Path) -> None:
    run = fit(photo_folder, options=(*FROZEN, "--budget", "0.001s"))
    comparison = read_json(run / "comparison.json")
    status = [c["status"] for c in comparison["candidates"]]
    assert status == ["done", "skipped"]
    assert comparison["candidates"][1]["reason"] == "the time budget was used up"
    assert "Not finished" in comparison["verdict"]


def test_the_same_seed_gives_the_same_run_with_any_number_of_threads(
    fit: Any, photo_folder: Path, graphs: Path
) -> None:
    runs = []
    for jobs in (1, 4):
        runs.append(fit(photo_folder, "--seed", 7, "--jobs", jobs))
        shutil.rmtree(graphs / "features")
    for name in ("evaluation.json", "predictions.csv", "dataset.csv", "issues.csv"):
        assert (runs[0] / name).read_bytes() == (runs[1] / name).read_bytes(), name
    first, second = (rg.load(run) for run in runs)
    assert first.graph == second.graph
    other = fit(photo_folder, "--seed", 8)
    assert _folds(other) != _folds(runs[0])


def _folds(run: Path) -> Mapping[str, str]:
    return {row["path"]: row["fold"] for row in read_table(run / "predictions.csv")}


def test_any_seed_is_accepted(fit: Any, photo_folder: Path) -> None:
    fit(photo_folder, "--seed", 2**63 + 1)


@pytest.mark.slow
def test_a_large_folder_has_a_test_set_set_aside(fit: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, hue in (("red", 0), ("green", 1)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(500):
            pixels = random.integers(0, 80, (8, 8, 3), dtype=np.uint8)
            pixels[..., hue] += 120
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    run = fit(tmp_path / "data")
    test, training = read_json(run / "evaluation.json")
    assert (test["n"], training["n"]) == (200, 800)
    assert {score["n"] for score in test["per_class"].values()} == {100}
    assert (
        "set aside at random before anything was compared"
        in (read_json(run / "run.json")["reading"][1])
    )


# --- from Python


def test_fit_from_python_records_a_command_that_repeats_it(
    regraft: CommandLine, photo_folder: Path, tmp_path: Path
) -> None:
    table = _write_table(
        tmp_path / "labels.csv",
        [
            ("file", "kind"),
            *((p.relative_to(photo_folder), p.parent.name) for p in photo_folder.rglob("*.jpg")),
        ],
    )
    made = rg.fit(
        photo_folder,
        labels=table,
        columns={"label_column": "kind"},
        approaches=["linear_probe"],
        resize="pad",
        budget_s=60,
        seed=3,
        out=tmp_path / "it's a run",
    )
    assert isinstance(made, rg.Run)
    words = shlex.split(recall(made.folder / WHERE)["command"])
    assert words[:2] == ["regraft", "fit"]
    before = read_json(tmp_path / "it's a run" / "evaluation.json")
    regraft.done(*words[1:], "--force")
    assert read_json(tmp_path / "it's a run" / "evaluation.json") == before
    about = read_json(tmp_path / "it's a run" / "run.json")
    assert without_nulls(about["settings"]) == made.about.settings


def test_the_default_run_folder_is_named_after_the_data(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo_folder)
    assert run_name(Path()) == "photos"
    assert run_name(Path("clean")) == "clean"
    assert run_name(tmp_path / "labels.v2.csv") == "labels.v2"
    assert run_name(Path("/")) == "data"


def test_a_link_that_leads_nowhere_is_flagged_by_predict(
    regraft: CommandLine, run: Path, photo_folder: Path, graphs: Path
) -> None:
    (photo_folder / "clean" / "gone.jpg").symlink_to("nowhere.jpg")
    rows = regraft.done("predict", run, photo_folder, "--format", "csv").rows
    assert [Path(r["path"]).name for r in rows if r["flag"] == "unreadable"] == ["gone.jpg"]
    assert len(rows) == 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget_s": 0}, "the budget is 0 s, expected more than 0"),
        ({"jobs": 0}, "expected at least 1"),
        ({"approaches": ["x"]}, "there is no approach 'x'"),
        ({"resize": "x"}, "resize"),
    ],
)
def test_options_outside_their_range(
    photo_folder: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        rg.fit(photo_folder, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
