"""A bar for the step that work is at; imported by who draws on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from regraft.commands.drawing.figures import clock_time
from regraft.commands.drawing.lines import escaped
from regraft.progress import NOTE


class LateBars(Progress):
    """Bars that appear when their step has taken a while, even if it tells nothing more."""

    def __init__(self, console: Console, *, show_after_s: float) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(12), _Figures())
        super().__init__(*columns, console=console, transient=True)
        self._show_after_s = show_after_s

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars of steps that have taken long enough."""
        for task in self.tasks:
            task.visible = (task.elapsed or 0.0) >= self._show_after_s
        yield from super().get_renderables()


class _Figures(ProgressColumn):
    """How many are done, and the time that is left; without an estimate the time so far."""

    def render(self, task: Task) -> Text:
        so_far = clock_time(task.elapsed or 0.0)
        if task.total is None:
            return Text(f"{task.completed:,.0f} so far, {so_far}" if task.completed else so_far)
        remaining = task.time_remaining
        left = so_far if remaining is None else f"{clock_time(remaining)} left"
        return Text(f"{task.completed:,.0f}/{task.total:,.0f}, {left}")


class OneStepAtATime:
    """A callback for progress: each step replaces the bar of the one before."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._noted: set[str] = set()
        self._step = ""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Draw that `done` of `total` items of `phase` are finished; a note is printed once."""
        if total == NOTE:
            if phase not in self._noted:
                self._noted.add(phase)
                self._bars.console.print(f"[dim]{escaped(phase)}[/dim]")
            phase, total = "working", 0
        if phase != self._step:
            self._clear()
            self._bars.add_task(escaped(phase), total=None, visible=False)
            self._step = phase
        for task in self._bars.task_ids:
            self._bars.update(task, completed=done, total=total or None)
        if done >= total > 0:
            self._clear()

    def _clear(self) -> None:
        for task in self._bars.task_ids:
            self._bars.remove_task(task)
        self._step = ""
