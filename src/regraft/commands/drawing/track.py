"""What was given to TensorBoard or MLflow, where, and how to look at it."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console

from regraft.commands.drawing.lines import escaped, print_line, show_next
from regraft.frameworks.tracking import Tracked
from regraft.wording import counted


def show_tracked(console: Console, tracked: Tracked) -> None:
    """What was written, where, and how to look at it."""
    trainings = counted(tracked.curves, "training")
    numbers = f"{counted(tracked.numbers, 'metric')}, the curves of {trainings}"
    if tracked.tensorboard:
        print_line(console, f"events   {escaped(tracked.tensorboard)} ({numbers})")
    if tracked.mlflow_run:
        where = f"{tracked.mlflow_run} in {tracked.mlflow_uri}"
        print_line(console, f"mlflow   {escaped(where)} ({numbers})")
    if tracked.tensorboard:
        folder = str(Path(tracked.tensorboard).parent)
        show_next(console, shlex.join(["tensorboard", "--logdir", folder]))
