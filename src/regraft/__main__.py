"""The process behind `regraft` and `python -m regraft`: Ctrl-C is heeded before all imports."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


def main() -> None:
    """Run the command line and leave with its exit code."""
    if sys.getfilesystemencoding() != "utf-8":  # the C locale; file and class names are UTF-8
        again = [sys.executable, "-X", "utf8", "-m", "regraft", *sys.argv[1:]]
        os.execv(sys.executable, again)  # noqa: S606
    sys.unraisablehook = _interrupt_again
    try:
        from regraft.commands.app import run
        from regraft.telemetry import opt_out

        opt_out()  # for code of the user's as well, such as that of module:FILE.py:NAME

        _prepare_streams()
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    # Whatever had to be closed is closed. Python's own clearing up takes seconds once PyTorch is
    # loaded, and a second Ctrl-C would show in it.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _interrupt_again(unraisable: UnraisableHookArgs) -> None:
    """Send a Ctrl-C again that came while Python ran a callback, which can raise nothing."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(0.01, _interrupt_main_thread).start()
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt_main_thread() -> None:
    while _is_in_the_hook():  # on a busy machine; it would be lost there once more
        time.sleep(0.01)
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGINT)
    else:  # wakes it from what it waits for, too
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _is_in_the_hook() -> bool:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001
    while frame is not None:
        if frame.f_code is _interrupt_again.__code__:
            return True
        frame = frame.f_back
    return False


def _prepare_streams() -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us, as with `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    # Tables are UTF-8 anywhere; a file name that is not is printed as the bytes that it is.
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
