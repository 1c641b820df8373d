"""The command line: parses, calls a verb of `workflow`, prints.

Machine output goes to standard output, prose and progress to standard error. Exit codes: 0
done, 1 a failure explained in one line, 2 wrong usage, 130 interrupted.

Nothing heavy is imported until a command needs it: `regraft --help` is instant.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regraft._version import __version__
from regraft.backbones.sources import backbone_forms
from regraft.errors import RegraftError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from regraft.backbones.sources import BackboneOptions
    from regraft.progress import Progress
    from regraft.workflow import LabelColumns

INTERRUPTED = 130
_END_S = 9.0  # after Ctrl-C a watcher ends, though it may be amid a photo

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


class Precision(StrEnum):
    """How exact the numbers of an exported file are."""

    float32 = "float32"
    half = "half"
    int8 = "int8"


class NormalisationName(StrEnum):
    """Conventions of how pixels are normalised."""

    torch = "torch"
    tf = "tf"
    caffe = "caffe"


class Resize(StrEnum):
    """How a photo becomes square."""

    crop = "crop"
    pad = "pad"
    squash = "squash"


Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder of photos or texts, or a table of them.")
]
Labels = Annotated[
    Path | None,
    typer.Option(metavar="TABLE", help="Table with a file or id column and a label column."),
]
ImageDir = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where the files named in the table are.")
]
Test = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Labelled images kept out of every choice: the test set."),
]
PathColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column with the file or id.")]
TextColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column with the texts themselves.", show_default=False),
]
LabelColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column with the class.")]
SplitColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column with train, val or test.")
]
GroupColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column whose equal values stay on one side of a split."),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Worker threads; by default one for each core."),
]
Format = Annotated[TableFormat, typer.Option("--format", help="How to print it.")]
ModelPath = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model folder, or the run folder of a fit.")
]


UnfamiliarFrom = Annotated[
    float | None,
    typer.Option(metavar="D", help="Score, 0 to 4, from which a photo is unfamiliar."),
]


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        code = app(arguments, obj=arguments, prog_name="regraft", standalone_mode=False)
    except SystemExit as stop:  # how typer ends where it printed a completion script
        return stop.code if isinstance(stop.code, int) else 0
    except typer.TyperException as error:
        return _explain_usage(error)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if _was_interrupted(error):
            code = INTERRUPTED
        elif _is_out_of_memory(error):
            _say_error("out of memory; try fewer worker threads, such as --jobs 1")
            return 1
        elif isinstance(error, RegraftError):
            _say_error(str(error))
            return error.exit_code
        else:
            return _explain_defect(error)
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
    return any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error))


# How the system, the loader of libraries and the runtimes say it.
_NO_MEMORY = re.compile(
    r"can't start new thread|can(no|')t allocate memory|failed to map segment|out of memory"
    r"|not enough memory|bad_alloc|bad allocation|failed to serialize proto",
    re.IGNORECASE,
)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether a lack of memory lies behind an error, whatever it was turned into."""
    for cause in _causes(error):
        if isinstance(cause, OSError):
            lacks = cause.errno == errno.ENOMEM
        else:  # the text of an error of regraft may hold the name of a file
            lacks = not isinstance(cause, RegraftError) and bool(_NO_MEMORY.search(str(cause)))
        if lacks or isinstance(cause, MemoryError):
            return True
    return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from or amid."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


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
        help=f"Pretrained network: NAME of a built-in one, {backbone_forms()}.",
    ),
]
ApproachNames = Annotated[
    list[str] | None,
    typer.Option(
        "--approach",
        metavar="NAME",
        help="To try: linear_probe, knn, fine_tune, scratch, tfidf, word_vectors, fastai; "
        "repeatable.",
    ),
]
ResizeOption = Annotated[
    Resize | None, typer.Option("--resize", help="How a photo becomes square.")
]
Arch = Annotated[
    str | None,
    typer.Option("--arch", metavar="NAME", help="timm's name for a weights file as --backbone."),
]
Normalize = Annotated[
    NormalisationName | None,
    typer.Option("--normalize", help="What an ONNX file or a module was trained with."),
]
ImageSize = Annotated[
    int | None,
    typer.Option("--size", metavar="PX", help="Another size of pictures than the network's own."),
]
AcceptLicence = Annotated[
    bool,
    typer.Option("--accept-licence", help="Use weights whose licence does not allow every use."),
]
Architecture = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        metavar="FILE.py:NAME",
        help="Your own network: for the approach scratch, or to explain a model of it.",
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
    normalize: Normalize = None,
    size: ImageSize = None,
    accept_licence: AcceptLicence = False,
    architecture: Architecture = None,
    decisions: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Apply what was decided in the review of a run."),
    ] = None,
    with_corrections: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Train on what was corrected; promote it unless it is worse."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Run folder; by default runs/NAME_OF_DATA."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --out.")] = False,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of splits and folds.")] = 0,
    jobs: Jobs = None,
    path_column: PathColumn = None,
    text_column: TextColumn = None,
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
            columns=_columns(path_column, text_column, label_column, split_column, group_column),
            budget_s=parse_duration(budget),
            backbones=backbone or (),
            approaches=approach or (),
            resize=resize.value if resize else None,
            backbone_options=_backbone_options(arch, normalize, size, accept_licence),
            architecture=architecture,
            decisions=decisions,
            with_corrections=with_corrections,
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
    normalize: Normalize = None,
    size: ImageSize = None,
    accept_licence: AcceptLicence = False,
    architecture: Architecture = None,
    table: Format = TableFormat.text,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of splits and folds.")] = 0,
    jobs: Jobs = None,
    path_column: PathColumn = None,
    text_column: TextColumn = None,
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
            columns=_columns(path_column, text_column, label_column, split_column, group_column),
            backbones=backbone or (),
            approaches=approach or (),
            resize=resize.value if resize else None,
            backbone_options=_backbone_options(arch, normalize, size, accept_licence),
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
            "text_column": text_column,
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
    report_file: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Also draw the photos as one HTML page."),
    ] = None,
    jobs: Jobs = None,
    path_column: PathColumn = None,
    text_column: TextColumn = None,
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
            **_columns(path_column, text_column, label_column, split_column, group_column),
        )
        if report_file is not None:
            audited = workflow.audit(found, jobs=jobs, progress=progress)
            found = audited.data
            workflow.report_data(audited, report_file)
    if report_file is not None:
        _say(f"page     {report_file}")
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
            "text_column": text_column,
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


@app.command(epilog="Example: regraft audit photos/ --format csv > issues.csv")
def audit(
    data: Data,
    labels: Labels = None,
    image_dir: ImageDir = None,
    test: Test = None,
    table: Format = TableFormat.text,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Pretrained network whose features are compared."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of folds and samples.")] = 0,
    jobs: Jobs = None,
    path_column: PathColumn = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
) -> None:
    """Find copies, leaks, doubtful labels, outliers, shortcuts.

    Nothing is trained but a linear probe, and no file is changed. Photos come ranked, worst first.
    """
    from regraft import workflow

    chosen = {} if backbone is None else {"backbone": backbone}
    with _progress() as progress:
        found = workflow.audit(
            data,
            labels=labels,
            image_dir=image_dir,
            test=test,
            seed=seed,
            jobs=jobs,
            progress=progress,
            columns=_columns(path_column, text_column, label_column, split_column, group_column),
            **chosen,
        )
    if table is TableFormat.csv:
        from regraft.issues import issues_csv

        _out(issues_csv(found.findings.issues))
    elif table is TableFormat.json:
        _out_json(found.to_dict())
    else:
        from regraft.terminal import show_audit

        options = {
            "labels": labels,
            "image_dir": image_dir,
            "test": test,
            "path_column": path_column,
            "text_column": text_column,
            "label_column": label_column,
            "split_column": split_column,
            "group_column": group_column,
        }
        show_audit(
            _console(),
            found,
            every_issue=_command("audit", data, **options) + " --format csv",
            next_command=_command("fit", data, **options),
        )


@app.command(epilog="Example: regraft predict runs/photos new/*.jpg --format csv > new.csv")
def predict(
    model: ModelPath,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES", help="Files, folders, glob patterns or tables."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="TEXT", help="A text itself, not a file; repeatable."),
    ] = None,
    image_dir: ImageDir = None,
    path_column: PathColumn = None,
    text_column: TextColumn = None,
    unfamiliar_from: UnfamiliarFrom = None,
    table: Format = TableFormat.text,
    jobs: Jobs = None,
) -> None:
    """Predict files, folders or tables: class, confidence and flags.

    Flags: unsure (another class is possible too, or none fits well), unfamiliar (unlike the
    training photos), unreadable, ignored (not an input). In CSV and JSON also the probability of
    each class, and the reason of the last two.
    """
    from regraft import workflow
    from regraft.modality import things
    from regraft.model import load

    if not (inputs or text):
        raise UsageError("nothing to predict; give files, folders, patterns, a table or --text")
    loaded = load(model).flagging_from(unfamiliar_from)
    found = workflow.predict_texts(loaded, text or ()) if text else []
    if inputs:
        with _progress() as progress:
            found += workflow.predict(
                loaded,
                inputs,
                image_dir=image_dir,
                columns=_columns(path_column, text_column, None, None, None),
                jobs=jobs,
                progress=progress,
            )
    if table is TableFormat.csv:
        _out(workflow.predictions_table(loaded, found))
    elif table is TableFormat.json:
        _out_json([prediction_json(loaded.classes, p) for p in found])
    else:
        from regraft.terminal import show_predictions

        options = {"image_dir": image_dir, "path_column": path_column, "text_column": text_column}
        again = _command("predict", model, *(inputs or ()), **options)
        again += " --format csv > predictions.csv"
        if len(inputs or ()) != 1:
            again = _command("evaluate", model, f"labelled_{things(loaded.transform.modality)}/")
        show_predictions(
            _console(stderr=False),
            _console(),
            found,
            texts=workflow.beginnings(loaded, found, text or ()),
            next_command=again,
        )
    if not any(p.probabilities for p in found):
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
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
) -> None:
    """Score a model on labelled images that it has not seen."""
    from regraft import workflow
    from regraft.model import load

    loaded = load(model)
    with _progress() as progress:
        measured = workflow.evaluate(
            loaded,
            data,
            labels=labels,
            image_dir=image_dir,
            columns=_columns(path_column, text_column, label_column, split_column, group_column),
            jobs=jobs,
            progress=progress,
        )
    from regraft.terminal import show_overlap

    show_overlap(_console(), measured.overlap, modality=loaded.transform.modality)
    if table is TableFormat.json:
        _out_json(measured.to_dict())
    elif table is TableFormat.csv:
        from regraft.evaluation import evaluation_csv

        _out(evaluation_csv(measured))
    else:
        from regraft.modality import MODALITIES
        from regraft.terminal import show_evaluation

        kind = loaded.transform.modality
        again = _command("predict", model, f"new_{MODALITIES[kind].example}")
        show_evaluation(_console(), measured, modality=kind, next_command=again)


@app.command(epilog="Example: regraft explain runs/photos new/*.jpg --out explanations")
def explain(
    model: ModelPath,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES", help="Photos to explain; by default those of the run."),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the pictures of FILES are written.")
    ] = Path("explanations"),
    architecture: Architecture = None,
    table: Format = TableFormat.text,
    jobs: Jobs = None,
) -> None:
    """Show where in a photo the model finds its evidence.

    With FILES each is written as a picture with a heat map laid over it. Without, those of the
    run's confident errors and typical hits are made, and its report with them. They are checked:
    with random weights the maps have to change.
    """
    from regraft import workflow

    with _progress() as progress:
        found = workflow.explain(
            model, files or (), out=out, architecture=architecture, jobs=jobs, progress=progress
        )
    again = _command("predict", model, *(files or ["new_photo.jpg"]))
    if not files:
        again = _command("explain", model, "new_photo.jpg", architecture=architecture)
    if table is TableFormat.json:
        _out_json(found.to_dict())
    elif table is TableFormat.csv:
        from regraft.terminal import csv_text

        _out(csv_text(found.rows))
    else:
        from regraft.terminal import show_explained

        show_explained(_console(stderr=False), _console(), found, next_command=again)


@app.command(epilog="Example: regraft export runs/photos photos.onnx")
def export(
    model: ModelPath,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its name, ending in .onnx.")],
    check: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="What to compare on; by default 500 of the run."),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="half and int8 make the file smaller; the change is measured.")
    ] = Precision.float32,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    table: Format = TableFormat.text,
    jobs: Jobs = None,
) -> None:
    """One ONNX file that predicts what the model predicts.

    It takes photos of any size; resize and normalisation are inside. Of texts it takes token
    numbers; the tokenizer is inside. Beside it: a script that needs only onnxruntime, numpy and
    Pillow (tokenizers for texts), and a model card. Before anything is written, that script has to
    say the same as the model of your photos or texts.
    """
    from regraft import workflow

    with _progress() as progress:
        found = workflow.export(
            model,
            file,
            check=check,
            precision=precision.value,
            force=force,
            jobs=jobs,
            progress=progress,
        )
    if table is TableFormat.json:
        _out_json(found.to_dict())
    elif table is TableFormat.csv:
        from regraft.terminal import csv_text

        _out(csv_text([found.row]))
    else:
        from regraft.modality import MODALITIES
        from regraft.terminal import show_exported

        new = f"new_{MODALITIES[found.modality].example}"
        again = shlex.join(["python", str(found.script), new])
        show_exported(_console(), found, next_command=again)


@app.command(epilog="Example: regraft track runs/photos --tensorboard boards")
def track(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a fit.")],
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write event files below this folder.")
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Log to it: a folder, sqlite:///FILE, http://HOST."),
    ] = None,
    experiment: Annotated[
        str, typer.Option(metavar="NAME", help="Of MLflow; made if it is not there.")
    ] = "regraft",
    table: Format = TableFormat.text,
) -> None:
    """Give a run to TensorBoard or MLflow.

    Curves of every network that was trained, metrics with the ends of their intervals, the
    verdict, and for MLflow the settings and files. Nothing leaves this machine unless URI is that
    of another.
    """
    from regraft.frameworks import tracking

    found = tracking.track(run, tensorboard=tensorboard, mlflow=mlflow, experiment=experiment)
    if table is TableFormat.json:
        _out_json(found.to_dict())
    elif table is TableFormat.csv:
        from regraft.terminal import csv_text

        _out(csv_text([found.to_dict()]))
    else:
        from regraft.terminal import show_tracked

        show_tracked(_console(), found)


@app.command(epilog="Example: regraft correct runs/rooms wrong.jpg --label messy")
def correct(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a fit.")],
    files: Annotated[
        list[str], typer.Argument(metavar="FILES", help="Files, folders or glob patterns.")
    ],
    label: Annotated[str, typer.Option(metavar="NAME", help="The class of all of them.")],
    new_class: Annotated[
        bool, typer.Option("--new-class", help="NAME may be a class that the run does not know.")
    ] = False,
    jobs: Jobs = None,
) -> None:
    """Keep photos that the model got wrong, to learn from.

    They are copied into the run folder under their right label; regraft fit --with-corrections RUN
    trains on them as well.
    """
    from regraft import workflow
    from regraft.wording import counted

    with _progress() as progress:
        found = workflow.correct(
            run_folder, files, label, new_class=new_class, jobs=jobs, progress=progress
        )
    wrong = sum(one.said != one.label for one in found)
    what = counted(len(found), "photo")
    of_them = "it" if len(found) == 1 else f"{wrong:,} of them"
    judged = f"the model had got {of_them} {'wrong' if wrong or len(found) > 1 else 'right'}"
    _say(f"{what} kept as {found[0].label}; {judged}")
    _say(f"next     {_command('fit', 'photos/', with_corrections=run_folder)}")


@app.command(epilog="Example: regraft rollback runs/rooms")
def rollback(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a fit.")],
) -> None:
    """Put the model back that a promotion replaced.

    The one at work now is kept in its place: the same command again exchanges them once more.
    """
    from regraft import workflow

    _say(f"model    {workflow.rollback(run_folder)}")
    _say(f"next     {_command('predict', run_folder, 'new_photo.jpg')}")


@app.command(epilog="Example: regraft serve runs/photos --port 8000")
def serve(
    model: ModelPath,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Others than this machine's own are reachable.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="P", help="0 for any that is free.")] = 8000,
    token: Annotated[
        str,
        typer.Option(
            metavar="TEXT", envvar="REGRAFT_TOKEN", help="Requests have to carry it as a bearer."
        ),
    ] = "",
    history: Annotated[
        Path | None, typer.Option(metavar="DB", help="Of a regraft watch: serve its timeline too.")
    ] = None,
    corrections: Annotated[
        bool,
        typer.Option("--corrections", help="Let the page keep photos under their right label."),
    ] = False,
    unfamiliar_from: UnfamiliarFrom = None,
    max_body: Annotated[float, typer.Option(metavar="MB", help="Of one request.")] = 32.0,
    max_pixels: Annotated[float, typer.Option(metavar="MP", help="Megapixels of a photo.")] = 50.0,
    max_characters: Annotated[int, typer.Option(metavar="N", help="Of a text.")] = 200_000,
    max_inputs: Annotated[
        int,
        typer.Option(
            "--max-inputs", "--max-images", metavar="N", help="Photos or texts in one request."
        ),
    ] = 32,
    max_requests: Annotated[int, typer.Option(metavar="N", help="Open at once.")] = 64,
    max_seconds: Annotated[
        float, typer.Option(metavar="S", help="To send a request, and to answer it.")
    ] = 30.0,
    jobs: Jobs = None,
) -> None:
    """A page and an API that predict photos or texts.

    POST /predict takes photos or texts as the multipart field files, and texts also as JSON,
    {"texts": ["..."]}; /model, /health, /metrics (Prometheus) and /openapi.json say the rest. The
    page takes photos by drop, paste or camera, and texts as you write them. Nothing is kept but
    photos that are corrected with --corrections, and nothing leaves the machine. Ctrl-C ends it
    once what was begun is answered.
    """
    from regraft import workflow
    from regraft.serving import ServerLimits

    limits = ServerLimits(
        body_mb=max_body,
        megapixels=max_pixels,
        characters=max_characters,
        inputs=max_inputs,
        requests=max_requests,
        body_s=max_seconds,
        answer_s=max_seconds,
    )
    with workflow.serve(
        model,
        host=host,
        port=port,
        limits=limits,
        token=token,
        history=history,
        corrections=corrections,
        unfamiliar_from=unfamiliar_from,
        jobs=jobs,
    ) as server:
        _say(f"page     {server.url}")
        if history is not None:
            _say(f"timeline {server.url}timeline")
        if not server.is_local and not token:
            _say(
                "note     anyone who can reach this machine may use it; set --token to change that"
            )
        _say(f"try      {server.example}")
        with suppress(KeyboardInterrupt):
            server.serve()
        _say("stopped")


Hold = Annotated[
    str, typer.Option(metavar="TIME", help="For how long photos have to show a new state.")
]
Gap = Annotated[
    str, typer.Option(metavar="TIME", help="Without a photo to rely on, after which it is unknown.")
]
Evidence = Annotated[
    float, typer.Option(metavar="N", help="For a change: each clear photo adds 2, or takes 2.")
]


@app.command(epilog="Example: regraft watch runs/rooms /srv/cameras --db rooms.db")
def watch(
    model: ModelPath,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Cameras write here, each into its folder.")
    ],
    db: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The history; by default NAME_OF_FOLDER.db here."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Work through what is there, and end.")
    ] = False,
    hold: Hold = "15m",
    gap: Gap = "3h",
    evidence: Evidence = 6.0,
    unfamiliar_from: UnfamiliarFrom = None,
    settle: Annotated[
        str, typer.Option(metavar="TIME", help="How old a file has to be to be read.")
    ] = "2s",
    webhook: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="POST events here; repeatable.")
    ] = None,
    mqtt: Annotated[
        str | None, typer.Option(metavar="URL", help="Publish events: mqtt://HOST/PREFIX.")
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option(min=0, metavar="N", help="Forget photos taken before that.")
    ] = None,
    keep_photos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Copy photos there; by default none is.")
    ] = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="For network shares that tell of no changes.")
    ] = False,
    table: Format = TableFormat.text,
    jobs: Jobs = None,
) -> None:
    """Predict what cameras write into a folder, and tell of changes.

    Each photo is predicted once, also after restarts, renames, or when it comes late. A state
    changes only once several photos say so; dark and unfamiliar photos count for nothing. Events
    are printed as they come. Ctrl-C ends it; nothing is lost.
    """
    from regraft import workflow
    from regraft.model import load
    from regraft.watching import Rules, Settings
    from regraft.watching.outputs import Mqtt, Output, Webhook
    from regraft.wording import counted
    from regraft.workers import interrupted_within

    outputs: list[Output] = [Webhook(url) for url in webhook or ()]
    if mqtt is not None:
        outputs.append(Mqtt(mqtt))
    settings = Settings(
        rules=Rules(
            evidence=evidence,
            hold_s=parse_duration(hold, "hold", zero=True),
            gap_s=parse_duration(gap, "gap"),
        ),
        settle_s=parse_duration(settle, "settle", zero=True),
        keep_days=keep_days,
        copies=keep_photos,
        poll=poll,
        jobs=jobs,
    )
    file = db or Path(f"{folder.resolve().name or 'photos'}.db")
    loaded = load(model).flagging_from(unfamiliar_from)
    with (
        _progress() as progress,
        workflow.watch(
            loaded,
            folder,
            file,
            settings=settings,
            outputs=outputs,
            progress=progress,
        ) as watcher,
        suppress(KeyboardInterrupt),
        interrupted_within(_END_S),
    ):
        from regraft.terminal import event_line

        _say(f"history  {file}")
        passes = [watcher.once()] if once else watcher.run()
        for done in passes:
            for camera, event in done.events:
                _out(event_line(camera, event, as_json=table is TableFormat.json))
            if done.added:
                _say(counted(done.added, "new photo"))
    _say(f"next     {_command('timeline', file)}")


@app.command(epilog="Example: regraft timeline rooms.db --out rooms.html")
def timeline(
    db: Annotated[Path, typer.Argument(metavar="DB", help="The history of a regraft watch.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw it, as one HTML page.")
    ] = None,
    camera: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; repeatable.")
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="DATE", help="Only photos taken from then, as 2026-11-24.")
    ] = "",
    table: Format = TableFormat.text,
) -> None:
    """How often cameras saw a change, for how long, is it changing.

    By calendar time, with intervals. Also outages, how much could not be relied on, and whether the
    photos have become unlike those before.
    """
    from regraft import workflow

    found = workflow.timeline(db, out, since=_moment(since), cameras=camera or ())
    if table is TableFormat.json:
        _out_json(found.to_dict())
    elif table is TableFormat.csv:
        _out(found.to_csv())
    else:
        from regraft.terminal import show_timeline

        show_timeline(_console(stderr=False), found)
    if out is not None:
        _say(f"page     {out}")


def _moment(text: str) -> float:
    """Seconds since 1970 of a date, or date and time, in this machine's zone; 0 for ""."""
    from datetime import datetime

    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageError(f"since is {text!r}, expected a date such as 2026-11-24") from error


@app.command(epilog="Example: regraft report runs/photos runs/quick --out both.html")
def report(
    run_folders: Annotated[
        list[Path], typer.Argument(metavar="RUNS", help="The run folder of a fit, or several.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="HTML file; by default report.html in the run folder, or comparison.html.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the FILE that shows several runs.")
    ] = False,
) -> None:
    """Write the report of a run again, or of several runs.

    One HTML file. Several runs are put side by side: the same questions, a column for each run,
    and whether they can be told apart on the photos that both predicted.
    """
    from regraft import workflow

    if len(run_folders) == 1:
        run_folder = run_folders[0]
        path = workflow.report(run_folder, out or run_folder / "report.html")
        _say(f"report   {path}")
        _say(f"next     {_command('predict', run_folder, _new_input(run_folder))}")
        return
    found = workflow.report_side_by_side(run_folders, out or Path("comparison.html"), force=force)
    for line in found.left_out:
        _say(f"note     {line}")
    _say(f"report   {found.path}")
    _say(f"next     {_command('predict', found.best, _new_input(found.best))}")


def _new_input(run_folder: Path) -> str:
    """A file that a run's model could predict, for a command to copy."""
    from regraft.modality import MODALITIES
    from regraft.runs import read_run

    return f"new_{MODALITIES[read_run(run_folder).data.modality].example}"


@app.command(epilog="Example: regraft review runs/photos")
def review(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a fit.")],
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, metavar="P", help="Of the page; 0 for one that is free."),
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only say where the page is.")
    ] = False,
) -> None:
    """Go through doubtful labels and errors: keep, relabel, exclude.

    Opens a page on this machine, for the keyboard. Every decision is kept at once in RUN; your
    photos and tables stay as they are. Ctrl-C ends it; fit --decisions RUN applies it.
    """
    from regraft import workflow
    from regraft.wording import counted

    with workflow.review(run_folder, port=port) as server:
        session = server.session
        if session.note:
            _say(f"note: {session.note}")
        if not session.queue:
            _say("nothing to review: no doubtful label, confident error, outlier or poor photo")
        else:
            photos = counted(len(session.queue), "photo")
            with suppress(KeyboardInterrupt):  # how a review ends
                _say(f"review   {server.url}")
                _say(f"{photos} to go through; every decision is kept at once, Ctrl-C ends it")
                if not no_browser:
                    _open_page(server.url)
                server.serve()
        decided = session.decided()
    said = {"relabel": "relabelled", "exclude": "excluded", "keep": "kept"}
    counts = ", ".join(f"{decided[name]:,} {word}" for name, word in said.items() if decided[name])
    total = sum(decided.values())
    if total:
        _say(f"{counted(total, 'decision')} in {session.file}: {counts}")
        _say(f"next     {workflow.review_command(session.run)}")
    else:
        _say(f"no decision in {session.file}")
        _say(f"next     {_command('predict', run_folder, 'new_photo.jpg')}")


def _open_page(url: str) -> None:
    """Open a browser of its own window; never one that would take the terminal."""
    import webbrowser

    is_drawn = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if is_drawn:
        webbrowser.open(url)


@app.command(epilog="Example: regraft backbones --measure")
def backbones(
    table: Format = TableFormat.text,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time the installed ones on this machine.")
    ] = False,
    search: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Names in timm that hold TEXT, or match it; other hubs: torchvision:NAME, "
            "hf:OWNER/NAME.",
        ),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With --search: only licences with TEXT.")
    ] = None,
) -> None:
    """List pretrained networks: licence, input size, speed."""
    from regraft.backbones.backbone import is_available
    from regraft.backbones.built_in import list_backbones
    from regraft.backbones.sources.timm import search_backbones

    if search is not None or licence is not None:
        _print_hub(search_backbones(search or "*", licence=licence or ""), table)
        return
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


def _print_hub(found: list[dict[str, Any]], table: TableFormat) -> None:
    from regraft.terminal import csv_text, show_hub

    if not found:
        raise UsageError(
            "timm has no weights of such a name and licence; expected a part of the name, such as "
            "resnet"
        )
    if table is TableFormat.json:
        _out_json(found)
    elif table is TableFormat.csv:
        _out(csv_text(found))
    else:
        show_hub(_console(stderr=False), _console(), found)


@cache_app.command("show", epilog="Example: regraft cache show --format json")
def cache_show(table: Format = TableFormat.text) -> None:
    """Where the caches are and how much they hold."""
    from regraft.cache import cache_use, limit_bytes
    from regraft.storage import cache_dir

    rows = [
        {"kind": use.kind, "files": use.files, "bytes": use.bytes, "detail": use.detail}
        for use in cache_use()
    ]
    if table is TableFormat.json:
        _out_json({"folder": str(cache_dir()), "limit_bytes": limit_bytes(), "parts": rows})
    elif table is TableFormat.csv:
        from regraft.terminal import csv_text

        _out(csv_text(rows))
    else:
        from regraft.terminal import show_cache

        out, prose = _console(stderr=False), _console()
        show_cache(out, prose, str(cache_dir()), rows, limit=limit_bytes())


@cache_app.command("clear", epilog="Example: regraft cache clear --features")
def cache_clear(
    features: Annotated[bool, typer.Option("--features", help="Only features of images.")] = False,
    graphs: Annotated[bool, typer.Option("--graphs", help="Only exported networks.")] = False,
    measures: Annotated[bool, typer.Option("--measures", help="Only facts on photos.")] = False,
    activations: Annotated[
        bool, typer.Option("--activations", help="Only inputs of the stages that are trained.")
    ] = False,
) -> None:
    """Delete what is cached; it is computed again when needed."""
    from regraft.cache import KINDS, clear_cache

    asked = {
        "features": features,
        "graphs": graphs,
        "measures": measures,
        "activations": activations,
    }
    kinds = [kind for kind, is_asked in asked.items() if is_asked]
    freed = clear_cache(kinds or KINDS)
    _say(f"freed {freed / 1e6:,.1f} MB")
    _say("next     regraft cache show")


def parse_duration(text: str, what: str = "budget", *, zero: bool = False) -> float:
    """Seconds from "90s", "5m", "1.5h" or "1h30m"; "0" needs no unit where zero is allowed.

    Raises:
        UsageError: it is none of these, or zero where that is not allowed.
    """
    match = re.fullmatch(
        r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?|0",
        text.strip().lower(),
    )
    parts = match.groupdict(default="0") if match and match[0] else None
    seconds = -1.0
    if parts is not None:
        seconds = 3600 * float(parts["h"]) + 60 * float(parts["m"]) + float(parts["s"])
    if seconds < 0 or (seconds == 0 and not zero):
        raise UsageError(
            f"the {what} is {text!r}, expected a duration with its unit, such as 90s, 5m or 1h"
        )
    return seconds


def prediction_json(classes: tuple[str, ...], prediction: Any) -> dict[str, Any]:
    """One prediction as JSON values."""
    unreadable = not prediction.probabilities
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


def _backbone_options(
    arch: str | None, normalize: NormalisationName | None, size: int | None, accept_licence: bool
) -> BackboneOptions:
    """Only what was given, so that run.json says no more."""
    options: BackboneOptions = {}
    if arch is not None:
        options["architecture"] = arch
    if normalize is not None:
        options["normalize"] = normalize.value
    if size is not None:
        options["image_size_px"] = size
    if accept_licence:
        options["accept_licence"] = True
    return options


def _columns(
    path: str | None, text: str | None, label: str | None, split: str | None, group: str | None
) -> LabelColumns:
    named: LabelColumns = {}
    if path is not None:
        named["path_column"] = path
    if text is not None:
        named["text_column"] = text
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
    text = json.dumps(_json_values(data), indent=1, ensure_ascii=False, allow_nan=False)
    _out(text + "\n")


def _json_values(data: Any) -> Any:
    """The same with null for numbers that JSON has none for: no value, no bound."""
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {key: _json_values(value) for key, value in data.items()}
    return [_json_values(value) for value in data] if isinstance(data, list | tuple) else data
