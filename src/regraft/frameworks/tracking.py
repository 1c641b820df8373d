"""A finished run in, the same numbers where teams look at theirs: TensorBoard and MLflow.

Both read what stands in the run folder. Nothing leaves this machine unless the address that is
given for MLflow is one of another: its telemetry is off while regraft calls it. Needs the extra
`tracking`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from regraft.errors import MissingExtraError, RunError, StorageError, UsageError
from regraft.evidence.evaluation import Evaluation
from regraft.evidence.training_table import read_training
from regraft.metrics.rates import Estimate, defined
from regraft.runs import WHERE, Run, read_run, shown_from
from regraft.storage.files import make_folder, storage_errors, write_atomic
from regraft.telemetry import opt_out

EXPERIMENT = "regraft"
EVENTS = "events.out.tfevents.regraft"
_CURVES = ("learning_rate", "train_loss", "train_accuracy", "fold_loss", "fold_accuracy")
_EACH = {"metrics": 1000, "params": 100}  # of one call to MLflow
_LONGEST = 6000  # characters of a parameter in MLflow
_STORES = "expected a folder, file:FOLDER, sqlite:///FILE or http(s)://HOST"


@dataclass(frozen=True, slots=True)
class Point:
    """A number on a curve: `at` counts steps, or epochs from 1."""

    name: str
    at: int
    value: float


@dataclass(frozen=True, slots=True)
class Tracked:
    """What `track` wrote: the folder for TensorBoard, and the run of MLflow; "" for none."""

    tensorboard: str = ""
    mlflow_uri: str = ""
    mlflow_run: str = ""
    curves: int = 0
    numbers: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def track(
    run: str | Path | Run,
    *,
    tensorboard: str | Path | None = None,
    mlflow: str | Path | None = None,
    experiment: str = EXPERIMENT,
) -> Tracked:
    """Give a finished run to TensorBoard, to MLflow, or to both; see the two functions below.

    Raises:
        UsageError: neither is asked for.
    """
    if tensorboard is None and mlflow is None:
        raise UsageError("nothing to track to: add --tensorboard FOLDER or --mlflow URI")
    found = _run(run)
    where = "" if tensorboard is None else str(to_tensorboard(found, tensorboard))
    number = "" if mlflow is None else to_mlflow(found, mlflow, experiment)
    return Tracked(
        tensorboard=where,
        mlflow_uri="" if mlflow is None else str(mlflow),
        mlflow_run=number,
        curves=len(read_curves(found.folder)),
        numbers=sum(len(numbers_of(e)) for e in found.evaluations),
    )


def to_tensorboard(run: str | Path | Run, folder: str | Path) -> Path:
    """Write a run as event files for `tensorboard --logdir FOLDER`.

    Below the run's own name are its metrics with the ends of their intervals, the verdict, the
    candidates, confusion and scores by class as texts, and for each candidate that was trained, by
    fold, every step and every epoch. What an earlier call wrote of a run of that name is replaced.

    Args:
        run: a Run, or a run folder.
        folder: to be looked at, with others below it.

    Returns:
        The folder of this run.

    Raises:
        MissingExtraError: tensorboard is not installed.
        RunError: there is no finished run.
        StorageError: a file cannot be written.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("tracking to TensorBoard", "tracking")
    found = _run(run)
    with shown_from(found):
        metrics = [
            Point(f"{e.on}/{name}", 0, x)
            for e in found.evaluations
            for name, x in numbers_of(e).items()
        ]
        texts, when = _texts(found), _seconds(found.about.finished)
        curves = read_curves(found.folder)
    out = Path(folder) / found.folder.resolve().name
    earlier = set(out.rglob(EVENTS))
    written = {_write_events(out, metrics, texts, when)}
    for (candidate, fold), points in curves.items():
        written.add(_write_events(out / _plain(candidate) / fold, points, {}, when))
    with storage_errors(f"write {out}"):
        for path in sorted(earlier - written):
            path.unlink()
    return out


def to_mlflow(run: str | Path | Run, tracking_uri: str | Path, experiment: str = EXPERIMENT) -> str:
    """Log a run to MLflow: parameters, metrics with their intervals, curves and files.

    With a database the files go to where MLflow puts them, `mlruns` in the working folder.

    Args:
        run: a Run, or a run folder.
        tracking_uri: of the store: a folder, file:FOLDER, sqlite:///FILE or http(s)://HOST.
        experiment: made if there is none of that name.

    Returns:
        MLflow's id of the new run.

    Raises:
        MissingExtraError: mlflow is not installed.
        UsageError: the address is of a kind that cannot be used here.
        RunError: there is no finished run.
        StorageError: the store does not take it.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise MissingExtraError("tracking to MLflow", "tracking")
    found = _run(run)
    uri = _store(tracking_uri)
    with shown_from(found):
        begun = _milliseconds(found.about.started)
        ended = _milliseconds(found.about.finished)
        points, parameters = list(all_points(found)), params_of(found)
        verdict = found.comparison.verdict
    with _quiet_mlflow():
        opt_out()
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

        try:
            client = MlflowClient(tracking_uri=uri)
            known = client.get_experiment_by_name(experiment)
            number = known.experiment_id if known else client.create_experiment(experiment)
            logged = client.create_run(
                number,
                start_time=begun,
                run_name=found.folder.resolve().name,
                tags={"mlflow.note.content": verdict},
            )
            identity = logged.info.run_id
            try:
                metrics = [Metric(p.name, p.value, ended, p.at) for p in points]
                for some in _in_parts(metrics, _EACH["metrics"]):
                    client.log_batch(identity, metrics=some)
                params = [Param(name, value[:_LONGEST]) for name, value in parameters.items()]
                for some in _in_parts(params, _EACH["params"]):
                    client.log_batch(identity, params=some)
                for path, below in _artifacts(found.folder):
                    client.log_artifact(identity, str(path), below or None)
            except BaseException:
                client.set_terminated(identity, "FAILED")
                raise
            client.set_terminated(identity, "FINISHED", ended)
        except (MlflowException, OSError) as error:
            what = " ".join(str(error).split())[:200]
            raise StorageError(
                f"mlflow at {tracking_uri} does not take the run ({what}); check the address, and "
                "that it can be written to"
            ) from error
    return str(identity)


def read_curves(folder: Path) -> dict[tuple[str, str], list[Point]]:
    """Every step and epoch of `training.csv`, by candidate and fold ("fold_1"...).

    Raises:
        RunError: the file is damaged.
    """
    curves: dict[tuple[str, str], list[Point]] = {}
    for row in read_training(folder):
        kind, at = ("epoch", row.epoch + 1) if row.step is None else ("step", row.step)
        curves.setdefault((row.candidate, f"fold_{row.fold + 1}"), []).extend(
            Point(f"{kind}/{name}", at, value)
            for name in _CURVES
            if not math.isnan(value := getattr(row, name))
        )
    return curves


def numbers_of(evaluation: Evaluation) -> dict[str, float]:
    """Every number of an evaluation by name, `_low` and `_high` for the ends of its interval."""
    found = {"images": float(evaluation.n), "majority_share": evaluation.majority_share}
    for name, estimate in evaluation.metrics.items():
        found |= _ends(name, estimate)
    for label, score in evaluation.per_class.items():
        name = _plain(label)
        found |= _ends(f"recall/{name}", score.recall)
        found |= {f"precision/{name}": score.precision, f"f1/{name}": score.f1}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _run(run: str | Path | Run) -> Run:
    return run if isinstance(run, Run) else read_run(run)


def _plain(name: str) -> str:
    """A name that folders, TensorBoard and MLflow all take."""
    return re.sub(r"[^\w.\-]+", "_", name).strip("_.") or "unnamed"


def all_points(run: Run) -> Iterator[Point]:
    """Every number of a run: of its evaluations, and of the curves of what was trained."""
    for evaluation in run.evaluations:
        for name, value in numbers_of(evaluation).items():
            yield Point(f"{evaluation.on}/{name}", 0, value)
    for (candidate, fold), points in read_curves(run.folder).items():
        for point in points:
            yield Point(f"{_plain(candidate)}/{fold}/{point.name}", point.at, point.value)


def params_of(run: Run) -> dict[str, str]:
    """What the run was asked for and what it chose, as MLflow shows it."""
    about, chosen = run.about, run.comparison.winner
    found: dict[str, Any] = {
        "approach": chosen.approach,
        "backbone": chosen.backbone,
        "fingerprint": about.fingerprint,
        "classes": len(about.classes),
        **about.counts,
    }
    found |= {f"chosen.{name}": value for name, value in chosen.settings.items()}
    found |= {f"setting.{name}": value for name, value in about.settings.items()}
    found |= {f"version.{name}": value for name, value in about.versions.items()}
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in found.items()
        if value not in (None, [], {})
    }


def _artifacts(folder: Path) -> list[tuple[Path, str]]:
    """Files of a run with the folder they go to in MLflow; what is private stays."""
    own = [p for p in sorted(folder.iterdir()) if p.suffix in (".json", ".csv", ".html")]
    own = [p for p in own if p.name != WHERE]
    model = [folder / "model" / name for name in ("model.json", "model.onnx")]
    return [*((p, "") for p in own), *((p, "model") for p in model if p.exists())]


def _in_parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _store(tracking_uri: str | Path) -> str:
    """The address of an MLflow store, as its client takes it; see `to_mlflow`."""
    text = str(tracking_uri)
    scheme, colon, rest = text.partition(":")
    if not text:
        raise UsageError(f"the address of MLflow is empty, {_STORES}")
    if isinstance(tracking_uri, Path) or not colon or len(scheme) == 1:  # a drive of Windows
        return make_folder(Path(text)).resolve().as_uri()
    if scheme == "file" and not rest.startswith("//"):
        return make_folder(Path(rest)).resolve().as_uri()
    if scheme in ("file", "http", "https"):
        return text
    if scheme in ("sqlite", "postgresql", "mysql", "mssql"):
        if importlib.util.find_spec("sqlalchemy") is None:
            raise UsageError(
                f"{text} is a database, which needs sqlalchemy and alembic; run: pip install "
                "mlflow, or give a folder"
            )
        return text
    raise UsageError(f"the address of MLflow is {text}, {_STORES}")


@contextlib.contextmanager
def _quiet_mlflow() -> Iterator[None]:
    """MLflow without its lines of log, with folders as stores, and impatient."""
    wanted = {
        "MLFLOW_ALLOW_FILE_STORE": "true",  # in maintenance mode, and the only one without more
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),
    }
    before = {name: os.environ.get(name) for name in wanted}
    level = logging.root.manager.disable
    os.environ.update(wanted)
    logging.disable(logging.INFO)  # it sets up loggers of its own when it is imported
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what it asks SQLAlchemy for
            yield
    finally:
        logging.disable(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _texts(run: Run) -> dict[str, str]:
    """What TensorBoard shows as text, as Markdown."""
    candidates = [
        [
            c.title,
            c.status,
            _interval(c.accuracy),
            "" if c.chosen_is_ahead_by is None else c.chosen_is_ahead_by.points,
            f"{c.seconds:.1f}",
        ]
        for c in run.comparison.candidates
    ]
    header = ["candidate", "status", "accuracy", "chosen is ahead by", "seconds"]
    found = {
        "verdict": run.comparison.verdict,
        "how to read it": "\n\n".join(run.about.reading),
        "candidates": _table(header, candidates),
    }
    for evaluation in run.evaluations:
        counts = evaluation.confusion.tolist()
        found[f"{evaluation.on}/confusion"] = _table(
            ["labelled as, predicted as", *evaluation.classes],
            [
                [name, *(f"{x:g}" for x in row)]
                for name, row in zip(evaluation.classes, counts, strict=True)
            ],
        )
        found[f"{evaluation.on}/classes"] = _table(
            ["class", "images", "recall", "precision", "F1"],
            [
                [
                    name,
                    str(score.n),
                    _interval(score.recall),
                    f"{score.precision:.3f}",
                    f"{score.f1:.3f}",
                ]
                for name, score in evaluation.per_class.items()
            ],
        )
    return {name: text for name, text in found.items() if text}


def _interval(estimate: Estimate | None) -> str:
    if (rate := defined(estimate)) is None:
        return ""
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _write_events(
    folder: Path, points: Sequence[Point], texts: Mapping[str, str], when: float
) -> Path:
    """One event file, whole or not at all."""
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.summary.writer.record_writer import RecordWriter

    out = io.BytesIO()
    writer = RecordWriter(out)

    def add(value: Any, at: int = 0) -> None:
        summary = summary_pb2.Summary(value=[value])
        event = event_pb2.Event(wall_time=when, step=at, summary=summary)
        writer.write(event.SerializeToString())

    first = event_pb2.Event(wall_time=when, file_version="brain.Event:2")
    writer.write(first.SerializeToString())
    for point in points:
        add(summary_pb2.Summary.Value(tag=point.name, simple_value=point.value), point.at)
    for name, text in texts.items():
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(
            dtype=DT_STRING, tensor_shape=shape, string_val=[text.encode("utf-8", "replace")]
        )
        about = create_summary_metadata(display_name=name, description="")
        add(summary_pb2.Summary.Value(tag=name, metadata=about, tensor=tensor))
    path = make_folder(folder) / EVENTS
    write_atomic(path, out.getvalue())
    return path


def _seconds(moment: str) -> float:
    """Seconds since 1970 of a time in run.json."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError as error:
        raise RunError(f"run.json says {moment!r} for a time; fit again with --force") from error


def _milliseconds(moment: str) -> int:
    return round(1000 * _seconds(moment))
