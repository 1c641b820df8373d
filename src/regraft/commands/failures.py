"""A failure in one line, and the exit code that goes with it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

import typer

from regraft.commands.printing import say
from regraft.errors import RegraftError

INTERRUPTED = 130
# How the system, the loader of libraries and the runtimes say it.
_NO_MEMORY = re.compile(
    r"can't start new thread|can(no|')t allocate memory|failed to map segment|out of memory"
    r"|not enough memory|bad_alloc|bad allocation|failed to serialize proto",
    re.IGNORECASE,
)


def explain(error: BaseException) -> int:
    """Say what went wrong; returns the exit code.

    Raises:
        Exception: the error, if it is a defect of regraft and REGRAFT_TRACEBACK is set.
    """
    if isinstance(error, typer.TyperException):
        return _explain_usage(error)
    if _was_interrupted(error):
        say_interrupted()
        return INTERRUPTED
    if _is_out_of_memory(error):
        _say_error("out of memory; try fewer worker threads, such as --jobs 1")
        return 1
    if isinstance(error, RegraftError):
        _say_error(str(error))
        return error.exit_code
    return _explain_defect(error)


def say_interrupted() -> None:
    """How to go on after Ctrl-C."""
    say("interrupted: what was finished is kept; run the same command again to go on")


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


def _explain_defect(error: BaseException) -> int:
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


def _say_error(message: str) -> None:
    """One line, even if a file name in it holds a line feed."""
    say("error: " + "\\n".join(message.splitlines()))
