"""`regraft correct`."""

from __future__ import annotations

from dataclasses import MISSING, dataclass

from regraft.commands.groups import argument, option
from regraft.commands.options import Jobs, RunPath
from regraft.commands.printing import say, say_next, shown_progress


@dataclass(frozen=True, slots=True)
class CorrectOptions:
    """Which photos were wrong, and what is right."""

    files: list[str] = argument("FILES", "Files, folders or glob patterns.")
    label: str = option("The class of all of them.", "NAME", MISSING)
    new_class: bool = option("NAME may be a class that the run does not know.", default=False)


def correct(*, run_folder: RunPath, options: CorrectOptions, jobs: Jobs = None) -> None:
    """Keep photos that the model got wrong, to learn from.

    They are copied into the run folder under their right label; regraft fit --with-corrections RUN
    trains on them as well.

    Example: regraft correct runs/rooms wrong.jpg --label messy
    """
    from regraft import workflow
    from regraft.wording import counted

    with shown_progress() as progress:
        corrections = workflow.correct(
            run_folder,
            options.files,
            options.label,
            new_class=options.new_class,
            jobs=jobs,
            progress=progress,
        )
    n, wrong = len(corrections), sum(c.said != c.label for c in corrections)
    of_them = "it" if n == 1 else f"{wrong:,} of them"
    judgement = f"the model had got {of_them} {'wrong' if wrong or n > 1 else 'right'}"
    say(f"{counted(n, 'photo')} kept as {corrections[0].label}; {judgement}")
    say_next("fit", "photos/", with_corrections=run_folder)
