"""Peak private memory of approaches that train a network, on 10,000 images.

Command   python -m benchmarks train_memory
Data      10,000 images made of the 2,000 simulated fabric images of the extra `demo`, see `memory`
Expected  below 3 GiB for every candidate

Each candidate is a process of its own with its own cache: scan, then one fold of its
cross-validation: the activations of all images, an epoch on a tenth of them, the other nine tenths
predicted. Memory does not depend on how many batches an epoch has; it is read as in `memory`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.data import environment_with_cache, textile_folder
from benchmarks.memory import make_images, peak_private_gib
from benchmarks.rows import Row, SkippedError, at_most

LIMIT_GIB = 3.0
CANDIDATES = (
    "FineTune(train='last_2_stages', epochs=1)",
    "FineTune(train='last_4_stages', epochs=1)",
    "FineTune(train='all', epochs=1)",
    "Scratch(epochs=1)",
)
TRAIN = """
import sys
import numpy as np
import regraft as rg
from regraft.approaches.base import Limits
data = rg.scan(sys.argv[1])
folds = (np.arange(len(data.train)) % 10 > 0).astype(np.int64)[None]
found = rg.{candidate}.cross_validate(data, folds, limits=Limits(folds=(1,)))
print(found.covered.sum())
"""


def run(*, images: int = 10_000, candidates: tuple[str, ...] = CANDIDATES) -> list[Row]:
    """The peak of each candidate.

    Args:
        images: in the folder.
        candidates: what is trained, in Python.
    """
    if not Path("/proc/self/status").exists():
        raise SkippedError("private memory is read from /proc, which this system does not have")
    photos = sorted(path for path in textile_folder().rglob("*") if path.is_file())
    rows = []
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        made = Path(folder) / "images"
        make_images(photos[:: max(1, len(photos) // images)], made, images)
        for number, candidate in enumerate(candidates):
            command = [sys.executable, "-c", TRAIN.format(candidate=candidate), str(made)]
            environment = environment_with_cache(Path(folder) / f"cache{number}")
            peak, printed = peak_private_gib(command, environment)
            held = images - len(range(0, images, 10))
            if int(printed) != held:
                raise RuntimeError(f"{candidate} predicted {printed!r} images, expected {held}")
            rows.append(
                at_most(
                    f"peak private memory, {images:,} images, {candidate}",
                    peak,
                    LIMIT_GIB,
                    measured=f"{peak:.2f} GiB",
                    target=f"below {LIMIT_GIB:g} GiB",
                )
            )
    return rows
