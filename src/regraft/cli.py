"""The command line: parses, calls a verb of `workflow`, prints.

Machine output goes to standard output, prose and progress to standard error. Exit codes: 0
done, 1 a failure explained in one line, 2 wrong usage, 130 interrupted.

Nothing heavy is imported until a command needs it: `regraft --help` is instant.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regraft._version import __version__
from regraft.errors import RegraftError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from regraft.progress import Progress
    from regraft.workflow import LabelColumns

INTERRUPTED = 130

app = typer.Typer(
    name="regraft",
    help="Put a new head on a pretrained network and know, with evidence, whether it will hold.",
    epilog="Start with: regraft fit my_photos/   (one sub-folder per class)",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(
    help="Look at regraft's caches, or clear them.",
    epilog="Example: regraft cache show",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.add_typer(cache_app, name="cache")


class TableFormat(StrEnum):
    """How a table is printed on standard output."""

    text = "text"
    csv = "csv"
    json = "json"


class Resize(StrEnum):
    """How a photo becomes square."""

    crop = "crop"
    pad = "pad"
    squash = "squash"


Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder of images, or a CSV with a label per file.")
]
Labels = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="CSV with a file or id column and a label column."),
]
ImageDir = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where the files named in the CSV are.")
]
Test = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Labelled images kept out of every choice: the test set."),
]
PathColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="CSV column with the file or id.")
]
LabelColumn = Annotated[str | None, typer.Option(metavar="NAME", help="CSV column with the class.")]
SplitColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="CSV column with train, val or test.")
]
GroupColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="CSV column whose equal values stay on one side of a split."),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Worker threads; by default one for each core."),
]
Format = Annotated[TableFormat, typer.Option("--format", help="How to print it.")]
ModelPath = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model folder, or the run folder of a fit.")
]


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        code = app(arguments, obj=arguments, prog_name="regraft", standalone_mode=False)
    except SystemExit as stop:  # how typer ends where it printed a completion script
        return stop.code if isinstance(stop.code, int) else 0
    except typer.TyperException as error:
        return _explain_usage(error)
    except RegraftError as error:
        _say_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except MemoryError:
        _say_error("out of memory; try fewer worker threads, such as --jobs 1")
        return 1
    except Exception as error:
        if not _was_interrupted(error):
            return _explain_defect(error)
        code = INTERRUPTED
    if code == INTERRUPTED:
        _say("interrupted: what was finished is kept; run the same command again to go on")
    return code if isinstance(code, int) else 0


def _explain_usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "regraft"
    message = " ".join(error.format_message().split()).removesuffix(".")
    message = message.replace("Value error, ", "")
    _say_error(f"{message[:1].lower()}{message[1:]}; see: {command} --help")
    return 2


def _was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C lies behind an error: libraries may turn it into one while they load."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _explain_defect(error: Exception) -> int:
    """A failure that nothing foresaw, in one line."""
    if os.environ.get("REGRAFT_TRACEBACK"):
        raise error
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, OSError):
        _say_error(f"the system refused a file operation: {text}; put that right and run again")
        return 1
    _say_error(
        f"unexpected {type(error).__name__}: {text}; this is a defect in regraft: set "
        "REGRAFT_TRACEBACK=1 to see where, and report it"
    )
    return 1


def _version(value: bool) -> None:
    if value:
        typer.echo(f"regraft {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    _shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    _need_command(context)


@cache_app.callback()
def _cache_options(context: typer.Context) -> None:
    _need_command(context)


def _need_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _say(context.get_help())
        raise typer.Exit(2)


BackboneNames = Annotated[
    list[str] | None,
    typer.Option(
        "--backbone",
        metavar="NAME",
        help="Pretrained network to try, or a checkpoint to go on from; repeatable.",
    ),
]
ApproachNames = Annotated[
    list[str] | None,
    typer.Option(
        "--approach",
        metavar="NAME",
        help="To try: linear_probe, knn, fine_tune, scratch; repeatable.",
    ),
]
ResizeOption = Annotated[
    Resize | None, typer.Option("--resize", help="How a photo becomes square.")
]
Arch = Annotated[
    str | None,
    typer.Option("--arch", metavar="NAME", help="timm's name for a weights file as --backbone."),
]
Architecture = Annotated[
    str | None,
    typer.Option(
        "--architecture", metavar="FILE.py:NAME", help="Your own network for the approach scratch."
    ),
]


@app.command(epilog="Example: regraft fit photos/ --budget 5m --out runs/photos")
def fit(
    context: typer.Context,
    data: Data,
    labels: Labels = None,
    image_dir: ImageDir = None,
    test: Test = None,
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="For the whole run: 90s, 5m, 1h.")
    ] = "5m",
    backbone: BackboneNames = None,
    approach: ApproachNames = None,
    resize: ResizeOption = None,
    arch: Arch = None,
    architecture: Architecture = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Run folder; by default runs/NAME_OF_DATA."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --out.")] = False,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of splits and folds.")] = 0,
    jobs: Jobs = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
) -> None:
    """From photos to a model: compare, choose, measure, report.

    The run folder gets the model, the report and every number as a file. The path that takes
    seconds is --approach linear_probe. Run the same command again after an interruption: what was
    finished is not repeated.
    """
    from regraft import workflow

    with _progress() as progress:
        found = workflow.fit(
            data,
            labels=labels,
            image_dir=image_dir,
            test=test,
            columns=_columns(path_column, label_column, split_column, group_column),
            budget_s=parse_duration(budget),
            backbones=backbone or (),
            approaches=approach or (),
            resize=resize.value if resize else None,
            arch=arch,
            architecture=architecture,
            out=out,
            force=force,
            seed=seed,
            jobs=jobs,
            command=shlex.join(["regraft", *context.obj]),
            progress=progress,
        )
    from regraft.terminal import show_run

    show_run(_console(), found)


@app.command(epilog="Example: regraft plan photos/")
def plan(
    data: Data,
    labels: Labels = None,
    image_dir: ImageDir = None,
    backbone: BackboneNames = None,
    approach: ApproachNames = None,
    resize: ResizeOption = None,
    arch: Arch = None,
    architecture: Architecture = None,
    table: Format = TableFormat.text,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of splits and folds.")] = 0,
    jobs: Jobs = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
) -> None:
    """What to try, why, and how long it would take here.

    Measures how many photos there are and how similar they are to what the network was
    pretrained on, and times every candidate on a few of them.
    """
    from regraft import workflow

    with _progress() as progress:
        found = workflow.plan(
            data,
            labels=labels,
            image_dir=image_dir,
            columns=_columns(path_column, label_column, split_column, group_column),
            backbones=backbone or (),
            approaches=approach or (),
            resize=resize.value if resize else None,
            arch=arch,
            architecture=architecture,
            seed=seed,
            jobs=jobs,
            progress=progress,
        )
    if table is TableFormat.json:
        _out_json(found.to_dict())
    elif table is TableFormat.csv:
        from regraft.terminal import csv_text

        _out(csv_text(found.to_dict()["candidates"]))
    else:
        from regraft.terminal import show_plan

        options = {
            "labels": labels,
            "image_dir": image_dir,
            "path_column": path_column,
            "label_column": label_column,
            "split_column": split_column,
            "group_column": group_column,
        }
        show_plan(_console(), found.to_dict(), next_command=_command("fit", data, **options))


@app.command(epilog="Example: regraft scan photos/ --format csv > dataset.csv")
def scan(
    data: Data,
    labels: Labels = None,
    image_dir: ImageDir = None,
    test: Test = None,
    table: Format = TableFormat.text,
    header_only: Annotated[
        bool, typer.Option("--header-only", help="Do not decode images: faster, finds less.")
    ] = False,
    jobs: Jobs = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
) -> None:
    """List every file, its label, and why it cannot be used.

    Nothing is changed, and nothing is left out: whatever cannot be used is listed with why.
    """
    from regraft import workflow

    with _progress() as progress:
        found = workflow.scan(
            data,
            labels=labels,
            image_dir=image_dir,
            test=test,
            verify=not header_only,
            jobs=jobs,
            progress=progress,
            **_columns(path_column, label_column, split_column, group_column),
        )
    if table is TableFormat.csv:
        _out(found.to_csv())
    elif table is TableFormat.json:
        _out_json([{name: getattr(row, name) for name in row.__slots__} for row in found.rows])
    else:
        from regraft.terminal import show_dataset

        options = {
            "labels": labels,
            "image_dir": image_dir,
            "test": test,
            "path_column": path_column,
            "label_column": label_column,
            "split_column": split_column,
            "group_column": group_column,
        }
        show_dataset(
            _console(),
            found,
            shown_as=str(data),
            every_file=_command("scan", data, **options) + " --format csv",
            next_command=_command("fit", data, **options),
        )


@app.command(epilog="Example: regraft predict runs/photos new/*.jpg --format csv > new.csv")
def predict(
    model: ModelPath,
    inputs: Annotated[
        list[str], typer.Argument(metavar="FILES", help="Files, folders or glob patterns.")
    ],
    table: Format = TableFormat.text,
    jobs: Jobs = None,
) -> None:
    """Predict files or folders: class, confidence and flags.

    Flags: unsure (another class is possible too, or none fits well), unfamiliar (unlike the
    training photos), unreadable. In CSV and JSON also the probability of each class.
    """
    from regraft import workflow
    from regraft.model import load

    loaded = load(model)
    with _progress() as progress:
        found = workflow.predict(loaded, list(inputs), jobs=jobs, progress=progress)
    if table is TableFormat.csv:
        _out(workflow.predictions_table(loaded, found))
    elif table is TableFormat.json:
        _out_json([prediction_json(loaded.classes, p) for p in found])
    else:
        from regraft.terminal import show_predictions

        again = _command("predict", model, *inputs) + " --format csv > predictions.csv"
        if len(inputs) > 1:
            again = _command("evaluate", model, "labelled_photos/")
        show_predictions(_console(stderr=False), _console(), found, next_command=again)
    if all(p.flag == "unreadable" for p in found):
        first = found[0]
        raise RegraftError(
            f"none of the {len(found)} files could be read; the first is {first.path}: "
            f"{first.reason}"
        )


@app.command(epilog="Example: regraft evaluate runs/photos more_labelled_photos/")
def evaluate(
    model: ModelPath,
    data: Data,
    labels: Labels = None,
    image_dir: ImageDir = None,
    table: Format = TableFormat.text,
    jobs: Jobs = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
) -> None:
    """Score a model on labelled images that it has not seen."""
    from regraft import workflow

    with _progress() as progress:
        measured = workflow.evaluate(
            model,
            data,
            labels=labels,
            image_dir=image_dir,
            columns=_columns(path_column, label_column, split_column, group_column),
            jobs=jobs,
            progress=progress,
        )
    if table is TableFormat.json:
        _out_json(measured.to_dict())
    elif table is TableFormat.csv:
        from regraft.evaluation import evaluation_csv

        _out(evaluation_csv(measured))
    else:
        from regraft.terminal import show_evaluation

        again = _command("predict", model, "new_photo.jpg")
        show_evaluation(_console(), measured, next_command=again)


@app.command(epilog="Example: regraft report runs/photos --out photos.html")
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a fit.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="HTML file; by default report.html in the run folder."),
    ] = None,
) -> None:
    """Write the report of a run again: one HTML file."""
    from regraft import workflow

    path = workflow.report(run_folder, out or run_folder / "report.html")
    _say(f"report   {path}")
    _say(f"next     {_command('predict', run_folder, 'new_photo.jpg')}")


@app.command(epilog="Example: regraft backbones --measure")
def backbones(
    table: Format = TableFormat.text,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time the installed ones on this machine.")
    ] = False,
) -> None:
    """List pretrained networks: licence, input size, speed."""
    from regraft.catalogue import is_available, list_backbones

    found = list_backbones()
    if measure:
        from regraft.features import measure_speed

        with _progress() as progress:
            for backbone in found:
                if is_available(backbone):
                    measure_speed(backbone, progress=progress)
    rows = [backbone.to_dict() for backbone in found]
    if table is TableFormat.json:
        _out_json(rows)
    elif table is TableFormat.csv:
        from regraft.terminal import csv_text

        _out(csv_text(rows))
    else:
        from regraft.terminal import show_backbones

        missing = dict.fromkeys(b.extra for b in found if b.extra and not is_available(b))
        show_backbones(_console(stderr=False), _console(), rows, list(missing))


@cache_app.command("show", epilog="Example: regraft cache show --format json")
def cache_show(table: Format = TableFormat.text) -> None:
    """Where the caches are and how much they hold."""
    from regraft.features import cache_limit_bytes, cache_use
    from regraft.storage import cache_dir

    rows = [
        {"kind": use.kind, "files": use.files, "bytes": use.bytes, "detail": use.detail}
        for use in cache_use()
    ]
    if table is TableFormat.json:
        _out_json({"folder": str(cache_dir()), "limit_bytes": cache_limit_bytes(), "parts": rows})
    elif table is TableFormat.csv:
        from regraft.terminal import csv_text

        _out(csv_text(rows))
    else:
        from regraft.terminal import show_cache

        out, prose = _console(stderr=False), _console()
        show_cache(out, prose, str(cache_dir()), rows, limit=cache_limit_bytes())


@cache_app.command("clear", epilog="Example: regraft cache clear --features")
def cache_clear(
    features: Annotated[bool, typer.Option("--features", help="Only features of images.")] = False,
    graphs: Annotated[bool, typer.Option("--graphs", help="Only exported networks.")] = False,
    activations: Annotated[
        bool, typer.Option("--activations", help="Only inputs of the stages that are trained.")
    ] = False,
) -> None:
    """Delete what is cached; it is computed again when needed."""
    from regraft.features import CACHE_KINDS, clear_cache

    asked = {"features": features, "graphs": graphs, "activations": activations}
    kinds = [kind for kind, is_asked in asked.items() if is_asked]
    freed = clear_cache(kinds or CACHE_KINDS)
    _say(f"freed {freed / 1e6:,.1f} MB")
    _say("next     regraft cache show")


def parse_duration(text: str) -> float:
    """Seconds from "90", "90s", "5m", "1.5h" or "1h30m".

    Raises:
        UsageError: it is none of these, or zero.
    """
    match = re.fullmatch(
        r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s?)?",
        text.strip().lower(),
    )
    parts = match.groupdict(default="0") if match else {"h": "0", "m": "0", "s": "0"}
    seconds = 3600 * float(parts["h"]) + 60 * float(parts["m"]) + float(parts["s"])
    if seconds <= 0:
        raise UsageError(f"the budget is {text!r}, expected a duration such as 90s, 5m or 1h")
    return seconds


def prediction_json(classes: tuple[str, ...], prediction: Any) -> dict[str, Any]:
    """One prediction as JSON values."""
    unreadable = prediction.flag == "unreadable"
    return {
        "path": prediction.path,
        "predicted": prediction.predicted,
        "confidence": None if unreadable else round(prediction.confidence, 6),
        "set": list(prediction.set),
        "flag": prediction.flag,
        "reason": prediction.reason,
        "unfamiliarity": None if unreadable else round(prediction.unfamiliarity, 6),
        "probabilities": {
            name: round(p, 6)
            for name, p in zip(classes, prediction.probabilities, strict=not unreadable)
        },
    }


def _columns(
    path: str | None, label: str | None, split: str | None, group: str | None
) -> LabelColumns:
    named: LabelColumns = {}
    if path is not None:
        named["path_column"] = path
    if label is not None:
        named["label_column"] = label
    if split is not None:
        named["split_column"] = split
    if group is not None:
        named["group_column"] = group
    return named


def _command(*words: object, **options: object) -> str:
    """A command to copy: `words`, then those `options` that are given."""
    line = ["regraft", *map(str, words)]
    for name, value in options.items():
        if value is not None:
            line += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(line)


def _console(*, stderr: bool = True) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Progress on standard error, drawn once a step has taken a second."""
    from regraft.terminal import live_progress

    with live_progress(_console()) as progress:
        yield progress


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _say_error(message: str) -> None:
    """One line, even if a file name in it holds a line feed."""
    _say("error: " + "\\n".join(message.splitlines()))


def _out(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _out_json(data: Any) -> None:
    _out(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
