"""The command line: finds the command, calls it, explains what went wrong.

Machine output goes to standard output, prose and progress to standard error. Exit codes: 0
done, 1 a failure explained in one line, 2 wrong usage, 130 interrupted.

Nothing heavy is imported until a command needs it: `regraft --help` is instant.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from regraft._version import __version__
from regraft.commands import cache, failures
from regraft.commands.audit import audit
from regraft.commands.backbones import backbones
from regraft.commands.correct import correct
from regraft.commands.evaluate import evaluate
from regraft.commands.explain import explain
from regraft.commands.export import export
from regraft.commands.fit import fit
from regraft.commands.groups import grouped
from regraft.commands.plan import plan
from regraft.commands.predict import predict
from regraft.commands.printing import say
from regraft.commands.report import report
from regraft.commands.review import review
from regraft.commands.rollback import rollback
from regraft.commands.scan import scan
from regraft.commands.serve import serve
from regraft.commands.timeline import timeline
from regraft.commands.track import track
from regraft.commands.watch import watch

COMMANDS: tuple[Callable[..., None], ...] = (
    *(fit, plan, scan, audit, predict, evaluate, explain, export, track, correct, rollback),
    *(serve, watch, timeline, report, review, backbones),
)
"""In the order in which help lists them; `cache` is the last."""

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


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        code = app(arguments, obj=arguments, prog_name="regraft", standalone_mode=False)
    except SystemExit as stop:  # how typer ends where it printed a completion script
        code = stop.code
    except (Exception, KeyboardInterrupt) as error:
        return failures.explain(error)
    if code == failures.INTERRUPTED:  # what typer makes of Ctrl-C within a command
        failures.say_interrupted()
    return code if isinstance(code, int) else 0


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"regraft {__version__}")
        raise typer.Exit


@app.callback()
def _need_command(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    _show_help_without_command(context)


@cache_app.callback()
def _need_part(context: typer.Context) -> None:
    _show_help_without_command(context)


def _show_help_without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(2)


def _add(command: Callable[..., None], group: typer.Typer) -> None:
    """Make a function a command; the last paragraph of its docstring is its example."""
    text, _, example = (inspect.getdoc(command) or "").rpartition("\n\n")
    group.command(help=text, epilog=example)(grouped(command))


for _command in COMMANDS:
    _add(_command, app)
app.add_typer(cache_app, name="cache")
for _command in (cache.show, cache.clear):
    _add(_command, cache_app)
