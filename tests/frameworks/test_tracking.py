"""A run as TensorBoard and MLflow read it back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import regraft
from regraft.errors import MissingExtraError, RunError, StorageError, UsageError
from regraft.frameworks.tracking import EVENTS, to_mlflow, to_tensorboard, track
from regraft.metrics import METRICS
from regraft.runs import WHERE
from tests.commands import CommandLine
from tests.reporting.sample_runs import write_training

CANDIDATE = "fine_tune_on_efficientnet_lite0_last_2_stages"
STEPS, EPOCHS, FOLDS = 24, 2, 2


@pytest.fixture
def run(made_once: Path, tmp_path: Path) -> regraft.Run:
    """A finished run, with the curves of a training."""
    folder = shutil.copytree(made_once / "run", tmp_path / "rooms")
    write_training(folder, folds=FOLDS, epochs=EPOCHS)
    return regraft.read_run(folder)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a client of MLflow for a store; folders have to be allowed to it."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    return MlflowClient


def read_events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


# --- TensorBoard


def test_tensorboard_reads_metrics_and_texts(run: regraft.Run, tmp_path: Path) -> None:
    out = to_tensorboard(run, tmp_path / "boards")
    assert out == tmp_path / "boards" / "rooms"
    found = read_events(out)
    checked = 0
    for evaluation in run.evaluations:
        for name in METRICS:
            estimate = evaluation.metrics[name]
            for suffix, value in (
                ("", estimate.value),
                ("_low", estimate.low),
                ("_high", estimate.high),
            ):
                (event,) = found.Scalars(f"{evaluation.on}/{name}{suffix}")
                assert event.value == pytest.approx(value, abs=1e-6)
                checked += 1
        for label, score in evaluation.per_class.items():
            (event,) = found.Scalars(f"{evaluation.on}/recall/{label}")
            assert event.value == pytest.approx(score.recall.value, abs=1e-6)
    assert checked == 18 * len(run.evaluations) > 0

    def text(name: str) -> str:
        (event,) = found.Tensors(name)
        return str(event.tensor_proto.string_val[0].decode())

    assert text("verdict") == run.comparison.verdict
    assert text("how to read it") == "\n\n".join(run.about.reading)
    first = run.comparison.candidates[0]
    assert f"| {first.title} | done | {first.accuracy.value:.3f} [" in text("candidates")
    counts = run.evaluations[0].confusion
    row = f"| clean | {counts[0, 0]:g} | {counts[0, 1]:g} |"
    assert row in text(f"{run.evaluations[0].on}/confusion")
    assert "| messy | " in text(f"{run.evaluations[0].on}/classes")


def test_tensorboard_reads_the_curves_of_every_fold(run: regraft.Run, tmp_path: Path) -> None:
    out = to_tensorboard(run.folder, tmp_path / "boards")
    folders = sorted(path.parent for path in out.rglob(EVENTS))
    assert folders == [out, *(out / CANDIDATE / f"fold_{i + 1}" for i in range(FOLDS))]
    for folder in folders[1:]:
        found = read_events(folder)
        assert [e.step for e in found.Scalars("step/train_loss")] == list(range(STEPS))
        assert len(found.Scalars("step/learning_rate")) == STEPS
        for name in ("train_loss", "train_accuracy", "fold_loss", "fold_accuracy"):
            assert len(found.Scalars(f"epoch/{name}")) == EPOCHS
        assert "step/fold_loss" not in found.Tags()["scalars"]
    rows = [
        line.split(",")
        for line in (run.folder / "training.csv").read_text(encoding="utf-8").splitlines()
    ]
    last = [row for row in rows if row[4] == ""][-1]  # the title holds a comma
    event = read_events(folders[-1]).Scalars("epoch/fold_accuracy")[-1]
    assert event.value == pytest.approx(float(last[-1]))


def test_what_was_written_before_is_replaced_and_nothing_else(
    run: regraft.Run, tmp_path: Path
) -> None:
    boards = tmp_path / "boards"
    out = to_tensorboard(run, boards)
    theirs = out / "events.out.tfevents.1.theirs"
    theirs.write_bytes(b"theirs")
    first = {path: path.read_bytes() for path in out.rglob(EVENTS)}
    to_tensorboard(run, boards)
    assert {path: path.read_bytes() for path in out.rglob(EVENTS)} == first
    (run.folder / "training.csv").unlink()
    to_tensorboard(run, boards)
    assert list(out.rglob(EVENTS)) == [out / EVENTS]
    assert theirs.read_bytes() == b"theirs"


def test_what_cannot_be_written_or_read_is_explained(run: regraft.Run, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    with pytest.raises(StorageError, match="could not create the folder"):
        to_tensorboard(run, taken)
    with pytest.raises(RunError, match="is not a run folder"):
        to_tensorboard(tmp_path / "nothing", tmp_path / "boards")
    (run.folder / "training.csv").write_text("candidate,fold,step\na,b,\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"training\.csv is damaged .*fit again with --force"):
        to_tensorboard(run, tmp_path / "boards")


# --- MLflow


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
@pytest.mark.parametrize("kind", ["folder", "file", "sqlite"])
def test_mlflow_reads_params_metrics_curves_and_files(
    run: regraft.Run,
    client: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given: str | Path = {
        "folder": "store",
        "file": "file:store",
        "sqlite": f"sqlite:///{tmp_path}/store.db",
    }[kind]
    uri = str(given) if kind == "sqlite" else (tmp_path / "store").as_uri()
    identity = to_mlflow(run, given, experiment="cleaning")
    store = client(tracking_uri=uri)
    found = store.get_run(identity)
    assert found.info.run_name == "rooms"
    assert found.info.status == "FINISHED"
    assert store.get_experiment(found.info.experiment_id).name == "cleaning"
    assert found.data.tags["mlflow.note.content"] == run.comparison.verdict
    params = found.data.params
    chosen = run.comparison.winner
    assert params["approach"] == chosen.approach == "linear_probe"
    assert params["backbone"] == "efficientnet_lite0"
    assert params["fingerprint"] == run.about.fingerprint
    assert params["chosen.penalty"] == str(chosen.settings["penalty"])
    assert params["setting.seed"] == "0"
    assert params["version.regraft"] == regraft.__version__
    assert "setting.labels" not in params
    metrics = found.data.metrics
    for evaluation in run.evaluations:
        for name in METRICS:
            estimate = evaluation.metrics[name]
            assert metrics[f"{evaluation.on}/{name}"] == pytest.approx(estimate.value)
            assert metrics[f"{evaluation.on}/{name}_low"] == pytest.approx(estimate.low)
            assert metrics[f"{evaluation.on}/{name}_high"] == pytest.approx(estimate.high)
    curve = store.get_metric_history(identity, f"{CANDIDATE}/fold_2/epoch/fold_loss")
    assert sorted(point.step for point in curve) == [1, 2]  # people count epochs from 1
    steps = store.get_metric_history(identity, f"{CANDIDATE}/fold_1/step/train_loss")
    assert len(steps) == STEPS
    files = {a.path for a in store.list_artifacts(identity)}
    assert (run.folder / WHERE).exists()
    assert WHERE not in files
    assert {"report.html", "run.json", "evaluation.json", "predictions.csv", "model"} <= files
    kept = Path(store.download_artifacts(identity, "model/model.onnx"))
    assert kept.read_bytes() == (run.folder / "model" / "model.onnx").read_bytes()
    again = to_mlflow(run, given, experiment="cleaning")
    assert len(store.search_runs([found.info.experiment_id])) == 2
    assert again != identity


def test_mlflow_reports_to_nobody(run: regraft.Run, tmp_path: Path) -> None:
    code = f"""
import socket
def refuse(*_):
    raise AssertionError("something is sent")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import os, threading
before = dict(os.environ)
from regraft.frameworks.tracking import to_mlflow
to_mlflow({str(run.folder)!r}, {str(tmp_path / "store")!r})
from regraft.telemetry import VARIABLES
assert dict(os.environ) == {{**VARIABLES, **before}}
from mlflow.telemetry import get_telemetry_client
print(get_telemetry_client(), sorted(t.name for t in threading.enumerate() if "elemetry" in t.name))
"""
    hidden = ("PYTEST", "CI", "MLFLOW", "GITHUB", "DO_NOT_TRACK")  # with which it sends nothing
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "None []\n"), done.stderr


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("", UsageError, "the address of MLflow is empty, expected a folder, file:FOLDER"),
        ("ftp://host", UsageError, "the address of MLflow is ftp://host, expected a folder"),
        ("http://127.0.0.1:9", StorageError, "mlflow at http://127.0.0.1:9 does not take the run"),
    ],
)
def test_addresses_that_do_not_work_are_explained(
    run: regraft.Run, uri: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        to_mlflow(run, uri)
    assert "\n" not in str(caught.value)


def test_a_run_that_could_not_be_logged_whole_says_so(
    run: regraft.Run, client: Any, tmp_path: Path
) -> None:
    (run.folder / "gone.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError, match=r"does not take the run .*gone\.csv"):
        to_mlflow(run, tmp_path / "store")
    store = client(tracking_uri=(tmp_path / "store").as_uri())
    experiment = store.get_experiment_by_name("regraft")
    (found,) = store.search_runs([experiment.experiment_id])
    assert found.info.status == "FAILED"


@pytest.mark.parametrize(
    ("missing", "purpose"), [("tensorboard", "TensorBoard"), ("mlflow", "MLflow")]
)
def test_without_a_package_the_command_to_install_it_is_told(
    run: regraft.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, purpose: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        track(run, **{missing: tmp_path / "out"})
    expected = f'tracking to {purpose} needs an extra: pip install "regraft[tracking]"'
    assert str(caught.value) == expected


def test_a_database_without_its_packages_is_explained(
    run: regraft.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "sqlalchemy" else name
    )
    with pytest.raises(UsageError, match="is a database, which needs sqlalchemy and alembic"):
        to_mlflow(run, "sqlite:///store.db")


# --- the command


def test_the_command_writes_both(
    regraft: CommandLine, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = regraft.done("track", "rooms", "--tensorboard", "boards", "--mlflow", "store")
    assert found.out == ""
    events, mlflow, following = found.err.splitlines()
    assert events.startswith("events   boards/rooms (")
    assert events.endswith(f"the curves of {FOLDS} trainings)")
    assert mlflow.startswith("mlflow   ")
    assert " in store (" in mlflow
    assert following == "next     tensorboard --logdir boards"
    data = regraft.done("track", "rooms", "--tensorboard", "boards", "--format", "json").data
    assert data["tensorboard"] == "boards/rooms"
    assert data["mlflow_run"] == ""
    assert data["curves"] == FOLDS
    (row,) = regraft.done("track", "rooms", "--mlflow", "store", "--format", "csv").rows
    assert row["mlflow_uri"] == "store"
    assert len(row["mlflow_run"]) == 32
    assert "nothing to track to: add --tensorboard FOLDER or --mlflow URI" in (
        regraft("track", "rooms").error
    )
