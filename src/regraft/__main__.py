"""The process behind `regraft` and `python -m regraft`: Ctrl-C is heeded before all imports."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from regraft.cli import run

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


def _prepare_streams() -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us, as with `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    # Tables are UTF-8 anywhere; a file name that is not is printed as the bytes that it is.
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
