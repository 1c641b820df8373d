"""`regraft track`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regraft.commands.groups import option
from regraft.commands.options import Output, RunPath
from regraft.commands.printing import csv_text, print_result


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """Where a run is written to."""

    tensorboard: Path | None = option("Write event files below this folder.", "FOLDER")
    mlflow: str | None = option("Log to it: a folder, sqlite:///FILE, http://HOST.", "URI")
    experiment: str = option("Of MLflow; made if it is not there.", "NAME", "regraft")


def track(*, run: RunPath, options: TrackOptions, output: Output = "text") -> None:
    """Give a run to TensorBoard or MLflow.

    Curves of every network that was trained, metrics with the ends of their intervals, the
    verdict, and for MLflow the settings and files. Nothing leaves this machine unless URI is that
    of another.

    Example: regraft track runs/photos --tensorboard boards
    """
    from regraft.commands.drawing.track import show_tracked
    from regraft.frameworks import tracking

    tracked = tracking.track(
        run,
        tensorboard=options.tensorboard,
        mlflow=options.mlflow,
        experiment=options.experiment,
    )
    print_result(
        output,
        text=lambda _, prose: show_tracked(prose, tracked),
        csv=lambda: csv_text([tracked.to_dict()]),
        json=tracked.to_dict,
    )
