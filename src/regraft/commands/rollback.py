"""`regraft rollback`."""

from __future__ import annotations

from regraft.commands.options import RunPath
from regraft.commands.printing import say, say_next


def rollback(*, run_folder: RunPath) -> None:
    """Put the model back that a promotion replaced.

    The one at work now is kept in its place: the same command again exchanges them once more.

    Example: regraft rollback runs/rooms
    """
    from regraft import workflow

    say(f"model    {workflow.rollback(run_folder)}")
    say_next("predict", run_folder, "new_photo.jpg")
