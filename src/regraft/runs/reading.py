"""A run folder in, a Run out; whatever is wrong with a file of it is said in one line."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft._version import __version__
from regraft.dataset import Dataset
from regraft.errors import RegraftError, RunError, UnreadableInputError
from regraft.evidence.evaluation import Evaluation
from regraft.evidence.predictions import ImagePrediction, finite, read_predictions
from regraft.features.embedding import read_checked
from regraft.inspection.exploring import Exploration
from regraft.inspection.grouping import count_leaks
from regraft.inspection.issues import Issue
from regraft.inspection.issues.base import COLUMNS as ISSUE_COLUMNS
from regraft.kinds import things
from regraft.model import Model, load
from regraft.runs.records import FORMAT, KIND, ComparisonRecord, RunRecord, other_file, run_record
from regraft.runs.settings import PATHS, WHERE, are_settings_of, command_of
from regraft.storage.csv_table import read_records
from regraft.storage.locations import find, recall
from regraft.storage.records import from_json
from regraft.storage.saved import naming, parse_json, read_json, read_text, reason_of
from regraft.storage.switching import current, read_whole

RECORD = "run.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run as read from its folder; `about` is what run.json says.

    `home` is the folder that it has for people, where that is not the one its files are in yet.
    """

    folder: Path
    about: RunRecord
    data: Dataset
    issues: tuple[Issue, ...]
    comparison: ComparisonRecord
    evaluations: tuple[Evaluation, ...]
    predictions: tuple[ImagePrediction, ...]
    exploration: Exploration | None = None
    home: Path | None = None

    @property
    def known_as(self) -> Path:
        """The folder to show and to put into commands."""
        return self.home or self.folder

    def __repr__(self) -> str:
        first = next(iter(self.evaluations), None)
        accuracy = "" if first is None else f"{first.on} accuracy {first.accuracy.percent}, "
        return f"Run({self.folder}: {accuracy}{self.comparison.winner.title})"

    @property
    def model(self) -> Model:
        """Its model, read at each call.

        Raises:
            ModelError: it cannot be read.
        """
        return load(self.folder)

    @property
    def test_is_independent(self) -> bool:
        """Whether no test row has a copy, or a member of its group, among the training rows."""
        return not count_leaks(self.data)


def read_run(folder: str | Path, *, unfinished: bool = False, home: Path | None = None) -> Run:
    """Read a run folder back.

    Args:
        folder: the run folder.
        unfinished: read a run that is not done as well, provided that its tables are there.
        home: see `Run`.

    Raises:
        RunError: it is not a run folder, is unfinished, of a newer format, or damaged.
    """
    folder = Path(folder)
    return read_whole(folder, RECORD, lambda: _read_run(folder, unfinished=unfinished, home=home))


def finished_run(folder: Path, settings: Mapping[str, Any]) -> Run | None:
    """The run in a folder, if it is done and of these settings."""
    about = read_about(folder)
    if about is None or about.status != "done":
        return None
    return read_run(folder) if are_settings_of(folder, about, settings, home=folder) else None


def _read_run(folder: Path, *, unfinished: bool, home: Path | None) -> Run:
    about = read_about(folder)
    if about is None:
        raise RunError(f"{folder} is not a run folder: it has no {RECORD}; give the --out of a fit")
    if about.format > FORMAT:
        raise RunError(
            f"{folder} was written by regraft {about.regraft}, this is {__version__}; "
            "upgrade with pip install --upgrade regraft"
        )
    if about.status != "done" and not unfinished:
        raise RunError(
            f"the run in {folder} is not finished ({about.status}); to finish it, run: "
            f"{command_of(folder, about) or 'the same regraft fit again'}"
        )
    with _naming(path := current(folder, "comparison.json")):
        comparison = from_json(read_json(path), ComparisonRecord)
        if not comparison.candidates:
            raise ValueError("it names no candidate")
    with _naming(path := current(folder, "evaluation.json")):
        evaluations = tuple(map(Evaluation.from_dict, read_json(path, list[dict[str, Any]])))
        if not evaluations:
            raise ValueError("it holds no evaluation")
    with _naming(path := current(folder, WHERE)):
        places = recall(path)
        elsewhere: dict[str, str] = parse_json(places.get("elsewhere", "{}"), dict[str, str])
    with _naming(path := current(folder, "dataset.csv")):
        table = read_text(path)
        data = _with_its_photos(
            Dataset.from_csv(table, root, modality=about.modality, elsewhere=elsewhere)
            for root in find(about.data, home or folder, places.get("data"))
        )
    with _naming(path := current(folder, "issues.csv")):
        issues = _read_issues(path, data)
    with _naming(path := current(folder, "predictions.csv")):
        predictions = read_predictions(path)
    with _naming(path := current(folder, "exploration.json")):
        exploration = _read_exploration(path)
    return Run(
        folder=folder,
        about=about,
        data=data,
        issues=issues,
        comparison=comparison,
        evaluations=evaluations,
        predictions=predictions,
        exploration=exploration,
        home=home,
    )


def _naming(path: Path) -> AbstractContextManager[None]:
    return naming(path, RunError, "fit again with --force")


@contextlib.contextmanager
def shown_from(*runs: Run) -> Iterator[None]:
    """Say of whatever goes wrong while runs are shown that their records are damaged."""
    try:
        yield
    except (RegraftError, OSError, MemoryError):
        raise
    except Exception as error:
        if os.environ.get("REGRAFT_TRACEBACK"):
            raise
        names = " or of ".join(str(run.folder) for run in runs)
        raise RunError(
            f"the run.json, comparison.json or exploration.json of {names} is damaged "
            f"({reason_of(error)}); fit again with --force, or if nobody changed it, report that "
            "as a defect in regraft"
        ) from error


def _with_its_photos(candidates: Iterable[Dataset]) -> Dataset:
    """The first dataset in whose folder the first of its files lies, or else the last one."""
    last = None
    for data in candidates:
        if last is not None and _is_there(last):
            return last
        last = data
    assert last is not None
    return last


def _is_there(data: Dataset) -> bool:
    row = next((row for row in data.ok if row.path.split("/")[0] not in ("..", "...")), None)
    if row is None:
        return True
    try:
        read_checked(data.absolute(row), sha256=row.sha256)
    except UnreadableInputError:
        return False
    return True


def read_about(folder: Path) -> RunRecord | None:
    """What run.json says of the run in a folder; None where there is none.

    Raises:
        RunError: the file is damaged, or describes something else.
    """
    path = current(folder, RECORD)
    if not path.exists() and not path.is_symlink():
        return None
    with naming(path, RunError, "choose another folder"):
        about: Any = read_json(path)
        if not isinstance(about, dict) or about.get("kind") != KIND:
            raise RunError(f"{path} does not describe a regraft run; choose another folder")
        return run_record(about)


def _read_issues(path: Path, data: Dataset) -> tuple[Issue, ...]:
    files = {row.path for row in data.rows}
    return tuple(
        Issue(
            path=row["path"],
            issue=row["issue"],
            score=finite(row["score"]),
            detail=row["detail"],
            other=row["other"] if "other" in row else other_file(row["detail"], files),
        )
        for row in read_records(read_text(path), columns=ISSUE_COLUMNS)
    )


def _read_exploration(path: Path) -> Exploration | None:
    """None where the time was too short for it, or the run is of an earlier version."""
    if not path.exists() and not path.is_symlink():
        return None
    return from_json(read_json(path), Exploration)


def settings_of(run: Run) -> dict[str, Any]:
    """The settings of a run, with paths that can be opened here, as far as they are known."""
    shared = dict(run.about.settings)
    settings = shared | dict(json.loads(recall(current(run.folder, WHERE)).get("settings", "{}")))
    is_beside = run.data.root == find(run.about.data, run.folder, None)[0]
    for name in PATHS:
        if shared.get(name):
            found = find(shared[name], run.folder, settings[name])
            settings[name] = str(found[0 if is_beside else -1])
    return settings


def require_data(run: Run) -> None:
    """Raises RunError: the folder of the data is not where it was, as after a move."""
    if not run.data.root.exists():
        raise RunError(
            f"the {things(run.data.modality)} of {run.folder} are not in {run.data.root}; put "
            f'them there, or write where they are into {run.folder / WHERE} as {{"data": "FOLDER"}}'
        )
