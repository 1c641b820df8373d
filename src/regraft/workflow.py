"""The verbs people use, composed from the modules above: fit, evaluate, predict, report.

The command line calls these and prints what they return; a notebook can do the same. Nothing
here prints.
"""

from __future__ import annotations

import csv
import glob
import io
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np

from regraft.approaches import FOLDS, CrossValidation, Limits, is_trained, seconds_expected
from regraft.candidates import candidate_approaches, candidate_backbones, trains_networks
from regraft.catalogue import Backbone
from regraft.comparison import Candidate, Comparison, choose_again, compare, with_time_left
from regraft.dataset import (
    Dataset,
    Row,
    leave_out_small_classes,
    natural_key,
    require_trainable,
    scan,
    set_aside,
    split_groups,
)
from regraft.dataset.walking import walk
from regraft.errors import DataError, TrainingError, UsageError
from regraft.evaluation import (
    CROSS_VALIDATION,
    TEST,
    Evaluation,
    class_numbers,
    evaluate_model,
    evaluate_probabilities,
)
from regraft.evidence import (
    guide_entry,
    learning_curve_entry,
    range_csv,
    selection_entry,
    training_csv,
    transfer_entry,
)
from regraft.features import embed_rows, measure_speed
from regraft.guide import (
    Advice,
    Similarity,
    Size,
    advise,
    measure_similarity,
    measure_size,
    rank_backbones,
)
from regraft.issues import find_issues
from regraft.modality.image import SUFFIXES
from regraft.model import Model, Prediction, load
from regraft.progress import Progress, note, silent
from regraft.race import Race
from regraft.runs import (
    RACE,
    ImagePrediction,
    Run,
    check_folder,
    free_folder,
    open_run,
    read_run,
    write_about,
    write_results,
)
from regraft.storage import write_atomic

DEFAULT_BUDGET_S = 300.0
_AFTERWARDS_S = 8.0  # evaluation, learning curve and report
_AFTERWARDS_IMAGE_S = 0.02  # predicting one more photo


class LabelColumns(TypedDict, total=False):
    """Names of columns of a label table; those left out are found by common names."""

    path_column: str
    label_column: str
    split_column: str
    group_column: str


def fit(
    data: str | Path,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    test: str | Path | None = None,
    columns: LabelColumns | None = None,
    budget_s: float = DEFAULT_BUDGET_S,
    backbones: Sequence[str] = (),
    approaches: Sequence[str] = (),
    resize: str | None = None,
    arch: str | None = None,
    architecture: str | None = None,
    out: str | Path | None = None,
    force: bool = False,
    seed: int = 0,
    jobs: int | None = None,
    command: str = "",
    progress: Progress = silent,
) -> Run:
    """From a folder of photos to an honest, saved classifier with its report.

    Args:
        data: a folder or a label table; see `scan` for the layouts.
        labels: a label table for the files in `data`.
        image_dir: where the files named by a label table are.
        test: labelled data for the test set, kept out of every choice.
        columns: names of columns of the label table: `path_column`, `label_column`,
            `split_column`, `group_column`.
        budget_s: seconds for the whole run; candidates get fewer epochs, or are left out.
        backbones: names to try, or checkpoints to go on from; by default the built-in one, and
            the installed others too unless approaches are named.
        approaches: names to try; by default all.
        resize: "crop", "pad" or "squash"; by default the backbone's own.
        arch: timm's name of the network that weights files among the backbones belong to.
        architecture: a network for `scratch`, "package.module:name" or "path/file.py:name".
        out: the run folder; by default `runs/<name of the data>`.
        force: replace a run that is there.
        seed: of splits and folds.
        jobs: worker threads; by default one a core.
        command: kept in run.json, to repeat the run.
        progress: told how far each step is.

    Returns:
        The run as read back from its folder.

    Raises:
        DataError: the data cannot be trained on.
        RunError: the run folder is busy, finished or not one.
        UsageError: an option is outside its range.
        BackboneError: a backbone is unknown or not installed.
        StorageError: the run folder cannot be written.
    """
    if budget_s <= 0:
        raise UsageError(f"the budget is {budget_s:g} s, expected more than 0, such as 5m")
    networks = candidate_backbones(approaches, backbones, resize=resize, arch=arch)
    source = Path(data)
    folder = Path(out) if out is not None else free_folder(Path("runs") / _run_name(source))
    settings = {
        "data": os.path.realpath(source),
        "labels": os.path.realpath(labels) if labels else None,
        "image_dir": os.path.realpath(image_dir) if image_dir else None,
        "test": os.path.realpath(test) if test else None,
        "columns": dict(columns or {}),
        "budget_s": budget_s,
        "backbones": list(backbones),
        "approaches": list(approaches),
        "resize": resize,
        "arch": arch,
        "architecture": architecture,
        "seed": seed,
    }
    command = command or _command(settings, folder)
    started = time.monotonic()
    check_folder(folder, settings, force=force)
    found = scan(
        source,
        labels=labels,
        image_dir=image_dir,
        test=test,
        jobs=jobs,
        progress=progress,
        **(columns or LabelColumns()),
    )
    require_trainable(found)  # until here nothing is written
    with open_run(folder, settings, command=command, force=force) as about:
        phase = _stopwatch(about["seconds"])
        about["seconds"]["scan"] = round(time.monotonic() - started, 3)
        with phase("features"):
            found = _readable(found, networks[0], jobs=jobs, progress=progress)
            require_trainable(found)
        had_test = bool(found.test)
        found = set_aside(found, seed=seed)
        guidance = None
        ranked: list[Backbone] = []
        if trains_networks(approaches):
            with phase("guide"):
                guidance = _guidance(found, networks[0], jobs=jobs, progress=progress)
                if len(networks) > 2:
                    scored = rank_backbones(
                        found, networks[1:], seed=seed, jobs=jobs, progress=progress
                    )
                    ranked = [backbone for backbone, _ in scored]
        candidates = candidate_approaches(
            approaches,
            backbones,
            resize=resize,
            arch=arch,
            advice=guidance.advice if guidance else None,
            architecture=architecture,
            ranked=ranked,
        )
        reserve = _AFTERWARDS_S + _AFTERWARDS_IMAGE_S * (len(found.test) + len(found.unlabelled))
        with phase("comparison"):
            comparison = compare(
                candidates,
                found,
                budget_s=budget_s - (time.monotonic() - started),
                reserve_s=min(reserve, 0.2 * budget_s),
                race=Race(folder / RACE) if trains_networks(approaches) else None,
                seed=seed,
                jobs=jobs,
                progress=progress,
            )
        with phase("final fit"):
            comparison, model = _final_fit(
                comparison,
                found,
                deadline=started + budget_s - min(reserve, 0.2 * budget_s) / 2,
                seed=seed,
                jobs=jobs,
                progress=progress,
            )
            model.save(folder / "model")
        chosen = comparison.winner.cross_validation
        assert chosen is not None
        with phase("evaluation"):
            found, others, seen = _predict_the_rest(model, found, jobs=jobs, progress=progress)
            evaluations = _evaluations(found, chosen, seen[: len(found.test)], seed=seed)
            predictions = _predictions(found, chosen, others, seen)
        with phase("evidence"):
            evidence = {
                "guide": guidance and guide_entry(*guidance, comparison),
                "transfer": transfer_entry(comparison),
                "learning_curve": learning_curve_entry(
                    found, comparison, seed=seed, jobs=jobs, progress=progress
                ),
                "selection": selection_entry(comparison, evaluations),
            }
        about.update(
            data=str(found.root),
            layout=found.layout,
            notes=list(found.notes),
            classes=list(found.classes),
            counts={"training": len(found.train), "test": len(found.test)},
            fingerprint=found.fingerprint(),
            backbone=dict(model.backbone),
            reading=_reading(found, comparison, had_test=had_test),
        )
        with phase("report"):
            write_results(
                folder,
                data=found,
                issues=find_issues(found),
                comparison=comparison.to_dict() | {k: v for k, v in evidence.items() if v},
                evaluations=evaluations,
                predictions=predictions,
                training=training_csv(comparison),
                ranges=range_csv(comparison),
            )
            about["seconds_total"] = round(time.monotonic() - started, 3)
            write_about(folder, about)
            write_atomic(folder / "report.html", _report(folder, unfinished=True))
        about["seconds_total"] = round(time.monotonic() - started, 3)
    return read_run(folder)


@dataclass(frozen=True, slots=True)
class PlannedCandidate:
    """One candidate of a plan: predicted seconds on one fold, and of the final training."""

    title: str
    seconds: float | None
    fit_seconds: float | None
    epochs: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `plan` found: size, similarity, advice, and what each candidate would cost."""

    size: Size
    similarity: Similarity
    advice: Advice
    candidates: tuple[PlannedCandidate, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "size": self.size.to_dict(),
            "similarity": self.similarity.to_dict(),
            "quadrant": self.advice.quadrant,
            "advice": self.advice.advice,
            "reason": self.advice.reason,
            "source": self.advice.source,
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }


def plan(
    data: str | Path,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    backbones: Sequence[str] = (),
    approaches: Sequence[str] = (),
    resize: str | None = None,
    arch: str | None = None,
    architecture: str | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Plan:
    """Size, similarity, the rule of thumb, and what every candidate would take on this machine.

    Nothing is trained but a few steps that are timed. Arguments are those of `fit`.

    Raises:
        DataError: the data cannot be trained on.
        UsageError: an option is outside its range.
        BackboneError: a backbone is unknown or not installed.
    """
    networks = candidate_backbones(approaches, backbones, resize=resize, arch=arch)
    found = scan(
        data,
        labels=labels,
        image_dir=image_dir,
        jobs=jobs,
        progress=progress,
        verify=True,
        **(columns or LabelColumns()),
    )
    require_trainable(found)
    found = set_aside(found, seed=seed)
    guidance = _guidance(found, networks[0], jobs=jobs, progress=progress)
    for backbone in networks:
        if seconds_expected(backbone, 1) is None:
            note(progress, f"timing {backbone.name}")
            measure_speed(backbone, progress=progress)
    planned = []
    for approach in candidate_approaches(
        approaches,
        backbones,
        resize=resize,
        arch=arch,
        advice=guidance.advice,
        architecture=architecture,
    ):
        title = Candidate(approach, "skipped").title
        if not is_trained(approach):
            seconds = seconds_expected(approach.network, len(found.train))
            planned.append(PlannedCandidate(title, seconds, 0.0, None))
            continue
        note(progress, f"timing {title}")
        try:
            cost = approach.cost(found, folds=FOLDS, jobs=jobs)
        except TrainingError as error:
            planned.append(PlannedCandidate(title, None, None, None, str(error)))
            continue
        planned.append(PlannedCandidate(title, cost.once + cost.fold, cost.fit, cost.epochs))
    return Plan(*guidance, tuple(planned))


def evaluate(
    model: str | Path | Model,
    data: str | Path | Dataset,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    columns: LabelColumns | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Score a model on labelled images it has not seen: the test rows of `data`, or all.

    Args:
        model: a Model, or a model or run folder.
        data: a Dataset, a folder or a label table.
        labels, image_dir, columns: as for `fit`, where `data` is a path.
        jobs: worker threads.
        progress: told how many images are done.

    Raises:
        ModelError: the model cannot be read.
        DataError: no labelled image, or a label the model does not know.
    """
    loaded = model if isinstance(model, Model) else load(model)
    if not isinstance(data, Dataset):
        data = scan(
            data,
            labels=labels,
            image_dir=image_dir,
            min_class_images=1,
            jobs=jobs,
            progress=progress,
            **(columns or LabelColumns()),
        )
    return evaluate_model(loaded, data, jobs=jobs, progress=progress)


def report(run: str | Path, out: str | Path) -> Path:
    """Write the report of a run folder as one offline HTML file.

    Raises:
        RunError: the folder holds no complete run.
        StorageError: `out` cannot be written.
    """
    write_atomic(Path(out), _report(run))
    return Path(out)


def predict(
    model: str | Path | Model,
    inputs: Sequence[str | Path],
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[Prediction]:
    """Predict files, folders (with all images below them) and glob patterns.

    Raises:
        ModelError: the model cannot be read.
        DataError: an input is not there, or no image was found.
    """
    loaded = model if isinstance(model, Model) else load(model)
    return loaded.predict(expand_inputs(inputs), jobs=jobs, progress=progress)


def expand_inputs(inputs: Sequence[str | Path]) -> list[str]:
    """Files as given; folders and patterns as the images they hold, sorted, each once.

    Raises:
        DataError: an input is not there, or no image was found.
    """
    found: dict[str, None] = {}
    for given in inputs:
        path = Path(given)
        try:
            names = _images_below(path) if path.is_dir() else [str(path)]
            is_pattern = not os.path.lexists(path)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise DataError(f"{given} cannot be opened: {why}; give another path") from error
        if is_pattern:
            names = sorted(glob.glob(str(given), recursive=True), key=natural_key)  # noqa: PTH207
            if not names:
                raise DataError(f"there is no file, folder or match for {given}; check its name")
            names = expand_inputs(names)
        found.update(dict.fromkeys(names))
    if not found:
        listed = ", ".join(str(given) for given in inputs)
        raise DataError(f"no image found in {listed}; expected files such as .jpg or .png")
    return list(found)


def predictions_table(model: Model, predictions: Sequence[Prediction]) -> str:
    """CSV: path, predicted, confidence, set, flag, p_<class>...; a set is joined by `|`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = ["path", "predicted", "confidence", "set", "flag"]
    writer.writerow([*header, *(f"p_{name}" for name in model.classes)])
    for p in predictions:
        numbers = [f"{x:.6f}" for x in p.probabilities] or [""] * len(model.classes)
        confidence = f"{p.confidence:.6f}" if p.probabilities else ""
        writer.writerow([p.path, p.predicted, confidence, "|".join(p.set), p.flag, *numbers])
    return out.getvalue()


class _Guidance(NamedTuple):
    size: Size
    similarity: Similarity
    advice: Advice


def _guidance(
    data: Dataset, backbone: Backbone, *, jobs: int | None, progress: Progress
) -> _Guidance:
    note(progress, "measuring how similar the photos are to the pretraining data")
    size = measure_size(data)
    similarity = measure_similarity(data, backbone, jobs=jobs, progress=progress)
    return _Guidance(size, similarity, advise(size, similarity))


def _final_fit(
    comparison: Comparison,
    data: Dataset,
    *,
    deadline: float,
    seed: int,
    jobs: int | None,
    progress: Progress,
) -> tuple[Comparison, Model]:
    """The winner trained on all training rows, or the best quick one where time ran out."""
    fallback = choose_again(comparison, "")
    try:
        model = comparison.best.fit(
            data,
            cross_validation=with_time_left(comparison.winner, deadline - time.monotonic()),
            limits=Limits(deadline=deadline) if fallback else Limits(),
            seed=seed,
            jobs=jobs,
            progress=progress,
        )
    except TrainingError as error:
        again = choose_again(comparison, f"its final training was not finished: {error}")
        if again is None:
            raise
        note(progress, f"{comparison.winner.title}: {error}; using {again.winner.title} instead")
        chosen = again.winner.cross_validation
        model = again.best.fit(
            data, cross_validation=chosen, seed=seed, jobs=jobs, progress=progress
        )
        return again, model
    return comparison, model


def _readable(data: Dataset, first: Backbone, *, jobs: int | None, progress: Progress) -> Dataset:
    """The dataset with the images that cannot be decoded marked, found by decoding them all.

    The features go to the cache, where the first candidate finds them.
    """
    rows = data.train
    embedding = embed_rows(data, rows, first, jobs=jobs, progress=progress)
    if embedding.warning:
        note(progress, embedding.warning)
    marked = data.mark({p: ("unreadable", reason) for p, reason in embedding.failures.items()})
    return leave_out_small_classes(marked)


def _predict_the_rest(
    model: Model, data: Dataset, *, jobs: int | None, progress: Progress
) -> tuple[Dataset, list[Row], list[Prediction]]:
    """The model on every image it was not trained on: test rows first, then unlabelled ones.

    This is where the test set is read, once. Images that turn out unreadable are marked.
    """
    rows = [*data.test, *data.unlabelled]
    seen = model.predict([data.absolute(row) for row in rows], jobs=jobs, progress=progress)
    pairs = list(zip(rows, seen, strict=True))
    data = data.mark({r.path: ("unreadable", p.reason) for r, p in pairs if p.reason})
    readable = [(row, p) for row, p in pairs if not p.reason]
    return data, [row for row, _ in readable], [p for _, p in readable]


def _evaluations(
    data: Dataset, chosen: CrossValidation, seen: Sequence[Prediction], *, seed: int
) -> list[Evaluation]:
    evaluations: list[Evaluation] = []
    if seen:
        evaluations.append(
            evaluate_probabilities(
                TEST,
                labels=class_numbers([row.label for row in data.test], data.classes),
                probabilities=np.array([p.probabilities for p in seen])[None],
                classes=data.classes,
                groups=split_groups(data.test),
                seed=seed,
            )
        )
    covered = chosen.covered
    evaluations.append(
        evaluate_probabilities(
            CROSS_VALIDATION,
            labels=chosen.labels[covered],
            probabilities=chosen.probabilities[:, covered],
            classes=data.classes,
            groups=split_groups(data.train)[covered],
            folds=chosen.folds_done if chosen.folds_done > 1 else None,
            seed=seed,
        )
    )
    return evaluations


def _predictions(
    data: Dataset, chosen: CrossValidation, others: Sequence[Row], seen: Sequence[Prediction]
) -> list[ImagePrediction]:
    rows = []
    for row, fold, probabilities in zip(
        data.train, chosen.folds[0], chosen.probabilities[0], strict=True
    ):
        if np.isnan(probabilities).any():  # its fold was not predicted, see `reading` in run.json
            continue
        best = int(probabilities.argmax())
        rows.append(
            ImagePrediction(
                path=row.path,
                label=row.label,
                predicted=data.classes[best],
                confidence=float(probabilities[best]),
                split="train",
                fold=int(fold),
                probabilities=tuple(float(p) for p in probabilities),
            )
        )
    rows += [
        ImagePrediction(
            row.path, row.label, p.predicted, p.confidence, row.split, -1, p.probabilities
        )
        for row, p in zip(others, seen, strict=True)
    ]
    return rows


def _reading(data: Dataset, comparison: Comparison, *, had_test: bool) -> list[str]:
    n = len(data.train)
    said = [
        f"{n:,} training images: every choice was made on them, by {comparison.folds}-fold "
        f"cross-validation"
        + (f" repeated {comparison.repeats} times." if comparison.repeats > 1 else ".")
    ]
    found = comparison.winner.cross_validation
    if found is not None and not found.covered.all():
        said.append(
            f"The chosen approach trains a network, and the time was enough for "
            f"{found.folds_done} of {comparison.folds} folds: its cross-validated accuracy and "
            f"predictions are of {int(found.covered.sum()):,} of the {n:,} training images."
        )
    if data.test:
        origin = "given" if had_test else "set aside at random before anything was compared"
        said.append(
            f"{len(data.test):,} test images ({origin}): read once, after the choice was made."
        )
    else:
        said.append(
            "No test set: the accuracy is that of nested cross-validation, in which settings are "
            "chosen without the images they are scored on. The final model uses all images."
        )
    return said


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = round(time.monotonic() - started, 3)


def _stopwatch(seconds: dict[str, float]) -> Any:
    return lambda name: _timed(seconds, name)


def _command(settings: Mapping[str, Any], folder: Path) -> str:
    """The command line that does what `fit` was asked to do."""
    words = ["regraft", "fit", settings["data"], "--out", str(folder)]
    for name in ("labels", "image_dir", "test", "resize", "arch", "architecture"):
        if settings[name] is not None:
            words += [f"--{name.replace('_', '-')}", settings[name]]
    for name, column in settings["columns"].items():
        words += [f"--{name.replace('_', '-')}", column]
    words += [word for name in settings["backbones"] for word in ("--backbone", name)]
    words += [word for name in settings["approaches"] for word in ("--approach", name)]
    words += ["--budget", f"{settings['budget_s']:g}s", "--seed", str(settings["seed"])]
    return shlex.join(words)


def _run_name(source: Path) -> str:
    """What a run on `source` is called unless `out` says: the name of the folder or table."""
    path = Path(os.path.realpath(source))
    return (path.name if path.is_dir() else path.stem) or "data"


def _report(run: str | Path, *, unfinished: bool = False) -> str:
    from regraft.reporting import build_report

    return build_report(read_run(run, unfinished=unfinished))


def _images_below(folder: Path) -> list[str]:
    """Every image below `folder`; those that cannot be opened too, to be flagged."""
    listing = walk(Path(os.path.abspath(folder)), suffixes=SUFFIXES)  # noqa: PTH100 - keeps links
    closed = [row.path for row in listing.left_out if row.status == "unreadable"]
    return [str(folder / path) for path in sorted([*listing.files, *closed], key=natural_key)]


__all__ = [
    "candidate_approaches",
    "evaluate",
    "expand_inputs",
    "fit",
    "plan",
    "predict",
    "predictions_table",
    "report",
    "scan",
]
