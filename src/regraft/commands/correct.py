"""`regraft correct`."""

from __future__ import annotations

from typing import Annotated

import typer

from regraft.commands.options import Jobs, RunPath
from regraft.commands.printing import say, say_next, shown_progress

Files = Annotated[
    list[str], typer.Argument(metavar="FILES", help="Files, folders or glob patterns.")
]
Label = Annotated[str, typer.Option(metavar="NAME", help="The class of all of them.")]
NewClass = Annotated[
    bool, typer.Option("--new-class", help="NAME may be a class that the run does not know.")
]


def correct(
    *,
    run_folder: RunPath,
    files: Files,
    label: Label,
    new_class: NewClass = False,
    jobs: Jobs = None,
) -> None:
    """Keep photos that the model got wrong, to learn from.

    They are copied into the run folder under their right label; regraft fit --with-corrections RUN
    trains on them as well.

    Example: regraft correct runs/rooms wrong.jpg --label messy
    """
    from regraft import workflow
    from regraft.wording import counted

    with shown_progress() as progress:
        corrections = workflow.correct(
            run_folder, files, label, new_class=new_class, jobs=jobs, progress=progress
        )
    n, wrong = len(corrections), sum(c.said != c.label for c in corrections)
    of_them = "it" if n == 1 else f"{wrong:,} of them"
    judgement = f"the model had got {of_them} {'wrong' if wrong or n > 1 else 'right'}"
    say(f"{counted(n, 'photo')} kept as {corrections[0].label}; {judgement}")
    say_next("fit", "photos/", with_corrections=run_folder)
