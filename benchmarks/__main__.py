"""`python -m benchmarks [NAME...] [--write FILE]`: run them and print the table.

The table is on standard output; what is running, and each row as it comes, on standard error.
Exit code 1 if a benchmark broke; a target that is missed is a row that says so.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.registry import BENCHMARKS
from benchmarks.rows import Row, SkippedError, markdown_table
from regraft.telemetry import opt_out


def main(
    arguments: Sequence[str] | None = None,
    benchmarks: Mapping[str, Callable[[], list[Row]]] = BENCHMARKS,
) -> int:
    """Run the benchmarks that were named, or all; returns the exit code."""
    opt_out()  # rivals are imported too
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benchmarks))
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="also write the table as FILE, replacing it"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in benchmarks]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; expected {', '.join(benchmarks)}")
    if options.write is not None and not options.write.parent.is_dir():
        parser.error(f"there is no folder {options.write.parent} to write the table in")

    machine = describe_machine()
    results, broken = {}, False
    for name in options.names or benchmarks:
        results[name], worked = run_one(name, benchmarks[name])
        broken |= not worked
    text = f"{machine}\n{markdown_table(results)}"
    sys.stdout.write(text)
    if options.write is not None:
        options.write.write_text(text, encoding="utf-8")
    return int(broken)


def run_one(name: str, benchmark: Callable[[], list[Row]]) -> tuple[list[Row], bool]:
    """The rows of one benchmark and whether it worked; being skipped counts as working."""
    _say(f"{name} ...")
    started = time.monotonic()
    try:
        rows, worked = benchmark(), True
    except SkippedError as reason:
        rows, worked = [Row("skipped", str(reason))], True
    except Exception as error:  # the others are still worth running
        _say(traceback.format_exc())
        rows, worked = [Row("failed", f"{type(error).__name__}: {error}")], False
    for row in rows:
        verdict = {True: " met", False: " NOT MET", None: ""}[row.met]
        _say(f"  {row.name}: {row.measured}{f' ({row.target}:{verdict})' if row.target else ''}")
    _say(f"{name} took {time.monotonic() - started:.0f} s")
    return rows, worked


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
