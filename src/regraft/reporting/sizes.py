"""Rows of a run in, what is said of their sizes and file kinds out."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from regraft.dataset import Row
from regraft.kinds import Part, kind_named
from regraft.reporting import words
from regraft.reporting.words import thing
from regraft.runs import Run
from regraft.tables.cells import table_of

Sizes = Callable[[Run, Sequence[Row]], list[tuple[str, str]]]


def sizes_of(run: Run, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Pairs of a term and what is said of it, as the kind of input has them."""
    part: Part[Sizes] | None = kind_named(run.data.modality).sizes
    return [_file_kinds(rows)] if part is None else part()(run, rows)


def of_texts(_run: Run, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Of texts: characters (the width of a row), lines and encoding."""
    lengths = sorted(row.width for row in rows)
    return [
        ("Shortest", f"{words.counted(lengths[0], 'character')}"),
        ("Median", f"{words.counted(lengths[len(lengths) // 2], 'character')}"),
        ("Longest", f"{words.counted(lengths[-1], 'character')}"),
        ("Lines", f"{statistics.median(row.height for row in rows):,.0f} in the median"),
        ("Encoding", _shares(Counter(row.mode or "unknown" for row in rows), len(rows))),
        _file_kinds(rows),
    ]


def _file_kinds(rows: Sequence[Row]) -> tuple[str, str]:
    paths = [table_of(row.path) or row.path for row in rows]
    kinds = Counter(PurePosixPath(path).suffix.lower() or "no suffix" for path in paths)
    return "File kind", _shares(kinds, len(rows))


def of_photos(run: Run, rows: Sequence[Row]) -> list[tuple[str, str]]:
    said = []
    sizes = Counter((row.width, row.height) for row in rows)
    if len(sizes) == 1:
        width, height = next(iter(sizes))
        said.append(("Size", f"all {width:,} \N{MULTIPLICATION SIGN} {height:,} pixels"))
    else:
        area = sorted(rows, key=lambda row: row.width * row.height)
        said.append(("Smallest", _size(area[0])))
        said.append(("Median", _size(area[len(area) // 2])))
        said.append(("Largest", _size(area[-1])))
        (width, height), n = sizes.most_common(1)[0]
        said.append(
            (
                "Different sizes",
                f"{len(sizes):,}, most often {width:,} \N{MULTIPLICATION SIGN} {height:,} "
                f"({words.percent(n / len(rows))})",
            )
        )
    shape = Counter(_shape(row) for row in rows)
    said.append(("Shape", _shares(shape, len(rows))))
    ratio = statistics.median(max(r.width, r.height) / min(r.width, r.height) for r in rows)
    if ratio > 1.005:
        said.append(("Longer to shorter side", f"{ratio:.2f} in the median"))
    said.append(
        ("Pixel format", _shares(Counter(row.mode or "unknown" for row in rows), len(rows)))
    )
    said.append(_file_kinds(rows))
    wanted = run.about.backbone.transform.image_size_px
    if wanted:
        small = sum(1 for row in rows if min(row.width, row.height) < wanted)
        text = "none" if not small else words.counted(small, thing())
        said.append((f"Shorter side under {wanted} px, enlarged for the network", text))
    return said


def _size(row: Row) -> str:
    return f"{row.width:,} \N{MULTIPLICATION SIGN} {row.height:,} pixels"


def _shape(row: Row) -> str:
    if abs(row.width - row.height) <= 0.02 * max(row.width, row.height):
        return "square"
    return "landscape" if row.width > row.height else "portrait"


def _shares(counts: Counter[str], n: int) -> str:
    if len(counts) == 1:
        return f"all {next(iter(counts))}"
    most = [f"{name} {words.percent(count / n)}" for name, count in counts.most_common(4)]
    return ", ".join(most) + (", others" if len(counts) > 4 else "")
