"""`regraft track`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regraft.commands.options import Output, RunPath
from regraft.commands.printing import csv_text, print_result

Tensorboard = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Write event files below this folder.")
]
Mlflow = Annotated[
    str | None,
    typer.Option(metavar="URI", help="Log to it: a folder, sqlite:///FILE, http://HOST."),
]
Experiment = Annotated[
    str, typer.Option(metavar="NAME", help="Of MLflow; made if it is not there.")
]


def track(
    *,
    run: RunPath,
    tensorboard: Tensorboard = None,
    mlflow: Mlflow = None,
    experiment: Experiment = "regraft",
    output: Output = "text",
) -> None:
    """Give a run to TensorBoard or MLflow.

    Curves of every network that was trained, metrics with the ends of their intervals, the
    verdict, and for MLflow the settings and files. Nothing leaves this machine unless URI is that
    of another.

    Example: regraft track runs/photos --tensorboard boards
    """
    from regraft.commands.drawing.track import show_tracked
    from regraft.frameworks import tracking

    tracked = tracking.track(run, tensorboard=tensorboard, mlflow=mlflow, experiment=experiment)
    print_result(
        output,
        text=lambda _, prose: show_tracked(prose, tracked),
        csv=lambda: csv_text([tracked.to_dict()]),
        json=tracked.to_dict,
    )
