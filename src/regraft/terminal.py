"""What the command line shows people: progress, tables and summaries, drawn with rich.

Results in, text on a console out. Only `cli.py` imports this module. Sentences are wrapped at
words; lines with a path or a command are never broken, so that they can be copied whole.
"""

from __future__ import annotations

import json
import math
import shlex
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from regraft import csv_table
from regraft.auditing import Audit, ByOrder
from regraft.dataset import Dataset
from regraft.dataset.ordering import numbered_runs
from regraft.evaluation import CROSS_VALIDATION, METRICS, Evaluation
from regraft.exporting import Exported, facts_of, form_named
from regraft.frameworks.tracking import Tracked
from regraft.issues import Doubt, Issue, about_doubts, doubts_of, find_issues
from regraft.locations import seen_from_here
from regraft.metrics import Estimate
from regraft.modality import IMAGE, MODALITIES, get_examiner, thing, things
from regraft.modality.cells import table_of
from regraft.modality.examiner import CONTENT, INCIDENTAL
from regraft.model import Prediction
from regraft.progress import NOTE, Progress
from regraft.reporting.findings import label_doubts
from regraft.reporting.reviewed import what_the_review_changed
from regraft.reporting.scores import headline_of
from regraft.reporting.series import what_chance_makes, why_splits_leak
from regraft.reporting.words import THIN_SPACE, speaking_of
from regraft.runs import Run, settings_of
from regraft.training_contents import Overlap
from regraft.watching.outputs import message
from regraft.watching.sentences import answers, remarks
from regraft.watching.states import Event, local_minute
from regraft.watching.timeline import Timeline
from regraft.wording import counted
from regraft.workflow import Explained

_SHOW_AFTER_S = 1.0
_PLAIN_EVERY_S = 10.0
_MOST_CLASSES = 30
_MOST_ISSUES = 3  # of each kind
_COUNTABLE = {"exact_duplicate", "label_conflict", "near_duplicate", "label_suspect", "outlier"}
_TWIN = {
    "exact_duplicate": "the same as ",
    "near_duplicate": "almost the same as ",
    "leakage": "training has ",
    "series": "up to ",
}
_METRIC_NAMES = {"macro_f1": "macro F1", "roc_auc": "ROC AUC", "ece": "ECE"}
_FLAGS = {
    "unsure": "another class is possible too, or none fits well, so look at these yourself",
    "unfamiliar": "unlike what it was trained on, so do not rely on the class",
    "unreadable": "could not be predicted",
    "ignored": "not looked at",
}


@contextmanager
def live_progress(console: Console) -> Iterator[Progress]:
    """A callback that draws steps longer than a second, with the time that is left.

    Where the console is not a terminal, a plain line is printed every ten seconds instead.
    """
    if not console.is_terminal:
        yield _plain_progress(console)
        return
    from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.progress import Progress as Bars

    class Figures(ProgressColumn):
        """How many are done, and the time that is left; without an estimate the time so far."""

        def render(self, task: Task) -> Text:
            so_far = _clock(task.elapsed or 0.0)
            if task.total is None:
                return Text(f"{task.completed:,.0f} so far, {so_far}" if task.completed else so_far)
            left = so_far if task.time_remaining is None else f"{_clock(task.time_remaining)} left"
            return Text(f"{task.completed:,.0f}/{task.total:,.0f}, {left}")

    class LateBars(Bars):
        """Bars that appear when their step has taken a second, even if it tells nothing more."""

        def get_renderables(self) -> Iterable[Any]:
            for task in self.tasks:
                task.visible = (task.elapsed or 0.0) >= _SHOW_AFTER_S
            yield from super().get_renderables()

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(12), Figures())
    bars = LateBars(*columns, console=console, transient=True)
    noted: set[str] = set()
    shown = ""  # one step at a time

    def update(phase: str, done: int, total: int) -> None:
        nonlocal shown
        if total == NOTE:
            if phase not in noted:
                noted.add(phase)
                bars.console.print(f"[dim]{_shown(phase)}[/dim]")
            phase, total = "working", 0
        if phase != shown:
            for task in bars.task_ids:
                bars.remove_task(task)
            bars.add_task(_shown(phase), total=None, visible=False)
            shown = phase
        for task in bars.task_ids:
            bars.update(task, completed=done, total=total or None)
        if done >= total > 0:
            for task in bars.task_ids:
                bars.remove_task(task)
            shown = ""

    with bars:
        yield update


def _plain_progress(console: Console) -> Progress:
    last: dict[str, float] = {}

    def update(phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if total == NOTE:
            if phase not in last:
                last[phase] = now
                console.print(_shown(phase))
            return
        begun = last.setdefault(phase, now)
        if done >= total > 0:
            del last[phase]
        if now - begun >= _PLAIN_EVERY_S and total > 0 and done < total:
            last[phase] = now
            console.print(_shown(f"{phase}: {done:,} of {total:,}"))

    return update


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def show_run(console: Console, run: Run) -> None:
    """What a fit found, in a screenful, ending with what to do next."""
    measured = headline_of(run)
    console.print()
    if measured is not None:
        console.print(f"[bold]{_headline(measured, things(run.data.modality))}[/bold]")
        _show_order(console, run.about.audit.series, run.data.modality)
    rows = [
        (
            evaluation.on,
            f"[bold]{_rate(evaluation.accuracy.value)}[/bold] {_interval(evaluation.accuracy)}",
            _rate(evaluation.macro_f1.value),
            _rate(evaluation.log_loss.value),
            _rate(evaluation.ece.value),
            f"{evaluation.n:,}",
        )
        for evaluation in run.evaluations
    ]
    of = things(run.data.modality)
    header = ("measured on", "accuracy [95 % interval]", "macro F1", "log loss", "ECE", of)
    _print_columns(console, header, rows, right={"macro F1", "log loss", "ECE", of})
    console.print()
    console.print(_shown(run.comparison.verdict))
    reviewed = what_the_review_changed(run)
    for one in reviewed.compared if reviewed else ():
        console.print(_shown(one.sentence.replace(THIN_SPACE, " ")))
    for note in run.about.notes:
        console.print(f"[yellow]note:[/yellow] {_shown(note)}")
    promotion = run.about.promotion
    if promotion:
        console.print(f"[bold]{_shown(promotion.over)}: {_shown(promotion.reason)}[/bold]")
    _show_problems(console, run.data, run.issues, all_in=str(run.folder / "issues.csv"))
    _show_doubts(console, label_doubts(run), run.data)
    console.print()
    _print_line(console, f"report   {_shown(str(run.folder / 'report.html'))}")
    _print_line(console, f"model    {_shown(str(run.folder / 'model'))}")
    console.print(f"[dim]{run.about.seconds_total:.1f} s in all[/dim]")
    if promotion and promotion.promoted:
        over = seen_from_here(settings_of(run)["corrections"]["path"])
        _print_line(console, f"back     regraft rollback {_shown(shlex.quote(over))}")
    new = f"new_{MODALITIES[run.data.modality].example}"
    show_next(console, f"regraft predict {shlex.quote(str(run.folder))} {new}")


def show_dataset(
    console: Console, data: Dataset, *, shown_as: str, every_file: str, next_command: str
) -> None:
    """What a scan found, ending with what to do next; `every_file` is the command for the rest."""
    console.print()
    of_cells = any(table_of(row.path) for row in data.rows)
    count = counted(len(data.rows), thing(data.modality) if of_cells else "file")
    _print_line(console, f"[bold]{count}[/bold] in {_shown(shown_as)}")
    console.print(_shown(data.layout))
    _show_classes(console, data)
    if data.unlabelled:
        console.print(f"without a label: {len(data.unlabelled):,}, predicted but not scored")
    sizes = sorted((row.width * row.height, row.width, row.height) for row in data.ok)
    if sizes:
        small, middle, large = sizes[0], sizes[len(sizes) // 2], sizes[-1]
        first, median, last = (f"{width}x{height}" for _, width, height in (small, middle, large))
        span = f"all {first}" if first == last else f"{first} to {last}, median {median}"
        unit = "pixels" if data.modality == IMAGE else "characters x lines"
        console.print(f"sizes: {span} {unit}")
    for note in data.notes:
        console.print(f"[yellow]note:[/yellow] {_shown(note)}")
    runs = numbered_runs(data.ok)
    if runs is not None:
        _print_line(
            console,
            f"[yellow]note:[/yellow] {runs.files:,} files are numbered in {runs.runs:,} runs, "
            f"{_shown(runs.first)} to {_shown(runs.last)} and others; whether they are series, "
            f"such as {get_examiner(data.modality).series_example}, regraft audit tells",
        )
    _show_problems(console, data, find_issues(data), all_in=every_file)
    console.print()
    show_next(console, next_command)


def show_plan(console: Console, plan: Mapping[str, Any], *, next_command: str) -> None:
    """Size, similarity, advice and the candidates with their predicted times."""
    from rich.table import Table

    size, similarity = plan["size"], plan["similarity"]
    console.print()
    console.print(f"[bold]{plan['quadrant'].capitalize()}[/bold]")
    console.print(
        f"{size['images']:,} training {things(plan['modality'])} of {size['classes']} classes, "
        f"the smallest with {size['smallest_class']:,}: {size['word']}."
    )
    if similarity["measure"] == "split_words":
        console.print(
            f"{100 * similarity['value']:.1f} % of the words are not known to the network as one: "
            f"{similarity['word']}."
        )
    elif similarity["value"] is not None:
        console.print(
            f"Distance to the pretraining data {similarity['value']:.2f} (early layers "
            f"{similarity['early']:.2f}, middle {similarity['middle']:.2f}, late "
            f"{similarity['late']:.2f}): {similarity['word']}."
        )
    console.print()
    console.print(f"{escape(plan['advice'])} {escape(plan['reason'])}")
    console.print(f"[dim]{escape(plan['source'])}[/dim]")
    console.print()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, justify in (("candidate", "left"), ("one fold", "right"), ("final fit", "right")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for one in plan["candidates"]:
        if one["reason"]:
            table.add_row(
                _shown(one["title"]),
                "",
                "",
            )
            continue
        epochs = f", {one['epochs']} epochs" if one["epochs"] else ""
        table.add_row(
            _shown(one["title"] + epochs), _duration(one["seconds"]), _duration(one["fit_seconds"])
        )
    console.print(table)
    for one in plan["candidates"]:
        if one["reason"]:
            console.print(f"{_shown(one['title'])}: {_shown(one['reason'])}")
    console.print(
        "Predicted for this machine from a few timed steps; fit takes fewer epochs where the "
        "budget asks for it.",
        style="dim",
    )
    show_next(console, next_command)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 1:
        return "moments"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def show_predictions(
    console: Console,
    prose: Console,
    predictions: Sequence[Prediction],
    *,
    texts: Mapping[str, str] | None = None,
    next_command: str,
) -> None:
    """A line for each file on `console`; what the flags mean and what to do next on `prose`.

    The file comes last, so that long paths leave the other columns aligned; of `texts`, by path,
    the beginning stands behind it. Files that are no inputs are told of on `prose`.
    """
    looked_at = [p for p in predictions if p.flag != "ignored"]
    with_sets = any(p.flag in ("unsure", "unfamiliar") for p in looked_at)
    rows = []
    for p in looked_at:
        if p.flag == "unreadable":
            file = f"{_shown(p.path)} [dim]({_shown(p.reason)})[/dim]"
            cells = ["", "", "[red]unreadable[/red]", "", file]
        else:
            others = _some(p.set) if p.set else "none fits well"
            flag = f"[yellow]{p.flag}[/yellow]" if p.flag else ""
            file = _shown(p.path)
            if texts and p.path in texts:
                file += f"  [dim]{_shown(texts[p.path])}[/dim]"
            cells = [_shown(p.predicted), f"{p.confidence:.3f}", flag, _shown(others), file]
        rows.append(cells if with_sets else cells[:3] + cells[4:])
    header = ["predicted", "confidence", "flag", "cannot be excluded", "file"]
    if not with_sets:
        header.remove("cannot be excluded")
    _print_columns(console, header, rows, right={"confidence"})
    counts = Counter(p.predicted for p in predictions if p.predicted)
    many = counted(len(looked_at), "text" if texts else "file")
    classes = _some([f"{n:,} {c}" for c, n in counts.most_common()])
    prose.print()
    prose.print(_shown(f"{many}: {classes}" if classes else many))
    for flag, meaning in _FLAGS.items():
        flagged = sum(p.flag == flag for p in predictions)
        if flagged:
            prose.print(f"[yellow]{flagged:,} {flag}[/yellow]: {meaning}")
    ignored = [p for p in predictions if p.flag == "ignored"]
    for p in ignored[:_MOST_ISSUES]:
        _print_line(prose, f"  {_shown(p.path)}: {_shown(p.reason)}")
    if len(ignored) > _MOST_ISSUES:
        prose.print(f"  [dim]and {len(ignored) - _MOST_ISSUES:,} more, see --format csv[/dim]")
    show_next(prose, next_command)


def show_evaluation(
    console: Console, evaluation: Evaluation, *, modality: str, next_command: str
) -> None:
    """Every metric with its interval, and the classes."""
    of = things(modality)
    console.print()
    console.print(f"[bold]{_headline(evaluation, of)}[/bold]")
    rows = []
    for name in METRICS:
        estimate: Estimate = getattr(evaluation, name)
        label = _METRIC_NAMES.get(name, name.replace("_", " "))
        method = estimate.method
        if math.isnan(estimate.value):  # such as ROC AUC where all photos are of one class
            method = "cannot be told from these"
        rows.append((label, _rate(estimate.value), _interval(estimate), method))
    _print_columns(console, ("metric", "value", "95 % interval", "method"), rows)
    console.print()
    classes = list(evaluation.per_class.items())
    per_class = [
        (
            _shown(name),
            f"{score.n:,}",
            *((_rate(score.recall.value), _interval(score.recall)) if score.n else ("-", "")),
            _rate(score.precision) if score.n else "-",
            _rate(score.f1) if score.n else "-",
        )
        for name, score in classes[:_MOST_CLASSES]
    ]
    header = ("class", of, "recall", "95 % interval", "precision", "F1")
    _print_columns(console, header, per_class, right={of, "precision"})
    if len(classes) > _MOST_CLASSES:
        more = f"and {len(classes) - _MOST_CLASSES} more, see --format json"
        console.print(f"[dim]{more}[/dim]")
    console.print()
    show_next(console, next_command)


def show_overlap(prose: Console, overlap: Overlap, *, modality: str) -> None:
    """What was left out of a score because the model knew it, and what may flatter it."""
    if overlap.left_out:
        of = thing(modality) if overlap.left_out == 1 else things(modality)
        prose.print(
            f"[yellow]note:[/yellow] {overlap.left_out:,} {of} not scored: the model was trained "
            "on the same content, or chosen by it"
        )
    if not overlap.is_complete:
        prose.print(
            "[yellow]note:[/yellow] it is not fully recorded what this model was trained on (it is "
            "of an earlier version, or its backbone is from elsewhere): what is scored here and "
            "was among it flatters it"
        )


def _input(size: Sequence[int]) -> str:
    """ "224 px" of a picture (3, h, w), "256 tokens" of a text (t,)."""
    return f"{size[1]} px" if len(size) > 1 else f"{size[0]} tokens"


def show_backbones(
    console: Console, prose: Console, rows: Sequence[Mapping[str, Any]], extras: Sequence[str]
) -> None:
    """The catalogue as a table on `console`, and on `prose` what to do next.

    `extras` are those of regraft that would install what is missing.
    """
    cells = [
        (
            _shown(row["name"]),
            _shown(row["pretrained_on"]),
            _input(row["input_size"]),
            f"{row['parameters'] / 1e6:.1f} M",
            _shown(row["licence"]),
            f"{row['images_per_second']:,.0f}" if row["images_per_second"] else "?",
            "yes" if row["available_offline"] else "no",
        )
        for row in rows
    ]
    header = ("name", "trained on", "input", "size", "licence", "per s", "here")
    _print_columns(console, header, cells, right={"input", "size", "per s"})
    prose.print()
    if any(row["available_offline"] and not row["images_per_second"] for row in rows):
        prose.print("[dim]?: not measured on this machine yet[/dim]")
        show_next(prose, "regraft backbones --measure")
    elif extras:
        show_next(prose, f'pip install "regraft[{",".join(extras)}]"')
    else:
        show_next(prose, f"regraft fit my_photos/ --backbone {rows[0]['name']}")


def show_hub(console: Console, prose: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Weights that a hub publishes as a table, and how to use the first of them."""
    cells = [
        (_shown(row["name"]), f"{row['input_size'][1]} px", _shown(row["licence"])) for row in rows
    ]
    _print_columns(console, ("name", "input", "licence"), cells, right={"input"})
    show_next(prose, f"regraft fit my_photos/ --backbone {rows[0]['name']}")


def show_cache(
    console: Console,
    prose: Console,
    folder: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    limit: int,
) -> None:
    """Where the caches are and how much they hold."""
    _print_line(console, _shown(folder))
    cells = [
        (row["kind"], f"{row['files']:,}", f"{row['bytes'] / 1e6:,.1f} MB", row["detail"])
        for row in rows
    ]
    _print_columns(console, ("cache", "files", "size", ""), cells, right={"files", "size"})
    prose.print()
    prose.print(f"[dim]features are limited to {limit / 1024**3:.1f} GiB (REGRAFT_CACHE_GB)[/dim]")
    show_next(prose, "regraft cache clear --features")


def show_explained(
    out: Console, prose: Console, explained: Explained, *, next_command: str
) -> None:
    """What was explained, whether it can be trusted, and where it was written."""
    found = explained.explanations
    if explained.pictures:
        cells = [
            (_shown(m.predicted), f"{100 * m.confidence:.1f} %", _shown(str(path)), _shown(m.path))
            for m, path in explained.pictures
        ]
        _print_columns(out, ("class", "confidence", "picture", "of"), cells, right={"confidence"})
    else:
        roles = Counter(m.role for m in found.maps)
        prose.print(f"{roles['error']:,} errors and {roles['hit']:,} typical hits explained")
    for path, reason in found.left_out:
        _print_line(prose, f"[yellow]not explained:[/yellow] {_shown(path)}: {_shown(reason)}")
    prose.print()
    prose.print(_shown(found.check.text if found.check else found.reason))
    if explained.report is not None:
        _print_line(prose, f"report   {_shown(str(explained.report))}")
    show_next(prose, next_command)


def show_exported(console: Console, exported: Exported, *, next_command: str) -> None:
    """What was written, how it was checked, and what another precision changed."""
    found = exported.to_dict()
    checked, form = exported.checked, form_named(exported.modality)
    console.print()
    console.print(f"[bold]{_shown(facts_of(found))}[/bold]")
    if checked.unread:
        unread, reason = next(iter(checked.unread.items()))
        _print_line(
            console,
            f"[yellow]{len(checked.unread):,} not read by the script, which knows "
            f"{form.script_reads}:[/yellow] {_shown(unread)}: {_shown(reason)}",
        )
    if exported.precision != "float32":
        smaller = (
            f"{exported.bytes / 1e6:.1f} MB (was {exported.bytes_before / 1e6:.1f}), "
            f"{exported.ms:.1f} ms a {form.thing} (was {exported.ms_before:.1f})"
        )
        if checked.accuracy is not None:
            smaller += f", accuracy {checked.accuracy.points}"
        console.print(smaller)
    for name, path in (
        ("model", exported.file),
        ("script", exported.script),
        ("card", exported.card),
    ):
        _print_line(console, f"{name:<8} {_shown(str(path))}")
    show_next(console, next_command)


def show_tracked(console: Console, tracked: Tracked) -> None:
    """What was written, where, and how to look at it."""
    trainings = counted(tracked.curves, "training")
    numbers = f"{counted(tracked.numbers, 'metric')}, the curves of {trainings}"
    if tracked.tensorboard:
        _print_line(console, f"events   {_shown(tracked.tensorboard)} ({numbers})")
    if tracked.mlflow_run:
        where = f"{tracked.mlflow_run} in {tracked.mlflow_uri}"
        _print_line(console, f"mlflow   {_shown(where)} ({numbers})")
    if tracked.tensorboard:
        folder = str(Path(tracked.tensorboard).parent)
        show_next(console, shlex.join(["tensorboard", "--logdir", folder]))


def event_line(camera: str, event: Event, *, as_json: bool) -> str:
    """One event, as a line for people or as JSON."""
    if as_json:
        return json.dumps(message(camera, event), ensure_ascii=False) + "\n"
    when = local_minute(event.at)
    how = f"{len(event.evidence)} photos"
    if event.after_gap_s:
        how += f", within a gap of {_clock(event.after_gap_s)}"
    return f"{when}  {camera}  {event.previous} -> {event.state}  ({how})\n"


def show_timeline(out: Console, timeline: Timeline) -> None:
    """For each camera how often its state changed, how long it lasted, and what is not known."""
    if not timeline.cameras:
        out.print("no photo has been recorded yet")
    for camera in timeline.cameras:
        for answer in answers(camera):
            out.print(f"[bold]{_shown(camera.name)}[/bold] {_shown(', '.join(answer))}")
        for remark in remarks(camera):
            out.print(f"  {_shown(remark)}")
        out.print(f"  {camera.photos:,} photos", end="")
        for flag in ("unsure", "unfamiliar", "dark", "unreadable"):
            if camera.flags.get(flag):
                out.print(f", {100 * camera.share(flag):.1f} % {flag}", end="")
        out.print()
        for warning in camera.warnings:
            out.print(f"  [yellow]{_shown(warning)}[/yellow]")


def show_next(console: Console, command: str) -> None:
    """The next useful command, on a line of its own."""
    _print_line(console, f"[cyan]next     {_shown(command)}[/cyan]")


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as CSV; lists are joined by spaces."""
    lines = (
        [" ".join(map(str, v)) if isinstance(v, list | tuple) else v for v in row.values()]
        for row in rows
    )
    return csv_table.csv_text([list(rows[0]), *lines])


def _headline(evaluation: Evaluation, things: str) -> str:
    a, known = evaluation.accuracy, evaluation.overlap.flattering
    of = f"{evaluation.n:,} test {things}"
    if evaluation.on == CROSS_VALIDATION:
        of = f"{evaluation.n:,} {things}, none of them seen before (cross-validation)"
    if known:
        of = (
            f"{evaluation.n:,} {things}, {known:,} of which its backbone had been trained on before"
        )
    return (
        f"Right on {100 * a.value:.1f} % [{100 * a.low:.1f}, {100 * a.high:.1f}] of {of}; always "
        f"guessing the most frequent class: {100 * evaluation.majority_share:.1f} %."
    )


def _show_classes(console: Console, data: Dataset) -> None:
    if not data.classes:
        return
    train = Counter(row.label for row in data.train)
    test = Counter(row.label for row in data.test)
    most = max((train + test).values())
    rows = []
    for name in data.classes[:_MOST_CLASSES]:
        bar = "█" * round(24 * train[name] / most) + "░" * round(24 * test[name] / most)
        shown_test = f"{test[name]:,}" if test else ""
        rows.append((_shown(name), f"{train[name]:,}", shown_test, f"[cyan]{bar}[/cyan]"))
    header = ("class", "training", "test" if test else "", "")
    _print_columns(console, header, rows, right={"training", "test"})
    if len(data.classes) > _MOST_CLASSES:
        console.print(f"[dim]and {len(data.classes) - _MOST_CLASSES} more classes[/dim]")


def _show_problems(
    console: Console, data: Dataset, issues: Iterable[Issue], *, all_in: str
) -> None:
    left = _show_issues(console, issues)
    ignored = [row for row in data.rows if row.status == "ignored"]
    for row in ignored[:_MOST_ISSUES]:
        _print_line(console, f"[dim]ignored: {_shown(row.path)} ({_shown(row.reason)})[/dim]")
    if len(ignored) > _MOST_ISSUES:
        console.print(f"[dim]and {len(ignored) - _MOST_ISSUES:,} more ignored files[/dim]")
    if left:
        _print_line(console, f"[dim]all of them: {_shown(all_in)}[/dim]")


def _show_issues(console: Console, issues: Iterable[Issue]) -> int:
    """The worst few of every kind; returns how many were left out."""
    by_kind: dict[str, list[Issue]] = {}
    for issue in issues:
        by_kind.setdefault(issue.issue, []).append(issue)
    left = 0
    for kind, found in by_kind.items():
        name = kind.replace("_", " ") + ("s" if len(found) > 1 and kind in _COUNTABLE else "")
        console.print(f"[yellow]{len(found):,} {name}[/yellow]")
        for issue in found[:_MOST_ISSUES]:
            detail = _TWIN.get(kind, "") + issue.detail
            where = "" if issue.path == "." else f"{_shown(issue.path)}: "
            _print_line(console, f"  {where}{_shown(detail)}")
        more = len(found) - _MOST_ISSUES
        if more > 0:
            console.print(f"  [dim]and {more:,} more[/dim]")
            left += more
    return left


def _show_doubts(console: Console, doubts: Sequence[Doubt], data: Dataset) -> None:
    """What can be said of all label suspects together."""
    about = about_doubts(doubts, things(data.modality), n_classes=len(data.classes))
    if about:
        console.print(_shown(f"label suspects: {about}"))


def show_audit(console: Console, audit: Audit, *, every_issue: str, next_command: str) -> None:
    """What an audit found, what it does to the accuracy, and what to do next."""
    data, found = audit.data, audit.findings
    console.print()
    of = things(data.modality)
    count = f"{len(data.ok):,} {of if len(data.ok) != 1 else thing(data.modality)}"
    console.print(f"[bold]{count}[/bold] of {len(data.classes):,} classes looked at")
    if audit.accuracy is not None:
        console.print(
            f"a linear probe is right on {_share(audit.accuracy)} of {of} it had not seen"
        )
    _show_order(console, audit.by_order, data.modality)
    left = _show_issues(console, found.issues)
    _show_doubts(console, doubts_of(found, data.classes), data)
    if not found.issues:
        console.print("[green]nothing found that needs a look[/green]")
    shortcuts = found.shortcuts
    if shortcuts is not None:
        console.print("[bold]could a model cheat?[/bold]")
        guess = f"guessing: {100 * shortcuts.guess:.1f} %"
        no_more = "no more than guessing"
        clues = get_examiner(data.modality).clues_of_kind
        for name, estimate in (
            (clues[INCIDENTAL], shortcuts.incidental),
            (clues[CONTENT], shortcuts.content),
        ):
            if estimate is not None:
                told = _share(estimate) if estimate.value > shortcuts.guess else no_more
                console.print(f"  {name} together: {told} ({guess})")
        for culprit in shortcuts.culprits:
            alarm = culprit.name in shortcuts.alarms
            what = "[yellow]alarm[/yellow]" if alarm else "[dim]for information[/dim]"
            console.print(f"  {_shown(culprit.name)} alone: {_share(culprit.accuracy)} {what}")
    if audit.effects:
        console.print("[bold]how much the accuracy depends on it[/bold]")
        for effect in audit.effects:
            change = effect.change
            name = effect.issue.replace("_", " ")
            console.print(
                f"  {name} ({effect.photos:,} {of}): {100 * change.value:+.1f} points "
                f"[{100 * change.low:+.1f}, {100 * change.high:+.1f}] by {effect.how}",
                markup=False,
            )
    if left:
        _print_line(console, f"[dim]all of them: {_shown(every_issue)}[/dim]")
    console.print()
    show_next(console, next_command)


def _show_order(console: Console, found: ByOrder | None, modality: str) -> None:
    """What folds by chance would have said, and what splits cannot keep together."""
    with speaking_of(modality):
        lines = [what_chance_makes(found), why_splits_leak(found)]
    for line in filter(None, lines):
        console.print(f"[yellow]{_shown(line.replace(THIN_SPACE, ' '))}[/yellow]")


def _shown(text: str) -> str:
    """Markup that shows `text` as it is, on one line: control characters as escape sequences."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return escape(text)


def _rate(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _share(estimate: Estimate) -> str:
    """For example "93.2 % [90.4, 95.3]"."""
    value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
    return f"{value:.1f} % {escape(f'[{low:.1f}, {high:.1f}]')}"


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return ""
    if 0 < estimate.high < 0.0005:  # "[0.000, 0.000]" would look like certainty
        return "[dim]below 0.001[/dim]"
    return f"[dim]\\[{estimate.low:.3f}, {estimate.high:.3f}][/dim]"


def _some(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _print_line(console: Console, markup: str) -> None:
    """A line that is never broken: the terminal wraps it, and it can still be copied whole."""
    console.print(markup, soft_wrap=True)


def _print_columns(
    console: Console,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
) -> None:
    """Aligned columns of markup, two spaces apart, a line a row; `right` names right-aligned ones.

    Columns are as wide as what they hold, whatever the width of the terminal.
    """
    lines = [[Text(name, style="dim") for name in header]]
    lines += [[Text.from_markup(cell) for cell in row] for row in rows]
    widths = [max(line[i].cell_len for line in lines) for i in range(len(header))]
    for line in lines:
        whole = Text()
        for name, width, cell in zip(header, widths, line, strict=True):
            gap = " " * (width - cell.cell_len)
            whole.append_text(Text(gap) + cell if name in right else cell + Text(gap))
            whole.append("  ")
        whole.rstrip()
        console.print(whole, soft_wrap=True)
