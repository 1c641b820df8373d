"""An exported file beside the model it was made from.

Command   python -m benchmarks export
Data      rooms, clothing and hymenoptera, every photo of them, and pictures of odd sizes
Expected  the same class on all but near ties and probabilities within 0.01; Lite0 below 20 MB, with
          8-bit integers below 6 MB; on clothing at most a point of accuracy less with these or half
          precision

Linear probes on Lite0. The exported file is run by the script that is shipped with it, in a process
of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import regraft as rg
from benchmarks.data import own_cache, photo_folder
from benchmarks.rows import Row, at_least, at_most
from regraft.exporting.agreement import TOLERANCE
from regraft.exporting.exporter import Exported, export_model

MOST_MB = {"float32": 20.0, "half": 20.0, "int8": 6.0}
MOST_LOST = 0.01


def run(*, names: tuple[str, ...] = ("rooms", "hymenoptera", "clothing")) -> list[Row]:
    """Single precision on every set, all precisions on clothing."""
    rows = []
    with own_cache(), tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        for name in names:
            data = rg.scan(photo_folder(name))
            model = rg.LinearProbe().fit(data)
            for precision in MOST_MB if name == "clothing" else ("float32",):
                file = Path(folder) / f"{name}-{precision}.onnx"
                found = export_model(model, file, check=data, precision=precision)
                rows += _rows(name, found)
    return rows


def _rows(name: str, found: Exported) -> list[Row]:
    photos, title = found.checked, f"{name}, {found.precision}"
    rows = [
        Row(
            f"{title}: another class, near ties, flags that differ, of {photos.inputs:,} photos",
            f"{len(photos.changed)}, {len(photos.ties)}, {photos.flags_changed}",
            target="0 but ties" if found.precision == "float32" else "",
            met=not photos.changed if found.precision == "float32" else None,
        )
    ]
    if found.precision != "float32":
        assert photos.accuracy is not None
        change = photos.accuracy
        measured = f"{100 * change.value:+.2f} [{100 * change.low:+.2f}, {100 * change.high:+.2f}]"
        what = f"{title}: points of accuracy"
        rows.append(at_least(what, change.value, -MOST_LOST, measured=measured, target="-1"))
    else:
        most = max(photos.largest_difference, found.odd.largest_difference)
        what = f"{title}: largest difference of a probability, odd sizes too"
        rows.append(at_most(what, most, TOLERANCE, measured=f"{most:.5f}"))
    size, limit = found.bytes / 1e6, MOST_MB[found.precision]
    measured = f"{size:.1f} MB, {found.ms:.1f} ms a photo ({found.ms_before:.1f} before)"
    rows.append(
        at_most(f"{title}: size", size, limit, measured=measured, target=f"below {limit:g} MB")
    )
    return rows
